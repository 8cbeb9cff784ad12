//! From a name to what matches it.
//!
//! A name can be cut into the parts of an expression in exponentially many ways, so cuts are counted, not
//! listed. Every function looks at one text only. So: choose where the code begins; cut the code into one
//! token per function (a count has few digits, the others take a character or their default); every token
//! is then a condition on one identifier, and the cuts that meet them all are counted from left to right,
//! piece by piece, over the positions of the name. As a cut gives each function one value, no cut is
//! counted under two choices of tokens. Nobody asks for more than "none, one, several".
//!
//! Indexing here and in the modules that go on with it cannot fail: a position is 0, the length of the name,
//! or the end of a literal, an ASCII character or a whole character found at another position, so it lies
//! in the name and between characters; numbers of pieces, entries and calls come from their own lists.

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
use memo::Memo;
use memo_state::MemoState;
use operations::Tallies;
use positions::Positions;

/// The steps of one look-up, each a handful of instructions, have been used up.
#[derive(Debug)]
pub(crate) struct OutOfSteps;

pub(crate) type StepResult<T> = Result<T, OutOfSteps>;

/// What a statement says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatementMatch {
    /// The entry of an account it matches for.
    pub account: u32,
    /// That of the alias, if there are aliases.
    pub alias: Option<u32>,
    /// Whether it matches for others as well.
    pub several: bool,
    /// Whether it matches in more than one way.
    pub ambiguous: bool,
}

/// The part of the code that is the value of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    pub start: usize,
    pub end: usize,
    /// Its value as a count.
    pub count: usize,
}

/// A look-up under way: the name, the steps left, and room to work in.
#[derive(Debug)]
pub(crate) struct Matcher<'n> {
    pub(crate) name: &'n str,
    /// A last day before this one does not count.
    pub(crate) since: Option<Day>,
    /// What is left of the steps for the statement under way, and for all.
    steps: u64,
    all: u64,
    limits: Budget,
    pub(crate) tally: Tallies,
    pub(crate) runs: Runs,
    pub(crate) conditions: Conditions,
    pub(crate) field: Counts,
    pub(crate) tokens: Vec<Token>,
    /// What is known of the name in front of the code and behind it.
    pub(crate) rows: Memo,
    /// With no token, and with those taken.
    pub(crate) roots: Option<MemoState>,
    pub(crate) known: MemoState,
}

/// A statement with one account and one alias of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'p> {
    pub program: Program<'p>,
    pub account: &'p str,
    pub alias: &'p str,
}

impl<'p> Binding<'p> {
    /// With these entries; without aliases, the account is its own alias.
    pub fn of(program: Program<'p>, account: Option<u32>, alias: Option<u32>) -> Self {
        let name = |entry| program.store().name(entry);
        let account = account.map_or("", name);
        Binding { program, account, alias: alias.map_or(account, name) }
    }

