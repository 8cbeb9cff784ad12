//! Redis and Valkey: `GET key`, or `HGET key field`.
//!
//! There is one connection to each server. Queries are pipelined on it, and replies come in the same order.
//! The reply to an abandoned query is read and discarded, so that replies still match their queries.

use super::database::Database;
use super::hosts::Hosts;
use super::settings::{DatabaseSettings, Query};
use super::template::Template;
use super::value::{found, quoted};
use super::witness::Witness;
use super::{Lookup, LookupFuture, Source, Table};
use crate::lookup::control::Reply;
use crate::net::age::Age;
use crate::net::connect::{Socket, Stream, connect};
use crate::net::host::Host;
use crate::net::tls;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// How long a server may take for one query before its connection is abandoned. The next query opens a new
/// one, which shows whether the server can be reached.
const HANGS: Duration = Duration::from_secs(1);

/// The servers of a database, each with its connection.
struct Redis {
    hosts: Hosts,
    servers: Vec<Server>,
    hello: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    limit: Duration,
    witness: Witness<Question>,
}

/// One server.
struct Server {
    host: Host,
    open: Mutex<Option<Arc<Session>>>,
    /// Locked while connecting, so that waiting queries do not open a connection each.
    dialing: tokio::sync::Mutex<()>,
}

/// A connection and the task that reads and writes on it.
struct Session {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    age: Mutex<Age>,
    /// The address of the peer.
    peer: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // If the server hangs, the task would wait forever.
        self.driver.abort();
    }
}

/// The query of a map.
struct RedisTable {
    redis: Arc<Redis>,
    question: Arc<Question>,
}

/// The key whose value is looked up, or the field of a hash.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    key: Template,
    field: Option<Template>,
}

impl Question {
    /// The command for a key; `None` if it needs a user or a domain that the key does not have.
    fn command(&self, key: &str) -> Option<Cmd> {
        // The protocol sends the length of each word, so no character is special.
        let mut command = redis::cmd(if self.field.is_some() { "HGET" } else { "GET" });
        command.arg(self.key.expand(key, Cow::Borrowed)?);
        if let Some(field) = &self.field {
            command.arg(field.expand(key, Cow::Borrowed)?);
        }
        Some(command)
    }
}

pub(super) fn open(settings: &DatabaseSettings) -> Result<Arc<dyn Database>, String> {
    let number = match settings.database.as_str() {
        "" => 0,
        text => text.parse::<u32>().map_err(|_| {
            format!("\"{text}\" is not the number of a Redis database: write one such as \"0\"")
        })?,
    };
    let mut hello = RedisConnectionInfo::default().set_db(number.into());
    if let Some(password) = &settings.password {
        hello = hello.set_password(password.reveal());
    }
    if let Some(user) = &settings.user {
        if settings.password.is_none() {
            return Err(format!("user {user} needs a password: set password_file"));
        }
        hello = hello.set_username(user);
    }
    let client = settings.tls.then(|| tls::client(settings.tls_ca.as_deref())).transpose()?;
    let server = |host: &Host| Server {
        host: host.clone(),
        open: Mutex::default(),
        dialing: tokio::sync::Mutex::default(),
    };
    Ok(Arc::new(Shared(Arc::new(Redis {
        hosts: Hosts::new(settings)?,
        servers: settings.hosts.iter().map(server).collect(),
        hello,
        tls: client.map(TlsConnector::from),
        limit: settings.connect_limit(),
        witness: Witness::new(settings),
    }))))
}

#[derive(Debug)]
struct Shared(Arc<Redis>);

impl Database for Shared {
    fn table(&self, query: &Query) -> Result<Arc<Table>, String> {
        let Query::Redis { key, field } = query else {
            return Err(
                "a database of type redis is asked by key: write key = \"%s\", or key and field".into()
            );
        };
        let key = Template::parse(key).map_err(|remedy| format!("key: {remedy}"))?;
        let field = field.as_deref().map(Template::parse).transpose();
        let field = field.map_err(|remedy| format!("field: {remedy}"))?;
        if !key.has_key() && !field.as_ref().is_some_and(Template::has_key) {
            return Err("every key would have the same value: write %s into key or field".into());
        }
        let question = Arc::new(Question { key, field });
        self.0.witness.add(&question);
        Ok(Arc::new(RedisTable { redis: self.0.clone(), question }))
    }
}

impl Source<str, Lookup<String>> for RedisTable {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let Some(command) = self.question.command(key) else { return Lookup::NotFound };
            let command = &command;
            self.redis.hosts.ask(|at, came| self.redis.ask(at, came, command)).await
        })
    }
}

impl Redis {
    async fn ask(&self, at: usize, came: Instant, command: &Cmd) -> Result<Lookup<String>, String> {
        let server = self.servers.get(at).ok_or("no such server")?;
        let mut broken = None;
        // A server that was restarted has closed its connection, which may only show when it is used.
        for _ in 0..2 {
            let session = self.session(server, at, came).await?;
            let asking = Asking { server, session: &session, since: Instant::now() };
            let reply = command.query_async::<Value>(&mut session.connection.clone()).await;
            drop(asking);
            match reply {
                Ok(value) => return Ok(self.believed(&session, read(value)).await),
                Err(error) if is_broken(&error) => {
                    server.forget(&session);
                    broken = Some(quoted(error.to_string().as_bytes()));
                }
                Err(error) => return Ok(Lookup::temp_fail(refused(&error))),
            }
        }
        Err(broken.unwrap_or_default())
    }

