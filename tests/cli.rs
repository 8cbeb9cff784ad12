//! The commands as operators and scripts meet them: output, exit codes, pipes.
//!
//! With `RCPTD_BLESS=1` in the environment the texts in `data/cli` are written anew; read the difference!

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;
#[allow(dead_code)]
#[path = "account_vrfy/fake.rs"]
mod fake;

use common::{Site, rcptd};
use fake::{Act, Fake};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

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

fn finish(mut command: Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_string();
    // It may well end before it has read all of it.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("a writer");
    Run {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
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

/// The vectors of the rule engine (`crates/alias-rules/tests/data/README.md`), asked of the program: the configurations and names
/// that were looked up, and the configurations that were refused.
fn vectors(file: &str) -> [usize; 3] {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/alias-rules/tests/data").join(file),
    );
    let site = Site::new("", "");
    let rules = path(&site, "vector.rules");
    let mut counts = [0; 3];
    for line in text.expect("vectors").lines() {
        let vector: Value = serde_json::from_str(line).expect("an object");
        let has = |key| vector.get(key).is_some();
        site.write("vector.rules", vector["config"].as_str().expect("config"));
        if has("fixed_error") || has("error") && !has("fixed_queries") {
            let Run { code, out, err } = run(&["lookup", "--rules", &rules, "foo"]);
            assert_eq!((code, &*out), (78, ""), "{} {err}", vector["id"]);
            let place = err.strip_prefix(&format!("{rules}:")).unwrap_or_else(|| panic!("{err}"));
            let line: String = place.chars().take_while(char::is_ascii_digit).collect();
            assert!(line.parse::<usize>().is_ok_and(|line| line >= 1), "{err}");
            counts[2] += 1;
            continue;
        }
        let queries = vector.get("fixed_queries").or_else(|| vector.get("queries"));
        let (mut names, mut want, mut found) = (String::new(), Vec::new(), true);
        for query in queries.and_then(Value::as_array).expect("queries") {
            let name = query["q"].as_str().expect("a name");
            if name.contains('\n') {
                continue;
            }
            names.push_str(name);
            names.push('\n');
            let wanted = query.get("fixed").unwrap_or(query);
            let account = Some(&wanted["expect"]).filter(|account| **account != json!(""));
            found &= account.is_some_and(|account| !account.is_null());
            want.push(json!({ "q": name, "account": account, "ambiguous": wanted["ambiguous"] }));
        }
        counts[0] += 1;
        counts[1] += want.len();
        let Run { code, out, err } = run_with(&["lookup", "--rules", &rules, "--json", "-"], &names);
        let got: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(got, want, "{} {err}", vector["id"]);
        assert_eq!(code, i32::from(!found), "{} {err}", vector["id"]);
    }
    counts
}

#[test]
fn lookup_agrees_with_the_vectors() {
    for (file, want) in [
        ("a-unittests.jsonl", [53, 58, 19]),
        ("b-examples.jsonl", [44, 318, 15]),
        ("c-generated.jsonl", [862, 19206, 332]),
        ("d-runs.jsonl", [72, 2628, 0]),
        ("q-quirks.jsonl", [71, 154, 22]),
        ("slow.jsonl", [21, 21, 0]),
    ] {
        assert_eq!(vectors(file), want, "{file}");
    }
}

#[test]
fn lookup_answers() {
    let site = Site::new("", "");
    site.write("more.rules", "ACCOUNT baz MATCHES %alpha%=%code% WITH CHARS();\n");
    let (rules, more) = (path(&site, "aliases.rules"), path(&site, "more.rules"));
    let cases: &[(&[&str], &str, &str, i32)] = &[
        (&["foo-macys-m5"], "", "foo\n", 0),
        (&["foo-macys-m6"], "", "\n", 1),
        (&["foo-macys-m5", "foo-macys-m6", "bar-x-x1"], "", "foo\n\nbar\n", 1),
        (&["Foo-Macys-M5"], "", "\n", 1),
        (&["--fold", "Foo-Macys-M5"], "", "foo\n", 0),
        (&["--rules", &more, "xy=2", "foo-macys-m5"], "", "baz\nfoo\n", 0),
        (&["-"], "foo-macys-m5\nbar-x-x1", "foo\nbar\n", 0),
        (&["-"], "foo-macys-m5\r\n", "\n", 1),
        (&["-"], "", "", 0),
        (&["foo-macys-m5", "-", "bar-x-x1"], "x\n", "foo\n\nbar\n", 1),
        (
            &["--json", "foo-macys-m5"],
            "",
            "{\"account\":\"foo\",\"ambiguous\":false,\"q\":\"foo-macys-m5\"}\n",
            0,
        ),
        (&["--domain", "Example.TEST.", "--today", "2026-11-30", "foo-macys-m5"], "", "foo\n", 0),
        (&["--json", "x"], "", "{\"account\":null,\"ambiguous\":false,\"q\":\"x\"}\n", 1),
    ];
    for (arguments, input, want, code) in cases {
        let got = run_with(&[&["lookup", "--rules", &rules], *arguments].concat(), input);
        assert_eq!((&*got.out, got.code, &*got.err), (*want, *code, ""), "{arguments:?}");
    }
}

/// A whole address is no name, unless a rule says so; where it comes to nothing, the reader is told.
#[test]
fn lookup_hints_at_the_domain() {
    let site = Site::new("", "");
    let rules = path(&site, "aliases.rules");
    let got = run(&["lookup", "--rules", &rules, "foo-macys-m5@example.com"]);
    assert_eq!((&*got.out, got.code), ("\n", 1));
    assert!(got.err.contains("did you mean --domain example.com foo-macys-m5?"), "{}", got.err);
    assert_eq!(run(&["lookup", "--rules", &rules, "foo-macys-m6"]).err, "");
}

#[test]
fn lookup_defers_what_it_tempfail() {
    let site = Site::new("", "");
    let name = "a".repeat(5000) + "=1";
    site.write("aliases.rules", "ACCOUNT baz MATCHES %alpha%=%code% WITH CHARS();\n");
    let rules = path(&site, "aliases.rules");
    let got = run_with(&["lookup", "--rules", &rules, "-"], &format!("x\n{name}\nx=1\n"));
    assert_eq!((&*got.out, got.code), ("\n\nbaz\n", 75));
    assert!(got.err.contains("line 2: no name has more than 4096 octets"), "{}", got.err);
    let got = run(&["lookup", "--rules", &rules, &name]);
    assert_eq!((&*got.out, got.code), ("\n", 75));
    assert!(got.err.contains("aliases.rules:1: too many steps"), "{}", got.err);
}

#[test]
fn check_tells_all_that_is_wrong() {
    let site = Site::new("", "");
    let conf = path(&site, "rcptd.conf");
    let good = run(&["check", "-c", &conf]);
    assert_eq!((good.code, good.out, &*good.err), (0, format!("{conf}: good\n"), ""));
    let good = run(&["check", "-c", &conf, "--json"]);
    assert_eq!((good.code, &*good.out, &*good.err), (0, "", ""));

    site.write("bad.rules", "ACCOUNT foo MATSCHES\nACCOUNT bar MATCHES %alhpa%\n");
    site.configure("\"aliases.rules\"", "\"bad.rules\", \"gone.rules\"");
    site.configure("[milter]", "wrokers = 1\n[milter]");
    let bad = run(&["check", "-c", &conf]);
    assert_eq!((bad.code, &*bad.out), (78, ""));
    for want in ["rcptd.conf:2:", "rcptd.conf:4:", "bad.rules:1:", "bad.rules:2:", " errors\n"] {
        assert!(bad.err.contains(want), "{want} in {}", bad.err);
    }
    let bad = run(&["check", "-c", &conf, "--json"]);
    assert_eq!((bad.code, &*bad.err), (78, ""));
    assert!(bad.out.lines().count() >= 4, "{}", bad.out);
    for line in bad.out.lines() {
        let object: Value = serde_json::from_str(line).expect("JSON");
        let object = object.as_object().expect("an object");
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["column", "file", "help", "kind", "line", "message", "related", "severity"]);
        assert!(object["file"].is_string() && object["message"].is_string(), "{line}");
        assert!(object["line"].is_u64() && object["column"].is_u64(), "{line}");
        assert!(object["help"].is_string() || object["help"].is_null(), "{line}");
        assert!(
            ["error", "warning", "note"].contains(&object["severity"].as_str().expect("a word")),
            "{line}"
        );
    }

    let rules =
        run(&["check", "--rules", &path(&site, "aliases.rules"), "--rules", &path(&site, "bad.rules")]);
    assert_eq!(rules.code, 78);
    assert!(!rules.err.contains("aliases.rules") && rules.err.contains("bad.rules:1:"), "{}", rules.err);
}

