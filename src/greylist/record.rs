//! Entries of the store with their names: for listings, and as JSON lines for export and import.
//!
//! One object on each line. Times are seconds since 1970. Who writes a file by hand may write a time of RFC 3339 as a
//! string instead; an export has only seconds, and no second field with the same time, so that no line can contradict
//! itself.
//!
//! ```json
//! {"kind":"triplet","client":"192.0.2.0/24","sender":"bob@example.org","recipient":"foo@example.com","state":"waiting","first":1764550000}
//! {"kind":"triplet","client":"192.0.2.0/24","sender":"<>","recipient":"foo@example.com","state":"passed","first":1764550000,"delayed":310,"last":1764550310,"passes":1}
//! {"kind":"client","client":"name:example.org","passes":5,"last":1764550310}
//! {"kind":"correspondent","address":"bob@example.org","account":"foo@example.com","last":1764550310}
//! {"kind":"client","key":"cAAAAAAAAAAAAAAAA","passes":5,"last":1764550310}
//! ```
//!
//! An entry whose names are not stored has its key instead of them.

use super::entry::{Client, Times, Triplet};
use super::key::{Kind, key};
use mail_address::escape;
use serde_json::{Map, Value};
use std::fmt;

/// Longest name, in octets: an address of the longest local part and domain in quotes, with room for the marks of
/// normalisation.
pub const MAX_NAME: usize = 1024;

/// Longest line that is read, in octets: three names in which each octet is escaped, and the fields.
pub const MAX_LINE: usize = 24 * 1024;

/// Errors of one file that are kept with their text. Further ones are only counted, since they usually have the same cause.
pub const MAX_ERRORS: usize = 20;

/// Octets of a key, see [`key`].
const KEY: usize = 17;

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Of a triplet.
    Triplet(Triplet),
    /// Of a client.
    Client(Client),
    /// Of a correspondent: when the account wrote last. Its text in a store is this number.
    Correspondent(u64),
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// The names, as many as [`fields`] has.
    Names(Box<[Box<str>]>),
    /// The key; the names are not known.
    Key(Box<str>),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    about: About,
    state: State,
}

/// An error in a line, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A sentence fragment, which quotes at most a name of a field.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.help)
    }
}

impl State {
    /// The kind of the entry.
    pub fn kind(&self) -> Kind {
        match self {
            State::Triplet(_) => Kind::Triplet,
            State::Client(_) => Kind::Client,
            State::Correspondent(_) => Kind::Correspondent,
        }
    }

    /// Parses the text in a store; what follows the state is ignored. `None` if it is no state of this kind.
    pub fn parse(kind: Kind, text: &str) -> Option<State> {
        match kind {
            Kind::Triplet => text.parse().ok().map(State::Triplet),
            Kind::Client => text.parse().ok().map(State::Client),
            Kind::Correspondent => {
                let last = text.split_ascii_whitespace().next()?.parse().ok()?;
                Some(State::Correspondent(last))
            }
        }
    }

    /// The state that keeps most of both: an import must not take back a pass that the store has, nor the other way
    /// around. `self`, if the kinds differ.
    #[must_use]
    pub fn merge(self, other: State) -> State {
        match (self, other) {
            (State::Triplet(one), State::Triplet(two)) => State::Triplet(merge_triplets(one, two)),
            (State::Client(one), State::Client(two)) => {
                State::Client(Client { passes: one.passes.max(two.passes), last: one.last.max(two.last) })
            }
            (State::Correspondent(one), State::Correspondent(two)) => State::Correspondent(one.max(two)),
            (one, _) => one,
        }
    }

    /// How long a store keeps it from `now` on, in seconds; `None` if it has expired. A time in the future counts as
    /// now.
    pub fn ttl(&self, now: u64, times: &Times) -> Option<u64> {
        let (begin, whole) = match *self {
            State::Triplet(Triplet::Waiting { first }) => (first, times.window),
            State::Triplet(Triplet::Passed { last, .. })
            | State::Client(Client { last, .. })
            | State::Correspondent(last) => (last, times.max_age),
        };
        whole.checked_sub(now.saturating_sub(begin)).filter(|left| *left > 0)
    }
}

