//! What is stored of a triplet and of a client, and what an attempt makes of it. No clock: times are seconds since 1970,
//! and an argument.

use std::fmt;
use std::str::{FromStr, SplitAsciiWhitespace};

/// How often a passing triplet or client is written again, in seconds: the time of its last use, and one more pass.
/// Passes within the time count once, so that one burst of messages shows no more than one message does.
pub const REFRESH: u64 = 3600;

/// The times of greylisting, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long after the first attempt the next ones are deferred.
    pub delay: u64,
    /// How long after the first attempt one may pass. Later, it is a first attempt again. Longer than `delay`.
    pub window: u64,
    /// How long what has passed counts without being used.
    pub max_age: u64,
}

/// The state of a triplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triplet {
    /// No attempt has passed.
    Waiting {
        /// When the first attempt was.
        first: u64,
    },
    /// An attempt has passed.
    Passed {
        /// When the first attempt was.
        first: u64,
        /// How long it was delayed.
        delayed: u64,
        /// When one passed last, as precise as [`REFRESH`].
        last: u64,
        /// Number of passes, see [`REFRESH`].
        passes: u64,
    },
}

/// A client that has passed. Its text in a store is `PASSES LAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Number of passes, see [`REFRESH`].
    pub passes: u64,
    /// When it passed last, as precise as [`REFRESH`].
    pub last: u64,
}

/// What becomes of an attempt to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is the first one.
    New,
    /// It is deferred, since it comes this number of seconds too early.
    Early(u64),
    /// It is the first one that passes; the first attempt was this number of seconds ago.
    First(u64),
    /// One has passed before.
    Known,
}

/// The state of the triplet after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As it was: nothing is written.
    Same,
    /// There was none: it is written unless another host has written one since.
    Add(Triplet),
    /// It is replaced.
    Set(Triplet),
}

impl Triplet {
    /// An attempt at the time `now`, with the state that was found, if any.
    ///
    /// A time of the past that lies in the future comes from a clock that was set back, or from another host, whose
    /// clock may be ahead by less than the delay.
    pub fn attempt(found: Option<Triplet>, now: u64, times: &Times) -> (Attempt, Change) {
        let begin = Triplet::Waiting { first: now };
        match found {
            None => (Attempt::New, Change::Add(begin)),
            Some(Triplet::Waiting { first }) => {
                let age = now.saturating_sub(first);
                if age >= times.window || first > now.saturating_add(times.delay) {
                    return (Attempt::New, Change::Set(begin));
                }
                // A clock that is behind must not pass an attempt of its own earlier, nor later than another host.
                let due = first.saturating_add(times.delay);
                if now < due {
                    return (Attempt::Early(due - now), Change::Same);
                }
                let passed = Triplet::Passed { first, delayed: age, last: now, passes: 1 };
                (Attempt::First(age), Change::Set(passed))
            }
            Some(Triplet::Passed { first, delayed, last, passes }) => {
                if now.saturating_sub(last) >= times.max_age {
                    return (Attempt::New, Change::Set(begin));
                }
                let change = if is_due(last, now) {
                    let passes = passes.saturating_add(1);
                    Change::Set(Triplet::Passed { first, delayed, last: now, passes })
                } else {
                    Change::Same
                };
                (Attempt::Known, change)
            }
        }
    }

    /// How long it is kept after it was written, in seconds.
    pub fn ttl(&self, times: &Times) -> u64 {
        match self {
            Triplet::Waiting { .. } => times.window,
            Triplet::Passed { .. } => times.max_age,
        }
    }
}

impl Client {
    /// The state after a pass at the time `now`; `None` if nothing has to be written. Passes are counted up to
    /// `enough`.
    pub fn passes(found: Option<Client>, now: u64, enough: u64, times: &Times) -> Option<Client> {
        match found.filter(|client| client.is_current(now, times)) {
            None => Some(Client { passes: 1, last: now }),
            Some(client) if is_due(client.last, now) => {
                Some(Client { passes: client.passes.saturating_add(1).min(enough.max(1)), last: now })
            }
            Some(_) => None,
        }
    }

