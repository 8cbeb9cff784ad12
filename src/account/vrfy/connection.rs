//! One SMTP session in which VRFYs are asked.

use super::reply::Reply;
use super::wire::Wire;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::Vrfy;
use lettre::transport::smtp::extension::{ClientId, Extension};
use lettre::transport::smtp::{Error, response::Response};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection was gone; another one may do.
    Gone(String),
    /// There was something, or nothing for too long; asking again would be no better.
    Bad(String),
    /// Nothing was sent, since the server could not have understood it.
    NotAsked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Gone(why) | Failure::Bad(why) | Failure::NotAsked(why)) = self;
        f.write_str(why)
    }
}

/// A session after EHLO. Whoever asks owns it, and hands it back only after a good reply, so that a session
/// in the middle of something is closed with the question.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    surplus: Arc<AtomicBool>,
    asked: u32,
}

impl Connection {
    /// Waits for the greeting and says EHLO.
    pub async fn open(wire: Wire, me: &ClientId, limit: Duration) -> Result<Self, Failure> {
        let surplus = wire.surplus();
        let opening = AsyncSmtpConnection::connect_with_transport(Box::new(wire), me);
        let smtp = match timeout(limit, opening).await {
            Err(_) => return Err(Failure::Bad(format!("no greeting or reply to EHLO within {limit:?}"))),
            Ok(Err(error)) => {
                return Err(match reply(Err(error)) {
                    Ok(reply) => Failure::Bad(format!("the server said {}", reply.quoted())),
                    Err(failure) => failure,
                });
            }
            Ok(Ok(smtp)) => smtp,
        };
        Ok(Connection { smtp, surplus, asked: 0 })
    }

    /// How many VRFYs were sent.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// Asks about `path`, an address in brackets fit to be sent.
    pub async fn vrfy(&mut self, path: &str, limit: Duration) -> Result<Reply, Failure> {
        let argument = if path.is_ascii() {
            path.to_string()
        } else if self.smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
            // RFC 6531, section 3.7.4.2
            format!("{path} SMTPUTF8")
        } else {
            return Err(Failure::NotAsked("the server does not offer SMTPUTF8".into()));
        };
        self.asked = self.asked.saturating_add(1);
        let got = timeout(limit, self.smtp.command(Vrfy::new(argument)))
            .await
            .map_err(|_| Failure::Bad(format!("no reply to VRFY within {limit:?}")))?;
        let reply = reply(got)?;
        if self.surplus.load(Ordering::Relaxed) {
            // Then nobody can tell which of the replies is the one to this question.
            return Err(Failure::Gone("the server spoke out of turn".into()));
        }
        Ok(reply)
    }

    /// Says goodbye, and does not mind what becomes of it.
    pub async fn quit(mut self) {
        let _ = self.smtp.quit().await;
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// The library gives good replies as values, bad ones as errors, and errors as errors.
fn reply(got: Result<Response, Error>) -> Result<Reply, Failure> {
    match got {
        Ok(good) => {
            let text = good.message().collect::<Vec<_>>().join(" ");
            Ok(Reply { code: good.code().into(), text })
        }
        Err(error) => match error.status() {
            Some(code) => {
                let text = error.source().map(ToString::to_string).unwrap_or_default();
                Ok(Reply { code: code.into(), text })
            }
            None => Err(failure(&error)),
        },
    }
}

fn failure(error: &Error) -> Failure {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) if error.kind() == io::ErrorKind::InvalidData => Failure::Bad(error.to_string()),
        Some(error) => Failure::Gone(error.to_string()),
        None => Failure::Bad(format!("that is not an SMTP reply: {error}")),
    }
}
