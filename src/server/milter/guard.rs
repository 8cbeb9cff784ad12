//! The part of the defence against clients that guess recipients that all sessions share: the counts, their clock, and
//! their events in the log.

use super::guessing::{Event, Guessing, Known, Settings};
use crate::observe::{self, GuessingBegins, Metrics, RateLimit, line};
use crate::resolve::{Outcome, RejectReason};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A client, as the mail server reports it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its name.
    pub name: Option<&'a [u8]>,
    /// Its address.
    pub address: &'a [u8],
    /// The queue id of the current message.
    pub queue_id: Option<&'a [u8]>,
    /// The session number in the process.
    pub session: u64,
    /// Whether this is a dry run.
    pub only_logged: bool,
}

/// Counts unknown recipients by network. The counts outlast sessions, and reloads that do not change the window or the
/// prefixes.
#[derive(Debug)]
pub struct Guard {
    table: Mutex<Guessing>,
    metrics: Arc<Metrics>,
    full: RateLimit,
}

impl Guard {
    /// Creates a guard without counts.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Self {
        let table = Guessing::new(settings, Instant::now()).into();
        Guard { table, metrics, full: RateLimit::default() }
    }

    /// Uses other settings.
    pub fn set(&self, settings: &Settings) {
        let events = self.locked().set(settings.clone(), Instant::now());
        self.log(None, &events);
    }

    /// Whether a recipient of this client is deferred without asking an account source.
    pub fn defers(&self, client: &Client<'_>) -> bool {
        let Some(address) = line::ip(client.address) else { return false };
        let (defers, events) = self.locked().defers(address, Instant::now());
        self.log(None, &events);
        if defers {
            observe::guess_deferred(&self.metrics);
        }
        defers
    }

    /// Counts a known or unknown recipient of this client.
    pub fn count(&self, client: &Client<'_>, outcome: &Outcome) {
        let Some(address) = line::ip(client.address) else { return };
        let Some(known) = known(outcome) else { return };
        let events = self.locked().count(address, known, Instant::now());
        self.log(Some(client), &events);
    }

    fn log(&self, client: Option<&Client<'_>>, events: &[Event]) {
        for event in events {
            match (event, client) {
                (Event::Begins { network, misses, hits }, Some(client)) => observe::guessing_begins(
                    &self.metrics,
                    &GuessingBegins {
                        queue_id: client.queue_id,
                        session: client.session,
                        only_logged: client.only_logged,
                        client: (client.name, client.address),
                        network,
                        misses: *misses,
                        hits: *hits,
                    },
                ),
                // Only a counted recipient starts deferral, and it has a client.
                (Event::Begins { .. }, None) => (),
                (Event::Ends { network, deferred }, _) => {
                    observe::guessing_ends(&self.metrics, network, *deferred);
                }
                (Event::Full, _) => observe::guessing_full(&self.full, super::guessing::MAX_NETWORKS),
            }
        }
    }

    /// Locks the table. It remains valid if a thread panicked while it held the lock.
    fn locked(&self) -> MutexGuard<'_, Guessing> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how an outcome counts. Temporary failures do not count, nor do addresses that no account can have, nor
/// expired aliases, to which an honest sender may still write.
fn known(outcome: &Outcome) -> Option<Known> {
    match outcome {
        Outcome::Keep | Outcome::Rewrite(_) => Some(Known::Hit),
        Outcome::NoSuchUser(RejectReason::NotFound) => Some(Known::Miss),
        Outcome::NoSuchUser(RejectReason::Malformed(_) | RejectReason::Expired(_))
        | Outcome::NotOurs
        | Outcome::TempFail(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Reason;
    use crate::resolve::DeferReason;
    use mail_address::Address;

    #[test]
    fn counts_certain_results_only() {
        let target = Address::from_rcpt(b"<foo@example.com>");
        for (outcome, want) in [
            (Outcome::Keep, Some(Known::Hit)),
            (Outcome::Rewrite(target), Some(Known::Hit)),
            (Outcome::NotOurs, None),
            (Outcome::NoSuchUser(RejectReason::NotFound), Some(Known::Miss)),
            (Outcome::TempFail(DeferReason::Deadline), None),
            (Outcome::TempFail(DeferReason::Guessing), None),
            (Outcome::TempFail(DeferReason::Account(Reason::new("down"))), None),
        ] {
            assert_eq!(known(&outcome), want, "{outcome:?}");
        }
    }
}
