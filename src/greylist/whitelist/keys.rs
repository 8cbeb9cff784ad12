//! What is looked up in a map that is a whitelist, in the order of access(5): client, sender, recipient.

use super::condition::parents;
use crate::greylist::Facts;
use mail_address::fold;
use std::net::IpAddr;

/// Most keys that are looked up for one recipient: each may be a query of a database.
pub const MAX_KEYS: usize = 16;
/// Most labels of a name that are looked up as domains, from the right: no organisation has more.
const MAX_LABELS: usize = 4;

/// The keys for a request, in order, each once: the address of the client, the networks of its first octets
/// (`192.0.2`) or groups (`2001:db8:1`), its verified name and the domains above it; the recipient, its local part with
/// `@`, and its domain. Senders are not looked up, since a client can choose them.
pub fn keys(facts: &Facts<'_>) -> Vec<String> {
    let mut keys = vec![facts.client.to_string()];
    match facts.client {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            keys.extend([format!("{a}.{b}.{c}"), format!("{a}.{b}")]);
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            keys.extend([
                format!("{a:x}:{b:x}:{c:x}:{d:x}"),
                format!("{a:x}:{b:x}:{c:x}"),
                format!("{a:x}:{b:x}"),
            ]);
        }
    }
    if let Some(name) = facts.client_name {
        let labels = name.split('.').count();
        keys.push(name.to_owned());
        // Not the top-level domain: an entry for it would disable greylisting.
        let above = parents(name).skip(1.max(labels.saturating_sub(MAX_LABELS)));
        keys.extend(above.filter(|domain| domain.contains('.')).map(str::to_owned));
    }
    let recipient = facts.recipient;
    let local = fold(recipient.local());
    let domain = recipient.domain().unwrap_or_default();
    keys.extend([format!("{local}@{domain}"), format!("{local}@")]);
    if !domain.is_empty() {
        keys.push(domain.to_owned());
    }
    keys.truncate(MAX_KEYS);
    keys
}

/// Whether a value of such a map means that greylisting does not apply: any but `DUNNO` and `NO`, which are "not listed".
pub fn is_listed(value: &str) -> bool {
    let word = value.split_whitespace().next().unwrap_or_default();
    !word.eq_ignore_ascii_case("DUNNO") && !word.eq_ignore_ascii_case("NO")
}
