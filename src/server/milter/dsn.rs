//! Delivery status parameters of a recipient (RFC 3461), kept when the recipient is replaced.
//!
//! Only NOTIFY and ORCPT are kept, and only if well formed: Sendmail loses a recipient that is added with
//! an unknown parameter.

use mail_address::Address;
use std::fmt::Write;

/// Longest ORCPT value that is kept (RFC 3461, section 4.2 allows 500 octets for the whole parameter).
pub const MAX_ORCPT: usize = 500;

/// When the sender wants a delivery report (RFC 3461, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `NEVER`, or a union of the bits below; `None`: the server decides.
    flags: Option<u8>,
}

const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;
const DELAY: u8 = 4;
/// Default of mail servers (RFC 3461, section 4.1: failure, and optionally delay).
const DEFAULT: u8 = FAILURE | DELAY;

impl Notify {
    fn parse(value: &str) -> Option<Self> {
        let mut flags = 0;
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Notify { flags: Some(0) });
        }
        for word in value.split(',') {
            flags |= match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => SUCCESS,
                "FAILURE" => FAILURE,
                "DELAY" => DELAY,
                _ => return None,
            };
        }
        Some(Notify { flags: Some(flags) })
    }

    /// Combines the requests of two recipients that became one: a report requested for either is sent.
    fn or(self, other: Self) -> Self {
        match (self.flags, other.flags) {
            (None, None) => self,
            (a, b) => Notify { flags: Some(a.unwrap_or(DEFAULT) | b.unwrap_or(DEFAULT)) },
        }
    }

    fn value(self) -> Option<String> {
        let flags = self.flags?;
        let words = [(SUCCESS, "SUCCESS"), (FAILURE, "FAILURE"), (DELAY, "DELAY")];
        let words: Vec<&str> =
            words.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word).collect();
        Some(if words.is_empty() { "NEVER".into() } else { words.join(",") })
    }
}

/// NOTIFY and ORCPT of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    notify: Notify,
    orcpt: Option<String>,
}

impl Parameters {
    /// Parses the ESMTP parameters of `RCPT TO`; the server has checked them, so invalid ones are ignored.
    pub fn parse<A: AsRef<[u8]>>(arguments: &[A]) -> Self {
        let mut found = Parameters::default();
        for argument in arguments {
            let Ok(text) = std::str::from_utf8(argument.as_ref()) else { continue };
            match text.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("NOTIFY") => {
                    found.notify = Notify::parse(value).unwrap_or(found.notify);
                }
                Some((key, value)) if key.eq_ignore_ascii_case("ORCPT") => {
                    found.orcpt = orcpt(value).or(found.orcpt);
                }
                _ => (),
            }
        }
        found
    }

    /// Merges the parameters of two recipients that became one; the first ORCPT is kept.
    pub fn merge(&mut self, other: &Parameters) {
        self.notify = self.notify.or(other.notify);
    }

    /// The parameters for an added recipient. `alias` becomes the ORCPT if the sender set none.
    pub fn for_alias(&self, alias: &Address) -> String {
        let orcpt = self.orcpt.clone().unwrap_or_else(|| original_recipient(alias));
        match self.notify.value() {
            Some(notify) => format!("NOTIFY={notify} ORCPT={orcpt}"),
            None => format!("ORCPT={orcpt}"),
        }
    }
}

/// Returns an ORCPT value if it may be passed on: type, semicolon and printable ASCII.
fn orcpt(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !atom || address.is_empty() || value.len() > MAX_ORCPT {
        return None;
    }
    if kind.eq_ignore_ascii_case("utf-8") {
        return Some(xtext("utf-8;", &international(address)?));
    }
    address.bytes().all(|b| b.is_ascii_graphic()).then(|| value.into())
}

