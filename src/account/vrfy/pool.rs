//! Idle connections.
//!
//! A few are kept for a while, the last one used first. The others, those that have been asked as often as they may
//! be, and those that are as old as they may become, are closed with QUIT in a task of their own, so that no answer
//! waits for it. Those that are left when the pool goes are closed so, too.
//!
//! The age is bounded because a server may answer from the tables with which the connection began: a connected smtpd
//! of Postfix does so until its client disconnects, whatever was reloaded meanwhile.

use super::connection::Connection;
use super::dial::Server;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a server has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most connections being seen off at once; further ones are closed without a word, so that a server which
/// does not answer to QUIT cannot gather them.
const FAREWELLS: usize = 16;

/// Longest time one is kept, whatever is set; no server waits that long.
const IDLE: Duration = Duration::from_hours(24);

/// See the module.
pub(super) struct Pool {
    per_connection: u32,
    max_age: Duration,
    most: usize,
    idle_timeout: Duration,
    farewells: Arc<Semaphore>,
    /// Without a runtime nobody can be seen off.
    runtime: Option<Handle>,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    /// In the order in which they were put back, with the time at which they must go.
    idle: Vec<(Connection, Instant)>,
    /// The task that sees off those whose time has come; there is none while nobody is idle.
    sweeper: Option<AbortHandle>,
}

impl Pool {
    /// Keeps `most` connections, each asked `per_connection` times at most, idle for `idle_timeout` at most, and no
    /// older than `max_age`.
    pub fn new(per_connection: u32, most: usize, idle_timeout: Duration, max_age: Duration) -> Arc<Self> {
        Arc::new(Pool {
            per_connection: per_connection.max(1),
            max_age,
            most,
            idle_timeout: idle_timeout.min(IDLE),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            runtime: Handle::try_current().ok(),
            rest: Mutex::default(),
        })
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if there is one; only one to `server`, if that is given.
    pub fn take(&self, server: Option<&Server>) -> Option<Connection> {
        let now = Instant::now();
        let mut rest = self.rest();
        // Those whose time has come are left to the sweeper.
        let at = rest.idle.iter().rposition(|(connection, until)| {
            *until > now && server.is_none_or(|server| *server == *connection.peer().server)
        })?;
        Some(rest.idle.remove(at).0)
    }

    /// Whether a connection may be asked once more.
    pub fn has_more(&self, connection: &Connection) -> bool {
        connection.asked() < self.per_connection && self.is_young(connection)
    }

    /// Whether the answers over a connection count: it is younger than the age at which it must go.
    pub fn is_young(&self, connection: &Connection) -> bool {
        connection.peer().since.elapsed() < self.max_age
    }

    /// Keeps a connection for the next question, if it may be asked more and there is room.
    pub fn put(self: &Arc<Self>, connection: Connection) {
        if self.has_more(&connection) {
            let mut rest = self.rest();
            if rest.idle.len() < self.most {
                let until = Instant::now() + self.idle_timeout;
                let until = until.min(connection.peer().since + self.max_age);
                rest.idle.push((connection, until));
                if rest.sweeper.is_none() {
                    rest.sweeper = self
                        .runtime
                        .as_ref()
                        .map(|runtime| runtime.spawn(sweep(Arc::downgrade(self), until)).abort_handle());
                }
                return;
            }
        }
        self.see_off(connection);
    }

    /// Says QUIT, without anybody waiting for it.
    pub fn see_off(&self, connection: Connection) {
        if let (Some(runtime), Ok(permit)) = (&self.runtime, self.farewells.clone().try_acquire_owned()) {
            runtime.spawn(async move {
                let _permit = permit;
                // A server that does not answer has had its chance.
                let _ = timeout(FAREWELL, connection.quit()).await;
            });
        }
    }

    /// Closes those whose time has come; returns when to look again.
    fn sweep(&self) -> Option<Instant> {
        let mut rest = self.rest();
        let now = Instant::now();
        let gone: Vec<_> = rest.idle.extract_if(.., |(_, until)| *until <= now).collect();
        // One that comes meanwhile may have to go before these, but not before this long.
        let next =
            rest.idle.iter().map(|(_, until)| *until).min().map(|next| next.min(now + self.idle_timeout));
        if next.is_none() {
            rest.sweeper = None;
        }
        drop(rest);
        for (connection, _) in gone {
            self.see_off(connection);
        }
        next
    }
}

async fn sweep(pool: Weak<Pool>, first: Instant) {
    let mut next = first;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        match pool.sweep() {
            Some(instant) => next = instant,
            None => return,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut *self.rest());
        if let Some(sweeper) = rest.sweeper {
            sweeper.abort();
        }
        for (connection, _) in rest.idle {
            self.see_off(connection);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.rest().idle.len()).finish_non_exhaustive()
    }
}
