//! Known accounts in a database that several hosts share.
//!
//! Each host writes the accounts that its sources find, and removes those that they do not find. While a source
//! fails, an account that is not known here counts as existing if another host has found it. The database never
//! makes an account "not found": it may be empty, or down, or have lost the entry.
//!
//! A key is [`PREFIX`] and the address. Its text is one JSON object with the version, the source, the
//! configuration of the maps if the source is a map, and the time when the account was found. The entry counts if this
//! host has a source of the same name, as in the file. Hosts do not copy entries: when an entry is removed, it no
//! longer counts for any host that did not find the account itself.
//!
//! Changes are written in the background. A read takes at most [`LIMIT`]; after a failure, reads are suspended for a
//! while.

use super::KnownAccount;
use crate::account::Lookup;
use crate::lookup::Key;
use crate::net::back_off::BackOff;
use crate::observe::Metrics;
use crate::observe::outage::Outage;
use crate::store::Store;
use mail_address::Address;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Longest delay of an answer by the database: a reply within one site takes some milliseconds.
pub const LIMIT: Duration = Duration::from_millis(500);
/// The prefix of the keys in the database.
pub const PREFIX: &str = "rcptd:known:";
/// The version of the texts. Texts of another version are neither used nor removed.
const VERSION: u64 = 1;
/// Most changes that wait to be written. Further ones are lost: the account is shared when it is found again.
const QUEUE: usize = 10_000;
/// Most accounts that are removed at once when an operator forgets all accounts.
const FLUSHED_AT_ONCE: usize = 100;
/// Time limit of removing accounts from the database, while an operator waits.
const FLUSH_LIMIT: Duration = Duration::from_secs(20);

/// The shared accounts.
#[derive(Debug)]
pub struct Shared {
    access: Arc<Access>,
    changes: mpsc::Sender<Change>,
    limit: Duration,
}

/// The accounts that this host may read and write.
#[derive(Debug)]
struct Access {
    store: Arc<dyn Store>,
    scope: Scope,
    outage: Arc<Outage>,
    back_off: BackOff<()>,
}

/// Selects the entries that belong to this host.
#[derive(Debug)]
pub struct Scope {
    /// The names of the sources.
    pub sources: Vec<Arc<str>>,
    /// The configuration of the maps.
    pub maps: String,
    /// How long an account is known.
    pub stale_ttl: Duration,
}

/// A change of the database.
#[derive(Debug)]
enum Change {
    Found(Address, KnownAccount),
    Gone(Address),
    /// Signals that all earlier changes are written.
    Written(oneshot::Sender<()>),
}

impl Shared {
    /// The accounts in the store `name`. `limit` is at most [`LIMIT`].
    pub fn new(name: &str, store: Arc<dyn Store>, scope: Scope, limit: Duration, metrics: &Metrics) -> Self {
        let outage = metrics.outage(&format!("shared:{name}"), None);
        let access = Arc::new(Access { store, scope, outage, back_off: BackOff::new(limit) });
        let (changes, mut waiting) = mpsc::channel(QUEUE);
        let writer = access.clone();
        // It ends when the sender is dropped.
        tokio::spawn(async move {
            while let Some(change) = waiting.recv().await {
                writer.apply(change).await;
            }
        });
        Shared { access, changes, limit }
    }

    /// Longest delay of an answer.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Shares an account that a source has found, without waiting.
    pub(super) fn found(&self, account: &Address, known: KnownAccount) {
        if self.access.scope.shares(&known) {
            let _ = self.changes.try_send(Change::Found(account.clone(), known));
        }
    }

    /// Removes an account that a source has not found, without waiting.
    pub(in crate::account) fn gone(&self, account: &Address) {
        let _ = self.changes.try_send(Change::Gone(account.clone()));
    }

    /// Returns an account that another host has found; `None` also if the database fails or exceeds the limit.
    pub(super) async fn get(&self, account: &Address) -> Option<KnownAccount> {
        if self.access.back_off.is_backed_off() {
            return None;
        }
        let (access, account) = (self.access.clone(), account.clone());
        let began = Instant::now();
        // It goes on after the limit, so that a slow server gets its connection.
        let asking = tokio::spawn(async move { access.read(&account, began).await });
        match timeout(self.limit, asking).await {
            Ok(Ok(known)) => known,
            Ok(Err(_)) => None,
            Err(_) => {
                self.access.fails(began, &format!("no answer within {:?}", self.limit));
                None
            }
        }
    }

