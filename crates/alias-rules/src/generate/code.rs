//! Computes the code of a generated address.

use super::{Parts, Reason};
use crate::compile::refusals::Checked;
use crate::date::Day;
use crate::ir::{Op, Target};
use crate::matcher::operations;
use crate::secrets::HmacInput;
use crate::secrets::Secrets;
use crate::vocabulary::Class;

/// The values of all functions, in order.
pub(crate) struct Code {
    values: Vec<Value>,
}

/// The value of a function.
pub(crate) enum Value {
    Fixed(String),
    /// One of these characters. The first one is preferred unless the name is ambiguous with it.
    OneOf(Vec<char>),
    /// This number of `HMAC` characters, which depend on the whole name.
    Hmac(usize),
}

/// The characters that `NONE` tries, in this order; digits come first for numbers.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

impl Code {
    /// Computes the functions of a statement for these texts.
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

    /// All combinations of values: for each function the index of a [`Value::OneOf`]. The last function
    /// varies fastest.
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

    /// The code with these choices. `hmac` is the result of [`Code::hmac`], or `None` for a placeholder.
    pub fn text(&self, choice: &[usize], hmac: Option<&str>) -> String {
        let values = self.values.iter().zip(choice);
        values.map(|(value, at)| value.text(*at, hmac)).collect()
    }

    /// The characters of the longest `HMAC`, of which shorter ones are a prefix; `None` without `HMAC`.
    pub fn hmac(&self, secrets: &Secrets, input: &HmacInput<'_>) -> Result<Option<String>, Reason> {
        let lens = self.values.iter().filter_map(|value| match value {
            Value::Hmac(len) => Some(*len),
            Value::Fixed(_) | Value::OneOf(_) => None,
        });
        lens.max().map(|len| secrets.code(len, input).ok_or(Reason::NoSecrets)).transpose()
    }
}

impl Value {
    /// The text in the code, with the choice `at`.
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
