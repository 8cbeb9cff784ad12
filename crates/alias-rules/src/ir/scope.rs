//! The domains, target and secrets of a statement.

use super::{DeliverTo, Part};
use crate::secrets::Secrets;

/// The domains in which a statement applies, the target of its mail, and its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// In canonical spelling and sorted; `None` for all local domains.
    domains: Option<Box<[Box<str>]>>,
    target: Option<DeliverTo>,
    /// Empty for a statement without `HMAC`.
    secrets: Secrets,
}

impl Scope {
    /// `domains` are in canonical spelling; `None` is for all local domains.
    pub fn new(domains: Option<Vec<Box<str>>>, target: Option<DeliverTo>, secrets: Secrets) -> Self {
        let domains = domains.map(|mut domains| {
            domains.sort_unstable();
            domains.dedup();
            domains.into_boxed_slice()
        });
        Scope { domains, target, secrets }
    }

    /// The domains that the statement names, if it does not apply in all local ones.
    pub fn domains(&self) -> &[Box<str>] {
        self.domains.as_deref().unwrap_or_default()
    }

    /// Whether the statement applies to names of `domain`.
    pub fn includes(&self, domain: Option<&str>) -> bool {
        let Some(domains) = &self.domains else { return true };
        domain.is_some_and(|domain| domains.binary_search_by(|own| (**own).cmp(domain)).is_ok())
    }

    /// The secrets of `HMAC`; empty for a statement without `HMAC`.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The target of the mail; `None` for the account itself.
    pub fn target(&self) -> Option<&DeliverTo> {
        self.target.as_ref()
    }

    /// Whether the target depends on the alias.
    pub fn distinguishes_aliases(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.names(&Part::Alias))
    }
}
