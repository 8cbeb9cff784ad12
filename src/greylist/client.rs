//! Who a client is, for greylisting: the second attempt of a large provider comes from another address than the first.
//!
//! A client is known by the registered domain of its verified name; or by the domain of the sender, if that domain says by
//! SPF that the client may send for it; or by its network.

use super::{Facts, SpfResult};
use crate::net::network::Network;
use std::fmt;
use std::net::IpAddr;

/// By what a client may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The registered domain of its verified name.
    Name,
    /// The domain of the sender, if SPF passes.
    Spf,
}

/// How clients are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// What is used, in this order; the network, if nothing of it can be.
    pub by: Box<[By]>,
    /// Length of the prefix of an IPv4 network.
    pub ipv4_prefix: u8,
    /// Length of the prefix of an IPv6 network.
    pub ipv6_prefix: u8,
}

/// The key of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// The registered domain of its verified name.
    Name(Box<str>),
    /// The domain of the sender, for which SPF passes.
    Spf(Box<str>),
    /// The network.
    Network(Network),
}

/// The text that is part of the keys in a store, so that all hosts must have the same.
impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientKey::Name(domain) => write!(f, "name:{domain}"),
            ClientKey::Spf(domain) => write!(f, "spf:{domain}"),
            ClientKey::Network(network) => network.fmt(f),
        }
    }
}

impl Identification {
    /// The network of a client.
    pub fn network(&self, client: IpAddr) -> Network {
        Network::around(client, self.ipv4_prefix, self.ipv6_prefix)
    }

    /// Whether the key depends on SPF.
    pub fn needs_spf(&self, facts: &Facts<'_>) -> bool {
        for by in &self.by {
            match by {
                By::Name if named(facts).is_some() => return false,
                By::Name => (),
                By::Spf => return sender_domain(facts).is_some(),
            }
        }
        false
    }

    /// The key of a client. If SPF was not looked up or has no result, it does not count.
    pub fn key(&self, facts: &Facts<'_>) -> ClientKey {
        let known = self.by.iter().find_map(|by| match by {
            By::Name => named(facts).map(|domain| ClientKey::Name(domain.into())),
            By::Spf if facts.spf == Some(SpfResult::Pass) => {
                sender_domain(facts).map(|domain| ClientKey::Spf(domain.into()))
            }
            By::Spf => None,
        });
        known.unwrap_or_else(|| ClientKey::Network(self.network(facts.client)))
    }
}

/// The domain of the sender itself, not the registered one: only for this domain did SPF pass, and a subdomain may be
/// that of a customer.
fn sender_domain<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    facts.sender.and_then(|sender| sender.domain())
}

/// The registered domain of the verified name of the client, unless the name is one of those that a provider gives to
/// all of its addresses: they belong to unrelated hosts.
fn named<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let name = facts.client_name?;
    let domain = registered(name)?;
    let host = name.strip_suffix(domain)?;
    (!has_address(host, facts.client) && !is_access_line(host)).then_some(domain)
}

/// The part of a name that its owner has registered, by the public suffix list: one label more than the suffix. The
/// suffixes of providers in the list count (`compute.amazonaws.com`), since their customers are strangers to each other.
/// `None` if the name is a suffix itself, or its suffix is not in the list.
pub fn registered(name: &str) -> Option<&str> {
    let domain = psl::domain(name.as_bytes()).filter(|domain| domain.suffix().is_known())?;
    name.get(name.len() - domain.as_bytes().len()..)
}

/// Words in the names of access lines.
const ACCESS: [&str; 17] = [
    "adsl", "cable", "catv", "cpe", "cust", "dhcp", "dial", "dialin", "dialup", "dip", "dsl", "dyn",
    "dynamic", "fiber", "ftth", "pool", "ppp",
];

/// Whether a host name is that of an access line: a word of [`ACCESS`] and a number.
fn is_access_line(host: &str) -> bool {
    let has_number = host.bytes().any(|b| b.is_ascii_digit());
    let mut words = host.split(|c: char| !c.is_ascii_alphabetic());
    has_number && words.any(|word| ACCESS.contains(&word))
}