    /// Checks the result of a server: "not found" counts only if its control passes.
    async fn believed(&self, session: &Session, answer: Lookup<String>) -> Lookup<String> {
        match answer {
            Lookup::NotFound if self.witness.is_set() => {
                let ask = |question: Arc<Question>, key: Arc<str>| async move {
                    let Some(command) = question.command(&key) else { return Lookup::NotFound };
                    match command.query_async::<Value>(&mut session.connection.clone()).await {
                        Ok(value) => read(value),
                        Err(error) => Lookup::temp_fail(refused(&error)),
                    }
                };
                self.witness.vouch(&session.peer, ask).await
            }
            Lookup::NotFound => {
                let ask = || async {
                    let mut command = redis::cmd("INFO");
                    command.arg("replication");
                    match command.query_async::<Value>(&mut session.connection.clone()).await {
                        Ok(Value::BulkString(info)) if is_cut_off(&info) => {
                            Reply::NotFound("master_link_status:down".into())
                        }
                        Err(error) if is_broken(&error) => Reply::TempFail(refused(&error)),
                        // INFO is not permitted: assume that the server has its data. Configure a witness to
                        // be certain.
                        Ok(_) | Err(_) => Reply::Exists(String::new()),
                    }
                };
                let why = "the server is a replica without its master, and may lack this key (master_link_status:down)";
                self.witness.vouch_by(&session.peer, why, ask).await
            }
            Lookup::Found(_) => {
                self.witness.found(&session.peer);
                answer
            }
            Lookup::TempFail(_) => answer,
        }
    }

    /// Returns the connection to a server, and opens one if necessary.
    async fn session(&self, server: &Server, at: usize, came: Instant) -> Result<Arc<Session>, String> {
        if let Some(session) = server.current() {
            return Ok(session);
        }
        let _dialing = server.dialing.lock().await;
        if let Some(session) = server.current() {
            return Ok(session);
        }
        if let Some(why) = self.hosts.failed_since(at, came) {
            return Err(why);
        }
        let session = timeout(self.limit, self.dial(&server.host))
            .await
            .map_err(|_| format!("no connection within {:?}", self.limit))??;
        let session = Arc::new(session);
        *server.open() = Some(session.clone());
        Ok(session)
    }

    /// Connects, logs in, and waits for the reply.
    async fn dial(&self, host: &Host) -> Result<Session, String> {
        let socket = connect(host, self.limit).await.map_err(|error| error.to_string())?;
        let peer = socket.peer(host);
        let stream: Box<dyn Stream> = match (&self.tls, socket, host) {
            (Some(tls), Socket::Tcp(stream), Host::Inet(name, _)) => {
                let name = ServerName::try_from(name.clone()).map_err(|_| {
                    format!("no certificate can have the name {name}: use another name for the host")
                })?;
                let encrypted = tls.connect(name, stream).await;
                Box::new(encrypted.map_err(|error| format!("TLS: {error}"))?)
            }
            // Data on a UNIX socket does not leave the host.
            (_, socket, _) => socket.boxed(),
        };
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&self.hello, stream, config)
            .await
            .map_err(|error| quoted(error.to_string().as_bytes()))?;
        Ok(Session { connection, driver: tokio::spawn(driver), age: Mutex::new(Age::new()), peer })
    }
}

impl Server {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current connection, if it can be used.
    fn current(&self) -> Option<Arc<Session>> {
        let mut open = self.open();
        let session = open.as_ref().filter(|session| !session.driver.is_finished())?.clone();
        let mut age = session.age.lock().unwrap_or_else(PoisonError::into_inner);
        if !age.is_fresh() {
            *open = None;
            return None;
        }
        age.renew();
        drop(age);
        Some(session)
    }

    /// Abandons a connection, unless it has been replaced.
    fn forget(&self, session: &Arc<Session>) {
        let mut open = self.open();
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, session)) {
            *open = None;
        }
    }
}

/// A pending query. If it takes too long until its reply or until it is dropped, its connection is not used
/// again.
struct Asking<'a> {
    server: &'a Server,
    session: &'a Arc<Session>,
    since: Instant,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() >= HANGS {
            self.server.forget(self.session);
        }
    }
}

/// Whether a server is a replica that is not connected to its master ("INFO"). If it never was, it is empty;
/// if it lost the connection, it lacks new data.
fn is_cut_off(replication: &[u8]) -> bool {
    replication.split(|octet| *octet == b'\n').any(|line| line.trim_ascii() == b"master_link_status:down")
}

/// Interprets a reply.
fn read(value: Value) -> Lookup<String> {
    match value {
        Value::Nil => Lookup::NotFound,
        Value::BulkString(value) => found(value),
        Value::SimpleString(value) => found(value.into_bytes()),
        _ => Lookup::temp_fail("the reply is not a string"),
    }
}

/// Whether the connection can no longer be used.
fn is_broken(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}

/// The reason why the server returned no result, with its own text if there is one.
fn refused(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("WRONGTYPE"), _) => {
            "the key does not hold a string: set field for a hash; rcptd does not read lists and sets".into()
        }
        (Some(code), Some(text)) => quoted(format!("it replied {code} {text}").as_bytes()),
        _ => quoted(error.to_string().as_bytes()),
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisTable { redis, question } = self;
        f.debug_struct("Lookup").field("redis", redis).field("question", question).finish()
    }
}
