//! Tests of rules for certain domains, and of rules that redirect the mail.

use super::*;

const RULES: &str = "\
ACCOUNT foo DOMAINS a.test MATCHES %account%-%alpha%-%code% WITH CHARS();
ACCOUNT alice DOMAINS b.test MATCHES foo-%alpha%-%code% WITH CHARS();
ACCOUNT foo MATCHES away.%alpha%.%code% WITH CHARS() DELIVER TO bar+x@elsewhere.test;
ACCOUNT foo MATCHES other.%alpha%.%code% WITH CHARS() DELIVER TO %account%@b.test;
ACCOUNT foo MATCHES on.%alpha%.%code% WITH CHARS() DELIVER TO foo-abc-3@b.test;
ACCOUNT foo MATCHES gone.%alpha%.%code% WITH CHARS() DELIVER TO missing@a.test;
ACCOUNT foo MATCHES doubt.%alpha%.%code% WITH CHARS() DELIVER TO doubtful@a.test;
ACCOUNT foo MATCHES round.%alpha%.%code% WITH CHARS() DELIVER TO square.abc.3@b.test;
ACCOUNT foo MATCHES square.%alpha%.%code% WITH CHARS() DELIVER TO Round.abc.3@a.test;
";

#[tokio::test]
async fn resolves_recipients() {
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let rules = Arc::new(alias_rules::load(&[Text::new("a.rules", RULES)], &options).expect("rules").rules);
    let settings = Settings {
        domains: vec!["a.test".into(), "b.test".into()],
        origin: "a.test".into(),
        ..Settings::default()
    };
    let accounts = Arc::new(Accounts::default());
    let resolver = Resolver::new(settings, rules, accounts.clone());
    // recipient, outcome, account that was looked up
    for (recipient, want, want_asked) in [
        ("foo-abc-3@a.test", "-> foo@a.test", "foo@a.test"),
        ("foo-abc-3@B.test", "-> alice@b.test", "alice@b.test"),
        ("foo-abc-3", "-> foo@a.test", "foo@a.test"),
        ("away.abc.3@a.test", "-> bar+x@elsewhere.test", ""),
        ("other.abc.3@a.test", "-> foo@b.test", "foo@b.test"),
        ("on.abc.3@a.test", "-> alice@b.test", "alice@b.test"),
        ("gone.abc.3@a.test", "no: account not found", "missing@a.test"),
        ("doubt.abc.3@a.test", "later: down", "doubtful@a.test"),
        (
            "round.abc.3@a.test",
            "later: redirects in a loop, or too many of them: <round.abc.3@a.test> <square.abc.3@b.test> \
             <Round.abc.3@a.test>",
            "",
        ),
    ] {
        let got = ask(&resolver, recipient.as_bytes(), None).await;
        let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock")).join(" ");
        assert_eq!((&*show(&got.outcome), &*asked), (want, want_asked), "{recipient}");
    }
}
