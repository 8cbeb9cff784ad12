//! A source for tests, which returns a configured result and records the lookups.

use super::{Answer, Key, LookupFuture, Source};
use crate::watch::Revision;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Returns the same result for every key, of any type.
#[derive(Debug)]
pub struct Double<A> {
    answer: Mutex<A>,
    takes: Duration,
    /// The revision that its results depend on.
    pub revision: Revision,
    asked: Mutex<Vec<String>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl<A: Answer> Double<A> {
    /// Returns this result.
    pub fn new(answer: A) -> Self {
        Double {
            answer: Mutex::new(answer),
            takes: Duration::ZERO,
            revision: Revision::default(),
            asked: Mutex::default(),
            now: AtomicUsize::default(),
            most: AtomicUsize::default(),
        }
    }

    /// Delays the result by this time.
    pub fn after(self, takes: Duration) -> Self {
        Double { takes, ..self }
    }

    /// Changes the result, also of lookups in progress.
    pub fn set(&self, answer: A) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The keys of all lookups.
    pub fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap()
    }

    /// The number of lookups.
    pub fn count(&self) -> usize {
        self.asked().len()
    }

    /// The maximum number of concurrent lookups so far.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Decrements the counter when the lookup ends or is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<K: Key + ?Sized, A: Answer + std::fmt::Debug> Source<K, A> for Double<A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            self.asked().push(key.cache_key().into_owned());
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            let _under_way = UnderWay(&self.now);
            self.most.fetch_max(now, Ordering::SeqCst);
            let basis = self.revision.basis();
            tokio::time::sleep(self.takes).await;
            let answer = self.answer.lock().unwrap().clone();
            answer.depending_on(&basis)
        })
    }
}