/// Rules that clash are refused by `check`, and by nothing else: the daemon goes on without the names concerned.
#[test]
fn check_proves() {
    let site = Site::new("", "");
    site.write(
        "aliases.rules",
        "ACCOUNT foo MATCHES x-%alnum%-%code% WITH CHAR(1,-), CHARS();\n\
         ACCOUNT bar MATCHES x-%ident%-%code% WITH CHAR(1,-), CHARS();\n",
    );
    let (conf, rules) = (path(&site, "rcptd.conf"), path(&site, "aliases.rules"));
    for arguments in [["check", "-c", &conf], ["check", "--rules", &rules]] {
        let got = run(&arguments);
        assert_eq!((got.code, &*got.out), (78, ""), "{}", got.err);
        let want = format!("{rules}:2:21: error: \"x-b-b1\" is an alias of bar and by {rules}:1 of foo");
        assert!(got.err.contains(&want), "{}", got.err);
    }
    let got = run(&["lookup", "--rules", &rules, "x-b_b-b3"]);
    assert_eq!((got.code, &*got.out), (0, "bar\n"), "{}", got.err);
    site.configure("domains", "debug_account = \"joe\"\ndomains");
    let got = run(&["check", "-c", &conf]);
    assert_eq!((got.code, got.out), (0, format!("{conf}: good, 1 remark\n")));
    assert!(got.err.contains("warning: ") && got.err.contains("the debug account joe"), "{}", got.err);

    let got = run(&["check", "-c", &conf, "--guess"]);
    let line =
        |i: usize| format!("{rules}:{i}: x-%{}%-%code%: 1 in 465 (exact)\n", ["alnum", "ident"][i - 1]);
    assert_eq!((got.code, got.out), (0, format!("{}{}{conf}: good, 1 remark\n", line(1), line(2))));
    let got = run(&["check", "-c", &conf, "--guess", "--json"]);
    let objects: Vec<Value> = got.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((objects.len(), &objects[1]["exact"]), (3, &json!(true)), "{}", got.out);
    let kinds: Vec<&Value> = objects.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, ["problem", "guess", "guess"]);
    assert_eq!(objects[0]["related"][0]["line"], json!(1), "{}", got.out);
}

