//! socketmap_table(5): many maps, each request names one.
//!
//! | result of the map | reply | Postfix | Sendmail |
//! | --- | --- | --- | --- |
//! | found | `OK VALUE` | uses it | uses it |
//! | not found | `NOTFOUND ` | continues | continues |
//! | temporary failure | `TEMP …` | defers | accepts and queues |
//! | deadline passed | `TIMEOUT …` | defers | accepts and queues |
//! | no such map | `PERM …` | defers, "configuration problem" | would treat it as "not found" |
//!
//! Therefore a listener with `mta = "sendmail"` never replies PERM; Sendmail does not identify itself. A
//! request that is not a netstring ends the connection without a reply: both servers treat that as a
//! temporary failure.

use super::accept::{Answered, Client, Parsed, Service};
use super::maps::{MapReply, Maps};
use crate::map::Lookup;
use crate::observe::meter::Counted;
use lookup_protocols::socketmap::{MAX_REPLY, MAX_REQUEST, Reply, request};
use lookup_protocols::{ProtocolError, netstring};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reply when the lookup fails temporarily. The reason is in the log; the client does not need it.
const LATER: &[u8] = b"temporary lookup failure, try again later";

/// The service of a socketmap listener.
#[derive(Debug)]
pub struct Socketmap {
    /// The maps in service.
    pub maps: Arc<Maps>,
    /// The maps that clients of this listener may use; `None`: all.
    pub names: Option<Vec<Arc<str>>>,
    /// Whether the client is Sendmail.
    pub sendmail: bool,
    /// Longest time from request to reply.
    pub deadline: Duration,
}

/// A request, kept until it is answered.
#[derive(Debug)]
pub struct Asked {
    payload: Vec<u8>,
}

impl Service for Socketmap {
    type Request = Asked;

    fn parse(&self, input: &[u8], _: bool) -> Parsed<Asked> {
        match netstring::read(input, MAX_REQUEST) {
            Ok(None) => Parsed::Incomplete,
            Ok(Some((payload, length))) => Parsed::Request(Asked { payload: payload.into() }, length),
            Err(broken) => Parsed::Broken(broken),
        }
    }

    async fn answer(&self, client: &Client, asked: Asked, began: Instant, out: &mut Vec<u8>) -> Answered {
        let Some((name, key)) = request(&asked.payload) else {
            self.maps.unknown(client, "");
            self.no_map(out);
            return Answered::Reply(Counted::Bad);
        };
        let is_here =
            |name: &str| self.names.as_ref().is_none_or(|names| names.iter().any(|known| **known == *name));
        let found = match std::str::from_utf8(name) {
            Ok(name) if is_here(name) => self.maps.look_up(client, name, key, began, self.deadline).await,
            _ => {
                self.maps.unknown(client, &String::from_utf8_lossy(name));
                MapReply::NoMap
            }
        };
        Answered::Reply(self.reply(&found, out))
    }

    fn broken(&self, _: ProtocolError, _: &mut Vec<u8>) {}
}

impl Socketmap {
    fn no_map(&self, out: &mut Vec<u8>) {
        if self.sendmail { Reply::Temp(b"no such map") } else { Reply::Perm(b"no such map") }.write(out);
    }

    /// Appends the reply for the result of a map.
    pub fn reply(&self, found: &MapReply, out: &mut Vec<u8>) -> Counted {
        match found {
            MapReply::Answer(Lookup::Found(value)) if value.len() + "OK ".len() > MAX_REPLY => {
                Reply::Temp(b"the value is too long for this protocol").write(out);
                Counted::TempFail
            }
            MapReply::Answer(Lookup::Found(value)) => {
                Reply::Ok(value.as_bytes()).write(out);
                Counted::Found
            }
            MapReply::Answer(Lookup::NotFound) => {
                Reply::NotFound.write(out);
                Counted::NotFound
            }
            MapReply::Answer(Lookup::TempFail(_)) => {
                Reply::Temp(LATER).write(out);
                Counted::TempFail
            }
            MapReply::Late => {
                Reply::Timeout(LATER).write(out);
                Counted::TempFail
            }
            MapReply::NoMap => {
                self.no_map(out);
                Counted::Bad
            }
        }
    }
}
