//! The commands as operators and scripts meet them: output, exit codes, pipes.
//!
//! With `RCPTD_BLESS=1` in the environment the texts in `data/cli` are written anew; read the difference!

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

#[path = "../common/mod.rs"]
mod common;
#[path = "../account_smtp/fake.rs"]
mod fake;

mod check;
mod check_accounts;
mod demo;
mod explain;
mod lookup;
mod usage;

use common::{Site, rcptd};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a run of the program came to.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Run {
    run_with(arguments, "")
}

fn run_with(arguments: &[&str], input: &str) -> Run {
    let mut command = rcptd();
    command.args(arguments);
    finish(command, input)
}

fn finish(command: Command, input: &str) -> Run {
    let (code, out, err) = common::run(command, input);
    Run { code, out, err }
}

fn path(site: &Site, name: &str) -> String {
    site.path(name).display().to_string()
}

/// Compares with a text in `data/cli`.
fn like(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cli").join(name);
    if std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, got).expect("written");
    }
    let want = fs::read_to_string(&path).expect("data");
    assert_eq!(got, want, "{name}");
}

/// The figures of a run, such as times and ports, made the same.
fn masked(text: &str, before: &str, after: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_figure = rest.len() < part.len() && rest.starts_with(after);
        out.push_str(before);
        out.push_str(if is_figure { "N" } else { &part[..part.len() - rest.len()] });
        out.push_str(rest);
    }
    out
}
