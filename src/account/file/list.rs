//! Parses a list of accounts.

use super::MAX_FILE;
use diagnostics::{Problem, Text};
use foldhash::fast::RandomState;
use mail_address::{Address, BLANKS, CaseSensitivity, fold, is_composed, is_domain, is_hidden};
use std::collections::HashSet;
use std::ops::Range;

/// Maximum number of problems reported for one list. A list with more is probably the wrong file.
const MAX_PROBLEMS: usize = 20;

/// The remedy of all problems.
const HELP: &str = "write one account a line, USER or USER@DOMAIN; comments begin with #";

/// The accounts of a list by their keys (see [`Address::key`]).
#[derive(Debug, Default)]
pub(in crate::account) struct List {
    keys: HashSet<Box<str>, RandomState>,
    /// Names that mail servers may use in other domains than the listed one, in lower case.
    elsewhere: HashSet<Box<str>, RandomState>,
    len: usize,
    /// Number of entries whose values name programs or files, which are not read.
    pub not_followed: usize,
}

impl List {
    /// Whether the account is listed, either with its domain or without one.
    pub fn has(&self, account: &Address, cases: &CaseSensitivity) -> bool {
        let sensitive = cases.of(account);
        self.keys.contains(&*anywhere(account, sensitive))
            || self.keys.contains(&*account.folded_key(sensitive))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether this local part is listed at some domain, and may also be an account at this one.
    pub fn is_elsewhere(&self, account: &Address) -> bool {
        self.elsewhere.contains(&*fold(account.local()))
    }

    /// Marks the local part of `account`, see [`List::is_elsewhere`].
    pub fn add_elsewhere(&mut self, account: &Address) {
        self.elsewhere.insert(fold(account.local()).into());
    }

    pub fn add(&mut self, account: &Address, cases: &CaseSensitivity) {
        let mut is_new = false;
        if account.domain().is_some() {
            is_new = self.keys.insert(account.folded_key(cases.of(account)).into());
        } else {
            // Domains with and without case-sensitive local parts need their own key.
            for sensitive in [true, false].into_iter().filter(|sensitive| cases.includes(*sensitive)) {
                is_new |= self.keys.insert(anywhere(account, sensitive).into());
            }
        }
        self.len += usize::from(is_new);
    }
}

/// The key of a local part without domain, for domains that are case-sensitive or for those that are not.
fn anywhere(account: &Address, sensitive: bool) -> String {
    // The mark cannot collide with an address: domains have no control characters.
    let (local, mark) =
        if sensitive { (account.local().into(), "\0") } else { (fold(account.local()), "\0\0") };
    [&*local, mark].concat()
}

/// Checks the size of a list. The error is the whole report.
pub(in crate::account) fn check_size(file: &str, bytes: &[u8]) -> Result<(), Vec<String>> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(vec![format!("{file}: the list is larger than {MAX_FILE} bytes: use a database")]);
    }
    Ok(())
}

/// Parses a list. The error has a line for each problem.
pub(super) fn parse(file: &str, bytes: Vec<u8>, cases: &CaseSensitivity) -> Result<List, Vec<String>> {
    check_size(file, &bytes)?;
    let content = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).fold(1, |line, b| line + usize::from(*b == b'\n'));
        vec![format!("{file}:{line}: the list is not UTF-8: save it as UTF-8")]
    })?;
    let (mut list, mut problems) = (List::default(), Problems::default());
    let mut start = 0;
    for line in content.split_inclusive('\n') {
        let entry = line.trim_matches(BLANKS);
        // Editors that write the mark hide it. Elsewhere it is part of a name: two files were joined.
        let entry = entry.strip_prefix('\u{feff}').filter(|_| start == 0).unwrap_or(entry);
        if !entry.is_empty() && !entry.starts_with('#') {
            match account(entry) {
                Ok(account) => list.add(&account, cases),
                Err(why) => problems.add(start..start + line.trim_end_matches(BLANKS).len(), why),
            }
        }
        if problems.are_many() {
            break;
        }
        start += line.len();
    }
    problems.or(list, file, &content, HELP)
}

/// The problems of a list, of which the first [`MAX_PROBLEMS`] are reported.
#[derive(Debug, Default)]
pub(in crate::account) struct Problems {
    found: Vec<(Range<usize>, String)>,
}

impl Problems {
    /// Adds a problem at this place of the text.
    pub fn add(&mut self, span: Range<usize>, why: String) {
        self.found.push((span, why));
    }

