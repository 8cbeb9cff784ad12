//! Does not ask a source that does not answer (circuit breaker).
//!
//! Each lookup in a source that hangs takes its whole deadline, one of the permits of [`Limit`](super::Limit),
//! and the patience of the mail server. So after [`THRESHOLD`] timeouts in a row the breaker opens: lookups fail
//! at once, without being asked, and each is counted. After a while one lookup is asked as a probe; its answer,
//! whatever it is, closes the breaker, and another timeout doubles the time until the next probe.
//!
//! Only timeouts count, of the whole lookup or of a step of it such as the greeting of a server. A source that fails at once costs nothing, and if the failure of one account opened the
//! breaker, whoever asks for that account could keep all others from being answered.

use super::{Answer, Key, LookupFuture, Reason, Source};
use crate::observe::outage::{BreakerState, Outage};
use rustls::crypto::ring::default_provider;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Number of timeouts in a row that open the breaker. A single one may be one slow query.
pub const THRESHOLD: u32 = 5;
/// Time until the first probe: a server that is restarted is away for a second or two.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest time until a probe, which is the time until a source that works again is noticed.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The state of a breaker, without clock and random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Lookups are asked; with the number of timeouts since the last answer.
    Closed(u32),
    /// Lookups fail until then; the next wait is computed from this one.
    Open(Instant, Duration),
    /// A probe is being asked, after this wait.
    Probing(Duration),
}

/// What a lookup that is asked is for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Usual,
    Probe,
}

/// Why a lookup is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The next probe may be asked after this time.
    Until(Duration),
    /// A probe is being asked.
    Probing,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Until(wait) => write!(f, "asked again in {wait:.0?}"),
            Refused::Probing => f.write_str("another lookup is asked now"),
        }
    }
}

impl State {
    /// Whether a lookup is asked.
    fn ask(&mut self, now: Instant) -> Result<Role, Refused> {
        match *self {
            State::Closed(_) => Ok(Role::Usual),
            State::Open(until, wait) if until <= now => {
                *self = State::Probing(wait);
                Ok(Role::Probe)
            }
            State::Open(until, _) => Err(Refused::Until(until - now)),
            State::Probing(_) => Err(Refused::Probing),
        }
    }

    /// Records an answer, also one to a lookup that began before the breaker opened.
    fn answered(&mut self) {
        *self = State::Closed(0);
    }

    /// Records a timeout. `jitter` is from 0 to 1. Returns how long the breaker is open, if it opens.
    fn timed_out(&mut self, role: Role, now: Instant, jitter: f64) -> Option<Duration> {
        let wait = match (*self, role) {
            (State::Closed(before), _) if before + 1 < THRESHOLD => {
                *self = State::Closed(before + 1);
                return None;
            }
            (State::Closed(_), _) => FIRST_WAIT,
            (State::Probing(wait), Role::Probe) => (wait * 2).min(LONGEST_WAIT),
            // A lookup that began before the breaker opened says nothing new.
            (State::Open(..), _) | (State::Probing(_), Role::Usual) => return None,
        };
        // From 75 to 125 %, so that several hosts do not probe a server that restarts at the same moment.
        let jittered = wait.mul_f64(0.75 + jitter / 2.0);
        *self = State::Open(now + jittered, wait);
        Some(jittered)
    }

    /// Records that a lookup was dropped without a result. After a probe the next lookup is one.
    fn abandoned(&mut self, role: Role, now: Instant) {
        if let (State::Probing(wait), Role::Probe) = (*self, role) {
            *self = State::Open(now, wait);
        }
    }
}

/// Stops asking `inner` while it does not answer. Put it around an [`OutageLog`](super::OutageLog), which records
/// what was asked, with a [`Timeout`](super::Timeout) inside.
#[derive(Debug)]
pub struct Breaker<K: ?Sized, A> {
    name: Arc<str>,
    state: Mutex<State>,
    outage: Arc<Outage>,
    inner: Arc<dyn Source<K, A>>,
}

