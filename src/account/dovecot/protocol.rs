//! The protocol of Dovecot's auth service, as its delivery programs use it for lookups in the userdb, without I/O
//! and without a clock.
//!
//! Lines of fields that are separated by tabs. The server begins with its version and its process id; a client may
//! send its version and a question without waiting for them:
//!
//! ```text
//! S: VERSION  1  1
//! S: SPID  4711
//! C: VERSION  1  1
//! C: USER  1  foo@example.com  service=lmtp
//! S: USER  1  foo@example.com  uid=5000  gid=5000  home=/var/mail/foo
//! ```
//!
//! Other answers are `NOTFOUND  ID` and `FAIL  ID`. Dovecot replies `FAIL` if the client may not look up this user. If
//! it cannot open its list of users, version 2.3 replies `FAIL` and 2.4 `NOTFOUND`; if the list is empty, both reply
//! `NOTFOUND` for every name.

use crate::net::line::{account_parts, part_of_line, quoted, request_number};
use mail_address::Address;
use std::fmt;

/// Maximum length of a line of the server in octets, without its end: that of Dovecot's own client. An answer has the
/// fields of a user, such as its quota rules.
pub const MAX_LINE: usize = 8192;

/// Maximum length of a request in octets, with the end of its line: Dovecot closes the connection after a longer one.
pub const MAX_REQUEST: usize = 1024;

/// The major version of the protocol. The minor one may differ.
const MAJOR: &str = "1";

/// The version of this client, with the end of its line.
const HELLO: &str = "VERSION\t1\t1\n";

/// The answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The userdb has the user.
    Found,
    /// The userdb does not have the user, or the name has a character that `auth_username_chars` lacks.
    NotFound,
    /// The lookup failed temporarily, with the fields of the answer.
    TempFail(String),
}

impl fmt::Display for Answer {
    /// Formats with the words of the protocol, not escaped. The fields of a user are omitted, since they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Found => f.write_str("found"),
            Answer::NotFound => f.write_str("NOTFOUND"),
            Answer::TempFail(fields) if fields.is_empty() => {
                f.write_str("FAIL, for a reason that is in the log of Dovecot")
            }
            Answer::TempFail(fields) => write!(f, "FAIL {fields}"),
        }
    }
}

/// A violation of the protocol by the server; text for the log, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line is longer than [`MAX_LINE`].
    TooLong,
    /// The first line is not a version.
    NoVersion(String),
    /// Another major version.
    Version(String),
    /// A line is not an answer.
    Malformed(String),
    /// An answer to another question.
    Unknown(u32),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::TooLong => write!(f, "protocol error: a line is longer than {MAX_LINE} octets"),
            ProtocolError::NoVersion(line) => write!(
                f,
                "protocol error: the first line is not a version: {line}: name a socket of Dovecot's auth service, \
                 such as rcptd-userdb"
            ),
            ProtocolError::Version(version) => {
                write!(f, "it uses version {version} of the protocol, but this rcptd uses version {MAJOR}")
            }
            ProtocolError::Malformed(line) => write!(
                f,
                "protocol error: not an answer: {line}: name a socket of Dovecot's auth service whose type is userdb"
            ),
            ProtocolError::Unknown(id) => {
                write!(f, "protocol error: the question {id} was not asked or has its answer")
            }
        }
    }
}

/// The name of the user who has this account: `local@domain`, without quotes. In domains where case does not matter it
/// is in lower case.
///
/// The error is the reason why Dovecot cannot look it up: no request can contain this name, or Dovecot would read
/// another address in it.
pub fn user_name(account: &Address, case_sensitive: bool) -> Result<String, String> {
    let (local, domain) = account_parts(account, case_sensitive)?;
    if local.contains('@') {
        return Err("@ in the local part".into());
    }
    part_of_line(format!("{local}@{domain}"))
}

/// One connection, in which at most one question waits for its answer.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Whether the version of the server was received.
    greeted: bool,
    last: u32,
    waits: bool,
    /// The beginning of a line whose end was not received yet.
    line: Vec<u8>,
}

impl Conversation {
    /// Whether no request was sent yet.
    pub fn is_new(&self) -> bool {
        self.last == 0
    }

