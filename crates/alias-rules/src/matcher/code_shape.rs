//! What a `%code%` looks like that another one follows, so that it is not verified: each function finds its
//! character from left to right, a digit for one that counts, and `HMAC` its characters; it begins with a
//! digit if the first function counts; and it ends with the last character found, or in as many digits as
//! functions that count stand last.

use crate::ir::{CompiledCall, Op};
use crate::secrets;
use crate::vocabulary::is_digit;

/// The length of the shortest beginning of `text` that looks like a code of `calls`.
pub(crate) fn shortest(calls: &[CompiledCall], text: &str) -> Option<usize> {
    let mut rest = text;
    for (i, call) in calls.iter().enumerate() {
        if call.function.counts() {
            let digit = rest.bytes().position(is_digit).filter(|at| i > 0 || *at == 0)?;
            rest = &rest[digit..];
        }
        if let Op::Hmac(len) = call.op {
            rest = rest.get(len..).filter(|_| secrets::begins(rest, len))?;
            continue;
        }
        let mut chars = rest.chars();
        chars.next()?;
        rest = chars.as_str();
    }
    Some(text.len() - rest.len())
}

/// How many digits end a text that is longer than the shortest one.
pub(crate) fn trailing_digits(calls: &[CompiledCall]) -> usize {
    calls.iter().rev().take_while(|call| call.function.counts()).count()
}

/// Whether `text` looks like a code of `calls`.
pub(crate) fn fits(calls: &[CompiledCall], text: &str) -> bool {
    let digits = || text.bytes().rev().take_while(|b| is_digit(*b)).count();
    shortest(calls, text).is_some_and(|len| len == text.len() || digits() >= trailing_digits(calls))
}
