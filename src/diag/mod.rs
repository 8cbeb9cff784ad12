//! What is wrong with a text the operator wrote: where, what, and what to do about it.
//!
//! Every reader of such a text (rules, configuration, account lists) collects [`Problem`]s and goes on, so
//! that one run names them all.

mod near;

pub use near::nearest;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be used.
    Error,
    /// It can be used, but hardly as it was meant.
    Warning,
    /// Something to know.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
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

/// A text the operator wrote and the name of the file it came from.
#[derive(Clone, Debug)]
pub struct Text {
    /// The file's name as the operator knows it.
    pub file: Arc<str>,
    /// Its content.
    pub content: Arc<str>,
    /// Where its lines begin, so that a place costs a search and not a walk: a broken file may be large and
    /// have many problems.
    lines: Arc<[usize]>,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.content == other.content
    }
}

impl Eq for Text {}

impl Text {
    /// `content` as read from `file`.
    pub fn new(file: &str, content: &str) -> Self {
        let starts = content.match_indices('\n').map(|(i, _)| i + 1);
        Text { file: file.into(), content: content.into(), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// The line, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// Line and column, both from 1, of a byte offset; columns count characters.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = &self.content[..self.content.floor_char_boundary(offset)];
        let line = self.lines.partition_point(|start| *start <= before.len());
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        (line, before[start..].chars().count() + 1)
    }
}

/// One thing wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The text; without content where there is none to show, such as a file that cannot be read.
    pub text: Text,
    /// The bytes concerned.
    pub span: Range<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// An error at `span` of `text`.
    pub fn error(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, text: text.clone(), span, message: message.into(), help: None }
    }

    /// A warning at `span` of `text`.
    pub fn warning(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(text, span, message) }
    }

    /// Something to know about `span` of `text`.
    pub fn note(text: &Text, span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Note, ..Problem::error(text, span, message) }
    }

    /// The same problem with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Line and column of its beginning, both from 1.
    pub fn place(&self) -> (usize, usize) {
        self.text.place(self.span.start)
    }

    /// The problem with its line of text, a mark under the place and the remedy, as for a terminal.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        // Of a text that was not UTF-8 the span may lie within what replaced the wrong bytes.
        let content = &self.text.content;
        let span = content.floor_char_boundary(self.span.start)..content.ceil_char_boundary(self.span.end);
        let place = Snippet::source(&*self.text.content)
            .path(&*self.text.file)
            .annotation(AnnotationKind::Primary.span(span));
        let mut group = Group::with_title(level.primary_title(&*self.message)).element(place);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(&**help));
        }
        renderer.render(&[group])
    }
}

/// One line, `file:line:column: severity: message (help)`, as editors and logs want it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place();
        write!(f, "{}:{line}:{column}: {}: {}", self.text.file, self.severity, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// Whether any of them is an error.
pub fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines() {
        let text = Text::new("a.rules", "grüße\nx\n");
        for (offset, want) in [(0, (1, 1)), (6, (1, 5)), (4, (1, 4)), (8, (2, 1)), (10, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(text.place(offset), want, "{offset}");
        }
    }

    #[test]
    fn one_line_and_the_long_form() {
        let text = Text::new("a.rules", "ACCOUNT foo\nMATSCHES x\n");
        let problem = Problem::error(&text, 12..20, "unknown keyword \"MATSCHES\"").help("write MATCHES");
        assert_eq!(problem.to_string(), "a.rules:2:1: error: unknown keyword \"MATSCHES\" (write MATCHES)");
        let long = problem.render(false);
        assert!(
            long.contains("^^^^^^^^") && long.contains("a.rules:2:1") && long.contains("help: write MATCHES"),
            "{long}"
        );
        // A span past the end, as of a file that ends too soon, must not panic, nor one within a character.
        assert!(Problem::error(&text, 90..99, "file ends").render(false).contains("file ends"));
        let replaced = Text::new("a.rules", "a\u{fffd}b");
        assert!(Problem::error(&replaced, 1..2, "no UTF-8").render(false).contains("a.rules:1:2"));
    }
}
