//! The tools of the checks: a key of the raw form, its default and its bounds make one checked value.

use super::raw::{Field, Given};
use super::time;
use crate::addr::{MAX_DOMAIN, canonical_domain, escape};
use crate::diag::{Problem, Text, nearest};
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

/// Collects what is wrong with the meaning of the configuration. Every check returns something usable, so
/// that the next one can be made.
pub(super) struct Check<'a> {
    /// The configuration file.
    pub text: &'a Text,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
    /// Whether the whole file could be read; a key that seems to be missing may otherwise be in the rest.
    pub complete: bool,
}

impl Check<'_> {
    /// An error in the value of a key.
    pub fn error<T>(&mut self, at: &Given<T>, message: impl Into<String>, help: impl Into<String>) {
        self.error_in(at, at.span.clone(), message, help);
    }

    /// An error in a part of the value of a key.
    pub fn error_in<T>(
        &mut self,
        at: &Given<T>,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::error(&at.text, span, message).help(help));
    }

    /// A warning about the value of a key.
    pub fn warning<T>(&mut self, at: &Given<T>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::warning(&at.text, at.span.clone(), message).help(help));
    }

    /// A key that has to be there and is not.
    pub fn missing(&mut self, key: &str, help: &str) {
        if self.complete {
            self.problems.push(Problem::error(self.text, 0..0, format!("{key} is missing")).help(help));
        }
    }

    /// A number within bounds.
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

    /// A time within bounds.
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

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, field: &Field<String>, default: T, choices: &[(&str, T)]) -> T {
        let Some(given) = field.given() else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == given.value) {
            return *choice;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let help = nearest(&given.value, words.iter().copied()).map_or_else(
            || format!("write one of {}", words.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        self.error(given, format!("{} = \"{}\" is not known", given.key, escape(&given.value)), help);
        default
    }

    /// A text that has a reader of its own.
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

    /// A domain in canonical spelling.
    pub fn domain<T>(&mut self, at: &Given<T>, span: Range<usize>, domain: &str) -> Option<String> {
        let canonical = canonical_domain(domain);
        let help = if domain.trim().is_empty() {
            "write a domain such as example.com"
        } else if domain.contains('@') {
            "write what stands behind the @ only"
        } else if domain.contains(['*', '?']) {
            "domains are compared as a whole: write each one"
        } else if !is_domain(&canonical) {
            "write letters, digits, hyphens and dots only, as in example.com"
        } else {
            return Some(canonical.into_owned());
        };
        let message = format!("{}: \"{}\" is not a domain", at.key, escape(domain));
        self.error_in(at, span, message, help);
        None
    }
}

/// What is written, where something is: an empty text stands for nothing.
pub(super) fn text(field: &Field<String>) -> Option<&Given<String>> {
    field.given().filter(|given| !given.value.is_empty())
}

/// Whether a text in A-labels can be the domain of an address: labels between dots, or an address in
/// brackets (RFC 5321, section 4.1.3). A label with an underscore is no host name, but a domain some have.
pub(super) fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if domain.len() > MAX_DOMAIN {
        return false;
    }
    let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return domain.split('.').all(label);
    };
    match literal.split_at_checked("IPv6:".len()) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => v6.parse::<Ipv6Addr>().is_ok(),
        _ => literal.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for (domain, want) in [
            ("example.com", true),
            ("localhost", true),
            ("xn--grn-ioa.example", true),
            ("_x.example", true),
            ("[192.0.2.1]", true),
            ("[IPv6:2001:db8::1]", true),
            ("[ipv6:2001:db8::1]", true),
            ("", false),
            (".", false),
            (".example.com", false),
            ("example.com.", false),
            ("exam ple.com", false),
            ("example,com", false),
            ("grün.example", false),
            ("[]", false),
            ("[2001:db8::1]", false),
            ("[mx.example.com]", false),
            ("[192.0.2.1", false),
        ] {
            assert_eq!(is_domain(domain), want, "{domain}");
        }
        assert!(is_domain(&"a".repeat(MAX_DOMAIN)) && !is_domain(&"a".repeat(MAX_DOMAIN + 1)));
    }
}
