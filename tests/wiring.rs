//! `rcptd check --postfix`: each finding on a configuration that has that fault, none on the recipes.
//!
//! A fixture is a recipe of install/postfix with changes:
//!
//! ```text
//! # What happens.
//! on WIRING                         milter, tables, tcp, both; or debian, for Postfix before rcptd
//! rcptd: OLD => NEW                 a change in the recipe's rcptd.conf
//! main: NAME = VALUE                a line of main.cf
//! service: ...                      an entry of master.cf, in the place of the one of this name and type
//! socket: PATH missing              or: denied, none (not a socket), unseen
//! passwd in chroot
//! file: PATH TEXT                   the text of a table
//! want: ID                          a finding about main.cf
//! want: ID SERVICE                  one about a service, `smtp inet`
//! says: TEXT                        what the last one says or advises, in any order
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use rcptd::config;
use rcptd::wiring::{Facts, Finding, Ours, Output, Postfix, Reach, TableText, check};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(root(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Lines that go on are joined, comments and empty ones are left out.
fn logical(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    lines
}

/// The two files of a Postfix.
#[derive(Default)]
struct Host {
    main: String,
    services: Vec<String>,
}

impl Host {
    fn debian() -> Self {
        let mut host = Host { main: text("tests/data/postfix/main.cf"), services: Vec::new() };
        host.serve(&text("tests/data/postfix/master.cf"));
        host
    }

    /// Puts entries of master.cf in the place of those of the same name and type.
    fn serve(&mut self, entries: &str) {
        let key = |entry: &str| entry.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        for entry in logical(entries) {
            self.services.retain(|old| key(old) != key(&entry));
            self.services.push(entry);
        }
    }

    /// With the lines of a recipe.
    fn wired(wiring: &str) -> Self {
        let mut host = Host::debian();
        let snippet = |name: &str| text(&format!("install/postfix/{name}"));
        match wiring {
            "debian" => (),
            "milter" => {
                host.main += &snippet("main.cf.snippet");
                host.serve(&snippet("master.cf.snippet"));
            }
            "tables" | "tables-vrfy" => host.main += &snippet("tables.main.cf.snippet"),
            "tcp" => {
                let lines = snippet("tables.main.cf.snippet");
                host.main += &lines
                    .replace("#virtual_alias_maps", "virtual_alias_maps")
                    .replace("#local_rec", "local_rec");
            }
            "both" => host.main += &snippet("both.main.cf.snippet"),
            _ => panic!("no wiring {wiring}"),
        }
        if wiring == "tables-vrfy" {
            host.serve(&snippet("tables.master.cf.snippet"));
        }
        host
    }

    /// What postconf(1) prints of it: `postconf`, `-n`, `-M`, `-P`.
    fn printed(&self) -> [String; 4] {
        let set: String = logical(&self.main).iter().fold(String::new(), |mut text, line| {
            let (name, value) = line.split_once('=').unwrap();
            writeln!(text, "{} = {}", name.trim(), value.trim()).unwrap();
            text
        });
        let (mut services, mut overrides) = (String::new(), String::new());
        for entry in &self.services {
            writeln!(services, "{entry}").unwrap();
            let mut words = entry.split_whitespace();
            let key = format!("{}/{}", words.next().unwrap(), words.next().unwrap());
            for setting in settings(entry) {
                let (name, value) = setting.split_once('=').unwrap();
                writeln!(overrides, "{key}/{} = {}", name.trim(), value.trim()).unwrap();
            }
        }
        [text("tests/data/postfix/defaults"), set, services, overrides]
    }

    fn read(&self) -> Postfix {
        let [all, set, services, overrides] = &self.printed();
        Postfix::read(Output { all, set, services, overrides })
    }
}

/// What stands behind each `-o`: a word, or what is in braces.
fn settings(entry: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), entry);
    while let Some(at) = rest.find(" -o ") {
        rest = rest[at + 4..].trim_start();
        let mut depth = 0_usize;
        let end = rest.find(|c: char| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => (),
            }
            depth == 0 && c == ' '
        });
        let setting = &rest[..end.unwrap_or(rest.len())];
        found.push(setting.strip_prefix('{').and_then(|s| s.strip_suffix('}')).unwrap_or(setting).trim());
        rest = &rest[setting.len()..];
    }
    found
}

