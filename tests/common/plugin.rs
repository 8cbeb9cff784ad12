//! Programs that are plug-ins: the examples, and scripts that misbehave on purpose.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)] // a test panics when it fails

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
pub const PATIENT: Duration = Duration::from_secs(20);
/// For programs that do not answer.
pub const SHORT: Duration = Duration::from_millis(300);

/// What a program does before it waits for questions.
pub const HELLO: &str = "read -r hello; echo 'rcptd-plugin 1 test'\n";

/// A program that misbehaves: its name, its text, and part of the reason of the failure. The test replaces `HELLO` and
/// `FIRST` in the text by commands, and `VALID` by an answer (see [`Asks`]).
pub type Fault = (&'static str, &'static str, &'static str);

/// The faults that do not depend on what is asked.
const FAULTS: &[Fault] = &[
    ("never says hello", "sleep 60", "no hello within 600ms"),
    ("reads, never says hello", "cat >/dev/null", "no hello within 600ms"),
    ("wrong version", "read -r h; echo 'rcptd-plugin 2 test'; sleep 60", "it uses version 2 of the protocol"),
    ("another program", "exec cat", "the first line is not \"rcptd-plugin 1 NAME\": rcptd-plugin 1"),
    ("answers before the hello", "echo '1 VALID'; sleep 60", "the first line is not"),
    ("exits at once", "exit 3", "it has ended (exit status: 3)"),
    ("exits after the hello", "HELLO read -r q; exit 4", "it has ended (exit status: 4)"),
    (
        "exits within a line",
        "HELLO read -r id q; printf \"$id VAL\"; exit 5",
        "it has ended (exit status: 5)",
    ),
    ("is killed", "HELLO read -r q; kill -9 $$", "it has ended (signal: 9 (SIGKILL))"),
    ("garbage", "HELLO read -r q; echo nonsense; sleep 60", "not an answer: nonsense"),
    ("binary garbage", "HELLO read -r q; head -c 1000 /dev/zero; echo; sleep 60", "not an answer"),
    ("other words", "HELLO while read -r id q; do echo \"$id yes\"; done", "not an answer: 1 yes"),
    ("unknown question", "HELLO read -r q; echo '99 VALID'; sleep 60", "the question 99 was not asked"),
    (
        "answers twice",
        "HELLO read -r id q; printf '1 VALID\\n1 VALID\\n'; sleep 60",
        "the question 1 was not",
    ),
    ("too long line", "HELLO read -r q; head -c 3000 /dev/zero | tr '\\0' 1; sleep 60", "longer than 2048"),
    ("hangs", "HELLO sleep 60", "a question was not answered within 600ms"),
    (
        "slow drip",
        "HELLO read -r id q; while :; do printf ' '; sleep 0.05; done",
        "a question was not answered within 600ms",
    ),
    ("closes stdout", "HELLO read -r q; exec >&-; sleep 60", "it has closed its input or output"),
    ("closes stdin", "HELLO exec <&-; sleep 60", "it has closed its input or output"),
];

/// What asks a program.
pub trait Asks: Sized + Send {
    /// How the text of a failure begins.
    const FAILURE: &str;
    /// A valid answer.
    const VALID: &str;
    /// A program that answers, after the hello.
    const GOOD: &str;
    /// The commands that answer the first question.
    const FIRST: &str;

    /// Starts the program.
    fn of(program: &Path) -> impl Future<Output = Self> + Send;

    /// Asks, and returns the result as text.
    fn ask(&self) -> impl Future<Output = String> + Send;

    /// Waits until [`Asks::GOOD`] answers.
    fn works(&self) -> impl Future<Output = ()> + Send;
}

/// Each fault, also those of `more`, is a temporary failure within the deadline, and then a good program is asked again.
pub async fn faults_are_temporary_failures<A: Asks + 'static>(more: &[Fault]) {
    let folder = tempfile::tempdir().unwrap();
    let cases = FAULTS.iter().chain(more).enumerate().map(|(number, fault)| {
        let path = folder.path().join(format!("fault{number}"));
        tokio::spawn(fails_and_recovers::<A>(path, *fault))
    });
    for case in cases.collect::<Vec<_>>() {
        case.await.unwrap();
    }
    eventually("all programs end", || processes(&folder.path().display().to_string()).is_empty()).await;
}

async fn fails_and_recovers<A: Asks>(path: PathBuf, (name, text, want): Fault) {
    let text = text.replace("HELLO ", HELLO).replace("FIRST ", A::FIRST);
    script(&path, &text.replace("VALID", A::VALID).replace("VAL", &A::VALID[..3]));
    let asking = A::of(&path).await;
    let begin = Instant::now();
    let mut reasons = Vec::new();
    while begin.elapsed() < PATIENT {
        let asked = Instant::now();
        let got = asking.ask().await;
        assert!(got.starts_with(A::FAILURE), "{name}: {got}");
        // Two questions, and a busy machine.
        assert!(asked.elapsed() < 2 * SHORT + Duration::from_secs(5), "{name}");
        let seen = got.contains(want);
        reasons.push(got);
        if seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(reasons.last().unwrap().contains(want), "{name}: {reasons:#?}");
    script(&path, &[HELLO, A::GOOD].concat());
    asking.works().await;
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install/plug-ins").join(name)
}

/// Replaces `path` by a shell script, which may be running.
pub fn script(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

/// Waits for something that another task is about to do.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The processes that `is` accepts, by their command line and status (proc(5)).
pub fn processes_that(is: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            is(&line, &status).then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

/// The processes whose command line contains `text`.
pub fn processes(text: &str) -> Vec<String> {
    processes_that(|line, _| line.contains(text))
}
