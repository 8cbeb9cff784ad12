//! Tables of other servers, queried like Postfix does: tcp_table(5) and socketmap_table(5).
//!
//! Neither protocol numbers its requests: a reply belongs to the request before it. So a connection has one
//! request at a time. It returns to the pool after exactly one reply, and is closed otherwise, also if the
//! caller times out.

use super::value::{found, quoted};
use super::{Lookup, LookupFuture, Source, Table};
use crate::net::connect::{Stream, connect};
use crate::net::host::Host;
use crate::net::idle::{IdlePool, Limits};
use lookup_protocols::{ProtocolError, netstring, socketmap, tcp_table};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Maximum number of connections to one server. Postfix limits its own services to 100 processes by default,
/// and each connection may need one.
pub const CONNECTIONS: usize = 16;
/// Timeout of a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of a lookup: shorter than the 8 s of a listener, so that the reason is logged.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Octets read at once. Most replies are shorter.
const PIECE: usize = 4096;

/// Creates the table of a tcp_table server.
pub fn tcp_table(host: &Host) -> Arc<Table> {
    Remote::table(format!("tcp:{host}"), host, Protocol::TcpTable)
}

/// Creates the table that a socketmap server calls `map`.
pub fn socketmap(host: &Host, map: &str) -> Arc<Table> {
    let name = match host {
        Host::Inet(..) => format!("socketmap:inet:{host}:{map}"),
        Host::Unix(_) => format!("socketmap:{host}:{map}"),
    };
    Remote::table(name, host, Protocol::Socketmap(map.into()))
}

enum Protocol {
    TcpTable,
    Socketmap(Box<str>),
}

/// Another server, and the connections to it.
struct Remote {
    name: String,
    host: Host,
    protocol: Protocol,
    idle: Arc<IdlePool<Connection>>,
    slots: Semaphore,
}

struct Connection {
    stream: Box<dyn Stream>,
    /// Time at which it was opened.
    born: Instant,
}

/// The reason why a request failed.
enum Failure {
    /// The connection was closed before any octet of the reply.
    Closed(String),
    /// Another connection would not help.
    Final(String),
}

impl Source<str, Lookup<String>> for Remote {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let answer = match timeout(DEADLINE, self.ask(key)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {DEADLINE:?}")),
            };
            match answer {
                Ok(Lookup::TempFail(why)) => Lookup::temp_fail(format!("{}: {why}", self.name)),
                Ok(answer) => answer,
                Err(why) => Lookup::temp_fail(format!("{}: {why}", self.name)),
            }
        })
    }
}

impl Remote {
    fn table(name: String, host: &Host, protocol: Protocol) -> Arc<Table> {
        Arc::new(Remote {
            name,
            host: host.clone(),
            protocol,
            idle: IdlePool::new(Limits::of(CONNECTIONS), drop),
            slots: Semaphore::new(CONNECTIONS),
        })
    }

