//! The last day of an alias and its notation in a name. The caller supplies the current day.

use jiff::civil;
use jiff::civil::{ISOWeekDate, Weekday};
use std::fmt;

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(civil::Date);

impl Day {
    /// Creates a day; `None` if the date does not exist.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        civil::Date::new(year, month, day).ok().map(Day)
    }
}

impl Day {
    /// The shortest `%date%` for exactly this day; `None` for a day of another century.
    pub(crate) fn notation(self) -> Option<String> {
        let Day(date) = self;
        let two = |year: i16| {
            let year = year - CENTURY;
            (0..100).contains(&year).then(|| format!("{year:02}"))
        };
        if date == date.last_of_month() {
            return Some(format!("{}{:02}", two(date.year())?, date.month()));
        }
        let week = date.iso_week_date();
        if week.weekday() == Weekday::Sunday {
            return Some(format!("{}w{:02}", two(week.year())?, week.week()));
        }
        Some(format!("{}{:02}{:02}", two(date.year())?, date.month(), date.day()))
    }
}

/// Formats the day as in ISO 8601: `2026-11-30`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The possible lengths of a date, in bytes.
pub(crate) const LENGTHS: [usize; 3] = [4, 5, 6];

/// The century of all dates. A year has two digits, since an alias of today is not used in a hundred years.
const CENTURY: i16 = 2000;

/// Parses a `%date%` to a last day: `yymm` is the last day of the month, `yymmdd` the day itself, `yywww`
/// (with the letter w after the year) the Sunday of that ISO 8601 week.
pub(crate) fn last_day(text: &[u8]) -> Option<Day> {
    let two = |at: usize| {
        let digits = text.get(at..at + 2).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        digits.iter().try_fold(0_i8, |n, b| n.checked_mul(10)?.checked_add(i8::try_from(b - b'0').ok()?))
    };
    let year = CENTURY + i16::from(two(0)?);
    let day = match text.len() {
        4 => civil::Date::new(year, two(2)?, 1).ok()?.last_of_month(),
        5 if text[2].eq_ignore_ascii_case(&b'w') => {
            ISOWeekDate::new(year, two(3)?, Weekday::Sunday).ok()?.date()
        }
        6 => civil::Date::new(year, two(2)?, two(4)?).ok()?,
        _ => return None,
    };
    Some(Day(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_months_weeks_or_days() {
        let cases = [
            ("2611", Some("2026-11-30")),
            ("2602", Some("2026-02-28")),
            ("2802", Some("2028-02-29")),
            ("0001", Some("2000-01-31")),
            ("9912", Some("2099-12-31")),
            ("261130", Some("2026-11-30")),
            ("280229", Some("2028-02-29")),
            ("26w47", Some("2026-11-22")),
            ("26W47", Some("2026-11-22")),
            ("26w01", Some("2026-01-04")),
            // The week of the turn of the year; 2026 has 53 weeks, 2027 has 52.
            ("26w53", Some("2027-01-03")),
            ("27w52", Some("2028-01-02")),
            ("27w53", None),
            ("26w00", None),
            ("26w54", None),
            ("2600", None),
            ("2613", None),
            ("260229", None),
            ("261131", None),
            ("261100", None),
            ("26 11", None),
            ("26x47", None),
            ("26w4", None),
            ("26w477", None),
            ("261", None),
            ("", None),
            ("2o11", None),
            ("+611", None),
            ("٢٦١١", None),
        ];
        for (text, want) in cases {
            let got = last_day(text.as_bytes()).map(|day| day.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
        for (text, day) in [
            ("2611", "2026-11-30"),
            ("26w47", "2026-11-22"),
            ("261121", "2026-11-21"),
            ("26w53", "2027-01-03"),
        ] {
            let last = last_day(text.as_bytes()).expect("a day");
            assert_eq!((last.to_string().as_str(), last.notation().as_deref()), (day, Some(text)));
        }
        assert_eq!(Day::new(1999, 12, 31).and_then(Day::notation), None);
        for len in 0..9 {
            let text = &b"26111111"[..len.min(8)];
            assert!(last_day(text).is_none() || LENGTHS.contains(&len), "{text:?}");
        }
    }
}
