//! Limits the duration of a lookup.

use super::{Answer, Key, LookupFuture, Reason, Source};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

/// The result of a future within a time limit. Most futures are ready at once and need no timer.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => timeout(limit, future).await.ok(),
    }
}

/// Turns a lookup that takes too long into a temporary failure, and drops it. The time includes waiting for a
/// permit or a connection inside `inner`.
#[derive(Debug)]
pub struct Timeout<K: ?Sized, A> {
    name: Arc<str>,
    limit: Duration,
    inner: Arc<dyn Source<K, A>>,
}

impl<K: ?Sized, A> Timeout<K, A> {
    /// Limits each lookup of `inner` to `limit`; `name` is the source of the failures that it reports.
    pub fn new(name: impl Into<Arc<str>>, limit: Duration, inner: Arc<dyn Source<K, A>>) -> Self {
        Timeout { name: name.into(), limit, inner }
    }
}

impl<K: Key + ?Sized, A: Answer> Source<K, A> for Timeout<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            within(self.limit, self.inner.look_up(key))
                .await
                .unwrap_or_else(|| A::failed(Reason::timeout(self.limit), &self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Double;
    use super::super::{Lookup, Source};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timeout_is_temporary_failure() {
        for (takes, want) in [
            (999, Lookup::Found("a".to_owned())),
            (1001, Lookup::TempFail(Reason::timeout(Duration::from_secs(1)))),
            (60_000, Lookup::TempFail(Reason::timeout(Duration::from_secs(1)))),
        ] {
            let double = Double::new(Lookup::Found("a".to_owned())).after(Duration::from_millis(takes));
            let timeout = Timeout::new("slow", Duration::from_secs(1), Arc::new(double));
            assert_eq!(timeout.look_up("key").await, want, "{takes} ms");
        }
    }
}
