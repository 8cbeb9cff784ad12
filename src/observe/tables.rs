//! Events of the lookup protocols.
//!
//! A mail server makes several lookups for one recipient, so a lookup is logged at `debug`; `rcptd trace`
//! shows all. A temporary failure delays mail: the first one of a map is a `warn`, further ones are `info`
//! until a lookup succeeds, with at most one line a second for each map. So a database that is down is
//! reported, but does not fill the disk.

use super::line::{name, octets, text};
use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Minimum time between two lines of a kind.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets one line per interval through, and counts the others.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// Time of the last line, in milliseconds since the first of all, plus one; 0: never.
    last: AtomicU64,
    suppressed: AtomicU64,
    /// Whether the last lookup failed temporarily.
    failing: AtomicBool,
}

impl RateLimit {
    /// Creates a limiter that has let no line through.
    pub const fn new() -> Self {
        RateLimit { last: AtomicU64::new(0), suppressed: AtomicU64::new(0), failing: AtomicBool::new(false) }
    }

    /// Records a lookup with a result: the next failure is a warning again.
    pub fn works(&self) {
        if self.failing.load(Relaxed) {
            self.failing.store(false, Relaxed);
        }
    }

    /// Returns whether a line may be written now, as the number of suppressed ones.
    pub fn passes(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = START.get_or_init(Instant::now).elapsed();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let last = self.last.load(Relaxed);
        let due =
            last == 0 || now.saturating_sub(last) >= u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        // If several threads find a line due, one writes it.
        if due && self.last.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            Some(self.suppressed.swap(0, Relaxed))
        } else {
            self.suppressed.fetch_add(1, Relaxed);
            None
        }
    }
}

/// A lookup returned a result, found or not found.
pub fn looked_up(listener: &str, connection: u64, map: &str, key: &[u8], value: Option<&str>) {
    let (listener, map, key) = (name(&listener), name(&map), octets(key));
    if let Some(value) = value {
        let value = text(&value);
        debug!("connection={connection} listener={listener} map={map} verdict=found key={key} value={value}");
    } else {
        debug!("connection={connection} listener={listener} map={map} verdict=not-found key={key}");
    }
}

/// A lookup failed temporarily.
pub fn tempfail(quiet: &RateLimit, listener: &str, map: &str, key: &[u8], why: &dyn Display) {
    let Some(suppressed) = quiet.passes() else { return };
    let others = if suppressed == 0 {
        String::new()
    } else {
        format!(" (and {suppressed} others since the last line)")
    };
    let (listener, map, key, why) = (name(&listener), name(&map), octets(key), text(why));
    if quiet.failing.swap(true, Relaxed) {
        info!("listener={listener} map={map} verdict=tempfail key={key} detail={why}{others}");
    } else {
        warn!("listener={listener} map={map} verdict=tempfail key={key} detail={why}{others}");
    }
}

/// A server requested a map that does not exist.
pub fn unknown_map(listener: &str, map: &str) {
    static QUIET: RateLimit = RateLimit::new();
    if QUIET.passes().is_some() {
        warn!(
            "listener={} there is no map {} here: add a section [[map]] or fix the \
             mail server's configuration",
            name(&listener),
            text(&map)
        );
    }
}

/// A connection began.
pub fn connection_begun(listener: &str, connection: u64, peer: &str) {
    debug!("connection={connection} listener={} peer={} begins", name(&listener), name(&peer));
}

/// A connection ended.
pub fn connection_ended(listener: &str, connection: u64, why: &str) {
    debug!("connection={connection} listener={} ends: {why}", name(&listener));
}

/// A client violated the protocol.
pub fn broken_request(listener: &str, connection: u64, peer: &str, why: &dyn Display) {
    static QUIET: RateLimit = RateLimit::new();
    if QUIET.passes().is_none() {
        return;
    }
    warn!(
        "connection={connection} listener={} peer={} request not understood: detail={}",
        name(&listener),
        name(&peer),
        text(why)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_lines_per_second() {
        let quiet = RateLimit::default();
        assert_eq!(quiet.passes(), Some(0));
        assert_eq!((quiet.passes(), quiet.passes()), (None, None));
        // Pretend that the last line was long ago.
        quiet.last.store(0, Relaxed);
        assert_eq!(quiet.passes(), Some(2));
    }
}
