//! The configuration statements of the predecessor's three servers, which its rule files may contain. They
//! are parsed and checked here; the configuration of rcptd uses the values.

use super::Fault;
use super::cursor::Cursor;
use crate::vocabulary::{integer, is_blank};
use diagnostics::{Text, nearest};
use std::net::IpAddr;
use std::ops::Range;

/// The configuration statements that a text may contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The statements of the table server, and those of the milter that have an equivalent in rcptd.conf.
    /// Domains and case are refused, because they are settings of rcptd.
    #[default]
    TcpTable,
    /// The statements of all servers of the predecessor.
    Any,
}

/// The value of a configuration statement and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// The text that contains it.
    pub text: Text,
    /// The byte range of the value.
    pub span: Range<usize>,
}

/// A log level of the predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logging {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
}

impl Logging {
    const ALL: [Logging; 5] =
        [Logging::Debug, Logging::Info, Logging::Warning, Logging::Error, Logging::Critical];

    /// The name in the statement, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Logging::Debug => "debug",
            Logging::Info => "info",
            Logging::Warning => "warning",
            Logging::Error => "error",
            Logging::Critical => "critical",
        }
    }
}

/// The settings of all texts. The last of repeated settings counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HOST`: the address of the server.
    pub host: Option<Setting<IpAddr>>,
    /// `PORT`: the port of the server.
    pub port: Option<Setting<u16>>,
    /// `SMTP HOST`: the mail server for VRFY.
    pub smtp_host: Option<Setting<String>>,
    /// `SMTP PORT`: the port of that mail server.
    pub smtp_port: Option<Setting<u16>>,
    /// `LOCAL HOST`: the name in EHLO.
    pub local_host: Option<Setting<String>>,
    /// `LOCAL DOMAINS`: the domains whose recipients were looked up.
    pub local_domains: Option<Setting<Vec<String>>>,
    /// `ALIAS DOMAINS`: the domains of the virtual table server, in lower case.
    pub alias_domains: Option<Setting<Vec<String>>>,
    /// `LOGGING`
    pub logging: Option<Setting<Logging>>,
    /// `STATISTICS`: seconds between reports; 0 for no reports, `None` if switched off.
    pub statistics: Option<Setting<Option<u64>>>,
    /// `PROCESSOR`: a Python module.
    pub processor: Option<Setting<String>>,
    /// `CASE SENSITIVE`, which the predecessor ignored.
    pub case_sensitive: Option<Setting<bool>>,
    /// `PYTHON_IS_311`
    pub python_is_311: Option<Setting<bool>>,
    /// `DEBUG ACCOUNT`: the account that receives ambiguous mail; empty for none.
    pub debug_account: Option<Setting<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Host,
    Port,
    Logging,
    DebugAccount,
    Statistics,
    PythonIs311,
    Processor,
    AliasDomains,
    CaseSensitive,
    SmtpHost,
    SmtpPort,
    LocalHost,
    LocalDomains,
}

/// The words of each statement; the second one may be empty.
const ITEMS: [(&str, &str, Item); 13] = [
    ("HOST", "", Item::Host),
    ("PORT", "", Item::Port),
    ("LOGGING", "", Item::Logging),
    ("DEBUG", "ACCOUNT", Item::DebugAccount),
    ("STATISTICS", "", Item::Statistics),
    ("PYTHON_IS_311", "", Item::PythonIs311),
    ("PROCESSOR", "", Item::Processor),
    ("ALIAS", "DOMAINS", Item::AliasDomains),
    ("CASE", "SENSITIVE", Item::CaseSensitive),
    ("SMTP", "HOST", Item::SmtpHost),
    ("SMTP", "PORT", Item::SmtpPort),
    ("LOCAL", "HOST", Item::LocalHost),
    ("LOCAL", "DOMAINS", Item::LocalDomains),
];

/// The first words of all statements.
pub(crate) fn first_words() -> impl Iterator<Item = &'static str> {
    ITEMS.iter().map(|(first, _, _)| *first)
}

