//! Whether a domain lets a client send mail for it: SPF (RFC 7208).
//!
//! The evaluation is that of crate `viaspf`; this module gives it records, and answers in time.

use super::cached::{Cached, LIMIT};
use super::dns::{Found, Records, SystemDns};
use crate::lookup::{Key, Lookup, LookupFuture, Source};
use mail_address::Address;
use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::Instant;
use viaspf::lookup::{LookupError, LookupResult, Name};
use viaspf::{Config, DomainName, Sender, evaluate_sender};

/// The result of SPF for the client and the sender (RFC 7208, section 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfResult {
    /// The domain says that the client may send for it.
    Pass,
    /// The domain says that it may not.
    Fail,
    /// The domain says that it probably may not.
    SoftFail,
    /// The domain says nothing about the client.
    Neutral,
    /// The domain has no SPF record, or there is no domain.
    None,
    /// The record or its lookup failed, or took too long: no result.
    Unknown,
}

impl SpfResult {
    /// The results that a condition may name.
    pub const ALL: [SpfResult; 5] =
        [SpfResult::Pass, SpfResult::Fail, SpfResult::SoftFail, SpfResult::Neutral, SpfResult::None];

    /// The word of RFC 7208, section 2.6.
    pub fn name(self) -> &'static str {
        match self {
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::Neutral => "neutral",
            SpfResult::None => "none",
            SpfResult::Unknown => "unknown",
        }
    }
}

/// Checks clients by SPF. Results are cached for an hour; those of failed lookups are not.
#[derive(Debug)]
pub struct SpfChecker {
    cached: Cached<Question, SpfResult>,
}

impl SpfChecker {
    /// Creates a checker that asks the name servers of this system.
    ///
    /// # Errors
    /// The name servers cannot be set up; the text says why.
    pub fn system() -> Result<Self, String> {
        SystemDns::shared().map(|dns| SpfChecker::new(dns.clone()))
    }

    pub(crate) fn new(dns: Arc<dyn Records>) -> Self {
        SpfChecker { cached: Cached::new("SPF", Arc::new(Evaluator { dns: Adapter(dns) })) }
    }

    /// The result for a client that sent this argument of HELO or EHLO and this sender; without a sender
    /// (`MAIL FROM:<>`), for postmaster at the argument (section 2.4). After the deadline it is [`SpfResult::Unknown`], but the lookup
    /// goes on, so that the next attempt of the client finds the result.
    pub async fn check(
        &self,
        client: IpAddr,
        helo: &str,
        sender: Option<&Address>,
        deadline: Instant,
    ) -> SpfResult {
        match Question::new(client, helo, sender) {
            Ok(question) => self.cached.ask(&question, deadline).await.unwrap_or(SpfResult::Unknown),
            Err(result) => result,
        }
    }
}

/// What the result depends on: macros in a record may name all of it (section 7).
#[derive(Clone, Debug)]
struct Question {
    client: IpAddr,
    helo: Option<DomainName>,
    sender: Sender,
}

impl Question {
    /// The error is the result that needs no lookup.
    fn new(client: IpAddr, helo: &str, sender: Option<&Address>) -> Result<Self, SpfResult> {
        let helo = DomainName::new(helo.to_ascii_lowercase().trim_end_matches('.')).ok();
        let sender = if let Some(sender) = sender {
            // No result if it is not a name of several labels (section 4.3).
            let domain = sender.domain().ok_or(SpfResult::None)?;
            DomainName::new(domain).map_err(|_| SpfResult::None)?;
            Sender::from_address(&sender.to_string()).map_err(|_| SpfResult::Unknown)?
        } else {
            let helo = helo.as_ref().ok_or(SpfResult::None)?;
            Sender::from_domain(&helo.to_string()).map_err(|_| SpfResult::None)?
        };
        Ok(Question { client: client.to_canonical(), helo, sender })
    }
}

