//! TPRT: its databases, and its configuration.
//!
//! The key of a triplet is `NETWORK/SENDER/RECIPIENT` with a network such as `192.0.2.0/24`, that of a client the network;
//! the value is `COUNT,LAST`, where a count of 0 is a triplet that waits since `LAST`. By default (`hash_grey_db`) the keys
//! are SHA-1 digests: nothing leads back to the names, so that such entries cannot be taken over.
//!
//! Redis has the same keys and values as texts. This command writes them, a key, a tab and its value on each line:
//!
//! ```sh
//! redis-cli --raw EVAL "local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do local v = redis.pcall('GET', k)
//!   if type(v) == 'string' then r[#r + 1] = k .. '\t' .. v end end return r" 0
//! ```

mod config;

pub use config::import;

use super::{Out, names};
use crate::greylist::entry::{Client, Triplet};
use crate::greylist::record::Record;

/// Letters of a SHA-1 digest.
const SHA1: usize = 40;

/// Whether a line is one of the text of Redis.
pub(super) fn is_pair(line: &str) -> bool {
    line.split_once('\t').is_some_and(|(_, value)| names::two_numbers(value).is_some())
}

/// Takes a line of the text of Redis.
pub(super) fn line(line: &str, out: &mut Out<'_>) {
    match line.rsplit_once('\t') {
        Some((key, value)) => pair(key, value, out),
        None if line.trim().is_empty() => (),
        None => out.skip("the line has no tab between key and value", line),
    }
}

/// Takes a key and its value.
pub(super) fn pair(key: &str, value: &str, out: &mut Out<'_>) {
    if key.len() == SHA1 && key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return out.skip("the key is a digest (hash_grey_db), from which no names can be found", key);
    }
    let Some((count, last)) = names::two_numbers(value) else {
        return out.skip("the value is not COUNT,LAST", value);
    };
    let mut parts = key.splitn(3, '/');
    let (Some(address), Some(prefix)) = (parts.next(), parts.next()) else {
        return out.skip("the key is no network", key);
    };
    let client = prefix.parse::<u8>().ok().and_then(|_| names::client(address, out.settings));
    let Some(client) = client else { return out.skip("the key is no network", key) };
    let Some(rest) = parts.next() else {
        return out.record(Record::client(&client, Client { passes: count, last }));
    };
    let names = names::split(rest).and_then(|(sender, recipient)| names::addresses(sender, recipient));
    let Some((sender, recipient)) = names else {
        return out.skip("the key has no sender and recipient", key);
    };
    let state = match count {
        0 => Triplet::Waiting { first: last },
        passes => Triplet::Passed { first: last, delayed: 0, last, passes },
    };
    out.record(Record::triplet(&client, &sender, &recipient, state));
}