    /// Removes the accounts that `is_meant` selects by their key in the cache and their source, and returns them.
    pub(in crate::account) async fn flush(
        &self,
        is_meant: impl Fn(&str, &str) -> bool,
    ) -> Result<BTreeSet<String>, String> {
        let all = self.flush_all(is_meant);
        timeout(FLUSH_LIMIT, all).await.unwrap_or_else(|_| Err(format!("not done within {FLUSH_LIMIT:?}")))
    }

    async fn flush_all(&self, is_meant: impl Fn(&str, &str) -> bool) -> Result<BTreeSet<String>, String> {
        // An account that was found before must not be written after it was removed.
        let (written, waiting) = oneshot::channel();
        self.changes.send(Change::Written(written)).await.map_err(|error| error.to_string())?;
        waiting.await.map_err(|error| error.to_string())?;
        let mut removed = BTreeSet::new();
        let mut cursor = String::new();
        loop {
            let page = self.access.store.page(PREFIX, &cursor).await?;
            for some in page.keys.chunks(FLUSHED_AT_ONCE) {
                self.flush_some(some, &is_meant, &mut removed).await?;
            }
            match page.next {
                Some(next) => cursor = next,
                None => return Ok(removed),
            }
        }
    }

    async fn flush_some(
        &self,
        some: &[String],
        is_meant: &impl Fn(&str, &str) -> bool,
        removed: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let mut reading = JoinSet::new();
        for account in some.iter().filter_map(|key| named(key)) {
            let access = self.access.clone();
            reading.spawn(async move { (access.entry(&account).await, account) });
        }
        while let Some(read) = reading.join_next().await {
            let (entry, account) = read.map_err(|error| error.to_string())?;
            let Some(source) = entry?.and_then(|known| known.source) else { continue };
            let key = account.cache_key();
            if is_meant(&key, &source) {
                self.access.store.remove(&name(&account)).await?;
                removed.insert(key.into_owned());
            }
        }
        Ok(())
    }
}

impl Access {
    async fn apply(&self, change: Change) {
        let began = Instant::now();
        let done = match change {
            Change::Found(account, known) => {
                let (name, text) = (name(&account), self.scope.text(&known));
                let left = self.scope.stale_ttl.saturating_sub(known.age());
                if left.is_zero() { Ok(()) } else { self.store.set(&name, &text, left).await }
            }
            Change::Gone(account) => match self.entry(&account).await {
                Ok(Some(_)) => self.store.remove(&name(&account)).await,
                Ok(None) => Ok(()),
                Err(why) => Err(why),
            },
            Change::Written(reply) => {
                let _ = reply.send(());
                return;
            }
        };
        match done {
            Ok(()) => self.works(),
            Err(why) => self.fails(began, &why),
        }
    }

    async fn read(&self, account: &Address, began: Instant) -> Option<KnownAccount> {
        match self.entry(account).await {
            Ok(entry) => {
                self.works();
                entry
            }
            Err(why) => {
                self.fails(began, &why);
                None
            }
        }
    }

    /// The entry of an account, if it is one of this host.
    async fn entry(&self, account: &Address) -> Result<Option<KnownAccount>, String> {
        match self.store.get(&name(account)).await {
            Lookup::Found(text) => Ok(self.scope.known(&text, SystemTime::now())),
            Lookup::NotFound => Ok(None),
            Lookup::TempFail(why) => Err(why.to_string()),
        }
    }

    fn works(&self) {
        self.back_off.reached();
        self.outage.works();
    }

    fn fails(&self, began: Instant, why: &str) {
        self.back_off.back_off();
        self.back_off.failed(began, ());
        self.outage.fails(&why);
    }
}

impl Scope {
    /// Whether an account is shared: not if it is pinned, is one of `file:`, `aliases:` or `passwd:`, which depend on
    /// files of this host, or the source has all names.
    fn shares(&self, known: &KnownAccount) -> bool {
        let Some(source) = &known.source else { return false };
        known.basis.is_empty()
            && self.has(source)
            && !["none:", "static:"].iter().any(|all| source.starts_with(all))
    }

    fn has(&self, source: &str) -> bool {
        self.sources.iter().any(|own| **own == *source)
    }

    fn text(&self, known: &KnownAccount) -> String {
        let seconds = known.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({ "version": VERSION, "source": known.source.as_deref(), "maps": self.maps, "since": seconds })
            .to_string()
    }

