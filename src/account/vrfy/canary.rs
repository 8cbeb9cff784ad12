//! Can a server's 252 be trusted?
//!
//! 252 means "I will not tell, but send it". Postfix says so for every address it would not reject, so that
//! a Postfix which checks its recipients answers 252 for those that exist and 550 for the others; a Postfix
//! which does not, a Sendmail told to keep quiet, an Exim without a rule for VRFY and a Dovecot say 252 for
//! all. They can be told apart by asking for somebody who does not exist: the canary.
//!
//! The outcome is kept for each domain and asked again after a while, since servers are reconfigured; also
//! over a new connection, which may lead to a server that was restarted or to another one. While
//! one asker sends a canary, others of that domain wait for it. An accepted canary is logged when it is
//! accepted first, not with every question.

use super::reply::{Meaning, Reply};
use crate::observe::account as observe;
use rustls::crypto::ring::default_provider;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Most domains remembered. Only domains that have accounts of ours are asked about; a site with more of them
/// sends a few canaries more often than it would have to.
pub(super) const MAX_DOMAINS: usize = 1000;

/// How soon a canary is sent again after one that told nothing.
const AGAIN: Duration = Duration::from_secs(10);

/// How old a refused canary may be to vouch for a 252 over a connection just opened. Not at once, since with
/// the five questions that a connection is asked by default every sixth would then be a canary.
const FRESH: Duration = Duration::from_secs(30);

/// Longest time an outcome is believed, whatever is set.
const INTERVAL: Duration = Duration::from_hours(24);

/// Letters of a canary's name: 24 of 32 kinds are 120 bits, which nobody guesses.
const LETTERS: usize = 24;

/// What became of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server refuses who does not exist: its 252 means something.
    Refused,
    /// It does not.
    Accepted,
    /// Nobody knows.
    Unsure(Arc<str>),
}

#[derive(Debug)]
struct Flight {
    outcome: Outcome,
    at: Instant,
    until: Instant,
}

impl Flight {
    /// Whether it still tells about a server over a connection that was `just_opened` or not. Only what makes
    /// the server trusted has to be fresh.
    fn holds(&self, just_opened: bool) -> bool {
        let stale = just_opened && self.outcome == Outcome::Refused && self.at.elapsed() >= FRESH;
        self.until > Instant::now() && !stale
    }
}

/// The last canary of a domain; locked while one is sent.
type Domain = Arc<tokio::sync::Mutex<Option<Flight>>>;

/// The canaries of one source.
#[derive(Debug)]
pub(super) struct Canaries {
    source: Arc<str>,
    interval: Duration,
    domains: Mutex<HashMap<Box<str>, Domain>>,
}

impl Canaries {
    pub fn new(source: Arc<str>, interval: Duration) -> Self {
        Canaries { source, interval: interval.min(INTERVAL), domains: Mutex::default() }
    }

    /// How long what rests on an outcome may be believed.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What became of the canary of `domain`; if there is none, or it is too old for a connection that was
    /// `just_opened` or not, `ask` sends one, given its address in brackets.
    pub async fn outcome<F>(&self, domain: &str, just_opened: bool, ask: impl FnOnce(String) -> F) -> Outcome
    where
        F: Future<Output = Result<Reply, String>>,
    {
        let domain_state = self.of(domain);
        // Held while asking. An asker who gives up lets go of it, and the next one asks.
        let mut flight = domain_state.lock().await;
        if let Some(known) = flight.as_ref().filter(|known| known.holds(just_opened)) {
            return known.outcome.clone();
        }
        let (outcome, said) = match name() {
            Ok(name) => {
                let path = format!("<{name}@{domain}>");
                judge(&path, ask(path.clone()).await)
            }
            Err(why) => (Outcome::Unsure(why.into()), String::new()),
        };
        let was_accepted = flight.as_ref().is_some_and(|old| old.outcome == Outcome::Accepted);
        match outcome {
            Outcome::Accepted if !was_accepted => observe::canary_accepted(&self.source, domain, &said),
            Outcome::Refused if was_accepted => observe::canary_refused(&self.source, domain),
            _ => (),
        }
        let keep = match outcome {
            Outcome::Unsure(_) => self.interval.min(AGAIN),
            _ => self.interval,
        };
        let at = Instant::now();
        *flight = Some(Flight { outcome: outcome.clone(), at, until: at + keep });
        outcome
    }

    fn of(&self, domain: &str) -> Domain {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = domains.get(domain) {
            return known.clone();
        }
        if domains.len() >= MAX_DOMAINS {
            // Any will do: whoever is forgotten is asked again.
            let any = domains.keys().next().cloned();
            any.and_then(|any| domains.remove(&any));
        }
        domains.entry(domain.into()).or_default().clone()
    }
}

fn judge(path: &str, got: Result<Reply, String>) -> (Outcome, String) {
    match got {
        Err(why) => (Outcome::Unsure(why.into()), String::new()),
        Ok(reply) => {
            let outcome = match reply.meaning(path) {
                Meaning::Missing => Outcome::Refused,
                Meaning::Exists | Meaning::Perhaps => Outcome::Accepted,
                Meaning::CannotSay => Outcome::Unsure(reply.quoted().into()),
            };
            (outcome, reply.quoted())
        }
    }
}

