//! The public types of a lookup: rules, query and decision.

use super::budget::{Budget, Cost};
use super::decide::Name;
use super::memo::KEPT_FROM;
use super::name_set::NameSet;
use super::prefilter::Prefilter;
use super::{Matcher, decide};
use crate::date::Day;
use crate::ir::{Entry, NONE, Part, Program, Store};
use mail_address::{Address, Malformed, fold};
use std::borrow::Cow;
use std::sync::OnceLock;

/// Maximum length of a name, in bytes. A local part has at most 255 and a line of a table protocol 4096.
/// Counts of a longer name would have more digits than codes allow.
pub const MAX_NAME: usize = 4096;

/// Compiled rules. Names are looked up with [`Rules::find`].
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(crate) store: Store,
    pub(super) prefilter: Prefilter,
    debug_account: Option<String>,
    fold: bool,
    /// Created at the first use.
    names: OnceLock<NameSet>,
}

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'r> {
    /// The name is not an alias.
    NoMatch,
    /// The name is an alias of one account, or ambiguous and for the debug account.
    Account {
        /// The account.
        name: &'r str,
        /// The address of `DELIVER TO`; `None` for the account in the domain of the alias.
        target: Option<Cow<'r, str>>,
        /// The first statement that matched.
        statement: usize,
        /// Whether there is more than one match.
        ambiguous: bool,
        /// Whether the account is the debug account, because several accounts or targets match.
        by_debug: bool,
    },
    /// The name was an alias of this account, and possibly of others, whose last day has passed.
    Expired {
        /// The account.
        name: &'r str,
        /// The first statement that matched.
        statement: usize,
        /// The last day for this account; the latest one of several matches.
        last: Day,
    },
    /// The name is an alias of several accounts or targets.
    Ambiguous {
        /// The statements that matched.
        statements: Vec<usize>,
    },
    /// The lookup exceeded its step limit, or the name is longer than [`MAX_NAME`]. The name may be an alias.
    TempFail {
        /// The statement at which the lookup stopped.
        statement: usize,
    },
}

/// The place and expression of a statement, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'r> {
    /// The file name; empty if the statement does not exist.
    pub file: &'r str,
    /// The line number, from 1.
    pub line: usize,
    /// The expression.
    pub text: &'r str,
}

/// Formats the place of the statement: `aliases.rules:3`
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
    /// Its domain, in canonical spelling. Without a domain, statements with `DOMAINS` do not apply.
    pub domain: Option<&'q str>,
    /// The current day. Without it, aliases do not expire.
    pub today: Option<Day>,
}

