//! Limits the number of concurrent lookups.

use super::{Answer, Key, LookupFuture, Source};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Passes a limited number of concurrent lookups to `inner`; the others wait in order. Put it inside a
/// [`Timeout`](super::Timeout), which limits the wait.
#[derive(Debug)]
pub struct Limit<K: ?Sized, A> {
    permits: Semaphore,
    inner: Arc<dyn Source<K, A>>,
}

impl<K: ?Sized, A> Limit<K, A> {
    /// Limits `inner` to `most` concurrent lookups, at least one.
    pub fn new(most: usize, inner: Arc<dyn Source<K, A>>) -> Self {
        Limit { permits: Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)), inner }
    }
}

impl<K: Key + ?Sized, A: Answer> Source<K, A> for Limit<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            // The semaphore is never closed, so this does not fail.
            let permit = self.permits.acquire().await.ok();
            let answer = self.inner.look_up(key).await;
            drop(permit);
            // If none is free now, the permit went to a lookup that waits. All wait for the source, so that one is
            // sent before this answer is handled.
            if self.permits.available_permits() == 0 {
                yield_now().await;
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Double;
    use super::super::{Lookup, Reason, Timeout};
    use super::*;
    use std::time::Duration;

    type Text = Lookup<String>;

    async fn ask(source: &Arc<dyn Source<str, Text>>, calls: usize) -> Vec<Text> {
        let calls: Vec<_> = (0..calls)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.look_up("key").await })
            })
            .collect();
        let mut got = Vec::new();
        for call in calls {
            got.push(call.await.unwrap());
        }
        got
    }

    #[tokio::test(start_paused = true)]
    async fn limits_concurrent_lookups() {
        for (most, want) in [(0, 1), (1, 1), (3, 3), (usize::MAX, 10)] {
            let double = Arc::new(Double::new(Text::NotFound).after(Duration::from_secs(1)));
            let source: Arc<dyn Source<str, Text>> = Arc::new(Limit::new(most, double.clone()));
            assert_eq!(ask(&source, 10).await, vec![Text::NotFound; 10]);
            assert_eq!((double.count(), double.most_at_once()), (10, want), "{most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn next_lookup_begins_before_the_answer_is_handled() {
        let double = Arc::new(Double::new(Text::NotFound).after(Duration::from_secs(1)));
        let limited = Arc::new(Limit::new(1, double.clone() as Arc<dyn Source<str, Text>>));
        let calls: Vec<_> = (1..=3)
            .map(|_| {
                let (limited, double) = (limited.clone(), double.clone());
                tokio::spawn(async move {
                    limited.look_up("key").await;
                    double.count()
                })
            })
            .collect();
        let mut begun = Vec::new();
        for call in calls {
            begun.push(call.await.unwrap());
        }
        assert_eq!(begun, [2, 3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_permit_counts_towards_the_timeout() {
        let double = Arc::new(Double::new(Text::NotFound).after(Duration::from_secs(8)));
        let limited: Arc<dyn Source<str, Text>> = Arc::new(Limit::new(1, double.clone()));
        let timed: Arc<dyn Source<str, Text>> =
            Arc::new(Timeout::new("double", Duration::from_secs(5), limited.clone()));
        let slow = tokio::spawn(async move { ask(&limited, 1).await });
        tokio::task::yield_now().await;
        let late = Text::TempFail(Reason::timeout(Duration::from_secs(5)));
        assert_eq!(ask(&timed, 3).await, vec![late.clone(); 3]);
        assert_eq!(double.count(), 1, "a caller that gives up waiting never asks");
        assert_eq!(slow.await.unwrap(), [Text::NotFound]);
        // A caller that times out releases its permit.
        for _ in 0..2 {
            assert_eq!(ask(&timed, 1).await, std::slice::from_ref(&late));
        }
        assert_eq!(double.count(), 3);
    }
}
