//! The account source has random faults while clients send mail. Each accepted message is delivered exactly once to its
//! mailbox, no recipient that exists is rejected, and no recipient that does not exist is accepted.
//!
//! The test takes some seconds; set `RCPTD_MTA_SECONDS` for a longer one, such as 43200 for a night.

use crate::Outcome;
use crate::random::{Random, seed};
use crate::relay::Way;
use crate::stage::Stage;
use crate::t23_killed_under_load::{Work, client};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
/// Default of `RCPTD_MTA_SECONDS`.
const SECONDS: u64 = 10;
/// Minimum length of a fault and of the time between two faults; the maximum is eight times as long.
const SPELL: Duration = Duration::from_millis(250);

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let seed = seed()?;
    let seconds = match std::env::var("RCPTD_MTA_SECONDS") {
        Ok(seconds) => seconds.parse().map_err(|e| format!("RCPTD_MTA_SECONDS: {e}"))?,
        Err(_) => SECONDS,
    };
    load(stage, seed, Duration::from_secs(seconds)).map_err(|e| format!("RCPTD_MTA_SEED={seed}: {e}"))
}

fn load(stage: &mut Stage<'_>, seed: u64, long: Duration) -> Outcome<String> {
    let up = Way::To(stage.mta.vrfy().ok_or("this server is wired without VRFY")?);
    let over = AtomicBool::new(false);
    let (post, relay) = (&stage.post, &mut *stage.relay);
    let (faults, work) = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || client(post, n, &mut Random::new(seed, n), over)))
            .collect();
        let mut random = Random::new(seed, CLIENTS);
        let begun = Instant::now();
        let mut faults = || -> Outcome<usize> {
            let mut count = 0;
            while begun.elapsed() < long && clients.iter().all(|client| !client.is_finished()) {
                let fault = if random.one_in(2) { Way::Hang } else { Way::Down };
                for way in [fault, up] {
                    relay.set(way)?;
                    sleep(SPELL * u32::try_from(1 + random.below(8)).unwrap_or(1));
                }
                count += 1;
            }
            Ok(count)
        };
        let faults = faults();
        over.store(true, Ordering::SeqCst);
        let join = |client: thread::ScopedJoinHandle<'_, _>| {
            client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        (faults, clients.into_iter().map(join).collect::<Vec<Outcome<Work>>>())
    });
    let faults = faults?;
    let (mut sent, mut deferred) = (Vec::new(), 0);
    for work in work {
        let work = work?;
        deferred += work.deferred;
        for (message, reply) in work.sent {
            stage.note(&reply);
            sent.push(message);
        }
    }
    let copies = stage.balance(&sent)?;
    if deferred == 0 {
        return Err("no client noticed a fault".to_owned());
    }
    Ok(format!("{} messages, {copies} copies, {faults} faults, {deferred} deferred attempts", sent.len()))
}
