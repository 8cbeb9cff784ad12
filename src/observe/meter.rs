//! The books of a listener or a map while it is at work.
//!
//! A [`Meter`] is shared by all connections of its listener, or by all who ask its map. It is made for some
//! 200 000 requests a second: an event takes the lock of the books once, for some tens of nanoseconds, looks at
//! the clock once, and neither allocates nor formats.
//!
//! ```text
//! let mut connection = meter.connection();          // its end, however it comes about, is its being dropped
//! loop {
//!     connection.read_begins();                     // waits for a request; a write under way has ended
//!     let began = connection.read_ends();           // has it; again for each that came along with it
//!     connection.answered(Counted::Found, began);   // the answer is known
//!     connection.write_begins();                    // once for all the answers that are written together
//! }
//! ```

#[cfg(test)]
mod tests;

use super::stats::{self, Category, Figures, Report};
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// There is a value.
    Found,
    /// There is none.
    NotFound,
    /// Nobody could say. trualias' figures have it among the bad.
    TempFail,
    /// It could not be understood, or asks for what we do not have.
    Bad,
    /// A request for the figures, which are on. The answer must be made before it is counted: it does not
    /// contain itself.
    Stats,
}

impl Counted {
    /// The name for people.
    fn plural(self) -> &'static str {
        match self {
            Counted::NotFound => "not found",
            Counted::TempFail => "temporary failures",
            other => other.name(),
        }
    }

    /// All, in order.
    pub const ALL: [Counted; 5] =
        [Counted::Found, Counted::NotFound, Counted::TempFail, Counted::Bad, Counted::Stats];

    /// The word for it in the metrics.
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

/// Upper bounds of the buckets in which the times of requests are counted: a look-up in memory takes some
/// microseconds, one over the network some milliseconds, and after some seconds a mail server gives up.
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

/// Whether figures per second are kept by a meter that is made now.
static RECORDING: AtomicBool = AtomicBool::new(true);
/// All meters of the process. Each listener and each map that the configuration has ever named since the start
/// has one, so there is no end to them only if somebody goes on inventing names.
static METERS: Mutex<Vec<Arc<Meter>>> = Mutex::new(Vec::new());
/// When time begins for the figures.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Has the figures per second kept or not, by all meters (`[statistics] enabled`).
pub fn record(on: bool) {
    RECORDING.store(on, Relaxed);
    for meter in meters() {
        meter.record(on);
    }
}

/// All meters, in the order in which they were made.
pub fn meters() -> Vec<Arc<Meter>> {
    lock(&METERS).clone()
}

/// The books are whole after every statement, so that a thread that died with them open did no harm.
fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A listener of this protocol.
    Listener(&'static str),
    /// A map.
    Map,
}

/// The books of one listener or map.
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

/// What has happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered, by [`Counted::ALL`].
    pub answered: [u64; Counted::ALL.len()],
    /// How many took at most so long, by [`BUCKETS`], each in one bucket only; the last is for those beyond.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// How long all of them took.
    pub took: Duration,
    /// Connections that are open.
    pub open: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Requests read or waited for.
    pub reads: u64,
    /// Writes begun.
    pub writes: u64,
}

impl Meter {
    /// The meter of a listener, as named in its log lines; the same one whenever asked for by the same name:
    /// that is where it listens, and no two can listen at one place.
    pub fn listener(protocol: &'static str, name: &str) -> Arc<Meter> {
        Meter::get(Of::Listener(protocol), name)
    }

    /// The meter of a map. It outlasts a reload, and so do its counts.
    pub fn map(name: &str) -> Arc<Meter> {
        Meter::get(Of::Map, name)
    }

    fn get(of: Of, name: &str) -> Arc<Meter> {
        let mut meters = lock(&METERS);
        // Two of one name would be two values of one metric, which no scraper takes.
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

    /// What is measured.
    pub fn of(&self) -> Of {
        self.of
    }

    /// How many of [`Counted::ALL`] can happen: a map is not asked for figures nor in bad words, and only
    /// tcp_table has a request for figures.
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

    /// Has the figures per second kept or not. What is counted since the start goes on being counted for the
    /// metrics; while the figures are off there are no reports.
    pub fn record(&self, on: bool) {
        self.recording.store(on, Relaxed);
    }

    /// A connection begins; it lasts as long as what is returned.
    pub fn connection(self: &Arc<Self>) -> Connection {
        let began = Instant::now();
        let mut books = lock(&self.books);
        books.totals.connections += 1;
        books.totals.open += 1;
        books.figures.begins(Category::Connections, since_start(began));
        drop(books);
        Connection { meter: self.clone(), began, reading: None, writing: None }
    }

    /// The answer is known to a request that was read, or a key that was asked for, at `began`.
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

    /// What has happened since the start.
    pub fn totals(&self) -> Totals {
        lock(&self.books).totals.clone()
    }

    /// The reports of all categories, by [`Category::ALL`]; none while statistics are switched off.
    pub fn reports(&self) -> Option<[Report; Category::ALL.len()]> {
        self.recording.load(Relaxed).then(|| lock(&self.books).figures.reports(START.elapsed()))
    }

    /// Lines for the log and for operators: each category that the listener or map can have; none while
    /// statistics are switched off.
    pub fn report_lines(&self) -> Vec<String> {
        let mine = |report: &&Report| {
            let of_maps = [Category::Success, Category::NotFound, Category::TempFail];
            self.of != Of::Map || of_maps.contains(&report.category)
        };
        self.reports().iter().flatten().filter(mine).map(Report::line).collect()
    }

    /// The lines of trualias' `stats`, without codes; none while statistics are switched off.
    pub fn lines(&self) -> Option<Vec<String>> {
        self.reports().map(|reports| stats::lines(&reports))
    }

    /// The array of trualias' `jstats`; none while statistics are switched off.
    pub fn json(&self) -> Option<String> {
        self.reports().map(|reports| stats::json(&reports))
    }
}

/// In one line, for people: what has been answered since the start and how fast, and the pace of the last minute.
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

/// A connection while it lasts, in the books of its listener. Dropping it ends it, and a read or write that is
/// under way with it.
#[derive(Debug)]
pub struct Connection {
    meter: Arc<Meter>,
    began: Instant,
    reading: Option<Instant>,
    writing: Option<Instant>,
}

impl Connection {
    /// Begins to wait for a request. A write under way has ended by that. Goes on waiting if it waits already.
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

    /// Has a request, since the time that is returned. One that came along with the one before was not waited
    /// for: it has been read in no time.
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

    /// The answer is known to a request that was read at `began`; see [`Meter::answered`].
    pub fn answered(&self, counted: Counted, began: Instant) {
        self.meter.answered(counted, began);
    }

    /// Begins to write one answer or several. Goes on writing if it writes already.
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

    /// All is written. Needs to be said only where something else than [`Connection::read_begins`] follows.
    pub fn write_ends(&mut self) {
        let now = Instant::now();
        let mut books = lock(&self.meter.books);
        end(&mut books.figures, Category::Writes, self.writing.take(), now);
    }

    /// The meter it is entered in.
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

/// Ends what has begun. The figures of what lasts are kept even while statistics are off: how many are open is
/// right when they are switched on again.
fn end(figures: &mut Figures, category: Category, began: Option<Instant>, now: Instant) {
    if let Some(began) = began {
        figures.ends(category, since_start(now), now.saturating_duration_since(began));
    }
}
