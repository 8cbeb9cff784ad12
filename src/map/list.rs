//! A list of keys and values in the format of postmap(1).
//!
//! An entry is a key, blanks and a value. A line that begins with a blank continues the entry before it.
//! Empty lines, and lines that begin with `#`, are ignored, even within an entry. Blanks in quotes belong to
//! the key, which keeps its quotes: `"a b"@example.com`. A backslash escapes the next character.
//!
//! Only ASCII has blanks ([`BLANKS`]). All other white space and a byte order mark belong to the key or the
//! value, as in Postfix, with a warning or an error.

use super::MAX_VALUE;
use super::case_folded::folded;
use diagnostics::{Problem, Text};
use foldhash::fast::RandomState;
use mail_address::{BLANKS, is_hidden};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Maximum number of errors, and of warnings, reported for one list. A file with more errors is probably not
/// a list.
pub const MAX_PROBLEMS: usize = 20;

/// Keys and their values.
#[derive(Clone, Debug, Default)]
pub struct List {
    entries: HashMap<Box<str>, Box<str>, RandomState>,
}

impl List {
    /// Parses a text; with `fold`, the case of keys does not matter. Returns all problems; if one of them is
    /// an error, the list is incomplete. The first of several entries with the same key counts, with a
    /// warning.
    pub fn parse(text: &Text, fold: bool) -> (List, Vec<Problem>) {
        let mut list = List::default();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for line in lines(&text.content) {
            let found = entry(&line.text);
            // An entry that is unsound, too: Postfix has it, and the checks of its tables ask for it.
            let is_new = found.as_ref().is_ok_and(|(key, value)| list.add(key, value, fold));
            let (key, value) = match found.and_then(sound) {
                Ok(entry) => entry,
                Err(_) if errors.len() == MAX_PROBLEMS => {
                    let more = format!("these are the first {MAX_PROBLEMS} errors, there are more");
                    errors.push(Problem::error(text, line.span, more).help("fix them, and try again"));
                    break;
                }
                Err((what, remedy)) => {
                    errors.push(Problem::error(text, line.span, what).help(remedy));
                    continue;
                }
            };
            let odd = invisible(key, value);
            if is_new && odd.is_none() && !key.ends_with(':') {
                continue;
            }
            // Finding the first of two entries reads the whole text again, so do it only for those that are
            // reported.
            let doubt = (warnings.len() < MAX_PROBLEMS).then(|| match odd {
                _ if !is_new => twice(text, &line.span, key, fold),
                Some(odd) => hidden(text, &line.span, odd),
                None => colon(text, &line.span, key),
            });
            match doubt {
                Some(doubt) => warnings.push(doubt),
                None if warnings.len() == MAX_PROBLEMS => {
                    let more = format!("more than {MAX_PROBLEMS} entries have warnings");
                    warnings.push(Problem::warning(text, line.span, more).help("check the others too"));
                }
                None => (),
            }
        }
        errors.append(&mut warnings);
        (list, errors)
    }

    /// Creates the list of these entries. The errors are sentences with the remedy.
    pub fn of(entries: &[(String, String)], fold: bool) -> Result<List, Vec<String>> {
        let (mut list, mut errors) = (List::default(), Vec::new());
        for (key, value) in entries {
            if !list.add(key, value, fold) {
                errors.push(format!("\"{key}\" has two values: remove one of them"));
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(errors) }
    }

    /// Adds an entry. Returns false if the key exists already.
    fn add(&mut self, key: &str, value: &str, fold: bool) -> bool {
        match self.entries.entry(folded(key, fold).into()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(value.into());
                true
            }
        }
    }

    /// The value of a key, which must be folded if the list is.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|value| &**value)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the list has no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An invisible character in the key, or at an end of the value, where it looks like a blank or like nothing.
fn invisible(key: &str, value: &str) -> Option<char> {
    // Blanks are visible to this format. An ASCII text has no others: control characters are errors.
    if key.is_ascii() && value.is_ascii() {
        return None;
    }
    let ends = value.chars().next().into_iter().chain(value.chars().next_back());
    key.chars().chain(ends).find(|c| !BLANKS.contains(c) && is_hidden(*c))
}

fn hidden(text: &Text, span: &Range<usize>, odd: char) -> Problem {
    let what = format!("the invisible character U+{:04X} is part of the key or the value", u32::from(odd));
    Problem::warning(text, span.clone(), what)
        .help("remove it, unless it is intended: only ASCII blanks separate")
}

fn colon(text: &Text, span: &Range<usize>, key: &str) -> Problem {
    Problem::warning(text, span.clone(), format!("the colon belongs to the key \"{key}\""))
        .help("write the key without it, unless it is intended: this is not an aliases(5) file")
}

fn twice(text: &Text, span: &Range<usize>, key: &str, fold: bool) -> Problem {
    let problem =
        Problem::warning(text, span.clone(), format!("\"{key}\" is defined above, and that entry counts"))
            .help("remove one of them");
    let is_it = |line: &Line<'_>| entry(&line.text).is_ok_and(|(k, _)| folded(k, fold) == folded(key, fold));
    // Positions of entries are not stored, since duplicates are rare.
    match lines(&text.content).into_iter().find(is_it) {
        Some(first) => problem.related(text, first.span, "here"),
        None => problem,
    }
}

/// An entry, which may span several lines.
struct Line<'t> {
    text: Cow<'t, str>,
    /// The range of its first line.
    span: Range<usize>,
}

