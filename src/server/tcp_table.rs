//! tcp_table(5): one map, asked by `get`, and the words of trualias' servers.
//!
//! | answer of the map | line |
//! | --- | --- |
//! | found | `200 VALUE` |
//! | not found | `500 not found` |
//! | temporary failure, too late, a value longer than a line | `400 …`: Postfix defers |
//!
//! After a `400` Postfix closes the connection and defers the mail. While it cannot connect it tries ten times, a
//! second apart (`dict_tcp.c`), so a restart of rcptd costs a delay and no mail.

use super::accept::{Client, Parsed, Service};
use super::maps::{MapReply, Maps};
use crate::map::Lookup;
use crate::observe::meter::{Counted, Meter};
use lookup_protocols::ProtocolError;
use lookup_protocols::tcp_table::{MAX_LINE, Reply, Request, request};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Said while nobody can tell. Why is in the log; it is nobody's business at the other end.
const LATER: &str = "temporary lookup failure, try again later";

/// What is answered at a listener.
#[derive(Debug)]
pub struct TcpTable {
    /// The maps in service.
    pub maps: Arc<Maps>,
    /// The one that is asked here.
    pub map: Arc<str>,
    /// Longest time from question to answer.
    pub deadline: Duration,
    /// The books of this listener, for `stats`.
    pub meter: Arc<Meter>,
}

/// A request, as it is kept until it is answered.
#[derive(Debug)]
pub enum Asked {
    /// A key.
    Key(Vec<u8>),
    /// `stats`
    Stats,
    /// `jstats`
    JsonStats,
    /// Nothing.
    Blank,
    /// What has only one answer.
    Bad(&'static str),
}

impl Service for TcpTable {
    type Request = Asked;

    fn parse(&self, input: &[u8], at_end: bool) -> Parsed<Asked> {
        let (line, length) = match input.iter().take(MAX_LINE).position(|b| *b == b'\n') {
            Some(end) => (&input[..end], end + 1),
            None if input.len() >= MAX_LINE => return Parsed::Broken(ProtocolError::TooLong),
            // What a client closed its side behind is a line, too.
            None if at_end && !input.is_empty() => (input, input.len()),
            None => return Parsed::Incomplete,
        };
        let asked = match request(line) {
            Request::Get(key) => Asked::Key(key.into_owned()),
            Request::Stats => Asked::Stats,
            Request::JsonStats => Asked::JsonStats,
            Request::Blank => Asked::Blank,
            Request::Unrecognized => Asked::Bad("400 unrecognized command\n"),
            Request::Malformed => Asked::Bad("400 improperly formed request\n"),
        };
        Parsed::Request(asked, length)
    }

    async fn answer(
        &self,
        client: &Client,
        (asked, began): (Asked, Instant),
        out: &mut Vec<u8>,
    ) -> Option<Counted> {
        match asked {
            Asked::Key(key) => {
                let found = self.maps.look_up(client, (&self.map, &key), (began, self.deadline)).await;
                Some(reply(&found, out))
            }
            Asked::Stats => Some(self.stats(out)),
            Asked::JsonStats => Some(self.json_stats(out)),
            Asked::Blank => None,
            Asked::Bad(line) => {
                out.extend_from_slice(line.as_bytes());
                Some(Counted::Bad)
            }
        }
    }

    fn broken(&self, _: ProtocolError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"400 request too long\n");
    }
}

impl TcpTable {
    /// The lines of trualias: 210 in front of the first, 212 in front of the others.
    fn stats(&self, out: &mut Vec<u8>) -> Counted {
        let Some(lines) = self.meter.lines() else {
            out.extend_from_slice(b"400 statistics disabled\n");
            return Counted::Bad;
        };
        for (i, line) in lines.iter().enumerate() {
            let code = if i == 0 { "210" } else { "212" };
            out.extend_from_slice(format!("{code} {line}\n").as_bytes());
        }
        Counted::Stats
    }

    fn json_stats(&self, out: &mut Vec<u8>) -> Counted {
        let Some(json) = self.meter.json() else {
            out.extend_from_slice(b"400 []\n");
            return Counted::Bad;
        };
        out.extend_from_slice(format!("210 {json}\n").as_bytes());
        Counted::Stats
    }
}

/// Appends the line for what a map has said.
pub fn reply(found: &MapReply, out: &mut Vec<u8>) -> Counted {
    let begin = out.len();
    let counted = match found {
        MapReply::Answer(Lookup::Found(value)) => {
            Reply::Found(value).write(out);
            Counted::Found
        }
        MapReply::Answer(Lookup::NotFound) => {
            Reply::NotFound.write(out);
            Counted::NotFound
        }
        MapReply::Answer(Lookup::TempFail(_)) | MapReply::Late | MapReply::NoMap => {
            Reply::TempFail(LATER).write(out);
            Counted::TempFail
        }
    };
    // Postfix takes a longer line for a broken server, and tries ten times.
    if out.len() - begin > MAX_LINE {
        out.truncate(begin);
        Reply::TempFail("the value is too long for this protocol").write(out);
        return Counted::TempFail;
    }
    counted
}
