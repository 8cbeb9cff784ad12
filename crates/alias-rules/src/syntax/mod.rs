//! Parses text to a tree. After an error, parsing resumes at the next statement.

pub(crate) mod cursor;
mod deliver;
pub(crate) mod expression;
pub(crate) mod functions;
pub(crate) mod settings;

use crate::vocabulary::{Class, Function, is_blank};
use cursor::Cursor;
use diagnostics::{Problem, Severity, Text, nearest};
use expression::Expression;
use settings::{Dialect, Settings};
use std::ops::Range;

/// A problem in the text that is being parsed; [`Fault::of`] adds the text.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub span: Range<usize>,
    severity: Severity,
    message: String,
    help: Option<String>,
}

impl Fault {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Fault { span, severity: Severity::Error, message: message.into(), help: None }
    }

    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Fault { severity: Severity::Warning, ..Fault::new(span, message) }
    }

    pub fn note(span: Range<usize>, message: impl Into<String>) -> Self {
        Fault { severity: Severity::Note, ..Fault::new(span, message) }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn of(self, text: &Text) -> Problem {
        let Fault { span, severity, message, help } = self;
        Problem { severity, help, ..Problem::error(text, span, message) }
    }
}

/// A name in a list. A list may have a million names, so this is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'t> {
    pub value: &'t str,
    /// Its byte offset in the text.
    pub start: usize,
}

impl Name<'_> {
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.value.len()
    }
}

/// A `DELIVER TO` clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deliver<'t> {
    /// The address as written, with `%account%` and `%alias%`.
    pub target: Name<'t>,
}

/// An argument of a function as written: the text it looks at, or an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Unspecified,
    Index(i64),
    Account,
    Alias,
}

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub function: Function,
    /// The arguments without the default of `CHAR`.
    pub arguments: Vec<Subject>,
    /// The last argument of `CHAR`.
    pub default: String,
    pub span: Range<usize>,
}

/// An alias statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement<'t> {
    /// The span of the word `ACCOUNT`.
    pub keyword: Range<usize>,
    pub accounts: Vec<Name<'t>>,
    pub using: Option<Class>,
    /// `None` without `ALIASED` and for `ALIASED *`.
    pub aliases: Option<Vec<Name<'t>>>,
    /// `None` without `DOMAINS`: all local domains.
    pub domains: Option<Vec<Name<'t>>>,
    pub expression: Expression,
    pub calls: Vec<Call>,
    /// `None` without `DELIVER TO`: the account in the domain of the alias.
    pub deliver: Option<Deliver<'t>>,
}

/// A statement cannot be parsed further. Parsing resumes at this byte offset.
pub(crate) struct Stop(usize);

/// Parses `text`. Alias statements are passed to `each` one by one, as there may be many; configuration
/// statements are stored in `legacy`. Returns `false` if errors prevented some statements from being parsed.
pub(crate) fn read<'t>(
    text: &'t Text,
    dialect: Dialect,
    legacy: &mut Settings,
    faults: &mut Vec<Fault>,
    each: &mut dyn FnMut(Statement<'t>, &mut Vec<Fault>),
) -> bool {
    let mut parser = Parser { cursor: Cursor::new(&text.content), faults };
    let mut complete = true;
    while let Some(word) = parser.cursor.word() {
        let first = parser.cursor.slice(&word);
        if first == ACCOUNT {
            match parser.statement(word) {
                Ok(statement) => each(statement, parser.faults),
                Err(Stop(pos)) => {
                    complete = false;
                    parser.resume(pos);
                }
            }
        } else if settings::first_words().any(|known| known == settings::head(first)) {
            settings::read(&mut parser.cursor, &word, dialect, text, legacy, parser.faults);
        } else {
            complete = false;
            parser.unknown(&word);
        }
    }
    complete
}

pub(crate) const ACCOUNT: &str = "ACCOUNT";

pub(crate) struct Parser<'t, 'f> {
    pub cursor: Cursor<'t>,
    pub faults: &'f mut Vec<Fault>,
}

