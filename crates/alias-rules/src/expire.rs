//! Aliases whose last day has passed. They are nobody's any more, but it can be said whose they were.

use super::date::{LENGTHS, last_day};
use super::decide::Facts;
use super::eval::{Counted, Hit, Lookup};
use super::store::{Piece, Program};
use super::{Day, Decision, Query, Rules};

impl Program<'_> {
    /// Whether aliases of it have a last day.
    fn is_dated(&self) -> bool {
        self.pieces.contains(&Piece::Date)
    }
}

impl Rules {
    /// What is said of a name that no statement matches on the day of `query`.
    pub(super) fn expired(
        &self,
        facts: &Facts<'_>,
        query: &Query<'_>,
        lookup: &mut Lookup<'_>,
    ) -> Decision<'_> {
        let mut found: Vec<(u32, Hit, Day)> = Vec::new();
        let mut tried = Ok(());
        if query.today.is_some() {
            self.candidates(facts, query.domain, &mut |program| {
                if program.is_dated() {
                    let each = &mut |statement, hit, last| found.push((statement, hit, last));
                    tried = lookup.all_expired(program, each).map_err(|_| program.statement as usize);
                }
                tried.is_ok()
            });
        }
        if let Err(statement) = tried {
            return Decision::CannotSay { statement };
        }
        found.sort_by_key(|(statement, ..)| *statement);
        let Some((statement, first, _)) = found.first() else { return Decision::NoMatch };
        let name = self.store.name(first.account);
        let own = found.iter().filter(|(_, hit, _)| self.store.name(hit.account) == name);
        let Some(last) = own.map(|(_, _, last)| *last).max() else { return Decision::NoMatch };
        Decision::Expired { name: self.store.spelling(first.account), statement: *statement as usize, last }
    }
}

impl Lookup<'_> {
    /// Of a statement that does not match: what it said on the last day on which it did, and that day.
    pub fn expired(&mut self, program: Program<'_>) -> Counted<Option<(Hit, Day)>> {
        if !program.is_dated() {
            return Ok(None);
        }
        let today = self.since.take();
        let found = self.last_match(program);
        self.since = today;
        found
    }

    /// The same of all statements of a template, for `each` that matched.
    fn all_expired(&mut self, program: Program<'_>, each: &mut impl FnMut(u32, Hit, Day)) -> Counted<()> {
        let today = self.since.take();
        let mut statements = Vec::new();
        self.template(program, &mut |statement, _| statements.push(statement))?;
        for statement in statements {
            self.since = None;
            if let Some((hit, last)) = self.last_match(program.of(statement))? {
                each(statement, hit, last);
            }
        }
        self.since = today;
        Ok(())
    }

    /// The same of any statement.
    fn last_match(&mut self, program: Program<'_>) -> Counted<Option<(Hit, Day)>> {
        let Some(mut hit) = self.statement(program)? else { return Ok(None) };
        let days = self.within(Lookup::days)?;
        // It matches on the first one, and on no later day if not on an earlier one.
        let (mut yes, mut no) = (0, days.len());
        while no - yes > 1 {
            let middle = usize::midpoint(yes, no);
            self.since = days.get(middle).copied();
            match self.statement(program)? {
                Some(later) => (yes, hit) = (middle, later),
                None => no = middle,
            }
        }
        Ok(days.get(yes).map(|last| (hit, *last)))
    }

    /// Every day that stands in the name, in order.
    fn days(&mut self) -> Counted<Vec<Day>> {
        let name = self.name.as_bytes();
        self.spend(name.len() * LENGTHS.len())?;
        let texts = LENGTHS.into_iter().flat_map(|len| name.windows(len));
        let mut days: Vec<Day> = texts.filter_map(last_day).collect();
        days.sort_unstable();
        days.dedup();
        Ok(days)
    }
}