/// A file of rules means the same to each command: case counts, unless it is said that it does not.
#[test]
fn rules_have_one_meaning() {
    let site = Site::new("", "");
    site.write(
        "aliases.rules",
        "ACCOUNT foo MATCHES X%code% WITH CHARS(account);\nACCOUNT bar MATCHES x%code% WITH CHARS(account);\n",
    );
    let rules = path(&site, "aliases.rules");
    for (command, name, both) in
        [("check", None, 78), ("lookup", Some("x3"), 1), ("explain", Some("x3"), 1), ("make", Some("foo"), 1)]
    {
        let arguments: Vec<&str> = [command, "--rules", &rules].into_iter().chain(name).collect();
        let got = run(&arguments);
        assert_eq!(got.code, 0, "{command}: {}", got.err);
        let got = run(&[&arguments[..], &["--fold"]].concat());
        assert_eq!(got.code, both, "{command} --fold: {}{}", got.out, got.err);
    }
    assert_eq!(run(&["check", "--fold"]).code, 64);
}

/// Sources that cannot be built are found before the daemon meets them.
#[test]
fn check_builds_the_sources() {
    let site = Site::new("", "");
    let accounts = format!("file:{}", path(&site, "accounts"));
    site.configure(&accounts, "vrfy:127.0.0.1:25");
    site.configure(
        "[account.cache]",
        "[account.vrfy]\nstarttls = \"required\"\ntls_ca = \"aliases.rules\"\n[account.cache]",
    );
    let got = run(&["check", "-c", &path(&site, "rcptd.conf")]);
    assert_eq!(got.code, 78, "{}", got.err);
    assert!(got.err.contains("aliases.rules"), "{}", got.err);
}

