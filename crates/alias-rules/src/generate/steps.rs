//! Instructions for composing an address step by step without a computer.

use super::Parts;
use super::code::{Code, Value};
use crate::compile::refusals::Checked;
use crate::ir::{CompiledCall, Op};
use crate::matcher::operations;
use crate::syntax::expression::Item;
use crate::vocabulary::Function;
use mail_address::escape;

/// The steps for composing `name`.
pub(crate) fn of(
    checked: &Checked<'_>,
    parts: &Parts<'_>,
    code: &Code,
    choice: &[usize],
    name: &str,
) -> Vec<String> {
    let mut steps = Vec::new();
    if let (Some(date), true) = (&parts.date, checked.statement.expression.has(&Item::Date)) {
        steps.push(format!("the last day of the address: {date}"));
    }
    let mut whole = String::new();
    for ((call, value), at) in checked.calls.iter().zip(code.values()).zip(choice) {
        let text = parts.target(call.target);
        let hmac = matches!(value, Value::Hmac(_));
        let value = value.text(*at, None);
        whole.push_str(&value);
        let shown = if hmac { "only rcptd can compute them".into() } else { escape(&value).to_string() };
        steps.push(format!("{}: {shown}", step(call, text)));
    }
    if checked.calls.len() > 1 && !code.values().iter().any(|value| matches!(value, Value::Hmac(_))) {
        steps.push(format!("code: {}", escape(&whole)));
    }
    steps.push(format!("put together: {}", escape(name)));
    steps
}

/// The instruction for one function, which looks at `text`.
fn step(call: &CompiledCall, text: &str) -> String {
    let shown = escape(text);
    match &call.op {
        Op::Count(function) => format!("count {} of {shown}", counted(*function)),
        Op::Any => format!("any character of {shown}"),
        Op::None => format!("any letter or digit that is not in {shown}"),
        Op::Char { at, default } => {
            let what = nth(*at, kind(text));
            if is_there(text, *at) {
                format!("{what} of {shown}")
            } else {
                format!("{shown} has no {what}, so take {}", escape(default))
            }
        }
        Op::LabelChar { label, at, default } => {
            let which = nth(*label, "part");
            let found = operations::label_at(text, *label);
            match found {
                Some(part) if is_there(part, *at) => {
                    let what = nth(*at, kind(part));
                    format!("{what} of {}, the {which} of {shown}", escape(part))
                }
                Some(part) => {
                    let what = nth(*at, "character");
                    let part = escape(part);
                    format!("\"{part}\", the {which} of {shown}, has no {what}, so take {}", escape(default))
                }
                None => format!("{shown} has no {which}, so take {}", escape(default)),
            }
        }
        Op::Hmac(len) => format!("{len} characters computed with the secret"),
    }
}

fn counted(function: Function) -> &'static str {
    match function {
        Function::Digits => "the digits",
        Function::Alphas => "the lower case letters",
        Function::Vowels => "the vowels (a, e, i, o, u in lower case)",
        Function::Labels => "the parts between the dots",
        Function::Chars | Function::Any | Function::None | Function::Char | Function::Hmac => {
            "the characters"
        }
    }
}

/// The word for a character of `text`: a letter if all characters are letters.
fn kind(text: &str) -> &'static str {
    if !text.is_empty() && text.chars().all(char::is_alphabetic) { "letter" } else { "character" }
}

fn is_there(text: &str, at: i64) -> bool {
    operations::char_at(text, at).is_some()
}

/// Formats an index: `first letter`, `4th letter`, `last letter`, `4th last letter`.
fn nth(at: i64, what: &str) -> String {
    let n = at.unsigned_abs().max(1);
    let ordinal = match n {
        1 => "first".into(),
        2 => "second".into(),
        3 => "third".into(),
        n if n % 10 == 1 && n % 100 != 11 => format!("{n}st"),
        n if n % 10 == 2 && n % 100 != 12 => format!("{n}nd"),
        n if n % 10 == 3 && n % 100 != 13 => format!("{n}rd"),
        n => format!("{n}th"),
    };
    match (at < 0, n) {
        (false, _) => format!("{ordinal} {what}"),
        (true, 1) => format!("last {what}"),
        (true, _) => format!("{ordinal} last {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_count_from_both_ends() {
        for (at, want) in [
            (0, "first letter"),
            (1, "first letter"),
            (3, "third letter"),
            (4, "4th letter"),
            (11, "11th letter"),
            (21, "21st letter"),
            (112, "112th letter"),
            (-1, "last letter"),
            (-2, "second last letter"),
            (i64::MIN, "9223372036854775808th last letter"),
        ] {
            assert_eq!(nth(at, "letter"), want);
        }
    }
}
