//! tcp_table(5): `get KEY`, and a line with a code of three digits for an answer.
//!
//! Besides `get` it has the words of trualias' table servers, `stats` and `jstats`. A request is a line that ends
//! in LF; blanks round its words do not matter, upper and lower case of its verb neither.

use super::Broken;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use std::borrow::Cow;

/// Longest line, in octets, its end included (tcp_table(5): "a request or reply ... is limited to 4096").
pub const MAX_LINE: usize = 4096;

/// What is written as `%XX`: "the `%` character, each non-printable character, and each whitespace character"
/// (tcp_table(5)). What is not ASCII always is.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `get KEY`, the key decoded.
    Get(Cow<'a, [u8]>),
    /// `stats`
    Stats,
    /// `jstats`
    JsonStats,
    /// A blank line: trualias answers nothing to it.
    Blank,
    /// Another verb.
    Unrecognized,
    /// A verb with too few words behind it, or too many, or a key that is not encoded as it should be.
    Improper,
}

/// Reads a request, a line without its end.
pub fn request(line: &[u8]) -> Request<'_> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(verb) = words.next() else { return Request::Blank };
    let (first, more) = (words.next(), words.next().is_some());
    let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
    match first {
        Some(key) if is("get") && !more => decode(key).map_or(Request::Improper, Request::Get),
        None if is("stats") => Request::Stats,
        None if is("jstats") => Request::JsonStats,
        _ if is("get") || is("stats") || is("jstats") => Request::Improper,
        _ => Request::Unrecognized,
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `200 VALUE`
    Found(&'a str),
    /// `500 not found`
    NotFound,
    /// `400 WHY`: nobody can say now. Postfix closes the connection and defers.
    Later(&'a str),
}

impl Reply<'_> {
    /// Appends its line.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Reply::Found(value) => {
                out.extend_from_slice(b"200 ");
                encode(value, out);
            }
            Reply::NotFound => out.extend_from_slice(b"500 not found"),
            // A blank within is no trouble to anybody, and people read this.
            Reply::Later(why) => {
                out.extend_from_slice(b"400 ");
                out.extend_from_slice(why.as_bytes());
            }
        }
        out.push(b'\n');
    }
}

/// Appends the line that asks for `key`.
pub fn write_request(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b"get ");
    encode(key, out);
    out.push(b'\n');
}

/// Appends a text, encoded.
fn encode(text: &str, out: &mut Vec<u8>) {
    for piece in percent_encode(text.as_bytes(), ENCODED) {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// What another server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The value, decoded.
    Found(Vec<u8>),
    /// There is none.
    NotFound,
    /// It cannot say: its whole answer, decoded.
    Later(Vec<u8>),
}

/// Reads the answer of another server, a line without its end. Of a value only the first digit counts, as Postfix has
/// it; but that there is none is said by 500 alone (tcp_table(5)): another 5xx is an error of the server, such as
/// `503 bad sequence` or `554 overloaded`, and says nothing of the key.
pub fn response(line: &[u8]) -> Result<Response, Broken> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3).ok_or(Broken::Answer)?;
    let text = match rest {
        [] => &[],
        [b' ', text @ ..] => text,
        _ => return Err(Broken::Answer),
    };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(Broken::Answer);
    }
    let text = decode(text).ok_or(Broken::Answer)?.into_owned();
    match code[0] {
        b'2' => Ok(Response::Found(text)),
        b'5' if code == b"500" => Ok(Response::NotFound),
        b'4' | b'5' => Ok(Response::Later([code, b" ", &text].concat())),
        _ => Err(Broken::Answer),
    }
}

/// What stands for these octets; `None` where a `%` is not followed by two hexadecimal digits.
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
    fn requests() {
        for (line, want) in [
            ("get foo", get("foo")),
            ("GET foo\r", get("foo")),
            ("Get\tfoo", get("foo")),
            ("   get    foo   ", get("foo")),
            ("get foo%2dabc", get("foo-abc")),
            ("get %22a%20b%22@example.test", get("\"a b\"@example.test")),
            ("get gr%C3%BCsse@example.test", get("grüsse@example.test")),
            ("get é", get("é")),
            // A blank of another alphabet is no blank of the protocol.
            ("get foo\u{a0}x", get("foo\u{a0}x")),
            ("get 100%25", get("100%")),
            ("get 100%", Request::Improper),
            ("get 100%2", Request::Improper),
            ("get %zz", Request::Improper),
            ("get", Request::Improper),
            ("get a b", Request::Improper),
            ("stats now", Request::Improper),
            ("jstats x", Request::Improper),
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
    fn replies() {
        for (reply, want) in [
            (Reply::Found("foo@example.test"), "200 foo@example.test\n"),
            (Reply::Found("REJECT no, thanks: 100%\n"), "200 REJECT%20no,%20thanks:%20100%25%0A\n"),
            (Reply::Found("grüsse"), "200 gr%C3%BCsse\n"),
            (Reply::NotFound, "500 not found\n"),
            (Reply::Later("later please"), "400 later please\n"),
        ] {
            let mut bytes = Vec::new();
            reply.write(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), want);
        }
    }

    #[test]
    fn responses() {
        let found = |text: &str| Ok(Response::Found(text.into()));
        for (line, want) in [
            ("200 foo", found("foo")),
            ("200 a b%20c", found("a b c")),
            ("250 foo\r", found("foo")),
            ("200", found("")),
            ("500 not found", Ok(Response::NotFound)),
            ("500", Ok(Response::NotFound)),
            ("400 down", Ok(Response::Later("400 down".into()))),
            ("450%20x y", Err(Broken::Answer)),
            ("501 syntax", Ok(Response::Later("501 syntax".into()))),
            ("503", Ok(Response::Later("503 ".into()))),
            ("550 no such user", Ok(Response::Later("550 no such user".into()))),
            ("554 overloaded\r", Ok(Response::Later("554 overloaded".into()))),
            ("599 x", Ok(Response::Later("599 x".into()))),
            ("200 foo%zz", Err(Broken::Answer)),
            ("200foo", Err(Broken::Answer)),
            ("300 x", Err(Broken::Answer)),
            ("20x foo", Err(Broken::Answer)),
            ("20", Err(Broken::Answer)),
            ("", Err(Broken::Answer)),
        ] {
            assert_eq!(response(line.as_bytes()), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "\\PC{1,20}|[ -~\\x00-\\x1f]{1,20}") {
            let mut bytes = Vec::new();
            write_request(&mut bytes, &text);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert!(bytes[4..].iter().all(u8::is_ascii_graphic), "{:?}", bytes);
            prop_assert_eq!(request(&bytes), Request::Get(text.as_bytes().into()));
            let mut bytes = Vec::new();
            Reply::Found(&text).write(&mut bytes);
            prop_assert_eq!(bytes.pop(), Some(b'\n'));
            prop_assert_eq!(response(&bytes), Ok(Response::Found(text.into_bytes())));
        }

        #[test]
        fn every_line_has_a_reading(line in any::<Vec<u8>>()) {
            let _ = (request(&line), response(&line));
        }
    }
}
