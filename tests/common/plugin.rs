//! Programs that are plug-ins: the examples, and scripts that misbehave on purpose.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)] // a test panics when it fails

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
pub const PATIENT: Duration = Duration::from_secs(20);
/// For programs that do not answer.
pub const SHORT: Duration = Duration::from_millis(300);

/// What a program does before it waits for questions.
pub const HELLO: &str = "read -r hello; echo 'rcptd-plugin 1 test'\n";
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
