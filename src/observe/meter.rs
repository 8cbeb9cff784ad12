//! Counters of a listener, a map or an account source.
//!
//! A [`Meter`] is shared by all connections of its listener, or by all users of its map. It is designed for
//! 200 000 requests a second: an event takes the lock once, for tens of nanoseconds, reads the clock once,
//! and neither allocates nor formats.
//!
//! ```text
//! let mut connection = meter.connection();          // dropping it ends the connection
//! loop {
//!     connection.read_begins();                     // waits for a request; a pending write has ended
//!     let began = connection.read_ends();           // has a request; again for each one received with it
//!     connection.answered(Counted::Found, began);   // the result is known
//!     connection.write_begins();                    // once for all replies that are written together
//! }
//! ```

#[cfg(test)]
mod tests;

use super::RateLimit;
use super::stats::{self, Category, Figures, Report};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The result of a request, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A value was found.
    Found,
    /// The key was not found.
    NotFound,
    /// The lookup failed temporarily. trualias' figures count it as bad.
    TempFail,
    /// The request is invalid or not supported.
    Bad,
    /// A request for the statistics, while they are enabled. The reply must be created before it is
    /// counted: it does not include itself.
    Stats,
}

impl Counted {
    /// All results, in order.
    pub const ALL: [Counted; 5] =
        [Counted::Found, Counted::NotFound, Counted::TempFail, Counted::Bad, Counted::Stats];

    /// The value of the metrics' label.
    pub fn name(self) -> &'static str {
        match self {
            Counted::Found => "found",
            Counted::NotFound => "not_found",
            Counted::TempFail => "tempfail",
            Counted::Bad => "bad",
            Counted::Stats => "stats",
        }
    }
}

/// Upper bounds of the buckets for request times: a lookup in memory takes microseconds, one over the
/// network milliseconds, and after some seconds a mail server gives up.
pub const BUCKETS: [Duration; 12] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The kind of object that a meter measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A listener of this protocol.
    Listener(&'static str),
    /// A map.
    Map,
    /// An account source.
    Source,
}

/// The counters of one listener, map or account source.
#[derive(Debug)]
pub struct Meter {
    of: Of,
    name: Box<str>,
    /// The start of time for the figures.
    start: Instant,
    /// Whether there are reports of the figures.
    reporting: bool,
    /// Limits the log lines of requests that violate the protocol.
    pub(super) broken_requests: RateLimit,
    /// Limits the log lines of connections above the limit.
    connection_limit: RateLimit,
    counters: Mutex<Counters>,
}

#[derive(Debug)]
struct Counters {
    figures: Figures,
    /// Requests by the time they took, see [`Totals::buckets`].
    buckets: [u64; BUCKETS.len() + 1],
}

/// Totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answered requests, by [`Counted::ALL`].
    pub answered: [u64; Counted::ALL.len()],
    /// Requests by the time they took, in the buckets of [`BUCKETS`]; each is in one bucket only, and the
    /// last bucket has those above all bounds.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Sum of the times of all requests.
    pub took: Duration,
    /// Open connections.
    pub open: u64,
    /// Accepted connections.
    pub connections: u64,
    /// Requests read or waited for.
    pub reads: u64,
    /// Writes begun.
    pub writes: u64,
}

impl Totals {
    /// A time within which this part of all requests was answered, in percent: the bound of a bucket. `None` if
    /// there were no requests, or if it is above all bounds.
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.buckets.iter().sum();
        let mut within = 0;
        let reached = |count: &u64| {
            within += count;
            within.saturating_mul(100) >= all.saturating_mul(percent)
        };
        let at = self.buckets.iter().position(reached).filter(|_| all > 0)?;
        BUCKETS.get(at).copied()
    }
}

impl Meter {
    /// Creates a meter. `start` is the start of time for the figures, and `reporting` is whether there are
    /// reports of them.
    pub(super) fn new(of: Of, name: &str, start: Instant, reporting: bool) -> Self {
        let figures = Figures::new(start.elapsed());
        let counters = Counters { figures, buckets: [0; BUCKETS.len() + 1] };
        Meter {
            of,
            name: name.into(),
            start,
            reporting,
            broken_requests: RateLimit::default(),
            connection_limit: RateLimit::default(),
            counters: counters.into(),
        }
    }

    /// Returns the kind of the measured object.
    pub fn of(&self) -> Of {
        self.of
    }

    /// Number of results in [`Counted::ALL`] that can occur. A map has no requests for statistics and no
    /// invalid requests, and only tcp_table has requests for statistics.
    pub fn kinds(&self) -> usize {
        match self.of {
            Of::Map | Of::Source => 3,
            Of::Listener("tcp_table") => 5,
            Of::Listener(_) => 4,
        }
    }

    /// The name of the listener or map.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Limits the log lines of connections above the limit of the listener.
    pub fn connection_limit(&self) -> &RateLimit {
        &self.connection_limit
    }

    /// Counts a new connection; it is open until the returned value is dropped.
    pub fn connection(self: &Arc<Self>) -> Connection {
        let began = Instant::now();
        self.counters().figures.begins(Category::Connections, self.since_start(began));
        Connection { meter: self.clone(), began, reading: None, writing: None }
    }

