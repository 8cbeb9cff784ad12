//! The life of the daemon: start, reload, stop, and hard times, with the program itself.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

#[path = "daemon/burst.rs"]
mod burst;
mod common;
#[path = "daemon/guessing.rs"]
mod guessing;
#[path = "daemon/log.rs"]
mod log;
#[path = "daemon/outage.rs"]
mod outage;
#[path = "common/programs.rs"]
mod programs;
#[cfg(feature = "redis")]
#[path = "daemon/shared.rs"]
mod shared;
#[cfg(feature = "redis")]
#[path = "common/stores.rs"]
mod stores;

use common::mta::{Mta, OFFER};
use common::{Daemon, Site, rcptd};
use programs::free_port;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Rules that give foo another form of aliases than [`common::RULES`].
const OTHER_RULES: &str = "ACCOUNT foo MATCHES %account%.%alnum%.%code% WITH CHARS();\n";

const OLD: &str = "<foo-macys-m5@example.test>";
const NEW: &str = "<foo.macys.5@example.test>";

fn begin(mut mta: Mta) -> Mta {
    mta.negotiate(OFFER);
    mta.mail();
    mta
}

/// Whether the daemon takes this for an alias, in a session of its own.
fn is_alias(daemon: &Daemon, recipient: &str) -> bool {
    begin(daemon.connect()).rcpt(&[recipient]) == "c"
}

/// What the program says when it does not start.
fn refused(site: &Site) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = site.command().output().expect("the program");
    (status.code(), String::from_utf8_lossy(&stderr).into())
}

#[test]
fn a_reload_counts_for_new_sessions() {
    let daemon = Daemon::start(Site::new("watch = false", ""));
    let mut old = begin(daemon.connect());
    assert_eq!(old.rcpt(&[OLD]), "c");
    daemon.site.write("aliases.rules", OTHER_RULES);
    daemon.reload();
    daemon.log.wait_for(0, "configuration reloaded (SIGHUP): 1 rule");
    // The session under way keeps its rules, also for its next message.
    assert!(old.rcpt(&[NEW]).starts_with("y 550"));
    assert_eq!(old.end().len(), 3);
    old.mail();
    assert_eq!(old.rcpt(&[OLD]), "c");
    assert!(is_alias(&daemon, NEW) && !is_alias(&daemon, OLD));
    // SIGUSR1 is the same.
    daemon.site.write("aliases.rules", common::RULES);
    daemon.signal("USR1");
    daemon.log.wait_for(0, "configuration reloaded (SIGUSR1): 1 rule");
    assert!(is_alias(&daemon, OLD));
}

#[test]
fn a_broken_reload_changes_nothing_and_says_why() {
    let mut daemon = Daemon::start(Site::new("watch = false", ""));
    daemon.site.write("aliases.rules", "ACCOUNT foo MATSCHES x;\nACCOUNT\n");
    daemon.site.configure("[milter]", "wrokers = 1\n[milter]\nidle_timeout = \"soon\"");
    let from = daemon.log.len();
    daemon.reload();
    daemon.log.wait_for(from, "the old configuration stays in force");
    let log = daemon.log.text();
    for want in ["rcptd.conf:4:1: error: ", "milter.idle_timeout = ", "aliases.rules:1:"] {
        assert!(log[from..].contains(want), "{want} in {log}");
    }
    daemon.check("a broken reload");
    daemon.site.write("aliases.rules", OTHER_RULES);
    daemon.site.configure("wrokers = 1\n", "");
    daemon.site.configure("idle_timeout = \"soon\"\n", "");
    daemon.reload();
    assert!(is_alias(&daemon, NEW));
    let log = daemon.stop();
    assert!(log.contains("reloads=1 failed_reloads=1"), "{log}");
}

#[test]
fn a_source_that_cannot_be_built_changes_nothing() {
    let daemon = Daemon::start(Site::new("watch = false", ""));
    daemon.site.configure("[account.cache]", "[account.smtp]\ntls_ca = \"no-such.pem\"\n[account.cache]");
    let accounts = format!("file:{}", daemon.site.path("accounts").display());
    daemon.site.configure(&accounts, "vrfy:127.0.0.1:1");
    daemon.reload();
    daemon.log.wait_for(0, "the old configuration stays in force");
    daemon.check("a source that cannot be built");
}

