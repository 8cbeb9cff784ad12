//! Looks up addresses, mail exchangers and services in DNS.

use crate::watch::Stamp;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Timeout and number of attempts of a DNS query. Their product is below the default timeout of a source.
const TIMEOUT: Duration = Duration::from_millis(1500);
const ATTEMPTS: usize = 2;

/// The files that name lookups depend on.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The result of a DNS lookup. An empty list means that there are no such records; an error is the reason of
/// a temporary failure.
pub(crate) type Found<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, String>> + Send + 'a>>;

/// A host that offers a service, from an MX or SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Lower ones are tried first.
    pub preference: u16,
    /// Among hosts of the same preference, heavier ones are tried first.
    pub weight: u16,
    /// The port, if the record has one.
    pub port: Option<u16>,
    /// A host name; `.` means that the service does not exist.
    pub host: String,
}

/// DNS lookups. A trait, so that tests can replace DNS.
pub(crate) trait Dns: fmt::Debug + Send + Sync {
    /// The addresses of a host, in the order in which they are tried.
    fn addresses<'a>(&'a self, host: &'a str) -> Found<'a, IpAddr>;
    /// The mail exchangers of a domain, in any order.
    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place>;
    /// The hosts of a service, in any order.
    fn srv<'a>(&'a self, service: &'a str) -> Found<'a, Place>;
}

/// The records of complete names, for protocols that keep their data in DNS: without /etc/hosts and the search list of
/// resolv.conf(5). An empty list means that there are certainly no such records, or no such name. A trait, so that
/// tests can replace DNS.
pub(crate) trait Records: fmt::Debug + Send + Sync {
    /// The IPv4 addresses of a name.
    fn ipv4<'a>(&'a self, name: &'a str) -> Found<'a, Ipv4Addr>;
    /// The IPv6 addresses of a name.
    fn ipv6<'a>(&'a self, name: &'a str) -> Found<'a, Ipv6Addr>;
    /// The mail exchangers of a domain, in any order.
    fn exchangers<'a>(&'a self, domain: &'a str) -> Found<'a, Place>;
    /// The texts of a name. The parts of a text are joined; what is not UTF-8 is replaced.
    fn texts<'a>(&'a self, name: &'a str) -> Found<'a, String>;
    /// The names of an address, which the owner of the address may choose.
    fn names(&self, address: IpAddr) -> Found<'_, String>;
}

/// The name servers and the /etc/hosts of this system, as they are now: both files are read again when they
/// have changed.
pub(crate) struct SystemDns {
    built: Mutex<Built>,
}

/// Name servers, search list and options, as in resolv.conf(5).
type Servers = (ResolverConfig, ResolverOpts);

/// A resolver, and what it was built from.
struct Built {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    servers: Servers,
    /// The stamps of the files when they were read; `None` for a missing file, and for one to be read again.
    seen: [Option<Stamp>; 2],
}

impl Built {
    fn new() -> Result<Self, String> {
        let mut built = Built::of(without_resolv_conf(), Arc::default(), [None; 2])?;
        built.update();
        Ok(built)
    }

    fn of(servers: Servers, hosts: Arc<Hosts>, seen: [Option<Stamp>; 2]) -> Result<Self, String> {
        let (config, mut options) = servers.clone();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        // /etc/hosts is read here, since the builder does not tell whether it could read it.
        options.use_hosts_file = ResolveHosts::Never;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build();
        let resolver = resolver.map_err(|e| format!("cannot set up name lookups: {e}"))?;
        Ok(Built { resolver, hosts, servers, seen })
    }

