//! Redis.

use super::Want::{Found, NotFound, Unknown};
use super::stores::{Act, Fake, Served, certificate, free_port, open, redis, tell_redis, tell_redis_once};
use super::{expect, folder, inet, settings, with_password, with_tls};
use rcptd::map::database::Database;
use rcptd::map::settings::{DatabaseSettings, Kind, Query};
use rcptd::map::{MAX_VALUE, Table};
use rcptd::net::host::Host;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn table(database: &dyn Database, key: &str, field: Option<&str>) -> Arc<Table> {
    database.table(&Query::Redis { key: key.into(), field: field.map(str::to_owned) }).unwrap()
}

/// The table of keys as they are.
pub(super) fn plain(settings: &DatabaseSettings) -> Arc<Table> {
    table(&*open(settings).unwrap(), "%s", None)
}

const INJECTION: &str = "x\r\nSET foo@example.test bar\r\n";

#[tokio::test]
async fn look_ups() {
    let folder = folder();
    let socket = folder.path().join("socket");
    let server = redis(folder.path(), &["--unixsocket", socket.to_str().unwrap()]);
    let long = "a".repeat(MAX_VALUE);
    tell_redis(
        server.port,
        &[
            &["SET", "foo@example.test", "bar@example.test"],
            &["SET", "alias:example.test:foo", "by sides"],
            &["SET", "grüße", "bar, baz"],
            &["SET", "with blanks ", "blanks"],
            &["SET", INJECTION, "injected"],
            &["SET", "nul\0", "nul"],
            &["SET", "*", "star"],
            &["SET", "empty", ""],
            &["SET", "long", &long],
            &["SET", "longer", &format!("{long}a")],
            &["SET", "number", "7"],
            &["SET", "rcptd:known:foo@example.test", "{}"],
            &["SET", "a rcptd:known:foo@example.test", "another"],
            &["RPUSH", "list", "a", "b"],
            &["SADD", "set", "a"],
            &["HSET", "hash", "foo@example.test", "of the hash", "a b\r\n", "odd", "empty", ""],
            &["SELECT", "3"],
            &["SET", "foo@example.test", "of three"],
        ],
    );
    let mut three = settings(Kind::Redis, &[inet(server.port)]);
    three.database = "3".into();
    let mut unix = settings(Kind::Redis, &[Host::Unix(socket)]);
    // What goes through a UNIX socket is not encrypted.
    unix.tls = true;
    unix.tls_ca = Some(certificate("ca.pem"));
    let database = open(&settings(Kind::Redis, &[inet(server.port)])).unwrap();
    let keys = table(&*database, "%s", None);
    let sides = table(&*database, "alias:%d:%u", None);
    let user = table(&*database, "%u", None);
    let hash = table(&*database, "hash", Some("%s"));
    let no_hash = table(&*database, "foo@example.test", Some("%s"));
    let (three, unix) = (plain(&three), plain(&unix));
    for (table, key, want) in [
        (&keys, "foo@example.test", Found("bar@example.test")),
        (&keys, "nobody@example.test", NotFound),
        (&keys, "grüße", Found("bar, baz")),
        (&keys, "with blanks ", Found("blanks")),
        (&keys, "with blanks", NotFound),
        (&keys, INJECTION, Found("injected")),
        (&keys, "y\r\nSET foo@example.test bar\r\n", NotFound),
        (&keys, "foo@example.test\r\n", NotFound),
        (&keys, "nul\0", Found("nul")),
        (&keys, "nul", NotFound),
        (&keys, "*", Found("star")),
        (&keys, "foo*", NotFound),
        (&keys, "number", Found("7")),
        (&keys, "empty", Unknown("empty")),
        (&keys, "long", Found(&long)),
        (&keys, "longer", Unknown("longer than 100000")),
        (&keys, "list", Unknown("lists and sets")),
        (&keys, "set", Unknown("lists and sets")),
        (&keys, "hash", Unknown("set field for a hash")),
        // Those that rcptd writes itself, whether it has written this one or not.
        (&keys, "rcptd:known:foo@example.test", Unknown("rcptd writes keys that begin with rcptd: itself")),
        (&keys, "rcptd:", Unknown("database users: rcptd writes keys")),
        (&user, "rcptd:known:foo@example.test@example.test", Unknown("rcptd writes keys")),
        (&keys, "a rcptd:known:foo@example.test", Found("another")),
        (&keys, "rcptd", NotFound),
        (&sides, "foo@example.test", Found("by sides")),
        (&sides, "bar@example.test", NotFound),
        (&sides, "foo", NotFound),
        (&hash, "foo@example.test", Found("of the hash")),
        (&hash, "a b\r\n", Found("odd")),
        (&hash, "nobody", NotFound),
        (&hash, "empty", Unknown("empty")),
        (&no_hash, "foo", Unknown("does not hold a string")),
        (&three, "foo@example.test", Found("of three")),
        (&three, "number", NotFound),
        (&unix, "foo@example.test", Found("bar@example.test")),
        (&keys, "foo@example.test", Found("bar@example.test")),
    ] {
        expect(&**table, key, want).await;
    }
}

