//! Builds the tree of sources from the settings.

use super::known::shared::{self, Scope, Shared};
use super::known::{Known, KnownAccounts, Recorded};
use super::settings::{CacheSettings, Settings, SourceSettings};
use super::spec::BuildContext;
use super::{AccountSource, Chain, Lookup, LookupFuture, Member, Source, Verification};
use crate::lookup::Key;
use crate::lookup::cache::{MAX_QUESTIONS, REFRESH_PERCENT};
use crate::lookup::{Breaker, Cache, CacheLimits, Limit, OutageLog, Timeout};
use crate::map::served::Maps;
use crate::observe::Metrics;
use crate::observe::outage::Outage;
use crate::store::Store;
use mail_address::{Address, CaseSensitivity};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Creates the cache of account sources around `inner`. "Exists" and "not found" have their own TTL;
/// [`Verification::ttl`] may shorten it.
pub fn account_cache(settings: &CacheSettings, inner: Arc<AccountSource>) -> Cache<Address, Verification> {
    let (positive, negative) = (settings.positive_ttl, settings.negative_ttl);
    let ttl = move |answer: &Verification| {
        let ttl = match answer.result {
            Lookup::Found(()) => positive,
            Lookup::NotFound => negative,
            Lookup::TempFail(_) => Duration::ZERO,
        };
        answer.ttl.map_or(ttl, |own| own.min(ttl))
    };
    let limits = CacheLimits {
        capacity: settings.size << 20,
        weight,
        questions: MAX_QUESTIONS,
        refresh_percent: REFRESH_PERCENT,
    };
    Cache::new("cache", &limits, Arc::new(ttl), inner)
}

/// What an entry of the cache takes in addition to its texts, in octets.
const ENTRY_BYTES: usize = 256;

fn weight(key: &str, answer: &Verification) -> u32 {
    // The name of the source is shared by all entries.
    let texts = key.len() + answer.detail.as_ref().map_or(0, |detail| detail.len());
    u32::try_from(ENTRY_BYTES + texts).unwrap_or(u32::MAX)
}

/// Builds the tree of sources, see the [module](super): a cache around a chain of sources, each with its timeout and
/// limit.
///
/// `cases` is whether local parts that differ only by case are two accounts. Returns all errors at once, each
/// a sentence that names the source. The background tasks of the tree (file watchers, idle connections,
/// lookups in progress) end when its last `Arc` is dropped.
pub async fn build(
    settings: &Settings,
    cases: impl Into<CaseSensitivity>,
) -> Result<Arc<AccountSource>, Vec<String>> {
    Sources::build(settings, cases).await.map(|sources| sources.composed)
}

/// The tree of sources, and its members, so that `explain` can show the result of each.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The source used in service: known accounts, cache and chain.
    pub composed: Arc<AccountSource>,
    /// The accounts that are known to exist.
    pub known: Arc<KnownAccounts>,
    /// The members of the chain in order, each with its timeout and limit, without the cache.
    pub members: Vec<Member>,
    /// The outages of the sources, with the states of their breakers.
    pub(super) outages: Vec<Arc<Outage>>,
    pub(super) recorded: Arc<Recorded>,
    shared: Option<Arc<Shared>>,
    cache: Arc<Cache<Address, Verification>>,
    pub(super) made_of: (Settings, CaseSensitivity),
}

impl Sources {
    /// Builds the tree like [`build`], with counters of its own.
    pub async fn build(settings: &Settings, cases: impl Into<CaseSensitivity>) -> Result<Self, Vec<String>> {
        Sources::rebuild(settings, cases, &Maps::new(), None, &Arc::default(), None).await
    }