/// `source = "map:NAME"`: a changed list counts at once, although answers are cached.
#[test]
fn accounts_may_come_from_a_map() {
    let site = Site::new("", "");
    let list = site.path("users.list");
    site.write("users.list", "foo@example.test x\n");
    let accounts = format!("file:{}", site.path("accounts").display());
    site.configure(&accounts, "map:users");
    let map = &*format!("\n[[map]]\nname = \"users\"\nsource = \"texthash:{}\"\n", list.display());
    site.write("rcptd.conf", &(fs::read_to_string(site.path("rcptd.conf")).expect("read") + map));
    site.configure("positive_ttl = \"0s\"", "positive_ttl = \"1h\"");
    site.configure("negative_ttl = \"0s\"", "negative_ttl = \"1h\"");
    let daemon = Daemon::start(site);
    let reply = |recipient: &str| {
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        mta.rcpt(&[recipient])
    };
    for _ in 0..2 {
        assert_eq!(reply("<foo-macys-m5@example.test>"), "c");
        assert!(reply("<bar@example.test>").starts_with("y 550 5.1.1 "));
    }
    let from = daemon.log.len();
    daemon.site.write("new.list", "bar@example.test x\n");
    fs::rename(daemon.site.path("new.list"), &list).expect("renamed");
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
    assert!(reply("<foo-macys-m5@example.test>").starts_with("y 550 5.1.1 "));
    assert_eq!(reply("<bar@example.test>"), "c");
}

#[test]
fn a_changed_file_is_read_again() {
    let daemon = Daemon::start(Site::new("", ""));
    let path = daemon.site.path("aliases.rules");
    let mut rules = [(OTHER_RULES, NEW, OLD), (common::RULES, OLD, NEW)].into_iter().cycle();
    let mut change = |how: &str, write: &dyn Fn(&str)| {
        let (text, yes, no) = rules.next().expect("a cycle");
        let from = daemon.log.len();
        write(text);
        daemon.log.wait_for(from, "configuration reloaded (file changed)");
        assert!(is_alias(&daemon, yes) && !is_alias(&daemon, no), "{how}");
    };
    change("written in place", &|text| fs::write(&path, text).expect("written"));
    change("renamed over", &|text| {
        daemon.site.write("aliases.new", text);
        fs::rename(daemon.site.path("aliases.new"), &path).expect("renamed");
    });
    change("deleted and made anew", &|text| {
        let from = daemon.log.len();
        fs::remove_file(&path).expect("removed");
        // While it is gone the old rules hold.
        daemon.log.wait_for(from, "the old configuration stays in force");
        fs::write(&path, text).expect("written");
    });
    change("the configuration, pointing elsewhere", &|text| {
        daemon.site.write("other.rules", text);
        daemon.site.configure("\"aliases.rules\"", "\"other.rules\"");
    });
    change("the file it now names", &|text| daemon.site.write("other.rules", text));
}

/// Secrets are watched and read like the rules, and never told.
#[test]
fn changed_secrets_are_read_again() {
    let site = Site::new("secrets = \"secrets\"", "");
    let private = |site: &Site, content: &str, mode: u32| {
        site.write("secrets.new", content);
        fs::set_permissions(site.path("secrets.new"), fs::Permissions::from_mode(mode)).expect("a mode");
        fs::rename(site.path("secrets.new"), site.path("secrets")).expect("renamed");
    };
    private(&site, "correct horse battery staple\n", 0o640);
    let mut daemon = Daemon::start(site);
    for (content, mode, want) in [
        ("another horse, another staple\n", 0o640, "configuration reloaded (file changed)"),
        ("hunter2\n", 0o640, "secrets:1:1: error: the secret is shorter than 16 bytes"),
        ("one more horse, one more staple\n", 0o644, "every user on this host can access it"),
        ("one more horse, one more staple\n", 0o640, "configuration reloaded (file changed)"),
    ] {
        let from = daemon.log.len();
        private(&daemon.site, content, mode);
        daemon.log.wait_for(from, want);
        daemon.check(content);
    }
    let log = daemon.stop();
    assert!(!log.contains("horse") && !log.contains("hunter"), "{log}");
}

