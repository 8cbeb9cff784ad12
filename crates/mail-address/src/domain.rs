//! Checks domains that an operator wrote.

use super::{MAX_DOMAIN, canonical_domain};
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Converts a domain that an operator wrote to canonical spelling.
///
/// # Errors
/// An instruction for the operator if the text is not a domain.
pub fn parse_domain(domain: &str) -> Result<Cow<'_, str>, &'static str> {
    let canonical = canonical_domain(domain);
    if domain.trim().is_empty() {
        Err("write a domain such as example.com")
    } else if domain.contains('@') {
        Err("write only the part after the @")
    } else if domain.contains(['*', '?']) {
        Err("domains are compared as a whole: write each one")
    } else if !is_domain(&canonical) {
        Err("write letters, digits, hyphens and dots only, as in example.com")
    } else {
        Ok(canonical)
    }
}

/// Whether a text in A-labels can be the domain of an address: labels separated by dots, or an address in
/// brackets (RFC 5321, section 4.1.3). Underscores are allowed: host names have none, but some mail domains
/// do.
pub fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if domain.len() > MAX_DOMAIN {
        return false;
    }
    let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return domain.split('.').all(label);
    };
    match literal.split_at_checked("IPv6:".len()) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => v6.parse::<Ipv6Addr>().is_ok(),
        _ => literal.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_address_literals() {
        for (domain, want) in [
            ("example.com", true),
            ("localhost", true),
            ("xn--grn-ioa.example", true),
            ("_x.example", true),
            ("[192.0.2.1]", true),
            ("[IPv6:2001:db8::1]", true),
            ("[ipv6:2001:db8::1]", true),
            ("", false),
            (".", false),
            (".example.com", false),
            ("example.com.", false),
            ("exam ple.com", false),
            ("example,com", false),
            ("grün.example", false),
            ("[]", false),
            ("[2001:db8::1]", false),
            ("[mx.example.com]", false),
            ("[192.0.2.1", false),
        ] {
            assert_eq!(is_domain(domain), want, "{domain}");
        }
        assert!(is_domain(&"a".repeat(MAX_DOMAIN)) && !is_domain(&"a".repeat(MAX_DOMAIN + 1)));
    }
}
