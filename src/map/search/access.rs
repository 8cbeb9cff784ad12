//! The actions of access(5).

use super::check::{address, transport};
use diagnostics::nearest;
use mail_address::BLANKS;

/// The argument of an action.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wants {
    /// Optional text.
    Text,
    /// A text.
    SomeText,
    /// `name: value` of a header field.
    Header,
    /// `transport:destination`.
    Filter,
    /// An address with a domain.
    Address,
}

/// The actions, in any case.
const ACTIONS: [(&str, Wants); 14] = [
    ("OK", Wants::Text),
    ("DUNNO", Wants::Text),
    ("REJECT", Wants::Text),
    ("DEFER", Wants::Text),
    ("DEFER_IF_REJECT", Wants::Text),
    ("DEFER_IF_PERMIT", Wants::Text),
    ("DISCARD", Wants::Text),
    ("HOLD", Wants::Text),
    ("WARN", Wants::Text),
    ("INFO", Wants::Text),
    ("PREPEND", Wants::Header),
    ("FILTER", Wants::Filter),
    ("REDIRECT", Wants::Address),
    ("BCC", Wants::Address),
];

/// Whether a restriction takes an argument.
fn has_argument(restriction: &str) -> bool {
    let among = |begin: &str, end: &str| restriction.starts_with(begin) && restriction.ends_with(end);
    among("check_", "_access")
        || restriction.starts_with("reject_rhsbl_")
        || [
            "check_policy_service",
            "reject_rbl_client",
            "permit_dnswl_client",
            "permit_rhswl_client",
            "sleep",
        ]
        .contains(&restriction)
}

/// Checks that a value is an action. The error is the problem.
pub(super) fn action(value: &str) -> Result<(), String> {
    let (word, rest) = value.split_once(BLANKS).unwrap_or((value, ""));
    let rest = rest.trim_matches(BLANKS);
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return code(word, rest);
    }
    match ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((name, wants)) => argument(name, *wants, rest),
        None => restrictions(value),
    }
}

/// Checks a reply code with a text, or a number that means OK.
fn code(word: &str, rest: &str) -> Result<(), String> {
    let is_number = word.bytes().all(|b| b.is_ascii_digit());
    let is_reply = is_number && word.len() == 3 && word.starts_with(['4', '5']);
    match (is_reply, rest) {
        // Without a text it could be either.
        (true, "") => Err("a reply code needs a text after it".into()),
        (true, _) => Ok(()),
        (false, "") if is_number => Ok(()),
        _ => Err("a reply code is 4NN or 5NN with a text after it".into()),
    }
}

/// Checks the argument of the action `name`. The error is the problem.
pub(super) fn argument(name: &str, wants: Wants, rest: &str) -> Result<(), String> {
    match wants {
        Wants::SomeText if rest.is_empty() => Err(format!("{name} needs a text after it")),
        Wants::Header => match rest.split_once(':') {
            Some((field, text)) if is_field(field) && !text.trim_matches(BLANKS).is_empty() => Ok(()),
            _ => Err(format!("{name} needs a header field, as in X-Name: value")),
        },
        Wants::Filter if rest.starts_with(':') || transport(rest).is_err() => {
            Err(format!("{name} needs a transport and a destination, as in smtp:[127.0.0.1]:10025"))
        }
        Wants::Text | Wants::SomeText | Wants::Filter => Ok(()),
        Wants::Address => match address(rest) {
            Ok(address) if address.domain().is_some() => Ok(()),
            _ => Err(format!("{name} needs one address with its domain")),
        },
    }
}

/// Whether it is a valid name of a header field (RFC 5322, section 2.2).
fn is_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Checks names of restrictions or restriction classes. A name that resembles an action is reported as a
/// misspelt action.
fn restrictions(value: &str) -> Result<(), String> {
    let separates = |c: char| c == ',' || BLANKS.contains(&c);
    let mut words = value.split(separates).filter(|word| !word.is_empty());
    let mut any = false;
    while let Some(word) = words.next() {
        any = true;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        let is_lower = !word.bytes().any(|b| b.is_ascii_uppercase());
        let meant = nearest(word, ACTIONS.map(|(name, _)| name)).filter(|_| !is_lower);
        // Several words with capitals are prose.
        let is_prose = !is_lower && word.len() != value.len();
        if meant.is_some() || is_prose || !word.bytes().all(fits) {
            let meant = meant.map_or(String::new(), |meant| format!(", perhaps {meant}"));
            return Err(format!("neither an action of access(5){meant} nor the names of restrictions"));
        }
        if has_argument(word) {
            let argument = words.next().ok_or(format!("the restriction {word} needs something after it"))?;
            // An argument in braces may contain spaces.
            if argument.starts_with('{') && !argument.ends_with('}') && !words.any(|word| word.ends_with('}'))
            {
                return Err(format!("the restriction {word} needs a }} after the {{"));
            }
        }
    }
    if any { Ok(()) } else { Err("nothing but commas".into()) }
}
