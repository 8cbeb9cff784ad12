//! A source for tests, which gives set answers and records the calls.

use super::{AccountSource, Answer, AnswerFuture, Verdict};
use crate::watch::Revision;
use mail_address::Address;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Double {
    name: Arc<str>,
    says: Mutex<Verdict>,
    takes: Duration,
    keep: Option<Duration>,
    /// The revision that its answers depend on.
    pub revision: Revision,
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Double {
    pub fn says(verdict: Verdict) -> Self {
        Double {
            name: "double:".into(),
            says: Mutex::new(verdict),
            takes: Duration::ZERO,
            keep: None,
            revision: Revision::default(),
            asked: AtomicUsize::default(),
            now: AtomicUsize::default(),
            most: AtomicUsize::default(),
        }
    }

    pub fn after(self, takes: Duration) -> Self {
        Double { takes, ..self }
    }

    pub fn kept_for(self, keep: Duration) -> Self {
        Double { keep: Some(keep), ..self }
    }

    pub fn called(self, name: &str) -> Self {
        Double { name: name.into(), ..self }
    }

    pub fn say(&self, verdict: Verdict) {
        *self.says.lock().unwrap() = verdict;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Counts down also when the question is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AccountSource for Double {
    fn verify<'a>(&'a self, _: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            let _under_way = UnderWay(&self.now);
            self.most.fetch_max(now, Ordering::SeqCst);
            let basis = self.revision.basis();
            tokio::time::sleep(self.takes).await;
            let says = self.says.lock().unwrap().clone();
            Answer { keep: self.keep, ..Answer::new(says, &self.name) }.resting_on(&basis)
        })
    }
}

pub(super) fn account(text: &str) -> Address {
    Address::from_rcpt(text.as_bytes())
}
