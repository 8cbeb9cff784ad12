//! The language of the `scenario` files: one step per line.
//!
//! ```text
//! # A comment. The first one is the scenario's title.
//! on postfix                      only with these servers (a family or a name, comma separated)
//! on tables,both                  with these wirings and not by the milter alone: tables (that is socketmap and
//!                                 tcp), both, maps, virtuser; servers may be named as well
//! @sendmail STEP                  this step only with these servers, or wirings
//!
//! connect [CLIENT]                SMTP connection, greeting, EHLO; CLIENT names it if there are several
//! C: TEXT        C CLIENT: TEXT   send a line; lines without an S: between go out in one packet
//! send [CLIENT]                   send those lines now
//! S: PATTERN     S CLIENT: ...    read a reply, which must begin with PATTERN; * stands for any text
//! message NAME [by CLIENT]        DATA and a message of that subject; the last reply is left for S:
//! text NAME                       the message alone, after a C: DATA
//! bdat NAME                       the message as one BDAT LAST
//! bdat NAME in N chunks           the same in N pieces
//! mail NAME to ADDRESS...         a whole transaction that must be accepted, ended by RSET if it is not
//! submit NAME from ADDRESS to ADDRESS...      by sendmail(1) in the container
//!
//! delivered NAME: BOX N, BOX N    wait until all is done; these copies and no others (or: nowhere)
//! envelope NAME in BOX: ADDRESS   the copy in BOX was delivered to this envelope recipient
//! header NAME in BOX: PATTERN     the copy in BOX has a header field like this
//! no header NAME in BOX: PATTERN  it has none
//! report NAME to BOX: PATTERN     BOX has a delivery report about it with a line like this
//! no report NAME                  nobody has a report about it
//!
//! took 8 to 30 s                  how long the last reply of an S: took
//! postmap MAP KEY -> VALUE        what postmap -q says of a map that rcptd serves, by each protocol by which it
//!                                 serves it; a value, or the words none and error
//!
//! rcptd start|stop|kill|reload
//! rules FILE | config FILE        put FILE of the scenario's folder in place of the rules, the configuration
//! put FILE as NAME                the same with any file that the configuration names
//! accounts gone|back              the list of accounts, where it is the account source
//! vrfy up|down|hang|open          the VRFY server: in order, refusing connections, silent, one that accepts
//!                                 anything or, with tables, asks rcptd
//! redis KEY = VALUE | redis up | redis down       a database, with these entries whenever it is up
//! log PATTERN | mta log PATTERN   rcptd's, the mail server's log has such a line in this scenario
//! no log PATTERN                  rcptd's has none by now
//! ```

use crate::Outcome;
use crate::wiring::{Kind, Selection};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Connect { client: String },
    Send { client: String, line: String },
    Flush { client: String },
    Reply { client: String, pattern: String },
    Message { client: String, name: String },
    Text { name: String },
    Bdat { name: String, chunks: usize },
    Mail { name: String, to: Vec<String> },
    Submit { name: String, from: String, to: Vec<String> },
    Delivered { name: String, copies: Vec<(String, usize)> },
    Envelope { name: String, mailbox: String, address: String },
    Header { name: String, mailbox: String, pattern: String },
    NoHeader { name: String, mailbox: String, pattern: String },
    Report { name: String, mailbox: String, pattern: String },
    NoReport { name: String },
    Took { least: f32, most: f32 },
    Postmap { map: String, key: String, want: Want },
    Rcptd(Rcptd),
    Rules(String),
    Config(String),
    Put { file: String, name: String },
    Accounts { gone: bool },
    RedisEntry { key: String, value: String },
    Redis { up: bool },
    Vrfy(Vrfy),
    Log(String),
    NoLog(String),
    MtaLog(String),
}

/// What a map is to say of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Value(String),
    None,
    Error,
}

/// What is done with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcptd {
    Start,
    Stop,
    Kill,
    Reload,
}

/// How the VRFY server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vrfy {
    Up,
    Down,
    Hang,
    Open,
}

/// A step and the line it stands in.
#[derive(Clone, Debug)]
pub struct Line {
    pub number: usize,
    only: Selection,
    pub step: Step,
}

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Script {
    pub title: String,
    only: Selection,
    lines: Vec<Line>,
}

impl Script {
    /// Reads a scenario; an error names the line.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut script = Script { title: String::new(), only: Selection::default(), lines: Vec::new() };
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if let Some(comment) = line.strip_prefix('#') {
                if script.title.is_empty() {
                    comment.trim().clone_into(&mut script.title);
                }
            } else if let Some(selection) = line.strip_prefix("on ") {
                script.only = Selection::parse(selection).map_err(|e| format!("line {number}: {e}"))?;
            } else if !line.is_empty() {
                let (only, step) = match line.strip_prefix('@') {
                    Some(rest) => {
                        let (only, step) = rest.split_once(' ').ok_or(format!("line {number}: no step"))?;
                        let only = Selection::parse(only).map_err(|e| format!("line {number}: {e}"))?;
                        (only, step.trim())
                    }
                    None => (Selection::default(), line),
                };
                let step = parse_step(step).ok_or(format!("line {number}: not understood: {line}"))?;
                script.lines.push(Line { number, only, step });
            }
        }
        if script.title.is_empty() || script.lines.is_empty() {
            return Err("a scenario has a title and steps".to_owned());
        }
        Ok(script)
    }

    /// Whether it is meant for `kind`.
    pub fn is_for(&self, kind: &Kind) -> bool {
        self.only.is_for(kind)
    }

    /// The steps for `kind`.
    pub fn lines(&self, kind: &Kind) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.only.has(kind))
    }
}

