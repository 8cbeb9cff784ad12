//! Asks a mail server, and does the control lookups that make its reply count.

use super::connection::{Connection, Failure, Peer};
use super::dial::{Dialer, Limits, Server};
use super::pool::Pool;
use super::protocol::Protocol;
use super::reply::{Reply, ReplyClass};
use crate::account::settings::{Scoped, Trust, Witness};
use crate::account::{Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{self, Control};
use mail_address::Address;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Maximum length of a command, including CRLF (RFC 5321, section 4.5.3.1.4).
const MAX_COMMAND: usize = 512;

/// Maximum length of the server's text in an error.
const MAX_WORDS: usize = 200;

/// The remedy for a server that accepts every name.
const REMEDY: &str = "make it check its recipients, or set code_250 and code_252 if its replies are right";

/// The default witness. RFC 5321, section 4.5.1 requires it in every domain, but many domains have none.
const WITNESS: &str = "postmaster";

#[derive(Debug)]
pub(super) struct SmtpSource {
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub code_250: Scoped<Trust>,
    pub code_252: Scoped<Trust>,
    pub witness: Scoped<Witness>,
    pub limits: Limits,
    pub control: Control,
    /// Controls of servers whose rejections are recognised only by their text.
    pub words: Control,
    /// Hashes texts that are too long for a control.
    pub digests: RandomState,
    pub pool: Pool,
    pub dialer: Dialer,
}

/// A question, its reply, and the server that sent the reply.
struct Replied<'a> {
    protocol: Protocol,
    path: &'a str,
    domain: &'a str,
    reply: Reply,
    peer: Peer,
    address: String,
}

impl Replied<'_> {
    fn server(&self) -> control::Server<'_> {
        control::Server { peer: &self.address, scope: self.domain }
    }

    fn quoted(&self) -> String {
        quoted(self.protocol, self.path, &self.reply)
    }

    fn class(&self) -> ReplyClass {
        self.reply.class(self.protocol, self.path)
    }
}

/// Formats question and reply.
pub(super) fn quoted(protocol: Protocol, path: &str, reply: &Reply) -> String {
    format!("{}: {}", protocol.question(path), reply.quoted())
}

impl SmtpSource {
    async fn ask(&self, account: &Address) -> Result<Verification, Reason> {
        let path = path(self.protocol, account).map_err(Reason::new)?;
        let domain = account.domain().unwrap_or_default();
        let mut held = None;
        let answer = match self.exchange(&mut held, &path).await {
            Err(Failure::Late(why)) => Err(Reason::timed_out(why)),
            Err(failure) => Err(Reason::new(failure.to_string())),
            Ok((reply, peer)) => {
                let address = peer.server.address();
                let protocol = self.protocol;
                let replied = Replied { protocol, path: &path, domain, reply, peer, address };
                self.interpret(&replied, &mut held).await
            }
        };
        match held {
            // Its process may go on with the tables that it read when they were empty, also after a control over a
            // newer connection has passed for this server.
            Some(connection) if answer.as_ref().is_err_and(Reason::is_uncontrolled) => {
                self.pool.quit(connection);
            }
            Some(connection) => self.pool.put(connection),
            None => (),
        }
        answer
    }

    async fn interpret(
        &self,
        replied: &Replied<'_>,
        held: &mut Option<Connection>,
    ) -> Result<Verification, Reason> {
        match replied.class() {
            ReplyClass::Exists => self.found(*self.code_250.of(replied.domain), replied, held).await,
            ReplyClass::Perhaps => self.found(*self.code_252.of(replied.domain), replied, held).await,
            ReplyClass::NotFound => self.not_found(replied, held).await,
            ReplyClass::Refused => {
                self.compare(replied, held).await?;
                self.not_found(replied, held).await
            }
            ReplyClass::TempFail => Err(Reason::new(replied.quoted())),
        }
    }

