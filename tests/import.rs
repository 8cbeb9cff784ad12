//! Configurations of sockmapd taken over: what is written, what is said, and that its password is in no output.
//!
//! With `RCPTD_BLESS=1` in the environment the texts in `data/import-sockmapd` are written anew; read the
//! difference!

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
    let got = command.output().expect("the program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let run = (got.status.code().expect("no signal"), text(got.stdout), text(got.stderr));
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
    assert!(code == 74 && err.contains("database.password: already exists; --force"), "{err}");
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
