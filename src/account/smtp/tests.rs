//! Tests the choice of servers. `tests/account_smtp.rs` tests the dialogue.

use super::super::Source;
use super::super::settings::{CacheSettings, Settings, SourceSettings, Trust, Witness};
use super::super::testing::account;
use super::testing::Table;
use super::*;
use crate::lookup::Answer;
use crate::lookup::control;
use crate::map::served::Maps;
use crate::observe::Metrics;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Starts a server that sends this greeting, counts connections, and replies "not found" for every account.
async fn serve(address: &str, port: u16, greeting: &'static str) -> (u16, Arc<AtomicUsize>) {
    serve_with(address, port, greeting, |_| "550 5.1.1 no").await
}

/// Starts a server with these replies to VRFY, given its argument.
async fn serve_with(
    address: &str,
    port: u16,
    greeting: &'static str,
    replies: impl Fn(&str) -> &'static str + Clone + Send + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let replies = replies.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(greeting.as_bytes()).await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let reply = line.strip_prefix("VRFY ").map_or("250 ok", &replies);
                    write.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    (port, connections)
}

fn built(source: &SourceSettings, names: Arc<dyn Dns>, metrics: &Arc<Metrics>) -> SmtpSource {
    let settings = Settings::new(vec![], CacheSettings::default());
    let (name, cases, maps) = (source.spec.name(), &false.into(), &Maps::new());
    let context = BuildContext { name, source, settings: &settings, cases, maps, metrics };
    let target = Target::parse(source.spec.name().strip_prefix("vrfy:").unwrap(), Some(25)).unwrap();
    open(Protocol::Vrfy, &target, context, Some(names)).unwrap()
}

async fn ask(spec: &str, table: Table) -> String {
    let source =
        SourceSettings { witness: Witness::Off.into(), ..SourceSettings::new(spec.parse().unwrap()) };
    let source = built(&source, Arc::new(table), &Arc::default());
    source.look_up(&account("foo@example.test")).await.result.to_string()
}

