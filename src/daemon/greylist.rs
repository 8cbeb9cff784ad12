//! Builds what the policy protocol decides with, and keeps what outlasts a reload: the file of greylisting, the limits of
//! clients, and the results of DNS.

use super::Live;
use crate::config::{Config, GreylistSettings, StoreSettings};
use crate::greylist::SpfResult;
use crate::greylist::service::{Greylist, ListSource, Sources, SpfSource};
use crate::greylist::throttle::Throttle;
use crate::lookup::LookupFuture;
use crate::map::Table;
use crate::net::dnswl::{Dnswl, Listing};
use crate::net::spf::SpfChecker;
use crate::observe::{self, Metrics};
use crate::server::policy::{Deciding, now};
use crate::store::Store;
use crate::store::embedded::{Embedded, Settings};
use crate::store::prefixed::Prefixed;
use mail_address::Address;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What the keys of greylisting begin with in a database.
pub const PREFIX: &str = "rcptd:grey:";
/// The name of the store in the log and the metrics.
const NAME: &str = "greylist.store";

/// What outlasts a reload.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The open file. It stays open until rcptd stops, since a change of its name needs a restart.
    file: Mutex<Option<(PathBuf, Arc<Embedded>)>>,
    throttle: Mutex<Option<Arc<Mutex<Throttle>>>>,
    spf: Mutex<Option<Arc<SpfChecker>>>,
    list: Mutex<Option<(String, Arc<Dnswl>)>>,
}

/// The value that is kept, if it is the right one; otherwise a new one, which is kept from now on.
fn kept<T: Clone>(
    place: &Mutex<Option<T>>,
    is_right: impl FnOnce(&T) -> bool,
    new: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(old) = place.as_ref().filter(|old| is_right(old)) {
        return Ok(old.clone());
    }
    let value = new()?;
    *place = Some(value.clone());
    Ok(value)
}

impl Kept {
    /// Builds what decides from a configuration and its services. The error lists all problems.
    pub async fn deciding(
        self: &Arc<Self>,
        config: &Config,
        live: &Live,
        metrics: &Arc<Metrics>,
    ) -> Result<Deciding, Vec<String>> {
        let greylist = match &config.greylist {
            Some(settings) if !config.policies.is_empty() => {
                Some(Arc::new(self.greylist(settings, live, metrics).await.map_err(|why| vec![why])?))
            }
            Some(_) | None => None,
        };
        let mut replies = config.policy_replies.clone();
        if replies.hostname.is_empty() {
            let name = nix::unistd::gethostname();
            replies.hostname = name.map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into());
        }
        Ok(Deciding { resolver: live.service.resolver.clone(), dry_run: config.dry_run, greylist, replies })
    }

    async fn greylist(
        self: &Arc<Self>,
        settings: &GreylistSettings,
        live: &Live,
        metrics: &Arc<Metrics>,
    ) -> Result<Greylist, String> {
        let outage = metrics.outage(NAME, None);
        let store: Arc<dyn Store> = match &settings.store {
            StoreSettings::Database(name) => {
                let store = live.greylist_store.clone();
                let store =
                    store.ok_or_else(|| format!("greylist.store: the database {name} cannot store texts"))?;
                Arc::new(Prefixed::new(PREFIX, store))
            }
            StoreSettings::File(path) => self.file(path, settings.max_entries, metrics).await?,
        };
        let map = |name: &Arc<str>| {
            let map = live.maps.iter().find(|map| map.name() == name)?;
            Some((name.clone(), map.clone() as Arc<Table>))
        };
        let limit = settings.dns_deadline;
        let spf = if settings.spf {
            let checker = kept(&self.spf, |_| true, || SpfChecker::system().map(Arc::new))?;
            Some(Arc::new(Spf { checker, limit }) as Arc<dyn SpfSource>)
        } else {
            None
        };
        let list = match &settings.dnswl {
            Some(zone) => {
                let new = || Ok((zone.clone(), Arc::new(Dnswl::system(zone)?)));
                let (_, list) = kept(&self.list, |(old, _)| old == zone, new)?;
                Some(Arc::new(List { list, limit }) as Arc<dyn ListSource>)
            }
            None => None,
        };
        let is_same = |throttle: &Arc<Mutex<Throttle>>| {
            throttle.lock().unwrap_or_else(PoisonError::into_inner).limit() == settings.max_new
        };
        let new = || Ok(Arc::new(Mutex::new(Throttle::new(settings.max_new))));
        let throttle = kept(&self.throttle, is_same, new)?;
        let maps = settings.maps.iter().filter_map(map).collect();
        let sources = Sources { store, maps, spf, list, outage };
        Ok(Greylist::new(settings.settings.clone(), sources, throttle))
    }

    /// The file, which is opened once.
    async fn file(
        self: &Arc<Self>,
        path: &Path,
        max_entries: u64,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<dyn Store>, String> {
        let (this, path, metrics) = (self.clone(), path.to_owned(), metrics.clone());
        let opening = tokio::task::spawn_blocking(move || {
            kept(
                &this.file,
                |_| true,
                || {
                    let outage = metrics.outage(NAME, None);
                    let settings = Settings { max_entries, clock: now };
                    let (store, moved) = Embedded::open(&path, settings, outage)
                        .map_err(|why| format!("greylist.store: {why}"))?;
                    if let Some(what) = moved {
                        observe::policy::store_moved(&what);
                    }
                    Ok((path, Arc::new(store)))
                },
            )
        });
        let opened = opening.await.map_err(|error| format!("a defect in rcptd: {error}"))?;
        opened.map(|(_, store)| store as Arc<dyn Store>)
    }
}

/// SPF with the deadline of the configuration.
#[derive(Debug)]
struct Spf {
    checker: Arc<SpfChecker>,
    limit: Duration,
}

impl SpfSource for Spf {
    fn check<'a>(
        &'a self,
        client: IpAddr,
        helo: &'a str,
        sender: Option<&'a Address>,
    ) -> LookupFuture<'a, SpfResult> {
        Box::pin(self.checker.check(client, helo, sender, Instant::now() + self.limit))
    }
}

/// A public list with the deadline of the configuration.
#[derive(Debug)]
struct List {
    list: Arc<Dnswl>,
    limit: Duration,
}

impl ListSource for List {
    fn lists(&self, client: IpAddr) -> LookupFuture<'_, bool> {
        Box::pin(async move {
            matches!(self.list.check(client, Instant::now() + self.limit).await, Listing::Listed(_))
        })
    }
}
