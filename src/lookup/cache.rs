//! Caches lookups, and merges concurrent lookups of the same key (single flight).
//!
//! Each lookup runs in a separate task, so that its result is cached even if all callers time out first. The
//! task ends when the cache is dropped. A temporary failure is returned to all callers that wait for it, but
//! is not cached. A cached result is dropped when a file that it depends on changes ([`Answer::is_current`]).
//!
//! A result that is used often is looked up again shortly before it expires, while callers still get the old one
//! (refresh ahead), so that none of them waits for the source. If that fails, the result expires as usual.

use super::{Answer, Key, LookupFuture, Reason, Source};
use foldhash::quality::RandomState;
use moka::future::Cache as Store;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Maximum number of concurrent lookups through one cache, waiting ones included. Each needs a task, its key
/// and perhaps a connection. A source that is slow enough to accumulate more lookups would not answer them in
/// time either.
///
/// Above this limit, a lookup is a temporary failure that is never accepting (see [`Reason::is_accepting`]),
/// even if the operator accepts temporary failures of the source: the source was not asked, and a flood of
/// lookups must not make rcptd accept every name.
pub const MAX_QUESTIONS: usize = 10_000;

/// Percentage of its TTL after which a result that is used often is looked up again.
pub const REFRESH_PERCENT: u32 = 90;
/// Number of uses that count as often. A result that is used less costs its source nothing after its TTL.
pub const OFTEN: u32 = 3;

/// How long a result is cached; zero disables caching.
pub type Ttl<A> = Arc<dyn Fn(&A) -> Duration + Send + Sync>;

/// The limits of a cache.
#[derive(Debug)]
pub struct CacheLimits<A> {
    /// Capacity, in the units of `weight`. A full cache keeps the keys that are looked up often: a new one takes the
    /// place of the least recently used ones only if it is looked up more often, so that a flood of names does not
    /// empty the cache.
    pub capacity: u64,
    /// Weight of a key and its result; 1 counts entries.
    pub weight: fn(&str, &A) -> u32,
    /// Maximum number of concurrent lookups, see [`MAX_QUESTIONS`].
    pub questions: usize,
    /// See [`REFRESH_PERCENT`].
    pub refresh_percent: u32,
}

/// Caches the results of `inner`.
pub struct Cache<K: ?Sized, A> {
    name: Arc<str>,
    inner: Arc<dyn Source<K, A>>,
    entries: Arc<Entries<A>>,
}

/// The cached results, and the lookups in progress.
struct Entries<A> {
    store: Store<String, Entry<A>, RandomState>,
    ttl: Ttl<A>,
    questions: Arc<Semaphore>,
    refresh_percent: u32,
    /// Number of flushes. A lookup that began before a flush is not cached, and answers nobody who asks after it.
    flushes: AtomicU64,
    /// Ends the lookups in progress when it is dropped.
    alive: watch::Sender<()>,
}

/// A cached result.
#[derive(Clone)]
struct Entry<A> {
    answer: A,
    /// Number of flushes when its lookup began.
    began: u64,
    refresh_at: Instant,
    usage: Arc<Usage>,
}

/// What the callers have done with a result.
#[derive(Default)]
struct Usage {
    count: AtomicU32,
    /// Whether it has been looked up again; this happens once.
    is_refreshed: AtomicBool,
}

impl<A: Answer> Entry<A> {
    /// Counts one use. Returns whether the result is to be looked up again now.
    fn is_due(&self, now: impl FnOnce() -> Instant) -> bool {
        let before = self.usage.count.fetch_add(1, Relaxed);
        before + 1 >= OFTEN && now() >= self.refresh_at && !self.usage.is_refreshed.swap(true, Relaxed)
    }
}

impl<A: Answer> Entries<A> {
    /// The entry of the result of a lookup that began after this number of flushes, or `None` if it is not cached.
    fn entry(&self, answer: &A, began: u64) -> Option<Entry<A>> {
        let ttl = (self.ttl)(answer);
        let is_cached = answer.failure().is_none() && !ttl.is_zero() && began == self.flushes.load(SeqCst);
        let refresh_at = Instant::now() + ttl * self.refresh_percent / 100;
        is_cached.then(|| Entry { answer: answer.clone(), began, refresh_at, usage: Arc::default() })
    }

    /// Drops an entry after it was stored, if a flush since [`Entries::entry`] may not have seen it.
    async fn drop_flushed(&self, cache_key: &str, began: u64) {
        if began != self.flushes.load(SeqCst) {
            self.store.invalidate(cache_key).await;
        }
    }
}

