//! The witness of a database: a key that certainly exists. If a server does not find it (a replica that is
//! still empty), its "not found" for another key does not count.
//!
//! The same server is asked for it, over the same connection. Each key that a server finds is a witness as
//! well, so a busy server is hardly ever asked for the configured one. Maps have different queries for one
//! database, and only some may find the witness: their queries are tried in turn, beginning with the one that
//! last found it.

use super::Lookup;
use super::settings::DatabaseSettings;
use crate::lookup::control::{Control, Reply, Server};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The control of one database, whose maps have queries of type `Q`.
#[derive(Debug)]
pub(super) struct Witness<Q> {
    control: Control,
    key: Option<Arc<str>>,
    questions: Mutex<Vec<Arc<Q>>>,
}

impl<Q: PartialEq> Witness<Q> {
    /// The control for these settings.
    pub fn new(settings: &DatabaseSettings) -> Self {
        let source: Arc<str> = format!("database:{}", settings.name).into();
        Witness {
            control: Control::new(source, settings.control_interval),
            key: settings.witness.as_deref().map(Into::into),
            questions: Mutex::default(),
        }
    }

    /// Adds the query of a map.
    pub fn add(&self, question: &Arc<Q>) {
        let mut questions = self.questions();
        if !questions.contains(question) {
            questions.push(question.clone());
        }
    }

    /// Notes that `peer` has found a key.
    pub fn found(&self, peer: &str) {
        self.control.found(server(peer));
    }

    /// Checks a "not found" of `peer`: returns it, or a temporary failure. Without a valid control, `ask` is
    /// called with a query and the witness, and if that does not find it, with the next query. Without a
    /// witness the answer counts as it is.
    pub async fn vouch<F>(&self, peer: &str, mut ask: impl FnMut(Arc<Q>, Arc<str>) -> F) -> Lookup<String>
    where
        F: Future<Output = Lookup<String>>,
    {
        let Some(key) = self.key.clone() else { return Lookup::NotFound };
        let asking = async {
            let questions = self.questions().clone();
            let mut doubt = None;
            for question in questions {
                match ask(question.clone(), key.clone()).await {
                    Lookup::Found(value) => {
                        self.prefer(&question);
                        return Reply::Exists(value);
                    }
                    Lookup::NotFound => (),
                    Lookup::TempFail(why) => doubt = Some(why.to_string()),
                }
            }
            doubt.map_or_else(|| Reply::NotFound("not found".into()), Reply::TempFail)
        };
        worth(self.control.witness(server(peer), &key, || asking).await)
    }

    /// The same if the server itself reports whether it has its data; `why` is the reason if it has not.
    #[cfg(feature = "redis")]
    pub async fn vouch_by<F>(&self, peer: &str, why: &str, ask: impl FnOnce() -> F) -> Lookup<String>
    where
        F: Future<Output = Reply>,
    {
        match self.control.witness(server(peer), "INFO replication", ask).await {
            Ok(()) => Lookup::NotFound,
            Err(_) => Lookup::temp_fail(why),
        }
    }

    /// Whether one is configured.
    #[cfg(feature = "redis")]
    pub fn is_set(&self) -> bool {
        self.key.is_some()
    }

    fn prefer(&self, question: &Arc<Q>) {
        let mut questions = self.questions();
        if let Some(at) = questions.iter().position(|known| known == question) {
            questions[..=at].rotate_right(1);
        }
    }

    fn questions(&self) -> MutexGuard<'_, Vec<Arc<Q>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server of a database has one set of data for all domains.
fn server(peer: &str) -> Server<'_> {
    Server { peer, scope: "" }
}

fn worth(passed: Result<(), crate::lookup::control::Refusal>) -> Lookup<String> {
    match passed {
        Ok(()) => Lookup::NotFound,
        Err(refusal) => Lookup::temp_fail(refusal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Kind;
    use super::*;
    use crate::lookup::control::INTERVAL;

    fn witness(key: Option<&str>) -> Witness<char> {
        let witness = Witness::new(&DatabaseSettings {
            witness: key.map(str::to_owned),
            ..DatabaseSettings::new("users", Kind::Mysql)
        });
        for question in ['a', 'b', 'c', 'a'] {
            witness.add(&Arc::new(question));
        }
        witness
    }

    /// The queries sent and the result; `finds` are those that find the witness, `fails` those that fail
    /// temporarily.
    async fn asked(witness: &Witness<char>, peer: &str, finds: &str, fails: &str) -> (String, char) {
        let asked = Mutex::new(String::new());
        let answer = witness
            .vouch(peer, |question, key| {
                assert_eq!(&*key, "w");
                asked.lock().unwrap().push(*question);
                let answer = match *question {
                    question if finds.contains(question) => Lookup::Found("w".into()),
                    question if fails.contains(question) => Lookup::temp_fail("no table"),
                    _ => Lookup::NotFound,
                };
                async { answer }
            })
            .await;
        let short = match answer {
            Lookup::NotFound => '-',
            Lookup::TempFail(_) => '?',
            Lookup::Found(_) => '!',
        };
        (asked.into_inner().unwrap(), short)
    }

    #[tokio::test(start_paused = true)]
    async fn an_absence_counts_where_the_witness_is_found() {
        let set = witness(Some("w"));
        for (peer, finds, fails, want) in [
            ("1", "", "", ("abc", '?')),
            // The control is still valid.
            ("1", "abc", "", ("", '?')),
            ("2", "b", "a", ("ab", '-')),
            ("2", "", "", ("", '-')),
            // The one that found it is the first.
            ("3", "b", "", ("b", '-')),
            ("4", "", "b", ("bac", '?')),
        ] {
            assert_eq!(asked(&set, peer, finds, fails).await, (want.0.to_owned(), want.1), "{peer}");
        }
        // A key that it finds later shows that it has its data.
        set.found("1");
        assert_eq!(asked(&set, "1", "", "").await, (String::new(), '-'));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(asked(&set, "1", "", "").await, ("bac".to_owned(), '?'));
        assert_eq!(asked(&witness(None), "1", "", "").await, (String::new(), '-'));
    }
}
