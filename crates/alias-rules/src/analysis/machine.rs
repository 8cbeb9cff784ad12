//! A statement as a state machine that reads a name character by character. The state consists of the current
//! part and the states of the functions. A function looks at one identifier only, so its state is small.
//!
//! Without functions (`exact` is false) the machine accepts every name of the expression's shape and has few
//! states. If two shapes have no common name, the statements do not clash.

use super::alphabet::{Alphabet, Symbol};
use super::call_state::{CallState, Value};
use super::instances::Subject;
use super::solve::Set;
use crate::ir::{Op, Target};
use crate::matcher::operations;
use crate::syntax::expression::Item;
use crate::vocabulary::{Class, is_digit};
use foldhash::HashSet;

#[derive(Debug)]
enum Part {
    Fixed(Vec<Symbol>),
    /// Any name of a list that is too long to check one by one: any text of these characters.
    Listed(Set),
    Class(Class, usize),
    Date,
    /// A `%code%` that is not verified because another one follows.
    Shape,
    Code,
}

/// The value of a function, if it is known before the name is read.
#[derive(Debug)]
enum KnownValue {
    /// It depends on the name.
    Unknown,
    Text(Vec<Symbol>),
    OneOf(Set),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub op: Op,
    value: KnownValue,
    pub default: Vec<Symbol>,
    /// The identifier that it looks at.
    pub of: Option<usize>,
    counts: bool,
}

/// The part of a name that a character belongs to, as far as functions are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Other,
    /// An identifier.
    Identifier(usize),
    /// The token of a function in the code.
    Call(usize),
}

/// The state of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    /// Neither its identifier nor its token has been read, or both.
    Idle,
    /// Its identifier is being read.
    Reading(CallState),
    /// Its identifier has been read, its token has not.
    Computed(Value),
    /// Its token has been read, its identifier has not.
    Required(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// At the beginning of a part.
    Start,
    /// At this offset in a text.
    Inside(u16),
    /// In an identifier; whether it has a dot so far.
    Class(bool),
    /// In the token of a call.
    Token(u16, Token),
    /// In a code that is not verified; the number of calls found, and of digits at the end.
    Shape(u16, u16),
    /// At this offset in a date; with the previous character.
    Date(u8, u8),
}

/// A position in the token of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    Start,
    /// At this offset in a known text.
    Text(u16),
    /// At this offset in the default of `CHAR`.
    Default(u16),
    /// In a number; the value so far.
    Number(u16),
}

/// The state between two characters of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The index of the part of the next character; at the end, the number of parts.
    pub part: u16,
    at: At,
    slots: Vec<Slot>,
}

/// A state machine for a statement, see the module.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    parts: Vec<Part>,
    /// For each part, whether it is an account or an alias.
    names: Vec<Option<Target>>,
    calls: Vec<Call>,
    trailing: usize,
    alphabet: &'a Alphabet,
    exact: bool,
}