/// The configuration of a recipe with changes.
fn ours(wiring: &str, changes: &[(String, String)]) -> Ours {
    let name = match wiring {
        "tables" | "tables-vrfy" | "tcp" => "tables.rcptd.conf",
        "both" => "both.rcptd.conf",
        _ => "milter.rcptd.conf",
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut config = text(&format!("install/postfix/{name}"));
    for (old, new) in changes {
        assert!(config.contains(old), "{name} has no {old}");
        config = config.replace(old, new);
    }
    config = config.replace("/etc/rcptd/accounts", &path("accounts").display().to_string());
    fs::write(path("accounts"), "foo\n").unwrap();
    fs::write(path("rcptd.conf"), config).unwrap();
    fs::write(path("aliases.rules"), text("tests/mta/aliases.rules")).unwrap();
    let config = config::load(&path("rcptd.conf")).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    Ours::new(&config)
}

/// A fixture, read.
#[derive(Default)]
struct Fixture {
    host: Host,
    wiring: String,
    changes: Vec<(String, String)>,
    facts: Facts,
    want: Vec<(String, Vec<String>)>,
}

impl Fixture {
    fn read(text: &str) -> Self {
        let mut fixture = Fixture::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "on" => {
                    fixture.host = Host::wired(rest);
                    rest.clone_into(&mut fixture.wiring);
                }
                "rcptd:" => {
                    let (old, new) = rest.split_once(" => ").unwrap();
                    fixture.changes.push((old.replace("\\n", "\n"), new.replace("\\n", "\n")));
                }
                "main:" => writeln!(fixture.host.main, "{rest}").unwrap(),
                "service:" => fixture.host.serve(rest),
                "socket:" => {
                    let (path, reach) = rest.split_once(' ').unwrap();
                    let reach = match reach {
                        "missing" => Reach::Missing,
                        "denied" => Reach::Denied("mode 0600".into()),
                        "none" => Reach::NotASocket,
                        "unseen" => Reach::CannotTell("not root".into()),
                        _ => panic!("{line}"),
                    };
                    fixture.facts.sockets.insert(path.into(), reach);
                }
                "file:" => {
                    let (path, content) = rest.split_once(' ').unwrap();
                    let table = TableText::new(&content.replace("\\n", "\n"));
                    fixture.facts.tables.insert(path.into(), table);
                }
                "passwd" => fixture.facts.chroot_has_passwd = true,
                "want:" => fixture.want.push((rest.to_owned(), Vec::new())),
                "says:" => fixture.want.last_mut().unwrap().1.push(rest.to_owned()),
                _ => panic!("{line}"),
            }
        }
        fixture
    }

    fn findings(&self) -> Vec<Finding> {
        check(&self.host.read(), &ours(&self.wiring, &self.changes), &self.facts)
    }
}

/// `ID` or `ID SERVICE`.
fn key(finding: &Finding) -> String {
    match &finding.service {
        Some(service) => format!("{} {service}", finding.id),
        None => finding.id.to_owned(),
    }
}

#[test]
fn recipes_have_no_findings() {
    for wiring in ["milter", "tables", "tables-vrfy", "tcp", "both"] {
        let changes = match wiring {
            "tables-vrfy" => vec![("passwd:".to_owned(), "vrfy:127.0.0.1:5025".to_owned())],
            _ => Vec::new(),
        };
        let host = Host::wired(wiring);
        let findings = check(&host.read(), &ours(wiring, &changes), &Facts::default());
        assert!(findings.is_empty(), "{wiring}: {findings:#?}");
    }
}

