//! `vrfy:`, a mail server that answers VRFY.
//!
//! | file | owns |
//! | --- | --- |
//! | `target` | which server, as the operator writes it, and in which order hosts are tried |
//! | `lookup` | names to addresses |
//! | `dial` | connecting, STARTTLS, EHLO |
//! | `wire` | the stream on which commands and replies take turns |
//! | `connection` | one session in which VRFYs are asked |
//! | `pool` | sessions that nobody is using |
//! | `reply` | what a reply means |
//! | `canary` | whether a 252 can be trusted |
//!
//! Nothing is sent that could be more than one command or more than one address: an address with a control
//! character, without a domain, or with a domain that is none is unknown without being asked.

mod canary;
mod connection;
mod dial;
mod lookup;
mod pool;
mod reply;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;

use super::settings::Trust;
use super::spec::{Kind, OpenFuture, Plan, Site};
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use crate::addr::Address;
use canary::{Canaries, Outcome};
use connection::{Connection, Failure};
use dial::{Dialer, Limits, Tls};
use lettre::transport::smtp::extension::ClientId;
use lookup::{Lookup, System};
use pool::Pool;
use reply::{Meaning, Reply};
use std::sync::Arc;
use target::Target;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::Wire;

/// Longest command, its end included (RFC 5321, section 4.5.3.1.4).
const MAX_COMMAND: usize = 512;

/// `vrfy:HOST[:PORT]`, `vrfy:mx:DOMAIN[:PORT]`, `vrfy:srv:NAME`, `vrfy:unix:/PATH`
pub(super) const KIND: Kind = Kind {
    name: "vrfy",
    usage: "vrfy:HOST[:PORT], vrfy:[IPV6][:PORT], vrfy:mx:DOMAIN[:PORT], vrfy:srv:NAME or vrfy:unix:/PATH",
    read: |arguments| Ok(Arc::new(Server { target: arguments.parse()? })),
};

#[derive(Debug)]
struct Server {
    target: Target,
}

impl Plan for Server {
    fn open<'a>(&'a self, site: Site<'a>) -> OpenFuture<'a> {
        let source = open(&self.target, site, None);
        Box::pin(async { Ok(Arc::new(source?) as Arc<dyn AccountSource>) })
    }
}

/// The source, with the system's lookup of names if none is given.
fn open(target: &Target, site: Site<'_>, lookup: Option<Arc<dyn Lookup>>) -> Result<VrfySource, Vec<String>> {
    let settings = &site.settings.vrfy;
    let lookup = match lookup {
        Some(lookup) => Ok(lookup),
        None if target.is_name() => System::new().map(|system| Arc::new(system) as Arc<dyn Lookup>),
        // It is never asked, and a host without name servers needs none.
        None => Ok(Arc::new(lookup::Nobody) as Arc<dyn Lookup>),
    };
    match (lookup, dial::me(settings), Tls::new(settings)) {
        (Ok(lookup), Ok(me), Ok(tls)) => {
            let limits = Limits::within(site.source.deadline);
            Ok(VrfySource {
                name: site.name.clone(),
                code_250: settings.code_250,
                code_252: settings.code_252,
                command: limits.command,
                canaries: Canaries::new(site.name.clone(), settings.canary_interval),
                pool: Pool::new(settings.per_connection, settings.idle_connections, settings.idle_timeout),
                dialer: Dialer { target: target.clone(), lookup, limits, me, tls },
            })
        }
        (lookup, me, tls) => {
            let mut errors: Vec<_> = lookup.err().into_iter().chain(me.err()).collect();
            errors.extend(tls.err().unwrap_or_default());
            Err(errors)
        }
    }
}

/// What a server says of `path` over one connection: for the fuzz target, by the code that reads servers. No
/// canary is asked, so that a 252 says nothing.
#[doc(hidden)]
pub async fn ask_over<S>(stream: S, path: &str) -> Verdict
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let limit = super::settings::DEADLINE;
    let exchange = async {
        let mut connection =
            Connection::open(Wire::new(Box::new(stream)), &ClientId::default(), limit).await?;
        connection.vrfy(path, limit).await
    };
    let why = match exchange.await {
        Err(failure) => failure.to_string(),
        Ok(reply) => match reply.meaning(path) {
            Meaning::Exists => return Verdict::Exists,
            Meaning::Missing => return Verdict::Missing,
            Meaning::Perhaps | Meaning::CannotSay => reply.quoted(),
        },
    };
    Verdict::Unknown(Reason::new(why))
}

/// The source.
#[derive(Debug)]
struct VrfySource {
    name: Arc<str>,
    code_250: Trust,
    code_252: Trust,
    command: std::time::Duration,
    canaries: Canaries,
    pool: Arc<Pool>,
    dialer: Dialer,
}

