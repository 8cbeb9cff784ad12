//! What a map is used for: which keys are looked up for the one that was asked, and what a value has to be.
//!
//! Of the tables it opens itself Postfix asks parts of a key too: an address without its extension, its domain,
//! the parents of a domain, the network of an address. Of tcp_table(5) and socketmap_table(5) it asks the whole
//! key alone, so the search is done here, in the order of the manual page of each use.
//!
//! | profile | searched as in | value |
//! | --- | --- | --- |
//! | `plain` | the key alone | anything |
//! | `transport` | transport(5) | `transport:nexthop` |
//! | `access` | access(5) | an action |
//! | `sender_bcc`, `recipient_bcc` | postconf(5) | one address |
//! | `canonical` | canonical(5) | one address |
//! | `relocated` | relocated(5) | any text |
//! | `generic` | generic(5) | one address |
//! | `virtual_alias` | virtual(5) | addresses |
//! | `virtual_mailbox` | postconf(5) | any text |
//! | `virtual_mailbox_domains` | the key alone | anything |
//! | `sender_login` | postconf(5) | login names |
//!
//! Where Postfix looks at `parent_domain_matches_subdomains`, its default is taken: for `access` an entry of a
//! domain counts for what is below it too (`.example.com` is asked before `example.com`, since it says so in as
//! many words), for `transport` only one with a dot in front does. `sender_login` is searched without the
//! extension too: postconf(5) does not say so, but it is what Postfix does with tables of its own.

mod access;
mod check;
mod search;
#[cfg(test)]
mod tests;

use diagnostics::nearest;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use check::MAX_ADDRESSES;
pub use search::{MAX_CANDIDATES, MAX_PARENTS};

/// What a map is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SearchStrategy {
    /// Nothing in particular: the key as it is asked, any value.
    #[default]
    Plain,
    /// Where mail is sent on to: `transport_maps`.
    Transport,
    /// Whether a client, sender or recipient is welcome: `check_recipient_access` and its like.
    Access,
    /// Who gets a copy of what a sender sends: `sender_bcc_maps`.
    SenderBcc,
    /// Who gets a copy of what a recipient gets: `recipient_bcc_maps`.
    RecipientBcc,
    /// What an address is in truth: `canonical_maps` and its like.
    Canonical,
    /// Where somebody has gone: `relocated_maps`.
    Relocated,
    /// What a local address is called outside: `smtp_generic_maps`.
    Generic,
    /// Who gets the mail for an address: `virtual_alias_maps`. It may be asked for a domain as well, by
    /// `virtual_alias_domains`.
    VirtualAlias,
    /// The mailboxes: `virtual_mailbox_maps`. It may be asked for a domain as well.
    VirtualMailbox,
    /// The domains that have mailboxes: `virtual_mailbox_domains`.
    VirtualMailboxDomains,
    /// Who may send as a sender: `smtpd_sender_login_maps`.
    SenderLogin,
}

/// What the search needs to know of the mail server.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `recipient_delimiter`: each of these characters begins an extension.
    pub delimiters: &'a str,
    /// Whether entries of a local part alone count in a domain: it is `myorigin`, or in `mydestination`,
    /// `inet_interfaces` or `proxy_interfaces`.
    pub is_local: &'a dyn Fn(&str) -> bool,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("delimiters", &self.delimiters).finish_non_exhaustive()
    }
}

/// A key to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'k> {
    /// The key, never empty.
    pub key: Cow<'k, str>,
    /// The extension that this key lacks, its delimiter included, where the address that was asked has one.
    pub extension: Option<Cow<'k, str>>,
}

impl SearchStrategy {
    /// All there are, by the word an operator writes.
    pub const ALL: [(&'static str, SearchStrategy); 12] = [
        ("plain", SearchStrategy::Plain),
        ("transport", SearchStrategy::Transport),
        ("access", SearchStrategy::Access),
        ("sender_bcc", SearchStrategy::SenderBcc),
        ("recipient_bcc", SearchStrategy::RecipientBcc),
        ("canonical", SearchStrategy::Canonical),
        ("relocated", SearchStrategy::Relocated),
        ("generic", SearchStrategy::Generic),
        ("virtual_alias", SearchStrategy::VirtualAlias),
        ("virtual_mailbox", SearchStrategy::VirtualMailbox),
        ("virtual_mailbox_domains", SearchStrategy::VirtualMailboxDomains),
        ("sender_login", SearchStrategy::SenderLogin),
    ];

    /// The word an operator writes.
    pub fn name(self) -> &'static str {
        SearchStrategy::ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }

    /// The keys to look up for `key`, which comes folded if case does not matter: `key` itself, then the others
    /// in the order in which they count. There are [`MAX_CANDIDATES`] at most, none twice; none for an empty key.
    ///
    /// A local part counts in whichever way it is quoted, since Postfix asks with quotes and entries may have
    /// them or not: `"a b"@example.com` and `a b@example.com` find the same.
    pub fn candidates<'k>(self, key: &'k str, context: &Context<'_>) -> Vec<Candidate<'k>> {
        search::candidates(self, key, context)
    }

    /// What to answer with, when `value` was found for `candidate` and `key` had been asked. `key` is as the
    /// server wrote it, not folded, since parts of it may come back in the value.
    ///
    /// An address of the form `@domain` becomes the local part that was asked at this domain, and the extension
    /// that the candidate lacks is added to the addresses of `canonical` and `virtual_alias`, as Postfix does it
    /// by default (`propagate_unmatched_extensions`). Lists come with commas between their members.
    ///
    /// The error says why the value cannot be used; to answer "not found" in its place would be a lie.
    pub fn value(self, candidate: &Candidate<'_>, key: &str, value: &str) -> Result<String, String> {
        check::value(self, candidate, key, value.trim())
            .map_err(|why| format!("{} for \"{}\": {why}: \"{value}\"", self.name(), candidate.key))
    }
}

impl fmt::Display for SearchStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SearchStrategy {
    type Err = String;

    /// The error is a sentence with the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, profile)) = SearchStrategy::ALL.iter().find(|(name, _)| *name == text) {
            return Ok(*profile);
        }
        let known = SearchStrategy::ALL.map(|(name, _)| name);
        // The word may be the end or the beginning of what Postfix calls it.
        let word = text.strip_suffix("_maps").unwrap_or(text);
        let word = word.strip_prefix("smtpd_").or_else(|| word.strip_prefix("smtp_")).unwrap_or(word);
        let meant =
            nearest(word, known).map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
        Err(format!("\"{text}\" is not a profile{meant} (there are: {})", known.join(", ")))
    }
}
