//! Finds the last account of an alias whose last day has passed.

use super::decide::{Name, each_template};
use super::rules::{Decision, Query, Rules};
use super::{Matcher, StatementMatch, StepResult};
use crate::date::{Day, LENGTHS, last_day};
use crate::ir::{Piece, Program};

/// The decision on a name that no statement matches on the day of `query`.
pub(super) fn expired<'r>(
    rules: &'r Rules,
    name: &Name<'_>,
    query: &Query<'_>,
    matcher: &mut Matcher<'_>,
) -> Decision<'r> {
    let mut found: Vec<(u32, StatementMatch, Day)> = Vec::new();
    let mut tried = Ok(());
    if query.today.is_some() {
        each_template(rules, name, query.domain, &mut |program| {
            if is_dated(program) {
                let each = &mut |statement, matched, last| found.push((statement, matched, last));
                tried = all_expired(matcher, program, each).map_err(|_| program.statement as usize);
            }
            tried.is_ok()
        });
    }
    if let Err(statement) = tried {
        return Decision::TempFail { statement };
    }
    found.sort_by_key(|(statement, ..)| *statement);
    let Some((statement, first, _)) = found.first() else { return Decision::NoMatch };
    let store = &rules.store;
    let account = store.name(first.account);
    let own = found.iter().filter(|(_, matched, _)| store.name(matched.account) == account);
    let Some(last) = own.map(|(_, _, last)| *last).max() else { return Decision::NoMatch };
    Decision::Expired { name: store.spelling(first.account), statement: *statement as usize, last }
}

/// Whether the expression has a `%date%`.
fn is_dated(program: Program<'_>) -> bool {
    program.pieces.contains(&Piece::Date)
}

/// For a statement that does not match today, its match on the last day on which it did, and that day.
pub(crate) fn expired_match(
    matcher: &mut Matcher<'_>,
    program: Program<'_>,
) -> StepResult<Option<(StatementMatch, Day)>> {
    if !is_dated(program) {
        return Ok(None);
    }
    let today = matcher.today.take();
    let found = last_match(matcher, program);
    matcher.today = today;
    found
}

/// Calls `each` with the last match of every statement of a template that matched once.
fn all_expired(
    matcher: &mut Matcher<'_>,
    program: Program<'_>,
    each: &mut impl FnMut(u32, StatementMatch, Day),
) -> StepResult<()> {
    let today = matcher.today.take();
    let mut statements = Vec::new();
    matcher.template(program, &mut |statement, _| statements.push(statement))?;
    for statement in statements {
        matcher.today = None;
        if let Some((matched, last)) = last_match(matcher, program.of(statement))? {
            each(statement, matched, last);
        }
    }
    matcher.today = today;
    Ok(())
}

/// The match of a statement on the last day on which it matched, and that day.
fn last_match(matcher: &mut Matcher<'_>, program: Program<'_>) -> StepResult<Option<(StatementMatch, Day)>> {
    let Some(mut found) = matcher.statement(program)? else { return Ok(None) };
    let days = matcher.within(days)?;
    // Binary search: the statement matches on the first day, and if not on some day, then on no later one.
    let (mut matching, mut expired) = (0, days.len());
    while expired - matching > 1 {
        let middle = usize::midpoint(matching, expired);
        matcher.today = days.get(middle).copied();
        match matcher.statement(program)? {
            Some(later) => (matching, found) = (middle, later),
            None => expired = middle,
        }
    }
    Ok(days.get(matching).map(|last| (found, *last)))
}

/// All days that occur in the name, in order.
fn days(matcher: &mut Matcher<'_>) -> StepResult<Vec<Day>> {
    let name = matcher.name.as_bytes();
    matcher.spend(name.len() * LENGTHS.len())?;
    let texts = LENGTHS.into_iter().flat_map(|len| name.windows(len));
    let mut days: Vec<Day> = texts.filter_map(last_day).collect();
    days.sort_unstable();
    days.dedup();
    Ok(days)
}
