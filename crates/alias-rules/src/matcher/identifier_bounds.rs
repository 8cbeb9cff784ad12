//! How far an identifier can reach.
//!
//! Nearly every condition on a text that begins at a given position leaves an interval of ends, because what
//! is counted only grows with the text; and what an end asks of the characters in front of it does not
//! depend on where the text begins. So the ends of an identifier are an interval, cut with a set that is the
//! same for all beginnings. The few conditions of another kind are asked of each end. (Of indexing see
//! `eval`.)

use super::operations::Tallies;
use super::{Token, operations};
use crate::ir::{CompiledCall, Op, Target};
use crate::vocabulary::{Class, Function};

/// A condition that leaves an interval.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// So many characters.
    Chars(usize),
    /// So much of what the function counts.
    Count(Function, usize),
    /// The byte is in the text; where it was seen last.
    Any(u8, usize),
    /// The byte is not in the text; where it was seen last.
    None(u8, usize),
    /// The character at this place, from 1, is this one; or there is none, where that is right as well.
    Char { at: usize, wanted: Option<u8>, or_none: bool },
    /// The same for a label, from 1.
    LabelChar { label: usize, at: usize, wanted: Option<u8>, or_none: bool },
    /// Fewer characters.
    Fewer(usize),
}

/// A list of what has to hold for an identifier, to be used again and again.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    bounds: Vec<Bound>,
    /// So many bytes in front of the end stands this one.
    endings: Vec<(usize, u8)>,
    /// The functions that look at the last label, which does not depend on where the text begins, as there
    /// is a dot in it.
    tails: Vec<usize>,
    /// The functions that are asked about each end.
    odd: Vec<usize>,
    /// How many look for a byte.
    scans: usize,
    /// Whether characters have to be counted.
    pub counts: bool,
}

impl Conditions {
    /// What the tokens say of the identifier `number`; `false` if nothing can meet that.
    pub fn read(&mut self, calls: &[CompiledCall], tokens: &[Token], number: usize, name: &[u8]) -> bool {
        self.bounds.clear();
        self.endings.clear();
        self.tails.clear();
        self.odd.clear();
        (self.scans, self.counts) = (0, false);
        for (i, (call, token)) in calls.iter().zip(tokens).enumerate() {
            if call.target != Target::Identifier(number) {
                continue;
            }
            let text = &name[token.start..token.end];
            self.scans += usize::from(matches!(call.op, Op::Any | Op::None));
            // Identifiers are ASCII: anything longer is in none.
            let wanted = if let [b] = text { Some(*b) } else { None };
            match (&call.op, wanted) {
                (Op::Count(Function::Chars), _) => self.bounds.push(Bound::Chars(token.count)),
                (Op::Count(function), _) => {
                    self.bounds.push(Bound::Count(*function, token.count));
                    self.counts = true;
                }
                (Op::Any, Some(b)) => self.bounds.push(Bound::Any(b, 0)),
                (Op::None, Some(b)) => self.bounds.push(Bound::None(b, 0)),
                (Op::None, None) => {}
                (Op::Any | Op::Hmac(_), _) => return false,
                (Op::Char { at, default }, _) => {
                    let or_none = text == default.as_bytes();
                    let n = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX).max(1);
                    match wanted {
                        None if !or_none => return false,
                        _ if *at >= 0 => self.bounds.push(Bound::Char { at: n, wanted, or_none }),
                        None => self.bounds.push(Bound::Fewer(n)),
                        // No text is without a last character.
                        Some(b) if !or_none || n == 1 => self.endings.push((n, b)),
                        Some(_) => self.odd.push(i),
                    }
                }
                (Op::LabelChar { label, at, default }, _) => {
                    self.counts = true;
                    let or_none = text == default.as_bytes();
                    match (usize::try_from(*label), usize::try_from(*at)) {
                        _ if wanted.is_none() && !or_none => return false,
                        (Ok(label), Ok(at)) => {
                            let (label, at) = (label.max(1), at.max(1));
                            self.bounds.push(Bound::LabelChar { label, at, wanted, or_none });
                        }
                        _ if *label == -1 => self.tails.push(i),
                        _ => self.odd.push(i),
                    }
                }
            }
        }
        true
    }

    /// What it costs to ask where a text ends that begins at one position, in steps.
    pub fn weight(&self) -> usize {
        1 + self.bounds.len() + self.endings.len() + 2 * self.tails.len()
    }

    /// What it costs to ask about two ends, whatever begins where.
    pub fn end_weight(&self) -> usize {
        1 + self.endings.len() / 2 + 4 * self.tails.len()
    }

    /// What it costs to ask about one end.
    pub fn odd_weight(&self) -> usize {
        1 + 2 * (self.odd.len() + self.tails.len()) + self.endings.len() / 2
    }

    /// What it costs to begin, with so many calls to be read, and a name of this length to be looked through.
    pub fn begun(&self, calls: usize, len: usize) -> usize {
        1 + calls / 2 + self.scans * (len / 32 + 1)
    }
}

