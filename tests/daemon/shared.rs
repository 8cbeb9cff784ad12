//! Two mail servers that share known accounts in a real Redis.

use super::common::{Daemon, Site, WAIT};
use super::outage::{DOWN, MailServer, UP, WITHOUT_FOO, command, replies, site};
use super::stores::{redis, tell_redis, tell_redis_once};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

/// The rights of the user in the manual.
const USER: &[&str] = &["--user", "rcptd", "on", ">word", "~rcptd:known:*", "+get", "+set", "+del", "+scan"];

/// Waits until these accounts are shared.
fn until_shared(port: u16, want: &[&str]) {
    let shared = || {
        let reply = tell_redis_once(port, &["KEYS", "rcptd:known:*"]);
        let mut keys: Vec<_> =
            reply.lines().filter_map(|line| line.strip_prefix("rcptd:known:")).map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let begun = Instant::now();
    while shared() != want {
        assert!(begun.elapsed() < WAIT, "{:?}, and not {want:?}", shared());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A site that shares its accounts. It has a source of this mail server.
fn sharing(server: &MailServer, redis: u16) -> Site {
    let site = site(server);
    site.write("password", "word\n");
    fs::set_permissions(site.path("password"), Permissions::from_mode(0o600)).expect("permissions");
    site.configure(
        "file = \"known\"",
        &format!(
            "file = \"known\"\nshared = \"database:known\"\n\
             [[database]]\nname = \"known\"\nkind = \"redis\"\nhosts = \"127.0.0.1:{redis}\"\n\
             user = \"rcptd\"\npassword_file = \"password\""
        ),
    );
    site
}

#[test]
fn an_account_that_one_server_knows_is_known_to_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = redis(folder.path(), USER);
    let server = MailServer::start();
    let [primary, mut backup] = [0, 1].map(|_| Daemon::start(sharing(&server, store.port)));
    let all = ["foo", "foo-macys-m5", "alice", "nobody"];
    assert_eq!(replies(&primary, &["foo", "nobody"]), "+-");
    until_shared(store.port, &["foo@example.test"]);
    let left = tell_redis_once(store.port, &["TTL", "rcptd:known:foo@example.test"]);
    let left: u64 = left.trim_matches([':', '\r', '\n']).parse().expect("seconds");
    assert!((345_000..=345_600).contains(&left), "{left}");

    // The backup was never asked for foo, and knows it from the primary, also after a restart.
    server.set(DOWN);
    assert_eq!(replies(&backup, &all), "++??", "{}", backup.log.text());
    backup.log.wait_for(0, "found 0 min ago by another host");
    backup.stop();
    let mut backup = Daemon::start(std::mem::replace(&mut backup.site, Site::new("", "")));
    assert_eq!(replies(&backup, &all), "++??", "{}", backup.log.text());

    // "Not found" at one server removes the account for the other.
    server.set(WITHOUT_FOO);
    assert_eq!(replies(&primary, &["foo"]), "-");
    until_shared(store.port, &[]);
    server.set(DOWN);
    assert_eq!(replies(&backup, &all), "????");

    // An operator forgets it at one server.
    server.set(UP);
    assert_eq!(replies(&primary, &["foo", "alice"]), "++");
    until_shared(store.port, &["alice@example.test", "foo@example.test"]);
    server.set(DOWN);
    assert_eq!(replies(&backup, &all), "+++?");
    assert_eq!(command(&backup, &["cache", "flush", "foo@example.test"]).0, "1 account forgotten\n");
    until_shared(store.port, &["alice@example.test"]);
    assert_eq!(replies(&backup, &all), "??+?");
    assert_eq!(replies(&primary, &all), "+++?", "it has found it itself");

    // A pin applies to one server. Unpinning removes the account from the shared accounts.
    assert_eq!(command(&backup, &["cache", "pin", "alice@example.test"]).1, 0);
    assert_eq!(command(&backup, &["cache", "unpin", "alice@example.test"]).1, 0);
    until_shared(store.port, &[]);

    // Without the store, each server knows only the accounts that it has found.
    server.set(UP);
    assert_eq!(replies(&primary, &["foo"]), "+");
    until_shared(store.port, &["foo@example.test"]);
    server.set(DOWN);
    store.stop();
    for _ in 0..3 {
        assert_eq!(replies(&backup, &all), "????");
        assert_eq!(replies(&primary, &all), "+++?");
    }
    backup.log.wait_for(0, "source=shared:known begins to fail");
    let lines = backup.log.text().lines().filter(|line| line.contains("source=shared:known begins")).count();
    assert!(lines == 1, "{}", backup.log.text());
    let (text, _) = command(&backup, &["cache", "flush"]);
    assert!(text.contains("shared accounts are not forgotten: ") && text.contains("refused"), "{text}");
    // The server hangs, with its connections open.
    store.start();
    tell_redis(store.port, &[&["PING"]]);
    store.signal("STOP");
    assert_eq!(replies(&backup, &all), "????");
    store.signal("CONT");
    let begun = Instant::now();
    while replies(&backup, &all) != "++??" {
        assert!(begun.elapsed() < WAIT, "{}", backup.log.text());
        thread::sleep(Duration::from_millis(100));
    }
    backup.stop();
}

/// A server with another source does not use the accounts, and does not remove them.
#[test]
fn accounts_of_other_sources_are_not_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = redis(folder.path(), USER);
    let servers = [MailServer::start(), MailServer::start()];
    let [one, other] = [&servers[0], &servers[1]].map(|server| Daemon::start(sharing(server, store.port)));
    assert_eq!(replies(&one, &["foo"]), "+");
    until_shared(store.port, &["foo@example.test"]);
    servers[1].set(DOWN);
    assert_eq!(replies(&other, &["foo"]), "?");
    servers[1].set(WITHOUT_FOO);
    assert_eq!(replies(&other, &["foo", "alice"]), "-+");
    until_shared(store.port, &["alice@example.test", "foo@example.test"]);
    command(&other, &["cache", "flush"]);
    until_shared(store.port, &["foo@example.test"]);
}
