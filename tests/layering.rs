//! The house keeps its levels: a file imports only from levels below its own, folders of one level not at
//! all from each other; a crate is named only where it belongs; what is to be pure names nothing that is not.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LEVELS: &[(u8, &[&str])] = &[
    (0, &["addr", "diag", "observe"]),
    (1, &["rules"]),
    (2, &["account"]),
    (3, &["hook"]),
    (4, &["resolve"]),
    (5, &["front"]),
    (6, &["config"]),
    (7, &["daemon"]),
    (8, &["cli"]),
];

/// Within level 0 `observe` may use the escaping of `addr`, which uses nothing.
const ALLOWED: &[(&str, &str)] = &[("observe", "addr")];

/// Where a crate may be named.
const CRATES: &[(&str, &[&str])] = &[
    ("indymilter", &["front/milter/adapter.rs"]),
    ("lettre", &["account/"]),
    ("hickory_resolver", &["account/"]),
    ("moka", &["account/"]),
    ("rustls", &["account/"]),
    ("tracing", &["observe/"]),
    ("tracing_subscriber", &["observe/"]),
    ("annotate_snippets", &["diag/"]),
    ("jiff", &["rules/", "daemon/"]),
    ("icu_casemap", &["addr/"]),
    ("icu_normalizer", &["addr/"]),
    ("idna", &["addr/"]),
    ("rhai", &["hook/"]),
    ("ring", &["rules/"]),
    ("toml", &["config/"]),
    ("clap", &["cli/"]),
    ("serde_json", &["cli/"]),
    ("sd_notify", &["daemon/"]),
    ("listenfd", &["front/listen.rs"]),
    ("notify", &["daemon/", "account/"]),
    ("notify_debouncer_full", &["daemon/", "account/"]),
    ("arc_swap", &["front/", "account/", "daemon/"]),
    ("nix", &["front/", "account/", "cli/", "daemon/", "observe/setup.rs"]),
    ("tokio", &["account/", "front/", "daemon/", "cli/"]),
];

/// Pure: no I/O, no clock, no runtime.
const PURE: &[&str] = &[
    "addr/",
    "diag/",
    "rules/",
    "hook/",
    "resolve/",
    "front/endpoint.rs",
    "front/milter/session.rs",
    "front/milter/dsn.rs",
    "front/milter/reply.rs",
];
const IMPURE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "tokio",
];

fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let name = |p: &Path| p.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
    files.iter().map(|p| (name(p), fs::read_to_string(p).expect("source"))).collect()
}

/// The code of a file: without comments, and without its tests, which may do as they like with I/O.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/") || file.ends_with("testing.rs")
}

fn folder(file: &str) -> Option<&str> {
    file.split_once('/').map(|(folder, _)| folder)
}

fn level(folder: &str) -> u8 {
    let found = LEVELS.iter().find(|(_, folders)| folders.contains(&folder));
    found.unwrap_or_else(|| panic!("src/{folder}/ stands on no level: add it to LEVELS")).0
}

/// Whether `word` stands in `code` as a path of its own.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| part(c) || c == ':') && code[at + word.len()..].starts_with("::")
    })
}

#[test]
fn imports_go_downwards() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (file, text) in sources() {
        let Some(own) = folder(&file) else { continue };
        for (at, _) in code(&text).match_indices("crate::") {
            let code = code(&text);
            let other: String =
                code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if other == own || other.is_empty() {
                continue;
            }
            seen += 1;
            if level(&other) >= level(own) && !ALLOWED.contains(&(own, &*other)) {
                faults.push(format!(
                    "src/{file} (level {}) imports crate::{other} (level {})",
                    level(own),
                    level(&other)
                ));
            }
        }
    }
    assert!(seen > 20, "the search for imports is broken: {seen} found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_are_named_where_they_belong() {
    let mut faults = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| !is_test(file)) {
        for (name, places) in CRATES {
            if names(&code(text), name) && !places.iter().any(|place| file.starts_with(place)) {
                faults.push(format!("src/{file} names {name}, which belongs to {}", places.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let sources = sources();
    assert!(
        names(&code(&sources["front/milter/adapter.rs"]), "indymilter"),
        "the search for crates is broken"
    );
}

#[test]
fn the_pure_parts_are_pure() {
    let mut faults = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| !is_test(file)) {
        let pure = PURE.iter().any(|place| file.starts_with(place));
        for word in IMPURE.iter().filter(|word| pure && code(text).contains(**word)) {
            faults.push(format!("src/{file} is to be pure and names {word}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
