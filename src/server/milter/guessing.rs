//! Defence against clients that guess recipients: counts unknown recipients by the network of the client.
//!
//! A network is over the limit if, within the window, it had as many unknown recipients as the limit, and more
//! unknown recipients than known ones. Its recipients are then deferred, and no account source is asked, so that
//! the reply does not depend on the account. A deferred recipient does not count, so the state ends with the window.
//! This module does no I/O and has no clock: the time is an argument.
//!
//! The window moves in steps: it is divided into [`SLOTS`] slots, and a count is dropped with its slot, after 9/10
//! to 10/10 of the window.

use crate::net::network::Network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Number of slots of a window. More slots would need more memory for each network.
pub const SLOTS: usize = 10;

/// Most networks that are counted at the same time. Each takes about 200 bytes, so 2 MB. When the table is full,
/// further networks are not counted, and so not deferred, until others had no recipients for a window. No network is
/// evicted: its count of known recipients, which shows that it does not guess, would be lost.
pub const MAX_NETWORKS: usize = 10_000;

/// The settings. The default has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The number of unknown recipients within the window; 0: no limit.
    pub misses: u32,
    /// The length of the window.
    pub window: Duration,
    /// Networks whose clients are not counted, in addition to loopback addresses.
    pub exempt: Vec<Network>,
    /// Length of the prefix of an IPv4 network.
    pub ipv4_prefix: u8,
    /// Length of the prefix of an IPv6 network.
    pub ipv6_prefix: u8,
}

impl Settings {
    /// Returns the network to count for a client; `None` if the client is exempt, or if no limit is set.
    fn network(&self, client: IpAddr) -> Option<Network> {
        let client = client.to_canonical();
        let is_exempt = client.is_loopback() || self.exempt.iter().any(|network| network.contains(client));
        (self.misses > 0 && !is_exempt).then(|| Network::around(client, self.ipv4_prefix, self.ipv6_prefix))
    }

    /// Whether counts made with other settings remain valid.
    fn counts_like(&self, other: &Settings) -> bool {
        (self.window, self.ipv4_prefix, self.ipv6_prefix)
            == (other.window, other.ipv4_prefix, other.ipv6_prefix)
    }
}

/// The result for a recipient, if it is counted. Temporary failures are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The recipient exists.
    Hit,
    /// The account does not exist.
    Miss,
}

/// A change of the table, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A network is over the limit now. The numbers are those of the window.
    Begins {
        /// The network of the client.
        network: Network,
        /// Unknown recipients.
        misses: u32,
        /// Known recipients.
        hits: u32,
    },
    /// A network is no longer over the limit.
    Ends {
        /// The network.
        network: Network,
        /// The number of recipients that were deferred.
        deferred: u64,
    },
    /// The table is full: a network was not counted.
    Full,
}

/// The counts of all networks.
#[derive(Debug)]
pub struct Guessing {
    settings: Settings,
    capacity: usize,
    start: Instant,
    /// The number of the current slot, from `start`.
    slot: u64,
    networks: HashMap<Network, Counts>,
    /// The last slot in which a network was not counted, because the table was full.
    uncounted: Option<u64>,
}

/// The counts of a network.
#[derive(Debug)]
struct Counts {
    /// Hits and misses of each slot; a slot is at its number modulo [`SLOTS`].
    slots: [(u32, u32); SLOTS],
    /// The slot of the last count.
    last: u64,
    /// The first slot at which the whole window was counted: the network may have had hits before its first
    /// count, while the table was full.
    complete: u64,
    /// The number of deferred recipients, while the network is over the limit.
    over: Option<u64>,
}

impl Counts {
    /// Drops the counts that are older than a window.
    fn advance(&mut self, slot: u64) {
        for passed in (self.last + 1..=slot).take(SLOTS) {
            self.slots[at(passed)] = (0, 0);
        }
        self.last = self.last.max(slot);
    }

    /// The hits and the misses of the window.
    fn totals(&self) -> (u32, u32) {
        self.slots
            .iter()
            .fold((0, 0), |(hits, misses), (h, m)| (hits.saturating_add(*h), misses.saturating_add(*m)))
    }

