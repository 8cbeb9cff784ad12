//! Whether a client is in a list of good ones in DNS, such as list.dnswl.org.
//!
//! Such a list has a name for each address, made like those of reverse lookups (RFC 5782): `7.2.0.192.list.example` for
//! 192.0.2.7. If the client is listed, the name has an address 127.0.x.y, where y is the level of trust.

use super::cached::Cached;
use super::dns::{Records, SystemDns};
use crate::lookup::{Lookup, LookupFuture, Source};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::time::Instant;

/// What a list says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is listed, with this level of trust: at list.dnswl.org from 0, none, to 3, high.
    Listed(u8),
    /// It is not listed.
    NotListed,
    /// The list did not say: the lookup failed or took too long, or the list refuses to answer.
    Unknown,
}

/// A list. Its answers are cached for an hour; failed lookups are not.
#[derive(Debug)]
pub struct Dnswl {
    zone: Box<str>,
    cached: Cached<str, Listing>,
}

impl Dnswl {
    /// Creates a list in this zone that asks the name servers of this system.
    ///
    /// # Errors
    /// The name servers cannot be set up; the text says why.
    pub fn system(zone: &str) -> Result<Self, String> {
        SystemDns::shared().map(|dns| Dnswl::new(zone, dns.clone()))
    }

    pub(crate) fn new(zone: &str, dns: Arc<dyn Records>) -> Self {
        Dnswl { zone: zone.trim_matches('.').into(), cached: Cached::new("DNSWL", Arc::new(Zone(dns))) }
    }

    /// What the list says of a client; after the deadline [`Listing::Unknown`], but the lookup goes on, so that the
    /// next attempt of the client finds its result.
    pub async fn check(&self, client: IpAddr, deadline: Instant) -> Listing {
        self.cached.ask(&name(client, &self.zone), deadline).await.unwrap_or(Listing::Unknown)
    }
}

/// The name of an address in a list (RFC 5782, sections 2.1 and 2.4).
fn name(client: IpAddr, zone: &str) -> String {
    let mut name = String::with_capacity(64 + zone.len());
    // Writing to a String cannot fail.
    match client.to_canonical() {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
        }
    }
    name.push_str(zone);
    name
}

/// Asks DNS.
#[derive(Debug)]
struct Zone(Arc<dyn Records>);

impl Source<str, Lookup<Listing>> for Zone {
    fn look_up<'a>(&'a self, name: &'a str) -> LookupFuture<'a, Lookup<Listing>> {
        Box::pin(async move {
            match self.0.ipv4(name).await.map(|found| listing(&found)) {
                Ok(Listing::Unknown) => Lookup::temp_fail("the list does not answer"),
                Ok(listing) => Lookup::Found(listing),
                Err(reason) => Lookup::temp_fail(reason),
            }
        })
    }
}

/// The meaning of the addresses of a name: the highest level. Lists say by 127.0.0.255 or 127.255.255.x that they
/// refuse to answer; other addresses come from a name server that answers for names that do not exist.
fn listing(found: &[Ipv4Addr]) -> Listing {
    let mut highest = Listing::NotListed;
    for address in found {
        highest = match (address.octets(), highest) {
            ([127, 0, _, 255], _) => return Listing::Unknown,
            ([127, 0, _, level], Listing::Listed(other)) => Listing::Listed(level.max(other)),
            ([127, 0, _, level], _) => Listing::Listed(level),
            _ => return Listing::Unknown,
        };
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::super::testing::Zones;
    use super::*;
    use std::time::Duration;

    const V6: &str = "8.7.6.5.4.3.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example";

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_the_list_says() {
        let zones = Zones::new(&format!(
            "1.2.0.192.list.example. A 127.0.5.0
            2.2.0.192.list.example. A 127.0.10.3
            3.2.0.192.list.example. A 127.0.5.1
            3.2.0.192.list.example. A 127.0.6.2
            4.2.0.192.list.example. A 127.0.0.255
            5.2.0.192.list.example. A 192.0.2.80
            6.2.0.192.list.example. A 127.255.255.254
            7.2.0.192.list.example. A FAIL
            8.2.0.192.list.example. A HANG
            9.2.0.192.list.example. A 127.0.5.1
            9.2.0.192.list.example. A 127.0.0.255
            {V6}. A 127.0.3.1"
        ));
        let list = Dnswl::new("list.example.", zones);
        for (client, want) in [
            ("192.0.2.1", Listing::Listed(0)),
            ("192.0.2.2", Listing::Listed(3)),
            ("::ffff:192.0.2.2", Listing::Listed(3)),
            ("192.0.2.3", Listing::Listed(2)),
            ("192.0.2.4", Listing::Unknown),
            ("192.0.2.5", Listing::Unknown),
            ("192.0.2.6", Listing::Unknown),
            ("192.0.2.7", Listing::Unknown),
            ("192.0.2.8", Listing::Unknown),
            ("192.0.2.9", Listing::Unknown),
            ("192.0.2.10", Listing::NotListed),
            ("2001:db8::1234:5678", Listing::Listed(1)),
            ("2001:db8::1234:5679", Listing::NotListed),
        ] {
            assert_eq!(list.check(client.parse().unwrap(), soon()).await, want, "{client}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn caches_what_the_list_says() {
        let zones = Zones::new("1.2.0.192.list.example. A 127.0.5.0\n2.2.0.192.list.example. A FAIL");
        let list = Dnswl::new("list.example", zones.clone());
        for (client, want) in [("192.0.2.1", 1), ("192.0.2.3", 1), ("192.0.2.2", 3)] {
            let before = zones.count();
            for _ in 0..3 {
                list.check(client.parse().unwrap(), soon()).await;
            }
            assert_eq!(zones.count() - before, want, "{client}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn never_waits_beyond_the_deadline() {
        let list = Dnswl::new("list.example", Zones::new("1.2.0.192.list.example. A HANG"));
        let (began, deadline) = (Instant::now(), soon());
        assert_eq!(list.check("192.0.2.1".parse().unwrap(), deadline).await, Listing::Unknown);
        assert!(began.elapsed() <= Duration::from_millis(1010), "{:?}", began.elapsed());
    }
}
