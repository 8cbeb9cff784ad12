//! The line protocol of plug-ins, without I/O and without a clock: `docs/plug-ins.md` describes it.
//!
//! [`Conversation`] has the hello of the plug-in and the questions in flight. What an address may contain, so
//! that it is one field of one line, is decided in [`address_field`].

use super::super::line::{quoted, request_number};
use mail_address::{Address, lower};
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

/// The answer of a plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The account exists.
    Found,
    /// The account does not exist.
    NotFound,
    /// The plug-in does not know, for this reason.
    TempFail(String),
}

impl fmt::Display for Answer {
    /// Formats as in the protocol, not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Found => f.write_str("found"),
            Answer::NotFound => f.write_str("notfound"),
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
            ProtocolError::Unknown(id) => {
                write!(f, "protocol error: the question {id} was not asked or has its answer")
            }
        }
    }
}

/// The address as the last field of a question: the account with its local part quoted if necessary. In
/// domains where case does not matter it is in lower case, as mail servers deliver to it.
///
/// The error is the reason why no line can have this address. Everything that some program may take for the
/// end of a line is refused.
pub fn address_field(account: &Address, case_sensitive: bool) -> Result<String, String> {
    if let Some(malformed) = account.malformed() {
        return Err(malformed.to_string());
    }
    let Some(domain) = account.domain() else {
        return Err("the address has no domain".into());
    };
    if account.local().is_empty() {
        return Err("the address has no local part".into());
    }
    let local = if case_sensitive { account.local().into() } else { lower(account.local()) };
    let address = Address::new(&local, domain).map_err(|malformed| malformed.to_string())?.to_string();
    // Line separator and paragraph separator are not control characters.
    if address.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("control character in the address".into());
    }
    Ok(address)
}

