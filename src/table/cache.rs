//! A table that is asked once for many, and may be remembered.
//!
//! A key asked by many at once is asked of the table once, whether its answer is remembered or not. What nobody
//! could say is never remembered.

use super::memory::{Bounds, Memory};
use super::{Answer, AnswerFuture, Table};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Most questions under way at once, of one table. A table slow enough to gather more of them would not answer
/// them in time either.
pub const MAX_QUESTIONS: usize = 10_000;

/// Most that is remembered of one table, in octets of keys and values with [`OVERHEAD`] for each entry: room for
/// some hundred thousand addresses. What was not asked for longest gives way.
pub const MAX_OCTETS: u64 = 64 << 20;

/// What an entry weighs beside its key and its value, in octets.
pub const OVERHEAD: usize = 128;

/// Asks `inner` once for all that ask one key at once, and remembers.
pub struct Cache {
    inner: Arc<dyn Table>,
    memory: Memory<Answer>,
    remember: Duration,
}

impl Cache {
    /// `inner`, each value and each absence of one remembered for `remember`; nothing where that is zero.
    pub fn new(remember: Duration, inner: Arc<dyn Table>) -> Self {
        Cache::with_bounds(MAX_OCTETS, MAX_QUESTIONS, remember, inner)
    }

    fn with_bounds(capacity: u64, questions: usize, remember: Duration, inner: Arc<dyn Table>) -> Self {
        let life = move |answer: &Answer| match answer {
            Answer::Found(_) | Answer::NotFound => remember,
            Answer::Unknown(_) => Duration::ZERO,
        };
        let memory = Memory::new(&Bounds { capacity, weight, questions }, Arc::new(life));
        Cache { inner, memory, remember }
    }
}

fn weight(key: &str, answer: &Answer) -> u32 {
    let value = if let Answer::Found(value) = answer { value.len() } else { 0 };
    u32::try_from(OVERHEAD + key.len() + value).unwrap_or(u32::MAX)
}

impl Table for Cache {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            if !self.remember.is_zero()
                && let Some(answer) = self.memory.get(key).await
            {
                return answer;
            }
            let (inner, asked) = (self.inner.clone(), key.to_owned());
            let question = async move { inner.get(&asked).await };
            // Boxed, so that the future of the usual case stays small.
            Box::pin(self.memory.ask(key.into(), question))
                .await
                .unwrap_or_else(|why| Answer::unknown(why.to_string()))
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("remember", &self.remember)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, answer, shown};
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(10);

    #[tokio::test]
    async fn what_is_remembered() {
        // says, how long it is remembered, questions asked by: twice, once more after SHORT, once of another key
        for (says, remember, at_once, later) in [
            ("a", LONG, 1, 1),
            ("a", SHORT, 1, 2),
            ("a", Duration::ZERO, 2, 3),
            ("-", LONG, 1, 1),
            ("-", SHORT, 1, 2),
            ("-", Duration::ZERO, 2, 3),
            ("?", LONG, 2, 3),
        ] {
            let case = format!("{says} {remember:?}");
            let double = Arc::new(Double::says(answer(says)));
            let cache = Cache::new(remember, double.clone());
            for _ in 0..2 {
                assert_eq!(shown(&cache.get("key").await), says, "{case}");
            }
            assert_eq!(double.asked().len(), at_once, "{case}");
            tokio::time::sleep(SHORT * 2).await;
            assert_eq!(shown(&cache.get("key").await), says, "{case}");
            assert_eq!(double.asked().len(), later, "{case}");
            cache.get("Key").await;
            assert_eq!(double.asked().len(), later + 1, "{case}");
        }
    }

    #[tokio::test]
    async fn what_was_asked_again_lives_again() {
        let double = Arc::new(Double::says(answer("-")));
        let cache = Cache::new(SHORT, double.clone());
        cache.get("key").await;
        tokio::time::sleep(SHORT * 2).await;
        double.say(answer("a"));
        for _ in 0..2 {
            assert_eq!(shown(&cache.get("key").await), "a");
        }
        assert_eq!(double.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_askers_one_question() {
        for remember in [Duration::ZERO, LONG] {
            for says in ["a", "-", "?"] {
                let double = Arc::new(Double::says(answer(says)).after(Duration::from_secs(1)));
                let cache = Arc::new(Cache::new(remember, double.clone()));
                let askers: Vec<_> = (0..100)
                    .map(|_| {
                        let cache = cache.clone();
                        tokio::spawn(async move { shown(&cache.get("key").await) })
                    })
                    .collect();
                for asker in askers {
                    assert_eq!(asker.await.unwrap(), says);
                }
                assert_eq!(double.asked().len(), 1, "{remember:?} {says}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn askers_who_give_up_still_fill_it() {
        let double = Arc::new(Double::says(answer("a")).after(Duration::from_secs(3)));
        let cache = Cache::new(LONG, double.clone());
        for _ in 0..2 {
            assert!(tokio::time::timeout(Duration::from_secs(1), cache.get("key")).await.is_err());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((shown(&cache.get("key").await).as_str(), double.asked().len()), ("a", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn questions_end_with_the_cache() {
        let double = Arc::new(Double::says(answer("a")).after(LONG));
        let cache = Cache::new(Duration::ZERO, double.clone());
        assert!(tokio::time::timeout(Duration::from_secs(1), cache.get("key")).await.is_err());
        assert_eq!(Arc::strong_count(&double), 3);
        drop(cache);
        // Not one of them waits for the answer, 599 s away.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&double), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn questions_are_bounded() {
        let double = Arc::new(Double::says(answer("a")).after(Duration::from_secs(1)));
        let cache = Arc::new(Cache::with_bounds(MAX_OCTETS, 2, Duration::ZERO, double.clone()));
        let askers: Vec<_> = (0..3)
            .map(|i| {
                let cache = cache.clone();
                tokio::spawn(async move { shown(&cache.get(&i.to_string()).await) })
            })
            .collect();
        let mut got = Vec::new();
        for asker in askers {
            got.push(asker.await.unwrap());
        }
        assert_eq!(got, ["a", "a", "? too many questions under way"]);
        // They are given back.
        assert_eq!(shown(&cache.get("2").await), "a");
    }

    #[tokio::test]
    async fn octets_are_bounded() {
        // The length of a value, and how many of them there is room for beside their keys.
        for (length, want) in [(1, 10), (10_000, 0)] {
            let double = Arc::new(Double::says(Answer::Found("x".repeat(length))));
            let cache = Cache::with_bounds(10 * (OVERHEAD as u64 + 4), MAX_QUESTIONS, LONG, double.clone());
            for i in 100..300 {
                cache.get(&i.to_string()).await;
            }
            let entries = cache.memory.entries().await;
            assert!(entries <= want, "{length}: {entries}");
        }
    }

    #[derive(Debug)]
    struct Panics;

    impl Table for Panics {
        fn get<'a>(&'a self, _: &'a str) -> AnswerFuture<'a> {
            Box::pin(async { panic!("a table with a bug") })
        }
    }

    #[tokio::test]
    async fn a_panic_is_unknown() {
        let cache = Cache::new(LONG, Arc::new(Panics));
        for _ in 0..2 {
            assert_eq!(shown(&cache.get("key").await), "? the question was given up");
        }
    }
}
