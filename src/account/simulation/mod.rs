//! The tree of sources over simulated servers, in the paused time of tokio, for tests of long outages and random
//! outages.
//!
//! The cache and the known accounts use the system clock, so their entries do not expire here: a cache is either off,
//! or keeps all entries until it is flushed.

mod day;
mod property;

use super::known::KnownAccounts;
use super::settings::{CacheSettings, Combine, OnTempFail, Settings, SourceSettings};
use super::sources::{Answering, answering, protected};
use super::testing::account;
use super::{AccountSource, Chain, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::Cache;
use crate::lookup::control::{Control, Reply, Server};
use mail_address::Address;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(5);
const TOTAL_DEADLINE: Duration = Duration::from_secs(7);
/// How long a witness is valid.
const INTERVAL: Duration = Duration::from_mins(5);

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It answers after this time.
    Up(Duration),
    /// It reports a temporary failure.
    Fails,
    /// It does not answer.
    Silent,
    /// It has lost its accounts, and finds no account.
    Empty,
}

/// A lookup that a server answered.
#[derive(Clone, Debug)]
struct Answered {
    account: Address,
    exists: bool,
    at: Instant,
}

/// A server with accounts, and the source that asks it.
#[derive(Debug)]
struct Simulated {
    name: Arc<str>,
    accounts: &'static [&'static str],
    has_witness: bool,
    control: Control,
    state: Mutex<State>,
    answered: Mutex<Vec<Answered>>,
}

impl Simulated {
    fn new(name: &str, accounts: &'static [&'static str], has_witness: bool) -> Arc<Self> {
        let name: Arc<str> = name.into();
        Arc::new(Simulated {
            control: Control::new(name.clone(), INTERVAL, &Arc::default()),
            name,
            accounts,
            has_witness,
            state: Mutex::new(State::Up(Duration::ZERO)),
            answered: Mutex::default(),
        })
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap()
    }

    /// The lookups that it has answered.
    fn answered(&self) -> MutexGuard<'_, Vec<Answered>> {
        self.answered.lock().unwrap()
    }

    /// Asks the server, which may change while it is asked.
    async fn ask(&self, account: &Address) -> Reply {
        match self.state() {
            State::Up(takes) => sleep(takes).await,
            State::Silent => std::future::pending().await,
            State::Fails | State::Empty => (),
        }
        let exists = match self.state() {
            State::Up(_) => self.accounts.contains(&&*account.to_string()),
            State::Empty => false,
            State::Fails => return Reply::TempFail("450 4.3.0 later".into()),
            State::Silent => std::future::pending().await,
        };
        self.answered().push(Answered { account: account.clone(), exists, at: Instant::now() });
        if exists { Reply::Exists("250 ok".into()) } else { Reply::NotFound("550 5.1.1 no".into()) }
    }

    async fn verify(&self, address: &Address) -> Lookup<()> {
        let scope = address.domain().unwrap_or_default();
        let server = Server { peer: "192.0.2.1:25", scope };
        match self.ask(address).await {
            Reply::Exists(_) => {
                self.control.found(server);
                Lookup::Found(())
            }
            Reply::NotFound(_) if self.has_witness => {
                let witness = account(&format!("postmaster@{scope}"));
                match self.control.witness(server, "postmaster", || self.ask(&witness)).await {
                    Ok(()) => Lookup::NotFound,
                    Err(why) => Lookup::TempFail(Reason::uncontrolled(why.to_string())),
                }
            }
            Reply::NotFound(_) => Lookup::NotFound,
            Reply::TempFail(why) => Lookup::TempFail(Reason::new(why)),
        }
    }
}

impl Source<Address, Verification> for Simulated {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move { Verification::new(self.verify(account).await, &self.name) })
    }
}

/// A server in a chain.
#[derive(Clone, Debug)]
struct Place {
    server: Arc<Simulated>,
    domains: Option<BTreeSet<String>>,
    on_tempfail: OnTempFail,
}

impl Place {
    fn is_for(&self, account: &Address) -> bool {
        let domain = account.domain().unwrap_or_default();
        self.domains.as_ref().is_none_or(|domains| domains.contains(domain))
    }
}

/// The tree over some servers.
struct Tree {
    composed: Arc<AccountSource>,
    cache: Arc<Cache<Address, Verification>>,
}

impl Tree {
    fn new(places: &[Place], combine: Combine, cache: CacheSettings) -> Self {
        let mut settings = Settings::new(Vec::new(), cache);
        settings.total_deadline = TOTAL_DEADLINE;
        let members = places.iter().map(|place| {
            let own = SourceSettings {
                deadline: DEADLINE,
                domains: place.domains.clone(),
                on_tempfail: place.on_tempfail,
                // The type does not matter to the wrappers.
                ..SourceSettings::new("fail:".parse().unwrap())
            };
            protected(&place.server.name, &own, &Arc::default(), place.server.clone())
        });
        let chain = Arc::new(Chain::new(members.collect(), combine));
        let known = Arc::new(KnownAccounts::new(settings.cache.stale_ttl));
        let Answering { composed, cache, .. } = answering(&settings, known, None, chain, None);
        Tree { composed, cache }
    }

    async fn ask(&self, account: &Address) -> Verification {
        self.composed.look_up(account).await
    }
}