/// The part of a word before a colon, or the whole word.
pub(crate) fn head(word: &str) -> &str {
    word.split(':').next().unwrap_or(word)
}

/// Parses the statement that begins at `cursor` with the word at `first`, one of [`first_words`]. After
/// errors, too, the cursor is after the line with the value, or at the start of a line.
pub(crate) fn read(
    cursor: &mut Cursor<'_>,
    first: &Range<usize>,
    dialect: Dialect,
    text: &Text,
    legacy: &mut Settings,
    faults: &mut Vec<Fault>,
) {
    match statement(cursor, first) {
        Ok((item, words, value)) => {
            let result = if dialect == Dialect::TcpTable { refuse(item, &words) } else { Ok(()) }
                .and_then(|()| set(cursor, item, &value, text, legacy))
                .map(|()| faults.extend(without_effect(item, &words)));
            faults.extend(result.err());
        }
        Err(fault) => {
            // The rest of the line belongs to the statement.
            faults.push(fault);
            if !cursor.begins_line() {
                cursor.rest_of_line();
            }
        }
    }
}

/// Parses the words of the statement that begins at `cursor` with the word at `first`, one of
/// [`first_words`], and the span of its value. Afterwards the cursor is after the value.
pub(crate) fn parts(cursor: &mut Cursor<'_>, first: &Range<usize>) -> Option<(String, Range<usize>)> {
    let known = first_words().any(|known| known == head(cursor.slice(first)));
    let (item, _, value) = known.then(|| statement(cursor, first).ok()).flatten()?;
    Some((words_of(item), value))
}

/// Parses the kind of statement, the span of its words and the span of its value.
fn statement(
    cursor: &mut Cursor<'_>,
    first: &Range<usize>,
) -> Result<(Item, Range<usize>, Range<usize>), Fault> {
    let word = head(cursor.slice(first));
    let mut words = first.start..first.start + word.len();
    cursor.seek(words.end);
    let mut found = ITEMS.iter().find(|(f, second, _)| *f == word && second.is_empty());
    if found.is_none() {
        let glued = cursor.slice(first)[word.len()..].trim_start_matches(':');
        cursor.eat(':');
        let second = cursor.peek_word().unwrap_or_else(|| cursor.end());
        let seconds = || ITEMS.iter().filter(|(f, _, _)| *f == word).map(|(_, second, _)| *second);
        let name = head(cursor.slice(&second));
        found = ITEMS.iter().find(|(f, s, _)| *f == word && *s == name).filter(|_| glued.is_empty());
        if found.is_none() {
            let meant = nearest(name, seconds())
                .map_or_else(|| seconds().collect::<Vec<_>>().join(" or "), Into::into);
            return Err(Fault::new(words, format!("unknown statement \"{word} {name}\""))
                .help(format!("write {meant} after {word}")));
        }
        words.end = second.start + name.len();
        cursor.seek(words.end);
    }
    let Some((_, _, item)) = found else { return Err(Fault::new(words, "unknown statement")) };
    cursor.skip_blank();
    if !cursor.eat(':') {
        let name = words_of(*item);
        return Err(Fault::new(words, format!("no colon after {name}")).help(format!("write {name}: value")));
    }
    Ok((*item, words, cursor.rest_of_line()))
}

fn words_of(item: Item) -> String {
    let words = ITEMS.iter().find(|(_, _, i)| *i == item);
    words.map_or_else(String::new, |(first, second, _)| [*first, *second].join(" ").trim_end().into())
}

/// Refuses statements that were unknown to the table server and have a better equivalent in rcptd.conf.
fn refuse(item: Item, words: &Range<usize>) -> Result<(), Fault> {
    let key = match item {
        Item::AliasDomains => "domains",
        Item::CaseSensitive => "case_sensitive",
        _ => return Ok(()),
    };
    Err(Fault::new(words.clone(), format!("{} is not allowed in a file of rules", words_of(item)))
        .help(format!("set \"{key}\" in rcptd.conf instead")))
}

