//! Parses the text of the file into the raw form, and reports all problems.

use super::keys::{self, Top};
use super::section::Section;
use super::value::{Field, Given, Value};
use diagnostics::{Problem, Text, nearest};
use mail_address::escape;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Collects the problems of the file.
pub(super) struct Reader<'t> {
    text: &'t Text,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Reads the value of a key.
    pub fn field<T: Value>(&mut self, key: &'static str, value: &Spanned<DeValue<'_>>) -> Field<T> {
        match T::read(key, value, self) {
            Some(read) => {
                Field::Given(Given { key, text: self.text.clone(), span: value.span(), value: read })
            }
            None => Field::Broken,
        }
    }

    /// Reads a subsection.
    pub fn section<T: Section>(&mut self, key: &'static str, value: &Spanned<DeValue<'_>>) -> T {
        if let DeValue::Table(table) = value.get_ref() {
            return T::read_table(table, self);
        }
        let help = format!("write [{key}] on a line of its own, once, and its keys below");
        self.error(value.span(), format!("{key} must be a section, not {}", type_name(value)), help)
            .unwrap_or_default()
    }

    /// Reports that `S` has no such key, with a suggestion.
    pub fn unknown_key<S: Section>(&mut self, name: &Spanned<DeString<'_>>) {
        let known: Vec<&str> = S::KEYS.iter().chain(S::SECTIONS).copied().collect();
        let place = match S::PREFIX.trim_end_matches('.') {
            "" => "at the top of the file",
            section => &format!("in {section}"),
        };
        let sections = keys::sections();
        let mut all = sections.iter().flat_map(|section| &section.keys);
        let was = (S::PREFIX.trim_end_matches('.'), name.get_ref().as_ref());
        let renamed = RENAMED.iter().find(|(section, old, _)| (*section, *old) == was);
        let help = if let Some((_, _, new)) = renamed {
            format!("it is called {new} now")
        } else if let Some(near) = nearest(name.get_ref(), known.iter().copied()) {
            format!("did you mean {near}?")
        } else if let Some(key) = all.find(|key| key.name == name.get_ref()) {
            match key.section {
                "" => format!("{} belongs to the top of the file, before the first section", key.name),
                section => format!("{} belongs to [{section}]", key.name),
            }
        } else {
            format!("known are {}", known.join(", "))
        };
        let message = format!("unknown key \"{}\" {place}", escape(name.get_ref().as_ref()));
        self.error::<()>(name.span(), message, help);
    }

    /// Reports an error; returns `None`.
    pub fn error<T>(&mut self, span: Range<usize>, message: String, help: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::error(self.text, span, message).help(help));
        None
    }

    /// Reports that the value of `key` has the wrong type.
    pub fn wrong_type<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        want: &str,
        help: &str,
    ) -> Option<T> {
        self.error(value.span(), format!("{key} must be {want}, not {}", type_name(value)), help)
    }
}

/// Keys that had another name before the first release: section, old name, new name.
const RENAMED: [(&str, &str, &str); 14] = [
    ("", "observe", "dry_run"),
    ("", "hooks", "script"),
    ("milter", "unknown_reply", "reject_reply"),
    ("milter", "later_reply", "defer_reply"),
    ("account", "unknown", "on_tempfail"),
    ("account.source", "unknown", "on_tempfail"),
    ("account", "tempfail_action", "on_tempfail"),
    ("account.source", "tempfail_action", "on_tempfail"),
    ("account", "vrfy", "smtp"),
    ("account.cache", "exists", "positive_ttl"),
    ("account.cache", "missing", "negative_ttl"),
    ("map", "from", "source"),
    ("map", "profile", "search"),
    ("map", "remember", "cache_ttl"),
];

fn type_name(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The result of reading a file.
pub(super) struct Read {
    /// The raw form of everything that could be read.
    pub raw: Top,
    /// The problems so far.
    pub problems: Vec<Problem>,
    /// Bytes whose meaning is uncertain after a syntax error: problems there may be consequences of it.
    pub doubtful: Vec<Range<usize>>,
}

/// Reads the text of a configuration file. The TOML parser recovers from errors, so that one run reports
/// all syntax errors, and errors in the meaning, too.
pub(super) fn read(text: &Text) -> Read {
    let (source, mut errors) = passable(text);
    let (table, last) = DeTable::parse_recoverable(&source);
    errors.extend(last);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    errors.truncate(MAX_SYNTAX_ERRORS);
    let mut doubtful = Vec::new();
    let mut syntax = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or_default();
        if error.message() == "duplicate key" {
            syntax.push(duplicate(text, span));
            continue;
        }
        doubtful.push(doubt(text, table.get_ref(), span.start));
        let message = error.message().trim_end_matches(", expected nothing");
        syntax.push(
            Problem::error(text, span, message).help("see https://toml.io for the syntax of this file"),
        );
    }
    let mut reader = Reader { text, problems: Vec::new() };
    let raw = Top::read_table(table.get_ref(), &mut reader);
    let mut problems = reader.problems;
    problems.retain(|problem| !is_doubtful(&doubtful, problem));
    problems.append(&mut syntax);
    Read { raw, problems, doubtful }
}

/// Most syntax errors that are reported; a file with more is not a configuration of rcptd.
const MAX_SYNTAX_ERRORS: usize = 100;
/// How often [`passable`] removes a line; the first errors are enough to begin with.
const MAX_PASSES: usize = 20;

