//! The alias rules: which account, if any, an address is a computed alias of.
//!
//! Pure: no files, no clock, bounded work. In layers, from a text to answers:
//!
//! | layer | module | owns |
//! | --- | --- | --- |
//! | words | `cursor` | a text word by word |
//! | | `words` | the vocabulary: classes, functions, the words of a statement |
//! | | `date` | days, and how a last day is written in a name |
//! | | `secret` | secrets, and what `HMAC` computes with them |
//! | tree | `syntax` | text to tree, with a place for everything |
//! | | `expression`, `functions`, `deliver`, `legacy` | what stands behind `MATCHES`, `WITH` and `DELIVER TO`, and in settings |
//! | | `terms` | on what terms a statement counts |
//! | | `check` | what cannot be right in a statement |
//! | | `symbols` | the names of all statements, each once |
//! | | `unique` | whether all statements together leave no doubt |
//! | | `statements` | the trees of whole texts, for the tools |
//! | compiled | `compile` | tree to [`Rules`] |
//! | | `plan`, `shape` | what of an expression is settled before its code is read; what an unverified code looks like |
//! | | `store`, `hashes` | the rules as they are looked up, and how their tables hash |
//! | | `anchor` | which templates a name can match at all |
//! | | `census` | which names the rules know |
//! | look-up | `decide` | from the statements that match to a [`Decision`] |
//! | | `eval` | from a name to the statements that match it |
//! | | `choices`, `compute`, `known` | the accounts to be tried, what functions give, what a code leaves of the name |
//! | | `spots`, `reach`, `rows`, `sweep` | where things can stand, and in how many ways |
//! | | `expire` | aliases whose last day has passed |
//! | | `cost` | what a look-up may cost |
//! | reasons | `trace`, `nearest`, `show` | why a name matches, or how near it comes, as a text |
//! | tools | [`prove`](mod@prove) | what can be proved before any name comes |
//! | | `unprotected` | check codes that protect nothing, as a mail server cuts off extensions |
//! | | `make` | from words to a name |
//! | | `format` | a text laid out |
//! | | `import` | a text of the predecessor taken over |
//!
//! A statement names accounts, an expression to match names with, and functions that compute a code from
//! the parts of the name; a name is an alias if the code in it is the code computed:
//!
//! ```text
//! ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();
//! ```
//!
//! makes `foo-macys-m5` one of foo. Aliases of this kind are in the hands of third parties for good, so the
//! language is that of the predecessor to the last detail, but for what crashed, fooled its own checks, or
//! was left to chance; `tests/data/rules` holds what it was observed to do. The manual page rcptd.rules(5)
//! describes all of it.

mod anchor;
mod census;
mod check;
mod choices;
mod compile;
mod compute;
mod cost;
mod cursor;
mod date;
mod decide;
mod deliver;
mod eval;
mod expire;
mod expression;
mod format;
mod functions;
mod hashes;
mod import;
mod known;
mod legacy;
mod make;
mod nearest;
mod plan;
pub mod prove;
mod reach;
mod rows;
mod secret;
mod shape;
mod show;
mod spots;
mod statements;
mod store;
mod sweep;
mod symbols;
mod syntax;
mod terms;
mod trace;
mod unique;
mod unprotected;
mod words;

#[cfg(test)]
mod tests;

pub use check::Never;
pub use cost::{Cost, MAX_LOOKUP_STEPS, MAX_STATEMENT_STEPS, ORDINARY_NAME};
pub use date::Day;
pub use deliver::MAX_HOPS;
pub use format::{WIDTH, format};
pub use import::{Difference, Example, Imported, MAX_EXAMPLES, import};
pub use legacy::{Dialect, Legacy, Logging, Setting};
pub use make::{Good, MAX_NAMED, MAX_TRIES, Made, Order, Reason, USUAL_LOCAL_PART, Unknown, make};
pub use prove::{Clash, Guess, Limits, Proof, guessability, prove, rings};
pub use secret::{BadSecret, Bound, HMAC_ALPHABET, HMAC_LENGTHS, MAX_SECRETS, MIN_SECRET, Secrets};
pub use show::MAX_NEAR;
pub use terms::MAX_DOMAINS;
pub use trace::{Cut, Explanation, Finding, Outcome, Trace, Value};
pub use unprotected::Unprotected;
pub use words::{Class, Function};

use crate::diag::{self, Problem, Text};
use anchor::Anchors;
use census::Census;
use compile::Compiler;
use eval::Lookup;
use std::borrow::Cow;
use std::sync::OnceLock;
use store::{Program, Store};
use unique::Brief;

/// Longest name looked up, in bytes. A local part has 255 at most and a line of a table protocol 4096;
/// counts of a longer one would not fit into the digits expected.
pub const MAX_NAME: usize = 4096;

/// Most bytes of rules read at once: positions are counted by 32 bits, and folding may make a text longer.
pub const MAX_TEXT: usize = 1 << 30;

/// How texts are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare without regard to case. A code is then computed from the folded text, so an alias whose code
    /// counts lower case letters only is another one for a name with capitals.
    pub fold: bool,
    /// Which configuration statements are known.
    pub dialect: Dialect,
    /// What `HMAC` computes with.
    pub secrets: Secrets,
}

/// A name to be looked up, with what its meaning depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'q> {
    /// The local part of an address, without quotes.
    pub name: &'q str,
    /// Its domain, in canonical spelling. Without one, statements for certain domains do not apply.
    pub domain: Option<&'q str>,
    /// The day it is; without one nothing has expired.
    pub today: Option<Day>,
}

