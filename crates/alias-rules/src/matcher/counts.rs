//! Counts the splits of a part of a name into a part of an expression by dynamic programming, from left to
//! right or from right to left. (See `matcher` on indexing.)

use super::identifier_bounds::IdentifierBounds;
use super::memo::{Row, RowId};
use super::operations::Tallies;
use super::{Binding, Matcher, StepResult, code_shape};
use crate::date;
use crate::ir::{Piece, Side};
use crate::vocabulary::{Class, is_digit};
use std::ops::Range;

/// The number of splits (ways) up to each position, or from each position on: 0, 1, or 2 for several. Each
/// piece updates all numbers. Nearly always there is only one position, which needs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// All positions with ways are between these, inclusive; `low > high` if there are none.
    low: usize,
    high: usize,
    /// The ways at the position, if there is only one.
    only: u8,
    /// The ways by position, if there are several; otherwise all 0.
    now: Vec<u8>,
    /// The ways after the current piece; all 0 between pieces.
    next: Vec<u8>,
    /// Prefix sums or differences; all 0 between pieces.
    sums: Vec<u16>,
    next_low: usize,
    next_high: usize,
}

impl Counts {
    /// Starts with one way at `at`.
    fn one(&mut self, at: usize) {
        (self.low, self.high, self.only) = (at, at, 1);
        (self.next_low, self.next_high) = (usize::MAX, 0);
    }

    fn load(&mut self, row: Row, cells: &[u8], len: usize) {
        (self.low, self.high, self.only) = (row.low, row.high, 0);
        (self.next_low, self.next_high) = (usize::MAX, 0);
        if let [only] = cells {
            self.only = *only;
        } else if !cells.is_empty() {
            self.reserve(len);
            self.now[row.low..=row.high].copy_from_slice(cells);
        }
    }

    /// Allocates the positions of a name of this length.
    fn reserve(&mut self, len: usize) {
        if self.now.is_empty() {
            (self.now, self.next) = (vec![0; len + 2], vec![0; len + 2]);
        }
    }

    fn is_empty(&self) -> bool {
        self.low > self.high
    }

    fn is_one(&self) -> bool {
        self.low == self.high
    }

    fn ways(&self, at: usize) -> u8 {
        if self.is_one() { if at == self.low { self.only } else { 0 } } else { self.now[at] }
    }

    /// The ways from the first position to the last.
    fn cells(&self) -> &[u8] {
        if self.is_one() {
            std::slice::from_ref(&self.only)
        } else if self.is_empty() {
            &[]
        } else {
            &self.now[self.low..=self.high]
        }
    }

    fn clear(&mut self) {
        if self.low < self.high {
            self.now[self.low..=self.high].fill(0);
        }
        (self.low, self.high) = (usize::MAX, 0);
    }

    /// Adds ways at `at` after the current piece. Positions must be allocated.
    fn arrive(&mut self, at: usize, ways: u8) {
        self.next[at] = (self.next[at] + ways).min(2);
        (self.next_low, self.next_high) = (self.next_low.min(at), self.next_high.max(at));
    }

