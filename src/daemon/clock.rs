//! The current day, for aliases that expire.

use alias_rules::Day;
use jiff::Timestamp;
use jiff::tz::{Offset, offset};
use std::time::SystemTime;

/// The last time zone in which a day ends: twelve hours behind UTC.
const LAST: Offset = offset(-12);

/// Returns the earliest current date anywhere on Earth. An alias with a date is valid to the end of that
/// day in the time zone of its author, which rcptd does not know, so it is valid until the day has ended
/// everywhere. `None` if the system clock is out of range; then aliases do not expire.
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
    fn day_ends_when_it_has_ended_everywhere() {
        // seconds since 1970 began in UTC
        for (seconds, want) in [
            (0, "1969-12-31"),
            (12 * 3600 - 1, "1969-12-31"),
            (12 * 3600, "1970-01-01"),
            // 2026-11-30 23:59:59 and the next second, twelve hours behind UTC
            (1_796_126_399, "2026-11-30"),
            (1_796_126_400, "2026-12-01"),
            // The leap day of 2028 and the following day.
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
