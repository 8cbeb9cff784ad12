//! What the tests of the running daemon share: a site of its own for each, the program itself, and the mail
//! server's side of the milter protocol.
//!
//! Nothing here measures time. What is waited for ends the wait; [`WAIT`] only bounds a test that fails.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod inside;
pub mod mta;
pub mod namespace;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything.
pub const WAIT: Duration = Duration::from_mins(1);

pub const RULES: &str = "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();\n";

/// A folder with a configuration, rules, and a list of accounts.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// One that works: domain example.test, accounts foo, bar and alice, a port the system chooses. `top` and
    /// `milter` are more lines of these sections.
    pub fn new(top: &str, milter: &str) -> Self {
        Site::listening("inet:127.0.0.1:0", top, milter)
    }

    pub fn listening(listen: &str, top: &str, milter: &str) -> Self {
        let site = Site { folder: tempfile::tempdir().expect("a folder") };
        site.write("aliases.rules", RULES);
        site.write("accounts", "foo\nbar\nalice\n");
        let accounts = site.path("accounts");
        site.write(
            "rcptd.conf",
            &format!(
                "domains = [\"example.test\"]\nrules = [\"aliases.rules\"]\n{top}\n\
                 [milter]\nlisten = \"{listen}\"\n{milter}\n\
                 [account]\nsource = \"file:{}\"\n\
                 [account.cache]\npositive_ttl = \"0s\"\nnegative_ttl = \"0s\"\nstale_ttl = \"0s\"\n\
                 [log]\nlevel = \"debug\"\n",
                accounts.display()
            ),
        );
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("written");
    }

    /// Replaces a text in the configuration, which must be there.
    pub fn configure(&self, old: &str, new: &str) {
        let content = fs::read_to_string(self.path("rcptd.conf")).expect("configuration");
        assert!(content.contains(old), "{content}");
        self.write("rcptd.conf", &content.replace(old, new));
    }

    /// The program, serving this site.
    pub fn command(&self) -> Command {
        let mut command = rcptd();
        command.arg("serve").arg("-c").arg(self.path("rcptd.conf"));
        command
    }
}

/// The program, in an environment that changes nothing about it.
pub fn rcptd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
    for variable in ["NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command with this input until it ends: exit code, standard output, standard error.
pub fn run(mut command: Command, input: &str) -> (i32, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_string();
    // The program may end before it has read all of it.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("a writer");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// What the program writes to standard error, as it comes.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<String>, Condvar)>);

impl Log {
    /// Collects until the other end closes.
    pub fn collect(&self, mut from: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                log.0.0.lock().expect("lock").push_str(&String::from_utf8_lossy(&piece[..n]));
                log.0.1.notify_all();
            }
        });
    }

    pub fn text(&self) -> String {
        self.0.0.lock().expect("lock").clone()
    }

    pub fn len(&self) -> usize {
        self.0.0.lock().expect("lock").len()
    }

    /// Waits until `done` of what was logged from `from` on.
    pub fn wait(&self, from: usize, what: &str, done: impl Fn(&str) -> bool) {
        let text = self.0.0.lock().expect("lock");
        let waiting = |text: &mut String| !done(&text[from..]);
        let (text, late) = self.0.1.wait_timeout_while(text, WAIT, waiting).expect("lock");
        assert!(!late.timed_out(), "waited in vain for {what} in:\n{}", &text[from..]);
    }

    pub fn wait_for(&self, from: usize, want: &str) {
        self.wait(from, want, |text| text.contains(want));
    }
}

/// The program at work.
pub struct Daemon {
    pub site: Site,
    pub log: Log,
    notify: UnixDatagram,
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it says that it is ready.
    pub fn start(site: Site) -> Self {
        let command = site.command();
        Daemon::start_by(site, command)
    }

    /// The same by another command, which must in the end become the program.
    pub fn start_by(site: Site, mut command: Command) -> Self {
        let path = site.path("notify");
        // That of an earlier start.
        let _ = fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).expect("a socket");
        notify.set_read_timeout(Some(WAIT)).expect("a time");
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let log = Log::default();
        log.collect(child.stderr.take().expect("stderr"));
        let daemon = Daemon { site, log, notify, child };
        assert_eq!(daemon.notified(), "READY=1", "{}", daemon.log.text());
        daemon
    }

    /// What it tells the service manager next; the words of the protocol (sd_notify(3)) in one line.
    pub fn notified(&self) -> String {
        let mut message = [0; 4096];
        let n = self.notify.recv(&mut message).unwrap_or_else(|e| panic!("{e}:\n{}", self.log.text()));
        let words = String::from_utf8_lossy(&message[..n]);
        words
            .lines()
            .map(|line| line.split_inclusive("MONOTONIC_USEC=").next().unwrap_or(line))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Where it listens, of the first listener.
    pub fn address(&self) -> SocketAddr {
        const BEFORE: &str = "listener=inet:";
        self.log.wait_for(0, "listening");
        let text = self.log.text();
        let at = text.find(BEFORE).expect("a listener") + BEFORE.len();
        let end = text[at..].find(' ').expect("a word") + at;
        text[at..end].parse().expect("an address")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(done.expect("kill").success());
    }

    /// Asks for a reload and waits until it is over, well or not.
    pub fn reload(&self) {
        self.signal("HUP");
        let reloading = self.notified();
        assert!(reloading.starts_with("RELOADING=1"), "{reloading}");
        assert_eq!(self.notified(), "READY=1");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < WAIT, "it does not end:\n{}", self.log.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it and hands out the whole log.
    pub fn stop(&mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.log.text());
        self.log.wait_for(0, "stopped: ");
        self.log.text()
    }

    /// A connection on which nothing was said yet.
    pub fn connect(&self) -> mta::Mta {
        mta::Mta::tcp(self.address())
    }

    /// Whether it answers a well-behaved session right: an alias is replaced, an unknown recipient refused.
    pub fn check(&self, after: &str) {
        self.connect().check(after);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