fn lines(content: &str) -> Vec<Line<'_>> {
    let mut found: Vec<Line<'_>> = Vec::new();
    let mut next = 0;
    for line in content.split_inclusive('\n') {
        let start = next;
        next += line.len();
        let line = line.trim_end_matches('\n');
        let text = line.trim_start_matches(BLANKS);
        match (text.is_empty() || text.starts_with('#'), text.len() == line.len(), found.last_mut()) {
            (true, ..) => (),
            (_, false, Some(before)) => before.text.to_mut().push_str(line),
            _ => {
                let span = start..start + line.trim_end_matches(BLANKS).len();
                found.push(Line { text: line.into(), span });
            }
        }
    }
    found
}

/// A problem and its remedy.
type Fault = (String, &'static str);

/// Splits an entry into key and value.
fn entry(line: &str) -> Result<(&str, &str), Fault> {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.char_indices().find(|(_, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c => return BLANKS.contains(c) && !quoted,
        }
        false
    });
    let (key, value) = end.map_or((line, ""), |(at, _)| (&line[..at], line[at..].trim_matches(BLANKS)));
    if key.is_empty() {
        return Err(("there is no entry that this line continues".into(), "begin the line with the key"));
    }
    if quoted {
        return Err(("the quoted part of the key does not end".into(), "write a second \" after it"));
    }
    match value.len() {
        0 => Err((format!("\"{key}\" has no value"), "write the key, a blank and the value")),
        1..=MAX_VALUE => Ok((key, value)),
        _ => Err((
            format!("the value of \"{key}\" has more than {MAX_VALUE} octets"),
            "make it shorter: no mail server takes more",
        )),
    }
}