impl Key for Question {
    fn cache_key(&self) -> Cow<'_, str> {
        let helo = self.helo.as_ref().map(ToString::to_string).unwrap_or_default();
        // Neither an address nor a domain has a space.
        Cow::Owned(format!("{} {helo} {}", self.client, self.sender))
    }
}

/// Asks DNS.
#[derive(Debug)]
struct Evaluator {
    dns: Adapter,
}

impl Source<Question, Lookup<SpfResult>> for Evaluator {
    fn look_up<'a>(&'a self, question: &'a Question) -> LookupFuture<'a, Lookup<SpfResult>> {
        Box::pin(async move {
            let config = Config::builder().timeout(LIMIT).build();
            let Question { client, helo, sender } = question;
            let result = evaluate_sender(&self.dns, &config, *client, sender, helo.as_ref()).await;
            Lookup::Found(match result.spf_result {
                viaspf::SpfResult::Pass => SpfResult::Pass,
                viaspf::SpfResult::Fail(_) => SpfResult::Fail,
                viaspf::SpfResult::Softfail => SpfResult::SoftFail,
                viaspf::SpfResult::Neutral => SpfResult::Neutral,
                viaspf::SpfResult::None => SpfResult::None,
                viaspf::SpfResult::Permerror => SpfResult::Unknown,
                viaspf::SpfResult::Temperror => return Lookup::temp_fail("DNS failed"),
            })
        })
    }
}

/// Records in the form that the evaluation needs.
#[derive(Debug)]
struct Adapter(Arc<dyn Records>);

/// A lookup of the evaluation.
type Asked<'f, T> = Pin<Box<dyn Future<Output = LookupResult<Vec<T>>> + Send + 'f>>;

/// Waits for records and converts them.
fn asked<'f, T: Send + 'f, U: 'f>(found: Found<'f, T>, convert: fn(Vec<T>) -> Vec<U>) -> Asked<'f, U> {
    Box::pin(async move {
        match found.await {
            Ok(found) if found.is_empty() => Err(LookupError::NoRecords),
            Ok(found) => Ok(convert(found)),
            Err(reason) => Err(LookupError::Dns(Some(reason.into()))),
        }
    })
}

/// The names that can be looked up. The others, such as the root as the mail exchanger of a domain without mail,
/// have no address.
fn names(names: impl IntoIterator<Item = String>) -> Vec<Name> {
    names.into_iter().filter_map(|name| Name::new(&name).ok()).collect()
}

/// The trait has these signatures by a macro of another crate, which writes them like this.
impl viaspf::lookup::Lookup for Adapter {
    fn lookup_a<'l, 'a, 'f>(&'l self, name: &'a Name) -> Asked<'f, Ipv4Addr>
    where
        'l: 'f,
        'a: 'f,
        Self: 'f,
    {
        asked(self.0.ipv4(name.as_str()), |found| found)
    }

    fn lookup_aaaa<'l, 'a, 'f>(&'l self, name: &'a Name) -> Asked<'f, Ipv6Addr>
    where
        'l: 'f,
        'a: 'f,
        Self: 'f,
    {
        asked(self.0.ipv6(name.as_str()), |found| found)
    }

    fn lookup_mx<'l, 'a, 'f>(&'l self, name: &'a Name) -> Asked<'f, Name>
    where
        'l: 'f,
        'a: 'f,
        Self: 'f,
    {
        asked(self.0.exchangers(name.as_str()), |mut found| {
            found.sort_by_key(|place| place.preference);
            names(found.into_iter().map(|place| place.host))
        })
    }

    fn lookup_txt<'l, 'a, 'f>(&'l self, name: &'a Name) -> Asked<'f, String>
    where
        'l: 'f,
        'a: 'f,
        Self: 'f,
    {
        asked(self.0.texts(name.as_str()), |found| found)
    }

    fn lookup_ptr<'l, 'f>(&'l self, address: IpAddr) -> Asked<'f, Name>
    where
        'l: 'f,
        Self: 'f,
    {
        asked(self.0.names(address), names)
    }
}

#[cfg(test)]
mod tests;
