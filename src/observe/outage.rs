//! Outages of sources: a log line at the beginning, one at the end, and a counter in between.
//!
//! There is an [`Outage`] for each account source, database and other server, and for each server of those
//! with several. It lives as long as a source holds it. A reload creates new sources, which find it by
//! name, so an outage continues across the reload.

use super::line::{name, text};
use super::metrics::Metrics;
use diagnostics::count;
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

/// The outage states in use.
#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<BTreeMap<Key, Weak<Outage>>>);

/// State of a source, or of one of its servers, with its outages.
#[derive(Debug)]
pub struct Outage {
    key: Key,
    failing: AtomicBool,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    /// The current outage.
    now: Option<CurrentOutage>,
    /// Failures since the start.
    failures: u64,
    /// Failures in outages that were not logged, since the last logged one.
    unlogged: u64,
    /// Lookups that were not asked since the start.
    skipped: u64,
    breaker: BreakerState,
    /// How many outages may still be logged, and when that was counted.
    lines: (u32, Instant),
}

/// State of the breaker of a source (see [`crate::lookup::breaker`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// The source is asked.
    #[default]
    Closed,
    /// The source is not asked until one lookup after this time, since it does not answer.
    Open(Duration),
}

impl BreakerState {
    /// The word in `rcptd status` and `rcptd sources`.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open(_) => "open",
        }
    }
}

#[derive(Debug)]
struct CurrentOutage {
    since: Instant,
    failures: u64,
    skipped: u64,
    logged: bool,
    last: String,
}

/// State of a source in `rcptd status` and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// The source as the operator wrote it.
    pub source: Box<str>,
    /// The server; empty if the source has only one.
    pub server: Box<str>,
    /// Failures since the start.
    pub failures: u64,
    /// Lookups that were not asked since the start, because the breaker was open.
    pub skipped: u64,
    /// The state of the breaker; closed if the source has none.
    pub breaker: BreakerState,
    /// While the source fails: for how long, and the last reason.
    pub failing: Option<(Duration, String)>,
}

/// A log line to be written.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// The outage begins; with the number of unlogged failures since the last line.
    Begins(u64),
    /// The outage ends; with its duration and the numbers of failures and of lookups that were not asked.
    Ends(Duration, u64, u64),
}

impl Outages {
    /// Returns the outage state of this source, or of one of its servers.
    pub fn get(&self, source: &str, server: Option<&str>) -> Arc<Outage> {
        let key: Key = (source.into(), server.unwrap_or_default().into());
        let mut all = lock(&self.0);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, outage| outage.strong_count() > 0);
        let history = History::new(Instant::now());
        let outage = Arc::new(Outage { key: key.clone(), failing: false.into(), history: history.into() });
        all.insert(key, Arc::downgrade(&outage));
        outage
    }

    /// Returns the servers of a source.
    pub fn servers_of(&self, source: &str) -> Vec<(Box<str>, Arc<Outage>)> {
        let all = lock(&self.0);
        let of_it = all.iter().filter(|((of, server), _)| **of == *source && !server.is_empty());
        of_it.filter_map(|((_, server), outage)| Some((server.clone(), outage.upgrade()?))).collect()
    }

    /// Returns the state of all sources in use, by name.
    pub fn source_states(&self) -> Vec<SourceState> {
        lock(&self.0).values().filter_map(Weak::upgrade).map(|outage| outage.state()).collect()
    }
}

impl Outage {
    /// Records a lookup without a result, for this reason.
    pub fn fails(&self, why: &dyn Display) {
        let why = why.to_string();
        let mut history = lock(&self.history);
        self.failing.store(true, Relaxed);
        let event = history.fails(&why, Instant::now());
        drop(history);
        self.log(event.as_ref(), &why);
    }

    /// Records a lookup with a result.
    pub fn works(&self) {
        // The usual case.
        if !self.failing.load(Relaxed) {
            return;
        }
        let mut history = lock(&self.history);
        self.failing.store(false, Relaxed);
        let event = history.works(Instant::now());
        drop(history);
        self.log(event.as_ref(), "");
    }

    /// Records a lookup that was not asked. Returns the last reason of a failure.
    pub fn skips(&self) -> String {
        let mut history = lock(&self.history);
        history.skipped += 1;
        match &mut history.now {
            None => String::new(),
            Some(now) => {
                now.skipped += 1;
                now.last.clone()
            }
        }
    }

    /// Records the state of the breaker.
    pub fn breaker(&self, state: BreakerState) {
        lock(&self.history).breaker = state;
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
                    n => format!(" (and {} since the last line)", count(*n, "failure")),
                };
                warn!("source={source}{server} begins to fail: detail={}{more}", text(&why));
            }
            Some(Event::Ends(lasted, failures, skipped)) => {
                info!(
                    "source={source}{server} works again: failures={failures} skipped={skipped} seconds={}",
                    lasted.as_secs()
                );
            }
        }
    }

    fn state(&self) -> SourceState {
        let (source, server) = self.key.clone();
        let history = lock(&self.history);
        let failing = history.now.as_ref().map(|now| (now.since.elapsed(), now.last.clone()));
        let History { failures, skipped, breaker, .. } = *history;
        SourceState { source, server, failures, skipped, breaker, failing }
    }
}

/// The servers of a source that has several. A failure of one server while another answers is recorded here;
/// a failure of all is recorded for the source.
#[derive(Debug)]
pub struct Servers {
    metrics: Arc<Metrics>,
    source: Arc<str>,
    known: Mutex<BTreeMap<Box<str>, Arc<Outage>>>,
}

