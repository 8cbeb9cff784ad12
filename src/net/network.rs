//! Networks of IP addresses, such as `192.0.2.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address whose bits after the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Returns the network of an address, with a prefix of `ipv4` or `ipv6` bits. An IPv4 address in IPv6 form
    /// (`::ffff:192.0.2.1`) is an IPv4 address.
    pub fn around(address: IpAddr, ipv4: u8, ipv6: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let prefix = ipv4.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Network { base: Ipv4Addr::from_bits(address.to_bits() & mask).into(), prefix }
            }
            IpAddr::V6(address) => {
                let prefix = ipv6.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Network { base: Ipv6Addr::from_bits(address.to_bits() & mask).into(), prefix }
            }
        }
    }

    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        Network::around(address, self.prefix, self.prefix) == *self
    }

    /// The length of its prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is a network of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    /// The number of bits of an address of the same family.
    fn bits(&self) -> u8 {
        if self.base.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Network {
    type Err = String;

    /// Parses `192.0.2.0/24`, `2001:db8::/32`, or one address. The error is a sentence with the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANT: &str = "write a network or an address, such as \"192.0.2.0/24\" or \"2001:db8::1\"";
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| WANT)?;
        if address != address.to_canonical() {
            return Err("write it as an IPv4 address".to_owned());
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= most && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| format!("write a length from 0 to {most} after the /"))?,
        };
        let network = Network::around(address, prefix, prefix);
        if network.base == address { Ok(network) } else { Err(format!("write \"{network}\"")) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == self.bits() { self.base.fmt(f) } else { write!(f, "{}/{}", self.base, self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_contains() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::/32", "2001:db8::", "32.1.13.184"),
            ("::/0", "ffff::", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("192.0.2.0/25", "::ffff:192.0.2.127", "::ffff:192.0.2.128"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), text);
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
        }
    }

    #[test]
    fn errors_name_the_remedy() {
        for (text, want) in [
            ("", "write a network or an address"),
            ("mail.example.com", "write a network or an address"),
            ("[2001:db8::1]", "write a network or an address"),
            ("192.0.2.0/33", "write a length from 0 to 32"),
            ("192.0.2.0/+8", "write a length from 0 to 32"),
            ("2001:db8::/129", "write a length from 0 to 128"),
            ("192.0.2.1/24", "write \"192.0.2.0/24\""),
            ("::ffff:192.0.2.1", "write it as an IPv4 address"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }

    #[test]
    fn groups_addresses() {
        for (address, ipv4, ipv6, want) in [
            ("192.0.2.7", 32, 64, "192.0.2.7"),
            ("192.0.2.7", 24, 64, "192.0.2.0/24"),
            ("192.0.2.7", 0, 0, "0.0.0.0/0"),
            ("::ffff:192.0.2.7", 24, 64, "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", 24, 64, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3::4", 24, 128, "2001:db8:1:2:3::4"),
        ] {
            assert_eq!(Network::around(address.parse().unwrap(), ipv4, ipv6).to_string(), want, "{address}");
        }
    }
}