impl<'a> Machine<'a> {
    /// The machine for the items of `subject` from `skip` on. `None` if the alphabet lacks a character or the
    /// code needs a secret.
    pub fn new(subject: &Subject<'_>, skip: usize, alphabet: &'a Alphabet, exact: bool) -> Option<Self> {
        let source = subject.source;
        let last_code = source.items.iter().rposition(|item| *item == Item::Code);
        let mut identifiers = 0;
        let mut parts = Vec::new();
        for (i, item) in source.items.iter().enumerate() {
            let part = match (item, subject.fixed(item)) {
                (_, Some(text)) => Part::Fixed(alphabet.symbols(text)?),
                (Item::Identifier(class), _) => {
                    identifiers += 1;
                    Part::Class(*class, identifiers - 1)
                }
                (Item::Code, _) if Some(i) == last_code => Part::Code,
                (Item::Code, _) => Part::Shape,
                (Item::Date, _) => Part::Date,
                (Item::Alias, _) => Part::Listed(set(alphabet, &subject.listed?.aliases)),
                (Item::Account | Item::Literal(_), _) => {
                    Part::Listed(set(alphabet, &subject.listed?.accounts))
                }
            };
            parts.push(part);
        }
        let names = source.items.iter().skip(skip).map(|item| match item {
            Item::Account => Some(Target::Account),
            Item::Alias => Some(Target::Alias),
            _ => None,
        });
        let calls = source.calls.iter().map(|call| {
            let default = match &call.op {
                Op::Char { default, .. } | Op::LabelChar { default, .. } => alphabet.symbols(default)?,
                _ => Vec::new(),
            };
            let value = match (subject.looked_at(call.target), &call.op) {
                (_, Op::Hmac(_)) => return None,
                (None, _) => KnownValue::Unknown,
                (Some(_), _) if subject.listed.is_some() => KnownValue::Unknown,
                (Some(text), Op::Any) => KnownValue::OneOf(exactly(&alphabet.symbols(text)?)),
                (Some(text), Op::None) => KnownValue::OneOf(
                    !exactly(&alphabet.symbols(text)?) & (((1 as Set) << alphabet.len()) - 1),
                ),
                // An empty text accepts no character: without a value the statement never matches.
                (Some(text), op) => KnownValue::Text(match operations::value(op, text, "") {
                    Some(value) => alphabet.symbols(&value)?,
                    None => Vec::new(),
                }),
            };
            let of = if let Target::Identifier(i) = call.target { Some(i) } else { None };
            Some(Call { op: call.op.clone(), value, default, of, counts: call.function.counts() })
        });
        let calls: Vec<Call> = calls.collect::<Option<_>>()?;
        parts.drain(..skip);
        let trailing = calls.iter().rev().take_while(|call| call.counts).count();
        Some(Machine { parts, names: names.collect(), calls, trailing, alphabet, exact })
    }

    pub fn start(&self) -> State {
        State { part: 0, at: At::Start, slots: vec![Slot::Idle; self.calls.len()] }
    }

    /// The kind of name that a part is, if it is an account or alias.
    pub fn name(&self, part: u16) -> Option<Target> {
        self.names.get(usize::from(part)).copied().flatten()
    }

    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The part that the next character belongs to.
    pub fn place(&self, state: &State) -> Place {
        match self.parts.get(usize::from(state.part)) {
            Some(Part::Class(_, number)) => Place::Identifier(*number),
            Some(Part::Code) => {
                Place::Call(if let At::Token(call, _) = state.at { usize::from(call) } else { 0 })
            }
            Some(Part::Fixed(_) | Part::Listed(_) | Part::Date | Part::Shape) | None => Place::Other,
        }
    }

    /// Converts a state of an exact machine to the state of the machine without functions.
    pub fn shape_of(&self, state: &State) -> State {
        let at = match state.at {
            At::Token(i, Token::Text(at)) => match state.slots.get(usize::from(i)) {
                Some(Slot::Computed(Value::Number(_))) => {
                    At::Token(i, Token::Number(POWERS[usize::from(at).min(3) - 1]))
                }
                Some(Slot::Computed(Value::Default)) => At::Token(i, Token::Default(at)),
                _ => state.at,
            },
            At::Token(i, Token::Number(n)) => At::Token(i, Token::Number(size(n))),
            at => at,
        };
        State { at, slots: vec![Slot::Idle; self.calls.len()], ..*state }
    }

    /// Whether a name may end here.
    pub fn accepts(&self, state: &State) -> bool {
        usize::from(state.part) == self.parts.len()
    }

    /// Calls `to` with every state after `symbol`.
    pub fn step(&self, state: &State, symbol: Symbol, to: &mut dyn FnMut(State)) {
        let Some(part) = self.parts.get(usize::from(state.part)) else { return };
        let byte = self.alphabet.byte(symbol);
        match part {
            Part::Fixed(text) => {
                let at = if let At::Inside(at) = state.at { at } else { 0 };
                if text.get(usize::from(at)) == Some(&symbol) {
                    if usize::from(at) + 1 == text.len() {
                        to(next(state));
                    } else {
                        to(State { at: At::Inside(at + 1), ..state.clone() });
                    }
                }
            }
            Part::Listed(set) => {
                if set >> symbol & 1 == 1 {
                    to(next(state));
                    to(State { at: At::Inside(1), ..state.clone() });
                }
            }
            Part::Class(class, number) => self.class(state, *class, *number, symbol, byte, to),
            Part::Date => date(state, byte, to),
            Part::Shape => self.shape(state, byte, to),
            Part::Code => {
                let (call, token) =
                    if let At::Token(call, token) = state.at { (call, token) } else { (0, Token::Start) };
                self.token(state, call, token, symbol, byte, to);
            }
        }
    }

