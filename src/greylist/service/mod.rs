//! Asks the store, the maps and DNS what the decision needs, decides, and writes what changes. It has no clock: the
//! time is an argument.

use super::client::{ClientKey, Identification};
use super::decide::{Decision, PassReason, Stored, Verdict, WaitReason, decide};
use super::entry::{Change, Times};
use super::key::{self, Kind, NULL_SENDER};
use super::sender::stable;
use super::throttle::Throttle;
use super::whitelist::{Found, Whitelist, keys};
use super::{Facts, SpfResult, record};
use crate::lookup::timeout::within;
use crate::lookup::{Lookup, LookupFuture};
use crate::map::Table;
use crate::observe::outage::Outage;
use crate::store::Store;
use mail_address::Address;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for the store: a reply within one site takes some milliseconds.
pub const STORE_LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for all maps that are whitelists; after it, the client is not listed.
pub const MAPS_LIMIT: Duration = Duration::from_secs(2);

/// Looks up SPF (RFC 7208), within a limit of its own.
pub trait SpfSource: fmt::Debug + Send + Sync {
    /// The result for a client, its HELO name and its sender; `None` is the null sender.
    fn check<'a>(
        &'a self,
        client: IpAddr,
        helo: &'a str,
        sender: Option<&'a Address>,
    ) -> LookupFuture<'a, SpfResult>;
}

/// Looks up whether a client is on a public list of known mail servers, within a limit of its own.
pub trait ListSource: fmt::Debug + Send + Sync {
    /// Whether the client certainly is on the list.
    fn lists(&self, client: IpAddr) -> LookupFuture<'_, bool>;
}

/// The recipients to which greylisting applies.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Domains in canonical spelling; `None`: all.
    pub domains: Option<HashSet<Box<str>>>,
    /// Recipients that are exempt.
    pub opt_out: Whitelist,
    /// If there are any, only these recipients are greylisted.
    pub opt_in: Whitelist,
    /// Domains for which verdicts are only logged.
    pub dry_run: HashSet<Box<str>>,
}

/// The operator's settings.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they are keys of the configuration")]
pub struct Settings {
    /// The times.
    pub times: Times,
    /// How clients are known.
    pub identification: Identification,
    /// A client passes without a look at its triplets after this number of passes; 0: never.
    pub enough: u64,
    /// Whether names are stored as digests only.
    pub hash: bool,
    /// Whether the null sender passes.
    pub null_sender_passes: bool,
    /// Whether mail passes while the store fails; otherwise it is deferred.
    pub passes_without_store: bool,
    /// Whether addresses that our users write to are learned, and pass.
    pub correspondents: bool,
    /// The recipients.
    pub scope: Scope,
    /// The mail that passes.
    pub whitelist: Whitelist,
}

/// What the decision asks.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The state of triplets, clients and correspondents.
    pub store: Arc<dyn Store>,
    /// Maps that are whitelists, with their names.
    pub maps: Vec<(Arc<str>, Arc<Table>)>,
    /// SPF, if it is looked up.
    pub spf: Option<Arc<dyn SpfSource>>,
    /// The public list of mail servers, if there is one.
    pub list: Option<Arc<dyn ListSource>>,
    /// Outages of the store.
    pub outage: Arc<Outage>,
}

/// Greylisting with its settings and sources.
#[derive(Debug)]
pub struct Greylist {
    settings: Settings,
    sources: Sources,
    throttle: Arc<Mutex<Throttle>>,
}

/// The names of an attempt, and its keys in the store.
struct Names {
    client: ClientKey,
    sender: String,
    recipient: String,
}

impl Greylist {
    /// Greylisting with these settings and sources. `throttle` outlasts a reload.
    pub fn new(settings: Settings, sources: Sources, throttle: Arc<Mutex<Throttle>>) -> Self {
        Greylist { settings, sources, throttle }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.sources.store
    }

    /// Whether verdicts for a recipient are only logged.
    pub fn is_dry_run(&self, recipient: &Address) -> bool {
        recipient.domain().is_some_and(|domain| self.settings.scope.dry_run.contains(domain))
    }

