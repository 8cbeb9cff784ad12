//! The tools for people around the rules, as they are typed: addresses made, files laid out, old
//! configurations taken over.
//!
//! With `RCPTD_BLESS=1` in the environment the texts in `data/import` are written anew; read the difference!

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use alias_rules::{Decision, Finding, Options, Rules, load};
use common::{Site, rcptd};
use diagnostics::Text;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Exit code, standard output, standard error.
type Run = (i32, String, String);

fn run(arguments: &[&str], input: &str) -> Run {
    let mut command = rcptd();
    command.args(arguments);
    common::run(command, input)
}

fn path(site: &Site, name: &str) -> String {
    site.path(name).display().to_string()
}

/// The sample configurations that load, with the names that were asked of each.
fn samples() -> Vec<(String, String, Vec<String>)> {
    let text = include_str!("../crates/alias-rules/tests/data/b-examples.jsonl");
    let vectors = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let good = vectors.filter(|vector| {
        let has = |key| vector.get(key).is_some();
        !has("fixed_error") && (!has("error") || has("fixed_queries"))
    });
    good.map(|vector| {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let queries = vector.get("fixed_queries").unwrap_or(&vector["queries"]);
        let names = queries.as_array().expect("queries").iter().map(|query| text(&query["q"]));
        (text(&vector["id"]), text(&vector["config"]), names.collect())
    })
    .collect()
}

/// Of a name that is an alias of one account: the statement from 1, the account, and the words in it.
fn words(rules: &Rules, name: &str) -> Option<(usize, String, Option<String>, Vec<String>)> {
    let Decision::Account { name: account, ambiguous: false, by_debug: false, statement, .. } =
        rules.find(name)
    else {
        return None;
    };
    let explained = rules.explain(name).statements.swap_remove(statement);
    let Finding::Matched { split: Some(split), .. } = explained.finding else { panic!("{name} matches") };
    let alias = split.parts.iter().find(|(part, _)| part == "%alias%").map(|(_, text)| text.clone());
    let fixed = ["%account%", "%alias%", "%code%"];
    let words = split.parts.into_iter().filter(|(part, _)| !fixed.contains(&&**part)).map(|(_, text)| text);
    Some((statement + 1, account.to_owned(), alias, words.collect()))
}

/// From every name of the samples that is an alias back to it: what is made of its words is found again, by
/// the program as by the library, and is the same name where no function leaves a choice.
#[test]
fn what_is_made_is_looked_up() {
    let site = Site::new("", "");
    let rules_file = path(&site, "sample.rules");
    let (mut made, mut same) = (0, 0);
    for (id, config, names) in samples() {
        site.write("sample.rules", &config);
        let rules = load(&[Text::new(&rules_file, &config)], &Options::default()).expect("it loads").rules;
        let choice = config.contains("ANY(") || config.contains("NONE(");
        for name in names {
            let Some((rule, account, alias, words)) = words(&rules, &name) else { continue };
            let rule = rule.to_string();
            let mut arguments = vec!["make", "--rules", &rules_file, "--rule", &rule];
            if let Some(alias) = alias.as_ref().filter(|_| config.contains("ALIASED")) {
                arguments.extend(["--alias", alias]);
            }
            arguments.extend(["--", &account]);
            arguments.extend(words.iter().map(|word| &**word));
            let (code, out, err) = run(&arguments, "");
            assert_eq!(code, 0, "{id} {name} {arguments:?}: {err}");
            let new = out.strip_suffix('\n').expect("a line");
            let (code, found, _) = run(&["lookup", "--rules", &rules_file, "--json", "--", new], "");
            let found: Value = serde_json::from_str(&found).expect("JSON");
            assert_eq!(
                (code, found),
                (0, json!({ "q": new, "account": account, "ambiguous": false })),
                "{id}"
            );
            assert!(choice || new == name, "{id}: {new} of {name}");
            made += 1;
            same += usize::from(new == name);
        }
    }
    assert!(made >= 60 && same >= 50, "{made} were made, {same} of them the same");
}

