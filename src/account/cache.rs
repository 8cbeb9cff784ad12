//! Caches the answers of a source.
//!
//! "Exists" and "missing" have a lifetime each, or the shorter one in the answer ([`Answer::keep`]), and are
//! dropped when a file changes that the answer comes from ([`Answer::basis`]). Temporary failures are not
//! cached. Concurrent calls for one account share one question (see [`crate::table::memory`]).
//!
//! The key is the exact name that is asked for: an answer about `Foo` is not one about `foo`.

use super::settings::CacheSettings;
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use crate::table::memory::{Bounds, Memory};
use mail_address::Address;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Most questions under way at once, waiting ones included. Each is a task with an address and perhaps a
/// connection; a server slow enough to gather more of them would not answer them in time either.
///
/// Beyond that, the answer is an unknown that is never accepting, whatever `account.unknown` says: no source
/// was asked, and a flood of questions must not make rcptd accept every name.
pub const MAX_QUESTIONS: usize = 10_000;

/// Caches the answers of `inner`.
pub struct Cache {
    inner: Arc<dyn AccountSource>,
    memory: Arc<Memory<Answer>>,
    lives: Lives,
}

impl Cache {
    /// `inner` with a cache as in `settings`.
    pub fn new(settings: &CacheSettings, inner: Arc<dyn AccountSource>) -> Self {
        Cache::with_limit(MAX_QUESTIONS, settings, inner)
    }

    fn with_limit(questions: usize, settings: &CacheSettings, inner: Arc<dyn AccountSource>) -> Self {
        let lives = Lives { exists: settings.exists, missing: settings.missing };
        let bounds = Bounds { capacity: settings.entries, weight: |_, _| 1, questions };
        let memory = Arc::new(Memory::new(&bounds, Arc::new(move |answer| lives.of(answer))));
        Cache { inner, memory, lives }
    }

    /// The same cache over another source, which must give the same answers as the one before.
    #[must_use]
    pub fn over(&self, inner: Arc<dyn AccountSource>) -> Self {
        Cache { inner, memory: self.memory.clone(), lives: self.lives }
    }

    async fn ask(&self, key: &str, account: &Address) -> Answer {
        let mut answer = self.ask_once(key, account).await;
        // It joined a question from before the change. Ask again.
        if !answer.basis.holds() {
            self.memory.forget(key).await;
            answer = self.ask_once(key, account).await;
        }
        answer
    }

    async fn ask_once(&self, key: &str, account: &Address) -> Answer {
        let (inner, account) = (self.inner.clone(), account.clone());
        let question = async move { inner.verify(&account).await };
        self.memory.ask(key.to_owned(), question).await.unwrap_or_else(|why| {
            Answer::new(Verdict::Unknown(Reason::new(why.to_string())), &Arc::from("cache"))
        })
    }
}

impl AccountSource for Cache {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            let key = account.key(true);
            match self.memory.get(&key).await {
                Some(answer) if answer.basis.holds() => Answer { cached: true, ..answer },
                // Boxed, so that the future of the usual case stays small.
                Some(_) => {
                    Box::pin(async {
                        self.memory.forget(&key).await;
                        self.ask(&key, account).await
                    })
                    .await
                }
                None => Box::pin(self.ask(&key, account)).await,
            }
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("lives", &self.lives)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// How long each verdict lives.
#[derive(Clone, Copy, Debug)]
struct Lives {
    exists: Duration,
    missing: Duration,
}

impl Lives {
    fn of(self, answer: &Answer) -> Duration {
        let life = match answer.verdict {
            Verdict::Exists => self.exists,
            Verdict::Missing => self.missing,
            Verdict::Unknown(_) => Duration::ZERO,
        };
        answer.keep.map_or(life, |keep| keep.min(life))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, account};
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(10);

    fn cache(exists: Duration, missing: Duration, double: &Arc<Double>) -> Arc<Cache> {
        let settings = CacheSettings { exists, missing, entries: 1000 };
        Arc::new(Cache::new(&settings, double.clone()))
    }

    fn unknown() -> Verdict {
        Verdict::Unknown(Reason::new("down"))
    }