/// A source whose "no" will not count is found before the first mail is deferred.
#[tokio::test(flavor = "multi_thread")]
async fn check_asks_for_the_witness() {
    for (replies, deferred) in [
        // No postmaster; one; everybody.
        (["550 5.1.1 no", "550 5.1.1 no"], true),
        (["252 yes", "550 5.1.1 no"], false),
        (["550 5.1.1 no", "252 yes"], true),
        (["250 yes", "250 yes"], true),
        // It is down: that will not last.
        (["421 down", "421 down"], false),
        (["450 4.3.0 down", "450 4.3.0 down"], false),
    ] {
        let server = Fake::start(move |line, _, _| match line.strip_prefix("VRFY ") {
            Some(name) => Act::say(replies[usize::from(!name.contains("postmaster"))]),
            None => Act::Usual,
        })
        .await;
        let site = Site::new("", "");
        site.configure(&format!("file:{}", path(&site, "accounts")), &server.spec());
        let conf = path(&site, "rcptd.conf");
        let got = tokio::task::spawn_blocking(move || run(&["check", "-c", &conf])).await.unwrap();
        assert_eq!(got.code, 0, "{replies:?} {}", got.err);
        let warning = format!("\"{}\": mail for example.test will be deferred", server.spec());
        assert_eq!(got.err.contains(&warning), deferred, "{replies:?} {}", got.err);
        assert!(server.vrfys().len() <= 4, "{:?}", server.vrfys());
    }
}

#[test]
fn explain_says_why() {
    let site = Site::new("", "");
    let conf = path(&site, "rcptd.conf");
    let accounts = format!("file:{}", path(&site, "accounts"));
    let addresses = ["foo-macys-m5@example.test", "<foo-macys-m6@example.test>", "x@elsewhere.test"];
    let mut text = String::new();
    let mut source = accounts;
    for (next, codes) in [
        ("static:exists", [0, 0, 0]),
        ("static:notfound", [1, 1, 0]),
        ("fail:", [75, 75, 0]),
        ("fail:", [75, 75, 0]),
    ] {
        site.configure(&source, next);
        source = next.into();
        writeln!(text, "{next}\n").expect("a string");
        for (address, code) in addresses.iter().zip(codes) {
            let got = run(&["explain", "-c", &conf, address]);
            assert_eq!((got.code, &*got.err), (code, ""), "{next} {address}");
            text.push_str(&masked(&got.out, " (", " ms)"));
            text.push('\n');
        }
        // Several at once: the worst of them counts.
        let all = run(&[&["explain", "-c", &conf], &addresses[..]].concat());
        assert_eq!(all.code, codes[0], "{next}");
    }
    like("explain.txt", &text.replace(&path(&site, ""), ""));
}

