//! A mail server that goes away and comes back, as the primary MX of a backup MX does: known accounts get their mail,
//! others are deferred, and nobody is rejected.

use super::common::mta::OFFER;
use super::common::{Daemon, Site, rcptd};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::thread;

pub const UP: u8 = 0;
/// It takes connections and closes them.
pub const DOWN: u8 = 1;
/// It has lost its users, as after a restore of a bad backup.
const EMPTY: u8 = 2;
/// The server no longer has the account foo.
pub const WITHOUT_FOO: u8 = 3;

/// A mail server with the accounts postmaster, alice and foo, in a state that the test sets.
pub struct MailServer {
    pub port: u16,
    state: Arc<AtomicU8>,
    /// Number of VRFY.
    asked: Arc<AtomicUsize>,
}

impl MailServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(AtomicU8::new(UP));
        let asked = Arc::new(AtomicUsize::new(0));
        let (current, count) = (state.clone(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, count) = (current.clone(), count.clone());
                thread::spawn(move || {
                    if state.load(SeqCst) == DOWN {
                        return None;
                    }
                    let mut write = stream.try_clone().ok()?;
                    write.write_all(b"220 mx.test\r\n").ok()?;
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        count.fetch_add(usize::from(line.starts_with("VRFY")), SeqCst);
                        let exists = ["<postmaster@", "<alice@", "<foo@"];
                        let reply = match (line.strip_prefix("VRFY "), state.load(SeqCst)) {
                            (_, DOWN) => return None,
                            (None, _) => "250 mx.test",
                            (Some(path), WITHOUT_FOO) if path.starts_with("<foo@") => {
                                "550 5.1.1 User unknown"
                            }
                            (Some(path), UP | WITHOUT_FOO)
                                if exists.iter().any(|name| path.starts_with(name)) =>
                            {
                                "250 2.1.5 ok"
                            }
                            (Some(_), _) => "550 5.1.1 User unknown",
                        };
                        write.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
                    }
                    Some(())
                });
            }
        });
        MailServer { port, state, asked }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub fn set(&self, state: u8) {
        self.state.store(state, SeqCst);
    }
}

pub fn site(server: &MailServer) -> Site {
    let site = Site::new("watch = false", "");
    let source = format!("source = \"file:{}\"", site.path("accounts").display());
    site.configure(
        &source,
        &format!("source = \"vrfy:127.0.0.1:{}\"\ncontrol_interval = \"1s\"", server.port),
    );
    site.configure("stale_ttl = \"0s\"", "file = \"known\"");
    let socket = site.path("control.sock");
    site.configure("[milter]", &format!("[control]\nlisten = \"unix:{}\"\n[milter]", socket.display()));
    site
}

/// The replies to these recipients: `+` accepted, `-` rejected, `?` deferred.
pub fn replies(daemon: &Daemon, recipients: &[&str]) -> String {
    let mut mta = daemon.connect();
    mta.negotiate(OFFER);
    mta.mail();
    let sign = |name: &&str| match mta.rcpt(&[&format!("<{name}@example.test>")]) {
        reply if reply == "c" => '+',
        reply if reply.starts_with("y 5") => '-',
        reply if reply.starts_with("y 4") => '?',
        reply => panic!("{name}: {reply}"),
    };
    recipients.iter().map(sign).collect()
}

fn restarted(mut daemon: Daemon) -> Daemon {
    daemon.stop();
    Daemon::start(std::mem::replace(&mut daemon.site, Site::new("", "")))
}

/// What a command of the operator prints, and its exit code.
pub fn command(daemon: &Daemon, arguments: &[&str]) -> (String, i32) {
    let mut command = rcptd();
    command.args(&arguments[..1]).arg("--socket").arg(daemon.site.path("control.sock")).args(&arguments[1..]);
    let output = command.output().expect("the program");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    (text, output.status.code().unwrap_or(-1))
}

