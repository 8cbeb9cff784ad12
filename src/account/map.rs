//! `map:NAME`: the accounts are the keys of a map.
//!
//! An account exists if the map has a value for its address, whatever the value is. The map searches as it is
//! configured to (`search`), so one with `search = "virtual_alias"` finds an address by its local part or its
//! domain as well.
//!
//! With a witness, "not found" counts only if the map finds the witness at the same domain. Another account that is
//! found is a witness, too, if the map has one source only: otherwise it may be in a list while a server has lost its
//! data. A file that is read at each lookup may be replaced by an empty one at any time, so a control is valid for one
//! state of the files. Without a witness every "not found" counts; databases have a witness of their own.

use super::settings::{Scoped, Witness};
use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{Control, Reply, Server};
use crate::map::served::Map;
use crate::observe::Metrics;
use crate::watch::Stamp;
use mail_address::Address;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// `map:NAME`
pub(super) const TYPE: SourceType = SourceType {
    name: "map",
    usage: "map:NAME, the name of a [[map]]",
    read: |arguments| match arguments {
        "" => Err("it names no map".into()),
        name => Ok(Arc::new(Named(name.into()))),
    },
};

#[derive(Debug)]
struct Named(Box<str>);

impl SourceConfig for Named {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let found = context.maps.get(&*self.0).cloned();
        let source = found.map(|map| MapSource {
            name: context.name.clone(),
            map,
            witness: context.source.witness.clone(),
            controls: Controls::new(context.name, context.source.control_interval, context.metrics),
            looks: Arc::new(Semaphore::new(LOOKS)),
        });
        let source = source.ok_or_else(|| {
            vec![format!("there is no map {} with values of its own: add a section [[map]]", self.0)]
        });
        Box::pin(async { source.map(|source| Arc::new(source) as Arc<AccountSource>) })
    }
}

/// Maximum number of concurrent looks at the files, each in its own thread: a disk that hangs must not use up all
/// threads for blocking calls.
const LOOKS: usize = 16;

/// The state of each file; `None` if it does not exist.
type Stamps = Vec<Option<Stamp>>;

/// The controls of the present state of the files.
#[derive(Debug)]
struct Controls {
    source: Arc<str>,
    interval: Duration,
    metrics: Arc<Metrics>,
    of: Mutex<(Stamps, Arc<Control>)>,
}

impl Controls {
    fn new(source: &Arc<str>, interval: Duration, metrics: &Arc<Metrics>) -> Self {
        let control = Arc::new(Control::new(source.clone(), interval, metrics));
        let (source, metrics) = (source.clone(), metrics.clone());
        Controls { source, interval, metrics, of: Mutex::new((Stamps::new(), control)) }
    }

    /// The controls in this state. Those of another state are dropped.
    fn of(&self, stamps: &Stamps) -> Arc<Control> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.0 != *stamps {
            let control = Control::new(self.source.clone(), self.interval, &self.metrics);
            *of = (stamps.clone(), Arc::new(control));
        }
        of.1.clone()
    }
}

#[derive(Debug)]
struct MapSource {
    name: Arc<str>,
    map: Arc<Map>,
    witness: Scoped<Witness>,
    controls: Controls,
    looks: Arc<Semaphore>,
}

impl MapSource {
    async fn verify(&self, account: &Address) -> Result<Verification, Reason> {
        let domain = account.domain().unwrap_or_default();
        match self.witness.of(domain) {
            Witness::Account(local) => self.controlled(account, domain, local).await,
            Witness::Default | Witness::Off => self.look_up_key(&account.to_string()).await,
        }
    }

    async fn look_up_key(&self, key: &str) -> Result<Verification, Reason> {
        let (result, detail) = match self.map.find(key.as_bytes()).await {
            Lookup::Found(value) => (Lookup::Found(()), format!("{key}: {value}")),
            Lookup::NotFound => (Lookup::NotFound, format!("{key}: {NO_VALUE}")),
            Lookup::TempFail(why) => return Err(why),
        };
        Ok(Verification::new(result, &self.name).with_detail(&detail))
    }

    /// Looks up an account of a domain with this witness.
    async fn controlled(&self, account: &Address, domain: &str, local: &str) -> Result<Verification, Reason> {
        let key = account.to_string();
        let witness = Address::from_rcpt(format!("{local}@{domain}").as_bytes()).to_string();
        let server = Server { peer: &self.name, scope: domain };
        let before = self.stamps().await?;
        let control = self.controls.of(&before);
        let verification = self.look_up_key(&key).await?;
        if verification.result == Lookup::Found(()) {
            if self.map.has_one_source() || key == witness {
                control.found(server);
            }
            return Ok(verification);
        }
        let uncontrolled = |why: String| Reason::uncontrolled(format!("{key}: {NO_VALUE}, but {why}"));
        let passed = control.witness(server, &witness, || self.ask_witness(&witness)).await;
        passed.map_err(|why| uncontrolled(why.to_string()))?;
        // Otherwise the account was looked up in one file, and the witness perhaps in another.
        if self.stamps().await? != before {
            return Err(Reason::new(format!(
                "{key}: {NO_VALUE}, but a file of the map has changed meanwhile"
            )));
        }
        Ok(verification.with_ttl(control.interval()))
    }