impl<K: ?Sized, A> Breaker<K, A> {
    /// Wraps `inner`, which `outage` calls `name`. The outage may be older, with the state of another breaker, which a
    /// reload replaces: set that to closed when this one goes into service.
    pub fn new(name: impl Into<Arc<str>>, outage: Arc<Outage>, inner: Arc<dyn Source<K, A>>) -> Self {
        Breaker { name: name.into(), state: Mutex::new(State::Closed(0)), outage, inner }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lookup that is being asked. Dropped without a result, it gives up the probe.
struct Asking<'a>(&'a Mutex<State>, Role);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abandoned(self.1, Instant::now());
    }
}

impl<K: Key + ?Sized, A: Answer> Source<K, A> for Breaker<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            let asked = self.state().ask(Instant::now());
            let role = match asked {
                Ok(role) => role,
                Err(refused) => {
                    let last = self.outage.skips();
                    let text = format!("not asked, since it does not answer ({last}); {refused}");
                    return A::failed(Reason::new(text), &self.name);
                }
            };
            let asking = Asking(&self.state, role);
            let answer = self.inner.look_up(key).await;
            let mut state = self.state();
            let was = *state;
            if answer.failure().is_some_and(Reason::is_timeout) {
                if let Some(wait) = state.timed_out(role, Instant::now(), jitter()) {
                    self.outage.breaker(BreakerState::Open(wait));
                }
            } else {
                state.answered();
                if !matches!(was, State::Closed(_)) {
                    self.outage.breaker(BreakerState::Closed);
                }
            }
            drop(state);
            drop(asking);
            answer
        })
    }
}

