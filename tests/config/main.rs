//! The configuration as operators meet it: broken files with the messages for each, limits, old files; and in
//! `keys.rs` the descriptions of the keys.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::format_collect, reason = "speed is no matter here")]

mod doc;
mod keys;
mod manual;
mod sample;

use diagnostics::{Problem, any_error};
use mail_address::{CaseSensitivity, LocalPartPolicy};
use proptest::prelude::*;
use rcptd::account::settings::{Settings, Witness};
use rcptd::config::{
    self, Config, Control, Log, MapSettings, Milter, PolicySettings, SocketmapSettings, Statistics, Tables,
    TcpTableSettings,
};
use rcptd::map::settings::DatabaseSettings;
use rcptd::server::endpoint::Endpoint;
use rcptd::server::milter::guessing;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The smallest file that works.
const SMALLEST: &str = "\
domains = [\"example.com\"]
rules = [\"aliases.rules\"]
[milter]
listen = \"inet:127.0.0.1:3047\"
[account]
source = \"vrfy:127.0.0.1:5025\"
";

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Writes a file that other users cannot read.
fn write_private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
}

/// Loads `content` from a folder with an empty `aliases.rules`, `script.rhai` and `secrets`.
fn load(content: &str) -> Result<Config, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("aliases.rules"), "").unwrap();
    fs::write(folder.path().join("script.rhai"), "fn preprocess(alias, domain) { alias }").unwrap();
    write_private(&folder.path().join("secrets"), "correct horse battery staple\n");
    for (name, line) in [
        ("recipients", "info@example.com"),
        ("clients", "192.0.2.1"),
        ("entries", "client=192.0.2.1"),
        ("regexes", "/^mx[0-9]\\.example\\.org$/"),
    ] {
        fs::write(folder.path().join(name), line).unwrap();
    }
    let path = folder.path().join("rcptd.conf");
    fs::write(&path, content).unwrap();
    config::load(&path)
}

