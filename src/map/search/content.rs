//! The actions of header_checks(5).
//!
//! Postfix logs an invalid action, and accepts the message as if the key was not found.

use super::access::{Wants, argument};
use diagnostics::nearest;
use mail_address::BLANKS;

/// The part of a message that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A header.
    Header,
    /// A line of the body.
    Body,
}

/// The actions, in any case. In the body, those with a header have any text.
const ACTIONS: [(&str, Wants); 15] = [
    ("BCC", Wants::Address),
    ("DISCARD", Wants::Text),
    ("DUNNO", Wants::Text),
    ("FILTER", Wants::Filter),
    ("HOLD", Wants::Text),
    ("IGNORE", Wants::Text),
    ("INFO", Wants::Text),
    ("OK", Wants::Text),
    ("PASS", Wants::Text),
    ("REDIRECT", Wants::Address),
    ("REJECT", Wants::Text),
    ("STRIP", Wants::Text),
    ("WARN", Wants::Text),
    ("PREPEND", Wants::Header),
    ("REPLACE", Wants::Header),
];

/// Checks that a value is an action for this part of a message. The error is the problem.
pub(super) fn action(value: &str, part: Part) -> Result<(), String> {
    let (word, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    let Some((name, wants)) = ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) else {
        let meant = nearest(&word.to_ascii_uppercase(), ACTIONS.map(|(name, _)| name));
        let meant = meant.map_or(String::new(), |meant| format!(", perhaps {meant}"));
        return Err(format!("not an action of header_checks(5){meant}"));
    };
    let wants = match (wants, part) {
        (Wants::Header, Part::Body) => Wants::SomeText,
        _ => *wants,
    };
    argument(name, wants, rest.trim_matches(BLANKS))
}
