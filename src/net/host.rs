//! A server by its host and port, or by the path of its socket.

use mail_address::canonical_domain;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

/// Maximum length of a DNS name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
/// Ports of LDAP, and of LDAP over TLS.
pub const LDAP_PORT: u16 = 389;
const LDAPS_PORT: u16 = 636;

/// A server of a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or address, and a port.
    Inet(String, u16),
    /// The path of a UNIX socket; with PostgreSQL its folder.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Inet(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Host::Inet(host, port) => write!(f, "{host}:{port}"),
            Host::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Parses the path of a UNIX socket. The error is a sentence.
pub fn socket_path(path: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') {
        return Err("the path of a socket must be absolute".into());
    }
    SocketAddr::from_pathname(path).map_err(|error| format!("{path} cannot be a socket: {error}"))?;
    Ok(path.into())
}

/// Parses `HOST[:PORT]`, `ADDRESS[:PORT]` or `[IPV6][:PORT]`. Without `default`, the port is required. The host
/// is returned in lower case and without brackets. The error says what the text "has".
pub fn host_and_port(text: &str, default: Option<u16>) -> Result<(String, u16), String> {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let address: Ipv6Addr =
            address.parse().map_err(|_| "has something in brackets that is not an IPv6 address")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err("has something after the brackets that is not a port".into()),
        };
        return Ok((address.to_string(), port_or(port, default)?));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') => {
            return Err("has an IPv6 address without brackets".into());
        }
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = if host.parse::<IpAddr>().is_ok() { host.into() } else { host_name(host)? };
    Ok((host, port_or(port, default)?))
}

/// Parses the URL of an LDAP server: `ldap://HOST[:PORT]`, `ldaps://HOST[:PORT]` or `ldapi://PATH`, in whose path `/` is
/// written as `%2F`. Also returns whether the connection is encrypted from its first octet. `None` if the text is no
/// such URL. The error completes the sentence "the text has …".
pub fn ldap_server(text: &str) -> Option<Result<(Host, bool), String>> {
    let (scheme, rest) = text.split_once("://")?;
    let (place, more) = rest.split_once('/').unwrap_or((rest, ""));
    let parse = |port, is_tls| {
        // The base of a search belongs to the map.
        if !more.is_empty() {
            return Err("has text after the server".into());
        }
        host_and_port(place, Some(port)).map(|(host, port)| (Host::Inet(host, port), is_tls))
    };
    match scheme.to_ascii_lowercase().as_str() {
        "ldap" => Some(parse(LDAP_PORT, false)),
        "ldaps" => Some(parse(LDAPS_PORT, true)),
        "ldapi" => Some(match percent_decoded(rest.strip_suffix('/').unwrap_or(rest)) {
            Some(path) if path.starts_with('/') => Ok((Host::Unix(path.into()), false)),
            _ => Err("has no path, such as %2Frun%2Fslapd%2Fldapi".into()),
        }),
        _ => None,
    }
}

/// Decodes `%XX` (RFC 3986, section 2.1). `None` if the text is malformed, or not UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
        octets.push(match octet {
            b'%' => {
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => octet,
        });
    }
    String::from_utf8(octets).ok()
}

fn port_or(port: Option<&str>, default: Option<u16>) -> Result<u16, String> {
    let Some(port) = port else { return default.ok_or_else(|| "has no port".into()) };
    match port.parse() {
        Ok(0) | Err(_) => Err("has a port that is not a number from 1 to 65535".into()),
        Ok(port) => Ok(port),
    }
}

/// The canonical form of a host name. The error says what the text "has".
pub fn host_name(name: &str) -> Result<String, String> {
    let name = canonical_domain(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    // A name that ends in a number is an address (RFC 1123, section 2.1), here a mistyped one.
    let address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    match &*name {
        "" => Err("has no host".into()),
        name if name.len() <= MAX_NAME && name.split('.').all(label) && !address => Ok(name.into()),
        _ => Err("has an invalid host name".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_host_and_port() {
        let port = "has a port that is not a number from 1 to 65535";
        for (text, want) in [
            ("db1.example.com", Ok("db1.example.com 5432")),
            ("DB1.example.com.:5433", Ok("db1.example.com 5433")),
            ("bücher.example", Ok("xn--bcher-kva.example 5432")),
            ("192.0.2.1", Ok("192.0.2.1 5432")),
            ("192.0.2.1:1", Ok("192.0.2.1 1")),
            ("[2001:DB8::1]", Ok("2001:db8::1 5432")),
            ("[2001:db8::1]:5433", Ok("2001:db8::1 5433")),
            ("", Err("has no host")),
            (":25", Err("has no host")),
            ("host:x", Err(port)),
            ("[::1]:x", Err(port)),
            ("host:0", Err(port)),
            ("[::1]:0", Err(port)),
            ("host:65536", Err(port)),
            ("host:", Err(port)),
            ("host:25:25", Err(port)),
            ("2001:db8::1", Err("has an IPv6 address without brackets")),
            ("::1", Err("has an IPv6 address without brackets")),
            ("::1:3048", Err("has an IPv6 address without brackets")),
            ("[::1", Err("has an invalid host name")),
            ("[::1]25", Err("has something after the brackets that is not a port")),
            ("[127.0.0.1]", Err("has something in brackets that is not an IPv6 address")),
            ("127.0.0.256", Err("has an invalid host name")),
            ("a b", Err("has an invalid host name")),
            ("a..b", Err("has an invalid host name")),
            ("user@db", Err("has an invalid host name")),
        ] {
            let got = host_and_port(text, Some(5432)).map(|(host, port)| format!("{host} {port}"));
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        }
        assert_eq!(host_and_port("host", None), Err("has no port".into()));
        let long = format!("{}.test", ["a"; 130].join("."));
        assert!(host_and_port(&long, Some(1)).is_err());
    }

    #[test]
    fn parses_ldap_servers() {
        let path = "has no path, such as %2Frun%2Fslapd%2Fldapi";
        for (text, want) in [
            ("ldap://ldap.example.com", Ok("ldap.example.com:389 false")),
            ("LDAP://LDAP.example.com:1389/", Ok("ldap.example.com:1389 false")),
            ("ldaps://ldap.example.com", Ok("ldap.example.com:636 true")),
            ("ldaps://[2001:db8::1]:1636/", Ok("[2001:db8::1]:1636 true")),
            ("ldapi://%2Frun%2fslapd%2Fldapi/", Ok("unix:/run/slapd/ldapi false")),
            ("ldapi://", Err(path)),
            ("ldapi:///", Err(path)),
            ("ldapi://run%2Fldapi", Err(path)),
            ("ldapi://%2Frun%2", Err(path)),
            ("ldap://", Err("has no host")),
            ("ldaps://h/dc=example,dc=com", Err("has text after the server")),
            ("ldaps://h:0", Err("has a port that is not a number from 1 to 65535")),
        ] {
            let got = ldap_server(text).unwrap().map(|(host, is_tls)| format!("{host} {is_tls}"));
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        }
        for text in ["ldap.example.com", "http://h", "unix:/run/ldapi", "ldap:h", ""] {
            assert!(ldap_server(text).is_none(), "{text}");
        }
    }
}
