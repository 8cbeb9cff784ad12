//! What day it is.

use alias_rules::Day;
use jiff::Timestamp;
use jiff::tz::{Offset, offset};
use std::time::SystemTime;

/// Where a day ends last of all on Earth: twelve hours behind UTC.
const LAST: Offset = offset(-12);

/// Today, for aliases that expire: the earliest date there is anywhere on Earth now. Whoever wrote a date into
/// an alias meant it to the end of that day where he lives, and nobody knows where that is; until the day has
/// ended everywhere the alias holds. `None` where the clock is out of its mind; nothing expires then.
pub fn today() -> Option<Day> {
    day(SystemTime::now())
}

fn day(now: SystemTime) -> Option<Day> {
    let date = LAST.to_datetime(Timestamp::try_from(now).ok()?).date();
    Day::new(date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_day_lasts_until_it_has_ended_everywhere() {
        // seconds since 1970 began in UTC
        for (seconds, want) in [
            (0, "1969-12-31"),
            (12 * 3600 - 1, "1969-12-31"),
            (12 * 3600, "1970-01-01"),
            // 2026-11-30 23:59:59 and the next second, twelve hours behind UTC
            (1_796_126_399, "2026-11-30"),
            (1_796_126_400, "2026-12-01"),
            // The leap day of 2028 and the day behind it.
            (1_835_524_800 - 1, "2028-02-29"),
            (1_835_524_800, "2028-03-01"),
        ] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(day(now).map(|day| day.to_string()).as_deref(), Some(want), "{seconds}");
        }
        let never = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(day(never), None);
    }
}