/// One run of a plug-in or one connection to it. A question in flight has its caller `T`.
#[derive(Debug)]
pub struct Conversation<T> {
    name: Option<String>,
    last: u64,
    in_flight: BTreeMap<u64, T>,
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
        self.in_flight.first_key_value().map(|(_, caller)| caller)
    }

    /// The number of questions in flight.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the line that asks whether the account exists; `address` comes from [`address_field`]. Returns
    /// the caller if too many questions are in flight.
    pub fn ask(&mut self, address: &str, caller: T) -> Result<String, T> {
        if self.in_flight.len() >= self.limit {
            return Err(caller);
        }
        self.last += 1;
        self.in_flight.insert(self.last, caller);
        Ok(format!("{} exists {address}\n", self.last))
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
            if !self.in_flight.contains_key(&id) || answers.insert(id, answer).is_some() {
                return Err(ProtocolError::Unknown(id));
            }
        }
        let with_caller = |(id, answer)| self.in_flight.remove(&id).map(|caller| (caller, answer));
        Ok(answers.into_iter().filter_map(with_caller).collect())
    }

    /// Ends the conversation, and returns the callers of the questions in flight.
    pub fn into_callers(self) -> impl Iterator<Item = T> {
        self.in_flight.into_values()
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

/// `ID found`, `ID notfound` or `ID tempfail REASON`
fn parse_answer(line: &[u8]) -> Option<(u64, Answer)> {
    let (id, answer) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let number: u64 = request_number(id)?;
    let answer = match answer.split_once(' ') {
        None if answer == "found" => Answer::Found,
        None if answer == "notfound" => Answer::NotFound,
        None if answer == "tempfail" => Answer::TempFail("the plug-in gives no reason".into()),
        Some(("tempfail", reason)) => Answer::TempFail(reason.into()),
        _ => return None,
    };
    Some((number, answer))
}

#[cfg(test)]
mod tests {
    use super::super::super::line::MAX_QUOTED;
    use super::*;
    use mail_address::{MAX_DOMAIN, MAX_LOCAL_PART};
    use proptest::prelude::*;

    const HELLO: &str = "rcptd-plugin 1 test\n";

    /// A conversation after the hello in which the questions 1 to 3 are in flight.
    fn with_three() -> Conversation<char> {
        let mut conversation = Conversation::new(MAX_QUESTIONS);
        conversation.receive(HELLO.as_bytes()).unwrap();
        for (caller, want) in [('a', "1 exists x\n"), ('b', "2 exists x\n"), ('c', "3 exists x\n")] {
            assert_eq!(conversation.ask("x", caller).unwrap(), want);
        }
        conversation
    }

    /// The result as a line for each answer, or the error.
    fn shown(result: Result<Vec<(char, Answer)>, ProtocolError>) -> String {
        match result {
            Ok(answers) => {
                answers.iter().map(|(c, answer)| format!("{c} {answer}")).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn checks_the_hello() {
        let no_hello = "the first line is not";
        for (text, want) in [
            (HELLO, ""),
            ("rcptd-plugin 1 two words\n", ""),
            ("rcptd-plugin 2 test\n", "it uses version 2 of the protocol"),
            ("rcptd-plugin 2\n", "it uses version 2 of the protocol"),
            ("rcptd-plugin 1\n", no_hello),
            ("rcptd-plugin 1 \n", no_hello),
            ("rcptd-plugin  1 test\n", no_hello),
            ("rcptd-plugin 1 te\rst\n", no_hello),
            ("rcptd-plugin one test\n", no_hello),
            ("RCPTD-PLUGIN 1 test\n", no_hello),
            ("\n", no_hello),
            ("1 found\n", no_hello),
            ("rcptd-plugin 1 test\n1 found\n", "the question 1 was not asked"),
        ] {
            let got = shown(Conversation::new(1).receive(text.as_bytes()));
            assert!(if want.is_empty() { got.is_empty() } else { got.contains(want) }, "{text:?}: {got}");
        }
        let mut conversation = Conversation::<()>::new(1);
        assert_eq!(conversation.name(), None);
        conversation.receive(b"rcptd-plugin 1 na").unwrap();
        assert_eq!(conversation.name(), None, "the line has not ended");
        conversation.receive(b"me\n").unwrap();
        assert_eq!(conversation.name(), Some("name"));
    }

    #[test]
    fn reads_answers() {
        let (malformed, unknown) = ("not an answer", "was not asked or has its answer");
        for (text, want, in_flight) in [
            ("1 found\n", "a found", 2),
            ("3 notfound\n1 found\n", "a found, c notfound", 1),
            ("2 tempfail it is down\n", "b tempfail it is down", 2),
            ("2 tempfail\n", "b tempfail the plug-in gives no reason", 2),
            ("2 tempfail \u{e9}\t=\u{2028}\n", "b tempfail \u{e9}\t=\u{2028}", 2),
            ("2 fo", "", 3),
            ("", "", 3),
            ("4 found\n", unknown, 3),
            ("0 found\n", unknown, 3),
            // No answer of these octets counts.
            ("1 found\n1 found\n", unknown, 3),
            ("1 found\n2 found\n1 notfound\n", unknown, 3),
            ("1 found\nnonsense\n", malformed, 3),
            (HELLO, malformed, 3),
            ("\n", malformed, 3),
            ("found\n", malformed, 3),
            ("1\n", malformed, 3),
            ("1 \n", malformed, 3),
            ("1  found\n", malformed, 3),
            (" 1 found\n", malformed, 3),
            ("1\tfound\n", malformed, 3),
            ("1 found \n", malformed, 3),
            ("1 found\r\n", malformed, 3),
            ("1 FOUND\n", malformed, 3),
            ("1 found yes\n", malformed, 3),
            ("1 not found\n", malformed, 3),
            ("1 notfound\0\n", malformed, 3),
            ("+1 found\n", malformed, 3),
            ("01 found\n", malformed, 3),
            ("-1 found\n", malformed, 3),
            ("1.0 found\n", malformed, 3),
            ("99999999999999999999 found\n", malformed, 3),
            ("\u{661} found\n", malformed, 3),
        ] {
            let mut conversation = with_three();
            let got = shown(conversation.receive(text.as_bytes()));
            let failed = [malformed, unknown].contains(&want);
            assert!(if failed { got.contains(want) } else { got == want }, "{text:?}: {got}");
            assert_eq!(conversation.count(), in_flight, "{text:?}");
        }
        for octets in [&b"1 found\xff\n"[..], b"1 tempfail \xff\n", b"\xff\n"] {
            assert!(shown(with_three().receive(octets)).contains(malformed));
        }
    }

    #[test]
    fn a_question_has_one_answer() {
        let mut conversation = with_three();
        assert_eq!(conversation.oldest(), Some(&'a'));
        assert_eq!(shown(conversation.receive(b"1 found\n")), "a found");
        assert_eq!(conversation.oldest(), Some(&'b'));
        assert_eq!(conversation.receive(b"1 notfound\n"), Err(ProtocolError::Unknown(1)));
        assert_eq!(conversation.into_callers().collect::<String>(), "bc");
    }

    #[test]
    fn limits_the_questions_in_flight() {
        let mut conversation = Conversation::new(2);
        conversation.receive(HELLO.as_bytes()).unwrap();
        conversation.ask("x", 'a').unwrap();
        conversation.ask("x", 'b').unwrap();
        assert_eq!(conversation.ask("x", 'c'), Err('c'));
        conversation.receive(b"1 found\n").unwrap();
        assert_eq!(conversation.ask("x", 'd').unwrap(), "3 exists x\n", "a number is used once");
    }

    #[test]
    fn limits_the_length_of_a_line() {
        let reason = "x".repeat(MAX_LINE - "1 tempfail ".len());
        let longest = format!("1 tempfail {reason}");
        for (line, good) in [(format!("{longest}\n"), true), (format!("{longest}x\n"), false)] {
            for size in [1, 100, line.len()] {
                let mut conversation = with_three();
                let mut results = line.as_bytes().chunks(size).map(|piece| conversation.receive(piece));
                let failed = results.find_map(Result::err);
                assert_eq!(failed, (!good).then_some(ProtocolError::TooLong), "{size}");
            }
        }
        // Without an end.
        let mut conversation = with_three();
        assert_eq!(conversation.receive(&[b'1'; MAX_LINE]), Ok(Vec::new()));
        assert_eq!(conversation.receive(b"1"), Err(ProtocolError::TooLong));
        let error = with_three().receive(format!("{}\n", "é".repeat(MAX_LINE / 2)).as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 2 * MAX_QUOTED, "{error}");
    }

    #[test]
    fn an_address_is_one_field_of_one_line() {
        for (text, sensitive, want) in [
            ("foo@example.com", false, Ok("foo@example.com")),
            ("Foo@Example.COM", false, Ok("foo@example.com")),
            ("Foo@Example.COM", true, Ok("Foo@example.com")),
            ("\"a b\"@example.com", false, Ok("\"a b\"@example.com")),
            ("\"a\\\"b\\\\\"@example.com", false, Ok("\"a\\\"b\\\\\"@example.com")),
            ("GRÜẞE@example.com", false, Ok("grüße@example.com")),
            ("foo@bücher.example", false, Ok("foo@xn--bcher-kva.example")),
            ("foo", false, Err("the address has no domain")),
            ("@example.com", false, Err("the address has no local part")),
            ("\"a\nb\"@example.com", false, Err("control character in the address")),
            ("\"a\u{85}b\"@example.com", false, Err("control character in the address")),
            ("\"a\u{2028}b\"@example.com", false, Err("control character in the address")),
            ("\"a\u{2029}b\"@example.com", false, Err("control character in the address")),
        ] {
            let got = address_field(&Address::from_rcpt(text.as_bytes()), sensitive);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text:?}");
        }
        assert!(address_field(&Address::from_rcpt(b"\xff@example.com"), false).is_err());
    }

    #[test]
    fn the_longest_question_fits() {
        let domain = format!("{}.test", ["a"; 125].join("."));
        assert_eq!(domain.len(), MAX_DOMAIN - 1);
        let longest = Address::new(&"\"".repeat(MAX_LOCAL_PART), &domain).unwrap();
        let field = address_field(&longest, false).unwrap();
        let number = u64::MAX.to_string().len();
        assert!(number + " exists ".len() + field.len() + 1 < MAX_LINE / 2);
    }

    proptest! {
        /// Whatever the address is, its question is one line with three fields, and its last field is the address.
        #[test]
        fn questions_cannot_be_forged(local in any::<String>(), domain in "[a-z]{1,9}", sensitive: bool) {
            let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
            let Ok(field) = address_field(&address, sensitive) else { return Ok(()) };
            let line = Conversation::new(1).ask(&field, ()).unwrap();
            prop_assert_eq!(line.lines().collect::<Vec<_>>(), [format!("1 exists {field}")]);
            let read = Address::from_rcpt(field.as_bytes());
            prop_assert!(read.same_mailbox(&address, sensitive), "{}", field);
        }

        /// Octets give the same result in any pieces, except that an error spoils the answers of its piece. No
        /// answer is made up: each belongs to a question, and to a line with its number and word.
        #[test]
        fn pieces_do_not_matter(
            lines in prop::collection::vec(
                prop_oneof![
                    "[0-9]{1,2} (found|notfound|tempfail|tempfail [a-z ]{0,9})",
                    "[0-9a-z +.]{0,12}",
                    Just("x".repeat(MAX_LINE)),
                ],
                0..12,
            ),
            size in 1_usize..5000,
        ) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let start = || {
                let mut conversation = Conversation::new(MAX_QUESTIONS);
                conversation.receive(HELLO.as_bytes()).unwrap();
                for id in 1..=20_u64 {
                    conversation.ask("x", id).map_err(|_| ()).unwrap();
                }
                conversation
            };
            let whole = start().receive(text.as_bytes());
            let mut conversation = start();
            let mut answers = Vec::new();
            let mut failed = None;
            for piece in text.as_bytes().chunks(size) {
                match conversation.receive(piece) {
                    Ok(more) => answers.extend(more),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            for (id, answer) in &answers {
                let line = format!("{id} {answer}");
                let bare = format!("{id} tempfail");
                prop_assert!(lines.contains(&line) || lines.contains(&bare), "{}", line);
            }
            prop_assert_eq!(conversation.count(), 20 - answers.len());
            match whole {
                Ok(mut want) => {
                    want.sort_by_key(|(id, _)| *id);
                    answers.sort_by_key(|(id, _)| *id);
                    prop_assert_eq!((failed, answers), (None, want));
                }
                Err(error) => prop_assert_eq!(failed, Some(error)),
            }
        }

        #[test]
        fn reads_any_octets(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            let mut conversation = with_three();
            for piece in pieces {
                if conversation.receive(&piece).is_err() {
                    break;
                }
            }
        }
    }
}