    /// Decides about a recipient at the time `now`, in seconds since 1970. `facts.recipient` is the account, if there
    /// is one; `is_alias`: the recipient is a computed alias.
    pub async fn verdict(&self, mut facts: Facts<'_>, is_alias: bool, now: u64) -> Verdict {
        if let Some(why) = self.exempt(&facts) {
            return Verdict::Pass(why);
        }
        let mut listed = self.settings.whitelist.find(&facts);
        if matches!(listed, Found::NeedsSpf) {
            self.look_up_spf(&mut facts).await;
            listed = self.settings.whitelist.find(&facts);
        }
        if let Found::Listed(entry) = listed {
            return Verdict::Pass(PassReason::Whitelisted(
                format!("{}:{} {entry}", entry.file, entry.line).into(),
            ));
        }
        if let Some(entry) = self.in_maps(&facts).await {
            return Verdict::Pass(PassReason::Whitelisted(entry));
        }
        if is_alias {
            return Verdict::Pass(PassReason::Alias);
        }
        if self.settings.identification.needs_spf(&facts) {
            self.look_up_spf(&mut facts).await;
        }
        let names = self.names(&facts);
        let stored = match self.read(&facts, &names).await {
            Ok(stored) => stored,
            Err(why) => return self.without_store(&why),
        };
        let decision = decide(&stored, now, &self.settings.times, self.settings.enough);
        if matches!(decision.verdict, Verdict::Wait(..)) && self.is_on_list(facts.client).await {
            return Verdict::Pass(PassReason::Listed);
        }
        self.write(decision, &names, &facts, now).await
    }

    /// Whether greylisting does not apply, as far as it depends neither on the whitelists nor on the store.
    fn exempt(&self, facts: &Facts<'_>) -> Option<PassReason> {
        let scope = &self.settings.scope;
        let Some(domain) = facts.recipient.domain() else { return Some(PassReason::NotGreylisted) };
        if facts.client.is_loopback() {
            return Some(PassReason::Local);
        }
        if facts.sender.is_none() && self.settings.null_sender_passes {
            return Some(PassReason::NullSender);
        }
        let is_in = |list: &Whitelist| matches!(list.find(facts), Found::Listed(_));
        let is_elsewhere = scope.domains.as_ref().is_some_and(|domains| !domains.contains(domain));
        let is_out = is_in(&scope.opt_out) || (!scope.opt_in.is_empty() && !is_in(&scope.opt_in));
        (is_elsewhere || is_out).then_some(PassReason::NotGreylisted)
    }

    async fn look_up_spf(&self, facts: &mut Facts<'_>) {
        if facts.spf.is_some() {
            return;
        }
        facts.spf = Some(match &self.sources.spf {
            Some(spf) => spf.check(facts.client, facts.helo, facts.sender).await,
            None => SpfResult::Unknown,
        });
    }

    /// The entry of a map that lists the client or the recipient. A map that fails has no entry.
    async fn in_maps(&self, facts: &Facts<'_>) -> Option<Box<str>> {
        if self.sources.maps.is_empty() {
            return None;
        }
        let searching = async {
            for (name, map) in &self.sources.maps {
                for key in keys::keys(facts) {
                    if let Lookup::Found(value) = map.look_up(&key).await {
                        // "Not listed" of a client stands before what follows.
                        return keys::is_listed(&value).then(|| format!("map:{name} {key}").into());
                    }
                }
            }
            None
        };
        within(MAPS_LIMIT, searching).await.flatten()
    }

    async fn is_on_list(&self, client: IpAddr) -> bool {
        match &self.sources.list {
            Some(list) => list.lists(client).await,
            None => false,
        }
    }

    fn names(&self, facts: &Facts<'_>) -> Names {
        Names {
            client: self.settings.identification.key(facts),
            sender: facts
                .sender
                .map_or_else(|| NULL_SENDER.to_owned(), |sender| stable(sender, facts.recipient)),
            recipient: facts.recipient.to_string(),
        }
    }

    /// Reads all entries that matter, at the same time.
    async fn read(&self, facts: &Facts<'_>, names: &Names) -> Result<Stored, String> {
        let client = names.client.to_string();
        let network = self.settings.identification.network(facts.client);
        let other = match &names.client {
            ClientKey::Network(_) => None,
            ClientKey::Name(_) | ClientKey::Spf(_) => Some(network.to_string()),
        };
        let triplet = |client: &str| key::key(Kind::Triplet, &[client, &names.sender, &names.recipient]);
        let wanted = [
            (self.settings.enough > 0).then(|| key::key(Kind::Client, &[&client])),
            Some(triplet(&client)),
            other.as_deref().map(triplet),
            self.correspondent(facts.sender, facts.recipient),
        ];
        let present: Vec<&str> = wanted.iter().flatten().map(String::as_str).collect();
        let texts = self.limited(self.sources.store.get_all(&present)).await?;
        let mut texts = texts.into_iter();
        let mut next = |key: &Option<String>| key.as_ref().and_then(|_| texts.next()).flatten();
        let [client, triplet, by_network, corresponds] = [0, 1, 2, 3].map(|at| next(&wanted[at]));
        Ok(Stored {
            corresponds: corresponds.is_some(),
            client: parsed(client.as_deref()),
            triplet: parsed(triplet.as_deref()),
            by_network: parsed(by_network.as_deref()),
        })
    }

