//! One entry a line: conditions, separated by blanks, all of which must hold.
//!
//! ```text
//! # name of the client, verified, and names below it; and SPF passes for the sender
//! name=outlook.com spf=pass
//! client=192.0.2.0/24 !sender=@example.com
//! recipient=sales@example.org
//! name=/^mx[0-9]+\.example\.net$/
//! ```

use super::super::SpfResult;
use super::condition::{Condition, MailboxPattern, Term};
use super::{Entry, MAX_CONDITIONS, Reader};
use diagnostics::nearest;
use mail_address::{escape, parse_domain};
use std::ops::Range;

/// The words that begin conditions.
const WORDS: [&str; 6] = ["client", "name", "sender", "recipient", "helo", "spf"];

/// What is wrong, and the remedy.
type Fault = (String, String);

/// Reads all lines.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<(Entry, Range<usize>)> {
    let mut found = Vec::new();
    for (line, span) in reader.lines() {
        match terms(reader, &line) {
            Ok(terms) => found.push((reader.entry(terms, &span), span)),
            Err((what, remedy)) => reader.error(span, what, remedy),
        }
    }
    found
}

/// Parses the conditions of a line.
fn terms(reader: &Reader<'_>, line: &str) -> Result<Vec<Term>, Fault> {
    let mut terms = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(terms);
        }
        if terms.len() == MAX_CONDITIONS {
            return Err((
                "the entry is too long".into(),
                format!("write at most {MAX_CONDITIONS} conditions"),
            ));
        }
        let (negated, after) = rest.strip_prefix('!').map_or((false, rest), |after| (true, after));
        let end = after.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(after.len());
        let word = &after[..end];
        let Some(after) = after[end..].strip_prefix('=') else { return Err(bare(word)) };
        let (value, after) = value(after)?;
        let condition = condition(reader, word, &value)?;
        terms.push(Term { negated, condition });
        rest = after;
    }
}

/// A word that is no condition.
fn bare(word: &str) -> Fault {
    let shown = escape(word);
    let example = if word.contains('@') {
        format!("recipient={shown}\" or \"sender={shown}")
    } else if word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':') {
        format!("client={shown}")
    } else {
        format!("name={shown}")
    };
    (
        format!("\"{shown}\" is not a condition"),
        format!("write \"{example}\"; known are {}", WORDS.join(", ")),
    )
}

/// The value that begins a text, and what follows it. In quotes it may contain blanks; a backslash there stands before a
/// quote or a backslash.
fn value(text: &str) -> Result<(String, &str), Fault> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    Err(("the quoted value does not end".into(), "write a second \" after it".into()))
}

fn condition(reader: &Reader<'_>, word: &str, value: &str) -> Result<Condition, Fault> {
    let fault = |remedy: String| (format!("{word}={} cannot be used", escape(value)), remedy);
    let name = |value: &str| {
        parse_domain(value).map(std::convert::Into::into).map_err(|help| fault(help.to_owned()))
    };
    let pattern = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    Ok(match (word, pattern) {
        ("name", Some(pattern)) => Condition::NameMatches(reader.regex(pattern)?),
        ("sender", Some(pattern)) => Condition::SenderMatches(reader.regex(pattern)?),
        ("recipient", Some(pattern)) => Condition::RecipientMatches(reader.regex(pattern)?),
        ("client", _) => Condition::Client(value.parse().map_err(fault)?),
        // A dot before the domain is how Postfix writes names below it.
        ("name", None) => Condition::Name(name(value.strip_prefix('.').unwrap_or(value))?),
        ("helo", _) => Condition::Helo(name(value.strip_prefix('.').unwrap_or(value))?),
        ("sender", None) => Condition::Sender(MailboxPattern::parse(value).map_err(fault)?),
        ("recipient", None) => match MailboxPattern::parse(value).map_err(fault)? {
            MailboxPattern::Null => return Err(fault("no recipient is <>".into())),
            mailbox => Condition::Recipient(mailbox),
        },
        ("spf", _) => Condition::Spf(spf(value).ok_or_else(|| {
            let known: Vec<&str> = SpfResult::ALL.iter().map(|result| result.name()).collect();
            fault(format!("write one of {}", known.join(", ")))
        })?),
        _ => {
            let remedy = nearest(word, WORDS).map_or_else(
                || format!("known are {}", WORDS.join(", ")),
                |near| format!("did you mean {near}=?"),
            );
            return Err((format!("there is no condition \"{}\"", escape(word)), remedy));
        }
    })
}

fn spf(word: &str) -> Option<SpfResult> {
    SpfResult::ALL.into_iter().find(|result| result.name() == word)
}
