//! The syntax of aliases(5), as far as Postfix and Sendmail agree on it.
//!
//! ```text
//! name: value, value,
//!     value
//! "a name": value
//! ```
//!
//! Text that one of them reads differently, or ignores with a warning, is an error. An entry that is not
//! understood may be an account, so no list is used without it.

use mail_address::{Address, BLANKS, is_domain, is_hidden};
use std::ops::Range;

/// Maximum length of an entry with its continuation lines, in octets. A mailing list with 20,000 members takes
/// less; a longer entry is probably a file of another kind.
pub const MAX_ENTRY: usize = 1 << 20;

/// An entry of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without quotes.
    pub name: Address,
    /// Whether all values are addresses, rather than programs, files, or lists in other files.
    pub is_followed: bool,
}

/// Calls `each` with each entry of the file, and its first line, until it returns `false`. The error of an
/// entry is a sentence fragment.
pub fn entries(text: &str, each: &mut dyn FnMut(Range<usize>, Result<Entry, String>) -> bool) {
    let mut open: Option<(Range<usize>, String)> = None;
    let mut start = 0;
    if text.starts_with('\u{feff}')
        && !each(0..3, Err("mail servers take the byte order mark for a part of the first name".into()))
    {
        return;
    }
    for line in text.split_inclusive('\n') {
        let is_first = start == 0;
        let span = start..start + line.trim_end_matches(BLANKS).len();
        start += line.len();
        let content = line.trim_matches(BLANKS);
        // Reported above.
        let content = content.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(content);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if line.starts_with(BLANKS) {
            let is_odd = !line.starts_with([' ', '\t']);
            if is_odd
                && let Some((place, entry)) = open.take()
                && !each(place, parse(&entry))
            {
                return;
            }
            let goes_on = match &mut open {
                _ if is_odd => each(span, Err(ODD_BLANK.into())),
                Some((_, entry)) => {
                    // One octet more than allowed shows that the entry is too long.
                    let room = (MAX_ENTRY + 1).saturating_sub(entry.len());
                    entry.push(' ');
                    entry.push_str(&content[..content.floor_char_boundary(room)]);
                    true
                }
                None => each(span, Err("this line begins with a blank, but no entry comes before it".into())),
            };
            if !goes_on {
                return;
            }
        } else if let Some((place, entry)) = open.replace((span, content.to_owned()))
            && !each(place, parse(&entry))
        {
            return;
        }
    }
    if let Some((place, entry)) = open {
        each(place, parse(&entry));
    }
}

/// Parses one entry.
fn parse(entry: &str) -> Result<Entry, String> {
    if entry.len() > MAX_ENTRY {
        return Err(format!("the entry is longer than {MAX_ENTRY} bytes"));
    }
    if entry.contains('\0') {
        return Err("Postfix ignores the rest of an entry after a NUL".into());
    }
    if entry.contains(char::REPLACEMENT_CHARACTER) {
        return Err(
            "the entry is not UTF-8 (or has U+FFFD, the sign for such text): Postfix ignores it".into()
        );
    }
    let (local, rest) = if let Some(quoted) = entry.strip_prefix('"') {
        unquote(quoted)?
    } else {
        let end = entry.find(['@', ':']).unwrap_or(entry.len());
        (plain(&entry[..end])?, &entry[end..])
    };
    let (domain, rest) = match rest.strip_prefix('@') {
        Some(rest) => {
            let (domain, value) = rest.split_once(':').ok_or(NO_COLON)?;
            let domain = domain.trim_end_matches(BEFORE_COLON);
            if !is_domain(domain) {
                return Err("the domain is invalid".into());
            }
            (domain, value)
        }
        None => ("", rest.trim_start_matches(BEFORE_COLON).strip_prefix(':').ok_or(NO_COLON)?),
    };
    if local.is_empty() {
        return Err("the name is missing".into());
    }
    let value = rest.trim_matches(BLANKS);
    if value.is_empty() {
        return Err("the name has no value".into());
    }
    let name = Address::new(&local, domain).map_err(|malformed| malformed.to_string())?;
    Ok(Entry { name, is_followed: !value.split(',').any(is_indirect) })
}

const NO_COLON: &str = "there is no colon after the name";

/// To Sendmail, only a space or a tab continues an entry.
const ODD_BLANK: &str = "this line begins with a control character: to Postfix it continues the entry before, \
                         to Sendmail it does not";

/// The blanks of RFC 822. Postfix takes other control characters before the colon for a part of the name.
const BEFORE_COLON: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether a value is a program, a file, or a list in a file.
fn is_indirect(value: &str) -> bool {
    let value = value.trim_matches(BLANKS).trim_start_matches('"');
    value.starts_with(['|', '/']) || value.starts_with(":include:")
}

/// A name without quotes. White space at its end may precede the colon.
fn plain(name: &str) -> Result<String, String> {
    let name = name.trim_end_matches(BEFORE_COLON);
    // RFC 822, section 3.3, without the dot; Postfix also rejects a name with a percent sign.
    match name.chars().find(|c| *c == ' ' || is_hidden(*c) || "()<>,;\\\"[]%".contains(*c)) {
        Some(c) if BLANKS.contains(&c) => Err("the name has white space".into()),
        // Postfix has the name with this character, which is hardly what its author sees.
        Some(c) if is_hidden(c) => {
            Err(format!("the name has the invisible character U+{:04X}", u32::from(c)))
        }
        Some(c) => Err(format!("the name has {c}")),
        None => Ok(name.into()),
    }
}

/// A quoted name, of which the first quote is removed, and the text after it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((name, &text[at + 1..])),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    Err("the quoted name does not end".into())
}
