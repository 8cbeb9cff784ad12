//! Tests of the script before and after the rules, and of its redirects. A plug-in that answers like the script
//! is tested with the same tables.

use super::*;
use crate::plugin::{Settings as PluginSettings, Target};
use crate::script::{Hook, Plugin, Script};
use mail_address::LocalPartPolicy;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What a table says about the script and the plug-in.
#[derive(Clone, Copy)]
enum Want<T> {
    /// Both do the same.
    Both(T),
    /// The text of an error or of a call differs.
    Each { script: T, plugin: T },
}

use Want::{Both, Each};

impl<T: Copy> Want<T> {
    fn of(self, hook: &Hook) -> T {
        match (self, hook) {
            (Both(want), _) => want,
            (Each { script, .. }, Hook::Script(_)) => script,
            (Each { plugin, .. }, Hook::Plugin(_)) => plugin,
        }
    }
}

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

/// The same as a plug-in: the answer to a question about `local` at `domain`.
fn answer(word: &str, local: &str, domain: &str) -> String {
    let used =
        |local: &str, domain: &str| format!("use {}", Address::new(local, domain).expect("an address"));
    let before = [("up=", domain), ("other=", "other.test"), ("away=", "elsewhere.test")];
    let before = before.iter().find_map(|(prefix, to)| Some((*prefix, local.strip_prefix(prefix)?, *to)));
    match (word, local, before) {
        ("preprocess", _, Some(("up=", rest, _))) => used(&rest.to_uppercase(), domain),
        ("preprocess", _, Some((_, rest, to))) => used(rest, to),
        ("preprocess", "bad", _) => "tempfail it is down".into(),
        ("preprocess", "known", _) | ("postprocess", "again", _) => used("foo-abc-3", domain),
        ("postprocess", "none", _) => "noalias".into(),
        ("preprocess", _, _) if local.starts_with("none=") => "noalias".into(),
        ("postprocess", "same", _) => format!("use same@{}", domain.to_uppercase()),
        ("postprocess", "bad", _) => "use 3".into(),
        ("postprocess", "on", _) => used("foo", domain),
        ("postprocess", "gone", _) => used("missing", domain),
        ("postprocess", "away", _) => "use bar+x@Elsewhere.test".into(),
        ("postprocess", "other", _) => used("foo", "other.test"),
        ("postprocess", "round", _) => used("round-abc-3", domain),
        ("postprocess", "route", _) => "use bar%x@elsewhere.test".into(),
        ("postprocess", "at", _) => used("bar@elsewhere.test", domain),
        ("postprocess", "blank", _) => "use bar@else where".into(),
        ("postprocess", "crlf", _) => "use bar\rRCPT@elsewhere.test".into(),
        ("postprocess", "lots", _) => format!("use {}@{domain}", "x".repeat(300)),
        _ => "same".into(),
    }
}

type Answering = Arc<dyn Fn(&str, &str, &str) -> String + Send + Sync>;

/// A plug-in at a socket in `folder`.
fn plugin(folder: &std::path::Path, answering: Answering) -> Hook {
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, answering.clone()));
        }
    });
    let target = Target::unix(path.to_str().expect("UTF-8")).expect("a path");
    let settings = PluginSettings { name: "unix:x".into(), target, deadline: Duration::from_secs(20) };
    Hook::Plugin(Arc::new(Plugin::start(&settings)))
}

async fn talk(stream: UnixStream, answering: Answering) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("rcptd-plugin 1"));
    writer.write_all(b"rcptd-plugin 1 test\n").await.expect("written");
    while let Ok(Some(line)) = lines.next_line().await {
        let mut fields = line.splitn(3, ' ');
        let mut field = || fields.next().expect("a field");
        let (id, word, address) = (field(), field(), Address::from_rcpt(field().as_bytes()));
        let said = answering(word, address.local(), address.domain().expect("a domain"));
        writer.write_all(format!("{id} {said}\n").as_bytes()).await.expect("written");
    }
}