impl Servers {
    /// Creates the state for the source of this name, with the servers that an earlier source of this name has
    /// recorded.
    pub fn of(source: impl Into<Arc<str>>, metrics: &Arc<Metrics>) -> Self {
        let (metrics, source) = (metrics.clone(), source.into());
        let known = metrics.servers_of(&source).into_iter().collect();
        Servers { metrics, source, known: Mutex::new(known) }
    }

    /// Records that the server `by` answered, after the servers before it failed, each with its reason.
    pub fn answered(&self, by: &str, failed: &[(String, String)]) {
        let mut known = lock(&self.known);
        for (server, why) in failed {
            if known.len() >= MAX_SERVERS && !known.contains_key(&**server) {
                known.pop_first();
            }
            let outage = known.entry(server.as_str().into());
            outage.or_insert_with(|| self.metrics.outage(&self.source, Some(server))).fails(why);
        }
        if let Some(outage) = known.get(by) {
            outage.works();
        }
    }
}

impl History {
    fn new(start: Instant) -> Self {
        let breaker = BreakerState::default();
        History { now: None, failures: 0, unlogged: 0, skipped: 0, breaker, lines: (BURST, start) }
    }

    fn fails(&mut self, why: &str, at: Instant) -> Option<Event> {
        self.failures += 1;
        let may_log = self.may_log(at);
        let now = self.now.get_or_insert_with(|| CurrentOutage {
            since: at,
            failures: 0,
            skipped: 0,
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
            return Some(Event::Ends(at.saturating_duration_since(now.since), now.failures, now.skipped));
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_begin_and_end_of_an_outage() {
        let start = Instant::now();
        let mut history = History::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(history.works(at(0)), None);
        assert_eq!(history.fails("down", at(1)), Some(Event::Begins(0)));
        for second in 2..100 {
            assert_eq!(history.fails("still down", at(second)), None);
        }
        assert_eq!(history.works(at(101)), Some(Event::Ends(Duration::from_secs(100), 99, 0)));
        assert_eq!(history.works(at(102)), None);
        assert_eq!(history.fails("down again", at(103)), Some(Event::Begins(0)));
        assert_eq!(history.failures, 100);
    }

    #[test]
    fn counts_lookups_that_were_not_asked() {
        let metrics = Metrics::default();
        let outage = metrics.outage("vrfy:breaker", None);
        assert_eq!(outage.skips(), "");
        outage.fails(&"no answer");
        outage.breaker(BreakerState::Open(Duration::from_secs(1)));
        assert_eq!([outage.skips(), outage.skips()], ["no answer", "no answer"]);
        let state = first_state(&metrics).unwrap();
        assert_eq!((state.failures, state.skipped, state.breaker.name()), (1, 3, "open"));
        let ended = lock(&outage.history).works(Instant::now());
        assert!(matches!(ended, Some(Event::Ends(_, 1, 2))), "{ended:?}");
    }

    #[test]
    fn limits_log_lines_of_repeated_outages() {
        let start = Instant::now();
        let mut history = History::new(start);
        let mut lines = 0;
        // Every second lookup fails, ten lookups a second for an hour.
        for tenth in 0..36_000 {
            let at = start + Duration::from_millis(tenth * 100);
            let event = if tenth % 2 == 0 { history.fails("down", at) } else { history.works(at) };
            lines += u64::from(event.is_some());
        }
        let most = 2 * (u64::from(BURST) + 60);
        assert!((most - 4..=most).contains(&lines), "{lines} lines");
        // An outage that is not logged at once is logged if it lasts.
        let late = start + Duration::from_hours(2);
        for second in 0..u64::from(BURST) {
            history.fails("down", late + Duration::from_secs(second));
            history.works(late + Duration::from_secs(second));
        }
        assert_eq!(history.fails("down", late + Duration::from_secs(10)), None);
        assert_eq!(history.fails("down", late + Duration::from_secs(59)), None);
        assert_eq!(history.fails("down", late + Duration::from_secs(61)), Some(Event::Begins(2)));
    }

    #[test]
    fn records_failed_server_while_another_answers() {
        let metrics = Arc::new(Metrics::default());
        let servers = Servers::of("vrfy:servers", &metrics);
        let failing = || {
            let all = metrics.source_states().into_iter();
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

    fn first_state(metrics: &Metrics) -> Option<SourceState> {
        metrics.source_states().into_iter().next()
    }

    #[test]
    fn outage_continues_across_a_reload() {
        let metrics = Metrics::default();
        let old = metrics.outage("database:reload", None);
        old.fails(&"down");
        let new = metrics.outage("database:reload", None);
        drop(old);
        let state = || first_state(&metrics);
        assert!(state().is_some_and(|one| one.failures == 1 && one.failing.is_some()));
        new.works();
        assert!(state().is_some_and(|one| one.failures == 1 && one.failing.is_none()));
        let server = metrics.outage("database:reload", Some("b:1"));
        server.fails(&"refused");
        assert_eq!(metrics.source_states().len(), 2);
        drop((new, server));
        assert_eq!(state(), None);

        // The same for the servers of a source.
        let metrics = Arc::new(metrics);
        let old = Servers::of("database:reload", &metrics);
        old.answered("a:1", &[("b:1".to_owned(), "refused".to_owned())]);
        let new = Servers::of("database:reload", &metrics);
        drop(old);
        assert!(first_state(&metrics).is_some_and(|one| one.failures == 1 && one.failing.is_some()));
        new.answered("b:1", &[]);
        assert!(first_state(&metrics).is_some_and(|one| one.failures == 1 && one.failing.is_none()));
    }
}