    async fn ask(&self, key: &str) -> Result<Lookup<String>, String> {
        let request = self.protocol.request(key)?;
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        if let Some(idle) = self.take().await {
            match self.exchange(idle, &request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(why)) => return Err(why),
                // It was closed while idle; the other idle connections probably are, too.
                Err(Failure::Closed(_)) => self.idle.clear(),
            }
        }
        let born = Instant::now();
        let stream = timeout(CONNECT_TIMEOUT, connect(&self.host, CONNECT_TIMEOUT))
            .await
            .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))?
            .map_err(|error| error.to_string())?;
        self.exchange(Connection { stream: stream.boxed(), born }, &request)
            .await
            .map_err(|(Failure::Closed(why) | Failure::Final(why))| why)
    }

    /// Sends a request over a connection, and keeps the connection if possible.
    async fn exchange(&self, mut connection: Connection, request: &[u8]) -> Result<Lookup<String>, Failure> {
        let stream = &mut connection.stream;
        stream.write_all(request).await.map_err(|error| Failure::Closed(error.to_string()))?;
        let mut bytes = Vec::new();
        let (answer, used) = loop {
            let mut piece = [0; PIECE];
            let n = match stream.read(&mut piece).await {
                Ok(0) if bytes.is_empty() => return Err(Failure::Closed("it closed the connection".into())),
                Ok(0) => return Err(Failure::Final("the answer is incomplete".into())),
                Err(error) if bytes.is_empty() => return Err(Failure::Closed(error.to_string())),
                Err(error) => return Err(Failure::Final(error.to_string())),
                Ok(n) => n,
            };
            bytes.extend_from_slice(piece.get(..n).unwrap_or_default());
            let read = self.protocol.read(&bytes);
            if let Some(read) = read.map_err(|error| Failure::Final(format!("a broken answer: {error}")))? {
                break read;
            }
        };
        if used < bytes.len() {
            // It is not certain which reply is the right one.
            return Err(Failure::Final("it sent more than the answer".into()));
        }
        // After a temporary failure a server may close the connection, as Postfix does.
        if !matches!(answer, Lookup::TempFail(_)) {
            let born = connection.born;
            self.idle.put(connection, born);
        }
        Ok(answer)
    }

    /// Takes the idle connection that was used last, except closed ones and those with unexpected data.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut idle = self.idle.take(|_| true)?;
            if is_quiet(&mut *idle.stream).await {
                return Some(idle);
            }
        }
    }
}

/// Whether there is nothing to read now. Does not wait.
async fn is_quiet(stream: &mut dyn Stream) -> bool {
    let mut byte = [0];
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut byte);
        let read: Poll<io::Result<()>> = Pin::new(&mut *stream).poll_read(context, &mut buffer);
        Poll::Ready(read.is_pending())
    })
    .await
}

impl Protocol {
    fn request(&self, key: &str) -> Result<Vec<u8>, String> {
        let mut request = Vec::new();
        let (length, limit) = match self {
            Protocol::TcpTable => {
                if key.is_empty() {
                    return Err("an empty key cannot be looked up".into());
                }
                tcp_table::write_request(&mut request, key);
                (request.len(), tcp_table::MAX_LINE)
            }
            Protocol::Socketmap(map) => {
                socketmap::write_request(&mut request, map, key);
                (map.len() + 1 + key.len(), socketmap::MAX_SENT)
            }
        };
        if length > limit {
            return Err(format!("the key is too long: a request may have {limit} octets"));
        }
        Ok(request)
    }

    /// Parses the reply at the beginning of `bytes`, and returns it with its length; `None` if it is
    /// incomplete.
    fn read(&self, bytes: &[u8]) -> Result<Option<(Lookup<String>, usize)>, ProtocolError> {
        match self {
            Protocol::TcpTable => {
                let Some(end) = bytes.iter().take(tcp_table::MAX_LINE).position(|b| *b == b'\n') else {
                    return if bytes.len() >= tcp_table::MAX_LINE {
                        Err(ProtocolError::TooLong)
                    } else {
                        Ok(None)
                    };
                };
                let answer = match tcp_table::response(&bytes[..end])? {
                    tcp_table::Response::Found(value) => found(value),
                    tcp_table::Response::NotFound => Lookup::NotFound,
                    tcp_table::Response::TempFail(why) => said("", &why),
                };
                Ok(Some((answer, end + 1)))
            }
            Protocol::Socketmap(_) => {
                let Some((payload, used)) = netstring::read(bytes, socketmap::MAX_REPLY)? else {
                    return Ok(None);
                };
                let answer = match socketmap::Reply::read(payload)? {
                    socketmap::Reply::Ok(value) => found(value.to_vec()),
                    socketmap::Reply::NotFound => Lookup::NotFound,
                    socketmap::Reply::Temp(why) => said("TEMP", why),
                    socketmap::Reply::Timeout(why) => said("TIMEOUT", why),
                    socketmap::Reply::Perm(why) => said("PERM", why),
                };
                Ok(Some((answer, used)))
            }
        }
    }
}

/// A temporary failure with the reason that the server sent.
fn said(word: &str, why: &[u8]) -> Lookup<String> {
    let words = format!("{word} {}", quoted(why));
    Lookup::temp_fail(format!("it replied {}", words.trim()))
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.name).finish()
    }
}