    /// Returns the request for `user`, which comes from [`user_name`], with the version before the first request. The
    /// error is the reason why Dovecot would not accept it.
    pub fn ask(&mut self, user: &str, service: &str) -> Result<String, String> {
        let line = format!("USER\t{}\t{user}\tservice={service}\n", self.last.wrapping_add(1));
        if line.len() > MAX_REQUEST {
            return Err("the address is longer than a request may be".into());
        }
        let hello = if self.is_new() { HELLO } else { "" };
        self.last = self.last.wrapping_add(1);
        self.waits = true;
        Ok(format!("{hello}{line}"))
    }

    /// Processes octets that were read, and returns the answer if it is complete. After an error, and after octets that
    /// follow an answer, no answer counts.
    pub fn receive(&mut self, octets: &[u8]) -> Result<Option<Answer>, ProtocolError> {
        let mut answer = None;
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
            if !self.greeted {
                parse_version(&line)?;
                self.greeted = true;
            } else if answer.is_some() || !line.starts_with(b"SPID\t") {
                let (id, its) = parse_answer(&line).ok_or_else(|| ProtocolError::Malformed(quoted(&line)))?;
                if !self.waits || id != self.last {
                    return Err(ProtocolError::Unknown(id));
                }
                self.waits = false;
                answer = Some(its);
            }
        }
        match answer {
            Some(_) if !self.line.is_empty() => Err(ProtocolError::Malformed(quoted(&self.line))),
            answer => Ok(answer),
        }
    }
}

/// `VERSION MAJOR MINOR`
fn parse_version(line: &[u8]) -> Result<(), ProtocolError> {
    let no_version = || ProtocolError::NoVersion(quoted(line));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = std::str::from_utf8(line).map_err(|_| no_version())?;
    let fields: Vec<&str> = text.split('\t').collect();
    match fields[..] {
        ["VERSION", major, minor, ..] if number(major) && number(minor) => {
            if major == MAJOR {
                Ok(())
            } else {
                Err(ProtocolError::Version(major.into()))
            }
        }
        _ => Err(no_version()),
    }
}

