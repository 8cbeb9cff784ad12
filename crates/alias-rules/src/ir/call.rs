//! A compiled call of a function.

use crate::vocabulary::Function;
use std::fmt;

/// The text that a function looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// An identifier of the expression, from 0.
    Identifier(usize),
    Account,
    Alias,
    /// The whole name except the code.
    Name,
}

/// The operation of a function on its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// Counts the characters or labels that the function selects.
    Count(Function),
    Any,
    None,
    Char {
        at: i64,
        default: String,
    },
    LabelChar {
        label: i64,
        at: i64,
        default: String,
    },
    /// Computes this number of characters with a secret.
    Hmac(usize),
}

/// A call with its operation and its text resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompiledCall {
    pub function: Function,
    pub op: Op,
    pub target: Target,
}

/// The reason that a valid statement never matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeverMatches {
    /// The expression has no `%code%`.
    NoCode,
    /// The function looks at an identifier, but the expression has none.
    NoIdentifier(Function),
    /// `LABELS` looks at a text that is not a `%fqdn%`.
    NoLabels,
    /// The functions or names need more octets than a local part has; each needs at least one.
    TooLong,
}

impl std::fmt::Display for NeverMatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NeverMatches::NoCode => f.write_str("the expression has no %code%"),
            NeverMatches::NoIdentifier(function) => {
                write!(f, "{} looks at an identifier, but the expression has none", function.name())
            }
            NeverMatches::NoLabels => f.write_str("LABELS looks at a text that is not a %fqdn%"),
            NeverMatches::TooLong => f.write_str("no local part is long enough"),
        }
    }
}

/// Maximum number of digits of a count: names have fewer than 10,000 characters (see
/// [`crate::matcher::rules::MAX_NAME`]).
pub(crate) const MAX_DIGITS: usize = 4;

impl CompiledCall {
    /// The minimum length of its value, in bytes.
    pub fn shortest(&self) -> usize {
        if let Op::Hmac(len) = self.op { len } else { 1 }
    }

    /// The maximum length of its value, in bytes.
    pub fn longest(&self) -> usize {
        match &self.op {
            Op::Count(_) => MAX_DIGITS,
            Op::Any | Op::None => char::MAX.len_utf8(),
            Op::Char { default, .. } | Op::LabelChar { default, .. } => {
                default.len().max(char::MAX.len_utf8())
            }
            Op::Hmac(len) => *len,
        }
    }
}

/// Formats the call as in a calc expression, with all arguments.
impl fmt::Display for CompiledCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name())?;
        match self.target {
            Target::Identifier(i) => write!(f, "{}", i + 1)?,
            Target::Account => f.write_str("account")?,
            Target::Alias => f.write_str("alias")?,
            Target::Name => {}
        }
        match &self.op {
            Op::Count(_) | Op::Any | Op::None => {}
            Op::Hmac(len) => write!(f, "{len}")?,
            Op::Char { at, default } => write!(f, ",{at},{default}")?,
            Op::LabelChar { label, at, default } => write!(f, ",{label},{at},{default}")?,
        }
        f.write_str(")")
    }
}
