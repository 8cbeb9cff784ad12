//! The policy protocol as Postfix speaks it: recipients, greylisting, trouble, reload, restart.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use common::{Daemon, Site, WAIT};
use lookup_protocols::policy;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const POLICY: &str = "
[[policy]]
listen = \"inet:127.0.0.1:0\"
[greylist]
enabled = true
store = \"greylist.redb\"
delay = \"2s\"
";

/// The reply to a client that has to wait.
const WAIT_2: &str = "DEFER_IF_PERMIT 4.2.0 Greylisted, please retry in 2 seconds";

/// A connection to the policy listener.
struct Postfix(TcpStream);

impl Postfix {
    fn connect(daemon: &Daemon) -> Self {
        // The milter is the first listener.
        let listening = |text: &str| text.lines().filter(|line| line.ends_with(" listening")).count();
        daemon.log.wait(0, "two listeners", |text| listening(text) >= 2);
        let text = daemon.log.text();
        let listeners: Vec<&str> = text.lines().filter(|line| line.ends_with(" listening")).collect();
        let at = listeners[1].find("listener=inet:").unwrap() + "listener=inet:".len();
        let address = listeners[1][at..].split(' ').next().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        Postfix(stream)
    }

    fn send(&mut self, attributes: &[(&str, &str)]) {
        let mut bytes = Vec::new();
        policy::write_request(&mut bytes, attributes);
        self.0.write_all(&bytes).unwrap();
    }

    /// The action of the next reply; `None`: the connection ended.
    fn action(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut octet = [0];
        loop {
            if let Some((action, _)) = policy::read_reply(&bytes).unwrap() {
                return Some(String::from_utf8(action.to_vec()).unwrap());
            }
            match self.0.read(&mut octet) {
                Ok(0) | Err(_) => return None,
                Ok(_) => bytes.push(octet[0]),
            }
        }
    }

    /// Asks about a recipient.
    fn ask(&mut self, client: &str, sender: &str, recipient: &str, more: &[(&str, &str)]) -> String {
        let mut attributes = vec![
            ("request", "smtpd_access_policy"),
            ("protocol_state", "RCPT"),
            ("protocol_name", "ESMTP"),
            ("client_address", client),
            ("client_name", "unknown"),
            ("reverse_client_name", "unknown"),
            ("helo_name", "mx.example.org"),
            ("sender", sender),
            ("recipient", recipient),
            ("recipient_count", "0"),
            ("etrn_domain", ""),
            ("an_attribute_of_the_future", "x"),
        ];
        attributes.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        attributes.extend_from_slice(more);
        self.send(&attributes);
        self.action().expect("a reply")
    }
}

fn site(more: &str) -> Site {
    let site = Site::new("", "");
    site.configure("[account]\n", &format!("{POLICY}{more}\n[account]\n"));
    site
}

#[test]
fn recipients_are_decided() {
    let daemon = Daemon::start(site("client_key = []"));
    let mut postfix = Postfix::connect(&daemon);
    for (client, sender, recipient, more, want) in [
        ("192.0.2.1", "bob@example.org", "foo@example.test", &[][..], WAIT_2),
        // An alias with its code is expected, and one with a wrong code does not exist.
        ("192.0.2.1", "bob@example.org", "foo-macys-m5@example.test", &[], "DUNNO"),
        ("192.0.2.1", "bob@example.org", "foo-macys-m6@example.test", &[], "550 5.1.1 User unknown"),
        ("192.0.2.1", "bob@example.org", "a b@example.test", &[], "550 5.1.1 User unknown"),
        ("192.0.2.1", "bob@example.org", "foo@example.com", &[], "DUNNO"),
        ("127.0.0.1", "bob@example.org", "foo@example.test", &[], "DUNNO"),
        // VRFY stores nothing.
        ("192.0.3.1", "bob@example.org", "bar@example.test", &[("protocol_state", "VRFY")], "DUNNO"),
        ("192.0.3.1", "", "bogus@example.test", &[("protocol_state", "VRFY")], "550 5.1.1 User unknown"),
        ("192.0.3.1", "bob@example.org", "bar@example.test", &[], WAIT_2),
        // At DATA there may be no recipient.
        ("192.0.3.1", "bob@example.org", "", &[("protocol_state", "DATA")], "DUNNO"),
        ("192.0.3.1", "", "alice@example.test", &[("protocol_state", "DATA")], WAIT_2),
        ("192.0.3.1", "bob@example.org", "foo@example.test", &[("protocol_state", "MAIL")], "DUNNO"),
        // Our users, and those to whom they have written.
        ("192.0.4.1", "alice@example.test", "eve@example.org", &[("sasl_username", "alice")], "DUNNO"),
        ("192.0.5.1", "eve@example.org", "alice@example.test", &[], "DUNNO"),
        ("192.0.5.1", "eve@example.org", "bar@example.test", &[], WAIT_2),
    ] {
        assert_eq!(
            postfix.ask(client, sender, recipient, more),
            want,
            "{client} {sender} {recipient} {more:?}"
        );
    }
    thread::sleep(Duration::from_millis(2100));
    // The second attempt passes; the header comes once for a message with several recipients.
    let instance = [("instance", "1.2.0")];
    let first = postfix.ask("192.0.2.9", "bob@example.org", "foo@example.test", &instance);
    assert!(first.starts_with("PREPEND X-Greylist: delayed ") && first.contains(" seconds at "), "{first}");
    assert_eq!(postfix.ask("192.0.5.9", "eve@example.org", "bar@example.test", &instance), "DUNNO");
    assert_eq!(postfix.ask("192.0.2.1", "bob@example.org", "foo@example.test", &[]), "DUNNO");
    for want in [
        "NOQUEUE: action=greylist, reason=new, client_name=unknown, client_address=192.0.2.1, \
         sender=bob@example.org, recipient=foo@example.test, stage=RCPT",
        "NOQUEUE: action=pass, reason=computed alias, ",
        "NOQUEUE: action=reject, reason=account not found",
        "NOQUEUE: action=pass, reason=triplet found, delay=",
        "NOQUEUE: action=pass, reason=correspondent, ",
    ] {
        daemon.log.wait_for(0, want);
    }
}

