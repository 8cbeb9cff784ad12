//! The line protocol of plug-ins, without I/O and without a clock: `docs/plug-ins.md` describes it.
//!
//! [`Conversation`] has the hello of the plug-in and the questions in flight. What an address may contain, so
//! that it is one field of one line, is decided in [`address_field`].

use crate::net::line::{account_parts, part_of_line, quoted, request_number};
use mail_address::Address;
use std::collections::BTreeMap;
use std::fmt;

/// Maximum length of a line in octets, without its end. The longest question has about 800 octets, the rest is
/// for the reason of a temporary failure. A program that never ends its line must not fill the memory.
pub const MAX_LINE: usize = 2048;

/// Maximum number of questions in flight, twice the maximum of `concurrency`: questions whose callers have
/// timed out count until they are answered.
pub const MAX_QUESTIONS: usize = 20_000;

/// The first word of both hellos.
const PROTOCOL: &str = "rcptd-plugin";

/// The version of the protocol.
const VERSION: &str = "1";

/// The hello of rcptd, with the end of its line.
pub fn hello() -> String {
    format!("{PROTOCOL} {VERSION}\n")
}

/// What is asked about an address: the word of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Whether the account exists.
    Exists,
    /// Which name the rules are searched for.
    Preprocess,
    /// Which address the mail goes to.
    Postprocess,
}

impl Word {
    /// All words.
    pub const ALL: [Word; 3] = [Word::Exists, Word::Preprocess, Word::Postprocess];

    /// The word as in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Word::Exists => "exists",
            Word::Preprocess => "preprocess",
            Word::Postprocess => "postprocess",
        }
    }

    /// Whether this answers the question.
    pub fn takes(self, answer: &Answer) -> bool {
        match answer {
            Answer::TempFail(_) => true,
            Answer::Found | Answer::NotFound => self == Word::Exists,
            Answer::Use(_) | Answer::Same | Answer::NoAlias => self != Word::Exists,
        }
    }
}

/// The answer of a plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The account exists.
    Found,
    /// The account does not exist.
    NotFound,
    /// This address takes the place of the one in the question: not empty, and not checked otherwise.
    Use(String),
    /// The address stays as it is.
    Same,
    /// The address is not an alias.
    NoAlias,
    /// The plug-in does not know, for this reason.
    TempFail(String),
}

impl fmt::Display for Answer {
    /// Formats as in the protocol, not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Found => f.write_str("found"),
            Answer::NotFound => f.write_str("notfound"),
            Answer::Use(address) => write!(f, "use {address}"),
            Answer::Same => f.write_str("same"),
            Answer::NoAlias => f.write_str("noalias"),
            Answer::TempFail(reason) => write!(f, "tempfail {reason}"),
        }
    }
}

/// Why the output of a plug-in is not of the protocol: text for the log, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line is longer than [`MAX_LINE`].
    TooLong,
    /// The first line is not a hello.
    NoHello(String),
    /// The hello has another version.
    Version(String),
    /// A line is not an answer.
    Malformed(String),
    /// An answer to a question with another word.
    Unfit(Word, String),
    /// An answer to a question that is not in flight.
    Unknown(u64),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::TooLong => {
                write!(f, "protocol error: a line is longer than {MAX_LINE} octets")
            }
            ProtocolError::NoHello(line) => {
                write!(f, "protocol error: the first line is not \"{PROTOCOL} {VERSION} NAME\": {line}")
            }
            ProtocolError::Version(version) => write!(
                f,
                "it uses version {version} of the protocol, but this rcptd uses version {VERSION}: install a \
                 plug-in for this version"
            ),
            ProtocolError::Malformed(line) => write!(f, "protocol error: not an answer: {line}"),
            ProtocolError::Unfit(word, line) => {
                write!(f, "protocol error: not an answer to \"{}\": {line}", word.name())
            }
            ProtocolError::Unknown(id) => {
                write!(f, "protocol error: the question {id} was not asked or has its answer")
            }
        }
    }
}

/// The address as the last field of a question, with its local part quoted if necessary. Unless
/// `case_sensitive`, it is in lower case, as mail servers deliver to it.
///
/// The error is the reason why no line can have this address. Everything that some program may take for the
/// end of a line is refused.
pub fn address_field(account: &Address, case_sensitive: bool) -> Result<String, String> {
    let (local, domain) = account_parts(account, case_sensitive)?;
    let address = Address::new(&local, domain).map_err(|malformed| malformed.to_string())?;
    part_of_line(address.to_string())
}

