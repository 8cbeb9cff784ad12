//! What the log says, and what fail2ban reads from it.

use crate::common::mta::OFFER;
use crate::common::{Daemon, Site, rcptd, run};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

/// The address that hostile texts would have banned. No client has it.
const VICTIM: &str = "198.51.100.7";

/// What a client, its name server or the server that is asked may choose, to look like a field or a line of its own.
fn hostile() -> Vec<String> {
    let field = format!("client=v.test[{VICTIM}]");
    let line = format!(
        "4XyZ13: session=8 listener=milter stage=RCPT verdict=reject code=\"550 5.1.1\" {field} reason=account ms=1"
    );
    let mut texts: Vec<String> = [
        format!("\"x> {field}\"@example.test"),
        format!("\"x> {field} y=<z\"@example.test"),
        format!("<x@example.test> {field}"),
        format!("\"x\\\" {field} \\\"\"@example.test"),
        format!("\"{line}\"@example.test"),
        format!("\" {line} \"@example.test"),
        format!("x]{field}@example.test"),
        format!("x[{VICTIM}]@example.test"),
        format!("\"{field}\"@example.test"),
        format!("{field}@example.test"),
        format!("\"\u{1b}[2K\u{1b}[1G{line}\"@example.test"),
    ]
    .into();
    // Each of these ends a line or a word for some reader.
    for separator in [
        "\n", "\r\n", "\u{b}", "\u{c}", "\u{1c}", "\u{1e}", "\u{85}", "\u{a0}", "\u{2028}", "\u{2029}",
        "\u{3000}",
    ] {
        texts.push(format!("\"x{separator}{line}\"@example.test"));
        texts.push(format!("\"x{separator}<6>{line}\"@example.test"));
        texts.push(format!("\"x{separator}Nov 28 12:34:56 mx rcptd[1]: {line}\"@example.test"));
        texts.push(format!("\"x{separator}2026-11-28T12:34:56.123456Z  INFO {line}\"@example.test"));
    }
    texts
}

/// Has each hostile text sent as recipient, sender and name of a client of its own, and honest mail beside them. The
/// addresses of those that are refused.
fn play(daemon: &Daemon) -> BTreeSet<String> {
    let mut refused = BTreeSet::new();
    let mut session = |number: usize, name: &str, from: &str, to: &str| {
        let address = format!("192.0.2.{number}");
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        let macros = [
            "i",
            "NOQUEUE",
            "{client_name}",
            name,
            "{client_addr}",
            &address,
            "{mail_addr}",
            from,
            "{rcpt_addr}",
            to,
            "{rcpt_mailer}",
            "local",
        ];
        if mta.rcpt_with(&macros, &[&format!("<{to}>")]).starts_with("y 550 5.") {
            refused.insert(address);
        }
    };
    session(1, "c.test", "a@b.test", "nobody@example.test");
    session(2, "[192.0.2.2]", "a@b.test", "nobody@example.test");
    // Neither an alias, nor an account, nor a recipient that is none of ours.
    session(3, "c.test", "a@b.test", "foo-macys-m5@example.test");
    session(4, "c.test", "a@b.test", "alice@example.test");
    session(5, "c.test", "a@b.test", "nobody@elsewhere.test");
    for (i, text) in hostile().iter().enumerate() {
        session(10 + i, "c.test", "a@b.test", text);
        session(100 + i, text, text, "nobody@example.test");
    }
    refused
}