/// A command, more arguments, the exit code, the output, and a part of the remarks.
type Case<'c> = (&'c [&'c str], &'c [&'c str], i32, &'c str, &'c str);

#[test]
fn make_answers() {
    let site = Site::new("", "");
    site.write("more.rules", "ACCOUNT foo MATCHES %alpha%=%number%=%code% WITH CHARS(1);\n");
    site.write("secrets", "# of HMAC\ncorrect horse battery staple\n");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(site.path("secrets"), private).unwrap();
    let (rules, more, conf) =
        (path(&site, "aliases.rules"), path(&site, "more.rules"), path(&site, "rcptd.conf"));
    let alone = ["make", "--rules", &rules];
    let both = ["make", "--rules", &rules, "--rules", &more];
    let secrets = path(&site, "secrets");
    let cases: &[Case<'_>] = &[
        (&alone, &["foo", "macys"], 0, "foo-macys-m5\n", ""),
        (&alone, &["--domain", "B.test", "foo", "macys"], 0, "foo-macys-m5@b.test\n", ""),
        (&alone, &["--fold", "FOO", "Macys"], 0, "foo-macys-m5\n", "\"Macys\" is treated as"),
        (&alone, &["--secrets", &secrets, "foo", "macys"], 0, "foo-macys-m5\n", ""),
        (
            &alone,
            &["--secrets", "/nowhere/x", "foo", "macys"],
            78,
            "",
            "the secrets cannot be read: No such file",
        ),
        (&alone, &["fooo", "macys"], 1, "", "did you mean \"foo\"?"),
        (&alone, &["foo", "a-b"], 1, "", "you could write \"ab\""),
        (&alone, &["foo"], 1, "", "needs 1 word: %alnum%"),
        (&both, &["foo", "macys"], 0, "foo-macys-m5\n", "rule 2 ("),
        (&both, &["foo", "macys", "7"], 0, "macys=7=5\n", "rule 1 ("),
        (
            &alone,
            &["--explain", "foo", "macys"],
            0,
            "foo-macys-m5\n  1. first letter of macys: m\n  2. count the characters of macys: 5\n  \
             3. code: m5\n  4. put together: foo-macys-m5\n",
            "",
        ),
        (&["make", "-c", &conf], &["foo", "macys"], 0, "foo-macys-m5@example.test\n", ""),
        (
            &["make", "-c", &conf],
            &["--domain", "Example.TEST.", "foo", "Macys"],
            0,
            "foo-macys-m5@example.test\n",
            "is treated as",
        ),
        (
            &["make", "-c", &conf],
            &["--domain", "exmaple.test", "foo", "x"],
            1,
            "",
            "did you mean example.test?",
        ),
        (&["make", "-c", &conf], &["--domain", "b.invalid", "foo", "x"], 1, "", "add it there first"),
        (&["make", "-c", "/nowhere/x"], &["foo"], 78, "", "/nowhere/x"),
        (
            &["make", "--rules", "/nowhere/x"],
            &["foo"],
            66,
            "",
            "No such file or directory (os error 2) (check the name)",
        ),
        (&["make", "--rules", &conf], &["foo"], 78, "", "rcptd.conf:1:"),
        (&["make", "--fold"], &["foo"], 64, "", "--rules"),
        (&alone, &[], 64, "", "<ACCOUNT>"),
        (&alone, &["--until", "2026-02-30", "foo", "macys"], 64, "", "there is no such day"),
        (&alone, &["-c", &conf, "foo", "macys"], 64, "", "cannot be used with"),
    ];
    for (first, rest, code, out, err) in cases {
        let arguments = [*first, *rest].concat();
        let got = run(&arguments, "");
        assert_eq!((got.0, &*got.1), (*code, *out), "{arguments:?}: {}", got.2);
        assert!(got.2.contains(err) && (got.2.is_empty() || !err.is_empty()), "{arguments:?}: {}", got.2);
    }
    let (code, out, err) = run(&[&both[..], &["--json", "--domain", "b.test", "foo", "macys"]].concat(), "");
    assert_eq!((code, &*err), (0, ""));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines,
        [
            json!({
                "rule": 1, "place": format!("{rules}:1"), "expression": "%account%-%alnum%-%code%",
                "name": "foo-macys-m5", "address": "foo-macys-m5@b.test", "remarks": [], "reason": null,
                "steps": ["first letter of macys: m", "count the characters of macys: 5", "code: m5",
                          "put together: foo-macys-m5"],
            }),
            json!({
                "rule": 2, "place": format!("{more}:1"), "expression": "%alpha%=%number%=%code%",
                "name": null, "address": null, "remarks": [], "steps": [],
                "reason": "the rule needs 2 words: %alpha%, %number%; given 1",
            }),
        ]
    );
    assert_eq!(fs::read_to_string(site.path("aliases.rules")).expect("rules"), common::RULES);
}

#[test]
fn explain_needs_no_configuration() {
    let site = Site::new("", "");
    site.write("more.rules", "ACCOUNT foo MATCHES f%alnum%-%alnum%-%code% WITH CHARS(2), ANY(1);\n");
    let (rules, more) = (path(&site, "aliases.rules"), path(&site, "more.rules"));
    let explain = |arguments: &[&str]| {
        let (code, out, err) =
            run(&[&["explain", "--rules", &rules, "--rules", &more], arguments].concat(), "");
        (code, out.replace(&path(&site, ""), ""), err)
    };
    let (code, out, err) = explain(&["foo-macys-m6"]);
    assert_eq!((code, &*err), (1, ""));
    let want = "\
foo-macys-m6
  aliases.rules:1 %account%-%alnum%-%code%
    no match: the code is \"m6\", computed \"m5\"
      %account%    \"foo\"
      %alnum%      \"macys\"
      %code%       \"m6\"
      computed     \"m5\"
                     ^
      CHAR(1,1,-)  of \"macys\" = \"m\"
      CHARS(1)     of \"macys\" = \"5\", the code has \"6\"
  more.rules:1 f%alnum%-%alnum%-%code%
    no match: the code is \"m6\", computed \"5?\"
      %alnum%   \"oo\"
      %alnum%   \"macys\"
      %code%    \"m6\"
      computed  \"5?\"
                 ^^
      CHARS(2)  of \"macys\" = \"5\", the code has \"m\"
      ANY(1)    of \"oo\"    matches no character here, the code has \"6\"
  no alias
";
    assert_eq!(out, want);
    assert_eq!(explain(&["foo-macys-m5"]).0, 0);
    assert_eq!(explain(&["Foo-macys-m5"]).0, 1);
    assert_eq!(explain(&["--fold", "<Foo-macys-m5@example.test>", "foo-macys-5o"]).0, 0);
    assert_eq!(explain(&[&format!("foo-{}-1", "a".repeat(5000))]).0, 75);
    assert_eq!(explain(&["-c", "/nowhere/x", "foo"]).0, 64);
    assert_eq!(run(&["explain", "--rules", "/nowhere/x", "foo"], "").0, 66);
    let (code, out, err) = explain(&["--json", "foo-macys-m6"]);
    assert_eq!((code, &*err), (1, ""));
    let object: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&object["outcome"], &object["account"]), (&json!("no_match"), &Value::Null));
    assert_eq!(object["statements"].as_array().expect("a list").len(), 2);
    let want = json!({
        "place": "aliases.rules:1", "expression": "%account%-%alnum%-%code%", "finding": "wrong_code",
        "account": "foo",
        "split": {
            "code": "m6", "computed": "m5",
            "parts": [
                { "name": "%account%", "text": "foo" },
                { "name": "%alnum%", "text": "macys" },
                { "name": "%code%", "text": "m6" },
            ],
            "functions": [
                { "call": "CHAR(1,1,-)", "text": "macys", "value": "m", "given": "m", "right": true },
                { "call": "CHARS(1)", "text": "macys", "value": "5", "given": "6", "right": false },
            ],
        },
    });
    assert_eq!(object["statements"][0], want);
}

