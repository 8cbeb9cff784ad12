//! Records of DNS for tests.

use super::dns::{Found, Place, Records};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Records, as lines of a name with its final dot (the address for PTR), a type and a value. The value `FAIL` makes the
/// lookup fail, and `HANG` never ends it. Other names do not exist.
#[derive(Debug)]
pub(super) struct Zones {
    records: Vec<[String; 3]>,
    count: AtomicUsize,
}

impl Zones {
    pub fn new(text: &str) -> Arc<Self> {
        let record = |line: &str| {
            let mut parts = line.trim().splitn(3, ' ').map(str::to_owned);
            std::array::from_fn(|_| parts.next().unwrap())
        };
        let records = text.lines().filter(|line| !line.trim().is_empty()).map(record).collect();
        Arc::new(Zones { records, count: AtomicUsize::new(0) })
    }

    /// Number of lookups.
    pub fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    fn find<T: Send + 'static>(&self, name: &str, kind: &str, parse: fn(&str) -> T) -> Found<'_, T> {
        self.count.fetch_add(1, SeqCst);
        let name = name.trim_end_matches('.').to_owned();
        let is_meant = |record: &&[String; 3]| {
            record[0].trim_end_matches('.').eq_ignore_ascii_case(&name) && record[1] == kind
        };
        let values: Vec<String> =
            self.records.iter().filter(is_meant).map(|record| record[2].clone()).collect();
        Box::pin(async move {
            match values.first().map(String::as_str) {
                Some("FAIL") => Err("the name server failed".into()),
                Some("HANG") => std::future::pending().await,
                _ => Ok(values.iter().map(|value| parse(value)).collect()),
            }
        })
    }
}

fn parse<T: FromStr>(text: &str) -> T {
    text.parse().ok().unwrap()
}

impl Records for Zones {
    fn ipv4<'a>(&'a self, name: &'a str) -> Found<'a, Ipv4Addr> {
        self.find(name, "A", parse)
    }

    fn ipv6<'a>(&'a self, name: &'a str) -> Found<'a, Ipv6Addr> {
        self.find(name, "AAAA", parse)
    }

    fn exchangers<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        self.find(domain, "MX", |text| {
            let (preference, host) = text.split_once(' ').unwrap();
            Place { preference: parse(preference), weight: 0, port: None, host: host.into() }
        })
    }

    fn texts<'a>(&'a self, name: &'a str) -> Found<'a, String> {
        self.find(name, "TXT", str::to_owned)
    }

    fn names(&self, address: IpAddr) -> Found<'_, String> {
        self.find(&address.to_string(), "PTR", str::to_owned)
    }
}
