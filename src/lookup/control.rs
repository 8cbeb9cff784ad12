//! Control lookups: the result of a server counts only if the server can also return the opposite result.
//!
//! A server whose table of users is empty, not mounted or not replicated yet replies "not found" for every
//! account. A server that does not check its recipients replies "exists" for every name. Two control lookups
//! detect such servers:
//!
//! | lookup | key | passes if the server replies | makes valid |
//! | --- | --- | --- | --- |
//! | witness | an account that certainly exists | exists | "not found" |
//! | canary | a name that certainly does not exist | not found | "exists" |
//!
//! A control is valid for one [`Server`] and for [`Control::interval`]. A server is a peer address, since
//! another address of the same host name may be another machine, and a scope, which is the domain if servers
//! have a table of users for each domain. Every account that a server finds counts as a witness as well, so a
//! busy server is rarely asked for the configured one.
//!
//! Without a passed control the result is a temporary failure, and [`Refusal`] is its reason. There is at
//! most one control lookup for each server and interval; other callers wait for it. If the server does not
//! reply to it, it is repeated after [`RETRY`].

use crate::observe::{self, Metrics};
use rustls::crypto::ring::default_provider;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of controls kept. Only local domains have controls; a site with more of them repeats a few
/// control lookups more often than necessary.
pub const MAX_CONTROLS: usize = 4000;

/// Time until a control lookup without a reply is repeated.
pub const RETRY: Duration = Duration::from_secs(10);

/// Default of [`Control::interval`].
pub const INTERVAL: Duration = Duration::from_mins(5);

/// Longest interval, whatever the configuration: a server that is reconfigured must be noticed within a day.
const MAX_INTERVAL: Duration = Duration::from_hours(24);

/// Length of a canary name: 24 letters of an alphabet of 32 are 120 bits. Such a name is not an account and
/// cannot be guessed.
const LETTERS: usize = 24;

/// The kind of a control lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Passes if the server replies "exists".
    Witness,
    /// Passes if the server replies "not found".
    Canary,
}

impl Kind {
    /// Its name in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Witness => "witness",
            Kind::Canary => "canary",
        }
    }
}

/// The server that a control is valid for.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// The address that replied, such as `192.0.2.1:25`, a socket path, or a name service.
    pub peer: &'a str,
    /// The domain of the account; empty if the server has one table of users for all domains.
    pub scope: &'a str,
}

impl fmt::Display for Server<'_> {
    /// Formats as `192.0.2.1:25` or `192.0.2.1:25 for example.com`, not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            "" => f.write_str(self.peer),
            scope => write!(f, "{} for {scope}", self.peer),
        }
    }
}

/// The reply of a server to a control lookup, with its text for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The account exists.
    Exists(String),
    /// The account does not exist.
    NotFound(String),
    /// No reply, or one that means neither.
    TempFail(String),
}

/// The reason why the result of a server does not count: text for the log and for `explain`, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Arc<str>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of a control and its expiry.
#[derive(Clone, Debug)]
struct ControlResult {
    result: Result<(), Refusal>,
    /// Whether the server gave the wrong reply, and has not passed since.
    failed: bool,
    until: Instant,
}

/// The control of one kind for one server.
#[derive(Debug, Default)]
struct Slot {
    /// Locked during the control lookup.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<ControlResult>>,
}

impl Slot {
    fn last(&self) -> MutexGuard<'_, Option<ControlResult>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result, if it has not expired.
    fn known(&self) -> Option<Result<(), Refusal>> {
        let last = self.last();
        last.as_ref().filter(|verdict| verdict.until > Instant::now()).map(|verdict| verdict.result.clone())
    }

    /// Records a refusal; `failed`: the server gave the wrong reply, rather than no reply. Returns whether it had given
    /// the wrong reply before, and not passed since.
    fn fail(&self, refusal: Refusal, failed: bool, until: Instant) -> bool {
        let mut last = self.last();
        let had_failed = last.as_ref().is_some_and(|before| before.failed);
        *last = Some(ControlResult { result: Err(refusal), failed: failed || had_failed, until });
        had_failed
    }
}

type Slots = HashMap<(Kind, Box<str>, Box<str>), Arc<Slot>>;

/// All controls of one source or database.
#[derive(Debug)]
pub struct Control {
    source: Arc<str>,
    interval: Duration,
    metrics: Arc<Metrics>,
    slots: Mutex<Slots>,
}

impl Control {
    /// Creates the controls of `source`. Each is valid for `interval`, at most a day.
    pub fn new(source: Arc<str>, interval: Duration, metrics: &Arc<Metrics>) -> Self {
        let (interval, metrics) = (interval.min(MAX_INTERVAL), metrics.clone());
        Control { source, interval, metrics, slots: Mutex::default() }
    }

    /// How long a control is valid, and the maximum TTL of a result that depends on it.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Passes the witness control, since `server` found an account.
    pub fn found(&self, server: Server<'_>) {
        self.pass(Kind::Witness, server, &self.slot(Kind::Witness, server));
    }

