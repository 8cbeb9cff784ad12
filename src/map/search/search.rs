//! Which keys are looked up, and in which order.

use super::{Candidate, Context, SearchStrategy};
use mail_address::{Address, Forms};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// Most parents of a domain that are looked up. A domain of 255 octets has no more; of a longer name, which is
/// none, the last ones are, so that nobody gets round an entry by writing more.
pub const MAX_PARENTS: usize = 127;

/// Most keys that are looked up for one: a domain and each parent with a dot in front and without, an address in
/// three spellings, and in two without its extension, both without a domain, and the one for everything.
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
        SearchStrategy::Plain | SearchStrategy::VirtualMailboxDomains => (),
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
            // Without an @ it is a domain that is asked for, as virtual_alias_domains does it: what is before a
            // hyphen in its name is no user.
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

    /// The address, and then without its extension.
    fn mailbox(&mut self, parts: &Parts<'k>) {
        for (name, extension) in parts.forms.each() {
            self.spellings(name, parts.at_domain, extension);
        }
    }

    /// The local part with `behind` in place of its domain, and then without its extension.
    fn local(&mut self, parts: &Parts<'k>, behind: &str) {
        for (name, extension) in parts.forms.each().filter(|(name, _)| !name.is_empty()) {
            self.spellings(name, behind, extension);
        }
    }

    /// Without quotes and, where they are needed, with them.
    fn spellings(&mut self, local: &str, behind: &str, extension: Option<&str>) {
        let extension = || extension.map(|it| Cow::Owned(it.to_owned()));
        self.add([local, behind].concat(), extension());
        if let Some(quoted) = quoted(local) {
            self.add(quoted + behind, extension());
        }
    }

    /// A domain and its parents, with a dot in front and, if these count for what is below them, without.
    fn domain(&mut self, domain: &'k str, parents_match: bool) {
        self.add(domain, None);
        // An address in brackets has no parents.
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

    /// A host: its address and the networks that this is in, or its name and the domains.
    fn host(&mut self, host: &'k str) {
        let separator = match host {
            host if host.parse::<Ipv4Addr>().is_ok() => '.',
            // No name has a colon.
            host if host.contains(':') => ':',
            // No domain either, as that of the null sender.
            host if host.starts_with('<') => return,
            host => return self.domain(host, true),
        };
        let mut rest = host;
        while let Some((network, _)) = rest.rsplit_once(separator)
            && self.0.len() < MAX_PARENTS
        {
            // Behind :: there is nothing to cut but the other colon, and nobody writes a network with it.
            rest = network;
            if !network.ends_with(separator) {
                self.add(network, None);
            }
        }
    }
}

/// An address that was asked.
struct Parts<'k> {
    /// The names that the local part, without its quotes, may stand for.
    forms: Forms<'k>,
    /// The domain with the @ in front.
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

/// The @ before the domain: the last one that is in no quotes.
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
    // What is quoted without an end is not quoted.
    if quoted { key.rfind('@') } else { found }
}

/// A local part without its quotes, or as it is where they are wrong.
pub(super) fn unquoted(local: &str) -> Cow<'_, str> {
    if !local.contains('"') {
        return Cow::Borrowed(local);
    }
    // The domain keeps what stands in quotes from being taken for one, and what may be left out at the edges of
    // a path belongs to the local part here.
    let address = Address::from_server(format!("{local}@x").as_bytes());
    let is_whole = !local.starts_with(['<', '@', ' ', '\t']) && address.domain() == Some("x");
    if address.malformed().is_none() && is_whole {
        Cow::Owned(address.local().into())
    } else {
        Cow::Borrowed(local)
    }
}

/// A local part in quotes; `None` where it needs none, or is too long to be any.
pub(super) fn quoted(local: &str) -> Option<String> {
    let quoted = Address::new(local, "").ok()?.to_string();
    (!local.is_empty() && quoted != local).then_some(quoted)
}
