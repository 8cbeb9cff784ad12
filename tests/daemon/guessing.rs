//! Clients that guess recipients: how many answers they get, and that no other client is affected.

use super::common::mta::{Mta, OFFER};
use super::common::{Daemon, RULES, Site, WAIT, rcptd, run};
use super::outage::{DOWN, MailServer, UP, command, site};
use std::time::Instant;

const UNKNOWN: &str = "y 550 5.1.1 Recipient address rejected: User unknown";
const DEFERRED: &str = "y 450 4.7.1 Too many unknown recipients from your network, please try again later";

/// A site with an account source that counts its questions, and more lines of `[guessing]`.
fn guarded(server: &MailServer, guessing: &str) -> Site {
    let site = site(server);
    site.configure("[milter]", &format!("[guessing]\n{guessing}\n[milter]"));
    site
}

/// A session of a client, by these macros of MAIL.
fn session(daemon: &Daemon, macros: &[&str]) -> Mta {
    let mut mta = daemon.connect();
    mta.negotiate(OFFER);
    mta.mail();
    mta.macros(b'M', macros);
    mta
}

/// The replies to recipients of a client, each in a session of its own.
fn replies(daemon: &Daemon, client: &str, names: &[&str]) -> Vec<String> {
    let of = |name: &&str| session(daemon, &["{client_addr}", client]).rcpt(&[&format!("<{name}>")]);
    names.iter().map(of).collect()
}

#[test]
fn defers_a_client_that_guesses_without_a_lookup() {
    let server = MailServer::start();
    let daemon =
        Daemon::start(guarded(&server, "misses = 3\nwindow = \"1h\"\nexempt = [\"198.51.100.0/24\"]"));
    let guesses = ["a@example.test", "foo-macys-m6@example.test", "b@example.test"];
    assert_eq!(replies(&daemon, "192.0.2.1", &guesses), [UNKNOWN; 3]);
    daemon.log.wait_for(
        0,
        "stage=RCPT guessing=begins client=unknown[192.0.2.1] network=192.0.2.1 misses=3 hits=0\n",
    );
    let asked = server.asked();
    // Known, alias, unknown: the same reply, and the account source is not asked.
    let names =
        ["alice@example.test", "foo-macys-m5@example.test", "c@example.test", "foo-macys-m6@example.test"];
    assert_eq!(replies(&daemon, "192.0.2.1", &names), [DEFERRED; 4]);
    assert_eq!(server.asked(), asked);
    daemon.log.wait_for(0, "verdict=defer code=\"450 4.7.1\" client=unknown[192.0.2.1] reason=guessing ");
    // Recipients in other domains are accepted.
    assert_eq!(replies(&daemon, "192.0.2.1", &["friend@elsewhere.test"]), ["c"]);
    // Others are not affected, and neither is a user of that network who has logged in.
    assert_eq!(replies(&daemon, "192.0.2.2", &names[..2]), ["c", "c"]);
    for auth in ["{auth_type}", "{auth_authen}"] {
        let mut mta = session(&daemon, &["{client_addr}", "192.0.2.1", auth, "x"]);
        assert_eq!(mta.rcpt(&["<alice@example.test>"]), "c", "{auth}");
        assert_eq!(mta.rcpt(&["<nobody@example.test>"]), UNKNOWN, "{auth}");
    }
    // Exempt clients and clients without an address are not affected either.
    for client in ["127.0.0.1", "IPv6:::1", "198.51.100.9", "unknown"] {
        assert_eq!(replies(&daemon, client, &["nobody@example.test"; 6]), [UNKNOWN; 6], "{client}");
    }
    let (text, _) = command(&daemon, &["status"]);
    assert!(
        text.contains("guessing: 1 network over the limit, 4 recipients deferred without a lookup"),
        "{text}"
    );
}

/// A sender with as many known recipients as unknown ones.
#[test]
fn does_not_defer_a_busy_sender() {
    let server = MailServer::start();
    let daemon = Daemon::start(guarded(&server, "misses = 2\nwindow = \"1h\""));
    let mut mta = session(&daemon, &["{client_addr}", "2001:db8::1"]);
    for _ in 0..3 {
        assert_eq!(mta.rcpt(&["<alice@example.test>"]), "c");
    }
    for _ in 0..3 {
        assert_eq!(mta.rcpt(&["<nobody@example.test>"]), UNKNOWN);
    }
    // One more unknown recipient exceeds the limit, for the whole network.
    assert_eq!(mta.rcpt(&["<nobody@example.test>"]), UNKNOWN);
    assert_eq!(mta.rcpt(&["<alice@example.test>"]), DEFERRED);
    assert_eq!(replies(&daemon, "IPv6:2001:db8::ffff", &["alice@example.test"]), [DEFERRED]);
    assert_eq!(replies(&daemon, "2001:db8:0:1::1", &["alice@example.test"]), ["c"]);
    // A reload with an exemption applies at once, and keeps the counts.
    daemon.site.configure("misses = 2", "misses = 2\nexempt = \"2001:db8::1\"");
    daemon.reload();
    assert_eq!(replies(&daemon, "2001:db8::1", &["alice@example.test"]), ["c"]);
    assert_eq!(replies(&daemon, "2001:db8::2", &["alice@example.test"]), [DEFERRED]);
}