    /// Checks whether a "not found" of `server` counts. Without a valid control it calls `ask`, which looks
    /// up `witness` at **the same server**.
    pub async fn witness<F>(
        &self,
        server: Server<'_>,
        witness: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<(), Refusal>
    where
        F: Future<Output = Reply>,
    {
        self.control(Kind::Witness, server, async {
            match ask().await {
                Reply::Exists(_) => Ok(()),
                Reply::NotFound(said) => Err((
                    true,
                    format!(
                        "{server} does not find the witness {witness} either ({said}), so it may find no account at \
                         all, and \"not found\" does not count: set witness to an account that exists there"
                    ),
                    said,
                )),
                Reply::TempFail(said) => {
                    Err((false, format!("{server} gave no answer for the witness {witness}: {said}"), said))
                }
            }
        })
        .await
    }

    /// Checks whether an "exists" of `server` counts. Without a valid control it calls `ask` with the local
    /// part of a canary, which looks it up at **the same server**. `remedy` is added to the reason if the server finds it.
    pub async fn canary<F>(
        &self,
        server: Server<'_>,
        remedy: &str,
        ask: impl FnOnce(String) -> F,
    ) -> Result<(), Refusal>
    where
        F: Future<Output = Reply>,
    {
        self.control(Kind::Canary, server, async {
            let name = canary_name().map_err(|why| (false, why.to_owned(), why.to_owned()))?;
            match ask(name).await {
                Reply::NotFound(_) => Ok(()),
                Reply::Exists(said) => Err((
                    true,
                    format!("{server} also accepts an account that does not exist ({said}): {remedy}"),
                    said,
                )),
                Reply::TempFail(said) => Err((
                    false,
                    format!("{server} gave no answer for an account that does not exist: {said}"),
                    said,
                )),
            }
        })
        .await
    }

    /// Returns the valid result, or else that of `asking`. The error of `asking` is: whether the server gave
    /// the wrong reply, the reason, and the reply.
    async fn control(
        &self,
        kind: Kind,
        server: Server<'_>,
        asking: impl Future<Output = Result<(), (bool, String, String)>>,
    ) -> Result<(), Refusal> {
        let slot = self.slot(kind, server);
        if let Some(known) = slot.known() {
            return known;
        }
        // A caller that is dropped releases the lock, and the next one asks.
        let _turn = slot.turn.lock().await;
        if let Some(known) = slot.known() {
            return known;
        }
        let asked = asking.await;
        observe::account::control_asked(
            &self.metrics,
            kind.name(),
            asked.as_ref().map_err(|(failed, ..)| *failed).copied(),
        );
        match asked {
            Ok(()) => {
                self.pass(kind, server, &slot);
                Ok(())
            }
            Err((failed, why, said)) => {
                let refusal = Refusal(why.into());
                let until = Instant::now() + if failed { self.interval } else { self.interval.min(RETRY) };
                let had_failed = slot.fail(refusal.clone(), failed, until);
                if failed && !had_failed {
                    observe::account::control_failed(
                        &self.source,
                        kind.name(),
                        server.peer,
                        server.scope,
                        &said,
                    );
                }
                Err(refusal)
            }
        }
    }

    fn pass(&self, kind: Kind, server: Server<'_>, slot: &Slot) {
        let verdict = ControlResult { result: Ok(()), failed: false, until: Instant::now() + self.interval };
        let before = slot.last().replace(verdict);
        if before.is_some_and(|before| before.failed) {
            observe::account::control_passed(&self.source, kind.name(), server.peer, server.scope);
        }
    }

    fn slot(&self, kind: Kind, server: Server<'_>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, server.peer.into(), server.scope.into());
        if let Some(known) = slots.get(&key) {
            return known.clone();
        }
        if slots.len() >= MAX_CONTROLS {
            // Evict any entry: its control lookup is repeated when needed.
            let any = slots.keys().next().cloned();
            any.and_then(|any| slots.remove(&any));
        }
        slots.entry(key).or_default().clone()
    }
}

/// Returns a random local part that does not exist. It has only letters and digits, so that no alias rule,
/// extension or route changes it. Fails if the system has no random numbers.
pub fn canary_name() -> Result<String, &'static str> {
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
    const HERE: Server<'_> = Server { peer: "192.0.2.1:25", scope: "example.test" };

    fn control() -> Control {
        Control::new("vrfy:test".into(), EVERY, &Arc::default())
    }

    fn reply(says: char) -> Reply {
        match says {
            'e' => Reply::Exists("250 ok".into()),
            'n' => Reply::NotFound("550 5.1.1 no".into()),
            _ => Reply::TempFail("450 4.1.1 later".into()),
        }
    }

    async fn ask(control: &Control, kind: Kind, server: Server<'_>, says: char, sent: &AtomicUsize) -> char {
        let answer = || async {
            sent.fetch_add(1, Ordering::SeqCst);
            reply(says)
        };
        let got = match kind {
            Kind::Witness => control.witness(server, "postmaster@example.test", answer).await,
            Kind::Canary => control.canary(server, "repair it", |_| answer()).await,
        };
        match got {
            Ok(()) => '+',
            Err(why) if why.to_string().contains("gave no answer") => '?',
            Err(_) => '-',
        }
    }

