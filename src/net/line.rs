//! What the line protocols of programs have in common: plug-ins and Dovecot's auth service.

use std::str::FromStr;

/// Maximum length of a line that is quoted in an error, in octets.
pub const MAX_QUOTED: usize = 100;

/// Parses the number of a request. Only the digits that were sent count: no sign, and no zeros before them.
pub fn request_number<N: FromStr + ToString>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
}

/// The beginning of a line, for an error.
pub fn quoted(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if text.len() <= MAX_QUOTED {
        return text.into_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_QUOTED)])
}