    /// The result after a positive reply.
    async fn found(
        &self,
        code: Trust,
        replied: &Replied<'_>,
        held: &mut Option<Connection>,
    ) -> Result<Verification, Reason> {
        let answer = Verification::new(Lookup::Found(()), &self.name).with_detail(&replied.quoted());
        let answer = match code {
            Trust::Exists => answer,
            Trust::TempFail => return Err(Reason::new(replied.quoted())),
            Trust::Canary => {
                let server = replied.server();
                let passed =
                    self.control.canary(server, REMEDY, |name| self.ask_canary(replied, name, held)).await;
                passed.map_err(|why| Reason::uncontrolled(format!("{}, but {why}", replied.quoted())))?;
                // Cached no longer than the canary is valid: if a server starts to accept every name, the
                // names that it accepted before the next canary must not stay in the cache.
                answer.with_ttl(self.control.interval())
            }
        };
        self.control.found(replied.server());
        Ok(answer)
    }

    /// The result after a negative reply, which counts only if the server finds the witness.
    async fn not_found(
        &self,
        replied: &Replied<'_>,
        held: &mut Option<Connection>,
    ) -> Result<Verification, Reason> {
        if let Some(witness) = self.witness(replied.domain) {
            let passed = self
                .control
                .witness(replied.server(), &witness, || self.ask_again(replied, witness.clone(), held))
                .await;
            passed.map_err(|why| Reason::uncontrolled(format!("{}, but {why}", replied.quoted())))?;
        }
        let answer = Verification::new(Lookup::NotFound, &self.name).with_detail(&replied.quoted());
        Ok(answer.with_ttl(self.control.interval()))
    }

    /// Checks whether the server sends the same text for an account that does not exist, and finds the
    /// witness at that time, so that the text is not about an outage.
    async fn compare(&self, replied: &Replied<'_>, held: &mut Option<Connection>) -> Result<(), Reason> {
        let mut words = replied.reply.wording(replied.path);
        if words.len() > MAX_WORDS {
            // The digest covers the truncated part.
            let all = self.digests.hash_one(&words);
            words.truncate(words.floor_char_boundary(MAX_WORDS));
            words = format!("{words}… {all:016x}");
        }
        let scope = format!("{}: {words}", replied.domain);
        let server = control::Server { peer: &replied.address, scope: &scope };
        let ask = |name| async move {
            let path = format!("<{name}@{}>", replied.domain);
            let canary = match self.exchange_with(&replied.peer.server, held, &path).await {
                Ok(canary) => canary,
                Err(why) => return control::Reply::TempFail(why),
            };
            let same = canary.class(self.protocol, &path) == ReplyClass::Refused
                && replied.reply.is_worded_like(replied.path, &canary, &path);
            if !same {
                return control::Reply::TempFail(format!("{}, with a different text", canary.quoted()));
            }
            let Some(witness) = self.witness(replied.domain) else {
                return control::Reply::NotFound(canary.quoted());
            };
            match self.ask_again(replied, witness.clone(), held).await {
                control::Reply::Exists(_) => {
                    self.control.found(replied.server());
                    control::Reply::NotFound(canary.quoted())
                }
                control::Reply::NotFound(why) | control::Reply::TempFail(why) => {
                    control::Reply::TempFail(format!("and for the witness {witness}: {why}"))
                }
            }
        };
        let same = self.words.canary(server, REMEDY, ask).await;
        same.map_err(|why| {
            Reason::uncontrolled(format!("{}, which may be about something else: {why}", replied.quoted()))
        })
    }

    /// The path of the witness at `domain`; `None` if the witness is off.
    fn witness(&self, domain: &str) -> Option<String> {
        match self.witness.of(domain) {
            Witness::Off => None,
            Witness::Default => Some(format!("<{WITNESS}@{domain}>")),
            Witness::Account(local) => Some(format!("<{local}@{domain}>")),
        }
    }

    /// Looks up the canary at the server that sent `replied`. A rejection may not be about the canary: some
    /// servers reject every command after the first. So it counts only if the server still finds the account
    /// afterwards.
    async fn ask_canary(
        &self,
        replied: &Replied<'_>,
        name: String,
        held: &mut Option<Connection>,
    ) -> control::Reply {
        let path = format!("<{name}@{}>", replied.domain);
        let canary = match self.exchange_with(&replied.peer.server, held, &path).await {
            Ok(canary) => canary,
            Err(why) => return control::Reply::TempFail(why),
        };
        match canary.class(self.protocol, &path) {
            ReplyClass::Exists | ReplyClass::Perhaps => control::Reply::Exists(canary.quoted()),
            ReplyClass::NotFound => control::Reply::NotFound(canary.quoted()),
            ReplyClass::TempFail => control::Reply::TempFail(canary.quoted()),
            ReplyClass::Refused => match self.exchange_with(&replied.peer.server, held, replied.path).await {
                Ok(again) if again.code == replied.reply.code => control::Reply::NotFound(canary.quoted()),
                Ok(again) => control::Reply::TempFail(format!(
                    "{}, and then for the first account {}",
                    canary.quoted(),
                    again.quoted()
                )),
                Err(why) => control::Reply::TempFail(format!(
                    "{}, and then for the first account {why}",
                    canary.quoted()
                )),
            },
        }
    }