    fn is_over(&self, limit: u32) -> bool {
        let (hits, misses) = self.totals();
        misses >= limit && misses > hits
    }
}

/// The place of a slot in the array.
fn at(slot: u64) -> usize {
    // The remainder is below SLOTS.
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

impl Guessing {
    /// Creates an empty table.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let networks = HashMap::new();
        Guessing { settings, capacity: MAX_NETWORKS, start: now, slot: 0, networks, uncounted: None }
    }

    /// Uses other settings. If the window or the prefixes differ, all counts are dropped.
    pub fn set(&mut self, settings: Settings, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.settings.counts_like(&settings) || settings.misses == 0 {
            let over = |(network, counts): (&Network, &Counts)| Some(ends(*network, counts.over?));
            events.extend(self.networks.iter().filter_map(over));
            *self = Guessing { capacity: self.capacity, ..Guessing::new(settings, now) };
        } else {
            self.settings = settings;
        }
        events
    }

    /// Whether a recipient of this client is deferred without asking an account source. The events are the
    /// networks that are no longer over the limit.
    pub fn defers(&mut self, client: IpAddr, now: Instant) -> (bool, Vec<Event>) {
        let Some(network) = self.settings.network(client) else { return (false, Vec::new()) };
        let events = self.advance(now);
        let over = self.networks.get_mut(&network).and_then(|counts| counts.over.as_mut());
        if let Some(deferred) = over {
            *deferred = deferred.saturating_add(1);
            return (true, events);
        }
        (false, events)
    }

    /// Counts the result for a recipient of this client.
    pub fn count(&mut self, client: IpAddr, known: Known, now: Instant) -> Vec<Event> {
        let Some(network) = self.settings.network(client) else { return Vec::new() };
        let mut events = self.advance(now);
        let (slot, limit) = (self.slot, self.settings.misses);
        let is_full = self.networks.len() >= self.capacity;
        if is_full && !self.networks.contains_key(&network) {
            self.uncounted = Some(slot);
            events.push(Event::Full);
            return events;
        }
        let complete = self.uncounted.map_or(0, |uncounted| uncounted + SLOTS as u64);
        let counts = self.networks.entry(network).or_insert_with(|| Counts {
            slots: [(0, 0); SLOTS],
            last: slot,
            complete,
            over: None,
        });
        counts.advance(slot);
        let (hits, misses) = &mut counts.slots[at(slot)];
        match known {
            Known::Hit => *hits = hits.saturating_add(1),
            Known::Miss => *misses = misses.saturating_add(1),
        }
        let is_over = counts.is_over(limit);
        match (counts.over, known) {
            // Only a miss starts deferral: that older hits leave the window is not a guess.
            (None, Known::Miss) if is_over && slot >= counts.complete => {
                counts.over = Some(0);
                let (hits, misses) = counts.totals();
                events.push(Event::Begins { network, misses, hits });
            }
            (Some(deferred), _) if !is_over => {
                counts.over = None;
                events.push(ends(network, deferred));
            }
            _ => (),
        }
        events
    }

    /// The number of networks over the limit at the time of the last recipient.
    pub fn over(&self) -> usize {
        self.networks.values().filter(|counts| counts.over.is_some()).count()
    }

    /// Moves the window. Once in each slot, it removes the networks without counts, and ends the deferral of networks
    /// that are no longer over the limit.
    fn advance(&mut self, now: Instant) -> Vec<Event> {
        let length = self.settings.window.as_nanos() / SLOTS as u128;
        let passed = now.saturating_duration_since(self.start).as_nanos() / length.max(1);
        let slot = u64::try_from(passed).unwrap_or(u64::MAX);
        if slot <= self.slot {
            return Vec::new();
        }
        self.slot = slot;
        let (limit, mut events) = (self.settings.misses, Vec::new());
        self.networks.retain(|network, counts| {
            counts.advance(slot);
            if let Some(deferred) = counts.over.filter(|_| !counts.is_over(limit)) {
                counts.over = None;
                events.push(ends(*network, deferred));
            }
            counts.totals() != (0, 0)
        });
        events
    }
}

fn ends(network: Network, deferred: u64) -> Event {
    Event::Ends { network, deferred }
}

#[cfg(test)]
mod tests;