/// The addresses that fail2ban would count a failure for.
fn banned(lines: &str, file: &std::path::Path) -> BTreeSet<String> {
    fs::write(file, lines).expect("written");
    let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/install/fail2ban/filter.d/rcptd.conf");
    let output = Command::new("fail2ban-regex").args(["-o", "ip"]).arg(file).arg(filter).output();
    let output = output.expect("fail2ban-regex is missing: install fail2ban, as tests/run does");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// A line of standard error under systemd, into a file, and as syslog has it: in each form who was refused is found,
/// and nobody else, whatever the line quotes.
#[test]
fn fail2ban_finds_who_was_refused_and_nobody_else() {
    let guarded = || {
        let site = Site::new("", "");
        site.configure("[milter]", "[guessing]\nmisses = 1\n[milter]");
        site
    };
    let plain = Daemon::start(guarded());
    let expected = play(&plain);
    assert!(expected.contains("192.0.2.1") && expected.contains("192.0.2.2"), "{expected:?}");
    assert!(!expected.contains("192.0.2.3") && expected.len() > 100, "{expected:?}");
    let lines = plain.log.text();
    assert!(lines.matches(VICTIM).count() > 100, "{lines}");
    let file = plain.site.path("fail2ban.log");
    assert_eq!(banned(&lines, &file), expected, "a plain file");
    // The networks over the limit, by that line alone.
    let begins = |lines: &str| -> String {
        lines.split_inclusive('\n').filter(|line| line.contains(" guessing=begins ")).collect()
    };
    let guessing = banned(&begins(&lines), &file);
    assert!(guessing.contains("192.0.2.1") && guessing.contains("192.0.2.100"), "{guessing:?}");
    assert!(guessing.is_subset(&expected), "{guessing:?}");

    // The journal takes the priority from a prefix and has a clock of its own.
    let site = guarded();
    let mut command = Command::new("sh");
    let serve = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" serve -c \"$1\"";
    command.args(["-c", serve, env!("CARGO_BIN_EXE_rcptd")]).arg(site.path("rcptd.conf"));
    let systemd = Daemon::start_by(site, command);
    assert_eq!(play(&systemd), expected);
    let lines = systemd.log.text();
    assert!(lines.lines().all(|line| line.starts_with('<')), "{lines}");
    assert_eq!(banned(&lines, &file), expected, "standard error under systemd");
    assert_eq!(banned(&begins(&lines), &file), guessing, "standard error under systemd");

    for begin in
        ["Nov 28 12:34:56 mx rcptd[77]: ", "2026-11-28T12:34:56.123456+01:00 mx rcptd[77]: ", "rcptd[77]: "]
    {
        let syslog: Vec<_> = lines.lines().map(|line| format!("{begin}{}\n", &line[3..])).collect();
        let syslog = syslog.concat();
        assert_eq!(banned(&syslog, &file), expected, "{begin}");
        assert_eq!(banned(&begins(&syslog), &file), guessing, "{begin}");
    }

    // What other programs log is not ours, whatever they quote.
    let quoted: Vec<_> = lines
        .lines()
        .map(|line| format!("Nov 28 12:34:56 mx other[1]: rcptd[1]: {}\n", &line[3..]))
        .collect();
    assert_eq!(banned(&quoted.concat(), &file), BTreeSet::new());

    // Who is only said to be refused is not banned.
    let site = guarded();
    site.configure("[guessing]", "dry_run = true\n[guessing]");
    let observing = Daemon::start(site);
    play(&observing);
    let lines = observing.log.text();
    assert!(lines.contains("verdict=would_reject") && lines.contains("guessing=would_begin"), "{lines}");
    assert_eq!(banned(&lines, &file), BTreeSet::new());
}

#[test]
fn an_outage_of_a_source_is_one_line_and_its_end_another() {
    let site = Site::new("", "");
    let socket = site.path("control.sock");
    site.configure("[milter]", &format!("[control]\nlisten = \"unix:{}\"\n[milter]", socket.display()));
    let mut daemon = Daemon::start(site);
    let status = || {
        let output = rcptd().arg("status").arg("--socket").arg(&socket).output().expect("the program");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let ask = |daemon: &Daemon| {
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        mta.rcpt(&["<alice@example.test>"])
    };
    assert_eq!(ask(&daemon), "c");
    let accounts = daemon.site.path("accounts");
    let source = format!("file:{}", accounts.display());
    assert!(status().contains(&format!("{source}: works, 0 failures")), "{}", status());
    fs::remove_file(&accounts).expect("removed");
    daemon.log.wait_for(0, "the list of accounts cannot be used");
    let mut deferred = 0;
    while deferred < 5 {
        // The account of the last good list is still known.
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        assert!(mta.rcpt(&["<nobody@example.test>"]).starts_with("y 451"), "{}", daemon.log.text());
        deferred += 1;
    }
    assert!(status().contains(&format!("{source}: FAILING for ")), "{}", status());
    fs::write(&accounts, "foo\nbar\nalice\n").expect("written");
    daemon.log.wait_for(0, "the list of accounts was read");
    assert_eq!(ask(&daemon), "c");
    let log = daemon.stop();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(" WARN source=file:") - lines("the list of accounts cannot be used"), 1, "{log}");
    assert_eq!(lines("begins to fail: detail=\""), 1, "{log}");
    assert_eq!(lines("works again: failures=5 "), 1, "{log}");
}

/// Whoever reads that it is ready reads whether it does anything.
#[test]
fn observe_mode_is_told() {
    for (on, top) in [(false, ""), (true, "dry_run = true")] {
        let site = Site::new(top, "");
        let socket = site.path("control.sock");
        site.configure("[milter]", &format!("[control]\nlisten = \"unix:{}\"\n[milter]", socket.display()));
        let daemon = Daemon::start(site);
        daemon.log.wait_for(0, "ready: ");
        let output = rcptd().arg("status").arg("--socket").arg(&socket).output().expect("the program");
        let status = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(status.contains("dry_run is on"), on, "{status}");
        daemon.reload();
        daemon.log.wait_for(0, "configuration reloaded (SIGHUP)");
        if on {
            let log = daemon.log.text();
            let from = log.find("configuration reloaded").expect("a line");
            daemon.log.wait_for(from, "WARN dry_run is on");
        }
        let log = daemon.log.text();
        for (what, times) in [("1 domain, dry run", 1), ("1 rule, dry run", 1), ("WARN dry_run is on", 2)] {
            assert_eq!(log.matches(what).count(), if on { times } else { 0 }, "{what}: {log}");
        }
    }
}

/// What is printed for people and for programs garbles no terminal.
#[test]
fn what_is_printed_hides_nothing() {
    let site = Site::new("", "");
    let address = "\"a\u{2028}b\u{202e}c\u{200b}\"@example.test";
    for more in [&[][..], &["--json"]] {
        let mut command = rcptd();
        command.arg("explain").args(more).arg("-c").arg(site.path("rcptd.conf")).arg(address);
        let output = command.output().expect("the program");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!text.contains(['\u{2028}', '\u{202e}', '\u{200b}']), "{text}");
        assert!(text.contains("2028"), "{text}");
    }
}