/// With a configuration, what is made is what the daemon takes to the account: by its way of reading names, and
/// with its script. Whether the account exists is not asked.
#[test]
fn make_asks_the_configuration() {
    // the configuration, the script, the output, a part of the reason
    for (top, script, out, err) in [
        ("", "", "foo-macys-m5@example.test\n", ""),
        ("normalise = [{ delimiters = \"+\", remove = \".\" }]", "", "foo-macys-m5@example.test\n", ""),
        ("normalise = [{ remove = \"-\" }]", "", "", "read as \"foomacysm5\", which is not an alias"),
        ("normalise = [{ delimiters = \"-\" }]", "", "foo-macys-m5@example.test\n", ""),
        ("", "fn preprocess(alias, domain) { () }", "", "the script would not pass"),
        (
            "",
            "fn preprocess(alias, domain) { \"bar-x-x1\" }",
            "",
            "read as \"bar-x-x1\", an alias of \"bar\"",
        ),
        (
            "",
            "fn preprocess(alias, domain) { if alias.starts_with(\"foo\") { throw 1 } alias }",
            "",
            "would be deferred",
        ),
        (
            "",
            "fn postprocess(account, domain) { \"bar\" }",
            "",
            "the script or another rule would send foo-macys-m5@example.test to bar@example.test",
        ),
        (
            "",
            "fn postprocess(account, domain) { [\"foo\", \"b.test\"] }",
            "",
            "would send foo-macys-m5@example.test to foo@b.test",
        ),
        ("", "fn postprocess(account, domain) { account }", "foo-macys-m5@example.test\n", ""),
        (
            "case_sensitive = true\nnormalise = [{ case_sensitive = false }]",
            "",
            "foo-macys-m5@example.test\n",
            "",
        ),
    ] {
        let hooks = if script.is_empty() { "" } else { "script = \"hooks.rhai\"" };
        let site = Site::new(&format!("{hooks}\n{top}"), "");
        site.write("hooks.rhai", script);
        site.configure(&format!("file:{}", path(&site, "accounts")), "static:notfound");
        let conf = path(&site, "rcptd.conf");
        let got = run(&["make", "-c", &conf, "foo", "macys"], "");
        assert_eq!((got.0, &*got.1), (i32::from(out.is_empty()), out), "{top} {script}: {}", got.2);
        assert!(got.2.contains(err) && got.2.is_empty() == err.is_empty(), "{top} {script}: {}", got.2);
        let (_, json, _) = run(&["make", "-c", &conf, "--json", "foo", "macys"], "");
        let object: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            (object["address"].is_null(), object["reason"].is_null()),
            (out.is_empty(), !out.is_empty())
        );
    }
    // Where a rule sends the mail elsewhere, that is what was asked for.
    let site = Site::new("", "");
    site.write("aliases.rules", "ACCOUNT foo MATCHES %alnum%-%code% WITH CHARS(1) DELIVER TO foo@b.test;\n");
    let got = run(&["make", "-c", &path(&site, "rcptd.conf"), "foo", "macys"], "");
    assert_eq!((got.0, &*got.1), (0, "macys-5@example.test\n"), "{}", got.2);
}