/// A script and a plug-in, which do the same. The plug-in needs the folder.
fn hooks(rules: &Arc<Rules>, script: &str, answering: Answering) -> (tempfile::TempDir, [Hook; 2]) {
    let compiled = Script::load(&Text::new("script.rhai", script), rules, "example.test").expect("a script");
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = plugin(folder.path(), answering);
    (folder, [Hook::Script(Arc::new(compiled)), plugin])
}

const RULES: &str = "\
ACCOUNT foo, same, none, bad, on, gone, away, other, again, round, doubtful, route, at, blank, crlf, lots
MATCHES %account%-%alpha%-%code% WITH CHARS();
ACCOUNT alice ALIASED pinky MATCHES %alias%-%alpha%-%code% WITH CHARS();
";

fn rules(text: &str) -> Arc<Rules> {
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    Arc::new(alias_rules::load(&[Text::new("a.rules", text)], &options).expect("rules").rules)
}

fn resolver(accounts: Arc<Accounts>, rules: &Arc<Rules>, hook: &Hook) -> Resolver {
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
    Resolver::new(settings, Form { rules: rules.clone(), hook: Some(hook.clone()) }, accounts)
}

/// Recipient, outcome, account that was looked up.
const CASES: &[(&str, Want<&str>, &str)] = &[
    ("foo-abc-3@example.test", Both("-> foo@example.test"), "foo@example.test"),
    ("foo@example.test", Both("keep"), "foo@example.test"),
    // Before the rules. The result is normalised like a local part of its domain.
    ("up=foo-abc-3@example.test", Both("-> foo@example.test"), "foo@example.test"),
    ("other=foo-abc-3@example.test", Both("-> foo@other.test"), "foo@other.test"),
    ("other=foo-abc-3+x@example.test", Both("-> foo@other.test"), "foo@other.test"),
    ("known@example.test", Both("-> foo@example.test"), "foo@example.test"),
    ("none=foo-abc-3@example.test", Both("no: account not found"), "none=foo-abc-3@example.test"),
    // Without a match the recipient's own name is used, not the result of `preprocess`.
    ("other=foo@example.test", Both("no: account not found"), "other=foo@example.test"),
    (
        "away=foo-abc-3@example.test",
        Both("later: preprocess leads to elsewhere.test, which is not one of domains"),
        "",
    ),
    (
        "bad@example.test",
        Each {
            script: "later: script.rhai:7:32: preprocess: Division by zero: 1 / 0",
            plugin: "later: unix:x: preprocess: tempfail it is down",
        },
        "",
    ),
    // After the rules.
    ("same-abc-3@example.test", Both("no: account not found"), "same@example.test"),
    ("none-abc-3@example.test", Both("no: account not found"), "none-abc-3@example.test"),
    ("on-abc-3@example.test", Both("-> foo@example.test"), "foo@example.test"),
    ("gone-abc-3@example.test", Both("no: account not found"), "missing@example.test"),
    ("away-abc-3@example.test", Both("-> bar+x@elsewhere.test"), ""),
    ("other-abc-3@example.test", Both("-> foo@other.test"), "foo@other.test"),
    ("again-abc-3@example.test", Both("-> foo@example.test"), "foo@example.test"),
    ("doubtful-abc-3@example.test", Both("later: down"), "doubtful@example.test"),
    (
        "bad-abc-3@example.test",
        Each {
            script: "later: script.rhai: postprocess: it returned i64 instead of a text, [text, domain] or ()",
            plugin: "later: unix:x: postprocess: it replied \"use 3\": it has no domain",
        },
        "",
    ),
    (
        "round-abc-3@example.test",
        Both(
            "later: redirects in a loop, or too many of them: <round-abc-3@example.test> <round-abc-3@example.test>",
        ),
        "",
    ),
    (
        "route-abc-3@example.test",
        Both("later: postprocess leads to \"bar%x@elsewhere.test\": its local part may be a route"),
        "",
    ),
    (
        "at-abc-3@example.test",
        Both(
            "later: postprocess leads to \"bar@elsewhere.test@example.test\": its local part may be a route",
        ),
        "",
    ),
    (
        "blank-abc-3@example.test",
        Both("later: postprocess leads to \"bar@else where\": its domain is invalid"),
        "",
    ),
    (
        "crlf-abc-3@example.test",
        Each {
            script: "later: postprocess leads to \"bar\\x0d\\x0aRCPT@elsewhere.test\": control character in the address",
            plugin: "later: unix:x: postprocess: it replied \"use bar\rRCPT@elsewhere.test\": control character in the \
                     address",
        },
        "",
    ),
    ("foo-abc-3@elsewhere.test", Both("not_ours"), ""),
];

