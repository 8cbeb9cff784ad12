//! The state of a function while its identifier is read.

use super::alphabet::{Alphabet, Symbol};
use crate::ir::Op;
use crate::vocabulary::{Function, is_alpha, is_digit, is_vowel};
use std::collections::VecDeque;

/// A value of a function, or the value that a part of the code requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Number(u16),
    Symbol(Symbol),
    /// The default of `CHAR`.
    Default,
}

/// Whether `function` counts a byte.
pub(crate) fn counts(function: Function, byte: u8) -> bool {
    match function {
        Function::Digits => is_digit(byte),
        Function::Alphas => is_alpha(byte),
        Function::Vowels => is_vowel(byte),
        Function::Labels => byte == b'.',
        Function::Chars | Function::Any | Function::None | Function::Char | Function::Hmac => true,
    }
}

/// The state of a function while its identifier is read. `wanted` is the required value, which is known if
/// the code precedes the identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallState {
    Count {
        count: u16,
        wanted: Option<u16>,
    },
    /// `ANY` or `NONE`. If the code follows the identifier, there is a state for each possible character.
    Contains {
        symbol: Symbol,
        seen: bool,
        wanted: bool,
    },
    Char {
        at: CharAt,
        wanted: Option<Value>,
    },
    LabelChar {
        labels: Labels,
        wanted: Option<Value>,
    },
}

/// The search for the character at an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CharAt {
    /// From the left: the number of characters up to the wanted one.
    Remaining(u64),
    Found(Symbol),
    /// From the right: the last characters, and their maximum number.
    Last(VecDeque<Symbol>, u64),
}

impl CharAt {
    fn new(at: i64) -> Self {
        if at < 0 {
            CharAt::Last(VecDeque::new(), at.unsigned_abs())
        } else {
            CharAt::Remaining(at.unsigned_abs().max(1))
        }
    }

    fn push(&mut self, symbol: Symbol) {
        match self {
            CharAt::Remaining(1) => *self = CharAt::Found(symbol),
            CharAt::Remaining(more) => *more -= 1,
            CharAt::Found(_) => {}
            CharAt::Last(symbols, len) => {
                symbols.push_back(symbol);
                if symbols.len() as u64 > *len {
                    symbols.pop_front();
                }
            }
        }
    }

    fn value(&self) -> Option<Symbol> {
        match self {
            CharAt::Remaining(_) => None,
            CharAt::Found(symbol) => Some(*symbol),
            CharAt::Last(symbols, len) => symbols.front().copied().filter(|_| symbols.len() as u64 == *len),
        }
    }
}

/// The search for a character of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Labels {
    label: i64,
    at: i64,
    /// From the left: the number of dots before the label.
    before: u64,
    /// The characters of completed labels that may be the wanted one.
    past: VecDeque<Option<Symbol>>,
    /// The character of the current label.
    now: CharAt,
}

impl Labels {
    fn new(label: i64, at: i64) -> Self {
        let before = if label < 0 { 0 } else { label.unsigned_abs().max(1) - 1 };
        Labels { label, at, before, past: VecDeque::new(), now: CharAt::new(at) }
    }

    fn push(&mut self, symbol: Symbol, dot: bool) {
        if self.label < 0 {
            if dot {
                self.past.push_back(self.now.value());
                if self.past.len() as u64 >= self.label.unsigned_abs() {
                    self.past.pop_front();
                }
                self.now = CharAt::new(self.at);
            } else {
                self.now.push(symbol);
            }
        } else if self.before > 0 {
            self.before -= u64::from(dot);
        } else if !self.past.is_empty() {
            // The label has been read.
        } else if dot {
            self.past.push_back(self.now.value());
            self.now = CharAt::new(self.at);
        } else {
            self.now.push(symbol);
        }
    }

    fn value(&self) -> Option<Symbol> {
        match self.label {
            ..=-2 => {
                let enough = self.past.len() as u64 + 1 >= self.label.unsigned_abs();
                self.past.front().copied().flatten().filter(|_| enough)
            }
            -1 => self.now.value(),
            _ => self.past.front().copied().unwrap_or_else(|| self.now.value()),
        }
    }
}

impl CallState {
    /// The states at the beginning of an identifier: one for each character that the function may search.
    pub fn begin(op: &Op, wanted: Option<Value>, alphabet: &Alphabet) -> Vec<Self> {
        match op {
            Op::Count(_) => {
                let wanted = if let Some(Value::Number(n)) = wanted { Some(n) } else { None };
                vec![CallState::Count { count: 0, wanted }]
            }
            Op::Any | Op::None => {
                if let Some(Value::Symbol(symbol)) = wanted {
                    return vec![CallState::Contains { symbol, seen: false, wanted: true }];
                }
                let each = (0..alphabet.len()).filter_map(|at| Symbol::try_from(at).ok());
                each.map(|symbol| CallState::Contains { symbol, seen: false, wanted: false }).collect()
            }
            Op::Char { at, .. } => vec![CallState::Char { at: CharAt::new(*at), wanted }],
            Op::LabelChar { label, at, .. } => {
                vec![CallState::LabelChar { labels: Labels::new(*label, *at), wanted }]
            }
            Op::Hmac(_) => Vec::new(),
        }
    }

    /// Reads a character. Returns `false` if the required value is no longer possible.
    pub fn push(&mut self, op: &Op, symbol: Symbol, byte: u8) -> bool {
        match self {
            CallState::Count { count, wanted } => {
                let Op::Count(function) = op else { return false };
                *count += u16::from(counts(*function, byte));
                wanted.is_none_or(|wanted| *count <= wanted)
            }
            CallState::Contains { symbol: wanted, seen, .. } => {
                *seen |= *wanted == symbol;
                !(*seen && *op == Op::None)
            }
            CallState::Char { at, .. } => {
                at.push(symbol);
                true
            }
            CallState::LabelChar { labels, .. } => {
                labels.push(symbol, byte == b'.');
                true
            }
        }
    }

    /// The result at the end of the identifier: the value, or `None` if it is the required one. The error
    /// means that there is no value or a wrong one.
    pub fn end(&self, op: &Op, default: &[Symbol]) -> Result<Option<Value>, ()> {
        let check = |value: Value, wanted: Option<Value>| match wanted {
            None => Ok(Some(value)),
            Some(wanted) if wanted == value => Ok(None),
            // A default of one character equals that character.
            Some(Value::Symbol(wanted)) if value == Value::Default && default == [wanted] => Ok(None),
            Some(_) => Err(()),
        };
        let check_char = |symbol: Option<Symbol>, wanted| match symbol {
            Some(symbol) => check(Value::Symbol(symbol), wanted),
            None if default.is_empty() => Err(()),
            None => check(Value::Default, wanted),
        };
        match self {
            CallState::Count { count, wanted } => {
                let count = count + u16::from(*op == Op::Count(Function::Labels));
                check(Value::Number(count), wanted.map(Value::Number))
            }
            CallState::Contains { symbol, seen, wanted } => {
                let fits = *seen == (*op == Op::Any);
                fits.then(|| (!wanted).then_some(Value::Symbol(*symbol))).ok_or(())
            }
            CallState::Char { at, wanted } => check_char(at.value(), *wanted),
            CallState::LabelChar { labels, wanted } => check_char(labels.value(), *wanted),
        }
    }
}