/// No address is handed out that has expired already.
#[test]
fn make_looks_at_the_day() {
    let site = Site::new("", "");
    site.write("aliases.rules", "ACCOUNT foo MATCHES %alnum%-%date%-%code% WITH CHARS(1);\n");
    let (rules, conf) = (path(&site, "aliases.rules"), path(&site, "rcptd.conf"));
    for (source, domain) in [(["--rules", &rules], ""), (["-c", &conf], "@example.test")] {
        let make = |day| run(&[&["make"], &source[..], &["--until", day, "foo", "macys"]].concat(), "");
        assert_eq!(make("2099-12-31"), (0, format!("macys-9912-5{domain}\n"), String::new()));
        let (code, out, err) = make("2001-01-31");
        assert_eq!((code, &*out), (1, ""));
        assert!(
            err.contains("\"macys-0101-5\" is valid until 2001-01-31 only: it has already expired"),
            "{err}"
        );
    }
}

/// Without a configuration the day, the domain and the secrets count as they do for `lookup`.
#[test]
fn explain_alone_knows_day_domain_and_secrets() {
    let site = Site::new("", "");
    site.write(
        "aliases.rules",
        "ACCOUNT foo MATCHES d-%date%-%code% WITH CHARS(account);\n\
         ACCOUNT foo DOMAINS example.test MATCHES t-%alnum%-%code% WITH CHARS(1);\n",
    );
    site.write("hmac.rules", "ACCOUNT foo MATCHES %alnum%-%code% WITH HMAC(4);\n");
    site.write("secrets", "correct horse battery staple\n");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(site.path("secrets"), private).unwrap();
    let (rules, hmac, secrets) =
        (path(&site, "aliases.rules"), path(&site, "hmac.rules"), path(&site, "secrets"));
    let (code, alias, err) = run(&["make", "--rules", &hmac, "--secrets", &secrets, "foo", "macys"], "");
    assert_eq!(code, 0, "{err}");
    let cases: &[(&[&str], i32)] = &[
        (&["--rules", &rules, "--today", "2026-11-30", "d-2611-3"], 0),
        (&["--rules", &rules, "--today", "2026-12-01", "d-2611-3"], 1),
        // Whatever the day is now.
        (&["--rules", &rules, "d-0001-3"], 1),
        (&["--rules", &rules, "t-x-1"], 1),
        (&["--rules", &rules, "--domain", "Example.TEST.", "t-x-1"], 0),
        (&["--rules", &rules, "--domain", "b.test", "t-x-1"], 1),
        (&["--rules", &hmac, "--secrets", &secrets, alias.trim_end()], 0),
        (&["--rules", &hmac, alias.trim_end()], 78),
    ];
    for (arguments, code) in cases {
        for command in ["explain", "lookup"] {
            let got = run(&[&[command], *arguments].concat(), "");
            assert_eq!(got.0, *code, "{command} {arguments:?}: {}{}", got.1, got.2);
        }
    }
    // An address says its own domain.
    let got = run(&["explain", "--rules", &rules, "--domain", "b.test", "t-x-1@example.test"], "");
    assert_eq!(got.0, 0, "{}", got.1);
    let (_, out, _) = run(&["explain", "--rules", &rules, "--today", "2026-12-01", "d-2611-3"], "");
    assert!(out.contains("2026-11-30"), "{out}");
    for option in ["--secrets", "--domain", "--today"] {
        assert_eq!(run(&["explain", option, "2026-11-30", "foo"], "").0, 64, "{option}");
    }
}

