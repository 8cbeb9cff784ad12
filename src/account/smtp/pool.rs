//! Idle connections, and the limits of their use. A connection beyond a limit is closed with QUIT in a
//! separate task, so that lookups do not wait for it.
//!
//! The age is limited because a server may answer from the tables that it read when the connection started:
//! the smtpd of Postfix does so until its client disconnects, even after a reload.

use super::connection::Connection;
use super::dial::Server;
use crate::net::idle::{IdlePool, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Timeout of QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of connections that wait for the reply to QUIT. Further ones are closed without QUIT, so
/// that they do not accumulate if a server does not reply.
const QUITTING: usize = 16;

/// Maximum time for which an idle connection is kept, whatever the settings. No server waits that long.
const IDLE: Duration = Duration::from_hours(24);

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    per_connection: u32,
    max_age: Duration,
    quitting: Arc<Semaphore>,
    idle: Arc<IdlePool<Connection>>,
}

impl Pool {
    /// Creates a pool of at most `most` idle connections. Each is used for at most `per_connection` questions,
    /// idle for at most `idle_timeout`, and at most `max_age` old.
    pub fn new(per_connection: u32, most: usize, idle_timeout: Duration, max_age: Duration) -> Self {
        let limits = Limits { most, idle: idle_timeout.min(IDLE), age: max_age };
        let quitting = Arc::new(Semaphore::new(QUITTING));
        let permits = quitting.clone();
        let idle = IdlePool::new(limits, move |connection| quit(&permits, connection));
        Pool { per_connection: per_connection.max(1), max_age, quitting, idle }
    }

    /// Takes the connection that was used last; if `server` is given, the last one to this server.
    pub fn take(&self, server: Option<&Server>) -> Option<Connection> {
        self.idle.take(|connection| server.is_none_or(|server| *server == *connection.peer().server))
    }

    /// Whether a connection may be used for one more question.
    pub fn has_more(&self, connection: &Connection) -> bool {
        !connection.is_spent() && connection.asked() < self.per_connection && self.is_young(connection)
    }

    /// Whether a connection has not reached its maximum age, after which it is not used again.
    fn is_young(&self, connection: &Connection) -> bool {
        connection.peer().since.elapsed() < self.max_age
    }

    /// Keeps a connection for the next lookup, if it may be used again and there is room. Otherwise closes
    /// it.
    pub fn put(&self, connection: Connection) {
        if self.has_more(&connection) {
            let since = connection.peer().since;
            self.idle.put(connection, since);
        } else {
            self.quit(connection);
        }
    }

    /// Sends QUIT in the background.
    pub fn quit(&self, connection: Connection) {
        quit(&self.quitting, connection);
    }
}

/// Sends QUIT in the background. Without a runtime, the connection is closed without it.
fn quit(permits: &Arc<Semaphore>, connection: Connection) {
    if let (Ok(runtime), Ok(permit)) = (Handle::try_current(), permits.clone().try_acquire_owned()) {
        runtime.spawn(async move {
            let _permit = permit;
            // If the server does not reply in time, the connection is closed anyway.
            let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        });
    }
}
