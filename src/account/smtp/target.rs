//! The server of a source: parsing, and the order in which its hosts are tried.

use crate::net::dns::{Dns, Place};
use crate::net::host::{host_and_port, host_name, socket_path};
use mail_address::canonical_domain;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A server, or the name with which it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `ADDRESS[:PORT]`
    Address(SocketAddr),
    /// `HOST[:PORT]`
    Host(String, u16),
    /// `mx:DOMAIN[:PORT]`
    Mx(String, u16),
    /// `srv:NAME`
    Srv(String),
    /// `unix:/PATH`
    Unix(PathBuf),
}

impl Target {
    /// Parses a server, with the port of the protocol. Without `default`, the port is required.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Target::Unix);
        }
        if let Some(name) = text.strip_prefix("srv:") {
            return match name.split_once(':') {
                None => Ok(Target::Srv(read(name, host_name)?)),
                Some(_) => Err("the port of a service is in its SRV record".into()),
            };
        }
        if let Some(rest) = text.strip_prefix("mx:") {
            let (domain, port) = read(rest, |text| host_and_port(text, default))?;
            return match domain.parse::<IpAddr>() {
                Ok(_) => Err(format!("\"{domain}\" is not a domain")),
                Err(_) => Ok(Target::Mx(domain, port)),
            };
        }
        let (host, port) = read(text, |text| host_and_port(text, default))?;
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(Target::Address((address, port).into())),
            Err(_) => Ok(Target::Host(host, port)),
        }
    }

    /// Whether its addresses are looked up in DNS.
    pub fn is_name(&self) -> bool {
        matches!(self, Target::Host(..) | Target::Mx(..) | Target::Srv(_))
    }

    /// The hosts in the order in which they are tried, with their ports.
    pub async fn hosts(&self, lookup: &dyn Dns) -> Result<Vec<(String, u16)>, String> {
        let places = match self {
            Target::Address(_) | Target::Unix(_) => return Ok(Vec::new()),
            Target::Host(host, port) => return Ok(vec![(host.clone(), *port)]),
            Target::Mx(domain, port) => {
                let places = lookup.mx(domain).await?;
                if places.is_empty() {
                    // RFC 5321, section 5.1: a domain without MX records is its own exchanger.
                    return Ok(vec![(domain.clone(), *port)]);
                }
                if places.iter().any(is_nowhere) {
                    return Err(format!("{domain} takes no mail (null MX, RFC 7505)"));
                }
                places
            }
            Target::Srv(service) => {
                let places = lookup.srv(service).await?;
                if places.iter().all(is_nowhere) {
                    return Err(format!("no server offers {service}"));
                }
                places
            }
        };
        let host = |place: Place| {
            let port = match self {
                Target::Mx(_, port) => Some(*port),
                _ => place.port,
            };
            Some((canonical_domain(&place.host).into_owned(), port?))
        };
        Ok(in_order(places).into_iter().filter_map(host).collect())
    }
}

fn read<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    parse(text).map_err(|error| format!("\"{text}\" {error}"))
}

fn is_nowhere(place: &Place) -> bool {
    place.host == "." || place.host.is_empty()
}

/// Sorts by preference and weight. RFC 2782 chooses at random by weight to distribute load. A few connections
/// that stay open are no relevant load, so the heaviest host is always first.
fn in_order(mut places: Vec<Place>) -> Vec<Place> {
    places.retain(|place| !is_nowhere(place));
    places.sort_by_key(|place| (place.preference, std::cmp::Reverse(place.weight)));
    places
}

#[cfg(test)]
mod tests {
    use super::super::testing::Table;
    use super::*;