/// A random number from 0 to 1. Without random numbers it is the middle.
fn jitter() -> f64 {
    let mut byte = [128];
    let _ = default_provider().secure_random.fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::super::testing::Double;
    use super::super::{Lookup, OutageLog};
    use super::*;
    use crate::observe::Metrics;

    type Text = Lookup<()>;

    fn slow() -> Text {
        Lookup::TempFail(Reason::timeout(Duration::from_secs(5)))
    }

    fn around(double: &Arc<Double<Text>>, metrics: &Metrics) -> Breaker<str, Text> {
        let logged = OutageLog::new("double:", metrics, double.clone());
        Breaker::new("double:", logged.outage(), Arc::new(logged))
    }

    /// The events of a history: `t` timeout, `f` another failure, `a` answer, `p` a lookup without an answer yet, `l`
    /// timeout of a lookup that began before all others, `.` a second passes. Then which lookups were asked: `y` or
    /// `n`. The jitter is in the middle.
    #[test]
    fn opens_after_timeouts_in_a_row_and_probes() {
        for (events, want) in [
            ("tttttttt", "yyyyynnn"),
            ("ttttatttta", "yyyyyyyyyy"),
            ("ttttftttt", "yyyyyyyyy"),
            ("ffffffffff", "yyyyyyyyyy"),
            ("ttttt.tt", "yyyyyyn"),
            ("ttttt.aa", "yyyyyyy"),
            ("ttttt.t.t.tt", "yyyyyynyn"),
            ("ttttt.t..t...t.tt", "yyyyyyynyn"),
            ("ttttt.fttttt", "yyyyyyyyyyy"),
            // The late timeout counts while the breaker is closed, and not for the probe.
            ("ttttltt", "yyyynn"),
            ("tttttl.ta", "yyyyyyn"),
            ("ttttt.plta", "yyyyyynn"),
            ("ttttt.pl.ta", "yyyyyynn"),
        ] {
            let mut now = Instant::now();
            let (mut state, mut asked) = (State::Closed(0), String::new());
            for event in events.chars() {
                if event == '.' {
                    now += FIRST_WAIT;
                    continue;
                }
                if event == 'l' {
                    state.timed_out(Role::Usual, now, 0.5);
                    state.abandoned(Role::Usual, now);
                    continue;
                }
                let role = state.ask(now);
                asked.push(if role.is_ok() { 'y' } else { 'n' });
                match (role, event) {
                    (Err(_), _) | (_, 'p') => (),
                    (Ok(role), 't') => drop(state.timed_out(role, now, 0.5)),
                    _ => state.answered(),
                }
            }
            assert_eq!(asked, want, "{events}");
        }
    }

    #[test]
    fn wait_doubles_up_to_the_longest() {
        let (mut now, mut state) = (Instant::now(), State::Closed(THRESHOLD - 1));
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = state.timed_out(Role::Probe, now, 0.5).unwrap();
            waits.push(wait.as_secs());
            assert_eq!(state.ask(now), Err(Refused::Until(wait)));
            now += wait;
            assert_eq!(state.ask(now), Ok(Role::Probe));
            assert_eq!(state.ask(now), Err(Refused::Probing), "one probe at a time");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        for jitter in [0.0, 1.0] {
            let mut state = State::Closed(THRESHOLD - 1);
            let wait = state.timed_out(Role::Usual, now, jitter).unwrap();
            assert!((FIRST_WAIT.mul_f64(0.75)..=FIRST_WAIT.mul_f64(1.25)).contains(&wait), "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn source_that_does_not_answer_is_not_asked() {
        let (double, metrics) = (Arc::new(Double::new(slow())), Metrics::default());
        let breaker = around(&double, &metrics);
        for _ in 0..100 {
            assert!(breaker.look_up("key").await.failure().is_some());
        }
        assert_eq!(double.count(), THRESHOLD as usize);
        let state = metrics.source_states().remove(0);
        assert_eq!((state.failures, state.skipped, state.breaker.name()), (5, 95, "open"));
        drop(around(&double, &metrics));
        assert_eq!(metrics.source_states().remove(0).breaker.name(), "open", "after a reload that failed");
        let reason = breaker.look_up("key").await.failure().unwrap().to_string();
        assert!(reason.starts_with("not asked, since it does not answer (no answer within 5s)"), "{reason}");
        tokio::time::sleep(FIRST_WAIT * 2).await;
        double.set(Lookup::Found(()));
        for _ in 0..10 {
            assert_eq!(breaker.look_up("key").await, Lookup::Found(()));
        }
        assert_eq!(metrics.source_states().remove(0).breaker.name(), "closed");
    }

    /// Failures of single accounts do not keep others from being answered.
    #[tokio::test]
    async fn other_failures_do_not_open_it() {
        let (double, metrics) =
            (Arc::new(Double::new(Lookup::temp_fail("450 try later"))), Metrics::default());
        let breaker = around(&double, &metrics);
        for _ in 0..100 {
            assert_eq!(breaker.look_up("key").await, Lookup::temp_fail("450 try later"));
        }
        assert_eq!(double.count(), 100);
    }

    /// Lookups that began before the breaker opened end while the probe is asked.
    #[tokio::test(start_paused = true)]
    async fn late_timeout_is_not_that_of_the_probe() {
        let (double, metrics) =
            (Arc::new(Double::new(slow()).after(Duration::from_secs(5))), Metrics::default());
        let breaker = Arc::new(around(&double, &metrics));
        let asking = |after: u64| {
            let breaker = breaker.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(after)).await;
                breaker.look_up("key").await
            })
        };
        // Five time out after 5 s. The sixth is asked at 4 s, and times out at 9 s, while the probe of 7 s is asked.
        let _early: Vec<_> = (0..THRESHOLD).map(|_| asking(0)).collect();
        let (_late, probe) = (asking(4), asking(7));
        let refused = asking(10).await.unwrap();
        let reason = refused.failure().unwrap().as_str();
        assert!(reason.ends_with("; another lookup is asked now"), "{reason}");
        double.set(Lookup::NotFound);
        assert_eq!(probe.await.unwrap(), Lookup::NotFound);
        assert_eq!(double.count(), THRESHOLD as usize + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_probe_leaves_the_next_one() {
        let (double, metrics) =
            (Arc::new(Double::new(slow()).after(Duration::from_secs(5))), Metrics::default());
        let breaker = around(&double, &metrics);
        for _ in 0..THRESHOLD {
            breaker.look_up("key").await;
        }
        tokio::time::sleep(FIRST_WAIT * 2).await;
        let dropped = tokio::time::timeout(Duration::from_secs(1), breaker.look_up("key")).await;
        assert!(dropped.is_err());
        double.set(Lookup::NotFound);
        assert_eq!(breaker.look_up("key").await, Lookup::NotFound);
    }
}