/// The script is watched and read like the rules.
#[test]
fn a_changed_script_is_read_again() {
    const SWAP: &str =
        "fn postprocess(account, domain) { if account == \"foo\" { \"bar\" } else { account } }\n";
    const FAILS: &str =
        "fn preprocess(alias, domain) { if alias == \"postmaster\" { alias } else { 1 / 0 } }\n";
    let site = Site::new("script = \"hooks.rhai\"", "");
    site.write("hooks.rhai", SWAP);
    let daemon = Daemon::start(site);
    let added = |daemon: &Daemon| {
        let mut mta = begin(daemon.connect());
        let reply = mta.rcpt(&[OLD]);
        if reply == "c" { mta.end().join(" ") } else { reply }
    };
    let change = |script: &str, want: &str| {
        let from = daemon.log.len();
        daemon.site.write("hooks.new", script);
        fs::rename(daemon.site.path("hooks.new"), daemon.site.path("hooks.rhai")).expect("renamed");
        daemon.log.wait_for(from, want);
    };
    assert!(added(&daemon).contains("bar@example.test"), "{}", added(&daemon));
    change(
        "fn postprocess(account, domain) { account",
        "hooks.rhai:1:42: error: the script cannot be read: ",
    );
    change("fn postprocess(account, domain) { acount }", "hooks.rhai:1:35: error: postprocess(");
    assert!(added(&daemon).contains("bar@example.test"), "{}", added(&daemon));
    change("fn postprocess(account, domain) { account }", "configuration reloaded (file changed)");
    assert!(added(&daemon).contains("foo@example.test"), "{}", added(&daemon));
    // What fails later defers, and the log has the place.
    change(FAILS, "configuration reloaded (file changed)");
    let from = daemon.log.len();
    assert!(added(&daemon).starts_with("y 451"), "{}", added(&daemon));
    daemon.log.wait_for(from, "reason=script ");
    daemon.log.wait_for(from, "/hooks.rhai:1:76: preprocess: Division by zero: 1 / 0");
}

/// Half a file may well pass for all of it, and none of it for no rules at all.
#[test]
fn a_file_that_is_being_written_is_not_read() {
    let daemon = Daemon::start(Site::new("", ""));
    let from = daemon.log.len();
    let mut file = fs::File::create(daemon.site.path("aliases.rules")).expect("emptied");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!daemon.log.text()[from..].contains("reload"), "{}", daemon.log.text());
    daemon.check("a file being written");
    file.write_all(OTHER_RULES.as_bytes()).expect("written");
    drop(file);
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
    assert!(is_alias(&daemon, NEW));
}

