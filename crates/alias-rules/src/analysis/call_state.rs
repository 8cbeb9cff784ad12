//! The state of a function while its identifier is read.

use super::alphabet::{Alphabet, Symbol};
use crate::ir::Op;
use crate::vocabulary::{Function, is_alpha, is_digit, is_vowel};
use std::collections::VecDeque;

/// A value of a function, or the part of a code that has to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Number(u16),
    Symbol(Symbol),
    /// The default of `CHAR`.
    Default,
}

/// Whether `function` counts a character.
pub(crate) fn counts(function: Function, byte: u8) -> bool {
    match function {
        Function::Digits => is_digit(byte),
        Function::Alphas => is_alpha(byte),
        Function::Vowels => is_vowel(byte),
        Function::Labels => byte == b'.',
        Function::Chars | Function::Any | Function::None | Function::Char | Function::Hmac => true,
    }
}

/// A function while its identifier is read. The required value is known if the code comes first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallState {
    Count {
        count: u16,
        wanted: Option<u16>,
    },
    /// If the code comes later, there is a state for each possible character.
    Sought {
        symbol: Symbol,
        seen: bool,
        wanted: bool,
    },
    Char {
        taken: Taken,
        wanted: Option<Value>,
    },
    LabelChar {
        labels: Labels,
        wanted: Option<Value>,
    },
}

/// A character at an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Taken {
    /// From the left: the number of characters to come, and then the character.
    Coming(u64),
    Found(Symbol),
    /// From the right: this many last characters.
    Last(VecDeque<Symbol>, u64),
}

impl Taken {
    fn new(at: i64) -> Self {
        if at < 0 {
            Taken::Last(VecDeque::new(), at.unsigned_abs())
        } else {
            Taken::Coming(at.unsigned_abs().max(1))
        }
    }

    fn push(&mut self, symbol: Symbol) {
        match self {
            Taken::Coming(1) => *self = Taken::Found(symbol),
            Taken::Coming(more) => *more -= 1,
            Taken::Found(_) => {}
            Taken::Last(symbols, len) => {
                symbols.push_back(symbol);
                if symbols.len() as u64 > *len {
                    symbols.pop_front();
                }
            }
        }
    }

    fn value(&self) -> Option<Symbol> {
        match self {
            Taken::Coming(_) => None,
            Taken::Found(symbol) => Some(*symbol),
            Taken::Last(symbols, len) => symbols.front().copied().filter(|_| symbols.len() as u64 == *len),
        }
    }
}

/// A character of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Labels {
    label: i64,
    at: i64,
    /// From the left: dots still to come; from the right: the values of the labels that may be the one.
    before: u64,
    past: VecDeque<Option<Symbol>>,
    now: Taken,
}

impl Labels {
    fn new(label: i64, at: i64) -> Self {
        let before = if label < 0 { 0 } else { label.unsigned_abs().max(1) - 1 };
        Labels { label, at, before, past: VecDeque::new(), now: Taken::new(at) }
    }

    fn push(&mut self, symbol: Symbol, dot: bool) {
        if self.label < 0 {
            if dot {
                self.past.push_back(self.now.value());
                if self.past.len() as u64 >= self.label.unsigned_abs() {
                    self.past.pop_front();
                }
                self.now = Taken::new(self.at);
            } else {
                self.now.push(symbol);
            }
        } else if self.before > 0 {
            self.before -= u64::from(dot);
        } else if !self.past.is_empty() {
            // After its label.
        } else if dot {
            self.past.push_back(self.now.value());
            self.now = Taken::new(self.at);
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
    /// At the beginning of an identifier; a monitor for each character that may be looked for.
    pub fn begin(op: &Op, wanted: Option<Value>, alphabet: &Alphabet) -> Vec<Self> {
        match op {
            Op::Count(_) => {
                let wanted = if let Some(Value::Number(n)) = wanted { Some(n) } else { None };
                vec![CallState::Count { count: 0, wanted }]
            }
            Op::Any | Op::None => {
                if let Some(Value::Symbol(symbol)) = wanted {
                    return vec![CallState::Sought { symbol, seen: false, wanted: true }];
                }
                let each = (0..alphabet.len()).filter_map(|at| Symbol::try_from(at).ok());
                each.map(|symbol| CallState::Sought { symbol, seen: false, wanted: false }).collect()
            }
            Op::Char { at, .. } => vec![CallState::Char { taken: Taken::new(*at), wanted }],
            Op::LabelChar { label, at, .. } => {
                vec![CallState::LabelChar { labels: Labels::new(*label, *at), wanted }]
            }
            Op::Hmac(_) => Vec::new(),
        }
    }

    /// Reads a character; `false` if the value can no longer be the required one.
    pub fn push(&mut self, op: &Op, symbol: Symbol, byte: u8) -> bool {
        match self {
            CallState::Count { count, wanted } => {
                let Op::Count(function) = op else { return false };
                *count += u16::from(counts(*function, byte));
                wanted.is_none_or(|wanted| *count <= wanted)
            }
            CallState::Sought { symbol: sought, seen, .. } => {
                *seen |= *sought == symbol;
                !(*seen && *op == Op::None)
            }
            CallState::Char { taken, .. } => {
                taken.push(symbol);
                true
            }
            CallState::LabelChar { labels, .. } => {
                labels.push(symbol, byte == b'.');
                true
            }
        }
    }

    /// At the end of the identifier: the value if it was not known. The error is that it is wrong, or that
    /// there is none.
    pub fn end(&self, op: &Op, default: &[Symbol]) -> Result<Option<Value>, ()> {
        let right = |value: Value, wanted: Option<Value>| match wanted {
            None => Ok(Some(value)),
            Some(wanted) if wanted == value => Ok(None),
            // A default of one character equals that character.
            Some(Value::Symbol(wanted)) if value == Value::Default && default == [wanted] => Ok(None),
            Some(_) => Err(()),
        };
        let taken = |symbol: Option<Symbol>, wanted| match symbol {
            Some(symbol) => right(Value::Symbol(symbol), wanted),
            None if default.is_empty() => Err(()),
            None => right(Value::Default, wanted),
        };
        match self {
            CallState::Count { count, wanted } => {
                let count = count + u16::from(*op == Op::Count(Function::Labels));
                right(Value::Number(count), wanted.map(Value::Number))
            }
            CallState::Sought { symbol, seen, wanted } => {
                let fits = *seen == (*op == Op::Any);
                fits.then(|| (!wanted).then_some(Value::Symbol(*symbol))).ok_or(())
            }
            CallState::Char { taken: at, wanted } => taken(at.value(), *wanted),
            CallState::LabelChar { labels, wanted } => taken(labels.value(), *wanted),
        }
    }
}