    /// Replaces the ways by those after the current piece.
    fn advance(&mut self) {
        self.clear();
        (self.low, self.high) = (self.next_low, self.next_high);
        (self.next_low, self.next_high) = (usize::MAX, 0);
        if self.is_one() {
            self.only = std::mem::take(&mut self.next[self.low]);
        } else {
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    /// Moves the only position.
    fn advance_one(&mut self, to: Option<usize>) {
        (self.low, self.high) = to.map_or((usize::MAX, 0), |to| (to, to));
    }
}

/// For each class and position, the end of the run of its characters, see [`IdentifierBounds::runs`].
#[derive(Debug, Default)]
pub(crate) struct Runs([Vec<u16>; Class::ALL.len()]);

impl Runs {
    /// The runs of a name no longer than [`MAX_NAME`](crate::matcher::rules::MAX_NAME); empty unless `wanted`
    /// now or earlier.
    fn of(&mut self, class: Class, name: &[u8], wanted: bool) -> &[u16] {
        let runs = &mut self.0[class as usize];
        if runs.is_empty() && wanted {
            runs.resize(name.len(), 0);
            let mut end = 0;
            for (at, b) in (0..name.len()).zip(name).rev() {
                let inner = class.inner(*b);
                if inner && end == 0 {
                    end = u16::try_from(at + 1).unwrap_or(u16::MAX);
                } else if !inner {
                    end = 0;
                }
                runs[at] = end;
            }
        }
        runs
    }
}

impl Matcher<'_> {
    /// Computes the row after `pieces` before the code, or before `pieces` after the code, from the row
    /// without these pieces.
    pub(crate) fn row(
        &mut self,
        binding: Binding<'_>,
        side: Side,
        pieces: Range<usize>,
        from: Option<RowId>,
    ) -> StepResult<RowId> {
        // After an error the buffer is dropped, since it is not cleared.
        let mut counts = std::mem::take(&mut self.counts);
        match from {
            Some(id) => {
                let row = self.memo.get(id);
                counts.load(row, self.memo.cells(id), self.name.len());
            }
            None => counts.one(if side == Side::Before { 0 } else { self.name.len() }),
        }
        let pieces = binding.program.form().pieces.get(pieces).unwrap_or_default();
        match side {
            Side::Before => pieces.iter().try_for_each(|piece| self.forward(binding, piece, &mut counts))?,
            Side::After => {
                pieces.iter().rev().try_for_each(|piece| self.backward(binding, piece, &mut counts))?;
            }
        }
        self.spend(counts.cells().len() / CELLS + 1)?;
        let id = self.memo.add(counts.low, counts.cells());
        counts.clear();
        self.counts = counts;
        Ok(id)
    }

    /// Moves the counts from the starts of a piece to its ends.
    fn forward(&mut self, binding: Binding<'_>, piece: &Piece, counts: &mut Counts) -> StepResult<()> {
        if counts.is_empty() {
            return Ok(());
        }
        let (low, high) = (counts.low, counts.high);
        self.spend((high - low) / CELLS + 1)?;
        let left = self.left();
        if let Some(text) = binding.fixed(piece) {
            if counts.is_one() {
                counts.advance_one(is_at(self.name, text, low).then_some(low + text.len()));
                return Ok(());
            }
            let mut found = 0;
            for p in low..=high {
                if counts.now[p] > 0 && is_at(self.name, text, p) {
                    counts.arrive(p + text.len(), counts.now[p]);
                    found += 1;
                }
            }
            self.spend(found)?;
        } else if let Piece::Identifier(class, number) = piece {
            match self.identifier_bounds(binding, *class, *number, !counts.is_one()) {
                Some(bounds) if counts.is_one() => {
                    let spent = bounds.forward_one(counts);
                    return self.spend(spent);
                }
                Some(bounds) => {
                    let spent = bounds.forward(counts, left);
                    self.spend(spent)?;
                }
                None => {}
            }
        } else {
            counts.reserve(self.name.len());
            for p in low..=high {
                let ways = counts.ways(p);
                if ways > 0 {
                    self.ends(binding, piece, p, self.name.len(), &mut |end| counts.arrive(end, ways))?;
                }
            }
        }
        counts.advance();
        Ok(())
    }

    /// Moves the counts from the ends of a piece to its starts.
    fn backward(&mut self, binding: Binding<'_>, piece: &Piece, counts: &mut Counts) -> StepResult<()> {
        if counts.is_empty() {
            return Ok(());
        }
        let (low, high) = (counts.low, counts.high);
        self.spend((high - low) / CELLS + 1)?;
        let left = self.left();
        if let Some(text) = binding.fixed(piece) {
            let begin = |end: usize| end.checked_sub(text.len()).filter(|p| is_at(self.name, text, *p));
            if counts.is_one() {
                counts.advance_one(begin(low));
                return Ok(());
            }
            let mut found = 0;
            for end in low..=high {
                if counts.now[end] > 0
                    && let Some(p) = begin(end)
                {
                    counts.arrive(p, counts.now[end]);
                    found += 1;
                }
            }
            self.spend(found)?;
        } else if let Piece::Identifier(class, number) = piece {
            counts.reserve(self.name.len());
            if let Some(bounds) = self.identifier_bounds(binding, *class, *number, true) {
                let spent = bounds.backward(counts, left);
                self.spend(spent)?;
            }
        } else {
            counts.reserve(self.name.len());
            for p in 0..high {
                let mut ways = 0;
                self.ends(binding, piece, p, high, &mut |end| ways = (ways + counts.ways(end)).min(2))?;
                if ways > 0 {
                    counts.arrive(p, ways);
                }
            }
        }
        counts.advance();
        Ok(())
    }

    /// The bounds of identifier `number` with the current tokens; `None` if it cannot be anywhere. `many`
    /// prepares for more than one position.
    fn identifier_bounds<'a>(
        &'a mut self,
        binding: Binding<'a>,
        class: Class,
        number: usize,
        many: bool,
    ) -> Option<IdentifierBounds<'a>> {
        let name = self.name.as_bytes();
        let calls = &binding.program.form().calls;
        if !self.conditions.read(calls, &self.tokens, number, name) {
            return None;
        }
        // A fqdn needs the positions of dots.
        if self.tally.is_empty() && (self.conditions.counts || class == Class::Fqdn) {
            self.tally = Tallies::of(self.name);
        }
        Some(IdentifierBounds {
            name,
            class,
            runs: self.runs.of(class, name, many),
            tally: &self.tally,
            conditions: &mut self.conditions,
            calls,
            tokens: &self.tokens,
        })
    }

    /// Calls `arrive` with every end up to `most` of a `%date%` or an unverified `%code%` that begins at `p`.
    fn ends(
        &mut self,
        binding: Binding<'_>,
        piece: &Piece,
        p: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> StepResult<()> {
        match piece {
            Piece::Date => self.date_ends(p, most, arrive),
            _ => self.shape_ends(binding, p, p + 1, most, arrive),
        }
    }

    /// The ends of a `%date%` that has not expired.
    fn date_ends(&mut self, p: usize, most: usize, arrive: &mut impl FnMut(usize)) -> StepResult<()> {
        self.spend(DATE)?;
        for end in date::LENGTHS.map(|len| p + len) {
            if end <= most
                && let Some(last) = date::last_day(&self.name.as_bytes()[p..end])
                && self.today.is_none_or(|day| day <= last)
            {
                arrive(end);
            }
        }
        Ok(())
    }

    /// The ends of a `%code%` that is not verified.
    fn shape_ends(
        &mut self,
        binding: Binding<'_>,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> StepResult<()> {
        let calls = &binding.program.calls;
        self.spend(most - p + calls.len())?;
        let Some(len) = code_shape::shortest(calls, &self.name[p..most]) else { return Ok(()) };
        let end = p + len;
        if end >= least {
            arrive(end);
        }
        let trailing = code_shape::trailing_digits(calls);
        let bytes = self.name.as_bytes();
        let mut digits = bytes[p..end].iter().rev().take_while(|b| is_digit(**b)).count();
        for at in end + 1..=most {
            digits = if is_digit(bytes[at - 1]) { digits + 1 } else { 0 };
            if at >= least && digits >= trailing && self.name.is_char_boundary(at) {
                arrive(at);
            }
        }
        Ok(())
    }

    /// Splits the name from `from` to `to` into `pieces` and returns the end of each piece. Of several
    /// splits, the first piece has the earliest end, and so on.
    pub(crate) fn path(
        &mut self,
        binding: Binding<'_>,
        pieces: &[Piece],
        from: usize,
        to: usize,
    ) -> StepResult<Option<Vec<usize>>> {
        let mut counts = Counts::default();
        counts.one(to);
        // For each piece, the ends from which the rest can be split.
        let mut valid = Vec::with_capacity(pieces.len());
        for piece in pieces.iter().rev() {
            valid.push((counts.low, counts.cells().to_vec()));
            self.backward(binding, piece, &mut counts)?;
        }
        if counts.ways(from) == 0 {
            return Ok(None);
        }
        let mut path = Vec::with_capacity(pieces.len());
        let mut at = from;
        for (piece, (low, cells)) in pieces.iter().zip(valid.into_iter().rev()) {
            let is_valid =
                |end: usize| end.checked_sub(low).and_then(|i| cells.get(i)).is_some_and(|c| *c > 0);
            let mut first = None;
            if let Some(text) = binding.fixed(piece) {
                first = Some(at + text.len());
            } else if let Piece::Identifier(class, number) = piece {
                self.spend(cells.len())?;
                first = self
                    .identifier_bounds(binding, *class, *number, false)
                    .and_then(|bounds| bounds.first(at, is_valid));
            } else {
                self.ends(binding, piece, at, to, &mut |end| {
                    first = first.or_else(|| is_valid(end).then_some(end));
                })?;
            }
            let Some(end) = first else { return Ok(None) };
            path.push(end);
            at = end;
        }
        Ok(Some(path))
    }
}

