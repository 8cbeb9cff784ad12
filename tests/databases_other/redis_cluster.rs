//! Redis Cluster.

use super::Want::{Found, NotFound, Unknown};
use super::redis::plain;
use super::stores::{
    Act, Fake, Served, certificate, free_port, open, program, redis, run, tell_redis, tell_redis_once,
};
use super::{Asker, expect, folder, inet, settings, until, with_password, with_tls};
use rcptd::map::Lookup;
use rcptd::map::settings::{DatabaseSettings, Kind, Query};
use rcptd::store::Store;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time after which the other nodes replace a node that does not respond, in milliseconds.
const NODE_TIMEOUT: &str = "1000";

/// A key and value of the test.
fn user(n: usize) -> (String, String) {
    (format!("user{n}@example.test"), format!("{n}@mail.example.test"))
}

/// The bulk string in a reply.
fn bulk(reply: &str) -> String {
    reply.split("\r\n").nth(1).unwrap_or_default().into()
}

/// Nodes of a cluster, each in a folder of its own.
struct TestCluster {
    nodes: Vec<Served>,
    /// Their ports with TLS, if they have some.
    tls: Vec<u16>,
    _folders: Vec<TempDir>,
}

impl TestCluster {
    /// Three masters with all slots, and this number of replicas of the first one.
    async fn new(replicas: usize) -> Self {
        TestCluster::with(replicas, &[]).await
    }

    /// Nodes with these arguments; `{tls}` is a free port.
    async fn with(replicas: usize, more: &[&str]) -> Self {
        let folders: Vec<_> = (0..3 + replicas).map(|_| folder()).collect();
        let node = |folder: &TempDir| {
            let bus = free_port();
            let tls = free_port();
            let words =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT, "--cluster-port"];
            let (bus_word, tls_word) = (bus.to_string(), tls.to_string());
            let more = more.iter().map(|word| if *word == "{tls}" { &*tls_word } else { *word });
            let words: Vec<_> = words.into_iter().chain([&*bus_word]).chain(more).collect();
            (redis(folder.path(), &words), (bus, tls))
        };
        let (nodes, ports): (Vec<_>, Vec<(u16, u16)>) = folders.iter().map(node).unzip();
        for (node, range) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            tell_redis(node.port, &[&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]]);
        }
        for (node, bus) in nodes.iter().zip(&ports).skip(1) {
            let port = if more.is_empty() { node.port } else { bus.1 };
            let (port, bus) = (port.to_string(), bus.0.to_string());
            tell_redis(nodes[0].port, &[&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]]);
        }
        let tls = ports.iter().map(|(_, tls)| *tls).collect();
        let cluster = TestCluster { nodes, tls, _folders: folders };
        let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
        cluster.all_report(&["cluster_state:ok", &known]).await;
        for replica in &cluster.nodes[3..] {
            tell_redis(replica.port, &[&["CLUSTER", "REPLICATE", &cluster.id(0)]]);
            until("it is a replica", || {
                tell_redis_once(replica.port, &["INFO", "replication"]).contains("master_link_status:up")
            })
            .await;
        }
        cluster
    }

    fn port(&self, at: usize) -> u16 {
        self.nodes[at].port
    }

    fn id(&self, at: usize) -> String {
        bulk(&tell_redis_once(self.port(at), &["CLUSTER", "MYID"]))
    }

    /// Waits until all nodes report all of this.
    async fn all_report(&self, lines: &[&str]) {
        for node in &self.nodes {
            reports(node, lines).await;
        }
    }

    /// Sets values, each at the node that has its slot.
    fn set(&self, pairs: &[(String, String)]) {
        let commands = pairs.iter().fold(String::new(), |mut text, (key, value)| {
            writeln!(text, "SET {key} {value}").unwrap();
            text
        });
        let port = self.port(0).to_string();
        run(Command::new(program("redis-cli", "redis-tools")).args(["-c", "-p", &port]), &commands);
    }

    fn settings(&self, hosts: &[usize]) -> DatabaseSettings {
        let hosts: Vec<_> = hosts.iter().map(|at| inet(self.port(*at))).collect();
        settings(Kind::Redis, &hosts)
    }
}

