//! rcptd is killed again and again while clients send: each message they got rid of is delivered exactly once,
//! and no other.

use crate::Outcome;
use crate::clients::send_during;
use crate::random::seed;
use crate::stage::Stage;
use std::thread::sleep;
use std::time::Duration;

const CLIENTS: usize = 6;
const KILLS: usize = 10;
/// rcptd lives at least this long, and at most four times as long.
const LIFE: Duration = Duration::from_millis(250);

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let seed = seed()?;
    load(stage, seed).map_err(|e| format!("RCPTD_MTA_SEED={seed}: {e}"))
}

fn load(stage: &mut Stage<'_>, seed: u64) -> Outcome<String> {
    let rcptd = &mut stage.rcptd;
    let ((), work) = send_during(&stage.post, CLIENTS, seed, |random, _| {
        (0..KILLS).try_for_each(|_| {
            sleep(LIFE * u32::try_from(1 + random.below(4)).unwrap_or(1));
            rcptd.kill()?;
            rcptd.start()
        })
    })?;
    Ok(format!("{}, {KILLS} kills", work.check(stage)?))
}