/// Decodes an international address (RFC 6533, section 3) to UTF-8. Accepts UTF-8, `\x{..}` for a
/// character, and the xtext of RFC 3461, which some clients use although it is not allowed.
fn international(address: &str) -> Option<String> {
    let mut out = Vec::with_capacity(address.len());
    let mut rest = address;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("\\x{") {
            let (digits, tail) = tail.split_once('}')?;
            let c = hex(digits).and_then(char::from_u32)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = tail;
        } else if let Some((octet, tail)) = rest.strip_prefix('+').and_then(|tail| tail.split_at_checked(2))
            && let Some(octet) = hex(octet).and_then(|octet| u8::try_from(octet).ok())
        {
            out.push(octet);
            rest = tail;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    let address = String::from_utf8(out).ok()?;
    (!address.chars().any(|c| c.is_control() || c == ' ')).then_some(address)
}

/// Parses hexadecimal digits, without the sign that the standard library would accept.
fn hex(digits: &str) -> Option<u32> {
    let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    u32::from_str_radix(digits?, 16).ok()
}

/// Returns `rfc822;` with the address in xtext (RFC 3461, section 4), or `utf-8;` with it (RFC 6533).
fn original_recipient(alias: &Address) -> String {
    let address = alias.to_string();
    xtext(if address.is_ascii() { "rfc822;" } else { "utf-8;" }, &address)
}

/// Encodes `kind` and the text in xtext (RFC 3461, section 4). International text is encoded in xtext, too:
/// Postfix takes the `\x{..}` of RFC 6533 for part of the name when a milter adds a recipient, and raw
/// UTF-8 is for servers with SMTPUTF8 only.
fn xtext(kind: &str, text: &str) -> String {
    text.bytes().fold(kind.to_owned(), |mut out, b| {
        if b.is_ascii_graphic() && !matches!(b, b'+' | b'=') {
            out.push(char::from(b));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "+{b:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_valid_parameters() {
        let alias = Address::from_rcpt(b"<a+b=c@d.test>");
        let german = Address::from_rcpt("<grü+ße@d.test>".as_bytes());
        for (given, alias, want) in [
            (&[][..], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["NOTIFY=NEVER"], &alias, "NOTIFY=NEVER ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (
                &["notify=success,Failure", "orcpt=rfc822;x@y"],
                &alias,
                "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y",
            ),
            (&["NOTIFY=DELAY", "FOO=BAR", "XYZ"], &alias, "NOTIFY=DELAY ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["NOTIFY=", "ORCPT=;x"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["NOTIFY=NEVER,SUCCESS", "ORCPT=rfc822;a b"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["ORCPT=utf-8;grüße@d"], &alias, "ORCPT=utf-8;gr+C3+BC+C3+9Fe@d"),
            (&["ORCPT=utf-8;gr\\x{FC}\\x{DF}e@d"], &alias, "ORCPT=utf-8;gr+C3+BC+C3+9Fe@d"),
            (&["ORCPT=UTF-8;gr+C3+BC+C3+9Fe@d"], &alias, "ORCPT=utf-8;gr+C3+BC+C3+9Fe@d"),
            (&["ORCPT=utf-8;a\\x{2B}b\\x{5C}\\x{1F600}@d"], &alias, "ORCPT=utf-8;a+2Bb\\+F0+9F+98+80@d"),
            (&["ORCPT=utf-8;a+b\\y@d"], &alias, "ORCPT=utf-8;a+2Bb\\y@d"),
            // If a character or the text is invalid, the alias is used.
            (&["ORCPT=utf-8;a\\x{110000}@d"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["ORCPT=utf-8;a\\x{FC"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["ORCPT=utf-8;a+FF@d"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["ORCPT=utf-8;a\\x{A}b@d"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&["ORCPT=rfc822;gr+FCn@d"], &alias, "ORCPT=rfc822;gr+FCn@d"),
            (&["ORCPT=rfc822;grüße@d"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&[], &german, "ORCPT=utf-8;gr+C3+BC+2B+C3+9Fe@d.test"),
        ] {
            assert_eq!(Parameters::parse(given).for_alias(alias), want, "{given:?}");
        }
        let long = format!("ORCPT=rfc822;{}", "x".repeat(MAX_ORCPT));
        assert_eq!(Parameters::parse(&[long]).orcpt, None);
    }

    #[test]
    fn merges_report_requests() {
        for (a, b, want) in [
            ("NEVER", "NEVER", Some("NEVER")),
            ("NEVER", "SUCCESS", Some("SUCCESS")),
            ("SUCCESS", "", Some("SUCCESS,FAILURE,DELAY")),
            ("NEVER", "", Some("FAILURE,DELAY")),
            ("", "", None),
        ] {
            let parse = |v| Notify::parse(v).unwrap_or_default();
            assert_eq!(parse(a).or(parse(b)).value().as_deref(), want, "{a} {b}");
        }
    }
}