impl<K: Key + ?Sized + 'static, A: Answer> Cache<K, A> {
    /// Creates an empty cache around `inner`; `name` is the source of the failures that the cache itself reports.
    pub fn new(
        name: impl Into<Arc<str>>,
        limits: &CacheLimits<A>,
        ttl: Ttl<A>,
        inner: Arc<dyn Source<K, A>>,
    ) -> Self {
        let weight = limits.weight;
        let store = Store::builder()
            .max_capacity(limits.capacity)
            .weigher(move |key: &String, entry: &Entry<A>| weight(key, &entry.answer))
            .expire_after(Expiry(ttl.clone()))
            .build_with_hasher(RandomState::default());
        let questions = Arc::new(Semaphore::new(limits.questions));
        let (refresh_percent, alive) = (limits.refresh_percent, watch::Sender::new(()));
        let flushes = AtomicU64::new(0);
        let entries = Arc::new(Entries { store, ttl, questions, refresh_percent, flushes, alive });
        Cache { name: name.into(), inner, entries }
    }

    /// Shares the entries of this cache with another source, which must give the same results as `inner`.
    /// Used on reload.
    #[must_use]
    pub fn around(&self, inner: Arc<dyn Source<K, A>>) -> Self {
        Cache { name: self.name.clone(), inner, entries: self.entries.clone() }
    }

    /// The cached result, if it is still valid. It is looked up again if that is due.
    fn current(&self, entry: Option<Entry<A>>, cache_key: &str, key: &K) -> Option<A> {
        let entry = entry.filter(|entry| entry.answer.is_current())?;
        if entry.is_due(Instant::now) {
            self.refresh(cache_key, key);
        }
        Some(entry.answer.marked_cached())
    }

    async fn ask(&self, cache_key: &str, key: &K) -> A {
        let flushes = self.entries.flushes.load(SeqCst);
        let (answer, began) = self.ask_once(cache_key, key).await;
        if answer.is_current() && began >= flushes {
            return answer;
        }
        // The lookup that this call joined began before the change or the flush: look up again.
        self.entries.store.invalidate(cache_key).await;
        self.ask_once(cache_key, key).await.0
    }

    /// Looks up a key, or joins the lookup of the same key that is in progress. Also returns the number of flushes when
    /// the lookup began.
    async fn ask_once(&self, cache_key: &str, key: &K) -> (A, u64) {
        let failed = |reason: &str| (A::failed(Reason::new(reason), &self.name), u64::MAX);
        let Ok(permit) = self.entries.questions.clone().try_acquire_owned() else {
            return failed("too many questions in progress");
        };
        let (inner, key, cache_key) = (self.inner.clone(), key.to_owned(), cache_key.to_owned());
        let mut alive = self.entries.alive.subscribe();
        // Weak: the task must not keep the cache alive.
        let (store, entries) = (self.entries.store.clone(), Arc::downgrade(&self.entries));
        let task = tokio::spawn(async move {
            let _permit = permit;
            let question = store.try_get_with_by_ref(&cache_key, async {
                let began = entries.upgrade().map_or(0, |entries| entries.flushes.load(SeqCst));
                let answer = inner.look_up(key.borrow()).await;
                // Err: returned to all waiting callers, but not cached.
                entries.upgrade().and_then(|entries| entries.entry(&answer, began)).ok_or((answer, began))
            });
            let entry = tokio::select! {
                entry = question => entry,
                _ = alive.changed() => return None,
            };
            Some(match entry {
                Ok(entry) => {
                    if let Some(entries) = entries.upgrade() {
                        entries.drop_flushed(&cache_key, entry.began).await;
                    }
                    (entry.answer, entry.began)
                }
                Err(shared) => Clone::clone(&*shared),
            })
        });
        match task.await {
            Ok(Some(answer)) => answer,
            // The cache was dropped, or the source panicked. The panic itself has been logged.
            Ok(None) | Err(_) => failed("the lookup was abandoned"),
        }
    }

    /// Looks up a cached key again, without waiting. A failure leaves the entry as it is.
    fn refresh(&self, cache_key: &str, key: &K) {
        let Ok(permit) = self.entries.questions.clone().try_acquire_owned() else { return };
        let (inner, key, cache_key) = (self.inner.clone(), key.to_owned(), cache_key.to_owned());
        let mut alive = self.entries.alive.subscribe();
        let (store, entries) = (self.entries.store.clone(), Arc::downgrade(&self.entries));
        tokio::spawn(async move {
            let _permit = permit;
            let began = entries.upgrade().map_or(0, |entries| entries.flushes.load(SeqCst));
            let answer = tokio::select! {
                answer = inner.look_up(key.borrow()) => answer,
                _ = alive.changed() => return,
            };
            let Some(entries) = entries.upgrade() else { return };
            match entries.entry(&answer, began) {
                Some(entry) => {
                    store.insert(cache_key.clone(), entry).await;
                    entries.drop_flushed(&cache_key, began).await;
                }
                // An answer that is not cached replaces one that is.
                None if answer.failure().is_none() => store.invalidate(&cache_key).await,
                None => (),
            }
        });
    }

    /// Returns the entries: the key of each in the cache, with its result.
    pub fn list(&self) -> Vec<(String, A)> {
        let current = self.entries.store.iter().filter(|(_, entry)| entry.answer.is_current());
        current.map(|(key, entry)| (String::clone(&key), entry.answer)).collect()
    }

    /// Drops the entries that `is_meant` selects, and returns their keys. Who asks afterwards does not get the answer of a
    /// lookup that is in progress now.
    pub async fn flush(&self, is_meant: impl Fn(&str, &A) -> bool) -> BTreeSet<String> {
        self.entries.flushes.fetch_add(1, SeqCst);
        let meant = self.entries.store.iter().filter(|(key, entry)| is_meant(key, &entry.answer));
        let keys: BTreeSet<String> = meant.map(|(key, _)| String::clone(&key)).collect();
        for key in &keys {
            self.entries.store.invalidate(key).await;
        }
        keys
    }

    /// Number of entries, without expired ones and those beyond the capacity.
    #[cfg(test)]
    pub(crate) async fn len(&self) -> u64 {
        self.entries.store.run_pending_tasks().await;
        self.entries.store.entry_count()
    }
}

