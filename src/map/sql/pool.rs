//! The connections to one server.
//!
//! The pool of sqlx is not used. It pings each returned connection, which is a second round trip per query.
//! It retries a server that refuses connections until its timeout, so that the next server is tried two
//! seconds late. Then it reports `pool timed out`, whatever the cause. The connections themselves are those
//! of sqlx.
//!
//! A connection returns to the pool only after a complete result, so none is out of step. An abandoned query
//! is cancelled in the server, and its connection counts until the query has ended. Otherwise a slow database
//! would get more and more connections, each of which makes it slower.

use super::super::Lookup;
use super::super::witness::Witness;
use super::query::Statement;
use crate::net::age::Age;
use crate::net::back_off::BackOff;
use crate::net::idle::IDLE;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

/// Time added to the timeout of a lookup for a limit in the server. So the timeout expires first, and is the
/// reason in the log.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How long an abandoned query is waited for and counted. The server ends it on request, or at its own limit
/// (the timeout, at most 1 min). A server that does neither in this time is considered down.
const LINGER: Duration = Duration::from_mins(2);
/// Interval between requests to cancel a query. The first may arrive before the query has begun.
const END_AGAIN: Duration = Duration::from_secs(1);

/// The differences between types of databases.
pub(super) trait Driver: Send + Sync + 'static {
    /// A connection.
    type Connection: Send + 'static;
    /// Cancels the query on a connection.
    type Stop: Send + Sync + 'static;

    /// Opens a connection. The error is the reason of a failure.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Whether a new connection would have the same peer.
    fn is_current(&self, connection: &mut Self::Connection) -> impl Future<Output = bool> + Send;

    /// The peer of a connection, to recognise connections to the same server.
    fn peer(connection: &Self::Connection) -> Arc<str>;

    /// The handle that cancels the next query on this connection.
    fn stop(connection: &Self::Connection) -> Self::Stop;

    /// Requests the server to cancel the query. The connection shows the outcome; until then the request is
    /// repeated.
    fn end(stop: &Self::Stop) -> impl Future<Output = ()> + Send;

    /// Looks up `key` with `statement` and its `bindings`.
    fn ask<'c>(
        connection: &'c mut Self::Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> impl Future<Output = Result<Lookup<String>, Failure>> + Send + 'c;
}

/// The reason why a query has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke. A retry on another connection may succeed.
    Broken(String),
    /// The database rejected the query. A retry would not help.
    Refused(String),
    /// Like `Refused`, but the result was not read completely.
    Spoiled(String),
}

/// One server, or an SQLite file.
pub(super) struct Server<D: Driver> {
    name: String,
    driver: D,
    /// One permit for each connection that may be open.
    permits: Arc<Semaphore>,
    connect_timeout: Duration,
    witness: Arc<Witness<Statement>>,
    /// See [`BackOff`].
    pub back_off: BackOff<Dial>,
    state: Mutex<State<D::Connection>>,
    /// Notified when a connection is returned or closed.
    changed: Notify,
}

struct State<C> {
    /// Used from the end, so that connections that are not needed become old.
    idle: Vec<Idle<C>>,
    /// Number of connections with a query for which a caller waits.
    answering: usize,
    /// Number of connections that are being opened.
    dialing: usize,
    /// Incremented by `discard_connections`. Connections of older generations are not returned to
    /// the pool.
    generation: u64,
    /// The task that closes idle connections, while there are any.
    reaper: Option<AbortHandle>,
}

/// Counts a connection that is being opened, until it is dropped.
struct Dialing<'s, D: Driver>(&'s Server<D>);

impl<'s, D: Driver> Dialing<'s, D> {
    fn new(server: &'s Server<D>) -> Self {
        server.state().dialing += 1;
        Dialing(server)
    }
}

impl<D: Driver> Drop for Dialing<'_, D> {
    fn drop(&mut self) {
        self.0.state().dialing -= 1;
        self.0.changed.notify_waiters();
    }
}

/// The reason why a connection could not be opened.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    /// The server or the system refused it.
    Refused(String),
    /// The server did not reply.
    TimedOut(String),
}

struct Idle<C> {
    connection: C,
    age: Age,
}

/// A connection in use. Dropping it closes the connection.
pub(super) struct Lease<D: Driver> {
    server: Arc<Server<D>>,
    /// `None` after the connection was returned.
    connection: Option<D::Connection>,
    age: Age,
    generation: u64,
    /// Whether a caller waits for the result.
    awaited: bool,
    _permit: OwnedSemaphorePermit,
}

