//! The documents against the program: what they show exists, and says what they say it says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use alias_rules::{Day, Decision, Dialect, Options, Query, Rules, Secrets};
use diagnostics::{Problem, Text};
use rcptd::config;
use rcptd::map::search::SearchStrategy;
use rcptd::map::settings::{self, Kind};
use rcptd::resolve::view::ResolverView;
use rcptd::script;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENTS: [&str; 4] = ["README.md", "MILTER_README.md", "CHANGELOG.md", "docs/recipes.md"];
const WIRING: &str = "MILTER_README.md";
const MANUAL: &str = "install/rcptd.8";
/// The page of the language.
const LANGUAGE: &str = "install/rcptd.rules.5";
/// What fits on one screen or two.
const README_LINES: usize = 155;
/// Words behind `rcptd` in the documents that are commands of the program.
const COMMANDS: [&str; 12] = [
    "serve", "check", "lookup", "explain", "make", "rules", "import", "status", "sources", "cache", "trace",
    "demo",
];
/// Those behind `rcptd rules`.
const RULES_COMMANDS: [&str; 1] = ["fmt"];
/// Those behind `rcptd import`.
const IMPORT_COMMANDS: [&str; 3] = ["trualias", "sockmapd", "postfix"];
/// The page of the maps.
const MAPS: &str = "install/rcptd.maps.5";

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(root(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The parts of a document between three backquotes: language, content, and the last line of prose before.
fn fences(document: &str) -> Vec<(String, String, String)> {
    let (mut fences, mut before, mut open) = (Vec::new(), String::new(), None::<(String, String)>);
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => {
                let (language, content) = open.take().unwrap();
                fences.push((language, content, std::mem::take(&mut before)));
            }
            (Some((_, content)), None) => writeln!(content, "{line}").unwrap(),
            (None, None) if !line.trim().is_empty() => line.clone_into(&mut before),
            (None, None) => (),
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}

/// A document without its fences.
fn prose(document: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in document.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            writeln!(prose, "{line}").unwrap();
        }
    }
    prose
}

/// What stands between single backquotes, also over the end of a line.
fn quoted(prose: &str) -> Vec<String> {
    prose.split("\n\n").flat_map(|p| p.split('`').skip(1).step_by(2)).map(|q| q.replace('\n', " ")).collect()
}

