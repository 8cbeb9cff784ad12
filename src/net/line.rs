//! What the line protocols of programs have in common: plug-ins and Dovecot's auth service.

use mail_address::{Address, lower};
use std::borrow::Cow;
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

/// The local part and the domain of an account, as they are sent: in domains where case does not matter, the local part
/// is in lower case, as mail servers deliver to it. The error is the reason why no question can name the account.
pub fn account_parts(account: &Address, case_sensitive: bool) -> Result<(Cow<'_, str>, &str), String> {
    if let Some(malformed) = account.malformed() {
        return Err(malformed.to_string());
    }
    let domain = account.domain().ok_or("the address has no domain")?;
    if account.local().is_empty() {
        return Err("the address has no local part".into());
    }
    let local = account.local();
    Ok((if case_sensitive { local.into() } else { lower(local) }, domain))
}

/// Returns a text that no program can take for more than a part of one line.
pub fn part_of_line(text: String) -> Result<String, String> {
    // Line separator and paragraph separator are not control characters.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("control character in the address".into());
    }
    Ok(text)
}
