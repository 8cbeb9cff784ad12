//! The characters that a search tries: all characters that rules distinguish, and a few of each kind that
//! they do not distinguish, so that names can contain equal and different characters.

use super::instances::Subject;
use crate::ir::{Op, Target};
use crate::vocabulary::Function;

/// The index of a character in an [`Alphabet`].
pub(crate) type Symbol = u8;

/// Maximum size of an alphabet. Rules that distinguish more characters cannot be searched in reasonable time.
pub(crate) const MAX_SYMBOLS: usize = 120;

/// Maximum number of equivalent characters of a kind: one for each function that looks at characters, and one
/// more. More would matter only for rules with more such functions that all select different characters.
const MAX_ALIKE: usize = 4;

// The representatives of each kind, the most readable first.
const CONSONANTS: &[char] = &['b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p'];
const VOWELS: &[char] = &['a', 'e', 'i', 'o', 'u'];
const CAPITALS: &[char] = &['B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P'];
const DIGITS: &[char] = &['1', '2', '3', '4', '5', '6', '7', '8', '9', '0'];
/// Characters of no class, which a code can contain.
const OTHERS: &[char] = &['+', '=', '!', '~'];

/// The characters that a search tries.
#[derive(Debug)]
pub(crate) struct Alphabet(Vec<char>);

impl Alphabet {
    /// The alphabet for `subjects`; `None` if it is too large. With `fold` it has no capitals.
    pub fn of(subjects: &[&Subject<'_>], fold: bool) -> Option<Self> {
        let calls = || subjects.iter().flat_map(|subject| subject.calls());
        let counts = |function| calls().any(|call| call.op == Op::Count(function));
        let characters = calls()
            .filter(|call| matches!(call.target, Target::Identifier(_)) && !matches!(call.op, Op::Count(_)));
        let alike = (1 + characters.count()).min(MAX_ALIKE);
        let mut symbols = Alphabet(Vec::new());
        let digits = calls().any(|call| matches!(call.op, Op::Count(_)));
        let vowels = counts(Function::Vowels);
        let case = !fold && (vowels || counts(Function::Alphas));
        let texts: Vec<char> = subjects.iter().flat_map(|subject| subject.characters()).collect();
        // Letters that occur in no text of the rules, so that they differ from all that do.
        for (kind, number) in [
            (CONSONANTS, alike),
            (VOWELS, if vowels { alike } else { 0 }),
            (DIGITS, if digits { DIGITS.len() } else { alike }),
            (&['-', '.', '_'], 3),
            (CAPITALS, if case { alike } else { 0 }),
            (OTHERS, alike.min(2)),
        ] {
            let new = kind.iter().filter(|c| number == kind.len() || !texts.contains(c));
            new.take(number).for_each(|c| symbols.add(*c));
        }
        for c in texts {
            symbols.add(c);
        }
        (symbols.0.len() <= MAX_SYMBOLS).then_some(symbols)
    }

    fn add(&mut self, c: char) {
        if !self.0.contains(&c) && self.0.len() <= MAX_SYMBOLS {
            self.0.push(c);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn character(&self, symbol: Symbol) -> char {
        self.0.get(usize::from(symbol)).copied().unwrap_or('?')
    }

    pub fn symbol(&self, c: char) -> Option<Symbol> {
        self.0.iter().position(|known| *known == c).and_then(|at| Symbol::try_from(at).ok())
    }

    /// The symbols of `text`; `None` if the alphabet lacks a character.
    pub fn symbols(&self, text: &str) -> Option<Vec<Symbol>> {
        text.chars().map(|c| self.symbol(c)).collect()
    }

    /// The symbol as a byte for class checks; beyond ASCII it is 0, which is in no class.
    pub fn byte(&self, symbol: Symbol) -> u8 {
        u8::try_from(self.character(symbol)).ok().filter(u8::is_ascii).unwrap_or(0)
    }

    /// The symbols that represent a character in a text of which only the set of characters is known.
    pub fn like(&self, c: char) -> impl Iterator<Item = Symbol> + '_ {
        let kind = move |c: char| {
            (c.is_ascii_digit(), c.is_ascii_alphabetic(), if c.is_ascii_alphanumeric() { ' ' } else { c })
        };
        let known = self.symbol(c).is_some();
        let same = move |other: char| {
            c == other
                || kind(c) == kind(other) && c.is_ascii_alphanumeric()
                || !known && OTHERS.contains(&other)
        };
        (0..self.0.len()).filter(move |at| same(self.0[*at])).filter_map(|at| Symbol::try_from(at).ok())
    }
}
