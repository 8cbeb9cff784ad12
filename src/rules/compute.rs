//! What the functions give.

use super::check::Formula;
use super::words::{Function, is_alpha, is_digit, is_vowel};
use std::borrow::Cow;

/// The value of a function that looks at `text`; `rest` is the code still to be read. `None` where it has
/// none.
pub(super) fn value<'a>(formula: &'a Formula, text: &'a str, rest: &str) -> Option<Cow<'a, str>> {
    let next = || rest.chars().next();
    match formula {
        Formula::Count(function) => Some(Cow::Owned(count(*function, text).to_string())),
        Formula::Any => next().filter(|c| text.contains(*c)).map(|c| c.to_string().into()),
        Formula::None => next().filter(|c| !text.contains(*c)).map(|c| c.to_string().into()),
        Formula::Char { at, default } => Some(char_at(text, *at).unwrap_or(default).into()),
        // Its value is of the whole name, not of a text in it.
        Formula::Hmac(_) => None,
        Formula::LabelChar { label, at, default } => {
            let text = label_at(text, *label).and_then(|label| char_at(label, *at));
            Some(text.unwrap_or(default).into())
        }
    }
    // What is empty fits everywhere and says nothing.
    .filter(|value| !value.is_empty())
}

/// How much of what `function` counts there is in `text`.
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

/// The place of the item numbered `at` of `len`: from 1 on from the left, from -1 on from the right; 0 is
/// the first.
fn place(at: i64, len: usize) -> Option<usize> {
    let n = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
    if at < 0 { len.checked_sub(n) } else { Some(n.max(1) - 1).filter(|n| *n < len) }
}

pub(super) fn char_at(text: &str, at: i64) -> Option<&str> {
    let n = place(at, text.chars().count())?;
    let (start, c) = text.char_indices().nth(n)?;
    text.get(start..start + c.len_utf8())
}

pub(super) fn label_at(text: &str, label: i64) -> Option<&str> {
    text.split('.').nth(place(label, text.split('.').count())?)
}

/// Whether `CHAR` gives `token`, looking at the identifier from `start` to `end` of `name`, which is ASCII.
pub(super) fn is_character(
    formula: &Formula,
    name: &[u8],
    tallies: &Tallies,
    (start, end): (usize, usize),
    token: &[u8],
) -> bool {
    let at = |start, end, at| place(at, end - start).map(|n| name[start + n]);
    let (c, default) = match formula {
        Formula::Char { at: n, default } => (at(start, end, *n), default),
        Formula::LabelChar { label, at: n, default } => {
            let label = tallies.label(start, end, *label);
            (label.and_then(|(start, end)| at(start, end, *n)), default)
        }
        Formula::Count(_) | Formula::Any | Formula::None | Formula::Hmac(_) => return false,
    };
    c.map_or(token == default.as_bytes(), |c| token == [c])
}

/// A character of the code that is looked for in an identifier.
pub(super) struct Character(Option<u8>);

impl Character {
    pub fn of(name: &[u8], start: usize, end: usize) -> Self {
        // Identifiers are ASCII: anything longer is in none.
        Character((end - start == 1).then(|| name[start]))
    }

    /// Where it first stands in `text`.
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let wanted = self.0?;
        text.iter().position(|b| *b == wanted)
    }
}

/// What functions count in a name, so that counting in a part of it takes no time.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// Up to each position: four counts of 16 bits.
    upto: Vec<u64>,
    /// Where the dots are.
    dots: Vec<usize>,
}

/// The place of a function's count.
fn lane(function: Function) -> u32 {
    match function {
        Function::Digits => 0,
        Function::Alphas => 16,
        Function::Vowels => 32,
        _ => 48,
    }
}

impl Tallies {
    /// Of `name`, which is no longer than [`MAX_NAME`](super::MAX_NAME), so that no count overflows.
    pub fn of(name: &str) -> Self {
        let mut so_far = 0;
        let counts = |is: bool, function| u64::from(is) << lane(function);
        let upto = std::iter::once(0).chain(name.bytes().map(|b| {
            so_far += counts(is_digit(b), Function::Digits)
                + counts(is_alpha(b), Function::Alphas)
                + counts(is_vowel(b), Function::Vowels)
                + counts(b == b'.', Function::Labels);
            so_far
        }));
        Tallies { upto: upto.collect(), dots: name.match_indices('.').map(|(at, _)| at).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.upto.is_empty()
    }

    /// What `function` counts from `start` to `end`.
    pub fn count(&self, function: Function, start: usize, end: usize) -> usize {
        let lanes = self.upto[end] - self.upto[start];
        let count = ((lanes >> lane(function)) & 0xffff) as usize;
        if function == Function::Labels { count + 1 } else { count }
    }

    /// The label numbered `label` of the text from `start` to `end`: where it begins and ends.
    fn label(&self, start: usize, end: usize, label: i64) -> Option<(usize, usize)> {
        let labels = self.count(Function::Labels, start, end);
        let n = place(label, labels)?;
        // The dots of the text are `labels - 1` from this one on.
        let first = self.count(Function::Labels, 0, start) - 1;
        let from = if n == 0 { start } else { self.dots[first + n - 1] + 1 };
        let to = if n + 1 == labels { end } else { self.dots[first + n] };
        Some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
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
    }
}