/// Returns the text without the lines at which the TOML parser gives up, such as a key without a value, and
/// the errors in those lines. The lines are replaced by blanks, so that all positions stay the same.
fn passable(text: &Text) -> (String, Vec<toml::de::Error>) {
    let mut source = text.content.to_string();
    let mut reported = Vec::new();
    for _ in 0..MAX_PASSES {
        let (table, mut errors) = DeTable::parse_recoverable(&source);
        let Some(last) = errors.iter().filter_map(toml::de::Error::span).map(|span| span.start).max() else {
            break;
        };
        let line = line(text, last);
        let rest = text.content.get(line.end..).unwrap_or_default();
        let goes_on = rest.lines().any(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
        if !goes_on || is_heading(text, &line) || end(table.get_ref()) > line.start {
            break;
        }
        errors.retain(|error| error.span().is_some_and(|span| (line.start..=line.end).contains(&span.start)));
        reported.append(&mut errors);
        source.replace_range(line.clone(), &" ".repeat(line.len()));
    }
    (source, reported)
}

/// Returns the end of the last value of a table.
fn end(table: &DeTable<'_>) -> usize {
    let ends = table.values().map(|value| match value.get_ref() {
        DeValue::Table(table) => end(table).max(value.span().end),
        _ => value.span().end,
    });
    ends.max().unwrap_or(0)
}

/// Whether a problem begins where the meaning is uncertain after a syntax error.
pub(super) fn is_doubtful(doubtful: &[Range<usize>], problem: &Problem) -> bool {
    doubtful.iter().any(|range| range.contains(&problem.span.start))
}

fn duplicate(text: &Text, span: Range<usize>) -> Problem {
    let name = text.content.get(span.clone()).unwrap_or_default();
    if is_heading(text, &line(text, span.start)) {
        Problem::error(text, span, format!("duplicate section \"{}\"", escape(name)))
            .help("put all of its keys below one heading")
    } else {
        Problem::error(text, span, format!("duplicate key \"{}\"", escape(name))).help("remove one of them")
    }
}

/// Returns the bytes whose meaning a syntax error at `offset` may have changed: the value that contains it
/// and its line, or everything after the line if that is the heading of a section.
fn doubt(text: &Text, table: &DeTable<'_>, offset: usize) -> Range<usize> {
    let line = line(text, offset);
    match value_at(table, offset) {
        Some(value) => line.start.min(value.start)..(line.end + 1).max(value.end),
        None if is_heading(text, &line) => line.start..usize::MAX,
        None => line.start..line.end + 1,
    }
}

/// Returns the value that contains `offset` and is not a table.
fn value_at(table: &DeTable<'_>, offset: usize) -> Option<Range<usize>> {
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Table(table) => value_at(table, offset),
        _ => (value.span().start..=value.span().end).contains(&offset).then(|| value.span()),
    })
}

/// Whether a line is the heading of a section.
fn is_heading(text: &Text, line: &Range<usize>) -> bool {
    text.content.get(line.clone()).is_some_and(|line| line.trim_start().starts_with('['))
}

/// Returns the line that contains `offset`, without its end.
fn line(text: &Text, offset: usize) -> Range<usize> {
    let offset = text.content.floor_char_boundary(offset);
    let start = text.content[..offset].rfind('\n').map_or(0, |end| end + 1);
    let end = text.content[offset..].find('\n').map_or(text.content.len(), |end| offset + end);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &str) -> Vec<String> {
        let mut problems = read(&Text::new("t", content)).problems;
        problems.sort_by_key(|problem| problem.span.start);
        problems.iter().map(|problem| format!("{}: {}", problem.place().0, problem.message)).collect()
    }

    /// A line at which the TOML parser gives up does not hide errors after it.
    #[test]
    fn reports_errors_after_an_unparsable_line() {
        for (content, want) in [
            ("watch\nwatch = 1\n", vec!["1: key with no value", "2: watch must be"]),
            (
                "watch: true\n\n# x\nworkers = \"2\"",
                vec!["1: invalid unquoted key", "1: key with no value", "4: workers must"],
            ),
            ("watch\n[milter]\nlisten\nheader = 1\n", vec!["1: key with", "3: key with", "4: milter.header"]),
            ("watch\n# nothing more\n", vec!["1: key with no value"]),
            ("watch = \"\"\"\nworkers = true\n", vec!["3: invalid multi-line"]),
            ("rules = [\nworkers = 1\n", vec!["2: "]),
            ("[milter\nlisten = 1\n", vec!["1: unclosed table"]),
        ] {
            let got = told(content);
            assert!(got.len() >= want.len(), "{content:?}: {got:?}");
            for want in &want {
                assert!(got.iter().any(|got| got.starts_with(want)), "{content:?}: {got:?}");
            }
            if want.len() == 1 {
                let line = want[0].split(':').next().unwrap();
                assert!(got.iter().all(|got| got.starts_with(line)), "{content:?}: {got:?}");
            }
        }
    }

    #[test]
    fn limits_reported_errors() {
        assert_eq!(told(&"watch\n".repeat(5000)).len(), MAX_SYNTAX_ERRORS);
        assert_eq!(told(&"workers = tru\n".repeat(5000)).len(), MAX_SYNTAX_ERRORS);
    }
}
