//! Connects to servers, over TCP or a UNIX socket, with TLS if configured.

use super::host::Host;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long a connection may have been idle and still be used. Firewalls silently drop idle connections, some
/// after a few minutes: a query over such a connection would wait until its deadline.
pub(crate) const IDLE: Duration = Duration::from_mins(1);

/// How old a connection may become. A server may answer from what it read when the connection began, a name may lead
/// to another address by now, and the memory of a session grows; a new connection a few times an hour costs nothing.
const LIFETIME: Duration = Duration::from_mins(5);

/// How old a connection is, and how long it has been idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    born: Instant,
    used: Instant,
}

impl Age {
    /// That of a connection that is made now.
    pub fn new() -> Self {
        let now = Instant::now();
        Age { born: now, used: now }
    }

    /// Notes that the connection is in use.
    pub fn renew(&mut self) {
        self.used = Instant::now();
    }

    /// Whether another question may be asked over the connection.
    pub fn is_fresh(&self) -> bool {
        self.used.elapsed() < IDLE && self.born.elapsed() < LIFETIME
    }
}

/// Most names resolved at once; each takes one of the 512 threads that tokio has for blocking calls, which
/// also read files.
static RESOLVING: Semaphore = Semaphore::const_new(16);

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection before the first byte.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects, without a time limit.
pub(crate) async fn connect(host: &Host) -> io::Result<Socket> {
    match host {
        Host::Inet(name, port) => {
            let stream = match name.parse::<IpAddr>() {
                Ok(address) => TcpStream::connect((address, *port)).await?,
                Err(_) => by_name(name.clone(), *port).await?,
            };
            // Every query is one small packet, followed by an answer.
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        Host::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

/// Connects to the first address of a name that can be reached. Names are resolved by threads that cannot be
/// cancelled, so their number is bounded, including those whose caller has gone.
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
    /// The address of the peer, of those that `host` may have.
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
    async fn connections_get_old() {
        const SECOND: Duration = Duration::from_secs(1);
        // Idle.
        let age = Age::new();
        advance(Duration::from_secs(IDLE.as_secs() - 1)).await;
        assert!(age.is_fresh());
        advance(SECOND).await;
        assert!(!age.is_fresh());
        // In use all the time.
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
