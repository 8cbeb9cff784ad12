//! Refuses entries that would disable greylisting for most mail, or that a sender can fulfil who wants to.

use super::Entry;
use super::condition::{Condition, MailboxPattern, Pattern, Term};
use crate::greylist::SpfResult;

/// Shortest prefix of an IPv4 network: shorter ones hold hundreds of providers.
pub(super) const IPV4_PREFIX: u8 = 8;
/// Shortest prefix of an IPv6 network: providers get /19 to /32.
pub(super) const IPV6_PREFIX: u8 = 16;

/// Names and addresses that have nothing in common: a regular expression that matches most of them matches any.
const PROBES: [&str; 8] = [
    "mx1.example.com",
    "a.b.c.mail-out.example.org",
    "dsl-192-0-2-7.dynamic.example.net",
    "xn--grn-ioa.example",
    "alice@example.net",
    "q.7+z@mail.example.co.uk",
    "root@[192.0.2.1]",
    "smtp_out_99.invalid",
];
/// How many of [`PROBES`] a regular expression may match.
const MATCHED: usize = 5;

/// Why an entry is refused, and the remedy; `None` if it is accepted.
pub(super) fn reason(entry: &Entry) -> Option<(String, String)> {
    if entry.terms.is_empty() {
        return Some(("the entry has no condition".into(), "remove it".into()));
    }
    let positive: Vec<&Condition> =
        entry.terms.iter().filter(|term| !term.negated).map(|term| &term.condition).collect();
    if positive.is_empty() {
        let what = "all conditions are negated, so that the entry applies to almost all mail";
        return Some((what.into(), "add a condition that holds for the mail that you mean".into()));
    }
    if proves_sender(&entry.terms) {
        return None;
    }
    // One condition that selects is enough, since all must hold.
    let mut first = None;
    for condition in positive {
        match unselective(condition) {
            None => return None,
            Some(why) => first = first.or(Some(why)),
        }
    }
    first.map(|(what, remedy)| (format!("{what}: this would disable greylisting"), remedy.to_owned()))
}

/// Why a condition also holds for mail of unrelated senders; `None` if it does not.
fn unselective(condition: &Condition) -> Option<(String, &'static str)> {
    const NARROW: &str = "write a smaller network";
    match condition {
        Condition::Client(network) => {
            let least = if network.is_ipv4() { IPV4_PREFIX } else { IPV6_PREFIX };
            (network.prefix() < least).then(|| (format!("{network} is a large part of the Internet"), NARROW))
        }
        Condition::Name(name) | Condition::Helo(name) if is_suffix(name) => {
            Some((format!("anyone can have a name below {name}"), "write the domain of an organisation"))
        }
        Condition::Helo(_) => {
            Some(("a client can choose its HELO name".into(), "add a condition such as client= or name="))
        }
        Condition::Sender(MailboxPattern::Null) => Some((
            "anyone can send with MAIL FROM:<>".into(),
            "add a condition such as client=, or set null_sender",
        )),
        Condition::Sender(_) | Condition::SenderMatches(_) => Some((
            "a client can choose its sender".into(),
            "add a condition such as spf=pass, client= or name=",
        )),
        Condition::Recipient(MailboxPattern::Domain(domain) | MailboxPattern::At(domain))
            if is_suffix(domain) =>
        {
            Some((format!("{domain} is not the domain of an organisation"), "write a whole domain"))
        }
        Condition::NameMatches(pattern) | Condition::RecipientMatches(pattern) if matches_any(pattern) => {
            Some(("the regular expression matches almost any text".into(), "write a stricter one"))
        }
        Condition::Name(_)
        | Condition::Recipient(_)
        | Condition::NameMatches(_)
        | Condition::RecipientMatches(_) => None,
        Condition::Spf(_) => Some((
            "a sender can publish any SPF record for its domain".into(),
            "add a condition such as sender=",
        )),
    }
}

/// Whether a domain is a public suffix: a top-level domain, or one such as `co.uk`.
fn is_suffix(domain: &str) -> bool {
    !domain.contains('.') || psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix == domain.as_bytes())
}

fn matches_any(pattern: &Pattern) -> bool {
    pattern.matches("") || PROBES.iter().filter(|probe| pattern.matches(probe)).count() > MATCHED
}

/// Whether the sender is proved: a sender alone selects only together with SPF.
fn proves_sender(terms: &[Term]) -> bool {
    let has = |is: fn(&Condition) -> bool| terms.iter().any(|term| !term.negated && is(&term.condition));
    has(|condition| matches!(condition, Condition::Sender(pattern) if *pattern != MailboxPattern::Null))
        && has(|condition| *condition == Condition::Spf(SpfResult::Pass))
}