    fn class(
        &self,
        state: &State,
        class: Class,
        number: usize,
        symbol: Symbol,
        byte: u8,
        to: &mut dyn FnMut(State),
    ) {
        let begins = state.at == At::Start;
        if !(if begins { class.edge(byte) } else { class.inner(byte) }) {
            return;
        }
        let dot = state.at == At::Class(true) || byte == b'.';
        let at = At::Class(dot && class == Class::Fqdn);
        let mut states = vec![State { at, ..state.clone() }];
        let own = self.calls.iter().enumerate().filter(|(_, call)| self.exact && call.of == Some(number));
        for (i, call) in own.clone() {
            let mut with = Vec::new();
            for state in states {
                let call_states = match &state.slots[i] {
                    Slot::Reading(call_state) => vec![call_state.clone()],
                    Slot::Required(value) => CallState::begin(&call.op, Some(*value), self.alphabet),
                    Slot::Idle | Slot::Computed(_) => CallState::begin(&call.op, None, self.alphabet),
                };
                for mut call_state in call_states {
                    if call_state.push(&call.op, symbol, byte) {
                        let mut state = state.clone();
                        state.slots[i] = Slot::Reading(call_state);
                        with.push(state);
                    }
                }
            }
            states = with;
        }
        for state in states {
            if class.edge(byte) && (dot || class != Class::Fqdn) {
                let mut end = next(&state);
                let fits = own.clone().all(|(i, call)| {
                    let Slot::Reading(call_state) = &end.slots[i] else { return true };
                    let value = call_state.end(&call.op, &call.default);
                    end.slots[i] = value.ok().flatten().map_or(Slot::Idle, Slot::Computed);
                    value.is_ok()
                });
                if fits {
                    to(end);
                }
            }
            to(state);
        }
    }

    /// The text that the function must have here, if it is known.
    fn known_text(&self, call: &Call, slot: &Slot) -> Option<Vec<Symbol>> {
        match (&call.value, slot) {
            (KnownValue::Text(text), _) => Some(text.clone()),
            (KnownValue::Unknown, Slot::Computed(Value::Symbol(symbol))) => Some(vec![*symbol]),
            (KnownValue::Unknown, Slot::Computed(Value::Default)) => Some(call.default.clone()),
            (KnownValue::Unknown, Slot::Computed(Value::Number(n))) => self.alphabet.symbols(&n.to_string()),
            (KnownValue::OneOf(_), _)
            | (KnownValue::Unknown, Slot::Idle | Slot::Reading(_) | Slot::Required(_)) => None,
        }
    }

    /// Reading a character of the code.
    fn token(
        &self,
        state: &State,
        number: u16,
        token: Token,
        symbol: Symbol,
        byte: u8,
        to: &mut dyn FnMut(State),
    ) {
        let Some(call) = self.calls.get(usize::from(number)) else { return };
        let stay = |token| State { at: At::Token(number, token), ..state.clone() };
        let end = |slot: Slot| {
            let last = usize::from(number) + 1 == self.calls.len();
            let mut end = if last {
                next(state)
            } else {
                State { at: At::Token(number + 1, Token::Start), ..state.clone() }
            };
            end.slots[usize::from(number)] = if self.exact { slot } else { Slot::Idle };
            end
        };
        if let KnownValue::OneOf(set) = &call.value {
            if set >> symbol & 1 == 1 {
                to(end(Slot::Idle));
            }
            return;
        }
        if let Some(text) = self.known_text(call, &state.slots[usize::from(number)]) {
            let at = if let Token::Text(at) = token { at } else { 0 };
            if text.get(usize::from(at)) == Some(&symbol) {
                let ends = usize::from(at) + 1 == text.len();
                to(if ends { end(Slot::Idle) } else { stay(Token::Text(at + 1)) });
            }
            return;
        }
        match (token, &call.op) {
            (Token::Start, Op::Count(_)) | (Token::Number(_), _) => {
                let so_far = if let Token::Number(n) = token { n } else { 0 };
                // Numbers have no leading zeros, and are below a thousand.
                if is_digit(byte) && token != Token::Number(0) && so_far < 100 {
                    let n = so_far * 10 + u16::from(byte - b'0');
                    to(end(Slot::Required(Value::Number(n))));
                    to(stay(Token::Number(if self.exact { n } else { size(n) })));
                }
            }
            (Token::Start, Op::Char { .. } | Op::LabelChar { .. }) => {
                to(end(Slot::Required(Value::Symbol(symbol))));
                if call.default.len() > 1 && call.default.first() == Some(&symbol) {
                    to(stay(Token::Default(1)));
                }
            }
            (Token::Start, _) => to(end(Slot::Required(Value::Symbol(symbol)))),
            (Token::Default(at) | Token::Text(at), _) => {
                if call.default.get(usize::from(at)) == Some(&symbol) {
                    let ends = usize::from(at) + 1 == call.default.len();
                    to(if ends { end(Slot::Required(Value::Default)) } else { stay(Token::Default(at + 1)) });
                }
            }
        }
    }