fn merge_triplets(one: Triplet, two: Triplet) -> Triplet {
    match (one, two) {
        (Triplet::Waiting { first: one }, Triplet::Waiting { first: two }) => {
            Triplet::Waiting { first: one.max(two) }
        }
        (Triplet::Waiting { .. }, passed) | (passed, Triplet::Waiting { .. }) => passed,
        (
            Triplet::Passed { first, delayed, last, passes },
            Triplet::Passed { first: other, delayed: other_delay, last: other_last, passes: other_passes },
        ) => {
            let (first, delayed) = (first, delayed).min((other, other_delay));
            Triplet::Passed { first, delayed, last: last.max(other_last), passes: passes.max(other_passes) }
        }
    }
}

/// Formats the text in a store.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Triplet(state) => state.fmt(f),
            State::Client(state) => state.fmt(f),
            State::Correspondent(last) => last.fmt(f),
        }
    }
}

/// The fields with the names of a kind, in the order of its key.
fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Triplet => &["client", "sender", "recipient"],
        Kind::Client => &["client"],
        Kind::Correspondent => &["address", "account"],
    }
}

/// The word for a kind in the field `kind`.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Triplet => "triplet",
        Kind::Client => "client",
        Kind::Correspondent => "correspondent",
    }
}

/// Appends names to the text of a state, so that the store shows them.
pub fn with_names(state: &str, names: &[&str]) -> String {
    let names: Vec<Value> = names.iter().map(|name| Value::from(*name)).collect();
    format!("{state} {}", Value::Array(names))
}

/// The names that a text in a store has after its state, if it has any.
pub fn names_of(text: &str) -> Option<Vec<String>> {
    // A state has no bracket.
    serde_json::from_str(&text[text.find('[')?..]).ok()
}

impl Record {
    /// A triplet. `sender` is what [`stable`](super::sender::stable) returns, or [`NULL_SENDER`](super::key::NULL_SENDER).
    pub fn triplet(client: &str, sender: &str, recipient: &str, state: Triplet) -> Self {
        Record::named(&[client, sender, recipient], State::Triplet(state))
    }

    /// A client.
    pub fn client(client: &str, state: Client) -> Self {
        Record::named(&[client], State::Client(state))
    }

    /// An address outside, and the account that wrote to it last at this time.
    pub fn correspondent(address: &str, account: &str, last: u64) -> Self {
        Record::named(&[address, account], State::Correspondent(last))
    }

    fn named(names: &[&str], state: State) -> Self {
        Record { about: About::Names(names.iter().map(|name| Box::from(*name)).collect()), state }
    }

    /// Makes a record of what a store has. Names that do not have this key are ignored. `None` if it is no entry.
    pub fn from_entry(entry: &str, text: &str) -> Option<Self> {
        let kind = key_kind(entry)?;
        let state = State::parse(kind, text)?;
        let names = names_of(text).filter(|names| names.len() == fields(kind).len());
        let names: Option<Vec<&str>> = names.as_ref().map(|names| names.iter().map(String::as_str).collect());
        match names.filter(|names| key(kind, names) == entry) {
            Some(names) => Some(Record::named(&names, state)),
            None => Some(Record { about: About::Key(entry.into()), state }),
        }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.state.kind()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The same entry in another state. `None` if that is one of another kind.
    pub fn with_state(self, state: State) -> Option<Self> {
        (state.kind() == self.kind()).then_some(Record { state, ..self })
    }

    /// The names, in the order of the key: client, sender and recipient; or client; or address and account. `None` if
    /// they are not known.
    pub fn names(&self) -> Option<Vec<&str>> {
        match &self.about {
            About::Names(names) => Some(names.iter().map(|name| &**name).collect()),
            About::Key(_) => None,
        }
    }

    /// The key in a store.
    pub fn key(&self) -> String {
        match &self.about {
            About::Names(names) => {
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                key(self.kind(), &names)
            }
            About::Key(key) => key.to_string(),
        }
    }

    /// The key and the text for a store, with the names if `readable`. See [`State::ttl`] for the expiry.
    pub fn entry(&self, readable: bool) -> (String, String) {
        let state = self.state.to_string();
        let text = match self.names().filter(|_| readable) {
            Some(names) => with_names(&state, &names),
            None => state,
        };
        (self.key(), text)
    }

    /// Parses a line.
    ///
    /// # Errors
    /// The first error of the line.
    pub fn parse(line: &str) -> Result<Self, Fault> {
        if line.len() > MAX_LINE {
            return Err(fault("the line is too long", format!("a record has at most {MAX_LINE} octets")));
        }
        let value: Value = serde_json::from_str(line).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            fault(
                format!("the line is not JSON at column {}: {}", error.column(), escape(message)),
                "each line has one whole object",
            )
        })?;
        let Value::Object(object) = value else {
            return Err(fault("the line is no object", "write {\"kind\": …}"));
        };
        Fields(&object).record()
    }
}

