//! Idle connections: which are kept for the next query, and for how long.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// Maximum idle time of a connection that is used again. Firewalls silently drop idle connections, some after
/// a few minutes: a query over such a connection would wait until its timeout.
pub(crate) const IDLE: Duration = Duration::from_mins(1);

/// Maximum age of a connection. A server may answer from data that it read when the connection started, the
/// host name may resolve to another address by now, and the memory of a session grows. A new connection every
/// few minutes is cheap.
pub(crate) const LIFETIME: Duration = Duration::from_mins(5);

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of idle connections.
    pub most: usize,
    /// Maximum idle time of a connection.
    pub idle: Duration,
    /// Maximum age of a connection.
    pub age: Duration,
}

impl Limits {
    /// The limits of servers whose settings name none, with this maximum number.
    pub fn of(most: usize) -> Self {
        Limits { most, idle: IDLE, age: LIFETIME }
    }
}

/// A pool of idle connections. The one that was used last is taken first. Those over a limit are closed by a
/// task of the pool, the others when it is dropped.
pub(crate) struct IdlePool<C: Send + 'static> {
    limits: Limits,
    close: Box<dyn Fn(C) + Send + Sync>,
    /// Without a runtime, expired connections stay until the pool is dropped, but are not used.
    runtime: Option<Handle>,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// The connections in the order in which they were returned, each with the time at which it expires.
    idle: Vec<(C, Instant)>,
    /// The task that closes expired connections, while there are any connections.
    sweeper: Option<AbortHandle>,
}

impl<C: Send + 'static> IdlePool<C> {
    /// Creates a pool whose connections are closed with `close`, which must not wait.
    pub fn new(limits: Limits, close: impl Fn(C) + Send + Sync + 'static) -> Arc<Self> {
        let state = Mutex::new(State { idle: Vec::new(), sweeper: None });
        Arc::new(IdlePool { limits, close: Box::new(close), runtime: Handle::try_current().ok(), state })
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was used last, of those that fit.
    pub fn take(&self, fits: impl Fn(&C) -> bool) -> Option<C> {
        let now = Instant::now();
        let mut state = self.state();
        // Expired connections are left to the sweeper.
        let at = state.idle.iter().rposition(|(connection, until)| *until > now && fits(connection))?;
        Some(state.idle.remove(at).0)
    }

    /// Keeps a connection that was opened at `born`, if there is room and it is not too old. Otherwise closes
    /// it.
    pub fn put(self: &Arc<Self>, connection: C, born: Instant) {
        let now = Instant::now();
        let until = (now + self.limits.idle).min(born + self.limits.age);
        let mut state = self.state();
        if until > now && state.idle.len() < self.limits.most {
            state.idle.push((connection, until));
            if state.sweeper.is_none() {
                state.sweeper = self
                    .runtime
                    .as_ref()
                    .map(|runtime| runtime.spawn(sweep(Arc::downgrade(self), until)).abort_handle());
            }
            return;
        }
        drop(state);
        (self.close)(connection);
    }

    /// Closes all idle connections: if one has broken, the others probably have, too.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut self.state().idle);
        for (connection, _) in gone {
            (self.close)(connection);
        }
    }

    /// Closes expired connections. Returns the time of the next check.
    fn sweep(&self) -> Option<Instant> {
        let mut state = self.state();
        let now = Instant::now();
        let gone: Vec<_> = state.idle.extract_if(.., |(_, until)| *until <= now).collect();
        // A connection that is returned meanwhile may expire before these, but not earlier than this.
        let next =
            state.idle.iter().map(|(_, until)| *until).min().map(|next| next.min(now + self.limits.idle));
        if next.is_none() {
            state.sweeper = None;
        }
        drop(state);
        for (connection, _) in gone {
            (self.close)(connection);
        }
        next
    }
}

async fn sweep<C: Send + 'static>(pool: Weak<IdlePool<C>>, first: Instant) {
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

impl<C: Send + 'static> Drop for IdlePool<C> {
    fn drop(&mut self) {
        if let Some(sweeper) = self.state().sweeper.take() {
            sweeper.abort();
        }
        self.clear();
    }
}

impl<C: Send + 'static> fmt::Debug for IdlePool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdlePool").field("idle", &self.state().idle.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// A pool of connections that can be counted: each is a clone of the `Arc`.
    fn pool(most: usize) -> (Arc<IdlePool<Arc<()>>>, Arc<()>) {
        (IdlePool::new(Limits::of(most), drop), Arc::new(()))
    }

    #[tokio::test(start_paused = true)]
    async fn pool_closes_expired_connections_without_a_query() {
        let (pool, connection) = pool(4);
        let old = Instant::now();
        advance(Duration::from_secs(LIFETIME.as_secs() - 2)).await;
        let new = Instant::now();
        pool.put(connection.clone(), old);
        pool.put(connection.clone(), new);
        assert_eq!(Arc::strong_count(&connection), 3);
        // The old one reaches its maximum age before its maximum idle time.
        tokio::time::sleep(Duration::from_secs(IDLE.as_secs() - 1)).await;
        assert_eq!(Arc::strong_count(&connection), 2);
        assert!(pool.take(|_| true).is_some(), "the new one");
        assert!(pool.take(|_| true).is_none());
        pool.put(connection.clone(), new);
        tokio::time::sleep(2 * IDLE).await;
        assert_eq!(Arc::strong_count(&connection), 1, "both have been closed");
        // The task that closes connections starts again.
        pool.put(connection.clone(), Instant::now());
        tokio::time::sleep(2 * IDLE).await;
        assert_eq!(Arc::strong_count(&connection), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pool_keeps_its_limits() {
        let (pool, connection) = pool(2);
        for _ in 0..3 {
            pool.put(connection.clone(), Instant::now());
        }
        assert_eq!(Arc::strong_count(&connection), 3, "the third has been closed");
        assert!(pool.take(|_| false).is_none());
        pool.clear();
        assert_eq!(Arc::strong_count(&connection), 1);
        let born = Instant::now();
        advance(LIFETIME).await;
        pool.put(connection.clone(), born);
        assert_eq!(Arc::strong_count(&connection), 1, "too old");
        pool.put(connection.clone(), Instant::now());
        drop(pool);
        assert_eq!(Arc::strong_count(&connection), 1);
    }
}
