//! Computes the possible ends of an identifier.
//!
//! For a given start, nearly every condition restricts the ends to an interval, because counts only grow with
//! the length. Conditions on the last characters depend on the end only, not on the start. So the ends are
//! the intersection of an interval and a set that is the same for all starts. The few other conditions are
//! checked for each end. (See `matcher` on indexing.)

use super::operations::Tallies;
use super::{Token, operations};
use crate::ir::{CompiledCall, Op, Target};
use crate::vocabulary::{Class, Function};

/// A condition that restricts the ends to an interval.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// The text has this number of characters.
    Chars(usize),
    /// A counting function has this value.
    Count(Function, usize),
    /// The text contains the byte; with the position where it was found last.
    Any(u8, usize),
    /// The text does not contain the byte; with the position where it was found last.
    None(u8, usize),
    /// The character at this place, from 1, is `wanted`. With `or_none`, the text may also be shorter.
    Char { at: usize, wanted: Option<u8>, or_none: bool },
    /// The same for the character of a label, both numbered from 1.
    LabelChar { label: usize, at: usize, wanted: Option<u8>, or_none: bool },
    /// The text has fewer characters.
    Fewer(usize),
}

/// All conditions on an identifier. The lists are reused.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    bounds: Vec<Bound>,
    /// The byte at a distance before the end.
    endings: Vec<(usize, u8)>,
    /// Calls that look at the last label. It does not depend on the start, as a fqdn contains a dot.
    last_label: Vec<usize>,
    /// Calls that are checked for each end.
    per_end: Vec<usize>,
    /// The number of functions that search a byte.
    scans: usize,
    /// Whether [`Tallies`] are needed.
    pub counts: bool,
}

impl Conditions {
    /// Collects the conditions that the tokens impose on identifier `number`. Returns `false` if they cannot
    /// be met.
    pub fn read(&mut self, calls: &[CompiledCall], tokens: &[Token], number: usize, name: &[u8]) -> bool {
        self.bounds.clear();
        self.endings.clear();
        self.last_label.clear();
        self.per_end.clear();
        (self.scans, self.counts) = (0, false);
        for (i, (call, token)) in calls.iter().zip(tokens).enumerate() {
            if call.target != Target::Identifier(number) {
                continue;
            }
            let text = &name[token.start..token.end];
            self.scans += usize::from(matches!(call.op, Op::Any | Op::None));
            // Identifiers are ASCII, so they do not contain a longer character.
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
                        // Every text has a last character.
                        Some(b) if !or_none || n == 1 => self.endings.push((n, b)),
                        Some(_) => self.per_end.push(i),
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
                        _ if *label == -1 => self.last_label.push(i),
                        _ => self.per_end.push(i),
                    }
                }
            }
        }
        true
    }

    /// The cost of [`IdentifierBounds::span`], in steps.
    pub fn weight(&self) -> usize {
        1 + self.bounds.len() + self.endings.len() + 2 * self.last_label.len()
    }

    /// The cost of [`IdentifierBounds::may_end`] for two ends, in steps.
    pub fn end_weight(&self) -> usize {
        1 + self.endings.len() / 2 + 4 * self.last_label.len()
    }

    /// The cost of checking one end for one start, in steps.
    pub fn per_end_weight(&self) -> usize {
        1 + 2 * (self.per_end.len() + self.last_label.len()) + self.endings.len() / 2
    }

    /// The cost of collecting conditions from `calls` and scanning a name of length `len`, in steps.
    pub fn initial_weight(&self, calls: usize, len: usize) -> usize {
        1 + calls / 2 + self.scans * (len / 32 + 1)
    }
}

/// The conditions on an identifier, applied to a name.
pub(crate) struct IdentifierBounds<'r> {
    pub name: &'r [u8],
    pub class: Class,
    /// For each position, the end of the run of characters of the class that begins there. If empty, the name
    /// is scanned instead.
    pub runs: &'r [u16],
    pub tally: &'r Tallies,
    pub conditions: &'r mut Conditions,
    pub calls: &'r [CompiledCall],
    pub tokens: &'r [Token],
}