    #[tokio::test]
    async fn each_verdict_has_its_life() {
        // answer, lifetime of exists, of missing, questions after: two calls at once, one more after SHORT
        for (says, exists, missing, at_once, later) in [
            (Verdict::Exists, LONG, SHORT, 1, 1),
            (Verdict::Exists, SHORT, LONG, 1, 2),
            (Verdict::Exists, Duration::ZERO, LONG, 2, 3),
            (Verdict::Missing, SHORT, LONG, 1, 1),
            (Verdict::Missing, LONG, SHORT, 1, 2),
            (Verdict::Missing, LONG, Duration::ZERO, 2, 3),
            (unknown(), LONG, LONG, 2, 3),
        ] {
            let case = format!("{says:?} {exists:?} {missing:?}");
            let double = Arc::new(Double::says(says.clone()));
            let cache = cache(exists, missing, &double);
            let foo = account("foo@example.test");
            assert!(!cache.verify(&foo).await.cached, "{case}");
            let got = cache.verify(&account("\"foo\"@Example.TEST.")).await;
            assert_eq!((got.cached, double.asked()), (at_once == 1, at_once), "{case}");
            assert_eq!((&got.verdict, &*got.source), (&says, "double:"), "{case}");
            tokio::time::sleep(SHORT * 2).await;
            let got = cache.verify(&foo).await;
            assert_eq!((got.cached, double.asked()), (later == 1, later), "{case}");
        }
    }

    #[tokio::test]
    async fn an_answer_may_have_a_shorter_life() {
        // answer, longest lifetime, questions after: two calls at once, one more after SHORT
        for (says, keep, at_once, later) in [
            (Verdict::Exists, SHORT, 1, 2),
            (Verdict::Missing, SHORT, 1, 2),
            (Verdict::Exists, LONG * 2, 1, 1),
            (Verdict::Exists, Duration::ZERO, 2, 3),
            (unknown(), LONG, 2, 3),
        ] {
            let case = format!("{says:?} {keep:?}");
            let double = Arc::new(Double::says(says).kept_for(keep));
            let cache = cache(LONG, LONG, &double);
            let foo = account("foo@example.test");
            cache.verify(&foo).await;
            cache.verify(&foo).await;
            assert_eq!(double.asked(), at_once, "{case}");
            tokio::time::sleep(SHORT * 2).await;
            cache.verify(&foo).await;
            assert_eq!(double.asked(), later, "{case}");
        }
        // Not a longer one.
        let double = Arc::new(Double::says(Verdict::Exists).kept_for(LONG));
        let cache = cache(SHORT, SHORT, &double);
        let foo = account("foo@example.test");
        cache.verify(&foo).await;
        tokio::time::sleep(SHORT * 2).await;
        assert!(!cache.verify(&foo).await.cached);
    }

    #[tokio::test]
    async fn what_was_asked_again_lives_again() {
        let double = Arc::new(Double::says(Verdict::Missing));
        let cache = cache(LONG, SHORT, &double);
        let foo = account("foo@example.test");
        cache.verify(&foo).await;
        tokio::time::sleep(SHORT * 2).await;
        double.say(Verdict::Exists);
        assert_eq!(cache.verify(&foo).await.verdict, Verdict::Exists);
        // The lifetime is that of the new verdict.
        tokio::time::sleep(SHORT * 2).await;
        assert!(cache.verify(&foo).await.cached);
        assert_eq!(double.asked(), 2);
    }

    #[tokio::test]
    async fn an_answer_is_dropped_with_what_it_rests_on() {
        for (said, says) in [(Verdict::Exists, Verdict::Missing), (Verdict::Missing, Verdict::Exists)] {
            let (double, other) = (Arc::new(Double::says(said.clone())), Double::says(unknown()));
            let cache = cache(LONG, LONG, &double);
            let foo = account("foo@example.test");
            for again in [false, true] {
                let got = cache.verify(&foo).await;
                assert_eq!((got.verdict, got.cached), (said.clone(), again));
            }
            double.say(says.clone());
            other.revision.bump();
            assert!(cache.verify(&foo).await.cached, "another file has changed");
            double.revision.bump();
            for again in [false, true] {
                let got = cache.verify(&foo).await;
                assert_eq!((got.verdict, got.cached), (says.clone(), again));
            }
            assert_eq!(double.asked(), 2);
        }
    }

    /// A call after the change does not get the answer to a question from before it.
    #[tokio::test(start_paused = true)]
    async fn a_question_under_way_at_the_change_is_asked_again() {
        let double = Arc::new(Double::says(Verdict::Missing).after(Duration::from_secs(2)));
        let cache = cache(LONG, LONG, &double);
        let early = cache.clone();
        let early = tokio::spawn(async move { early.verify(&account("foo@example.test")).await.verdict });
        tokio::time::sleep(Duration::from_secs(1)).await;
        double.revision.bump();
        let late = cache.clone();
        let late = tokio::spawn(async move { late.verify(&account("foo@example.test")).await.verdict });
        tokio::time::sleep(Duration::from_millis(1500)).await;
        double.say(Verdict::Exists);
        assert_eq!(early.await.unwrap(), Verdict::Exists);
        assert_eq!(late.await.unwrap(), Verdict::Exists);
    }

