//! A table for tests, which says what it is told and remembers what it was asked.

use super::{Answer, AnswerFuture, Table};
use std::sync::Mutex;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Double {
    says: Mutex<Answer>,
    takes: Duration,
    asked: Mutex<Vec<String>>,
}

impl Double {
    pub fn says(answer: Answer) -> Self {
        Double { says: Mutex::new(answer), takes: Duration::ZERO, asked: Mutex::default() }
    }

    pub fn after(self, takes: Duration) -> Self {
        Double { takes, ..self }
    }

    pub fn say(&self, answer: Answer) {
        *self.says.lock().unwrap() = answer;
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Table for Double {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(key.into());
            tokio::time::sleep(self.takes).await;
            self.says.lock().unwrap().clone()
        })
    }
}

/// `-` not found, `?` unknown, else a value.
pub(super) fn answer(says: &str) -> Answer {
    match says {
        "-" => Answer::NotFound,
        "?" => Answer::unknown(""),
        value => Answer::Found(value.into()),
    }
}

/// The same backwards, an unknown with its reason.
pub(super) fn shown(answer: &Answer) -> String {
    match answer {
        Answer::NotFound => "-".into(),
        Answer::Unknown(reason) => format!("? {reason}").trim_end().into(),
        Answer::Found(value) => value.clone(),
    }
}
