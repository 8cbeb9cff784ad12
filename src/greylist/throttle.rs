//! Limits how many new entries one client may cause: a client that tries random senders and recipients must not fill
//! the store. No clock: times are seconds since 1970, and an argument.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The time in which new entries are counted, in seconds.
pub const PERIOD: u64 = 3600;
/// Most clients that are counted. Each takes about 60 octets; when there are more in one period, the counts of this
/// period begin again, and so does the limit of each client.
pub const MAX_CLIENTS: usize = 50_000;

/// Counts the new entries of each client.
#[derive(Debug)]
pub struct Throttle {
    limit: u32,
    period: u64,
    counts: HashMap<Box<str>, u32>,
}

impl Throttle {
    /// Each client may have `limit` new entries in a [`PERIOD`]; 0: any number.
    pub fn new(limit: u32) -> Self {
        Throttle { limit, period: 0, counts: HashMap::new() }
    }

    /// The limit.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Counts a new entry of a client at the time `now`. Returns whether it may be stored.
    pub fn admits(&mut self, client: &str, now: u64) -> bool {
        if self.limit == 0 {
            return true;
        }
        let period = now / PERIOD;
        if period != self.period || (self.counts.len() >= MAX_CLIENTS && !self.counts.contains_key(client)) {
            self.period = period;
            self.counts.clear();
        }
        let count = match self.counts.entry(client.into()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(0),
        };
        *count = count.saturating_add(1);
        *count <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_limit() {
        let mut throttle = Throttle::new(2);
        for (client, now, want) in [
            ("a", 7200, true),
            ("a", 7201, true),
            ("a", 7202, false),
            ("b", 7203, true),
            ("a", 10_799, false),
            ("a", 10_800, true),
            // The clock was set back.
            ("a", 7200, true),
        ] {
            assert_eq!(throttle.admits(client, now), want, "{client} {now}");
        }
        let mut none = Throttle::new(0);
        assert!((0..100).all(|_| none.admits("a", 0)) && none.counts.is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut throttle = Throttle::new(1);
        assert!(throttle.admits("a", 0));
        for n in 0..2 * MAX_CLIENTS {
            throttle.admits(&n.to_string(), 0);
            assert!(throttle.counts.len() <= MAX_CLIENTS);
        }
        assert!(throttle.admits("a", 0));
    }
}
