//! Tests of the spelling that is looked up, and of accounts that are aliases themselves.

use super::*;
use crate::account::account_cache;
use crate::account::settings::CacheSettings;

const RULES: &str = "\
ACCOUNT foo, Bar, grüße MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();
ACCOUNT Alice MATCHES al.%alpha%.%code% WITH CHARS();
ACCOUNT foo MATCHES mid.%alpha%.%code% WITH CHARS();
ACCOUNT mid.abc.3 MATCHES up.%alpha%.%code% WITH CHARS();
ACCOUNT Up.abc.3 MATCHES top.%alpha%.%code% WITH CHARS();
ACCOUNT gone MATCHES lost.%alpha%.%code% WITH CHARS();
ACCOUNT lost.abc.3 MATCHES tolost.%alpha%.%code% WITH CHARS();
ACCOUNT ringb.x.1 MATCHES ringa.%alpha%.%code% WITH CHARS();
ACCOUNT ringa.x.1 MATCHES ringb.%alpha%.%code% WITH CHARS();
ACCOUNT self.x.1 MATCHES self.%alpha%.%code% WITH CHARS();
ACCOUNT foo MATCHES old.%code%.%date% WITH CHARS(account);
ACCOUNT old.3.2001 MATCHES toold.%alpha%.%code% WITH CHARS();
ACCOUNT foo MATCHES away.%alpha%.%code% WITH CHARS() DELIVER TO x@elsewhere.test;
ACCOUNT away.abc.3 MATCHES toaway.%alpha%.%code% WITH CHARS();
ACCOUNT a MATCHES twice.%alpha%.%code% WITH CHARS();
ACCOUNT b MATCHES twice.%ident%.%code% WITH CHARS();
ACCOUNT twice.abc.3 MATCHES totwice.%alpha%.%code% WITH CHARS();
";

fn resolver(accounts: Arc<AccountSource>) -> Resolver {
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let rules =
        Arc::new(alias_rules::load(&[Text::new("test.rules", RULES)], &options).expect("rules").rules);
    let settings = Settings {
        domains: vec!["example.test".into()],
        origin: "example.test".into(),
        today: || Day::new(2026, 11, 20),
        ..Settings::default()
    };
    Resolver::new(settings, rules, accounts)
}

/// The destination if the replacement is looked up again until it does not change, as Postfix and Sendmail
/// do with tables.
async fn recursion(resolver: &Resolver, recipient: &str) -> String {
    let mut at = recipient.to_owned();
    for _ in 0..=MAX_HOPS {
        match ask(resolver, at.as_bytes(), None).await.outcome {
            Outcome::Rewrite(next) => at = next.to_string(),
            Outcome::TempFail(why) => return format!("later: {why}"),
            _ => return at,
        }
    }
    panic!("{recipient}: it does not end")
}

#[tokio::test]
async fn resolves_recipients() {
    let accounts = Arc::new(Accounts::default());
    let resolver = resolver(accounts.clone());
    // local part of the recipient, outcome, local part that was looked up
    for (local, want, want_asked) in [
        // Compared without regard to case, looked up in lower case.
        ("grüße", "keep", "grüße"),
        ("GRÜ\u{1e9e}E", "keep", "grüße"),
        ("grüsse", "no: account not found", "grüsse"),
        ("GRÜSSE", "no: account not found", "grüsse"),
        ("\u{130}pek", "no: account not found", "i\u{307}pek"),
        ("ΣΊΣΥΦΟΣ", "no: account not found", "σίσυφος"),
        ("\u{212a}im", "no: account not found", "kim"),
        ("re\u{301}mi", "no: account not found", "re\u{301}mi"),
        // The account as the rules spell it, although the recipient uses another spelling.
        ("grüße-macys-m5", "-> grüße@example.test", "grüße"),
        ("GRÜSSE-macys-m5", "-> grüße@example.test", "grüße"),
        ("BAR-macys-m5", "-> Bar@example.test", "Bar"),
        ("al.abc.3", "no: account not found", "Alice"),
        // The account is an alias.
        ("mid.abc.3", "-> foo@example.test", "foo"),
        ("up.abc.3", "-> foo@example.test", "foo"),
        ("Top.abc.3", "-> foo@example.test", "foo"),
        ("tolost.abc.3", "no: account not found", "gone"),
        ("self.x.1", "no: account not found", "self.x.1"),
        ("toaway.abc.3", "-> x@elsewhere.test", ""),
        ("toold.abc.3", "no: the alias has expired, its last day was 2020-01-31", ""),
        ("totwice.abc.3", "no: account not found", "twice.abc.3"),
        (
            "ringa.x.1",
            "later: redirects in a loop, or too many of them: <ringa.x.1@example.test> <ringb.x.1@example.test> \
             <ringa.x.1@example.test>",
            "",
        ),
    ] {
        let recipient = format!("{local}@example.test");
        let got = ask(&resolver, recipient.as_bytes(), None).await;
        let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock")).join(" ");
        let asked = asked.strip_suffix("@example.test").unwrap_or(&asked);
        assert_eq!((&*show(&got.outcome), asked), (want, want_asked), "{local}");
        let end = recursion(&resolver, &recipient).await;
        match &got.outcome {
            Outcome::Rewrite(to) => assert_eq!(end, to.to_string(), "{local}"),
            Outcome::TempFail(_) => assert!(end.starts_with("later: "), "{local}: {end}"),
            _ => assert_eq!(end, recipient),
        }
        accounts.asked.lock().expect("lock").clear();
    }
}

/// The result of a case-sensitive server for `Alice`, which is in the rules, is not used for `alice`.
#[tokio::test]
async fn caches_each_spelling_separately() {
    let accounts = Arc::new(Accounts::default());
    let cache = Arc::new(account_cache(&CacheSettings::default(), accounts.clone()));
    let resolver = resolver(cache);
    for (recipient, want) in [
        ("al.abc.3@example.test", "no: account not found"),
        ("alice@example.test", "keep"),
        ("ALICE@example.test", "keep"),
        ("al.abc.3@example.test", "no: account not found"),
    ] {
        assert_eq!(show(&ask(&resolver, recipient.as_bytes(), None).await.outcome), want, "{recipient}");
    }
    assert_eq!(*accounts.asked.lock().expect("lock"), ["Alice@example.test", "alice@example.test"]);
}
