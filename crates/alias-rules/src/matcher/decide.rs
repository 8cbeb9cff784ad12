//! The decision of all statements that match a name.

use super::expiry::expired;
use super::rules::{Decision, MAX_NAME, Query, Rules};
use super::{Matcher, StatementMatch};
use crate::ir::{Program, characters};
use mail_address::Malformed;
use std::borrow::Cow;

/// A name as the statements see it.
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

    /// In the order of the statements.
    fn in_order(&mut self) -> &[(u32, StatementMatch)] {
        // Templates take turns, statements do not stand in order.
        self.all.sort_by_key(|(statement, _)| *statement);
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }
}

/// What all statements that match a name leave of it.
struct Found<'r> {
    statement: usize,
    first: StatementMatch,
    target: Option<Cow<'r, str>>,
}

/// Decides about a name.
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
    let matches = found.in_order();
    let Found { statement, first, target } = match together(rules, matches) {
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
    Decision::Ambiguous { statements: matches.iter().map(|(statement, _)| *statement as usize).collect() }
}

/// The result of several statements together. The error is a statement whose target is not an address.
fn together<'r>(rules: &'r Rules, matches: &[(u32, StatementMatch)]) -> Result<Option<Found<'r>>, usize> {
    let mut found: Option<Found<'_>> = None;
    for (statement, one) in matches {
        // Names were seen to make an address; one that does not is not delivered elsewhere for it.
        let target = target(rules, *statement, one).map_err(|_| *statement as usize)?;
        let Some(Found { first, target: first_target, .. }) = &mut found else {
            found = Some(Found { statement: *statement as usize, first: *one, target });
            continue;
        };
        first.several |= one.several
            || rules.store.name(one.account) != rules.store.name(first.account)
            // How another host compares its local parts only that host knows.
            || *first_target != target;
        first.ambiguous |= one.ambiguous;
    }
    Ok(found)
}

/// Where mail goes after a match of a statement; `None`: to the account itself.
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

/// Calls `each` with every template that may match, until it returns `false`. The others certainly do not match.
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
