//! Splits a path into local part and domain. Never fails: every input has a result.

use super::{MAX_DOMAIN, MAX_LOCAL_PART, Malformed, has_control, spelling};
use std::borrow::Cow;

/// The parts of an address: the local part unquoted, the domain not yet canonical.
#[derive(Default)]
pub(super) struct Parts {
    pub local: String,
    pub domain: String,
    pub malformed: Option<Malformed>,
    /// Whether all servers parse it alike.
    pub certain: bool,
}

/// Parses a path, `<[@route:]local[@domain]>`, with or without its brackets.
pub(super) fn path(bytes: &[u8]) -> Parts {
    let (whole, utf8) = decoded(bytes);
    let path = whole.trim_matches(WHITE);
    let inner = path.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(path);
    let text = strip_route(inner);

    let Split { at, open_quote } = split(text);
    let (local, domain) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let route = inner.strip_suffix(text).unwrap_or_default();
    if text.contains('\n') {
        // A command line cannot contain a line feed, so servers cannot differ on it.
        let domain = domain.unwrap_or_default();
        return checked(unquote(local), domain.into(), utf8, spelling::is_certain_domain(domain));
    }
    if !open_quote && is_plain_route(route) && spelling::is_certain(local, domain) {
        return checked(unquote(local), domain.unwrap_or_default().into(), utf8, true);
    }
    let (local, domain) = spelling::parts(inner);
    let parts = checked(local, domain.unwrap_or_default(), utf8, false);
    Parts { malformed: open_quote.then_some(Malformed::UnclosedQuote).or(parts.malformed), ..parts }
}

/// Parses an address that a mail server has parsed before. It has no brackets, route or comments; special
/// characters are part of the name.
pub(super) fn address(bytes: &[u8]) -> Parts {
    let (text, utf8) = decoded(bytes);
    let Split { at, open_quote } = split(&text);
    let parts = match at {
        Some(at) => {
            let (local, domain) = (&text[..at], &text[at + 1..]);
            checked(unquote(local), domain.into(), utf8, spelling::is_certain_domain(domain))
        }
        // Sendmail reports the name of a local user with its quotes and backslashes.
        None => checked(unquote(&without_backslashes(&text)), String::new(), utf8, true),
    };
    Parts { malformed: open_quote.then_some(Malformed::UnclosedQuote).or(parts.malformed), ..parts }
}

fn decoded(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.into(), true),
        Err(_) => (String::from_utf8_lossy(bytes), false),
    }
}

fn checked(local: String, domain: String, utf8: bool, certain: bool) -> Parts {
    let malformed = if !utf8 {
        Some(Malformed::NotUtf8)
    } else if has_control(&local) || has_control(&domain) {
        Some(Malformed::Control)
    } else if local.len() > MAX_LOCAL_PART || domain.len() > MAX_DOMAIN {
        Some(Malformed::TooLong)
    } else {
        None
    };
    Parts { local, domain, malformed, certain }
}

pub(super) const WHITE: [char; 2] = [' ', '\t'];

/// Whether a source route, including its colon, consists of host names and address literals only.
fn is_plain_route(route: &str) -> bool {
    let plain = |hop: &str| hop.strip_prefix('@').is_some_and(spelling::is_certain_domain);
    route.is_empty() || route.strip_suffix(':').is_some_and(|hops| hops.split(',').all(plain))
}

/// Removes a source route, `@a,@b:`; RFC 5321, appendix C, recommends to ignore it.
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
            // An address literal may contain colons.
            ':' if !literal => return &text[i + 1..],
            _ => (),
        }
    }
    text
}

struct Split {
    /// The last `@` outside of quotes, which precedes the domain.
    at: Option<usize>,
    open_quote: bool,
}

fn split(text: &str) -> Split {
    let (mut at, mut quoted, mut escaped) = (None, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            // Outside of quotes, RFC 5321 has no escapes, and Postfix splits at the last @.
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => at = Some(i),
            _ => (),
        }
    }
    Split { at, open_quote: quoted }
}

/// Removes the backslashes from an unquoted text, keeping the characters they escape.
fn without_backslashes(text: &str) -> Cow<'_, str> {
    if text.contains('"') || !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out.into()
}

/// Removes the quotes from a local part, which may have several words (`a."b c"`).
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
