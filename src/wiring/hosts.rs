//! Compares hosts and networks: whether a client reaches a listener, and whether it is in a network.

use super::maps::{Map, unbraced, words};
use crate::net::network::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of `localhost`.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The addresses of a host that is an address or `localhost`.
pub fn addresses(host: &str) -> Vec<IpAddr> {
    let host = unbracketed(host);
    if host.eq_ignore_ascii_case("localhost") {
        return LOCALHOST.to_vec();
    }
    host.parse().map(|address: IpAddr| address.to_canonical()).into_iter().collect()
}

/// Whether all addresses of a host are loopback addresses.
pub fn is_loopback(host: &str) -> bool {
    let addresses = addresses(host);
    !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback)
}

/// Whether a client that connects to `host` reaches a program that listens on `listens`: the same name, the
/// same address, or all addresses. 127.0.0.2 is not 127.0.0.1. Whether another address belongs to this host
/// is unknown, so a program that listens on all addresses counts as reached.
pub fn is_reached(host: &str, listens: &str) -> bool {
    if unbracketed(host).eq_ignore_ascii_case(unbracketed(listens)) {
        return true;
    }
    let clients = addresses(host);
    addresses(listens).into_iter().any(|at| match at {
        // Linux accepts IPv4 connections on [::], unless the program disables it.
        IpAddr::V6(at) if at.is_unspecified() => true,
        IpAddr::V4(at) if at.is_unspecified() => clients.is_empty() || clients.iter().any(IpAddr::is_ipv4),
        at => clients.contains(&at),
    })
}

/// Whether a list such as mynetworks contains an address; `None` if a table or file decides.
pub fn is_in_networks(list: &str, address: IpAddr) -> Option<bool> {
    for word in words(list) {
        let (negated, pattern) = word.strip_prefix('!').map_or((false, word), |pattern| (true, pattern));
        let network = network(pattern);
        if network.is_none() && (pattern.starts_with('/') || Map::parse(pattern).is_some()) {
            return None;
        }
        if network.is_some_and(|network| network.contains(address)) {
            return Some(!negated);
        }
    }
    Some(false)
}

/// Parses `192.0.2.0/24`, `[2001:db8::]/32`, or one address.
fn network(text: &str) -> Option<Network> {
    let (address, length) = match unbraced(text).split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = unbracketed(address).parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(whole);
    (length <= whole).then(|| Network::around(address, length, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_clients_with_listeners() {
        for (host, listens, want) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.1", false),
            ("127.0.0.2", "0.0.0.0", true),
            ("localhost", "127.0.0.1", true),
            ("localhost", "[::1]", true),
            ("127.0.0.1", "LOCALHOST", true),
            ("::1", "localhost", true),
            ("::1", "127.0.0.1", false),
            ("::1", "0.0.0.0", false),
            ("127.0.0.1", "::", true),
            ("127.0.0.2", "localhost", false),
            ("mx.example.com", "MX.example.com", true),
            ("mx.example.com", "0.0.0.0", true),
            ("mx.example.com", "127.0.0.1", false),
        ] {
            assert_eq!(is_reached(host, listens), want, "{host} {listens}");
        }
        for (host, want) in
            [("localhost", true), ("127.0.0.9", true), ("[::1]", true), ("192.0.2.1", false), ("x", false)]
        {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }

    #[test]
    fn finds_addresses_in_networks() {
        for (list, address, want) in [
            ("127.0.0.0/8 [::1]/128", "127.0.0.1", Some(true)),
            ("127.0.0.0/8 [::1]/128", "::1", Some(true)),
            ("192.0.2.0/24", "127.0.0.1", Some(false)),
            ("192.0.2.0/24, 127.0.0.1", "127.0.0.1", Some(true)),
            ("!127.0.0.1, 127.0.0.0/8", "127.0.0.1", Some(false)),
            ("0.0.0.0/0", "198.51.100.1", Some(true)),
            ("10.0.0.0/40", "10.0.0.1", Some(false)),
            ("cidr:/etc/postfix/networks, 127.0.0.0/8", "127.0.0.1", None),
            ("/etc/postfix/networks", "127.0.0.1", None),
            ("127.0.0.0/8 cidr:/etc/postfix/networks", "127.0.0.1", Some(true)),
            ("[fd00::]/8", "fd12::1", Some(true)),
            ("", "127.0.0.1", Some(false)),
        ] {
            assert_eq!(is_in_networks(list, address.parse().unwrap()), want, "{list} {address}");
        }
    }
}
