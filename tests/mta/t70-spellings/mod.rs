//! Every spelling of an alias, of an account and of a name that is neither, as real servers read it.
//!
//! `spellings.txt` has the arguments of RCPT TO and the outcome with each server. Whatever the spelling, the
//! recipient is refused, deferred, or delivered exactly once to the account: never passed on unresolved.

use crate::Outcome;
use crate::books::Copies;
use crate::smtp::Smtp;
use crate::stage::{SENDER, Stage};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const SPELLINGS: &str = include_str!("spellings.txt");

/// Fewer would be a file that was cut short.
const MIN_SPELLINGS: usize = 60;

/// The columns of the file.
const SERVERS: [&str; 4] = ["postfix-3.7", "postfix-3.10", "sendmail-8.17", "sendmail-8.18"];

/// What stands for `NAME`, and the mailbox of its mail.
const NAMES: [(&str, &str, Option<&str>); 3] = [
    ("alias", "foo-macys-m5", Some("foo")),
    ("account", "alice", Some("alice")),
    ("nobody", "nobody-here", None),
];

/// A line of the file for one server.
struct Spelling {
    number: usize,
    want: &'static str,
    argument: &'static str,
}

fn spellings(server: &str) -> Outcome<Vec<Spelling>> {
    let column = SERVERS.iter().position(|name| *name == server).ok_or("an unknown server")?;
    let lines = SPELLINGS.lines().zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(line, number)| {
            let (words, argument) = line.split_once('\t').ok_or(format!("line {number}: no tab"))?;
            let words: Vec<&str> = words.split_whitespace().collect();
            match words[..] {
                [want] => Ok(Spelling { number, want, argument }),
                _ if words.len() == SERVERS.len() => Ok(Spelling { number, want: words[column], argument }),
                _ => Err(format!("line {number}: one word, or one for each server")),
            }
        })
        .collect()
}

/// The octets that a line stands for: `NAME` and `UPPER` are the name, `\xNN` an octet, `\*N` the character
/// before it N times.
fn octets(argument: &str, name: &str) -> Outcome<Vec<u8>> {
    let text = argument.replace("NAME", name).replace("UPPER", &name.to_ascii_uppercase());
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        (rest, out) = match (first, tail) {
            (b'\\', [b'x', a, b, tail @ ..]) => {
                let digits = String::from_utf8_lossy(&[*a, *b]).into_owned();
                let octet = u8::from_str_radix(&digits, 16).map_err(|e| format!("{argument}: {e}"))?;
                (tail, [out, vec![octet]].concat())
            }
            (b'\\', [b'*', tail @ ..]) => {
                let end = tail.iter().position(|b| !b.is_ascii_digit()).unwrap_or(tail.len());
                let times =
                    String::from_utf8_lossy(&tail[..end]).parse().map_err(|e| format!("{argument}: {e}"))?;
                let last = out.last().copied().into_iter().cycle();
                (&tail[end..], out.iter().copied().chain(last.take(times)).collect())
            }
            _ => (tail, [out, vec![*first]].concat()),
        };
    }
    Ok(out)
}

/// One message to one recipient: the reply to RCPT, and whether it was taken in the end.
fn send(stage: &mut Stage<'_>, smtp: &mut Smtp, argument: &[u8], name: &str) -> Outcome<(String, bool)> {
    smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
    smtp.send_octets(&[b"RCPT TO:", argument, b"\r\n"].concat())?;
    let reply = smtp.reply()?;
    if !reply.matches("2") {
        smtp.ask("RSET", "250")?;
        return Ok((reply.0, false));
    }
    let end = smtp.message(&stage.post.text(name))?;
    stage.note(&end);
    Ok(if end.matches("250") { (reply.0, true) } else { (end.0, false) })
}

/// Whether this became of a name is what `want` says.
fn fits(want: &str, mailbox: Option<&str>, reply: &str, taken: bool, copies: &Copies) -> Outcome<bool> {
    let one = |mailbox: &str| taken && copies.len() == 1 && copies.get(mailbox) == Some(&1);
    let refused = !taken && copies.is_empty() && reply.starts_with('5');
    let deferred = !taken && copies.is_empty() && reply.starts_with('4');
    Ok(match (want, mailbox) {
        ("delivered", Some(mailbox)) => one(mailbox),
        ("delivered", None) => refused || deferred,
        ("refused", _) => refused,
        ("deferred", _) => deferred,
        // The server itself takes it to another domain, whatever rcptd is.
        ("elsewhere", _) => one("remote"),
        ("discarded", _) => taken && copies.is_empty(),
        _ => return Err(format!("{want:?} is no outcome")),
    })
}

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let spellings = spellings(stage.mta.kind.server.name)?;
    if spellings.len() < MIN_SPELLINGS {
        return Err(format!("{} spellings only", spellings.len()));
    }
    let mut replies = BTreeMap::new();
    for spelling in &spellings {
        for (kind, name, _) in NAMES {
            // A server may hang up at an argument that it cannot bear.
            let mut smtp = stage.post.connect()?;
            let message = format!("{}-{kind}", spelling.number);
            let said = send(stage, &mut smtp, &octets(spelling.argument, name)?, &message);
            replies.insert(message, said.unwrap_or_else(|e| (e, false)));
        }
    }
    stage.settle()?;
    let mut wrong = String::new();
    for spelling in &spellings {
        for (kind, _, mailbox) in NAMES {
            let message = format!("{}-{kind}", spelling.number);
            let (reply, taken) = &replies[&message];
            let copies = stage.books.copies(&stage.post.subject(&message))?;
            if !fits(spelling.want, mailbox, reply, *taken, &copies)? {
                let Spelling { number, want, argument } = spelling;
                let _ = write!(wrong, "\n  line {number}, {kind}, {argument}: want {want}, got ");
                let _ = if *taken { write!(wrong, "{copies:?}") } else { write!(wrong, "{reply:?}") };
            }
        }
    }
    if wrong.is_empty() {
        Ok(format!("{} spellings of {} names", spellings.len(), NAMES.len()))
    } else {
        Err(format!("recipients that went wrong:{wrong}"))
    }
}
