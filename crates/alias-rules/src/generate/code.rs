//! The code of an address, and the places where something is still to be computed.

use super::{Parts, Reason};
use crate::compile::refusals::Checked;
use crate::date::Day;
use crate::ir::{Op, Target};
use crate::matcher::operations;
use crate::secrets::Bound;
use crate::secrets::Secrets;
use crate::vocabulary::Class;

/// What the functions give, in order.
pub(crate) struct Code {
    values: Vec<Value>,
}

/// What one function gives.
pub(crate) enum Value {
    /// This.
    Fixed(String),
    /// One of these characters, of which the first will do unless it leaves doubt.
    OneOf(Vec<char>),
    /// That many characters, which only the secret tells.
    Hmac(usize),
}

/// Letters and digits, in the order in which `NONE` takes them.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

impl Code {
    /// What the functions of a statement give for these texts.
    pub fn of(checked: &Checked<'_>, parts: &Parts<'_>) -> Result<Self, Reason> {
        let classes: Vec<Class> = checked.statement.expression.identifiers().collect();
        let values = checked.calls.iter().map(|call| {
            let text = parts.target(call.target);
            let none = || Reason::NoValue { call: call.to_string(), text: text.into() };
            let one_of = |choices: Vec<char>| {
                if choices.is_empty() { Err(none()) } else { Ok(Value::OneOf(choices)) }
            };
            match &call.op {
                Op::Any => {
                    let mut choices: Vec<char> = Vec::new();
                    for c in text.chars() {
                        if !choices.contains(&c) {
                            choices.push(c);
                        }
                    }
                    one_of(choices)
                }
                Op::None => {
                    let is_number = matches!(call.target, Target::Identifier(i)
                        if classes.get(i) == Some(&Class::Number));
                    let (first, then) = if is_number { (DIGITS, LETTERS) } else { (LETTERS, DIGITS) };
                    one_of(first.chars().chain(then.chars()).filter(|c| !text.contains(*c)).collect())
                }
                Op::Hmac(len) => Ok(Value::Hmac(*len)),
                op @ (Op::Count(_) | Op::Char { .. } | Op::LabelChar { .. }) => {
                    let value = operations::value(op, text, "").ok_or_else(none)?;
                    Ok(Value::Fixed(value.into_owned()))
                }
            }
        });
        Ok(Code { values: values.collect::<Result<_, _>>()? })
    }

    /// The value of each function.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Every way to choose where there is a choice: for each function the number of what is taken. The last
    /// one changes first.
    pub fn choices(&self) -> impl Iterator<Item = Vec<usize>> + use<'_> {
        let first = vec![0; self.values.len()];
        std::iter::successors(Some(first), |choice| {
            let mut next = choice.clone();
            for (at, value) in next.iter_mut().zip(&self.values).rev() {
                *at += 1;
                match value {
                    Value::OneOf(choices) if *at < choices.len() => return Some(next),
                    _ => *at = 0,
                }
            }
            None
        })
    }

    /// The code with these choices. The part that only the secret tells is `hmac`, if it is known.
    pub fn text(&self, choice: &[usize], hmac: Option<&str>) -> String {
        let values = self.values.iter().zip(choice);
        values.map(|(value, at)| value.text(*at, hmac)).collect()
    }

    /// The part of the code that only the secret tells, if there is one, for the name whose code stands
    /// is `bound`. Where several functions ask for some, the longest is the beginning of all.
    pub fn hmac(&self, secrets: &Secrets, bound: &Bound<'_>) -> Result<Option<String>, Reason> {
        let lens = self.values.iter().filter_map(|value| match value {
            Value::Hmac(len) => Some(*len),
            Value::Fixed(_) | Value::OneOf(_) => None,
        });
        lens.max().map(|len| secrets.code(len, bound).ok_or(Reason::NoSecrets)).transpose()
    }
}

impl Value {
    /// As it stands in the code, with the choice `at`.
    pub fn text(&self, at: usize, hmac: Option<&str>) -> String {
        match self {
            Value::Fixed(text) => text.clone(),
            Value::OneOf(choices) => choices.get(at).copied().map(String::from).unwrap_or_default(),
            Value::Hmac(len) => {
                hmac.map_or_else(|| "0".repeat(*len), |code| code.chars().take(*len).collect())
            }
        }
    }
}

/// The shortest notation of `%date%` whose last day is `day`.
pub(crate) fn date(day: Day) -> Result<String, Reason> {
    day.notation().ok_or(Reason::NoNotation(day))
}
