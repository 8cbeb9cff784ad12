//! A connection to Dovecot's auth service.

use super::protocol::{Answer, Conversation};
use crate::net::connect::{Stream, connect};
use crate::net::host::Host;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// Octets read at once. An answer seldom has more.
const PIECE: usize = 1024;

/// The reason why the server did not answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server closed the connection. A new one may work.
    Gone(String),
    /// The server violated the protocol, or the protocol does not allow this request.
    Bad(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Gone(why) | Failure::Bad(why)) = self;
        f.write_str(why)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Gone(error.to_string())
    }
}

/// An open connection. The caller returns it to the pool only after a valid answer, so that a connection with a pending
/// request is closed when the lookup is dropped.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    conversation: Conversation,
    born: Instant,
}

impl Connection {
    /// Connects, within `limit`. Nothing is sent or read.
    pub async fn open(host: &Host, limit: Duration) -> Result<Self, Failure> {
        let born = Instant::now();
        let stream = connect(host, limit).await?.boxed();
        Ok(Connection { stream, conversation: Conversation::default(), born })
    }

    /// The time when it was opened.
    pub fn born(&self) -> Instant {
        self.born
    }

    /// Looks up `user`.
    pub async fn ask(&mut self, user: &str, service: &str) -> Result<Answer, Failure> {
        let request = self.conversation.ask(user, service).map_err(Failure::Bad)?;
        self.stream.write_all(request.as_bytes()).await?;
        let mut piece = [0; PIECE];
        loop {
            let octets = match self.stream.read(&mut piece).await? {
                0 => return Err(Failure::Gone("it has closed the connection".into())),
                octets => &piece[..octets],
            };
            match self.conversation.receive(octets) {
                Ok(None) => (),
                Ok(Some(answer)) => return Ok(answer),
                Err(error) => return Err(Failure::Bad(error.to_string())),
            }
        }
    }
}
