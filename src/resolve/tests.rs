mod clauses;
mod normal;
mod script;
mod spelling;

use super::*;
use crate::account::{Lookup, LookupFuture, Reason, Source, Verification};
use alias_rules::{Dialect, Options};
use diagnostics::Text;
use std::sync::Mutex;

const RULES: &str = "\
ACCOUNT foo, Bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();
ACCOUNT gone MATCHES gone.%alpha%.%code% WITH CHARS();
ACCOUNT doubtful MATCHES %alpha%=%code% WITH CHARS();
ACCOUNT a MATCHES twice+%alpha%+%code% WITH CHARS();
ACCOUNT b MATCHES twice+%ident%+%code% WITH CHARS();
ACCOUNT foo MATCHES %alpha%is%alpha%.%code% WITH CHARS(1), CHARS(2);
";

/// Source that has a few accounts, fails temporarily for one, and records its lookups.
#[derive(Debug, Default)]
struct Accounts {
    asked: Mutex<Vec<String>>,
    accepting: bool,
}

impl Source<Address, Verification> for Accounts {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        self.asked.lock().expect("lock").push(account.to_string());
        let reason = Reason::new("down");
        let verdict = match account.local() {
            "foo" | "Bar" | "alice" | "a b" | "a@b" | "debug" | "postmaster" | "mary-ann" | "owner-list"
            | "grüße" => Lookup::Found(()),
            "doubtful" | "foo-doubt" => {
                Lookup::TempFail(if self.accepting { reason.accepting() } else { reason })
            }
            _ => Lookup::NotFound,
        };
        Box::pin(async move { Verification::new(verdict, &"table".into()) })
    }
}

fn resolver(accounts: Arc<Accounts>, case_sensitive: bool, debug: Option<&str>) -> Resolver {
    let options = Options { fold: !case_sensitive, dialect: Dialect::Any, ..Options::default() };
    let loaded = alias_rules::load(&[Text::new("test.rules", RULES)], &options).expect("rules");
    let settings = Settings {
        domains: vec!["Example.TEST".into(), "bücher.example".into()],
        origin: "example.test".into(),
        case_sensitive,
        ..Settings::default()
    };
    Resolver::new(settings, Arc::new(loaded.rules.with_debug_account(debug.map(String::from))), accounts)
}

/// Formats an outcome as `not_ours`, `keep`, `-> address`, `no: why`, `later: why`.
fn show(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotOurs => "not_ours".into(),
        Outcome::Keep => "keep".into(),
        Outcome::Rewrite(to) => format!("-> {to}"),
        Outcome::NoSuchUser(why) => format!("no: {why}"),
        Outcome::TempFail(why) => format!("later: {why}"),
    }
}

const SPELLING: &str = "later: ambiguous spelling, which {rcpt_addr} of the mail server does not settle";

async fn ask(resolver: &Resolver, recipient: &[u8], mta_route: Option<&str>) -> Resolution {
    let question = Question {
        recipient: Address::from_rcpt(recipient),
        mta_route: mta_route.map(|r| Address::from_server(r.as_bytes())),
    };
    resolver.resolve(&question).await
}

