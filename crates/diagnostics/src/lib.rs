//! Problems in text that an operator wrote: place, message, remedy.
//!
//! A parser of such text (rules, configuration, account lists) collects [`Problem`]s and continues, so that
//! one run reports all of them.
//!
//! ```
//! use diagnostics::{Problem, Text, any_error, nearest};
//!
//! let text = Text::new("example.rules", "ACCOUNT foo\nMATSCHES x\n");
//! let meant = nearest("MATSCHES", ["ACCOUNT", "MATCHES"]).expect("a keyword");
//! let problem = Problem::error(&text, 12..20, "unknown keyword").help(format!("write {meant}"));
//! assert_eq!(problem.to_string(), "example.rules:2:1: error: unknown keyword (write MATCHES)");
//! assert!(any_error(&[problem]));
//! ```

mod suggest;

pub use suggest::nearest;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The severity of a problem; the most severe is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The text cannot be used.
    Error,
    /// The text can be used, but probably not as intended.
    Warning,
    /// Information.
    Note,
}

impl Severity {
    /// The word for it in messages: `error`, `warning` or `note`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The content of a file and the file's name. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Text {
    /// The file name, spelled as the operator wrote it.
    pub file: Arc<str>,
    /// The file's content.
    pub content: Arc<str>,
    /// Byte offsets of the line starts. A binary search here instead of a scan of the content matters for
    /// large files with many problems.
    lines: Arc<[usize]>,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.content == other.content
    }
}

impl Eq for Text {}

impl Text {
    /// Creates a text from the `content` of `file`.
    pub fn new(file: &str, content: &str) -> Self {
        let starts = content.match_indices('\n').map(|(i, _)| i + 1);
        Text { file: file.into(), content: content.into(), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// The line number, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// The line and column, both from 1, of a byte offset. Columns count characters.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = &self.content[..self.content.floor_char_boundary(offset)];
        let line = self.lines.partition_point(|start| *start <= before.len());
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        (line, before[start..].chars().count() + 1)
    }
}

/// Another place that is involved in a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The text that contains it.
    pub text: Text,
    /// Its byte range.
    pub span: Range<usize>,
    /// How it is involved.
    pub message: String,
}

/// A problem in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The severity.
    pub severity: Severity,
    /// The text. Its content is empty if there is nothing to show, for example if the file cannot be read.
    pub text: Text,
    /// The byte range of the problem.
    pub span: Range<usize>,
    /// A description of the problem: a sentence without a full stop.
    pub message: String,
    /// An instruction how to fix it.
    pub help: Option<String>,
    /// Other places that are involved.
    pub related: Vec<Label>,
}

impl Problem {
    /// Creates an error at `span` of `text`.
    pub fn error(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Error,
            text: text.clone(),
            span,
            message: message.into(),
            help: None,
            related: Vec::new(),
        }
    }

    /// Creates a warning at `span` of `text`.
    pub fn warning(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(text, span, message) }
    }

    /// Creates a note on `span` of `text`.
    pub fn note(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Note, ..Problem::error(text, span, message) }
    }

    /// Sets the instruction how to fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that is involved.
    #[must_use]
    pub fn related(mut self, text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        self.related.push(Label { text: text.clone(), span, message: message.into() });
        self
    }

    /// The line and column of its start, both from 1.
    pub fn place(&self) -> (usize, usize) {
        self.text.place(self.span.start)
    }

    /// Formats the problem for a terminal: message, the source line with the place underlined, remedy.
    /// Control characters in quoted text are escaped.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut place =
            snippet(&self.text).annotation(AnnotationKind::Primary.span(characters(&self.text, &self.span)));
        for label in self.related.iter().filter(|label| label.text == self.text) {
            let span = characters(&label.text, &label.span);
            place =
                place.annotation(AnnotationKind::Context.span(span).label(escape_controls(&label.message)));
        }
        let message = escape_controls(&self.message);
        let help = self.help.as_deref().map(escape_controls);
        let mut group = Group::with_title(level.primary_title(message)).element(place);
        for label in self.related.iter().filter(|label| label.text != self.text) {
            let span = characters(&label.text, &label.span);
            let annotation = AnnotationKind::Context.span(span).label(escape_controls(&label.message));
            group = group.element(snippet(&label.text).annotation(annotation));
        }
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

