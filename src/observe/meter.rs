//! Counters of a listener or a map.
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

use super::stats::{self, Category, Figures, Report};
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
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
    /// The plural for messages.
    fn plural(self) -> &'static str {
        match self {
            Counted::NotFound => "not found",
            Counted::TempFail => "temporary failures",
            other => other.name(),
        }
    }

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

/// Whether a new meter keeps figures per second.
static RECORDING: AtomicBool = AtomicBool::new(true);
/// All meters of the process: one for each listener and map that any configuration since the start has
/// named. The number grows only if reloads keep adding new names.
static METERS: Mutex<Vec<Arc<Meter>>> = Mutex::new(Vec::new());
/// The start of time for the figures.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Enables or disables the figures per second of all meters (`[statistics] enabled`).
pub fn record(on: bool) {
    RECORDING.store(on, Relaxed);
    for meter in meters() {
        meter.record(on);
    }
}

/// All meters, oldest first.
pub fn meters() -> Vec<Arc<Meter>> {
    lock(&METERS).clone()
}

/// Locks a mutex. The data are consistent after every statement, so a thread that panicked while it held
/// the lock did no harm.
fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kind of object that a meter measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A listener of this protocol.
    Listener(&'static str),
    /// A map.
    Map,
}

/// The counters of one listener or map.
#[derive(Debug)]
pub struct Meter {
    of: Of,
    name: Box<str>,
    recording: AtomicBool,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    figures: Figures,
    totals: Totals,
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

impl Meter {
    /// Returns the meter of a listener, by its name in the log. The name is the address of the listener, so
    /// it identifies the meter; a second call returns the same one.
    pub fn listener(protocol: &'static str, name: &str) -> Arc<Meter> {
        Meter::get(Of::Listener(protocol), name)
    }

    /// Returns the meter of a map. The meter and its counts outlast a reload.
    pub fn map(name: &str) -> Arc<Meter> {
        Meter::get(Of::Map, name)
    }

    fn get(of: Of, name: &str) -> Arc<Meter> {
        let mut meters = lock(&METERS);
        // Two meters of one name would produce two values of one metric, which scrapers reject.
        let same = |meter: &&Arc<Meter>| (meter.of == Of::Map) == (of == Of::Map) && *meter.name == *name;
        if let Some(known) = meters.iter().find(same) {
            return known.clone();
        }
        let books = Books { figures: Figures::new(START.elapsed()), totals: Totals::default() };
        let recording = RECORDING.load(Relaxed).into();
        let meter = Arc::new(Meter { of, name: name.into(), recording, books: books.into() });
        meters.push(meter.clone());
        meter
    }

    /// Returns the kind of the measured object.
    pub fn of(&self) -> Of {
        self.of
    }

    /// Number of results in [`Counted::ALL`] that can occur. A map has no requests for statistics and no
    /// invalid requests, and only tcp_table has requests for statistics.
    pub fn kinds(&self) -> usize {
        match self.of {
            Of::Map => 3,
            Of::Listener("tcp_table") => 5,
            Of::Listener(_) => 4,
        }
    }

    /// The name of the listener or map.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Enables or disables the figures per second. Totals since the start are always counted, for the
    /// metrics; while the figures are disabled, there are no reports.
    pub fn record(&self, on: bool) {
        self.recording.store(on, Relaxed);
    }

    /// Counts a new connection; it is open until the returned value is dropped.
    pub fn connection(self: &Arc<Self>) -> Connection {
        let began = Instant::now();
        let mut books = lock(&self.books);
        books.totals.connections += 1;
        books.totals.open += 1;
        books.figures.begins(Category::Connections, since_start(began));
        drop(books);
        Connection { meter: self.clone(), began, reading: None, writing: None }
    }

    /// Counts the result of a request that was read, or of a lookup that began, at `began`.
    pub fn answered(&self, counted: Counted, began: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        let bucket = BUCKETS.iter().position(|bound| took <= *bound).unwrap_or(BUCKETS.len());
        let now = self.recording.load(Relaxed).then(|| since_start(now));
        let mut books = lock(&self.books);
        let Books { figures, totals } = &mut *books;
        totals.answered[counted as usize] += 1;
        totals.buckets[bucket] += 1;
        totals.took = totals.took.saturating_add(took);
        let Some(now) = now else { return };
        let category = match counted {
            Counted::Found => Category::Success,
            Counted::NotFound => Category::NotFound,
            Counted::TempFail | Counted::Bad => Category::Bad,
            Counted::Stats => Category::Stats,
        };
        figures.ends(category, now, took);
        if counted == Counted::TempFail {
            figures.ends(Category::TempFail, now, took);
        }
    }

