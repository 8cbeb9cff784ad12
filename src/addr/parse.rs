//! From the bytes of a path to its parts. Total: every input has a reading.

use super::{MAX_DOMAIN, MAX_LOCAL_PART, Malformed};

/// The parts of a path as they were written: the local part unquoted, the domain not yet canonical.
#[derive(Default)]
pub(super) struct Parts {
    pub local: String,
    pub domain: String,
    pub malformed: Option<Malformed>,
}

/// Reads a path, `<[@route:]local[@domain]>`, with or without its brackets.
pub(super) fn path(bytes: &[u8]) -> Parts {
    let (text, utf8) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.into(), true),
        Err(_) => (String::from_utf8_lossy(bytes), false),
    };
    let text = text.trim_matches(WHITE);
    let text = text.strip_prefix('<').unwrap_or(text);
    let text = strip_route(text.strip_suffix('>').unwrap_or(text).trim_matches(WHITE));

    let Split { at, open_quote } = split(text);
    let (local, domain) = at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    let (local, domain) = (unquote(local.trim_matches(WHITE)), domain.trim_matches(WHITE));
    let malformed = if open_quote {
        Some(Malformed::Quote)
    } else if !utf8 {
        Some(Malformed::NotUtf8)
    } else if local.chars().chain(domain.chars()).any(char::is_control) {
        Some(Malformed::Control)
    } else if local.len() > MAX_LOCAL_PART || domain.len() > MAX_DOMAIN {
        Some(Malformed::TooLong)
    } else {
        None
    };
    Parts { local, domain: domain.into(), malformed }
}

const WHITE: [char; 2] = [' ', '\t'];

/// Drops a source route, `@a,@b:`; RFC 5321, appendix C, asks receivers to ignore it.
pub(super) fn strip_route(text: &str) -> &str {
    if !text.starts_with('@') {
        return text;
    }
    let mut literal = false;
    for (i, c) in text.char_indices() {
        match c {
            '[' => literal = true,
            ']' => literal = false,
            '"' => return text,
            // An address literal may hold colons of its own.
            ':' if !literal => return &text[i + 1..],
            _ => (),
        }
    }
    text
}

struct Split {
    /// The `@` before the domain: the last one outside of quotes.
    at: Option<usize>,
    open_quote: bool,
}

fn split(text: &str) -> Split {
    let (mut at, mut quoted, mut escaped) = (None, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            // Outside of quotes a backslash is no escape to RFC 5321; Postfix splits at the last @.
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => at = Some(i),
            _ => (),
        }
    }
    Split { at, open_quote: quoted }
}

/// Takes the quotes off a local part, also off one of several words (`a."b c"`).
fn unquote(local: &str) -> String {
    if !local.contains('"') {
        return local.into();
    }
    let (mut out, mut quoted, mut escaped) = (String::with_capacity(local.len()), false, false);
    for c in local.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                out.push(c);
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => out.push(c),
        }
    }
    out
}
