//! Tests the choice of servers, retries and timeouts, with simulated servers and a paused clock.

use super::pool::{Driver, Failure, Server};
use super::query::Statement;
use super::*;
use crate::net::back_off::BACKOFF;
use crate::observe::Metrics;
use crate::observe::outage::Servers;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;
use tokio::time::{advance, sleep};

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Up,
    /// Connections are refused.
    Down,
    /// New connections are refused, and existing ones work.
    Full,
    /// Like `Full`, but refusing takes 1.5 s.
    FullAndSlow,
    /// The server never replies.
    Silent,
    /// Existing and new connections break.
    Breaking,
}

#[derive(Debug)]
struct World {
    mood: Mutex<Mood>,
    /// Number of connections opened, and of attempts.
    made: AtomicUsize,
    tried: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    asked: AtomicUsize,
    /// Number of requests to cancel a query.
    ended: AtomicUsize,
    /// The counters of a table whose first server this is.
    metrics: Arc<Metrics>,
}

impl World {
    fn new(mood: Mood) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(World {
            mood: Mutex::new(mood),
            made: zero(),
            tried: zero(),
            open: zero(),
            most_open: zero(),
            asked: zero(),
            ended: zero(),
            metrics: Arc::default(),
        })
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    fn counts(&self) -> (usize, usize, usize) {
        (self.made.load(Relaxed), self.tried.load(Relaxed), self.open.load(Relaxed))
    }
}

struct Fake(Arc<World>);

/// A connection, which may have broken since it was opened.
struct Wire {
    world: Arc<World>,
    broken: bool,
    end: Arc<Notify>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.world.open.fetch_sub(1, Relaxed);
    }
}

impl Driver for Fake {
    type Connection = Wire;
    type Stop = (Arc<World>, Arc<Notify>);

    fn peer(_: &Wire) -> Arc<str> {
        "db".into()
    }

    fn stop(wire: &Wire) -> Self::Stop {
        (Arc::clone(&wire.world), Arc::clone(&wire.end))
    }

    async fn end((world, end): &Self::Stop) {
        world.ended.fetch_add(1, Relaxed);
        end.notify_waiters();
    }

    async fn connect(&self) -> Result<Wire, String> {
        self.0.tried.fetch_add(1, Relaxed);
        match self.0.mood() {
            Mood::Up | Mood::Breaking => (),
            Mood::Down | Mood::Full => return Err("refused".into()),
            Mood::FullAndSlow => {
                sleep(Duration::from_millis(1500)).await;
                return Err("refused".into());
            }
            Mood::Silent => pending().await,
        }
        self.0.made.fetch_add(1, Relaxed);
        let open = self.0.open.fetch_add(1, Relaxed) + 1;
        self.0.most_open.fetch_max(open, Relaxed);
        Ok(Wire { world: Arc::clone(&self.0), broken: false, end: Arc::default() })
    }

    async fn is_current(&self, _: &mut Wire) -> bool {
        true
    }

    async fn ask<'c>(
        wire: &'c mut Wire,
        _: &'c Statement,
        key: &'c str,
        _: &'c [&'c str],
    ) -> Result<Lookup<String>, Failure> {
        wire.world.asked.fetch_add(1, Relaxed);
        match (wire.world.mood(), key) {
            (Mood::Silent, _) => pending().await,
            (Mood::Breaking | Mood::Down, _) => Err(Failure::Broken("broken".into())),
            // Breaks on any connection that has been used before.
            (_, "stale") if std::mem::replace(&mut wire.broken, true) => Err(Failure::Broken("stale".into())),
            (_, "refused") => Err(Failure::Refused("no such table".into())),
            (_, "spoiled") => Err(Failure::Spoiled("too much".into())),
            (_, "slow") => {
                tokio::select! {
                    () = sleep(Duration::from_secs(1)) => Ok(Lookup::Found("slow".into())),
                    () = wire.end.notified() => Err(Failure::Refused("ended".into())),
                }
            }
            // The server ignores requests to cancel it.
            (_, "stubborn") => {
                sleep(Duration::from_secs(8)).await;
                Ok(Lookup::Found("stubborn".into()))
            }
            _ => {
                wire.broken = true;
                Ok(Lookup::Found("value".into()))
            }
        }
    }
}

fn settings() -> DatabaseSettings {
    DatabaseSettings { connections: 2, ..DatabaseSettings::new("users", Kind::Postgresql) }
}

/// A table on these servers, with two connections each, 2 s to connect and 5 s for a lookup.
fn table(worlds: &[&Arc<World>]) -> Arc<SqlTable<Fake>> {
    let witness = Arc::new(Witness::new(&settings(), &worlds[0].metrics));
    let server = |(at, world): (usize, &&Arc<World>)| {
        let (fake, limit) = (Fake(Arc::clone(world)), Duration::from_secs(2));
        Arc::new(Server::new(format!("db{at}"), fake, 2, limit, witness.clone()))
    };
    let database = Arc::new(Shared {
        case_sensitive: false,
        name: "users".into(),
        kind: Kind::Postgresql,
        servers: worlds.iter().enumerate().map(server).collect(),
        witness: witness.clone(),
        deadline: Duration::from_secs(5),
        outages: Servers::of("database:users", &worlds[0].metrics),
    });
    let query = Query::Columns { table: "t".into(), key: "k".into(), value: None, reason: None };
    Arc::new(SqlTable { database, statement: Arc::new(Statement::new(Kind::Postgresql, &query).unwrap()) })
}

