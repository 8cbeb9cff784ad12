//! Connects to servers, over TCP or a UNIX socket, with TLS if configured.

use super::dns::SystemDns;
use super::host::Host;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

/// Maximum number of addresses tried for one connection. A service has a handful of them.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection on which nothing has been sent.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects to the first address of a host that accepts a connection. `limit` is the time that the caller
/// waits: an address that does not reply takes its share of it, so that the others are tried, too.
pub(crate) async fn connect(host: &Host, limit: Duration) -> io::Result<Socket> {
    match host {
        Host::Inet(name, port) => {
            let stream = match name.parse::<IpAddr>() {
                Ok(address) => TcpStream::connect((address, *port)).await?,
                Err(_) => by_name(name, *port, limit).await?,
            };
            // Every query is one small packet, followed by a reply.
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        Host::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

async fn by_name(name: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let dns = SystemDns::shared().map_err(io::Error::other)?;
    let addresses = async { dns.configured(name).await.map_err(io::Error::other) };
    first_of(addresses, port, limit)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
}

/// Looks up addresses, and connects to the first one that accepts a connection in the rest of the time.
async fn first_of(
    addresses: impl Future<Output = io::Result<Vec<IpAddr>>>,
    port: u16,
    limit: Duration,
) -> io::Result<TcpStream> {
    let began = Instant::now();
    let addresses = addresses.await?;
    first(&addresses, port, limit.saturating_sub(began.elapsed())).await
}

/// Connects to the first of these addresses that accepts a connection.
async fn first(addresses: &[IpAddr], port: u16, limit: Duration) -> io::Result<TcpStream> {
    let addresses = addresses.get(..MAX_ADDRESSES).unwrap_or(addresses);
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect((*address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {
                last = io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {share:?}"));
            }
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
    use tokio::net::{TcpListener, TcpSocket};

    /// A listener with a full queue, whose connections hang.
    async fn full(address: &str) -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut fillers = Vec::new();
        while let Ok(Ok(filler)) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
            fillers.push(filler);
        }
        (full, fillers)
    }

    #[tokio::test]
    async fn the_time_for_the_addresses_is_what_their_lookup_leaves() {
        const LIMIT: Duration = Duration::from_secs(4);
        let (full, _fillers) = full("127.0.0.15:0").await;
        let port = full.local_addr().unwrap().port();
        tokio::time::pause();
        for (lookup, rest) in [(0, 4), (3, 1), (5, 0)] {
            let addresses = async {
                tokio::time::sleep(Duration::from_secs(lookup)).await;
                Ok(vec!["127.0.0.15".parse().unwrap()])
            };
            let began = Instant::now();
            let error = first_of(addresses, port, LIMIT).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(began.elapsed().as_secs(), lookup + rest, "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_that_does_not_reply_leaves_time_for_the_next() {
        const LIMIT: Duration = Duration::from_millis(400);
        let (full, _fillers) = full("127.0.0.11:0").await;
        let address = full.local_addr().unwrap();
        let listener = TcpListener::bind(("127.0.0.12", address.port())).await.unwrap();
        let addresses = ["127.0.0.11", "127.0.0.12"].map(|text| text.parse().unwrap());
        let stream = timeout(LIMIT, first(&addresses, address.port(), LIMIT)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        let alone = first(&addresses[..1], address.port(), LIMIT).await.unwrap_err();
        assert_eq!(alone.to_string(), "no connection within 400ms");
        assert_eq!(first(&[], 1, LIMIT).await.unwrap_err().to_string(), "it has no address");
    }

    #[tokio::test]
    async fn tries_a_limited_number_of_addresses() {
        let listener = TcpListener::bind("127.0.0.13:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut addresses = vec!["127.0.0.14".parse().unwrap(); MAX_ADDRESSES];
        addresses.push("127.0.0.13".parse().unwrap());
        let limit = Duration::from_secs(10);
        assert_eq!(
            first(&addresses, port, limit).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        first(&addresses[1..], port, limit).await.unwrap();
    }

    #[tokio::test]
    async fn connects_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host::Inet("localhost".into(), port);
        assert!(matches!(connect(&host, Duration::from_secs(10)).await, Ok(Socket::Tcp(_))));
        let nowhere = Host::Inet("nowhere.invalid".into(), port);
        assert!(connect(&nowhere, Duration::from_secs(10)).await.is_err());
    }
}
