//! Accounts that are known to exist, for the time in which their sources fail.
//!
//! While a source is down, mail to accounts that it found before is accepted, so that a backup MX is of use
//! while its primary is away. Only "exists" is remembered this way: a "not found" that is no longer certain
//! would reject mail for good. When a source says "not found", rcptd forgets the account at once.
//!
//! A known account is forgotten when a file that the answer came from changes, unless it is a file of a map, when its
//! source is no longer configured, or after [`CacheSettings::stale_ttl`](super::settings::CacheSettings::stale_ttl).
//!
//! An operator may pin an account: it exists without asking a source, until it is unpinned.

pub mod file;
mod pins;
pub mod shared;

use self::pins::Pins;
pub use self::pins::{MAX_PINS, TooManyPins};
use self::shared::Shared;
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::Key;
use crate::watch::Basis;
use foldhash::quality::RandomState;
use mail_address::Address;
use moka::Expiry;
use moka::future::Cache as Store;
use moka::policy::EvictionPolicy;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Maximum size of the accounts that sources have found, in octets, some 400,000 accounts. Those that were neither
/// found nor used for the longest time are forgotten first. Pins have a limit of their own, [`MAX_PINS`].
pub const MAX_BYTES: u64 = 64 << 20;
/// What an entry takes in addition to its texts, in octets.
const ENTRY_BYTES: usize = 128;
/// The source of a pinned account in the log.
const PIN: &str = "pin";

/// A known account.
#[derive(Clone, Debug)]
pub struct KnownAccount {
    /// The source that found it; `None` if it is pinned.
    pub source: Option<Arc<str>>,
    /// When it was found, or pinned.
    pub since: SystemTime,
    /// The files that the answer depends on.
    basis: Basis,
}

impl KnownAccount {
    /// An account that a source found, or that is pinned, and depends on no file.
    pub(super) fn new(source: Option<Arc<str>>, since: SystemTime) -> Self {
        KnownAccount { source, since, basis: Basis::default() }
    }

    /// Whether the source that found it is among those that do not find it any more.
    fn is_denied(&self, by: &[Arc<str>]) -> bool {
        self.source.as_ref().is_some_and(|source| by.contains(source))
    }

    fn age(&self) -> Duration {
        // A clock that was set back makes an account no older than it is.
        self.since.elapsed().unwrap_or_default()
    }

    /// The answer while the source fails. `by` names another host that has found the account (` by …`), or is empty.
    fn answer(&self, by: &str, why: &dyn fmt::Display) -> Verification {
        let minutes = self.age().as_secs() / 60;
        let (source, detail) = match &self.source {
            Some(source) => (source.clone(), format!("found {minutes} min ago{by}; now: {why}")),
            None => (Arc::from(PIN), format!("pinned {minutes} min ago")),
        };
        let answer = Verification { stale: true, ..Verification::new(Lookup::Found(()), &source) };
        answer.with_detail(&detail)
    }
}

/// The known accounts, by the key of their address in the cache. Shared by the sources before and after a reload.
pub struct KnownAccounts {
    store: Store<String, KnownAccount, RandomState>,
    stale_ttl: Duration,
    lasting: Arc<Lasting>,
}

/// What does not depend on [`KnownAccounts::stale_ttl`], and so outlasts a change of it.
#[derive(Default)]
struct Lasting {
    pins: Pins,
    /// Number of changes since the start.
    changes: AtomicU64,
    /// Answers from here while a source failed.
    used: AtomicU64,
    /// Number of flushes since the start.
    flushes: AtomicU64,
}

impl KnownAccounts {
    /// Remembers accounts for `stale_ttl`; zero: only those that are pinned.
    pub fn new(stale_ttl: Duration) -> Self {
        KnownAccounts::with(stale_ttl, Arc::default())
    }

