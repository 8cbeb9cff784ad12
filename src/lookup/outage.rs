//! Logs outages of a source.

use super::{Answer, Key, LookupFuture, Source};
use crate::observe::outage::Outage;
use std::sync::Arc;

/// Logs when `inner` starts to fail, when it recovers, and how often it failed in between. Put it around a
/// [`Timeout`](super::Timeout), since a timeout is a failure.
#[derive(Debug)]
pub struct OutageLog<K: ?Sized, A> {
    outage: Arc<Outage>,
    inner: Arc<dyn Source<K, A>>,
}

impl<K: ?Sized, A> OutageLog<K, A> {
    /// Wraps `inner`, which the log calls `name`.
    pub fn new(name: &str, inner: Arc<dyn Source<K, A>>) -> Self {
        OutageLog { outage: Outage::of(name, None), inner }
    }
}

impl<K: Key + ?Sized, A: Answer> Source<K, A> for OutageLog<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            let answer = self.inner.look_up(key).await;
            match answer.failure() {
                Some(reason) => self.outage.fails(reason),
                None => self.outage.works(),
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Double;
    use super::super::{Lookup, Reason};
    use super::*;
    use crate::observe::outage::standings;

    #[tokio::test]
    async fn temporary_failures_start_an_outage() {
        let double = Arc::new(Double::new(Lookup::Found(())));
        let source: OutageLog<str, Lookup<()>> = OutageLog::new("double:logged", double.clone());
        for (answer, failures, failing) in [
            (Lookup::Found(()), 0, false),
            (Lookup::temp_fail("down"), 1, true),
            (Lookup::TempFail(Reason::new("down").accepting()), 2, true),
            (Lookup::NotFound, 2, false),
        ] {
            double.set(answer);
            source.look_up("key").await;
            let standing = standings().into_iter().find(|one| &*one.source == "double:logged").unwrap();
            assert_eq!((standing.failures, standing.failing.is_some()), (failures, failing));
        }
    }
}
