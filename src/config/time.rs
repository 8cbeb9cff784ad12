//! Times in the configuration.

use std::time::Duration;

/// Remedy for an invalid time.
pub(super) const REMEDY: &str = "write a number and one of ms, s, m, h, d, w, such as \"8s\"";

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses `250ms`, `8s`, `5m`, `2h`, `1d` or `1w`; a number alone is in seconds.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = match unit.trim_start() {
        "" => 1000,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(unit).map(Duration::from_millis)
}

/// Formats a time as it would be written.
pub(crate) fn show(time: Duration) -> String {
    let millis = time.as_millis();
    UNITS
        .iter()
        .find(|(_, unit)| millis != 0 && millis.is_multiple_of(u128::from(*unit)))
        .map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / u128::from(*unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_units() {
        for (text, want) in [
            ("250ms", 250),
            ("8s", 8000),
            ("8", 8000),
            ("8 s", 8000),
            ("0", 0),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(want)), "{text}");
        }
        for bad in [
            "",
            "s",
            "-1s",
            "1.5s",
            "8sec",
            "8S",
            "1h30m",
            " 8s",
            "8s ",
            "99999999999999999999",
            "18446744073709551615w",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn formatted_times_parse_to_the_same_value(millis in 0..10_000_000_000_u64) {
            let want = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(want)), Some(want));
        }
    }
}