impl<K: Key + ?Sized + 'static, A: Answer> Source<K, A> for Cache<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            let cache_key = key.cache_key();
            let entry = self.entries.store.get(&*cache_key).await;
            let is_cached = entry.is_some();
            if let Some(answer) = self.current(entry, &cache_key, key) {
                return answer;
            }
            // Boxed to keep the future of a cache hit small.
            if is_cached {
                Box::pin(self.entries.store.invalidate(&*cache_key)).await;
            }
            Box::pin(self.ask(&cache_key, key)).await
        })
    }
}

impl<K: ?Sized, A> fmt::Debug for Cache<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.name).field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// Passes the TTL of each result to moka.
struct Expiry<A>(Ttl<A>);

impl<A> moka::Expiry<String, Entry<A>> for Expiry<A> {
    fn expire_after_create(&self, _: &String, entry: &Entry<A>, _: Instant) -> Option<Duration> {
        Some((self.0)(&entry.answer))
    }

    /// Called instead of `expire_after_create` for an entry that is refreshed, or has expired but is not evicted yet.
    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry<A>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some((self.0)(&entry.answer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lookup;
    use super::super::testing::Double;
    use super::*;
    use std::sync::{OnceLock, Weak};

    type Text = Lookup<String>;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(10);

    fn found(text: &str) -> Text {
        Lookup::Found(text.into())
    }

    fn answers() -> [Text; 3] {
        [found("a"), Lookup::NotFound, Lookup::temp_fail("down")]
    }

    fn limits() -> CacheLimits<Text> {
        CacheLimits {
            capacity: 1000,
            weight: |_, _| 1,
            questions: MAX_QUESTIONS,
            refresh_percent: REFRESH_PERCENT,
        }
    }

    fn cache(limits: &CacheLimits<Text>, ttl: Duration, double: &Arc<Double<Text>>) -> Arc<Cache<str, Text>> {
        Arc::new(Cache::new("cache", limits, Arc::new(move |_| ttl), double.clone()))
    }

    #[tokio::test]
    async fn caches_for_the_ttl() {
        // result, TTL, number of lookups: after two calls, after another one that follows after SHORT * 2
        for (answer, ttl, at_once, later) in [
            (found("a"), LONG, 1, 1),
            (found("a"), SHORT, 1, 2),
            (found("a"), Duration::ZERO, 2, 3),
            (Lookup::NotFound, LONG, 1, 1),
            (Lookup::NotFound, SHORT, 1, 2),
            (Lookup::NotFound, Duration::ZERO, 2, 3),
            (Lookup::temp_fail("down"), LONG, 2, 3),
        ] {
            let case = format!("{answer:?} {ttl:?}");
            let double = Arc::new(Double::new(answer.clone()));
            let cache = cache(&limits(), ttl, &double);
            for _ in 0..2 {
                assert_eq!(cache.look_up("key").await, answer, "{case}");
            }
            assert_eq!(double.count(), at_once, "{case}");
            tokio::time::sleep(SHORT * 2).await;
            assert_eq!(cache.look_up("key").await, answer, "{case}");
            assert_eq!(double.count(), later, "{case}");
            cache.look_up("Key").await;
            assert_eq!(double.count(), later + 1, "{case}");
        }
    }

    #[tokio::test]
    async fn updated_entry_gets_its_own_ttl() {
        let ttl: Ttl<Text> = Arc::new(|answer| if *answer == Lookup::NotFound { SHORT } else { LONG });
        let double = Arc::new(Double::new(Lookup::NotFound));
        let cache: Cache<str, Text> = Cache::new("cache", &limits(), ttl, double.clone());
        cache.look_up("key").await;
        tokio::time::sleep(SHORT * 2).await;
        double.set(found("a"));
        assert_eq!(cache.look_up("key").await, found("a"));
        tokio::time::sleep(SHORT * 2).await;
        assert_eq!(cache.look_up("key").await, found("a"));
        assert_eq!(double.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_share_one_lookup() {
        for ttl in [Duration::ZERO, LONG] {
            for answer in answers() {
                let double = Arc::new(Double::new(answer.clone()).after(Duration::from_secs(1)));
                let cache = cache(&limits(), ttl, &double);
                let calls: Vec<_> = (0..100)
                    .map(|_| {
                        let cache = cache.clone();
                        tokio::spawn(async move { cache.look_up("key").await })
                    })
                    .collect();
                for call in calls {
                    assert_eq!(call.await.unwrap(), answer);
                }
                assert_eq!(double.count(), 1, "{ttl:?} {answer:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fills_cache_after_callers_time_out() {
        let double = Arc::new(Double::new(found("a")).after(Duration::from_secs(3)));
        let cache = cache(&limits(), LONG, &double);
        for _ in 0..2 {
            assert!(tokio::time::timeout(Duration::from_secs(1), cache.look_up("key")).await.is_err());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((cache.look_up("key").await, double.count()), (found("a"), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_cache_ends_lookups() {
        let double = Arc::new(Double::new(found("a")).after(LONG));
        let cache = cache(&limits(), Duration::ZERO, &double);
        assert!(tokio::time::timeout(Duration::from_secs(1), cache.look_up("key")).await.is_err());
        assert_eq!(Arc::strong_count(&double), 3);
        drop(cache);
        // All tasks have ended, although the source would answer in 599 s only.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&double), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_concurrent_lookups() {
        let double = Arc::new(Double::new(found("a")).after(Duration::from_secs(1)));
        let cache = cache(&CacheLimits { questions: 2, ..limits() }, LONG, &double);
        let calls: Vec<_> = (0..3)
            .map(|i| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.look_up(&i.to_string()).await })
            })
            .collect();
        let mut got = Vec::new();
        for call in calls {
            got.push(call.await.unwrap());
        }
        assert_eq!(got, [found("a"), found("a"), Lookup::temp_fail("too many questions in progress")]);
        // The permits are returned, and cached results need none.
        assert_eq!(cache.look_up("2").await, found("a"));
        assert_eq!(double.count(), 3);
    }

    #[tokio::test]
    async fn limits_total_weight() {
        // weight of an entry, maximum number of entries
        for (weight, want) in [((|_, _| 1) as fn(&str, &Text) -> u32, 10), (|_, _| 5, 2), (|_, _| 11, 0)] {
            let double = Arc::new(Double::new(found("a")));
            let cache = cache(&CacheLimits { capacity: 10, weight, ..limits() }, LONG, &double);
            for i in 0..200 {
                cache.look_up(&i.to_string()).await;
            }
            let entries = cache.len().await;
            assert!(entries <= want, "{entries} of {want}");
        }
    }

    /// Uses of an entry at these percentages of its TTL, and which of them look it up again: `y` or `n`.
    #[test]
    fn refreshes_what_is_used_often_once() {
        let ttl = Duration::from_secs(100);
        let cases: [(&[u64], &str); 4] = [
            (&[10, 20, 30, 89], "nnnn"),
            (&[10, 20, 30, 90, 95], "nnnyn"),
            (&[10, 95], "nn"),
            (&[95, 96, 97, 98], "nnyn"),
        ];
        for (uses, want) in cases {
            let entries = cache(&limits(), ttl, &Arc::new(Double::new(found("a")))).entries.clone();
            let entry = entries.entry(&found("a"), 0).unwrap();
            let began = entry.refresh_at.checked_sub(Duration::from_secs(90)).unwrap();
            let is_due = |second: &u64| entry.is_due(|| began + Duration::from_secs(*second));
            let got: String = uses.iter().map(|second| if is_due(second) { 'y' } else { 'n' }).collect();
            assert_eq!(got, want, "{uses:?}");
        }
    }

    /// A lookup in progress during a flush answers those who asked before it, and is not cached.
    #[tokio::test(start_paused = true)]
    async fn flush_reaches_lookups_in_progress() {
        let double = Arc::new(Double::new(found("old")).after(Duration::from_secs(2)));
        let cache = cache(&limits(), LONG, &double);
        let asking = |wait: u64| {
            let cache = cache.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(wait)).await;
                cache.look_up("key").await
            })
        };
        let (before, after) = (asking(0), asking(1));
        tokio::time::sleep(Duration::from_millis(500)).await;
        cache.flush(|_, _| true).await;
        let (before, changed) = (before.await.unwrap(), double.set(found("new")));
        let () = changed;
        assert_eq!((before, after.await.unwrap()), (found("old"), found("new")));
        assert_eq!(cache.look_up("key").await, found("new"));
        assert_eq!(double.count(), 2);
    }

    /// A flush that comes after the check of a result, but before the cache has stored it, does not find the entry. The
    /// TTL function, which the cache calls while it stores an entry, plays this flush.
    #[tokio::test]
    async fn flush_reaches_results_that_are_being_stored() {
        for is_refresh in [false, true] {
            let entries: Arc<OnceLock<Weak<Entries<Text>>>> = Arc::default();
            let (of_ttl, calls) = (entries.clone(), AtomicU32::new(0));
            let flushing = if is_refresh { 4 } else { 2 };
            let ttl: Ttl<Text> = Arc::new(move |_| {
                if calls.fetch_add(1, SeqCst) + 1 == flushing
                    && let Some(entries) = of_ttl.get().and_then(Weak::upgrade)
                {
                    entries.flushes.fetch_add(1, SeqCst);
                }
                LONG
            });
            let double = Arc::new(Double::new(found("old")));
            let limits = CacheLimits { refresh_percent: 0, ..limits() };
            let cache: Cache<str, Text> = Cache::new("cache", &limits, ttl, double.clone());
            entries.set(Arc::downgrade(&cache.entries)).unwrap();
            for _ in 0..if is_refresh { 1 + OFTEN } else { 1 } {
                cache.look_up("key").await;
            }
            while cache.entries.questions.available_permits() < MAX_QUESTIONS {
                tokio::task::yield_now().await;
            }
            assert_eq!(cache.entries.flushes.load(SeqCst), 1, "{is_refresh}");
            double.set(found("new"));
            assert_eq!(cache.look_up("key").await, found("new"), "{is_refresh}");
        }
    }

    /// The answer of a refresh replaces the entry, unless it is a temporary failure. No caller waits for it.
    #[tokio::test]
    async fn answer_of_a_refresh_counts() {
        let [value, not_found, failed] = answers();
        for (before, after, want) in [
            (&value, &not_found, &not_found),
            (&value, &found("b"), &found("b")),
            (&value, &failed, &value),
            (&not_found, &value, &value),
            (&not_found, &failed, &not_found),
        ] {
            let double = Arc::new(Double::new(before.clone()));
            let cache = cache(&CacheLimits { refresh_percent: 0, ..limits() }, LONG, &double);
            cache.look_up("key").await;
            double.set(after.clone());
            for _ in 0..OFTEN {
                assert_eq!(cache.look_up("key").await, *before);
            }
            while double.count() < 2 || cache.entries.questions.available_permits() < MAX_QUESTIONS {
                tokio::task::yield_now().await;
            }
            assert_eq!(cache.look_up("key").await, *want, "{before:?} {after:?}");
            assert_eq!(double.count(), 2, "one attempt");
        }
    }

    #[derive(Debug)]
    struct Panics;

    impl Source<str, Text> for Panics {
        fn look_up<'a>(&'a self, _: &'a str) -> LookupFuture<'a, Text> {
            Box::pin(async { panic!("a source with a bug") })
        }
    }

    #[tokio::test]
    async fn panic_is_temporary_failure() {
        let cache: Cache<str, Text> = Cache::new("cache", &limits(), Arc::new(|_| LONG), Arc::new(Panics));
        for _ in 0..2 {
            assert_eq!(cache.look_up("key").await, Lookup::temp_fail("the lookup was abandoned"));
        }
    }
}
