//! Accepts mail while a source fails temporarily.

use super::{AccountSource, Lookup, LookupFuture, Source, Verification};
use mail_address::Address;
use std::sync::Arc;

/// Marks each temporary failure of `inner` as accepting: the operator configured rcptd to accept mail in this
/// case (see [`Reason::is_accepting`](super::Reason::is_accepting)). The result is still a temporary failure:
/// it is not cached, and a later source may return a definite result.
#[derive(Debug)]
pub struct AcceptTempFail {
    inner: Arc<AccountSource>,
}

impl AcceptTempFail {
    /// Wraps `inner`.
    pub fn new(inner: Arc<AccountSource>) -> Self {
        AcceptTempFail { inner }
    }
}

impl Source<Address, Verification> for AcceptTempFail {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let mut answer = self.inner.look_up(account).await;
            if let Lookup::TempFail(reason) = answer.result {
                answer.result = Lookup::TempFail(reason.accepting());
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::testing::{account, answer};
    use super::*;
    use crate::lookup::testing::Double;

    #[tokio::test]
    async fn marks_temporary_failures_as_accepting() {
        let unknown = || Reason::new("down");
        for (says, want) in [
            (Lookup::Found(()), Lookup::Found(())),
            (Lookup::NotFound, Lookup::NotFound),
            (Lookup::TempFail(unknown()), Lookup::TempFail(unknown().accepting())),
        ] {
            let source = AcceptTempFail::new(Arc::new(Double::new(answer(says))));
            assert_eq!(source.look_up(&account("foo@example.test")).await.result, want);
        }
    }
}