/// A site with a file of every kind that is read, all of them several lines long.
fn site_of_all_files() -> Site {
    let site = Site::new("secrets = \"secrets\"\nscript = \"hooks.rhai\"", "");
    let list = site.path("list");
    site.configure(
        "[log]",
        &format!(
            "[[map]]\nname = \"list\"\nsource = \"texthash:{}\"\n[[tcp_table]]\nlisten = \"inet:127.0.0.1:0\"\n\
             map = \"list\"\n[log]",
            list.display()
        ),
    );
    site.write("list", "a 1\nb 2\nc 3\nd 4\n");
    site.write("hooks.rhai", "fn preprocess(alias, domain) { alias }\nfn postprocess(a, d) { a }\n");
    site.write("secrets", "correct horse battery staple\n");
    fs::set_permissions(site.path("secrets"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let more = ["baz", "zed"].map(|name| format!("ACCOUNT {name} MATCHES %account%+%code% WITH CHARS();\n"));
    site.write("aliases.rules", &format!("{}{}", common::RULES, more.concat()));
    site
}

/// The writer of a file may take its time, and a reload may be asked for meanwhile for another reason.
#[test]
fn a_reload_reads_no_half_of_a_file() {
    for watch in [true, false] {
        let site = site_of_all_files();
        if !watch {
            site.configure("domains =", "watch = false\ndomains =");
        }
        let daemon = Daemon::start(site);
        for name in ["aliases.rules", "list", "rcptd.conf", "hooks.rhai", "secrets"] {
            let path = daemon.site.path(name);
            let whole = fs::read(&path).expect("a file");
            let mut file = fs::File::create(&path).expect("emptied");
            file.write_all(&whole[..whole.len() / 2]).expect("half of it");
            // Longer than a file must be left alone where no event tells.
            std::thread::sleep(Duration::from_secs(3));
            let from = daemon.log.len();
            daemon.reload();
            daemon
                .log
                .wait_for(from, &format!("{name} is being written: reload when its writer has closed it"));
            daemon.log.wait_for(from, "the old configuration stays in force");
            daemon.check(name);
            file.write_all(&whole[whole.len() / 2..]).expect("the rest");
            drop(file);
            if !watch {
                daemon.reload();
            }
            daemon.log.wait_for(from, "configuration reloaded (");
            daemon.check(name);
        }
    }
}

/// Cut short is not the same as meant: only the operator knows.
#[test]
fn what_shrinks_sharply_is_accepted_on_request_only() {
    let daemon = Daemon::start(site_of_all_files());
    let conf = fs::read_to_string(daemon.site.path("rcptd.conf")).expect("the configuration");
    let no_script = conf.replace("script = ", "#script = ");
    for (name, content, want) in [
        ("aliases.rules", common::RULES, "aliases.rules has shrunk from 3 rules to 1"),
        ("aliases.rules", "# to be written\n", "aliases.rules has shrunk from 1 rule to 0"),
        ("list", "a 1\n", "list has shrunk from 4 keys to 1"),
        ("rcptd.conf", &no_script, "rcptd.conf has shrunk from 1 script to 0"),
    ] {
        let from = daemon.log.len();
        daemon.site.write(name, content);
        daemon.log.wait_for(from, want);
        daemon.log.wait_for(from, "if this is intended, send SIGHUP");
        daemon.log.wait_for(from, "the old configuration stays in force");
        let from = daemon.log.len();
        daemon.reload();
        daemon.log.wait_for(from, "configuration reloaded (SIGHUP)");
    }
    // Half of it may go.
    let from = daemon.log.len();
    daemon.site.write("list", "a 1\nb 2\n");
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
    let from = daemon.log.len();
    daemon.site.write("list", "b 2\n");
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
}

/// The list of accounts is not read with the configuration, but the operator's word counts for it, too.
#[test]
fn a_list_of_accounts_that_shrinks_defers_until_it_is_asked_for() {
    let site = Site::new("", "");
    site.write("accounts", "foo\nbar\nalice\nbob\ncarol\n");
    let control = site.path("control.sock").display().to_string();
    site.configure("[milter]", &format!("[control]\nlisten = \"unix:{control}\"\n[milter]"));
    let daemon = Daemon::start(site);
    // Not as it would be for a daemon that starts now.
    let is_told = || {
        [
            ("check", "accounts: the running daemon does not use its current version: the list has shrunk"),
            ("status", "accounts: current version NOT USED: the list has shrunk"),
        ]
        .map(|(command, want)| {
            let mut command_line = common::rcptd();
            command_line.args([command, "-c"]).arg(daemon.site.path("rcptd.conf"));
            let Output { status, stdout, stderr } = command_line.output().expect("the program");
            let text = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert_eq!(status.code(), Some(0), "{text}");
            text.contains(want)
        })
    };
    assert_eq!(is_told(), [false, false]);
    let says = |user: &str| begin(daemon.connect()).rcpt(&[&format!("<{user}@example.test>")]);
    assert_eq!(says("carol"), "c");
    let from = daemon.log.len();
    daemon.site.write("accounts", "foo\nalice\n");
    daemon.log.wait_for(from, "the list has shrunk from 5 accounts to 2; if this is intended, send SIGHUP");
    assert_eq!((says("carol"), says("alice")), ("c".into(), "c".into()));
    assert!(says("nobody").starts_with("y 451"), "{}", says("nobody"));
    assert_eq!(is_told(), [true, true]);
    daemon.reload();
    assert_eq!(is_told(), [false, false]);
    assert!(says("carol").starts_with("y 550"), "{}", says("carol"));
}

/// What was remembered of a list goes with the list; the rest survives a reload.
#[test]
fn nothing_stale_is_remembered() {
    let site = Site::new("", "");
    site.configure("positive_ttl = \"0s\"", "positive_ttl = \"1h\"");
    site.configure("negative_ttl = \"0s\"", "negative_ttl = \"1h\"");
    let daemon = Daemon::start(site);
    let says = |user: &str| begin(daemon.connect()).rcpt(&[&format!("<{user}@example.test>")]);
    let becomes = |user: &str, want: &str| {
        let begun = Instant::now();
        while !says(user).starts_with(want) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{user} is {}", says(user));
            thread::sleep(Duration::from_millis(20));
        }
    };
    assert!(says("alice") == "c" && says("carol").starts_with("y 550"));
    daemon.site.write("next", "foo\nbar\ncarol\n");
    fs::rename(daemon.site.path("next"), daemon.site.path("accounts")).expect("renamed");
    becomes("carol", "c");
    becomes("alice", "y 550");
    // A reload of something else forgets nothing.
    let from = daemon.log.len();
    daemon.site.write("aliases.rules", OTHER_RULES);
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
    let from = daemon.log.len();
    assert_eq!(says("carol"), "c");
    daemon.log.wait_for(from, "cache=hit");
}

/// `rcptd explain` reads the files as they are now; what the daemon makes of them may differ, and is shown.
#[test]
fn explain_tells_what_the_daemon_decides() {
    let site = Site::new("", "");
    site.write("accounts", "foo\nbar\nalice\nbob\ncarol\n");
    let socket = site.path("control.sock");
    site.configure("[log]", &format!("[control]\nlisten = \"unix:{}\"\n[log]", socket.display()));
    let daemon = Daemon::start(site);
    let explained = |user: &str| {
        let mut command = rcptd();
        command.arg("explain").arg("-c").arg(daemon.site.path("rcptd.conf"));
        let Output { stdout, .. } =
            command.arg(format!("{user}@example.test")).output().expect("the program");
        let text = String::from_utf8(stdout).expect("UTF-8");
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("daemon "));
        line.unwrap_or_else(|| panic!("no word of the daemon in {text}")).trim().to_owned()
    };
    let says = |user: &str| begin(daemon.connect()).rcpt(&[&format!("<{user}@example.test>")]);
    assert_eq!((explained("carol"), explained("nobody")), ("the same".into(), "the same".into()));
    // Half of the list, for longer than a file must be left alone.
    let mut writer = fs::File::create(daemon.site.path("accounts")).expect("emptied");
    writer.write_all(b"foo\nbar\nalice\n").expect("half of it");
    thread::sleep(Duration::from_secs(3));
    assert!(says("carol") == "c" && says("nobody").starts_with("y 451"));
    assert_eq!(explained("carol"), "the name of an account; kept");
    assert!(explained("nobody").starts_with("deferred: "), "{}", explained("nobody"));
    assert_eq!(explained("alice"), "the same");
    writer.write_all(b"bob\ncarol\n").expect("the rest");
    drop(writer);
    let begun = Instant::now();
    while explained("nobody") != "the same" {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", explained("nobody"));
    }
    assert!(says("carol") == "c" && says("nobody").starts_with("y 550"));
    // Cut short, and not accepted.
    let from = daemon.log.len();
    daemon.site.write("accounts", "foo\nalice\n");
    daemon.log.wait_for(from, "the list has shrunk from 5 accounts to 2");
    assert_eq!((says("carol"), explained("carol").as_str()), ("c".into(), "the name of an account; kept"));
    daemon.reload();
    assert_eq!(explained("carol"), "the same");
    assert!(says("carol").starts_with("y 550"));
}