/// A warning for a statement that has no effect in rcptd.
fn without_effect(item: Item, words: &Range<usize>) -> Option<Fault> {
    let help = match item {
        Item::Statistics => "write log_interval below [statistics] instead; rcptd import trualias does",
        Item::PythonIs311 => "remove it; rcptd does not use Python",
        Item::Processor => {
            "the Python module is not called; use \"script\" instead, see rcptd.conf(5), or \"normalise\", which \
             replaces many such modules"
        }
        Item::CaseSensitive => "set \"case_sensitive\" in rcptd.conf instead",
        _ => return None,
    };
    Some(Fault::warning(words.clone(), format!("{} has no effect", words_of(item))).help(help))
}

/// Checks the value at `span` and stores it.
fn set(
    cursor: &Cursor<'_>,
    item: Item,
    span: &Range<usize>,
    text: &Text,
    legacy: &mut Settings,
) -> Result<(), Fault> {
    let value = cursor.slice(span);
    let bad = |what: &str| {
        let message = format!("\"{value}\" is not {what}");
        Fault::new(span.clone(), message)
    };
    let keep = Keep { text, span };
    match item {
        Item::Host => {
            let address = value.parse().map_err(|_| {
                bad("an IPv4 or IPv6 address")
                    .help("write an address such as 127.0.0.1; names are not looked up")
            })?;
            legacy.host = keep.setting(address);
        }
        Item::Port => legacy.port = keep.setting(port(value).ok_or_else(|| bad("a port"))?),
        Item::SmtpPort => legacy.smtp_port = keep.setting(port(value).ok_or_else(|| bad("a port"))?),
        Item::Logging => {
            let lower = value.to_lowercase();
            let level = Logging::ALL
                .into_iter()
                .find(|level| level.name() == lower)
                .ok_or_else(|| bad("a logging level").help("one of debug, info, warning, error, critical"))?;
            legacy.logging = keep.setting(level);
        }
        Item::DebugAccount => {
            if value.contains(is_blank) || value.contains('@') {
                return Err(bad("an account").help("a local part without blanks and \"@\""));
            }
            legacy.debug_account = keep.setting(value.into());
        }
        Item::Statistics => {
            let off = ["none", "no"].contains(&&*value.to_lowercase());
            let seconds = if off {
                None
            } else {
                let seconds =
                    integer(value).ok_or_else(|| bad("a number of seconds").help("a number, or no"))?;
                Some(u64::try_from(seconds).unwrap_or(0))
            };
            legacy.statistics = keep.setting(seconds);
        }
        Item::PythonIs311 => legacy.python_is_311 = keep.setting(boolean(value).ok_or_else(|| truth(&bad))?),
        Item::CaseSensitive => {
            legacy.case_sensitive = keep.setting(boolean(value).ok_or_else(|| truth(&bad))?);
        }
        Item::Processor => legacy.processor = keep.setting(value.into()),
        Item::SmtpHost => legacy.smtp_host = keep.setting(value.into()),
        Item::LocalHost => legacy.local_host = keep.setting(value.into()),
        Item::LocalDomains => legacy.local_domains = keep.setting(words(value)),
        Item::AliasDomains => legacy.alias_domains = keep.setting(words(&value.to_lowercase())),
    }
    Ok(())
}

struct Keep<'a> {
    text: &'a Text,
    span: &'a Range<usize>,
}

impl Keep<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "all settings are optional")]
    fn setting<T>(&self, value: T) -> Option<Setting<T>> {
        Some(Setting { value, text: self.text.clone(), span: self.span.clone() })
    }
}

fn port(value: &str) -> Option<u16> {
    integer(value).and_then(|n| u16::try_from(n).ok())
}

fn boolean(value: &str) -> Option<bool> {
    match &*value.to_lowercase() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn truth(bad: &impl Fn(&str) -> Fault) -> Fault {
    bad("a truth value").help("one of true, false, 1, 0")
}

fn words(value: &str) -> Vec<String> {
    value.split(is_blank).filter(|word| !word.is_empty()).map(Into::into).collect()
}
