//! The whitelists of postgrey: one client or recipient a line.

use super::condition::{Condition, MailboxPattern, Term};
use super::{Entry, Reader};
use crate::net::network::Network;
use mail_address::{escape, parse_domain};
use std::net::Ipv4Addr;
use std::ops::Range;

type Fault = (String, String);

/// Clients: `example.org` (and names below it), `192.0.2.1`, `192.0.2`, `192.0.2.0/24`, `2001:db8::/32`, `/regex/`.
pub(super) fn clients(reader: &mut Reader<'_>) -> Vec<(Entry, Range<usize>)> {
    each(reader, client)
}

/// Recipients: `postmaster@`, `user@example.org`, `example.org` (and domains below it), `/regex/`.
pub(super) fn recipients(reader: &mut Reader<'_>) -> Vec<(Entry, Range<usize>)> {
    each(reader, recipient)
}

fn each(
    reader: &mut Reader<'_>,
    parse: fn(&Reader<'_>, &str) -> Result<Condition, Fault>,
) -> Vec<(Entry, Range<usize>)> {
    let mut found = Vec::new();
    for (line, span) in reader.lines() {
        // What follows the word is a comment of its own, as in the lists that postgrey ships.
        let is_regex = line.starts_with('/');
        let word = if is_regex { &line[..] } else { line.split_whitespace().next().unwrap_or_default() };
        match parse(reader, word) {
            Ok(condition) => {
                let term = Term { negated: false, condition };
                found.push((reader.entry(vec![term], &span), span));
            }
            Err((what, remedy)) => reader.error(span, what, remedy),
        }
    }
    found
}

/// The regular expression of a line that begins with a slash.
fn regex_of(word: &str) -> Option<Result<&str, Fault>> {
    let rest = word.strip_prefix('/')?;
    // Flags are not known to postgrey either.
    Some(rest.rsplit_once('/').map(|(pattern, after)| (pattern, after.trim())).map_or_else(
        || Err(("the regular expression does not end".into(), "write a second / after it".into())),
        |(pattern, after)| match after {
            "" => Ok(pattern),
            _ if after.starts_with('#') => Ok(pattern),
            _ => Err((format!("\"{}\" follows the regular expression", escape(after)), "remove it".into())),
        },
    ))
}

fn client(reader: &Reader<'_>, word: &str) -> Result<Condition, Fault> {
    if let Some(pattern) = regex_of(word) {
        return Ok(Condition::NameMatches(reader.regex(pattern?)?));
    }
    let fault = |remedy: String| (format!("\"{}\" is not a client", escape(word)), remedy);
    if let Some(network) = partial(word) {
        return Ok(Condition::Client(network));
    }
    if word.contains(['/', ':']) || word.parse::<Ipv4Addr>().is_ok() {
        return word.parse().map(Condition::Client).map_err(fault);
    }
    if word.contains('@') {
        return Err(fault(
            "this is the list of clients: write addresses into greylist.whitelist_recipients".into(),
        ));
    }
    let name = parse_domain(word.trim_start_matches('.')).map_err(|help| fault(help.to_owned()))?;
    Ok(Condition::Name(name.into()))
}

/// The network of the first octets of an IPv4 address: `192.0.2`, also with a dot at the end.
fn partial(word: &str) -> Option<Network> {
    let numbers: Option<Vec<u8>> =
        word.trim_end_matches('.').split('.').map(|digits| digits.parse().ok()).collect();
    let numbers = numbers?;
    if !(1..=4).contains(&numbers.len()) || (word.ends_with('.') && numbers.len() == 4) {
        return None;
    }
    let mut octets = [0; 4];
    octets[..numbers.len()].copy_from_slice(&numbers);
    let prefix = u8::try_from(numbers.len() * 8).ok()?;
    Some(Network::around(Ipv4Addr::from(octets).into(), prefix, prefix))
}

fn recipient(reader: &Reader<'_>, word: &str) -> Result<Condition, Fault> {
    if let Some(pattern) = regex_of(word) {
        return Ok(Condition::RecipientMatches(reader.regex(pattern?)?));
    }
    let fault = |remedy: String| (format!("\"{}\" is not a recipient", escape(word)), remedy);
    if word.parse::<Network>().is_ok() || partial(word).is_some() {
        return Err(fault(
            "this is the list of recipients: write networks into greylist.whitelist_clients".into(),
        ));
    }
    match MailboxPattern::parse(word).map_err(fault)? {
        MailboxPattern::Null => Err(fault("no recipient is <>".into())),
        pattern => Ok(Condition::Recipient(pattern)),
    }
}
