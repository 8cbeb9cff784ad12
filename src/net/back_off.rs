//! Which of several servers with the same content is tried first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a server that could not be reached is tried last. Long enough that a server that is down does
/// not delay each query, and short enough that one that was restarted soon gets its queries again.
pub const BACKOFF: Duration = Duration::from_secs(10);

/// What the last attempts to reach a server have shown. `E` is the reason of a failure.
#[derive(Debug)]
pub(crate) struct BackOff<E> {
    probe: Duration,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    /// Time and reason of the last failure to connect; `None` after the server was reached.
    failed: Option<(Instant, E)>,
    /// Until then, other servers are tried first.
    until: Option<Instant>,
}

impl<E: Clone> BackOff<E> {
    /// A server that was not tried yet. An attempt to reach it takes no longer than `probe`.
    pub fn new(probe: Duration) -> Self {
        BackOff { probe, state: Mutex::new(State { failed: None, until: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether other servers are tried first. After [`BACKOFF`], the first caller tries this server again.
    /// Until that attempt ends, other callers still use other servers, since a server that hangs would cost
    /// each of them the timeout.
    pub fn is_backed_off(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        match state.until {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                state.until = Some(now + self.probe);
                false
            }
        }
    }

    /// Lets other servers be tried first for a while.
    pub fn back_off(&self) {
        self.state().until = Some(Instant::now() + BACKOFF);
    }

    /// Records that the server was reached.
    pub fn reached(&self) {
        *self.state() = State { failed: None, until: None };
    }

    /// Records the failure of an attempt that began at `came`. A failure that was recorded since then stays:
    /// this one may be a copy of it, and if a copy counted as new, it would be copied forever.
    pub fn failed(&self, came: Instant, why: E) {
        let mut state = self.state();
        if state.failed.as_ref().is_none_or(|(at, _)| *at < came) {
            state.failed = Some((Instant::now(), why));
        }
    }

    /// The reason why the server could not be reached, if a connection failed since `then`. A caller that
    /// waited while another one connected takes over its failure instead of waiting for a timeout itself.
    pub fn failed_since(&self, then: Instant) -> Option<E> {
        self.state().failed.as_ref().filter(|(at, _)| *at > then).map(|(_, why)| why.clone())
    }
}

/// Maximum number of addresses in [`BackOffs`]. DNS may return other addresses each time.
const ADDRESSES: usize = 64;

/// The servers of a name whose addresses DNS returns, by address. Contains those that could not be reached.
#[derive(Debug)]
pub(crate) struct BackOffs {
    probe: Duration,
    failed: Mutex<BTreeMap<SocketAddr, BackOff<()>>>,
}

impl BackOffs {
    /// See [`BackOff::new`].
    pub fn new(probe: Duration) -> Self {
        BackOffs { probe, failed: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, BackOff<()>>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`BackOff::is_backed_off`].
    pub fn is_backed_off(&self, address: SocketAddr) -> bool {
        self.all().get(&address).is_some_and(BackOff::is_backed_off)
    }

    /// Records that the server was reached.
    pub fn reached(&self, address: SocketAddr) {
        self.all().remove(&address);
    }

    /// Records that the server could not be reached: others are tried first for a while.
    pub fn failed(&self, address: SocketAddr) {
        let mut all = self.all();
        if all.len() >= ADDRESSES {
            // Forgetting too much only costs an attempt.
            all.clear();
        }
        all.entry(address).or_insert_with(|| BackOff::new(self.probe)).back_off();
    }
}

/// The servers in the order in which they are tried: those that are backed off last.
pub(crate) fn in_order<T>(servers: &[T], is_backed_off: impl Fn(&T) -> bool) -> Vec<&T> {
    let (mut first, last): (Vec<_>, Vec<_>) = servers.iter().partition(|server| !is_backed_off(server));
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const PROBE: Duration = Duration::from_secs(2);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_caller_tries_a_server_again() {
        let server = BackOff::<()>::new(PROBE);
        assert!(!server.is_backed_off());
        server.back_off();
        advance(Duration::from_secs(BACKOFF.as_secs() - 1)).await;
        assert!(server.is_backed_off());
        advance(SECOND).await;
        assert!(!server.is_backed_off(), "the first caller");
        assert!(server.is_backed_off(), "the second");
        // The attempt of the first caller ended without a result.
        advance(PROBE).await;
        assert!(!server.is_backed_off());
        server.reached();
        assert!(!server.is_backed_off());
    }

    #[tokio::test(start_paused = true)]
    async fn copies_of_a_failure_are_not_new() {
        let server = BackOff::new(PROBE);
        let came = Instant::now();
        advance(SECOND).await;
        server.failed(came, "down");
        let failed = Instant::now();
        advance(SECOND).await;
        // Another caller, which came before the failure, has taken it over.
        server.failed(came, "down");
        assert_eq!(server.failed_since(came), Some("down"));
        assert_eq!(server.failed_since(failed), None);
        server.reached();
        assert_eq!(server.failed_since(came), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_number_of_addresses_is_backed_off() {
        let servers = BackOffs::new(PROBE);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for port in 1..=64 {
            servers.failed(address(port));
        }
        assert!(servers.is_backed_off(address(1)) && servers.is_backed_off(address(64)));
        servers.reached(address(1));
        assert!(!servers.is_backed_off(address(1)));
        servers.failed(address(65));
        servers.failed(address(66));
        assert_eq!(servers.all().len(), 1);
        assert!(servers.is_backed_off(address(66)));
    }

    #[test]
    fn servers_that_are_backed_off_come_last() {
        assert_eq!(in_order(&[1, 2, 3, 4], |server| server % 2 == 1), [&2, &4, &1, &3]);
    }
}