/// The servers that fail while others reply, in a table whose first server is `world`.
fn failing(world: &World) -> Vec<Box<str>> {
    let of_it = world.metrics.source_states().into_iter().filter(|one| one.failing.is_some());
    of_it.map(|one| one.server).collect()
}

fn value() -> Lookup<String> {
    Lookup::Found("value".into())
}

fn why(answer: Lookup<String>) -> String {
    match answer {
        Lookup::TempFail(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn unreachable_server_is_tried_last_for_a_while() {
    for mood in [Mood::Down, Mood::Silent] {
        let (first, second) = (World::new(mood), World::new(Mood::Up));
        let table = table(&[&first, &second]);
        for _ in 0..5 {
            assert_eq!(table.look_up("k").await, value());
        }
        assert_eq!((first.counts(), second.counts()), ((0, 1, 0), (1, 1, 1)), "{mood:?}");
        assert_eq!(failing(&first), [Box::from("db0")]);
        // Then one caller tries it again, and the others use the second server.
        advance(BACKOFF).await;
        let both = tokio::join!(table.look_up("k"), table.look_up("k"), table.look_up("k"));
        assert_eq!(both, (value(), value(), value()));
        assert_eq!(first.counts().1, 2, "{mood:?}");
        // When the server is up again, it is the first again.
        first.is(Mood::Up);
        advance(BACKOFF).await;
        let before = second.asked.load(Relaxed);
        for _ in 0..5 {
            assert_eq!(table.look_up("k").await, value());
        }
        assert_eq!((first.counts().0, second.asked.load(Relaxed)), (1, before), "{mood:?}");
        assert!(failing(&first).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn tries_all_servers_if_all_failed_recently() {
    let (first, second) = (World::new(Mood::Down), World::new(Mood::Silent));
    let table = table(&[&first, &second]);
    for round in 1..4 {
        let want = "database users: db0: refused; db1: no connection within 2s";
        assert_eq!(why(table.look_up("k").await), want);
        assert_eq!((first.counts().1, second.counts().1), (round, round));
    }
    // A server that is up again replies at once, although both failed recently.
    second.is(Mood::Up);
    assert_eq!(table.look_up("k").await, value());
}

/// Callers do not wait for a timeout one after the other.
#[tokio::test(start_paused = true)]
async fn waiting_callers_share_a_failed_connection() {
    let world = World::new(Mood::Silent);
    let table = table(&[&world]);
    let begin = Instant::now();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let table = Arc::clone(&table);
            tokio::spawn(async move { why(table.look_up("k").await) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "database users: db0: no connection within 2s");
    }
    assert_eq!(world.counts().1, 2);
    assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn replaces_a_broken_connection_once() {
    let (first, second) = (World::new(Mood::Up), World::new(Mood::Up));
    let table = table(&[&first, &second]);
    let many = || async { tokio::join!(table.look_up("slow"), table.look_up("k")) };
    assert_eq!(many().await, (Lookup::Found("slow".into()), value()));
    assert_eq!(first.counts(), (2, 2, 2));
    // One connection is stale, so all count as stale.
    assert_eq!(table.look_up("k").await, value());
    assert_eq!(table.look_up("stale").await, value());
    assert_eq!(first.counts(), (3, 3, 1));
    // A query that breaks again is not retried on any server: the query may be the cause.
    first.is(Mood::Breaking);
    assert_eq!(why(table.look_up("k").await), "database users: db0: broken");
    assert_eq!((first.counts(), second.counts().1), ((4, 4, 0), 0));
    // If it broke because the server was restarted, the next query succeeds.
    first.is(Mood::Up);
    assert_eq!(table.look_up("k").await, value());
    first.is(Mood::Down);
    assert_eq!(table.look_up("k").await, value());
    assert_eq!(second.counts(), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn does_not_retry_a_rejected_query() {
    let (first, second) = (World::new(Mood::Up), World::new(Mood::Up));
    let table = table(&[&first, &second]);
    assert_eq!(why(table.look_up("refused").await), "database users: db0: no such table");
    assert_eq!((first.asked.load(Relaxed), first.counts()), (1, (1, 1, 1)));
    // If the result was not read completely, the connection is closed.
    assert_eq!(why(table.look_up("spoiled").await), "database users: db0: too much");
    assert_eq!((first.asked.load(Relaxed), first.counts()), (2, (1, 1, 0)));
    assert_eq!(second.counts().1, 0);
}

#[tokio::test(start_paused = true)]
async fn hanging_server_costs_one_timeout() {
    let (first, second) = (World::new(Mood::Up), World::new(Mood::Up));
    let table = table(&[&first, &second]);
    assert_eq!(table.look_up("k").await, value());
    first.is(Mood::Silent);
    let begin = Instant::now();
    assert_eq!(why(table.look_up("k").await), "database users: db0: no answer within 5s");
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert_eq!(table.look_up("k").await, value());
    assert_eq!(begin.elapsed().as_secs(), 7);
    // The server may still work on the query. After a while it is considered down.
    assert_eq!(first.counts().2, 1);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(first.counts().2, 0);
}

#[tokio::test(start_paused = true)]
async fn abandoned_query_counts_until_it_has_ended() {
    // key, seconds until the connection is free again, number of requests to cancel it
    for (key, freed, told) in [("slow", 0, 2..=2), ("stubborn", 7, 12..=16)] {
        let world = World::new(Mood::Up);
        let table = table(&[&world]);
        let given_up: Vec<_> = (0..2)
            .map(|_| {
                let table = Arc::clone(&table);
                tokio::spawn(async move {
                    let asked = tokio::time::timeout(Duration::from_millis(500), table.look_up(key)).await;
                    assert!(asked.is_err());
                })
            })
            .collect();
        for asked in given_up {
            asked.await.unwrap();
        }
        let begin = Instant::now();
        // Other callers wait, and fail if their timeout comes first.
        while table.look_up("k").await != value() {
            assert_eq!(world.counts().2, 2, "{key}");
        }
        assert_eq!(begin.elapsed().as_secs(), freed, "{key}");
        assert_eq!(world.most_open.load(Relaxed), 2, "{key}");
        assert!(told.contains(&world.ended.load(Relaxed)), "{key}: {}", world.ended.load(Relaxed));
        // Its connection is not used again: the request to cancel the query may arrive late.
        assert_eq!(world.counts().0, 3, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn full_server_is_used_over_open_connections() {
    let world = World::new(Mood::Up);
    let table = table(&[&world]);
    assert_eq!(table.look_up("k").await, value());
    world.is(Mood::Full);
    let both = tokio::join!(table.look_up("slow"), table.look_up("k"), table.look_up("slow"));
    let slow = Lookup::Found("slow".into());
    assert_eq!(both, (slow.clone(), value(), slow));
    assert_eq!(world.counts().0, 1);
    // The only connection is returned before the new one is refused.
    world.is(Mood::FullAndSlow);
    assert_eq!(
        tokio::join!(table.look_up("slow"), table.look_up("k")),
        (Lookup::Found("slow".into()), value())
    );
    world.is(Mood::Full);
    // Without an open connection there is none to wait for.
    table.database.servers[0].discard_connections();
    assert_eq!(why(table.look_up("k").await), "database users: db0: refused");
}

#[tokio::test(start_paused = true)]
async fn limits_connections() {
    let world = World::new(Mood::Up);
    let table = table(&[&world]);
    let ask = || {
        let table = Arc::clone(&table);
        tokio::spawn(async move { table.look_up("slow").await })
    };
    // Eight queries fit into four seconds; of twelve, the last two time out.
    let answers: Vec<_> = (0..12).map(|_| ask()).collect();
    let mut found = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Lookup::Found(_) => found += 1,
            other => assert!(why(other).contains("within 5s")),
        }
    }
    assert!((8..=10).contains(&found), "{found}");
    assert_eq!(world.most_open.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn dropped_query_closes_its_connection() {
    let world = World::new(Mood::Up);
    let table = table(&[&world]);
    for _ in 0..5 {
        let asked = tokio::time::timeout(Duration::from_millis(500), table.look_up("slow")).await;
        assert!(asked.is_err());
        // The server cancels the query on request.
        sleep(Duration::from_millis(1)).await;
        assert_eq!(world.counts().2, 0);
    }
    assert_eq!(table.look_up("k").await, value());
    assert_eq!(world.counts(), (6, 6, 1));
}

#[tokio::test(start_paused = true)]
async fn closes_idle_and_old_connections() {
    let world = World::new(Mood::Up);
    let table = table(&[&world]);
    let both = tokio::join!(table.look_up("slow"), table.look_up("slow"));
    assert!(matches!(both, (Lookup::Found(_), Lookup::Found(_))));
    assert_eq!(world.counts().2, 2);
    // One connection is enough from now on, so the other stays idle.
    for _ in 0..20 {
        assert_eq!(table.look_up("k").await, value());
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(world.counts(), (2, 2, 1));
    sleep(Duration::from_mins(2)).await;
    assert_eq!(world.counts(), (2, 2, 0));
    // Even a busy connection is closed at its maximum age.
    for _ in 0..400 {
        assert_eq!(table.look_up("k").await, value());
        sleep(Duration::from_secs(10)).await;
    }
    assert!((14..18).contains(&world.counts().0), "{:?}", world.counts());
}