    fn with(stale_ttl: Duration, lasting: Arc<Lasting>) -> Self {
        let size = |key: &String, known: &KnownAccount| {
            let texts = key.len() + known.source.as_ref().map_or(0, |source| source.len());
            u32::try_from(texts + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let store = Store::builder()
            .max_capacity(MAX_BYTES)
            .weigher(size)
            // The default policy refuses new entries when the store is full.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Remaining(stale_ttl))
            .build_with_hasher(RandomState::default());
        KnownAccounts { store, stale_ttl, lasting }
    }

    /// These accounts, or those of a store with another `stale_ttl`: pins, and none that a source has found.
    pub(super) fn with_ttl(self: &Arc<Self>, stale_ttl: Duration) -> Arc<Self> {
        if stale_ttl == self.stale_ttl {
            self.clone()
        } else {
            Arc::new(KnownAccounts::with(stale_ttl, self.lasting.clone()))
        }
    }

    /// How long an account is remembered.
    pub fn stale_ttl(&self) -> Duration {
        self.stale_ttl
    }

    /// Number of changes since the start.
    pub fn changes(&self) -> u64 {
        self.lasting.changes.load(Relaxed)
    }

    /// Number of answers that were given while a source failed.
    pub fn used(&self) -> u64 {
        self.lasting.used.load(Relaxed)
    }

    /// Returns all, in the order of their addresses. A pin takes the place of what a source has found.
    pub fn list(&self) -> Vec<(String, KnownAccount)> {
        let pins =
            self.lasting.pins.list().into_iter().map(|(key, since)| (key, KnownAccount::new(None, since)));
        let current = self.store.iter().filter(|(_, known)| known.basis.holds());
        let mut all: Vec<_> = pins.chain(current.map(|(key, known)| (String::clone(&key), known))).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|(later, _), (pin, _)| later == pin);
        all
    }

    /// Remembers an account that a source has found, or that is pinned. Only a pin may fail.
    pub(super) async fn insert(&self, key: String, known: KnownAccount) -> Result<(), TooManyPins> {
        if known.source.is_none() {
            self.lasting.pins.add(key, known.since)?;
        } else if known.age() < self.stale_ttl {
            self.store.insert(key, known).await;
        } else {
            return Ok(());
        }
        self.lasting.changes.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Forgets an account that a source has found. A pin stays.
    pub(super) async fn forget(&self, key: &str) {
        let known = self.store.remove(key).await.is_some();
        self.lasting.changes.fetch_add(u64::from(known), Relaxed);
    }

    /// Unpins an account, and forgets what was found before it was pinned. Returns whether it was pinned.
    pub async fn unpin(&self, key: &str) -> bool {
        let pinned = self.lasting.pins.remove(key);
        if pinned {
            self.lasting.changes.fetch_add(1, Relaxed);
            self.forget(key).await;
        }
        pinned
    }

    /// Lookups in progress do not make accounts known any more: an operator is about to forget some.
    pub(super) fn begin_flush(&self) {
        self.lasting.flushes.fetch_add(1, Relaxed);
    }

    /// Makes an account exist without asking a source.
    pub async fn pin(&self, account: &Address) -> Result<(), TooManyPins> {
        let key = account.cache_key().into_owned();
        self.insert(key, KnownAccount::new(None, SystemTime::now())).await
    }

    /// The account, if it is pinned.
    fn pinned(&self, account: &Address) -> Option<KnownAccount> {
        // The usual case, which needs no key.
        if self.lasting.pins.is_empty() {
            return None;
        }
        self.lasting.pins.since(&account.cache_key()).map(|since| KnownAccount::new(None, since))
    }

    async fn get(&self, key: &str) -> Option<KnownAccount> {
        self.store.get(key).await.filter(|known| known.basis.holds())
    }
}

impl fmt::Debug for KnownAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownAccounts").field("stale_ttl", &self.stale_ttl).finish_non_exhaustive()
    }
}

/// An account expires when it has reached this age.
struct Remaining(Duration);

impl Expiry<String, KnownAccount> for Remaining {
    fn expire_after_create(&self, _: &String, known: &KnownAccount, _: Instant) -> Option<Duration> {
        Some(self.0.saturating_sub(known.age()))
    }

    fn expire_after_update(
        &self,
        key: &String,
        known: &KnownAccount,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, known, now)
    }
}

/// Records what the sources answer.
#[derive(Debug)]
pub(super) struct Recorded {
    accounts: Arc<KnownAccounts>,
    shared: Option<Arc<Shared>>,
    retired: AtomicBool,
    inner: Arc<AccountSource>,
}

impl Recorded {
    /// Wraps `inner`. Put it inside the cache, so that it records an answer when the source gives it, whether a caller
    /// still waits for it or not.
    pub fn new(accounts: Arc<KnownAccounts>, shared: Option<Arc<Shared>>, inner: Arc<AccountSource>) -> Self {
        Recorded { accounts, shared, retired: AtomicBool::new(false), inner }
    }

