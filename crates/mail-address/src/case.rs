//! Which domains tell upper from lower case.

use super::Address;
use std::collections::HashMap;
use std::sync::Arc;

/// Whether local parts that differ by case only are different mailboxes, domain by domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cases {
    domains: Arc<HashMap<Box<str>, bool>>,
    elsewhere: bool,
}

impl Cases {
    /// As `domains` say, in canonical spelling, and `elsewhere` for all others.
    pub fn new<D: Into<Box<str>>>(domains: impl IntoIterator<Item = (D, bool)>, elsewhere: bool) -> Self {
        let domains = domains.into_iter().map(|(domain, sensitive)| (domain.into(), sensitive)).collect();
        Cases { domains: Arc::new(domains), elsewhere }
    }

    /// The same with another answer for the domains that were not named.
    #[must_use]
    pub fn and_elsewhere(self, sensitive: bool) -> Self {
        Cases { elsewhere: sensitive, ..self }
    }

    /// Whether case matters in the domain of this address.
    pub fn of(&self, address: &Address) -> bool {
        address.domain().and_then(|domain| self.domains.get(domain)).copied().unwrap_or(self.elsewhere)
    }

    /// Whether there are domains in which it does, or in which it does not.
    pub fn include(&self, sensitive: bool) -> bool {
        self.elsewhere == sensitive || self.domains.values().any(|one| *one == sensitive)
    }
}

/// The same everywhere.
impl From<bool> for Cases {
    fn from(sensitive: bool) -> Self {
        Cases { domains: Arc::default(), elsewhere: sensitive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_has_its_own() {
        let cases = Cases::new([("a.example", true), ("b.example", false)], false);
        for (address, want) in
            [("x@A.example.", true), ("x@b.example", false), ("x@c.example", false), ("x", false)]
        {
            assert_eq!(cases.of(&Address::from_rcpt(address.as_bytes())), want, "{address}");
        }
        assert!(cases.include(true) && cases.include(false));
        assert!(cases.and_elsewhere(true).of(&Address::from_rcpt(b"x@c.example")));
        for sensitive in [true, false] {
            let all = Cases::from(sensitive);
            assert!(all.include(sensitive) && !all.include(!sensitive));
        }
    }
}
