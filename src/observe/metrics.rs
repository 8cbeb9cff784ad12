//! All counters of a daemon, in one value that its parts share.
//!
//! There are no global counters: what counts gets a [`Metrics`] when it is built, as it gets its settings, so
//! that each daemon and each test has its own. The counters have several views: `rcptd status`, the text for
//! monitoring ([`openmetrics`](super::openmetrics)), the statistics in the log, and trualias' `stats` and
//! `jstats`.

use super::RateLimit;
use super::meter::{Meter, Of};
use super::outage::{Outage, Outages, SourceState};
use super::policy::GreylistCounters;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The counters since the start.
#[derive(Debug)]
pub struct Metrics {
    /// The milter.
    pub milter: MilterCounters,
    /// Greylisting.
    pub greylist: GreylistCounters,
    /// The reloads of the configuration.
    pub reloads: ReloadCounters,
    /// Checks of a witness (see [`crate::lookup::control`]).
    pub witnesses: ControlCounters,
    /// Checks of a canary.
    pub canaries: ControlCounters,
    /// Connections of all listeners for lookups, which number them.
    connections: AtomicU64,
    /// Limits the log lines of requests for maps that do not exist.
    pub(super) unknown_maps: RateLimit,
    start: Instant,
    reporting: bool,
    /// One for each listener and map that any configuration since the start has named. The number grows only
    /// if reloads keep adding new names.
    meters: Mutex<Vec<Arc<Meter>>>,
    outages: Outages,
}

/// Counters of the milter.
#[derive(Debug, Default)]
pub struct MilterCounters {
    /// Sessions that began.
    pub sessions: AtomicU64,
    /// Sessions that ended with an error of the peer, of the network or of rcptd.
    pub session_errors: AtomicU64,
    /// Recipients that passed unchanged: not ours, an account by its own name, or in a dry run.
    pub unchanged: AtomicU64,
    /// Recipients replaced by their account.
    pub rewritten: AtomicU64,
    /// Rejected recipients.
    pub rejected: AtomicU64,
    /// Deferred recipients.
    pub deferred: AtomicU64,
    /// Messages deferred at their end, whose recipients were decided before.
    pub messages_deferred: AtomicU64,
    /// Recipients deferred without asking an account source, since the network of the client had too many
    /// unknown ones. They are also in `deferred`, or in `unchanged` in a dry run.
    pub guessing_deferred: AtomicU64,
    /// Networks whose recipients are deferred now.
    pub guessing_networks: AtomicU64,
}

impl MilterCounters {
    /// Number of decided recipients.
    pub fn recipients(&self) -> u64 {
        [&self.unchanged, &self.rewritten, &self.rejected, &self.deferred]
            .map(|count| count.load(Relaxed))
            .iter()
            .sum()
    }
}

/// Counters of reloads.
#[derive(Debug, Default)]
pub struct ReloadCounters {
    /// Reloads that took effect.
    pub succeeded: AtomicU64,
    /// Reloads that failed and changed nothing.
    pub failed: AtomicU64,
    /// Whether the last reload failed, so that the current configuration is not the newest.
    pub last_failed: AtomicBool,
}

/// Results of control lookups.
#[derive(Debug, Default)]
pub struct ControlCounters {
    /// The server gave the right reply.
    pub passed: AtomicU64,
    /// The server gave the wrong reply.
    pub failed: AtomicU64,
    /// The server gave no reply.
    pub unanswered: AtomicU64,
}

impl Default for Metrics {
    /// Counters of zero, with statistics.
    fn default() -> Self {
        Metrics::new(true)
    }
}

impl Metrics {
    /// Creates counters of zero. `statistics`: whether meters report their figures of the last minute
    /// (`statistics.enabled`).
    pub fn new(statistics: bool) -> Self {
        Metrics {
            milter: MilterCounters::default(),
            greylist: GreylistCounters::default(),
            reloads: ReloadCounters::default(),
            witnesses: ControlCounters::default(),
            canaries: ControlCounters::default(),
            connections: AtomicU64::new(0),
            unknown_maps: RateLimit::default(),
            start: Instant::now(),
            reporting: statistics,
            meters: Mutex::default(),
            outages: Outages::default(),
        }
    }

    /// Counts a connection of a listener for lookups, and returns its number, beginning with 1.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed) + 1
    }

    /// Returns the meter of a listener, by its name in the log. The name is the address of the listener, so
    /// it identifies the meter; a second call returns the same one.
    pub fn listener(&self, protocol: &'static str, name: &str) -> Arc<Meter> {
        self.meter(Of::Listener(protocol), name)
    }

    /// Returns the meter of a map. The meter and its counts outlast a reload.
    pub fn map(&self, name: &str) -> Arc<Meter> {
        self.meter(Of::Map, name)
    }

    /// Returns the meter of an account source, like [`Metrics::map`].
    pub fn source(&self, name: &str) -> Arc<Meter> {
        self.meter(Of::Source, name)
    }

    fn meter(&self, of: Of, name: &str) -> Arc<Meter> {
        let mut meters = self.locked();
        // Two meters of one name would produce two values of one metric, which scrapers reject.
        let same = |meter: &&Arc<Meter>| {
            std::mem::discriminant(&meter.of()) == std::mem::discriminant(&of) && *meter.name() == *name
        };
        if let Some(known) = meters.iter().find(same) {
            return known.clone();
        }
        let meter = Arc::new(Meter::new(of, name, self.start, self.reporting));
        meters.push(meter.clone());
        meter
    }

    /// All meters, oldest first.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        self.locked().clone()
    }

    /// Returns the outage state of a source, or of one of its servers; a second call returns the same one.
    pub fn outage(&self, source: &str, server: Option<&str>) -> Arc<Outage> {
        self.outages.get(source, server)
    }

    /// Returns the outage states of the servers of a source.
    pub(super) fn servers_of(&self, source: &str) -> Vec<(Box<str>, Arc<Outage>)> {
        self.outages.servers_of(source)
    }

    /// Returns the state of all sources in use, by name.
    pub fn source_states(&self) -> Vec<SourceState> {
        self.outages.source_states()
    }

    /// Locks the meters. A thread that panicked while it held the lock did no harm.
    fn locked(&self) -> MutexGuard<'_, Vec<Arc<Meter>>> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats the counters of milter and reloads, for the log.
impl Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metrics { milter, reloads, .. } = self;
        let figures = [
            ("sessions", milter.sessions.load(Relaxed)),
            ("session_errors", milter.session_errors.load(Relaxed)),
            ("recipients", milter.recipients()),
            ("rewritten", milter.rewritten.load(Relaxed)),
            ("rejected", milter.rejected.load(Relaxed)),
            ("deferred", milter.deferred.load(Relaxed)),
            ("messages_deferred", milter.messages_deferred.load(Relaxed)),
            ("guessing_deferred", milter.guessing_deferred.load(Relaxed)),
            ("reloads", reloads.succeeded.load(Relaxed)),
            ("failed_reloads", reloads.failed.load(Relaxed)),
        ];
        for (i, (name, figure)) in figures.iter().enumerate() {
            write!(f, "{}{name}={figure}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
