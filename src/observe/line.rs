//! Formats the fields of a log line.
//!
//! A line about a message is `QUEUEID: name=value name=value …`. Data of rcptd come first, then data of the
//! mail server, and last the data that a client can choose: addresses, then texts. A value of one word is
//! formatted by [`word`], an address by [`mailbox`], a text as `name="…"` by [`quoted`]. Their output
//! cannot contain ` name=` or an unescaped bracket or quote, so the first `client=` of a line cannot be
//! forged.

use mail_address::{quoted, word};
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv6Addr};

/// The first word of a line about a message: the server's queue id, or `NOQUEUE`.
pub fn queue_id(id: Option<&[u8]>) -> impl Display {
    word(id.unwrap_or(b"NOQUEUE"))
}

/// An address as typed, in one pair of brackets.
pub fn mailbox(path: &[u8]) -> impl Display {
    let bare = path.strip_prefix(b"<").and_then(|p| p.strip_suffix(b">")).unwrap_or(path);
    fmt::from_fn(move |f| write!(f, "<{}>", word(bare)))
}

/// A text of several words, in quotes.
pub fn text(what: &dyn Display) -> impl Display {
    octets(what.to_string().into_bytes())
}

/// Octets from outside, in quotes.
pub fn octets(octets: impl AsRef<[u8]>) -> impl Display {
    fmt::from_fn(move |f| write!(f, "\"{}\"", quoted(&octets)))
}

/// A value that implements Display, as one word.
pub fn name(what: &dyn Display) -> impl Display {
    let string = what.to_string();
    fmt::from_fn(move |f| write!(f, "{}", word(&string)))
}

/// The client as `name[address]`, as Postfix writes it. Sendmail writes `[address]` for a client without a
/// name, and `IPv6:` before an IPv6 address: both are converted to the form of Postfix.
pub fn client<'a>(name: Option<&'a [u8]>, address: &'a [u8]) -> impl Display + use<'a> {
    fmt::from_fn(move |f| {
        let name = name.filter(|name| !name.is_empty() && !name.starts_with(b"[")).unwrap_or(b"unknown");
        match ip(address) {
            Some(address) => write!(f, "{}[{address}]", word(name)),
            None => write!(f, "{}[{}]", word(name), word(address)),
        }
    })
}

/// Parses the address of a client, with or without the `IPv6:` of Sendmail.
pub fn ip(address: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(address).ok()?;
    match text.get(..5) {
        Some(label) if label.eq_ignore_ascii_case("IPv6:") => {
            text[5..].parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => text.parse().ok(),
    }
}

/// Truncates a line to `limit` octets. A truncated line ends in `…` after a complete character or escape,
/// with an open quote or bracket closed.
pub fn cut(line: &mut String, limit: usize) {
    /// Length of `…` and the closing quote or bracket.
    const END: usize = '…'.len_utf8() + 1;
    if line.len() <= limit {
        return;
    }
    let (mut end, mut open) = (0, None);
    let (mut at, mut closes): (usize, Option<char>) = (0, None);
    while let Some(unit) = unit(&line[at..]) {
        match (unit, closes) {
            ("\"", None) => closes = Some('"'),
            ("<", None) if line[..at].ends_with('=') => closes = Some('>'),
            (unit, Some(c)) if unit.starts_with(c) => closes = None,
            _ => (),
        }
        at += unit.len();
        if at + END > limit {
            break;
        }
        (end, open) = (at, closes);
    }
    line.truncate(end);
    line.push('…');
    line.extend(open);
}

/// The first character of a text, or the complete escape at its beginning.
fn unit(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let escape = match text.as_bytes() {
        [b'\\', b'x', ..] => text.get(..4).filter(|escape| hex(&escape[2..])),
        [b'\\', b'u', b'{', ..] => text.split_inclusive('}').next().filter(|escape| {
            escape.len() <= "\\u{10ffff}".len()
                && escape.strip_suffix('}').is_some_and(|inner| hex(&inner[3..]))
        }),
        [b'\\', b'"' | b'\\', ..] => text.get(..2),
        _ => None,
    };
    Some(escape.unwrap_or(&text[..first.len_utf8()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_clients() {
        for (name, address, want) in [
            (Some("c.test"), "192.0.2.1", "c.test[192.0.2.1]"),
            (None, "192.0.2.1", "unknown[192.0.2.1]"),
            (Some("[192.0.2.1]"), "192.0.2.1", "unknown[192.0.2.1]"),
            (Some("c.test"), "IPv6:2001:DB8:0::1", "c.test[2001:db8::1]"),
            (Some("c.test"), "2001:db8::1", "c.test[2001:db8::1]"),
            (Some("localhost"), "unknown", "localhost[unknown]"),
            (
                Some("v.test[198.51.100.7] client=x"),
                "192.0.2.1",
                "v.test\\x5b198.51.100.7\\x5d\\x20client=x[192.0.2.1]",
            ),
            (Some("c.test"), "198.51.100.7] x=[192.0.2.1", "c.test[198.51.100.7\\x5d\\x20x=\\x5b192.0.2.1]"),
        ] {
            assert_eq!(client(name.map(str::as_bytes), address.as_bytes()).to_string(), want);
        }
    }

    #[test]
    fn truncates_at_whole_characters_and_escapes() {
        // line, limit, result
        for (line, limit, want) in [
            ("a b=c", 5, "a b=c"),
            ("abcdefgh", 7, "abc…"),
            ("a=\"bcdefgh\"", 9, "a=\"bc…\""),
            ("a=\"b\" cdefgh", 11, "a=\"b\" c…"),
            ("a=<bcdefgh>", 9, "a=<bc…>"),
            ("a < bcdefgh", 9, "a < b…"),
            ("a=\"\\x22\\x22\\x22\"", 14, "a=\"\\x22…\""),
            ("a=<\\u{e007f}\\u{e007f}>", 20, "a=<\\u{e007f}…>"),
            ("äöüäöü", 8, "äö…"),
            ("a=\"\\\"\\\"\\\"\\\"\"", 9, "a=\"\\\"…\""),
            ("a=\"x>y<zzzzzz\"", 12, "a=\"x>y<z…\""),
        ] {
            let mut got = line.to_owned();
            cut(&mut got, limit);
            assert_eq!(got, want, "{line}");
            assert!(got.len() <= limit, "{got}");
        }
    }
}