    /// Whether its passes still count.
    pub fn is_current(&self, now: u64, times: &Times) -> bool {
        now.saturating_sub(self.last) < times.max_age
    }
}

/// Whether a use at `now` is written. A time in the future is that of a clock that was set back.
fn is_due(last: u64, now: u64) -> bool {
    now.abs_diff(last) >= REFRESH
}

/// Formats the text in a store: `w FIRST`, or `p FIRST DELAYED LAST PASSES`.
impl fmt::Display for Triplet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Triplet::Waiting { first } => write!(f, "w {first}"),
            Triplet::Passed { first, delayed, last, passes } => {
                write!(f, "p {first} {delayed} {last} {passes}")
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.passes, self.last)
    }
}

/// A text in a store that is not that of an entry: it counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEntry;

/// Parses the text in a store; what follows is ignored.
impl FromStr for Triplet {
    type Err = NotAnEntry;

    fn from_str(text: &str) -> Result<Self, NotAnEntry> {
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("w") => Ok(Triplet::Waiting { first: number(&mut words)? }),
            Some("p") => Ok(Triplet::Passed {
                first: number(&mut words)?,
                delayed: number(&mut words)?,
                last: number(&mut words)?,
                passes: number(&mut words)?,
            }),
            _ => Err(NotAnEntry),
        }
    }
}

impl FromStr for Client {
    type Err = NotAnEntry;

    fn from_str(text: &str) -> Result<Self, NotAnEntry> {
        let mut words = text.split_ascii_whitespace();
        Ok(Client { passes: number(&mut words)?, last: number(&mut words)? })
    }
}

