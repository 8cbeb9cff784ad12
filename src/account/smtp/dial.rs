//! Opens a session with a target: address lookup, connection, STARTTLS, EHLO. Each step has its own timeout.

use super::connection::{Connection, Failure, Peer};
use super::protocol::Protocol;
use super::target::Target;
use super::wire::{Transport, Wire};
use crate::account::settings::{SmtpSettings, StartTls};
use crate::net::back_off::BackOffs;
use crate::net::connect::MAX_ADDRESSES;
use crate::net::dns::Dns;
use crate::net::tls::client;
use crate::observe::outage::Servers;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Timeouts of the steps, as fractions of the timeout of the source. If one server does not accept a
/// connection, there is time for the next one, and each step that times out has its own reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connect: Duration,
    pub hello: Duration,
    pub tls: Duration,
    /// All commands of a question.
    pub command: Duration,
    /// The RSET after the answer: short, so that the answer is still in time if the server is slow. If there
    /// is no reply until then, the answer counts and the connection is closed.
    pub reset: Duration,
}

impl Limits {
    pub fn within(deadline: Duration) -> Self {
        Limits {
            connect: deadline / 4,
            hello: deadline / 2,
            tls: deadline / 2,
            command: deadline / 10 * 9,
            reset: deadline / 20,
        }
    }
}

/// Makes connections.
pub(super) struct Dialer {
    pub protocol: Protocol,
    pub target: Target,
    pub lookup: Arc<dyn Dns>,
    pub limits: Limits,
    pub me: ClientId,
    pub tls: Tls,
    pub servers: Servers,
    pub back_offs: BackOffs,
}

/// The use of STARTTLS.
pub(super) enum Tls {
    Never,
    Offered(Trust),
    Required(Trust),
}

/// The trusted certificates, and the expected name if it differs from that of the host.
pub(super) struct Trust {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

/// An address to connect to, with the expected name of its certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Server {
    Tcp(SocketAddr, String),
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Tcp(address, host) if address.ip().to_string() == *host => write!(f, "{address}"),
            Server::Tcp(address, host) => write!(f, "{host} [{}]:{}", address.ip(), address.port()),
            Server::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Server {
    /// The address of the connection.
    pub fn address(&self) -> String {
        match self {
            Server::Tcp(address, _) => address.to_string(),
            Server::Unix(path) => path.display().to_string(),
        }
    }
}

/// The failures of one attempt to connect.
#[derive(Default)]
struct Failures {
    reasons: Vec<String>,
    /// The addresses of the servers, with the reason.
    servers: Vec<(String, String)>,
    /// Whether a server did not reply in time.
    late: bool,
}

impl Dialer {
    /// Opens a session with the first server that accepts one. The error lists the failures of all servers.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let mut failures = Failures::default();
        let connection = match &self.target {
            Target::Unix(path) => self.attempt(Server::Unix(path.clone()), &mut failures).await,
            Target::Address(address) => {
                self.attempt(Server::Tcp(*address, address.ip().to_string()), &mut failures).await
            }
            names => {
                let hosts = names.hosts(&*self.lookup).await.map_err(Failure::Bad)?;
                self.first_of(hosts, &mut failures).await
            }
        };
        let kind = if failures.late { Failure::Late } else { Failure::Bad };
        connection.ok_or_else(|| kind(failures.reasons.join("; ")))
    }

    /// Opens a session with the first of these hosts that accepts one. Addresses that could not be reached
    /// recently come last.
    async fn first_of(&self, hosts: Vec<(String, u16)>, failures: &mut Failures) -> Option<Connection> {
        let mut later = Vec::new();
        let mut left = MAX_ADDRESSES;
        for (host, port) in hosts {
            let addresses = self.lookup.addresses(&host).await.and_then(|addresses| {
                if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
            });
            let addresses = match addresses {
                Ok(addresses) => addresses,
                // The next host may have addresses.
                Err(why) => {
                    failures.reasons.push(why);
                    continue;
                }
            };
            let few: Vec<_> = addresses.into_iter().take(left).collect();
            left -= few.len();
            for address in few {
                let address = SocketAddr::from((address, port));
                let server = Server::Tcp(address, host.clone());
                if self.back_offs.is_backed_off(address) {
                    later.push(server);
                } else if let Some(connection) = self.attempt(server, failures).await {
                    return Some(connection);
                }
            }
        }
        for server in later {
            if let Some(connection) = self.attempt(server, failures).await {
                return Some(connection);
            }
        }
        None
    }

    async fn attempt(&self, server: Server, failures: &mut Failures) -> Option<Connection> {
        let server = Arc::new(server);
        let session = self.session(server.clone()).await;
        if let Server::Tcp(address, _) = *server {
            match session {
                Ok(_) => self.back_offs.reached(address),
                Err(_) => self.back_offs.failed(address),
            }
        }
        match session {
            Ok(connection) => {
                self.servers.answered(&server.address(), &failures.servers);
                Some(connection)
            }
            Err(failure) => {
                let why = format!("{server}: {failure}");
                failures.late |= matches!(failure, Failure::Late(_));
                failures.servers.push((server.address(), why.clone()));
                failures.reasons.push(why);
                None
            }
        }
    }

