//! The conditions of entries.

use super::super::{Facts, SpfResult};
use super::folded;
use crate::net::network::Network;
use mail_address::{Address, canonical_domain, fold};
use regex::{Regex, RegexBuilder};
use std::fmt;

/// Longest regular expression, in octets.
pub const MAX_REGEX: usize = 500;
/// Memory of a compiled regular expression, in octets; the crate needs linear time in the length of the text.
const REGEX_SIZE: usize = 64 * 1024;

/// A condition, or its opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether the condition must not hold.
    pub negated: bool,
    /// The condition.
    pub condition: Condition,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The client is in the network.
    Client(Network),
    /// The verified name of the client is this one, or below it.
    Name(Box<str>),
    /// The verified name of the client matches.
    NameMatches(Pattern),
    /// The sender.
    Sender(MailboxPattern),
    /// The sender matches.
    SenderMatches(Pattern),
    /// The recipient.
    Recipient(MailboxPattern),
    /// The recipient matches.
    RecipientMatches(Pattern),
    /// The argument of HELO or EHLO is this name, or below it.
    Helo(Box<str>),
    /// The result of SPF.
    Spf(SpfResult),
}

/// Addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxPattern {
    /// One address, also with an extension after `+`.
    Address(Box<str>, Box<str>),
    /// This local part at any domain.
    Local(Box<str>),
    /// Any local part at this domain.
    At(Box<str>),
    /// Any local part at this domain, or below it.
    Domain(Box<str>),
    /// `MAIL FROM:<>`.
    Null,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// It depends on SPF, which was not looked up.
    IfSpf,
}

impl Term {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Holds {
        if let (Condition::Spf(_), None) = (&self.condition, facts.spf) {
            return Holds::IfSpf;
        }
        if let (Condition::Spf(_), Some(SpfResult::Unknown)) = (&self.condition, facts.spf) {
            // A failure is no result, and so not another one than that of the condition either.
            return Holds::No;
        }
        if self.condition.holds(facts) == self.negated { Holds::No } else { Holds::Yes }
    }
}

impl Condition {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Condition::Client(network) => network.contains(facts.client),
            Condition::Name(domain) => facts.client_name.is_some_and(|name| is_within(name, domain)),
            Condition::NameMatches(pattern) => facts.client_name.is_some_and(|name| pattern.matches(name)),
            Condition::Sender(pattern) => pattern.is(facts.sender),
            Condition::SenderMatches(pattern) => pattern.matches(&shown(facts.sender)),
            Condition::Recipient(pattern) => pattern.is(Some(facts.recipient)),
            Condition::RecipientMatches(pattern) => pattern.matches(&shown(Some(facts.recipient))),
            Condition::Helo(domain) => is_within(&canonical_domain(facts.helo), domain),
            Condition::Spf(result) => facts.spf == Some(*result),
        }
    }
}

impl MailboxPattern {
    /// Parses `user@example.com`, `user@`, `@example.com`, `example.com` or `<>`. The error is a sentence with the
    /// remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "<>" {
            return Ok(MailboxPattern::Null);
        }
        let domain = |text: &str| {
            mail_address::parse_domain(text)
                .map(std::convert::Into::into)
                .map_err(|help| format!("the domain: {help}"))
        };
        match text.rsplit_once('@') {
            None => domain(text).map(MailboxPattern::Domain),
            Some(("", "")) => Err("write an address, user@, @domain or a domain".into()),
            Some(("", after)) => domain(after).map(MailboxPattern::At),
            Some((local, "")) => Ok(MailboxPattern::Local(folded(local))),
            Some((local, after)) => {
                domain(after).map(|domain| MailboxPattern::Address(folded(local), domain))
            }
        }
    }

    fn is(&self, address: Option<&Address>) -> bool {
        let Some(address) = address else { return *self == MailboxPattern::Null };
        let domain = address.domain().unwrap_or_default();
        let is_local = |local: &str| locals(address.local()).any(|other| *other == *local);
        match self {
            MailboxPattern::Address(local, at) => *domain == **at && is_local(local),
            MailboxPattern::Local(local) => is_local(local),
            MailboxPattern::At(at) => *domain == **at,
            MailboxPattern::Domain(within) => is_within(domain, within),
            MailboxPattern::Null => false,
        }
    }

    /// The key by which it is found, one of [`keys`] of each address that it is.
    pub(super) fn key(&self) -> Box<str> {
        self.to_string().into()
    }
}

/// The local part, and that without its extension after `+`, folded.
fn locals(local: &str) -> impl Iterator<Item = Box<str>> {
    let bare = local.split_once('+').map(|(bare, _)| bare).filter(|bare| !bare.is_empty());
    std::iter::once(local).chain(bare).map(folded)
}

/// The keys of patterns that an address may be, see [`MailboxPattern::key`].
pub(super) fn keys(address: &Address) -> Vec<Box<str>> {
    let domain = address.domain().unwrap_or_default();
    let mut keys: Vec<Box<str>> = Vec::new();
    for local in locals(address.local()) {
        keys.push(format!("{local}@{domain}").into());
        keys.push(format!("{local}@").into());
    }
    keys.push(format!("@{domain}").into());
    keys.extend(parents(domain).map(Box::from));
    keys
}

/// The keys of patterns that a sender may be.
pub(super) fn keys_of_sender(sender: Option<&Address>) -> Vec<Box<str>> {
    sender.map_or_else(|| vec![MailboxPattern::Null.key()], keys)
}

/// A name, and the names above it.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

/// Whether a name is this domain or below it.
fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn shown(address: Option<&Address>) -> String {
    address.map_or_else(String::new, |address| fold(&address.to_string()).into_owned())
}

impl Pattern {
    /// Parses a regular expression without its slashes.
    pub(super) fn parse(pattern: &str) -> Result<Self, (String, String)> {
        if pattern.len() > MAX_REGEX {
            let what = "the regular expression is too long".to_owned();
            return Err((what, format!("write at most {MAX_REGEX} octets")));
        }
        let built = RegexBuilder::new(pattern).case_insensitive(true).size_limit(REGEX_SIZE).build();
        built.map(Pattern).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            ("the regular expression cannot be used".to_owned(), why.to_owned())
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// Formats the condition as in a file of entries.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("!")?;
        }
        let value = |f: &mut fmt::Formatter<'_>, word: &str, value: &dyn fmt::Display| {
            let value = value.to_string();
            if value.contains([' ', '\t', '"']) {
                write!(f, "{word}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                write!(f, "{word}={value}")
            }
        };
        match &self.condition {
            Condition::Client(network) => value(f, "client", network),
            Condition::Name(name) => value(f, "name", name),
            Condition::NameMatches(pattern) => value(f, "name", pattern),
            Condition::Sender(mailbox) => value(f, "sender", mailbox),
            Condition::SenderMatches(pattern) => value(f, "sender", pattern),
            Condition::Recipient(mailbox) => value(f, "recipient", mailbox),
            Condition::RecipientMatches(pattern) => value(f, "recipient", pattern),
            Condition::Helo(name) => value(f, "helo", name),
            Condition::Spf(result) => value(f, "spf", &result.name()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

impl fmt::Display for MailboxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailboxPattern::Address(local, domain) => write!(f, "{local}@{domain}"),
            MailboxPattern::Local(local) => write!(f, "{local}@"),
            MailboxPattern::At(domain) => write!(f, "@{domain}"),
            MailboxPattern::Domain(domain) => f.write_str(domain),
            MailboxPattern::Null => f.write_str("<>"),
        }
    }
}
