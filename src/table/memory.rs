//! Caches answers, and asks once for concurrent calls (single flight).
//!
//! Concurrent calls for one key share one question. It runs in a separate task, so that the cache is filled
//! even if all callers give up before the answer comes. The task ends when the cache is dropped.

use foldhash::quality::RandomState;
use moka::future::Cache as Store;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How long an answer is cached; zero: not at all.
pub type Life<V> = Arc<dyn Fn(&V) -> Duration + Send + Sync>;

/// The limits of a cache.
#[derive(Debug)]
pub struct Bounds<V> {
    /// Capacity of the cache, in the units of `weight`.
    pub capacity: u64,
    /// The weight of a key and its answer: 1 to count entries.
    pub weight: fn(&str, &V) -> u32,
    /// Most questions under way at once, waiting ones included. Each is a task with a key and perhaps a
    /// connection.
    pub questions: usize,
}

/// Why there is no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It was not asked, since too many others are under way.
    TooMany,
    /// The cache was dropped, or the source panicked; the panic itself is in the log.
    GivenUp,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unanswered::TooMany => "too many questions under way",
            Unanswered::GivenUp => "the question was given up",
        })
    }
}

/// Answers by their keys.
pub struct Memory<V> {
    store: Store<String, V, RandomState>,
    life: Life<V>,
    questions: Arc<Semaphore>,
    /// The questions under way end when this is dropped.
    alive: watch::Sender<()>,
}

impl<V: Clone + Send + Sync + 'static> Memory<V> {
    /// An empty one, in which each answer lives as long as `life` says.
    pub fn new(bounds: &Bounds<V>, life: Life<V>) -> Self {
        let weight = bounds.weight;
        let store = Store::builder()
            .max_capacity(bounds.capacity)
            .weigher(move |key: &String, answer| weight(key, answer))
            .expire_after(Lives(life.clone()))
            .build_with_hasher(RandomState::default());
        Memory {
            store,
            life,
            questions: Arc::new(Semaphore::new(bounds.questions)),
            alive: watch::Sender::new(()),
        }
    }

    /// The cached answer for a key.
    pub async fn get(&self, key: &str) -> Option<V> {
        self.store.get(key).await
    }

    /// Drops the cached answer for a key.
    pub async fn forget(&self, key: &str) {
        self.store.invalidate(key).await;
    }

    /// The answer for a key; joins the question if another caller asks it already.
    pub async fn ask(
        &self,
        key: String,
        question: impl Future<Output = V> + Send + 'static,
    ) -> Result<V, Unanswered> {
        let Ok(permit) = self.questions.clone().try_acquire_owned() else {
            return Err(Unanswered::TooMany);
        };
        let (store, life) = (self.store.clone(), self.life.clone());
        let mut alive = self.alive.subscribe();
        let task = tokio::spawn(async move {
            let _permit = permit;
            let question = store.try_get_with(key, async {
                let answer = question.await;
                // An error is shared with all waiting callers, and not cached.
                if life(&answer).is_zero() { Err(answer) } else { Ok(answer) }
            });
            tokio::select! {
                answer = question => Some(answer.unwrap_or_else(|unkept| V::clone(&unkept))),
                _ = alive.changed() => None,
            }
        });
        match task.await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => Err(Unanswered::GivenUp),
        }
    }

    /// The number of entries, without those that have expired or exceed the capacity.
    #[cfg(test)]
    pub(crate) async fn entries(&self) -> u64 {
        self.store.run_pending_tasks().await;
        self.store.entry_count()
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// How long each answer lives, as the store asks for it.
struct Lives<V>(Life<V>);

impl<V> moka::Expiry<String, V> for Lives<V> {
    fn expire_after_create(&self, _: &String, answer: &V, _: Instant) -> Option<Duration> {
        Some((self.0)(answer))
    }

    /// An entry that has expired but is still in its place is updated rather than created.
    fn expire_after_update(
        &self,
        _: &String,
        answer: &V,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some((self.0)(answer))
    }
}