fn number(words: &mut SplitAsciiWhitespace<'_>) -> Result<u64, NotAnEntry> {
    words.next().and_then(|word| word.parse().ok()).ok_or(NotAnEntry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMES: Times = Times { delay: 300, window: 172_800, max_age: 3_024_000 };
    const T: u64 = 1_764_550_000;

    #[allow(clippy::unnecessary_wraps, reason = "what the table holds")]
    fn waiting(first: u64) -> Option<Triplet> {
        Some(Triplet::Waiting { first })
    }

    fn passed(last: u64, passes: u64) -> Triplet {
        Triplet::Passed { first: T, delayed: 310, last, passes }
    }

    #[test]
    fn an_attempt_waits_and_then_passes() {
        use Attempt::{Early, First, Known, New};
        let begin = |now| Triplet::Waiting { first: now };
        let first = |now, delayed| Change::Set(Triplet::Passed { first: T, delayed, last: now, passes: 1 });
        for (found, now, want) in [
            (None, T, (New, Change::Add(begin(T)))),
            (waiting(T), T, (Early(300), Change::Same)),
            (waiting(T), T + 299, (Early(1), Change::Same)),
            (waiting(T), T + 300, (First(300), first(T + 300, 300))),
            (waiting(T), T + 172_799, (First(172_799), first(T + 172_799, 172_799))),
            (waiting(T), T + 172_800, (New, Change::Set(begin(T + 172_800)))),
            // The clock of another host is ahead.
            (waiting(T + 2), T, (Early(302), Change::Same)),
            (waiting(T + 300), T, (Early(600), Change::Same)),
            // The clock was set back.
            (waiting(T + 301), T, (New, Change::Set(begin(T)))),
            (Some(passed(T + 310, 1)), T + 310, (Known, Change::Same)),
            (Some(passed(T + 310, 1)), T + 3909, (Known, Change::Same)),
            (Some(passed(T + 310, 1)), T + 3910, (Known, Change::Set(passed(T + 3910, 2)))),
            (Some(passed(T + 9999, 1)), T, (Known, Change::Set(passed(T, 2)))),
            (Some(passed(T, 9)), T + 3_023_999, (Known, Change::Set(passed(T + 3_023_999, 10)))),
            (Some(passed(T, 9)), T + 3_024_000, (New, Change::Set(begin(T + 3_024_000)))),
        ] {
            assert_eq!(Triplet::attempt(found, now, &TIMES), want, "{found:?} {}", now - T);
        }
    }

    #[test]
    fn passes_of_a_client_count_once_an_hour() {
        let client = |passes, last| Some(Client { passes, last });
        for (found, now, want) in [
            (None, T, client(1, T)),
            (client(1, T), T + 3599, None),
            (client(1, T), T + 3600, client(2, T + 3600)),
            (client(5, T), T + 3600, client(5, T + 3600)),
            (client(5, T), T + 3_024_000, client(1, T + 3_024_000)),
            (client(5, T + 9999), T, client(5, T)),
        ] {
            assert_eq!(Client::passes(found, now, 5, &TIMES), want, "{found:?} {now}");
        }
        // A smaller number is configured than before, or none.
        assert_eq!(Client::passes(client(5, T), T + 3600, 3, &TIMES), client(3, T + 3600));
        assert_eq!(Client::passes(client(5, T), T + 3600, 0, &TIMES), client(1, T + 3600));
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        for (text, want) in [
            ("w 1764550000", Ok(Triplet::Waiting { first: T })),
            ("p 1764550000 310 1764550310 1", Ok(passed(T + 310, 1))),
            ("p 1764550000 310 1764550310 1 192.0.2.0/24 a b", Ok(passed(T + 310, 1))),
            ("", Err(NotAnEntry)),
            ("w", Err(NotAnEntry)),
            ("w x", Err(NotAnEntry)),
            ("w -1", Err(NotAnEntry)),
            ("p 1764550000 310 1764550310", Err(NotAnEntry)),
            ("x 1764550000", Err(NotAnEntry)),
        ] {
            assert_eq!(text.parse(), want, "{text}");
        }
        assert_eq!("5 1764550000".parse(), Ok(Client { passes: 5, last: T }));
        assert_eq!("5".parse::<Client>(), Err(NotAnEntry));
    }

    proptest! {
        #[test]
        fn texts_round_trip(first: u64, delayed: u64, last: u64, passes: u64) {
            for triplet in [Triplet::Waiting { first }, Triplet::Passed { first, delayed, last, passes }] {
                prop_assert_eq!(triplet.to_string().parse(), Ok(triplet));
            }
            let client = Client { passes, last };
            prop_assert_eq!(client.to_string().parse(), Ok(client));
        }

        /// Attempts at any times of one clock: none passes before the delay after the last one that was new, each one
        /// within the window passes after it.
        #[test]
        fn never_passes_early_and_always_passes_later(steps in proptest::collection::vec(0_u64..100_000, 1..50)) {
            let (mut state, mut now, mut begun, mut used) = (None, T, None, None);
            for step in steps {
                now += step;
                let (attempt, change) = Triplet::attempt(state, now, &TIMES);
                let age = begun.map(|begun| now - begun);
                match used {
                    Some(used) if now - used < TIMES.max_age - REFRESH => prop_assert_eq!(attempt, Attempt::Known),
                    Some(_) => (),
                    None => match age {
                        None => prop_assert_eq!(attempt, Attempt::New),
                        Some(age) if age < TIMES.delay => {
                            prop_assert_eq!(attempt, Attempt::Early(TIMES.delay - age));
                        }
                        Some(age) if age < TIMES.window => prop_assert_eq!(attempt, Attempt::First(age)),
                        Some(_) => prop_assert_eq!(attempt, Attempt::New),
                    },
                }
                match attempt {
                    Attempt::New => (begun, used) = (Some(now), None),
                    Attempt::First(_) | Attempt::Known => used = Some(now),
                    Attempt::Early(_) => (),
                }
                if let Change::Add(new) | Change::Set(new) = change {
                    state = Some(new);
                }
            }
        }
    }
}