#[test]
fn each_fault_is_found() {
    let (mut seen, mut wrong) = (BTreeSet::new(), String::new());
    for entry in fs::read_dir(root("tests/data/postfix/findings")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let fixture = Fixture::read(&fs::read_to_string(&path).unwrap());
        let findings = fixture.findings();
        let got: Vec<String> = findings.iter().map(key).collect();
        let (mut got_sorted, mut want): (Vec<_>, Vec<_>) =
            (got.clone(), fixture.want.iter().map(|(key, _)| key.clone()).collect());
        got_sorted.sort();
        want.sort();
        if got_sorted != want {
            writeln!(wrong, "{name}: got {got_sorted:?}, want {want:?}: {findings:#?}").unwrap();
            continue;
        }
        for (want, texts) in &fixture.want {
            let said: Vec<_> = findings
                .iter()
                .filter(|finding| key(finding) == *want)
                .map(|finding| format!("{} ({})\n", finding.message, finding.help))
                .collect();
            let said = said.concat();
            for text in texts.iter().filter(|text| !said.contains(*text)) {
                writeln!(wrong, "{name}: no {text:?} in {said}").unwrap();
            }
        }
        seen.extend(findings.iter().map(|finding| finding.id));
    }
    assert!(wrong.is_empty(), "{wrong}");
    let wiring = fs::read_dir(root("src/wiring")).unwrap();
    let mut known = BTreeSet::new();
    for file in wiring {
        let code = fs::read_to_string(file.unwrap().path()).unwrap();
        // The id is the first argument, on the line of the call or on the next.
        for rest in code.split("findings.").skip(1) {
            let Some(rest) = ["error(", "warning(", "add("].iter().find_map(|call| rest.strip_prefix(call))
            else {
                continue;
            };
            let arguments = rest.trim_start().trim_start_matches("if local { ");
            known.extend(arguments.strip_prefix('"').and_then(|id| id.split('"').next()).map(str::to_owned));
        }
    }
    let seen: BTreeSet<String> = seen.into_iter().map(str::to_owned).collect();
    let without: Vec<_> = known.difference(&seen).collect();
    assert!(without.is_empty(), "no fixture has these findings: {without:?}");
    assert!(known.len() > 30, "{known:?}");
}

/// The command itself, with a postconf that prints what a real one would.
#[test]
fn the_command_prints_findings_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut host = Host::wired("milter");
    host.main += "milter_default_action = accept\nmydestination = $myhostname\n";
    writeln!(host.main, "config_directory = {}", folder.path().display()).unwrap();
    for (name, printed) in ["all", "-n", "-M", "-P"].iter().zip(host.printed()) {
        fs::write(path(name), printed).unwrap();
    }
    fs::write(path("main.cf"), &host.main).unwrap();
    fs::write(path("master.cf"), text("install/postfix/master.cf.snippet")).unwrap();
    let script = "#!/bin/sh\nif [ \"$1\" = -c ]; then cd \"$2\"; shift 2; else exit 1; fi\n\
                  echo 'postconf: warning: main.cf: unused parameter: x=y' >&2\ncat -- \"./${1:-all}\"\n";
    fs::write(path("postconf"), script).unwrap();
    fs::set_permissions(path("postconf"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("rcptd.conf"), text("install/postfix/milter.rcptd.conf")).unwrap();
    fs::write(path("aliases.rules"), text("tests/mta/aliases.rules")).unwrap();
    let search = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
        command.arg("check").args(arguments).env("PATH", &search).current_dir(folder.path());
        let got = command.output().unwrap();
        let said = String::from_utf8([got.stdout, got.stderr].concat()).unwrap();
        (got.status.code().unwrap(), said)
    };
    let folder_name = folder.path().display().to_string();
    let (code, said) = run(&["-c", "rcptd.conf", "--postfix", &folder_name]);
    assert_eq!(code, 78, "{said}");
    let line = |needle: &str| host.main.lines().position(|line| line.starts_with(needle)).unwrap() + 1;
    let at = host
        .main
        .lines()
        .enumerate()
        .filter(|(_, l)| l.starts_with("milter_default_action"))
        .last()
        .unwrap()
        .0
        + 1;
    for want in [
        format!(
            "{folder_name}/main.cf:{at}:1: error: smtp inet: the default action of rcptd's milter is \"accept\""
        ),
        "example.com is in none of mydestination".to_owned(),
        "unused parameter: x=y".to_owned(),
        "(main.cf: milter_default_action = tempfail)".to_owned(),
    ] {
        assert!(said.contains(&want), "no {want:?} in {said}");
    }
    assert!(line("compatibility_level") > 0);
    // Objects, and the folder of Postfix by -c: then rcptd.conf is the usual one, which is not there.
    let (code, said) = run(&["-c", "rcptd.conf", "--json", "--postfix", &folder_name]);
    assert!(code == 78 && said.contains("\"severity\":\"error\"") && said.contains("main.cf\""), "{said}");
    let (code, said) = run(&["--postfix", "-c", &folder_name]);
    assert!(code == 78 && said.contains("/etc/rcptd/rcptd.conf"), "{said}");
    // Without a postconf that answers nothing is called good.
    let (code, said) = run(&["-c", "rcptd.conf", "--postfix"]);
    assert!(code == 78 && said.contains("postconf failed"), "{said}");
}