    /// Reads a text; `None` if it is not one for this host, or too old. A time in the future counts as now, as in
    /// the file.
    fn known(&self, text: &str, now: SystemTime) -> Option<KnownAccount> {
        let entry: Value = serde_json::from_str(text).ok()?;
        let (version, seconds) = (entry.get("version")?.as_u64()?, entry.get("since")?.as_u64()?);
        let (source, maps) = (entry.get("source")?.as_str()?, entry.get("maps")?.as_str()?);
        let is_ours =
            version == VERSION && self.has(source) && (!source.starts_with("map:") || maps == self.maps);
        let since = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map_or(now, |since| since.min(now));
        let is_young = now.duration_since(since).is_ok_and(|age| age < self.stale_ttl);
        (is_ours && is_young).then(|| KnownAccount::new(Some(source.into()), since))
    }
}

/// The key of an account in the database.
fn name(account: &Address) -> String {
    format!("{PREFIX}{account}")
}

/// The account of a key.
fn named(key: &str) -> Option<Address> {
    Some(Address::from_rcpt(format!("<{}>", key.strip_prefix(PREFIX)?).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{account, answer as found_by};
    use super::super::{Known, KnownAccounts, Recorded};
    use super::*;
    use crate::account::{Source, Verification};
    use crate::lookup::LookupFuture;
    use crate::lookup::testing::Double;
    use crate::store::testing::Memory;
    use crate::watch::Basis;

    const LONG: Duration = Duration::from_hours(96);

    fn scope(sources: &[&str], maps: &str) -> Scope {
        let sources = sources.iter().map(|source| Arc::from(*source)).collect();
        Scope { sources, maps: maps.into(), stale_ttl: LONG }
    }

    fn shared(store: &Arc<Memory>) -> Arc<Shared> {
        let scope = scope(&["double:"], "");
        Arc::new(Shared::new("test", store.clone(), scope, LIMIT, &Metrics::default()))
    }

    /// A source that depends on no file.
    #[derive(Debug)]
    struct Remote(Arc<Double<Verification>>);

    impl Source<Address, Verification> for Remote {
        fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
            Box::pin(async move { Verification { basis: Basis::default(), ..self.0.look_up(account).await } })
        }
    }

    /// Waits until all changes are written.
    async fn written(shared: &Shared) {
        let (reply, waiting) = oneshot::channel();
        shared.changes.send(Change::Written(reply)).await.unwrap();
        waiting.await.unwrap();
    }

    #[test]
    fn its_keys_are_known_as_ours() {
        assert!(PREFIX.starts_with(crate::store::OWN_KEYS));
    }

    #[test]
    fn reads_what_other_hosts_write() {
        let since = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let now = since + Duration::from_hours(1);
        let text =
            |source: &str, maps: &str| scope(&[], maps).text(&KnownAccount::new(Some(source.into()), since));
        let host = scope(&["vrfy:mx:25", "map:users"], "m1");
        for (text, now, want) in [
            (text("vrfy:mx:25", "m1"), now, true),
            (text("vrfy:mx:25", "m2"), now, true),
            (text("map:users", "m1"), now, true),
            (text("map:users", "m2"), now, false),
            (text("vrfy:other:25", "m1"), now, false),
            (text("vrfy:mx:25", ""), since + LONG, false),
            (text("vrfy:mx:25", ""), since + LONG - Duration::from_secs(1), true),
            // The clock of the other host is ahead.
            (text("vrfy:mx:25", ""), since - Duration::from_hours(1), true),
            (text("vrfy:mx:25", "").replace(":1,", ":2,").replace("n\":1}", "n\":2}"), now, false),
            ("{}".into(), now, false),
            ("[]".into(), now, false),
            ("foo".into(), now, false),
            (String::new(), now, false),
        ] {
            let got = host.known(&text, now);
            assert_eq!(got.is_some(), want, "{text}");
            let since = got.map_or(since, |known| known.since);
            assert!(since <= now, "{text}");
        }
    }

    #[test]
    fn shares_what_other_hosts_can_use() {
        let scope = scope(&["vrfy:mx:25", "none:"], "");
        for (source, want) in
            [(Some("vrfy:mx:25"), true), (Some("none:"), false), (Some("vrfy:"), false), (None, false)]
        {
            let known = KnownAccount::new(source.map(Arc::from), SystemTime::now());
            assert_eq!(scope.shares(&known), want, "{source:?}");
        }
        let double = Double::new(found_by(Lookup::Found(())));
        let known = KnownAccount::new(Some("vrfy:mx:25".into()), SystemTime::now());
        assert!(
            !scope.shares(&KnownAccount { basis: double.revision.basis(), ..known }),
            "it depends on a file"
        );
    }

    #[test]
    fn keys_are_addresses() {
        for address in
            ["foo@example.test", "\"a b\"@example.test", "\"x@y\"@example.test", "grüße@example.test"]
        {
            let account = account(address);
            assert_eq!(named(&name(&account)).unwrap().cache_key(), account.cache_key(), "{address}");
        }
        assert!(named("other:foo@example.test").is_none());
    }

    /// Two hosts: the result of the source of the first one, and the answer of the second one, whose source fails.
    #[tokio::test]
    async fn an_account_that_one_host_found_exists_for_the_other() {
        let store = Arc::new(Memory::default());
        let down = || found_by(Lookup::temp_fail("down"));
        let (one, two) = (Arc::new(Double::new(down())), Arc::new(Double::new(down())));
        let host = |double: &Arc<Double<Verification>>, shared: &Arc<Shared>| {
            let source = Arc::new(Remote(double.clone()));
            let accounts = Arc::new(KnownAccounts::new(LONG));
            let recorded = Arc::new(Recorded::new(accounts.clone(), Some(shared.clone()), source));
            Known::new(accounts, Some(shared.clone()), recorded)
        };
        let both = [shared(&store), shared(&store)];
        let [first, second] = [host(&one, &both[0]), host(&two, &both[1])];
        let foo = account("foo@example.test");
        for (says, want) in [
            (Lookup::temp_fail("down"), false),
            (Lookup::Found(()), true),
            (Lookup::temp_fail("down"), true),
            (Lookup::NotFound, false),
            (Lookup::Found(()), true),
        ] {
            one.set(found_by(says.clone()));
            first.look_up(&foo).await;
            written(&both[0]).await;
            let got = second.look_up(&foo).await;
            assert_eq!((got.result == Lookup::Found(()), got.stale), (want, want), "{says:?}");
            let other = second.look_up(&account("bar@example.test")).await;
            assert_eq!(other.result, Lookup::temp_fail("down"));
        }
        let detail = second.look_up(&foo).await.detail.unwrap();
        assert_eq!(&*detail, "found 0 min ago by another host; now: down");
        // The source of this host counts.
        two.set(found_by(Lookup::NotFound));
        assert_eq!(second.look_up(&foo).await.result, Lookup::NotFound);
        written(&both[1]).await;
        assert_eq!(store.texts.lock().unwrap().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_down_is_as_if_nothing_were_shared() {
        let store = Arc::new(Memory::default());
        let shared = shared(&store);
        let foo = account("foo@example.test");
        shared.found(&foo, KnownAccount::new(Some("double:".into()), SystemTime::now()));
        written(&shared).await;
        assert!(shared.get(&foo).await.is_some());
        store.asked();
        for state in ['-', '.'] {
            *store.state.lock().unwrap() = state;
            let begun = Instant::now();
            assert!(shared.get(&foo).await.is_none(), "{state}");
            let spent = begun.elapsed();
            assert!(if state == '.' { spent == LIMIT } else { spent.is_zero() }, "{state}: {spent:?}");
            // It is not asked again for a while.
            for _ in 0..10 {
                assert!(shared.get(&foo).await.is_none(), "{state}");
            }
            assert_eq!((store.asked(), begun.elapsed()), (1, spent), "{state}");
            tokio::time::advance(crate::net::back_off::BACKOFF).await;
        }
        *store.state.lock().unwrap() = '+';
        assert!(shared.get(&foo).await.is_some());
    }

    #[tokio::test]
    async fn forgets_what_an_operator_means() {
        let store = Arc::new(Memory::default());
        let shared = shared(&store);
        for name in ["foo@a.test", "bar@a.test", "foo@b.test"] {
            shared.found(&account(name), KnownAccount::new(Some("double:".into()), SystemTime::now()));
        }
        let other = scope(&[], "").text(&KnownAccount::new(Some("vrfy:".into()), SystemTime::now()));
        store.texts.lock().unwrap().insert(format!("{PREFIX}baz@a.test"), (other, u64::MAX));
        let left =
            || store.texts.lock().unwrap().keys().map(|key| key.replace(PREFIX, "")).collect::<Vec<_>>();
        let foo = account("foo@a.test").cache_key().into_owned();
        let removed = shared.flush(|key, source| key == foo && source == "double:").await.unwrap();
        assert_eq!(removed, BTreeSet::from([foo]));
        assert_eq!(left(), ["bar@a.test", "baz@a.test", "foo@b.test"]);
        // The entries of hosts with other sources stay.
        assert_eq!(shared.flush(|_, _| true).await.unwrap().len(), 2);
        assert_eq!(left(), ["baz@a.test"]);
        *store.state.lock().unwrap() = '-';
        assert_eq!(shared.flush(|_, _| true).await, Err("down".into()));
    }
}
