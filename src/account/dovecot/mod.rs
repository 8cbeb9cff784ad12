//! `dovecot:`, the users of Dovecot, looked up at its auth service over a UNIX socket.
//!
//! | file | contents |
//! | --- | --- |
//! | `protocol` | lines of both sides |
//! | `connection` | one connection, with one question at a time |
//!
//! "Not found" counts only if Dovecot finds a witness in the same domain: with an empty list of users it replies
//! `NOTFOUND` for every name. Without a configured witness, the last account that was found in the domain is used.
//! "Found" counts only if Dovecot does not find a canary: a static userdb finds every name.

mod connection;
pub mod protocol;

use super::settings::{Scoped, Witness};
use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{Control, MAX_CONTROLS, Reply, Server};
use crate::net::host::{Host, socket_path};
use crate::net::idle::{IdlePool, Limits};
use connection::{Connection, Failure};
use mail_address::{Address, CaseSensitivity};
use protocol::{Answer, user_name};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum number of idle connections. Dovecot's auth service allows 1000 clients (`default_client_limit`), most of
/// which are its own.
const IDLE_CONNECTIONS: usize = 8;

/// The remedy for a userdb that finds every name.
const REMEDY: &str = "make its userdb find only users that exist, without allow_all_users, or use another source for \
                      this domain";

/// `dovecot:/PATH`
pub(super) const TYPE: SourceType = SourceType {
    name: "dovecot",
    usage: "dovecot:/PATH",
    read: |path| Ok(Arc::new(Auth { host: Host::Unix(socket_path(path)?) })),
};

#[derive(Debug)]
struct Auth {
    host: Host,
}

impl SourceConfig for Auth {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let interval = context.source.control_interval;
        let source = Dovecot {
            name: context.name.clone(),
            cases: context.cases.clone(),
            host: self.host.clone(),
            service: context.source.dovecot.service.clone(),
            limit: context.source.deadline,
            idle: IdlePool::new(Limits::of(IDLE_CONNECTIONS), drop),
            witness: context.source.witness.clone(),
            control: Control::new(context.name.clone(), interval, context.metrics),
            found: Mutex::default(),
        };
        Box::pin(async { Ok(Arc::new(source) as Arc<AccountSource>) })
    }
}

#[derive(Debug)]
struct Dovecot {
    name: Arc<str>,
    cases: CaseSensitivity,
    host: Host,
    service: String,
    /// Time limit of a connection.
    limit: Duration,
    idle: Arc<IdlePool<Connection>>,
    witness: Scoped<Witness>,
    control: Control,
    /// The last user found in each domain.
    found: Mutex<HashMap<Box<str>, Box<str>>>,
}

impl Dovecot {
    async fn verify(&self, account: &Address) -> Result<Verification, Reason> {
        let user = user_name(account, self.cases.of(account))
            .map_err(|why| Reason::new(format!("not asked: {why}")))?;
        let domain = account.domain().unwrap_or_default();
        let peer = self.host.to_string();
        let server = Server { peer: &peer, scope: domain };
        let answer = self.ask(&user).await.map_err(Reason::new)?;
        let quoted = format!("USER {user}: {answer}");
        let uncontrolled = |why: String| Reason::uncontrolled(format!("{quoted}, but {why}"));
        let result = match answer {
            Answer::TempFail(_) => return Err(Reason::new(quoted)),
            Answer::Found => {
                let passed = self.control.canary(server, REMEDY, |name| self.ask_canary(name, account)).await;
                passed.map_err(|why| uncontrolled(why.to_string()))?;
                self.control.found(server);
                self.remember(domain, &user);
                Lookup::Found(())
            }
            Answer::NotFound => {
                if let Some(witness) = self.witness(domain).map_err(uncontrolled)? {
                    let passed =
                        self.control.witness(server, &witness, || self.control_reply(&witness)).await;
                    passed.map_err(|why| uncontrolled(why.to_string()))?;
                }
                Lookup::NotFound
            }
        };
        let verification = Verification::new(result, &self.name).with_detail(&quoted);
        Ok(verification.with_ttl(self.control.interval()))
    }

    /// The user that must be found in `domain`; `None` if the witness is off. The error is the reason why a "not
    /// found" does not count.
    fn witness(&self, domain: &str) -> Result<Option<String>, String> {
        match self.witness.of(domain) {
            Witness::Off => Ok(None),
            Witness::Account(local) => Ok(Some(format!("{local}@{domain}"))),
            Witness::Default => match self.found().get(domain) {
                Some(user) => Ok(Some(user.to_string())),
                None => Err(format!(
                    "{} has found no account of {domain} yet, so it may find no account at all: set witness to an account \
                     that exists there",
                    self.host
                )),
            },
        }
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Box<str>, Box<str>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, domain: &str, user: &str) {
        let mut found = self.found();
        if found.len() >= MAX_CONTROLS && !found.contains_key(domain) {
            // Evict any entry: its domain has no witness until another account is found.
            let any = found.keys().next().cloned();
            any.and_then(|any| found.remove(&any));
        }
        found.insert(domain.into(), user.into());
    }

    /// Looks up the canary in the domain of `account`.
    async fn ask_canary(&self, name: String, account: &Address) -> Reply {
        let domain = account.domain().unwrap_or_default();
        self.control_reply(&format!("{name}@{domain}")).await
    }

    async fn control_reply(&self, user: &str) -> Reply {
        match self.ask(user).await {
            Ok(answer @ Answer::Found) => Reply::Exists(answer.to_string()),
            Ok(answer @ Answer::NotFound) => Reply::NotFound(answer.to_string()),
            Ok(answer @ Answer::TempFail(_)) => Reply::TempFail(answer.to_string()),
            Err(why) => Reply::TempFail(why),
        }
    }

    /// Looks up a user over an idle connection or a new one. If the server has closed the idle one, as it does when it
    /// restarts, it repeats the lookup once over a new one.
    async fn ask(&self, user: &str) -> Result<Answer, String> {
        let failed = |failure: Failure| format!("{}: {failure}", self.host);
        if let Some(connection) = self.idle.take(|_| true) {
            match self.ask_over(connection, user).await {
                Err(Failure::Gone(_)) => self.idle.clear(),
                other => return other.map_err(failed),
            }
        }
        let connection = Connection::open(&self.host, self.limit).await.map_err(failed)?;
        self.ask_over(connection, user).await.map_err(failed)
    }

    async fn ask_over(&self, mut connection: Connection, user: &str) -> Result<Answer, Failure> {
        let answer = connection.ask(user, &self.service).await?;
        let born = connection.born();
        self.idle.put(connection, born);
        Ok(answer)
    }
}

impl Source<Address, Verification> for Dovecot {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let verified = self.verify(account).await;
            verified.unwrap_or_else(|why| Verification::new(Lookup::TempFail(why), &self.name))
        })
    }
}