fn snippet(text: &Text) -> Snippet<'_, Annotation<'_>> {
    Snippet::source(&*text.content).path(escape_controls(&text.file))
}

/// Extends a span to character boundaries. In a text that was not UTF-8, a span may be inside of a
/// replacement character.
fn characters(text: &Text, span: &Range<usize>) -> Range<usize> {
    text.content.floor_char_boundary(span.start)..text.content.ceil_char_boundary(span.end)
}

/// Formats the problem in one line for editors and logs: `file:line:column: severity: message (help)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place();
        let (file, message) = (escape_controls(&self.text.file), escape_controls(&self.message));
        write!(f, "{file}:{line}:{column}: {}: {message}", self.severity)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({})", escape_controls(help)))
    }
}

/// Escapes control characters: messages quote untrusted text, which must not control the terminal.
fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Formats a number with its noun, in singular or plural: `1 rule`, `2 rules`.
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    // No number here is negative or has more than 64 bits.
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns how many warnings and notes there are, such as `2 warnings, 1 note`. Without any, the text is empty.
pub fn remarks(problems: &[Problem]) -> String {
    let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    [(of(Severity::Warning), "warning"), (of(Severity::Note), "note")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(number, noun))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether one of the problems is an error.
pub fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_nouns() {
        for (number, want) in [(0, "0 rules"), (1, "1 rule"), (2, "2 rules")] {
            assert_eq!(count(number, "rule"), want);
        }
        let text = Text::new("a", "");
        let (warning, note) = (Problem::warning(&text, 0..0, "x"), Problem::note(&text, 0..0, "x"));
        for (problems, want) in [
            (vec![], ""),
            (vec![warning.clone()], "1 warning"),
            (vec![note.clone(), warning.clone(), warning.clone()], "2 warnings, 1 note"),
            (vec![note.clone(), note], "2 notes"),
        ] {
            assert_eq!(remarks(&problems), want);
        }
    }

    #[test]
    fn place_counts_lines_and_characters() {
        let text = Text::new("a.rules", "grüße\nx\n");
        for (offset, want) in [(0, (1, 1)), (6, (1, 5)), (4, (1, 4)), (8, (2, 1)), (10, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(text.place(offset), want, "{offset}");
        }
    }

    #[test]
    fn render_shows_related_places() {
        let (text, other) = (Text::new("a.rules", "first\nsecond\n"), Text::new("b.rules", "third\n"));
        let long = Problem::error(&text, 6..12, "clash")
            .related(&text, 0..5, "with this")
            .related(&other, 0..5, "and that")
            .related(&other, 90..99, "nowhere")
            .help("part them")
            .render(false);
        for want in ["a.rules:2:1", "----- with this", "b.rules:1:1", "----- and that", "help: part them"] {
            assert!(long.contains(want), "{want} in {long}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let text = Text::new("a\u{1b}[2J.rules", "x");
        let problem = Problem::error(&text, 0..1, "found \"\u{1b}[31mX\"").help("\u{7}");
        assert_eq!(problem.to_string(), "a\\u{1b}[2J.rules:1:1: error: found \"\\u{1b}[31mX\" (\\u{7})");
        assert!(!problem.render(false).contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn formats_one_line_and_the_long_form() {
        let text = Text::new("a.rules", "ACCOUNT foo\nMATSCHES x\n");
        let problem = Problem::error(&text, 12..20, "unknown keyword \"MATSCHES\"").help("write MATCHES");
        assert_eq!(problem.to_string(), "a.rules:2:1: error: unknown keyword \"MATSCHES\" (write MATCHES)");
        let long = problem.render(false);
        assert!(
            long.contains("^^^^^^^^") && long.contains("a.rules:2:1") && long.contains("help: write MATCHES"),
            "{long}"
        );
        // Spans past the end (of a truncated file) and spans inside of a character must not panic.
        assert!(Problem::error(&text, 90..99, "file ends").render(false).contains("file ends"));
        let replaced = Text::new("a.rules", "a\u{fffd}b");
        assert!(Problem::error(&replaced, 1..2, "no UTF-8").render(false).contains("a.rules:1:2"));
    }
}