/// A class and conditions, on a name.
pub(crate) struct IdentifierBounds<'r> {
    pub name: &'r [u8],
    pub class: Class,
    /// For each position, where the run of characters of the class ends that begins there; empty if that is
    /// to be seen in the name.
    pub runs: &'r [u16],
    pub tally: &'r Tallies,
    pub conditions: &'r mut Conditions,
    pub calls: &'r [CompiledCall],
    pub tokens: &'r [Token],
}

impl IdentifierBounds<'_> {
    /// The first and the last end of a text that begins at `p`. To be asked from left to right.
    pub fn span(&mut self, p: usize) -> Option<(usize, usize)> {
        if !self.name.get(p).is_some_and(|b| self.class.edge(*b)) {
            return None;
        }
        let run = || p + self.name[p..].iter().take_while(|b| self.class.inner(**b)).count();
        let (mut low, mut high) = (p + 1, self.runs.get(p).map_or_else(run, |end| usize::from(*end)));
        if self.class == Class::Fqdn {
            // There is one more character behind the dot.
            low = self.tally.nth_from(Function::Labels, p, 0)? + 2;
        }
        for (n, _) in &self.conditions.endings {
            low = low.max(p.saturating_add(*n));
        }
        for bound in &mut self.conditions.bounds {
            match bound {
                Bound::Chars(n) => (low, high) = (low.max(p + *n), high.min(p + *n)),
                Bound::Count(function, n) => {
                    let n = if *function == Function::Labels { n.checked_sub(1)? } else { *n };
                    if let Some(last) = n.checked_sub(1) {
                        low = low.max(self.tally.nth_from(*function, p, last)? + 1);
                    }
                    high = high.min(self.tally.nth_from(*function, p, n).unwrap_or(usize::MAX));
                }
                Bound::Any(b, seen) => low = low.max(next(self.name, *b, p, seen)?.saturating_add(1)),
                Bound::None(b, seen) => high = high.min(next(self.name, *b, p, seen).unwrap_or(usize::MAX)),
                Bound::Char { at, wanted, or_none } => {
                    let at = p.saturating_add(*at - 1);
                    let right = self.name.get(at).copied() == *wanted && wanted.is_some();
                    (low, high) = cut(low, high, at, right, *or_none);
                }
                Bound::LabelChar { label, at, wanted, or_none } => {
                    let (label, at) = (*label - 1, *at - 1);
                    let begin = match label.checked_sub(1) {
                        None => Some(p),
                        Some(dot) => self.tally.nth_from(Function::Labels, p, dot).map(|dot| dot + 1),
                    };
                    let end = self.tally.nth_from(Function::Labels, p, label).unwrap_or(self.name.len());
                    // Where there is no such label, or it is too short, no text has that character.
                    let at = begin.and_then(|begin| begin.checked_add(at)).filter(|at| *at < end);
                    let at = at.unwrap_or(usize::MAX);
                    let right = self.name.get(at).copied() == *wanted && wanted.is_some();
                    (low, high) = cut(low, high, at, right, *or_none);
                }
                Bound::Fewer(n) => high = high.min(p.saturating_add(*n - 1)),
            }
            if low > high {
                return None;
            }
        }
        (low <= high).then_some((low, high))
    }

    /// Whether a text can end here, wherever it begins, within its span.
    pub fn may_end(&self, end: usize) -> bool {
        let stands = |(n, b): &(usize, u8)| end.checked_sub(*n).is_some_and(|at| self.name[at] == *b);
        self.class.edge(self.name[end - 1])
            && self.conditions.endings.iter().all(stands)
            && self.conditions.tails.iter().all(|i| self.gives(*i, 0, end))
    }

    /// Whether each end has to be asked about.
    pub fn is_odd(&self) -> bool {
        !self.conditions.odd.is_empty()
    }

    /// What is asked about each end: whether the functions give their tokens.
    pub fn fits(&self, start: usize, end: usize) -> bool {
        self.conditions.odd.iter().all(|i| self.gives(*i, start, end))
    }

    /// Whether the function of call `i` gives its token, looking at this text.
    fn gives(&self, i: usize, start: usize, end: usize) -> bool {
        let token = &self.tokens[i];
        let text = &self.name[token.start..token.end];
        operations::is_character(&self.calls[i].op, self.name, self.tally, (start, end), text)
    }
}

/// An interval of ends without those that have, behind `at`, the wrong character there, or, up to `at`,
/// none where there has to be one.
fn cut(low: usize, high: usize, at: usize, right: bool, or_none: bool) -> (usize, usize) {
    match (right, or_none) {
        (true, true) => (low, high),
        (true, false) => (low.max(at.saturating_add(1)), high),
        (false, true) => (low, high.min(at)),
        (false, false) => (1, 0),
    }
}

/// Where `wanted` stands first from `p` on, if it was `seen` there last; positions are asked for in order.
fn next(name: &[u8], wanted: u8, p: usize, seen: &mut usize) -> Option<usize> {
    if *seen < p || name.get(*seen) != Some(&wanted) && *seen < name.len() {
        let from = p.max(*seen);
        *seen = name[from..].iter().position(|b| *b == wanted).map_or(name.len(), |at| from + at);
    }
    (*seen < name.len()).then_some(*seen)
}
