//! Case sensitivity of local parts, by domain.

use super::Address;
use std::collections::HashMap;
use std::sync::Arc;

/// Whether local parts that differ by case only are different mailboxes, for each domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseSensitivity {
    domains: Arc<HashMap<Box<str>, bool>>,
    default: bool,
}

impl CaseSensitivity {
    /// Creates the policy from domains in canonical spelling, each with `true` if case matters there;
    /// `default` is for all other domains.
    pub fn new<D: Into<Box<str>>>(domains: impl IntoIterator<Item = (D, bool)>, default: bool) -> Self {
        let domains = domains.into_iter().map(|(domain, sensitive)| (domain.into(), sensitive)).collect();
        CaseSensitivity { domains: Arc::new(domains), default }
    }

    /// Replaces the default for domains that are not listed.
    #[must_use]
    pub fn with_default(self, sensitive: bool) -> Self {
        CaseSensitivity { default: sensitive, ..self }
    }

    /// Whether case matters in the domain of this address.
    pub fn of(&self, address: &Address) -> bool {
        address.domain().and_then(|domain| self.domains.get(domain)).copied().unwrap_or(self.default)
    }

    /// Whether at least one domain is case-sensitive (`true`) or case-insensitive (`false`).
    pub fn includes(&self, sensitive: bool) -> bool {
        self.default == sensitive || self.domains.values().any(|one| *one == sensitive)
    }
}

/// Case sensitivity that is the same in all domains.
impl From<bool> for CaseSensitivity {
    fn from(sensitive: bool) -> Self {
        CaseSensitivity { domains: Arc::default(), default: sensitive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_domains_override_the_default() {
        let cases = CaseSensitivity::new([("a.example", true), ("b.example", false)], false);
        for (address, want) in
            [("x@A.example.", true), ("x@b.example", false), ("x@c.example", false), ("x", false)]
        {
            assert_eq!(cases.of(&Address::from_rcpt(address.as_bytes())), want, "{address}");
        }
        assert!(cases.includes(true) && cases.includes(false));
        assert!(cases.with_default(true).of(&Address::from_rcpt(b"x@c.example")));
        for sensitive in [true, false] {
            let all = CaseSensitivity::from(sensitive);
            assert!(all.includes(sensitive) && !all.includes(!sensitive));
        }
    }
}