#[test]
fn fmt_lays_out() {
    use std::os::unix::fs::PermissionsExt;
    let odd = "ACCOUNT  foo MATCHES x%code% WITH CHARS(account) ;";
    let even = "ACCOUNT foo MATCHES x%code% WITH CHARS(account);\n";
    let site = Site::new("", "");
    let (file, bad, good) =
        (path(&site, "odd.rules"), path(&site, "bad.rules"), path(&site, "aliases.rules"));
    site.write("odd.rules", odd);
    site.write("bad.rules", "ACCOUNT  foo MATSCHES");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    let fmt = |arguments: &[&str], input: &str| run(&[&["rules", "fmt"], arguments].concat(), input);

    assert_eq!(fmt(&["--check", &file, &good], ""), (1, format!("{file}\n"), String::new()));
    assert_eq!(fs::read_to_string(&file).expect("rules"), odd);
    let (code, out, err) = fmt(&[&bad, &file, "/nowhere/x"], "");
    assert_eq!((code, &*out), (78, ""));
    assert!(err.contains("bad.rules:1:14: error:") && err.contains("/nowhere/x: No such file"), "{err}");
    assert_eq!(fs::read_to_string(&file).expect("rules"), even);
    assert_eq!(fs::read_to_string(&bad).expect("rules"), "ACCOUNT  foo MATSCHES");
    assert_eq!(fs::metadata(&file).expect("file").permissions().mode() & 0o7777, 0o600);
    assert_eq!(fmt(&["--check", &file, &good], ""), (0, String::new(), String::new()));

    assert_eq!(fmt(&["-"], odd), (0, even.into(), String::new()));
    assert_eq!(fmt(&["--check", "-"], odd), (1, "standard input\n".into(), String::new()));
    assert_eq!(fmt(&["/nowhere/x"], "").0, 66);
    assert_eq!(fmt(&[], "").0, 64);
    // A file that is laid out already is not written again.
    let before = fs::metadata(&file).expect("file");
    assert_eq!(fmt(&[&file], "").0, 0);
    let after = fs::metadata(&file).expect("file");
    let inode = std::os::unix::fs::MetadataExt::ino;
    assert_eq!(inode(&before), inode(&after));
}

