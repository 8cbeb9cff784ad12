//! Where the connection goes. What happens on it is tested by `tests/account_vrfy.rs`.

use super::super::settings::{CacheSettings, Settings, SourceSettings, VrfySettings};
use super::super::testing::account;
use super::testing::Table;
use super::*;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Serves at a port of all addresses of 127.0.0.0/8 given, greeting with this line; counts connections.
async fn serve(address: &str, port: u16, greeting: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(greeting.as_bytes()).await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let reply = if line.starts_with("VRFY") { "550 5.1.1 no\r\n" } else { "250 ok\r\n" };
                    write.write_all(reply.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    (port, connections)
}

async fn ask(spec: &str, table: Table) -> String {
    let source = SourceSettings::new(spec.parse().unwrap());
    let settings =
        Settings { sources: vec![], cache: CacheSettings::default(), vrfy: VrfySettings::default() };
    let name: Arc<str> = spec.into();
    let site = Site { name: &name, source: &source, settings: &settings, cases: &false.into() };
    let target = spec.strip_prefix("vrfy:").unwrap().parse().unwrap();
    let source = open(&target, site, Some(Arc::new(table))).unwrap();
    source.verify(&account("foo@example.test")).await.verdict.to_string()
}

#[tokio::test]
async fn hosts_and_addresses_are_tried_in_order() {
    let (port, second) = serve("127.0.0.3", 0, "220 hi\r\n").await;
    let (_, full) = serve("127.0.0.2", port, "421 4.7.0 too many connections\r\n").await;
    let (_, last) = serve("127.0.0.4", port, "220 hi\r\n").await;
    // Nobody listens at 127.0.0.1.
    let table = Table::new()
        .mx("example.test", &[(20, "last.test"), (10, "first.test"), (5, "gone.test"), (7, "empty.test")])
        .host("empty.test", &[])
        .host("first.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        .host("last.test", &["127.0.0.4"]);
    assert_eq!(ask(&format!("vrfy:mx:example.test:{port}"), table).await, "missing");
    let seen = [&full, &second, &last].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(seen, [1, 1, 0]);

    let table = Table::new()
        .srv("_smtp._tcp.example.test", &[(0, 1, port, "last.test")])
        .host("last.test", &["127.0.0.4"]);
    assert_eq!(ask("vrfy:srv:_smtp._tcp.example.test", table).await, "missing");
    assert_eq!(last.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_misnamed_server_is_no_missing_account() {
    let (port, connections) = serve("127.0.0.1", 0, "554 no\r\n").await;
    for (spec, want) in [
        ("vrfy:nowhere.test", "unknown: there is no name nowhere.test"),
        ("vrfy:mx:nowhere.test", "unknown: there is no name nowhere.test"),
        ("vrfy:mx:null.test", "unknown: null.test takes no mail (null MX, RFC 7505)"),
        ("vrfy:empty.test", "unknown: empty.test has no address"),
        ("vrfy:mx:gone.test", "unknown: there is no name nowhere.test"),
        (
            &format!("vrfy:host.test:{port}"),
            &format!("unknown: host.test [127.0.0.1]:{port}: the server said 554 no"),
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
async fn addresses_tried_are_bounded() {
    let (port, connections) = serve("127.0.0.1", 0, "554 no\r\n").await;
    let table = Table::new().host("host.test", &["127.0.0.1"; dial::MAX_ADDRESSES + 1]);
    assert!(ask(&format!("vrfy:host.test:{port}"), table).await.starts_with("unknown: "));
    assert_eq!(connections.load(Ordering::SeqCst), dial::MAX_ADDRESSES);
}

#[tokio::test]
async fn a_server_that_does_not_accept_leaves_time_for_the_next() {
    // A listener whose queue is full lets connections hang.
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
    let target = format!("host.test:{}", address.port()).parse().unwrap();
    let mut source = SourceSettings::new("fail:".parse().unwrap());
    source.deadline = Duration::from_millis(400);
    let settings =
        Settings { sources: vec![], cache: CacheSettings::default(), vrfy: VrfySettings::default() };
    let name: Arc<str> = "vrfy:".into();
    let site = Site { name: &name, source: &source, settings: &settings, cases: &false.into() };
    let vrfy = open(&target, site, Some(Arc::new(table))).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(vrfy.verify(&account("foo@example.test")).await.verdict, Verdict::Missing);
    assert!(begin.elapsed() >= Duration::from_millis(100), "the first one must have been waited for");
}