    /// From now on nothing is recorded, also of lookups in progress: other sources have taken over.
    pub fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    async fn ask(&self, account: &Address) -> Verification {
        let flushes = self.accounts.lasting.flushes.load(Relaxed);
        let answer = self.inner.look_up(account).await;
        let key = account.cache_key();
        match &answer.result {
            _ if self.retired.load(Relaxed) => (),
            // It may have been flushed during the lookup.
            Lookup::Found(()) if self.accounts.lasting.flushes.load(Relaxed) != flushes => (),
            Lookup::Found(()) => {
                let (source, basis) = (Some(answer.source.clone()), answer.basis.clone());
                let known = KnownAccount { source, since: SystemTime::now(), basis };
                if let Some(shared) = &self.shared {
                    shared.found(account, known.clone());
                }
                // It is not a pin, so it does not fail.
                let _ = self.accounts.insert(key.into_owned(), known).await;
            }
            Lookup::NotFound => {
                self.accounts.forget(&key).await;
                if let Some(shared) = &self.shared {
                    shared.gone(account);
                }
            }
            Lookup::TempFail(_) => {
                if self.accounts.get(&key).await.is_some_and(|known| known.is_denied(&answer.denied)) {
                    self.accounts.forget(&key).await;
                }
            }
        }
        answer
    }
}

impl Source<Address, Verification> for Recorded {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(self.ask(account))
    }
}

/// Answers for known accounts while `inner` fails.
#[derive(Debug)]
pub(super) struct Known {
    accounts: Arc<KnownAccounts>,
    shared: Option<Arc<Shared>>,
    inner: Arc<AccountSource>,
}

impl Known {
    /// Wraps `inner`. Put it around the cache and its deadline: a failure of these is one of the source.
    pub fn new(accounts: Arc<KnownAccounts>, shared: Option<Arc<Shared>>, inner: Arc<AccountSource>) -> Self {
        Known { accounts, shared, inner }
    }

    async fn ask(&self, account: &Address) -> Verification {
        if let Some(pinned) = self.accounts.pinned(account) {
            return pinned.answer("", &"");
        }
        let answer = self.inner.look_up(account).await;
        let Lookup::TempFail(reason) = &answer.result else { return answer };
        // Boxed to keep the future of a lookup small.
        let known = Box::pin(self.remembered(account, &answer.denied, reason)).await;
        known.unwrap_or(answer)
    }

    /// The answer for an account that is known, while its source fails. `denied_by` are the sources that do not find it.
    async fn remembered(
        &self,
        account: &Address,
        denied_by: &[Arc<str>],
        reason: &Reason,
    ) -> Option<Verification> {
        if let Some(known) = self.accounts.get(&account.cache_key()).await {
            self.accounts.lasting.used.fetch_add(1, Relaxed);
            return Some(known.answer("", reason));
        }
        let shared = self.shared.as_ref()?;
        let known = shared.get(account).await?;
        if known.is_denied(denied_by) {
            shared.gone(account);
            return None;
        }
        self.accounts.lasting.used.fetch_add(1, Relaxed);
        Some(known.answer(" by another host", reason))
    }
}

impl Source<Address, Verification> for Known {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(self.ask(account))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{account, answer};
    use super::*;
    use crate::lookup::testing::Double;

    const LONG: Duration = Duration::from_hours(96);
    const SHORT: Duration = Duration::from_millis(300);

    fn down() -> Verification {
        answer(Lookup::temp_fail("down"))
    }

    fn around(double: &Arc<Double<Verification>>, stale_ttl: Duration) -> Known {
        let accounts = Arc::new(KnownAccounts::new(stale_ttl));
        let recorded = Arc::new(Recorded::new(accounts.clone(), None, double.clone()));
        Known::new(accounts, None, recorded)
    }

    /// Results of the source in order, and what is answered: `e` exists, `m` not found, `u` temporary failure.
    #[tokio::test]
    async fn only_what_exists_is_remembered() {
        for (says, want) in [
            ("u", "u"),
            ("eu", "ee"),
            ("euuuu", "eeeee"),
            ("mu", "mu"),
            ("emu", "emu"),
            ("eumu", "eemu"),
            ("euemueu", "eeemuee"),
            ("umueu", "umuee"),
        ] {
            let double = Arc::new(Double::new(down()));
            let known = around(&double, LONG);
            let mut got = String::new();
            for result in says.chars() {
                double.set(match result {
                    'e' => answer(Lookup::Found(())),
                    'm' => answer(Lookup::NotFound),
                    _ => down(),
                });
                let answer = known.look_up(&account("foo@example.test")).await;
                assert_eq!(answer.stale, result == 'u' && answer.result == Lookup::Found(()), "{says}");
                got.push(match answer.result {
                    Lookup::Found(()) => 'e',
                    Lookup::NotFound => 'm',
                    Lookup::TempFail(_) => 'u',
                });
            }
            assert_eq!(got, want, "{says}");
            double.set(down());
            let other = known.look_up(&account("bar@example.test")).await;
            assert_eq!(other.result, Lookup::temp_fail("down"), "another account is not known");
        }
    }

