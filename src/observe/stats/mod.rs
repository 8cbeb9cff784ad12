//! How busy a listener or a map has been lately: how many, how long, how many at once.
//!
//! These are the figures of trualias' table servers. Each [`Category`] is summed up second by second, and a
//! [`Report`] covers the last [`SECONDS`] *complete* seconds; the one that is running is left out. Within a
//! second the time an event took is the mean over those that ended in it, 0 where none did; the depth is how
//! many were under way at its end. Means over ten or sixty seconds are means over seconds, idle ones included.
//!
//! Nothing here knows a clock: the time of each event is handed in, as the time since some start. It never goes
//! back; what comes late, since another thread was faster, is counted into the running second. (trualias took
//! the clock on the wall, and where that was set back its current second went back too.)

mod format;
#[cfg(test)]
mod tests;

pub use format::{json, lines};
use std::time::Duration;

/// How many complete seconds are remembered; the longest span that is reported on.
pub const SECONDS: usize = 60;

/// What is counted. The order is that of trualias' `jstats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Connections, from being accepted to being closed.
    Connections,
    /// Requests read, from the begin of waiting for one.
    Reads,
    /// Answers written, until the last octet was taken.
    Writes,
    /// Look-ups that found a value.
    Success,
    /// Look-ups whose key is not there.
    NotFound,
    /// Requests that got an error: those that cannot be understood, and look-ups that cannot say.
    Bad,
    /// Requests for these figures.
    Stats,
    /// Look-ups that cannot say. trualias had none, so they are among the bad in its reports, and by
    /// themselves in ours.
    TempFail,
}

impl Category {
    /// All, in order.
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
    /// How many of them trualias had: the first ones.
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

    /// Whether it lasts: then its starts are counted, and how many are under way. Of the others the ends are.
    pub fn lasts(self) -> bool {
        matches!(self, Category::Connections | Category::Reads | Category::Writes)
    }
}

/// One complete second of a category.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Mean time of those that ended, in seconds.
    elapsed: f64,
    /// How many were under way at the end of it.
    depth: u32,
    /// How many there were.
    n: u32,
}

/// The running second of a category.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    took: Duration,
    starts: u32,
    ends: u32,
    depth: u32,
}

/// The figures of one listener or map.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The running second.
    now: u64,
    running: [Running; Category::ALL.len()],
    /// The complete seconds, a ring; `oldest` is the one that is overwritten next.
    seconds: Box<[[Second; Category::ALL.len()]; SECONDS]>,
    oldest: usize,
}

impl Figures {
    /// All zero, beginning in the second of `now`.
    pub fn new(now: Duration) -> Self {
        Figures {
            now: now.as_secs(),
            running: Default::default(),
            seconds: Box::new([Default::default(); SECONDS]),
            oldest: 0,
        }
    }

    /// One begins at `now`. For what does not last it means nothing.
    pub fn begins(&mut self, category: Category, now: Duration) {
        self.advance(now);
        let running = &mut self.running[category as usize];
        running.starts = running.starts.saturating_add(1);
        running.depth = running.depth.saturating_add(1);
    }

    /// One ends at `now` that `took` so long. Of what lasts, one must have begun.
    pub fn ends(&mut self, category: Category, now: Duration, took: Duration) {
        self.advance(now);
        let running = &mut self.running[category as usize];
        running.ends = running.ends.saturating_add(1);
        running.took = running.took.saturating_add(took);
        running.depth = running.depth.saturating_sub(1);
    }

    /// How many are under way, of a category that lasts.
    pub fn depth(&self, category: Category) -> u32 {
        self.running[category as usize].depth
    }

    /// What the last complete seconds before `now` were like, a report a category in the order of
    /// [`Category::ALL`].
    pub fn reports(&mut self, now: Duration) -> [Report; Category::ALL.len()] {
        self.advance(now);
        Category::ALL.map(|category| self.report(category))
    }

    /// Closes the seconds that are over.
    fn advance(&mut self, now: Duration) {
        let now = now.as_secs();
        if now <= self.now {
            return;
        }
        self.close();
        // Those in which nothing happened: only what is under way goes on. More than the ring holds need not
        // be written.
        for _ in 0..(now - self.now - 1).min(SECONDS as u64) {
            self.close();
        }
        self.now = now;
    }

    fn close(&mut self) {
        let second = &mut self.seconds[self.oldest];
        for ((second, running), category) in second.iter_mut().zip(&mut self.running).zip(Category::ALL) {
            let Running { took, starts, ends, depth } = *running;
            let elapsed = if ends == 0 { 0.0 } else { took.as_secs_f64() / f64::from(ends) };
            *second = Second { elapsed, depth, n: if category.lasts() { starts } else { ends } };
            *running = Running { depth, ..Running::default() };
        }
        self.oldest = (self.oldest + 1) % SECONDS;
    }

    fn report(&self, category: Category) -> Report {
        let figures = |of: fn(&Second) -> f64| {
            // The oldest first.
            Spread::of(&std::array::from_fn(|i| {
                of(&self.seconds[(self.oldest + i) % SECONDS][category as usize])
            }))
        };
        Report {
            category,
            elapsed: figures(|second| second.elapsed),
            depth: category.lasts().then(|| figures(|second| f64::from(second.depth))),
            n: figures(|second| f64::from(second.n)),
        }
    }
}

/// A figure over the last sixty seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least of a second.
    pub minimum: f64,
    /// The most of a second.
    pub maximum: f64,
    /// That of the last second.
    pub one: f64,
    /// Mean of the last ten.
    pub ten: f64,
    /// Mean of all sixty.
    pub sixty: f64,
}

impl Spread {
    /// Of one figure a second, the oldest first.
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

/// What a category was like in the last sixty complete seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Of which category.
    pub category: Category,
    /// How long they took, in seconds.
    pub elapsed: Spread,
    /// How many were under way; only of those that last.
    pub depth: Option<Spread>,
    /// How many a second.
    pub n: Spread,
}