#[tokio::test]
async fn resolves_recipients() {
    let rules = rules(RULES);
    let (_folder, hooks) = hooks(&rules, SCRIPT, Arc::new(answer));
    for hook in &hooks {
        let accounts = Arc::new(Accounts::default());
        let resolver = resolver(accounts.clone(), &rules, hook);
        for (recipient, want, want_asked) in CASES {
            let got = ask(&resolver, recipient.as_bytes(), None).await;
            let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock")).join(" ");
            assert_eq!((&*show(&got.outcome), &*asked), (want.of(hook), *want_asked), "{recipient} {hook:?}");
        }
        let lots = show(&ask(&resolver, b"lots-abc-3@example.test", None).await.outcome);
        let begin =
            Each { script: "later: postprocess leads to", plugin: "later: unix:x: postprocess: it replied" };
        assert!(lots.starts_with(begin.of(hook)) && lots.ends_with("address is too long"), "{lots}");
    }
}

/// A chain without a loop is limited in length; a shorter one is followed to its end.
#[tokio::test]
async fn limits_the_length_of_a_chain() {
    // Mail for the account n0 is redirected to an alias of n1 and so on, up to `last`.
    let names: Vec<String> = (0..30).map(|n| format!("n{n}")).collect();
    let rules = rules(&format!("ACCOUNT {} MATCHES %account%.%code% WITH CHARS(account);", names.join(", ")));
    for (last, ends) in [(0, true), (1, true), (MAX_HOPS, true), (MAX_HOPS + 1, false), (25, false)] {
        let script = format!(
            "fn postprocess(account, domain) {{
                 let n = if account == \"postmaster\" {{ {last} }} else {{ parse_int(account.sub_string(1)) }};
                 if n >= {last} {{ account }} else {{ let next = `n${{n + 1}}`; `${{next}}.${{next.len()}}` }}
             }}"
        );
        let answering = move |word: &str, local: &str, domain: &str| {
            let number = local.strip_prefix('n').and_then(|number| number.parse::<usize>().ok());
            match number.filter(|number| word == "postprocess" && *number < last) {
                Some(number) => {
                    let next = format!("n{}", number + 1);
                    format!("use {next}.{}@{domain}", next.len())
                }
                None => "same".into(),
            }
        };
        let (_folder, hooks) = hooks(&rules, &script, Arc::new(answering));
        for hook in &hooks {
            let resolver = resolver(Arc::default(), &rules, hook);
            let got = ask(&resolver, b"n0.2@example.test", None).await;
            let account = got.account.map(|account| account.local().to_owned());
            assert_eq!(account, ends.then(|| format!("n{last}")), "{last} {hook:?}");
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
}

