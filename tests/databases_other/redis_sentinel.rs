//! Redis Sentinel.

use super::Want::{Found, NotFound, Unknown};
use super::redis::plain;
use super::stores::{Act, Fake, Served, free_port, redis, redis_sentinel, tell_redis, tell_redis_once};
use super::{Asker, expect, folder, inet, settings, until};
use rcptd::map::settings::{DatabaseSettings, Kind, Password, SentinelSettings};
use tempfile::TempDir;

/// A master with a replica, and a Sentinel that knows both.
struct Site {
    servers: [Served; 2],
    sentinel: Served,
    _folders: [TempDir; 3],
}

impl Site {
    async fn new(sentinel: &str) -> Self {
        let folders = [folder(), folder(), folder()];
        let master = redis(folders[0].path(), &[]);
        let replica = redis(folders[1].path(), &["--replicaof", &format!("127.0.0.1 {}", master.port)]);
        tell_redis(master.port, &[&["SET", "foo", "bar"]]);
        let sentinel = redis_sentinel(folders[2].path(), master.port, sentinel);
        let site = Site { servers: [master, replica], sentinel, _folders: folders };
        until("the replica has its data", || {
            tell_redis_once(site.servers[1].port, &["GET", "foo"]).contains("bar")
        })
        .await;
        site
    }

    /// The port of the master that the Sentinel names.
    fn master(&self) -> u16 {
        let reply = tell_redis_once(self.sentinel.port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
        reply.split("\r\n").nth(4).unwrap().parse().unwrap()
    }

    /// Waits until the Sentinel knows the replica, so that it can promote it.
    async fn knows_the_replica(&self) {
        let port = self.servers[1].port.to_string();
        until("the Sentinel knows the replica", || {
            let reply = tell_redis_once(self.sentinel.port, &["SENTINEL", "REPLICAS", "mymaster"]);
            reply.contains(&port) && reply.contains("master-link-status\r\n$2\r\nok")
        })
        .await;
    }

    fn settings(&self) -> DatabaseSettings {
        sentinel(settings(Kind::Redis, &[inet(self.sentinel.port)]), "mymaster", None)
    }
}

fn sentinel(settings: DatabaseSettings, master: &str, password: Option<&str>) -> DatabaseSettings {
    let sentinel = SentinelSettings { master: master.into(), password: password.map(Password::new) };
    DatabaseSettings { sentinel: Some(sentinel), ..settings }
}

#[tokio::test]
async fn asks_the_master_that_a_sentinel_names() {
    let site = Site::new("requirepass secret\n").await;
    let master = site.servers[0].port;
    tell_redis(
        master,
        &[
            &["ACL", "SETUSER", "rcptd", "on", ">word", "~*", "+get", "+role"],
            &["ACL", "SETUSER", "blind", "on", ">word", "~*", "+get"],
        ],
    );
    let own = || inet(site.sentinel.port);
    let hosts = |hosts: &[_], name: &str, password| sentinel(settings(Kind::Redis, hosts), name, password);
    let by_user =
        |user| super::with_password(hosts(&[own()], "mymaster", Some("secret")), Some(user), "word");
    for (settings, want) in [
        (hosts(&[own()], "mymaster", Some("secret")), Found("bar")),
        (hosts(&[inet(free_port()), own()], "mymaster", Some("secret")), Found("bar")),
        (by_user("rcptd"), Found("bar")),
        (by_user("blind"), Unknown("ROLE: ")),
        (hosts(&[own()], "other", Some("secret")), Unknown("does not know a master other")),
        (hosts(&[own()], "mymaster", Some("wrong")), Unknown("uthentication failed")),
        (hosts(&[own()], "mymaster", None), Unknown("NOAUTH")),
        (hosts(&[inet(free_port())], "mymaster", None), Unknown("onnection refused")),
        // Not a Sentinel.
        (hosts(&[inet(master)], "mymaster", None), Unknown("unknown command")),
    ] {
        let table = plain(&settings);
        expect(&*table, "foo", want).await;
        if let Found(_) = want {
            expect(&*table, "absent", NotFound).await;
        }
    }
}

#[tokio::test]
async fn a_replica_is_not_asked() {
    let site = Site::new("").await;
    // A Sentinel without a connection to the others names a server that is now a replica.
    let port = site.servers[1].port.to_string();
    let fake = Fake::new(
        |request| request.ends_with(b"\r\n"),
        move |request| {
            let commands = request.split(|b| *b == b'\n').filter(|line| line.starts_with(b"*")).count();
            let is_asked = request.windows(8).any(|part| part == b"SENTINEL");
            let reply = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
            Act::Reply(if is_asked { reply } else { "+OK\r\n".repeat(commands) }.into_bytes())
        },
    );
    let hosts = |hosts: &[_]| sentinel(settings(Kind::Redis, hosts), "mymaster", None);
    let alone = plain(&hosts(&[inet(fake.port)]));
    let with_another = plain(&hosts(&[inet(fake.port), inet(site.sentinel.port)]));
    for _ in 0..2 {
        expect(&*alone, "foo", Unknown("it is a replica, not the master")).await;
        expect(&*alone, "absent", Unknown("it is a replica, not the master")).await;
        expect(&*with_another, "foo", Found("bar")).await;
        expect(&*with_another, "absent", NotFound).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_a_fail_over() {
    let mut site = Site::new("").await;
    site.knows_the_replica().await;
    let table = plain(&site.settings());
    let asker = Asker::new(&table, vec![("foo".into(), "bar".into())], "absent");
    asker.finds(10).await;

    // The master ends.
    let (first, second) = (site.servers[0].port, site.servers[1].port);
    site.servers[0].stop();
    until("a lookup fails", || asker.counts().1 > 0).await;
    until("the replica is promoted", || site.master() == second).await;
    asker.finds(10).await;
    tell_redis(second, &[&["SET", "new", "baz"]]);
    expect(&*table, "new", Found("baz")).await;

    // It comes back as a replica, and is promoted on request.
    site.servers[0].start();
    // The Sentinel would make it one, but only after some seconds without any hiccup of the machine.
    until("it is a replica again", || {
        tell_redis_once(first, &["REPLICAOF", "127.0.0.1", &second.to_string()]);
        tell_redis_once(first, &["GET", "new"]).contains("baz")
    })
    .await;
    // The Sentinel refuses while it does not know a good replica, and gives up if the replica takes too long.
    until("it is the master again", || {
        let is_master = site.master() == first;
        if !is_master {
            tell_redis_once(site.sentinel.port, &["SENTINEL", "FAILOVER", "mymaster"]);
        }
        is_master
    })
    .await;
    asker.finds(10).await;
    expect(&*table, "new", Found("baz")).await;
    expect(&*table, "absent", NotFound).await;
    asker.end().await;
}

#[tokio::test]
async fn a_master_that_was_replaced_is_not_trusted() {
    let site = Site::new("").await;
    site.knows_the_replica().await;
    let table = plain(&site.settings());
    expect(&*table, "new", NotFound).await;
    let second = site.servers[1].port;
    site.servers[0].signal("STOP");
    until("the replica is promoted", || {
        site.master() == second && tell_redis_once(second, &["ROLE"]).contains("master")
    })
    .await;
    tell_redis(second, &[&["SET", "new", "bar"]]);
    // The old master does not know that it was replaced, and the connection to it is still open.
    site.servers[0].signal("CONT");
    assert!(tell_redis_once(site.servers[0].port, &["ROLE"]).contains("master"));
    expect(&*table, "new", Found("bar")).await;
}
