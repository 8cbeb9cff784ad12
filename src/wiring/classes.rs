//! Finds the address class of a domain (ADDRESS_CLASS_README of Postfix).

use super::Findings;
use super::content::{Entry, Key, any};
use super::maps::{Map, words};
use super::postfix::Postfix;
use crate::resolve::view::ResolverView;

/// An address class for which this Postfix is the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// mydestination: users of this host, aliases(5).
    Local,
    /// virtual_alias_domains: each address is replaced by another one.
    VirtualAlias,
    /// virtual_mailbox_domains.
    VirtualMailbox,
    /// relay_domains.
    Relay,
}

impl Class {
    /// All classes, in the order in which trivial-rewrite(8) checks them.
    pub const ALL: [Class; 4] = [Class::Local, Class::VirtualAlias, Class::VirtualMailbox, Class::Relay];

    /// The parameter that lists the domains.
    pub fn domains(self) -> &'static str {
        match self {
            Class::Local => "mydestination",
            Class::VirtualAlias => "virtual_alias_domains",
            Class::VirtualMailbox => "virtual_mailbox_domains",
            Class::Relay => "relay_domains",
        }
    }

    /// The parameter that lists the recipients.
    pub fn recipients(self) -> &'static str {
        match self {
            Class::Local => "local_recipient_maps",
            Class::VirtualAlias => "virtual_alias_maps",
            Class::VirtualMailbox => "virtual_mailbox_maps",
            Class::Relay => "relay_recipient_maps",
        }
    }
}

/// Whether a list of domains contains a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Has {
    /// The list contains it.
    Yes,
    /// The list does not contain it.
    No,
    /// These tables or files may contain it.
    CannotTell(Vec<String>),
}

/// Whether the domains of `class` include `domain`. Only in relay_domains a word, or a key of a table, may
/// match subdomains: without a leading dot if parent_domain_matches_subdomains contains relay_domains,
/// otherwise with one.
pub fn has(findings: &Findings<'_>, class: Class, domain: &str) -> Has {
    let postfix = findings.postfix;
    let content = findings.content(postfix.internal("rewrite"));
    let list = postfix.value(None, class.domains());
    let domain = domain.to_lowercase();
    let parents = if class == Class::Relay { parents(postfix, &domain) } else { Vec::new() };
    let mut unknown = Vec::new();
    for word in words(&list) {
        let (negated, pattern) = word.strip_prefix('!').map_or((false, word), |pattern| (true, pattern));
        let found = if let Some(map) = Map::parse(pattern) {
            let keys = std::iter::once(Key::Whole(&domain)).chain(parents.iter().copied().map(Key::Part));
            match any(keys, |key| content.entry(&map, key)) {
                Entry::Found(_) => true,
                Entry::NotFound => false,
                Entry::CannotTell => {
                    unknown.push(pattern.to_owned());
                    continue;
                }
            }
        } else if pattern.starts_with('/') {
            unknown.push(pattern.to_owned());
            continue;
        } else {
            let pattern = pattern.to_lowercase();
            pattern == domain || parents.contains(&pattern.as_str())
        };
        // A table before it decides, and its content is unknown.
        if found && negated {
            return if unknown.is_empty() { Has::No } else { Has::CannotTell(unknown) };
        }
        if found {
            return Has::Yes;
        }
    }
    if unknown.is_empty() { Has::No } else { Has::CannotTell(unknown) }
}

/// The words of relay_domains that would match a domain as a subdomain.
fn parents<'d>(postfix: &Postfix, domain: &'d str) -> Vec<&'d str> {
    let plain = parents_match(postfix);
    let dots = domain.char_indices().filter(|(_, c)| *c == '.');
    dots.map(|(at, _)| &domain[if plain { at + 1 } else { at }..]).collect()
}

/// Whether a domain in relay_domains matches its subdomains as well.
pub fn parents_match(postfix: &Postfix) -> bool {
    words(&postfix.value(None, "parent_domain_matches_subdomains")).contains(&"relay_domains")
}

/// The class of a domain, as far as it can be determined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classified {
    /// The domain is of this class.
    As(Class),
    /// The domain has no class: mail for it goes to another host.
    Foreign,
    /// The content of these tables or files decides, for the classes given.
    CannotTell(Vec<(Class, String)>),
}

/// The class of `domain`: the first class that contains it counts.
pub fn class_of(findings: &Findings<'_>, domain: &str) -> Classified {
    let mut unknown = Vec::new();
    for class in Class::ALL {
        match has(findings, class, domain) {
            // A table of an earlier class may contain it, too. Postfix warns of that, and it is rare.
            Has::Yes => return Classified::As(class),
            Has::No => (),
            Has::CannotTell(lists) => unknown.extend(lists.into_iter().map(|list| (class, list))),
        }
    }
    if unknown.is_empty() { Classified::Foreign } else { Classified::CannotTell(unknown) }
}

/// The other domains of a class: names, and tables or files whose content is unknown.
pub fn others(findings: &Findings<'_>, class: Class) -> (Vec<String>, Vec<String>) {
    let (postfix, ours) = (findings.postfix, findings.ours);
    let list = postfix.value(None, class.domains());
    let (mut names, mut tables) = (Vec::new(), Vec::new());
    for word in words(&list) {
        if word.starts_with('!') {
            continue;
        }
        if let Some(map) = Map::parse(word) {
            if map.kind == "inline" {
                names.extend(map.inline_keys().into_iter().map(str::to_owned));
            } else if !ours.asks(word, postfix.internal("rewrite"), postfix, &[ResolverView::Domains]) {
                tables.push(word.to_owned());
            }
        } else if word.starts_with('/') {
            tables.push(word.to_owned());
        } else {
            names.push(word.to_owned());
        }
    }
    names.retain(|name| !ours.has_domain(name));
    (names, tables)
}
