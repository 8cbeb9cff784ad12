//! The witness of a database: a key that certainly exists. If a server does not find it (such as a replica
//! that is still empty), its "not found" for other keys does not count.
//!
//! The witness is looked up at the same server, over the same connection. Each key that a server finds counts
//! as a witness as well, so a busy server is rarely asked for the configured one. The maps of a database have
//! different queries, and only some may find the witness. They are tried in order, beginning with the one
//! that found it last.

use super::Lookup;
use super::settings::DatabaseSettings;
use crate::lookup::control::{Control, Reply, Server};
use crate::observe::Metrics;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "redis")]
use std::time::Duration;

/// How long the report of a server about itself is valid. Unlike a witness, it is not replaced by keys that are found:
/// these may be old ones.
#[cfg(feature = "redis")]
const REPORTED: Duration = Duration::from_secs(1);

/// The control of one database. `Q` is the type of its queries.
#[derive(Debug)]
pub(super) struct Witness<Q> {
    control: Control,
    #[cfg(feature = "redis")]
    reports: Control,
    key: Option<Arc<str>>,
    questions: Mutex<Vec<Arc<Q>>>,
}

impl<Q: PartialEq> Witness<Q> {
    /// Creates the control from the settings of the database.
    pub fn new(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Self {
        let source: Arc<str> = format!("database:{}", settings.name).into();
        Witness {
            #[cfg(feature = "redis")]
            reports: Control::new(source.clone(), settings.control_interval.min(REPORTED), metrics),
            control: Control::new(source, settings.control_interval, metrics),
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

    /// Records that `peer` has found a key.
    pub fn found(&self, peer: &str) {
        self.control.found(server(peer));
    }

    /// Checks a "not found" of `peer`, and returns it or a temporary failure. Without a valid control it
    /// calls `ask` with a query and the witness, and if that query does not find it, with the next one. If no
    /// witness is configured, every "not found" counts.
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

    /// Like [`Witness::vouch`], with or without a configured witness, for a server that reports itself whether it has
    /// its data. If it has not, `ask` returns [`Reply::NotFound`] with `said`, and the reason is `why`.
    #[cfg(feature = "redis")]
    pub async fn vouch_by<F>(
        &self,
        peer: &str,
        said: &str,
        why: &str,
        ask: impl FnOnce() -> F,
    ) -> Lookup<String>
    where
        F: Future<Output = Reply>,
    {
        match self.reports.witness(server(peer), "INFO replication", ask).await {
            Ok(()) => Lookup::NotFound,
            Err(refusal) if refusal.to_string().contains(said) => Lookup::temp_fail(why),
            // It gave no report.
            Err(refusal) => Lookup::temp_fail(refusal.to_string()),
        }
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

/// A server of a database has the same data for all domains.
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
        let settings = DatabaseSettings {
            witness: key.map(str::to_owned),
            ..DatabaseSettings::new("users", Kind::Mysql)
        };
        let witness = Witness::new(&settings, &Arc::default());
        for question in ['a', 'b', 'c', 'a'] {
            witness.add(&Arc::new(question));
        }
        witness
    }

    /// Returns the queries sent and the result. `finds` are the queries that find the witness, `fails` those
    /// that fail temporarily.
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
    async fn not_found_counts_if_the_witness_is_found() {
        let set = witness(Some("w"));
        for (peer, finds, fails, want) in [
            ("1", "", "", ("abc", '?')),
            // The control is still valid.
            ("1", "abc", "", ("", '?')),
            ("2", "b", "a", ("ab", '-')),
            ("2", "", "", ("", '-')),
            // The query that found the witness last is the first.
            ("3", "b", "", ("b", '-')),
            ("4", "", "b", ("bac", '?')),
        ] {
            assert_eq!(asked(&set, peer, finds, fails).await, (want.0.to_owned(), want.1), "{peer}");
        }
        // A key that the server finds later shows that it has its data.
        set.found("1");
        assert_eq!(asked(&set, "1", "", "").await, (String::new(), '-'));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(asked(&set, "1", "", "").await, ("bac".to_owned(), '?'));
        assert_eq!(asked(&witness(None), "1", "", "").await, (String::new(), '-'));
    }
}
