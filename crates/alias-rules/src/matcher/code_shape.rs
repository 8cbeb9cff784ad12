//! The shape of a `%code%` that is not verified because another `%code%` follows.
//!
//! Such a text must contain a character for each function, from left to right: a digit for a function that
//! counts, and the characters of `HMAC`. It begins with a digit if the first function counts. It ends after
//! the last of these characters, or in as many digits as there are counting functions at the end of the list.

use crate::ir::{CompiledCall, Op};
use crate::secrets;
use crate::vocabulary::is_digit;

/// The length of the shortest prefix of `text` that has the shape of a code of `calls`.
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

/// The number of digits at the end of a text that is longer than the shortest one.
pub(crate) fn trailing_digits(calls: &[CompiledCall]) -> usize {
    calls.iter().rev().take_while(|call| call.function.counts()).count()
}

/// Whether `text` has the shape of a code of `calls`.
pub(crate) fn fits(calls: &[CompiledCall], text: &str) -> bool {
    let digits = || text.bytes().rev().take_while(|b| is_digit(*b)).count();
    shortest(calls, text).is_some_and(|len| len == text.len() || digits() >= trailing_digits(calls))
}
