//! The bytes of the look-up protocols, in both directions: what a server reads and writes, and what a client of
//! another server does.
//!
//! Pure: no I/O. Every input has a reading or is [`Broken`].

pub mod netstring;
pub mod socketmap;
pub mod tcp_table;

/// Bytes that follow no protocol. What comes behind them cannot be understood either, so the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A netstring whose length is none.
    Length,
    /// A netstring or line longer than may be.
    TooLong,
    /// A netstring that does not end in a comma.
    Comma,
    /// An answer that is none of the protocol's.
    Answer,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Broken::Length => "a netstring does not begin with its length",
            Broken::TooLong => "it is longer than allowed",
            Broken::Comma => "a netstring does not end in a comma",
            Broken::Answer => "the answer is none of the protocol",
        })
    }
}