/// Steps for parsing the notations of a date; weeks take longest.
const DATE: usize = 8;

/// Number of cells that are scanned in one step.
const CELLS: usize = 8;

/// Whether `text` is at position `at` of `name`.
fn is_at(name: &str, text: &str, at: usize) -> bool {
    let rest = &name.as_bytes()[at..];
    // Nearly always the first byte differs.
    rest.first() == text.as_bytes().first() && rest.starts_with(text.as_bytes())
}

impl IdentifierBounds<'_> {
    /// Moves the counts from the only start of the identifier to its ends. Returns the cost in steps.
    fn forward_one(mut self, counts: &mut Counts) -> usize {
        let (p, ways) = (counts.low, counts.only);
        let spent =
            self.conditions.initial_weight(self.calls.len(), self.name.len()) + self.conditions.weight();
        let Some((low, high)) = self.span(p) else {
            counts.advance_one(None);
            return spent;
        };
        if low == high {
            counts.advance_one((self.may_end(low) && self.fits(p, low)).then_some(low));
        } else {
            counts.reserve(self.name.len());
            for end in low..=high {
                if self.may_end(end) && self.fits(p, end) {
                    counts.arrive(end, ways);
                }
            }
            counts.advance();
        }
        spent + (high - low) * self.conditions.per_end_weight()
    }

    /// Moves the counts from the starts of the identifier to its ends. Each interval of ends is added to a
    /// difference array, so that all intervals together cost no more than the length of the name. Returns the
    /// cost in steps; if that exceeds `left`, the result is incomplete.
    fn forward(mut self, counts: &mut Counts, left: usize) -> usize {
        let (mut first, mut last) = (usize::MAX, 0);
        counts.sums.resize(self.name.len() + 2, 0);
        let mut spent = self.conditions.initial_weight(self.calls.len(), self.name.len());
        for p in counts.low..=counts.high {
            let ways = counts.now[p];
            if ways == 0 {
                continue;
            }
            spent += self.conditions.weight();
            let Some((low, high)) = self.span(p) else { continue };
            if self.has_per_end_conditions() {
                spent += (high - low + 1) * self.conditions.per_end_weight();
                if spent > left {
                    return spent;
                }
                for end in low..=high {
                    if self.may_end(end) && self.fits(p, end) {
                        counts.arrive(end, ways);
                    }
                }
                continue;
            }
            counts.sums[low] = counts.sums[low].wrapping_add(ways.into());
            counts.sums[high + 1] = counts.sums[high + 1].wrapping_sub(ways.into());
            (first, last) = (first.min(low), last.max(high));
        }
        if first <= last {
            spent += (last - first) / 2 * self.conditions.end_weight();
            let mut ways = 0_u16;
            for end in first..=last {
                ways = ways.wrapping_add(std::mem::take(&mut counts.sums[end]));
                if ways > 0 && self.may_end(end) {
                    counts.arrive(end, ways.min(2) as u8);
                }
            }
            counts.sums[last + 1] = 0;
        }
        spent
    }

    /// Moves the counts from the ends of the identifier to its starts. The ways of an interval of ends are
    /// the difference of two prefix sums. Returns the cost as [`IdentifierBounds::forward`] does.
    fn backward(mut self, counts: &mut Counts, left: usize) -> usize {
        let mut spent = self.conditions.initial_weight(self.calls.len(), self.name.len());
        let (low, high) = (counts.low, counts.high);
        counts.sums.resize(self.name.len() + 2, 0);
        let mut sum = 0_u16;
        for end in low..=high {
            if end > 0 && counts.ways(end) > 0 && self.may_end(end) {
                sum += u16::from(counts.ways(end));
            }
            counts.sums[end + 1] = sum;
        }
        // The identifier begins in the run of characters that contains the first end.
        let run = self.name[..low.max(1) - 1].iter().rev().take_while(|b| self.class.inner(**b)).count();
        let first = low.max(1) - 1 - run;
        spent += (high - low) / 2 * self.conditions.end_weight() + (low - first) / 4;
        for p in first..high {
            spent += self.conditions.weight();
            let Some((from, to)) = self.span(p) else { continue };
            let (from, to) = (from.max(low), to.min(high));
            if from > to {
                continue;
            }
            let mut ways = (counts.sums[to + 1] - counts.sums[from]).min(2) as u8;
            if ways > 0 && self.has_per_end_conditions() {
                spent += (to - from + 1) * self.conditions.per_end_weight();
                if spent > left {
                    return spent;
                }
                let fits = |end: &usize| counts.ways(*end) > 0 && self.may_end(*end) && self.fits(p, *end);
                ways = (from..=to).filter(fits).fold(0, |ways, end| (ways + counts.ways(end)).min(2));
            }
            if ways > 0 {
                counts.arrive(p, ways);
            }
        }
        counts.sums[low..=high + 1].fill(0);
        spent
    }

    /// The first valid end of an identifier that begins at `p`.
    fn first(mut self, p: usize, is_valid: impl Fn(usize) -> bool) -> Option<usize> {
        let (low, high) = self.span(p)?;
        (low..=high).find(|end| is_valid(*end) && self.may_end(*end) && self.fits(p, *end))
    }
}
