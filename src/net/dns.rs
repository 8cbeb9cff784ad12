//! Names to addresses.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// How long a name server has for an answer, and how often it is asked; both together are below the default
/// deadline of a source.
const TIMEOUT: Duration = Duration::from_millis(1500);
const ATTEMPTS: usize = 2;

/// The outcome of a lookup. No records are an empty list; an error says why nobody knows.
pub(crate) type Found<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, String>> + Send + 'a>>;

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Lower ones first.
    pub preference: u16,
    /// Among places of one preference, heavier ones first.
    pub weight: u16,
    /// As far as the record says.
    pub port: Option<u16>,
    /// A host name; `.` says that there is no such service.
    pub host: String,
}

/// Who knows names. A trait, so that tests can tell.
pub(crate) trait Dns: fmt::Debug + Send + Sync {
    /// The addresses of a host, those that are to be tried first in front.
    fn addresses<'a>(&'a self, host: &'a str) -> Found<'a, IpAddr>;
    /// The mail exchangers of a domain, in any order.
    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place>;
    /// The places of a service, in any order.
    fn srv<'a>(&'a self, service: &'a str) -> Found<'a, Place>;
}

/// The system's name servers and its /etc/hosts.
pub(crate) struct SystemDns {
    resolver: TokioResolver,
}

impl SystemDns {
    pub fn new() -> Result<Self, String> {
        let mut builder =
            TokioResolver::builder_tokio().map_err(|e| format!("cannot read resolv.conf: {e}"))?;
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let resolver = builder.build().map_err(|e| format!("cannot set up name lookups: {e}"))?;
        Ok(SystemDns { resolver })
    }
}

/// A name as it is, never with the search list.
fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|e| format!("\"{name}\" is not a name: {e}"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn why(name: &str, kind: &str, error: &NetError) -> String {
    if error.is_nx_domain() {
        format!("there is no name {name}")
    } else {
        format!("looking up {kind} of {name}: {error}")
    }
}

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> Found<'a, IpAddr> {
        Box::pin(async move {
            match self.resolver.lookup_ip(absolute(host)?).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(e) if e.is_no_records_found() && !e.is_nx_domain() => Ok(Vec::new()),
                Err(e) => Err(why(host, "addresses", &e)),
            }
        })
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        Box::pin(async move {
            match self.resolver.mx_lookup(absolute(domain)?).await {
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
            match self.resolver.srv_lookup(absolute(service)?).await {
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

/// Knows no name, for targets that have none.
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
    async fn localhost_is_known_without_a_name_server() {
        let got = SystemDns::new().unwrap().addresses("localhost").await.unwrap();
        assert!(got.iter().any(IpAddr::is_loopback), "{got:?}");
    }

    #[test]
    fn names() {
        for good in
            ["example.test", "EXAMPLE.test.", "_smtp._tcp.example.test", "a_b.example.test", "localhost"]
        {
            assert!(absolute(good).is_ok_and(|name| name.is_fqdn()), "{good}");
        }
        assert!(absolute("a..b").is_err());
    }
}