    /// Returns the totals since the start.
    pub fn totals(&self) -> Totals {
        lock(&self.books).totals.clone()
    }

    /// The reports of all categories, by [`Category::ALL`]; `None` while statistics are disabled.
    pub fn reports(&self) -> Option<[Report; Category::ALL.len()]> {
        self.recording.load(Relaxed).then(|| lock(&self.books).figures.reports(START.elapsed()))
    }

    /// Lines for the log and for operators, one for each category that the listener or map can have; empty
    /// while statistics are disabled.
    pub fn report_lines(&self) -> Vec<String> {
        let mine = |report: &&Report| {
            let of_maps = [Category::Success, Category::NotFound, Category::TempFail];
            self.of != Of::Map || of_maps.contains(&report.category)
        };
        self.reports().iter().flatten().filter(mine).map(Report::line).collect()
    }

    /// The lines of trualias' `stats`, without codes; `None` while statistics are disabled.
    pub fn lines(&self) -> Option<Vec<String>> {
        self.reports().map(|reports| stats::lines(&reports))
    }

    /// The array of trualias' `jstats`; `None` while statistics are disabled.
    pub fn json(&self) -> Option<String> {
        self.reports().map(|reports| stats::json(&reports))
    }
}

/// Formats one line for operators: number and speed of the requests since the start, and the rate of the
/// last minute.
impl Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals();
        match self.of {
            Of::Listener(protocol) => write!(f, "{protocol} {}: {} open", self.name, totals.open)?,
            Of::Map => write!(f, "map {}", self.name)?,
        }
        let answered: u64 = totals.answered.iter().sum();
        write!(f, "{} {answered} answered (", if self.of == Of::Map { ":" } else { "," })?;
        for (i, (counted, n)) in Counted::ALL.iter().zip(totals.answered).take(self.kinds()).enumerate() {
            write!(f, "{}{n} {}", if i == 0 { "" } else { ", " }, counted.plural())?;
        }
        f.write_str(")")?;
        if answered > 0 {
            let mean = totals.took.as_nanos() / u128::from(answered);
            write!(f, ", {}.{:03} ms each", mean / 1_000_000, mean / 1000 % 1000)?;
        }
        if let Some(reports) = self.reports() {
            let ended = reports.iter().take(Category::OLD).filter(|report| !report.category.lasts());
            write!(f, ", {:.1} a second", ended.map(|report| report.n.sixty).sum::<f64>())?;
        }
        Ok(())
    }
}

fn since_start(now: Instant) -> Duration {
    now.saturating_duration_since(*START)
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
    /// Begins to wait for a request; ends a pending write. Has no effect while already waiting.
    pub fn read_begins(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let now = Instant::now();
        let mut books = lock(&self.meter.books);
        end(&mut books.figures, Category::Writes, self.writing.take(), now);
        books.totals.reads += 1;
        books.figures.begins(Category::Reads, since_start(now));
        self.reading = Some(now);
    }

    /// Ends the wait for a request, and returns the time when it was read. A request that was received
    /// together with the previous one counts as read in no time.
    pub fn read_ends(&mut self) -> Instant {
        let now = Instant::now();
        let mut books = lock(&self.meter.books);
        let began = self.reading.take().unwrap_or_else(|| {
            books.totals.reads += 1;
            books.figures.begins(Category::Reads, since_start(now));
            now
        });
        end(&mut books.figures, Category::Reads, Some(began), now);
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
        let mut books = lock(&self.meter.books);
        books.totals.writes += 1;
        books.figures.begins(Category::Writes, since_start(now));
        self.writing = Some(now);
    }

    /// Ends the write. Necessary only if [`Connection::read_begins`] does not follow.
    pub fn write_ends(&mut self) {
        let now = Instant::now();
        let mut books = lock(&self.meter.books);
        end(&mut books.figures, Category::Writes, self.writing.take(), now);
    }

    /// The meter of the connection.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut books = lock(&self.meter.books);
        end(&mut books.figures, Category::Reads, self.reading.take(), now);
        end(&mut books.figures, Category::Writes, self.writing.take(), now);
        end(&mut books.figures, Category::Connections, Some(self.began), now);
        books.totals.open = books.totals.open.saturating_sub(1);
    }
}

/// Ends an event that has begun. Depths are counted even while statistics are disabled, so that they are
/// right when statistics are enabled again.
fn end(figures: &mut Figures, category: Category, began: Option<Instant>, now: Instant) {
    if let Some(began) = began {
        figures.ends(category, since_start(now), now.saturating_duration_since(began));
    }
}