/// The kind of a key, if the text is one.
fn key_kind(text: &str) -> Option<Kind> {
    let digest = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    Kind::of(text).filter(|_| text.len() == KEY && text.bytes().all(digest))
}

/// Formats the line, without its end.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"kind\":\"{}\"", word(self.kind()))?;
        match &self.about {
            About::Names(names) => {
                for (field, name) in fields(self.kind()).iter().zip(names) {
                    write!(f, ",\"{field}\":{}", Value::from(&**name))?;
                }
            }
            About::Key(key) => write!(f, ",\"key\":{}", Value::from(&**key))?,
        }
        match self.state {
            State::Triplet(Triplet::Waiting { first }) => {
                write!(f, ",\"state\":\"waiting\",\"first\":{first}}}")
            }
            State::Triplet(Triplet::Passed { first, delayed, last, passes }) => write!(
                f,
                ",\"state\":\"passed\",\"first\":{first},\"delayed\":{delayed},\"last\":{last},\"passes\":{passes}}}"
            ),
            State::Client(Client { passes, last }) => write!(f, ",\"passes\":{passes},\"last\":{last}}}"),
            State::Correspondent(last) => write!(f, ",\"last\":{last}}}"),
        }
    }
}

fn fault(message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { message: message.into(), help: help.into() }
}

/// Which fields a line may have, and what is in them.
struct Fields<'j>(&'j Map<String, Value>);

