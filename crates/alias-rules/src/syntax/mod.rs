//! From text to tree. A statement that is wrong is left, and reading goes on at the next one.

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

/// Something wrong with the text at hand.
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

/// A name in a list. There may be a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'t> {
    pub value: &'t str,
    /// Where it begins in the text.
    pub start: usize,
}

impl Name<'_> {
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.value.len()
    }
}

/// Where `DELIVER TO` sends what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deliver<'t> {
    /// The address as written, in which `%account%` and `%alias%` stand for the names that matched.
    pub target: Name<'t>,
}

/// What a function looks at, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Unsaid,
    Index(i64),
    Account,
    Alias,
}

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub function: Function,
    /// The arguments but for the default of `CHAR`.
    pub arguments: Vec<Subject>,
    /// The last argument of `CHAR`.
    pub default: String,
    /// The call with its arguments.
    pub span: Range<usize>,
}

/// An alias statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement<'t> {
    /// The word `ACCOUNT`.
    pub keyword: Range<usize>,
    pub accounts: Vec<Name<'t>>,
    pub using: Option<Class>,
    /// `None` without `ALIASED` and for `ALIASED *`.
    pub aliases: Option<Vec<Name<'t>>>,
    /// `None` without `DOMAINS`: all domains that are ours.
    pub domains: Option<Vec<Name<'t>>>,
    pub expression: Expression,
    pub calls: Vec<Call>,
    /// `None` without `DELIVER TO`: the account in the domain of the alias.
    pub deliver: Option<Deliver<'t>>,
}

/// A statement cannot be read any further; the next one is to be looked for at this place.
pub(crate) struct Stop(usize);

/// Reads `text`; its alias statements go to `each`, one by one, as there may be many, its configuration
/// statements to `legacy`. Whether all could be read to their end; otherwise some are missing.
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
    /// Goes to the next statement at or behind `pos`: behind the end of this one, or where a line begins
    /// like one.
    fn resume(&mut self, pos: usize) {
        self.cursor.seek(pos);
        while let Some(span) = self.cursor.peek_word() {
            let word = self.cursor.slice(&span);
            self.cursor.seek(span.start);
            if self.cursor.begins_line() && (word == ACCOUNT || self.is_setting(&span)) {
                return;
            }
            // A semicolon ends a statement behind a parenthesis or a blank; elsewhere it may be text.
            let end = word.find(");").map(|i| i + 2).or_else(|| (word == ";").then_some(1));
            self.cursor.seek(end.map_or(span.end, |end| span.start + end));
            if end.is_some() || word.ends_with(';') {
                // Another one ends nothing.
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

    /// A word with which no statement begins.
    fn unknown(&mut self, span: &Range<usize>) {
        let word = self.cursor.slice(span);
        let fault = Fault::new(span.clone(), format!("no statement begins with \"{word}\""));
        let name = settings::head(word);
        let fault = match nearest(name, settings::first_words().chain([ACCOUNT])) {
            _ if name.starts_with('\u{feff}') => fault.help("save the file without a byte order mark"),
            Some(ACCOUNT) if name == ACCOUNT => fault.help("no colon stands behind ACCOUNT"),
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

    /// The text ends where `wanted` should stand.
    pub fn ended<T>(&mut self, wanted: &str) -> Result<T, Stop> {
        let end = self.cursor.end();
        let fault = Fault::new(end.clone(), format!("the file ends where {wanted} should stand"))
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

    /// Goes past `word`, which stands behind a list of `what`.
    pub fn keyword(&mut self, word: &str, what: &str) -> Result<(), Stop> {
        let Some(span) = self.cursor.peek_word() else { return self.ended(word) };
        let found = self.cursor.slice(&span);
        if found == word {
            self.cursor.seek(span.end);
            return Ok(());
        }
        let fault = Fault::new(span.clone(), format!("expected {word}, found \"{found}\""));
        let fault = match (what, found) {
            ("alias", "USING") => fault.help("USING stands in front of ALIASED"),
            ("domain", "USING" | "ALIASED") => fault.help(format!("{found} stands in front of DOMAINS")),
            ("expression", _) if found.contains('%') => {
                fault.help("an expression has no blanks; WITH and the functions follow it")
            }
            ("expression", _) if found.trim_end_matches(';') == word => {
                fault.help("functions stand between WITH and the semicolon")
            }
            ("deliver", _) if found.contains(['@', ';']) => fault.help("write DELIVER TO local@domain"),
            _ if nearest(found, [word]).is_some() => fault.help(format!("did you mean {word}?")),
            ("account" | "alias", _) if nearest(found, ["DOMAINS"]).is_some() => {
                fault.help("did you mean DOMAINS?")
            }
            ("account" | "alias" | "domain", _) if self.follows_comma(span.start, word) => {
                fault.help(format!("remove the comma in front of {word}; it makes {word} a name of the list"))
            }
            ("account" | "alias" | "domain", _) => fault.help("names of a list are separated by commas"),
            _ => fault,
        };
        self.error(fault, span.start)
    }

    /// Whether the word in front of `pos` is `word`, behind a comma.
    fn follows_comma(&self, pos: usize, word: &str) -> bool {
        let before = self.cursor.slice(&(0..pos)).trim_end_matches(is_blank);
        before.strip_suffix(word).is_some_and(|list| list.trim_end_matches(is_blank).ends_with(','))
    }

    /// A list of names: it goes on while a comma ends what was read or begins what comes.
    fn names(&mut self, what: &str) -> Result<Vec<Name<'t>>, Stop> {
        let mut names: Vec<Name<'t>> = Vec::new();
        let mut empty = None;
        // A name begins a list, follows a comma, or (`glue`) goes on where a blank stands beside a comma.
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
            self.faults.push(fault.help("remove the comma too many"));
        }
        if names.is_empty() {
            let pos = self.cursor.pos();
            let fault = Fault::new(pos.saturating_sub(1)..pos, format!("the list holds no {what}"));
            return self.error(fault.help("name one at least"), pos);
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