/// Checks an entry for text that Postfix takes, but that nobody wants in a table.
fn sound<'e>((key, value): (&'e str, &'e str)) -> Result<(&'e str, &'e str), Fault> {
    // Postfix even ends the value at a NUL.
    if let Some(c) = key.chars().chain(value.chars()).find(|c| c.is_control() && *c != '\t') {
        let what = format!("the key or the value has the control character U+{:04X}", u32::from(c));
        return Err((what, "remove it; a line ends with a line feed alone"));
    }
    if key.starts_with('\u{feff}') {
        let what = "mail servers take the byte order mark for a part of the key".to_owned();
        return Err((what, "save the file without the mark"));
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnostics::{Severity, any_error};
    use proptest::prelude::*;

    fn list(content: &str) -> (List, Vec<Problem>) {
        List::parse(&Text::new("list", content), true)
    }

    #[test]
    fn parses_entries() {
        // text, key, value
        for (content, key, want) in [
            ("a b", "a", Some("b")),
            ("a b", "b", None),
            ("", "", None),
            ("a\t b  c \r\n", "a", Some("b  c")),
            ("Foo@EXAMPLE.com Bar@Example.com\n", "foo@example.com", Some("Bar@Example.com")),
            ("GRÜSSE x", "grüsse", Some("x")),
            ("# a x\n\n  # a y\na b\n", "a", Some("b")),
            ("a b,\n  c\n", "a", Some("b,  c")),
            ("a b,\n# not this\n\n\tc\nd e\n", "a", Some("b,\tc")),
            ("a b,\n# not this\n\n\tc\nd e\n", "d", Some("e")),
            ("a\n b\n", "a", Some("b")),
            ("a b # c", "a", Some("b # c")),
            ("\"a b\"@example.com c", "\"a b\"@example.com", Some("c")),
            ("\"a b\" c", "\"a b\"", Some("c")),
            ("\"a\\\" b\" c", "\"a\\\" b\"", Some("c")),
            ("a\\ b c", "a\\ b", Some("c")),
            ("a \"b", "a", Some("\"b")),
            ("a\u{b}b\u{c}\r\nc d", "a", Some("b")),
            ("a b\u{a0}c", "a", Some("b\u{a0}c")),
        ] {
            let (list, problems) = list(content);
            assert_eq!((list.get(key), problems.as_slice()), (want, [].as_slice()), "{content:?}");
        }
    }

    #[test]
    fn reports_errors_and_warnings() {
        for (content, want) in [
            ("a", "list:1:1: error: \"a\" has no value (write the key, a blank and the value)"),
            ("\na \nb c", "list:2:1: error: \"a\" has no value (write the key, a blank and the value)"),
            (
                "# x\n a b\n",
                "list:2:1: error: there is no entry that this line continues (begin the line with the key)",
            ),
            (
                "\"a b c\n",
                "list:1:1: error: the quoted part of the key does not end (write a second \" after it)",
            ),
            (
                "a b\nA c\n",
                "list:2:1: warning: \"A\" is defined above, and that entry counts (remove one of them)",
            ),
            (
                "\u{feff}a b",
                "list:1:1: error: mail servers take the byte order mark for a part of the key (save the file \
                 without the mark)",
            ),
            (
                "a b\n\u{a0}c d",
                "list:2:1: warning: the invisible character U+00A0 is part of the key or the value (remove it, \
                 unless it is intended: only ASCII blanks separate)",
            ),
            (
                "a b\u{200b}",
                "list:1:1: warning: the invisible character U+200B is part of the key or the value (remove it, \
                 unless it is intended: only ASCII blanks separate)",
            ),
            (
                "a b\0c",
                "list:1:1: error: the key or the value has the control character U+0000 (remove it; a line ends \
                 with a line feed alone)",
            ),
            (
                "a b\r\n c\r\n",
                "list:1:1: error: the key or the value has the control character U+000D (remove it; a line ends \
                 with a line feed alone)",
            ),
            (
                "root: b\n",
                "list:1:1: warning: the colon belongs to the key \"root:\" (write the key without it, unless it \
                 is intended: this is not an aliases(5) file)",
            ),
        ] {
            let (_, problems) = list(content);
            let got: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(got, [want], "{content:?}");
        }
        let (list, _) = list("a b\nA c\n");
        assert_eq!((list.get("a"), list.len()), (Some("b"), 1));
    }

    #[test]
    fn folds_keys_if_configured() {
        let (list, problems) = List::parse(&Text::new("list", "a b\nA c\n"), false);
        assert_eq!((list.get("a"), list.get("A"), problems.len()), (Some("b"), Some("c"), 0));
        let entries = [("a".to_owned(), "b".to_owned()), ("A".to_owned(), "c".to_owned())];
        assert!(List::of(&entries, false).is_ok());
        assert_eq!(List::of(&entries, true).unwrap_err(), ["\"A\" has two values: remove one of them"]);
    }

    #[test]
    fn limits_problems_and_lengths() {
        let of = |length: usize| list(&format!("a {}", "x".repeat(length)));
        assert!(of(MAX_VALUE).1.is_empty() && any_error(&of(MAX_VALUE + 1).1));
        for (line, severity) in [("a\n", Severity::Error), ("a b\n", Severity::Warning)] {
            // The first of the valid entries is not a duplicate.
            let count = MAX_PROBLEMS + usize::from(severity == Severity::Warning);
            assert_eq!(list(&line.repeat(count)).1.len(), MAX_PROBLEMS, "{line}");
            let (_, problems) = list(&line.repeat(count + 100));
            assert_eq!(problems.len(), MAX_PROBLEMS + 1, "{line}");
            assert!(problems[MAX_PROBLEMS].message.contains("more"), "{line}");
            assert!(problems.iter().all(|problem| problem.severity == severity), "{line}");
        }
        // The remaining entries are read even if there are too many warnings.
        assert_eq!(list(&format!("{}c d\n", "a b\n".repeat(100))).0.get("c"), Some("d"));
    }

    proptest! {
        #[test]
        fn parses_any_text(content in "[ab\"\\\\# \t\r\né\u{feff}:]{0,40}", fold in any::<bool>()) {
            let text = Text::new("list", &content);
            let (list, problems) = List::parse(&text, fold);
            prop_assert!(list.get("").is_none());
            for problem in problems {
                prop_assert!(content.get(problem.span.clone()).is_some_and(|it| !it.is_empty()), "{}", problem);
            }
        }

        #[test]
        fn written_keys_are_found(keys in prop::collection::hash_set("[a-z@]{1,6}", 0..8)) {
            let content: Vec<_> = keys.iter().map(|key| format!("{key}  {key}-value\n")).collect();
            let (list, problems) = List::parse(&Text::new("list", &content.concat()), true);
            prop_assert!(problems.is_empty());
            prop_assert_eq!(list.len(), keys.len());
            for key in &keys {
                prop_assert_eq!(list.get(key).map(str::to_owned), Some(format!("{key}-value")));
            }
        }
    }
}
