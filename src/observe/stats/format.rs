//! Formats reports exactly as trualias' table servers do: as a line and as JSON.

use super::{Category, Report, Spread};
use std::fmt::Write;

/// Appends a figure with four decimals, as means have.
fn fixed(out: &mut String, name: &str, spread: &Spread) {
    let Spread { one, ten, sixty, .. } = spread;
    // Writing to a string cannot fail, here and below.
    let _ = write!(out, " {name}1={one:.4} {name}10={ten:.4} {name}60={sixty:.4}");
}

impl Report {
    /// Formats `NAME: emin=0.0000 emax=0.0627 e1=0.0000 ...`: `e` is elapsed, `d` is depth, `n` is the
    /// number.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(200);
        let Spread { minimum, maximum, .. } = self.elapsed;
        let _ = write!(line, "{}: emin={minimum:.4} emax={maximum:.4}", self.category.name());
        fixed(&mut line, "e", &self.elapsed);
        for (name, spread) in [("d", self.depth), ("n", Some(self.n))] {
            let Some(spread) = spread else { continue };
            let _ = write!(line, " {name}min={} {name}max={}", spread.minimum, spread.maximum);
            fixed(&mut line, name, &spread);
        }
        line
    }

    /// Formats the object of `jstats`, in the spelling of Python's `json.dumps`.
    pub fn json(&self) -> String {
        let mut json = String::with_capacity(400);
        let _ = write!(json, "{{\"name\": \"{}\", \"elapsed\": ", self.category.name());
        object(&mut json, &self.elapsed, float);
        if let Some(depth) = &self.depth {
            json.push_str(", \"depth\": ");
            object(&mut json, depth, whole);
        }
        json.push_str(", \"n_per_sec\": ");
        object(&mut json, &self.n, whole);
        json.push('}');
        json
    }
}

/// The reports that trualias has, in the order of its `stats`: by name.
pub fn lines(reports: &[Report]) -> Vec<String> {
    let mut old: Vec<&Report> = reports.iter().take(Category::OLD).collect();
    old.sort_by_key(|report| report.category.name());
    old.iter().map(|report| report.line()).collect()
}

/// The array of `jstats`.
pub fn json(reports: &[Report]) -> String {
    let old: Vec<String> = reports.iter().take(Category::OLD).map(Report::json).collect();
    format!("[{}]", old.join(", "))
}

/// Appends an object. `single` formats a figure of one second; means are always floats.
fn object(out: &mut String, spread: &Spread, single: fn(f64) -> String) {
    let Spread { minimum, maximum, one, ten, sixty } = *spread;
    let _ = write!(
        out,
        "{{\"minimum\": {}, \"maximum\": {}, \"one\": {}, \"ten\": {}, \"sixty\": {}}}",
        single(minimum),
        single(maximum),
        single(one),
        float(ten),
        float(sixty)
    );
}

fn whole(n: f64) -> String {
    format!("{n:.0}")
}

/// Python's `repr` of a finite float: the fewest digits that parse to the same value, with an exponent of
/// at least two digits below -4 or above 15.
pub(super) fn float(x: f64) -> String {
    let short = format!("{x:e}");
    let Some((digits, exponent)) = short.split_once('e') else { return short };
    match exponent.parse::<i32>() {
        Ok(exponent) if x != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{x:?}"),
    }
}