/// In a user namespace, where the limit can be set for this test alone.
#[test]
fn instances_of_inotify_that_ran_out_are_tried_again() {
    let site = Site::new("", "");
    let go = site.path("go");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.arg(
        "limit=/proc/sys/user/max_inotify_instances; echo 0 > $limit || exit 1; \
         (while [ ! -e \"$2\" ]; do sleep 0.1; done; echo 100 > $limit) & exec \"$0\" serve -c \"$1\"",
    );
    command.arg(env!("CARGO_BIN_EXE_rcptd")).arg(site.path("rcptd.conf")).arg(&go);
    let daemon = Daemon::start_by(site, command);
    daemon.log.wait_for(0, "the folder cannot be watched: its files are checked every second until it can");
    let mut rules = [(OTHER_RULES, NEW), (common::RULES, OLD)].into_iter().cycle();
    let mut change = |name: &str| {
        let (text, yes) = rules.next().expect("a cycle");
        let from = daemon.log.len();
        daemon.site.write("next", text);
        fs::rename(daemon.site.path("next"), daemon.site.path("aliases.rules")).expect("renamed");
        daemon.log.wait_for(from, "configuration reloaded (file changed)");
        assert!(is_alias(&daemon, yes), "{name}");
    };
    change("unwatched");
    fs::write(&go, "").expect("written");
    daemon.log.wait_for(0, "the folder is watched again");
    change("watched");
}

#[test]
fn rules_that_have_gone_are_given_up_on_request_only() {
    let daemon = Daemon::start(Site::new("", ""));
    let from = daemon.log.len();
    daemon.site.write("aliases.rules", "");
    daemon.log.wait_for(from, "aliases.rules has shrunk from 1 rule to 0; if this is intended, send SIGHUP");
    daemon.check("a file cut short");
    daemon.signal("HUP");
    daemon.log.wait_for(from, "configuration reloaded (SIGHUP)");
    assert!(!is_alias(&daemon, OLD));
}

/// Opening a pipe waits for somebody to write to it.
#[test]
fn a_pipe_for_a_file_does_not_hold_up_the_daemon() {
    let mut daemon = Daemon::start(Site::new("watch = false", ""));
    let path = daemon.site.path("aliases.rules");
    fs::remove_file(&path).expect("removed");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let from = daemon.log.len();
    daemon.reload();
    daemon.log.wait_for(from, "it is not a file");
    daemon.check("a pipe");
    daemon.stop();
}

