//! One session with a server, in which it is asked for accounts.

use super::dial::{Limits, Server};
use super::protocol::Protocol;
use super::reply::Reply;
use super::wire::{Transport, Wire};
use lettre::transport::smtp::commands::{Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The reason why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server closed the connection. A new one may work.
    Gone(String),
    /// The server replied 421, after which it closes the connection. A new one may work.
    Closing(String),
    /// The server rejected a command before the question, so the question was not asked.
    Refused(String),
    /// A protocol error. Sending the command again would not help.
    Bad(String),
    /// The server did not reply in time, or did not accept a connection in time.
    Late(String),
    /// Nothing was sent, since the server would not understand it.
    NotAsked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Gone(why)
        | Failure::Closing(why)
        | Failure::Refused(why)
        | Failure::Bad(why)
        | Failure::Late(why)
        | Failure::NotAsked(why)) = self;
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

/// A session after EHLO or LHLO. The caller owns it, and returns it to the pool only after a valid reply, so
/// that a session in the middle of a question is closed when the lookup is dropped.
pub(super) struct Connection {
    wire: Wire,
    protocol: Protocol,
    /// The reply to EHLO, LHLO or HELO; that to HELO lists no extensions.
    hello: Reply,
    peer: Peer,
    asked: u32,
    /// Whether a transaction may not have ended, so that no further question can be asked.
    spent: bool,
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
    /// Waits for the greeting and sends EHLO or LHLO, or HELO if the server does not support EHLO.
    pub async fn open(
        mut wire: Wire,
        protocol: Protocol,
        peer: Peer,
        me: &ClientId,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let opening = async {
            expect(wire.exchange(None).await?, 220)?;
            hello(&mut wire, protocol, me).await
        };
        let late =
            |_| Failure::Late(format!("no greeting or reply to {} within {limit:?}", protocol.hello()));
        let hello = timeout(limit, opening).await.map_err(late)??;
        Ok(Connection { wire, protocol, hello, peer, asked: 0, spent: false })
    }

    /// Sends STARTTLS, and returns the stream on which the TLS handshake follows.
    pub async fn starttls(mut self, limit: Duration) -> Result<(Box<dyn Transport>, Peer), Failure> {
        let reply = timeout(limit, self.wire.exchange(Some(&Starttls.to_string()))).await;
        let late = |_| Failure::Late(format!("no reply to STARTTLS within {limit:?}"));
        expect(reply.map_err(late)??, 220)?;
        Ok((self.wire.into_stream()?, self.peer))
    }

    /// Starts the session inside TLS, where there is no greeting (RFC 3207, section 4.2).
    pub async fn resume(
        stream: Box<dyn Transport>,
        protocol: Protocol,
        peer: Peer,
        me: &ClientId,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let mut wire = Wire::new(stream);
        let late = |_| Failure::Late(format!("no reply to {} within {limit:?}", protocol.hello()));
        let hello = timeout(limit, hello(&mut wire, protocol, me)).await.map_err(late)??;
        Ok(Connection { wire, protocol, hello, peer, asked: 0, spent: false })
    }

    /// Whether the server offers this extension, given in upper case.
    pub fn offers(&self, extension: &str) -> bool {
        self.hello.offers(extension)
    }

    /// Number of questions asked.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// Whether no further question can be asked.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// The server of the connection, and its age.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Asks for `path`, an address in brackets that is safe to send, and returns the reply to VRFY or RCPT.
    /// If the transaction does not end after that reply, the reply counts, but the connection is spent.
    pub async fn ask(&mut self, path: &str, limits: Limits) -> Result<Reply, Failure> {
        if !path.is_ascii() && !self.offers("SMTPUTF8") {
            return Err(Failure::NotAsked("the server does not offer SMTPUTF8".into()));
        }
        self.asked = self.asked.saturating_add(1);
        self.spent = true;
        let end = Instant::now() + limits.command;
        let mut commands = self.protocol.commands(path).into_iter().peekable();
        while let Some(command) = commands.next() {
            let verb = command.split(' ').next().unwrap_or_default();
            let late = |_| Failure::Late(format!("no reply to {verb} within {:?}", limits.command));
            let exchange = self.wire.exchange_line(&command);
            let reply = timeout_at(end, exchange).await.map_err(late)??;
            let quoted = || format!("{}: {}", command.trim_end_matches(" SMTPUTF8"), reply.quoted());
            if reply.code == 421 {
                return Err(Failure::Closing(quoted()));
            }
            if commands.peek().is_none() {
                self.spent = self.protocol.has_transaction() && !self.reset(limits.reset).await;
                return Ok(reply);
            }
            if reply.code != 250 {
                return Err(Failure::Refused(quoted()));
            }
        }
        Err(Failure::Bad("no question".into()))
    }

    /// Sends RSET. Returns whether the server has ended the transaction.
    async fn reset(&mut self, limit: Duration) -> bool {
        matches!(timeout(limit, self.wire.exchange_line("RSET")).await, Ok(Ok(Reply { code: 250, .. })))
    }

    /// Sends QUIT, and ignores errors.
    pub async fn quit(mut self) {
        let _ = self.wire.exchange(Some(&Quit.to_string())).await;
    }
}

/// Sends EHLO or LHLO, and HELO if the server rejects EHLO permanently (RFC 5321, sections 3.2 and 4.1.4:
/// 500, 501, 502 and 550; some servers use other codes). A server that rejects the client rejects HELO as
/// well. The reply to HELO lists no extensions.
async fn hello(wire: &mut Wire, protocol: Protocol, me: &ClientId) -> Result<Reply, Failure> {
    let reply = wire.exchange_line(&format!("{} {me}", protocol.hello())).await?;
    match protocol.old_hello() {
        Some(old) if (500..600).contains(&reply.code) => {
            let reply = wire.exchange_line(&format!("{old} {me}")).await?;
            Ok(Reply { lines: Vec::new(), ..expect(reply, 250)? })
        }
        _ => expect(reply, 250),
    }
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