/// What is meant to be typed: lines of shell, and quoted texts that begin with the name of a program.
fn typed(document: &str) -> Vec<String> {
    let shell = fences(document).into_iter().filter(|(language, _, _)| language == "sh");
    let lines = shell.flat_map(|(_, content, _)| content.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.chain(quoted(&prose(document))).collect()
}

fn rcptd(arguments: &[&str]) -> (i32, String) {
    let got = Command::new(env!("CARGO_BIN_EXE_rcptd")).args(arguments).output().unwrap();
    let said = [got.stdout, got.stderr].concat();
    (got.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// The long options of the program and of all its commands, as their help lists them.
fn options() -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    let mut calls = vec![vec!["--help"]];
    calls.extend(COMMANDS.iter().map(|command| vec![*command, "--help"]));
    calls.extend(RULES_COMMANDS.iter().map(|command| vec!["rules", *command, "--help"]));
    calls.extend(IMPORT_COMMANDS.iter().map(|command| vec!["import", *command, "--help"]));
    for call in calls {
        let (code, help) = rcptd(&call);
        assert_eq!(code, 0, "{call:?}: {help}");
        let has_options = |line: &&str| line.starts_with('-') || line.contains("[alias: --");
        for line in help.lines().map(str::trim_start).filter(has_options) {
            let words = line.split_whitespace().filter_map(|word| word.strip_prefix("--"));
            options.extend(words.map(|word| word.trim_end_matches([',', ']']).to_owned()));
        }
    }
    options
}

#[test]
fn snippets_are_those_that_are_installed() {
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for (_, content, before) in fences(&text(WIRING)) {
        let Some(from) = before.strip_prefix("From `").and_then(|b| b.strip_suffix("`:")) else { continue };
        let file = text(from);
        let (got, want) = (content.trim_end(), file.trim_end());
        let at_line = want.find(got).is_some_and(|at| at == 0 || want[..at].ends_with('\n'));
        assert!(at_line, "{WIRING} shows another {from}; want a part of\n{file}");
        shown.insert(from.to_owned());
    }
    let mut there = BTreeSet::new();
    for folder in ["install/postfix", "install/sendmail"] {
        for entry in fs::read_dir(root(folder)).unwrap() {
            there.insert(format!("{folder}/{}", entry.unwrap().file_name().display()));
        }
    }
    assert_eq!(shown, there);
}

#[test]
fn snippets_and_configuration_name_one_socket() {
    let wiring = text(WIRING);
    let (_, toml, _) = fences(&wiring).into_iter().find(|(language, _, _)| language == "toml").unwrap();
    let value = |key: &str| {
        let line = toml.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(" = ").trim_matches('"').to_owned()
    };
    let (milter, vrfy) = (value("listen"), value("source").replace("vrfy:", ""));
    let (host, port) = milter.strip_prefix("inet:").unwrap().rsplit_once(':').unwrap();
    assert!(text("install/postfix/master.cf.snippet").contains(&format!("smtpd_milters={milter}\n")));
    assert!(text("install/postfix/master.cf.snippet").contains(&format!("\n{vrfy} ")));
    assert!(text("install/sendmail/rcptd.m4").contains(&format!("S=inet:{port}@{host},")));
    let (host, port) = vrfy.rsplit_once(':').unwrap();
    assert!(text("install/sendmail/vrfy.mc").contains(&format!("Port={port}, Addr={host}'")));
    assert!(text("README.md").contains(&format!("listen = \"{milter}\"")));
}

/// Each place that a mail server is told to ask at is one where the configuration beside it listens, and each map one
/// that it has.
#[test]
fn recipes_of_tables_fit_together() {
    let mut seen = 0;
    for (config, snippet) in [
        ("install/postfix/tables.rcptd.conf", "install/postfix/tables.main.cf.snippet"),
        ("install/postfix/both.rcptd.conf", "install/postfix/both.main.cf.snippet"),
        ("install/sendmail/virtuser.rcptd.conf", "install/sendmail/virtuser.m4"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let accounts = folder.path().join("accounts");
        let here = text(config).replace("/etc/rcptd/accounts", &accounts.display().to_string());
        fs::write(accounts, "foo\n").unwrap();
        fs::write(folder.path().join("rcptd.conf"), here).unwrap();
        let rule = "ACCOUNT foo MATCHES %account%-%alnum%-%code% WITH CHARS();\n";
        fs::write(folder.path().join("aliases.rules"), rule).unwrap();
        let (code, said) = rcptd(&["check", "-c", &folder.path().join("rcptd.conf").display().to_string()]);
        assert_eq!(code, 0, "{config}: {said}");
        let (config, snippet) = (text(config), text(snippet));
        for rest in snippet.split("127.0.0.1:").skip(1) {
            let mut parts = rest.split(|c: char| c.is_whitespace() || c == ':');
            let port = parts.next().unwrap();
            assert!(config.contains(&format!("listen = \"inet:127.0.0.1:{port}\"")), "{port}");
            if rest.starts_with(&format!("{port}:")) {
                let map = parts.next().unwrap();
                assert!(config.contains(&format!("[[map]]\nname = \"{map}\"")), "{map}");
            }
            seen += 1;
        }
        if snippet.contains("virtusertable") {
            assert!(snippet.contains("socket inet:2224@127.0.0.1"));
            assert!(
                config.contains("listen = \"inet:127.0.0.1:2224\"") && config.contains("name = \"virtuser\"")
            );
            seen += 1;
        }
    }
    assert!(seen >= 7, "only {seen} places were seen");
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for name in DOCUMENTS {
        let document = text(name);
        let prose = prose(&document);
        let anchor = |heading: &str| -> String {
            let kept = heading.trim_start_matches('#').trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>()
                .replace(' ', "-")
        };
        let anchors: BTreeSet<String> =
            prose.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
        for target in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            links += 1;
            if let Some(wanted) = target.strip_prefix('#') {
                assert!(anchors.contains(wanted), "{name}: no heading {target}");
            } else if !target.starts_with("https://") {
                assert!(root(target).exists(), "{name}: no file {target}");
            }
        }
    }
    assert!(links >= 15, "only {links} links were seen");
}

#[test]
fn files_that_are_named_exist() {
    let mut seen = 0;
    for name in DOCUMENTS {
        let words: Vec<String> = typed(&text(name))
            .iter()
            .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for word in &words {
            let path = word.trim_start_matches("./");
            let ours = ["install/", "tests/", "src/", "examples/", "benches/"];
            if ours.iter().any(|folder| path.starts_with(folder)) || path.starts_with("milter.conf") {
                seen += 1;
                assert!(root(path).exists(), "{name}: no file {word}");
            }
        }
    }
    assert!(seen >= 10, "only {seen} files were seen");
}

#[test]
fn commands_of_cargo_have_their_targets() {
    let (mut seen, mut filters) = (0, 0);
    for name in DOCUMENTS {
        for line in typed(&text(name)).iter().filter(|line| line.starts_with("cargo ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let package = words.windows(2).find(|pair| pair[0] == "-p").map(|pair| pair[1]);
            let folder = package.map_or(String::new(), |package| format!("crates/{package}/"));
            for pair in words.windows(2) {
                let &[option, target] = pair else { continue };
                match option {
                    "--bench" => {
                        let manifest = text(&format!("{folder}Cargo.toml"));
                        assert!(manifest.contains(&format!("name = \"{target}\"")), "{line}");
                    }
                    "--test" => {
                        let there = [format!("tests/{target}.rs"), format!("tests/{target}/main.rs")];
                        assert!(there.iter().any(|file| root(file).exists()), "{line}");
                    }
                    "--run" => {
                        let scenarios = fs::read_dir(root("tests/mta")).unwrap();
                        let mut names = scenarios.map(|e| e.unwrap().file_name().display().to_string());
                        assert!(names.any(|name| name.contains(target)), "{line}");
                    }
                    _ => continue,
                }
                seen += 1;
            }
            if let Some((command, filter)) = line.split_once(" -- ")
                && let Some((_, bench)) = command.split_once("--bench ")
            {
                let source = text(&format!("{folder}benches/{}.rs", bench.trim()));
                let filter = filter.trim_matches('"');
                let (group, what) = filter.split_once('/').unwrap_or((filter, ""));
                assert!(source.contains(&format!("benchmark_group(\"{group}\")")), "{line}");
                assert!(source.contains(&format!("(\"{what}")) || what.is_empty(), "{line}");
                filters += 1;
            }
        }
    }
    assert!(filters >= 2, "only {filters} filters were seen");
    assert!(seen >= 5, "only {seen} targets were seen");
}

#[test]
fn commands_of_rcptd_can_be_typed() {
    let options = options();
    let mut seen = 0;
    for name in DOCUMENTS {
        for line in typed(&text(name)).iter().filter(|line| line.starts_with("rcptd ")) {
            let line = line.split(['#', '<', '|']).next().unwrap();
            let mut words = line.split_whitespace().skip(1).peekable();
            let Some(command) = words.next_if(|word| !word.starts_with('-')) else { continue };
            assert!(COMMANDS.contains(&command), "{name}: {line}");
            for option in words.filter_map(|word| word.strip_prefix("--")) {
                assert!(options.contains(option), "{name}: {line}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} commands were seen");
}

#[test]
fn tests_of_servers_exist() {
    let mut seen = 0;
    for name in text("docs/tested-servers.md").split('`').filter(|word| word.starts_with("tests/")) {
        assert!(root(name).exists(), "{name}");
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} tests were seen");
}

#[test]
fn the_readme_is_short_and_its_example_works() {
    let readme = text("README.md");
    assert!(readme.lines().count() <= README_LINES);
    let fences = fences(&readme);
    let (_, config, _) = fences.iter().find(|(language, _, _)| language == "toml").unwrap();
    let (_, rules, _) = fences.iter().find(|(_, content, _)| content.contains("ACCOUNT ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rcptd.conf"), config).unwrap();
    fs::write(folder.path().join("aliases.rules"), rules).unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (code, said) = rcptd(&["check", "-c", &file("rcptd.conf")]);
    assert!(code == 0 && said.ends_with("rcptd.conf: good\n"), "{code} {said}");
    let rules = file("aliases.rules");
    for (name, want) in [("foo-macys-m5", (0, "foo\n")), ("foo-macys-m6", (1, "\n"))] {
        assert!(readme.contains(name));
        let (code, said) = rcptd(&["lookup", "--rules", &rules, name]);
        assert_eq!((code, &*said), want, "{name}");
    }
}

/// The texts of the log are literals of `observe`; a literal may go over several lines there.
#[test]
fn lines_of_the_log_are_logged() {
    let mut source = String::new();
    for entry in fs::read_dir(root("src/observe")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let mut rest = fs::read_to_string(path).unwrap();
        while let Some(at) = rest.find("\\\n") {
            source.push_str(&rest[..at]);
            rest = rest[at + 2..].trim_start().to_owned();
        }
        source.push_str(&rest);
    }
    let wiring = text(WIRING);
    let section = wiring.split("## The log").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() >= 20, "only {} rows", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (line, level) = (cells[0].trim_matches(['|', ' ', '`']), cells[1]);
        let logged = source.match_indices(line).any(|(at, _)| {
            let call = source[..at].rfind("!(").unwrap_or_default();
            source[..call].ends_with(level) && !source[call..at].contains(";\n")
        });
        assert!(logged, "{line} is not logged at {level}");
    }
}

#[test]
fn the_manual_has_every_option_and_command() {
    let manual = text(MANUAL).replace("\\-", "-");
    let options = options();
    assert!(options.len() >= 7, "{options:?}");
    for option in options {
        assert!(manual.contains(&format!("Fl -{option}")), "--{option} is not in {MANUAL}");
    }
    for command in COMMANDS {
        let there = manual.contains(&format!(".It Cm {command}\n"))
            || manual.contains(&format!(".It Cm {command} Ar "))
            || ["rules", "import"].contains(&command);
        assert!(there, "{command} is not in {MANUAL}");
    }
    for command in RULES_COMMANDS {
        assert!(manual.contains(&format!(".It Cm rules {command}\n")), "rules {command} is not in {MANUAL}");
    }
    for command in IMPORT_COMMANDS {
        assert!(
            manual.contains(&format!(".It Cm import {command}\n")),
            "import {command} is not in {MANUAL}"
        );
    }
}

#[test]
fn the_manual_has_every_exit_code_and_word() {
    let manual = text(MANUAL);
    let cli = text("src/cli/mod.rs");
    let codes = cli.lines().filter_map(|line| line.trim().strip_prefix("pub const "));
    let codes: Vec<&str> = codes.map(|line| line.rsplit(' ').next().unwrap().trim_end_matches(';')).collect();
    assert!(codes.len() >= 8, "{codes:?}");
    for code in codes {
        assert!(manual.contains(&format!("\n.It {code}\n")), "exit code {code} is not in {MANUAL}");
    }
    for word in ["not_ours", "keep", "rewrite", "reject", "defer", "would_"] {
        assert!(text("src/observe/mod.rs").contains(&format!("\"{word}\"")), "{word} is not logged");
        assert!(manual.contains(word), "{word} is not in {MANUAL}");
    }
    let reasons = text("src/server/milter/adapter.rs");
    for word in [
        "domain",
        "account",
        "rule",
        "rule-twice",
        "rule-expired",
        "rule-ambiguous",
        "debug-account",
        "rule-budget",
        "script",
    ] {
        assert!(reasons.contains(&format!("\"{word}\"")), "{word} is no reason");
        assert!(manual.contains(&format!("\n.Li {word}")), "{word} is not in {MANUAL}");
    }
}

#[test]
fn the_language_is_described_in_full() {
    let page = text(LANGUAGE);
    let has = |line: &str| assert!(page.contains(line), "{line:?} is not in {LANGUAGE}");
    for name in ["account", "alias", "code", "date", "alnum", "alpha", "number", "ident", "fqdn"] {
        has(&format!(".It Li %{name}%\n"));
    }
    for function in ["CHARS", "DIGITS", "ALPHAS", "VOWELS", "LABELS", "ANY", "NONE", "CHAR"] {
        has(&format!(".It Li {function}(i"));
    }
    has(".It Li HMAC(n)\n");
    for clause in ["ACCOUNT", "USING", "ALIASED", "DOMAINS", "MATCHES", "WITH", "DELIVER TO"] {
        has(&format!("\n.It Li {clause} "));
    }
    for setting in ["HOST", "PORT", "SMTP HOST", "SMTP PORT", "LOCAL HOST", "LOCAL DOMAINS", "ALIAS DOMAINS"]
    {
        has(setting);
    }
    for setting in ["LOGGING", "DEBUG ACCOUNT", "CASE SENSITIVE", "STATISTICS", "PROCESSOR", "PYTHON_IS_311"]
    {
        has(setting);
    }
    // The limits are those of the program.
    let (least, most) = alias_rules::HMAC_LENGTHS.into_inner();
    has(&format!("{least} to {most}"));
    has(&format!(
        "A secret has at least {} octets; there are at most {} secrets",
        alias_rules::MIN_SECRET,
        alias_rules::MAX_SECRETS
    ));
    has(&format!("longer than {} octets", alias_rules::MAX_NAME));
    has(&format!(
        "takes {} steps for a statement and {} for all",
        alias_rules::MAX_STATEMENT_STEPS,
        alias_rules::MAX_LOOKUP_STEPS
    ));
    has(&format!("of up to {} octets", alias_rules::ORDINARY_NAME));
    has(&format!("has {} domains at most", alias_rules::MAX_DOMAINS));
    has(&format!("{} octets", mail_address::MAX_LOCAL_PART));
}

/// An option is described once, and a secret is made in one way.
#[test]
fn the_manual_says_nothing_twice() {
    let manual = text(MANUAL);
    let options = manual.split("The options:\n").nth(1).unwrap().split(".Sh ").next().unwrap();
    let heads: Vec<&str> = options.lines().filter(|line| line.starts_with(".It Fl ")).collect();
    let once: BTreeSet<&str> = heads.iter().copied().collect();
    assert!(heads.len() >= 15, "{heads:?}");
    assert_eq!(heads.len(), once.len(), "{heads:?}");
    for name in [LANGUAGE, "milter.conf.sample", "crates/alias-rules/src/secrets.rs"] {
        assert!(text(name).contains("openssl rand -hex 16"), "{name} makes secrets in another way");
    }
}

/// The blocks of a page that are shown as they are.
fn literal_blocks(page: &str) -> Vec<String> {
    let (mut blocks, mut open) = (Vec::new(), None::<String>);
    for line in page.lines() {
        match &mut open {
            _ if line.starts_with(".Bd -literal") => open = Some(String::new()),
            Some(_) if line == ".Ed" => blocks.extend(open.take()),
            Some(block) => writeln!(block, "{line}").unwrap(),
            None => (),
        }
    }
    blocks
}

/// What the page has behind the arrow.
fn told(rules: &Rules, query: Query<'_>) -> String {
    match rules.find(query) {
        Decision::NoMatch => "no alias".into(),
        Decision::Account { name, target: None, .. } => name.into(),
        Decision::Account { name, target: Some(target), .. } => format!("{name} to {target}"),
        Decision::Expired { .. } => "expired".into(),
        Decision::Ambiguous { .. } => "ambiguous".into(),
        Decision::TempFail { .. } => panic!("{query:?}"),
    }
}

/// A line of a table: `name[@domain] [on day] -> what it is`.
fn run_line(rules: &Rules, line: &str) {
    let (asked, want) = line.split_once(" -> ").unwrap_or_else(|| panic!("no arrow in {line:?}"));
    let (address, day) = asked.split_once(" on ").map_or((asked, None), |(name, day)| (name, Some(day)));
    let (name, domain) =
        address.trim().rsplit_once('@').map_or((address.trim(), None), |(name, domain)| (name, Some(domain)));
    let today = day.map(|day| {
        let [year, month, day] = day.trim().split('-').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Day::new(year.parse().unwrap(), month.parse().unwrap(), day.parse().unwrap()).unwrap()
    });
    assert_eq!(told(rules, Query { name, domain, today }), want.trim(), "{line}");
}

#[test]
fn examples_of_the_language_do_what_the_page_says() {
    let mut secrets = Secrets::default();
    let mut rules = None;
    let mut lines = 0;
    for block in literal_blocks(&text(LANGUAGE)) {
        if block.contains("ACCOUNT ") {
            assert!(rules.is_none(), "rules without a table in front of\n{block}");
            let options = Options { fold: true, dialect: Dialect::Any, secrets: secrets.clone() };
            let loaded = alias_rules::load(&[Text::new(LANGUAGE, &block)], &options);
            let loaded = loaded.unwrap_or_else(|problems| panic!("{block}\n{problems:#?}"));
            assert_eq!(loaded.problems, [], "{block}");
            rules = Some(loaded.rules);
        } else if block.starts_with('#') {
            secrets = Secrets::parse(&block).unwrap();
        } else {
            let rules = rules.take().unwrap_or_else(|| panic!("no rules in front of\n{block}"));
            for line in block.lines() {
                run_line(&rules, line);
                lines += 1;
            }
        }
    }
    assert!(rules.is_none() && lines >= 40, "only {lines} lines were seen");
}

/// The script in the manual does what the comment in it says, and its limits are those of the program.
#[test]
fn the_script_of_the_manual_works() {
    let manual = text("install/rcptd.conf.5");
    let section = manual.split(".Sh SCRIPT").nth(1).unwrap().split(".Sh ").next().unwrap();
    let script = section.split("-offset indent\n").nth(1).unwrap().split(".Ed").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("script.rhai"), script).unwrap();
    let config = "domains = \"example.com\"\nscript = \"script.rhai\"\naccount.source = \"none:\"\n";
    fs::write(folder.path().join("rcptd.conf"), config).unwrap();
    let config = folder.path().join("rcptd.conf").display().to_string();
    for (address, want) in [
        ("joe.macys.5@example.com", "= \"joseph-macys-m5\"\n"),
        ("jim.macys.5@example.com", "= \"jim.macys.5\"\n"),
        ("joe@example.com", "= \"joe\"\n"),
    ] {
        let (code, said) = rcptd(&["explain", "-c", &config, address]);
        assert!(code == 0 && said.contains(want), "{code} {said}");
    }
    for limit in [
        format!("has {} operations", script::MAX_OPERATIONS),
        format!("{} calls within each other", script::MAX_CALLS),
        format!("texts of {} octets", script::MAX_TEXT),
        format!("lists and maps of {} entries", script::MAX_LIST),
        format!("{} variables at a time", script::MAX_VARIABLES),
        format!("may have {} octets, {} functions", script::MAX_SCRIPT, script::MAX_FUNCTIONS),
        format!("{} expressions within each other", script::MAX_DEPTH),
    ] {
        assert!(section.replace('\n', " ").contains(&limit), "{limit}");
    }
}

#[test]
fn the_units_start_the_program_as_it_can_be_called() {
    let unit = text("install/systemd/rcptd.service");
    let calls: Vec<&str> =
        unit.lines().filter_map(|line| line.split_once("=/usr/sbin/rcptd ")).map(|c| c.1).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    for call in calls {
        let words: Vec<&str> = call.split_whitespace().chain(["--help"]).collect();
        assert_eq!(rcptd(&words).0, 0, "{call}");
        assert!(call.ends_with("/etc/rcptd/rcptd.conf"));
    }
    // The name in a socket unit is the one that its comment tells to use.
    for unit in ["install/systemd/rcptd.socket", "install/systemd/rcptd-map.socket"] {
        let socket = text(unit);
        let name = socket.lines().find_map(|line| line.strip_prefix("FileDescriptorName=")).unwrap();
        assert!(socket.contains(&format!("listen = \"systemd:{name}\"")), "{unit}");
    }
}

/// The page of the maps has every source, view and search strategy, and the limits of the program.
#[test]
fn the_maps_are_described_in_full() {
    let page = text(MAPS).replace("\\-", "-");
    let heads: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".It ")).collect();
    let has = |what: &str| {
        let words = heads.iter().flat_map(|head| head.split([' ', ',']).collect::<Vec<_>>());
        assert!(words.into_iter().any(|word| word == what), "{what} has no entry in {MAPS}");
    };
    for (name, _) in SearchStrategy::ALL {
        has(name);
    }
    for (name, _) in ResolverView::ALL {
        has(&format!("resolver:{name}"));
    }
    for source in ["texthash:", "inline:{", "lmdb:", "database:", "tcp:", "static:", "fail:", "map:"] {
        has(source);
    }
    for source in ["socketmap:inet:", "unionmap:{", "pipemap:{"] {
        has(source);
    }
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, _) in Kind::ALL {
        assert!(flat.contains(name), "{name} is not in {MAPS}");
    }
    for limit in [
        format!("more than {} octets, its end included", lookup_protocols::tcp_table::MAX_LINE),
        format!("of at most {} octets", lookup_protocols::socketmap::MAX_REQUEST),
        format!("of at most {} octets", lookup_protocols::socketmap::MAX_REPLY - "OK ".len()),
        format!("asked last for {} s", settings::BACKOFF.as_secs()),
    ] {
        assert!(flat.contains(&limit), "{limit} is not in {MAPS}");
    }
}

/// The configurations of the page are ones that load.
#[test]
fn the_maps_of_the_page_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("aliases.rules"), "").unwrap();
    let blocks = literal_blocks(&text(MAPS));
    let configurations: Vec<&String> = blocks.iter().filter(|block| block.contains("[[map]]")).collect();
    assert_eq!(configurations.len(), 3);
    for content in configurations {
        let path = folder.path().join("rcptd.conf");
        fs::write(&path, content).unwrap();
        match config::load(&path) {
            Ok(config) => {
                // Postfix may not be installed here.
                let of_host = |problem: &&Problem| problem.message.contains("/var/spool/postfix");
                let problems: Vec<_> = config.problems.iter().filter(|problem| !of_host(problem)).collect();
                assert!(problems.is_empty(), "{problems:?}");
            }
            Err(problems) => {
                let missing =
                    |problem: &Problem| problem.help.as_ref().is_some_and(|help| help.contains("--features"));
                // Not everybody builds everything.
                assert!(!cfg!(feature = "sql-postgres") && problems.iter().all(missing), "{problems:?}");
            }
        }
    }
}

/// mandoc(1), whose renderer most systems use, understands the manual pages.
#[test]
fn the_manual_pages_are_mdoc() {
    let pages: Vec<PathBuf> = fs::read_dir(root("install"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|section| section == "5" || section == "8"))
        .collect();
    assert_eq!(pages.len(), 5);
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output();
    let lint = lint.expect("mandoc, which tests/run installs");
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}