/// A file that was missing when it was first named is watched for.
#[test]
fn a_file_that_appears_is_read() {
    let daemon = Daemon::start(Site::new("", ""));
    fs::create_dir(daemon.site.path("sub")).expect("a folder");
    let from = daemon.log.len();
    daemon.site.configure("\"aliases.rules\"", "\"sub/late.rules\"");
    daemon.log.wait_for(from, "the old configuration stays in force");
    daemon.check("a missing file");
    let from = daemon.log.len();
    daemon.site.write("sub/late.rules", OTHER_RULES);
    daemon.log.wait_for(from, "configuration reloaded (file changed)");
    assert!(is_alias(&daemon, NEW));
}

#[test]
fn what_waits_for_a_restart_is_named() {
    let daemon = Daemon::start(Site::new("watch = false", ""));
    daemon.site.configure("level = \"debug\"", "level = \"info\"");
    daemon.site.configure("[milter]", "workers = 3\n[milter]\nmax_connections = 7");
    daemon.reload();
    daemon.log.wait_for(
        0,
        "changed settings that need a restart: \
         workers, milter.max_connections, log.level",
    );
}

/// The comparison is with what runs, whatever was asked for in between.
#[test]
fn what_is_set_back_needs_no_restart() {
    const RESTART: &str = "changed settings that need a restart: milter.max_connections";
    let site = Site::new("watch = false", "max_connections = 7");
    let socket = site.path("control.sock");
    site.configure("[log]", &format!("[control]\nlisten = \"unix:{}\"\n[log]", socket.display()));
    let daemon = Daemon::start(site);
    let status = || {
        let mut command = rcptd();
        command.arg("status").arg("--socket").arg(&socket);
        String::from_utf8(command.output().expect("the program").stdout).expect("UTF-8")
    };
    for (old, new, pending) in [
        ("max_connections = 7", "max_connections = 8", true),
        // Another reload changes nothing about it.
        ("level = \"debug\"", "level = \"debug\"", true),
        ("max_connections = 8", "max_connections = 9", true),
        ("max_connections = 9", "max_connections = 7", false),
        ("level = \"debug\"", "level = \"debug\"", false),
    ] {
        daemon.site.configure(old, new);
        let from = daemon.log.len();
        daemon.reload();
        daemon.log.wait_for(from, "configuration reloaded (SIGHUP)");
        daemon.check(new);
        assert_eq!(daemon.log.text()[from..].contains(RESTART), pending, "{new}");
        let status = status();
        let want = "changed, but not in force until rcptd is restarted: milter.max_connections";
        assert_eq!(status.contains(want), pending, "{new}: {status}");
    }
}

