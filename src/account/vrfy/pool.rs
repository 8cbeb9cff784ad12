//! Idle connections.
//!
//! A few are kept for a while, and the last one used is taken first. Further ones, those at their limit of
//! questions, and those at their limit of age are closed with QUIT in a separate task, so that no answer
//! waits for it. The same happens to the rest when the pool is dropped.
//!
//! The age is limited because a server may answer from the tables at the start of the connection: an smtpd of
//! Postfix does so until its client disconnects, also after a reload.

use super::connection::Connection;
use super::dial::Server;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Time limit of QUIT.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most connections that wait for the reply to QUIT; further ones are closed without QUIT, so that they do
/// not accumulate if a server does not reply.
const FAREWELLS: usize = 16;

/// Longest time one is kept, whatever the settings; no server waits that long.
const IDLE: Duration = Duration::from_hours(24);

/// See the module.
pub(super) struct Pool {
    per_connection: u32,
    max_age: Duration,
    most: usize,
    idle_timeout: Duration,
    farewells: Arc<Semaphore>,
    /// Without a runtime, QUIT cannot be sent.
    runtime: Option<Handle>,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    /// In the order in which they were returned, with the time at which to close each.
    idle: Vec<(Connection, Instant)>,
    /// The task that closes expired connections; there is none while no connection is idle.
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

    /// Takes the connection that was used last, if there is one; only one to `server`, if that is given.
    pub fn take(&self, server: Option<&Server>) -> Option<Connection> {
        let now = Instant::now();
        let mut rest = self.rest();
        // Expired ones are left to the sweeper.
        let at = rest.idle.iter().rposition(|(connection, until)| {
            *until > now && server.is_none_or(|server| *server == *connection.peer().server)
        })?;
        Some(rest.idle.remove(at).0)
    }

    /// Whether a connection may be asked once more.
    pub fn has_more(&self, connection: &Connection) -> bool {
        connection.asked() < self.per_connection && self.is_young(connection)
    }

    /// Whether the answers over a connection count: it is not older than its limit.
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

    /// Sends QUIT in the background.
    pub fn see_off(&self, connection: Connection) {
        if let (Some(runtime), Ok(permit)) = (&self.runtime, self.farewells.clone().try_acquire_owned()) {
            runtime.spawn(async move {
                let _permit = permit;
                // If the server does not reply in time, the connection is closed anyway.
                let _ = timeout(FAREWELL, connection.quit()).await;
            });
        }
    }

    /// Closes expired connections; returns when to check again.
    fn sweep(&self) -> Option<Instant> {
        let mut rest = self.rest();
        let now = Instant::now();
        let gone: Vec<_> = rest.idle.extract_if(.., |(_, until)| *until <= now).collect();
        // One that is returned meanwhile may expire before these, but not earlier than this.
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
