//! Matches names against statements.
//!
//! A name can be split into the pieces of an expression in exponentially many ways, so splits are counted,
//! not enumerated. Every function looks at one text only. The matcher chooses the start of the code and
//! splits the code into one token for each function: a count has few digits, other functions take a character
//! or their default. Every token is then a condition on one identifier. The splits that satisfy all
//! conditions are counted by dynamic programming, piece by piece, over the positions of the name. A split
//! determines the value of each function, so it is not counted for two choices of tokens. Counts saturate at
//! 2, since only none, one and several matter.
//!
//! Indexing in this part cannot panic. A position is 0, the length of the name, or the end of a literal, of
//! an ASCII character or of a whole character found at another position, so it is inside of the name and
//! between characters. Indices of pieces, entries and calls come from their own lists.

pub(crate) mod budget;
mod candidates;
pub(crate) mod code_shape;
mod counts;
mod decide;
pub(crate) mod expiry;
mod hmac;
mod identifier_bounds;
mod memo;
mod memo_state;
mod name_set;
pub(crate) mod operations;
mod positions;
mod prefilter;
pub(crate) mod rules;

use crate::date::Day;
use crate::ir::{MAX_DIGITS, Op, Piece, Program, Target};
use crate::secrets;
use crate::vocabulary::is_digit;
use budget::Budget;
use candidates::{CandidateNames, Candidates, candidates};
use counts::{Counts, Runs};
use hmac::is_signed;
use identifier_bounds::Conditions;
use memo::{KEPT_FROM, Memo};
use memo_state::MemoState;
use operations::Tallies;
use positions::Positions;

/// The error of a lookup that has used up its steps. A step is a few instructions, see [`budget`].
#[derive(Debug)]
pub(crate) struct OutOfSteps;

pub(crate) type StepResult<T> = Result<T, OutOfSteps>;

/// The match of a statement with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatementMatch {
    /// The entry of the first account that matches.
    pub account: u32,
    /// The entry of its first alias, if there are aliases.
    pub alias: Option<u32>,
    /// Whether other accounts, or aliases with another target, match, too.
    pub several: bool,
    /// Whether there is more than one match.
    pub ambiguous: bool,
}

/// The part of the code that belongs to one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    pub start: usize,
    pub end: usize,
    /// Its numeric value, for functions that count.
    pub count: usize,
}

/// The state of a lookup: the name, the remaining steps, and reusable buffers.
#[derive(Debug)]
pub(crate) struct Matcher<'n> {
    pub(crate) name: &'n str,
    /// The day of the lookup: earlier last days do not match. `None` disables expiry.
    pub(crate) today: Option<Day>,
    /// The remaining steps of the current statement.
    steps: u64,
    /// The remaining steps of the lookup.
    total: u64,
    limits: Budget,
    pub(crate) tally: Tallies,
    pub(crate) runs: Runs,
    pub(crate) conditions: Conditions,
    pub(crate) counts: Counts,
    pub(crate) tokens: Vec<Token>,
    pub(crate) memo: Memo,
    /// The rows of the memo without tokens.
    pub(crate) initial_state: Option<MemoState>,
    /// The rows of the memo with the current tokens.
    pub(crate) memo_state: MemoState,
}

/// A statement with one of its accounts and one of its aliases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'p> {
    pub program: Program<'p>,
    pub account: &'p str,
    pub alias: &'p str,
}

impl<'p> Binding<'p> {
    /// Creates a binding from entries. Without `ALIASED` the account is the alias.
    pub fn of(program: Program<'p>, account: Option<u32>, alias: Option<u32>) -> Self {
        let name = |entry| program.store().name(entry);
        let account = account.map_or("", name);
        Binding { program, account, alias: alias.map_or(account, name) }
    }

    /// The text of a piece, if it is the same for every split.
    pub(crate) fn fixed(&self, piece: &Piece) -> Option<&'p str> {
        match piece {
            Piece::Literal(number) => Some(self.program.literal(*number)),
            Piece::Account => Some(self.account),
            Piece::Alias => Some(self.alias),
            Piece::Identifier(..) | Piece::Date | Piece::Shape | Piece::Code => None,
        }
    }

    /// The text that a function looks at, if it is the same for every split.
    fn text(&self, target: Target) -> Option<&'p str> {
        match target {
            Target::Account => Some(self.account),
            Target::Alias => Some(self.alias),
            Target::Identifier(_) | Target::Name => None,
        }
    }

    fn before(&self) -> &'p [Piece] {
        self.program.form().pieces.get(..self.program.code).unwrap_or_default()
    }

    fn after(&self) -> &'p [Piece] {
        self.program.form().pieces.get(self.program.code + 1..).unwrap_or_default()
    }
}

impl<'n> Matcher<'n> {
    /// Creates a matcher with the steps of a lookup.
    pub fn new(name: &'n str) -> Self {
        Self::with(name, Budget::of(name.len()))
    }

