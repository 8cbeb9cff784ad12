//! A source that answers in time, or that it cannot say.

use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use mail_address::Address;
use std::sync::Arc;
use std::time::Duration;

/// Gives up on `inner` after a while. Whatever waits inside of it (for a permit, for a connection) waits
/// within this time; giving up drops the question, which is why a source must survive that.
#[derive(Debug)]
pub struct Deadline {
    name: Arc<str>,
    limit: Duration,
    inner: Arc<dyn AccountSource>,
}

impl Deadline {
    /// `inner`, which is known as `name`, with `limit` for every answer.
    pub fn new(name: impl Into<Arc<str>>, limit: Duration, inner: Arc<dyn AccountSource>) -> Self {
        Deadline { name: name.into(), limit, inner }
    }
}

impl AccountSource for Deadline {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            tokio::time::timeout(self.limit, self.inner.verify(account)).await.unwrap_or_else(|_| {
                let reason = Reason::new(format!("no answer within {:?}", self.limit));
                Answer::new(Verdict::Unknown(reason), &self.name)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, account};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn late_is_unknown() {
        for (takes, want) in [(0, "exists"), (4_999, "exists"), (5_001, "unknown: no answer within 5s")] {
            let double = Double::says(Verdict::Exists).after(Duration::from_millis(takes));
            let source = Deadline::new("double:", Duration::from_secs(5), Arc::new(double));
            let got = source.verify(&account("foo@example.test")).await;
            assert_eq!((got.verdict.to_string().as_str(), &*got.source), (want, "double:"), "{takes} ms");
        }
    }
}
