//! Checks `[guessing]`.

use super::check::Check;
use super::keys;
use super::value::{Field, List};
use crate::net::network::Network;
use crate::server::milter::guessing::Settings;
use mail_address::escape;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Default of `guessing.misses`: off. If all mail comes through a gateway that does not know the recipients, its
/// address may have more unknown recipients than known ones because of spam, and rcptd cannot recognise a gateway
/// (docs/decisions/012).
pub(super) const MISSES: u32 = 0;
/// Default of `guessing.window`, as in the jail of fail2ban.
pub(super) const WINDOW: Duration = Duration::from_mins(10);
/// Default of `guessing.ipv4_prefix`: one address, as Postfix counts clients. Its neighbours may be other senders.
pub(super) const IPV4_PREFIX: u8 = 32;
/// Default of `guessing.ipv6_prefix`: the smallest network that a host gets, in which it may choose any address.
pub(super) const IPV6_PREFIX: u8 = 64;

/// Bounds of `guessing.misses`.
pub(super) const MISS_COUNTS: RangeInclusive<u32> = 0..=1_000_000;
/// Bounds of `guessing.window`: mail must not be deferred for longer than senders retry.
pub(super) const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Bounds of `guessing.ipv4_prefix`: the addresses of a larger network belong to unrelated hosts.
pub(super) const IPV4_PREFIXES: RangeInclusive<u8> = 8..=32;
/// Bounds of `guessing.ipv6_prefix`.
pub(super) const IPV6_PREFIXES: RangeInclusive<u8> = 16..=128;
/// Most entries of `guessing.exempt`: each is compared with the client of each recipient.
pub(super) const MAX_EXEMPT: usize = 1000;

impl Check<'_> {
    /// Checks the section. `is_there`: whether a milter is configured.
    pub fn guessing(&mut self, raw: &keys::Guessing, is_there: bool) -> Settings {
        let settings = Settings {
            misses: self.number(&raw.misses, MISSES, &MISS_COUNTS),
            window: self.time(&raw.window, WINDOW, &WINDOWS),
            exempt: self.exempt(&raw.exempt),
            ipv4_prefix: self.number(&raw.ipv4_prefix, IPV4_PREFIX, &IPV4_PREFIXES),
            ipv6_prefix: self.number(&raw.ipv6_prefix, IPV6_PREFIX, &IPV6_PREFIXES),
        };
        if let Some(given) = raw.misses.given().filter(|_| settings.misses > 0 && !is_there) {
            let help = "write milter.listen: only the milter learns the address of the client";
            self.warning(given, format!("{} has no effect", given.key), help);
        }
        settings
    }

    fn exempt(&mut self, field: &Field<List<String>>) -> Vec<Network> {
        let Some(given) = field.given() else { return Vec::new() };
        if given.value.items.len() > MAX_EXEMPT {
            let help = format!("at most {MAX_EXEMPT} are allowed");
            self.error(given, format!("{} has too many entries", given.key), help);
        }
        let mut networks: Vec<Network> = Vec::new();
        for item in given.value.items.iter().take(MAX_EXEMPT) {
            let Some(network) = self.parsed(given, item.span(), item.get_ref()) else { continue };
            if networks.contains(&network) {
                let message = format!("{}: {} is listed twice", given.key, escape(item.get_ref()));
                self.error_in(given, item.span(), message, "remove one of them");
            } else {
                networks.push(network);
            }
        }
        networks
    }
}
