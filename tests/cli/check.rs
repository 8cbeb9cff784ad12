//! `rcptd check`.

use super::{path, run};
use crate::common::Site;
use crate::fake::{Act, Fake};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

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
    assert_eq!((got.code, got.out), (0, format!("{conf}: good, 1 warning\n")));
    assert!(got.err.contains("warning: ") && got.err.contains("the debug account joe"), "{}", got.err);

    let got = run(&["check", "-c", &conf, "--guess"]);
    let line =
        |i: usize| format!("{rules}:{i}: x-%{}%-%code%: 1 in 465 (exact)\n", ["alnum", "ident"][i - 1]);
    assert_eq!((got.code, got.out), (0, format!("{}{}{conf}: good, 1 warning\n", line(1), line(2))));
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
        "[account.smtp]\nstarttls = \"required\"\ntls_ca = \"aliases.rules\"\n[account.cache]",
    );
    let got = run(&["check", "-c", &path(&site, "rcptd.conf")]);
    assert_eq!(got.code, 78, "{}", got.err);
    assert!(got.err.contains("aliases.rules"), "{}", got.err);
    // Each command names the place in the configuration.
    let text = std::fs::read_to_string(site.path("rcptd.conf")).unwrap();
    let line = text.lines().position(|line| line.contains("vrfy:")).unwrap() + 1;
    let place = format!("rcptd.conf:{line}:10: error: account source \"vrfy:127.0.0.1:25\": ");
    for (arguments, code) in [
        (&["check", "-c"][..], 78),
        (&["check", "--accounts", "-c"], 78),
        (&["explain", "foo@example.test", "-c"], 78),
        (&["serve", "-c"], 75),
    ] {
        let conf = path(&site, "rcptd.conf");
        let got = run(&[arguments, &[&*conf]].concat());
        assert!(got.code == code && got.err.contains(&place), "{arguments:?}: {} {}", got.code, got.err);
    }
}

/// A server of tcp_table(5) with these keys, at the port that is returned.
async fn table(keys: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let has = line.strip_prefix("get ").is_some_and(|key| keys.contains(&key));
                    let answer: &[u8] = if has { b"200 yes\n" } else { b"500 no\n" };
                    lines.get_mut().write_all(answer).await.unwrap();
                }
            });
        }
    });
    port
}

/// A map that has lost its accounts: without a witness its "no" counts, and `check` warns of that; with one it does not
/// count, and `check` warns of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_has_lost_its_accounts() {
    const WHOLE: &[&str] = &["postmaster@example.test", "foo@example.test"];
    for (keys, witness, warning, result) in [
        (WHOLE, "", "the map users has no witness", "not found"),
        (WHOLE, ", witness = \"postmaster\"", "", "not found"),
        (&[], "", "the map users has no witness", "not found"),
        (&[], ", witness = false", "", "not found"),
        (
            &[],
            ", witness = \"postmaster\"",
            "\"map:users\": mail for example.test will be deferred: ",
            "does not find the witness postmaster@example.test either (no value)",
        ),
    ] {
        let port = table(keys).await;
        let site = Site::new("", "");
        let accounts = format!("\"file:{}\"", path(&site, "accounts"));
        site.configure(&accounts, &format!("{{ source = \"map:users\"{witness} }}"));
        let map = format!("[[map]]\nname = \"users\"\nsource = \"tcp:127.0.0.1:{port}\"\n\n[account]");
        site.configure("[account]", &map);
        let conf = path(&site, "rcptd.conf");
        let (checked, explained) = tokio::task::spawn_blocking(move || {
            (run(&["check", "-c", &conf]), run(&["explain", "-c", &conf, "bar@example.test"]))
        })
        .await
        .unwrap();
        assert_eq!(checked.code, 0, "{witness} {}", checked.err);
        assert!(checked.err.contains(warning), "{witness} {}", checked.err);
        assert_eq!(checked.err.contains("warning"), !warning.is_empty(), "{witness} {}", checked.err);
        assert!(explained.out.contains(result), "{witness} {}{}", explained.out, explained.err);
    }
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
