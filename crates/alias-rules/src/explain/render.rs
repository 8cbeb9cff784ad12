//! Formats an explanation: selects the statements to show and prints a split as a table.

use super::{DATE, Explanation, Finding, Split, Trace, Value};
use mail_address::escape;
use std::fmt;
use std::fmt::Write;

/// Maximum number of near misses shown: probably the intended statement and two others. If more statements
/// are equally near, the name is not specific enough to be useful.
pub const MAX_NEAR: usize = 3;

/// Maximum width of an aligned column, which is that of the longest function with two numbers.
const MAX_COLUMN: usize = 24;

/// The rank of a statement that matches.
const MATCHED: u8 = 6;
/// The rank of a statement whose expression matches without regard to its lists.
const FITS: u8 = 2;

/// Ranks a finding: the kind of mismatch, then the amount of text or functions that matched.
fn nearness(trace: &Trace) -> (u8, usize) {
    match &trace.finding {
        Finding::Matched { .. } => (MATCHED, 0),
        Finding::TempFail => (5, 0),
        Finding::Expired { .. } => (4, 0),
        Finding::WrongCode(split) => (3, split.values.iter().take_while(|value| value.right).count()),
        Finding::Unlisted { text, .. } => (FITS, text.len()),
        Finding::Unfit { fits, .. } => (FITS - 1, fits.len()),
        Finding::OtherDomain | Finding::Never(_) => (0, 0),
    }
}

impl Explanation {
    /// The near misses if no statement matched: at most [`MAX_NEAR`] statements, the nearest first.
    ///
    /// The nearest statement is always included. If some expressions match the name, statements whose
    /// expression does not match are left out. So are those for which the name is too short, as every plain
    /// account name is.
    pub fn near(&self) -> Vec<&Trace> {
        let mut near: Vec<_> = self.statements.iter().map(|trace| (nearness(trace), trace)).collect();
        // A stable sort keeps the order of equally near statements.
        near.sort_by_key(|(nearness, _)| std::cmp::Reverse(*nearness));
        let best = near.first().map_or(0, |(nearness, _)| nearness.0);
        if best == MATCHED {
            return Vec::new();
        }
        let is_near = |trace: &Trace| match &trace.finding {
            Finding::Unfit { fits, rest, .. } => best < FITS && !fits.is_empty() && !rest.is_empty(),
            Finding::OtherDomain | Finding::Never(_) => false,
            _ => true,
        };
        let (first, rest) = (near.iter().take(1), near.iter().skip(1));
        let near = first.chain(rest.filter(|(_, trace)| is_near(trace)));
        near.take(MAX_NEAR).map(|(_, trace)| *trace).collect()
    }

    /// The nearest statement if no statement matched.
    pub fn nearest(&self) -> Option<&Trace> {
        self.near().into_iter().next()
    }

    /// The statements to show: those that matched, or the near misses.
    pub fn shown(&self) -> Vec<&Trace> {
        let matched = |trace: &&Trace| matches!(trace.finding, Finding::Matched { .. });
        self.statements.iter().filter(matched).chain(self.near()).collect()
    }
}

/// Formats the statements that matched, or the near misses, and the outcome.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", escape(&self.name))?;
        let shown = self.shown();
        for trace in &shown {
            write!(f, "{trace}")?;
        }
        match self.statements.len() - shown.len() {
            0 => {}
            1 if shown.len() == 1 => writeln!(f, "  the other statement does not match")?,
            1 => writeln!(f, "  1 other statement does not match")?,
            n => writeln!(f, "  {n} other statements do not match")?,
        }
        write!(f, "  {}", self.outcome)
    }
}

/// Formats a line for each part and each function. The computed code is below the given code, and differences
/// are marked.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const COMPUTED: &str = "computed";
        let (code, computed) = (quoted(&self.code), quoted(&self.computed));
        let marks = marks(&code, &computed);
        let calls: Vec<String> = self.values.iter().map(|value| escape(&value.call).to_string()).collect();
        let texts: Vec<String> = self.values.iter().map(|value| quoted(&value.text)).collect();
        let parts = self.parts.iter().map(|(part, _)| &**part);
        let label = column(parts.chain(calls.iter().map(|call| &**call)).chain([COMPUTED]));
        let text_width = column(texts.iter().map(|text| &**text));
        for (part, text) in &self.parts {
            write!(f, "      {part:label$}  {}", quoted(text))?;
            match self.last.filter(|_| part == DATE) {
                Some(last) => writeln!(f, " (to {last})")?,
                None => writeln!(f)?,
            }
        }
        if let Some(marks) = marks {
            writeln!(f, "      {COMPUTED:label$}  {computed}")?;
            writeln!(f, "      {:label$}  {marks}", "")?;
        }
        for ((value, call), text) in self.values.iter().zip(&calls).zip(&texts) {
            write!(f, "      {call:label$}  of {text:text_width$} ")?;
            let Value { value, given, right, .. } = value;
            match value {
                Some(value) => write!(f, "= {}", quoted(value))?,
                None => f.write_str("matches no character here")?,
            }
            match &**given {
                _ if *right => {}
                "" => f.write_str(", the code ends here")?,
                given => write!(f, ", the code has {}", quoted(given))?,
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// The width of the widest text that is not wider than [`MAX_COLUMN`].
fn column<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).filter(|width| *width <= MAX_COLUMN).max().unwrap_or(0)
}

/// A line with `^` below the characters in which two texts differ; `None` if they are equal.
fn marks(a: &str, b: &str) -> Option<String> {
    if a == b {
        return None;
    }
    let inner = |text: &'_ str| text.strip_suffix('"').unwrap_or(text).to_owned();
    let (a, b) = (inner(a), inner(b));
    let (mut a, mut b) = (a.chars(), b.chars());
    let mut marks = String::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Some(marks.trim_end().into()),
            (a, b) => marks.write_char(if a == b { ' ' } else { '^' }).ok()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_marked() {
        for (a, b, want) in [
            ("\"m5\"", "\"m5\"", None),
            ("\"m6\"", "\"m5\"", Some("  ^")),
            ("\"m\"", "\"m15\"", Some("  ^^")),
            ("\"m15\"", "\"\"", Some(" ^^^")),
        ] {
            assert_eq!(marks(a, b).as_deref(), want, "{a} {b}");
        }
    }
}
