//! Checks the levels of the source tree: a file imports only from levels below its own, and folders of one
//! level do not import from each other; a crate is named only where it belongs; pure parts have no I/O.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LEVELS: &[(u8, &[&str])] = &[
    (0, &["observe"]),
    (1, &["lookup", "net", "watch"]),
    (2, &["store"]),
    (3, &["map", "plugin"]),
    (4, &["account", "greylist"]),
    (5, &["script"]),
    (6, &["resolve"]),
    (7, &["server"]),
    (8, &["config"]),
    (9, &["import"]),
    (10, &["daemon", "wiring"]),
    (11, &["cli"]),
];

/// Folders of one level that may name each other: an answer depends on the state of files, the address of a
/// name on /etc/hosts; and what is asked of DNS for each message is cached and limited by the wrappers of all sources.
const ALLOWED: &[(&str, &str)] = &[("lookup", "watch"), ("net", "lookup"), ("net", "watch")];

/// Our own, which may be named everywhere.
const LIBRARIES: &[&str] = &["alias_rules", "diagnostics", "lookup_protocols", "mail_address"];

/// Where a crate may be named.
const CRATES: &[(&str, &[&str])] = &[
    ("indymilter", &["server/milter/adapter.rs"]),
    ("lettre", &["account/"]),
    ("hickory_resolver", &["net/dns.rs"]),
    ("moka", &["lookup/", "account/known/mod.rs"]),
    ("rustls", &["account/", "lookup/", "net/tls.rs", "map/redis/", "map/ldap/mod.rs", "map/sql/postgres/"]),
    ("rustls_platform_verifier", &["net/tls.rs"]),
    ("tokio_rustls", &["account/", "map/redis/", "map/sql/postgres"]),
    ("postgres_protocol", &["map/sql/postgres"]),
    ("tracing", &["observe/"]),
    ("tracing_subscriber", &["observe/"]),
    ("foldhash", &["lookup/", "account/", "map/", "resolve/mod.rs", "server/maps.rs"]),
    ("futures_util", &["map/sql/mysql.rs"]),
    ("jiff", &["daemon/clock.rs", "greylist/", "import/greylist/"]),
    ("memchr", &["server/tcp_table.rs"]),
    ("regex", &["greylist/whitelist/condition.rs", "wiring/pattern.rs"]),
    ("rhai", &["script/"]),
    ("toml", &["config/", "import/mod.rs"]),
    ("clap", &["cli/"]),
    (
        "serde_json",
        &[
            "account/known/file.rs",
            "account/known/shared.rs",
            "cli/",
            "daemon/answer.rs",
            "daemon/cache.rs",
            "daemon/status.rs",
            "greylist/record.rs",
            "greylist/whitelist/tprt.rs",
            "import/greylist/",
            "import/sockmapd/",
            "server/control.rs",
        ],
    ),
    ("sd_notify", &["daemon/"]),
    ("listenfd", &["server/listen.rs"]),
    ("notify", &["watch/"]),
    ("axum", &["server/metrics.rs"]),
    ("base64", &["greylist/key.rs", "import/greylist/"]),
    ("bytes", &["map/sql/postgres/"]),
    ("fallible_iterator", &["map/sql/postgres/"]),
    ("ldap3", &["map/ldap/"]),
    ("prometheus_client", &["observe/"]),
    ("psl", &["greylist/"]),
    ("redb", &["store/"]),
    ("ring", &["greylist/"]),
    ("viaspf", &["net/spf/"]),
    ("redis", &["map/redis/"]),
    ("sqlx", &["map/sql/"]),
    ("arc_swap", &["server/", "account/", "daemon/"]),
    (
        "nix",
        &[
            "server/",
            "account/",
            "plugin/",
            "cli/",
            "daemon/",
            "observe/log_file.rs",
            "observe/setup.rs",
            "map/sql/postgres.rs",
            "map/wal.rs",
        ],
    ),
    (
        "tokio",
        &["net/", "account/", "plugin/", "lookup/", "watch/", "store/", "map/", "server/", "daemon/", "cli/"],
    ),
];

/// Pure: no I/O, no clock, no runtime.
const PURE: &[&str] = &[
    "greylist/client.rs",
    "greylist/decide.rs",
    "greylist/entry.rs",
    "greylist/key.rs",
    "greylist/sender.rs",
    "greylist/text.rs",
    "greylist/throttle.rs",
    "greylist/whitelist/",
    "server/policy/request.rs",
    "server/policy/instances.rs",
    "account/dovecot/protocol.rs",
    "plugin/protocol.rs",
    "observe/stats/",
    "map/template.rs",
    "map/source.rs",
    "map/list.rs",
    "map/fixed.rs",
    "map/sql/query.rs",
    "map/sql/scan.rs",
    "map/sql/rows.rs",
    "map/settings.rs",
    "map/redis/reply.rs",
    "map/redis/slots.rs",
    "script/",
    "resolve/",
    "map/search/",
    "server/endpoint.rs",
    "server/milter/session.rs",
    "server/milter/dsn.rs",
    "server/milter/guessing.rs",
    "server/milter/reply.rs",
    "import/greylist/",
    "import/mod.rs",
    "import/postfix/",
    "import/sockmapd/",
    "import/trualias.rs",
    "wiring/",
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
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            skip_item(&mut lines, line.len() - line.trim_start().len());
        } else {
            code.push(line);
        }
    }
    code.join("\n")
}

