//! The command line itself: mistakes, missing files, help, closed pipes.

use super::{finish, path, run};
use crate::common::Site;
use std::fs;
use std::process::Command;

#[test]
fn mistakes_on_the_command_line() {
    let cases: &[&[&str]] = &[
        &["frobnicate"],
        &["--frobnicate"],
        &["serve", "--frobnicate"],
        &["lookup", "foo"],
        &["lookup", "--rules", "/dev/null"],
        &["explain"],
        &["lookup", "--rules", "/dev/null", "--today", "2026-02-30", "foo"],
        &["lookup", "--rules", "/dev/null", "--today", "tomorrow", "foo"],
        &["check", "--secrets", "a"],
        &["check", "-c", "a", "--rules", "b"],
        &["demo", "--color", "sometimes"],
        &["-c", "a", "check"],
    ];
    for arguments in cases {
        let got = run(arguments);
        assert_eq!((got.code, &*got.out), (64, ""), "{arguments:?}");
        assert!(got.err.contains("Usage: ") || got.err.contains("--help"), "{arguments:?}: {}", got.err);
    }
}

#[test]
fn files_that_are_not_there() {
    for (arguments, code) in [
        (&["lookup", "--rules", "/nowhere/x", "foo"][..], 66),
        (&["lookup", "--rules", "/dev/null", "--secrets", "/nowhere/x", "foo"], 78),
        (&["check", "--rules", "/dev/null", "--secrets", "/nowhere/x"], 78),
        (&["check", "-c", "/nowhere/x"], 78),
        (&["check", "--rules", "/nowhere/x"], 78),
        (&["explain", "-c", "/nowhere/x", "a@b.test"], 78),
        (&["explain", "--rules", "/nowhere/x", "a@b.test"], 66),
        (&["make", "-c", "/nowhere/x", "foo"], 78),
        (&["make", "--rules", "/nowhere/x", "foo"], 66),
        (&["rules", "fmt", "/nowhere/x"], 66),
        (&["import", "trualias", "/nowhere/x"], 66),
        (&["serve", "-c", "/nowhere/x"], 78),
        (&["-c", "/nowhere/x"], 78),
    ] {
        let got = run(arguments);
        assert_eq!((got.code, &*got.out), (code, ""), "{arguments:?}");
        assert!(got.err.contains("/nowhere/x") && got.err.contains("No such file"), "{}", got.err);
        assert!(got.err.contains("(check the name"), "{arguments:?}: {}", got.err);
        let first = arguments.contains(&"-c");
        assert_eq!(got.err.contains("start from milter.conf.sample"), first, "{arguments:?}: {}", got.err);
    }
    let site = Site::new("", "");
    fs::write(site.path("latin.rules"), b"ACCOUNT gr\xfc MATCHES x").expect("written");
    assert_eq!(run(&["lookup", "--rules", &path(&site, "latin.rules"), "x"]).code, 78);
}

#[test]
fn help_helps() {
    let short = concat!("rcptd ", env!("CARGO_PKG_VERSION"), "\n");
    let version = run(&["-V"]);
    assert_eq!((version.code, &*version.out), (0, short));
    let version = run(&["--version"]);
    let kinds =
        version.out.strip_prefix(short).expect("the version").strip_prefix("databases: ").expect("a list");
    for (kind, is_built_in) in [
        ("postgresql", cfg!(feature = "sql-postgres")),
        ("mysql", cfg!(feature = "sql-mysql")),
        ("sqlite", cfg!(feature = "sql-sqlite")),
        ("redis", cfg!(feature = "redis")),
        ("ldap", cfg!(feature = "ldap")),
        ("lmdb", cfg!(feature = "lmdb")),
    ] {
        assert_eq!(kinds.contains(kind), is_built_in, "{kind}: {kinds}");
    }
    for command in [
        &[][..],
        &["serve"],
        &["check"],
        &["lookup"],
        &["explain"],
        &["make"],
        &["rules"],
        &["rules", "fmt"],
        &["demo"],
    ] {
        let got = run(&[command, &["--help"]].concat());
        assert_eq!((got.code, &*got.err), (0, ""), "{command:?}");
        let says = |what| got.out.contains(what);
        assert!(says("Usage: rcptd"), "{}", got.out);
        assert!(says("rcptd demo") || says("Example") || says("Exit codes"), "{command:?}: {}", got.out);
    }
}

/// A reader that has seen enough is no failure.
#[test]
fn a_broken_pipe_is_silent() {
    let site = Site::new("", "");
    let accounts = format!("file:{}", path(&site, "accounts"));
    site.configure(&accounts, "none:");
    site.write("names", &"foo-macys-m5\n".repeat(200_000));
    let (conf, rules, names) =
        (path(&site, "rcptd.conf"), path(&site, "aliases.rules"), path(&site, "names"));
    for line in [
        format!("lookup --rules {rules} - < {names}"),
        format!("lookup --rules {rules} --json - < {names}"),
        format!("explain -c {conf} {}", "foo-macys-m5@example.test ".repeat(500)),
        "demo".into(),
        "--help".into(),
    ] {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_rcptd");
        command.arg("-c").arg(format!("{{ {program} {line}; echo \"exit $?\" >&2; }} | head -n 1"));
        let got = finish(command, "");
        assert_eq!(got.out.lines().count(), 1, "{line:.80}");
        assert_eq!(got.err, "exit 0\n", "{line:.80}");
    }
}