    /// The text of a piece that is the same for every cut.
    pub(crate) fn fixed(&self, piece: &Piece) -> Option<&'p str> {
        match piece {
            Piece::Literal(number) => Some(self.program.literal(*number)),
            Piece::Account => Some(self.account),
            Piece::Alias => Some(self.alias),
            Piece::Identifier(..) | Piece::Date | Piece::Shape | Piece::Code => None,
        }
    }

    /// The text a function looks at, where it is the same for every cut.
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
    /// With as many steps as a look-up may take.
    pub fn new(name: &'n str) -> Self {
        Self::with(name, Budget::of(name.len()))
    }

    /// With these steps, no matter for how many statements.
    pub fn with_steps(name: &'n str, steps: u64) -> Self {
        Self::with(name, Budget { statement: steps, lookup: steps })
    }

    fn with(name: &'n str, limits: Budget) -> Self {
        let (tally, runs, conditions, field) = Default::default();
        let (tokens, rows, roots, known) = Default::default();
        let (steps, all) = (limits.statement, limits.lookup);
        let since = None;
        Matcher {
            name,
            since,
            steps,
            all,
            limits,
            tally,
            runs,
            conditions,
            field,
            tokens,
            rows,
            roots,
            known,
        }
    }

    /// The same on this day.
    pub fn on(self, today: Option<Day>) -> Self {
        Matcher { since: today, ..self }
    }

    /// The steps not yet used for the statement under way.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The steps used for all statements.
    pub fn used(&self) -> u64 {
        self.limits.lookup - self.all
    }

    pub(crate) fn spend(&mut self, steps: usize) -> StepResult<()> {
        let left = self.steps.checked_sub(steps as u64);
        self.steps = left.unwrap_or(0);
        left.map(|_| ()).ok_or(OutOfSteps)
    }

    /// The steps left, for what has to stop in the middle.
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
            if let Some(hit) = self.within(|matcher| matcher.member(program.of(statement), &found))? {
                each(statement, hit);
            }
        }
        Ok(())
    }

    /// What takes no more steps than one statement may.
    pub fn within<T>(&mut self, work: impl FnOnce(&mut Self) -> StepResult<T>) -> StepResult<T> {
        let steps = self.limits.statement.min(self.all);
        self.steps = steps;
        let done = work(self);
        self.all -= steps - self.steps;
        done
    }

    /// What `program` alone says of the name.
    pub fn statement(&mut self, program: Program<'_>) -> StepResult<Option<StatementMatch>> {
        self.within(|matcher| match candidates(matcher, program)? {
            Some(found) => matcher.member(program, &found),
            None => Ok(None),
        })
    }

    /// What one statement of a template says of the name.
    fn member(
        &mut self,
        program: Program<'_>,
        candidates: &Candidates,
    ) -> StepResult<Option<StatementMatch>> {
        self.spend(1)?;
        self.roots = None;
        let entries = &program.store().entries;
        let accounts = candidates.accounts(program);
        let aliases = candidates.aliases(program);
        let alias_ways = aliases.as_ref().map_or(1, CandidateNames::ways);
        let distinguishes_aliases = program.scope().distinguishes_aliases();
        let mut hit: Option<StatementMatch> = None;
        for entry in accounts.each() {
            let account = &entries[entry as usize];
            let (mut ways, mut by, mut others) = (0, None, false);
            let listed = aliases.iter().flat_map(CandidateNames::each).map(Some);
            for alias in listed.chain(aliases.is_none().then_some(None)) {
                let found = self.count(Binding::of(program, Some(entry), alias))?;
                if found == 0 {
                    continue;
                }
                // With another alias it may be for another place.
                others |= ways > 0 && distinguishes_aliases;
                by = if ways == 0 { alias } else { by };
                let repeated = alias.is_some_and(|alias| entries[alias as usize].is_repeated());
                ways += found * if account.is_repeated() || repeated { 2 } else { 1 };
                if ways > 1 && (others || !distinguishes_aliases) {
                    break;
                }
            }
            if ways == 0 {
                continue;
            }
            hit = Some(match hit {
                None => StatementMatch {
                    account: entry,
                    alias: by,
                    // Where all accounts are alike, what holds for one holds for all.
                    several: accounts.ways() > 1 || others,
                    ambiguous: ways > 1 || accounts.ways() > 1 || alias_ways > 1,
                },
                Some(hit) => StatementMatch { several: true, ambiguous: true, ..hit },
            });
            if hit.is_some_and(|hit| hit.several) {
                break;
            }
        }
        Ok(hit)
    }

    /// In how many ways the name can be cut so that its code is right: 0, 1, or 2 for several.
    pub fn count(&mut self, binding: Binding<'_>) -> StepResult<u8> {
        let mut ways = 0;
        self.each_code(binding, &mut |matcher, start, end| {
            ways += matcher.ways(start, end);
            Ok(ways < 2)
        })?;
        Ok(ways.min(2))
    }

    /// One way to cut the name so that its code is right: where each piece ends.
    pub fn witness(&mut self, binding: Binding<'_>) -> StepResult<Option<Vec<usize>>> {
        let mut witness = None;
        self.roots = None;
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

    /// Calls `each` with every place where the code can stand, cut into tokens, until it says `false`.
    fn each_code(
        &mut self,
        binding: Binding<'_>,
        each: &mut dyn FnMut(&mut Self, usize, usize) -> StepResult<bool>,
    ) -> StepResult<()> {
        let name = self.name;
        self.spend(name.len() / 16)?;
        if !self.begin(binding)? {
            return Ok(());
        }
        let starts = match binding.before() {
            [] => Positions::one(0),
            [only] => {
                binding.fixed(only).map_or(Positions::behind(name, ""), |text| Positions::prefix(name, text))
            }
            [.., last] => Positions::behind(name, binding.fixed(last).unwrap_or_default()),
        };
        // A code at the end of the name does not begin long before it.
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

    /// Takes the token of the next function at `pos`, in all ways there are.
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
        // Each function left takes a character at least; at the end of the name, no more than it can.
        if rest.len() < calls.len() - i
            || binding.after().is_empty() && rest.len() > binding.program.longest[i]
        {
            return Ok(true);
        }
        let mut take = |matcher: &mut Self, len: usize, count: usize| {
            let (known, mark) = (matcher.known, matcher.rows.mark());
            matcher.tokens.push(Token { start: pos, end: pos + len, count });
            let more =
                !matcher.learn(binding, start)? || matcher.tokenize(binding, start, pos + len, each)?;
            matcher.tokens.pop();
            matcher.rows.release(mark);
            matcher.known = known;
            Ok(more)
        };
        if let Some(text) = binding.text(call.target) {
            self.spend(4 + text.len() / 16)?;
            return match operations::value(&call.op, text, rest) {
                Some(value) if rest.starts_with(&*value) => take(self, value.len(), 0),
                _ => Ok(true),
            };
        }
        match &call.op {
            Op::Count(_) => {
                let mut count = 0;
                for (len, b) in (1..=MAX_DIGITS).zip(rest.bytes()) {
                    // Numbers have no leading zeros.
                    if !is_digit(b) || (len > 1 && count == 0) {
                        break;
                    }
                    count = count * 10 + usize::from(b - b'0');
                    // Nothing is counted that often in this name.
                    if count > self.name.len() {
                        break;
                    }
                    if !take(self, len, count)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Op::Any | Op::None => match rest.chars().next() {
                Some(c) => take(self, c.len_utf8(), 0),
                None => Ok(true),
            },
            Op::Char { default, .. } | Op::LabelChar { default, .. } => {
                let Some(c) = rest.chars().next() else { return Ok(true) };
                if !take(self, c.len_utf8(), 0)? {
                    return Ok(false);
                }
                if default.len() > c.len_utf8() && rest.starts_with(&**default) {
                    return take(self, default.len(), 0);
                }
                Ok(true)
            }
            // Whether they are right depends on where the code ends.
            Op::Hmac(len) if secrets::begins(rest, *len) => take(self, *len, 0),
            Op::Hmac(_) => Ok(true),
        }
    }
}
