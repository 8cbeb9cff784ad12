//! Many recipients with the same account at the same time: the account source is asked once.

use super::common::mta::{Mta, OFFER, shown, strings};
use super::common::{Daemon, Site, WAIT};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Recipients over each protocol.
const EACH: usize = 500;

/// A mail server with the accounts foo and postmaster. It holds the replies for `foo` and `nobody` back until it is
/// resumed, and counts lookups by local part.
#[derive(Clone)]
struct MailServer {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    goes_on: bool,
    asked: BTreeMap<String, usize>,
}

impl MailServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let server = MailServer { port, state: Arc::default() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = serving.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut write = stream.try_clone().ok()?;
        write.write_all(b"220 mx.test\r\n").ok()?;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let reply = match line.strip_prefix("VRFY <").and_then(|path| path.split_once('@')) {
                Some((name, _)) => self.answer(name),
                None => "250 mx.test",
            };
            write.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
        }
        Some(())
    }

    fn answer(&self, name: &str) -> &'static str {
        let mut state = self.state.0.lock().expect("lock");
        *state.asked.entry(name.into()).or_default() += 1;
        self.state.1.notify_all();
        if ["foo", "nobody"].contains(&name) {
            drop(self.state.1.wait_while(state, |state| !state.goes_on).expect("lock"));
        }
        if ["foo", "postmaster"].contains(&name) { "250 2.1.5 ok" } else { "550 5.1.1 User unknown" }
    }

    fn asked(&self, name: &str) -> usize {
        self.state.0.lock().expect("lock").asked.get(name).copied().unwrap_or_default()
    }

    /// Waits for a lookup of `name`.
    fn wait_for(&self, name: &str) {
        let state = self.state.0.lock().expect("lock");
        let waiting = |state: &mut State| !state.asked.contains_key(name);
        let (_state, late) = self.state.1.wait_timeout_while(state, WAIT, waiting).expect("lock");
        assert!(!late.timed_out(), "no lookup of {name}");
    }

    fn goes_on(&self, goes_on: bool) {
        self.state.0.lock().expect("lock").goes_on = goes_on;
        self.state.1.notify_all();
    }
}

fn start(server: &MailServer) -> Daemon {
    let tables = "[[map]]\nname = \"recipients\"\nsource = \"resolver:recipients\"\n\
                  [[tcp_table]]\nlisten = \"inet:127.0.0.1:0\"\nmap = \"recipients\"\ndeadline = \"29s\"";
    let site = Site::new("watch = false", &format!("deadline = \"29s\"\n{tables}"));
    let source = format!("source = \"file:{}\"", site.path("accounts").display());
    let asked = format!("source = \"vrfy:127.0.0.1:{}\"\ndeadline = \"25s\"", server.port);
    site.configure(&source, &asked);
    site.configure("positive_ttl = \"0s\"\nnegative_ttl = \"0s\"\n", "");
    Daemon::start(site)
}

/// The address of the second listener.
fn tables(daemon: &Daemon) -> SocketAddr {
    let log = daemon.log.text();
    let mut listeners = log.lines().filter_map(|line| line.split("listener=inet:").nth(1));
    let second = listeners.nth(1).expect("two listeners");
    second.split(' ').next().expect("a word").parse().expect("an address")
}

#[test]
fn burst_of_recipients_asks_the_source_once() {
    let server = MailServer::start();
    let daemon = start(&server);
    for (name, by_milter, by_table) in [("foo", "c", "200 "), ("nobody", "y 550 5.1.1 ", "500 ")] {
        server.goes_on(false);
        let mut mtas: Vec<Mta> = (0..EACH).map(|_| daemon.connect()).collect();
        for mta in &mut mtas {
            mta.negotiate(OFFER);
            mta.mail();
        }
        let mut streams: Vec<TcpStream> =
            (0..EACH).map(|_| TcpStream::connect(tables(&daemon)).expect("a connection")).collect();
        let path = format!("<{name}@example.test>");
        for (mta, stream) in mtas.iter_mut().zip(&mut streams) {
            mta.macros(b'R', &["{rcpt_addr}", path.trim_matches(['<', '>']), "{rcpt_mailer}", "local"]);
            mta.send(b'R', &strings(&[&path]));
            stream.write_all(format!("get {name}@example.test\n").as_bytes()).expect("sent");
        }
        server.wait_for(name);
        server.goes_on(true);
        for (mta, stream) in mtas.iter_mut().zip(&mut streams) {
            let got = shown(&mta.reply());
            assert!(got.starts_with(by_milter), "{name}: {got}");
            let mut got = [0; 4];
            stream.set_read_timeout(Some(WAIT)).expect("a limit");
            stream.read_exact(&mut got).expect("answered");
            assert_eq!(String::from_utf8_lossy(&got), by_table, "{name}");
        }
        assert_eq!(server.asked(name), 1, "{name}");
    }
}
