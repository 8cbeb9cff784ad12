//! The databases of postgrey.
//!
//! | database | key | value |
//! | --- | --- | --- |
//! | `postgrey.db` | `CLIENT/SENDER/RECIPIENT` | `FIRST,LAST` |
//! | `postgrey_clients.db` | `CLIENT` | `COUNT,LAST` |
//!
//! The client of a triplet is the first address of its network, or with `--lookup-by-host` an address; in the other
//! database it is always an address. Times are seconds since 1970.

use super::{Out, names};
use crate::greylist::entry::{Client, Triplet};
use crate::greylist::record::Record;

/// Takes a key and its value.
pub fn pair(key: &str, value: &str, out: &mut Out<'_>) {
    let Some((client, rest)) = key.split_once('/') else { return client_entry(key, value, out) };
    let Some(client) = names::client(client, out.settings) else {
        return out.skip("the client is no address", key);
    };
    let names = names::split(rest).and_then(|(sender, recipient)| names::addresses(sender, recipient));
    let Some((sender, recipient)) = names else {
        return out.skip("the key has no sender and recipient", key);
    };
    let Some((first, last)) = names::two_numbers(value) else {
        return out.skip("the value is not FIRST,LAST", value);
    };
    let delayed = last.saturating_sub(first);
    let state = if delayed >= out.settings.times.delay {
        // How long it was delayed is unknown: it may have passed many times since.
        Triplet::Passed { first, delayed: out.settings.times.delay, last, passes: 1 }
    } else {
        Triplet::Waiting { first }
    };
    out.record(Record::triplet(&client, &sender, &recipient, state));
}

fn client_entry(key: &str, value: &str, out: &mut Out<'_>) {
    let Some(client) = names::client(key, out.settings) else {
        return out.skip("the key is none of a triplet or a client", key);
    };
    match names::two_numbers(value) {
        Some((passes, last)) => out.record(Record::client(&client, Client { passes, last })),
        None => out.skip("the value is not COUNT,LAST", value),
    }
}