fn parse_step(line: &str) -> Option<Step> {
    if let Some(step) = parse_dialogue(line) {
        return Some(step);
    }
    let (verb, rest) = line.split_once(' ').map_or((line, ""), |(verb, rest)| (verb, rest.trim()));
    let one = || (!rest.is_empty() && !rest.contains(' ')).then(|| rest.to_owned());
    Some(match verb {
        "connect" => Step::Connect { client: rest.to_owned() },
        "send" => Step::Flush { client: rest.to_owned() },
        "message" => match rest.split_once(" by ") {
            Some((name, client)) => Step::Message { client: client.to_owned(), name: name.to_owned() },
            None => Step::Message { client: String::new(), name: one()? },
        },
        "text" => Step::Text { name: one()? },
        "bdat" => match rest.split_once(" in ") {
            Some((name, chunks)) => {
                Step::Bdat { name: name.to_owned(), chunks: chunks.strip_suffix(" chunks")?.parse().ok()? }
            }
            None => Step::Bdat { name: one()?, chunks: 1 },
        },
        "mail" => {
            let (name, to) = rest.split_once(" to ")?;
            Step::Mail { name: name.to_owned(), to: words(to) }
        }
        "submit" => {
            let (name, rest) = rest.split_once(" from ")?;
            let (from, to) = rest.split_once(" to ")?;
            Step::Submit { name: name.to_owned(), from: from.to_owned(), to: words(to) }
        }
        "delivered" => {
            let (name, copies) = rest.split_once(": ")?;
            Step::Delivered { name: name.to_owned(), copies: parse_copies(copies)? }
        }
        "envelope" => {
            let (name, mailbox, address) = about(rest, " in ")?;
            Step::Envelope { name, mailbox, address }
        }
        "header" => {
            let (name, mailbox, pattern) = about(rest, " in ")?;
            Step::Header { name, mailbox, pattern }
        }
        "report" => {
            let (name, mailbox, pattern) = about(rest, " to ")?;
            Step::Report { name, mailbox, pattern }
        }
        "took" => {
            let (least, most) = rest.strip_suffix(" s")?.split_once(" to ")?;
            Step::Took { least: least.parse().ok()?, most: most.parse().ok()? }
        }
        "postmap" => {
            let (map, rest) = rest.split_once(' ')?;
            let (key, want) = rest.rsplit_once(" -> ")?;
            let want = match want.trim() {
                "none" => Want::None,
                "error" => Want::Error,
                value => Want::Value(value.to_owned()),
            };
            Step::Postmap { map: map.to_owned(), key: key.trim().to_owned(), want }
        }
        "no" => match rest.split_once(' ')? {
            ("log", pattern) => Step::NoLog(pattern.to_owned()),
            ("report", name) => Step::NoReport { name: name.to_owned() },
            ("header", rest) => {
                let (name, mailbox, pattern) = about(rest, " in ")?;
                Step::NoHeader { name, mailbox, pattern }
            }
            _ => return None,
        },
        "rcptd" => Step::Rcptd(match rest {
            "start" => Rcptd::Start,
            "stop" => Rcptd::Stop,
            "kill" => Rcptd::Kill,
            "reload" => Rcptd::Reload,
            _ => return None,
        }),
        "rules" => Step::Rules(one()?),
        "config" => Step::Config(one()?),
        "put" => {
            let (file, name) = rest.split_once(" as ")?;
            Step::Put { file: file.to_owned(), name: name.to_owned() }
        }
        "redis" => parse_redis(rest)?,
        "accounts" => Step::Accounts {
            gone: match rest {
                "gone" => true,
                "back" => false,
                _ => return None,
            },
        },
        "vrfy" => Step::Vrfy(match rest {
            "up" => Vrfy::Up,
            "down" => Vrfy::Down,
            "hang" => Vrfy::Hang,
            "open" => Vrfy::Open,
            _ => return None,
        }),
        "log" if !rest.is_empty() => Step::Log(rest.to_owned()),
        "mta" => Step::MtaLog(rest.strip_prefix("log ")?.to_owned()),
        _ => return None,
    })
}

/// `KEY = VALUE`, `up`, `down`.
fn parse_redis(rest: &str) -> Option<Step> {
    match (rest, rest.split_once(" = ")) {
        (_, Some((key, value))) => Some(Step::RedisEntry { key: key.to_owned(), value: value.to_owned() }),
        ("up" | "down", None) => Some(Step::Redis { up: rest == "up" }),
        _ => None,
    }
}

/// `C: text`, `C client: text`, `S: pattern`, `S client: pattern`.
fn parse_dialogue(line: &str) -> Option<Step> {
    let (who, text) = line.split_once(':')?;
    let text = text.strip_prefix(' ').unwrap_or(text).to_owned();
    let (side, client) = who.split_once(' ').unwrap_or((who, ""));
    let client = client.to_owned();
    match side {
        "C" => Some(Step::Send { client, line: text }),
        "S" => Some(Step::Reply { client, pattern: text }),
        _ => None,
    }
}

/// `NAME in BOX: REST`.
fn about(text: &str, preposition: &str) -> Option<(String, String, String)> {
    let (name, rest) = text.split_once(preposition)?;
    let (mailbox, rest) = rest.split_once(": ")?;
    Some((name.to_owned(), mailbox.to_owned(), rest.to_owned()))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `foo 1, bar 2` or `nowhere`.
fn parse_copies(text: &str) -> Option<Vec<(String, usize)>> {
    if text == "nowhere" {
        return Some(Vec::new());
    }
    let copy = |part: &str| {
        let (mailbox, count) = part.trim().split_once(' ')?;
        Some((mailbox.to_owned(), count.parse().ok()?))
    };
    text.split(',').map(copy).collect()
}
