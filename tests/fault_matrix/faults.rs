//! The faults, and the results of a source during each fault.

use super::fixtures;
use super::relay::{Relay, RelayMode};
use super::rows::{ACCOUNTS, Failure, Site, Tls};
use mail_address::Address;
use rcptd::account::{Lookup, Sources};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Deadline of lookups that must get an answer, also on a busy machine.
pub const PATIENT: Duration = Duration::from_secs(20);
/// Deadline of lookups that get no answer.
pub const SHORT: Duration = Duration::from_millis(1200);
/// Deadline for a client that does not notice the end of a connection in the handshake.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// Longest wait for the end of a fault.
pub const WAIT: Duration = Duration::from_mins(1);

pub const FOUND: &str = ACCOUNTS[0];
pub const ABSENT: &str = "nobody@example.test";

/// Octets that are invalid in each of the protocols.
const GARBAGE: [&[u8]; 3] = [&[0; 64], &[0xff; 64], b"HTTP/1.1 400 Bad Request\r\n\r\n"];

/// The words of the table.
pub const RIGHT: &str = "right";
pub const TEMPORARY: &str = "temporary";
pub const EITHER: &str = "right or temporary";

pub const RESTART: &str = "restart under load";
pub const EMPTY: &str = "all accounts lost";

type Done<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Run = for<'a> fn(&'a mut Cell<'_>) -> Done<'a>;

/// The faults of connections, in the order of the table.
pub const FAULTS: &[(&str, Run)] = &[
    ("none", |cell| Box::pin(cell.under(PATIENT, RelayMode::Pass))),
    ("temporary failure reported", |cell| Box::pin(cell.answered(Failure::Temporary, PATIENT))),
    ("permanent error reported", |cell| Box::pin(cell.answered(Failure::Permanent, PATIENT))),
    ("garbage", |cell| Box::pin(cell.garbage())),
    ("no answer in time", |cell| Box::pin(cell.under(SHORT, RelayMode::Hold))),
    ("octet by octet", |cell| Box::pin(cell.under(SHORT, RelayMode::Drip(SHORT)))),
    ("hang-up before the answer", |cell| Box::pin(cell.under(PATIENT, RelayMode::Cut(0)))),
    ("hang-up in the answer", |cell| Box::pin(cell.cut())),
    ("hang-up after the answer", |cell| Box::pin(cell.hang_up())),
    ("connection refused", |cell| Box::pin(cell.under(PATIENT, RelayMode::Down))),
    ("TLS fails", |cell| Box::pin(cell.tls())),
];

/// The result of a source during a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observed {
    Right,
    TempFail,
    /// An account that exists is not found.
    Lost,
    /// An account that does not exist is found.
    Invented,
}

pub async fn ask(sources: &Sources, account: &str) -> Observed {
    let result = sources.composed.look_up(&Address::from_rcpt(account.as_bytes())).await.result;
    match (result, account == ABSENT) {
        (Lookup::Found(()), false) | (Lookup::NotFound, true) => Observed::Right,
        (Lookup::TempFail(_), _) => Observed::TempFail,
        (Lookup::NotFound, false) => Observed::Lost,
        (Lookup::Found(()), true) => Observed::Invented,
    }
}