    /// Reads the files again if one has changed. While a file cannot be used, for example because it is being
    /// written, what was read from it before stays in use.
    fn update(&mut self) {
        let now = stamps();
        if now == self.seen {
            return;
        }
        let [resolv_conf, hosts] = FILES.map(read);
        if stamps() != now {
            // The next lookup reads them again.
            return;
        }
        let mut seen = now;
        let servers = if let Ok(text) = resolv_conf {
            parse_resolv_conf(text.unwrap_or_default()).ok()
        } else {
            seen[0] = None;
            None
        };
        let hosts = match hosts {
            Ok(None) => Some(Arc::default()),
            // An editor that writes in place begins with an empty file.
            Ok(Some(text)) if text.is_empty() => None,
            Ok(Some(text)) => parse_hosts(&text),
            Err(_) => {
                seen[1] = None;
                None
            }
        };
        let servers = servers.unwrap_or_else(|| self.servers.clone());
        if let Ok(new) = Built::of(servers, hosts.unwrap_or_else(|| self.hosts.clone()), seen) {
            *self = new;
        }
    }
}

/// Reads a file; `None` if it does not exist.
fn read(path: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Parses hosts(5). Octets that are not UTF-8, as in comments of old files, do not matter.
fn parse_hosts(text: &[u8]) -> Option<Arc<Hosts>> {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(String::from_utf8_lossy(text).as_bytes()).ok()?;
    Some(Arc::new(hosts))
}

/// Without a usable resolv.conf(5), only a name server on this host is queried, as the C library does. The names
/// in /etc/hosts and `localhost` need no name server.
fn without_resolv_conf() -> Servers {
    let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
    (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
}

fn stamps() -> [Option<Stamp>; 2] {
    FILES.map(|path| Stamp::at(Path::new(path)))
}

impl SystemDns {
    pub fn new() -> Result<Self, String> {
        Ok(SystemDns { built: Mutex::new(Built::new()?) })
    }

    /// The resolver that all share, with the cache of its answers. The error is that of reading the files.
    pub fn shared() -> Result<&'static Arc<SystemDns>, String> {
        static SHARED: OnceLock<Arc<SystemDns>> = OnceLock::new();
        match SHARED.get() {
            Some(shared) => Ok(shared),
            None => SystemDns::new().map(|new| SHARED.get_or_init(|| Arc::new(new))),
        }
    }

    /// The resolver, /etc/hosts, and the names that are looked up for `name`.
    fn current(&self, name: Name) -> (TokioResolver, Arc<Hosts>, Vec<Name>) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.update();
        (built.resolver.clone(), built.hosts.clone(), candidates(name, &built.servers))
    }

    fn resolver(&self) -> TokioResolver {
        self.current(Name::root()).0
    }

    /// The addresses of a host. Like the C library, asks name servers only if /etc/hosts has neither an IPv4 nor
    /// an IPv6 address. A name of the search list is used only if the names before it certainly do not exist:
    /// while name servers fail, it could be another host.
    async fn find(&self, host: &str, name: Name) -> Result<Vec<IpAddr>, String> {
        let (resolver, hosts, names) = self.current(name.clone());
        let found = in_hosts(&hosts, &name);
        if !found.is_empty() {
            return Ok(found);
        }
        let mut exists = false;
        for name in names {
            match addresses(&resolver, name).await {
                Ok(Some(found)) if found.is_empty() => exists = true,
                Ok(Some(found)) => return Ok(found),
                Ok(None) => (),
                Err(e) => return Err(why(host, "addresses", &e)),
            }
        }
        if exists { Ok(Vec::new()) } else { Err(format!("the name {host} does not exist")) }
    }

    /// The addresses of a host in the configuration. Unlike [`Dns::addresses`], which gets complete names
    /// from DNS, this uses the search list of resolv.conf(5), as other programs do.
    pub async fn configured(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let name = Name::from_utf8(host).map_err(|e| format!("\"{host}\" is not a name: {e}"))?;
        self.find(host, name).await
    }
}

/// Returns the absolute names that are looked up for a name, in order, by `search` and `ndots` of
/// resolv.conf(5).
fn candidates(name: Name, (config, options): &Servers) -> Vec<Name> {
    if name.is_fqdn() {
        return vec![name];
    }
    let mut itself = name.clone();
    itself.set_fqdn(true);
    let search: Vec<&Name> = match config.search() {
        [] => config.domain().into_iter().collect(),
        search => search.iter().collect(),
    };
    let mut names: Vec<Name> =
        search.into_iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
    let first = usize::from(name.num_labels()) > options.ndots || name.is_localhost();
    names.insert(if first { 0 } else { names.len() }, itself);
    names
}