    /// Whether more are found than are reported, so that the rest of the list need not be parsed.
    pub fn are_many(&self) -> bool {
        self.found.len() > MAX_PROBLEMS
    }

    /// Returns the list, or else a line for each problem, with `help` as the remedy.
    pub fn or(self, list: List, file: &str, content: &str, help: &str) -> Result<List, Vec<String>> {
        if self.found.is_empty() {
            return Ok(list);
        }
        let text = Text::new(file, content);
        let more = self
            .are_many()
            .then(|| format!("{file}: these are the first {MAX_PROBLEMS} problems, there are more"));
        let told = self.found.into_iter().take(MAX_PROBLEMS);
        Err(told
            .map(|(span, why)| Problem::error(&text, span, why).help(help).to_string())
            .chain(more)
            .collect())
    }
}

fn account(entry: &str) -> Result<Address, String> {
    let account = Address::from_server(entry.as_bytes());
    if let Some(malformed) = account.malformed() {
        return Err(malformed.to_string());
    }
    let (local, _) = entry.rsplit_once('@').unwrap_or((entry, ""));
    if !entry.contains('"') {
        legible(local)?;
    }
    // Rejects lines of other kinds of files, such as aliases(5) or passwd(5).
    let odd = |c: char| c.is_whitespace() || c.is_control() || ":,;<>()\\".contains(c);
    if account.domain().is_some_and(|domain| domain.contains(odd) || domain.contains('@')) {
        return Err("the domain has an invalid character".into());
    }
    if !entry.contains('"') && (entry.contains(odd) || entry.matches('@').count() > 1) {
        return Err("the line has more than one account".into());
    }
    if account.local().is_empty() {
        return Err("the user is missing".into());
    }
    if entry.ends_with('@') {
        return Err("the domain after the @ is missing".into());
    }
    if account.domain().is_some_and(|domain| !is_domain(domain)) {
        return Err("the domain is invalid, so no address has it".into());
    }
    Ok(account)
}

