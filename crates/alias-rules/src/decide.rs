//! What all statements that match a name decide together.

use super::compile::characters;
use super::eval::{Hit, Lookup};
use super::store::Program;
use super::{Decision, MAX_NAME, Query, Rules};
use mail_address::fold;
use std::borrow::Cow;

/// A name as the statements see it.
pub(super) struct Facts<'n> {
    pub name: Cow<'n, str>,
    pub characters: u128,
}

/// The statements that match a name.
#[derive(Default)]
struct Hits {
    first: Option<(u32, Hit)>,
    /// All of them, if there is more than one.
    all: Vec<(u32, Hit)>,
}

impl Hits {
    fn add(&mut self, statement: u32, hit: Hit) {
        match self.first {
            None => self.first = Some((statement, hit)),
            Some(first) => {
                if self.all.is_empty() {
                    self.all.push(first);
                }
                self.all.push((statement, hit));
            }
        }
    }

    /// In the order of the statements.
    fn in_order(&mut self) -> &[(u32, Hit)] {
        // Templates take turns, statements do not stand in order.
        self.all.sort_by_key(|(statement, _)| *statement);
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }
}

/// What all statements that match a name leave of it.
struct Found<'r> {
    statement: usize,
    hit: Hit,
    target: Option<Cow<'r, str>>,
}

impl Rules {
    pub(super) fn decide(
        &self,
        facts: &Facts<'_>,
        query: &Query<'_>,
        lookup: &mut Lookup<'_>,
    ) -> Decision<'_> {
        let mut hits = Hits::default();
        let mut tried = Ok(());
        self.candidates(facts, query.domain, &mut |program| {
            let statement = program.statement as usize;
            tried = if facts.name.len() > MAX_NAME {
                Err(statement)
            } else {
                let each = &mut |statement, hit| hits.add(statement, hit);
                lookup.template(program, each).map_err(|_| statement)
            };
            tried.is_ok()
        });
        if let Err(statement) = tried {
            return Decision::CannotSay { statement };
        }
        let hits = hits.in_order();
        let Found { statement, hit, target } = match self.together(hits) {
            Ok(Some(found)) => found,
            Ok(None) => return self.expired(facts, query, lookup),
            Err(statement) => return Decision::CannotSay { statement },
        };
        if !hit.several {
            return Decision::Account {
                name: self.store.spelling(hit.account),
                target,
                statement,
                ambiguous: hit.ambiguous,
                by_debug: false,
            };
        }
        if let Some(name) = self.debug_account() {
            return Decision::Account { name, target: None, statement, ambiguous: true, by_debug: true };
        }
        Decision::Ambiguous { statements: hits.iter().map(|(statement, _)| *statement as usize).collect() }
    }

    /// What several statements say together. The error is a statement that names no address.
    fn together(&self, hits: &[(u32, Hit)]) -> Result<Option<Found<'_>>, usize> {
        let mut found: Option<Found<'_>> = None;
        for (statement, hit) in hits {
            // Names were seen to make an address; one that does not is not delivered elsewhere for it.
            let target = self.target(*statement, hit).map_err(|_| *statement as usize)?;
            let Some(first) = &mut found else {
                found = Some(Found { statement: *statement as usize, hit: *hit, target });
                continue;
            };
            first.hit.several |= hit.several
                || self.store.name(hit.account) != self.store.name(first.hit.account)
                // How another host compares its local parts only that host knows.
                || first.target != target;
            first.hit.ambiguous |= hit.ambiguous;
        }
        Ok(found)
    }

    pub(super) fn facts<'n>(&self, name: &'n str) -> Facts<'n> {
        let name = if self.fold { fold(name) } else { Cow::Borrowed(name) };
        let characters = characters(&name);
        Facts { name, characters }
    }

    /// Calls `each` with every template that may match, until it says `false`. What is left out certainly
    /// does not match.
    pub(super) fn candidates<'s>(
        &'s self,
        facts: &Facts<'_>,
        domain: Option<&str>,
        each: &mut dyn FnMut(Program<'s>) -> bool,
    ) {
        self.anchors.each(&self.store, &facts.name, &mut |template| {
            let program = self.store.template(template);
            let may_match =
                program.may_match(&facts.name, facts.characters) && program.terms().hold_in(domain);
            !may_match || each(program)
        });
    }
}
