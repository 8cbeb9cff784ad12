//! The alias rules: which account, if any, an address is a computed alias of.
//!
//! Pure: no files, no clock, bounded work. The layers, from a text to answers:
//!
//! | layer | module | owns |
//! | --- | --- | --- |
//! | words | `cursor` | a text word by word |
//! | | `words` | the vocabulary: classes, functions, the words of a statement |
//! | | `date` | days, and how a last day is written in a name |
//! | | `secret` | secrets, and what `HMAC` computes with them |
//! | tree | `syntax` | text to tree, with a place for everything |
//! | | `expression`, `functions`, `deliver`, `legacy` | the parts after `MATCHES`, `WITH` and `DELIVER TO`, and settings |
//! | | `terms` | the scope of a statement |
//! | | `check` | errors in a single statement |
//! | | `symbols` | the distinct names of all statements |
//! | | `unique` | whether all statements together are unambiguous |
//! | | `statements` | the trees of whole texts, for the tools |
//! | compiled | `compile` | tree to [`Rules`] |
//! | | `plan`, `shape` | the parts of an expression known before its code is read; the form of an unverified code |
//! | | `store`, `hashes` | the rules as they are looked up, and how their tables hash |
//! | | `anchor` | which templates a name can match at all |
//! | | `census` | the set of names in the rules |
//! | look-up | `decide` | from matching statements to a [`Decision`] |
//! | | `eval` | from a name to the statements that match it |
//! | | `choices`, `compute`, `known` | the accounts to try, the values of functions, the name without its code |
//! | | `spots`, `reach`, `rows`, `sweep` | possible positions of the parts, and the number of ways |
//! | | `expire` | aliases whose last day has passed |
//! | | `cost` | the limits of a look-up |
//! | reasons | `trace`, `nearest`, `show` | why a name matches, or how nearly, as a text |
//! | tools | [`prove`](mod@prove) | static analysis of the rules |
//! | | `unprotected` | check codes that protect nothing, since a mail server splits off extensions |
//! | | `make` | from words to a name |
//! | | `format` | formatting of texts |
//! | | `import` | conversion of texts of the predecessor |
//!
//! A statement names accounts, an expression to match names with, and functions that compute a code from
//! the parts of the name; a name is an alias if the code in it is the code computed:
//!
//! ```text
//! ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();
//! ```
//!
//! makes `foo-macys-m5` one of foo. Third parties keep such aliases permanently, so the language is exactly
//! that of the predecessor, except where that crashed, fooled its own checks, or depended on chance;
//! `tests/data` has its recorded behaviour. The manual page rcptd.rules(5) describes all of it.

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

use anchor::Anchors;
use census::Census;
use compile::Compiler;
use diagnostics::{Problem, Text};
use eval::Lookup;
use std::borrow::Cow;
use std::sync::OnceLock;
use store::{Program, Store};
use unique::Brief;

/// Longest name looked up, in bytes. A local part has 255 at most and a line of a table protocol 4096; counts
/// of a longer one would not fit into the expected digits.
pub const MAX_NAME: usize = 4096;

/// Most bytes of rules read at once: positions are counted by 32 bits, and folding may make a text longer.
pub const MAX_TEXT: usize = 1 << 30;

/// Options for reading texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare without regard to case. Codes are then computed from the folded text, so for a name with
    /// capitals, a code that counts lower case letters only is different.
    pub fold: bool,
    /// Which configuration statements are known.
    pub dialect: Dialect,
    /// What `HMAC` computes with.
    pub secrets: Secrets,
}

/// A name to look up, with its domain and the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'q> {
    /// The local part of an address, without quotes.
    pub name: &'q str,
    /// Its domain, in canonical spelling. Without one, statements for certain domains do not apply.
    pub domain: Option<&'q str>,
    /// The current day; without it no alias has expired.
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

/// The result of loading texts.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: Rules,
    /// The settings in the same texts.
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
    /// The names of all lists, built at the first use.
    census: OnceLock<Census>,
}

/// The result of the rules for a name.
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
        /// Whether the account is the debug account, since there are several accounts or targets.
        by_debug: bool,
    },
    /// It was an alias of this account, and perhaps of others.
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
    /// The look-up would take too long. The name may be an alias.
    CannotSay {
        /// The statement at which the look-up stopped.
        statement: usize,
    },
}

/// The name of a statement for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'r> {
    /// Its file; empty if there is no such statement.
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

/// Reads `texts` as one: their statements are joined, and the last of repeated settings counts.
///
/// The error has all errors and warnings of all texts, in order.
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
    // If a statement is missing, others may look ambiguous without being so.
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
    if diagnostics::any_error(&problems) {
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

    /// Whether there are no statements.
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

    /// The statement numbered `i`, which must exist.
    fn program(&self, i: usize) -> Program<'_> {
        self.store.program(u32::try_from(i).unwrap_or(store::NONE))
    }

    /// The account for aliases of more than one account.
    pub fn debug_account(&self) -> Option<&str> {
        self.debug_account.as_deref()
    }

    /// The same rules with another debug account; empty: none.
    #[must_use]
    pub fn with_debug_account(self, account: Option<String>) -> Self {
        Rules { debug_account: account.filter(|account| !account.is_empty()), ..self }
    }
}