    /// Reply of the server, expected result, control lookups so far, seconds until the next step.
    type Step = (char, char, usize, u64);

    #[tokio::test(start_paused = true)]
    async fn holds_for_the_interval() {
        let canary: &[Step] = &[
            ('n', '+', 1, 299),
            ('e', '+', 1, 2),
            ('e', '-', 2, 299),
            ('n', '-', 2, 2),
            ('n', '+', 3, 301),
            ('t', '?', 4, 9),
            ('n', '?', 4, 2),
            ('n', '+', 5, 0),
        ];
        let witness: &[Step] = &[
            ('e', '+', 1, 299),
            ('n', '+', 1, 2),
            ('n', '-', 2, 299),
            ('e', '-', 2, 2),
            ('e', '+', 3, 301),
            ('t', '?', 4, 9),
            ('e', '?', 4, 2),
            ('e', '+', 5, 0),
        ];
        for (kind, steps) in [(Kind::Canary, canary), (Kind::Witness, witness)] {
            let (control, sent) = (control(), AtomicUsize::new(0));
            for (says, want, count, then) in steps {
                assert_eq!(ask(&control, kind, HERE, *says, &sent).await, *want, "{kind:?} {count} {says}");
                assert_eq!(sent.load(Ordering::SeqCst), *count, "{kind:?} {says}");
                tokio::time::advance(Duration::from_secs(*then)).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn found_account_passes_the_witness() {
        let (control, sent) = (control(), AtomicUsize::new(0));
        control.found(HERE);
        assert_eq!(ask(&control, Kind::Witness, HERE, 'n', &sent).await, '+');
        assert_eq!(sent.load(Ordering::SeqCst), 0, "not asked");
        tokio::time::advance(EVERY).await;
        assert_eq!(ask(&control, Kind::Witness, HERE, 'n', &sent).await, '-');
        // An account that is found ends a failed witness control at once, but does not pass the canary.
        control.found(HERE);
        assert_eq!(ask(&control, Kind::Witness, HERE, 'n', &sent).await, '+');
        assert_eq!(ask(&control, Kind::Canary, HERE, 'e', &sent).await, '-');
    }

    #[tokio::test(start_paused = true)]
    async fn controls_are_per_server_and_scope() {
        let (control, sent) = (control(), AtomicUsize::new(0));
        let others = [
            Server { peer: "192.0.2.2:25", ..HERE },
            Server { scope: "other.test", ..HERE },
            Server { scope: "", ..HERE },
        ];
        control.found(HERE);
        assert_eq!(ask(&control, Kind::Canary, HERE, 'n', &sent).await, '+');
        for other in others {
            assert_eq!(ask(&control, Kind::Witness, other, 'n', &sent).await, '-', "{other}");
            assert_eq!(ask(&control, Kind::Canary, other, 'e', &sent).await, '-', "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_control_lookup() {
        let (control, sent) = (Arc::new(control()), Arc::new(AtomicUsize::new(0)));
        let asker = |patience: u64| {
            let (control, sent) = (control.clone(), sent.clone());
            tokio::spawn(async move {
                let asked = control.canary(HERE, "repair it", |_| async move {
                    sent.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    reply('n')
                });
                tokio::time::timeout(Duration::from_secs(patience), asked).await.ok()
            })
        };
        let hasty = asker(1);
        tokio::task::yield_now().await;
        let patient: Vec<_> = (0..10).map(|_| asker(60)).collect();
        assert_eq!(hasty.await.unwrap(), None);
        for asker in patient {
            assert_eq!(asker.await.unwrap(), Some(Ok(())));
        }
        assert_eq!(sent.load(Ordering::SeqCst), 2);
    }

    /// Captures the log of this thread until the guard is dropped.
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
    async fn logs_a_failed_control_once() {
        let (text, _guard) = logged();
        let (control, sent) = (control(), AtomicUsize::new(0));
        // No reply in between neither ends the failure nor begins another one.
        for says in ['e', 'e', 't', 'e', 't', 'n', 'n', 't', 'n', 'e'] {
            for _ in 0..3 {
                ask(&control, Kind::Canary, HERE, says, &sent).await;
            }
            tokio::time::advance(EVERY).await;
        }
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        let levels: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(levels, ["ERROR", "INFO", "ERROR"], "{text}");
        for part in ["source=vrfy:test", "server=192.0.2.1:25", "domain=example.test", "reply=\"250 ok\""] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[tokio::test]
    async fn limits_the_number_of_controls() {
        let control = control();
        for i in 0..MAX_CONTROLS * 2 {
            control.found(Server { peer: "192.0.2.1:25", scope: &format!("{i}.test") });
        }
        assert_eq!(control.slots.lock().unwrap().len(), MAX_CONTROLS);
    }

    #[test]
    fn canary_names_are_random_letters_and_digits() {
        let names: HashSet<_> = (0..1000).map(|_| canary_name().unwrap()).collect();
        assert_eq!(names.len(), 1000);
        for name in names {
            assert!(
                name.len() == LETTERS && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            );
        }
    }
}