/// Messages follow each other without a pause, so that there is never a moment without one.
#[test]
fn sigterm_under_load_ends_at_message_boundaries() {
    const SESSIONS: usize = 8;
    let mut daemon = Daemon::start(Site::new("", ""));
    let address = daemon.address();
    // Messages under way at the stop, all of which get their edits.
    let load: Vec<_> = (0..SESSIONS)
        .map(|_| {
            thread::spawn(move || {
                let mut mta = Mta::tcp(address);
                mta.negotiate(OFFER);
                let mut messages = 0;
                loop {
                    mta.send(b'M', b"<a@b.test>\0");
                    mta.send(b'R', b"<foo-macys-m5@example.test>\0");
                    match mta.receive() {
                        None => return messages,
                        Some(reply) => assert_eq!(reply.0, b'c'),
                    }
                    thread::sleep(Duration::from_millis(100));
                    assert_eq!(mta.end().len(), 3);
                    messages += 1;
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let took = begun.elapsed();
    for session in load {
        assert!(session.join().expect("no message is cut off") > 0);
    }
    assert!(took < rcptd::daemon::DRAIN / 2, "{took:?}");
    let log = daemon.log.text();
    assert!(!log.contains("stopping at once") && !log.contains("broken"), "{log}");
}

#[test]
fn sigterm_closes_idle_sessions_and_the_socket() {
    let mut daemon = Daemon::start(Site::new("", ""));
    let mut idle = daemon.connect();
    idle.negotiate(OFFER);
    let mut silent = daemon.connect();
    let address = daemon.address();
    daemon.signal("TERM");
    assert_eq!(daemon.notified(), "STOPPING=1");
    assert_eq!((idle.receive(), silent.receive()), (None, None));
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(TcpStream::connect(address).is_err());
    daemon.log.wait_for(0, "stopped: ");
    let log = daemon.log.text();
    assert!(log.contains("SIGTERM: stopping, 0 messages under way"), "{log}");
    // Ended by us, so not broken.
    assert!(!log.contains("broken"), "{log}");
}

#[test]
fn a_message_under_way_gets_its_edits_before_the_end() {
    let mut daemon = Daemon::start(Site::new("", ""));
    let mut mta = begin(daemon.connect());
    assert_eq!(mta.rcpt(&[OLD]), "c");
    let address = daemon.address();
    daemon.signal("INT");
    daemon.log.wait_for(0, "SIGINT: stopping, 1 message under way");
    // Nobody new is let in meanwhile; the socket closes soon after the word.
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < common::WAIT && !daemon.has_ended());
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(mta.rcpt(&["<bar-macys-m5@example.test>"]), "c");
    assert_eq!(mta.end().len(), 5);
    assert_eq!(mta.receive(), None);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut daemon = Daemon::start(Site::new("", ""));
    let mut mta = begin(daemon.connect());
    assert_eq!(mta.rcpt(&[OLD]), "c");
    daemon.signal("TERM");
    daemon.log.wait_for(0, "stopping, 1 message under way");
    daemon.signal("TERM");
    daemon.log.wait_for(0, "second signal: stopping at once");
    assert_eq!(mta.receive(), None);
    assert_eq!(daemon.wait().code(), Some(0));
}

/// A message that does not end holds the daemon up for as long as it may, and no longer.
#[test]
fn a_message_that_does_not_end_is_cut_off() {
    let mut daemon = Daemon::start(Site::new("", ""));
    let mut mta = begin(daemon.connect());
    assert_eq!(mta.rcpt(&[OLD]), "c");
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(mta.receive(), None);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begun.elapsed() >= rcptd::daemon::DRAIN);
}

/// A command in hand that does not end either: a source that says nothing, while a second signal has come.
#[test]
fn a_command_that_does_not_end_is_cut_off() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let site = Site::new("", "deadline = \"29s\"");
    let accounts = format!("file:{}", site.path("accounts").display());
    site.configure(&accounts, &format!("vrfy:{}", mute.local_addr().expect("an address")));
    site.configure("[account.cache]", "deadline = \"28s\"\n[account.cache]");
    let mut daemon = Daemon::start(site);
    let mut mta = begin(daemon.connect());
    mta.send(b'R', b"<alice@example.test>\0");
    let _asked = mute.accept().expect("it asks");
    daemon.signal("TERM");
    daemon.log.wait_for(0, "stopping, 1 message under way");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.log.wait_for(0, "sessions do not end");
    assert_eq!(mta.receive(), None);
}

#[test]
fn a_broken_configuration_does_not_start() {
    let site = Site::new("", "");
    site.configure("domains = [\"example.test\"]", "domians = [\"example.test\"]");
    let (code, said) = refused(&site);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("rcptd.conf:1:1: error: ") && said.contains("rcptd check -c "), "{said}");

    let site = Site::new("", "");
    site.write("aliases.rules", "ACCOUNT\n");
    let (code, said) = refused(&site);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("aliases.rules:"), "{said}");
}

#[test]
fn a_place_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let place = format!("inet:{}", taken.local_addr().expect("an address"));
    let (code, said) = refused(&Site::listening(&place, "", ""));
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains(&format!("cannot listen at {place}: ")), "{said}");
    assert!(said.contains("is rcptd running already?"), "{said}");
    // All that cannot be opened is named in one run.
    let site = Site::listening(&place, "", "");
    site.configure(&format!("\"{place}\""), &format!("[\"{place}\", \"systemd:none\", \"unix:/nowhere/x\"]"));
    let (code, said) = refused(&site);
    assert_eq!(code, Some(69), "{said}");
    for want in [&place, "systemd passed no socket named none", "unix:/nowhere/x"] {
        assert!(said.contains(want), "{want} in {said}");
    }
}