/// Checks a local part that is not in quotes for what hardly any account has, so that the line would have no effect.
/// Quotes take the text as it is.
fn legible(local: &str) -> Result<(), String> {
    if let Some(c) = local.chars().find(|c| !c.is_ascii() && is_hidden(*c)) {
        return Err(format!("the name has the invisible character U+{:04X}: remove it", u32::from(c)));
    }
    if local.contains('*') {
        return Err(
            "a list has no patterns: write each account, or a * that is part of a name in quotes".into()
        );
    }
    if !is_composed(local) {
        return Err("the name is not in the composed form of Unicode (NFC): convert it, or quote it".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::account;
    use super::*;

    const LIST: &str = "\u{feff}# our people\n\nfoo\n  Bar@Example.TEST  \r\n\"a b\"@example.test\ngrüße\n\
                        baz@bücher.example\nno.newline";

    #[test]
    fn finds_listed_accounts() {
        let list = parse("x", LIST.into(), &false.into()).unwrap();
        assert_eq!(list.len(), 6);
        for (text, want) in [
            ("foo@example.test", true),
            ("FOO@other.test", true),
            ("foo", true),
            ("bar@example.test", true),
            ("bar@other.test", false),
            ("bar", false),
            ("\"a b\"@example.test", true),
            ("GRÜSSE@example.test", true),
            ("baz@xn--bcher-kva.example", true),
            ("no.newline@example.test", true),
            ("nonewline@example.test", false),
            ("fo@example.test", false),
            ("fooo@example.test", false),
            ("our@example.test", false),
            ("#@example.test", false),
            ("@example.test", false),
        ] {
            assert_eq!(list.has(&account(text), &false.into()), want, "{text}");
        }
    }

    #[test]
    fn quotes_take_any_name() {
        for name in ["*", "mu\u{308}ller", "a\u{200d}b", "a\u{a0}b"] {
            let list = parse("x", format!("\"{name}\"\n").into(), &false.into()).unwrap();
            assert!(list.has(&Address::new(name, "example.test").unwrap(), &false.into()), "{name}");
        }
        // The domain is in the form that is looked up.
        let list = parse("x", "foo@BU\u{308}cher.example.\n".into(), &false.into()).unwrap();
        assert!(list.has(&account("foo@bücher.example"), &false.into()));
    }

    #[test]
    fn is_case_sensitive_if_configured() {
        let cases = CaseSensitivity::from(true);
        let list = parse("x", b"Foo\nbar@Example.TEST".to_vec(), &cases).unwrap();
        for (text, want) in [
            ("Foo@d.test", true),
            ("foo@d.test", false),
            ("bar@EXAMPLE.test", true),
            ("Bar@example.test", false),
        ] {
            assert_eq!(list.has(&account(text), &cases), want, "{text}");
        }
    }

    #[test]
    fn case_sensitivity_depends_on_the_domain() {
        let cases = CaseSensitivity::new([("s.test", true), ("i.test", false)], true);
        let list = parse("x", b"Foo\nfoo\nBar@s.test\nBar@i.test\nBaz".to_vec(), &cases).unwrap();
        assert_eq!(list.len(), 5);
        for (text, want) in [
            ("Foo@s.test", true),
            ("foo@s.test", true),
            ("FOO@s.test", false),
            ("FOO@i.test", true),
            ("Bar@s.test", true),
            ("bar@s.test", false),
            ("bar@i.test", true),
            ("Baz@s.test", true),
            ("baz@s.test", false),
            ("BAZ@i.test", true),
        ] {
            assert_eq!(list.has(&account(text), &cases), want, "{text}");
        }
    }

    #[test]
    fn errors_have_line_numbers() {
        for (content, want) in [
            ("foo\nbar: baz\n", "x:2:1: error: the line has more than one account (write one account a line"),
            ("foo bar", "x:1:1: error: the line has more than one account"),
            ("root:x:0:0:root:/root:/bin/sh", "x:1:1: error: the line has more than one account"),
            ("a@b@c", "x:1:1: error: the line has more than one account"),
            ("@example.test", "x:1:1: error: the user is missing"),
            ("foo@", "x:1:1: error: the domain after the @ is missing"),
            ("\"foo", "x:1:1: error: quoted string does not end"),
            ("\"foo\"@exa mple", "x:1:1: error: the domain has an invalid character"),
            (
                "foo\n\u{200b}bar",
                "x:2:1: error: the name has the invisible character U+200B: remove it (write",
            ),
            ("foo\n\u{feff}bar", "x:2:1: error: the name has the invisible character U+FEFF"),
            ("\u{a0}foo", "x:1:1: error: the name has the invisible character U+00A0"),
            ("foo\u{3000}@example.test", "x:1:1: error: the name has the invisible character U+3000"),
            ("foo\n\u{a0}\n", "x:2:1: error: the name has the invisible character U+00A0"),
            ("foo@example.test\u{a0}", "x:1:1: error: the domain has an invalid character"),
            ("foo@example\u{200e}.test", "x:1:1: error: the domain is invalid"),
            ("foo@exa*.test", "x:1:1: error: the domain is invalid"),
            ("foo@example..test", "x:1:1: error: the domain is invalid"),
            ("*", "x:1:1: error: a list has no patterns"),
            ("*@example.test", "x:1:1: error: a list has no patterns"),
            ("foo-*", "x:1:1: error: a list has no patterns"),
            ("mu\u{308}ller", "x:1:1: error: the name is not in the composed form of Unicode"),
            ("fo\x01o", "x:1:1: error: control character in the address"),
        ] {
            let got = parse("x", content.into(), &false.into()).unwrap_err();
            assert!(got.len() == 1 && got[0].starts_with(want), "{content}: {got:?}");
        }
        assert_eq!(
            parse("x", b"foo\nb\xfcr".to_vec(), &false.into()).unwrap_err(),
            ["x:2: the list is not UTF-8: save it as UTF-8"]
        );
    }

    #[test]
    fn limits_size_and_problems() {
        for (bad, told) in [(MAX_PROBLEMS, MAX_PROBLEMS), (MAX_PROBLEMS + 1, MAX_PROBLEMS + 1), (1000, 21)] {
            let problems = parse("x", "a b\nc\n".repeat(bad).into(), &false.into()).unwrap_err();
            assert_eq!(problems.len(), told, "{bad}");
            let more = problems[told - 1] == "x: these are the first 20 problems, there are more";
            assert_eq!(more, bad > MAX_PROBLEMS, "{bad}");
        }
        let largest = vec![b'#'; usize::try_from(MAX_FILE).unwrap()];
        assert_eq!(parse("x", largest.clone(), &false.into()).unwrap().len(), 0);
        let too_large = [largest, b"#".to_vec()].concat();
        assert!(parse("x", too_large, &false.into()).unwrap_err()[0].contains("larger than"));
    }
}
