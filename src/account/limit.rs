//! A source that is not asked too much at once.

use super::{AccountSource, AnswerFuture};
use mail_address::Address;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lets only so many questions into `inner` at once; the others wait in the order they came. To be put
/// inside of a [`Deadline`](super::Deadline), which bounds that wait.
#[derive(Debug)]
pub struct Limit {
    permits: Semaphore,
    inner: Arc<dyn AccountSource>,
}

impl Limit {
    /// `inner`, asked at most `most` questions at once; fewer than one would be none at all.
    pub fn new(most: usize, inner: Arc<dyn AccountSource>) -> Self {
        Limit { permits: Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)), inner }
    }
}

impl AccountSource for Limit {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            // It fails only once the semaphore is closed, which nobody does.
            let _permit = self.permits.acquire().await.ok();
            self.inner.verify(account).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, account};
    use super::super::{Deadline, Verdict};
    use super::*;
    use std::time::Duration;

    async fn ask(source: &Arc<dyn AccountSource>, askers: usize) -> Vec<String> {
        let asked: Vec<_> = (0..askers)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(
                    async move { source.verify(&account("foo@example.test")).await.verdict.to_string() },
                )
            })
            .collect();
        let mut got = Vec::new();
        for one in asked {
            got.push(one.await.unwrap());
        }
        got
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_and_no_more() {
        for (most, want) in [(0, 1), (1, 1), (3, 3), (usize::MAX, 10)] {
            let double = Arc::new(Double::says(Verdict::Exists).after(Duration::from_secs(1)));
            let source: Arc<dyn AccountSource> = Arc::new(Limit::new(most, double.clone()));
            assert_eq!(ask(&source, 10).await, ["exists"; 10]);
            assert_eq!((double.asked(), double.most_at_once()), (10, want), "{most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_counts_within_the_deadline() {
        let double = Arc::new(Double::says(Verdict::Exists).after(Duration::from_secs(8)));
        let limited: Arc<dyn AccountSource> = Arc::new(Limit::new(1, double.clone()));
        let timed: Arc<dyn AccountSource> =
            Arc::new(Deadline::new("double:", Duration::from_secs(5), limited.clone()));
        let slow = tokio::spawn(async move { ask(&limited, 1).await });
        tokio::task::yield_now().await;
        let late = "unknown: no answer within 5s";
        assert_eq!(ask(&timed, 3).await, [late; 3]);
        assert_eq!(double.asked(), 1, "who gives up waiting never asks");
        assert_eq!(slow.await.unwrap(), ["exists"]);
        assert_eq!(ask(&timed, 1).await, [late]);
        // Who gives up asking gives the permit back.
        assert_eq!(ask(&timed, 1).await, [late]);
        assert_eq!(double.asked(), 3);
    }
}