#[tokio::test]
async fn resolves_recipients() {
    let accounts = Arc::new(Accounts::default());
    let resolver = resolver(accounts.clone(), false, None);
    // recipient, the server's reading, outcome, account that was looked up
    let cases: &[(&str, Option<&str>, &str, &str)] = &[
        ("<foo-macys-m5@example.test>", None, "-> foo@example.test", "foo@example.test"),
        ("<foo-macys-m6@example.test>", None, "no: account not found", "foo-macys-m6@example.test"),
        ("<foo@example.test>", None, "keep", "foo@example.test"),
        ("<nobody@example.test>", None, "no: account not found", "nobody@example.test"),
        ("<foo-macys-m5@elsewhere.test>", None, "not_ours", ""),
        ("<foo-macys-m5@sub.example.test>", None, "not_ours", ""),
        // A rule whose account does not exist.
        ("<gone.abc.3@example.test>", None, "no: account not found", "gone@example.test"),
        // Temporary failures.
        ("<abc=3@example.test>", None, "later: down", "doubtful@example.test"),
        ("<doubtful@example.test>", None, "later: down", "doubtful@example.test"),
        // Two accounts, no debug account: as if no rule had matched.
        ("<twice+abc+3@example.test>", None, "no: account not found", "twice+abc+3@example.test"),
        // Two matches for one account.
        ("<isisisisis.44@example.test>", None, "-> foo@example.test", "foo@example.test"),
        // Spellings. The account is looked up as the rules spell it; accounts outside the rules in lower
        // case.
        ("<Foo-Macys-M5@EXAMPLE.test>", None, "-> foo@example.test", "foo@example.test"),
        ("<bar-macys-m5@example.test>", None, "-> Bar@example.test", "Bar@example.test"),
        ("<\"foo-macys-m5\"@example.test>", None, "-> foo@example.test", "foo@example.test"),
        ("<@relay.test:foo-macys-m5@example.test>", None, "-> foo@example.test", "foo@example.test"),
        ("<foo-macys-m5@example.test.>", None, "-> foo@example.test", "foo@example.test"),
        ("foo-macys-m5@example.test", None, "-> foo@example.test", "foo@example.test"),
        ("<ALICE@example.test>", None, "keep", "alice@example.test"),
        ("<alice@BÜCHER.example>", None, "keep", "alice@xn--bcher-kva.example"),
        ("<alice@xn--bcher-kva.example>", None, "keep", "alice@xn--bcher-kva.example"),
        ("<\"a b\"@example.test>", None, "keep", "\"a b\"@example.test"),
        // No domain: the server's reading, or else the origin.
        ("<foo-macys-m5>", None, "-> foo@example.test", "foo@example.test"),
        ("<foo-macys-m5>", Some("foo-macys-m5@elsewhere.test"), "not_ours", ""),
        ("<Postmaster>", Some("postmaster@example.test"), "not_ours", ""),
        ("<postmaster@example.test>", None, "keep", "postmaster@example.test"),
        ("<>", None, "not_ours", ""),
        ("<foo-macys-m5>", Some("foo-macys-m5"), "-> foo@example.test", "foo@example.test"),
        // A possible route: the server's reading, or else literally.
        ("<a@b@example.test>", None, "keep", "\"a@b\"@example.test"),
        ("<a@b@example.test>", Some("a@b@example.test"), "keep", "\"a@b\"@example.test"),
        ("<x%elsewhere.test@example.test>", Some("x@elsewhere.test"), "not_ours", ""),
        ("<x%elsewhere.test@example.test>", None, "no: account not found", "x%elsewhere.test@example.test"),
        (
            "<foo-macys-m5%example.test@example.test>",
            Some("foo-macys-m5@example.test"),
            "-> foo@example.test",
            "foo@example.test",
        ),
        ("<elsewhere.test!x@example.test>", Some("x@elsewhere.test"), "not_ours", ""),
        ("<a\\@elsewhere.test@example.test>", Some("a@elsewhere.test"), "not_ours", ""),
        (
            "<@example.test>",
            Some("mailer-daemon@example.test"),
            "no: account not found",
            "mailer-daemon@example.test",
        ),
        ("<@example.test>", None, SPELLING, ""),
        // The server's reading is ignored for an unambiguous spelling.
        ("<foo-macys-m5@example.test>", Some("x@elsewhere.test"), "-> foo@example.test", "foo@example.test"),
        // It is used if the server reads another domain as ours.
        ("<Foo-macys-m5@sub>", Some("foo-macys-m5@example.test"), "-> foo@example.test", "foo@example.test"),
        // Spellings that servers read differently.
        ("<<foo-macys-m5@example.test>>", Some("foo-macys-m5"), "-> foo@example.test", "foo@example.test"),
        ("<alice(me)@example.test>", Some("alice@example.test"), "keep", "alice@example.test"),
        ("<nobody@example.test;>", Some("nobody"), "no: account not found", "nobody@example.test"),
        ("<nobody@example.test;>", None, SPELLING, ""),
        ("<x@elsewhere.test;>", None, SPELLING, ""),
        ("<x@elsewhere.test;>", Some("x@elsewhere.test"), "not_ours", ""),
        ("<alice@\"example.test\">", Some("alice@\"example.test\""), SPELLING, ""),
        ("<alice@example.test\r>", Some("alice@example.test"), "keep", "alice@example.test"),
        // Invalid names of mailboxes.
        ("<fo\x01o@example.test>", None, "no: control character in the address", ""),
        ("<fo\x01o@elsewhere.test>", None, "not_ours", ""),
    ];
    for (recipient, mta_route, want, want_asked) in cases {
        let got = ask(&resolver, recipient.as_bytes(), *mta_route).await;
        let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock")).join(" ");
        assert_eq!((show(&got.outcome).as_str(), asked.as_str()), (*want, *want_asked), "{recipient}");
    }
    let latin = ask(&resolver, b"<gr\xfc\xdfe@example.test>", None).await;
    assert_eq!(show(&latin.outcome), "no: address is not UTF-8");
}

#[tokio::test]
async fn mailbox_keeps_the_original_bytes() {
    let resolver = resolver(Arc::default(), false, None);
    let got =
        ask(&resolver, b"<foo-macys-m5%example.test@example.test>", Some("foo-macys-m5@example.test")).await;
    let mailbox = got.mailbox.expect("ours");
    assert_eq!(mailbox.raw(), b"<foo-macys-m5%example.test@example.test>");
    assert_eq!(mailbox.to_string(), "foo-macys-m5@example.test");
}

#[tokio::test]
async fn debug_account_receives_ambiguous_aliases() {
    let resolver = resolver(Arc::default(), false, Some("debug"));
    let got = ask(&resolver, b"<twice+abc+3@example.test>", None).await;
    assert_eq!(show(&got.outcome), "-> debug@example.test");
    assert!(matches!(got.rule, RuleTrace::DebugAccount(_)));
}