#[tokio::test]
async fn who_asks() {
    let (first, second) = (folder(), folder());
    let server = redis(first.path(), &["--requirepass", "secret"]);
    let port = free_port();
    let (tls_port, certificate_file, key) =
        (port.to_string(), certificate("server.pem"), certificate("server.key"));
    let ca = certificate("ca.pem");
    let encrypted = redis(
        second.path(),
        &[
            "--tls-port",
            &tls_port,
            "--tls-cert-file",
            certificate_file.to_str().unwrap(),
            "--tls-key-file",
            key.to_str().unwrap(),
            "--tls-ca-cert-file",
            ca.to_str().unwrap(),
            "--tls-auth-clients",
            "no",
        ],
    );
    tell_redis(encrypted.port, &[&["SET", "foo", "bar"]]);
    tell_redis(
        server.port,
        &[
            &["AUTH", "secret"],
            &["SET", "foo", "bar"],
            &["ACL", "SETUSER", "rcptd", "on", ">word", "~*", "+get"],
            &["ACL", "SETUSER", "blind", "on", ">word", "~other", "+get"],
        ],
    );
    let plain_settings = || settings(Kind::Redis, &[inet(server.port)]);
    let tls = || settings(Kind::Redis, &[inet(port)]);
    let by_name = settings(Kind::Redis, &[Host::Inet("localhost".into(), port)]);
    let mut system = tls();
    system.tls = true;
    for (settings, want) in [
        (with_password(plain_settings(), None, "secret"), Found("bar")),
        (with_password(plain_settings(), Some("default"), "secret"), Found("bar")),
        (with_password(plain_settings(), Some("rcptd"), "word"), Found("bar")),
        (with_password(plain_settings(), Some("blind"), "word"), Unknown("ermission")),
        (with_password(plain_settings(), None, "wrong"), Unknown("uthentication failed")),
        (with_password(plain_settings(), Some("rcptd"), "wrong"), Unknown("uthentication failed")),
        (plain_settings(), Unknown("NOAUTH")),
        (with_tls(tls(), &ca), Found("bar")),
        (with_tls(by_name, &ca), Unknown("TLS: invalid peer certificate")),
        (system, Unknown("TLS: invalid peer certificate")),
        (tls(), Unknown("database users: 127.0.0.1:")),
        // It waits for the end of a line.
        (with_tls(plain_settings(), &ca), Unknown("no connection within 1s")),
    ] {
        expect(&*plain(&settings), "foo", want).await;
    }
}