    /// Builds the tree, and keeps the cache of `before` if its sources are equal. The known accounts
    /// of `before` follow with [`Sources::take_over`]. `store` is that of the shared
    /// accounts, if they are shared.
    pub async fn rebuild(
        settings: &Settings,
        cases: impl Into<CaseSensitivity>,
        maps: &Maps,
        store: Option<Arc<dyn Store>>,
        metrics: &Arc<Metrics>,
        before: Option<&Sources>,
    ) -> Result<Self, Vec<String>> {
        let cases = cases.into();
        let (mut members, mut errors) = (Vec::new(), Vec::new());
        if settings.sources.is_empty() {
            errors.push("no account source is given: name one, such as \"passwd:\"".into());
        }
        for source in &settings.sources {
            let context =
                BuildContext { name: source.spec.name(), source, settings, cases: &cases, maps, metrics };
            match member(context).await {
                Ok(member) => members.push(member),
                Err(mut more) => errors.append(&mut more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let chain: Arc<AccountSource> = Arc::new(Chain::new(members.clone(), settings.combine));
        let made_of = (settings.clone(), cases.clone());
        let kept = before.filter(|before| before.made_of == made_of && !settings.names_map());
        let outages =
            settings.sources.iter().map(|source| metrics.outage(source.spec.name(), None)).collect();
        let shared = store.map(|store| Arc::new(share(settings, store, metrics)));
        let known = match before {
            Some(before) => before.known.with_ttl(settings.cache.stale_ttl),
            None => Arc::new(KnownAccounts::new(settings.cache.stale_ttl)),
        };
        let kept = kept.map(|before| &*before.cache);
        let Answering { composed, recorded, cache } =
            answering(settings, known.clone(), shared.clone(), chain, kept);
        Ok(Sources { composed, known, members, outages, recorded, shared, cache, made_of })
    }

    /// The spelling in which `account` is looked up: in lower case, unless case matters in its domain.
    pub fn spelling(&self, account: &Address) -> Option<Address> {
        Address::from_key(&account.key(self.made_of.1.of(account)))
    }

    /// Whether a source has this name.
    pub fn has_source(&self, name: &str) -> bool {
        self.made_of.0.sources.iter().any(|source| **source.spec.name() == *name)
    }

    /// Identifies the configuration of the maps, if one is a source.
    pub fn maps(&self) -> &str {
        &self.made_of.0.maps
    }

    /// Removes the accounts that `is_meant` selects by their key in the cache and their source from the cache, the known
    /// accounts and the shared accounts. Pins stay. Returns the number of accounts, and the reason if shared ones were
    /// not removed.
    pub async fn flush(&self, is_meant: impl Fn(&str, &str) -> bool) -> (usize, Option<String>) {
        self.known.begin_flush();
        let mut flushed = self.cache.flush(|key, answer| is_meant(key, &answer.source)).await;
        for (key, known) in self.known.list() {
            if known.source.is_some_and(|source| is_meant(&key, &source)) {
                self.known.forget(&key).await;
                flushed.insert(key);
            }
        }
        let mut failure = None;
        if let Some(shared) = &self.shared {
            match shared.flush(is_meant).await {
                Ok(removed) => flushed.extend(removed),
                Err(why) => failure = Some(why),
            }
        }
        (flushed.len(), failure)
    }

    /// Unpins an account, and removes it from the shared accounts. Returns whether it was pinned.
    pub async fn unpin(&self, account: &Address) -> bool {
        let pinned = self.known.unpin(&account.cache_key()).await;
        if let (true, Some(shared)) = (pinned, &self.shared) {
            shared.gone(account);
        }
        pinned
    }

    /// What is cached now: the key of each account, with its result.
    pub fn cached(&self) -> Vec<(String, Verification)> {
        self.cache.list()
    }
}

impl Source<Address, Verification> for Sources {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        self.composed.look_up(account)
    }
}

/// The shared accounts of these sources.
fn share(settings: &Settings, store: Arc<dyn Store>, metrics: &Metrics) -> Shared {
    let scope = Scope {
        sources: settings.sources.iter().map(|source| source.spec.name().clone()).collect(),
        maps: settings.maps.clone(),
        stale_ttl: settings.cache.stale_ttl,
    };
    let name = settings.cache.shared.as_deref().unwrap_or_default();
    Shared::new(name, store, scope, shared::LIMIT.min(settings.total_deadline / 2), metrics)
}

/// Builds one source with its wrappers.
async fn member(context: BuildContext<'_>) -> Result<Member, Vec<String>> {
    let BuildContext { name, source, metrics, .. } = context;
    let told = |error: String| format!("account source \"{name}\": {error}");
    let mut errors = Vec::new();
    if source.deadline < MIN_DEADLINE {
        errors.push(told(format!(
            "a deadline of {:?} leaves no time to answer: give it a second or more",
            source.deadline
        )));
    }
    if !(1..=Semaphore::MAX_PERMITS).contains(&source.concurrency) {
        errors.push(told(format!(
            "{} questions at once is not a valid limit: set 1 or more",
            source.concurrency
        )));
    }
    let opened = source.spec.open(context).await;
    let asked = match opened {
        Ok(asked) if errors.is_empty() => asked,
        Ok(_) => return Err(errors),
        Err(more) => {
            errors.extend(more.into_iter().map(told));
            return Err(errors);
        }
    };
    Ok(protected(name, source, metrics, asked))
}

/// Adds the wrappers of a member to a source.
pub(super) fn protected(
    name: &Arc<str>,
    source: &SourceSettings,
    metrics: &Metrics,
    asked: Arc<AccountSource>,
) -> Member {
    let limited = Arc::new(Limit::new(source.concurrency, asked));
    let timed = Arc::new(Timeout::new(name.clone(), source.deadline, limited));
    let logged = OutageLog::new(name, metrics, timed);
    let outage = logged.outage();
    let protected = Arc::new(Breaker::new(name.clone(), outage, Arc::new(logged)));
    Member { source: protected, domains: source.domains.clone(), on_tempfail: source.on_tempfail }
}

/// The tree, and the parts of it that [`Sources`] needs.
pub(super) struct Answering {
    pub composed: Arc<AccountSource>,
    pub recorded: Arc<Recorded>,
    pub cache: Arc<Cache<Address, Verification>>,
}

/// Adds the known accounts, with those that several hosts share, the cache and the total deadline to a chain. Keeps the
/// entries of the cache `kept`.
pub(super) fn answering(
    settings: &Settings,
    known: Arc<KnownAccounts>,
    shared: Option<Arc<Shared>>,
    chain: Arc<AccountSource>,
    kept: Option<&Cache<Address, Verification>>,
) -> Answering {
    let recorded = Arc::new(Recorded::new(known.clone(), shared.clone(), chain));
    let cache = Arc::new(match kept {
        Some(kept) => kept.around(recorded.clone()),
        None => account_cache(&settings.cache, recorded.clone()),
    });
    // Leave time for the lookup of a shared account.
    let reserved = shared.as_ref().map_or(Duration::ZERO, |shared| shared.limit());
    let deadline = settings.total_deadline.saturating_sub(reserved);
    let timed = Arc::new(Timeout::new("chain", deadline, cache.clone()));
    Answering { composed: Arc::new(Known::new(known, shared, timed)), recorded, cache }
}

/// Shortest valid timeout; tests use short ones.
const MIN_DEADLINE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::settings::{Combine, OnTempFail};
    use super::super::testing::{account, answer};
    use super::super::{Lookup, Reason};
    use super::*;
    use crate::lookup::testing::Double;

    fn settings(specs: &[&str]) -> Settings {
        let sources = specs.iter().map(|spec| SourceSettings::new(spec.parse().unwrap())).collect();
        Settings::new(sources, CacheSettings::default())
    }

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(10);

    fn cached(
        positive_ttl: Duration,
        negative_ttl: Duration,
        double: &Arc<Double<Verification>>,
    ) -> Cache<Address, Verification> {
        let settings = CacheSettings { positive_ttl, negative_ttl, ..CacheSettings::default() };
        account_cache(&settings, double.clone())
    }

    #[tokio::test]
    async fn each_result_has_its_ttl() {
        let failed = || Lookup::temp_fail("down");
        // result, positive and negative TTL, TTL of the result itself, number of lookups: after two calls,
        // after another one that follows after SHORT * 2
        for (result, positive, negative, own, at_once, later) in [
            (Lookup::Found(()), LONG, SHORT, None, 1, 1),
            (Lookup::Found(()), SHORT, LONG, None, 1, 2),
            (Lookup::Found(()), Duration::ZERO, LONG, None, 2, 3),
            (Lookup::NotFound, SHORT, LONG, None, 1, 1),
            (Lookup::NotFound, LONG, SHORT, None, 1, 2),
            (Lookup::NotFound, LONG, Duration::ZERO, None, 2, 3),
            (failed(), LONG, LONG, None, 2, 3),
            (Lookup::Found(()), LONG, LONG, Some(SHORT), 1, 2),
            (Lookup::NotFound, LONG, LONG, Some(SHORT), 1, 2),
            (Lookup::Found(()), LONG, LONG, Some(LONG * 2), 1, 1),
            (Lookup::Found(()), SHORT, SHORT, Some(LONG), 1, 2),
            (Lookup::Found(()), LONG, LONG, Some(Duration::ZERO), 2, 3),
            (failed(), LONG, LONG, Some(LONG), 2, 3),
        ] {
            let case = format!("{result:?} {positive:?} {negative:?} {own:?}");
            let double = Arc::new(Double::new(Verification { ttl: own, ..answer(result.clone()) }));
            let cache = cached(positive, negative, &double);
            let foo = account("foo@example.test");
            assert!(!cache.look_up(&foo).await.cached, "{case}");
            let got = cache.look_up(&account("\"foo\"@Example.TEST.")).await;
            assert_eq!((got.cached, double.count()), (at_once == 1, at_once), "{case}");
            assert_eq!((&got.result, &*got.source), (&result, "double:"), "{case}");
            tokio::time::sleep(SHORT * 2).await;
            let got = cache.look_up(&foo).await;
            assert_eq!((got.cached, double.count()), (later == 1, later), "{case}");
        }
    }

    #[tokio::test]
    async fn drops_cached_result_when_its_basis_changes() {
        for (before, after) in [(Lookup::Found(()), Lookup::NotFound), (Lookup::NotFound, Lookup::Found(()))]
        {
            let double = Arc::new(Double::new(answer(before.clone())));
            let other = Double::new(answer(before.clone()));
            let cache = cached(LONG, LONG, &double);
            let foo = account("foo@example.test");
            for again in [false, true] {
                let got = cache.look_up(&foo).await;
                assert_eq!((got.result, got.cached), (before.clone(), again));
            }
            double.set(answer(after.clone()));
            other.revision.bump();
            assert!(cache.look_up(&foo).await.cached, "another file has changed");
            double.revision.bump();
            for again in [false, true] {
                let got = cache.look_up(&foo).await;
                assert_eq!((got.result, got.cached), (after.clone(), again));
            }
            assert_eq!(double.count(), 2);
        }
    }

    /// A call after the change does not join a lookup that began before it.
    #[tokio::test(start_paused = true)]
    async fn repeats_lookup_in_progress_after_a_change() {
        let double = Arc::new(Double::new(answer(Lookup::NotFound)).after(Duration::from_secs(2)));
        let cache = Arc::new(cached(LONG, LONG, &double));
        let ask = |cache: &Arc<Cache<Address, Verification>>| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.look_up(&account("foo@example.test")).await.result })
        };
        let early = ask(&cache);
        tokio::time::sleep(Duration::from_secs(1)).await;
        double.revision.bump();
        let late = ask(&cache);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        double.set(answer(Lookup::Found(())));
        assert_eq!(early.await.unwrap(), Lookup::Found(()));
        assert_eq!(late.await.unwrap(), Lookup::Found(()));
    }

    /// The result for one spelling is not used for another: a case-sensitive server may have `foo` and not
    /// `Foo`, or both.
    #[tokio::test]
    async fn caches_each_spelling_separately() {
        let double = Arc::new(Double::new(answer(Lookup::NotFound)));
        let cache = account_cache(&CacheSettings::default(), double.clone());
        for (spelling, asked) in [
            ("Foo@example.test", 1),
            ("Foo@EXAMPLE.test.", 1),
            ("\"Foo\"@example.test", 1),
            ("foo@example.test", 2),
            ("FOO@example.test", 3),
            ("grüße@example.test", 4),
            ("grüsse@example.test", 5),
            ("e\u{301}@example.test", 6),
            ("é@example.test", 7),
        ] {
            cache.look_up(&account(spelling)).await;
            assert_eq!(double.count(), asked, "{spelling}");
        }
        double.set(answer(Lookup::Found(())));
        assert_eq!(cache.look_up(&account("bar@example.test")).await.result, Lookup::Found(()));
        assert_eq!(cache.look_up(&account("Foo@example.test")).await.result, Lookup::NotFound);
    }

    #[tokio::test]
    async fn limits_the_size_of_the_cache() {
        // detail of the answers, maximum number of cached ones in 1 MiB
        for (detail, want) in [("", 4096), ("250 2.1.5 foo", 3900), (&"x".repeat(2000), 1600)] {
            let double = Arc::new(Double::new(answer(Lookup::Found(())).with_detail(detail)));
            let cache = account_cache(&CacheSettings { size: 1, ..CacheSettings::default() }, double.clone());
            for i in 0..6000 {
                cache.look_up(&account(&format!("foo{i}@example.test"))).await;
            }
            let entries = cache.len().await;
            assert!((want / 2..=want).contains(&entries), "{entries} of {want}");
        }
    }

    #[tokio::test]
    async fn builds_chain_and_members() {
        for (specs, want, each) in [
            (&["none:"][..], "exists", &["exists"][..]),
            (&["fail:", "none:"], "exists", &["temporary failure: fail: source", "exists"]),
            (
                &["fail:", "static:notfound"],
                "temporary failure: fail: source",
                &["temporary failure: fail: source", "not found"],
            ),
            (&["static:notfound", "none:"], "not found", &["not found", "exists"]),
        ] {
            let foo = account("foo@example.test");
            let sources = Sources::build(&settings(specs), false).await.unwrap();
            assert_eq!(sources.look_up(&foo).await.result.to_string(), want, "{specs:?}");
            let mut got = Vec::new();
            for member in &sources.members {
                got.push(member.source.look_up(&foo).await);
            }
            assert_eq!(got.iter().map(|a| a.result.to_string()).collect::<Vec<_>>(), each, "{specs:?}");
            assert_eq!(got.iter().map(|a| &*a.source).collect::<Vec<_>>(), specs);
            let built = build(&settings(specs), false).await.unwrap();
            assert_eq!(built.look_up(&foo).await.result.to_string(), want, "{specs:?}");
        }
    }

    /// Results of the sources A and B of a union, and what is answered. A "not found" of the source that found an account
    /// before counts, whatever the other one says.
    #[tokio::test]
    async fn source_that_takes_its_found_back_is_believed() {
        const NAMES: [&str; 2] = ["a:", "b:"];
        for (steps, want) in [
            (&["e?", "u?", "??"][..], "eee"),
            (&["eu", "mu"], "eu"),
            (&["eu", "mu", "uu"], "euu"),
            (&["me", "mu", "um"], "eeu"),
            (&["me", "uu"], "ee"),
            (&["eu", "um"], "ee"),
            (&["eu", "mm", "mu"], "emu"),
        ] {
            let doubles = NAMES.map(|_| Arc::new(Double::new(answer(Lookup::NotFound))));
            let members = doubles.iter().map(|double| Member::from(double.clone() as Arc<AccountSource>));
            let chain = Arc::new(Chain::new(members.collect(), Combine::Union));
            let cache = CacheSettings {
                positive_ttl: Duration::ZERO,
                negative_ttl: Duration::ZERO,
                ..CacheSettings::default()
            };
            let settings = Settings::new(Vec::new(), cache);
            let known = Arc::new(KnownAccounts::new(LONG));
            let composed = answering(&settings, known, None, chain, None).composed;
            let mut got = String::new();
            for step in steps {
                for ((says, double), name) in step.chars().zip(&doubles).zip(NAMES) {
                    let result = match says {
                        'e' => Lookup::Found(()),
                        'm' => Lookup::NotFound,
                        _ => Lookup::temp_fail("down"),
                    };
                    double.set(Verification { source: name.into(), ..answer(result) });
                }
                got.push(match composed.look_up(&account("foo@example.test")).await.result {
                    Lookup::Found(()) => 'e',
                    Lookup::NotFound => 'm',
                    Lookup::TempFail(_) => 'u',
                });
            }
            assert_eq!(got, want, "{steps:?}");
        }
    }

    #[tokio::test]
    async fn marks_failures_as_accepting_if_configured() {
        let mut settings = settings(&["fail:"]);
        settings.sources[0].on_tempfail = OnTempFail::Accept;
        let got = build(&settings, false).await.unwrap().look_up(&account("foo@example.test")).await.result;
        assert_eq!(got, Lookup::TempFail(Reason::new("fail: source").accepting()));
    }

    #[tokio::test]
    async fn returns_all_errors_at_once() {
        assert!(Sources::build(&settings(&[]), false).await.unwrap_err()[0].contains("passwd:"));
        let mut settings = settings(&["none:", "file:/nonexistent/accounts", "fail:"]);
        settings.sources[0].deadline = Duration::ZERO;
        settings.sources[2].concurrency = 0;
        let got = Sources::build(&settings, false).await.unwrap_err();
        assert_eq!(got.len(), 3, "{got:?}");
        for (got, want) in got.iter().zip(["none:", "file:/nonexistent/accounts", "fail:"]) {
            assert!(got.starts_with(&format!("account source \"{want}\": ")), "{got}");
        }
    }
}
