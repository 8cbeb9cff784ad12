//! Counting, from left to right or from right to left, in how many ways a part of a name can be cut into a
//! part of an expression. (Of indexing see `eval`.)

use super::identifier_bounds::IdentifierBounds;
use super::memo::{Id, Row};
use super::operations::Tallies;
use super::{Binding, Matcher, StepResult, code_shape};
use crate::date;
use crate::ir::{Piece, Side};
use crate::vocabulary::{Class, is_digit};
use std::ops::Range;

/// The ways up to each position, or from it on, moved on piece by piece: 0, 1, or 2 for several. Nearly always
/// there is one position, which needs no memory.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// All positions with ways lie in here, both included; none if the first one is the higher.
    low: usize,
    high: usize,
    /// The ways at the only position.
    only: u8,
    /// The ways where there are several positions; else all 0, as are always, between the pieces, the others.
    now: Vec<u8>,
    next: Vec<u8>,
    sums: Vec<u16>,
    next_low: usize,
    next_high: usize,
}

impl Counts {
    /// One way at `at`, in a name of this length.
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

    /// Makes room for positions in a name of this length.
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

    /// From the first position to the last.
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

    /// There are ways at `at`, for which there is room.
    fn arrive(&mut self, at: usize, ways: u8) {
        self.next[at] = (self.next[at] + ways).min(2);
        (self.next_low, self.next_high) = (self.next_low.min(at), self.next_high.max(at));
    }