impl<D: Driver> Server<D> {
    /// Creates a server called `name` in messages, with at most this many connections. It does not connect
    /// yet.
    pub fn new(
        name: String,
        driver: D,
        connections: u32,
        connect_timeout: Duration,
        witness: Arc<Witness<Statement>>,
    ) -> Self {
        let permits = usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let state = State { idle: Vec::new(), answering: 0, dialing: 0, generation: 0, reaper: None };
        Server {
            name,
            driver,
            permits: Arc::new(Semaphore::new(permits)),
            connect_timeout,
            witness,
            back_off: BackOff::new(connect_timeout),
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State<D::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections, and those in use when they are returned: if one connection has broken, the
    /// others probably have, too.
    pub fn discard_connections(&self) {
        let idle = {
            let mut state = self.state();
            state.generation += 1;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }

    /// Returns a connection for a query that began at `asked`. Waits while all are in use. The error is the
    /// reason why none can be opened.
    ///
    /// A server that refuses a new connection while others are in use is full, not down. Then this waits for
    /// one of those, up to the timeout of a connection.
    pub async fn lend(self: &Arc<Self>, asked: Instant) -> Result<Lease<D>, String> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| "its connections are closed".to_owned())?;
        let mut refused: Option<(String, Instant)> = None;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on, no change is missed.
            changed.as_mut().enable();
            while let Some((mut idle, generation)) = self.idle() {
                if self.driver.is_current(&mut idle.connection).await {
                    self.state().answering += 1;
                    return Ok(self.lease(idle.connection, idle.age, generation, permit));
                }
                self.discard_connections();
            }
            if refused.is_none() || !self.has_connections() {
                match self.dial(asked, refused.is_some()).await {
                    Ok((connection, generation)) => {
                        return Ok(self.lease(connection, Age::new(), generation, permit));
                    }
                    Err(Dial::Refused(why)) => refused = Some((why, Instant::now() + self.connect_timeout)),
                    Err(Dial::TimedOut(why)) => return Err(why),
                }
            }
            let Some((why, until)) = &refused else { continue };
            if !self.has_connections() || tokio::time::timeout_at(*until, changed).await.is_err() {
                return Err(why.clone());
            }
        }
    }

    /// Whether there is a connection: one in use, one that is being opened, or one that was returned since
    /// the check of idle ones.
    fn has_connections(&self) -> bool {
        let state = self.state();
        state.answering > 0 || state.dialing > 0 || !state.idle.is_empty()
    }

    /// A connection in use, which counts as answering.
    fn lease(
        self: &Arc<Self>,
        connection: D::Connection,
        age: Age,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Lease<D> {
        Lease {
            server: Arc::clone(self),
            connection: Some(connection),
            age,
            generation,
            awaited: true,
            _permit: permit,
        }
    }

    /// Opens a connection, and returns it with its generation. If an attempt failed since `asked`, it is not
    /// repeated, unless `again`.
    async fn dial(&self, asked: Instant, again: bool) -> Result<(D::Connection, u64), Dial> {
        // Callers that waited for a failed attempt share its error.
        if let Some(why) = self.back_off.failed_since(asked).filter(|_| !again) {
            return Err(why);
        }
        let generation = self.state().generation;
        let _dialing = Dialing::new(self);
        let connected = match timeout(self.connect_timeout, self.driver.connect()).await {
            Ok(connected) => connected.map_err(Dial::Refused),
            Err(_) => Err(Dial::TimedOut(format!("no connection within {:?}", self.connect_timeout))),
        };
        match connected {
            Ok(connection) => {
                self.back_off.reached();
                // Before `Dialing` is dropped, since other callers read both counters.
                self.state().answering += 1;
                Ok((connection, generation))
            }
            Err(why) => {
                self.back_off.failed(Instant::now(), why.clone());
                Err(why)
            }
        }
    }

    fn idle(&self) -> Option<(Idle<D::Connection>, u64)> {
        let (idle, old) = {
            let mut state = self.state();
            let old = match state.idle.last() {
                Some(last) if !last.age.is_fresh() => std::mem::take(&mut state.idle),
                _ => Vec::new(),
            };
            (state.idle.pop().map(|idle| (idle, state.generation)), old)
        };
        drop(old);
        idle
    }

    /// Closes connections that have been idle for too long. Returns false if none is left.
    fn reap(&self) -> bool {
        let (old, more) = {
            let mut state = self.state();
            let (fresh, old) =
                std::mem::take(&mut state.idle).into_iter().partition(|idle| idle.age.is_fresh());
            state.idle = fresh;
            let more = !state.idle.is_empty();
            if !more {
                state.reaper = None;
            }
            (old, more)
        };
        drop::<Vec<_>>(old);
        more
    }
}

impl<D: Driver> Lease<D> {
    /// Runs a query in a separate task, which returns the connection after a complete result. If the receiver
    /// is dropped, the query is cancelled.
    pub fn put(
        self,
        statement: Arc<Statement>,
        key: String,
    ) -> oneshot::Receiver<Result<Lookup<String>, Failure>> {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(self.carry(statement, key, reply));
        answer
    }