    /// Counts the result of a request that was read, or of a lookup that began, at `began`.
    pub fn answered(&self, counted: Counted, began: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        let bucket = BUCKETS.iter().position(|bound| took <= *bound).unwrap_or(BUCKETS.len());
        let now = self.since_start(now);
        let mut counters = self.counters();
        counters.buckets[bucket] += 1;
        let category = match counted {
            Counted::Found => Category::Success,
            Counted::NotFound => Category::NotFound,
            Counted::TempFail | Counted::Bad => Category::Bad,
            Counted::Stats => Category::Stats,
        };
        counters.figures.ends(category, now, took);
        if counted == Counted::TempFail {
            counters.figures.ends(Category::TempFail, now, took);
        }
    }

    /// Returns the totals since the start.
    pub fn totals(&self) -> Totals {
        let counters = self.counters();
        let count = |category| counters.figures.count(category);
        let [found, not_found, tempfail, errors, stats] =
            [Category::Success, Category::NotFound, Category::TempFail, Category::Bad, Category::Stats]
                .map(count);
        let requests = [found, not_found, errors, stats];
        Totals {
            // The errors include the temporary failures, as in trualias.
            answered: [found.ends, not_found.ends, tempfail.ends, errors.ends - tempfail.ends, stats.ends],
            buckets: counters.buckets,
            took: requests.iter().fold(Duration::ZERO, |sum, count| sum.saturating_add(count.took)),
            open: count(Category::Connections).depth(),
            connections: count(Category::Connections).starts,
            reads: count(Category::Reads).starts,
            writes: count(Category::Writes).starts,
        }
    }

    /// The reports of all categories, by [`Category::ALL`]; `None` if statistics are disabled.
    pub fn reports(&self) -> Option<[Report; Category::ALL.len()]> {
        self.reporting.then(|| self.counters().figures.reports(self.start.elapsed()))
    }

    /// Lines for the log and for operators, one for each category that the listener or map can have; empty
    /// if statistics are disabled.
    pub fn report_lines(&self) -> Vec<String> {
        let mine = |report: &&Report| {
            let of_lookups = [Category::Success, Category::NotFound, Category::TempFail];
            matches!(self.of, Of::Listener(_)) || of_lookups.contains(&report.category)
        };
        self.reports().iter().flatten().filter(mine).map(Report::line).collect()
    }

    /// The lines of trualias' `stats`, without codes; `None` if statistics are disabled.
    pub fn lines(&self) -> Option<Vec<String>> {
        self.reports().map(|reports| stats::lines(&reports))
    }

    /// The array of trualias' `jstats`; `None` if statistics are disabled.
    pub fn json(&self) -> Option<String> {
        self.reports().map(|reports| stats::json(&reports))
    }

    /// Locks the counters. They are consistent after every statement, so a thread that panicked while it held the
    /// lock did no harm.
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Ends an event that has begun.
    fn end(&self, counters: &mut Counters, category: Category, began: Option<Instant>, now: Instant) {
        if let Some(began) = began {
            let took = now.saturating_duration_since(began);
            counters.figures.ends(category, self.since_start(now), took);
        }
    }
}

/// An open connection in the counters of its listener. Dropping it ends the connection and a pending read
/// or write.
#[derive(Debug)]
pub struct Connection {
    meter: Arc<Meter>,
    began: Instant,
    reading: Option<Instant>,
    writing: Option<Instant>,
}

impl Connection {
    /// Begins to wait for a request; ends a pending write. Has no effect while already waiting. Returns when the wait began.
    pub fn read_begins(&mut self) -> Instant {
        if let Some(began) = self.reading {
            return began;
        }
        let now = Instant::now();
        let mut counters = self.meter.counters();
        self.meter.end(&mut counters, Category::Writes, self.writing.take(), now);
        counters.figures.begins(Category::Reads, self.meter.since_start(now));
        self.reading = Some(now);
        now
    }

    /// Ends the wait for a request, and returns the time when it was read. A request that was received
    /// together with the previous one counts as read in no time.
    pub fn read_ends(&mut self) -> Instant {
        let now = Instant::now();
        let mut counters = self.meter.counters();
        let began = self.reading.take().unwrap_or_else(|| {
            counters.figures.begins(Category::Reads, self.meter.since_start(now));
            now
        });
        self.meter.end(&mut counters, Category::Reads, Some(began), now);
        now
    }

    /// Counts the result of a request that was read at `began`; see [`Meter::answered`].
    pub fn answered(&self, counted: Counted, began: Instant) {
        self.meter.answered(counted, began);
    }

    /// Begins to write one or more replies. Has no effect while already writing.
    pub fn write_begins(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let now = Instant::now();
        let mut counters = self.meter.counters();
        counters.figures.begins(Category::Writes, self.meter.since_start(now));
        self.writing = Some(now);
    }

    /// Ends the write. Necessary only if [`Connection::read_begins`] does not follow.
    pub fn write_ends(&mut self) {
        let now = Instant::now();
        let mut counters = self.meter.counters();
        self.meter.end(&mut counters, Category::Writes, self.writing.take(), now);
    }

    /// The meter of the connection.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut counters = self.meter.counters();
        self.meter.end(&mut counters, Category::Reads, self.reading.take(), now);
        self.meter.end(&mut counters, Category::Writes, self.writing.take(), now);
        self.meter.end(&mut counters, Category::Connections, Some(self.began), now);
    }
}