/// Waits until a node reports all of this.
async fn reports(node: &Served, lines: &[&str]) {
    until("it reports the state", || {
        let info = tell_redis_once(node.port, &["CLUSTER", "INFO"]);
        lines.iter().all(|line| info.contains(&format!("{line}\r\n")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_all_keys_of_a_cluster() {
    let cluster = TestCluster::new(0).await;
    let users: Vec<_> = (0..1000).map(user).collect();
    cluster.set(&users);
    // A user that may not read the slots.
    for node in &cluster.nodes {
        tell_redis(node.port, &[&["ACL", "SETUSER", "rcptd", "on", ">word", "~*", "+get"]]);
    }
    for settings in [
        cluster.settings(&[0]),
        cluster.settings(&[2, 1]),
        with_password(cluster.settings(&[1]), Some("rcptd"), "word"),
    ] {
        let table = plain(&settings);
        for (key, value) in &users {
            expect(&*table, key, Found(value)).await;
        }
        let mut asking = Vec::new();
        for n in 0..1000 {
            let table = table.clone();
            asking.push(tokio::spawn(async move {
                let (key, value) = user(n);
                expect(&*table, &key, Found(&value)).await;
                expect(&*table, &format!("no-{key}"), NotFound).await;
            }));
        }
        for asked in asking {
            asked.await.unwrap();
        }
    }
    let mut other = cluster.settings(&[0]);
    other.database = "1".into();
    expect(&*plain(&other), "foo", Unknown("SELECT is not allowed in cluster mode")).await;
}

#[tokio::test]
async fn nodes_are_asked_with_tls() {
    let [certificate_file, key, ca] =
        ["node.pem", "node.key", "node.pem"].map(|name| certificate(name).display().to_string());
    let files = ["--tls-cert-file", &certificate_file, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let words = ["--tls-port", "{tls}", "--tls-cluster", "yes", "--tls-auth-clients", "no"];
    let cluster = TestCluster::with(0, &[&words[..], &files].concat()).await;
    let users: Vec<_> = (0..50).map(user).collect();
    cluster.set(&users);
    let settings = settings(Kind::Redis, &[inet(cluster.tls[1])]);
    let table = plain(&with_tls(settings, Path::new(&ca)));
    for (key, value) in &users {
        expect(&*table, key, Found(value)).await;
    }
    expect(&*table, "absent", NotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_a_slot_that_moves() {
    let cluster = TestCluster::new(0).await;
    // Braces make the slot: that of "foo" is 12182, on the third node.
    let pairs: Vec<_> = (0..200).map(|n| (format!("{{foo}}{n}"), n.to_string())).collect();
    cluster.set(&pairs);
    let table = plain(&cluster.settings(&[0]));
    let asker = Asker::new(&table, pairs.clone(), "{foo}absent");
    asker.finds(200).await;
    let (from, to) = (2, 0);
    let slot = ["CLUSTER", "SETSLOT", "12182"];
    let set_slot = |at: usize, state: &str, node: usize| {
        let id = cluster.id(node);
        tell_redis(cluster.port(at), &[&[&slot[..], &[state, &id]].concat()]);
    };
    set_slot(to, "IMPORTING", from);
    set_slot(from, "MIGRATING", to);
    let port = cluster.port(to).to_string();
    for (n, (key, _)) in pairs.iter().enumerate() {
        tell_redis(cluster.port(from), &[&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]]);
        if n == 100 {
            // Half of the keys are at one node, half at the other one.
            asker.finds(400).await;
            expect(&*table, "{foo}absent", NotFound).await;
        }
    }
    asker.finds(200).await;
    for at in [to, from, 1] {
        set_slot(at, "NODE", to);
    }
    asker.finds(400).await;
    assert_eq!(asker.end().await.1, 0, "no lookup failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_replaces_a_node() {
    let mut cluster = TestCluster::new(1).await;
    let users: Vec<_> = (0..300).map(user).collect();
    cluster.set(&users);
    // The first two are asked first; one of them ends.
    let table = plain(&cluster.settings(&[0, 1, 2]));
    let asker = Asker::new(&table, users.clone(), "absent");
    asker.finds(300).await;
    cluster.nodes[0].stop();
    until("a lookup fails", || asker.counts().1 > 0).await;
    let replica = &cluster.nodes[3];
    until("it is promoted", || tell_redis_once(replica.port, &["ROLE"]).contains("master")).await;
    reports(replica, &["cluster_state:ok"]).await;
    reports(&cluster.nodes[1], &["cluster_state:ok"]).await;
    let all = || async {
        for (key, value) in &users {
            let found = Lookup::Found(value.clone());
            let mut answer = table.look_up(key).await;
            for _ in 0..100 {
                if answer == found {
                    break;
                }
                assert!(matches!(answer, Lookup::TempFail(_)), "{key}: {answer:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                answer = table.look_up(key).await;
            }
            assert_eq!(answer, found, "{key}");
        }
    };
    all().await;
    expect(&*table, "absent", NotFound).await;
    // It comes back as a replica of the new one.
    cluster.nodes[0].start();
    until("it is a replica", || tell_redis_once(cluster.port(0), &["ROLE"]).contains("slave")).await;
    all().await;
    expect(&*plain(&cluster.settings(&[0])), &users[7].0, Found(&users[7].1)).await;
    asker.finds(300).await;
    asker.end().await;

    // A node without a replica: at first its keys, then the whole cluster fails.
    cluster.nodes[1].stop();
    let lost: Vec<_> =
        ["absent", "foo", "bar", "baz"].into_iter().chain(users.iter().map(|(key, _)| &**key)).collect();
    for key in &lost {
        let answer = table.look_up(key).await;
        let is_user = users.iter().any(|(user, _)| user == key);
        assert!(answer != Lookup::NotFound || !is_user, "{key}");
    }
    reports(&cluster.nodes[2], &["cluster_state:fail"]).await;
    reports(&cluster.nodes[3], &["cluster_state:fail"]).await;
    for key in lost {
        expect(&*table, key, Unknown("database users: ")).await;
    }
    expect(&*plain(&cluster.settings(&[2])), "foo", Unknown("CLUSTERDOWN")).await;
}

/// Texts that rcptd writes itself, in a cluster and in a single server.
#[tokio::test]
async fn keeps_texts() {
    let cluster = TestCluster::new(0).await;
    let folder = folder();
    let single = redis(folder.path(), &[]);
    for settings in [cluster.settings(&[1]), settings(Kind::Redis, &[inet(free_port()), inet(single.port)])] {
        let store = open(&settings).unwrap().store().unwrap();
        let hour = Duration::from_hours(1);
        assert_eq!(store.get("known:1").await, Lookup::NotFound);
        let keys: Vec<_> = (0..2500).map(|n| format!("known:{n}")).collect();
        for key in &keys {
            store.set(key, &format!("text of {key}"), hour).await.unwrap();
        }
        store.set("other", "text", hour).await.unwrap();
        store.set("known:short", "text", Duration::from_millis(1)).await.unwrap();
        for key in &keys {
            assert_eq!(store.get(key).await, Lookup::Found(format!("text of {key}")));
        }
        let begun = Instant::now();
        while store.get("known:short").await != Lookup::NotFound {
            assert!(begun.elapsed() < Duration::from_mins(1), "it expires");
        }
        for key in &keys[..500] {
            store.remove(key).await.unwrap();
            store.remove(key).await.unwrap();
            assert_eq!(store.get(key).await, Lookup::NotFound);
        }
        // SCAN may return a key twice.
        let found: BTreeSet<_> = all_keys(&*store).await.unwrap().into_iter().collect();
        assert_eq!(found, keys[500..].iter().cloned().collect());
    }
    // A user that may not read the slots does not know all nodes.
    for node in &cluster.nodes {
        let user = ["ACL", "SETUSER", "rcptd", "on", ">word", "~known:*", "+get", "+set", "+del", "+scan"];
        tell_redis(node.port, &[&user]);
    }
    for at in 0..3 {
        let settings = with_password(cluster.settings(&[at]), Some("rcptd"), "word");
        let store = open(&settings).unwrap().store().unwrap();
        assert!(all_keys(&*store).await.unwrap_err().contains("may the user read CLUSTER SLOTS"), "{at}");
    }
    let down = open(&settings(Kind::Redis, &[inet(free_port())])).unwrap().store().unwrap();
    assert!(all_keys(&*down).await.unwrap_err().contains("refused"));
    assert!(down.set("a", "b", Duration::from_secs(1)).await.unwrap_err().contains("refused"));
}

#[tokio::test]
async fn a_node_without_keys_is_not_trusted_with_a_witness() {
    let cluster = TestCluster::new(0).await;
    // Their slots are 12182 and 5061, at the nodes 2 and 0. Node 1 has no key.
    cluster.set(&[("foo".into(), "1".into()), ("bar".into(), "2".into())]);
    let mut settings = cluster.settings(&[0]);
    settings.witness = Some("foo".into());
    let table = plain(&settings);
    for (key, want) in
        [("{foo}x", NotFound), ("{bar}x", NotFound), ("{user1}x", Unknown("the node has no keys at all"))]
    {
        expect(&*table, key, want).await;
    }
    // Neither is one that has only keys that rcptd wrote. Each client has a control of its own.
    let database = open(&settings).unwrap();
    let store = database.store().unwrap();
    for n in 0..100 {
        store.set(&format!("rcptd:known:{n}@example.test"), "text", Duration::from_hours(1)).await.unwrap();
    }
    let query = Query::Redis { key: "%s".into(), field: None };
    let table = database.table(&query).unwrap();
    for (key, want) in
        [("{foo}x", NotFound), ("{bar}x", NotFound), ("{user1}x", Unknown("only keys that rcptd wrote"))]
    {
        expect(&*table, key, want).await;
    }
}

#[tokio::test]
async fn redirections_are_limited() {
    let port = Arc::new(OnceLock::new());
    let own = port.clone();
    let fake = Fake::new(
        |request| request.ends_with(b"\r\n"),
        move |request| {
            let commands = request.split(|b| *b == b'\n').filter(|line| line.starts_with(b"*")).count();
            Act::Reply(format!("-MOVED 12182 127.0.0.1:{}\r\n", own.get().unwrap()).repeat(commands).into())
        },
    );
    port.set(fake.port).unwrap();
    let table = plain(&settings(Kind::Redis, &[inet(fake.port)]));
    expect(&*table, "foo", Unknown("more than 5 redirections")).await;
    expect(&*table, "foo", Unknown("more than 5 redirections")).await;
}

/// All keys of the store that begin with `known:`.
async fn all_keys(store: &dyn Store) -> Result<Vec<String>, String> {
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = store.page("known:", &cursor).await?;
        keys.extend(page.keys);
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(keys),
        }
    }
}