    /// Creates a matcher with this number of steps, regardless of the number of statements.
    pub fn with_steps(name: &'n str, steps: u64) -> Self {
        Self::with(name, Budget { statement: steps, lookup: steps })
    }

    fn with(name: &'n str, limits: Budget) -> Self {
        let (tally, runs, conditions, counts) = Default::default();
        let (tokens, initial_state, memo_state) = Default::default();
        let (steps, total) = (limits.statement, limits.lookup);
        let today = None;
        Matcher {
            name,
            today,
            steps,
            total,
            limits,
            tally,
            runs,
            conditions,
            counts,
            tokens,
            memo: Memo::new(KEPT_FROM),
            initial_state,
            memo_state,
        }
    }

    /// Keeps rows of the memo after this number of them.
    pub fn keeping_from(self, rows: usize) -> Self {
        Matcher { memo: Memo::new(rows), ..self }
    }

    /// Sets the day of the lookup.
    pub fn on(self, today: Option<Day>) -> Self {
        Matcher { today, ..self }
    }

    /// The remaining steps of the current statement.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The steps used for all statements so far.
    pub fn used(&self) -> u64 {
        self.limits.lookup - self.total
    }

    pub(crate) fn spend(&mut self, steps: usize) -> StepResult<()> {
        let left = self.steps.checked_sub(steps as u64);
        self.steps = left.unwrap_or(0);
        left.map(|_| ()).ok_or(OutOfSteps)
    }

    /// The remaining steps of the current statement, for loops that check the limit themselves.
    pub(crate) fn left(&self) -> usize {
        usize::try_from(self.steps).unwrap_or(usize::MAX)
    }

    /// Calls `each` with the statements of the template of `program` that match the name, in order.
    pub fn template(
        &mut self,
        program: Program<'_>,
        each: &mut impl FnMut(u32, StatementMatch),
    ) -> StepResult<()> {
        let Some(found) = self.within(|matcher| candidates(matcher, program))? else { return Ok(()) };
        for statement in found.statements(program) {
            let matched = self.within(|matcher| matcher.match_candidates(program.of(statement), &found))?;
            if let Some(matched) = matched {
                each(statement, matched);
            }
        }
        Ok(())
    }

    /// Runs `work` with the step limit of one statement.
    pub fn within<T>(&mut self, work: impl FnOnce(&mut Self) -> StepResult<T>) -> StepResult<T> {
        let steps = self.limits.statement.min(self.total);
        self.steps = steps;
        let result = work(self);
        self.total -= steps - self.steps;
        result
    }

    /// Matches the name against one statement.
    pub fn statement(&mut self, program: Program<'_>) -> StepResult<Option<StatementMatch>> {
        self.within(|matcher| match candidates(matcher, program)? {
            Some(found) => matcher.match_candidates(program, &found),
            None => Ok(None),
        })
    }

    /// Matches the name against the candidates of one statement.
    fn match_candidates(
        &mut self,
        program: Program<'_>,
        candidates: &Candidates,
    ) -> StepResult<Option<StatementMatch>> {
        self.spend(1)?;
        self.initial_state = None;
        let entries = &program.store().entries;
        let accounts = candidates.accounts(program);
        let aliases = candidates.aliases(program);
        let alias_ways = aliases.as_ref().map_or(1, CandidateNames::ways);
        let distinguishes_aliases = program.scope().distinguishes_aliases();
        let mut matched: Option<StatementMatch> = None;
        for entry in accounts.each() {
            let account = &entries[entry as usize];
            let (mut ways, mut first_alias, mut other_targets) = (0, None, false);
            let listed = aliases.iter().flat_map(CandidateNames::each).map(Some);
            for alias in listed.chain(aliases.is_none().then_some(None)) {
                let found = self.count(Binding::of(program, Some(entry), alias))?;
                if found == 0 {
                    continue;
                }
                // Another alias may have another target.
                other_targets |= ways > 0 && distinguishes_aliases;
                first_alias = if ways == 0 { alias } else { first_alias };
                let repeated = alias.is_some_and(|alias| entries[alias as usize].is_repeated());
                ways += found * if account.is_repeated() || repeated { 2 } else { 1 };
                if ways > 1 && (other_targets || !distinguishes_aliases) {
                    break;
                }
            }
            if ways == 0 {
                continue;
            }
            matched = Some(match matched {
                None => StatementMatch {
                    account: entry,
                    alias: first_alias,
                    // If all accounts are equivalent, a match of one is a match of all.
                    several: accounts.ways() > 1 || other_targets,
                    ambiguous: ways > 1 || accounts.ways() > 1 || alias_ways > 1,
                },
                Some(first) => StatementMatch { several: true, ambiguous: true, ..first },
            });
            if matched.is_some_and(|matched| matched.several) {
                break;
            }
        }
        Ok(matched)
    }

    /// Counts the splits of the name whose code is correct: 0, 1, or 2 for several.
    pub fn count(&mut self, binding: Binding<'_>) -> StepResult<u8> {
        let mut ways = 0;
        self.each_code(binding, &mut |matcher, start, end| {
            ways += matcher.ways(start, end);
            Ok(ways < 2)
        })?;
        Ok(ways.min(2))
    }

