//! Finds the accounts and aliases that may match a name.

use super::positions::Positions;
use super::{Matcher, StepResult};
use crate::ir::{Program, Store, Use};
use std::ops::Range;

/// The accounts and aliases of a template that occur in a name.
#[derive(Default)]
pub(crate) struct Candidates {
    /// `None` if the expression has no `%account%`.
    accounts: Option<Found>,
    aliases: Option<Found>,
}

/// Finds the accounts and aliases of a template in the name; `None` if the expression needs one and there is
/// none.
pub(super) fn candidates(matcher: &mut Matcher<'_>, program: Program<'_>) -> StepResult<Option<Candidates>> {
    let mut candidates = Candidates::default();
    for (is_alias, usage) in [(false, program.account_use), (true, program.alias_use)] {
        let Use::Placed(at) = usage else { continue };
        let found = placed(matcher, program, is_alias, at)?;
        if found.entries().is_empty() {
            return Ok(None);
        }
        *(if is_alias { &mut candidates.aliases } else { &mut candidates.accounts }) = Some(found);
    }
    Ok(Some(candidates))
}

/// Finds the names of a list in all places where piece `at` can be.
fn placed(matcher: &mut Matcher<'_>, program: Program<'_>, is_alias: bool, at: usize) -> StepResult<Found> {
    let name = matcher.name;
    let lengths = program.lengths(is_alias);
    let (shortest, longest) = (lengths.shortest as usize, lengths.longest as usize);
    let before = at.checked_sub(1).map(|i| &program.pieces[i]);
    let after = program.pieces.get(at + 1);
    let mut found = Found::default();
    let starts = match (before, program.literal_of(before)) {
        (None, _) => Positions::one(0),
        (_, Some(text)) if at == 1 => Positions::prefix(name, text),
        (_, text) => Positions::after(name, text.unwrap_or_default()),
    };
    for start in starts {
        matcher.spend(1)?;
        let rest = &name[start..];
        let last = at + 2 == program.pieces.len();
        let ends = match (after, program.literal_of(after)) {
            (None, _) => Positions::one(rest.len()),
            (_, Some(text)) if last => Positions::suffix(rest, text),
            (_, Some(text)) => Positions::before(rest, text),
            (_, None) => Positions::after(rest, ""),
        };
        for len in ends {
            if len > longest {
                break;
            }
            matcher.spend(1 + len / 16)?;
            if len >= shortest {
                for entry in program.entries(is_alias, &rest[..len]) {
                    matcher.spend(1)?;
                    found.add(entry);
                }
            }
        }
    }
    found.order();
    Ok(found)
}

impl Candidates {
    /// The statements that may match, in order.
    pub fn statements<'a>(&'a self, program: Program<'a>) -> impl Iterator<Item = u32> + 'a {
        let found = self.accounts.as_ref().or(self.aliases.as_ref());
        let entries = found.map_or(&[][..], Found::entries);
        let mut last = None;
        let candidates = entries
            .iter()
            .map(move |entry| program.store().entries[*entry as usize].statement)
            .filter(move |statement| last.replace(*statement) != Some(*statement));
        let all = found.is_none().then(|| program.siblings());
        candidates.chain(all.into_iter().flatten())
    }

    /// The accounts of a statement that may match.
    pub fn accounts(&self, program: Program<'_>) -> CandidateNames<'_> {
        candidate_names(program, program.account_use, self.accounts.as_ref(), program.accounts())
    }

    /// The aliases of a statement that may match; `None` without `ALIASED`.
    pub fn aliases(&self, program: Program<'_>) -> Option<CandidateNames<'_>> {
        let names = || candidate_names(program, program.alias_use, self.aliases.as_ref(), program.aliases());
        program.aliased.then(names)
    }
}

fn candidate_names<'f>(
    program: Program<'_>,
    usage: Use,
    found: Option<&'f Found>,
    all: Range<u32>,
) -> CandidateNames<'f> {
    match (usage, found) {
        (Use::Placed(_), Some(found)) => CandidateNames::Found(found.of(program.store(), program.statement)),
        (Use::Nowhere, _) => CandidateNames::Equivalent {
            entry: all.clone().next(),
            ways: usize::try_from(all.end - all.start).unwrap_or(2),
        },
        _ => CandidateNames::All(all),
    }
}

/// The names of a list that may match.
pub(crate) enum CandidateNames<'f> {
    /// All names are equivalent: `entry` represents `ways` of them.
    Equivalent { entry: Option<u32>, ways: usize },
    /// All names.
    All(Range<u32>),
    /// The names that occur in the looked-up name.
    Found(&'f [u32]),
}

impl CandidateNames<'_> {
    /// The entries to try.
    pub fn each(&self) -> impl Iterator<Item = u32> {
        let (all, found) = match self {
            CandidateNames::Equivalent { entry, .. } => (0..0, entry.as_slice()),
            CandidateNames::All(all) => (all.clone(), &[][..]),
            CandidateNames::Found(found) => (0..0, *found),
        };
        all.chain(found.iter().copied())
    }

    /// The number of names that each entry represents.
    pub fn ways(&self) -> usize {
        if let CandidateNames::Equivalent { ways, .. } = self { *ways } else { 1 }
    }
}

/// A set of entries. Nearly always it has at most one, which needs no allocation.
#[derive(Default)]
struct Found {
    first: Option<u32>,
    all: Vec<u32>,
}

impl Found {
    fn add(&mut self, entry: u32) {
        match self.first {
            None => self.first = Some(entry),
            Some(first) if self.all.is_empty() && first == entry => {}
            Some(first) => {
                if self.all.is_empty() {
                    self.all.push(first);
                }
                self.all.push(entry);
            }
        }
    }

    fn order(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
    }

    fn entries(&self) -> &[u32] {
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }

    /// The entries of one statement.
    fn of(&self, store: &Store, statement: u32) -> &[u32] {
        let entries = self.entries();
        let statement_of = |entry: &u32| store.entries[*entry as usize].statement;
        let begin = entries.partition_point(|entry| statement_of(entry) < statement);
        let end = entries.partition_point(|entry| statement_of(entry) <= statement);
        entries.get(begin..end).unwrap_or_default()
    }
}
