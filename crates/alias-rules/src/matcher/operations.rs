//! Computes the values of functions.

use crate::ir::Op;
use crate::vocabulary::{Function, is_alpha, is_digit, is_vowel};
use std::borrow::Cow;

/// Computes a function of `text`. `rest` is the part of the code from its token on, which selects among the
/// values of `ANY` and `NONE`. `None` if there is no value.
pub(crate) fn value<'a>(op: &'a Op, text: &'a str, rest: &str) -> Option<Cow<'a, str>> {
    let next = || rest.chars().next();
    match op {
        Op::Count(function) => Some(Cow::Owned(count(*function, text).to_string())),
        Op::Any => next().filter(|c| text.contains(*c)).map(|c| c.to_string().into()),
        Op::None => next().filter(|c| !text.contains(*c)).map(|c| c.to_string().into()),
        Op::Char { at, default } => Some(char_at(text, *at).unwrap_or(default).into()),
        // It depends on the whole name, not on a text in it.
        Op::Hmac(_) => None,
        Op::LabelChar { label, at, default } => {
            let text = label_at(text, *label).and_then(|label| char_at(label, *at));
            Some(text.unwrap_or(default).into())
        }
    }
    // An empty value would match everywhere.
    .filter(|value| !value.is_empty())
}

fn count(function: Function, text: &str) -> usize {
    let of = |is: fn(u8) -> bool| text.bytes().filter(|b| is(*b)).count();
    match function {
        Function::Digits => of(is_digit),
        Function::Alphas => of(is_alpha),
        Function::Vowels => of(is_vowel),
        Function::Labels => of(|b| b == b'.') + 1,
        Function::Chars | Function::Any | Function::None | Function::Char | Function::Hmac => {
            text.chars().count()
        }
    }
}

/// Converts the number of an item to an index: items are numbered from 1 from the left and from -1 from the
/// right; 0 is the first item, too.
pub(crate) fn place(at: i64, len: usize) -> Option<usize> {
    let n = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
    if at < 0 { len.checked_sub(n) } else { Some(n.max(1) - 1).filter(|n| *n < len) }
}

pub(crate) fn char_at(text: &str, at: i64) -> Option<&str> {
    let n = place(at, text.chars().count())?;
    let (start, c) = text.char_indices().nth(n)?;
    text.get(start..start + c.len_utf8())
}

pub(crate) fn label_at(text: &str, label: i64) -> Option<&str> {
    text.split('.').nth(place(label, text.split('.').count())?)
}

/// Whether `CHAR` of the identifier from `start` to `end` of `name`, which is ASCII, is `token`.
pub(crate) fn is_character(
    op: &Op,
    name: &[u8],
    tallies: &Tallies,
    start: usize,
    end: usize,
    token: &[u8],
) -> bool {
    let at = |start, end, at| place(at, end - start).map(|n| name[start + n]);
    let (c, default) = match op {
        Op::Char { at: n, default } => (at(start, end, *n), default),
        Op::LabelChar { label, at: n, default } => {
            let label = tallies.label(start, end, *label);
            (label.and_then(|(start, end)| at(start, end, *n)), default)
        }
        Op::Count(_) | Op::Any | Op::None | Op::Hmac(_) => return false,
    };
    c.map_or(token == default.as_bytes(), |c| token == [c])
}

/// Prefix sums of the counts of a name, for counting in any part of it in constant time.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// At each position, the four counts before it, of 16 bits each.
    upto: Vec<u64>,
    /// The positions of the counted characters: four consecutive lists, each with the capacity of the whole
    /// name.
    places: Vec<u16>,
}

/// The counting functions, in the order of the counts.
const KINDS: [Function; 4] = [Function::Digits, Function::Alphas, Function::Vowels, Function::Labels];

/// The index of a function in [`KINDS`].
fn kind(function: Function) -> usize {
    match function {
        Function::Digits => 0,
        Function::Alphas => 1,
        Function::Vowels => 2,
        _ => 3,
    }
}

impl Tallies {
    /// Counts the characters of `name`. No count overflows, since a name is not longer than
    /// [`MAX_NAME`](crate::matcher::rules::MAX_NAME).
    pub fn of(name: &str) -> Self {
        let len = name.len();
        let mut upto = Vec::with_capacity(len + 1);
        let mut places = vec![0; len * KINDS.len()];
        let mut so_far = 0_u64;
        upto.push(so_far);
        for (at, b) in (0_u16..).zip(name.bytes()) {
            let counted = [is_digit(b), is_alpha(b), is_vowel(b), b == b'.'];
            for (kind, is) in counted.into_iter().enumerate().filter(|(_, is)| *is) {
                let before = (so_far >> (16 * kind)) & 0xffff;
                places[kind * len + before as usize] = at;
                so_far += u64::from(is) << (16 * kind);
            }
            upto.push(so_far);
        }
        Tallies { upto, places }
    }

    pub fn is_empty(&self) -> bool {
        self.upto.is_empty()
    }

    /// The count of this kind before `at`.
    fn upto(&self, kind: usize, at: usize) -> usize {
        ((self.upto[at] >> (16 * kind)) & 0xffff) as usize
    }

    /// The value of a counting function for the text from `start` to `end`.
    pub fn count(&self, function: Function, start: usize, end: usize) -> usize {
        let kind = kind(function);
        let count = self.upto(kind, end) - self.upto(kind, start);
        if function == Function::Labels { count + 1 } else { count }
    }

    /// The position of the `n`th counted character, from 0, at or after `start`. For labels, dots are
    /// counted.
    pub fn nth_from(&self, function: Function, start: usize, n: usize) -> Option<usize> {
        let kind = kind(function);
        let n = self.upto(kind, start) + n;
        let len = self.upto.len() - 1;
        (n < self.upto(kind, len)).then(|| usize::from(self.places[kind * len + n]))
    }

    /// The start and end of a label in the text from `start` to `end`.
    fn label(&self, start: usize, end: usize, label: i64) -> Option<(usize, usize)> {
        let labels = self.count(Function::Labels, start, end);
        let n = place(label, labels)?;
        let dot = |n| self.nth_from(Function::Labels, start, n);
        let from = if n == 0 { start } else { dot(n - 1)? + 1 };
        let to = if n + 1 == labels { end } else { dot(n)? };
        Some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_find_labels_and_counts() {
        let name = "-a..bc.d-";
        let tallies = Tallies::of(name);
        let text = &name[1..8];
        for label in -6..7 {
            let got = tallies.label(1, 8, label).map(|(from, to)| &name[from..to]);
            assert_eq!(got, label_at(text, label), "{label}");
        }
        assert_eq!(tallies.count(Function::Labels, 1, 8), 4);
        assert_eq!(tallies.count(Function::Alphas, 1, 8), 4);
        assert_eq!(tallies.count(Function::Vowels, 2, 8), 0);
        let from = |start| (0..4).map(|n| tallies.nth_from(Function::Labels, start, n)).collect::<Vec<_>>();
        assert_eq!(from(0), [Some(2), Some(3), Some(6), None]);
        assert_eq!(from(3), [Some(3), Some(6), None, None]);
        assert_eq!(from(9), [None; 4]);
    }
}