    /// Reading a character of a code that is not verified, see [`crate::matcher::code_shape`].
    fn shape(&self, state: &State, byte: u8, to: &mut dyn FnMut(State)) {
        let (found, digits) = if let At::Shape(found, digits) = state.at { (found, digits) } else { (0, 0) };
        let digit = is_digit(byte);
        let trailing = u16::try_from(self.trailing).unwrap_or(u16::MAX);
        let digits = if digit { (digits + 1).min(trailing) } else { 0 };
        let last = self.calls.len();
        match self.calls.get(usize::from(found)) {
            Some(call) if call.counts && !digit => {
                if state.at != At::Start {
                    to(State { at: At::Shape(found, digits), ..state.clone() });
                }
            }
            Some(_) => {
                if usize::from(found) + 1 == last {
                    to(next(state));
                }
                to(State { at: At::Shape(found + 1, digits), ..state.clone() });
            }
            None => {
                if digits >= trailing {
                    to(next(state));
                }
                to(State { at: At::Shape(found, digits), ..state.clone() });
            }
        }
    }
}

/// Each power represents all numbers with the same number of digits.
const POWERS: [u16; 3] = [1, 10, 100];

fn size(n: u16) -> u16 {
    POWERS.into_iter().rev().find(|power| *power <= n).unwrap_or(0)
}

/// The state at the beginning of the next part.
fn next(state: &State) -> State {
    State { part: state.part + 1, at: At::Start, slots: state.slots.clone() }
}

/// The offset of the week number, which follows the offsets of the other notations.
const WEEK: u8 = 6;

/// Reading a character of a date: `yymm`, `yymmdd` or `yywww`. Only days that every month has are accepted.
fn date(state: &State, byte: u8, to: &mut dyn FnMut(State)) {
    let (at, before) = if let At::Date(at, before) = state.at { (at, before) } else { (0, 0) };
    let fits = match (at, before) {
        (0 | 1, _) => is_digit(byte),
        (2, _) => matches!(byte, b'0' | b'1' | b'w'),
        (3 | 5 | 7, b'0') => (b'1'..=b'9').contains(&byte),
        (3 | 4, _) | (7, b'5') => (b'0'..=b'2').contains(&byte),
        (5, b'2') => (b'0'..=b'8').contains(&byte),
        (WEEK, _) => (b'0'..=b'5').contains(&byte),
        _ => is_digit(byte),
    };
    if !fits {
        return;
    }
    if matches!(at, 3 | 5 | 7) {
        to(next(state));
    }
    if !matches!(at, 5 | 7) {
        let at = if byte == b'w' { WEEK } else { at + 1 };
        to(State { at: At::Date(at, byte), ..state.clone() });
    }
}

/// The set of symbols in a text.
fn exactly(text: &[Symbol]) -> Set {
    text.iter().fold(0, |set, symbol| set | 1 << symbol)
}

/// The set of symbols that represent these characters.
fn set(alphabet: &Alphabet, characters: &HashSet<char>) -> Set {
    characters.iter().flat_map(|c| alphabet.like(*c)).fold(0, |set, symbol| set | 1 << symbol)
}
