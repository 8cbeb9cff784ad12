//! tcp_table(5): one map with the request `get`, and the `stats` requests of trualias' servers.
//!
//! | result of the map | reply |
//! | --- | --- |
//! | found | `200 VALUE` |
//! | not found | `500 not found` |
//! | temporary failure, deadline passed, a value longer than a line | `400 …`: Postfix defers |
//!
//! After a `400` Postfix closes the connection and defers the mail. While it cannot connect it tries ten
//! times, a second apart (`dict_tcp.c`), so a restart of rcptd costs a delay and no mail.

use super::accept::{Answered, Client, Parsed, Service};
use super::maps::{MapReply, Maps};
use crate::map::Lookup;
use crate::observe::meter::{Counted, Meter};
use lookup_protocols::ProtocolError;
use lookup_protocols::tcp_table::{MAX_LINE, Reply, Request, request};
use memchr::memchr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reply when the lookup fails temporarily. The reason is in the log; the client does not need it.
const LATER: &str = "temporary lookup failure, try again later";

/// The service of a tcp_table listener.
#[derive(Debug)]
pub struct TcpTable {
    /// The maps in service.
    pub maps: Arc<Maps>,
    /// The map that clients of this listener use.
    pub map: Arc<str>,
    /// Longest time from request to reply.
    pub deadline: Duration,
    /// Counters of this listener, for `stats`.
    pub meter: Arc<Meter>,
}

/// A request, kept until it is answered.
#[derive(Debug)]
pub enum Asked {
    /// `get` with a key.
    Key(Vec<u8>),
    /// `stats`
    Stats,
    /// `jstats`
    JsonStats,
    /// An empty line.
    Blank,
    /// A request with a fixed reply.
    Bad(&'static str),
}

impl Service for TcpTable {
    type Request = Asked;

    fn parse(&self, input: &[u8], at_end: bool) -> Parsed<Asked> {
        let (line, length) = match memchr(b'\n', &input[..input.len().min(MAX_LINE)]) {
            Some(end) => (&input[..end], end + 1),
            None if input.len() >= MAX_LINE => return Parsed::Broken(ProtocolError::TooLong),
            // Data without a line end also count as a line when the client has closed its side.
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

    async fn answer(&self, client: &Client, asked: Asked, began: Instant, out: &mut Vec<u8>) -> Answered {
        match asked {
            Asked::Key(key) => {
                let found = self.maps.look_up(client, &self.map, &key, began, self.deadline).await;
                Answered::Reply(reply(&found, out))
            }
            Asked::Stats => Answered::Reply(self.stats(out)),
            Asked::JsonStats => Answered::Reply(self.json_stats(out)),
            Asked::Blank => Answered::Silent,
            Asked::Bad(line) => {
                out.extend_from_slice(line.as_bytes());
                Answered::Reply(Counted::Bad)
            }
        }
    }

    fn broken(&self, _: ProtocolError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"400 request too long\n");
    }
}

impl TcpTable {
    /// Appends the lines of `stats` as trualias does: code 210 for the first, 212 for the others.
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

/// Appends the reply for the result of a map.
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
    // Postfix treats a longer line as a broken server, and tries ten times.
    if out.len() - begin > MAX_LINE {
        out.truncate(begin);
        Reply::TempFail("the value is too long for this protocol").write(out);
        return Counted::TempFail;
    }
    counted
}
