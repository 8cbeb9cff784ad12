//! The account source has random faults while clients send mail. Each accepted message is delivered exactly once to its
//! mailbox, no recipient that exists is rejected, and no recipient that does not exist is accepted.
//!
//! The test takes some seconds; set `RCPTD_MTA_SECONDS` for a longer one, such as 43200 for a night.

use crate::Outcome;
use crate::clients::send_during;
use crate::random::seed;
use crate::relay::Way;
use crate::stage::Stage;
use std::thread::sleep;
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
    let relay = &mut *stage.relay;
    let (faults, work) = send_during(&stage.post, CLIENTS, seed, |random, all_run| {
        let begun = Instant::now();
        let mut count = 0_usize;
        while begun.elapsed() < long && all_run() {
            let fault = if random.one_in(2) { Way::Hang } else { Way::Down };
            for way in [fault, up] {
                relay.set(way)?;
                sleep(SPELL * u32::try_from(1 + random.below(8)).unwrap_or(1));
            }
            count += 1;
        }
        Ok(count)
    })?;
    Ok(format!("{}, {faults} faults", work.check(stage)?))
}
