//! Escapes untrusted text for a log line, for JSON or for a terminal.
//!
//! | function | for | a space | `"` | also escaped |
//! | --- | --- | --- | --- | --- |
//! | [`escape`] | a message to a person | stays | `\"` | |
//! | [`word`] | `name=value` in a log line | `\x20` | `\x22` | `<` `>` `[` `]` |
//! | [`quoted`] | `name="text"` in a log line | stays | `\x22` | `=` |
//! | [`one_line`] | a whole line | stays | stays | not `\` |
//!
//! All of them escape characters that could forge or garble a line: controls, octets that are not UTF-8, all
//! Unicode separators except the space, characters that reorder, hide or fill text on a terminal, and
//! noncharacters. A value escaped by [`word`] or [`quoted`] cannot contain ` name=`, so a program that splits
//! a log line there gets exactly the fields that were written.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Longest text shown, in characters; a longer text is truncated and ends in `…`.
pub const MAX_SHOWN: usize = 300;
/// Longest text shown, in octets after escaping. An escaped character takes up to ten octets: without this
/// limit, a few fields of such characters would fill a log line, and later fields would be truncated.
pub const MAX_OCTETS: usize = 600;

/// Selects the characters that are escaped in addition to the hidden ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text,
    Word,
    Quoted,
}

/// Untrusted bytes whose `Display` is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    bytes: &'a [u8],
    style: Style,
}

/// Escapes `text` for a message to a person.
pub fn escape<T: AsRef<[u8]> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped { bytes: text.as_ref(), style: Style::Text }
}

/// Escapes `text` as the value of `name=value`: without a space, a quote or a bracket, so that the value ends
/// at the next of these.
pub fn word<T: AsRef<[u8]> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped { bytes: text.as_ref(), style: Style::Word }
}

/// Escapes `text` for the quotes of `name="text"`: without a quote and without `=`, so that it cannot contain
/// another field.
pub fn quoted<T: AsRef<[u8]> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped { bytes: text.as_ref(), style: Style::Quoted }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nearly all text is plain and short.
        if self.bytes.len() <= MAX_SHOWN && self.bytes.iter().all(|b| self.style.is_plain(*b)) {
            return std::str::from_utf8(self.bytes).map_or(Err(fmt::Error), |text| f.write_str(text));
        }
        let mut room = Room { out: f, characters: MAX_SHOWN, octets: MAX_OCTETS };
        let mut unit = String::new();
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                unit.clear();
                match c {
                    // A leading mark would combine with the character before this text.
                    c if room.is_untouched() && is_mark(c) => write!(unit, "\\u{{{:x}}}", u32::from(c))?,
                    c if is_hidden(c) => hidden(&mut unit, c)?,
                    '"' | '\\' if self.style == Style::Text => unit.extend(['\\', c]),
                    ' '..='~' if !self.style.is_plain(c as u8) => write!(unit, "\\x{:02x}", u32::from(c))?,
                    c => unit.push(c),
                }
                if !room.put(&unit)? {
                    return Ok(());
                }
            }
            for b in chunk.invalid() {
                unit.clear();
                write!(unit, "\\x{b:02x}")?;
                if !room.put(&unit)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Writes whole characters, escaped or not, until the limits are reached.
struct Room<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    characters: usize,
    octets: usize,
}

impl Room<'_, '_> {
    fn is_untouched(&self) -> bool {
        self.characters == MAX_SHOWN
    }

    /// Writes one character and returns whether there was room for it; writes `…` if not.
    fn put(&mut self, unit: &str) -> Result<bool, fmt::Error> {
        if self.characters == 0 || self.octets < unit.len() {
            self.out.write_char('…')?;
            return Ok(false);
        }
        self.characters -= 1;
        self.octets -= unit.len();
        self.out.write_str(unit)?;
        Ok(true)
    }
}

impl Style {
    /// Whether an octet is never escaped.
    fn is_plain(self, b: u8) -> bool {
        let others: &[u8] = match self {
            Style::Text => b"\"\\",
            Style::Word => b"\"\\ <>[]",
            Style::Quoted => b"\"\\=",
        };
        matches!(b, b' '..=b'~') && !others.contains(&b)
    }
}

/// Escapes the characters that could end a line or garble it on a terminal; all others are unchanged.
pub fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |out, c| {
        // Writing to a String cannot fail.
        let _ = hidden(out, c);
    })
}

/// Escapes characters that hide or reorder text as `\u` and four digits. JSON has them only in strings, so the
/// result is equivalent JSON.
pub fn plain_json(json: &str) -> Cow<'_, str> {
    replaced(json, |out, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn replaced(text: &str, replace: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { replace(&mut out, c) } else { out.push(c) }
    }
    out.into()
}