/// A local part that nobody has: letters and digits only, so that no rule for aliases, extensions or routes
/// makes another name of it.
fn name() -> Result<String, &'static str> {
    const KINDS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; LETTERS];
    default_provider().secure_random.fill(&mut random).map_err(|_| "no random numbers")?;
    Ok(random.iter().map(|byte| char::from(KINDS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const EVERY: Duration = Duration::from_mins(5);

    fn canaries() -> Arc<Canaries> {
        Arc::new(Canaries::new("vrfy:test".into(), EVERY))
    }

    async fn fly(canaries: &Canaries, says: &str, sent: &AtomicUsize) -> String {
        fly_over(false, canaries, says, sent).await
    }

    async fn fly_over(just_opened: bool, canaries: &Canaries, says: &str, sent: &AtomicUsize) -> String {
        let outcome = canaries
            .outcome("example.test", just_opened, |_| async {
                sent.fetch_add(1, Ordering::SeqCst);
                match says.split_once(' ') {
                    Some((code, text)) => Ok(Reply { code: code.parse().unwrap(), text: text.into() }),
                    None => Err(says.to_string()),
                }
            })
            .await;
        format!("{outcome:?}")
    }

    #[tokio::test(start_paused = true)]
    async fn kept_for_the_interval() {
        let (canaries, sent) = (canaries(), AtomicUsize::new(0));
        // what the server would say, what is known then, canaries sent so far, seconds until the next
        for (says, want, count, then) in [
            ("550 5.1.1 no", "Refused", 1, 299),
            ("252 2.0.0 yes", "Refused", 1, 2),
            ("252 2.0.0 yes", "Accepted", 2, 299),
            ("550 5.1.1 no", "Accepted", 2, 2),
            ("250 ok", "Accepted", 3, 301),
            ("550 5.1.1 no", "Refused", 4, 301),
            ("450 4.1.1 later", "Unsure(\"450 4.1.1 later\")", 5, 9),
            ("550 5.1.1 no", "Unsure(\"450 4.1.1 later\")", 5, 2),
            ("gone", "Unsure(\"gone\")", 6, 11),
            ("550 5.1.1 no", "Refused", 7, 1),
        ] {
            assert_eq!(fly(&canaries, says, &sent).await, want, "{says}");
            assert_eq!(sent.load(Ordering::SeqCst), count, "{says}");
            tokio::time::advance(Duration::from_secs(then)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_over_a_new_connection() {
        let (canaries, sent) = (canaries(), AtomicUsize::new(0));
        // over a new connection, what the server would say, what is known then, canaries sent so far, seconds
        // until the next
        for (just_opened, says, want, count, then) in [
            (true, "550 5.1.1 no", "Refused", 1, 29),
            (true, "252 2.0.0 yes", "Refused", 1, 1),
            (false, "252 2.0.0 yes", "Refused", 1, 0),
            (true, "252 2.0.0 yes", "Accepted", 2, 31),
            // Nothing is believed that would have to be fresh.
            (true, "550 5.1.1 no", "Accepted", 2, 269),
            (true, "550 5.1.1 no", "Refused", 3, 31),
            (true, "550 5.1.1 no", "Refused", 4, 29),
            (true, "252 2.0.0 yes", "Refused", 4, 0),
        ] {
            assert_eq!(fly_over(just_opened, &canaries, says, &sent).await, want, "{count} {says}");
            assert_eq!(sent.load(Ordering::SeqCst), count, "{says}");
            tokio::time::advance(Duration::from_secs(then)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time() {
        let (canaries, sent) = (canaries(), Arc::new(AtomicUsize::new(0)));
        let ask = |patience: u64| {
            let (canaries, sent) = (canaries.clone(), sent.clone());
            tokio::spawn(async move {
                let outcome = canaries.outcome("example.test", false, |_| async move {
                    sent.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    Ok(Reply { code: 550, text: "5.1.1 no".into() })
                });
                tokio::time::timeout(Duration::from_secs(patience), outcome).await.ok()
            })
        };
        let hasty = ask(1);
        tokio::task::yield_now().await;
        let patient: Vec<_> = (0..10).map(|_| ask(60)).collect();
        assert_eq!(hasty.await.unwrap(), None);
        for asker in patient {
            assert_eq!(asker.await.unwrap(), Some(Outcome::Refused));
        }
        assert_eq!(sent.load(Ordering::SeqCst), 2);
    }

    /// What is logged while this lives, on this thread.
    fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
        #[derive(Clone)]
        struct Log(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let text = Arc::new(Mutex::new(Vec::new()));
        let log = Log(text.clone());
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).with_ansi(false).finish();
        (text, tracing::subscriber::set_default(subscriber))
    }

    #[tokio::test(start_paused = true)]
    async fn an_accepted_canary_is_logged_once() {
        let (text, _guard) = logged();
        let (canaries, sent) = (canaries(), AtomicUsize::new(0));
        for says in ["252 2.0.0 \"yes\"", "252 2.0.0 yes", "250 ok", "550 5.1.1 no", "550 5.1.1 no", "250 ok"]
        {
            for _ in 0..3 {
                fly(&canaries, says, &sent).await;
            }
            tokio::time::advance(EVERY).await;
        }
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        let levels: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(levels, ["ERROR", "INFO", "ERROR"], "{text}");
        assert!(
            text.contains("source=vrfy:test domain=example.test detail=\"252 2.0.0 \\x22yes\\x22\""),
            "{text}"
        );
        assert!(text.contains("local_recipient_maps"), "{text}");
    }

    #[tokio::test]
    async fn domains_are_bounded() {
        let canaries = canaries();
        for i in 0..MAX_DOMAINS * 2 {
            let refused = |_| async { Ok(Reply { code: 550, text: "5.1.1 no".into() }) };
            canaries.outcome(&format!("{i}.test"), false, refused).await;
        }
        assert_eq!(canaries.domains.lock().unwrap().len(), MAX_DOMAINS);
    }

    #[test]
    fn names_are_nobodys() {
        let names: HashSet<_> = (0..1000).map(|_| name().unwrap()).collect();
        assert_eq!(names.len(), 1000);
        for name in names {
            assert!(
                name.len() == LETTERS && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            );
        }
    }
}
