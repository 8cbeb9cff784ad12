//! The delivery status parameters of a recipient (RFC 3461), kept when the recipient is replaced.
//!
//! Only NOTIFY and ORCPT are carried over, and only well formed: Sendmail loses a recipient that is added
//! with a parameter it does not know.

use crate::addr::Address;
use std::fmt::Write;

/// Longest ORCPT value carried over (RFC 3461, section 4.2 allows 500 octets for the whole parameter).
pub const MAX_ORCPT: usize = 500;

/// When the sender wants to be told (RFC 3461, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `NEVER`, or a union of the bits below; `None`: left to the server.
    flags: Option<u8>,
}

const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;
const DELAY: u8 = 4;
/// What servers do where the sender does not say (RFC 3461, section 4.1: failure, and delay as they like).
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

    /// The wishes of two recipients that became one: whoever wants to be told is told.
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
    /// Picks them out of the ESMTP parameters of `RCPT TO`; the server has checked them, so whatever is not
    /// as it should be is left out.
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

    /// Joins the wishes of two recipients that became one; the first original recipient stays.
    pub fn merge(&mut self, other: &Parameters) {
        self.notify = self.notify.or(other.notify);
    }

    /// The parameters to add a recipient with. `alias` is the original recipient where the sender named none.
    pub fn for_alias(&self, alias: &Address) -> String {
        let orcpt = self.orcpt.clone().unwrap_or_else(|| original_recipient(alias));
        match self.notify.value() {
            Some(notify) => format!("NOTIFY={notify} ORCPT={orcpt}"),
            None => format!("ORCPT={orcpt}"),
        }
    }
}

/// An ORCPT value as it may be passed on: type, semicolon and printable ASCII; international ones in the
/// form for servers without SMTPUTF8 (RFC 6533, section 3).
fn orcpt(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let plain = |c: char| c.is_ascii_graphic();
    if !atom
        || address.is_empty()
        || value.len() > MAX_ORCPT
        || address.chars().any(|c| c.is_ascii() && !plain(c))
    {
        return None;
    }
    if address.is_ascii() {
        return Some(value.into());
    }
    let international = kind.eq_ignore_ascii_case("utf-8");
    let ascii = address.chars().fold(String::new(), |out, c| {
        if c.is_ascii() { out + &*c.encode_utf8(&mut [0; 4]) } else { embed(out, c) }
    });
    international.then(|| format!("{kind};{ascii}"))
}

/// `rfc822;` with the address in xtext (RFC 3461, section 4), or `utf-8;` with it in the form of RFC 6533.
fn original_recipient(alias: &Address) -> String {
    let address = alias.to_string();
    if address.is_ascii() {
        return address.bytes().fold(String::from("rfc822;"), |mut out, b| {
            if b.is_ascii_graphic() && !matches!(b, b'+' | b'=') {
                out.push(char::from(b));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(out, "+{b:02X}");
            }
            out
        });
    }
    address.chars().fold(String::from("utf-8;"), |mut out, c| {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            out.push(c);
            out
        } else {
            embed(out, c)
        }
    })
}

/// EmbeddedUnicodeChar of RFC 6533, section 3.
fn embed(mut out: String, c: char) -> String {
    let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
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
            (&["ORCPT=utf-8;grüße@d"], &alias, "ORCPT=utf-8;gr\\x{FC}\\x{DF}e@d"),
            (&["ORCPT=rfc822;grüße@d"], &alias, "ORCPT=rfc822;a+2Bb+3Dc@d.test"),
            (&[], &german, "ORCPT=utf-8;gr\\x{FC}\\x{2B}\\x{DF}e@d.test"),
        ] {
            assert_eq!(Parameters::parse(given).for_alias(alias), want, "{given:?}");
        }
        let long = format!("ORCPT=rfc822;{}", "x".repeat(MAX_ORCPT));
        assert_eq!(Parameters::parse(&[long]).orcpt, None);
    }

    #[test]
    fn wishes_join() {
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
