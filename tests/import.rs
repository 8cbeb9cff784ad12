//! Configurations of sockmapd and of Postfix' clients are imported: the files that are written, the report, and
//! that passwords are in no output.
//!
//! With `RCPTD_BLESS=1` in the environment the texts in `data/import-sockmapd` and `data/import-postfix` are
//! written again; read the difference.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use common::rcptd;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// In each password of the data, and nowhere else.
const PASSWORD: &str = "hunter2-horse";
/// One that is a number, by mistake.
const NUMBER: &str = "12345678";

/// Exit code, standard output, standard error.
type Run = (i32, String, String);

fn import(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = rcptd();
    command.current_dir(folder).args(["import", "sockmapd", "config.json"]).args(arguments);
    let run = common::run(command, "");
    for secret in [PASSWORD, NUMBER] {
        assert!(!run.1.contains(secret) && !run.2.contains(secret), "{}: {run:?}", folder.display());
    }
    run
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import-sockmapd");
    let mut folders: Vec<_> =
        fs::read_dir(&root).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    folders.sort();
    folders
}

fn same(path: &Path, got: &str) {
    if std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1") {
        fs::write(path, got).expect("written");
    }
    assert_eq!(got, fs::read_to_string(path).expect("data"), "{}", path.display());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// `want.txt` has the exit code and the report, `want.conf` what is written where the file is good.
#[test]
fn configurations_of_sockmapd_are_taken_over() {
    let (mut good, mut bad) = (0, 0);
    for folder in cases() {
        let (code, out, err) = import(&folder, &[]);
        same(&folder.join("want.txt"), &format!("exit code {code}\n{err}"));
        let to = tempfile::tempdir().expect("a folder");
        let new = to.path().join("new");
        let at = new.display().to_string();
        let (conf, password) = (new.join("rcptd.conf"), new.join("database.password"));
        if code != 0 {
            assert_eq!((code, &*out), (78, ""), "{}", folder.display());
            assert!(!folder.join("want.conf").exists());
            assert_eq!(import(&folder, &["-o", &at, "--force"]), (code, out, err));
            assert!(!new.exists(), "something is written");
            bad += 1;
            continue;
        }
        let (code, nothing, report) = import(&folder, &["-o", &at]);
        assert_eq!((code, &*nothing), (0, ""), "{report}");
        let written = fs::read_to_string(&conf).expect("a configuration");
        same(&folder.join("want.conf"), &written);
        written.parse::<toml::Table>().expect("TOML");
        // What is printed is what is written, but for the password.
        assert!(out.ends_with(&format!("==> rcptd.conf <==\n{written}\n")), "{out}");
        assert!(report.starts_with(&err), "{report}");
        let json = fs::read_to_string(folder.join("config.json")).expect("data");
        let json: Value = serde_json::from_str(&json.to_lowercase()).expect("JSON");
        match json["database"]["password"].as_str() {
            Some(text) => {
                assert_eq!(fs::read_to_string(&password).expect("a password"), format!("{text}\n"));
                assert_eq!(mode(&password), 0o600);
                assert!(out.starts_with("==> database.password <==\n(a password, not shown:"), "{out}");
            }
            None => assert!(!password.exists() && !written.contains("password_file")),
        }
        assert!(!written.contains(PASSWORD));
        good += 1;
    }
    assert!(good >= 5 && bad >= 9, "{good} good, {bad} bad");
}

#[test]
fn nothing_is_overwritten_unless_asked_for() {
    let sample = cases().into_iter().next().expect("a case");
    let to = tempfile::tempdir().expect("a folder");
    let at = to.path().display().to_string();
    let (conf, password) = (to.path().join("rcptd.conf"), to.path().join("database.password"));
    fs::write(&password, "mine").expect("written");
    fs::set_permissions(&password, PermissionsExt::from_mode(0o644)).expect("a mode");
    let (code, _, err) = import(&sample, &["-o", &at]);
    assert!(code == 74 && err.contains("already exists, so nothing was written; --force"), "{err}");
    assert!(err.contains("database.password") && !err.contains("imported"), "{err}");
    assert_eq!(fs::read_to_string(&password).expect("mine"), "mine");
    assert!(!conf.exists());

    // A password that everybody could read does not become another one that everybody can.
    assert_eq!(import(&sample, &["-o", &at, "--force"]).0, 0);
    assert_eq!(fs::read_to_string(&password).expect("a password"), format!("{PASSWORD}\n"));
    assert_eq!(mode(&password), 0o600);
    // What the operator gave to a group stays its own.
    fs::set_permissions(&password, PermissionsExt::from_mode(0o640)).expect("a mode");
    assert_eq!(import(&sample, &["-o", &at, "--force"]).0, 0);
    assert_eq!(mode(&password), 0o640);
}

