//! Counts and times of the events of a listener or a map: since the start, and second by second.
//!
//! Each [`Category`] has one [`Count`], which only grows. A second is the difference between two of its
//! states, and a [`Report`] covers the last [`SECONDS`] *complete* seconds, without the current one. These are
//! the figures of trualias' table servers: the elapsed time of a second is the mean over the events that ended
//! in it, or 0 without any; the depth is the number of pending events at its end. Means over ten or sixty
//! seconds are means over seconds, idle ones included.
//!
//! This module does not read a clock: the caller passes the time of each event, as the time since some
//! start. It never goes back; an event that arrives late, because another thread was faster, counts in the
//! current second. (trualias used the system clock; when that was set back, its current second went back,
//! too.)

mod format;
#[cfg(test)]
mod tests;

pub use format::{json, lines};
use std::time::Duration;

/// How many complete seconds are kept; the longest span of a report.
pub const SECONDS: usize = 60;

/// The kinds of events. The order is that of trualias' `jstats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Connections, from accepting to closing.
    Connections,
    /// Requests, from the begin of waiting for one to its last octet.
    Reads,
    /// Replies, until the last octet was written.
    Writes,
    /// Lookups that found a value.
    Success,
    /// Lookups that did not find the key.
    NotFound,
    /// Requests that got an error: invalid requests and lookups that failed temporarily.
    Bad,
    /// Requests for these statistics.
    Stats,
    /// Lookups that failed temporarily. trualias has no such category, so its reports include them in
    /// `Bad`; ours list them separately, too.
    TempFail,
}

impl Category {
    /// All categories, in order.
    pub const ALL: [Category; 8] = [
        Category::Connections,
        Category::Reads,
        Category::Writes,
        Category::Success,
        Category::NotFound,
        Category::Bad,
        Category::Stats,
        Category::TempFail,
    ];
    /// Number of categories that trualias has: the first ones.
    pub const OLD: usize = 7;

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Category::Connections => "connections",
            Category::Reads => "reads",
            Category::Writes => "writes",
            Category::Success => "success",
            Category::NotFound => "not_found",
            Category::Bad => "bad",
            Category::Stats => "stats",
            Category::TempFail => "tempfail",
        }
    }

    /// Whether events of this category have a duration in which others may begin. Of these categories the
    /// starts and the depth are counted, of the others the ends.
    pub fn lasts(self) -> bool {
        matches!(self, Category::Connections | Category::Reads | Category::Writes)
    }
}

/// One complete second of a category.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Mean time of the events that ended, in seconds.
    elapsed: f64,
    /// Number of pending events at the end.
    depth: f64,
    /// Number of events.
    n: f64,
}

/// The events of a category since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that began; only for categories with duration.
    pub starts: u64,
    /// Events that ended.
    pub ends: u64,
    /// Sum of the times of the events that ended.
    pub took: Duration,
}

impl Count {
    /// Number of pending events, for a category with duration.
    pub fn depth(&self) -> u64 {
        self.starts.saturating_sub(self.ends)
    }

    /// The second that lies between the state `before` and this one.
    fn second(&self, before: &Count, category: Category) -> Second {
        let (starts, ends) = (self.starts - before.starts, self.ends - before.ends);
        let took = self.took.saturating_sub(before.took).as_secs_f64();
        Second {
            elapsed: if ends == 0 { 0.0 } else { took / narrow(ends) },
            depth: narrow(self.depth()),
            n: narrow(if category.lasts() { starts } else { ends }),
        }
    }
}

/// A number of events as a figure. Beyond 2^32 in a second, it stays there.
fn narrow(n: u64) -> f64 {
    u32::try_from(n).unwrap_or(u32::MAX).into()
}

/// The figures of one listener or map.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The current second.
    now: u64,
    counts: [Count; Category::ALL.len()],
    /// The counts at the start of the current second.
    before: [Count; Category::ALL.len()],
    /// The complete seconds, a ring; `oldest` is the one that is overwritten next.
    seconds: Box<[[Second; Category::ALL.len()]; SECONDS]>,
    oldest: usize,
}

impl Figures {
    /// Creates figures of zero that begin in the second of `now`.
    pub fn new(now: Duration) -> Self {
        Figures {
            now: now.as_secs(),
            counts: Default::default(),
            before: Default::default(),
            seconds: Box::new([Default::default(); SECONDS]),
            oldest: 0,
        }
    }

    /// Records that an event began at `now`. Has no meaning for categories without duration.
    pub fn begins(&mut self, category: Category, now: Duration) {
        self.advance(now);
        self.counts[category as usize].starts += 1;
    }

    /// Records that an event ended at `now` that took `took`. For a category with duration it must have
    /// begun.
    pub fn ends(&mut self, category: Category, now: Duration, took: Duration) {
        self.advance(now);
        let count = &mut self.counts[category as usize];
        count.ends += 1;
        count.took = count.took.saturating_add(took);
    }

    /// The events of a category since the start.
    pub fn count(&self, category: Category) -> Count {
        self.counts[category as usize]
    }

    /// Returns reports of the last complete seconds before `now`, one for each category in the order of
    /// [`Category::ALL`].
    pub fn reports(&mut self, now: Duration) -> [Report; Category::ALL.len()] {
        self.advance(now);
        Category::ALL.map(|category| self.report(category))
    }

    /// Closes the seconds that have ended.
    fn advance(&mut self, now: Duration) {
        let now = now.as_secs();
        if now <= self.now {
            return;
        }
        self.close();
        // Seconds without events: only pending events continue. Seconds that the ring cannot hold need not
        // be written.
        for _ in 0..(now - self.now - 1).min(SECONDS as u64) {
            self.close();
        }
        self.now = now;
    }

    fn close(&mut self) {
        for category in Category::ALL {
            let at = category as usize;
            self.seconds[self.oldest][at] = self.counts[at].second(&self.before[at], category);
        }
        self.before = self.counts;
        self.oldest = (self.oldest + 1) % SECONDS;
    }

    fn report(&self, category: Category) -> Report {
        let figures = |of: fn(&Second) -> f64| {
            // Oldest first.
            Spread::of(&std::array::from_fn(|i| {
                of(&self.seconds[(self.oldest + i) % SECONDS][category as usize])
            }))
        };
        Report {
            category,
            elapsed: figures(|second| second.elapsed),
            depth: category.lasts().then(|| figures(|second| second.depth)),
            n: figures(|second| second.n),
        }
    }
}

/// Statistics of a figure over the last sixty seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Minimum of the seconds.
    pub minimum: f64,
    /// Maximum of the seconds.
    pub maximum: f64,
    /// Value of the last second.
    pub one: f64,
    /// Mean of the last ten seconds.
    pub ten: f64,
    /// Mean of all sixty seconds.
    pub sixty: f64,
}

impl Spread {
    /// Computes the statistics of one figure per second, oldest first.
    fn of(seconds: &[f64; SECONDS]) -> Self {
        let last = |n: usize| seconds[SECONDS - n..].iter().sum::<f64>();
        Spread {
            minimum: seconds.iter().copied().fold(f64::INFINITY, f64::min),
            maximum: seconds.iter().copied().fold(0.0, f64::max),
            one: last(1),
            ten: last(10) / 10.0,
            sixty: last(SECONDS) / 60.0,
        }
    }
}

/// Report of a category over the last sixty complete seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The category.
    pub category: Category,
    /// Time that the events took, in seconds.
    pub elapsed: Spread,
    /// Number of pending events; only for categories with duration.
    pub depth: Option<Spread>,
    /// Number of events in a second.
    pub n: Spread,
}
