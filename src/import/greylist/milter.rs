//! The dump of milter-greylist, with tabs between the fields:
//!
//! ```text
//! 192.0.2.1  <bob@example.org>  <foo@example.com>  1764550000 # 2025-12-01 00:46:40
//! 192.0.2.1  <bob@example.org>  <foo@example.com>  1764550000 AUTO # 2025-12-01 00:46:40
//! ```
//!
//! The time is that from which a retry is accepted, or with `AUTO` that at which the entry expires.

use super::{Out, names};
use crate::greylist::entry::Triplet;
use crate::greylist::record::Record;
use std::net::IpAddr;

/// Whether a line is one of an entry.
pub fn is_line(line: &str) -> bool {
    let mut fields = line.split('\t');
    let is_address = fields.next().is_some_and(|field| field.trim().parse::<IpAddr>().is_ok());
    is_address && fields.count() >= 3
}

/// Takes a line.
pub fn line(line: &str, out: &mut Out<'_>) {
    if line.trim().is_empty() || line.starts_with('#') {
        return;
    }
    let mut fields = line.splitn(4, '\t').map(str::trim);
    let (Some(client), Some(sender), Some(recipient), Some(rest)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return out.skip("the line has not four fields with tabs between them", line);
    };
    let Some(client) = names::client(client, out.settings) else {
        return out.skip("the client is no address", line);
    };
    let Some((sender, recipient)) = names::addresses(sender, recipient) else {
        return out.skip("the sender or the recipient is no address", line);
    };
    let mut words = rest.split('#').next().unwrap_or_default().split_ascii_whitespace();
    let Some(time) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
        return out.skip("the time is no number", line);
    };
    let times = &out.settings.times;
    let state = match words.next() {
        None => Triplet::Waiting { first: time.saturating_sub(times.delay) },
        Some("AUTO") => {
            let last = time.saturating_sub(times.max_age);
            Triplet::Passed { first: last, delayed: 0, last, passes: 1 }
        }
        Some(_) => return out.skip("the word after the time is not AUTO: it is no entry of a sender", line),
    };
    out.record(Record::triplet(&client, &sender, &recipient, state));
}
