//! Counting, from left to right, in how many ways a part of a name can be cut into a part of an expression. (Of indexing see `eval`.)

use super::check::{Formula, Probe, Target};
use super::compute::{self, Character, Tallies};
use super::date;
use super::eval::{Counted, Lookup, Pair, Token};
use super::shape;
use super::store::Piece;
use super::words::{Class, Function, is_digit};

impl Lookup<'_> {
    /// In how many ways `pieces` can be cut out of the name from `from` to `to`, each identifier meeting the
    /// tokens: 0, 1, or 2 for several.
    pub(super) fn ways(&mut self, pair: Pair<'_>, pieces: &[Piece], from: usize, to: usize) -> Counted<u8> {
        let mut now = std::mem::take(&mut self.now);
        let mut next = std::mem::take(&mut self.next);
        let ways = self.sweep(pair, pieces, from, to, &mut now, &mut next);
        (self.now, self.next) = (now, next);
        ways
    }

    /// `now[p]` says in how many ways the pieces so far can end at `p`; it is moved on piece by piece.
    fn sweep(
        &mut self,
        pair: Pair<'_>,
        pieces: &[Piece],
        from: usize,
        to: usize,
        now: &mut Vec<u8>,
        next: &mut Vec<u8>,
    ) -> Counted<u8> {
        let size = self.name.len() + 1;
        for ways in [&mut *now, &mut *next] {
            ways.clear();
            ways.resize(size, 0);
        }
        now[from] = 1;
        // All that is not 0 lies in here.
        let (mut low, mut high) = (from, from);
        for (i, piece) in pieces.iter().enumerate() {
            let (mut new_low, mut new_high) = (size, 0);
            let is_last = i + 1 == pieces.len();
            for (p, ways) in now.iter_mut().enumerate().take(high + 1).skip(low) {
                let ways = std::mem::take(ways);
                if ways == 0 {
                    continue;
                }
                let mut arrive = |end: usize| {
                    next[end] = (next[end] + ways).min(2);
                    new_low = new_low.min(end);
                    new_high = new_high.max(end);
                };
                if let Some(text) = pair.fixed(piece) {
                    self.spend(1)?;
                    if p + text.len() <= to && self.name.as_bytes()[p..].starts_with(text.as_bytes()) {
                        arrive(p + text.len());
                    }
                } else {
                    // The last piece has to reach the end.
                    let least = if is_last { to } else { p + 1 };
                    self.ends(pair, piece, p, least, to, &mut arrive)?;
                }
            }
            if new_low > new_high {
                return Ok(0);
            }
            (low, high) = (new_low, new_high);
            std::mem::swap(now, next);
        }
        Ok(now[to])
    }

    /// Calls `arrive` with every place from `least` to `most` at which a piece that begins at `p` can end.
    fn ends(
        &mut self,
        pair: Pair<'_>,
        piece: &Piece,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> Counted<()> {
        let (class, number) = match piece {
            Piece::Identifier(class, number) => (*class, *number),
            Piece::Date => return self.date_ends(p, least, most, arrive),
            _ => return self.shape_ends(pair, p, least, most, arrive),
        };
        let bytes = self.name.as_bytes();
        if p >= most || !class.edge(bytes[p]) {
            return Ok(());
        }
        let (mut low, mut high) = (least.max(p + 1), most);
        let mut checked = false;
        for (probe, token) in conditions(&pair.program.calls, &self.tokens, number) {
            let c = Character::of(bytes, token.start, token.end);
            match probe.formula {
                Formula::Count(Function::Chars) => {
                    (low, high) = (low.max(p + token.count), high.min(p + token.count));
                }
                Formula::Any => match c.find(&bytes[p..most]) {
                    Some(at) => low = low.max(p + at + 1),
                    None => return Ok(()),
                },
                Formula::None => {
                    if let Some(at) = c.find(&bytes[p..most]) {
                        high = high.min(p + at);
                    }
                }
                _ => checked = true,
            }
        }
        if low > high {
            return Ok(());
        }
        if checked && pair.program.tallies {
            self.tally();
        }
        let mut dot = class != Class::Fqdn;
        let mut end = p + 1;
        while end <= high {
            let b = bytes[end - 1];
            if !class.inner(b) {
                break;
            }
            dot |= b == b'.';
            if end >= low && dot && class.edge(b) {
                let fits = if checked { self.fits(&pair.program.calls, number, p, end)? } else { Fits::Yes };
                match fits {
                    Fits::Yes => arrive(end),
                    Fits::No => {}
                    Fits::Never => break,
                }
            }
            end += 1;
        }
        self.spend(end - p)
    }

    /// The ends of a `%date%` that has not passed.
    fn date_ends(
        &mut self,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> Counted<()> {
        self.spend(date::LENGTHS.len())?;
        for end in date::LENGTHS.map(|len| p + len) {
            if (least..=most).contains(&end)
                && let Some(last) = date::last_day(&self.name.as_bytes()[p..end])
                && self.since.is_none_or(|day| day <= last)
            {
                arrive(end);
            }
        }
        Ok(())
    }

    /// Whether the identifier `number` from `start` to `end` meets the tokens not seen to yet.
    fn fits(&mut self, calls: &[Probe], number: usize, start: usize, end: usize) -> Counted<Fits> {
        let bytes = self.name.as_bytes();
        let mut spent = 0;
        let mut fits = Fits::Yes;
        for (probe, token) in conditions(calls, &self.tokens, number) {
            spent += 1;
            let right = match &probe.formula {
                Formula::Count(Function::Chars) | Formula::Any | Formula::None => true,
                Formula::Count(function) => {
                    let count = self.tally.count(*function, start, end);
                    if count > token.count {
                        fits = Fits::Never;
                        break;
                    }
                    count == token.count
                }
                formula => {
                    let token = &bytes[token.start..token.end];
                    compute::is_character(formula, bytes, &self.tally, (start, end), token)
                }
            };
            if !right {
                fits = Fits::No;
                break;
            }
        }
        self.spend(spent)?;
        Ok(fits)
    }

    /// Counts, once for a look-up, what functions count.
    fn tally(&mut self) {
        if self.tally.is_empty() {
            self.tally = Tallies::of(self.name);
        }
    }

    /// The ends of a `%code%` that only has to look like one.
    fn shape_ends(
        &mut self,
        pair: Pair<'_>,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> Counted<()> {
        let calls = &pair.program.calls;
        self.spend(most - p + calls.len())?;
        let Some(len) = shape::shortest(calls, &self.name[p..most]) else { return Ok(()) };
        let end = p + len;
        if end >= least {
            arrive(end);
        }
        let trailing = shape::trailing_digits(calls);
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

    /// Where each of `pieces` ends in one of the ways that [`Lookup::ways`] counts.
    pub(super) fn path(
        &mut self,
        pair: Pair<'_>,
        mut pieces: &[Piece],
        from: usize,
        to: usize,
    ) -> Counted<Option<Vec<usize>>> {
        if self.ways(pair, pieces, from, to)? == 0 {
            return Ok(None);
        }
        let mut path = Vec::new();
        let mut at = from;
        while let [piece, rest @ ..] = pieces {
            let mut ends = Vec::new();
            match pair.fixed(piece) {
                Some(text) => ends.push(at + text.len()),
                None => self.ends(pair, piece, at, at + 1, to, &mut |end| ends.push(end))?,
            }
            for end in ends {
                if self.ways(pair, rest, end, to)? > 0 {
                    at = end;
                    break;
                }
            }
            path.push(at);
            pieces = rest;
        }
        Ok(Some(path))
    }
}

enum Fits {
    Yes,
    No,
    /// Nor will any longer text.
    Never,
}

/// The functions that look at the identifier `number`, with what they are to give.
fn conditions<'a>(
    calls: &'a [Probe],
    tokens: &'a [Token],
    number: usize,
) -> impl Iterator<Item = (&'a Probe, &'a Token)> {
    calls.iter().zip(tokens).filter(move |(probe, _)| probe.target == Target::Identifier(number))
}