/// One run of a plug-in or one connection to it. A question in flight has its caller `T`.
#[derive(Debug)]
pub struct Conversation<T> {
    name: Option<String>,
    last: u64,
    in_flight: BTreeMap<u64, (Word, T)>,
    limit: usize,
    /// The beginning of a line whose end was not received yet.
    line: Vec<u8>,
}

impl<T> Conversation<T> {
    /// Before the hello. At most `limit` questions are in flight, see [`MAX_QUESTIONS`].
    pub fn new(limit: usize) -> Self {
        Conversation { name: None, last: 0, in_flight: BTreeMap::new(), limit, line: Vec::new() }
    }

    /// The name in the hello of the plug-in. Before it, nothing must be asked: the program may be any other.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The caller of the question that is in flight for longest.
    pub fn oldest(&self) -> Option<&T> {
        self.in_flight.first_key_value().map(|(_, (_, caller))| caller)
    }

    /// The number of questions in flight.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the line of a question; `address` comes from [`address_field`]. Returns the caller if too many
    /// questions are in flight.
    pub fn ask(&mut self, word: Word, address: &str, caller: T) -> Result<String, T> {
        if self.in_flight.len() >= self.limit {
            return Err(caller);
        }
        self.last += 1;
        self.in_flight.insert(self.last, (word, caller));
        Ok(format!("{} {} {address}\n", self.last, word.name()))
    }

    /// Takes octets that were read, and returns the answers in them. After an error, the answers in the same
    /// octets do not count: their questions are still in flight.
    pub fn receive(&mut self, octets: &[u8]) -> Result<Vec<(T, Answer)>, ProtocolError> {
        let mut answers = BTreeMap::new();
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let (piece, complete) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            if self.line.len() + piece.len() > MAX_LINE {
                return Err(ProtocolError::TooLong);
            }
            self.line.extend_from_slice(piece);
            if !complete {
                break;
            }
            let line = std::mem::take(&mut self.line);
            if self.name.is_none() {
                self.name = Some(parse_hello(&line)?);
                continue;
            }
            let (id, answer) = parse_answer(&line).ok_or_else(|| ProtocolError::Malformed(quoted(&line)))?;
            let open = self.in_flight.get(&id).filter(|_| !answers.contains_key(&id));
            let (word, _) = open.ok_or(ProtocolError::Unknown(id))?;
            if !word.takes(&answer) {
                return Err(ProtocolError::Unfit(*word, quoted(&line)));
            }
            answers.insert(id, answer);
        }
        let with_caller = |(id, answer)| self.in_flight.remove(&id).map(|(_, caller)| (caller, answer));
        Ok(answers.into_iter().filter_map(with_caller).collect())
    }

    /// Ends the conversation, and returns the callers of the questions in flight.
    pub fn into_callers(self) -> impl Iterator<Item = T> {
        self.in_flight.into_values().map(|(_, caller)| caller)
    }
}

/// `rcptd-plugin VERSION NAME`
fn parse_hello(line: &[u8]) -> Result<String, ProtocolError> {
    let no_hello = || ProtocolError::NoHello(quoted(line));
    let text = std::str::from_utf8(line).map_err(|_| no_hello())?;
    let mut words = text.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(PROTOCOL), Some(VERSION), Some(name))
            if !name.trim().is_empty() && !name.contains(char::is_control) =>
        {
            Ok(name.into())
        }
        (Some(PROTOCOL), Some(version), _)
            if version != VERSION && version.bytes().all(|b| b.is_ascii_digit()) && !version.is_empty() =>
        {
            Err(ProtocolError::Version(version.into()))
        }
        _ => Err(no_hello()),
    }
}

/// `ID found`, `ID notfound`, `ID use ADDRESS`, `ID same`, `ID noalias` or `ID tempfail REASON`
fn parse_answer(line: &[u8]) -> Option<(u64, Answer)> {
    let (id, answer) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let number: u64 = request_number(id)?;
    let answer = match answer.split_once(' ') {
        None if answer == "found" => Answer::Found,
        None if answer == "notfound" => Answer::NotFound,
        None if answer == "same" => Answer::Same,
        None if answer == "noalias" => Answer::NoAlias,
        None if answer == "tempfail" => Answer::TempFail("the plug-in gives no reason".into()),
        Some(("use", address)) if !address.is_empty() => Answer::Use(address.into()),
        Some(("tempfail", reason)) => Answer::TempFail(reason.into()),
        _ => return None,
    };
    Some((number, answer))
}

#[cfg(test)]
mod tests;