#[test]
fn temporary_failures_do_not_count() {
    let server = MailServer::start();
    let daemon = Daemon::start(guarded(&server, "misses = 2\nwindow = \"1h\""));
    server.set(DOWN);
    let failed = replies(&daemon, "192.0.2.1", &["nobody@example.test"; 5]);
    assert!(failed.iter().all(|reply| reply.starts_with("y 451 4.3.0 ")), "{failed:?}");
    server.set(UP);
    let begun = Instant::now();
    // The circuit breaker may delay the next lookup.
    while replies(&daemon, "192.0.2.9", &["alice@example.test"]) != ["c"] {
        assert!(begun.elapsed() < WAIT, "{}", daemon.log.text());
    }
    assert_eq!(replies(&daemon, "192.0.2.1", &["nobody@example.test"]), [UNKNOWN]);
    assert_eq!(replies(&daemon, "192.0.2.1", &["alice@example.test"]), ["c"]);
}

#[test]
fn deferral_ends_with_the_window() {
    let server = MailServer::start();
    let daemon = Daemon::start(guarded(&server, "misses = 2\nwindow = \"2s\""));
    let begun = Instant::now();
    let until = |want: &str| {
        while replies(&daemon, "192.0.2.1", &["nobody@example.test"]) != [want] {
            assert!(begun.elapsed() < WAIT, "{}", daemon.log.text());
        }
    };
    until(DEFERRED);
    until(UNKNOWN);
    daemon.log.wait_for(0, "listener=milter guessing=ends network=192.0.2.1 deferred=");
}

/// In a dry run no recipient is deferred, and the log has what would happen. Without a limit, clients are not counted.
#[test]
fn a_dry_run_defers_nothing() {
    let server = MailServer::start();
    for (limit, begins) in [("misses = 2", true), ("misses = 0", false)] {
        let site = guarded(&server, limit);
        site.configure("watch = false", "watch = false\ndry_run = true");
        let mut daemon = Daemon::start(site);
        assert_eq!(replies(&daemon, "192.0.2.1", &["nobody@example.test"; 5]), ["c"; 5]);
        let log = daemon.stop();
        assert_eq!(log.contains(" guessing=would_begin client=unknown[192.0.2.1] "), begins, "{log}");
        assert_eq!(log.contains("verdict=would_defer "), begins, "{log}");
    }
}

/// With the default settings the replies to an unknown account, to an alias with a wrong code, and to one that has
/// expired are the same, and the first two cost the same question.
#[test]
fn the_reply_does_not_tell_how_close_a_guess_was() {
    let server = MailServer::start();
    let site = site(&server);
    let dated = "ACCOUNT foo MATCHES old.%code%.%date% WITH CHARS(account);\n";
    site.write("aliases.rules", &format!("{RULES}{dated}"));
    let daemon = Daemon::start(site);
    // The control of the server is valid after this lookup.
    assert_eq!(
        replies(&daemon, "192.0.2.1", &["alice@example.test", "foo-macys-m5@example.test"]),
        ["c", "c"]
    );
    for (name, questions) in [
        ("nobody@example.test", 1),
        ("foo-macys-m6@example.test", 1),
        ("nobody-macys-m5@example.test", 1),
        ("old.3.2001@example.test", 0),
    ] {
        let before = server.asked();
        assert_eq!(replies(&daemon, "192.0.2.1", &[name]), [UNKNOWN], "{name}");
        assert_eq!(server.asked() - before, questions, "{name}");
    }
    daemon.log.wait_for(0, "reason=rule-expired:");
}

/// Errors of the section name the remedy.
#[test]
fn checks_its_networks() {
    let site = Site::new("", "");
    site.configure("[milter]", "[guessing]\nexempt = [\"192.0.2.1/24\", \"mx.test\"]\n[milter]");
    let mut check = rcptd();
    check.arg("check").arg("-c").arg(site.path("rcptd.conf"));
    let (_, out, errors) = run(check, "");
    let text = [out, errors].concat();
    for want in [
        "guessing.exempt = \"192.0.2.1/24\" cannot be used",
        "write \"192.0.2.0/24\"",
        "write a network or an address",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