    /// Does a control lookup at the server that sent `replied`.
    async fn ask_again(
        &self,
        replied: &Replied<'_>,
        path: String,
        held: &mut Option<Connection>,
    ) -> control::Reply {
        let reply = if path == replied.path {
            // This lookup has just been done.
            Ok(replied.reply.clone())
        } else {
            self.exchange_with(&replied.peer.server, held, &path).await
        };
        match reply {
            Err(why) => control::Reply::TempFail(why),
            Ok(reply) => match reply.class(self.protocol, &path) {
                ReplyClass::Exists | ReplyClass::Perhaps => control::Reply::Exists(reply.quoted()),
                ReplyClass::NotFound | ReplyClass::Refused => control::Reply::NotFound(reply.quoted()),
                ReplyClass::TempFail => control::Reply::TempFail(reply.quoted()),
            },
        }
    }

    /// Asks any server once, and leaves the connection in `held` if it can be used again.
    ///
    /// If the server has closed the connection, as servers do with idle ones, or replies 421, it is asked
    /// once more over another connection, but not twice, to spare a server with problems.
    async fn exchange(&self, held: &mut Option<Connection>, path: &str) -> Result<(Reply, Peer), Failure> {
        let mut next = self.pool.take(None);
        let mut once_more = true;
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => self.dialer.connect().await?,
            };
            let (was_idle, peer) = (connection.asked() > 0, connection.peer().clone());
            match self.send(connection, held, path).await {
                Ok(reply) => return Ok((reply, peer)),
                Err(Failure::Closing(_)) if once_more => once_more = false,
                Err(Failure::Gone(_)) if was_idle && once_more => once_more = false,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Asks this server only, over the held connection, an idle one, or a new one.
    async fn exchange_with(
        &self,
        server: &Arc<Server>,
        held: &mut Option<Connection>,
        path: &str,
    ) -> Result<Reply, String> {
        let usable = match held.take() {
            Some(connection) if self.pool.has_more(&connection) => Some(connection),
            Some(used_up) => {
                self.pool.quit(used_up);
                None
            }
            None => None,
        };
        if let Some(connection) = usable.or_else(|| self.pool.take(Some(server))) {
            match self.send(connection, held, path).await {
                Ok(reply) => return Ok(reply),
                // The server closed this connection.
                Err(Failure::Closing(_) | Failure::Gone(_)) => (),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        let session = self.dialer.session(server.clone()).await;
        let connection = session.map_err(|failure| format!("{server}: {failure}"))?;
        self.send(connection, held, path).await.map_err(|failure| failure.to_string())
    }

    async fn send(
        &self,
        mut connection: Connection,
        held: &mut Option<Connection>,
        path: &str,
    ) -> Result<Reply, Failure> {
        let reply = connection.ask(path, self.limits).await;
        // After a refused command the server still expects QUIT, which the pool sends.
        let ended =
            matches!(reply, Err(Failure::Gone(_) | Failure::Closing(_) | Failure::Bad(_) | Failure::Late(_)));
        *held = (!ended).then_some(connection);
        reply
    }
}

impl Source<Address, Verification> for SmtpSource {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let answer = self.ask(account).await;
            answer.unwrap_or_else(|why| Verification::new(Lookup::TempFail(why), &self.name))
        })
    }
}

/// The address in brackets, as it is sent. The error is the reason if it is not exactly one address.
fn path(protocol: Protocol, account: &Address) -> Result<String, String> {
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
        return not_asked("the domain has an invalid character");
    }
    let path = account.path();
    if path.chars().any(char::is_control) {
        return not_asked("control character in the address");
    }
    if protocol.question(&path).len() + "\r\n".len() > MAX_COMMAND {
        return not_asked("the address is longer than a command may be");
    }
    Ok(path)
}
