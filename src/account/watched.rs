//! A source whose outages are logged.

use super::{AccountSource, AnswerFuture, Verdict};
use crate::observe::outage::Outage;
use mail_address::Address;
use std::sync::Arc;

/// Notes whether `inner` answers: when it begins to fail, when it works again, and how often it failed in
/// between. Wrap it around a [`Deadline`](super::Deadline), since a late answer is a failure.
#[derive(Debug)]
pub struct Watched {
    outage: Arc<Outage>,
    inner: Arc<dyn AccountSource>,
}

impl Watched {
    /// `inner`, called `name` in the log.
    pub fn new(name: &str, inner: Arc<dyn AccountSource>) -> Self {
        Watched { outage: Outage::of(name, None), inner }
    }
}

impl AccountSource for Watched {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            let answer = self.inner.verify(account).await;
            match &answer.verdict {
                Verdict::Unknown(why) => self.outage.fails(why),
                Verdict::Exists | Verdict::Missing => self.outage.works(),
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
    use crate::observe::outage::standings;

    #[tokio::test]
    async fn what_is_unknown_is_a_failure() {
        let double = Arc::new(Double::says(Verdict::Exists));
        let source = Watched::new("double:watched", double.clone());
        let foo = account("foo@example.test");
        for (says, failures, failing) in [
            (Verdict::Exists, 0, false),
            (Verdict::Unknown(Reason::new("down")), 1, true),
            (Verdict::Unknown(Reason::new("down").accepting()), 2, true),
            (Verdict::Missing, 2, false),
        ] {
            double.say(says);
            source.verify(&foo).await;
            let standing = standings().into_iter().find(|one| &*one.source == "double:watched").unwrap();
            assert_eq!((standing.failures, standing.failing.is_some()), (failures, failing));
        }
    }
}
