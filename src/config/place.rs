//! Where the account sources, databases and maps are in the file, for problems that occur when they are opened.

use super::keys;
use super::value::Field;
use diagnostics::{Problem, Text};
use std::ops::Range;

/// The places of what a configuration names.
#[derive(Clone, Debug)]
pub struct Places {
    file: Text,
    /// How a message about it begins, its file, and its place in the file.
    subjects: Vec<(String, Text, Range<usize>)>,
}

impl Places {
    pub(super) fn new(file: &Text, raw: &keys::Top) -> Self {
        let mut subjects = Vec::new();
        for (subject, place) in
            [("script", raw.script.place()), ("account.cache.shared", raw.account.cache.shared.place())]
        {
            subjects.extend(place.map(|given| (subject.to_owned(), given.text, given.span)));
        }
        if let Some(given) = raw.account.source.given() {
            for item in &given.value.items {
                let Some(name) = item.get_ref().text() else { continue };
                subjects.push((format!("account source \"{name}\""), given.text.clone(), item.span()));
            }
        }
        let mut named = |kind: &str, name: &Field<String>| {
            let name = name.given();
            subjects.extend(
                name.map(|given| (format!("{kind} {}", given.value), given.text.clone(), given.span.clone())),
            );
        };
        for item in raw.database.given().into_iter().flat_map(|given| &given.value.items) {
            named("database", &item.get_ref().name);
        }
        for item in raw.map.given().into_iter().flat_map(|given| &given.value.items) {
            named("map", &item.get_ref().name);
        }
        Places { file: file.clone(), subjects }
    }

    /// The error of this text, at the place of what it is about: it begins with the kind and the name, and a colon.
    /// Without such a place it is about the whole file.
    pub fn error(&self, line: &str) -> Problem {
        let (text, span) = self.find(line);
        Problem::error(text, span, line)
    }

    /// A warning like [`error`](Self::error).
    pub fn warning(&self, line: &str) -> Problem {
        let (text, span) = self.find(line);
        Problem::warning(text, span, line)
    }

    fn find(&self, line: &str) -> (&Text, Range<usize>) {
        let is_about = |subject: &str| line.strip_prefix(subject).is_some_and(|rest| rest.starts_with(':'));
        let found = self.subjects.iter().find(|(subject, ..)| is_about(subject));
        found.map_or((&self.file, 0..0), |(_, text, span)| (text, span.clone()))
    }
}
