//! Texts with placeholders: the reply to a client that has to wait, and the header of a delayed message.

use std::fmt::{self, Write};

/// Longest text that an operator may write, in octets: with its values it fits into a line of a reply (RFC 5321, section
/// 4.5.3.1.5: 512 octets).
pub const MAX_TEXT: usize = 400;

/// A placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The seconds until the next attempt may pass.
    Wait,
    /// The seconds between the first attempt and the one that passed; in a reply, the delay that is configured.
    Delay,
    /// The name of this host.
    Hostname,
    /// The recipient.
    Recipient,
    /// The date (RFC 5322, section 3.3).
    Date,
}

/// The placeholders by their names in braces.
const NAMES: [(&str, Name); 5] = [
    ("wait", Name::Wait),
    ("delay", Name::Delay),
    ("hostname", Name::Hostname),
    ("recipient", Name::Recipient),
    ("date", Name::Date),
];

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Name),
}

impl Template {
    /// Parses a text in which only the placeholders of `allowed` may occur, in braces: `{wait}`. `{{` and `}}` are
    /// braces.
    ///
    /// # Errors
    /// A sentence fragment with what is wrong, and the remedy.
    pub fn parse(text: &str, allowed: &[Name]) -> Result<Self, (String, String)> {
        if text.len() > MAX_TEXT {
            let remedy = format!("at most {MAX_TEXT} octets fit into a reply with the values");
            return Err(("is too long".into(), remedy));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err((format!("has the control character {c:?}"), "remove it".into()));
        }
        let known = || {
            let names = NAMES.iter().filter(|(_, name)| allowed.contains(name));
            let names: Vec<String> = names.map(|(word, _)| format!("{{{word}}}")).collect();
            format!("known are {}; write {{{{ for a brace", names.join(", "))
        };
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let word = rest.split_once('}').filter(|_| brace == "{");
            let Some((word, after)) = word else {
                return Err((format!("has a single \"{brace}\""), known()));
            };
            let name = NAMES.iter().find(|(other, name)| *other == word && allowed.contains(name));
            let Some((_, name)) = name else {
                return Err((format!("has the unknown placeholder {{{word}}}"), known()));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(Part::Value(*name));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Template { parts: parts.into() })
    }

    /// The text with the values that `value` writes.
    pub fn fill(&self, mut value: impl FnMut(Name, &mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Value(name) => {
                    // Writing to a String fails only if a value does: it is left out.
                    let _ = value(*name, &mut text);
                }
            }
        }
        text
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Appends the date of a message at `now`, in seconds since 1970, as of RFC 5322 in UTC.
pub fn write_date(now: u64, out: &mut String) -> fmt::Result {
    let time =
        i64::try_from(now).ok().and_then(|now| jiff::Timestamp::from_second(now).ok()).ok_or(fmt::Error)?;
    write!(out, "{}", time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced() {
        let all = [Name::Wait, Name::Hostname, Name::Date];
        for (text, want) in [
            (
                "4.2.0 Greylisted, please retry in {wait} seconds",
                Ok("4.2.0 Greylisted, please retry in 17 seconds"),
            ),
            ("{wait}{wait} {hostname}", Ok("1717 mx.example.test")),
            ("{{wait}} }}", Ok("{wait} }")),
            ("", Ok("")),
            ("{date}", Ok("Mon, 01 Dec 2025 00:46:40 +0000")),
            ("{recipient}", Err("has the unknown placeholder {recipient}")),
            ("{Wait}", Err("has the unknown placeholder {Wait}")),
            ("{}", Err("has the unknown placeholder {}")),
            ("a {wait", Err("has a single \"{\"")),
            ("a } b", Err("has a single \"}\"")),
            ("a\nb", Err("has the control character '\\n'")),
        ] {
            let got = Template::parse(text, &all).map(|template| {
                template.fill(|name, out| match name {
                    Name::Wait => write!(out, "{}", 17),
                    Name::Date => write_date(1_764_550_000, out),
                    _ => write!(out, "mx.example.test"),
                })
            });
            assert_eq!(got.as_deref().map_err(|(what, _)| what.as_str()), want, "{text}");
        }
        assert!(Template::parse(&"x".repeat(MAX_TEXT), &all).is_ok());
        let (what, remedy) = Template::parse(&"x".repeat(MAX_TEXT + 1), &all).unwrap_err();
        assert_eq!((what.as_str(), remedy.contains("400")), ("is too long", true));
    }
}
