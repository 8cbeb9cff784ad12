//! The connections to one server.
//!
//! sqlx has a pool of its own, which does three things that are wrong here: it pings each connection when it is
//! given back, which is a second round trip per question; it tries a server that refuses connections again and
//! again until its time is up, so that the next server is asked two seconds later than need be; and it then
//! says `pool timed out`, whatever was the matter. The connections themselves are sqlx'.
//!
//! A connection is given back only after a whole answer has been read from it. Whoever is dropped before drops
//! his connection too, so there is none that is out of step.

use super::super::Answer;
use super::query::Statement;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

/// How long a connection may be idle. Firewalls forget those that are idle, the first of them after some
/// minutes, and a question on a forgotten one hangs.
const IDLE: Duration = Duration::from_mins(1);
/// How long a connection is used at all, so that a server's memory of it does not grow for ever, and a name that
/// got another address is asked there.
const LIFETIME: Duration = Duration::from_mins(30);

/// What differs from one kind of database to the other.
pub(super) trait Driver: Send + Sync + 'static {
    /// A connection.
    type Connection: Send + 'static;

    /// A connection made; the error is why there is none.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Whether a connection still leads to where a new one would.
    fn is_current(&self, connection: &mut Self::Connection) -> impl Future<Output = bool> + Send;

    /// What the database says of `key`, for which `bindings` are those of `statement`.
    fn ask<'c>(
        connection: &'c mut Self::Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'c;
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke: on another one there may be an answer.
    Broken(String),
    /// The database has understood, and will say the same again.
    Refused(String),
    /// The same, but the connection has not been read to its end.
    Spoiled(String),
}

/// One server, or the file of SQLite.
pub(super) struct Server<D: Driver> {
    name: String,
    driver: D,
    /// One for each connection that may be open.
    permits: Semaphore,
    connect_timeout: Duration,
    state: Mutex<State<D::Connection>>,
}

struct State<C> {
    /// The last one used is used next, so that those that are not needed grow old.
    idle: Vec<Idle<C>>,
    /// Counts how often connections lost our trust: those of before do not come back.
    generation: u64,
    /// The last failure to connect.
    failed: Option<(Instant, String)>,
    /// Until when other servers are asked instead.
    passed_over: Option<Instant>,
    /// Somebody comes to close what is idle.
    reaped: bool,
}

struct Idle<C> {
    connection: C,
    born: Instant,
    since: Instant,
}

/// A connection on loan. Dropped, it is closed.
pub(super) struct Lease<'s, D: Driver> {
    server: &'s Arc<Server<D>>,
    /// The connection.
    pub connection: D::Connection,
    born: Instant,
    generation: u64,
    _permit: SemaphorePermit<'s>,
}

impl<D: Driver> Server<D> {
    /// A server called `name` in messages, with at most so many connections, none of which is made now.
    pub fn new(name: String, driver: D, connections: u32, connect_timeout: Duration) -> Self {
        let permits = usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let state = State { idle: Vec::new(), generation: 0, failed: None, passed_over: None, reaped: false };
        Server { name, driver, permits: Semaphore::new(permits), connect_timeout, state: Mutex::new(state) }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State<D::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether others are to be asked first. The one who finds that this time is up tries the server; until he
    /// knows, the others still go elsewhere, since a server that hangs costs each of them the time-out.
    pub fn is_passed_over(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.passed_over {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                state.passed_over = Some(now + self.connect_timeout);
                false
            }
        }
    }

    /// Has others asked first, for so long.
    pub fn pass_over(&self, period: Duration) {
        self.state().passed_over = Some(Instant::now() + period);
    }

    /// Closes what is idle, and has those on loan closed when they come back: what is wrong with one connection
    /// is likely to be wrong with all of them.
    pub fn distrust(&self) {
        let idle = {
            let mut state = self.state();
            state.generation += 1;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }

    /// A connection, for a question that was put at `asked`. Waits for one while all are on loan; the error is
    /// why none can be made.
    pub async fn lend(self: &Arc<Self>, asked: Instant) -> Result<Lease<'_, D>, String> {
        let permit = self.permits.acquire().await.map_err(|_| "its connections are closed".to_owned())?;
        while let Some((mut idle, generation)) = self.idle() {
            if self.driver.is_current(&mut idle.connection).await {
                return Ok(Lease {
                    server: self,
                    connection: idle.connection,
                    born: idle.born,
                    generation,
                    _permit: permit,
                });
            }
            self.distrust();
        }
        let generation = {
            let state = self.state();
            // Of those who waited for one that could not connect, not everybody has to find that out himself.
            if let Some((_, why)) = state.failed.as_ref().filter(|(at, _)| *at > asked) {
                return Err(why.clone());
            }
            state.generation
        };
        let connected = match timeout(self.connect_timeout, self.driver.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {:?}", self.connect_timeout)),
        };
        let now = Instant::now();
        let mut state = self.state();
        match connected {
            Ok(connection) => {
                state.failed = None;
                state.passed_over = None;
                drop(state);
                Ok(Lease { server: self, connection, born: now, generation, _permit: permit })
            }
            Err(why) => {
                state.failed = Some((now, why.clone()));
                Err(why)
            }
        }
    }

    fn idle(&self) -> Option<(Idle<D::Connection>, u64)> {
        let now = Instant::now();
        let (idle, old) = {
            let mut state = self.state();
            let old = match state.idle.last() {
                Some(last) if !last.is_fresh(now) => std::mem::take(&mut state.idle),
                _ => Vec::new(),
            };
            (state.idle.pop().map(|idle| (idle, state.generation)), old)
        };
        drop(old);
        idle
    }

    /// Closes what has been idle too long. False if nothing is left.
    fn reap(&self) -> bool {
        let now = Instant::now();
        let (old, more) = {
            let mut state = self.state();
            let (fresh, old) =
                std::mem::take(&mut state.idle).into_iter().partition(|idle| idle.is_fresh(now));
            state.idle = fresh;
            state.reaped = !state.idle.is_empty();
            (old, state.reaped)
        };
        drop::<Vec<_>>(old);
        more
    }
}

impl<C> Idle<C> {
    fn is_fresh(&self, now: Instant) -> bool {
        now < self.since + IDLE && now < self.born + LIFETIME
    }
}

impl<D: Driver> Lease<'_, D> {
    /// Gives it back for others to use, after a whole answer.
    pub fn give_back(self) {
        let now = Instant::now();
        let idle = Idle { connection: self.connection, born: self.born, since: now };
        let mut state = self.server.state();
        if state.generation != self.generation || !idle.is_fresh(now) {
            drop(state);
            return;
        }
        state.idle.push(idle);
        if !std::mem::replace(&mut state.reaped, true) {
            tokio::spawn(reap(Arc::downgrade(self.server)));
        }
    }
}

/// Closes idle connections for as long as there are any.
async fn reap<D: Driver>(server: Weak<Server<D>>) {
    loop {
        sleep(IDLE / 2).await;
        if !server.upgrade().is_some_and(|server| server.reap()) {
            return;
        }
    }
}
