//! Outages of sources: a log line at the beginning, one at the end, and a counter in between.
//!
//! There is an [`Outage`] for each account source, database and other server, and for each server of those
//! with several. It lives as long as a source holds it. A reload creates new sources, which find it by
//! name, so an outage continues across the reload.

use super::line::{name, text};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Most outages of a source that are logged in a row. Otherwise, a source that fails for every second
/// lookup would fill the log; each outage has two lines.
const BURST: u32 = 6;
/// Time until another outage may be logged.
const REFILL: Duration = Duration::from_mins(1);

/// Most servers of a source with separate outages, since DNS names may keep resolving to new servers.
const MAX_SERVERS: usize = 100;

/// The source as the operator wrote it, and its server; the server is empty if the source has only one.
type Key = (Box<str>, Box<str>);

static ALL: Mutex<BTreeMap<Key, Weak<Outage>>> = Mutex::new(BTreeMap::new());

/// State of a source, or of one of its servers, with its outages.
#[derive(Debug)]
pub struct Outage {
    key: Key,
    failing: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    /// The current outage.
    now: Option<Now>,
    /// Failures since the start.
    failures: u64,
    /// Failures in outages that were not logged, since the last logged one.
    unlogged: u64,
    /// How many outages may still be logged, and when that was counted.
    lines: (u32, Instant),
}

#[derive(Debug)]
struct Now {
    since: Instant,
    failures: u64,
    logged: bool,
    last: String,
}

/// State of a source in `rcptd status` and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The source as the operator wrote it.
    pub source: Box<str>,
    /// The server; empty if the source has only one.
    pub server: Box<str>,
    /// Failures since the start.
    pub failures: u64,
    /// While the source fails: for how long, and the last reason.
    pub failing: Option<(Duration, String)>,
}

/// A log line to be written.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// The outage begins; with the number of unlogged failures since the last line.
    Begins(u64),
    /// The outage ends; with its duration and the number of failures.
    Ends(Duration, u64),
}

impl Outage {
    /// Returns the outage state of this source, or of one of its servers.
    pub fn of(source: &str, server: Option<&str>) -> Arc<Self> {
        let key: Key = (source.into(), server.unwrap_or_default().into());
        let mut all = lock(&ALL);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, outage| outage.strong_count() > 0);
        let book = Book { now: None, failures: 0, unlogged: 0, lines: (BURST, Instant::now()) };
        let outage = Arc::new(Outage { key: key.clone(), failing: false.into(), book: book.into() });
        all.insert(key, Arc::downgrade(&outage));
        outage
    }

    /// Records a lookup without a result, for this reason.
    pub fn fails(&self, why: &dyn Display) {
        let why = why.to_string();
        self.failing.store(true, Relaxed);
        let event = lock(&self.book).fails(&why, Instant::now());
        self.log(event.as_ref(), &why);
    }

    /// Records a lookup with a result.
    pub fn works(&self) {
        // The usual case.
        if !self.failing.load(Relaxed) {
            return;
        }
        let mut book = lock(&self.book);
        self.failing.store(false, Relaxed);
        let event = book.works(Instant::now());
        drop(book);
        self.log(event.as_ref(), "");
    }

    fn log(&self, event: Option<&Event>, why: &str) {
        let (source, server) = &self.key;
        let server = if server.is_empty() { String::new() } else { format!(" server={}", name(server)) };
        let source = name(source);
        match event {
            None => (),
            Some(Event::Begins(unlogged)) => {
                let more = match unlogged {
                    0 => String::new(),
                    n => format!(" (and {n} failures since the last line)"),
                };
                warn!("source={source}{server} begins to fail: detail={}{more}", text(&why));
            }
            Some(Event::Ends(lasted, failures)) => {
                info!(
                    "source={source}{server} works again: failures={failures} seconds={}",
                    lasted.as_secs()
                );
            }
        }
    }

    fn standing(&self) -> Standing {
        let (source, server) = self.key.clone();
        let book = lock(&self.book);
        let failing = book.now.as_ref().map(|now| (now.since.elapsed(), now.last.clone()));
        Standing { source, server, failures: book.failures, failing }
    }
}

/// The servers of a source that has several. A failure of one server while another answers is recorded here;
/// a failure of all is recorded for the source.
#[derive(Debug)]
pub struct Servers {
    source: Arc<str>,
    known: Mutex<BTreeMap<Box<str>, Arc<Outage>>>,
}

impl Servers {
    /// Creates the state for the source of this name.
    pub fn of(source: impl Into<Arc<str>>) -> Self {
        Servers { source: source.into(), known: Mutex::default() }
    }

    /// Records that the server `by` answered, after the servers before it failed, each with its reason.
    pub fn answered(&self, by: &str, failed: &[(String, String)]) {
        let mut known = lock(&self.known);
        for (server, why) in failed {
            if known.len() >= MAX_SERVERS && !known.contains_key(&**server) {
                known.pop_first();
            }
            let outage = known.entry(server.as_str().into());
            outage.or_insert_with(|| Outage::of(&self.source, Some(server))).fails(why);
        }
        if let Some(outage) = known.get(by) {
            outage.works();
        }
    }
}