impl VrfySource {
    async fn ask(&self, account: &Address) -> Result<Answer, String> {
        let path = path(account)?;
        let mut connection = None;
        let reply = self.exchange(&mut connection, &path).await;
        let answer = match reply {
            Err(why) => Err(why),
            Ok(reply) => match reply.meaning(&path) {
                Meaning::Exists => self.worth(self.code_250, &reply, account, &mut connection).await,
                Meaning::Missing => Ok(self.answer(Verdict::Missing)),
                Meaning::Perhaps => self.worth(self.code_252, &reply, account, &mut connection).await,
                Meaning::CannotSay => Err(reply.quoted()),
            },
        };
        if let Some(connection) = connection {
            self.pool.put(connection);
        }
        answer
    }

    fn answer(&self, verdict: Verdict) -> Answer {
        Answer::new(verdict, &self.name)
    }

    /// What a reply is worth that says yes, or that it will not tell.
    async fn worth(
        &self,
        code: Trust,
        reply: &Reply,
        account: &Address,
        connection: &mut Option<Connection>,
    ) -> Result<Answer, String> {
        let outcome = match (code, account.domain()) {
            (Trust::Exists, _) => return Ok(self.answer(Verdict::Exists)),
            (Trust::Unknown, _) | (_, None) => return Err(reply.quoted()),
            (Trust::Canary, Some(domain)) => {
                let just_opened = connection.as_ref().is_some_and(|connection| connection.asked() == 1);
                let send = |path: String| async move { self.exchange(connection, &path).await };
                self.canaries.outcome(domain, just_opened, send).await
            }
        };
        match outcome {
            // Not for longer than the canary itself: a server that begins to accept everybody must not leave
            // those it accepted until the canary told in the cache.
            Outcome::Refused => Ok(self.answer(Verdict::Exists).kept_for(self.canaries.interval())),
            Outcome::Accepted => {
                Err(format!("{} (and so for an account that does not exist)", reply.quoted()))
            }
            Outcome::Unsure(why) => {
                Err(format!("{} (and for an account that does not exist: {why})", reply.quoted()))
            }
        }
    }

    /// Sends one VRFY, over `held` or another connection, and leaves there what can be used again.
    ///
    /// A connection that turns out to be gone, as idle ones do, and a 421 mean another connection and the
    /// question once more, but not twice: a server that is in trouble has enough of it.
    async fn exchange(&self, held: &mut Option<Connection>, path: &str) -> Result<Reply, String> {
        let mut next = match held.take() {
            Some(connection) if self.pool.has_more(&connection) => Some(connection),
            Some(used_up) => {
                self.pool.see_off(used_up);
                None
            }
            None => None,
        };
        next = next.or_else(|| self.pool.take());
        let mut once_more = true;
        loop {
            let mut connection = match next.take() {
                Some(connection) => connection,
                None => self.dialer.connect().await?,
            };
            let was_idle = connection.asked() > 0;
            match connection.vrfy(path, self.command).await {
                Ok(Reply { code: 421, .. }) if once_more => once_more = false,
                Ok(reply) => {
                    // A server that says 421 closes the connection.
                    *held = (reply.code != 421).then_some(connection);
                    return Ok(reply);
                }
                Err(Failure::Gone(_)) if was_idle && once_more => once_more = false,
                Err(Failure::NotAsked(why)) => {
                    *held = Some(connection);
                    return Err(why);
                }
                Err(Failure::Gone(why) | Failure::Bad(why)) => return Err(why),
            }
        }
    }
}

impl AccountSource for VrfySource {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            let answer = self.ask(account).await;
            answer.unwrap_or_else(|why| self.answer(Verdict::Unknown(Reason::new(why))))
        })
    }
}

/// The argument of VRFY: the address in brackets, if it is nothing but one address.
fn path(account: &Address) -> Result<String, String> {
    let not_asked = |why: &str| Err(format!("not asked: {why}"));
    if let Some(malformed) = account.malformed() {
        return not_asked(&malformed.to_string());
    }
    let Some(domain) = account.domain() else {
        return not_asked("the address has no domain");
    };
    if account.local().is_empty() {
        return not_asked("the address has no local part");
    }
    if !domain.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)) {
        return not_asked("the domain holds a character that no domain has");
    }
    let path = account.path();
    if path.chars().any(char::is_control) {
        return not_asked("control character in the address");
    }
    if "VRFY ".len() + path.len() + "\r\n".len() > MAX_COMMAND {
        return not_asked("the address is longer than a command may be");
    }
    Ok(path)
}