/// [`SMALLEST`] without a key.
fn without(key: &str) -> String {
    SMALLEST
        .lines()
        .filter(|line| !line.starts_with(&format!("{key} =")))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// [`SMALLEST`] with `key = value` in `section`.
fn with(section: &str, key: &str, value: &str) -> String {
    // The keys of greylisting are none of those in the smallest configuration, also if they have the same name.
    let mut text = if section == "greylist" { SMALLEST.to_owned() } else { without(key) };
    let line = format!("{key} = {value}\n");
    let heading = format!("[{section}]\n");
    match text.find(&heading) {
        _ if section.is_empty() => text.insert_str(0, &line),
        Some(at) => text.insert_str(at + heading.len(), &line),
        None => text += &(heading + line.as_str()),
    }
    text
}

/// What is said about the configuration in `folder`, as `rcptd check` would.
fn said(folder: &Path) -> String {
    let (verdict, problems) = match config::load(&folder.join("rcptd.conf")) {
        Ok(config) => ("loads", config.problems),
        Err(problems) => {
            assert!(any_error(&problems), "{}: refused without an error", folder.display());
            ("refused", problems)
        }
    };
    let mut said = format!("{verdict}\n");
    for problem in problems {
        let long = problem.render(false);
        assert!(long.contains(&problem.message), "{long}");
        assert!(!long.contains("hunter2"), "a password is quoted: {long}");
        writeln!(said, "{problem}").unwrap();
    }
    said.replace(&format!("{}/", folder.display()), "")
}

/// Whether the expected texts are written instead of compared.
fn bless() -> bool {
    std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1")
}

/// With `RCPTD_BLESS=1` in the environment the expected texts are written again; read the difference.
#[test]
fn broken_configurations() {
    let bless = bless();
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root("tests/data/config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 25, "only {} folders", folders.len());
    let mut wrong = String::new();
    // What is said of a kind of database that is not built in is said of each, and not again here.
    let all = cfg!(all(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))
        && cfg!(all(feature = "redis", feature = "ldap"));
    let needs_all = |folder: &Path| {
        ["32-databases", "54-shared-accounts", "64-databases"].iter().any(|name| folder.ends_with(name))
    };
    for folder in folders.iter().filter(|folder| all || !needs_all(folder)) {
        let expected = folder.join("expected.txt");
        let got = said(folder);
        if bless {
            fs::write(&expected, &got).unwrap();
        }
        match fs::read_to_string(&expected) {
            Ok(want) if want == got => {}
            Ok(want) => writeln!(wrong, "{}\n want:\n{want} got:\n{got}", folder.display()).unwrap(),
            Err(error) => writeln!(wrong, "{}: {error}", expected.display()).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// All that a configuration says, without where it is from. A new field of `Config` must be added here, or this does not compile.
type Meaning = (
    (Vec<String>, String, String),
    (bool, CaseSensitivity, BTreeMap<String, LocalPartPolicy>, Option<f64>, bool, bool, usize),
    (Milter, guessing::Settings, Settings, Log),
    (Vec<MapSettings>, Vec<DatabaseSettings>, Vec<TcpTableSettings>, Vec<SocketmapSettings>),
    (Statistics, Vec<Endpoint>, Control, Option<PathBuf>),
    (Vec<PolicySettings>, String),
);

fn meaning(config: Config) -> Meaning {
    let Config {
        path: _,
        domains,
        origin,
        rules,
        script,
        plugin,
        other_case,
        case_sensitive,
        cases,
        normal,
        normal_elsewhere: _,
        guessable,
        dry_run,
        watch,
        workers,
        milter,
        guessing,
        account,
        known_file,
        tables: Tables { maps, databases, lists: _, tcp_tables, socketmaps },
        policies,
        greylist,
        policy_replies,
        statistics,
        metrics,
        control,
        log,
        files: _,
        problems: _,
        places: _,
        secrets: _,
        names_domain: _,
    } = config;
    (
        (domains, origin, format!("{rules:?} {script:?} {plugin:?} {other_case:?}")),
        (case_sensitive, cases, normal, guessable, dry_run, watch, workers),
        (milter, guessing, account, log),
        (maps, databases, tcp_tables, socketmaps),
        (statistics, metrics, control, known_file),
        // Whitelists cannot be compared.
        (policies, format!("{greylist:?} {policy_replies:?}")),
    )
}

/// The witness of a section applies to the sources of its types, that of a table to its source.
#[test]
fn each_type_has_its_witness() {
    let text = SMALLEST.replace(
        "source = \"vrfy:127.0.0.1:5025\"\n",
        "source = [
            \"vrfy:127.0.0.1:5025\", \"rcpt:127.0.0.1:25\", \"lmtp:127.0.0.1:24\", \"dovecot:/run/a\", \"passwd:\",
            { source = \"dovecot:/run/b\", witness = \"table\", service = \"table\" },
            { source = \"dovecot:/run/c\", witness = false },
            \"map:users\", { source = \"map:users2\", witness = \"table\" },
        ]
        [account.smtp]
        witness = \"smtp\"
        [account.dovecot]
        witness = { default = \"dovecot\", \"example.com\" = \"\" }
        service = \"lda\"\n",
    );
    let maps = ["users", "users2"].map(|name| format!("[[map]]\nname = \"{name}\"\nsource = \"static:x\"\n"));
    let text = format!("{text}{}", maps.concat());
    let sources = load(&text).unwrap().account.sources;
    let got: Vec<_> = sources
        .iter()
        .map(|source| {
            let service = &*source.dovecot.service;
            (
                source.spec.kind(),
                source.witness.of("x.test").clone(),
                source.witness.of("example.com").clone(),
                service,
            )
        })
        .collect();
    let account = |name: &str| Witness::Account(name.to_owned());
    let want = [
        ("vrfy", account("smtp"), account("smtp"), "lda"),
        ("rcpt", account("smtp"), account("smtp"), "lda"),
        ("lmtp", account("smtp"), account("smtp"), "lda"),
        ("dovecot", account("dovecot"), Witness::Default, "lda"),
        ("passwd", Witness::Default, Witness::Default, "lda"),
        ("dovecot", account("table"), account("table"), "table"),
        ("dovecot", Witness::Off, Witness::Off, "lda"),
        ("map", Witness::Default, Witness::Default, "lda"),
        ("map", account("table"), account("table"), "lda"),
    ];
    assert_eq!(got, want);
    let smallest = SMALLEST.replace("vrfy:127.0.0.1:5025", "dovecot:/run/a");
    assert_eq!(load(&smallest).unwrap().account.sources[0].witness, Witness::Default.into());
}

#[test]
fn how_guessable_a_rule_may_be() {
    for (value, want) in [("0", None), ("0.0", None), ("0.5", Some(0.5)), ("7", Some(7.0))] {
        assert_eq!(load(&with("", "guessable", value)).unwrap().guessable, want, "{value}");
    }
    assert_eq!(load(SMALLEST).unwrap().guessable, Some(config::GUESSABLE));
    refused("", "guessable", "\"5\"", "must be a number, not a string");
}

#[test]
fn the_smallest_file() {
    let config = load(SMALLEST).unwrap();
    assert_eq!(config.problems, []);
    assert_eq!(config.files.len(), 2, "{:?}", config.files);
    assert_eq!(config.origin, "example.com");
    assert!(config.watch && !config.dry_run && !config.case_sensitive);
}

/// `key = value` at the top or below its heading gives an error that holds `want`.
fn refused(section: &str, key: &str, value: &str, want: &str) {
    match load(&with(section, key, value)) {
        Ok(_) => panic!("{key} = {value} was taken"),
        Err(problems) => {
            assert!(problems.iter().any(|p| p.to_string().contains(want)), "{key}: {problems:?}");
        }
    }
}

#[test]
fn limits_of_lists_and_files() {
    let list = |n: usize, item: &dyn Fn(usize) -> String| {
        format!("[{}]", (0..n).map(|i| format!("\"{}\"", item(i))).collect::<Vec<_>>().join(","))
    };
    for (section, key, limit, item) in [
        (
            "milter",
            "listen",
            32,
            (&|i: usize| format!("inet:127.0.0.1:{}", 2000 + i)) as &dyn Fn(usize) -> String,
        ),
        ("account", "source", 16, &|i| format!("vrfy:127.0.0.1:{}", 2000 + i)),
        ("", "rules", config::MAX_RULES_FILES, &|i| format!("{}aliases.rules", "./".repeat(i))),
    ] {
        let good = with(section, key, &list(limit, item));
        // Files may be missing there; that there are too many of them must not be said.
        let said = load(&good).err().unwrap_or_default();
        assert!(!said.iter().any(|p| p.message.contains("too many")), "{key}: {said:?}");
        refused(section, key, &list(limit + 1, item), "too many");
    }
    for taken in [
        "Bcc",
        "CC",
        "comments",
        "Date",
        "Delivered-To",
        "From",
        "In-Reply-To",
        "Keywords",
        "Message-Id",
        "Received",
        "References",
        "Reply-To",
        "Resent-Bcc",
        "Resent-Cc",
        "Resent-Date",
        "Resent-From",
        "Resent-Message-ID",
        "Resent-Reply-To",
        "Resent-Sender",
        "Resent-To",
        "Return-Path",
        "Sender",
        "Subject",
        "To",
    ] {
        refused("milter", "header", &format!("\"{taken}\""), "that header has a meaning of its own");
    }
    refused("milter", "header", &format!("\"{}\"", "x".repeat(65)), "64 characters");
    assert!(load(&with("milter", "header", &format!("\"{}\"", "x".repeat(64)))).is_ok());

    let domain = |n: usize| format!("\"{}\"", "a.".repeat(n / 2) + "b");
    for (section, key) in
        [("", "domains"), ("", "origin"), ("account.smtp", "helo"), ("account.smtp", "tls_name")]
    {
        assert!(load(&with(section, key, &domain(254))).is_ok(), "{key}");
        refused(section, key, &domain(256), "is not a ");
    }
    let account = |n: usize| format!("\"{}\"", "x".repeat(n));
    assert!(load(&with("", "debug_account", &account(255))).is_ok());
    refused("", "debug_account", &account(256), "255 octets");

    let room = usize::try_from(config::MAX_CONFIG).unwrap() - SMALLEST.len() - 1;
    assert!(load(&format!("{SMALLEST}#{}", "x".repeat(room))).is_ok());
    let problems = load(&format!("{SMALLEST}#{}", "x".repeat(room + 1))).unwrap_err();
    assert!(problems[0].message.contains("larger than"), "{problems:?}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rcptd.conf"), SMALLEST).unwrap();
    let rules = fs::File::create(folder.path().join("aliases.rules")).unwrap();
    rules.set_len(config::MAX_RULES + 1).unwrap();
    let problems = config::load(&folder.path().join("rcptd.conf")).unwrap_err();
    assert!(problems[0].message.contains("larger than"), "{problems:?}");
    let certificates = with("account.smtp", "tls_ca", &format!("{:?}", folder.path().join("aliases.rules")));
    let problems = load(&certificates).unwrap_err();
    assert!(
        problems.iter().any(|p| p.to_string().contains("tls_ca") && p.message.contains("larger")),
        "{problems:?}"
    );
}

#[test]
fn a_script_is_small() {
    let limit = usize::try_from(rcptd::script::MAX_SCRIPT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rcptd.conf");
    fs::write(folder.path().join("aliases.rules"), "").unwrap();
    fs::write(&path, with("", "script", "\"script.rhai\"")).unwrap();
    let hook = "fn preprocess(alias, domain) { alias }";
    for (len, want) in [(limit, None), (limit + 1, Some("larger than"))] {
        let script = format!("{hook}{}", " ".repeat(len - hook.len()));
        fs::write(folder.path().join("script.rhai"), script).unwrap();
        let got = config::load(&path);
        assert!(
            got.as_ref().map_or_else(|p| p[0].message.contains(want.unwrap()), |_| want.is_none()),
            "{got:?}"
        );
    }
}

/// Only these two words make a plug-in of the value; an error names the place and the remedy.
#[test]
fn a_script_may_be_a_plugin() {
    for (value, is_plugin) in [
        ("exec:/bin/sh -c x", true),
        ("unix:/run/nothing-there.sock", true),
        ("script.rhai", false),
        ("./script.rhai", false),
    ] {
        let config = load(&with("", "script", &format!("{value:?}"))).unwrap();
        assert_eq!((config.plugin.is_some(), config.script.is_some()), (is_plugin, !is_plugin), "{value}");
        assert!(config.plugin.is_none_or(|plugin| *plugin.name == *value));
        // The program is not read, so its change is no reason for a reload.
        assert_eq!(config.files.len(), if is_plugin { 2 } else { 3 });
    }
    for (value, want) in [
        ("exec:", "script: it names no program (write exec:/PATH [ARGUMENT...])"),
        ("exec:x.py", "script: the path of a program must be absolute (write exec:/PATH [ARGUMENT...])"),
        (
            "exec:/nonexistent/x y",
            "script: /nonexistent/x cannot be run: No such file or directory (os error 2) (install the program or \
             correct the path)",
        ),
        ("exec:/etc", "script: /etc is not a file (write the path of a program)"),
        (
            "exec:/etc/passwd",
            "script: /etc/passwd cannot be run by the user of rcptd: Permission denied (make it executable (chmod +x))",
        ),
        ("unix:", "script: the path of a socket must be absolute (write unix:/PATH)"),
        ("unix:x.sock", "script: the path of a socket must be absolute (write unix:/PATH)"),
        // Other words are names of files.
        ("tcp:127.0.0.1:3048", "tcp:127.0.0.1:3048 cannot be read: No such file"),
        ("EXEC:/bin/sh", "EXEC:/bin/sh cannot be read: No such file"),
        ("/exec:/bin/sh", "/exec:/bin/sh cannot be read: No such file"),
    ] {
        refused("", "script", &format!("{value:?}"), want);
        refused("", "script", &format!("{value:?}"), "rcptd.conf:1:10: error: ");
    }
}

/// Its deadline is below that of each listener.
#[test]
fn the_deadline_of_a_plugin() {
    let plugin = with("", "script", "\"exec:/bin/sh\"");
    for (milter, table, want) in
        [("8s", None, 2000), ("29s", None, 2000), ("1s", None, 875), ("8s", Some("400ms"), 350)]
    {
        let mut text = plugin.replace("[milter]\n", &format!("[milter]\ndeadline = \"{milter}\"\n"));
        if let Some(deadline) = table {
            text += "[[map]]\nname = \"aliases\"\nsource = \"resolver:virtual_alias\"\n";
            text += "[[tcp_table]]\nlisten = \"inet:127.0.0.1:3048\"\nmap = \"aliases\"\n";
            writeln!(text, "deadline = \"{deadline}\"").unwrap();
        }
        let config = load(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(config.plugin.unwrap().deadline, Duration::from_millis(want), "{milter} {table:?}");
    }
}

fn data(name: &str) -> Result<Config, Vec<Problem>> {
    config::load(&root("tests/data/config").join(name).join("rcptd.conf"))
}

/// The statements of the predecessor mean what the keys they stand in for would.
#[test]
fn an_old_file_alone() {
    let got = data("22-old-file-alone").unwrap();
    let want = load(
        "domains = [\"example.com\", \"example.org\"]
         milter.listen = \"inet:127.0.0.1:3050\"
         account.source = \"vrfy:127.0.0.1:5025\"
         account.smtp.helo = \"mx.example.com\"
         log.level = \"warn\"",
    )
    .unwrap();
    assert_eq!(got.rules.len(), 1);
    assert_eq!(got.rules.debug_account(), Some("postmaster"));
    assert_eq!(meaning(Config { rules: want.rules.clone(), ..got }), meaning(want));

    let overruled = data("23-old-file-overruled").unwrap();
    assert_eq!(overruled.domains, ["example.net"]);
    assert_eq!(overruled.rules.debug_account(), Some("root"));
    assert_eq!(overruled.milter.listen[0].to_string(), "inet6:[::1]:3047");
    assert_eq!((&*overruled.account.sources[0].smtp.helo, overruled.log.level), ("", config::Level::Info));
}

/// The name of the old milter was also its only domain where none was written, and addresses of IPv6 stand
/// in brackets.
#[test]
fn old_statements_and_their_defaults() {
    for (statements, domains, listen, source) in [
        (
            "LOCAL HOST: a.example\nSMTP HOST: ::1\n",
            &["a.example"] as &[&str],
            "inet:127.0.0.1:3047",
            "vrfy:[::1]:25",
        ),
        (
            "LOCAL DOMAINS: a.example b.example\nSMTP HOST: h\nHOST: ::1\n",
            &["a.example", "b.example"],
            "inet6:[::1]:3047",
            "vrfy:h:25",
        ),
        (
            "ALIAS DOMAINS: c.example A.example\nLOCAL DOMAINS: a.example\nSMTP HOST: h\nPORT: 1\nSMTP PORT: 26\n",
            &["a.example", "c.example"],
            "inet:127.0.0.1:1",
            "vrfy:h:26",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.conf"), statements).unwrap();
        let path = folder.path().join("rcptd.conf");
        fs::write(&path, "rules = \"old.conf\"\n").unwrap();
        let config = config::load(&path).unwrap_or_else(|problems| panic!("{statements}: {problems:?}"));
        assert_eq!(config.domains, domains, "{statements}");
        assert_eq!(config.milter.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), [listen]);
        assert_eq!(config.account.sources[0].spec, source.parse().unwrap(), "{statements}");
    }
}

#[test]
fn rules_alone() {
    let file = |name: &str| root("tests/data/config").join(name);
    let good = file("21-broken-rules/good.rules");
    assert_eq!(config::check_rules(std::slice::from_ref(&good), None, true, false).problems, []);
    let old =
        config::check_rules(&[good.clone(), file("25-old-file-bad-values/virtual.conf")], None, true, false)
            .problems;
    assert!(any_error(&old), "domains are settings of rcptd: {old:?}");
    let ghost = config::check_rules(&[file("ghost"), file("21-broken-rules/first.rules")], None, true, false)
        .problems;
    assert!(ghost.iter().any(|p| p.message.contains("cannot be read")), "{ghost:?}");
    assert!(ghost.iter().any(|p| p.text.file.ends_with("first.rules")), "{ghost:?}");
}

/// What is said of a file of secrets with this content and mode.
fn secrets(content: &[u8], mode: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    fs::write(folder.path().join("aliases.rules"), "").unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(folder.path().join("rcptd.conf"), with("", "secrets", "\"secrets\"")).unwrap();
    // With a configuration and without one.
    let alone = config::read_secrets(&path).map_or_else(|problems| problems.len(), |_| 0);
    let said = said(folder.path());
    assert_eq!(alone + 1, said.lines().count(), "{said}");
    said.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn secrets_are_kept() {
    const NONE: &str = "(write one on a line, for example the output of \"openssl rand -hex 16\")\n";
    const SHORT: &str = "is shorter than 16 bytes (generate one with \"openssl rand -hex 16\")\n";
    const GOOD: &[u8] = b"correct horse battery staple\n";
    for mode in [0o400, 0o440, 0o600, 0o640, 0o660] {
        assert_eq!(secrets(GOOD, mode), "loads\n", "{mode:o}");
    }
    for mode in [0o644, 0o604, 0o602, 0o601] {
        assert_eq!(
            secrets(GOOD, mode),
            format!(
                "refused\nrcptd.conf:1:11: error: the secrets file cannot be read: its mode is {mode:04o}, \
                 so every user on this host can access it (chmod 640 secrets and set its group to the one \
                 rcptd runs with)\n"
            )
        );
    }
    for (content, want) in [
        ("", format!("secrets:1:1: error: the file contains no secret {NONE}")),
        (
            "correct horse battery staple\n\nhunter2\npassw0rd",
            format!("secrets:3:1: error: the secret {SHORT}secrets:4:1: error: the secret {SHORT}"),
        ),
    ] {
        assert_eq!(secrets(content.as_bytes(), 0o640), format!("refused\n{want}"));
    }
    assert!(secrets(b"gr\xfcn gr\xfcn gr\xfcn gr\xfcn", 0o640).contains("it is not UTF-8"));
    let limit = usize::try_from(config::MAX_SECRETS_FILE).unwrap();
    let large = |len: usize| [GOOD.to_vec(), vec![b'#'; len - GOOD.len()]].concat();
    assert_eq!(secrets(&large(limit), 0o640), "loads\n");
    assert!(secrets(&large(limit + 1), 0o640).contains("larger than"));
}

/// A problem may quote its line, but never that of a secret.
#[test]
fn secrets_are_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    write_private(&path, "hunter2\n# a comment\ncorrect horse battery staple\nhunter3");
    let problems = config::read_secrets(&path).unwrap_err();
    assert_eq!(problems.len(), 2);
    for problem in problems {
        let shown = format!("{problem} {} {problem:?}", problem.render(false));
        assert!(!shown.contains("hunter") && !shown.contains("horse"), "{shown}");
    }
}

#[test]
fn case_is_told_to_the_rules() {
    use alias_rules::Decision;
    for (case_sensitive, want) in [("false", true), ("true", false)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("aliases.rules"),
            "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();",
        )
        .unwrap();
        let path = folder.path().join("rcptd.conf");
        fs::write(&path, with("", "case_sensitive", case_sensitive)).unwrap();
        let config = config::load(&path).unwrap();
        assert!(matches!(config.rules.find("foo-macys-m5"), Decision::Account { name: "foo", .. }));
        let got = matches!(config.rules.find("FOO-macys-m5"), Decision::Account { name: "foo", .. });
        assert_eq!(got, want, "case_sensitive = {case_sensitive}");
    }
}

/// The rules come in the forms that the domains want.
#[test]
fn case_is_told_to_the_rules_by_domain() {
    use alias_rules::Decision;
    let rule = "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();";
    for (entry, global, want) in [
        ("[]", "false", (true, None)),
        ("[{ delimiters = \"+\" }]", "false", (true, None)),
        ("[{ domains = \"example.com\", case_sensitive = true }]", "false", (true, Some(false))),
        ("[{ domains = \"example.com\", case_sensitive = false }]", "true", (false, Some(true))),
        ("[{ case_sensitive = true }]", "true", (false, None)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("aliases.rules"), rule).unwrap();
        let path = folder.path().join("rcptd.conf");
        let text = with("", "normalise", entry);
        fs::write(&path, format!("case_sensitive = {global}\ndebug_account = \"root\"\n{text}")).unwrap();
        let config = config::load(&path).unwrap();
        let folds = |rules: &alias_rules::Rules| {
            assert_eq!(rules.debug_account(), Some("root"));
            matches!(rules.find("FOO-macys-m5"), Decision::Account { name: "foo", .. })
        };
        assert_eq!(
            (folds(&config.rules), config.other_case.as_ref().map(|form| folds(&form.rules))),
            want,
            "{entry}"
        );
    }
}

#[test]
fn what_is_not_utf_8_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rcptd.conf");
    fs::write(&path, [b"workers = 2 #\n# gr\xfcn\nrules = 3\n" as &[u8], SMALLEST.as_bytes()].concat())
        .unwrap();
    let problems = config::load(&path).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.place(), &p.message)).collect();
    assert!(
        places.iter().any(|(place, message)| *place == (2, 5) && message.contains("UTF-8")),
        "{places:?}"
    );
    assert!(places.iter().any(|(place, _)| *place == (3, 9)), "the rest is checked too: {places:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is written, it is answered, every answer can be shown, and a refusal has a reason.
    #[test]
    fn nothing_written_makes_it_fall(
        lines in proptest::collection::vec((0..keys::CHANGES.len(), 0..keys::CHANGES.len(), "[ -~ü\n\"'\\[\\]{}=#,]{0,6}"), 0..12)
    ) {
        let mut text = String::new();
        for (key, value, noise) in lines {
            let (section, key, _) = keys::CHANGES[key];
            let value = keys::CHANGES[value].2;
            match noise.len() {
                0 => writeln!(text, "[{section}]").unwrap(),
                1 | 2 => writeln!(text, "{key} = {value}").unwrap(),
                _ => writeln!(text, "{key} = {noise} {value}").unwrap(),
            }
        }
        match load(&text) {
            Ok(config) => prop_assert!(!any_error(&config.problems)),
            Err(problems) => {
                prop_assert!(any_error(&problems));
                for problem in problems {
                    prop_assert!(problem.render(false).contains(problem.severity.name()));
                }
            }
        }
    }
}

/// The sources have less time than the listener that waits least for them.
#[test]
fn time_for_all_sources() {
    let table = "[[tcp_table]]\nlisten = \"inet:127.0.0.1:3048\"\nmap = \"m\"\n";
    let map = "map = [{ name = \"m\", source = \"resolver:virtual_alias\" }]\n";
    let milter = "[milter]\nlisten = \"inet:127.0.0.1:3047\"\n";
    let slow = |section: &str, deadline: &str| format!("{section}deadline = \"{deadline}\"\n");
    for (sections, want) in [
        (vec![milter.to_owned()], 7000),
        (vec![slow(milter, "16s")], 14_000),
        (vec!["[milter]\nlisten = []\n".to_owned(), slow(table, "16s")], 14_000),
        (vec![slow(milter, "8s"), slow(table, "16s")], 7000),
        (vec![slow(milter, "16s"), slow(table, "4s")], 3500),
    ] {
        let text = format!(
            "domains = [\"example.com\"]\nrules = []\n{map}{}[account]\nsource = \"fail:\"\n",
            sections.concat()
        );
        let config = load(&text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(config.account.total_deadline.as_millis(), want, "{text}");
    }
}