/// Looks up both accounts until both results are right.
pub async fn recovers(sources: &Sources, when: &str) {
    let begun = Instant::now();
    for account in [FOUND, ABSENT] {
        loop {
            let observed = ask(sources, account).await;
            if observed == Observed::Right {
                break;
            }
            assert_eq!(observed, Observed::TempFail, "{when}: {account}");
            assert!(begun.elapsed() < WAIT, "{when}: it does not recover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub fn described(observed: &BTreeSet<Observed>, when: &str) -> String {
    match observed.iter().collect::<Vec<_>>()[..] {
        [] => "–",
        [Observed::Right] => RIGHT,
        [Observed::TempFail] => TEMPORARY,
        [Observed::Right, Observed::TempFail] => EITHER,
        _ => panic!("{when}: {observed:?}"),
    }
    .into()
}

/// A fault of a source, and the results so far.
pub struct Cell<'a> {
    site: &'a dyn Site,
    name: String,
    observed: BTreeSet<Observed>,
    folder: TempDir,
}

impl<'a> Cell<'a> {
    pub fn new(site: &'a dyn Site, fault: &str) -> Self {
        let name = format!("{}, {fault}", site.name());
        Cell { site, name, observed: BTreeSet::new(), folder: TempDir::with_prefix("rcptd-cell-").unwrap() }
    }

    /// Runs a fault in a runtime of its own, in which no task is left.
    pub fn run(mut self, run: Run) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            run(&mut self).await;
            no_task_is_left(&self.name).await;
        });
        described(&self.observed, &self.name)
    }

    fn relay(&self, tls: Tls) -> Relay {
        let socket = self.site.is_at_socket().then(|| self.folder.path().join("socket"));
        Relay::start(fixtures().handle(), socket, self.site.place(tls))
    }

    async fn ask_both(&mut self, sources: &Sources) {
        for account in [FOUND, ABSENT] {
            self.observed.insert(ask(sources, account).await);
        }
    }

    /// Asks while the relay has this mode: first over a connection that was used before, then over a new one. Checks
    /// that the source recovers after the fault.
    async fn under(&mut self, deadline: Duration, mode: RelayMode) {
        let relay = self.relay(Tls::Off);
        let sources = self.site.open(relay.host(), deadline, Tls::Off).build().await;
        recovers(&sources, &self.name).await;
        relay.set(mode.clone()).await;
        self.ask_both(&sources).await;
        relay.set(RelayMode::Pass).await;
        recovers(&sources, &self.name).await;
        drop(sources);
        self.closes(&relay).await;
        self.connecting(&relay, deadline, Tls::Off, mode).await;
    }

    /// Asks over new connections while the relay has this mode. Checks that the source recovers after the fault.
    async fn connecting(&mut self, relay: &Relay, deadline: Duration, tls: Tls, mode: RelayMode) {
        relay.set(mode).await;
        let sources = self.site.open(relay.host(), deadline, tls).build().await;
        self.ask_both(&sources).await;
        relay.set(RelayMode::Pass).await;
        recovers(&sources, &self.name).await;
        drop(sources);
        self.closes(relay).await;
    }

    async fn answered(&mut self, failure: Failure, deadline: Duration) {
        let fail = self.site.fail();
        self.under(deadline, RelayMode::Answer(Arc::new(move |request| fail(request, failure)))).await;
    }

    async fn garbage(&mut self) {
        for octets in GARBAGE {
            self.answered(Failure::Garbage(octets), SHORT).await;
        }
    }

    /// Closes the connection after the first octet of the answer, in its middle, and before its last octet.
    async fn cut(&mut self) {
        let relay = self.relay(Tls::Off);
        let sources = self.site.open(relay.host(), PATIENT, Tls::Off).build().await;
        for account in [FOUND, ABSENT] {
            recovers(&sources, &self.name).await;
            relay.set(RelayMode::Pass).await;
            assert_eq!(ask(&sources, account).await, Observed::Right, "{}", self.name);
            let length = relay.passed();
            for after in [1, length / 2, length - 1] {
                recovers(&sources, &self.name).await;
                relay.set(RelayMode::Cut(after)).await;
                self.observed.insert(ask(&sources, account).await);
                relay.set(RelayMode::Pass).await;
            }
        }
        recovers(&sources, &self.name).await;
        drop(sources);
        self.closes(&relay).await;
    }

    async fn hang_up(&mut self) {
        let relay = self.relay(Tls::Off);
        let sources = self.site.open(relay.host(), PATIENT, Tls::Off).build().await;
        recovers(&sources, &self.name).await;
        for _ in 0..3 {
            for account in [FOUND, ABSENT] {
                relay.hang_up().await;
                self.observed.insert(ask(&sources, account).await);
            }
        }
        recovers(&sources, &self.name).await;
        drop(sources);
        self.closes(&relay).await;
    }

    /// A certificate of another authority, and a close in the middle of the handshake.
    async fn tls(&mut self) {
        if !self.site.has_tls() {
            return;
        }
        let relay = self.relay(Tls::On);
        for after in [0, 1, 600] {
            self.connecting(&relay, HANDSHAKE, Tls::On, RelayMode::Cut(after)).await;
        }
        let relay = self.relay(Tls::OtherAuthority);
        let sources = self.site.open(relay.host(), PATIENT, Tls::OtherAuthority).build().await;
        self.ask_both(&sources).await;
        drop(sources);
        self.closes(&relay).await;
    }

    /// Waits until no connection is left, after the source was dropped.
    async fn closes(&self, relay: &Relay) {
        if self.site.lingers() {
            relay.hang_up().await;
        }
        let begun = Instant::now();
        while relay.open() > 0 {
            assert!(begun.elapsed() < WAIT, "{}: {} connections are left", self.name, relay.open());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub async fn no_task_is_left(when: &str) {
    let begun = Instant::now();
    while Handle::current().metrics().num_alive_tasks() > 0 {
        let left = Handle::current().metrics().num_alive_tasks();
        assert!(begun.elapsed() < WAIT, "{when}: {left} tasks are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Number of callers during a restart.
const CALLERS: usize = 8;
/// Restarts under load.
const RESTARTS: usize = 2;

/// Restarts the server while callers make lookups. Each result is right or a temporary failure.
pub fn restart(site: &mut dyn Site) -> String {
    let name = format!("{}, {RESTART}", site.name());
    let folder = TempDir::with_prefix("rcptd-cell-").unwrap();
    let socket = site.is_at_socket().then(|| folder.path().join("socket"));
    let relay = Relay::start(fixtures().handle(), socket, site.place(Tls::Off));
    let opened = site.open(relay.host(), PATIENT, Tls::Off);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sources = Arc::new(runtime.block_on(opened.build()));
    drop(opened);
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (sources, is_over, name) = (sources.clone(), is_over.clone(), name.clone());
            runtime.spawn(async move {
                while !is_over.load(SeqCst) {
                    for account in [FOUND, ABSENT] {
                        let observed = ask(&sources, account).await;
                        assert!(
                            matches!(observed, Observed::Right | Observed::TempFail),
                            "{name}: {account} {observed:?}"
                        );
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            })
        })
        .collect();
    for _ in 0..RESTARTS {
        runtime.block_on(recovers(&sources, &name));
        if !site.restart() {
            runtime.block_on(relay.hang_up());
        }
    }
    runtime.block_on(recovers(&sources, &name));
    is_over.store(true, SeqCst);
    runtime.block_on(async {
        for caller in callers {
            caller.await.unwrap();
        }
        drop(sources);
        no_task_is_left(&name).await;
    });
    EITHER.into()
}

/// Asks a server that has lost its accounts, as after a restore from a bad backup.
pub fn empty(site: &mut dyn Site) -> String {
    site.empty();
    let mut cell = Cell::new(site, EMPTY);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let relay = cell.relay(Tls::Off);
        let sources = site.open(relay.host(), PATIENT, Tls::Off).build().await;
        for account in [FOUND, ABSENT] {
            cell.observed.insert(ask(&sources, account).await);
        }
        drop(sources);
        cell.closes(&relay).await;
        no_task_is_left(&cell.name).await;
    });
    described(&cell.observed, &cell.name)
}
