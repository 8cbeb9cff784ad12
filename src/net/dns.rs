//! Looks up addresses, mail exchangers and services in DNS.

use crate::watch::Stamp;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
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

/// The name servers and the /etc/hosts of this system, as they are now: both files are read again when they
/// have changed.
pub(crate) struct SystemDns {
    built: Mutex<Built>,
}

/// A resolver, and the files that it was built from.
struct Built {
    resolver: TokioResolver,
    files: [Option<Stamp>; 2],
}

impl Built {
    fn now() -> Result<Self, String> {
        // Taken before the files are read, so that a later change is seen.
        let files = stamps();
        let builder = TokioResolver::builder_tokio().map_err(|e| format!("cannot read resolv.conf: {e}"))?;
        Built::of(builder, files)
    }

    fn of(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        files: [Option<Stamp>; 2],
    ) -> Result<Self, String> {
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let resolver = builder.build().map_err(|e| format!("cannot set up name lookups: {e}"))?;
        Ok(Built { resolver, files })
    }
}

/// Without a usable resolv.conf(5), only a name server on this host is queried, as the C library does. The names
/// in /etc/hosts and `localhost` need no name server.
fn without_resolv_conf() -> ResolverBuilder<TokioRuntimeProvider> {
    let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

fn stamps() -> [Option<Stamp>; 2] {
    FILES.map(|path| Stamp::at(Path::new(path)))
}

impl SystemDns {
    pub fn new() -> Result<Self, String> {
        // Files changed since then are read at the next lookup.
        let files = stamps();
        let built = Built::now().or_else(|_| Built::of(without_resolv_conf(), files))?;
        Ok(SystemDns { built: Mutex::new(built) })
    }

    /// The resolver of the whole process. The error is that of reading the files.
    pub fn shared() -> Result<&'static SystemDns, String> {
        static SHARED: OnceLock<SystemDns> = OnceLock::new();
        match SHARED.get() {
            Some(shared) => Ok(shared),
            None => SystemDns::new().map(|new| SHARED.get_or_init(|| new)),
        }
    }

    fn resolver(&self) -> TokioResolver {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if built.files != stamps() {
            // If the file is missing or being written, the old name servers are better than none.
            if let Ok(new) = Built::now() {
                *built = new;
            }
        }
        built.resolver.clone()
    }

    /// The addresses of a host in the configuration. Unlike [`Dns::addresses`], which gets complete names
    /// from DNS, this uses the search list of resolv.conf(5), as other programs do.
    pub async fn configured(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        addresses(host, self.resolver().lookup_ip(host).await)
    }
}

fn addresses(host: &str, result: Result<LookupIp, NetError>) -> Result<Vec<IpAddr>, String> {
    match result {
        Ok(found) => Ok(found.iter().collect()),
        Err(e) if e.is_no_records_found() && !e.is_nx_domain() => Ok(Vec::new()),
        Err(e) => Err(why(host, "addresses", &e)),
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
        Box::pin(async move {
            let name = absolute(host)?;
            addresses(host, self.resolver().lookup_ip(name).await)
        })
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        Box::pin(async move {
            match self.resolver().mx_lookup(absolute(domain)?).await {
                Ok(found) => Ok(found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::MX(mx) => Some(Place {
                            preference: mx.preference,
                            weight: 0,
                            port: None,
                            host: mx.exchange.to_ascii(),
                        }),
                        _ => None,
                    })
                    .collect()),
                Err(e) if e.is_no_records_found() && !e.is_nx_domain() => Ok(Vec::new()),
                Err(e) => Err(why(domain, "mail exchangers", &e)),
            }
        })
    }

    fn srv<'a>(&'a self, service: &'a str) -> Found<'a, Place> {
        Box::pin(async move {
            match self.resolver().srv_lookup(absolute(service)?).await {
                Ok(found) => Ok(found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::SRV(srv) => Some(Place {
                            preference: srv.priority,
                            weight: srv.weight,
                            port: Some(srv.port),
                            host: srv.target.to_ascii(),
                        }),
                        _ => None,
                    })
                    .collect()),
                Err(e) if e.is_no_records_found() && !e.is_nx_domain() => Ok(Vec::new()),
                Err(e) => Err(why(service, "servers", &e)),
            }
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
        let built = Built::of(without_resolv_conf(), [None; 2]).unwrap();
        let got = addresses("localhost", built.resolver.lookup_ip("localhost").await).unwrap();
        assert!(got.iter().any(IpAddr::is_loopback), "{got:?}");
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
