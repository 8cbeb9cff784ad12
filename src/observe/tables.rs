//! Events of the lookup protocols.
//!
//! A mail server makes several lookups for one recipient, so a lookup is logged at `debug`; `rcptd trace`
//! shows all. A temporary failure delays mail: the first one of a map is a `warn`, further ones are `info`
//! until a lookup succeeds, with at most one line a second for each map. So a database that is down is
//! reported, but does not fill the disk.

use super::line::{name, octets, text};
use super::meter::Meter;
use super::metrics::Metrics;
use diagnostics::count;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Level, debug, enabled, info, warn};

/// Minimum time between two lines of a kind.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets one line per interval through, and counts the others.
#[derive(Debug, Default)]
pub struct RateLimit {
    lines: Mutex<Lines>,
    /// Whether the last lookup failed temporarily.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    /// Time of the last line.
    last: Option<Instant>,
    /// Number of lines since then that were not written.
    suppressed: u64,
}

impl RateLimit {
    /// Records a lookup with a result: the next failure is a warning again.
    pub fn works(&self) {
        if self.failing.load(Relaxed) {
            self.failing.store(false, Relaxed);
        }
    }

    /// Returns whether a line may be written now, as the number of suppressed ones.
    pub fn passes(&self) -> Option<u64> {
        self.passes_at(Instant::now())
    }

    fn passes_at(&self, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            lines.suppressed += 1;
            return None;
        }
        lines.last = Some(now);
        Some(std::mem::take(&mut lines.suppressed))
    }
}

/// The remark about lines that were not written, see [`RateLimit::passes`].
pub(super) fn others(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        n => format!(" (and {} since the last line)", count(n, "other")),
    }
}

/// A lookup returned a result, found or not found.
pub fn looked_up(listener: &str, connection: u64, map: &str, key: &[u8], value: Option<&str>) {
    // Escaping takes longer than a lookup in memory.
    if !enabled!(Level::DEBUG) {
        return;
    }
    let (listener, map, key) = (name(&listener), name(&map), octets(key));
    if let Some(value) = value {
        let value = text(&value);
        debug!("connection={connection} listener={listener} map={map} verdict=found key={key} value={value}");
    } else {
        debug!("connection={connection} listener={listener} map={map} verdict=not_found key={key}");
    }
}

/// A lookup failed temporarily.
pub fn tempfail(rate_limit: &RateLimit, listener: &str, map: &str, key: &[u8], why: &dyn Display) {
    let Some(suppressed) = rate_limit.passes() else { return };
    let others = others(suppressed);
    let (listener, map, key, why) = (name(&listener), name(&map), octets(key), text(why));
    if rate_limit.failing.swap(true, Relaxed) {
        info!("listener={listener} map={map} verdict=tempfail key={key} detail={why}{others}");
    } else {
        warn!("listener={listener} map={map} verdict=tempfail key={key} detail={why}{others}");
    }
}

/// A server requested a map that does not exist.
pub fn unknown_map(metrics: &Metrics, listener: &str, map: &str) {
    let Some(suppressed) = metrics.unknown_maps.passes() else { return };
    warn!(
        "listener={} there is no map {} here: add a section [[map]] or fix the \
         mail server's configuration{}",
        name(&listener),
        text(&map),
        others(suppressed)
    );
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
pub fn broken_request(listener: &Meter, connection: u64, peer: &str, why: &dyn Display) {
    let Some(suppressed) = listener.broken_requests.passes() else { return };
    warn!(
        "connection={connection} listener={} peer={} request not understood: detail={}{}",
        name(&listener.name()),
        name(&peer),
        text(why),
        others(suppressed)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_lines_per_second() {
        let rate_limit = RateLimit::default();
        let start = Instant::now();
        let at = |ms| rate_limit.passes_at(start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(0), at(999), at(1000), at(1001), at(5000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
