//! tcp_table(5): the request is a line `get KEY`, the reply a line that begins with a code of three digits.
//!
//! In addition, `stats` and `jstats` of trualias' table servers are requests. Lines end in LF. Extra blanks
//! are ignored, and verbs are compared ignoring case.
//!
//! ```
//! use lookup_protocols::tcp_table::{Reply, Request, request};
//!
//! assert_eq!(request(b"get alice%40example.com"), Request::Get(b"alice@example.com".as_slice().into()));
//! let mut line = Vec::new();
//! Reply::Found("a b").write(&mut line);
//! assert_eq!(line, b"200 a%20b\n");
//! ```

use super::ProtocolError;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use std::borrow::Cow;

/// Longest line, in octets including LF (tcp_table(5): "a request or reply ... is limited to 4096").
pub const MAX_LINE: usize = 4096;

/// Characters that are encoded as `%XX`: "the `%` character, each non-printable character, and each
/// whitespace character" (tcp_table(5)). Octets beyond ASCII are always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// Those that are encoded in the reason of a temporary failure. A line feed would end the reply, so that the rest of
/// the reason would be the next one. Blanks are not: clients accept them here, and the text is for people.
const ENCODED_REASON: &AsciiSet = &CONTROLS.add(b'%');

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `get KEY`; the key is decoded.
    Get(Cow<'a, [u8]>),
    /// `stats`
    Stats,
    /// `jstats`
    JsonStats,
    /// A blank line. trualias does not reply to it.
    Blank,
    /// An unknown verb.
    Unrecognized,
    /// A known verb with the wrong number of words, or a key with an invalid encoding.
    Malformed,
}

/// Decodes a request, given as a line without its end.
pub fn request(line: &[u8]) -> Request<'_> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(verb) = words.next() else { return Request::Blank };
    let (first, more) = (words.next(), words.next().is_some());
    let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
    match first {
        Some(key) if is("get") && !more => decode(key).map_or(Request::Malformed, Request::Get),
        None if is("stats") => Request::Stats,
        None if is("jstats") => Request::JsonStats,
        _ if is("get") || is("stats") || is("jstats") => Request::Malformed,
        _ => Request::Unrecognized,
    }
}

/// A reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `200 VALUE`
    Found(&'a str),
    /// `500 not found`
    NotFound,
    /// `400 REASON`: the lookup failed temporarily. Postfix closes the connection and defers.
    TempFail(&'a str),
}

impl Reply<'_> {
    /// Appends the reply as a line.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Reply::Found(value) => {
                out.extend_from_slice(b"200 ");
                encode(value, ENCODED, out);
            }
            Reply::NotFound => out.extend_from_slice(b"500 not found"),
            Reply::TempFail(reason) => {
                out.extend_from_slice(b"400 ");
                encode(reason, ENCODED_REASON, out);
            }
        }
        out.push(b'\n');
    }
}

/// Appends the request for `key`.
pub fn write_request(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b"get ");
    encode(key, ENCODED, out);
    out.push(b'\n');
}

fn encode(text: &str, encoded: &'static AsciiSet, out: &mut Vec<u8>) {
    for piece in percent_encode(text.as_bytes(), encoded) {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// A reply of another server, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The value.
    Found(Vec<u8>),
    /// The key has no value.
    NotFound,
    /// The lookup failed temporarily; with the whole reply.
    TempFail(Vec<u8>),
}

/// Decodes the reply of another server, given as a line without its end.
///
/// Every 2xx code is a value, as in Postfix. Only 500 means "not found" (tcp_table(5)): any other 5xx is an
/// error of the server that does not depend on the key, such as `503 bad sequence` or `554 overloaded`.
pub fn response(line: &[u8]) -> Result<Response, ProtocolError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3).ok_or(ProtocolError::Reply)?;
    let text = match rest {
        [] => &[],
        [b' ', text @ ..] => text,
        _ => return Err(ProtocolError::Reply),
    };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(ProtocolError::Reply);
    }
    let text = decode(text).ok_or(ProtocolError::Reply)?.into_owned();
    match code[0] {
        b'2' => Ok(Response::Found(text)),
        b'5' if code == b"500" => Ok(Response::NotFound),
        b'4' | b'5' => Ok(Response::TempFail([code, b" ", &text].concat())),
        _ => Err(ProtocolError::Reply),
    }
}

