//! Where a statement applies.

use super::{DeliverTo, Part};
use crate::secrets::Secrets;

/// For which domains a statement counts, where its mail goes, and who can make its codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// In canonical spelling and in order; `None` for all that are ours.
    domains: Option<Box<[Box<str>]>>,
    target: Option<DeliverTo>,
    /// Those of `HMAC`; none for a statement without it.
    secrets: Secrets,
}

impl Scope {
    /// In `domains`, in canonical spelling; `None`: in all that are ours.
    pub fn new(domains: Option<Vec<Box<str>>>, target: Option<DeliverTo>, secrets: Secrets) -> Self {
        let domains = domains.map(|mut domains| {
            domains.sort_unstable();
            domains.dedup();
            domains.into_boxed_slice()
        });
        Scope { domains, target, secrets }
    }

    /// Whether the statement counts for names of `domain`.
    pub fn includes(&self, domain: Option<&str>) -> bool {
        let Some(domains) = &self.domains else { return true };
        domain.is_some_and(|domain| domains.binary_search_by(|own| (**own).cmp(domain)).is_ok())
    }
    /// What `HMAC` computes with; none where the statement has no `HMAC`.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Where the mail goes, if not to the account.
    pub fn target(&self) -> Option<&DeliverTo> {
        self.target.as_ref()
    }

    /// Whether another alias is another destination.
    pub fn distinguishes_aliases(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.names(&Part::Alias))
    }
}