/// The addresses of a name in /etc/hosts.
fn in_hosts(hosts: &Hosts, name: &Name) -> Vec<IpAddr> {
    let of_type = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
    let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of_type);
    found.flat_map(|lookup| LookupIp::from(lookup).iter().collect::<Vec<_>>()).collect()
}

/// The addresses of a complete name, those of IPv6 first; `None` if the name does not exist. If one of the two
/// queries fails, the addresses of the other one suffice.
async fn addresses(resolver: &TokioResolver, name: Name) -> Result<Option<Vec<IpAddr>>, NetError> {
    let (six, four) = tokio::join!(resolver.ipv6_lookup(name.clone()), resolver.ipv4_lookup(name));
    let (mut found, mut exists, mut failure) = (Vec::new(), false, None);
    for result in [six, four] {
        match result {
            Ok(lookup) => {
                exists = true;
                found.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()));
            }
            Err(e) if e.is_nx_domain() => (),
            Err(e) if e.is_no_records_found() => exists = true,
            Err(e) => failure = Some(e),
        }
    }
    match failure {
        Some(e) if found.is_empty() => Err(e),
        _ => Ok((exists || !found.is_empty()).then_some(found)),
    }
}

/// The hosts in the records of a name; empty if the name exists without such records.
fn places(
    name: &str,
    kind: &str,
    result: Result<Lookup, NetError>,
    place: fn(&RData) -> Option<Place>,
) -> Result<Vec<Place>, String> {
    match result {
        Ok(found) => Ok(found.answers().iter().filter_map(|record| place(&record.data)).collect()),
        Err(e) if e.is_no_records_found() && !e.is_nx_domain() => Ok(Vec::new()),
        Err(e) => Err(why(name, kind, &e)),
    }
}

fn exchanger(data: &RData) -> Option<Place> {
    match data {
        RData::MX(mx) => {
            Some(Place { preference: mx.preference, weight: 0, port: None, host: mx.exchange.to_ascii() })
        }
        _ => None,
    }
}

/// What `value` takes from the records of a name; empty if there is no such record or name.
fn values<T>(
    name: &str,
    kind: RecordType,
    result: Result<Lookup, NetError>,
    value: fn(&RData) -> Option<T>,
) -> Result<Vec<T>, String> {
    match result {
        Ok(found) => Ok(found.answers().iter().filter_map(|record| value(&record.data)).collect()),
        Err(e) if e.is_no_records_found() || e.is_nx_domain() => Ok(Vec::new()),
        Err(e) => Err(format!("looking up {kind} of {name}: {e}")),
    }
}

/// Parses a name as absolute, so that the search list of resolv.conf(5) does not apply.
fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|e| format!("\"{name}\" is not a name: {e}"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn why(name: &str, kind: &str, error: &NetError) -> String {
    if error.is_nx_domain() {
        format!("the name {name} does not exist")
    } else {
        format!("looking up {kind} of {name}: {error}")
    }
}

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> Found<'a, IpAddr> {
        Box::pin(async move { self.find(host, absolute(host)?).await })
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        Box::pin(async move {
            let result = self.resolver().mx_lookup(absolute(domain)?).await;
            places(domain, "mail exchangers", result, exchanger)
        })
    }

    fn srv<'a>(&'a self, service: &'a str) -> Found<'a, Place> {
        Box::pin(async move {
            let result = self.resolver().srv_lookup(absolute(service)?).await;
            places(service, "servers", result, |data| match data {
                RData::SRV(srv) => Some(Place {
                    preference: srv.priority,
                    weight: srv.weight,
                    port: Some(srv.port),
                    host: srv.target.to_ascii(),
                }),
                _ => None,
            })
        })
    }
}

impl SystemDns {
    /// The values of the records of a kind. What cannot be a name has none.
    async fn values<T>(
        &self,
        name: &str,
        kind: RecordType,
        value: fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let Ok(absolute) = absolute(name) else { return Ok(Vec::new()) };
        values(name, kind, self.resolver().lookup(absolute, kind).await, value)
    }
}