    /// Takes the ways at the positions found in the place of those there were.
    fn turn(&mut self) {
        self.clear();
        (self.low, self.high) = (self.next_low, self.next_high);
        (self.next_low, self.next_high) = (usize::MAX, 0);
        if self.is_one() {
            self.only = std::mem::take(&mut self.next[self.low]);
        } else {
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    /// The same for the only position.
    fn go(&mut self, to: Option<usize>) {
        (self.low, self.high) = to.map_or((usize::MAX, 0), |to| (to, to));
    }
}

/// For each class, where its runs of characters end, see [`IdentifierBounds::runs`].
#[derive(Debug, Default)]
pub(crate) struct Runs([Vec<u16>; Class::ALL.len()]);

impl Runs {
    /// Of a name no longer than [`MAX_NAME`](crate::matcher::rules::MAX_NAME).
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
    /// The row behind the pieces in front of the code, or in front of those behind it, made from one that lacks
    /// these pieces.
    pub(crate) fn row(
        &mut self,
        binding: Binding<'_>,
        side: Side,
        pieces: Range<usize>,
        from: Option<Id>,
    ) -> StepResult<Id> {
        // Not put back after an error, so that it holds nothing then.
        let mut field = std::mem::take(&mut self.field);
        match from {
            Some(id) => {
                let row = self.rows.get(id);
                field.load(row, self.rows.cells(id), self.name.len());
            }
            None => field.one(if side == Side::Before { 0 } else { self.name.len() }),
        }
        let pieces = binding.program.form().pieces.get(pieces).unwrap_or_default();
        match side {
            Side::Before => pieces.iter().try_for_each(|piece| self.forward(binding, piece, &mut field))?,
            Side::Behind => {
                pieces.iter().rev().try_for_each(|piece| self.backward(binding, piece, &mut field))?;
            }
        }
        self.spend(field.cells().len() / CELLS + 1)?;
        let id = self.rows.add(field.low, field.cells());
        field.clear();
        self.field = field;
        Ok(id)
    }

    /// From where a piece begins to where it ends.
    fn forward(&mut self, binding: Binding<'_>, piece: &Piece, field: &mut Counts) -> StepResult<()> {
        if field.is_empty() {
            return Ok(());
        }
        let (low, high) = (field.low, field.high);
        self.spend((high - low) / CELLS + 1)?;
        let left = self.left();
        if let Some(text) = binding.fixed(piece) {
            if field.is_one() {
                field.go(stands(self.name, text, low).then_some(low + text.len()));
                return Ok(());
            }
            let mut found = 0;
            for p in low..=high {
                if field.now[p] > 0 && stands(self.name, text, p) {
                    field.arrive(p + text.len(), field.now[p]);
                    found += 1;
                }
            }
            self.spend(found)?;
        } else if let Piece::Identifier(class, number) = piece {
            match self.reach(binding, *class, *number, !field.is_one()) {
                Some(reach) if field.is_one() => {
                    let spent = reach.forward_one(field);
                    return self.spend(spent);
                }
                Some(reach) => {
                    let spent = reach.forward(field, left);
                    self.spend(spent)?;
                }
                None => {}
            }
        } else {
            field.reserve(self.name.len());
            for p in low..=high {
                let ways = field.ways(p);
                if ways > 0 {
                    self.ends(binding, piece, p, self.name.len(), &mut |end| field.arrive(end, ways))?;
                }
            }
        }
        field.turn();
        Ok(())
    }

    /// From where a piece ends to where it begins.
    fn backward(&mut self, binding: Binding<'_>, piece: &Piece, field: &mut Counts) -> StepResult<()> {
        if field.is_empty() {
            return Ok(());
        }
        let (low, high) = (field.low, field.high);
        self.spend((high - low) / CELLS + 1)?;
        let left = self.left();
        if let Some(text) = binding.fixed(piece) {
            let begin = |end: usize| end.checked_sub(text.len()).filter(|p| stands(self.name, text, *p));
            if field.is_one() {
                field.go(begin(low));
                return Ok(());
            }
            let mut found = 0;
            for end in low..=high {
                if field.now[end] > 0
                    && let Some(p) = begin(end)
                {
                    field.arrive(p, field.now[end]);
                    found += 1;
                }
            }
            self.spend(found)?;
        } else if let Piece::Identifier(class, number) = piece {
            field.reserve(self.name.len());
            if let Some(reach) = self.reach(binding, *class, *number, true) {
                let spent = reach.backward(field, left);
                self.spend(spent)?;
            }
        } else {
            field.reserve(self.name.len());
            for p in 0..high {
                let mut ways = 0;
                self.ends(binding, piece, p, high, &mut |end| ways = (ways + field.ways(end)).min(2))?;
                if ways > 0 {
                    field.arrive(p, ways);
                }
            }
        }
        field.turn();
        Ok(())
    }

    /// How far the identifier `number` reaches with the tokens taken; `None` if it is nowhere. To be asked for
    /// one position only, or for many.
    fn reach<'a>(
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
        // Dots are counted, too.
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

    /// Calls `arrive` with every place up to `most` at which a piece can end that begins at `p` and is neither
    /// an identifier nor always the same.
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

    /// The ends of a `%date%` that has not passed.
    fn date_ends(&mut self, p: usize, most: usize, arrive: &mut impl FnMut(usize)) -> StepResult<()> {
        self.spend(DATE)?;
        for end in date::LENGTHS.map(|len| p + len) {
            if end <= most
                && let Some(last) = date::last_day(&self.name.as_bytes()[p..end])
                && self.since.is_none_or(|day| day <= last)
            {
                arrive(end);
            }
        }
        Ok(())
    }

    /// The ends of a `%code%` that only has to look like one.
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

    /// Where each of `pieces` ends in one of the ways they can be cut out of the name from `from` to `to`: the
    /// first one that ends as early as can be, and so on.
    pub(crate) fn path(
        &mut self,
        binding: Binding<'_>,
        pieces: &[Piece],
        from: usize,
        to: usize,
    ) -> StepResult<Option<Vec<usize>>> {
        let mut field = Counts::default();
        field.one(to);
        // For each piece, where it can end so that the rest is right.
        let mut right = Vec::with_capacity(pieces.len());
        for piece in pieces.iter().rev() {
            right.push((field.low, field.cells().to_vec()));
            self.backward(binding, piece, &mut field)?;
        }
        if field.ways(from) == 0 {
            return Ok(None);
        }
        let mut path = Vec::with_capacity(pieces.len());
        let mut at = from;
        for (piece, (low, cells)) in pieces.iter().zip(right.into_iter().rev()) {
            let is_right =
                |end: usize| end.checked_sub(low).and_then(|i| cells.get(i)).is_some_and(|c| *c > 0);
            let mut first = None;
            if let Some(text) = binding.fixed(piece) {
                first = Some(at + text.len());
            } else if let Piece::Identifier(class, number) = piece {
                self.spend(cells.len())?;
                first =
                    self.reach(binding, *class, *number, false).and_then(|reach| reach.first(at, is_right));
            } else {
                self.ends(binding, piece, at, to, &mut |end| {
                    first = first.or_else(|| is_right(end).then_some(end));
                })?;
            }
            let Some(end) = first else { return Ok(None) };
            path.push(end);
            at = end;
        }
        Ok(Some(path))
    }
}

/// Steps for the notations of a date, of which a week takes the longest.
const DATE: usize = 8;

/// So many cells are looked at in one step where that is all.
const CELLS: usize = 8;

/// Whether `text` stands in `name` at `at`.
fn stands(name: &str, text: &str, at: usize) -> bool {
    let rest = &name.as_bytes()[at..];
    // Nearly always the first byte differs.
    rest.first() == text.as_bytes().first() && rest.starts_with(text.as_bytes())
}

impl IdentifierBounds<'_> {
    /// From the only place where it begins to where it ends. What it took, in steps.
    fn forward_one(mut self, field: &mut Counts) -> usize {
        let (p, ways) = (field.low, field.only);
        let spent = self.conditions.begun(self.calls.len(), self.name.len()) + self.conditions.weight();
        let Some((low, high)) = self.span(p) else {
            field.go(None);
            return spent;
        };
        if low == high {
            field.go((self.may_end(low) && self.fits(p, low)).then_some(low));
        } else {
            field.reserve(self.name.len());
            for end in low..=high {
                if self.may_end(end) && self.fits(p, end) {
                    field.arrive(end, ways);
                }
            }
            field.turn();
        }
        spent + (high - low) * self.conditions.odd_weight()
    }

    /// From where it begins to where it ends: each span is added where it begins and taken away behind its
    /// end, so that all of them together take no longer than the name. What it took, in steps; if that is more
    /// than are `left`, it did not come to an end.
    fn forward(mut self, field: &mut Counts, left: usize) -> usize {
        let (mut first, mut last) = (usize::MAX, 0);
        field.sums.resize(self.name.len() + 2, 0);
        let mut spent = self.conditions.begun(self.calls.len(), self.name.len());
        for p in field.low..=field.high {
            let ways = field.now[p];
            if ways == 0 {
                continue;
            }
            spent += self.conditions.weight();
            let Some((low, high)) = self.span(p) else { continue };
            if self.is_odd() {
                spent += (high - low + 1) * self.conditions.odd_weight();
                if spent > left {
                    return spent;
                }
                for end in low..=high {
                    if self.may_end(end) && self.fits(p, end) {
                        field.arrive(end, ways);
                    }
                }
                continue;
            }
            field.sums[low] = field.sums[low].wrapping_add(ways.into());
            field.sums[high + 1] = field.sums[high + 1].wrapping_sub(ways.into());
            (first, last) = (first.min(low), last.max(high));
        }
        if first <= last {
            spent += (last - first) / 2 * self.conditions.end_weight();
            let mut ways = 0_u16;
            for end in first..=last {
                ways = ways.wrapping_add(std::mem::take(&mut field.sums[end]));
                if ways > 0 && self.may_end(end) {
                    field.arrive(end, ways.min(2) as u8);
                }
            }
            field.sums[last + 1] = 0;
        }
        spent
    }

    /// From where it ends to where it begins: the ways at all ends of a span are a difference of two sums.
    /// What it took, as in [`IdentifierBounds::forward`].
    fn backward(mut self, field: &mut Counts, left: usize) -> usize {
        let mut spent = self.conditions.begun(self.calls.len(), self.name.len());
        let (low, high) = (field.low, field.high);
        field.sums.resize(self.name.len() + 2, 0);
        let mut sum = 0_u16;
        for end in low..=high {
            if end > 0 && field.ways(end) > 0 && self.may_end(end) {
                sum += u16::from(field.ways(end));
            }
            field.sums[end + 1] = sum;
        }
        // It begins in the run in which the first of the ends lies.
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
            let mut ways = (field.sums[to + 1] - field.sums[from]).min(2) as u8;
            if ways > 0 && self.is_odd() {
                spent += (to - from + 1) * self.conditions.odd_weight();
                if spent > left {
                    return spent;
                }
                let fits = |end: &usize| field.ways(*end) > 0 && self.may_end(*end) && self.fits(p, *end);
                ways = (from..=to).filter(fits).fold(0, |ways, end| (ways + field.ways(end)).min(2));
            }
            if ways > 0 {
                field.arrive(p, ways);
            }
        }
        field.sums[low..=high + 1].fill(0);
        spent
    }

    /// The first end that is right, beginning at `p`.
    fn first(mut self, p: usize, is_right: impl Fn(usize) -> bool) -> Option<usize> {
        let (low, high) = self.span(p)?;
        (low..=high).find(|end| is_right(*end) && self.may_end(*end) && self.fits(p, *end))
    }
}