#[test]
fn without_a_decision_the_connection_ends() {
    for (trouble, want) in
        [("", None), ("on_trouble = \"DEFER_IF_PERMIT 4.3.0 later\"", Some("DEFER_IF_PERMIT 4.3.0 later"))]
    {
        let site = site("");
        site.configure("[[policy]]\n", &format!("[[policy]]\n{trouble}\n"));
        site.configure("source = \"file:", "source = \"fail:\" #");
        let daemon = Daemon::start(site);
        for request in [
            &[
                ("request", "smtpd_access_policy"),
                ("protocol_state", "RCPT"),
                ("recipient", "foo@example.test"),
            ][..],
            &[("request", "junk")],
        ] {
            let mut postfix = Postfix::connect(&daemon);
            postfix.send(request);
            assert_eq!(postfix.action().as_deref(), want);
            // The daemon goes on, and other recipients have their answer.
            assert_eq!(Postfix::connect(&daemon).ask("192.0.2.1", "", "x@example.com", &[]), "DUNNO");
        }
        daemon.log.wait_for(0, "no decision: ");
        let mut postfix = Postfix::connect(&daemon);
        postfix.0.write_all(b"no attribute\n\n").unwrap();
        assert_eq!(postfix.action(), None);
    }
}

/// In a dry run everything is decided and logged, and all mail passes.
#[test]
fn a_dry_run_changes_nothing() {
    for (source, want) in [("", "action=would_reject, reason=account not found"), ("fail:", "no decision: ")]
    {
        let site = site("");
        site.configure("domains =", "dry_run = true\ndomains =");
        if !source.is_empty() {
            site.configure("source = \"file:", &format!("source = \"{source}\" #"));
        }
        let daemon = Daemon::start(site);
        let mut postfix = Postfix::connect(&daemon);
        for recipient in ["foo@example.test", "bogus@example.test"] {
            assert_eq!(
                postfix.ask("192.0.2.1", "bob@example.org", recipient, &[]),
                "DUNNO",
                "{source} {recipient}"
            );
        }
        daemon.log.wait_for(0, want);
    }
}

/// What has passed passes after a restart, and a reload changes the rules for open connections.
#[test]
fn restart_and_reload() {
    let mut daemon = Daemon::start(site("client_key = []"));
    let ask = |postfix: &mut Postfix| postfix.ask("192.0.2.1", "bob@example.org", "foo@example.test", &[]);
    assert!(ask(&mut Postfix::connect(&daemon)).starts_with("DEFER_IF_PERMIT"));
    let text = daemon.stop();
    assert!(!text.contains(" WARN "), "{text}");
    let command = daemon.site.command();
    let site = std::mem::replace(&mut daemon.site, Site::new("", ""));
    thread::sleep(Duration::from_secs(2));
    let daemon = Daemon::start_by(site, command);
    let mut postfix = Postfix::connect(&daemon);
    assert!(ask(&mut postfix).starts_with("PREPEND X-Greylist: delayed "));
    daemon.site.write("clients", "198.51.100.0/24\n");
    daemon.site.configure(
        "client_key = []",
        "client_key = []\nwhitelist_clients = \"clients\"\ntext = \"4.2.0 wait\"",
    );
    daemon.reload();
    let begun = Instant::now();
    // Each time another client, for which it is the first attempt.
    let mut clients = (0..=255).map(|n| format!("203.0.{n}.1"));
    let mut first = || clients.next().expect("a client");
    while postfix.ask(&first(), "bob@example.org", "bar@example.test", &[]) != "DEFER_IF_PERMIT 4.2.0 wait" {
        assert!(begun.elapsed() < WAIT, "{}", daemon.log.text());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(postfix.ask("198.51.100.7", "bob@example.org", "bar@example.test", &[]), "DUNNO");
    // A whitelist that would disable greylisting changes nothing.
    let from = daemon.log.len();
    daemon.site.write("clients", "0.0.0.0/0\n");
    daemon.signal("HUP");
    daemon.log.wait_for(from, "is a large part of the Internet");
    let reply = postfix.ask(&first(), "bob@example.org", "bar@example.test", &[]);
    assert_eq!(reply, "DEFER_IF_PERMIT 4.2.0 wait");
}
