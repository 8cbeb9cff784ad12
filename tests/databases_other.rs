//! Tables kept elsewhere that are not SQL, with real servers where there are any: Redis, OpenLDAP, files of
//! LMDB, and servers of tcp_table and socketmap.
//!
//! The packages of Debian that this needs: redis-server, slapd, lmdb-utils.

#![cfg(all(feature = "redis", feature = "ldap", feature = "lmdb"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "common/programs.rs"]
mod programs;
#[path = "common/stores.rs"]
mod stores;

#[path = "databases_other/ldap.rs"]
mod ldap;
#[path = "databases_other/ldap_doubt.rs"]
mod ldap_doubt;
#[path = "databases_other/lmdb.rs"]
mod lmdb;
#[path = "databases_other/redis.rs"]
mod redis;
#[path = "databases_other/redis_cluster.rs"]
mod redis_cluster;
#[path = "databases_other/redis_sentinel.rs"]
mod redis_sentinel;
#[path = "databases_other/remote.rs"]
mod remote;

use rcptd::map::settings::{DatabaseSettings, Kind, Password};
use rcptd::map::{Lookup, Table};
use rcptd::net::host::Host;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stores::{Fake, Served, free_port};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Longer than any answer takes on a busy machine, and short enough for tests that wait for it.
const DEADLINE: Duration = Duration::from_secs(3);

fn folder() -> TempDir {
    TempDir::with_prefix("rcptd-stores-").unwrap()
}

fn inet(port: u16) -> Host {
    Host::Inet("127.0.0.1".into(), port)
}

fn settings(kind: Kind, hosts: &[Host]) -> DatabaseSettings {
    DatabaseSettings {
        hosts: hosts.to_vec(),
        connections: 4,
        connect_timeout: Duration::from_secs(1),
        deadline: DEADLINE,
        ..DatabaseSettings::new("users", kind)
    }
}

fn with_password(mut settings: DatabaseSettings, user: Option<&str>, password: &str) -> DatabaseSettings {
    settings.user = user.map(str::to_owned);
    settings.password = Some(Password::new(password));
    settings
}

fn with_tls(mut settings: DatabaseSettings, ca: &Path) -> DatabaseSettings {
    settings.tls = true;
    settings.tls_ca = Some(ca.into());
    settings
}

/// What a case expects: a value, nothing, or a reason in which these words stand.
#[derive(Clone, Copy, Debug)]
enum Want<'w> {
    Found(&'w str),
    NotFound,
    Unknown(&'w str),
}

/// Asks, and compares.
async fn expect(table: &Table, key: &str, want: Want<'_>) {
    let begun = Instant::now();
    let answer = table.look_up(key).await;
    let is_right = match (&answer, want) {
        (Lookup::Found(value), Want::Found(want)) => value == want,
        (Lookup::NotFound, Want::NotFound) => true,
        (Lookup::TempFail(why), Want::Unknown(want)) => why.to_string().contains(want),
        _ => false,
    };
    assert!(is_right, "{key:?}: {answer:?}, and not {want:?}");
    // All deadlines here are shorter.
    assert!(begun.elapsed() < Duration::from_secs(8), "{key:?} took {:?}", begun.elapsed());
}

/// Looks up keys again and again while a test changes the servers.
struct Asker {
    /// Keys found, and temporary failures.
    counts: Arc<[AtomicUsize; 2]>,
    task: JoinHandle<()>,
}

impl Asker {
    /// The values of `present` must be found or fail temporarily, `absent` must never be found.
    fn new(table: &Arc<Table>, present: Vec<(String, String)>, absent: &str) -> Self {
        let (table, absent) = (table.clone(), absent.to_owned());
        let counts: Arc<[AtomicUsize; 2]> = Arc::default();
        let counted = counts.clone();
        let task = tokio::spawn(async move {
            for (key, value) in present.iter().cycle() {
                let count = match table.look_up(key).await {
                    Lookup::Found(found) if found == *value => &counted[0],
                    Lookup::TempFail(_) => &counted[1],
                    answer => panic!("{key}: {answer:?}"),
                };
                count.fetch_add(1, Ordering::SeqCst);
                let nobody = table.look_up(&absent).await;
                assert!(!matches!(nobody, Lookup::Found(_)), "{nobody:?}");
            }
        });
        Asker { counts, task }
    }

    fn counts(&self) -> (usize, usize) {
        (self.counts[0].load(Ordering::SeqCst), self.counts[1].load(Ordering::SeqCst))
    }

    /// Waits until `more` further keys were found.
    async fn finds(&self, more: usize) {
        let want = self.counts().0 + more;
        until("keys are found", || self.task.is_finished() || self.counts().0 >= want).await;
        assert!(!self.task.is_finished(), "it has failed");
    }

    /// Ends, and returns the keys found and the temporary failures.
    async fn end(self) -> (usize, usize) {
        self.task.abort();
        if let Err(error) = self.task.await {
            assert!(error.is_cancelled(), "{error}");
        }
        (self.counts[0].load(Ordering::SeqCst), self.counts[1].load(Ordering::SeqCst))
    }
}

/// Longest wait of [`until`]. A Sentinel that finds its clock late, as on a busy machine, does nothing for 30 s, and may
/// do so repeatedly.
const UNTIL: Duration = Duration::from_mins(4);

/// Waits until `is_so` returns true.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < UNTIL, "not within {UNTIL:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens a table for a list of hosts.
type Open = fn(&[Host]) -> Arc<Table>;

/// A server that restarts, as the only host or after one that is down or silent, and that hangs in the end.
/// `start` returns when it serves `key` again. The tables of `kinds` differ in how
/// they connect; the first one is tried in all ways.
async fn restarts_and_other_hosts(
    mut server: Served,
    start: fn(&mut Served),
    kinds: &[Open],
    (key, value): (&str, Want<'_>),
) {
    let silent = Fake::silent();
    let own = || inet(server.port);
    let alone = kinds[0](&[own()]);
    let behind_down = kinds[0](&[inet(free_port()), own()]);
    let behind_silent: Vec<_> = kinds.iter().map(|open| open(&[inet(silent.port), own()])).collect();
    for _ in 0..2 {
        expect(&*alone, key, value).await;
        expect(&*behind_down, key, value).await;
        for table in &behind_silent {
            expect(&**table, key, value).await;
        }
        server.stop();
        expect(&*alone, key, Want::Unknown("onnection refused")).await;
        expect(&*alone, "nobody", Want::Unknown("onnection refused")).await;
        expect(&*behind_down, key, Want::Unknown("onnection refused")).await;
        start(&mut server);
        expect(&*alone, "nobody", Want::NotFound).await;
        expect(&*behind_down, key, value).await;
        // Restarted between two questions.
        server.stop();
        start(&mut server);
    }
    assert_eq!(silent.connections(), kinds.len(), "it is tried last");
    expect(&*alone, key, value).await;
    // Now the server hangs, with its connections open.
    server.signal("STOP");
    // The signal reaches a busy thread later than its sender goes on.
    tokio::time::sleep(Duration::from_millis(300)).await;
    expect(&*alone, key, Want::Unknown("no answer within 3s")).await;
    expect(&*alone, key, Want::Unknown("no connection within 1s")).await;
    // Callers that wait for their turn to connect take over the failure of those before them.
    let begun = Instant::now();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let alone = alone.clone();
            tokio::spawn(async move {
                expect(&*alone, "nobody", Want::Unknown("no connection within 1s")).await;
            })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    server.signal("CONT");
    expect(&*alone, key, value).await;
}
