//! Tests of the script before and after the rules, and of its redirects.

use super::*;
use crate::script::Script;
use mail_address::LocalPartPolicy;

/// The script of these tests takes its instructions from the name.
const SCRIPT: &str = r#"
fn preprocess(alias, domain) {
    if alias.starts_with("up=") { alias.sub_string(3).to_upper() }
    else if alias.starts_with("other=") { [alias.sub_string(6), "other.test"] }
    else if alias.starts_with("away=") { [alias.sub_string(5), "elsewhere.test"] }
    else if alias.starts_with("none=") { () }
    else if alias == "bad" { 1 / 0 }
    else if alias == "known" { if "pinky" in ALIASES && "foo" in ACCOUNTS { "foo-abc-3" } }
    else { alias }
}
fn postprocess(account, domain) {
    switch account {
        "same" => [account, domain.to_upper()],
        "none" => "",
        "bad" => 3,
        "on" => "foo",
        "gone" => "missing",
        "away" => ["bar+x", "Elsewhere.test"],
        "other" => ["foo", "other.test"],
        "again" => "foo-abc-3",
        "round" => "round-abc-3",
        "long" => "long-a" + account.sub_string(4) + "-1",
        "route" => ["bar%x", "elsewhere.test"],
        "at" => "bar@elsewhere.test",
        "blank" => ["bar", "else where"],
        "crlf" => ["bar\r\nRCPT", "elsewhere.test"],
        "lots" => { let s = ""; s.pad(300, 'x'); s }
        _ => account,
    }
}"#;

const RULES: &str = "\
ACCOUNT foo, same, none, bad, on, gone, away, other, again, round, doubtful, route, at, blank, crlf, lots
MATCHES %account%-%alpha%-%code% WITH CHARS();
ACCOUNT alice ALIASED pinky MATCHES %alias%-%alpha%-%code% WITH CHARS();
";

fn resolver(accounts: Arc<Accounts>, script: &str) -> Resolver {
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let rules = Arc::new(alias_rules::load(&[Text::new("a.rules", RULES)], &options).expect("rules").rules);
    let compiled = Script::load(&Text::new("script.rhai", script), &rules, "example.test").expect("a script");
    let settings = Settings {
        domains: vec!["example.test".into(), "other.test".into()],
        origin: "example.test".into(),
        normal: [(
            "other.test".into(),
            LocalPartPolicy { delimiters: "+".into(), ..LocalPartPolicy::default() },
        )]
        .into(),
        ..Settings::default()
    };
    Resolver::new(settings, Form { rules, script: Some(Arc::new(compiled)) }, accounts)
}

#[tokio::test]
async fn resolves_recipients() {
    let accounts = Arc::new(Accounts::default());
    let resolver = resolver(accounts.clone(), SCRIPT);
    // recipient, outcome, account that was looked up
    for (recipient, want, want_asked) in [
        ("foo-abc-3@example.test", "-> foo@example.test", "foo@example.test"),
        ("foo@example.test", "keep", "foo@example.test"),
        // Before the rules. The result is normalised like a local part of its domain.
        ("up=foo-abc-3@example.test", "-> foo@example.test", "foo@example.test"),
        ("other=foo-abc-3@example.test", "-> foo@other.test", "foo@other.test"),
        ("other=foo-abc-3+x@example.test", "-> foo@other.test", "foo@other.test"),
        ("known@example.test", "-> foo@example.test", "foo@example.test"),
        ("none=foo-abc-3@example.test", "no: account not found", "none=foo-abc-3@example.test"),
        // Without a match the recipient's own name is used, not the result of `preprocess`.
        ("other=foo@example.test", "no: account not found", "other=foo@example.test"),
        (
            "away=foo-abc-3@example.test",
            "later: preprocess leads to elsewhere.test, which is not one of domains",
            "",
        ),
        ("bad@example.test", "later: script.rhai:7:32: preprocess: Division by zero: 1 / 0", ""),
        // After the rules.
        ("same-abc-3@example.test", "no: account not found", "same@example.test"),
        ("none-abc-3@example.test", "no: account not found", "none-abc-3@example.test"),
        ("on-abc-3@example.test", "-> foo@example.test", "foo@example.test"),
        ("gone-abc-3@example.test", "no: account not found", "missing@example.test"),
        ("away-abc-3@example.test", "-> bar+x@elsewhere.test", ""),
        ("other-abc-3@example.test", "-> foo@other.test", "foo@other.test"),
        ("again-abc-3@example.test", "-> foo@example.test", "foo@example.test"),
        ("doubtful-abc-3@example.test", "later: down", "doubtful@example.test"),
        (
            "bad-abc-3@example.test",
            "later: script.rhai: postprocess: it returned i64 instead of a text, [text, domain] or ()",
            "",
        ),
        (
            "round-abc-3@example.test",
            "later: redirects in a loop, or too many of them: <round-abc-3@example.test> <round-abc-3@example.test>",
            "",
        ),
        (
            "route-abc-3@example.test",
            "later: postprocess leads to \"bar%x@elsewhere.test\": its local part may be a route",
            "",
        ),
        (
            "at-abc-3@example.test",
            "later: postprocess leads to \"bar@elsewhere.test@example.test\": its local part may be a route",
            "",
        ),
        (
            "blank-abc-3@example.test",
            "later: postprocess leads to \"bar@else where\": its domain is invalid",
            "",
        ),
        (
            "crlf-abc-3@example.test",
            "later: postprocess leads to \"bar\\x0d\\x0aRCPT@elsewhere.test\": control character in the address",
            "",
        ),
        ("foo-abc-3@elsewhere.test", "not_ours", ""),
    ] {
        let got = ask(&resolver, recipient.as_bytes(), None).await;
        let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock")).join(" ");
        assert_eq!((&*show(&got.outcome), &*asked), (want, want_asked), "{recipient}");
    }
    let lots = show(&ask(&resolver, b"lots-abc-3@example.test", None).await.outcome);
    assert!(
        lots.starts_with("later: postprocess leads to") && lots.ends_with("address is too long"),
        "{lots}"
    );
}