impl<'t> Parser<'t, '_> {
    /// Moves to the next statement at or after `pos`: after the end of the current statement, or at a line
    /// that begins like a statement.
    fn resume(&mut self, pos: usize) {
        self.cursor.seek(pos);
        while let Some(span) = self.cursor.peek_word() {
            let word = self.cursor.slice(&span);
            self.cursor.seek(span.start);
            if self.cursor.begins_line() && (word == ACCOUNT || self.is_setting(&span)) {
                return;
            }
            // A semicolon ends a statement after a parenthesis or a blank; elsewhere it may be text.
            let end = word.find(");").map(|i| i + 2).or_else(|| (word == ";").then_some(1));
            self.cursor.seek(end.map_or(span.end, |end| span.start + end));
            if end.is_some() || word.ends_with(';') {
                // Further semicolons have no effect.
                while self.cursor.peek_word().is_some_and(|span| self.cursor.slice(&span) == ";") {
                    self.cursor.word();
                }
                return;
            }
        }
    }

    /// Whether a configuration statement begins with the word at `span`.
    pub fn is_setting(&self, span: &Range<usize>) -> bool {
        let known = |word: &str| settings::first_words().any(|first| first == word);
        let mut rest = self.cursor;
        known(settings::head(self.cursor.slice(span))) && {
            let line = rest.rest_of_line();
            rest.slice(&line).contains(':')
        }
    }

    /// Reports a word with which no statement begins.
    fn unknown(&mut self, span: &Range<usize>) {
        let word = self.cursor.slice(span);
        let fault = Fault::new(span.clone(), format!("no statement begins with \"{word}\""));
        let name = settings::head(word);
        let fault = match nearest(name, settings::first_words().chain([ACCOUNT])) {
            _ if name.starts_with('\u{feff}') => fault.help("save the file without a byte order mark"),
            Some(ACCOUNT) if name == ACCOUNT => fault.help("remove the colon after ACCOUNT"),
            Some(near) => fault.help(format!("did you mean {near}?")),
            None if word == ";" => fault.help("the statement above has ended already"),
            None => fault
                .help("a statement begins with ACCOUNT; a comment has a line of its own and begins with #"),
        };
        self.faults.push(fault);
        self.cursor.seek(span.start);
        let mut line = self.cursor;
        let line = line.rest_of_line();
        if word.contains(':') {
            self.cursor.seek(line.end);
        } else {
            self.resume(span.end);
        }
    }

    pub fn error<T>(&mut self, fault: Fault, resume: usize) -> Result<T, Stop> {
        self.faults.push(fault);
        Err(Stop(resume))
    }

    /// Reports that the text ends where `wanted` is expected.
    pub fn ended<T>(&mut self, wanted: &str) -> Result<T, Stop> {
        let end = self.cursor.end();
        let fault = Fault::new(end.clone(), format!("unexpected end of file, expected {wanted}"))
            .help("a statement ends in \";\"");
        self.error(fault, end.end)
    }

    fn statement(&mut self, keyword: Range<usize>) -> Result<Statement<'t>, Stop> {
        let accounts = self.names("account")?;
        let using = if self.eat_word("USING") { self.class()? } else { None };
        let aliases = if self.eat_word("ALIASED") { Some(self.names("alias")?) } else { None };
        let domains = if self.eat_word("DOMAINS") { Some(self.names("domain")?) } else { None };
        self.keyword(
            "MATCHES",
            match (&domains, &aliases) {
                (Some(_), _) => "domain",
                (None, Some(_)) => "alias",
                (None, None) => "account",
            },
        )?;
        let Some(span) = self.cursor.word() else { return self.ended("an expression") };
        let expression = expression::read(self.cursor.slice(&span), span, self.faults);
        self.keyword("WITH", "expression")?;
        let (calls, deliver) = self.calls()?;
        let aliases = aliases.filter(|names| !matches!(&names[..], [name] if name.value == "*"));
        Ok(Statement { keyword, accounts, using, aliases, domains, expression, calls, deliver })
    }

    pub fn eat_word(&mut self, word: &str) -> bool {
        let next = self.cursor.peek_word();
        let found = next.filter(|span| self.cursor.slice(span) == word);
        if let Some(span) = &found {
            self.cursor.seek(span.end);
        }
        found.is_some()
    }

    /// Consumes `word`, which is expected after `what`.
    pub fn keyword(&mut self, word: &str, what: &str) -> Result<(), Stop> {
        let Some(span) = self.cursor.peek_word() else { return self.ended(word) };
        let found = self.cursor.slice(&span);
        if found == word {
            self.cursor.seek(span.end);
            return Ok(());
        }
        let fault = Fault::new(span.clone(), format!("expected {word}, found \"{found}\""));
        let fault = match (what, found) {
            ("alias", "USING") => fault.help("write USING before ALIASED"),
            ("domain", "USING" | "ALIASED") => fault.help(format!("write {found} before DOMAINS")),
            ("expression", _) if found.contains('%') => {
                fault.help("an expression has no blanks; WITH and the functions follow it")
            }
            ("expression", _) if found.trim_end_matches(';') == word => {
                fault.help("write the functions between WITH and the semicolon")
            }
            ("deliver", _) if found.contains(['@', ';']) => fault.help("write DELIVER TO local@domain"),
            _ if nearest(found, [word]).is_some() => fault.help(format!("did you mean {word}?")),
            ("account" | "alias", _) if nearest(found, ["DOMAINS"]).is_some() => {
                fault.help("did you mean DOMAINS?")
            }
            ("account" | "alias" | "domain", _) if self.follows_comma(span.start, word) => {
                fault.help(format!("remove the comma before {word}; it makes {word} a name of the list"))
            }
            ("account" | "alias" | "domain", _) => fault.help("names of a list are separated by commas"),
            _ => fault,
        };
        self.error(fault, span.start)
    }

    /// Whether the text before `pos` ends in a comma and `word`.
    fn follows_comma(&self, pos: usize, word: &str) -> bool {
        let before = self.cursor.slice(&(0..pos)).trim_end_matches(is_blank);
        before.strip_suffix(word).is_some_and(|list| list.trim_end_matches(is_blank).ends_with(','))
    }

    /// Parses a list of names. It continues as long as a comma is before or after a blank.
    fn names(&mut self, what: &str) -> Result<Vec<Name<'t>>, Stop> {
        let mut names: Vec<Name<'t>> = Vec::new();
        let mut empty = None;
        // Whether the next word continues the list after a blank beside a comma.
        let mut glue = false;
        loop {
            let Some(span) = self.cursor.word() else { return self.ended("a list of names") };
            let word = self.cursor.slice(&span);
            let mut start = span.start;
            for (i, part) in word.split(',').enumerate() {
                let name = Name { value: part, start };
                start = name.span().end + 1;
                match names.last_mut() {
                    Some(last) if glue && i == 0 && last.value.is_empty() => {
                        *last = name;
                    }
                    Some(_) if glue && i == 0 && part.is_empty() => {}
                    _ => names.push(name),
                }
            }
            glue = true;
            let next = self.cursor.peek_word();
            let more = next.is_some_and(|next| self.cursor.slice(&next).starts_with(','));
            if !word.ends_with(',') && !more {
                break;
            }
        }
        names.retain(|name| {
            if name.value.is_empty() && empty.is_none() {
                empty = Some(name.start);
            }
            !name.value.is_empty()
        });
        if let Some(pos) = empty {
            let fault = Fault::warning(pos..pos, format!("an empty {what} name is ignored"));
            self.faults.push(fault.help("remove the extra comma"));
        }
        if names.is_empty() {
            let pos = self.cursor.pos();
            let fault = Fault::new(pos.saturating_sub(1)..pos, format!("the list contains no {what}"));
            return self.error(fault.help("write at least one"), pos);
        }
        Ok(names)
    }

    fn class(&mut self) -> Result<Option<Class>, Stop> {
        let Some(span) = self.cursor.word() else { return self.ended("a class") };
        let word = self.cursor.slice(&span);
        let class = Class::from_name(word);
        if class.is_none() {
            let help = match nearest(word, Class::ALL.map(Class::name)) {
                Some(near) => format!("did you mean {near}?"),
                None => "known are alnum, alpha, number, ident, fqdn".into(),
            };
            self.faults.push(Fault::new(span, format!("unknown class \"{word}\"")).help(help));
        }
        Ok(class)
    }
}