/// What the script and the domain's way of reading names do is shown, in both forms.
#[test]
fn explain_shows_the_script() {
    let script = "fn preprocess(alias, domain) { if alias == \"x\" { () } else { alias } }
        fn postprocess(account, domain) {
            switch account { \"foo\" => \"bar-x-x1\", \"bar\" => [\"joe\", \"elsewhere.test\"], _ => account }
        }";
    let site = Site::new("script = \"hooks.rhai\"\nnormalise = [{ delimiters = \"+\" }]", "");
    site.write("hooks.rhai", script);
    let conf = path(&site, "rcptd.conf");
    let mut text = String::new();
    for address in ["foo-macys-m5+shop@example.test", "x@example.test"] {
        let got = run(&["explain", "-c", &conf, address]);
        assert_eq!((got.code, &*got.err), (i32::from(address.starts_with('x')), ""), "{}", got.out);
        text.push_str(&masked(&got.out, " (", " ms)"));
        let got = run(&["explain", "-c", &conf, "--json", address]);
        let mut object: Value = serde_json::from_str(&got.out).expect("JSON");
        object.as_object_mut().expect("an object").remove("answers");
        writeln!(text, "{object:#}").expect("a string");
    }
    like("explain-script.txt", &text.replace(&path(&site, ""), ""));
}

#[test]
fn explain_in_json() {
    let site = Site::new("", "");
    let conf = path(&site, "rcptd.conf");
    let accounts = format!("file:{}", path(&site, "accounts"));
    let mut text = String::new();
    let mut source = accounts;
    for next in ["static:exists", "static:notfound", "fail:"] {
        site.configure(&source, next);
        source = next.into();
        let got = run(&["explain", "-c", &conf, "--json", "foo-macys-m5@example.test", "x@elsewhere.test"]);
        assert_eq!((got.out.lines().count(), &*got.err), (2, ""));
        for line in got.out.lines() {
            let mut object: Value = serde_json::from_str(line).expect("JSON");
            for answer in object["answers"].as_array_mut().expect("answers") {
                assert!(answer["ms"].is_u64());
                answer["ms"] = json!(0);
            }
            writeln!(text, "{object:#}").expect("a string");
        }
    }
    like("explain-json.txt", &text.replace(&path(&site, ""), ""));
}

#[test]
fn demo_shows_the_outcomes() {
    let plain = run(&["demo"]);
    assert_eq!((plain.code, &*plain.err), (0, ""));
    assert!(!plain.out.contains('\x1b'));
    let text = masked(&masked(&plain.out, "127.0.0.1:", ","), "would, in ", " ms");
    like("demo.txt", &text);
    let colour = run(&["demo", "--color", "always"]);
    assert_eq!((colour.code, &*colour.err), (0, ""));
    assert!(colour.out.contains("\x1b[32m250 2.1.5 Ok\x1b[0m") && colour.out.contains("\x1b[31m550 "));
    let never = run(&["demo", "--color", "never"]);
    assert!(never.code == 0 && !never.out.contains('\x1b'));
}

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
        (&["rules", "import", "/nowhere/x"], 66),
        (&["serve", "-c", "/nowhere/x"], 78),
        (&["-c", "/nowhere/x"], 78),
    ] {
        let got = run(arguments);
        assert_eq!((got.code, &*got.out), (code, ""), "{arguments:?}");
        assert!(got.err.contains("/nowhere/x") && got.err.contains("No such file"), "{}", got.err);
        assert!(got.err.contains("(check the name"), "{arguments:?}: {}", got.err);
        let first = arguments.contains(&"-c");
        assert_eq!(got.err.contains("begin with milter.conf.sample"), first, "{arguments:?}: {}", got.err);
    }
    let site = Site::new("", "");
    fs::write(site.path("latin.rules"), b"ACCOUNT gr\xfc MATCHES x").expect("written");
    assert_eq!(run(&["lookup", "--rules", &path(&site, "latin.rules"), "x"]).code, 78);
}

#[test]
fn help_helps() {
    let version = run(&["--version"]);
    assert_eq!((version.code, version.out.trim()), (0, concat!("rcptd ", env!("CARGO_PKG_VERSION"))));
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
    site.configure(&accounts, "static:exists");
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