#[test]
fn a_file_is_the_target_of_the_log() {
    let site = Site::new("", "");
    let path = site.path("rcptd.log");
    let old = site.path("rcptd.log.1");
    site.configure("[log]\n", &format!("[log]\ntarget = \"file:{}\"\n", path.display()));
    let mut daemon = Daemon::start(site);
    let first = fs::read_to_string(&path).expect("a log");
    assert!(first.contains("  INFO listener=inet:127.0.0.1:"), "{first}");
    // As logrotate(8) does.
    fs::rename(&path, &old).expect("renamed");
    daemon.reload();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let last = fs::read_to_string(&path).expect("a new log");
    assert!(last.contains("SIGHUP") && last.contains("stopped: "), "{last}");
    assert!(fs::read_to_string(&old).expect("the old log").starts_with(&first));
    assert_eq!(daemon.log.text(), "", "standard error");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_at_the_start() {
    for (target, code, why) in [
        ("file:/nowhere/rcptd.log", 78, "log.target: the folder /nowhere does not exist"),
        ("file:/dev/full", 69, "cannot log to file:/dev/full: it is not a file"),
    ] {
        let site = Site::new("", "");
        site.configure("[log]\n", &format!("[log]\ntarget = \"{target}\"\n"));
        let (got, _, errors) = run(site.command(), "");
        assert_eq!(got, code, "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
}

/// A mail server that finds the postmaster and nobody else, and says so in hostile words.
fn mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut write = stream.try_clone().expect("a socket");
                write.write_all(b"220 mx.test\r\n").ok()?;
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let reply = match line.strip_prefix("VRFY ") {
                        None => "250 mx.test".to_owned(),
                        Some(path) if path.starts_with("<postmaster@") => format!("250 2.1.5 {path}"),
                        Some(path) => format!("550 5.1.1 {path}: \"unknown\" client=v.test[{VICTIM}]"),
                    };
                    write.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
                }
                Some(())
            });
        }
    });
    port
}

/// "account not found" alone does not tell which server said so of whom.
#[test]
fn a_refusal_quotes_what_was_asked_and_replied() {
    let site = Site::new("", "");
    let accounts = format!("file:{}", site.path("accounts").display());
    site.configure(&accounts, &format!("vrfy:127.0.0.1:{}", mail_server()));
    let daemon = Daemon::start(site);
    let mut mta = daemon.connect();
    mta.negotiate(OFFER);
    mta.mail();
    let reply = mta.rcpt(&["<nobody@example.test>"]);
    assert!(reply.starts_with("y 550 5.1.1 ") && !reply.contains("VRFY"), "{reply}");
    daemon.log.wait_for(
        0,
        "to=<nobody@example.test> detail=\"account not found: VRFY <nobody@example.test>: 550 5.1.1 \
         <nobody@example.test>: \\x22unknown\\x22 client\\x3dv.test[198.51.100.7]\"\n",
    );
    let mut command = rcptd();
    command.arg("explain").arg("-c").arg(daemon.site.path("rcptd.conf")).arg("nobody@example.test");
    let output = command.output().expect("the program");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let quoted = "VRFY <nobody@example.test>: 550 5.1.1 <nobody@example.test>: \"unknown\" client=v.test";
    assert!(text.contains(&format!(": not found: {quoted}")), "{text}");
    assert!(text.contains(&format!("rejected: account not found: {quoted}")), "{text}");
}

/// A configuration that verifies nothing is reported once at start.
#[test]
fn warns_if_no_account_is_verified() {
    const WARNING: &str = " WARN source=none: no account is verified";
    for (verifies, times) in [(true, 0), (false, 1)] {
        let site = Site::new("", "");
        if !verifies {
            let accounts = format!("file:{}", site.path("accounts").display());
            site.configure(&accounts, "none:");
        }
        let mut daemon = Daemon::start(site);
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        let accepted = mta.rcpt(&["<unknown@example.test>"]) == "c";
        assert_eq!(accepted, !verifies);
        let log = daemon.stop();
        assert_eq!(log.matches(WARNING).count(), times, "{log}");
    }
}