/// By systemd-socket-activate(1), which opens sockets as systemd does and hands them to the program upon the first
/// connection.
#[test]
fn sockets_opened_by_systemd_are_taken() {
    const ACTIVATE: &str = "systemd-socket-activate";
    let there = Command::new(ACTIVATE).arg("--version").stdout(Stdio::null()).status();
    assert!(there.is_ok(), "{ACTIVATE} is missing: install the package systemd, as tests/run does");
    let site = Site::listening("systemd:rcptd-milter", "", "");
    let (port, socket) = (free_port(), site.path("milter.sock"));
    let mut command = Command::new(ACTIVATE);
    command.arg(format!("--listen=127.0.0.1:{port}")).arg("--listen").arg(&socket);
    command.arg("--fdname=rcptd-milter:rcptd-milter");
    command.arg(format!("--setenv=NOTIFY_SOCKET={}", site.path("notify").display()));
    command.arg(env!("CARGO_BIN_EXE_rcptd")).arg("serve").arg("-c").arg(site.path("rcptd.conf"));
    let knock = thread::spawn(move || {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut daemon = Daemon::start_by(site, command);
    knock.join().expect("connected");
    Mta::tcp(([127, 0, 0, 1], port).into()).check("a TCP socket of systemd");
    Mta::unix(&socket).check("a UNIX socket of systemd");
    let log = daemon.stop();
    assert!(log.contains(&format!("listener=inet:127.0.0.1:{port} listening")), "{log}");
    assert!(log.contains("listener=systemd:rcptd-milter listening"), "{log}");
    // Not ours to remove.
    assert!(socket.exists());
}

/// Clients of a socket that is not served connect and wait for ever.
#[test]
fn sockets_of_systemd_that_no_listener_serves_are_named() {
    let ended = |mut command: Command| {
        let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().expect("the program");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    };
    let handed = |site: &Site, names: &str, sockets: &str| {
        // bash opens them, as clients, and becomes the program.
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!(
            "{sockets}; LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names} exec \"$0\" serve -c \"$1\"",
            names.split(':').count()
        ));
        command.arg(env!("CARGO_BIN_EXE_rcptd")).arg(site.path("rcptd.conf")).env_remove("NOTIFY_SOCKET");
        ended(command)
    };
    let other = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = other.local_addr().expect("an address").port();
    let client = |fd: u8| format!("exec {fd}<>/dev/tcp/127.0.0.1/{port}");
    // Sockets that do not listen: a client's, and what is none at all.
    let site = Site::listening("systemd:rcptd-milter", "", "");
    for sockets in [client(3), "exec 3</dev/null".into()] {
        let (code, said) = handed(&site, "rcptd-milter", &sockets);
        assert_eq!(code, Some(69), "{said}");
        assert!(said.contains("cannot listen at systemd:rcptd-milter: "), "{said}");
        assert!(!said.contains("of which no listen names"), "{said}");
    }
    // Named by no listener, all of them or one.
    let site = Site::new("", "");
    let two = format!("{}; {}", client(3), client(4));
    let (code, said) = handed(&site, "rcptd-milter:rcptd-map", &two);
    assert_eq!(code, Some(69), "{said}");
    let want = "systemd passed the sockets rcptd-milter, rcptd-map, of which no listen names rcptd-milter, \
                rcptd-map: write systemd:NAME";
    assert!(said.contains(want), "{said}");
    let site = Site::listening("systemd:rcptd-milter", "", "");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(site.path("a")).arg("--listen").arg(site.path("b"));
    command.arg("--fdname=rcptd-milter:rcptd-map");
    command.arg(env!("CARGO_BIN_EXE_rcptd")).arg("serve").arg("-c").arg(site.path("rcptd.conf"));
    let socket = site.path("a");
    let knock = thread::spawn(move || {
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let (code, said) = ended(command);
    knock.join().expect("connected");
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("the sockets rcptd-milter, rcptd-map, of which no listen names rcptd-map: "),
        "{said}"
    );
}

#[test]
fn a_lack_of_file_descriptors_passes() {
    let site = Site::new("workers = 1", "");
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -n 40 && exec \"$0\" serve -c \"$1\"");
    command.arg(env!("CARGO_BIN_EXE_rcptd")).arg(site.path("rcptd.conf"));
    let mut daemon = Daemon::start_by(site, command);
    let crowd: Vec<Mta> = (0..60).map(|_| daemon.connect()).collect();
    daemon.log.wait_for(0, "cannot accept a connection, next try in ");
    drop(crowd);
    daemon.check("a lack of file descriptors");
    // It waits between its tries rather than filling the disk with words about them.
    let said = daemon.stop().matches("cannot accept a connection").count();
    assert!(said < 1000, "{said}");
}

#[test]
fn the_default_command_serves() {
    let site = Site::new("", "");
    let mut command = rcptd();
    command.arg("-c").arg(site.path("rcptd.conf"));
    Daemon::start_by(site, command).check("the default command");
}