/// Whether a host name contains the address of the client: at least the last two octets in decimal, in either order;
/// the whole address in hexadecimal; or, for IPv6, its last 32 bits in hexadecimal, or 8 nibbles of it, each a word.
fn has_address(host: &str, client: IpAddr) -> bool {
    let words: Vec<&str> =
        host.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match client {
        IpAddr::V4(address) => {
            let octets = address.octets();
            let [a, b, c, d] = octets;
            let (hex, padded) = (format!("{:08x}", address.to_bits()), format!("{a:03}{b:03}{c:03}{d:03}"));
            if host.contains(&hex) || host.contains(&padded) {
                return true;
            }
            let numbers = numbers(host);
            let [.., third, fourth] = octets.map(u64::from);
            numbers.windows(2).any(|pair| pair == [third, fourth] || pair == [fourth, third])
        }
        IpAddr::V6(address) => {
            let hex = format!("{:032x}", address.to_bits());
            let groups: String = words.concat();
            let reversed: String = hex.chars().rev().collect();
            let is_nibble = |word: &&&str| word.len() == 1 && word.bytes().all(|b| b.is_ascii_hexdigit());
            let nibbles: String = words.iter().filter(is_nibble).copied().collect();
            groups.contains(&hex[24..])
                || (nibbles.len() >= 8 && (reversed.contains(&nibbles) || hex.contains(&nibbles)))
                || host.contains(&address.to_string().replace(':', "-"))
        }
    }
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<u64> {
    let digits = text.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_address::Address;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::from_server(text.as_bytes())
    }

    fn all() -> Identification {
        Identification { by: [By::Name, By::Spf].into(), ipv4_prefix: 24, ipv6_prefix: 64 }
    }

    fn key(name: &str, client: &str, spf: Option<SpfResult>) -> String {
        let (sender, recipient) = (address("bob@News.Example.org"), address("foo@example.test"));
        let facts = Facts {
            client: client.parse().unwrap(),
            client_name: (!name.is_empty()).then_some(name),
            reverse_name: None,
            helo: "mx",
            sender: Some(&sender),
            recipient: &recipient,
            spf,
        };
        assert_eq!(all().needs_spf(&facts), !all().key(&facts).to_string().starts_with("name:"), "{name}");
        all().key(&facts).to_string()
    }

    #[test]
    fn providers_are_known_by_their_domains() {
        const V6: &str = "2001:db8:1234:5678:9abc:def0:1234:5678";
        for (name, client, want) in [
            // Servers of providers.
            ("mail-ot1-f41.google.com", "209.85.210.41", "google.com"),
            ("mail-eopbgr10045.outbound.protection.outlook.com", "40.107.1.45", "outlook.com"),
            ("mail-db3eur04on2102.outbound.protection.outlook.com", "40.107.8.102", "outlook.com"),
            ("a8-123.smtp-out.amazonses.com", "54.240.8.123", ""),
            ("o1.ptr1234.sendgrid.net", "167.89.1.1", "sendgrid.net"),
            ("mout.gmx.net", "212.227.15.18", "gmx.net"),
            ("mout-xforward.kundenserver.de", "82.165.159.4", "kundenserver.de"),
            ("sonic309-21.consmr.mail.ir2.yahoo.com", "77.238.179.187", "yahoo.com"),
            ("mx3.bbc.co.uk", "212.58.1.1", "bbc.co.uk"),
            ("example.org", "192.0.2.1", "example.org"),
            ("mx1.example.org", "192.0.2.1", "example.org"),
            ("mx1.example.org", V6, "example.org"),
            ("smtp25.example.org", "192.0.2.25", "example.org"),
            ("mail.pool.example.org", "192.0.2.1", "example.org"),
            ("dynamic-mail.example.org", "192.0.2.1", "example.org"),
            ("mail.xn--grn-ioa.example.com", "192.0.2.1", "example.com"),
            // Names of access lines.
            ("ec2-192-0-2-7.compute-1.amazonaws.com", "192.0.2.7", ""),
            ("p5b1234ab.dip0.t-ipconnect.de", "91.18.52.171", ""),
            ("c0000207.cm.example.org", "192.0.2.7", ""),
            ("203-0-113-7.static.example.net", "203.0.113.7", ""),
            ("203.0.113.7.example.net", "203.0.113.7", ""),
            ("7.113.0.203.example.net", "203.0.113.7", ""),
            ("host-113-7.example.net", "203.0.113.7", ""),
            ("host7-113.example.net", "203.0.113.7", ""),
            ("ip203000113007.example.net", "203.0.113.7", ""),
            ("dsl-1234.example.net", "203.0.113.7", ""),
            ("adsl99.example.net", "203.0.113.7", ""),
            ("12.pool.example.net", "203.0.113.7", ""),
            ("customer-44.dyn.example.net", "203.0.113.7", ""),
            ("cpe-55.example.net", "203.0.113.7", ""),
            ("x.2001-db8-1234-5678-9abc-def0-1234-5678.example.net", V6, ""),
            ("h12345678.example.net", V6, ""),
            ("8.7.6.5.4.3.2.1.example.net", V6, ""),
            // Names without a registered domain.
            ("localhost", "192.0.2.1", ""),
            ("co.uk", "192.0.2.1", ""),
            ("mx.invalid-top-level", "192.0.2.1", ""),
            ("", "192.0.2.1", ""),
        ] {
            let want = if want.is_empty() {
                all().network(client.parse().unwrap()).to_string()
            } else {
                format!("name:{want}")
            };
            assert_eq!(key(name, client, None), want, "{name} {client}");
        }
    }

    #[test]
    fn spf_counts_if_it_passes() {
        for (spf, want) in [
            (None, "192.0.2.0/24"),
            (Some(SpfResult::Pass), "spf:news.example.org"),
            (Some(SpfResult::Fail), "192.0.2.0/24"),
            (Some(SpfResult::SoftFail), "192.0.2.0/24"),
            (Some(SpfResult::Neutral), "192.0.2.0/24"),
            (Some(SpfResult::None), "192.0.2.0/24"),
            (Some(SpfResult::Unknown), "192.0.2.0/24"),
        ] {
            assert_eq!(key("", "192.0.2.7", spf), want, "{spf:?}");
        }
        assert_eq!(key("", "2001:db8::1", None), "2001:db8::/64");
        assert_eq!(key("mx.example.org", "192.0.2.7", Some(SpfResult::Pass)), "name:example.org");
    }

    proptest! {
        #[test]
        fn any_name_has_a_key(name in "[a-z0-9.-]{0,40}", client: u32, other: u8) {
            let client = IpAddr::V4(client.into());
            let recipient = address("foo@example.test");
            let facts = Facts {
                client,
                client_name: Some(&name),
                reverse_name: None,
                helo: "",
                sender: None,
                recipient: &recipient,
                spf: Some(SpfResult::Pass),
            };
            let key = all().key(&facts);
            let is_spf = matches!(key, ClientKey::Spf(_));
            prop_assert!(!is_spf, "there is no sender");
            // All hosts of a network are the same client.
            let IpAddr::V4(v4) = client else { unreachable!() };
            let [a, b, c, _] = v4.octets();
            let neighbour = IpAddr::from([a, b, c, other]);
            prop_assert_eq!(all().network(client), all().network(neighbour));
        }
    }
}