    async fn carry(
        mut self,
        statement: Arc<Statement>,
        key: String,
        mut reply: oneshot::Sender<Result<Lookup<String>, Failure>>,
    ) {
        let Some(mut connection) = self.connection.take() else { return };
        let stop = D::stop(&connection);
        let witness = Arc::clone(&self.server.witness);
        let answer = {
            let mut asking = pin!(controlled::<D>(&mut connection, &witness, &statement, &key));
            tokio::select! {
                biased;
                answer = &mut asking => Some(answer),
                () = reply.closed() => {
                    self.is_given_up();
                    let ending = async {
                        loop {
                            let _ = timeout(END_AGAIN, D::end(&stop)).await;
                            sleep(END_AGAIN).await;
                        }
                    };
                    tokio::select! {
                        _ = asking => (),
                        _ = timeout(LINGER, ending) => (),
                    }
                    // A late request to cancel this query might cancel the next one, so do not reuse the
                    // connection.
                    None
                }
            }
        };
        let Some(answer) = answer else { return };
        if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
            self.give_back(connection);
        }
        let _ = reply.send(answer);
    }

    /// Records that the caller has timed out while the query continues.
    fn is_given_up(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.server.state().answering -= 1;
            self.server.changed.notify_waiters();
        }
    }

    /// Returns a connection to the pool, after a complete result.
    fn give_back(self, connection: D::Connection) {
        let mut age = self.age;
        age.renew();
        let mut state = self.server.state();
        if state.generation != self.generation || !age.is_fresh() {
            drop(state);
            return;
        }
        state.idle.push(Idle { connection, age });
        if state.reaper.is_none() {
            state.reaper = Some(tokio::spawn(reap(Arc::downgrade(&self.server))).abort_handle());
        }
    }
}

impl<D: Driver> Drop for Server<D> {
    fn drop(&mut self) {
        if let Some(reaper) = self.state().reaper.take() {
            reaper.abort();
        }
    }
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        self.is_given_up();
    }
}

/// Looks up a key on this connection. "Not found" counts only if the control of the server passes.
async fn controlled<D: Driver>(
    connection: &mut D::Connection,
    witness: &Witness<Statement>,
    statement: &Statement,
    key: &str,
) -> Result<Lookup<String>, Failure> {
    let peer = D::peer(connection);
    let answer = asked::<D>(connection, statement, key).await?;
    match answer {
        Lookup::Found(_) => witness.found(&peer),
        Lookup::NotFound => {
            let connection = tokio::sync::Mutex::new(connection);
            let broken = Mutex::new(None);
            let ask = |statement: Arc<Statement>, key: Arc<str>| {
                let (connection, broken) = (&connection, &broken);
                async move {
                    let mut connection = connection.lock().await;
                    match asked::<D>(&mut connection, &statement, &key).await {
                        Ok(answer) => answer,
                        Err(Failure::Refused(why)) => Lookup::temp_fail(why),
                        Err(failure) => {
                            let (Failure::Broken(why) | Failure::Spoiled(why) | Failure::Refused(why)) =
                                &failure;
                            let answer = Lookup::temp_fail(why.as_str());
                            *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                            answer
                        }
                    }
                }
            };
            let worth = witness.vouch(&peer, ask).await;
            return match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(failure) => Err(failure),
                None => Ok(worth),
            };
        }
        Lookup::TempFail(_) => (),
    }
    Ok(answer)
}

async fn asked<D: Driver>(
    connection: &mut D::Connection,
    statement: &Statement,
    key: &str,
) -> Result<Lookup<String>, Failure> {
    let Some(bindings) = statement.bindings(key) else { return Ok(Lookup::NotFound) };
    D::ask(connection, statement, key, &bindings).await
}

/// Closes idle connections until none is left.
async fn reap<D: Driver>(server: Weak<Server<D>>) {
    loop {
        sleep(IDLE / 2).await;
        if !server.upgrade().is_some_and(|server| server.reap()) {
            return;
        }
    }
}