impl Records for SystemDns {
    fn ipv4<'a>(&'a self, name: &'a str) -> Found<'a, Ipv4Addr> {
        Box::pin(self.values(name, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        }))
    }

    fn ipv6<'a>(&'a self, name: &'a str) -> Found<'a, Ipv6Addr> {
        Box::pin(self.values(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(aaaa.0),
            _ => None,
        }))
    }

    fn exchangers<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        Box::pin(self.values(domain, RecordType::MX, exchanger))
    }

    fn texts<'a>(&'a self, name: &'a str) -> Found<'a, String> {
        Box::pin(self.values(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        }))
    }

    fn names(&self, address: IpAddr) -> Found<'_, String> {
        Box::pin(async move {
            let name = Name::from(address);
            let result = self.resolver().lookup(name, RecordType::PTR).await;
            values(&address.to_string(), RecordType::PTR, result, |data| match data {
                RData::PTR(ptr) => Some(ptr.0.to_ascii()),
                _ => None,
            })
        })
    }
}

impl fmt::Debug for SystemDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemDns")
    }
}

/// A DNS without names, for targets that need no lookups.
#[derive(Debug)]
pub(crate) struct NoDns;

impl Dns for NoDns {
    fn addresses<'a>(&'a self, _: &'a str) -> Found<'a, IpAddr> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn mx<'a>(&'a self, _: &'a str) -> Found<'a, Place> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn srv<'a>(&'a self, _: &'a str) -> Found<'a, Place> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finds_localhost_without_a_name_server() {
        let got = SystemDns::new().unwrap().addresses("localhost").await.unwrap();
        assert!(got.iter().any(IpAddr::is_loopback), "{got:?}");
    }

    #[tokio::test]
    async fn finds_localhost_without_resolv_conf() {
        let built = Built::of(without_resolv_conf(), Arc::default(), [None; 2]).unwrap();
        let got = addresses(&built.resolver, absolute("localhost").unwrap()).await.unwrap().unwrap();
        assert!(got.iter().any(IpAddr::is_loopback), "{got:?}");
    }

    #[test]
    fn uses_the_search_list_as_resolv_conf_says() {
        let list = "search a.test b.test\nnameserver 127.0.0.1\n";
        let two = format!("{list}options ndots:2\n");
        let domain = "domain c.test\nnameserver 127.0.0.1\n";
        for (conf, name, want) in [
            (list, "db", "db.a.test. db.b.test. db."),
            (list, "db1.example.com", "db1.example.com. db1.example.com.a.test. db1.example.com.b.test."),
            (list, "db1.example.com.", "db1.example.com."),
            (list, "localhost", "localhost. localhost.a.test. localhost.b.test."),
            (&two, "db1.x", "db1.x.a.test. db1.x.b.test. db1.x."),
            (&two, "db1.x.y", "db1.x.y. db1.x.y.a.test. db1.x.y.b.test."),
            (domain, "db", "db.c.test. db."),
        ] {
            let servers = parse_resolv_conf(conf).unwrap();
            let got = candidates(Name::from_utf8(name).unwrap(), &servers);
            let got: Vec<String> = got.iter().map(Name::to_utf8).collect();
            assert_eq!(got.join(" "), want, "{name} {conf}");
        }
    }

    #[test]
    fn hosts_need_not_be_utf8() {
        let hosts = parse_hosts(b"127.0.0.7 one\n# caf\xe9\n127.0.0.8 two\n").unwrap();
        for (name, want) in [("one", "127.0.0.7"), ("two", "127.0.0.8")] {
            let got = in_hosts(&hosts, &Name::from_utf8(name).unwrap());
            assert_eq!(got, [want.parse::<IpAddr>().unwrap()], "{name}");
        }
    }

    #[test]
    fn parses_names_as_absolute() {
        for good in
            ["example.test", "EXAMPLE.test.", "_smtp._tcp.example.test", "a_b.example.test", "localhost"]
        {
            assert!(absolute(good).is_ok_and(|name| name.is_fqdn()), "{good}");
        }
        assert!(absolute("a..b").is_err());
    }
}