    #[tokio::test]
    async fn answer_of_an_outage_tells_why() {
        let double = Arc::new(Double::new(answer(Lookup::Found(()))));
        let known = around(&double, LONG);
        known.look_up(&account("foo@example.test")).await;
        double.set(down());
        let got = known.look_up(&account("foo@example.test")).await;
        assert_eq!((&*got.source, got.detail.as_deref()), ("double:", Some("found 0 min ago; now: down")));
        assert_eq!(known.accounts.used(), 1);
    }

    #[tokio::test]
    async fn known_accounts_are_forgotten() {
        let double = Arc::new(Double::new(answer(Lookup::Found(()))));
        for (stale_ttl, bump, want) in
            [(LONG, false, true), (Duration::ZERO, false, false), (SHORT, false, false), (LONG, true, false)]
        {
            double.set(answer(Lookup::Found(())));
            let known = around(&double, stale_ttl);
            known.look_up(&account("foo@example.test")).await;
            double.set(down());
            if bump {
                double.revision.bump();
            }
            tokio::time::sleep(SHORT * 2).await;
            let got = known.look_up(&account("foo@example.test")).await.result == Lookup::Found(());
            assert_eq!((got, known.accounts.list().len()), (want, usize::from(want)), "{stale_ttl:?} {bump}");
        }
    }

    #[tokio::test]
    async fn pinned_account_exists_without_asking() {
        for says in [answer(Lookup::NotFound), down()] {
            let double = Arc::new(Double::new(says.clone()));
            let known = around(&double, Duration::ZERO);
            let foo = account("foo@example.test");
            known.accounts.pin(&foo).await.unwrap();
            for _ in 0..3 {
                let got = known.look_up(&foo).await;
                assert_eq!((got.result, &*got.source), (Lookup::Found(()), "pin"));
            }
            assert_eq!(double.count(), 0);
            assert!(known.accounts.unpin(&foo.cache_key()).await);
            assert_eq!(known.look_up(&foo).await.result, says.result);
        }
    }

    /// A lookup that ends after an account was pinned leaves the pin.
    #[tokio::test]
    async fn pin_outlives_a_lookup_in_progress() {
        for says in [Lookup::Found(()), Lookup::NotFound] {
            let double = Arc::new(Double::new(answer(says)).after(SHORT));
            let known = around(&double, LONG);
            let foo = account("foo@example.test");
            let pinning = async {
                tokio::time::sleep(SHORT / 2).await;
                known.accounts.pin(&foo).await.unwrap();
            };
            tokio::join!(known.look_up(&foo), pinning);
            assert_eq!(&*known.look_up(&foo).await.source, "pin");
        }
    }

    /// However many accounts are found, and however often the first ones are used, later ones are remembered, and pins
    /// stay.
    #[tokio::test]
    async fn size_is_limited() {
        let accounts = KnownAccounts::new(LONG);
        accounts.pin(&account("pin@example.test")).await.unwrap();
        let source: Arc<str> = "x".repeat(1 << 20).into();
        for i in 0..200 {
            let known = KnownAccount::new(Some(source.clone()), SystemTime::now());
            accounts.insert(format!("foo{i}@example.test"), known).await.unwrap();
            for used in 0..10 {
                accounts.get(&format!("foo{used}@example.test")).await;
            }
            accounts.store.run_pending_tasks().await;
        }
        assert!(accounts.list().len() <= 64, "{}", accounts.list().len());
        assert!(accounts.get("foo199@example.test").await.is_some());
        assert!(accounts.pinned(&account("pin@example.test")).is_some());
    }

    /// An account that was found and then pinned is forgotten with its pin.
    #[tokio::test]
    async fn pin_is_listed_in_place_of_what_was_found() {
        let accounts = KnownAccounts::new(LONG);
        let foo = account("foo@example.test");
        let known = KnownAccount::new(Some("double:".into()), SystemTime::now());
        accounts.insert(foo.cache_key().into_owned(), known.clone()).await.unwrap();
        assert!(!accounts.unpin(&foo.cache_key()).await);
        assert_eq!(accounts.list().len(), 1, "it was not pinned");
        accounts.pin(&foo).await.unwrap();
        let sources: Vec<_> = accounts.list().into_iter().map(|(_, known)| known.source).collect();
        assert_eq!(sources, [None]);
        accounts.forget(&foo.cache_key()).await;
        assert_eq!(accounts.list().len(), 1, "only unpin removes it");
        accounts.insert(foo.cache_key().into_owned(), known).await.unwrap();
        assert!(accounts.unpin(&foo.cache_key()).await);
        assert_eq!((accounts.list().len(), accounts.unpin(&foo.cache_key()).await), (0, false));
    }
}
