//! A source whose silence is no obstacle.

use super::{AccountSource, AnswerFuture, Verdict};
use mail_address::Address;
use std::sync::Arc;

/// Marks every [`Verdict::Unknown`] of `inner` as one with which the operator chose to accept the mail
/// (see [`Reason::is_accepting`](super::Reason::is_accepting)). The verdict stays unknown: it is not
/// remembered, and a later source may know better.
#[derive(Debug)]
pub struct AcceptUnknown {
    inner: Arc<dyn AccountSource>,
}

impl AcceptUnknown {
    /// `inner`, its unknown answers marked.
    pub fn new(inner: Arc<dyn AccountSource>) -> Self {
        AcceptUnknown { inner }
    }
}

impl AccountSource for AcceptUnknown {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            let mut answer = self.inner.verify(account).await;
            if let Verdict::Unknown(reason) = answer.verdict {
                answer.verdict = Verdict::Unknown(reason.accepting());
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::testing::{Double, account};
    use super::*;

    #[tokio::test]
    async fn only_unknown_is_marked() {
        let unknown = || Reason::new("down");
        for (says, want) in [
            (Verdict::Exists, Verdict::Exists),
            (Verdict::Missing, Verdict::Missing),
            (Verdict::Unknown(unknown()), Verdict::Unknown(unknown().accepting())),
        ] {
            let source = AcceptUnknown::new(Arc::new(Double::says(says)));
            assert_eq!(source.verify(&account("foo@example.test")).await.verdict, want);
        }
    }
}
