//! Logs outages of a source, and counts its lookups.

use super::{Answer, Key, LookupFuture, Source};
use crate::observe::Metrics;
use crate::observe::meter::{Counted, Meter};
use crate::observe::outage::Outage;
use std::sync::Arc;
use std::time::Instant;

/// Logs when `inner` starts to fail, when it recovers, and how often it failed in between; counts its lookups with
/// their results and times. Put it around a [`Timeout`](super::Timeout), since a timeout is a failure.
#[derive(Debug)]
pub struct OutageLog<K: ?Sized, A> {
    outage: Arc<Outage>,
    meter: Arc<Meter>,
    inner: Arc<dyn Source<K, A>>,
}

impl<K: ?Sized, A> OutageLog<K, A> {
    /// Wraps `inner`, which log and metrics call `name`.
    pub fn new(name: &str, metrics: &Metrics, inner: Arc<dyn Source<K, A>>) -> Self {
        OutageLog { outage: metrics.outage(name, None), meter: metrics.source(name), inner }
    }

    /// The outages that it records.
    pub fn outage(&self) -> Arc<Outage> {
        self.outage.clone()
    }
}

impl<K: Key + ?Sized, A: Answer> Source<K, A> for OutageLog<K, A> {
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A> {
        Box::pin(async move {
            let began = Instant::now();
            let answer = self.inner.look_up(key).await;
            match answer.failure() {
                Some(reason) => self.outage.fails(reason),
                None => self.outage.works(),
            }
            let counted = match answer.failure() {
                Some(_) => Counted::TempFail,
                None if answer.is_found() => Counted::Found,
                None => Counted::NotFound,
            };
            self.meter.answered(counted, began);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Double;
    use super::super::{Lookup, Reason};
    use super::*;

    #[tokio::test]
    async fn temporary_failures_start_an_outage() {
        let double = Arc::new(Double::new(Lookup::Found(())));
        let metrics = Metrics::default();
        let source: OutageLog<str, Lookup<()>> = OutageLog::new("double:logged", &metrics, double.clone());
        for (answer, failures, failing) in [
            (Lookup::Found(()), 0, false),
            (Lookup::temp_fail("down"), 1, true),
            (Lookup::TempFail(Reason::new("down").accepting()), 2, true),
            (Lookup::NotFound, 2, false),
        ] {
            double.set(answer);
            source.look_up("key").await;
            let state = metrics.source_states().remove(0);
            assert_eq!((state.failures, state.failing.is_some()), (failures, failing));
        }
        let answered = metrics.source("double:logged").totals().answered;
        assert_eq!(answered[..3], [1, 1, 2]);
    }
}