impl Fields<'_> {
    fn record(&self) -> Result<Record, Fault> {
        let kind = match self.word("kind", "\"triplet\", \"client\" or \"correspondent\"")? {
            "triplet" => Kind::Triplet,
            "client" => Kind::Client,
            "correspondent" => Kind::Correspondent,
            other => {
                let message = format!("kind is \"{}\"", escape(other));
                return Err(fault(message, "write \"triplet\", \"client\" or \"correspondent\""));
            }
        };
        let (state, mut known) = self.state(kind)?;
        known.push("kind");
        let about = if self.0.contains_key("key") {
            known.push("key");
            About::Key(self.key(kind)?.into())
        } else {
            let names: Result<_, Fault> = fields(kind).iter().map(|field| self.name(field)).collect();
            known.extend(fields(kind));
            About::Names(names?)
        };
        match self.0.keys().find(|field| !known.contains(&field.as_str())) {
            None => Ok(Record { about, state }),
            Some(field) if fields(kind).contains(&field.as_str()) => {
                Err(fault(format!("{field} and key are both present"), "write the names or the key"))
            }
            Some(field) => {
                let message = format!("the field \"{}\" is unknown here", escape(field));
                Err(fault(message, format!("remove it; known are {}", known.join(", "))))
            }
        }
    }

    fn state(&self, kind: Kind) -> Result<(State, Vec<&'static str>), Fault> {
        Ok(match kind {
            Kind::Client => {
                let state = Client { passes: self.number("passes")?, last: self.time("last")? };
                (State::Client(state), vec!["passes", "last"])
            }
            Kind::Correspondent => (State::Correspondent(self.time("last")?), vec!["last"]),
            Kind::Triplet => match self.word("state", "\"waiting\" or \"passed\"")? {
                "waiting" => {
                    let state = Triplet::Waiting { first: self.time("first")? };
                    (State::Triplet(state), vec!["state", "first"])
                }
                "passed" => {
                    let state = Triplet::Passed {
                        first: self.time("first")?,
                        delayed: self.number("delayed")?,
                        last: self.time("last")?,
                        passes: self.number("passes")?,
                    };
                    (State::Triplet(state), vec!["state", "first", "delayed", "last", "passes"])
                }
                other => {
                    let message = format!("state is \"{}\"", escape(other));
                    return Err(fault(message, "write \"waiting\" or \"passed\""));
                }
            },
        })
    }

    fn get(&self, field: &str, want: &str) -> Result<&Value, Fault> {
        let missing = || fault(format!("{field} is missing"), format!("write {want}"));
        self.0.get(field).ok_or_else(missing)
    }

    fn word(&self, field: &str, want: &str) -> Result<&str, Fault> {
        let value = self.get(field, want)?.as_str();
        value.ok_or_else(|| fault(format!("{field} is no string"), format!("write {want}")))
    }

    fn name(&self, field: &str) -> Result<Box<str>, Fault> {
        let name = self.word(field, "a string")?;
        if name.is_empty() {
            let help = if field == "sender" { "the null sender is \"<>\"" } else { "write a name" };
            return Err(fault(format!("{field} is empty"), help));
        }
        if name.len() > MAX_NAME {
            return Err(fault(format!("{field} is too long"), format!("it has at most {MAX_NAME} octets")));
        }
        // Names in a key are separated by it.
        if name.contains('\0') {
            return Err(fault(format!("{field} has the character U+0000"), "remove it"));
        }
        Ok(name.into())
    }

    fn key(&self, kind: Kind) -> Result<&str, Fault> {
        let text = self.word("key", "the key of the entry")?;
        if key_kind(text) == Some(kind) {
            return Ok(text);
        }
        let help =
            format!("the key of a {} is \"{}\" and 16 letters of base64url", word(kind), kind.letter());
        Err(fault("key is no key of this kind", help))
    }

    fn number(&self, field: &str) -> Result<u64, Fault> {
        let value = self.get(field, "a number")?.as_u64();
        value.ok_or_else(|| fault(format!("{field} is no number from 0"), "write a whole number"))
    }

    /// Seconds since 1970, or a time of RFC 3339.
    fn time(&self, field: &str) -> Result<u64, Fault> {
        const WANT: &str = "seconds since 1970, or a time such as \"2026-12-01T03:00:00Z\"";
        let value = self.get(field, WANT)?;
        let text = || value.as_str()?.parse::<jiff::Timestamp>().ok()?.as_second().try_into().ok();
        let wrong = || fault(format!("{field} is no time"), format!("write {WANT}"));
        value.as_u64().or_else(text).ok_or_else(wrong)
    }
}

/// Reads a file of records line by line, and collects its errors. Empty lines are skipped.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    number: usize,
    errors: Vec<(usize, Fault)>,
    faulty: usize,
}

impl Lines {
    /// Takes the next line, without its end.
    pub fn line(&mut self, line: &[u8]) -> Option<Record> {
        self.number += 1;
        if line.trim_ascii().is_empty() {
            return None;
        }
        let text =
            str::from_utf8(line).map_err(|_| fault("the line is not UTF-8", "convert the file to UTF-8"));
        match text.and_then(Record::parse) {
            Ok(record) => Some(record),
            Err(error) => {
                self.faulty += 1;
                if self.errors.len() < MAX_ERRORS {
                    self.errors.push((self.number, error));
                }
                None
            }
        }
    }

    /// The first [`MAX_ERRORS`] errors with their lines, from 1.
    pub fn errors(&self) -> &[(usize, Fault)] {
        &self.errors
    }

    /// The number of lines with an error.
    pub fn faulty(&self) -> usize {
        self.faulty
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