/// Decodes `%XX`; `None` if a `%` is not followed by two hexadecimal digits.
fn decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return None,
        }
    }
    Some(percent_decode(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(key: &str) -> Request<'_> {
        Request::Get(key.as_bytes().into())
    }

    #[test]
    fn decodes_requests() {
        for (line, want) in [
            ("get foo", get("foo")),
            ("GET foo\r", get("foo")),
            ("Get\tfoo", get("foo")),
            ("   get    foo   ", get("foo")),
            ("get foo%2dabc", get("foo-abc")),
            ("get %22a%20b%22@example.test", get("\"a b\"@example.test")),
            ("get gr%C3%BCsse@example.test", get("grüsse@example.test")),
            ("get é", get("é")),
            // Only ASCII blanks separate words.
            ("get foo\u{a0}x", get("foo\u{a0}x")),
            ("get 100%25", get("100%")),
            ("get 100%", Request::Malformed),
            ("get 100%2", Request::Malformed),
            ("get %zz", Request::Malformed),
            ("get", Request::Malformed),
            ("get a b", Request::Malformed),
            ("stats now", Request::Malformed),
            ("jstats x", Request::Malformed),
            ("stats", Request::Stats),
            ("JStats", Request::JsonStats),
            ("", Request::Blank),
            ("  \r", Request::Blank),
            ("put a b", Request::Unrecognized),
            ("foo", Request::Unrecognized),
            ("getfoo", Request::Unrecognized),
        ] {
            assert_eq!(request(line.as_bytes()), want, "{line}");
        }
        assert_eq!(request(b"get \xff%FE"), Request::Get(vec![0xff, 0xfe].into()));
    }

    #[test]
    fn encodes_replies() {
        for (reply, want) in [
            (Reply::Found("foo@example.test"), "200 foo@example.test\n"),
            (Reply::Found("REJECT no, thanks: 100%\n"), "200 REJECT%20no,%20thanks:%20100%25%0A\n"),
            (Reply::Found("grüsse"), "200 gr%C3%BCsse\n"),
            (Reply::NotFound, "500 not found\n"),
            (Reply::TempFail("later please"), "400 later please\n"),
            (Reply::TempFail("no\n200 foo\r\0, 100%"), "400 no%0A200 foo%0D%00, 100%25\n"),
        ] {
            let mut bytes = Vec::new();
            reply.write(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), want);
        }
    }

    #[test]
    fn decodes_responses() {
        let found = |text: &str| Ok(Response::Found(text.into()));
        for (line, want) in [
            ("200 foo", found("foo")),
            ("200 a b%20c", found("a b c")),
            ("250 foo\r", found("foo")),
            ("200", found("")),
            ("500 not found", Ok(Response::NotFound)),
            ("500", Ok(Response::NotFound)),
            ("400 down", Ok(Response::TempFail("400 down".into()))),
            ("450%20x y", Err(ProtocolError::Reply)),
            ("501 syntax", Ok(Response::TempFail("501 syntax".into()))),
            ("503", Ok(Response::TempFail("503 ".into()))),
            ("550 no such user", Ok(Response::TempFail("550 no such user".into()))),
            ("554 overloaded\r", Ok(Response::TempFail("554 overloaded".into()))),
            ("599 x", Ok(Response::TempFail("599 x".into()))),
            ("200 foo%zz", Err(ProtocolError::Reply)),
            ("200foo", Err(ProtocolError::Reply)),
            ("300 x", Err(ProtocolError::Reply)),
            ("20x foo", Err(ProtocolError::Reply)),
            ("20", Err(ProtocolError::Reply)),
            ("", Err(ProtocolError::Reply)),
        ] {
            assert_eq!(response(line.as_bytes()), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn reads_its_own_output(text in "\\PC{1,20}|[ -~\\x00-\\x1f]{1,20}") {
            let mut bytes = Vec::new();
            write_request(&mut bytes, &text);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert!(bytes[4..].iter().all(u8::is_ascii_graphic), "{:?}", bytes);
            prop_assert_eq!(request(&bytes), Request::Get(text.as_bytes().into()));
            let mut bytes = Vec::new();
            Reply::Found(&text).write(&mut bytes);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert_eq!(response(&bytes), Ok(Response::Found(text.clone().into_bytes())));
            let mut bytes = Vec::new();
            Reply::TempFail(&text).write(&mut bytes);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert!(!bytes.contains(&b'\n'), "{:?}", bytes);
            prop_assert_eq!(response(&bytes), Ok(Response::TempFail(format!("400 {text}").into_bytes())));
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(line in any::<Vec<u8>>()) {
            let _ = (request(&line), response(&line));
        }
    }
}