/// The examples in the report of an import: names, and what rcptd says of them.
fn examples(report: &str) -> Vec<(&str, &str)> {
    let lines = report.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter_map(|line| Some((line.split_once("  trualias: ")?.0, line.split_once("  rcptd: ")?.1)))
        .collect()
}

#[test]
fn old_configurations_are_taken_over() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import");
    let mut folders: Vec<_> =
        fs::read_dir(&root).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    folders.sort();
    assert!(folders.len() >= 14);
    let mut looked_up = 0;
    for folder in folders {
        let more = fs::read_to_string(folder.join("arguments")).unwrap_or_default();
        let import = |arguments: &[&str]| {
            let mut program = rcptd();
            program.current_dir(&folder).args(["import", "trualias", "trualias.conf"]);
            let got = program.args(more.split_whitespace()).args(arguments).output().expect("the program");
            let text = |bytes| String::from_utf8(bytes).expect("text");
            (got.status.code().expect("no signal"), text(got.stdout), text(got.stderr))
        };
        let (code, out, err) = import(&[]);
        let got = format!("{out}==> exit code {code} <==\n{err}");
        let expected = folder.join("expected.txt");
        if std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1") {
            fs::write(&expected, &got).expect("written");
        }
        assert_eq!(got, fs::read_to_string(&expected).expect("data"), "{}", folder.display());
        if code != 0 {
            continue;
        }
        // Written, the same; the rules say what the report says, and the configuration is good where nothing is
        // left to be written.
        let to = tempfile::tempdir().expect("a folder");
        let path = |name: &str| to.path().join(name).display().to_string();
        let folder = to.path().display().to_string();
        let (code, nothing, report) = import(&["-o", &folder]);
        assert_eq!((code, &*nothing), (0, ""), "{report}");
        let [conf, rules] =
            ["rcptd.conf", "aliases.rules"].map(|name| fs::read_to_string(path(name)).expect("written"));
        assert_eq!(format!("==> rcptd.conf <==\n{conf}\n==> aliases.rules <==\n{rules}\n"), out);
        let good = !conf.contains("# Missing: ");
        let (code, _, why) = run(&["check", "-c", &path("rcptd.conf")], "");
        assert_eq!(code, if good { 0 } else { 78 }, "{why}");
        assert_eq!(report.contains("is valid; first do"), good, "{report}");
        for (name, said) in examples(&report) {
            let (_, account, _) = run(&["lookup", "--rules", &path("aliases.rules"), "--", name], "");
            let said = said.split("; ").next().expect("a part");
            let said = if said == "not found" { "" } else { said };
            assert_eq!(account.trim_end(), said, "{name}");
            looked_up += 1;
        }
        // Nothing is overwritten unless asked for.
        fs::write(path("aliases.rules"), "mine").expect("written");
        fs::remove_file(path("rcptd.conf")).expect("removed");
        let (code, _, err) = import(&["-o", &folder]);
        assert!(code == 74 && err.contains("aliases.rules: already exists"), "{err}");
        assert!(!to.path().join("rcptd.conf").exists());
        assert_eq!(fs::read_to_string(path("aliases.rules")).expect("mine"), "mine");
        assert_eq!(import(&["-o", &folder, "--force"]).0, 0);
        assert_eq!(fs::read_to_string(path("aliases.rules")).expect("rules"), rules);
    }
    assert!(looked_up >= 15, "{looked_up}");
    assert_eq!(run(&["import", "trualias", "/nowhere/x"], "").0, 66);
    let (code, _, err) = run(&["import", "trualias", "/dev/null", "-o", "/nowhere/x"], "");
    assert!(code == 74 && err.contains("/nowhere/x: cannot create the folder"), "{err}");
    // The report is there all the same.
    assert!(err.find("imported; differences:") < err.find("cannot create"), "{err}");
    let site = Site::new("", "");
    let (code, _, err) = run(&["import", "trualias", "/dev/null", "-o", &path(&site, "new")], "");
    assert_eq!(code, 0, "{err}");
    assert!(site.path("new/rcptd.conf").exists() && site.path("new/aliases.rules").exists(), "{err}");
}
