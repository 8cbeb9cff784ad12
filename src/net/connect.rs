//! Connects to servers, over TCP or a UNIX socket, with TLS if configured.

use super::host::Host;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Maximum idle time of a connection that is used again. Firewalls silently drop idle connections, some after
/// a few minutes: a query over such a connection would wait until its timeout.
pub(crate) const IDLE: Duration = Duration::from_mins(1);

/// Maximum age of a connection. A server may answer from data that it read when the connection started, the
/// host name may resolve to another address by now, and the memory of a session grows. A new connection every
/// few minutes is cheap.
const LIFETIME: Duration = Duration::from_mins(5);

/// The age of a connection, and its idle time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    born: Instant,
    used: Instant,
}

impl Age {
    /// The age of a connection that is opened now.
    pub fn new() -> Self {
        let now = Instant::now();
        Age { born: now, used: now }
    }

    /// Records that the connection is in use.
    pub fn renew(&mut self) {
        self.used = Instant::now();
    }

    /// Whether the connection may be used for another query.
    pub fn is_fresh(&self) -> bool {
        self.used.elapsed() < IDLE && self.born.elapsed() < LIFETIME
    }
}

/// Maximum number of names resolved concurrently. Each occupies one of the 512 threads that tokio has for
/// blocking calls, which also read files.
static RESOLVING: Semaphore = Semaphore::const_new(16);

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection on which nothing has been sent.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects, without a timeout.
pub(crate) async fn connect(host: &Host) -> io::Result<Socket> {
    match host {
        Host::Inet(name, port) => {
            let stream = match name.parse::<IpAddr>() {
                Ok(address) => TcpStream::connect((address, *port)).await?,
                Err(_) => by_name(name.clone(), *port).await?,
            };
            // Every query is one small packet, followed by a reply.
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        Host::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

/// Connects to the first address of a name that accepts a connection. Names are resolved by threads that
/// cannot be cancelled, so their number is limited, including those whose caller has timed out.
async fn by_name(name: String, port: u16) -> io::Result<TcpStream> {
    let permit = RESOLVING.acquire().await.map_err(io::Error::other)?;
    let resolved = tokio::spawn(async move {
        let _permit = permit;
        lookup_host((name, port)).await.map(Iterator::collect::<Vec<_>>)
    });
    let mut last = io::ErrorKind::NotFound.into();
    for address in resolved.await.map_err(io::Error::other)?? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Socket {
    /// The address of the peer, which is one of the addresses of `host`.
    #[cfg(any(feature = "redis", feature = "ldap"))]
    pub fn peer(&self, host: &Host) -> String {
        match self {
            Socket::Tcp(stream) => {
                stream.peer_addr().map_or_else(|_| host.to_string(), |peer| peer.to_string())
            }
            Socket::Unix(_) => host.to_string(),
        }
    }

    /// The stream of either kind.
    pub fn boxed(self) -> Box<dyn Stream> {
        match self {
            Socket::Tcp(stream) => Box::new(stream),
            Socket::Unix(stream) => Box::new(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn connections_expire() {
        const SECOND: Duration = Duration::from_secs(1);
        // idle
        let age = Age::new();
        advance(Duration::from_secs(IDLE.as_secs() - 1)).await;
        assert!(age.is_fresh());
        advance(SECOND).await;
        assert!(!age.is_fresh());
        // in constant use
        let mut age = Age::new();
        for _ in 0..LIFETIME.as_secs() - 1 {
            advance(SECOND).await;
            age.renew();
            assert!(age.is_fresh());
        }
        advance(SECOND).await;
        age.renew();
        assert!(!age.is_fresh());
    }
}