#[tokio::test]
async fn explains_each_call() {
    let rules = rules(RULES);
    let (_folder, hooks) = hooks(&rules, SCRIPT, Arc::new(answer));
    let cases: &[(&str, Want<&[&str]>)] = &[
        (
            "UP=again-abc-3@example.test",
            Each {
                script: &[
                    "preprocess(\"up=again-abc-3\", \"example.test\") = \"AGAIN-ABC-3\"",
                    "postprocess(\"again\", \"example.test\") = \"foo-abc-3\"",
                    "preprocess(\"foo-abc-3\", \"example.test\") = \"foo-abc-3\"",
                    "postprocess(\"foo\", \"example.test\") = \"foo\"",
                ],
                plugin: &[
                    "preprocess(\"up=again-abc-3\", \"example.test\") = \"AGAIN-ABC-3\"",
                    "postprocess(\"again\", \"example.test\") = \"foo-abc-3\"",
                    "preprocess(\"foo-abc-3\", \"example.test\") = the same",
                    "postprocess(\"foo\", \"example.test\") = the same",
                ],
            },
        ),
        ("none=x@example.test", Both(&["preprocess(\"none=x\", \"example.test\") = (), no alias"])),
        (
            "away-abc-3@example.test",
            Each {
                script: &[
                    "preprocess(\"away-abc-3\", \"example.test\") = \"away-abc-3\"",
                    "postprocess(\"away\", \"example.test\") = [\"bar+x\", \"Elsewhere.test\"]",
                ],
                plugin: &[
                    "preprocess(\"away-abc-3\", \"example.test\") = the same",
                    "postprocess(\"away\", \"example.test\") = [\"bar+x\", \"elsewhere.test\"]",
                ],
            },
        ),
        (
            "bad@example.test",
            Each {
                script: &[
                    "preprocess(\"bad\", \"example.test\") fails: script.rhai:7:32: preprocess: Division by zero: 1 / 0",
                ],
                plugin: &[
                    "preprocess(\"bad\", \"example.test\") fails: unix:x: preprocess: tempfail it is down",
                ],
            },
        ),
        ("x@elsewhere.test", Both(&[])),
    ];
    for hook in &hooks {
        let resolver = resolver(Arc::default(), &rules, hook);
        for (recipient, want) in cases {
            let question = Question { recipient: Address::from_rcpt(recipient.as_bytes()), mta_route: None };
            let (_, steps) = resolver.explain(&question).await;
            let notes = steps.iter().flat_map(|step| &step.notes);
            let calls: Vec<String> = notes
                .filter_map(|note| match note {
                    Note::Script(called) => Some(called.to_string()),
                    Note::Rules(_) => None,
                })
                .collect();
            assert_eq!(calls, want.of(hook), "{recipient}");
        }
    }
}

/// What no line of the protocol can have is not asked, and fails temporarily.
#[tokio::test]
async fn an_address_that_cannot_be_asked_fails_temporarily() {
    let rules = rules(RULES);
    let (_folder, [_, plugin]) = hooks(&rules, SCRIPT, Arc::new(answer));
    let resolver = resolver(Arc::default(), &rules, &plugin);
    let got = ask(&resolver, "<\"foo\u{2028}1 same\"@example.test>".as_bytes(), None).await.outcome;
    assert_eq!(show(&got), "later: unix:x: preprocess: not asked: control character in the address");
}

/// Both questions of a domain with other rules go to the same plug-in.
#[tokio::test]
async fn a_plugin_serves_both_forms_of_the_rules() {
    let rules = rules(RULES);
    let (_folder, [_, plugin]) = hooks(&rules, SCRIPT, Arc::new(answer));
    let exact = LocalPartPolicy { case_sensitive: true, ..LocalPartPolicy::default() };
    let settings = Settings {
        domains: vec!["example.test".into(), "exact.test".into()],
        normal: [("exact.test".into(), exact)].into(),
        ..Settings::default()
    };
    let form = Form { rules: rules.clone(), hook: Some(plugin) };
    let other = Form { rules: Arc::new(exact_rules()), hook: form.hook.clone() };
    let resolver = Resolver::new(settings, form, Arc::<Accounts>::default()).with_other_case(Some(other));
    for (recipient, want) in [
        ("on-abc-3@example.test", "-> foo@example.test"),
        ("On-abc-3@example.test", "-> foo@example.test"),
        ("on-abc-3@exact.test", "-> foo@exact.test"),
        ("On-abc-3@exact.test", "no: account not found"),
    ] {
        assert_eq!(show(&ask(&resolver, recipient.as_bytes(), None).await.outcome), want, "{recipient}");
    }
}

fn exact_rules() -> Rules {
    let options = Options { fold: false, dialect: Dialect::Any, ..Options::default() };
    alias_rules::load(&[Text::new("a.rules", RULES)], &options).expect("rules").rules
}