#[test]
fn what_is_read_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.json");
    assert_eq!(import(folder.path(), &[]).0, 66);
    for (content, code, said) in [
        (format!("{}{{}}", " ".repeat(1 << 20)), 78, "it is larger than 1048576 bytes"),
        ("[".repeat(1 << 20), 78, "this is not JSON: recursion limit exceeded"),
        (String::new(), 78, "this is not JSON: EOF while parsing a value"),
    ] {
        fs::write(&config, content).expect("written");
        let got = import(folder.path(), &[]);
        assert!(got.0 == code && got.2.contains(said), "{got:?}");
    }
}

/// A folder in `data/import-postfix`; the type before the name of each file; the exit code.
const POSTFIX: [(&str, &str, i32); 16] = [
    ("01-isp-mail", "", 0),
    ("02-admin-panel", "proxy:pgsql:", 0),
    ("03-groupware", "proxy:mysql:", 0),
    ("04-containers", "mysql:", 0),
    ("05-directory", "", 0),
    ("06-group-directory", "ldap:", 0),
    ("07-sqlite", "", 0),
    ("08-old-form", "mysql:", 0),
    ("09-errors", "mysql:", 78),
    ("10-ambiguous", "", 78),
    ("11-hosts", "pgsql:", 0),
    ("12-memcache", "", 78),
    ("12-memcache", "proxy:memcache:", 64),
    ("13-values", "sqlite:", 0),
    ("14-left-out", "", 0),
    ("15-port", "ldap:", 78),
];

fn import_postfix(folder: &Path, files: &[String], arguments: &[&str]) -> Run {
    let mut command = rcptd();
    command.current_dir(folder).args(["import", "postfix"]).args(files).args(arguments);
    let run = common::run(command, "");
    assert!(!run.1.contains(PASSWORD) && !run.2.contains(PASSWORD), "{}: {run:?}", folder.display());
    run
}

/// `want.txt` has the exit code and the report, `want.conf` the configuration.
#[test]
fn imports_tables_of_postfix() {
    for (name, prefix, want) in POSTFIX {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import-postfix").join(name);
        let mut files: Vec<String> = fs::read_dir(&folder)
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .filter(|file| !file.starts_with("want"))
            .map(|file| format!("{prefix}{file}"))
            .collect();
        files.sort();
        let (code, out, err) = import_postfix(&folder, &files, &[]);
        assert_eq!(code, want, "{name}: {err}");
        if want == 64 {
            assert!(err.contains("memcache is not supported") && err.contains("backup"), "{err}");
            continue;
        }
        same(&folder.join("want.txt"), &format!("exit code {code}\n{err}"));
        if code != 0 {
            assert!(out.is_empty() && !folder.join("want.conf").exists(), "{name}");
            continue;
        }
        let to = tempfile::tempdir().expect("a folder");
        let (code, _, report) = import_postfix(&folder, &files, &["-o", &to.path().display().to_string()]);
        assert_eq!(code, 0, "{name}: {report}");
        let conf = fs::read_to_string(to.path().join("rcptd.conf")).expect("a configuration");
        same(&folder.join("want.conf"), &conf);
        assert!(out.ends_with(&format!("==> rcptd.conf <==\n{conf}\n")) && !conf.contains(PASSWORD), "{out}");
        for file in conf.lines().filter_map(|line| line.strip_prefix("password_file = ")) {
            let password = to.path().join(file.trim_matches('"'));
            assert_eq!(fs::read_to_string(&password).expect("a password"), format!("{PASSWORD}\n"), "{name}");
            assert_eq!(mode(&password), 0o600, "{name}");
        }
        // A file of certificates is on another host.
        if !conf.contains("tls_ca") {
            assert!(report.contains("is valid; first do"), "{name}: {report}");
        }
    }
}