/// A chain without a loop is limited in length; a shorter one is followed to its end.
#[tokio::test]
async fn limits_the_length_of_a_chain() {
    // Mail for the account n0 is redirected to an alias of n1 and so on, up to `last`.
    let names: Vec<String> = (0..30).map(|n| format!("n{n}")).collect();
    let rule = format!("ACCOUNT {} MATCHES %account%.%code% WITH CHARS(account);", names.join(", "));
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let rules = Arc::new(alias_rules::load(&[Text::new("a.rules", &rule)], &options).expect("rules").rules);
    for (last, ends) in [(0, true), (1, true), (MAX_HOPS, true), (MAX_HOPS + 1, false), (25, false)] {
        let script = format!(
            "fn postprocess(account, domain) {{
                 let n = if account == \"postmaster\" {{ {last} }} else {{ parse_int(account.sub_string(1)) }};
                 if n >= {last} {{ account }} else {{ let next = `n${{n + 1}}`; `${{next}}.${{next.len()}}` }}
             }}"
        );
        let compiled =
            Script::load(&Text::new("script.rhai", &script), &rules, "example.test").expect("a script");
        let settings = Settings {
            domains: vec!["example.test".into()],
            origin: "example.test".into(),
            ..Settings::default()
        };
        let form = Form { rules: rules.clone(), script: Some(Arc::new(compiled)) };
        let resolver = Resolver::new(settings, form, Arc::<Accounts>::default());
        let got = ask(&resolver, b"n0.2@example.test", None).await;
        let account = got.account.map(|account| account.local().to_owned());
        assert_eq!(account, ends.then(|| format!("n{last}")), "{last}");
        match got.outcome {
            Outcome::NoSuchUser(RejectReason::NotFound) => assert!(ends, "{last}"),
            Outcome::TempFail(DeferReason::Loop(met)) => {
                assert!(!ends && met.len() == MAX_HOPS + 2, "{met:?}");
            }
            other => panic!("{last}: {other:?}"),
        }
        // The log names the rule of the recipient itself.
        assert_eq!(got.rule, RuleTrace::Matched(0));
    }
}

#[tokio::test]
async fn explains_each_call_of_the_script() {
    let resolver = resolver(Arc::default(), SCRIPT);
    for (recipient, want) in [
        (
            "UP=again-abc-3@example.test",
            &[
                "preprocess(\"up=again-abc-3\", \"example.test\") = \"AGAIN-ABC-3\"",
                "postprocess(\"again\", \"example.test\") = \"foo-abc-3\"",
                "preprocess(\"foo-abc-3\", \"example.test\") = \"foo-abc-3\"",
                "postprocess(\"foo\", \"example.test\") = \"foo\"",
            ] as &[&str],
        ),
        ("none=x@example.test", &["preprocess(\"none=x\", \"example.test\") = (), no alias"]),
        (
            "away-abc-3@example.test",
            &[
                "preprocess(\"away-abc-3\", \"example.test\") = \"away-abc-3\"",
                "postprocess(\"away\", \"example.test\") = [\"bar+x\", \"Elsewhere.test\"]",
            ],
        ),
        (
            "bad@example.test",
            &[
                "preprocess(\"bad\", \"example.test\") fails: script.rhai:7:32: preprocess: Division by zero: 1 / 0",
            ],
        ),
        ("x@elsewhere.test", &[]),
    ] {
        let question = Question { recipient: Address::from_rcpt(recipient.as_bytes()), mta_route: None };
        let (_, steps) = resolver.explain(&question).await;
        let notes = steps.iter().flat_map(|step| &step.notes);
        let calls: Vec<String> = notes
            .filter_map(|note| match note {
                Note::Script(called) => Some(called.to_string()),
                Note::Rules(_) => None,
            })
            .collect();
        assert_eq!(calls, want, "{recipient}");
    }
}
