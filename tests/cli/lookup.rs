//! `rcptd lookup`.

use super::{Run, path, run, run_with};
use crate::common::Site;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

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
    assert!(got.err.contains("line 2: longer than 4096 octets"), "{}", got.err);
    let got = run(&["lookup", "--rules", &rules, &name]);
    assert_eq!((&*got.out, got.code), ("\n", 75));
    assert!(got.err.contains("aliases.rules:1: too many steps"), "{}", got.err);
}
