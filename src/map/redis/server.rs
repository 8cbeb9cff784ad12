//! A server of Redis with its connection, on which queries are pipelined.

use super::reply::{is_broken, master_role};
use crate::map::value::quoted;
use crate::net::age::Age;
use crate::net::back_off::BackOff;
use crate::net::connect::{Socket, Stream, connect};
use crate::net::host::Host;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// How long a server may take for one query before its connection is abandoned. The next query opens a new
/// one, which shows whether the server can be reached.
const HANGS: Duration = Duration::from_secs(1);

/// How connections are opened.
pub(super) struct Dialer {
    pub hello: RedisConnectionInfo,
    pub tls: Option<TlsConnector>,
    pub limit: Duration,
    /// Whether the server must be a master (`ROLE`).
    pub master_only: bool,
}

/// One server.
pub(super) struct Server {
    pub host: Host,
    pub back_off: BackOff<String>,
    open: Mutex<Option<Arc<Session>>>,
    /// Locked while connecting, so that waiting queries do not open a connection each.
    dialing: tokio::sync::Mutex<()>,
}

/// A connection and the task that reads and writes on it.
pub(super) struct Session {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    age: Mutex<Age>,
    /// The address of the peer.
    pub peer: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // If the server hangs, the task would wait forever.
        self.driver.abort();
    }
}

impl Session {
    /// Sends a command.
    pub async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async::<Value>(&mut self.connection.clone()).await
    }

    /// Sends a command for a slot that the server is importing. `ASKING` applies to the next command of the
    /// connection, so both are sent at once.
    pub async fn send_asking(&self, command: &Cmd) -> Result<Value, RedisError> {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command.clone());
        let replies = self.connection.clone().send_packed_commands(&both, 1, 1).await?;
        replies.into_iter().next_back().unwrap_or(Value::Okay).extract_error()
    }

    /// Checks that the server is a master. The error is the reason why it is not used.
    pub async fn is_master(&self) -> Result<(), String> {
        let role = self.send(&redis::cmd("ROLE")).await;
        master_role(&role.map_err(|error| format!("ROLE: {}", quoted(error.to_string().as_bytes())))?)
    }
}

impl Dialer {
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
        let session = Session { connection, driver: tokio::spawn(driver), age: Mutex::new(Age::new()), peer };
        if self.master_only {
            session.is_master().await?;
        }
        Ok(session)
    }
}

impl Server {
    /// A server that was not asked yet.
    pub fn new(host: Host, limit: Duration) -> Self {
        Server {
            host,
            back_off: BackOff::new(limit),
            open: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }
    }

    /// Sends with `send` on the connection to the server, and returns the reply with its connection. `Err` is
    /// the reason why the server could not be reached. `came` is the time of the query.
    pub async fn ask<F>(
        &self,
        dialer: &Dialer,
        came: Instant,
        send: impl Fn(Arc<Session>) -> F,
    ) -> Result<(Arc<Session>, Result<Value, RedisError>), String>
    where
        F: Future<Output = Result<Value, RedisError>>,
    {
        let mut broken = None;
        // A server that was restarted has closed its connection, which is detected only when it is used.
        for _ in 0..2 {
            let session = self.session(dialer, came).await?;
            let pending = Pending { server: self, session: &session, since: Instant::now() };
            let reply = send(session.clone()).await;
            drop(pending);
            match reply {
                Err(error) if is_broken(&error) => {
                    self.forget(&session);
                    broken = Some(quoted(error.to_string().as_bytes()));
                }
                reply => {
                    self.back_off.reached();
                    return Ok((session, reply));
                }
            }
        }
        Err(broken.unwrap_or_default())
    }

    /// Returns the connection, and opens one if necessary.
    pub async fn session(&self, dialer: &Dialer, came: Instant) -> Result<Arc<Session>, String> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let _dialing = self.dialing.lock().await;
        if let Some(session) = self.current() {
            return Ok(session);
        }
        if let Some(why) = self.back_off.failed_since(came) {
            return Err(why);
        }
        let session = timeout(dialer.limit, dialer.dial(&self.host))
            .await
            .unwrap_or_else(|_| Err(format!("no connection within {:?}", dialer.limit)));
        match session {
            Ok(session) => {
                let session = Arc::new(session);
                *self.open() = Some(session.clone());
                Ok(session)
            }
            Err(why) => {
                self.back_off.back_off();
                self.back_off.failed(came, why.clone());
                Err(why)
            }
        }
    }

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
struct Pending<'a> {
    server: &'a Server,
    session: &'a Arc<Session>,
    since: Instant,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() >= HANGS {
            self.server.forget(self.session);
        }
    }
}