fn hidden(out: &mut String, c: char) -> fmt::Result {
    if c.is_ascii() {
        write!(out, "\\x{:02x}", u32::from(c))
    } else {
        write!(out, "\\u{{{:x}}}", u32::from(c))
    }
}

/// Whether a character ends a line, is a space other than the usual one, changes how its neighbours look, is
/// invisible, or is a noncharacter.
pub fn is_hidden(c: char) -> bool {
    const OTHER: GeneralCategoryGroup = GeneralCategoryGroup::Other.union(GeneralCategoryGroup::Separator);
    match c {
        ' '..='~' => false,
        // Unicode classifies the blank Braille pattern as a symbol.
        '\0'..='\x7f' | '\u{2800}' => true,
        c => {
            OTHER.contains(CodePointMapData::<GeneralCategory>::new().get(c))
                || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        }
    }
}

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that some log readers take for a line end or a space, or that a terminal shows as other
    /// characters.
    const HIDDEN: &[char] = &[
        '\0',
        '\t',
        '\n',
        '\u{b}',
        '\u{c}',
        '\r',
        '\u{1b}',
        '\u{1c}',
        '\u{1d}',
        '\u{1e}',
        '\u{1f}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{a0}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{1160}',
        '\u{1680}',
        '\u{17b4}',
        '\u{180e}',
        '\u{2000}',
        '\u{200a}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{202f}',
        '\u{205f}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{206a}',
        '\u{2800}',
        '\u{3000}',
        '\u{3164}',
        '\u{e000}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{fff9}',
        '\u{ffff}',
        '\u{1d173}',
        '\u{e0001}',
        '\u{e007f}',
        '\u{e0100}',
        '\u{10ffff}',
    ];

    #[test]
    fn hidden_characters_are_escaped_everywhere() {
        for c in HIDDEN {
            let text = format!("a{c}b");
            for shown in [
                escape(&text).to_string(),
                word(&text).to_string(),
                quoted(&text).to_string(),
                one_line(&text).into(),
            ] {
                assert!(
                    shown.starts_with("a\\") && shown.ends_with('b') && !shown.contains(*c),
                    "{c:?}: {shown}"
                );
            }
            let json = serde_json::json!({ "key": text }).to_string();
            let plain = plain_json(&json);
            assert!(!plain.contains(*c), "{plain}");
            let value: serde_json::Value = serde_json::from_str(&plain).unwrap();
            assert_eq!(value["key"], text, "{plain}");
        }
        for c in "~äßñæ中אع₤😀".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn each_style_escapes_its_own_characters() {
        for (text, as_text, as_word, as_quoted) in [
            ("foo@example.com", "foo@example.com", "foo@example.com", "foo@example.com"),
            ("grüße", "grüße", "grüße", "grüße"),
            ("a=b", "a=b", "a=b", "a\\x3db"),
            (
                "\"x> c=v[1]\"@d",
                "\\\"x> c=v[1]\\\"@d",
                "\\x22x\\x3e\\x20c=v\\x5b1\\x5d\\x22@d",
                "\\x22x> c\\x3dv[1]\\x22@d",
            ),
            ("\\x20", "\\\\x20", "\\x5cx20", "\\x5cx20"),
            ("e\u{301}", "e\u{301}", "e\u{301}", "e\u{301}"),
            ("\u{301}e", "\\u{301}e", "\\u{301}e", "\\u{301}e"),
        ] {
            assert_eq!(escape(text).to_string(), as_text);
            assert_eq!(word(text).to_string(), as_word);
            assert_eq!(quoted(text).to_string(), as_quoted);
        }
        assert_eq!(word(b"a\xff\xc3").to_string(), "a\\xff\\xc3");
        assert_eq!(one_line("a \"b\\x0a\" = c\nd"), "a \"b\\x0a\" = c\\x0ad");
    }

    #[test]
    fn long_text_is_truncated_between_characters() {
        for (text, want) in [
            ("a".repeat(MAX_SHOWN), "a".repeat(MAX_SHOWN)),
            ("a".repeat(MAX_SHOWN + 1), format!("{}…", "a".repeat(MAX_SHOWN))),
            ("ä".repeat(MAX_SHOWN + 1), format!("{}…", "ä".repeat(MAX_SHOWN))),
            ("中".repeat(MAX_SHOWN), format!("{}…", "中".repeat(MAX_OCTETS / 3))),
            ("\u{e007f}".repeat(MAX_SHOWN), format!("{}…", "\\u{e007f}".repeat(MAX_OCTETS / 9))),
            ("\n".repeat(MAX_SHOWN), format!("{}…", "\\x0a".repeat(MAX_OCTETS / 4))),
        ] {
            assert_eq!(word(&text).to_string(), want);
        }
    }
}
