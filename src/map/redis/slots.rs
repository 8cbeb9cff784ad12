//! The slots of a Redis Cluster: which one a key is in, and which node has it.

use super::reply::{endpoint, text};
use crate::net::host::Host;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use std::ops::RangeInclusive;

/// Number of slots of a cluster (specification of Redis Cluster).
pub(super) const SLOTS: u16 = 16384;

/// The slot of a key. If a part in braces is not empty, it alone counts (hash tag).
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let (_, rest) = split(key, b'{')?;
        split(rest, b'}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|octet| *octet == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0.
fn crc16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        (0..8).fold(crc ^ (u16::from(*octet) << 8), shift)
    })
}

/// The node that a node sends a query to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirection {
    pub slot: u16,
    pub to: Host,
    /// Whether it applies to this query only (`ASK`), since the slot is being moved.
    pub once: bool,
}

impl Redirection {
    /// Reads a reply `MOVED SLOT HOST:PORT` or `ASK SLOT HOST:PORT` of the node `from`.
    pub fn of(error: &RedisError, from: &Host) -> Option<Self> {
        let once = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        let (address, slot) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let to = endpoint(host, port, own_name(from))?;
        (slot < SLOTS).then_some(Redirection { slot, to, once })
    }
}

fn own_name(node: &Host) -> &str {
    match node {
        Host::Inet(name, _) => name,
        Host::Unix(_) => "",
    }
}

/// Reads the reply of the node `from` to `CLUSTER SLOTS`: ranges of slots, each with its master. Entries that
/// cannot be read, and those of a master without an address, are omitted.
pub(super) fn ranges(reply: &Value, from: &Host) -> Vec<(RangeInclusive<u16>, Host)> {
    let Value::Array(entries) = reply else { return Vec::new() };
    let entry = |entry: &Value| {
        let Value::Array(parts) = entry else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        let host = match host {
            Value::Nil => "",
            host => text(host)?,
        };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        let master = endpoint(host, &port.to_string(), own_name(from))?;
        (first <= last && last < SLOTS).then_some((first..=last, master))
    };
    entries.iter().take(SLOTS.into()).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_keys() {
        // The check value of the specification.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As CLUSTER KEYSLOT returns them.
        for (key, want) in [
            ("", 0),
            ("foo", 12182),
            ("{foo}", 12182),
            ("bar{foo}baz{x}", 12182),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo@example.test", 8930),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
        ] {
            assert_eq!(slot(key.as_bytes()), want, "{key}");
        }
        assert_eq!(slot(b"{open"), crc16(b"{open") % SLOTS);
        assert_eq!(slot(b"a}{b"), crc16(b"a}{b") % SLOTS);
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn reads_redirections() {
        let to = |slot, to: &str, once| Some((slot, to.to_owned(), once));
        for (reply, want) in [
            ("MOVED 3999 127.0.0.1:6381", to(3999, "127.0.0.1:6381", false)),
            ("ASK 16383 DB.example:6381", to(16383, "db.example:6381", true)),
            ("MOVED 1 2001:db8::1:6381", to(1, "[2001:db8::1]:6381", false)),
            // A node that does not know the name of the other one.
            ("MOVED 1 :6381", to(1, "192.0.2.7:6381", false)),
            ("MOVED 1 ?:6381", None),
            ("MOVED 1 host:0", None),
            ("MOVED 1 host:65536", None),
            ("MOVED 1 host", None),
            ("MOVED 16384 host:1", None),
            ("MOVED host:1", None),
            ("MOVED", None),
            ("ERR 1 host:1", None),
        ] {
            let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
            let error = value.extract_error().unwrap_err();
            let got = Redirection::of(&error, &Host::Inet("192.0.2.7".into(), 7));
            assert_eq!(got.map(|got| (got.slot, got.to.to_string(), got.once)), want, "{reply}");
        }
    }

    #[test]
    fn reads_slots() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("id")]);
        let entry = |first, last, master| {
            let replica = node(bulk("192.0.2.9"), 9);
            Value::Array(vec![Value::Int(first), Value::Int(last), master, replica])
        };
        let from = Host::Inet("192.0.2.7".into(), 7);
        for (value, want) in [
            (entry(0, 5460, node(bulk("192.0.2.1"), 6379)), Some((0..=5460, "192.0.2.1:6379"))),
            (entry(16383, 16383, node(bulk("2001:db8::1"), 1)), Some((16383..=16383, "[2001:db8::1]:1"))),
            (entry(1, 1, node(bulk(""), 6379)), Some((1..=1, "192.0.2.7:6379"))),
            (entry(1, 1, node(Value::Nil, 6379)), Some((1..=1, "192.0.2.7:6379"))),
            (entry(1, 1, node(bulk("?"), 6379)), None),
            (entry(1, 1, node(bulk("192.0.2.1"), 0)), None),
            (entry(0, 16384, node(bulk("192.0.2.1"), 1)), None),
            (entry(2, 1, node(bulk("192.0.2.1"), 1)), None),
            (entry(-1, 1, node(bulk("192.0.2.1"), 1)), None),
            (Value::Array(vec![Value::Int(0)]), None),
            (Value::Nil, None),
        ] {
            let got = ranges(&Value::Array(vec![value.clone()]), &from);
            let got: Vec<_> = got.iter().map(|(range, host)| (range.clone(), host.to_string())).collect();
            let want: Vec<_> = want.into_iter().map(|(range, host)| (range, host.to_owned())).collect();
            assert_eq!(got, want, "{value:?}");
        }
        assert_eq!(ranges(&Value::Nil, &from), []);
    }
}
