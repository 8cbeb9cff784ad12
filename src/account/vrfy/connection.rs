//! One SMTP session for VRFY commands.

use super::dial::Server;
use super::reply::Reply;
use super::wire::{Transport, Wire};
use lettre::transport::smtp::commands::{Ehlo, Quit, Starttls, Vrfy};
use lettre::transport::smtp::extension::ClientId;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The reason why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server closed the connection. A new one may work.
    Gone(String),
    /// A protocol error or a timeout. Sending the command again would not help.
    Bad(String),
    /// Nothing was sent, since the server would not understand it.
    NotAsked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Gone(why) | Failure::Bad(why) | Failure::NotAsked(why)) = self;
        f.write_str(why)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Failure::Bad(error.to_string()),
            _ => Failure::Gone(error.to_string()),
        }
    }
}

/// A session after EHLO. The caller owns it, and returns it to the pool only after a valid reply, so that a
/// session in the middle of a command is closed when the lookup is dropped.
pub(super) struct Connection {
    wire: Wire,
    /// The reply to EHLO or HELO; only that to EHLO lists extensions.
    hello: Reply,
    peer: Peer,
    asked: u32,
}

/// The server of a connection, and the age of the connection.
#[derive(Clone)]
pub(super) struct Peer {
    pub server: Arc<Server>,
    /// When the connection was started. A server with one process for each connection may read its tables at
    /// that time and use them until the connection ends.
    pub since: Instant,
}

impl Connection {
    /// Waits for the greeting and sends EHLO, or HELO if the server does not support EHLO.
    pub async fn open(mut wire: Wire, peer: Peer, me: &ClientId, limit: Duration) -> Result<Self, Failure> {
        let opening = async {
            expect(wire.exchange(None).await?, 220)?;
            hello(&mut wire, me).await
        };
        let opened = timeout(limit, opening).await;
        let hello =
            opened.map_err(|_| Failure::Bad(format!("no greeting or reply to EHLO within {limit:?}")))??;
        Ok(Connection { wire, hello, peer, asked: 0 })
    }

    /// Sends STARTTLS, and returns the stream on which the TLS handshake follows.
    pub async fn starttls(mut self, limit: Duration) -> Result<(Box<dyn Transport>, Peer), Failure> {
        let reply = timeout(limit, self.wire.exchange(Some(&Starttls.to_string()))).await;
        let late = |_| Failure::Bad(format!("no reply to STARTTLS within {limit:?}"));
        expect(reply.map_err(late)??, 220)?;
        Ok((self.wire.into_stream()?, self.peer))
    }

    /// Starts the session inside TLS, where there is no greeting (RFC 3207, section 4.2).
    pub async fn resume(
        stream: Box<dyn Transport>,
        peer: Peer,
        me: &ClientId,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let mut wire = Wire::new(stream);
        let said = timeout(limit, hello(&mut wire, me)).await;
        let hello = said.map_err(|_| Failure::Bad(format!("no reply to EHLO within {limit:?}")))??;
        Ok(Connection { wire, hello, peer, asked: 0 })
    }

    /// Whether the server offers this extension, given in upper case.
    pub fn offers(&self, extension: &str) -> bool {
        self.hello.offers(extension)
    }

    /// Number of VRFY commands sent.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// The server of the connection, and its age.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends VRFY for `path`, an address in brackets that is safe to send.
    pub async fn vrfy(&mut self, path: &str, limit: Duration) -> Result<Reply, Failure> {
        let argument = if path.is_ascii() {
            path.to_string()
        } else if self.offers("SMTPUTF8") {
            // RFC 6531, section 3.7.4.2
            format!("{path} SMTPUTF8")
        } else {
            return Err(Failure::NotAsked("the server does not offer SMTPUTF8".into()));
        };
        self.asked = self.asked.saturating_add(1);
        let reply = timeout(limit, self.wire.exchange(Some(&Vrfy::new(argument).to_string()))).await;
        Ok(reply.map_err(|_| Failure::Bad(format!("no reply to VRFY within {limit:?}")))??)
    }

    /// Sends QUIT, and ignores errors.
    pub async fn quit(mut self) {
        let _ = self.wire.exchange(Some(&Quit.to_string())).await;
    }
}

/// Sends EHLO, and HELO if the server rejects EHLO permanently (RFC 5321, sections 3.2 and 4.1.4: 500, 501,
/// 502 and 550; some servers use other codes). A server that rejects the client rejects HELO as well. The
/// reply to HELO lists no extensions.
async fn hello(wire: &mut Wire, me: &ClientId) -> Result<Reply, Failure> {
    let reply = wire.exchange(Some(&Ehlo::new(me.clone()).to_string())).await?;
    if !(500..600).contains(&reply.code) {
        return expect(reply, 250);
    }
    let reply = wire.exchange(Some(&format!("HELO {me}\r\n"))).await?;
    Ok(Reply { lines: Vec::new(), ..expect(reply, 250)? })
}

fn expect(reply: Reply, code: u16) -> Result<Reply, Failure> {
    if reply.code == code {
        Ok(reply)
    } else {
        Err(Failure::Bad(format!("the server replied {}", reply.quoted())))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("asked", &self.asked).finish_non_exhaustive()
    }
}