/// `USER ID NAME [FIELD...]`, `NOTFOUND ID` or `FAIL ID [FIELD...]`
fn parse_answer(line: &[u8]) -> Option<(u32, Answer)> {
    // The fields of a user may have any octets.
    let mut fields = line.split(|octet| *octet == b'\t');
    let word = fields.next()?;
    let id = std::str::from_utf8(fields.next()?).ok()?;
    let number: u32 = request_number(id)?;
    let answer = match word {
        b"USER" if fields.next().is_some_and(|name| !name.is_empty()) => Answer::Found,
        b"NOTFOUND" => Answer::NotFound,
        b"FAIL" => {
            let fields: Vec<&[u8]> = fields.collect();
            Answer::TempFail(quoted(&fields.join(&b' ')))
        }
        _ => return None,
    };
    Some((number, answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::settings::MAX_SERVICE;
    use crate::net::line::MAX_QUOTED;
    use mail_address::{MAX_DOMAIN, MAX_LOCAL_PART};
    use proptest::prelude::*;

    const GREETING: &str = "VERSION\t1\t1\nSPID\t4711\n";

    /// A conversation after the greeting and one answer, in which the request 2 is pending.
    fn waiting() -> Conversation {
        let mut conversation = Conversation::default();
        assert_eq!(
            conversation.ask("a@b.test", "lmtp").unwrap(),
            "VERSION\t1\t1\nUSER\t1\ta@b.test\tservice=lmtp\n"
        );
        assert_eq!(conversation.receive(GREETING.as_bytes()), Ok(None));
        assert_eq!(conversation.receive(b"USER\t1\ta@b.test\n"), Ok(Some(Answer::Found)));
        assert_eq!(conversation.ask("foo@b.test", "lda").unwrap(), "USER\t2\tfoo@b.test\tservice=lda\n");
        conversation
    }

    fn shown(result: Result<Option<Answer>, ProtocolError>) -> String {
        match result {
            Ok(answer) => answer.map_or("-".into(), |answer| answer.to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn checks_the_version() {
        let no_version = "the first line is not a version";
        for (text, want) in [
            (GREETING, "-"),
            ("VERSION\t1\t0\n", "-"),
            ("VERSION\t1\t99\tmore\n", "-"),
            ("VERSION\t1\t1\nSPID\t1\nUSER\t1\ta@b.test\tuid=1\n", "found"),
            ("VERSION\t2\t0\n", "it uses version 2 of the protocol"),
            ("VERSION\t01\t0\n", "it uses version 01 of the protocol"),
            ("VERSION\t1\n", no_version),
            ("VERSION\t1\tx\n", no_version),
            ("VERSION\tone\t1\n", no_version),
            ("VERSION 1 1\n", no_version),
            ("version\t1\t1\n", no_version),
            ("SPID\t4711\nVERSION\t1\t1\n", no_version),
            ("USER\t1\ta@b.test\n", no_version),
            ("NOTFOUND\t1\n", no_version),
            ("220 mail.example.test ESMTP\r\n", no_version),
            ("\n", no_version),
        ] {
            let mut conversation = Conversation::default();
            conversation.ask("a@b.test", "lmtp").unwrap();
            let got = shown(conversation.receive(text.as_bytes()));
            assert!(got.contains(want), "{text:?}: {got}");
        }
    }

    #[test]
    fn reads_answers() {
        let (malformed, unknown) = ("not an answer", "was not asked or has its answer");
        for (text, want) in [
            ("USER\t2\tfoo@b.test\n", "found"),
            ("USER\t2\tother@c.test\tuid=5000\tgid=5000\thome=/x\n", "found"),
            ("USER\t2\tfoo@b.test\t\t=\n", "found"),
            ("NOTFOUND\t2\n", "NOTFOUND"),
            ("NOTFOUND\t2\treason=x\n", "NOTFOUND"),
            ("FAIL\t2\n", "FAIL, for a reason that is in the log of Dovecot"),
            ("FAIL\t2\treason=down\tcode=temp_fail\n", "FAIL reason=down code=temp_fail"),
            ("SPID\t1\nNOTFOUND\t2\n", "NOTFOUND"),
            ("NOTFOUND\t2", "-"),
            ("", "-"),
            ("NOTFOUND\t1\n", unknown),
            ("NOTFOUND\t3\n", unknown),
            ("USER\t0\tfoo@b.test\n", unknown),
            // An answer does not count if others follow it.
            ("NOTFOUND\t2\nNOTFOUND\t2\n", unknown),
            ("USER\t2\tfoo@b.test\nNOTFOUND\t2\n", unknown),
            ("NOTFOUND\t2\nx", malformed),
            ("NOTFOUND\t2\nx\n", malformed),
            ("NOTFOUND\t2\nSPID\t1\n", malformed),
            (GREETING, malformed),
            ("\n", malformed),
            ("NOTFOUND\n", malformed),
            ("NOTFOUND 2\n", malformed),
            ("NOTFOUND\t\n", malformed),
            ("NOTFOUND\t2\r\n", malformed),
            ("NOTFOUND\t+2\n", malformed),
            ("NOTFOUND\t02\n", malformed),
            ("NOTFOUND\t-2\n", malformed),
            ("NOTFOUND\t4294967298\n", malformed),
            ("notfound\t2\n", malformed),
            (" NOTFOUND\t2\n", malformed),
            ("NOTFOUND2\n", malformed),
            ("USER\t2\n", malformed),
            ("USER\t2\t\n", malformed),
            ("USER\t2\t\tuid=1\n", malformed),
            ("PASS\t2\tuser=foo\n", malformed),
            ("OK\t2\n", malformed),
            ("MECH\tPLAIN\tplaintext\n", malformed),
        ] {
            let got = shown(waiting().receive(text.as_bytes()));
            let failed = [malformed, unknown].contains(&want);
            assert!(if failed { got.contains(want) } else { got == want }, "{text:?}: {got}");
        }
        assert_eq!(waiting().receive(b"USER\t2\tfoo\xff\thome=\xff\n"), Ok(Some(Answer::Found)));
        assert!(shown(waiting().receive(b"NOTFOUND\t2\xff\n")).contains(malformed));
        // No request is pending.
        let mut conversation = waiting();
        conversation.receive(b"NOTFOUND\t2\n").unwrap();
        assert_eq!(conversation.receive(b"NOTFOUND\t2\n"), Err(ProtocolError::Unknown(2)));
    }

    #[test]
    fn limits_the_length_of_a_line() {
        let longest = format!("USER\t2\t{}", "x".repeat(MAX_LINE - "USER\t2\t".len()));
        for (line, want) in [
            (format!("{longest}\n"), Ok(Some(Answer::Found))),
            (format!("{longest}x\n"), Err(ProtocolError::TooLong)),
        ] {
            for size in [1, 100, line.len()] {
                let mut conversation = waiting();
                let mut results = line.as_bytes().chunks(size).map(|piece| conversation.receive(piece));
                assert_eq!(results.find(|result| *result != Ok(None)), Some(want.clone()), "{size}");
            }
        }
        // Without an end.
        let mut conversation = waiting();
        assert_eq!(conversation.receive(&[b'1'; MAX_LINE]), Ok(None));
        assert_eq!(conversation.receive(b"1"), Err(ProtocolError::TooLong));
        let error = waiting().receive(format!("{}\n", "é".repeat(MAX_LINE / 2)).as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 3 * MAX_QUOTED, "{error}");
    }

    #[test]
    fn a_user_is_one_field_of_one_line() {
        for (text, sensitive, want) in [
            ("foo@example.com", false, Ok("foo@example.com")),
            ("Foo@Example.COM", false, Ok("foo@example.com")),
            ("Foo@Example.COM", true, Ok("Foo@example.com")),
            ("\"a b\"@example.com", false, Ok("a b@example.com")),
            ("GRÜẞE@example.com", false, Ok("grüße@example.com")),
            ("foo@bücher.example", false, Ok("foo@xn--bcher-kva.example")),
            ("foo", false, Err("the address has no domain")),
            ("@example.com", false, Err("the address has no local part")),
            ("\"a@b\"@example.com", false, Err("@ in the local part")),
            ("\"a\tb\"@example.com", false, Err("control character in the address")),
            ("\"a\nb\"@example.com", false, Err("control character in the address")),
            ("\"a\u{1}b\"@example.com", false, Err("control character in the address")),
            ("\"a\u{85}b\"@example.com", false, Err("control character in the address")),
            ("\"a\u{2028}b\"@example.com", false, Err("control character in the address")),
        ] {
            let got = user_name(&Address::from_rcpt(text.as_bytes()), sensitive);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text:?}");
        }
        assert!(user_name(&Address::from_rcpt(b"\xff@example.com"), false).is_err());
    }

    #[test]
    fn the_longest_question_fits() {
        let domain = format!("{}.test", ["a"; 125].join("."));
        assert_eq!(domain.len(), MAX_DOMAIN - 1);
        let longest = Address::new(&"x".repeat(MAX_LOCAL_PART), &domain).unwrap();
        let user = user_name(&longest, false).unwrap();
        let service = "x".repeat(MAX_SERVICE);
        let mut conversation = Conversation { last: u32::MAX - 1, ..Conversation::default() };
        let line = conversation.ask(&user, &service).unwrap();
        assert!(line.len() < MAX_REQUEST * 2 / 3, "{}", line.len());
        // A name in lower case may be longer than its address.
        let (before, after) = ("USER\t1\t".len(), "\tservice=lmtp\n".len());
        let user = "x".repeat(MAX_REQUEST - before - after);
        let mut conversation = Conversation::default();
        assert!(conversation.ask(&format!("{user}x"), "lmtp").is_err());
        assert!(conversation.is_new());
        assert!(conversation.ask(&user, "lmtp").is_ok());
    }

    proptest! {
        /// Whatever the address is, its request is one line with four fields.
        #[test]
        fn questions_cannot_be_forged(local in any::<String>(), domain in "[a-z]{1,9}", sensitive: bool) {
            let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
            let Ok(user) = user_name(&address, sensitive) else { return Ok(()) };
            let mut conversation = waiting();
            let line = conversation.ask(&user, "lmtp").unwrap();
            let line = line.strip_suffix('\n').unwrap();
            let ends_early = line.contains(['\n', '\r', '\0', '\u{1}']);
            prop_assert!(!ends_early);
            let fields: Vec<&str> = line.split('\t').collect();
            prop_assert_eq!(&fields, &["USER", "3", &user, "service=lmtp"]);
            let (_, its_domain) = user.split_once('@').unwrap();
            prop_assert_eq!(Some(its_domain), address.domain());
        }

        #[test]
        fn reads_any_octets(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            let mut conversation = waiting();
            for piece in pieces {
                if conversation.receive(&piece).is_err() {
                    break;
                }
            }
        }
    }
}