    #[test]
    fn parses_targets() {
        let address = |text: &str| Target::Address(text.parse().unwrap());
        for (text, want) in [
            ("127.0.0.1", address("127.0.0.1:25")),
            ("127.0.0.1:5025", address("127.0.0.1:5025")),
            ("[::1]", address("[::1]:25")),
            ("[2001:db8::1]:5025", address("[2001:db8::1]:5025")),
            ("localhost", Target::Host("localhost".into(), 25)),
            ("Mail.Example.TEST.:26", Target::Host("mail.example.test".into(), 26)),
            ("bücher.example", Target::Host("xn--bcher-kva.example".into(), 25)),
            ("mx", Target::Host("mx".into(), 25)),
            ("mx:example.test", Target::Mx("example.test".into(), 25)),
            ("mx:example.test:5025", Target::Mx("example.test".into(), 5025)),
            ("srv:_smtp._tcp.example.test", Target::Srv("_smtp._tcp.example.test".into())),
            ("unix:/run/smtp", Target::Unix("/run/smtp".into())),
        ] {
            assert_eq!(Target::parse(text, Some(25)), Ok(want), "{text}");
        }
        for bad in [
            "",
            ":25",
            "host:",
            "host:0",
            "host:65536",
            "host:smtp",
            "host:25:25",
            "::1",
            "[::1",
            "[::1]25",
            "[127.0.0.1]",
            "[::1]:x",
            "mx:",
            "mx:a b",
            "mx:127.0.0.1",
            "mx:[::1]",
            "srv:",
            "srv:name:25",
            "unix:run/x",
            "unix:",
            "a..b",
            "user@host",
            "127.0.0.256",
            "127.0.0",
            "ho st",
            "host\r\n",
            "-",
            "*",
        ] {
            // A hyphen alone is unusual, but only DNS can show that it does not exist.
            assert!(Target::parse(bad, Some(25)).is_err() || bad == "-", "{bad}");
        }
        let long = format!("{}.test", ["a"; 130].join("."));
        assert!(Target::parse(&long, Some(25)).is_err());
    }

    #[test]
    fn port_is_required_without_a_default() {
        for (text, want) in [
            ("127.0.0.1", Err("\"127.0.0.1\" has no port")),
            ("127.0.0.1:24", Ok(())),
            ("[::1]", Err("\"[::1]\" has no port")),
            ("[::1]:24", Ok(())),
            ("localhost", Err("\"localhost\" has no port")),
            ("localhost:24", Ok(())),
            ("mx:example.test", Err("\"example.test\" has no port")),
            ("mx:example.test:24", Ok(())),
            ("srv:_lmtp._tcp.example.test", Ok(())),
            ("unix:/run/dovecot/lmtp", Ok(())),
        ] {
            let got = Target::parse(text, None).map(drop);
            assert_eq!(got, want.map_err(String::from), "{text}");
        }
    }

    #[tokio::test]
    async fn sorts_hosts_by_preference_and_weight() {
        let table = Table::new()
            .mx("example.test", &[(20, "b.test"), (10, "C.test."), (30, "a.test")])
            .mx("null.test", &[(0, ".")])
            .mx("none.test", &[])
            .srv(
                "_smtp._tcp.example.test",
                &[(1, 10, 26, "x.test"), (0, 1, 27, "y.test"), (1, 90, 28, "z.test")],
            )
            .srv("_none._tcp.example.test", &[(0, 0, 0, ".")])
            .srv("_empty._tcp.example.test", &[]);
        for (target, want) in [
            ("host.test:26", Ok("host.test:26")),
            ("mx:example.test", Ok("c.test:25 b.test:25 a.test:25")),
            ("mx:example.test:5025", Ok("c.test:5025 b.test:5025 a.test:5025")),
            ("mx:none.test", Ok("none.test:25")),
            ("mx:null.test", Err("null.test takes no mail (null MX, RFC 7505)")),
            ("mx:nowhere.test", Err("the name nowhere.test does not exist")),
            ("srv:_smtp._tcp.example.test", Ok("y.test:27 z.test:28 x.test:26")),
            ("srv:_none._tcp.example.test", Err("no server offers _none._tcp.example.test")),
            ("srv:_empty._tcp.example.test", Err("no server offers _empty._tcp.example.test")),
        ] {
            let got = Target::parse(target, Some(25)).unwrap().hosts(&table).await.map(|hosts| {
                hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{target}");
        }
    }
}