    /// An answer about one spelling is not used for another: a case-sensitive server may have `foo` and not
    /// `Foo`, or both.
    #[tokio::test]
    async fn an_answer_is_for_the_name_that_was_asked() {
        let double = Arc::new(Double::says(Verdict::Missing));
        let cache = Cache::new(&CacheSettings::default(), double.clone());
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
            cache.verify(&account(spelling)).await;
            assert_eq!(double.asked(), asked, "{spelling}");
        }
        double.say(Verdict::Exists);
        assert_eq!(cache.verify(&account("bar@example.test")).await.verdict, Verdict::Exists);
        assert_eq!(cache.verify(&account("Foo@example.test")).await.verdict, Verdict::Missing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_askers_one_question() {
        for says in [Verdict::Exists, unknown()] {
            let double = Arc::new(Double::says(says.clone()).after(Duration::from_secs(1)));
            let cache = cache(LONG, LONG, &double);
            let askers: Vec<_> = (0..100)
                .map(|_| {
                    let cache = cache.clone();
                    tokio::spawn(async move { cache.verify(&account("foo@example.test")).await.verdict })
                })
                .collect();
            for asker in askers {
                assert_eq!(asker.await.unwrap(), says);
            }
            assert_eq!(double.asked(), 1, "{says:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn askers_who_give_up_still_fill_it() {
        let double = Arc::new(Double::says(Verdict::Exists).after(Duration::from_secs(3)));
        let cache = cache(LONG, LONG, &double);
        let foo = account("foo@example.test");
        for _ in 0..2 {
            assert!(tokio::time::timeout(Duration::from_secs(1), cache.verify(&foo)).await.is_err());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let got = cache.verify(&foo).await;
        assert_eq!((got.verdict, got.cached, double.asked()), (Verdict::Exists, true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn questions_end_with_the_cache() {
        let double = Arc::new(Double::says(Verdict::Exists).after(LONG));
        let cache = cache(LONG, LONG, &double);
        let foo = account("foo@example.test");
        assert!(tokio::time::timeout(Duration::from_secs(1), cache.verify(&foo)).await.is_err());
        assert_eq!(Arc::strong_count(&double), 3);
        drop(cache);
        // Not one of them waits for the answer, 599 s away.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&double), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn questions_are_bounded() {
        let double = Arc::new(Double::says(Verdict::Exists).after(Duration::from_secs(1)));
        let cache = Arc::new(Cache::with_limit(2, &CacheSettings::default(), double.clone()));
        let askers: Vec<_> = (0..3)
            .map(|i| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.verify(&account(&format!("foo{i}@example.test"))).await })
            })
            .collect();
        let mut got = Vec::new();
        for asker in askers {
            got.push(asker.await.unwrap().verdict.to_string());
        }
        assert_eq!(got, ["exists", "exists", "unknown: too many questions under way"]);
        // The permits are returned, and cached answers need none.
        assert_eq!(cache.verify(&account("foo2@example.test")).await.verdict, Verdict::Exists);
        assert_eq!(double.asked(), 3);
    }

    #[tokio::test]
    async fn entries_are_bounded() {
        let double = Arc::new(Double::says(Verdict::Exists));
        let settings = CacheSettings { entries: 10, ..CacheSettings::default() };
        let cache = Cache::new(&settings, double.clone());
        for i in 0..200 {
            cache.verify(&account(&format!("foo{i}@example.test"))).await;
        }
        let entries = cache.memory.entries().await;
        assert!(entries <= 10, "{entries}");
    }

    #[derive(Debug)]
    struct Panics;

    impl AccountSource for Panics {
        fn verify<'a>(&'a self, _: &'a Address) -> AnswerFuture<'a> {
            Box::pin(async { panic!("a source with a bug") })
        }
    }

    #[tokio::test]
    async fn a_panic_is_unknown() {
        let cache = Cache::new(&CacheSettings::default(), Arc::new(Panics));
        for _ in 0..2 {
            let got = cache.verify(&account("foo@example.test")).await.verdict.to_string();
            assert_eq!(got, "unknown: the question was given up");
        }
    }
}