#[tokio::test]
async fn tries_hosts_and_addresses_in_order() {
    let (port, second) = serve("127.0.0.3", 0, "220 hi\r\n").await;
    let (_, full) = serve("127.0.0.2", port, "421 4.7.0 too many connections\r\n").await;
    let (_, last) = serve("127.0.0.4", port, "220 hi\r\n").await;
    // No server listens on 127.0.0.1.
    let table = Table::new()
        .mx("example.test", &[(20, "last.test"), (10, "first.test"), (5, "gone.test"), (7, "empty.test")])
        .host("empty.test", &[])
        .host("first.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        .host("last.test", &["127.0.0.4"]);
    let source = format!("vrfy:mx:example.test:{port}");
    let source =
        SourceSettings { witness: Witness::Off.into(), ..SourceSettings::new(source.parse().unwrap()) };
    let metrics = Arc::new(Metrics::default());
    let source = built(&source, Arc::new(table), &metrics);
    assert_eq!(source.look_up(&account("foo@example.test")).await.result.to_string(), "not found");
    // Failures are recorded even if another server replied.
    let failing = metrics.source_states().into_iter().filter(|one| one.failing.is_some());
    let failing: Vec<_> = failing.map(|one| one.server.into_string()).collect();
    assert_eq!(failing, [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]);
    let seen = [&full, &second, &last].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(seen, [1, 1, 0]);

    let table = Table::new()
        .srv("_smtp._tcp.example.test", &[(0, 1, port, "last.test")])
        .host("last.test", &["127.0.0.4"]);
    assert_eq!(ask("vrfy:srv:_smtp._tcp.example.test", table).await, "not found");
    assert_eq!(last.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failed_name_lookup_is_temporary_failure() {
    let (port, connections) = serve("127.0.0.1", 0, "554 no\r\n").await;
    for (spec, want) in [
        ("vrfy:nowhere.test", "temporary failure: the name nowhere.test does not exist"),
        ("vrfy:mx:nowhere.test", "temporary failure: the name nowhere.test does not exist"),
        ("vrfy:mx:null.test", "temporary failure: null.test takes no mail (null MX, RFC 7505)"),
        ("vrfy:empty.test", "temporary failure: empty.test has no address"),
        ("vrfy:mx:gone.test", "temporary failure: the name nowhere.test does not exist"),
        (
            &format!("vrfy:host.test:{port}"),
            &format!("temporary failure: host.test [127.0.0.1]:{port}: the server replied 554 no"),
        ),
    ] {
        let table = Table::new()
            .mx("null.test", &[(0, ".")])
            .mx("gone.test", &[(10, "nowhere.test")])
            .host("host.test", &["127.0.0.1"])
            .host("empty.test", &[]);
        assert_eq!(ask(spec, table).await, want);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn address_that_cannot_be_reached_is_tried_last_for_a_while() {
    let (port, refusing) = serve("127.0.0.21", 0, "421 4.7.0 too many connections\r\n").await;
    let (_, working) = serve("127.0.0.22", port, "220 hi\r\n").await;
    let table = Table::new().host("host.test", &["127.0.0.21", "127.0.0.22"]);
    let spec = format!("vrfy:host.test:{port}");
    let mut source = SourceSettings::new(spec.parse().unwrap());
    source.witness = Witness::Off.into();
    // Each lookup needs a connection of its own.
    source.smtp.per_connection = 1;
    let source = built(&source, Arc::new(table), &Arc::default());
    for _ in 0..3 {
        assert_eq!(source.look_up(&account("foo@example.test")).await.result, Lookup::NotFound);
    }
    assert_eq!([&refusing, &working].map(|count| count.load(Ordering::SeqCst)), [1, 3]);
}

#[tokio::test]
async fn limits_addresses_tried() {
    let (port, connections) = serve("127.0.0.1", 0, "554 no\r\n").await;
    let table = Table::new().host("host.test", &["127.0.0.1"; crate::net::connect::MAX_ADDRESSES + 1]);
    assert!(ask(&format!("vrfy:host.test:{port}"), table).await.starts_with("temporary failure: "));
    assert_eq!(connections.load(Ordering::SeqCst), crate::net::connect::MAX_ADDRESSES);
}

#[tokio::test]
async fn connect_timeout_leaves_time_for_the_next_server() {
    // Connections to a listener with a full queue hang.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) =
        tokio::time::timeout(Duration::from_millis(50), tokio::net::TcpStream::connect(address)).await
    {
        fillers.push(filler);
    }
    let (_, _) = serve("127.0.0.10", address.port(), "220 hi\r\n").await;
    let table = Table::new().host("host.test", &["127.0.0.9", "127.0.0.10"]);
    let spec = format!("vrfy:host.test:{}", address.port());
    let mut source = SourceSettings::new(spec.parse().unwrap());
    source.deadline = Duration::from_millis(400);
    source.witness = Witness::Off.into();
    let source = built(&source, Arc::new(table), &Arc::default());
    let begin = std::time::Instant::now();
    assert_eq!(source.look_up(&account("foo@example.test")).await.result, Lookup::NotFound);
    assert!(begin.elapsed() >= Duration::from_millis(100), "the first one must have been waited for");
    let mut source = SourceSettings::new(format!("vrfy:{address}").parse().unwrap());
    source.deadline = Duration::from_millis(400);
    let alone = built(&source, Arc::new(Table::new()), &Arc::default());
    let answer = alone.look_up(&account("foo@example.test")).await;
    assert!(answer.failure().unwrap().is_timeout(), "{answer:?}");
}

/// A server that does not reply opens the circuit breaker, at whatever step it hangs; one that replies does not.
#[tokio::test]
async fn reply_that_does_not_come_is_a_timeout() {
    for (greeting, reply, is_timeout) in [
        ("", "250 ok", true),
        ("220-hi\r\n", "250 ok", true),
        ("220 hi\r\n", "250-ok", true),
        ("220 hi\r\n", "451 4.3.0 later", false),
        ("554 no\r\n", "250 ok", false),
        ("nonsense\r\n", "250 ok", false),
    ] {
        let (port, _) = serve_with("127.0.0.1", 0, greeting, move |_| reply).await;
        let mut source = SourceSettings::new(format!("vrfy:127.0.0.1:{port}").parse().unwrap());
        source.deadline = Duration::from_millis(400);
        let source = built(&source, Arc::new(Table::new()), &Arc::default());
        let answer = source.look_up(&account("foo@example.test")).await;
        let reason = answer.failure().unwrap();
        assert_eq!(reason.is_timeout(), is_timeout, "{greeting:?} {reply:?}: {reason}");
    }
}

/// A DNS whose names resolve to two servers in turn.
#[derive(Debug)]
struct InTurn(AtomicUsize, [Table; 2]);

impl Dns for InTurn {
    fn addresses<'a>(&'a self, host: &'a str) -> crate::net::dns::Found<'a, IpAddr> {
        Dns::addresses(&self.1[0], host)
    }

    fn mx<'a>(&'a self, domain: &'a str) -> crate::net::dns::Found<'a, crate::net::dns::Place> {
        Dns::mx(&self.1[self.0.fetch_add(1, Ordering::SeqCst) % 2], domain)
    }

    fn srv<'a>(&'a self, service: &'a str) -> crate::net::dns::Found<'a, crate::net::dns::Place> {
        Dns::srv(&self.1[0], service)
    }
}

/// The first exchanger checks its recipients; the backup does not, or has lost its table. A control lookup
/// goes to the server that sent the reply, and is valid for that server only.
#[tokio::test]
async fn controls_are_per_server() {
    const GOOD_252: [&str; 3] = ["252 ok", "252 ok", "550 5.1.1 no"];
    const GOOD_250: [&str; 3] = ["250 ok", "250 ok", "550 5.1.1 no"];
    for (replies, wants) in [
        // Replies of each server for foo, postmaster and all others; results for foo and nobody, of each
        // server.
        ([GOOD_252, ["252 ok"; 3]], ["exists", "temporary failure", "not found", "temporary failure"]),
        ([GOOD_250, ["250 ok"; 3]], ["exists", "temporary failure", "not found", "temporary failure"]),
        ([GOOD_250, ["550 5.1.1 no"; 3]], ["exists", "temporary failure", "not found", "temporary failure"]),
        ([["252 ok"; 3], GOOD_252], ["temporary failure", "exists", "temporary failure", "not found"]),
        ([["550 no"; 3], GOOD_250], ["temporary failure", "exists", "temporary failure", "not found"]),
        ([GOOD_252, GOOD_250], ["exists", "exists", "not found", "not found"]),
    ] {
        let says = |replies: [&'static str; 3]| {
            move |argument: &str| match argument.split('@').next() {
                Some("<foo") => replies[0],
                Some("<postmaster") => replies[1],
                _ => replies[2],
            }
        };
        let (port, _) = serve_with("127.0.0.20", 0, "220 hi\r\n", says(replies[0])).await;
        serve_with("127.0.0.21", port, "220 hi\r\n", says(replies[1])).await;
        let table = |host: &str| {
            let table = Table::new().mx("example.test", &[(10, host)]);
            table.host("a.test", &["127.0.0.20"]).host("b.test", &["127.0.0.21"])
        };
        let names = InTurn(AtomicUsize::new(0), [table("a.test"), table("b.test")]);
        let mut source = SourceSettings::new(format!("vrfy:mx:example.test:{port}").parse().unwrap());
        // No connection is kept, so every control lookup needs a new one.
        source.smtp.per_connection = 1;
        let source = built(&source, Arc::new(names), &Arc::default());
        for (name, want) in ["foo", "foo", "nobody", "nobody"].into_iter().zip(wants) {
            let got = source.look_up(&account(&format!("{name}@example.test"))).await.result.to_string();
            assert!(got.starts_with(want), "{replies:?} {name}: {got}");
        }
    }
}

/// A server whose processes keep the table that they read when the connection began, as those of Postfix do. After the
/// table is restored, a connection that is older does not count.
#[tokio::test]
async fn connection_of_a_refused_reply_is_not_used_again() {
    let restored = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let table = restored.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let has_users = table.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 hi\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let reply = match line.strip_prefix("VRFY ") {
                        Some(_) if !has_users => "550 5.1.1 no",
                        Some("<nobody@example.test>") => "550 5.1.1 no",
                        _ => "250 ok",
                    };
                    write.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    let mut source = SourceSettings::new(format!("vrfy:127.0.0.1:{port}").parse().unwrap());
    source.smtp.code_250 = Trust::Exists.into();
    let source = built(&source, Arc::new(Table::new()), &Arc::default());
    let ask =
        async |name: &str| source.look_up(&account(&format!("{name}@example.test"))).await.result.to_string();
    assert!(ask("foo").await.starts_with("temporary failure: "));
    restored.store(true, Ordering::SeqCst);
    // Another host or connection has shown meanwhile that the server finds accounts.
    let address = format!("127.0.0.1:{port}");
    source.control.found(control::Server { peer: &address, scope: "example.test" });
    assert_eq!([ask("foo").await, ask("nobody").await], ["exists", "not found"]);
}