    /// Finds a split of the name whose code is correct and returns the end of each piece.
    pub fn witness(&mut self, binding: Binding<'_>) -> StepResult<Option<Vec<usize>>> {
        let mut witness = None;
        self.initial_state = None;
        self.each_code(binding, &mut |matcher, start, end| {
            if let Some(mut ends) = matcher.path(binding, binding.before(), 0, start)?
                && let Some(after) = matcher.path(binding, binding.after(), end, matcher.name.len())?
            {
                ends.push(end);
                ends.extend(after);
                witness = Some(ends);
            }
            Ok(witness.is_none())
        })?;
        Ok(witness)
    }

    /// Calls `each` for every possible position of the code and every split of it into tokens, until it
    /// returns `false`.
    fn each_code(
        &mut self,
        binding: Binding<'_>,
        each: &mut dyn FnMut(&mut Self, usize, usize) -> StepResult<bool>,
    ) -> StepResult<()> {
        let name = self.name;
        self.spend(name.len() / 16)?;
        if !self.init_state(binding)? {
            return Ok(());
        }
        let starts = match binding.before() {
            [] => Positions::one(0),
            [only] => {
                binding.fixed(only).map_or(Positions::after(name, ""), |text| Positions::prefix(name, text))
            }
            [.., last] => Positions::after(name, binding.fixed(last).unwrap_or_default()),
        };
        // A code at the end of the name has a limited length.
        let longest = if binding.after().is_empty() { binding.program.longest[0] } else { usize::MAX };
        for start in starts {
            self.spend(1)?;
            if name.len() - start <= longest && self.may_begin(binding, start) {
                self.tokens.clear();
                if !self.tokenize(binding, start, start, each)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Tries all tokens of the next function at `pos`, and recursively those of the following functions.
    /// Returns `false` if `each` did.
    fn tokenize(
        &mut self,
        binding: Binding<'_>,
        start: usize,
        pos: usize,
        each: &mut dyn FnMut(&mut Self, usize, usize) -> StepResult<bool>,
    ) -> StepResult<bool> {
        self.spend(1)?;
        let i = self.tokens.len();
        let calls = &binding.program.calls;
        let rest = &self.name[pos..];
        let Some(call) = calls.get(i) else {
            let ends = rest.is_empty() || !binding.after().is_empty();
            return if ends && is_signed(self, binding, start, pos)? {
                each(self, start, pos)
            } else {
                Ok(true)
            };
        };
        // Each remaining function takes at least one character. At the end of the name they must take all of
        // it.
        if rest.len() < calls.len() - i
            || binding.after().is_empty() && rest.len() > binding.program.longest[i]
        {
            return Ok(true);
        }
        let mut take = |matcher: &mut Self, len: usize, count: usize| {
            let (state, mark) = (matcher.memo_state, matcher.memo.mark());
            matcher.tokens.push(Token { start: pos, end: pos + len, count });
            let more = !matcher.update_state(binding, start)?
                || matcher.tokenize(binding, start, pos + len, each)?;
            matcher.tokens.pop();
            matcher.memo.release(mark);
            matcher.memo_state = state;
            Ok(more)
        };
        if let Some(text) = binding.text(call.target) {
            self.spend(4 + text.len() / 16)?;
            return match operations::value(&call.op, text, rest) {
                Some(value) if rest.starts_with(&*value) => take(self, value.len(), 0),
                _ => Ok(true),
            };
        }
        let most = self.name.len();
        values(&call.op, rest, most, |len, count| take(self, len, count))
    }
}

/// Calls `take` with the length and the count of each value that a function without a known text may have at
/// the beginning of `rest`, until it returns false. No count exceeds `most`.
fn values(
    op: &Op,
    rest: &str,
    most: usize,
    mut take: impl FnMut(usize, usize) -> StepResult<bool>,
) -> StepResult<bool> {
    match op {
        Op::Count(_) => {
            let mut count = 0;
            for (len, b) in (1..=MAX_DIGITS).zip(rest.bytes()) {
                // Numbers have no leading zeros.
                if !is_digit(b) || (len > 1 && count == 0) {
                    break;
                }
                count = count * 10 + usize::from(b - b'0');
                if count > most {
                    break;
                }
                if !take(len, count)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Op::Any | Op::None => match rest.chars().next() {
            Some(c) => take(c.len_utf8(), 0),
            None => Ok(true),
        },
        Op::Char { default, .. } | Op::LabelChar { default, .. } => {
            let Some(c) = rest.chars().next() else { return Ok(true) };
            if !take(c.len_utf8(), 0)? {
                return Ok(false);
            }
            if default.len() > c.len_utf8() && rest.starts_with(&**default) {
                return take(default.len(), 0);
            }
            Ok(true)
        }
        // They can be verified only when the end of the code is known.
        Op::Hmac(len) if secrets::begins(rest, *len) => take(*len, 0),
        Op::Hmac(_) => Ok(true),
    }
}
