//! Idle connections.
//!
//! A few connections are kept for a while; the one used last is taken first. Connections beyond the limits
//! (number, commands, age) are closed with QUIT in a separate task, so that lookups do not wait for it.
//! Dropping the pool closes the rest in the same way.
//!
//! The age is limited because a server may answer from the tables that it read when the connection started:
//! the smtpd of Postfix does so until its client disconnects, even after a reload.

use super::connection::Connection;
use super::dial::Server;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Timeout of QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of connections that wait for the reply to QUIT. Further ones are closed without QUIT, so
/// that they do not accumulate if a server does not reply.
const FAREWELLS: usize = 16;

/// Maximum time for which an idle connection is kept, whatever the settings. No server waits that long.
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
    /// The idle connections in the order in which they were returned, each with the time at which it is
    /// closed.
    idle: Vec<(Connection, Instant)>,
    /// The task that closes expired connections, while there are idle ones.
    sweeper: Option<AbortHandle>,
}

impl Pool {
    /// Creates a pool of at most `most` idle connections. Each is used for at most `per_connection` commands,
    /// idle for at most `idle_timeout`, and at most `max_age` old.
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

    /// Takes the connection that was used last; if `server` is given, the last one to this server.
    pub fn take(&self, server: Option<&Server>) -> Option<Connection> {
        let now = Instant::now();
        let mut rest = self.rest();
        // Expired connections are left to the sweeper.
        let at = rest.idle.iter().rposition(|(connection, until)| {
            *until > now && server.is_none_or(|server| *server == *connection.peer().server)
        })?;
        Some(rest.idle.remove(at).0)
    }

    /// Whether a connection may be used for one more command.
    pub fn has_more(&self, connection: &Connection) -> bool {
        connection.asked() < self.per_connection && self.is_young(connection)
    }

    /// Whether replies over a connection count: it has not reached its maximum age.
    pub fn is_young(&self, connection: &Connection) -> bool {
        connection.peer().since.elapsed() < self.max_age
    }

    /// Keeps a connection for the next lookup, if it may be used again and there is room. Otherwise closes
    /// it.
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
        self.quit(connection);
    }

    /// Sends QUIT in the background.
    pub fn quit(&self, connection: Connection) {
        if let (Some(runtime), Ok(permit)) = (&self.runtime, self.farewells.clone().try_acquire_owned()) {
            runtime.spawn(async move {
                let _permit = permit;
                // If the server does not reply in time, the connection is closed anyway.
                let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
            });
        }
    }

    /// Closes expired connections. Returns the time of the next check.
    fn sweep(&self) -> Option<Instant> {
        let mut rest = self.rest();
        let now = Instant::now();
        let gone: Vec<_> = rest.idle.extract_if(.., |(_, until)| *until <= now).collect();
        // A connection that is returned meanwhile may expire before these, but not earlier than this.
        let next =
            rest.idle.iter().map(|(_, until)| *until).min().map(|next| next.min(now + self.idle_timeout));
        if next.is_none() {
            rest.sweeper = None;
        }
        drop(rest);
        for (connection, _) in gone {
            self.quit(connection);
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
            self.quit(connection);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.rest().idle.len()).finish_non_exhaustive()
    }
}
