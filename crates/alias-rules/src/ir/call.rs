//! A function of a statement, with what it looks at.

use crate::vocabulary::Function;
use std::fmt;

/// Which text a function looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// An identifier of the expression, from 0.
    Identifier(usize),
    Account,
    Alias,
    /// The whole name except the code.
    Name,
}

/// What a function computes from that text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// The number of what the function counts.
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
    /// That many characters, computed with a secret.
    Hmac(usize),
}

/// A call that can be computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompiledCall {
    pub function: Function,
    pub op: Op,
    pub target: Target,
}

/// Why a statement can be loaded, but never matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Never {
    /// The expression holds no `%code%`.
    NoCode,
    /// The function names no identifier, and there is none.
    NoIdentifier(Function),
    /// `LABELS` for a text that is not a `%fqdn%`.
    NoLabels,
    /// More functions or names than a local part has octets; each takes one at least.
    TooLong,
}

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Never::NoCode => f.write_str("the expression holds no %code%"),
            Never::NoIdentifier(function) => {
                write!(f, "{} looks at an identifier, and the expression holds none", function.name())
            }
            Never::NoLabels => f.write_str("LABELS looks at a text that is not a %fqdn%"),
            Never::TooLong => f.write_str("no local part is long enough"),
        }
    }
}

/// Most digits of a count: names have less than 10,000 characters (see [`crate::matcher::rules::MAX_NAME`]).
pub(crate) const MAX_DIGITS: usize = 4;

impl CompiledCall {
    /// The least bytes of code its value can have.
    pub fn shortest(&self) -> usize {
        if let Op::Hmac(len) = self.op { len } else { 1 }
    }

    /// The most bytes of code its value can have.
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

/// As in a calc expression, with every argument.
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
