//! The keys to look up for a request, in order.

use super::{Candidate, Context, SearchStrategy};
use mail_address::{Address, Forms};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// Maximum number of parents of a domain that are looked up. A domain of 255 octets has no more. For a longer
/// name, which is invalid, the last parents are looked up, so that a client cannot evade an entry with a
/// longer name.
pub const MAX_PARENTS: usize = 127;

/// Maximum number of keys looked up for one request: a domain and its parents, each with a leading dot and
/// without; an address in three spellings, and in two without its extension; both without a domain; and the
/// catch-all key.
pub const MAX_CANDIDATES: usize = (1 + 2 * MAX_PARENTS) + 3 + 2 + 4 + 1;

pub(super) fn candidates<'k>(
    profile: SearchStrategy,
    key: &'k str,
    context: &Context<'_>,
) -> Vec<Candidate<'k>> {
    let mut found = Found(Vec::new());
    found.add(key, None);
    match profile {
        _ if key.is_empty() => (),
        SearchStrategy::Plain
        | SearchStrategy::VirtualMailboxDomains
        | SearchStrategy::HeaderChecks
        | SearchStrategy::BodyChecks => (),
        SearchStrategy::Transport => {
            let domain = match Parts::of(key, context) {
                Some(parts) => {
                    found.mailbox(&parts);
                    parts.domain()
                }
                None => key,
            };
            found.domain(domain, false);
            found.add("*", None);
        }
        SearchStrategy::Access => match Parts::of(key, context) {
            Some(parts) => {
                found.mailbox(&parts);
                found.domain(parts.domain(), true);
                found.local(&parts, "@");
            }
            None => found.host(key),
        },
        SearchStrategy::SenderBcc
        | SearchStrategy::RecipientBcc
        | SearchStrategy::Canonical
        | SearchStrategy::Relocated
        | SearchStrategy::Generic
        | SearchStrategy::VirtualAlias
        | SearchStrategy::VirtualMailbox
        | SearchStrategy::SenderLogin => {
            // A key without an @ is a domain, which `virtual_alias_domains` looks up. A hyphen in its name
            // does not begin an extension.
            if let Some(parts) = Parts::of(key, context) {
                found.mailbox(&parts);
                if profile != SearchStrategy::VirtualMailbox && (context.is_local)(parts.domain()) {
                    found.local(&parts, "");
                }
                if !parts.domain().is_empty() {
                    found.add(parts.at_domain, None);
                }
            }
        }
    }
    found.0
}

struct Found<'k>(Vec<Candidate<'k>>);

impl<'k> Found<'k> {
    fn add(&mut self, key: impl Into<Cow<'k, str>>, extension: Option<Cow<'k, str>>) {
        let key = key.into();
        if !key.is_empty() && !self.0.iter().any(|other| other.key == key) {
            self.0.push(Candidate { key, extension });
        }
    }

    /// The address, then the address without its extension.
    fn mailbox(&mut self, parts: &Parts<'k>) {
        for (name, extension) in parts.forms.each() {
            self.spellings(name, parts.at_domain, extension);
        }
    }

    /// The local part followed by `behind`, then the same without its extension.
    fn local(&mut self, parts: &Parts<'k>, behind: &str) {
        for (name, extension) in parts.forms.each().filter(|(name, _)| !name.is_empty()) {
            self.spellings(name, behind, extension);
        }
    }

    /// The spelling without quotes and, if they are needed, the one with quotes.
    fn spellings(&mut self, local: &str, behind: &str, extension: Option<&str>) {
        let extension = || extension.map(|it| Cow::Owned(it.to_owned()));
        self.add([local, behind].concat(), extension());
        if let Some(quoted) = quoted(local) {
            self.add(quoted + behind, extension());
        }
    }

    /// A domain and its parents, with a leading dot and, if parents match subdomains, without.
    fn domain(&mut self, domain: &'k str, parents_match: bool) {
        self.add(domain, None);
        // An address literal has no parents.
        if domain.starts_with('[') {
            return;
        }
        let is_parent = |(at, _): &(usize, &str)| {
            let parent = &domain[at + 1..];
            !parent.is_empty() && !parent.starts_with('.')
        };
        let mut dots: Vec<usize> =
            domain.rmatch_indices('.').filter(is_parent).map(|(at, _)| at).take(MAX_PARENTS).collect();
        dots.reverse();
        for at in dots {
            self.add(&domain[at..], None);
            if parents_match {
                self.add(&domain[at + 1..], None);
            }
        }
    }

    /// A host: an address and its networks, or a name and its parents.
    fn host(&mut self, host: &'k str) {
        let separator = match host {
            host if host.parse::<Ipv4Addr>().is_ok() => '.',
            // A host name has no colon.
            host if host.contains(':') => ':',
            // The null sender is not a domain either.
            host if host.starts_with('<') => return,
            host => return self.domain(host, true),
        };
        let mut rest = host;
        while let Some((network, _)) = rest.rsplit_once(separator)
            && self.0.len() < MAX_PARENTS
        {
            // After `::` only the other colon could be cut off, and networks are not written that way.
            rest = network;
            if !network.ends_with(separator) {
                self.add(network, None);
            }
        }
    }
}

/// The parts of a requested address.
struct Parts<'k> {
    /// The local part without quotes, with and without its extension.
    forms: Forms<'k>,
    /// The domain with its @.
    at_domain: &'k str,
}

impl<'k> Parts<'k> {
    fn of(key: &'k str, context: &Context<'_>) -> Option<Self> {
        let at = at(key)?;
        Some(Parts { forms: Forms::of(unquoted(&key[..at]), context.delimiters), at_domain: &key[at..] })
    }

    fn domain(&self) -> &'k str {
        &self.at_domain[1..]
    }
}

/// The position of the @ before the domain: the last one outside of quotes.
pub(super) fn at(key: &str) -> Option<usize> {
    let (mut found, mut quoted, mut escaped) = (None, false, false);
    for (at, c) in key.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => found = Some(at),
            _ => (),
        }
    }
    // Quotes without an end are ordinary characters.
    if quoted { key.rfind('@') } else { found }
}

/// A local part without its quotes, or unchanged if they are invalid.
pub(super) fn unquoted(local: &str) -> Cow<'_, str> {
    if !local.contains('"') {
        return Cow::Borrowed(local);
    }
    // The domain `x` prevents an @ in quotes from being parsed as the separator. Characters that a path may
    // have at its edges belong to the local part here.
    let address = Address::from_server(format!("{local}@x").as_bytes());
    let is_whole = !local.starts_with(['<', '@', ' ', '\t']) && address.domain() == Some("x");
    if address.malformed().is_none() && is_whole {
        Cow::Owned(address.local().into())
    } else {
        Cow::Borrowed(local)
    }
}

/// A local part in quotes; `None` if it needs no quotes, or is too long.
pub(super) fn quoted(local: &str) -> Option<String> {
    let quoted = Address::new(local, "").ok()?.to_string();
    (!local.is_empty() && quoted != local).then_some(quoted)
}
