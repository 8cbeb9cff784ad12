//! Encodes and decodes the requests and replies of the lookup protocols of Postfix and Sendmail, and of the policy
//! delegation protocol of Postfix, for servers and for clients.
//!
//! The functions do no I/O and never panic: invalid input is a [`ProtocolError`].
//!
//! ```
//! use lookup_protocols::{netstring, socketmap};
//!
//! let mut bytes = Vec::new();
//! socketmap::write_request(&mut bytes, "aliases", "alice@example.com");
//! assert_eq!(bytes, b"25:aliases alice@example.com,");
//! let (payload, _) = netstring::read(&bytes, socketmap::MAX_REQUEST).unwrap().expect("a complete netstring");
//! assert_eq!(socketmap::request(payload), Some((&b"aliases"[..], &b"alice@example.com"[..])));
//! ```

pub mod netstring;
pub mod policy;
pub mod socketmap;
pub mod tcp_table;

/// Bytes that violate the protocol. The start of the next message is unknown, so close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The length of a netstring is not a number, or has too many digits.
    Length,
    /// A netstring or line is longer than allowed.
    TooLong,
    /// A netstring does not end in a comma.
    Comma,
    /// A line is not `name=value`.
    Attribute,
    /// The reply is invalid.
    Reply,
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProtocolError::Length => "netstring has no valid length",
            ProtocolError::TooLong => "longer than allowed",
            ProtocolError::Comma => "netstring does not end in a comma",
            ProtocolError::Attribute => "a line is not name=value",
            ProtocolError::Reply => "invalid reply",
        })
    }
}