#[tokio::test]
async fn case_sensitive_rules_match_exactly() {
    let resolver = resolver(Arc::default(), true, None);
    for (recipient, want) in [
        ("<foo-macys-m5@EXAMPLE.test>", "-> foo@example.test"),
        ("<Foo-macys-m5@example.test>", "no: account not found"),
        ("<bar-macys-m5@example.test>", "no: account not found"),
        ("<Bar-macys-m5@example.test>", "-> Bar@example.test"),
        ("<ALICE@example.test>", "no: account not found"),
    ] {
        assert_eq!(show(&ask(&resolver, recipient.as_bytes(), None).await.outcome), want, "{recipient}");
    }
}

#[tokio::test]
async fn temporary_failure_accepts_only_if_configured() {
    let resolver = resolver(Arc::new(Accounts { accepting: true, ..Accounts::default() }), false, None);
    for (recipient, want) in [
        ("<abc=3@example.test>", "-> doubtful@example.test"),
        ("<doubtful@example.test>", "keep"),
        ("<x@example.test>", "no: account not found"),
    ] {
        assert_eq!(show(&ask(&resolver, recipient.as_bytes(), None).await.outcome), want, "{recipient}");
    }
}

/// A source that quotes the server it used.
#[derive(Debug)]
struct Quoting(Lookup<()>);

impl Source<Address, Verification> for Quoting {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        let detail = format!("VRFY <{account}>: 550 5.1.1 unknown");
        Box::pin(async move { Verification::new(self.0.clone(), &"vrfy:test".into()).with_detail(&detail) })
    }
}

#[tokio::test]
async fn why_quotes_command_and_reply() {
    let quoted = "VRFY <who@example.test>: 550 5.1.1 unknown";
    let missing = format!("account not found: {quoted}");
    let unknown = format!("down: {quoted}");
    for (verdict, recipient, want) in [
        (Lookup::NotFound, "<who@example.test>", Some(missing.as_str())),
        (Lookup::TempFail(Reason::new("down")), "<who@example.test>", Some(unknown.as_str())),
        // Other outcomes have no reason.
        (Lookup::TempFail(Reason::new("down").accepting()), "<who@example.test>", None),
        (Lookup::Found(()), "<who@example.test>", None),
        (Lookup::NotFound, "<who@elsewhere.test>", None),
    ] {
        let settings = Settings { domains: vec!["example.test".into()], ..Settings::default() };
        let loaded = alias_rules::load(&[Text::new("test.rules", "")], &Options::default()).expect("rules");
        let resolver = Resolver::new(settings, Arc::new(loaded.rules), Arc::new(Quoting(verdict.clone())));
        let recipient = Address::from_rcpt(recipient.as_bytes());
        let resolution = resolver.resolve(&Question { recipient, mta_route: None }).await;
        assert_eq!(resolution.why().as_deref(), want, "{verdict:?}");
    }
}

/// Parts that an argument of RCPT may consist of.
fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<",
            ">",
            "(",
            ")",
            "@",
            "\"",
            "\\",
            ",",
            ";",
            ":",
            ".",
            " ",
            "\r",
            "%",
            "!",
            "alice",
            "foo-macys-m5",
            "example.test",
            "@example.test",
            "<alice@example.test>",
            "elsewhere.test",
            "postmaster",
            "\u{ad}",
            "[",
        ])
        .prop_map(str::to_owned),
        "\\PC",
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

    /// For any argument: a recipient that the server reads as ours is resolved.
    #[test]
    fn resolves_every_recipient_that_the_server_reads_as_ours(argument in pieces(), server in proptest::bool::ANY, local in "[a-z@%!.]{0,6}") {
        let resolver = resolver(Arc::default(), false, None);
        let ours = format!("{local}@example.test");
        let question = |mta_route: Option<&str>| Question {
            recipient: Address::from_rcpt(argument.as_bytes()),
            mta_route: mta_route.map(|mta_route| Address::from_server(mta_route.as_bytes())),
        };
        let is_nothing = argument.is_empty() || argument == "<>";
        let is_postmaster = is_nothing || argument.trim_matches(['<', '>', ' ', '\t', '"']).eq_ignore_ascii_case("postmaster");
        if !is_postmaster {
            let got = resolver.mailbox(&question(Some(&ours)));
            proptest::prop_assert_ne!(got, Err(Outcome::NotOurs), "{:?} {:?}", argument, ours);
        }
        // Without a reading of the server, only a certain spelling of another domain passes. If the server
        // reports a local user, an address that we read as ours does not pass.
        let name = local.replace('@', "");
        let got = resolver.mailbox(&question(server.then_some(&*name)));
        if got == Err(Outcome::NotOurs) && !is_postmaster {
            let recipient = Address::from_rcpt(argument.as_bytes());
            proptest::prop_assert!(recipient.is_certain(), "{:?}", argument);
            let plain = !recipient.may_be_rerouted();
            let written = if recipient.domain().is_none() { recipient.with_domain("example.test") } else { recipient };
            proptest::prop_assert!(!plain || !resolver.is_ours(&written), "{:?}", argument);
        }
    }
}