/// Returns all sources in use, by name.
pub fn standings() -> Vec<Standing> {
    lock(&ALL).values().filter_map(Weak::upgrade).map(|outage| outage.standing()).collect()
}

impl Book {
    fn fails(&mut self, why: &str, at: Instant) -> Option<Event> {
        self.failures += 1;
        let may_log = self.may_log(at);
        let now = self.now.get_or_insert_with(|| Now {
            since: at,
            failures: 0,
            logged: false,
            last: String::new(),
        });
        now.failures += 1;
        why.clone_into(&mut now.last);
        if now.logged || !may_log {
            return None;
        }
        now.logged = true;
        self.lines.0 -= 1;
        Some(Event::Begins(std::mem::take(&mut self.unlogged) + now.failures - 1))
    }

    fn works(&mut self, at: Instant) -> Option<Event> {
        let now = self.now.take()?;
        if now.logged {
            return Some(Event::Ends(at.saturating_duration_since(now.since), now.failures));
        }
        self.unlogged += now.failures;
        None
    }

    fn may_log(&mut self, at: Instant) -> bool {
        let (left, filled) = &mut self.lines;
        while *left < BURST && at.saturating_duration_since(*filled) >= REFILL {
            *left += 1;
            *filled += REFILL;
        }
        if *left == BURST {
            *filled = at;
        }
        *left > 0
    }
}

/// Locks a mutex. The data are consistent after every statement, so a thread that panicked while it held
/// the lock did no harm.
fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(start: Instant) -> Book {
        Book { now: None, failures: 0, unlogged: 0, lines: (BURST, start) }
    }

    #[test]
    fn logs_begin_and_end_of_an_outage() {
        let start = Instant::now();
        let mut book = book(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(book.works(at(0)), None);
        assert_eq!(book.fails("down", at(1)), Some(Event::Begins(0)));
        for second in 2..100 {
            assert_eq!(book.fails("still down", at(second)), None);
        }
        assert_eq!(book.works(at(101)), Some(Event::Ends(Duration::from_secs(100), 99)));
        assert_eq!(book.works(at(102)), None);
        assert_eq!(book.fails("down again", at(103)), Some(Event::Begins(0)));
        assert_eq!(book.failures, 100);
    }

    #[test]
    fn limits_log_lines_of_repeated_outages() {
        let start = Instant::now();
        let mut book = book(start);
        let mut lines = 0;
        // Every second lookup fails, ten lookups a second for an hour.
        for tenth in 0..36_000 {
            let at = start + Duration::from_millis(tenth * 100);
            let event = if tenth % 2 == 0 { book.fails("down", at) } else { book.works(at) };
            lines += u64::from(event.is_some());
        }
        let most = 2 * (u64::from(BURST) + 60);
        assert!((most - 4..=most).contains(&lines), "{lines} lines");
        // An outage that is not logged at once is logged if it lasts.
        let late = start + Duration::from_hours(2);
        for second in 0..u64::from(BURST) {
            book.fails("down", late + Duration::from_secs(second));
            book.works(late + Duration::from_secs(second));
        }
        assert_eq!(book.fails("down", late + Duration::from_secs(10)), None);
        assert_eq!(book.fails("down", late + Duration::from_secs(59)), None);
        assert_eq!(book.fails("down", late + Duration::from_secs(61)), Some(Event::Begins(2)));
    }

    #[test]
    fn records_failed_server_while_another_answers() {
        let servers = Servers::of("vrfy:stands-in");
        let failing = || {
            let all = standings().into_iter().filter(|one| &*one.source == "vrfy:stands-in");
            all.map(|one| (one.server.into_string(), one.failing.is_some())).collect::<Vec<_>>()
        };
        let down = |server: &str| (server.to_owned(), "down".to_owned());
        servers.answered("a", &[]);
        assert_eq!(failing(), []);
        servers.answered("b", &[down("a")]);
        assert_eq!(failing(), [("a".to_owned(), true)]);
        servers.answered("a", &[]);
        assert_eq!(failing(), [("a".to_owned(), false)]);
        for i in 0..MAX_SERVERS * 2 {
            servers.answered("a", &[down(&format!("{i}"))]);
        }
        assert_eq!(failing().len(), MAX_SERVERS);
    }

    #[test]
    fn outage_continues_across_a_reload() {
        let old = Outage::of("database:reload", None);
        old.fails(&"down");
        let new = Outage::of("database:reload", None);
        drop(old);
        let standing = || standings().into_iter().find(|one| &*one.source == "database:reload");
        assert!(standing().is_some_and(|one| one.failures == 1 && one.failing.is_some()));
        new.works();
        assert!(standing().is_some_and(|one| one.failures == 1 && one.failing.is_none()));
        let server = Outage::of("database:reload", Some("b:1"));
        server.fails(&"refused");
        assert_eq!(standings().iter().filter(|one| &*one.source == "database:reload").count(), 2);
        drop((new, server));
        assert_eq!(standing(), None);
    }
}