/// A query without domain and day.
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

    /// Looks up a name.
    ///
    /// ```
    /// use alias_rules::{Day, Decision, Query, Rules};
    ///
    /// let rules = Rules::load(
    ///     "ACCOUNT foo DOMAINS example.com MATCHES %account%-%date%-%code% WITH CHARS(account);",
    /// )?;
    /// let today = Day::new(2026, 12, 1);
    /// let query = Query { name: "foo-2611-3", domain: Some("example.com"), today };
    /// assert!(matches!(rules.find(query), Decision::Expired { name: "foo", .. }));
    /// let later = Query { name: "foo-2612-3", ..query };
    /// assert!(matches!(rules.find(later), Decision::Account { name: "foo", .. }));
    /// assert_eq!(rules.find(Query { domain: Some("other.example"), ..query }), Decision::NoMatch);
    /// # Ok::<(), alias_rules::LoadError>(())
    /// ```
    pub fn find<'q>(&self, query: impl Into<Query<'q>>) -> Decision<'_> {
        self.find_keeping(query.into(), KEPT_FROM)
    }

    /// Like [`find`](Rules::find), with this value instead of [`KEPT_FROM`].
    pub(crate) fn find_keeping(&self, query: Query<'_>, kept_from: usize) -> Decision<'_> {
        let name = Name::new(self, query.name);
        let mut matcher = Matcher::new(&name.text).keeping_from(kept_from).on(query.today);
        decide::decide(self, &name, &query, &mut matcher)
    }

    /// The cost of [`find`](Rules::find) for this query, which is the same in every run.
    pub fn cost<'q>(&self, query: impl Into<Query<'q>>) -> Cost {
        let query = query.into();
        let name = Name::new(self, query.name);
        let mut matcher = Matcher::new(&name.text).on(query.today);
        let _ = decide::decide(self, &name, &query, &mut matcher);
        Cost { steps: matcher.used(), limit: Budget::of(name.text.len()).lookup }
    }

    /// The number of statements.
    pub fn len(&self) -> usize {
        self.store.statements.len()
    }

    /// Whether there are no statements.
    pub fn is_empty(&self) -> bool {
        self.store.statements.is_empty()
    }

    /// The statement with index `i`, as in a [`Decision`].
    pub fn statement(&self, i: usize) -> Statement<'_> {
        if i >= self.len() {
            return Statement { file: "", line: 0, text: "" };
        }
        let program = self.program(i);
        Statement { file: program.file(), line: program.line(), text: program.expression() }
    }

    /// The domains after `DOMAINS` in the statement with index `i`, in canonical spelling; none if it applies in all
    /// local domains.
    pub fn domains(&self, i: usize) -> impl Iterator<Item = &str> {
        let program = (i < self.len()).then(|| self.program(i));
        program.into_iter().flat_map(|program| program.scope().domains()).map(|domain| &**domain)
    }

    /// The statement with index `i`, which must exist.
    pub(crate) fn program(&self, i: usize) -> Program<'_> {
        self.store.program(u32::try_from(i).unwrap_or(NONE))
    }

    /// The recipient of mail to an alias of `account` by the statement with index `i`: the account in the domain
    /// of the alias, or the address of `DELIVER TO`. `None` if the statement does not apply in this domain, or if
    /// the recipient depends on the alias.
    pub fn destination(&self, i: usize, account: &str, domain: &str) -> Option<Result<Address, Malformed>> {
        if i >= self.len() || !self.program(i).scope().includes(Some(domain)) {
            return None;
        }
        match self.program(i).scope().target() {
            None => Some(Address::new(account, domain)),
            Some(target) if target.names(&Part::Alias) => None,
            Some(target) => {
                let address = |text: Cow<'_, str>| Address::from_rcpt(format!("<{text}>").as_bytes());
                Some(target.expand(account, "").map(address))
            }
        }
    }

    /// The account that receives ambiguous mail.
    pub fn debug_account(&self) -> Option<&str> {
        self.debug_account.as_deref()
    }

    /// Sets the account that receives ambiguous mail; empty for none.
    #[must_use]
    pub fn with_debug_account(self, account: Option<String>) -> Self {
        Rules { debug_account: account.filter(|account| !account.is_empty()), ..self }
    }

    /// Folds the case of a text, if names are compared ignoring case.
    pub(crate) fn key<'n>(&self, text: &'n str) -> Cow<'n, str> {
        if self.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    fn names(&self) -> &NameSet {
        self.names.get_or_init(|| NameSet::of(&self.store))
    }

    /// Whether a statement has this account.
    pub fn is_account(&self, name: &str) -> bool {
        self.names().accounts.contains(&self.store, &self.key(name))
    }

    /// Whether a statement has this name after `ALIASED`.
    pub fn is_alias(&self, name: &str) -> bool {
        self.names().aliases.contains(&self.store, &self.key(name))
    }

    /// The number of distinct accounts in the statements.
    pub fn accounts(&self) -> usize {
        self.names().accounts.len()
    }

    /// The number of distinct names after `ALIASED`.
    pub fn aliases(&self) -> usize {
        self.names().aliases.len()
    }

    /// The accounts and aliases that occur in expressions, case-folded if configured, each with the index of
    /// its statement.
    pub fn placed_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let placed = |entry: &&Entry| self.store.is_placed(entry);
        let entries = self.store.entries.iter().filter(placed);
        entries.map(|entry| (entry.statement as usize, self.store.text(entry.span())))
    }

    /// The accounts of all statements as spelled there, each with the index of its statement.
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
    fn destinations_are_accounts_or_targets() {
        let text = Text::new(
            "a.rules",
            "ACCOUNT foo DOMAINS a.test MATCHES x-%code% WITH CHARS(account);
             ACCOUNT foo MATCHES y-%code% WITH CHARS(account) DELIVER TO box@b.test;
             ACCOUNT foo MATCHES z-%code% WITH CHARS(account) DELIVER TO %account%.in@b.test;
             ACCOUNT foo ALIASED one, two MATCHES %alias%-%code% WITH CHARS(account) DELIVER TO %alias%@b.test;",
        );
        let rules = load(&[text], &Options::default()).expect("rules").rules;
        assert_eq!(rules.domains(0).collect::<Vec<_>>(), ["a.test"]);
        assert_eq!(rules.domains(1).chain(rules.domains(9)).count(), 0);
        for (i, domain, want) in [
            (0, "a.test", Some("foo@a.test")),
            (0, "c.test", None),
            (1, "c.test", Some("box@b.test")),
            (2, "c.test", Some("foo.in@b.test")),
            (3, "c.test", None),
            (4, "c.test", None),
        ] {
            let got = rules.destination(i, "foo", domain).map(|address| address.expect("valid").to_string());
            assert_eq!(got.as_deref(), want, "{i} {domain}");
        }
        assert!(rules.destination(0, &"x".repeat(500), "a.test").is_some_and(|address| address.is_err()));
    }

    #[test]
    fn accounts_and_aliases_are_counted_once() {
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
