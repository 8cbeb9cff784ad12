//! Classifies the text of a rejection by its words. Pure.

use super::reply::enhanced_code;

/// Phrases of a 550 without an enhanced code that are usually about the account. If a server uses other
/// words, its text is compared with that for an account that does not exist.
pub(super) const KNOWN: &[&str] = &[
    // Exim, Postfix, Sendmail, Courier, MDaemon
    "unknown user",
    "user unknown",
    "unknown recipient",
    "recipient unknown",
    "unknown local part",
    "unknown mailbox",
    "mailbox unknown",
    "unrouteable address",
    // OpenSMTPD
    "invalid recipient",
    // qmail and others
    "no mailbox here by that name",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such account",
    "no such person",
    "user not found",
    "recipient not found",
    "mailbox not found",
    "account not found",
    "user does not exist",
    "recipient does not exist",
    "mailbox does not exist",
    "account does not exist",
    "user doesn't exist",
    "mailbox doesn't exist",
    "account doesn't exist",
];

/// Words and phrases of a temporary rejection, of a fault, or about an account that exists; in lower case,
/// matched as whole words. Each turns a rejection into a temporary failure and has no other effect. The list
/// need not be complete: during an outage a server does not find its witness, and a text that it does not
/// send for a nonexistent account does not mean "not found".
pub(super) const DOUBTS: &[&str] = &[
    // The rejection is temporary.
    "later",
    "again in",
    "temporary",
    "temporarily",
    "temp",
    "moment",
    "momentarily",
    "currently",
    "at present",
    "retry",
    "greylist",
    "greylisted",
    "greylisting",
    "graylist",
    "graylisted",
    "graylisting",
    "busy",
    "overloaded",
    "maintenance",
    "migration",
    "migrating",
    "down",
    "too many",
    "connection refused",
    "cannot contact",
    "can't contact",
    "could not contact",
    // A fault.
    "error",
    "errors",
    "failed",
    "failure",
    "exception",
    "internal",
    "timeout",
    "timed out",
    "time out",
    "offline",
    "unreachable",
    "not available",
    // The account exists.
    "mailing list",
    "mailing lists",
    "mailinglist",
    "distribution list",
    "mail list",
    "a list",
    "ambiguous",
    "more than one",
    "not unique",
    "quota",
    "over-quota",
    "full",
    "suspended",
    "locked",
];

/// Words of a text that may not be about the account. A text without a [`KNOWN`] phrase becomes a temporary
/// failure; one with such a phrase is compared with that for an account that does not exist.
pub(super) const ELSEWHERE: &[&str] = &[
    "again",
    "wait",
    "soon",
    "fail",
    "fault",
    "unable",
    "cannot",
    "can't",
    "could not",
    "couldn't",
    "database",
    "sql",
    "mysql",
    "ldap",
    "directory",
    "backend",
    "lookup",
    "connection",
    "connect",
    "service",
    "resources",
    "memory",
    "disk",
    "system",
    "server",
    "configuration",
    "denied",
    "prohibited",
    "prohibition",
    "forbidden",
    "permission",
    "permitted",
    "not allowed",
    "disallowed",
    "disabled",
    "command",
    "vrfy",
    "verify",
    "verification",
    "authentication",
    "authenticate",
    "authorized",
    "unauthorized",
    "policy",
    "administrative",
    "security",
    "reputation",
    "blocked",
    "banned",
    "blacklisted",
    "blocklisted",
    "blacklist",
    "blocklist",
    "spam",
    "virus",
    "client",
    "sender",
    // Of the empty sender with which rcptd asks.
    "null",
    "bounce",
    "bounces",
    "backscatter",
    "host",
    "helo",
    "tls",
    "encryption",
    "limit",
    "exceeded",
    "rate",
    "relay",
    "relaying",
    "rcpthosts",
    "group",
    "list",
    "alias",
    "several",
    "multiple",
    "inactive",
    "expired",
    "moved",
    "forward",
    "not local",
];

/// The tables in which Postfix looks for a recipient. Their names in a rejection are not about something
/// else.
const TABLES: &[&str] =
    &["relay recipient table", "virtual alias table", "virtual mailbox table", "local recipient table"];

/// Removes [`TABLES`] from `text`.
pub(super) fn without_tables(text: &str) -> String {
    TABLES.iter().fold(text.to_owned(), |text, table| text.replace(table, ""))
}

/// Returns `text` in lower case, without its enhanced code, text in angle brackets and the address of `path`,
/// with or without brackets. Empty brackets replace each, so that the words before and after do not become a
/// phrase.
pub(super) fn without_address(text: &str, path: &str) -> String {
    let text = text.to_lowercase();
    let address = path.trim_matches(['<', '>']).to_lowercase();
    let text = if address.is_empty() { text } else { text.replace(&address, "<>") };
    let (mut left, mut rest) = (String::with_capacity(text.len()), &*text);
    while let Some((before, after)) = rest.split_once('<') {
        left.push_str(before);
        left.push_str("<>");
        // Without a closing bracket it is not an address.
        rest = after.split_once('>').map_or(after, |(_, after)| after);
    }
    left.push_str(rest);
    let words = left.split_whitespace().filter(|word| enhanced_code(word).is_none());
    let left = words.collect::<Vec<_>>().join(" ");
    // Some servers begin every rejection with it.
    left.strip_prefix("error:").map_or_else(|| left.clone(), str::to_owned)
}

/// Removes the local part of `path` from `text`, where it is a separate word.
pub(super) fn without_local_part(text: &str, path: &str) -> String {
    let address = path.trim_matches(['<', '>']).to_lowercase();
    let local = address.rsplit_once('@').map_or(&*address, |(local, _)| local).trim_matches('"');
    let (mut left, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = find_phrase(rest, local) {
        left.push_str(&rest[..at]);
        left.push_str("<>");
        rest = &rest[at + local.len()..];
    }
    left + rest
}

pub(super) fn has_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| find_phrase(text, phrase).is_some())
}

/// Position of `phrase` in `text` as whole words.
fn find_phrase(text: &str, phrase: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    // A full stop at the end of a sentence does not belong to the last word.
    let goes_on =
        |after: &str| after.trim_start_matches(['.', '-']).starts_with(in_word) && after.starts_with(in_word);
    let begins = |before: &str| !before.ends_with(in_word);
    (!phrase.is_empty())
        .then(|| text.match_indices(phrase).map(|(at, _)| at))?
        .find(|at| begins(&text[..*at]) && !goes_on(&text[at + phrase.len()..]))
}