/// Several faults at once: none hides another.
#[test]
fn many_faults_at_once() {
    let fixture = Fixture::read(&text("tests/data/postfix/seeded"));
    let got: BTreeSet<String> = fixture.findings().iter().map(key).collect();
    let want: BTreeSet<String> = fixture.want.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(got, want);
}

/// The script that makes the list of accounts.
#[test]
fn a_list_of_accounts_is_made_of_all_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let passwd = |script: &str| {
        fs::write(path("getent"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path("getent"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let search = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = || {
        let mut command = Command::new("sh");
        command.arg(root("install/postfix/rcptd-accounts")).arg(path("accounts")).arg(path("aliases"));
        let got = command.env("PATH", &search).output().unwrap();
        (got.status.success(), String::from_utf8(got.stderr).unwrap())
    };
    let list = || fs::read_to_string(path("accounts")).unwrap();
    let aliases = "# comment\npostmaster: root\n\"odd name\": alice\n  , bob\n\"we:ird\\\"x\" :bob\nspaced : x\n\
                   owner-list: y\n\nlist: \"|/bin/x a:b\"\n";
    let good = "printf 'root:x:0:0::/:\\nalice:x:1:1::/:\\nfoo:x:2:2::/:\\n'";
    passwd(good);
    fs::write(path("aliases"), aliases).unwrap();
    assert_eq!(run(), (true, String::new()));
    let want = [
        "\"odd name\"",
        "\"we:ird\\\"x\"",
        "alice",
        "foo",
        "list",
        "owner-list",
        "postmaster",
        "root",
        "spaced",
    ];
    assert_eq!(list().lines().collect::<Vec<_>>(), want);
    assert_eq!(fs::metadata(path("accounts")).unwrap().permissions().mode() & 0o777, 0o644);
    let before = list();
    for (script, aliases, why) in [
        ("exit 2", Some(aliases), "getent passwd failed"),
        ("printf 'root:x:0:0::/:\\n'; exit 1", Some(aliases), "getent passwd failed"),
        ("true", Some(aliases), "does not name root"),
        (good, None, "cannot be read"),
        (good, Some("postmaster: root\nno colon\n"), "has an error"),
        ("printf 'root:x:0:0::/:\\n'", Some("postmaster: root\n"), "less than half"),
    ] {
        passwd(script);
        match aliases {
            Some(aliases) => fs::write(path("aliases"), aliases).unwrap(),
            None => fs::remove_file(path("aliases")).unwrap(),
        }
        let (success, said) = run();
        assert!(!success && said.contains(why), "{script}: {said}");
        assert_eq!(list(), before, "{script}");
    }
    let left = fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("accounts."));
    assert_eq!(left.count(), 0, "temporary files are left");
}
