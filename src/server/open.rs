//! The open connections of a listener: at the limit, a new one replaces the one that was idle for longest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;

/// How long a connection must be idle before a new one may replace it at the connection limit. Without
/// replacement, clients that connect and send nothing would keep a mail server out until the idle timeout;
/// a mail server that loses an idle connection reconnects.
pub const YIELD: Duration = Duration::from_secs(1);

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Open {
    began: Instant,
    slots: Mutex<HashMap<u64, Arc<Slot>>>,
}

/// An open connection in the list of its listener.
#[derive(Debug)]
struct Slot {
    /// When it became idle, in milliseconds since the listener began; [`BUSY`] while a request is answered.
    idle: AtomicU64,
    /// Whether a request was answered. Clients that sent no request are closed first.
    served: AtomicBool,
    /// Requests the connection to end.
    leave: Notify,
}

/// See [`Slot::idle`].
const BUSY: u64 = u64::MAX;

/// The entry of a connection among the open ones; dropping it removes the entry.
pub(super) struct Place {
    open: Arc<Open>,
    connection: u64,
    slot: Arc<Slot>,
}

impl Open {
    /// No connections yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Open { began: Instant::now(), slots: Mutex::default() })
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// Enters a connection that begins now.
    pub fn enter(self: &Arc<Self>, connection: u64) -> Place {
        let slot =
            Arc::new(Slot { idle: self.now().into(), served: AtomicBool::new(false), leave: Notify::new() });
        self.slots().insert(connection, slot.clone());
        Place { open: self.clone(), connection, slot }
    }

    /// Returns a permit for one more connection. At the limit, it requests idle connections to end, the
    /// longest idle first, until a permit is free.
    pub async fn room(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            match permits.clone().try_acquire_owned() {
                Ok(permit) => return Some(permit),
                // The semaphore is never closed; a connection without a permit is still served.
                Err(TryAcquireError::Closed) => return None,
                Err(TryAcquireError::NoPermits) => (),
            }
            let wait = self.dismiss();
            if let Ok(permit) = timeout(wait, permits.clone().acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    /// Requests one connection to end: the one idle for longest, preferring clients that sent no request.
    /// Returns when to try again.
    fn dismiss(&self) -> Duration {
        let slots = self.slots();
        let idle = slots.iter().map(|(connection, slot)| (slot.idle.load(Relaxed), connection, slot));
        let idle = idle.filter(|(idle, ..)| *idle != BUSY);
        let first =
            idle.min_by_key(|(idle, connection, slot)| (slot.served.load(Relaxed), *idle, *connection));
        let Some((idle, _, slot)) = first else { return YIELD };
        let time = Duration::from_millis(self.now().saturating_sub(idle));
        if let Some(rest) = YIELD.checked_sub(time).filter(|rest| !rest.is_zero()) {
            return rest;
        }
        slot.leave.notify_one();
        // A connection was requested to end and needs its turn.
        Duration::from_millis(20)
    }
}

impl Place {
    /// Records that a request is being answered.
    pub fn is_busy(&self) {
        self.slot.idle.store(BUSY, Relaxed);
    }

    /// Records that `taken` bytes of requests have been answered, if any.
    pub fn has_answered(&self, taken: usize) {
        if taken > 0 {
            self.slot.served.store(true, Relaxed);
            self.slot.idle.store(self.open.now(), Relaxed);
        }
    }

    /// Completes when the connection is to end in favour of a new one.
    pub async fn replaced(&self) {
        self.slot.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.slots().remove(&self.connection);
    }
}
