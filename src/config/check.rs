//! Tools for checking values: each converts a key of the raw form, with its default and bounds, to a
//! checked value.

use super::files::Document;
use super::value::{Field, Given};
use super::{time, trualias};
use diagnostics::{Problem, Text, nearest};
use mail_address::{escape, parse_domain};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

/// Collects errors in the meaning of the configuration. After an error, every check returns a usable value,
/// so that the following checks still run.
pub(super) struct Check<'a> {
    /// The configuration file.
    pub text: &'a Text,
    /// The problems so far.
    pub problems: Vec<Problem>,
    /// The file of trualias that is the configuration, if it is one.
    pub trualias: Option<&'a Text>,
    /// Whether the whole file could be read; otherwise a key that is not found may be in the rest.
    pub complete: bool,
    /// Names of databases with errors, which are therefore not among the databases.
    pub broken_databases: Vec<String>,
}

impl<'a> Check<'a> {
    /// Checks only the names of files and positions in this document, so absent keys are not reported as missing.
    pub fn names(document: &'a Document) -> Self {
        Check {
            text: &document.text,
            trualias: document.trualias.as_ref(),
            problems: Vec::new(),
            complete: false,
            broken_databases: Vec::new(),
        }
    }
}

impl Check<'_> {
    /// Adds an error in the value of a key.
    pub fn error<T>(&mut self, at: &Given<T>, message: impl Into<String>, help: impl Into<String>) {
        self.error_in(at, at.span.clone(), message, help);
    }

    /// Adds an error in a part of the value of a key.
    pub fn error_in<T>(
        &mut self,
        at: &Given<T>,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::error(&at.text, span, message).help(help));
    }

    /// Adds a warning about the value of a key.
    pub fn warning<T>(&mut self, at: &Given<T>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::warning(&at.text, at.span.clone(), message).help(help));
    }

    /// Adds an error about a required key that is absent.
    pub fn missing(&mut self, key: &str, help: &str) {
        let help = if self.trualias.is_some() { trualias::remedy(key) } else { help };
        if self.complete {
            self.problems.push(Problem::error(self.text, 0..0, format!("{key} is missing")).help(help));
        }
    }

    /// Checks a number against bounds.
    pub fn number<T>(&mut self, field: &Field<u64>, default: T, bounds: &RangeInclusive<T>) -> T
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let Some(given) = field.given() else { return default };
        match T::try_from(given.value) {
            Ok(value) if bounds.contains(&value) => value,
            _ => {
                let message = format!("{} = {} is out of range", given.key, given.value);
                self.error(
                    given,
                    message,
                    format!("write a number from {} to {}", bounds.start(), bounds.end()),
                );
                default
            }
        }
    }

    /// Checks a time against bounds.
    pub fn time(
        &mut self,
        field: &Field<Duration>,
        default: Duration,
        bounds: &RangeInclusive<Duration>,
    ) -> Duration {
        let Some(given) = field.given() else { return default };
        if bounds.contains(&given.value) {
            return given.value;
        }
        let message = format!("{} = \"{}\" is out of range", given.key, time::show(given.value));
        let help =
            format!("write a time from {} to {}", time::show(*bounds.start()), time::show(*bounds.end()));
        self.error(given, message, help);
        default
    }

    /// Checks that a value is one of `choices`.
    pub fn choice<T: Copy>(&mut self, field: &Field<String>, default: T, choices: &[(&str, T)]) -> T {
        let Some(given) = field.given() else { return default };
        self.word(given, given.span.clone(), &given.value, choices).unwrap_or(default)
    }

    /// Checks that a word in the value of a key is one of `choices`.
    pub fn word<T: Copy, U>(
        &mut self,
        at: &Given<U>,
        span: Range<usize>,
        word: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == word) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        let help = nearest(word, words.iter().copied()).map_or_else(
            || format!("write one of {}", words.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        self.error_in(at, span, format!("{} = \"{}\" is not known", at.key, escape(word)), help);
        None
    }

    /// Parses a text with its `FromStr`.
    pub fn parsed<T, U>(&mut self, at: &Given<U>, span: Range<usize>, text: &str) -> Option<T>
    where
        T: FromStr<Err = String>,
    {
        text.parse()
            .map_err(|remedy: String| {
                let message = format!("{} = \"{}\" cannot be used", at.key, escape(text));
                self.error_in(at, span, message, remedy);
            })
            .ok()
    }

    /// Checks a domain and returns it in canonical spelling.
    pub fn domain<T>(&mut self, at: &Given<T>, span: Range<usize>, domain: &str) -> Option<String> {
        match parse_domain(domain) {
            Ok(canonical) => Some(canonical.into_owned()),
            Err(help) => {
                let message = format!("{}: \"{}\" is not a domain", at.key, escape(domain));
                self.error_in(at, span, message, help);
                None
            }
        }
    }
}

/// Returns the value of a key, if present and not empty: an empty text counts as absent.
pub(super) fn text(field: &Field<String>) -> Option<&Given<String>> {
    field.given().filter(|given| !given.value.is_empty())
}
