//! `exec:` and `unix:`, with the examples in install/plug-ins and with programs that misbehave on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test panics when it fails

mod common;
#[path = "common/plugin.rs"]
mod plugin;

use common::{Daemon, Site, rcptd, run};
use mail_address::Address;
use plugin::{Asks, HELLO, PATIENT, SHORT, eventually, example, processes, processes_that, script};
use rcptd::account::settings::{CacheSettings, Settings, SourceSettings, Witness};
use rcptd::account::{AccountSource, build};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A program that finds every account that begins with `foo`.
const GOOD: &str = "while read -r id word address; do
  case $address in foo*) echo \"$id found\";; *) echo \"$id notfound\";; esac
done\n";

fn settings(spec: &str, deadline: Duration) -> Settings {
    let mut source = SourceSettings::new(spec.parse().unwrap());
    source.deadline = deadline;
    source.concurrency = 2000;
    let ttl = Duration::ZERO;
    let cache = CacheSettings {
        positive_ttl: ttl,
        negative_ttl: ttl,
        stale_ttl: ttl,
        size: 1,
        ..CacheSettings::default()
    };
    Settings::new(vec![source], cache)
}

async fn source(spec: &str, deadline: Duration) -> Arc<AccountSource> {
    build(&settings(spec, deadline), false).await.unwrap()
}

async fn ask(source: &Arc<AccountSource>, account: &str) -> String {
    source.look_up(&Address::from_rcpt(account.as_bytes())).await.result.to_string()
}