/// Skips the item at this indent after an attribute. The source is formatted, so an item of
/// several lines ends with the first one that closes something at the indent of the item.
fn skip_item<'t>(lines: &mut impl Iterator<Item = &'t str>, indent: usize) {
    let head = lines.by_ref().map(str::trim_end).find(|line| !line.trim_start().starts_with("#["));
    let head = head.expect("an item behind the attribute");
    if head.ends_with([';', '}', ',']) {
        return;
    }
    let closes = |line: &str| {
        let line = line.trim_end();
        line.len() - line.trim_start().len() == indent
            && (line.trim_start().starts_with('}') || line.ends_with(';'))
    };
    assert!(lines.any(closes), "{head} does not end");
}

/// What is imported or named by `crate::`: the first name behind it, or those in braces.
fn imported(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        let behind = &code[at + word.len()..];
        let Some(list) = behind.strip_prefix('{') else {
            found.push(name(behind));
            continue;
        };
        let mut depth = 1_usize;
        let mut parts = vec![String::new()];
        for c in list.chars() {
            depth = match c {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            match c {
                _ if depth == 0 => break,
                ',' if depth == 1 => parts.push(String::new()),
                c => parts.last_mut().expect("one at least").push(c),
            }
        }
        found.extend(parts.iter().map(|part| name(part.trim_start())));
    }
    found.retain(|name| !name.is_empty());
    found
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
        for other in imported(&code(&text)) {
            if other == own {
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
        names(&code(&sources["server/milter/adapter.rs"]), "indymilter"),
        "the search for crates is broken"
    );
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = include_str!("../Cargo.toml");
    let section = manifest.split("\n[dependencies]\n").nth(1).expect("dependencies");
    let section = section.split("\n[").next().expect("the section");
    let used: Vec<String> = section
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim_end_matches(".workspace").replace('-', "_"))
        .filter(|name| !LIBRARIES.contains(&name.as_str()))
        .collect();
    assert!(used.len() > 20, "the search for dependencies is broken: {used:?}");
    let listed: Vec<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    for name in &used {
        assert!(listed.contains(&&**name), "say in CRATES where {name} belongs");
    }
    for name in listed {
        assert!(used.iter().any(|used| used == name), "{name} of CRATES is no dependency");
    }
}

/// What is guarded: all but the tests, wherever these stand.
#[test]
fn tests_are_left_out_and_nothing_else() {
    for (text, want) in [
        ("a\n#[cfg(test)]\nmod tests;\nb", "a\nb"),
        ("a\n#[cfg(test)]\n#[allow(x)]\nmod tests;\nb // c", "a\nb "),
        ("#[cfg(test)]\nmod tests {\n    fn f() {\n    }\n    x;\n}\nb", "b"),
        (
            "m {\n    #[cfg(test)]\n    fn f(\n        a: u8,\n    ) {\n        a;\n    }\n    b\n}",
            "m {\n    b\n}",
        ),
        ("#[cfg(test)]\nconst A: &[u8] = &[\n    1,\n];\nb", "b"),
        ("#[cfg(test)]\nuse a::{\n    b, c,\n};\nb", "b"),
        ("#[cfg(test)]\nfn f() {}\nb", "b"),
    ] {
        assert_eq!(code(text), want, "{text}");
    }
    let uses = "use crate::watch::fold;\nuse crate::{\n    cli, daemon::{a, b::{c, d}},\n    server::*,\n};\ncrate::map::x()";
    assert_eq!(imported(uses), ["watch", "cli", "daemon", "server", "map"]);
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

/// Files with state of the process, and the reason. Everything else is passed in, so that each daemon and each
/// test has its own.
const GLOBAL: &[(&str, &str)] = &[
    ("account/file/mod.rs", "lists of accounts, which two sources of one file share"),
    ("account/passwd/mod.rs", "the C library has one name service for the process"),
    ("account/passwd/proof.rs", "limit of getent(1) processes, for the same reason"),
    ("net/dns.rs", "the resolver that maps and databases share, with its cache"),
    ("watch/folder.rs", "watches of folders, which the kernel limits"),
    ("watch/mod.rs", "states of watched files, which outlast a reload"),
];

#[test]
fn state_of_the_process_is_listed() {
    let sources = sources();
    let has_state = |text: &String| {
        let statics = code(text);
        statics.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            line.starts_with("static ") || line.starts_with("thread_local!")
        })
    };
    let got: Vec<&str> = sources
        .iter()
        .filter(|(file, text)| !is_test(file) && has_state(text))
        .map(|(file, _)| file.as_str())
        .collect();
    let listed: Vec<&str> = GLOBAL.iter().map(|(file, _)| *file).collect();
    assert_eq!(got, listed, "pass it in as an argument, or give a reason for global state");
}

/// A field of a log line is written by `observe/line.rs`; otherwise its value could forge another field.
#[test]
fn fields_of_the_log_are_written_by_one_rule() {
    let sources = sources();
    let events =
        sources.iter().filter(|(file, _)| file.starts_with("observe/") && *file != "observe/line.rs");
    for (file, text) in events {
        let code = code(text);
        for other in ["= %", "= ?", "escape("] {
            assert!(!code.contains(other), "{file} writes a field by \"{other}\": use observe::line");
        }
    }
}
