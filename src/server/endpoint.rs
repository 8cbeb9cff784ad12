//! Addresses to listen on, in the syntax of Postfix, Sendmail and systemd.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A TCP port of an address or host name.
    Inet {
        /// An address without brackets, or a host name; names are looked up when the listener is opened.
        host: String,
        /// The port; 0 lets the system choose one.
        port: u16,
    },
    /// A UNIX socket.
    Unix(PathBuf),
    /// A socket opened by systemd, by its `FileDescriptorName=`.
    Systemd(String),
}

impl FromStr for Endpoint {
    type Err = String;

    /// Parses Postfix' syntax (`inet:host:port`, `inet6:[address]:port`, `unix:/path`), Sendmail's
    /// (`inet:port@host`, `local:/path`), and `systemd:name`. The error is a sentence with the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANT: &str =
            "write inet:HOST:PORT, inet6:[ADDRESS]:PORT, unix:/PATH, inet:PORT@HOST or systemd:NAME";
        let (kind, rest) = text.split_once(':').ok_or(WANT)?;
        match kind {
            "inet" | "inet6" => {
                let (host, port) = match rest.split_once('@') {
                    Some((port, host)) => (host, port),
                    None => rest.rsplit_once(':').ok_or(WANT)?,
                };
                let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let host = bracketed.unwrap_or(host);
                if host.is_empty() || (host.contains(':') && bracketed.is_none() && !rest.contains('@')) {
                    return Err(WANT.into());
                }
                let port =
                    port.parse().map_err(|_| format!("\"{port}\" is not a port number from 0 to 65535"))?;
                Ok(Endpoint::Inet { host: host.into(), port })
            }
            "unix" | "local" if rest.starts_with('/') => Ok(Endpoint::Unix(rest.into())),
            "unix" | "local" => Err("the path of a socket must be absolute: write unix:/PATH".into()),
            "systemd" if !rest.is_empty() => Ok(Endpoint::Systemd(rest.into())),
            _ => Err(WANT.into()),
        }
    }
}

impl Endpoint {
    /// Whether only one of two listeners can be opened. An unspecified address takes its port on all addresses.
    pub fn excludes(&self, other: &Endpoint) -> bool {
        match (self, other) {
            // The system chooses a different port for each listener.
            (Endpoint::Inet { port: 0, .. }, _) => false,
            (Endpoint::Inet { host: a, port: ours }, Endpoint::Inet { host: b, port: theirs }) => {
                ours == theirs && (a == b || takes_port(a, b) || takes_port(b, a))
            }
            _ => self == other,
        }
    }
}

/// Whether a listener at `host` takes its port at the address `other`, too. `[::]` is for IPv4 as well (ipv6(7)).
fn takes_port(host: &str, other: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.is_unspecified(),
        Ok(IpAddr::V4(address)) => address.is_unspecified() && !other.contains(':'),
        Err(_) => false,
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet { host, port } if host.contains(':') => write!(f, "inet6:[{host}]:{port}"),
            Endpoint::Inet { host, port } => write!(f, "inet:{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listeners_that_exclude_each_other() {
        for (one, other, want) in [
            ("inet:127.0.0.1:3047", "inet:3047@127.0.0.1", true),
            ("inet:127.0.0.1:3047", "inet:127.0.0.1:3048", false),
            ("inet:127.0.0.1:3047", "inet:127.0.0.2:3047", false),
            ("inet:127.0.0.1:3047", "inet:0.0.0.0:3047", true),
            ("inet:127.0.0.1:3047", "inet6:[::]:3047", true),
            ("inet:localhost:3047", "inet:0.0.0.0:3047", true),
            ("inet6:[::1]:3047", "inet:0.0.0.0:3047", false),
            ("inet6:[::1]:3047", "inet6:[::]:3047", true),
            ("inet:0.0.0.0:0", "inet:0.0.0.0:0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("systemd:a", "systemd:a", true),
            ("systemd:a", "inet:0.0.0.0:3047", false),
        ] {
            let (a, b): (Endpoint, Endpoint) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((a.excludes(&b), b.excludes(&a)), (want, want), "{one} {other}");
        }
    }

    #[test]
    fn parses_postfix_sendmail_and_systemd_syntax() {
        for (text, want) in [
            ("inet:127.0.0.1:3047", "inet:127.0.0.1:3047"),
            ("inet:localhost:0", "inet:localhost:0"),
            ("inet6:[::1]:3047", "inet6:[::1]:3047"),
            ("inet:[::1]:3047", "inet6:[::1]:3047"),
            ("inet:3047@127.0.0.1", "inet:127.0.0.1:3047"),
            ("inet6:3047@::1", "inet6:[::1]:3047"),
            ("unix:/run/rcptd/milter.sock", "unix:/run/rcptd/milter.sock"),
            ("local:/run/rcptd/milter.sock", "unix:/run/rcptd/milter.sock"),
            ("systemd:rcptd-milter", "systemd:rcptd-milter"),
        ] {
            let got = text.parse::<Endpoint>().map(|e| e.to_string());
            assert_eq!(got.as_deref(), Ok(want), "{text}");
        }
        for bad in [
            "",
            "3047",
            "inet:3047",
            "inet::1:3047",
            "inet:host:70000",
            "inet:host:x",
            "unix:run/x",
            "fifo:/x",
            "systemd:",
            "inet:@h",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