async fn becomes(source: &Arc<AccountSource>, account: &str, want: &str) {
    let begin = Instant::now();
    loop {
        let got = ask(source, account).await;
        if got == want {
            return;
        }
        assert!(got.starts_with("temporary failure: "), "{account}: {got}");
        assert!(begin.elapsed() < PATIENT, "{account}: {got}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The children of this process that have ended, but were not waited for.
fn zombies() -> Vec<String> {
    let own = format!("PPid:\t{}\n", std::process::id());
    processes_that(|_, status| status.contains("State:\tZ") && status.contains(&own))
}

/// An account list in a folder, and the answers that both examples give.
struct List(tempfile::TempDir);

impl List {
    fn new() -> Self {
        let list = List(tempfile::tempdir().unwrap());
        list.write("foo@example.test\n\"two  words\"@example.test\ngrüße@example.test\n-e@example.test\n");
        list
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("accounts")
    }

    fn write(&self, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    async fn check(&self, source: &Arc<AccountSource>) {
        becomes(source, "foo@example.test", "exists").await;
        for (account, want) in [
            ("FOO@Example.Test", "exists"),
            ("\"two  words\"@example.test", "exists"),
            ("\"two words\"@example.test", "not found"),
            ("GRÜẞE@example.test", "exists"),
            ("-e@example.test", "exists"),
            ("f.o@example.test", "not found"),
            ("bar@example.test", "not found"),
            ("foo@other.test", "not found"),
            ("\"foo\nfoo\"@example.test", "temporary failure: not asked: control character in the address"),
            ("foo", "temporary failure: not asked: the address has no domain"),
        ] {
            assert_eq!(ask(source, account).await, want, "{account}");
        }
        self.write("");
        let got = ask(source, "foo@example.test").await;
        assert!(
            got.starts_with("temporary failure: foo@example.test: tempfail ") && got.contains("no accounts")
        );
        fs::remove_file(self.path()).unwrap();
        let got = ask(source, "foo@example.test").await;
        assert!(got.starts_with("temporary failure: foo@example.test: tempfail "), "{got}");
        self.write("bar@example.test\n");
        assert_eq!(ask(source, "foo@example.test").await, "not found");
    }
}

#[tokio::test]
async fn examples_answer() {
    for name in ["accounts.py", "accounts.sh"] {
        let list = List::new();
        let spec = format!("exec:{} {}", example(name).display(), list.path().display());
        list.check(&source(&spec, PATIENT).await).await;
    }
}

struct Server(Child);

impl Server {
    async fn start(list: &List, socket: &Path) -> Self {
        let _ = fs::remove_file(socket);
        let child = Command::new(example("accounts.py")).arg(list.path()).arg(socket).spawn().unwrap();
        eventually("the server listens", || std::os::unix::net::UnixStream::connect(socket).is_ok()).await;
        Server(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn asks_a_server_at_a_socket() {
    let list = List::new();
    let socket = list.0.path().join("socket");
    let source = source(&format!("unix:{}", socket.display()), PATIENT).await;
    let got = ask(&source, "foo@example.test").await;
    assert!(got.starts_with("temporary failure: the plug-in ") && got.contains("No such file"), "{got}");
    let server = Server::start(&list, &socket).await;
    becomes(&source, "foo@example.test", "exists").await;
    drop(server);
    eventually("the connection is closed", || processes(&list.path().display().to_string()).is_empty()).await;
    let begin = Instant::now();
    while ask(&source, "foo@example.test").await == "exists" {
        assert!(begin.elapsed() < PATIENT);
    }
    let _server = Server::start(&list, &socket).await;
    list.check(&source).await;
}

struct Accounts(Arc<AccountSource>);

impl Asks for Accounts {
    const FAILURE: &str = "temporary failure: ";
    const VALID: &str = "found";
    const GOOD: &str = GOOD;
    const FIRST: &str = "";

    async fn of(program: &Path) -> Self {
        Accounts(source(&format!("exec:{}", program.display()), SHORT).await)
    }

    async fn ask(&self) -> String {
        ask(&self.0, "foo@example.test").await
    }

    async fn works(&self) {
        becomes(&self.0, "foo@example.test", "exists").await;
        becomes(&self.0, "bar@example.test", "not found").await;
    }
}

#[tokio::test]
async fn faults_are_temporary_failures() {
    plugin::faults_are_temporary_failures::<Accounts>(&[(
        "contradicts",
        "HELLO read -r id q; printf '1 found\\n1 notfound\\n'; sleep 60",
        "the question 1 was not",
    )])
    .await;
}

#[tokio::test]
async fn messages_do_not_block_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loud");
    let loud = "head -c 3000000 /dev/zero >&2; yes | head -c 1000000 >&2\n";
    script(&path, &[HELLO, loud, GOOD].concat());
    let source = source(&format!("exec:{}", path.display()), PATIENT).await;
    assert_eq!(ask(&source, "foo@example.test").await, "exists");
}

/// A late answer belongs to its own question, and does no harm.
#[tokio::test]
async fn late_answers_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late");
    let late = "read -r id q; sleep 0.45; echo \"$id found\"\n";
    script(&path, &[HELLO, late, GOOD].concat());
    let source = source(&format!("exec:{}", path.display()), SHORT).await;
    // Until the hello has come.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let got = ask(&source, "bar@example.test").await;
    assert_eq!(got, "temporary failure: no answer within 300ms");
    becomes(&source, "bar@example.test", "not found").await;
    becomes(&source, "foo@example.test", "exists").await;
}

async fn a_thousand(source: &Arc<AccountSource>) -> (usize, usize) {
    let asked: Vec<_> = (0..1000)
        .map(|number| {
            let source = source.clone();
            let name = ["foo", "bar"][number % 2];
            let account = format!("{name}{number}@example.test");
            tokio::spawn(async move { (name, ask(&source, &account).await) })
        })
        .collect();
    let (mut right, mut failed) = (0, 0);
    for asked in asked {
        match asked.await.unwrap() {
            ("foo", got) if got == "exists" => right += 1,
            ("bar", got) if got == "not found" => right += 1,
            (_, got) if got.starts_with("temporary failure: ") => failed += 1,
            wrong => panic!("{wrong:?}"),
        }
    }
    (right, failed)
}

/// Answers in reverse order, as many as come at once.
const REVERSED: &str = r#"#!/usr/bin/env python3
import os
os.write(1, b"rcptd-plugin 1 reversed\n")
rest, hello = b"", True
while data := os.read(0, 65536):
    *lines, rest = (rest + data).split(b"\n")
    if hello and lines:
        hello = False
        lines.pop(0)
    for line in reversed(lines):
        number, word, address = line.split(b" ", 2)
        os.write(1, number + (b" found\n" if address.startswith(b"foo") else b" notfound\n"))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_a_thousand_questions_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reversed");
    fs::write(&path, REVERSED).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let source = source(&format!("exec:{}", path.display()), PATIENT).await;
    assert_eq!(a_thousand(&source).await, (1000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_program_gives_no_wrong_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed");
    script(&path, &[HELLO, GOOD].concat());
    let source = source(&format!("exec:{}", path.display()), PATIENT).await;
    becomes(&source, "foo@example.test", "exists").await;
    let mut sum = (0, 0);
    for _ in 0..4 {
        let asking = tokio::spawn({
            let source = source.clone();
            async move { a_thousand(&source).await }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        for process in processes(&path.display().to_string()) {
            Command::new("kill").args(["-9", &process]).status().unwrap();
        }
        let (right, failed) = asking.await.unwrap();
        sum = (sum.0 + right, sum.1 + failed);
        becomes(&source, "foo@example.test", "exists").await;
    }
    assert_eq!(sum.0 + sum.1, 4000);
    assert!(sum.1 > 0, "{sum:?}");
}

/// Other tests of this process have programs of their own, so this one counts in a process of its own.
#[test]
fn nothing_is_left_when_the_source_is_dropped() {
    const INSIDE: &str = "RCPTD_TEST_ALONE";
    if std::env::var_os(INSIDE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "nothing_is_left_when_the_source_is_dropped"]).env(INSIDE, "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().display().to_string();
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let path = folder.path().join("plug-in");
        let mut before = 0;
        // The second ignores the end of its input, and has a child.
        for (round, end) in ["", "sleep 5973 & sleep 5973\n", "exit 1\n", ""].iter().enumerate() {
            script(&path, &[HELLO, GOOD, end].concat());
            let source = source(&format!("exec:{}", path.display()), PATIENT).await;
            becomes(&source, "foo@example.test", "exists").await;
            assert!(!processes(&name).is_empty());
            let children = processes("sleep 5973");
            drop(source);
            eventually("the program ends", || processes(&name).is_empty()).await;
            eventually("it is waited for", || zombies().is_empty()).await;
            eventually("its children end", || processes("sleep 5973").len() <= children.len()).await;
            // The runtime keeps some for the signals of children.
            if round == 0 {
                before = descriptors();
            }
            eventually("the descriptors are closed", || descriptors() <= before).await;
        }
    });
}

#[tokio::test]
async fn notfound_needs_the_witness_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, witness, want) in [
        ("default", Witness::Default, "not found"),
        ("off", Witness::Off, "not found"),
        ("found", Witness::Account("foo".into()), "not found"),
        ("lost", Witness::Account("bar".into()), "temporary failure: baz@example.test: notfound, but exec:"),
    ] {
        let path = folder.path().join(name);
        script(&path, &[HELLO, GOOD].concat());
        let mut settings = settings(&format!("exec:{}", path.display()), PATIENT);
        settings.sources[0].witness = witness.into();
        let source = build(&settings, false).await.unwrap();
        let got = ask(&source, "baz@example.test").await;
        assert!(got.starts_with(want), "{name}: {got}");
        assert_eq!(
            got.contains("does not find the witness bar@example.test either"),
            name == "lost",
            "{got}"
        );
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    fs::write(&path, "").unwrap();
    let plain = path.display().to_string();
    for (program, want) in [
        ("/nonexistent/x", "/nonexistent/x cannot be run: No such file or directory"),
        ("/etc", "/etc is not a file"),
        (&plain, "make it executable (chmod +x)"),
    ] {
        let got = build(&settings(&format!("exec:{program}"), PATIENT), false).await.unwrap_err();
        assert!(got.len() == 1 && got[0].contains(want), "{got:?}");
    }
}

#[test]
fn the_daemon_asks_a_plugin() {
    let site = Site::new("", "");
    site.write("plugged", "foo@example.test\nbar@example.test\nalice@example.test\n");
    let plugin = format!("exec:{} {}", example("accounts.py").display(), site.path("plugged").display());
    let file = format!("file:{}", site.path("accounts").display());
    site.configure(&file, &plugin);
    let mut command = rcptd();
    command.arg("explain").arg("-c").arg(site.path("rcptd.conf"));
    command.args(["foo@example.test", "carol@example.test"]);
    let (_, output, error) = run(command, "");
    for want in ["foo@example.test: found", "carol@example.test: notfound"] {
        assert!(output.contains(want), "{want}: {output}{error}");
    }
    let mut daemon = Daemon::start(site);
    daemon.log.wait_for(0, "detail=\"accounts.py\" the plug-in is ready");
    daemon.check("with a plug-in");
    let before = daemon.log.len();
    daemon.reload();
    daemon.log.wait_for(before, "detail=\"accounts.py\" the plug-in is ready");
    daemon.check("after a reload");
    let name = daemon.site.path("plugged").display().to_string();
    daemon.stop();
    let begin = Instant::now();
    while !processes(&name).is_empty() {
        assert!(begin.elapsed() < PATIENT, "the program is left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The limits in the document are those of the program.
#[test]
fn the_document_has_the_limits() {
    let document = include_str!("../docs/plug-ins.md");
    for want in
        ["at most 2048 octets", "30 lines in 10 s", "two seconds", "0.1 s", "10 s", "twice the `deadline`"]
    {
        assert!(document.contains(want), "{want}");
    }
}