impl IdentifierBounds<'_> {
    /// The first and the last possible end of a text that begins at `p`. Call it with ascending positions.
    pub fn span(&mut self, p: usize) -> Option<(usize, usize)> {
        if !self.name.get(p).is_some_and(|b| self.class.edge(*b)) {
            return None;
        }
        let run = || p + self.name[p..].iter().take_while(|b| self.class.inner(**b)).count();
        let (mut low, mut high) = (p + 1, self.runs.get(p).map_or_else(run, |end| usize::from(*end)));
        if self.class == Class::Fqdn {
            // At least one character follows the dot.
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
                    let matches = self.name.get(at).copied() == *wanted && wanted.is_some();
                    (low, high) = restrict(low, high, at, matches, *or_none);
                }
                Bound::LabelChar { label, at, wanted, or_none } => {
                    let (label, at) = (*label - 1, *at - 1);
                    let begin = match label.checked_sub(1) {
                        None => Some(p),
                        Some(dot) => self.tally.nth_from(Function::Labels, p, dot).map(|dot| dot + 1),
                    };
                    let end = self.tally.nth_from(Function::Labels, p, label).unwrap_or(self.name.len());
                    // If the label does not exist or is too short, no text has that character.
                    let at = begin.and_then(|begin| begin.checked_add(at)).filter(|at| *at < end);
                    let at = at.unwrap_or(usize::MAX);
                    let matches = self.name.get(at).copied() == *wanted && wanted.is_some();
                    (low, high) = restrict(low, high, at, matches, *or_none);
                }
                Bound::Fewer(n) => high = high.min(p.saturating_add(*n - 1)),
            }
            if low > high {
                return None;
            }
        }
        (low <= high).then_some((low, high))
    }

    /// Whether a text can end at `end`, regardless of its start.
    pub fn may_end(&self, end: usize) -> bool {
        let is_at = |(n, b): &(usize, u8)| end.checked_sub(*n).is_some_and(|at| self.name[at] == *b);
        self.class.edge(self.name[end - 1])
            && self.conditions.endings.iter().all(is_at)
            && self.conditions.last_label.iter().all(|i| self.computes(*i, 0, end))
    }

    /// Whether [`IdentifierBounds::fits`] has to be called for each end.
    pub fn has_per_end_conditions(&self) -> bool {
        !self.conditions.per_end.is_empty()
    }

    /// Whether the text from `start` to `end` satisfies the conditions that are checked for each end.
    pub fn fits(&self, start: usize, end: usize) -> bool {
        self.conditions.per_end.iter().all(|i| self.computes(*i, start, end))
    }

    /// Whether the value of call `i` for this text is its token.
    fn computes(&self, i: usize, start: usize, end: usize) -> bool {
        let token = &self.tokens[i];
        let text = &self.name[token.start..token.end];
        operations::is_character(&self.calls[i].op, self.name, self.tally, start, end, text)
    }
}

/// Restricts an interval of ends by a condition on the character at `at`. Texts that end after `at` contain
/// the character and are possible only if it `matches`; texts that end before lack it and are possible only
/// with `or_none`.
fn restrict(low: usize, high: usize, at: usize, matches: bool, or_none: bool) -> (usize, usize) {
    match (matches, or_none) {
        (true, true) => (low, high),
        (true, false) => (low.max(at.saturating_add(1)), high),
        (false, true) => (low, high.min(at)),
        (false, false) => (1, 0),
    }
}

/// Finds the first `wanted` at or after `p`. `seen` is the last result; call it with ascending positions.
fn next(name: &[u8], wanted: u8, p: usize, seen: &mut usize) -> Option<usize> {
    if *seen < p || name.get(*seen) != Some(&wanted) && *seen < name.len() {
        let from = p.max(*seen);
        *seen = name[from..].iter().position(|b| *b == wanted).map_or(name.len(), |at| from + at);
    }
    (*seen < name.len()).then_some(*seen)
}
