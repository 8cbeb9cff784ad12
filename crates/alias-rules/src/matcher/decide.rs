//! Combines the matches of all statements to a decision.

use super::expiry::expired;
use super::rules::{Decision, MAX_NAME, Query, Rules};
use super::{Matcher, StatementMatch};
use crate::ir::{Program, characters};
use mail_address::Malformed;
use std::borrow::Cow;

/// A name, case-folded if names are compared ignoring case.
pub(super) struct Name<'n> {
    pub text: Cow<'n, str>,
    characters: u128,
}

impl<'n> Name<'n> {
    pub fn new(rules: &Rules, name: &'n str) -> Self {
        let text = rules.key(name);
        Name { characters: characters(&text), text }
    }
}

/// The statements that match a name.
#[derive(Default)]
struct Matches {
    first: Option<(u32, StatementMatch)>,
    /// All of them, if there is more than one.
    all: Vec<(u32, StatementMatch)>,
}

impl Matches {
    fn add(&mut self, statement: u32, found: StatementMatch) {
        match self.first {
            None => self.first = Some((statement, found)),
            Some(first) => {
                if self.all.is_empty() {
                    self.all.push(first);
                }
                self.all.push((statement, found));
            }
        }
    }

    /// The matches in the order of the statements.
    fn in_order(&mut self) -> &[(u32, StatementMatch)] {
        // They were found template by template.
        self.all.sort_by_key(|(statement, _)| *statement);
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }
}

/// The combined match of all statements.
struct Combined<'r> {
    statement: usize,
    first: StatementMatch,
    target: Option<Cow<'r, str>>,
}

/// Decides on a name.
pub(super) fn decide<'r>(
    rules: &'r Rules,
    name: &Name<'_>,
    query: &Query<'_>,
    matcher: &mut Matcher<'_>,
) -> Decision<'r> {
    let mut found = Matches::default();
    let mut tried = Ok(());
    each_template(rules, name, query.domain, &mut |program| {
        let statement = program.statement as usize;
        tried = if name.text.len() > MAX_NAME {
            Err(statement)
        } else {
            let each = &mut |statement, one| found.add(statement, one);
            matcher.template(program, each).map_err(|_| statement)
        };
        tried.is_ok()
    });
    if let Err(statement) = tried {
        return Decision::TempFail { statement };
    }
    let ordered = found.in_order();
    let Combined { statement, first, target } = match combine(rules, ordered) {
        Ok(Some(found)) => found,
        Ok(None) => return expired(rules, name, query, matcher),
        Err(statement) => return Decision::TempFail { statement },
    };
    if !first.several {
        return Decision::Account {
            name: rules.store.spelling(first.account),
            target,
            statement,
            ambiguous: first.ambiguous,
            by_debug: false,
        };
    }
    if let Some(name) = rules.debug_account() {
        return Decision::Account { name, target: None, statement, ambiguous: true, by_debug: true };
    }
    Decision::Ambiguous { statements: ordered.iter().map(|(statement, _)| *statement as usize).collect() }
}

/// Combines the matches of several statements. The error is a statement whose target is not an address.
fn combine<'r>(rules: &'r Rules, matches: &[(u32, StatementMatch)]) -> Result<Option<Combined<'r>>, usize> {
    let mut found: Option<Combined<'_>> = None;
    for (statement, one) in matches {
        // The compiler has checked the address for all names. If it is invalid nevertheless, the mail must
        // not be delivered elsewhere.
        let target = target(rules, *statement, one).map_err(|_| *statement as usize)?;
        let Some(Combined { first, target: first_target, .. }) = &mut found else {
            found = Some(Combined { statement: *statement as usize, first: *one, target });
            continue;
        };
        first.several |= one.several
            || rules.store.name(one.account) != rules.store.name(first.account)
            // Targets are compared exactly, since their case sensitivity is not known.
            || *first_target != target;
        first.ambiguous |= one.ambiguous;
    }
    Ok(found)
}

/// The target of a match; `None` for the account itself.
fn target<'r>(
    rules: &'r Rules,
    statement: u32,
    found: &StatementMatch,
) -> Result<Option<Cow<'r, str>>, Malformed> {
    let store = &rules.store;
    let Some(address) = store.program(statement).scope().target() else { return Ok(None) };
    let alias = found.alias.map_or("", |alias| store.spelling(alias));
    address.expand(store.spelling(found.account), alias).map(Some)
}

/// Calls `each` with every template that may match, until it returns `false`. Other templates certainly do
/// not match.
pub(super) fn each_template<'s>(
    rules: &'s Rules,
    name: &Name<'_>,
    domain: Option<&str>,
    each: &mut dyn FnMut(Program<'s>) -> bool,
) {
    rules.prefilter.each(&rules.store, &name.text, &mut |template| {
        let program = rules.store.template(template);
        let may_match = program.may_match(&name.text, name.characters) && program.scope().includes(domain);
        !may_match || each(program)
    });
}