#[test]
fn known_accounts_get_mail_while_the_server_is_down() {
    let server = MailServer::start();
    let daemon = Daemon::start(site(&server));
    let all = ["foo", "foo-macys-m5", "alice", "nobody"];
    assert_eq!(replies(&daemon, &all[..2]), "++");
    let (text, code) = command(&daemon, &["sources"]);
    assert!(text.contains(": works\n    asked: found 2, not found 0, temporary failures 0"), "{text}");
    assert!(text.contains("50 % within ") && text.contains("breaker: closed; 0 not asked"), "{text}");
    assert_eq!(code, 0);

    for state in [DOWN, EMPTY, DOWN] {
        server.set(state);
        // A server that has lost its users is found out when its control has expired.
        thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(replies(&daemon, &all), "++??", "{state}: {}", daemon.log.text());
    }
    let (text, code) = command(&daemon, &["sources"]);
    assert!(text.contains(": FAILING for "), "{text}");
    assert_eq!(code, 1);
    daemon.log.wait_for(0, "detail=\"found 0 min ago; now: ");

    // What is known outlasts a reload and a restart.
    daemon.reload();
    daemon.log.wait_for(0, "configuration reloaded");
    assert_eq!(replies(&daemon, &all), "++??");
    let mut daemon = restarted(daemon);
    assert_eq!(replies(&daemon, &all), "++??", "{}", daemon.log.text());

    server.set(UP);
    assert_eq!(replies(&daemon, &all), "+++-");
    daemon.stop();
}

#[test]
fn operator_lists_flushes_and_pins_accounts() {
    let server = MailServer::start();
    let daemon = Daemon::start(site(&server));
    let all = ["foo", "alice", "nobody"];
    assert_eq!(replies(&daemon, &all), "++-");
    server.set(DOWN);
    let source = format!("vrfy:127.0.0.1:{}", server.port);
    for (arguments, says, then) in [
        (&["cache", "list"][..], "foo@example.test", "++?"),
        (&["cache", "list", "example.test"], "found 0 s ago by vrfy:", "++?"),
        (&["cache", "list", "other.test"], "no accounts\n", "++?"),
        (&["cache", "list", "vrfy:other"], "no account source is called vrfy:other", "++?"),
        (&["cache", "flush", "fo@example.test"], "0 accounts forgotten\n", "++?"),
        (&["cache", "flush", "Foo@EXAMPLE.test"], "1 account forgotten\n", "?+?"),
        (&["cache", "pin", "FOO@example.test"], "pinned foo@example.test\n", "++?"),
        (&["cache", "pin", "<nobody@example.test>"], "pinned nobody@example.test\n", "+++"),
        (&["cache", "pin", "nobody"], "write the whole address", "+++"),
        (&["cache", "pin", "foo@elsewhere.test"], "not in one of the domains of rcptd", "+++"),
        (&["cache", "pin", "foo@"], "write the whole address", "+++"),
        (&["cache", "pin", "@example.test"], "write the whole address", "+++"),
        (&["cache", "flush", ""], "a value is required for", "+++"),
        (&["cache", "flush", &source], "1 account forgotten\n", "+?+"),
        (&["cache", "flush"], "0 accounts forgotten\n", "+?+"),
        (&["cache", "list", "nobody@example.test"], "pinned 0 s ago", "+?+"),
        (&["cache", "unpin", "nobody@example.test"], "unpinned nobody@example.test\n", "+??"),
        (&["cache", "unpin", "nobody@example.test"], "is not pinned", "+??"),
    ] {
        let (text, code) = command(&daemon, arguments);
        assert!(text.contains(says) && !text.contains('"'), "{arguments:?}: {text}");
        let want = match says {
            "no account source is called vrfy:other"
            | "write the whole address"
            | "not in one of the domains of rcptd"
            | "a value is required for" => 64,
            "is not pinned" => 1,
            _ => 0,
        };
        assert_eq!(code, want, "{arguments:?}: {text}");
        assert_eq!(replies(&daemon, &all), then, "{arguments:?}");
    }
    // Already now: rcptd may be killed.
    let saved = std::fs::read_to_string(daemon.site.path("known")).expect("the file");
    assert!(saved.contains("foo@example.test") && !saved.contains("nobody@"), "{saved}");
    // A pin outlasts a restart and the mail server.
    let mut daemon = restarted(daemon);
    server.set(UP);
    assert_eq!(replies(&daemon, &all), "++-");
    server.set(DOWN);
    assert_eq!(replies(&daemon, &all), "++?");
    assert!(command(&daemon, &["cache", "list", "foo@example.test"]).0.contains("pinned "));
    daemon.stop();
}