/// Accounts in Redis with TLS, a user of its ACL, and a password in a file, as configured.
#[test]
fn accounts_of_a_configuration() {
    let folder = folder();
    let tls = free_port().to_string();
    let [certificate_file, key, ca] =
        ["server.pem", "server.key", "ca.pem"].map(|name| certificate(name).display().to_string());
    let files = ["--tls-cert-file", &certificate_file, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let words = ["--tls-port", &tls, "--tls-auth-clients", "no"];
    let server = redis(folder.path(), &[&words[..], &files].concat());
    tell_redis(
        server.port,
        &[
            &["SET", "account:foo@example.com", "1"],
            &["HSET", "accounts", "bar@example.com", "/var/mail/bar"],
            &["SADD", "set", "baz@example.com"],
            &["ACL", "SETUSER", "rcptd", "on", ">word", "~account*", "~set", "+get", "+hget", "+info"],
        ],
    );
    let path = |name: &str| folder.path().join(name);
    let private = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    private("password", "word\n");
    private("wrong", "words\n");
    for (query, password, address, want) in [
        ("key = \"account:%s\"", "password", "foo@example.com", "exists"),
        ("key = \"account:%s\"", "password", "bar@example.com", "not found"),
        ("key = \"accounts\"\nfield = \"%s\"", "password", "bar@example.com", "exists"),
        ("key = \"accounts\"\nfield = \"%s\"", "password", "foo@example.com", "not found"),
        // Lookups in sets and with a wrong password fail temporarily.
        ("key = \"accounts:%s\"", "wrong", "foo@example.com", "temporary failure"),
        ("key = \"other:%s\"", "password", "foo@example.com", "temporary failure"),
    ] {
        let config = format!(
            "domains = [\"example.com\"]\n[account]\nsource = \"map:users\"\n\
             [[map]]\nname = \"users\"\nsource = \"database:accounts\"\n{query}\n\
             [[database]]\nname = \"accounts\"\nkind = \"redis\"\nhosts = \"127.0.0.1:{tls}\"\n\
             user = \"rcptd\"\npassword_file = \"{password}\"\ntls = true\ntls_ca = \"{ca}\"\n"
        );
        fs::write(path("rcptd.conf"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
        let output = command.args(["explain", "-c"]).arg(path("rcptd.conf")).arg(address).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(out.contains(want), "{query} {address}: not {want}:\n{out}{error}");
    }
}

/// Starts it, and waits until it has read its data.
fn start(server: &mut Served) {
    server.start();
    while !tell_redis_once(server.port, &["PING"]).starts_with('+') {
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn restarts_and_other_hosts() {
    let folder = folder();
    let server = redis(folder.path(), &[]);
    tell_redis(server.port, &[&["SET", "foo", "bar"]]);
    let kinds: [super::Open; 1] = [|hosts| plain(&settings(Kind::Redis, hosts))];
    super::restarts_and_other_hosts(server, start, &kinds, ("foo", Found("bar"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_share_a_connection() {
    let folder = folder();
    let server = redis(folder.path(), &[]);
    let keys: Vec<String> = (0..500).map(|n| format!("key{n}")).collect();
    for key in &keys {
        tell_redis(server.port, &[&["SET", key, &format!("value of {key}")]]);
    }
    let table = plain(&settings(Kind::Redis, &[inet(server.port)]));
    let mut asking = Vec::new();
    for key in keys {
        let table = table.clone();
        asking.push(tokio::spawn(async move {
            // Some are given up in the middle.
            if key.ends_with('3') {
                let _ = tokio::time::timeout(Duration::from_micros(200), table.look_up(&key)).await;
            } else {
                expect(&*table, &key, Found(&format!("value of {key}"))).await;
            }
        }));
    }
    for asked in asking {
        asked.await.unwrap();
    }
}

/// What real servers say seldom.
#[tokio::test]
async fn refusals() {
    let folder = folder();
    let master = free_port().to_string();
    let replica = redis(
        folder.path(),
        &["--replicaof", &format!("127.0.0.1 {master}"), "--replica-serve-stale-data", "no"],
    );
    expect(&*plain(&settings(Kind::Redis, &[inet(replica.port)])), "foo", Unknown("MASTERDOWN")).await;
    // Nothing listens there.
    let moved = format!("-MOVED 3999 127.0.0.1:{}\r\n", free_port());
    for (reply, want) in [
        ("-LOADING Redis is loading the dataset in memory\r\n", Unknown("LOADING")),
        ("-CLUSTERDOWN The cluster is down\r\n", Unknown("CLUSTERDOWN")),
        (&moved, Unknown("onnection refused")),
        ("-MOVED 16384 127.0.0.1:6381\r\n", Unknown("it replied MOVED 16384")),
        ("-ASK 3999 ?:6381\r\n", Unknown("it replied ASK 3999")),
        ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", Unknown("TRYAGAIN")),
        ("-ERR what\r\n", Unknown("what")),
        ("$-1\r\n", NotFound),
        ("$3\r\nbar\r\n", Found("bar")),
        ("+bar\r\n", Found("bar")),
        ("$3\r\n\u{fffd}\r\n", Found("\u{fffd}")),
        (":7\r\n", Unknown("not a string")),
        ("*1\r\n$3\r\nbar\r\n", Unknown("not a string")),
        ("HTTP/1.1 400 Bad Request\r\n", Unknown("database users: 127.0.0.1:")),
        ("", Unknown("no connection within 1s")),
    ] {
        let bytes = reply.as_bytes().to_vec();
        let fake = Fake::new(
            |request| request.ends_with(b"\r\n"),
            move |request| {
                let commands = request.split(|b| *b == b'\n').filter(|line| line.starts_with(b"*")).count();
                Act::Reply(bytes.repeat(commands))
            },
        );
        expect(&*plain(&settings(Kind::Redis, &[inet(fake.port)])), "foo", want).await;
    }
    let broken = Fake::new(|request| request.ends_with(b"\r\n"), |_| Act::SayAndClose(Vec::new()));
    expect(&*plain(&settings(Kind::Redis, &[inet(broken.port)])), "foo", Unknown("database users: ")).await;
    let silent = Fake::new(
        |request| request.ends_with(b"\r\n"),
        |request| {
            let has = |word: &[u8]| request.windows(word.len()).any(|part| part == word);
            match () {
                () if has(b"replication") => Act::SayAndClose(Vec::new()),
                () if has(b"GET") => Act::Reply(b"$-1\r\n".to_vec()),
                () => Act::Reply(b"+OK\r\n+OK\r\n".to_vec()),
            }
        },
    );
    let none = "gave no answer for the witness INFO replication: ";
    expect(&*plain(&settings(Kind::Redis, &[inet(silent.port)])), "foo", Unknown(none)).await;
    let latin = Fake::new(
        |_| true,
        |request| {
            let is_question = request.windows(3).any(|part| part == b"GET");
            let reply: &[u8] = if is_question { b"$2\r\n\xfc\xdf\r\n" } else { b"+OK\r\n+OK\r\n" };
            Act::Reply(reply.to_vec())
        },
    );
    expect(&*plain(&settings(Kind::Redis, &[inet(latin.port)])), "foo", Unknown("not UTF-8")).await;
}

#[test]
fn wrong_settings() {
    let good = || settings(Kind::Redis, &[inet(1)]);
    let mut number = good();
    number.database = "mail".into();
    let mut user = good();
    user.user = Some("rcptd".into());
    for (settings, want) in [
        (number, "\"mail\" is not the number of a Redis database"),
        (user, "set password_file"),
        (settings(Kind::Redis, &[]), "set hosts"),
        (with_tls(good(), &certificate("server.key")), "no certificate in it"),
        (with_tls(good(), &certificate("missing")), "name a file of certificates"),
    ] {
        let error = open(&settings).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    let database = open(&good()).unwrap();
    let redis =
        |key: &str, field: Option<&str>| Query::Redis { key: key.into(), field: field.map(str::to_owned) };
    for (query, want) in [
        (redis("alias", None), "write %s"),
        (redis("alias", Some("field")), "write %s"),
        (redis("%x", None), "key: write %s"),
        (redis("rcptd:%s", None), "key: rcptd writes keys that begin with rcptd: itself: use another prefix"),
        (redis("hash", Some("%")), "field: write %s"),
        (Query::Sql("SELECT 1".into()), "key = \"%s\""),
    ] {
        let error = database.table(&query).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

/// A replica answers "nothing there" of all keys before its master has sent them.
#[tokio::test]
async fn a_replica_that_was_never_filled_is_not_believed() {
    let (here, there) = (folder(), folder());
    let nowhere = free_port().to_string();
    let replica = redis(here.path(), &["--replicaof", "127.0.0.1", &nowhere]);
    let master = redis(there.path(), &[]);
    tell_redis(master.port, &[&["SET", "postmaster@example.test", "p"]]);
    for (port, witness, want) in [
        (replica.port, None, Unknown("replica without its master")),
        (replica.port, Some("postmaster@example.test"), Unknown("replica without its master")),
        (master.port, None, NotFound),
        (master.port, Some("postmaster@example.test"), NotFound),
        (master.port, Some("other@example.test"), Unknown("does not find the witness other@example.test")),
    ] {
        let mut settings = settings(Kind::Redis, &[inet(port)]);
        settings.witness = witness.map(str::to_owned);
        let table = plain(&settings);
        for _ in 0..3 {
            expect(&*table, "absent@example.test", want).await;
        }
    }
    // Once it has been filled it is one like the others.
    tell_redis(replica.port, &[&["REPLICAOF", "127.0.0.1", &master.port.to_string()]]);
    let mut settings = settings(Kind::Redis, &[inet(replica.port)]);
    settings.control_interval = Duration::from_secs(1);
    let table = plain(&settings);
    let begun = Instant::now();
    while table.look_up("absent@example.test").await != rcptd::map::Lookup::NotFound {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not believed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    expect(&*table, "postmaster@example.test", Found("p")).await;
    // It loses its master: the keys that it still finds do not show that it has the new ones.
    tell_redis(replica.port, &[&["REPLICAOF", "127.0.0.1", &nowhere]]);
    for witness in [None, Some("postmaster@example.test")] {
        let mut settings = super::settings(Kind::Redis, &[inet(replica.port)]);
        settings.witness = witness.map(str::to_owned);
        let table = plain(&settings);
        expect(&*table, "postmaster@example.test", Found("p")).await;
        expect(&*table, "absent@example.test", Unknown("replica without its master")).await;
    }
    let begun = Instant::now();
    while table.look_up("absent@example.test").await == rcptd::map::Lookup::NotFound {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is still believed");
        expect(&*table, "postmaster@example.test", Found("p")).await;
    }
}