    /// Opens a session with this server only.
    pub async fn session(&self, server: Arc<Server>) -> Result<Connection, Failure> {
        // Taken before the connection: the tables of the server are at least this recent.
        let since = Instant::now();
        let dialing = async {
            Ok::<Box<dyn Transport>, std::io::Error>(match &*server {
                Server::Tcp(address, _) => {
                    let stream = TcpStream::connect(address).await?;
                    // Every command is one small packet, followed by a reply.
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Server::Unix(path) => Box::new(UnixStream::connect(path).await?),
            })
        };
        let limit = self.limits.connect;
        let stream = timeout(limit, dialing)
            .await
            .map_err(|_| Failure::Late(format!("no connection within {limit:?}")))?
            .map_err(|error| Failure::Bad(error.to_string()))?;
        let peer = Peer { server, since };
        let connection =
            Connection::open(Wire::new(stream), self.protocol, peer, &self.me, self.limits.hello).await?;
        let (trust, required) = match &self.tls {
            Tls::Never => return Ok(connection),
            Tls::Offered(trust) => (trust, false),
            Tls::Required(trust) => (trust, true),
        };
        if connection.offers("STARTTLS") {
            self.start_tls(connection, trust).await
        } else if required {
            Err(Failure::Bad("the server does not offer STARTTLS, which is required".into()))
        } else {
            Ok(connection)
        }
    }

    /// Continues a session inside TLS. Plaintext received after the reply to STARTTLS must not be read as if
    /// it had come over TLS (RFC 3207, section 6, and CVE-2011-0411), so it breaks the connection.
    async fn start_tls(&self, connection: Connection, trust: &Trust) -> Result<Connection, Failure> {
        let name = match (&trust.name, &*connection.peer().server) {
            (Some(name), _) => name.clone(),
            (None, Server::Tcp(_, host)) => ServerName::try_from(host.clone()).map_err(|_| {
                Failure::Bad(format!("no certificate can have the name {host}: set tls_name"))
            })?,
            (None, Server::Unix(_)) => {
                return Err(Failure::Bad("a UNIX socket has no name: set tls_name".into()));
            }
        };
        let (stream, peer) = connection.starttls(self.limits.hello).await?;
        let limit = self.limits.tls;
        let encrypted = timeout(limit, trust.connector.connect(name, stream))
            .await
            .map_err(|_| Failure::Late(format!("no TLS within {limit:?}")))?
            .map_err(|error| Failure::Bad(format!("TLS: {error}")))?;
        Connection::resume(Box::new(encrypted), self.protocol, peer, &self.me, self.limits.hello).await
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the TLS settings. The errors are sentences with the remedy.
    pub fn new(settings: &SmtpSettings) -> Result<Self, Vec<String>> {
        let trust = || -> Result<Trust, Vec<String>> {
            let name = settings.tls_name.clone().map(|name| {
                ServerName::try_from(name.clone()).map_err(|_| {
                    vec![format!("\"{name}\" is not a name that a certificate can have: set tls_name")]
                })
            });
            let connector =
                TlsConnector::from(client(settings.tls_ca.as_deref()).map_err(|error| vec![error])?);
            Ok(Trust { connector, name: name.transpose()? })
        };
        match settings.starttls {
            StartTls::Never => Ok(Tls::Never),
            StartTls::Offered => trust().map(Tls::Offered),
            StartTls::Required => trust().map(Tls::Required),
        }
    }
}

/// The name in EHLO: the configured one, or that of this host.
pub(super) fn helo_name(settings: &SmtpSettings) -> Result<ClientId, String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let literal = |name: &str| {
        let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inside.is_some_and(|inside| {
            inside.parse::<std::net::Ipv4Addr>().is_ok()
                || inside.strip_prefix("IPv6:").is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
        })
    };
    if !settings.helo.is_empty() {
        return if settings.helo.chars().all(safe) || literal(&settings.helo) {
            Ok(ClientId::Domain(settings.helo.clone()))
        } else {
            Err(format!("\"{}\" is not a valid name for EHLO: set helo to a host name", settings.helo))
        };
    }
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(ClientId::Domain(if !host.is_empty() && host.chars().all(safe) { host } else { "localhost".into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_unsafe_ehlo_names() {
        for (helo, want) in [
            ("mx.example.test", true),
            ("[192.0.2.1]", true),
            ("[IPv6:2001:db8::1]", true),
            ("[2001:db8::1]", false),
            ("mx example.test", false),
            ("mx\r\nNOOP", false),
            ("bücher.example", false),
        ] {
            let settings = SmtpSettings { helo: helo.into(), ..SmtpSettings::default() };
            assert_eq!(helo_name(&settings).is_ok(), want, "{helo}");
        }
        assert!(!helo_name(&SmtpSettings::default()).unwrap().to_string().is_empty());
    }

    #[test]
    fn rejects_unreadable_authorities() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let tls = || {
            Tls::new(&SmtpSettings {
                starttls: StartTls::Required,
                tls_ca: Some(path.clone()),
                ..SmtpSettings::default()
            })
        };
        assert!(tls().err().unwrap()[0].contains("name a file of certificates"));
        std::fs::write(&path, "no certificate\n").unwrap();
        assert!(tls().err().unwrap()[0].contains("no certificate in it"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(tls().err().unwrap()[0].contains("ca.pem"));
    }
}