/// A name alone.
impl<'q> From<&'q str> for Query<'q> {
    fn from(name: &'q str) -> Self {
        Query { name, domain: None, today: None }
    }
}

impl<'q> From<&'q String> for Query<'q> {
    fn from(name: &'q String) -> Self {
        name.as_str().into()
    }
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: Rules,
    /// The settings found beside them.
    pub legacy: Legacy,
    /// Warnings and notes.
    pub problems: Vec<Problem>,
}

/// Rules to look names up in.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    store: Store,
    anchors: Anchors,
    debug_account: Option<String>,
    fold: bool,
    /// The names of all lists, once somebody has asked.
    census: OnceLock<Census>,
}

/// What the rules say of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'r> {
    /// It is not an alias.
    NoMatch,
    /// It is an alias of one account, or goes to the debug account.
    Account {
        /// The account.
        name: &'r str,
        /// Where its mail goes, if not to the account in the domain of the alias.
        target: Option<Cow<'r, str>>,
        /// The first statement that matched.
        statement: usize,
        /// Whether it matched in more than one way.
        ambiguous: bool,
        /// Whether the account is the debug account, there being more than one other account or target.
        by_debug: bool,
    },
    /// It was an alias of this account, if not of others too.
    Expired {
        /// The account.
        name: &'r str,
        /// The first statement that matched.
        statement: usize,
        /// Its last day for this account; the latest one, if it matched in more than one way.
        last: Day,
    },
    /// It is an alias of more than one account.
    Ambiguous {
        /// The statements that matched.
        statements: Vec<usize>,
    },
    /// It would take too long to find out. It may well be an alias.
    CannotSay {
        /// The statement at which the look-up was given up.
        statement: usize,
    },
}

/// A statement as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'r> {
    /// The file it stands in; empty for a statement there is not.
    pub file: &'r str,
    /// Its line.
    pub line: usize,
    /// Its expression.
    pub text: &'r str,
}

/// `aliases.rules:3`
impl std::fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Reads `texts` as one: statements follow each other, of a repeated setting the last one counts.
///
/// The error holds every error and warning of all texts, in order.
pub fn load(texts: &[Text], options: &Options) -> Result<Loaded, Vec<Problem>> {
    if let Some(fault) = too_long(texts, MAX_TEXT) {
        return Err(vec![fault]);
    }
    let mut legacy = Legacy::default();
    let mut faults = vec![Vec::new(); texts.len()];
    let mut compiler = Compiler::new(options.fold);
    let mut briefs = Vec::new();
    let mut complete = true;
    for ((i, text), faults) in texts.iter().enumerate().zip(&mut faults) {
        complete &= syntax::read(text, options.dialect, &mut legacy, faults, &mut |statement, faults| {
            let checked = check::statement(statement, &options.secrets, faults);
            briefs.push(Brief::of(i, text, &checked.statement));
            compiler.add(text, checked, faults);
        });
    }
    // With a statement missing, others may only look as if they left doubt.
    if complete {
        for (text, fault) in unique::check(&briefs, compiler.symbols()) {
            faults[text].push(fault);
        }
    }
    drop(briefs);
    let mut problems = Vec::new();
    for (text, mut faults) in texts.iter().zip(faults) {
        faults.sort_by_key(|fault| fault.span.start);
        problems.extend(faults.into_iter().map(|fault| fault.of(text)));
    }
    if diag::any_error(&problems) {
        return Err(problems);
    }
    let store = compiler.finish();
    let debug_account = legacy.debug_account.as_ref().map(|setting| setting.value.clone());
    let anchors = Anchors::of(&store);
    let rules = Rules { store, anchors, fold: options.fold, ..Rules::default() };
    Ok(Loaded { rules: rules.with_debug_account(debug_account), legacy, problems })
}

/// An error if the texts are longer than `limit`, all of them together.
fn too_long(texts: &[Text], limit: usize) -> Option<Problem> {
    let mut sum = 0_usize;
    let text = texts.iter().find(|text| {
        sum = sum.saturating_add(text.content.len());
        sum > limit
    })?;
    let message = format!("there are more than {limit} bytes of rules");
    Some(Problem::error(text, 0..0, message).help("so many names are better kept in a database"))
}

impl Rules {
    /// Looks a name up.
    pub fn find<'q>(&self, query: impl Into<Query<'q>>) -> Decision<'_> {
        let query = query.into();
        let facts = self.facts(query.name);
        self.decide(&facts, &query, &mut Lookup::new(&facts.name).on(query.today))
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.store.statements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.store.statements.is_empty()
    }

    /// The statement numbered `i`, as in a [`Decision`].
    pub fn statement(&self, i: usize) -> Statement<'_> {
        if i >= self.len() {
            return Statement { file: "", line: 0, text: "" };
        }
        let program = self.program(i);
        Statement { file: program.file(), line: program.line(), text: program.expression() }
    }

    /// The statement numbered `i`, which there is.
    fn program(&self, i: usize) -> Program<'_> {
        self.store.program(u32::try_from(i).unwrap_or(store::NONE))
    }

    /// Who gets what is an alias of more than one account.
    pub fn debug_account(&self) -> Option<&str> {
        self.debug_account.as_deref()
    }

    /// The same rules with another debug account; an empty one is none.
    #[must_use]
    pub fn with_debug_account(self, account: Option<String>) -> Self {
        Rules { debug_account: account.filter(|account| !account.is_empty()), ..self }
    }
}