    async fn ask_witness(&self, witness: &str) -> Reply {
        match self.map.find(witness.as_bytes()).await {
            Lookup::Found(value) => Reply::Exists(value),
            Lookup::NotFound => Reply::NotFound(NO_VALUE.into()),
            Lookup::TempFail(why) => Reply::TempFail(why.to_string()),
        }
    }

    async fn stamps(&self) -> Result<Stamps, Reason> {
        if self.map.files().is_empty() {
            return Ok(Stamps::new());
        }
        let failed = |why: &dyn fmt::Display| Reason::new(format!("the files of the map: {why}"));
        let permit = self.looks.clone().acquire_owned().await.map_err(|error| failed(&error))?;
        let map = self.map.clone();
        let looking = spawn_blocking(move || {
            let _permit = permit;
            map.files().iter().map(|file| Stamp::at(file)).collect()
        });
        looking.await.map_err(|error| failed(&error))
    }
}

/// What the map says of a key that it does not have.
const NO_VALUE: &str = "no value";

impl Source<Address, Verification> for MapSource {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let verified = self.verify(account).await;
            verified.unwrap_or_else(|why| Verification::new(Lookup::TempFail(why), &self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::account;
    use super::*;
    use crate::lookup::control::INTERVAL;
    use crate::map::Table;
    use crate::map::fixed::Always;
    use crate::map::list::List;
    use crate::map::search::SearchStrategy;
    use crate::map::served::{Maps, Reading};
    use crate::map::source::SourceSpec;
    use std::collections::{BTreeMap, HashSet};
    use std::fs;

    fn over(map: Map, witness: Scoped<Witness>) -> MapSource {
        let name: Arc<str> = "map:users".into();
        let controls = Controls::new(&name, INTERVAL, &Arc::default());
        MapSource { name, map: Arc::new(map), witness, controls, looks: Arc::new(Semaphore::new(LOOKS)) }
    }

    fn source(table: Arc<Table>, search: SearchStrategy) -> MapSource {
        let local = HashSet::from(["example.test".to_owned()]);
        let reading = Arc::new(Reading { local, ..Reading::default() });
        over(Map::new("users".into(), table, search, reading), Scoped::default())
    }

    /// A table whose keys change, and what was asked for.
    #[derive(Debug, Default)]
    struct Keys {
        keys: Mutex<Vec<&'static str>>,
        asked: Mutex<Vec<String>>,
    }

    impl Source<str, Lookup<String>> for Keys {
        fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
            Box::pin(async move {
                self.asked.lock().unwrap().push(key.to_owned());
                let keys = self.keys.lock().unwrap();
                match &keys[..] {
                    ["?"] => Lookup::temp_fail("down"),
                    keys if keys.contains(&key) => Lookup::Found("yes".into()),
                    _ => Lookup::NotFound,
                }
            })
        }
    }

    /// A map of these sources over a table that changes.
    fn changing(sources: &[&str], witness: Scoped<Witness>) -> (Arc<Keys>, MapSource) {
        let keys = Arc::new(Keys::default());
        let sources: Vec<SourceSpec> = sources.iter().map(|source| source.parse().unwrap()).collect();
        let map = Map::new("users".into(), keys.clone(), SearchStrategy::Plain, Arc::default());
        (keys, over(map.made_of(&sources, &Maps::new()), witness))
    }

    /// The result, `+`, `-` or `?`, and what was asked for, without its domain.
    async fn asked(keys: &Keys, source: &MapSource, address: &str) -> String {
        let verification = source.look_up(&account(address)).await;
        let short = match verification.result {
            Lookup::Found(()) => "+",
            Lookup::NotFound => "-",
            Lookup::TempFail(_) => "?",
        };
        let asked = std::mem::take(&mut *keys.asked.lock().unwrap());
        asked.iter().fold(short.to_owned(), |all, key| all + " " + key.split('@').next().unwrap())
    }

    #[tokio::test]
    async fn an_account_exists_if_its_address_has_a_value() {
        let entries = [("foo@example.test", "foo"), ("bar", "bar"), ("@all.test", "x")];
        let entries: Vec<_> = entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let list: Arc<Table> = Arc::new(List::of(&entries, true).unwrap());
        let (plain, alias) = (SearchStrategy::Plain, SearchStrategy::VirtualAlias);
        for (address, search, want) in [
            ("foo@example.test", plain, "exists"),
            ("foo@other.test", plain, "not found"),
            ("bar@example.test", plain, "not found"),
            ("bar@example.test", alias, "exists"),
            ("bar@other.test", alias, "not found"),
            ("any@all.test", plain, "not found"),
            ("any@all.test", alias, "exists"),
        ] {
            let answer = source(list.clone(), search).look_up(&account(address)).await;
            assert_eq!(answer.result.to_string(), want, "{address} {search:?}");
            assert_eq!(&*answer.source, "map:users");
        }
    }

    #[tokio::test]
    async fn a_failure_of_the_map_is_a_temporary_failure() {
        for (value, want) in [
            (Lookup::temp_fail("down"), "temporary failure: down"),
            (Lookup::Found(String::new()), "temporary failure: the value is empty"),
        ] {
            let table: Arc<Table> = Arc::new(Always::new(value));
            let answer = source(table, SearchStrategy::Plain).look_up(&account("foo@example.test")).await;
            assert_eq!(answer.result.to_string(), want);
        }
    }

    const PM: &str = "postmaster@one.test";

    /// Seconds since the step before, the keys of the map, the account, and what is asked for and replied: by a map of
    /// one source, and by one of several.
    const STEPS: &[(u64, &[&str], &str, [&str; 2])] = &[
        (0, &[PM, "foo@one.test"], "bar@one.test", ["- bar postmaster", "- bar postmaster"]),
        // The control is valid for its interval, and for its domain.
        (299, &[], "bar@one.test", ["- bar", "- bar"]),
        (0, &[PM], "bar@two.test", ["? bar postmaster", "? bar postmaster"]),
        (2, &[], "foo@one.test", ["? foo postmaster", "? foo postmaster"]),
        (0, &[], PM, ["? postmaster", "? postmaster"]),
        (0, &["foo@one.test"], "foo@one.test", ["+ foo", "+ foo"]),
        // An account that is found shows something only if there is one source.
        (0, &["foo@one.test"], "bar@one.test", ["- bar", "? bar"]),
        (0, &[PM], PM, ["+ postmaster", "+ postmaster"]),
        (0, &[], "bar@one.test", ["- bar", "- bar"]),
        (301, &["?"], "bar@one.test", ["? bar", "? bar"]),
        (0, &["foo@one.test"], "bar@one.test", ["? bar postmaster", "? bar postmaster"]),
        // Another witness, and none.
        (0, &["info@three.test"], "bar@three.test", ["- bar info", "- bar info"]),
        (0, &[], "bar@four.test", ["- bar", "- bar"]),
    ];

    #[tokio::test(start_paused = true)]
    async fn not_found_counts_if_the_witness_is_found() {
        let maps = [&["tcp:h:1"][..], &["tcp:h:1", "inline:{a=b}"], &["unionmap:{tcp:h:1,tcp:h:2}"]];
        for (sources, at) in maps.into_iter().zip([0, 1, 1]) {
            let named = |name: &str| Witness::Account(name.into());
            let domains = [("three.test".into(), named("info")), ("four.test".into(), Witness::Off)];
            let witness = Scoped { default: named("postmaster"), domains: BTreeMap::from(domains) };
            let (keys, source) = changing(sources, witness);
            for (n, (after, has, address, wants)) in STEPS.iter().enumerate() {
                tokio::time::advance(Duration::from_secs(*after)).await;
                *keys.keys.lock().unwrap() = has.to_vec();
                assert_eq!(asked(&keys, &source, address).await, wants[at], "{sources:?}, step {n}");
            }
        }
    }

    #[tokio::test]
    async fn the_reason_names_the_remedy() {
        let (_, source) = changing(&["tcp:h:1"], Witness::Account("info".into()).into());
        let got = source.look_up(&account("foo@one.test")).await.result;
        let Lookup::TempFail(why) = got else { panic!("{got:?}") };
        assert!(why.is_uncontrolled());
        let want = "foo@one.test: no value, but map:users for one.test does not find the witness info@one.test either \
                    (no value), so it may find no account at all, and \"not found\" does not count: set witness to an \
                    account that exists there";
        assert_eq!(why.as_str(), want);
    }

    /// A file that is replaced by an empty one is noticed within the interval.
    #[tokio::test]
    async fn a_control_is_valid_for_one_state_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("users.lmdb"), folder.path().join("new"));
        fs::write(&file, "").unwrap();
        let spec = format!("lmdb:{}", folder.path().join("users").display());
        let (keys, source) = changing(&[&spec], Witness::Account("postmaster".into()).into());
        for (is_replaced, has, want) in [
            (false, &[PM][..], "- bar postmaster"),
            (false, &[], "- bar"),
            (true, &[], "? bar postmaster"),
            (false, &[PM], "? bar"),
            (true, &[PM], "- bar postmaster"),
        ] {
            if is_replaced {
                fs::write(&new, "").unwrap();
                fs::rename(&new, &file).unwrap();
            }
            *keys.keys.lock().unwrap() = has.to_vec();
            assert_eq!(asked(&keys, &source, "bar@one.test").await, want, "{is_replaced} {has:?}");
        }
    }
}
