//! The search strategies of maps: the keys to look up for the key of a request, and the checks of a value.
//!
//! For tables that Postfix opens itself, it also looks up parts of a key: an address without its extension,
//! its domain, the parents of a domain, the network of an address. To tcp_table(5) and socketmap_table(5)
//! servers it sends the whole key only. So rcptd does the search, in the order of the manual page of each
//! use.
//!
//! | strategy | search | value |
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
//! | `header_checks`, `body_checks` | the key alone | an action of header_checks(5) |
//!
//! For `parent_domain_matches_subdomains` the default of Postfix applies. For `access` the entry of a domain
//! also matches its subdomains (`.example.com` is looked up before `example.com`, since it is explicit); for
//! `transport` only an entry with a leading dot does. `sender_login` is also searched without the extension:
//! postconf(5) does not document it, but Postfix does so for its own tables.

mod access;
mod check;
mod content;
mod keys;
#[cfg(test)]
mod tests;

use diagnostics::nearest;
use mail_address::BLANKS;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use check::MAX_ADDRESSES;
pub use keys::{MAX_CANDIDATES, MAX_PARENTS};

/// The use of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SearchStrategy {
    /// No particular use: the key only, any value.
    #[default]
    Plain,
    /// The transport and next hop of an address or domain: `transport_maps`.
    Transport,
    /// The action for a client, sender or recipient: `check_recipient_access` and the like.
    Access,
    /// The address that gets a copy of mail from a sender: `sender_bcc_maps`.
    SenderBcc,
    /// The address that gets a copy of mail to a recipient: `recipient_bcc_maps`.
    RecipientBcc,
    /// The canonical form of an address: `canonical_maps` and the like.
    Canonical,
    /// The new location of an account: `relocated_maps`.
    Relocated,
    /// The address that replaces a local one in outgoing mail: `smtp_generic_maps`.
    Generic,
    /// The recipients of mail to an address: `virtual_alias_maps`. `virtual_alias_domains` may look up a
    /// domain as well.
    VirtualAlias,
    /// The mailboxes: `virtual_mailbox_maps`. Postfix may look up a domain as well.
    VirtualMailbox,
    /// The domains that have mailboxes: `virtual_mailbox_domains`.
    VirtualMailboxDomains,
    /// The logins that may use a sender address: `smtpd_sender_login_maps`.
    SenderLogin,
    /// The action for a header of a message: `header_checks` and the like.
    HeaderChecks,
    /// The action for a line of the body of a message: `body_checks`.
    BodyChecks,
}

/// Settings of the mail server that affect the search.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `recipient_delimiter`: each of these characters begins an extension.
    pub delimiters: &'a str,
    /// Whether entries with only a local part match a domain: it is `myorigin`, or in `mydestination`,
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
    /// The extension that this key lacks, with its delimiter, if the requested address has one.
    pub extension: Option<Cow<'k, str>>,
}

impl SearchStrategy {
    /// All strategies, with their names in the configuration.
    pub const ALL: [(&'static str, SearchStrategy); 14] = [
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
        ("header_checks", SearchStrategy::HeaderChecks),
        ("body_checks", SearchStrategy::BodyChecks),
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        SearchStrategy::ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }

    /// The keys to look up for `key` in order, beginning with `key` itself. `key` is folded if case does not
    /// matter. There are at most [`MAX_CANDIDATES`], without duplicates; an empty key has no candidates.
    ///
    /// The quotes of a local part do not matter, since Postfix sends keys with quotes and entries may have
    /// them or not: `"a b"@example.com` and `a b@example.com` find the same entries.
    pub fn candidates<'k>(self, key: &'k str, context: &Context<'_>) -> Vec<Candidate<'k>> {
        keys::candidates(self, key, context)
    }

    /// Checks and completes `value`, which was found for `candidate` in the search for `key`. `key` is as the
    /// server sent it, not folded, since parts of it may be copied to the value.
    ///
    /// An address of the form `@domain` becomes the requested local part at this domain. The extension that
    /// the candidate lacks is added to the addresses of `canonical` and `virtual_alias`, as Postfix does by
    /// default (`propagate_unmatched_extensions`). Lists are joined with commas.
    ///
    /// The error is the reason why the value cannot be used. The caller must not turn it into "not found".
    pub fn value(self, candidate: &Candidate<'_>, key: &str, value: &str) -> Result<String, String> {
        check::value(self, candidate, key, value.trim_matches(BLANKS))
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
        // The word may be a part of the name in Postfix, such as `virtual_alias_maps`.
        let word = text.strip_suffix("_maps").unwrap_or(text);
        let word = word.strip_prefix("smtpd_").or_else(|| word.strip_prefix("smtp_")).unwrap_or(word);
        let meant =
            nearest(word, known).map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
        Err(format!("\"{text}\" is not a profile{meant} (there are: {})", known.join(", ")))
    }
}
