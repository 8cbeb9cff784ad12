//! Rules ready for look-ups, the name to look up, and the answer.

use super::budget::{Budget, Cost};
use super::decide::Name;
use super::name_set::NameSet;
use super::prefilter::Prefilter;
use super::{Matcher, decide};
use crate::date::Day;
use crate::ir::{Entry, NONE, Program, Store};
use mail_address::fold;
use std::borrow::Cow;
use std::sync::OnceLock;

/// Longest name looked up, in bytes. A local part has 255 at most and a line of a table protocol 4096; counts
/// of a longer one would not fit into the expected digits.
pub const MAX_NAME: usize = 4096;

/// Rules to look names up in.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(crate) store: Store,
    pub(super) prefilter: Prefilter,
    debug_account: Option<String>,
    fold: bool,
    /// The names of all lists, built at the first use.
    names: OnceLock<NameSet>,
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
    TempFail {
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

impl Rules {
    pub(crate) fn new(store: Store, fold: bool) -> Self {
        Rules { prefilter: Prefilter::of(&store), store, fold, ..Rules::default() }
    }

    /// Looks a name up.
    pub fn find<'q>(&self, query: impl Into<Query<'q>>) -> Decision<'_> {
        let query = query.into();
        let name = Name::new(self, query.name);
        decide::decide(self, &name, &query, &mut Matcher::new(&name.text).on(query.today))
    }

    /// What [`find`](Rules::find) costs for this name: the same in every run.
    pub fn cost<'q>(&self, query: impl Into<Query<'q>>) -> Cost {
        let query = query.into();
        let name = Name::new(self, query.name);
        let mut matcher = Matcher::new(&name.text).on(query.today);
        let _ = decide::decide(self, &name, &query, &mut matcher);
        Cost { steps: matcher.used(), limit: Budget::of(name.text.len()).lookup }
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
    pub(crate) fn program(&self, i: usize) -> Program<'_> {
        self.store.program(u32::try_from(i).unwrap_or(NONE))
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

    /// A text as texts are compared.
    pub(crate) fn key<'n>(&self, text: &'n str) -> Cow<'n, str> {
        if self.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    fn names(&self) -> &NameSet {
        self.names.get_or_init(|| NameSet::of(&self.store))
    }

    /// Whether some statement is about this account.
    pub fn is_account(&self, name: &str) -> bool {
        self.names().accounts.contain(&self.store, &self.key(name))
    }

    /// Whether some statement has this name after `ALIASED`.
    pub fn is_alias(&self, name: &str) -> bool {
        self.names().aliases.contain(&self.store, &self.key(name))
    }

    /// The number of distinct accounts in the statements.
    pub fn accounts(&self) -> usize {
        self.names().accounts.len()
    }

    /// The number of distinct names after `ALIASED`.
    pub fn aliases(&self) -> usize {
        self.names().aliases.len()
    }

    /// The accounts and aliases that occur in expressions, as they are compared, each with its statement.
    pub fn placed_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let placed = |entry: &&Entry| self.store.is_placed(entry);
        let entries = self.store.entries.iter().filter(placed);
        entries.map(|entry| (entry.statement as usize, self.store.text(entry.span())))
    }

    /// The accounts of all statements, as they are spelled there, each with its statement.
    pub fn account_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let entries = (0..).zip(&self.store.entries).filter(|(_, entry)| !entry.is_alias());
        entries.map(|(number, entry)| (entry.statement as usize, self.store.spelling(number)))
    }
}

#[cfg(test)]
mod tests {
    use crate::load::Options;
    use crate::load::load;
    use diagnostics::Text;

    #[test]
    fn names() {
        let text = Text::new(
            "a.rules",
            "ACCOUNT foo, Bar MATCHES %account%-%alpha%-%code% WITH CHARS();
             ACCOUNT foo ALIASED Pinky, brain MATCHES %alias%-%alpha%-%code% WITH CHARS();
             ACCOUNT foo ALIASED brain MATCHES %alias%=%alpha%=%code% WITH CHARS();
             ACCOUNT baz MATCHES %account%=%alpha%=%code% WITH CHARS();",
        );
        for fold in [false, true] {
            let rules = load(std::slice::from_ref(&text), &Options { fold, ..Options::default() });
            let rules = rules.expect("rules").rules;
            for (name, account, alias) in [
                ("foo", true, false),
                ("baz", true, false),
                ("Bar", true, false),
                ("bar", fold, false),
                ("Pinky", false, true),
                ("PINKY", false, fold),
                ("brain", false, true),
                ("", false, false),
            ] {
                assert_eq!((rules.is_account(name), rules.is_alias(name)), (account, alias), "{name}");
            }
            assert_eq!((rules.accounts(), rules.aliases()), (3, 2));
        }
    }
}