    /// The key of the correspondence between a sender and an account.
    fn correspondent(&self, sender: Option<&Address>, account: &Address) -> Option<String> {
        let sender = sender.filter(|_| self.settings.correspondents)?;
        Some(key::key(Kind::Correspondent, &[&sender.to_string(), &account.to_string()]))
    }

    /// Writes what the decision changes.
    async fn write(&self, decision: Decision, names: &Names, facts: &Facts<'_>, now: u64) -> Verdict {
        let (times, client) = (&self.settings.times, names.client.to_string());
        if let Some(state) = decision.client {
            let key = key::key(Kind::Client, &[&client]);
            let text = self.text(state.to_string(), &[&client]);
            // A lost pass of a client counts the next time.
            let _ = self.limited(self.sources.store.set(&key, &text, seconds(times.max_age))).await;
        }
        let (is_new, triplet) = match decision.triplet {
            Change::Same => return decision.verdict,
            Change::Add(triplet) => (true, triplet),
            Change::Set(triplet) => (false, triplet),
        };
        if decision.verdict == Verdict::Wait(times.delay, WaitReason::New) && !self.admits(facts.client, now)
        {
            return Verdict::Wait(times.delay, WaitReason::Throttled);
        }
        let key = key::key(Kind::Triplet, &[&client, &names.sender, &names.recipient]);
        let text = self.text(triplet.to_string(), &[&client, &names.sender, &names.recipient]);
        let ttl = seconds(triplet.ttl(times));
        let store = &self.sources.store;
        let written = if is_new {
            // If another host has written it since, its time counts.
            self.limited(store.add(&key, &text, ttl)).await.map(|_| ())
        } else {
            self.limited(store.set(&key, &text, ttl)).await
        };
        match (written, decision.verdict) {
            // What is not stored would be a first attempt again, for ever.
            (Err(why), Verdict::Wait(_, WaitReason::New)) => self.without_store(&why),
            (_, verdict) => verdict,
        }
    }

    /// Stores that an account has written to an address outside. Returns whether it is stored.
    pub async fn learn(&self, to: &Address, account: &Address, now: u64) -> bool {
        let Some(key) = self.correspondent(Some(to), account) else { return false };
        let text = self.text(now.to_string(), &[&to.to_string(), &account.to_string()]);
        self.limited(self.sources.store.set(&key, &text, seconds(self.settings.times.max_age))).await.is_ok()
    }

    /// The text of an entry in the store, with its names unless they are hashed.
    fn text(&self, state: String, names: &[&str]) -> String {
        if self.settings.hash { state } else { record::with_names(&state, names) }
    }

    /// Whether a client may have one more new entry.
    fn admits(&self, client: IpAddr, now: u64) -> bool {
        let network = self.settings.identification.network(client).to_string();
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).admits(&network, now)
    }

    fn without_store(&self, why: &str) -> Verdict {
        self.sources.outage.fails(&crate::lookup::Reason::new(why));
        if self.settings.passes_without_store {
            Verdict::Pass(PassReason::StoreFailed)
        } else {
            Verdict::Wait(self.settings.times.delay, WaitReason::StoreFailed)
        }
    }

    /// The result of the store, within [`STORE_LIMIT`].
    async fn limited<T>(&self, asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let result = within(STORE_LIMIT, asking).await;
        let result = result.unwrap_or_else(|| Err(format!("no answer within {STORE_LIMIT:?}")));
        match &result {
            Ok(_) => self.sources.outage.works(),
            Err(why) => self.sources.outage.fails(&crate::lookup::Reason::new(why.as_str())),
        }
        result
    }
}

/// An entry that cannot be read counts as absent.
fn parsed<T: FromStr>(text: Option<&str>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[cfg(test)]
mod tests;
