//! `rcptd explain`.

use super::{like, masked, path, run};
use crate::common::Site;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[test]
fn explain_says_why() {
    let site = Site::new("", "");
    let conf = path(&site, "rcptd.conf");
    let accounts = format!("file:{}", path(&site, "accounts"));
    let addresses = ["foo-macys-m5@example.test", "<foo-macys-m6@example.test>", "x@elsewhere.test"];
    let mut text = String::new();
    let mut source = accounts;
    for (next, codes) in
        [("none:", [0, 0, 0]), ("static:notfound", [1, 1, 0]), ("fail:", [75, 75, 0]), ("fail:", [75, 75, 0])]
    {
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
    for next in ["none:", "static:notfound", "fail:"] {
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

/// Only the sources that the daemon asks are asked; the others are named.
#[test]
fn explain_asks_as_the_daemon_does() {
    let site = Site::new("", "");
    site.write("second", "carol\n");
    let first = format!("\"file:{}\"", path(&site, "accounts"));
    let second = format!("\"file:{}\"", path(&site, "second"));
    site.configure(&first, &format!("[{first}, {second}]"));
    let conf = path(&site, "rcptd.conf");
    for (combine, outcome, is_asked) in
        [("fallback", "rejected: account not found", false), ("union", "kept", true)]
    {
        site.configure("[account]", &format!("[account]\ncombine = \"{combine}\""));
        let got = run(&["explain", "-c", &conf, "carol@example.test"]);
        assert!(got.out.contains(outcome), "{combine}: {}{}", got.out, got.err);
        let unasked = format!("file:{} is not asked: the answer above counts", path(&site, "second"));
        assert_eq!(got.out.contains(&unasked), !is_asked, "{combine}: {}", got.out);
        site.configure(&format!("[account]\ncombine = \"{combine}\""), "[account]");
    }
}

/// The file of a table server of trualias names no domain, and there is no milter.
#[test]
fn a_table_of_local_parts_has_no_domain_and_no_milter() {
    let site = Site::new("", "");
    site.write(
        "tcp_table_server.conf",
        "ACCOUNT foo\nMATCHES %account%-%alnum%-%code%\nWITH CHAR(1,-), CHARS();\n",
    );
    let conf = path(&site, "tcp_table_server.conf");
    let made = run(&["make", "-c", &conf, "foo", "macys"]);
    assert_eq!((made.code, &*made.out, &*made.err), (0, "foo-macys-m5\n", ""));
    let made = run(&["make", "-c", &conf, "--json", "foo", "macys"]);
    let object: Value = serde_json::from_str(&made.out).expect("JSON");
    assert_eq!(object["address"], "foo-macys-m5");
    for (address, outcome) in [("x@example.test", "not_ours"), ("foo-macys-m5@localhost", "rewrite")] {
        let got = run(&["explain", "-c", &conf, address]);
        assert!(got.code == 0 && !got.out.contains("milter") && !got.out.contains("RCPT"), "{}", got.out);
        let got = run(&["explain", "-c", &conf, "--json", address]);
        let object: Value = serde_json::from_str(&got.out).expect("JSON");
        let parts = ["outcome", "reply", "edits"].map(|name| object[name].clone());
        assert_eq!(parts, [json!(outcome), Value::Null, json!([])], "{address}");
    }
}
