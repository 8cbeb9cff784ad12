//! A table whose outages are logged.

use super::{Answer, AnswerFuture, Table};
use crate::observe::outage::Outage;
use std::sync::Arc;

/// Notes whether `inner` answers: when it begins to fail, when it works again, and how often it failed in between.
#[derive(Debug)]
pub struct Watched {
    outage: Arc<Outage>,
    inner: Arc<dyn Table>,
}

impl Watched {
    /// `inner`, called `name` in the log.
    pub fn new(name: &str, inner: Arc<dyn Table>) -> Self {
        Watched { outage: Outage::of(name, None), inner }
    }
}

impl Table for Watched {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            let answer = self.inner.get(key).await;
            match &answer {
                Answer::Unknown(why) => self.outage.fails(why),
                Answer::Found(_) | Answer::NotFound => self.outage.works(),
            }
            answer
        })
    }
}
