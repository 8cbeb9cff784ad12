//! The policy delegation protocol of Postfix (SMTPD_POLICY_README): a request is lines `name=value` and an empty
//! line; the reply is the line `action=…` and an empty line.
//!
//! ```
//! use lookup_protocols::policy;
//!
//! let mut bytes = Vec::new();
//! policy::write_request(&mut bytes, &[("request", "smtpd_access_policy"), ("recipient", "alice@example.com")]);
//! let (request, length) = policy::read(&bytes).unwrap().expect("a complete request");
//! assert_eq!(length, bytes.len());
//! assert_eq!(request.get("recipient"), Some(&b"alice@example.com"[..]));
//! ```

use super::ProtocolError;
use memchr::{memchr, memmem};

/// Longest request, in octets. Postfix sends some 30 attributes; addresses and names of certificates have at most
/// 2048 octets each (`line_length_limit`).
pub const MAX_REQUEST: usize = 64 * 1024;
/// Longest action that is written, in octets. A reply of an SMTP server has lines of 512 octets (RFC 5321, section
/// 4.5.3.1.5), and Postfix cuts longer texts off.
pub const MAX_ACTION: usize = 2048;
/// Longest reply that is read, in octets.
pub const MAX_REPLY: usize = 64 * 1024;

/// The attributes of a message: those of a request, or those of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'b> {
    lines: &'b [u8],
}

impl<'b> Attributes<'b> {
    /// The attributes in order. A name may occur twice.
    pub fn iter(self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let end = memchr(b'\n', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            // Each line has been checked by `read`.
            let at = memchr(b'=', line)?;
            Some((&line[..at], &line[at + 1..]))
        })
    }

    /// The value of the first attribute of this name.
    pub fn get(self, name: &str) -> Option<&'b [u8]> {
        self.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }
}

/// Reads the first request or reply of `bytes` and its length. `None`: it is incomplete.
///
/// # Errors
/// [`ProtocolError::Attribute`]: a line without name or `=`, or no attribute at all; [`ProtocolError::TooLong`]:
/// longer than [`MAX_REQUEST`].
pub fn read(bytes: &[u8]) -> Result<Option<(Attributes<'_>, usize)>, ProtocolError> {
    if bytes.first() == Some(&b'\n') {
        return Err(ProtocolError::Attribute);
    }
    let within = &bytes[..bytes.len().min(MAX_REQUEST)];
    let Some(end) = memmem::find(within, b"\n\n") else {
        return if bytes.len() >= MAX_REQUEST { Err(ProtocolError::TooLong) } else { Ok(None) };
    };
    let lines = &bytes[..=end];
    let mut rest = lines;
    while let Some(end) = memchr(b'\n', rest) {
        // A name and `=`.
        if memchr(b'=', &rest[..end]).unwrap_or(0) == 0 {
            return Err(ProtocolError::Attribute);
        }
        rest = &rest[end + 1..];
    }
    Ok(Some((Attributes { lines }, end + 2)))
}

/// Appends a request. Line ends and NUL in values become blanks, since they cannot be sent.
pub fn write_request(out: &mut Vec<u8>, attributes: &[(&str, &str)]) {
    for (name, value) in attributes {
        write_attribute(out, name.as_bytes(), value.as_bytes());
    }
    out.push(b'\n');
}

/// Appends the reply with this action, of which at most [`MAX_ACTION`] octets are written; it is cut before a
/// character. Line ends and NUL become blanks.
pub fn write_reply(out: &mut Vec<u8>, action: &str) {
    write_attribute(out, b"action", &action.as_bytes()[..action.floor_char_boundary(MAX_ACTION)]);
    out.push(b'\n');
}

/// Reads the action of the reply that begins `bytes`, and the length of the reply. `None`: it is incomplete.
///
/// # Errors
/// Those of [`read`]; [`ProtocolError::Reply`]: the reply has no action.
pub fn read_reply(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let Some((attributes, length)) = read(bytes)? else { return Ok(None) };
    let action = attributes.get("action").ok_or(ProtocolError::Reply)?;
    Ok(Some((action, length)))
}

fn write_attribute(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.push(b'=');
    out.extend(value.iter().map(|b| if matches!(b, b'\n' | b'\r' | b'\0') { b' ' } else { *b }));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        use ProtocolError::{Attribute, TooLong};
        type Wanted<'a> = Result<Option<(&'a [(&'a str, &'a str)], usize)>, ProtocolError>;
        let long = format!("a={}\n\n", "x".repeat(MAX_REQUEST));
        let longest = format!("a={}\n\n", "x".repeat(MAX_REQUEST - 4));
        let value = "x".repeat(MAX_REQUEST - 4);
        let cases: [(&str, Wanted<'_>); 15] = [
            ("a=b\n\n", Ok(Some((&[("a", "b")], 5)))),
            ("a=\nb==c d\n\nnext=1\n", Ok(Some((&[("a", ""), ("b", "=c d")], 11)))),
            // The first one counts.
            ("a=1\na=2\n\n", Ok(Some((&[("a", "1"), ("a", "2")], 9)))),
            ("", Ok(None)),
            ("a", Ok(None)),
            ("a=b", Ok(None)),
            ("a=b\n", Ok(None)),
            ("\n", Err(Attribute)),
            ("\n\n", Err(Attribute)),
            ("a\n\n", Err(Attribute)),
            ("=b\n\n", Err(Attribute)),
            ("a=b\nfoo\n\n", Err(Attribute)),
            // CR belongs to the value, and is no empty line.
            ("a=b\r\n\r\n", Ok(None)),
            (&longest, Ok(Some((&[("a", &value)], MAX_REQUEST)))),
            (&long, Err(TooLong)),
        ];
        for (bytes, want) in cases {
            let got = read(bytes.as_bytes()).map(|read| {
                read.map(|(attributes, length)| {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let all: Vec<_> =
                        attributes.iter().map(|(name, value)| (text(name), text(value))).collect();
                    (all, length)
                })
            });
            let want = want.map(|want| {
                want.map(|(all, length)| {
                    (all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(), length)
                })
            });
            assert_eq!(got, want, "{}", &bytes[..bytes.len().min(40)]);
        }
        let (attributes, _) = read(b"a=1\na=2\n\n").unwrap().unwrap();
        assert_eq!((attributes.get("a"), attributes.get("b")), (Some(&b"1"[..]), None));
    }

    #[test]
    fn writes_replies() {
        let long = "ü".repeat(MAX_ACTION);
        for (action, want) in [
            ("DUNNO", "action=DUNNO\n\n".to_owned()),
            ("550 5.1.1 no such user", "action=550 5.1.1 no such user\n\n".to_owned()),
            // It cannot forge an attribute, or end the reply.
            ("PREPEND X: y\r\n\naction=OK\0", "action=PREPEND X: y   action=OK \n\n".to_owned()),
            (&long, format!("action={}\n\n", "ü".repeat(MAX_ACTION / 2))),
        ] {
            let mut out = Vec::new();
            write_reply(&mut out, action);
            assert_eq!(String::from_utf8_lossy(&out), want);
            let (read, length) = read_reply(&out).unwrap().unwrap();
            assert_eq!(read, &want.as_bytes()["action=".len()..want.len() - 2]);
            assert_eq!(length, out.len());
        }
        for (bytes, want) in [
            (&b"action=DUNNO\n"[..], Ok(None)),
            (b"reply=DUNNO\n\n", Err(ProtocolError::Reply)),
            (b"DUNNO\n\n", Err(ProtocolError::Attribute)),
        ] {
            assert_eq!(read_reply(bytes), want);
        }
    }
}
