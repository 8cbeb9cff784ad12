//! `vrfy:`, `rcpt:` and `lmtp:` against a server that misbehaves on purpose, and against real ones.
//!
//! The packages of Debian that this needs: postfix, dovecot-core and dovecot-lmtpd; and exim4-daemon-light and opensmtpd
//! unpacked in `target/mail-servers`, as `tests/run setup` does. The servers are started by the test; those of the
//! system do not run.

#![allow(clippy::unwrap_used)]

#[path = "account_smtp/control.rs"]
mod control;
#[path = "account_smtp/dovecot.rs"]
mod dovecot;
#[path = "account_smtp/fake.rs"]
mod fake;
#[path = "account_smtp/faults.rs"]
mod faults;
#[path = "common/namespace.rs"]
mod namespace;
#[path = "account_smtp/others.rs"]
mod others;
#[path = "account_smtp/postfix.rs"]
mod postfix;
#[path = "common/postfix.rs"]
mod postfix_server;
#[path = "common/programs.rs"]
mod programs;
#[path = "common/dovecot.rs"]
mod server;
#[path = "account_smtp/starttls.rs"]
mod starttls;

use fake::{Act, Fake};
use mail_address::Address;
use rcptd::account::settings::{CacheSettings, Settings, SmtpSettings, SourceSettings, Trust, Witness};
use rcptd::account::{AccountSource, Verification, build};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// For those tests only that wait for it.
const DEADLINE: Duration = Duration::from_millis(200);

/// One source with a short deadline, nothing remembered, 252 worth nothing, without control questions.
fn settings(spec: &str) -> Settings {
    let mut source = SourceSettings::new(spec.parse().unwrap());
    source.deadline = DEADLINE;
    source.witness = Witness::Off.into();
    source.smtp = SmtpSettings {
        code_250: Trust::Exists.into(),
        code_252: Trust::TempFail.into(),
        per_connection: 1000,
        ..SmtpSettings::default()
    };
    let ttl = Duration::ZERO;
    let cache = CacheSettings {
        positive_ttl: ttl,
        negative_ttl: ttl,
        stale_ttl: ttl,
        size: 1,
        ..CacheSettings::default()
    };
    Settings::new(vec![source], cache)
}

/// The same with time enough for a busy machine, where no test waits for it.
fn patient(spec: &str) -> Settings {
    let mut settings = settings(spec);
    settings.sources[0].deadline = Duration::from_secs(20);
    settings
}

async fn source(settings: &Settings) -> Arc<AccountSource> {
    build(settings, false).await.unwrap()
}

async fn ask(source: &Arc<AccountSource>, account: &str) -> Verification {
    source.look_up(&Address::from_rcpt(account.as_bytes())).await
}

async fn verdict(source: &Arc<AccountSource>, account: &str) -> String {
    ask(source, account).await.result.to_string()
}

/// Asks for all these accounts at the same time, and all exist.
async fn exist_at_once(source: &Arc<AccountSource>, accounts: impl Iterator<Item = String>) {
    let askers: Vec<_> = accounts
        .map(|account| {
            let source = source.clone();
            tokio::spawn(async move { verdict(&source, &account).await })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap(), "exists");
    }
}

/// Waits for something that another task is about to do.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// reply; verdict where a 252 means nothing
const REPLIES: &[(&str, &str)] = &[
    // Postfix
    ("252 2.0.0 alice", "temporary failure: 252 2.0.0 alice"),
    ("550 5.1.1 <bogus>: Recipient address rejected: User unknown in local recipient table", "not found"),
    ("450 4.1.1 <bogus>: Recipient address rejected: User unknown", "temporary failure: 450 4.1.1 <bogus>"),
    (
        "451 4.3.0 <alice>: Temporary lookup failure",
        "temporary failure: 451 4.3.0 <alice>: Temporary lookup failure",
    ),
    ("454 4.7.1 <x@remote.test>: Relay access denied", "temporary failure: 454 "),
    ("554 5.7.1 <client>: Client host rejected: Access denied", "temporary failure: 554 "),
    ("502 5.5.1 VRFY command is disabled", "temporary failure: 502 "),
    // Sendmail
    ("250 2.1.5 <alice@mx.example.test>", "exists"),
    ("250-2.1.5 <alice@mx.example.test>\r\n250 2.1.5 <bob@mx.example.test>", "exists"),
    ("550 5.1.1 bogus... User unknown", "not found"),
    ("252 2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)", "temporary failure: 252 "),
    ("503 5.0.0 I demand that you introduce yourself first", "temporary failure: 503 "),
    // Exim
    ("250 <alice@example.test> is deliverable", "exists"),
    ("550 <bogus@example.test> Unknown user", "not found"),
    ("252 Administrative prohibition", "temporary failure: 252 "),
    ("550 Administrative prohibition", "temporary failure: 550 "),
    ("451 Cannot resolve <alice@example.test> at this time", "temporary failure: 451 "),
    ("554 Too many nonmail commands", "temporary failure: 554 "),
    // OpenSMTPD
    ("500 5.5.1 Invalid command: Command unrecognized", "temporary failure: 500 "),
    ("550 Invalid recipient: <bogus@example.test>", "not found"),
    // Dovecot
    ("252 2.3.3 Try RCPT instead", "temporary failure: 252 "),
    ("550 5.1.1 <bogus@example.test> User doesn't exist: bogus", "not found"),
    // others
    ("251 User not local; will forward to <foo@other.test>", "exists"),
    ("251", "exists"),
    ("251 J\u{f6}rg", "exists"),
    ("551 User not local; please try <foo@other.test>", "temporary failure: 551 "),
    ("553 User ambiguous", "temporary failure: 553 User ambiguous"),
    ("553 5.1.3 Bad recipient address syntax", "temporary failure: 553 5.1.3 "),
    ("550 5.1.4 Ambiguous", "temporary failure: 550 5.1.4 "),
    ("550 That is a mailing list, not a user", "temporary failure: 550 That is a mailing list, not a user"),
    ("550 Please try again later", "temporary failure: 550 Please try again later"),
    ("550 Database error", "temporary failure: 550 Database error"),
    ("550", "not found"),
    ("550 ", "not found"),
    ("550 5.7.1 Command rejected", "temporary failure: 550 5.7.1 Command rejected"),
    ("550-5.1.1 no such\r\n550 5.1.1 user", "not found"),
    ("550-5.7.1 not for\r\n550 5.7.1 you", "temporary failure: 550 5.7.1 not for 5.7.1 you"),
    ("250 grüß Gott", "exists"),
];

#[tokio::test]
async fn replies() {
    let fake = Fake::start(|line, _, _| match line.strip_prefix("VRFY <").and_then(|l| l.split_once('@')) {
        // The canary gets the reply that is compared with it.
        Some((number, _)) => Act::say(number.parse().map_or("550", |number: usize| REPLIES[number].0)),
        None => Act::Usual,
    })
    .await;
    let source = source(&patient(&fake.spec())).await;
    for (number, (reply, want)) in REPLIES.iter().enumerate() {
        let got = ask(&source, &format!("{number}@example.test")).await;
        let asked = format!("VRFY <{number}@example.test>: ");
        let quoted = want.replacen("temporary failure: ", &format!("temporary failure: {asked}"), 1);
        assert!(got.result.to_string().starts_with(&quoted), "{reply}: {}", got.result);
        // What is certain is quoted as well.
        let certain = !want.starts_with("temporary failure");
        let code = format!("{asked}{}", reply.get(..3).unwrap());
        assert_eq!(got.detail.is_some_and(|detail| detail.starts_with(&code)), certain, "{reply}");
        assert_eq!((&*got.source, got.cached), (&*fake.spec(), false));
    }
    assert_eq!(fake.connections(), 1, "none of these replies ends a session");
}

/// The code decides, whatever the text is, in all replies of a session.
#[tokio::test]
async fn any_text_will_do() {
    for (greeting, ehlo) in [
        (&b"220 fake\r\n"[..], &b"250 fake\r\n"[..]),
        (b"220\r\n", b"250\r\n"),
        (b"220 \r\n", b"250 \r\n"),
        (b"220-\r\n220\r\n", b"250-\r\n250-  \r\n250 \r\n"),
        (b"220 M\xfcnchen\r\n", b"250-M\xfcnchen\r\n250 GR\xd6SSE 1\r\n"),
        (b"220 \x00\xff\r\n", b"250-\x00\r\n250 \xff\r\n"),
    ] {
        for (reply, want) in [
            (&b"250 J\xf6rg <u@example.test>\r\n"[..], "exists"),
            (b"250\r\n", "exists"),
            (b"550\r\n", "not found"),
            (b"550 \r\n", "not found"),
            (b"550 5.1.1 \xe4\xf6\xfc\r\n", "not found"),
            (b"550-5.1.1 \xe4\r\n550 5.1.1\r\n", "not found"),
            (b"450 \xe4\r\n", "temporary failure: VRFY <foo@example.test>: 450 \u{e4}"),
        ] {
            let fake = Fake::start(move |line, _, _| match line.get(..4) {
                Some("gree") => Act::Raw(greeting.to_vec()),
                Some("EHLO") => Act::Raw(ehlo.to_vec()),
                Some("VRFY") => Act::Raw(reply.to_vec()),
                _ => Act::Usual,
            })
            .await;
            let got = verdict(&source(&patient(&fake.spec())).await, "foo@example.test").await;
            assert_eq!(got, want, "{} {}", mail_address::escape(ehlo), mail_address::escape(reply));
        }
    }
}

/// RFC 5321, sections 3.2 and 4.1.4, and other codes that servers use.
#[tokio::test]
async fn helo_after_a_refused_ehlo() {
    // The replies to EHLO and HELO, and the one that is the reason of a temporary failure.
    for (ehlo, helo, reason) in [
        ("500 what", "250 fake", None),
        ("500", "250", None),
        ("501 what", "250 fake", None),
        ("502 5.5.1 not implemented", "250 fake", None),
        ("504 5.5.2 what", "250 fake", None),
        ("550 what", "250 fake", None),
        ("554 5.7.1 go away", "554 5.7.1 go away", Some("554 5.7.1 go away")),
        ("502 what", "421 4.3.2 later", Some("421 4.3.2 later")),
        ("421 4.3.2 later", "250 fake", Some("421 4.3.2 later")),
        ("451 4.3.2 later", "250 fake", Some("451 4.3.2 later")),
    ] {
        let fake = Fake::start(move |line, _, _| match line.get(..4) {
            Some("EHLO") => Act::say(ehlo),
            Some("HELO") => Act::say(helo),
            Some("VRFY") => Act::say("550 5.1.1 no"),
            _ => Act::Usual,
        })
        .await;
        let source = source(&patient(&fake.spec())).await;
        let got = verdict(&source, "foo@example.test").await;
        let failure =
            |reply| format!("temporary failure: 127.0.0.1:{}: the server replied {reply}", fake.port());
        assert_eq!(got, reason.map_or("not found".into(), failure), "{ehlo} {helo}");
        if reason.is_none() {
            // There are no extensions without EHLO.
            let got = verdict(&source, "gr\u{fc}n@example.test").await;
            assert_eq!(got, "temporary failure: the server does not offer SMTPUTF8", "{ehlo}");
        }
    }
}

#[tokio::test]
async fn what_252_means_by_choice() {
    for (code_252, want) in [
        (Trust::Exists, "exists"),
        (Trust::TempFail, "temporary failure: VRFY <foo@example.test>: 252 2.0.0 ok"),
    ] {
        let fake = Fake::saying("252 2.0.0 ok").await;
        let mut settings = patient(&fake.spec());
        settings.sources[0].smtp.code_252 = code_252.into();
        assert_eq!(verdict(&source(&settings).await, "foo@example.test").await, want);
        assert_eq!(fake.vrfys().len(), 1);
    }
}

#[tokio::test]
async fn what_is_sent() {
    let fake = Fake::saying("250 ok").await;
    let mut settings = patient(&fake.spec());
    settings.sources[0].smtp.helo = "rcptd.example.test".into();
    let source = source(&settings).await;
    for (account, want) in [
        ("foo@example.test", "VRFY <foo@example.test>"),
        ("<Foo@Example.TEST.>", "VRFY <Foo@example.test>"),
        ("\"foo\"@example.test", "VRFY <foo@example.test>"),
        ("\"a b\"@example.test", "VRFY <\"a b\"@example.test>"),
        ("\"a\\\"b>c\"@example.test", "VRFY <\"a\\\"b>c\"@example.test>"),
        ("foo@[127.0.0.1]", "VRFY <foo@[127.0.0.1]>"),
        ("foo@bücher.example", "VRFY <foo@xn--bcher-kva.example>"),
        ("grüße@example.test", "VRFY <grüße@example.test> SMTPUTF8"),
    ] {
        assert_eq!(verdict(&source, account).await, "exists");
        assert_eq!(fake.vrfys().last().unwrap(), want);
    }
    assert_eq!(fake.lines()[0], "EHLO rcptd.example.test");
}

#[tokio::test]
async fn nothing_odd_is_sent() {
    let fake = Fake::saying("250 ok").await;
    let source = source(&patient(&fake.spec())).await;
    let mut odd: Vec<Vec<u8>> = Vec::new();
    for byte in 0..=255 {
        odd.push([b"<fo", &[byte][..], b"NOOP@example.test>"].concat());
        odd.push([b"<\"fo", &[byte][..], b"NOOP\"@example.test>"].concat());
        odd.push([b"<foo@exa", &[byte][..], b"NOOP>"].concat());
    }
    for text in [
        "foo",
        "<>",
        "@example.test",
        "<foo@example.test>\r\nNOOP",
        "foo@a b",
        "foo@a>,<bar@b",
        "fo\u{85}o@example.test",
        "fo\u{2028}o@example.test",
        "foo@exa\r\nNOOP",
        "\"\r\nNOOP\r\n\"@example.test",
    ] {
        odd.push(text.into());
    }
    odd.push(format!("<{}@example.test>", "x".repeat(300)).into());
    odd.push(format!("<\"{}\"@example.test>", "\\\"".repeat(255)).into());
    odd.push(format!("<foo@{}>", "x".repeat(300)).into());
    let mut asked = 0;
    for account in &odd {
        let got = source.look_up(&Address::from_rcpt(account)).await.result.to_string();
        if got == "exists" {
            asked += 1;
        } else {
            assert!(
                got.starts_with("temporary failure: not asked: "),
                "{}: {got}",
                mail_address::escape(account)
            );
        }
    }
    let lines = fake.lines();
    assert_eq!(lines.len(), asked + 1, "a command for each question, and EHLO");
    for line in &lines[1..] {
        let argument =
            line.strip_prefix("VRFY <").and_then(|l| l.trim_end_matches(" SMTPUTF8").strip_suffix('>'));
        let domain = argument.and_then(|a| a.rsplit_once('@')).unwrap_or_else(|| panic!("{line}")).1;
        assert!(!line.chars().any(char::is_control) && line.len() <= 510, "{line}");
        assert!(domain.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)), "{line}");
    }
    assert!(asked > 100, "{asked}");
}

#[tokio::test]
async fn utf8_only_where_it_is_offered() {
    let fake = Fake::start(|line, _, _| match line {
        _ if line.starts_with("EHLO") => Act::say("250 fake"),
        _ if line.starts_with("VRFY") => Act::say("250 ok"),
        _ => Act::Usual,
    })
    .await;
    let source = source(&patient(&fake.spec())).await;
    for (account, want) in [
        ("grüße@example.test", "temporary failure: the server does not offer SMTPUTF8"),
        ("foo@example.test", "exists"),
        ("grüße@example.test", "temporary failure: the server does not offer SMTPUTF8"),
    ] {
        assert_eq!(verdict(&source, account).await, want);
    }
    assert_eq!((fake.vrfys().len(), fake.connections()), (1, 1));
}

/// The line of the server at which it misbehaves, how, and the beginning of the reason of the temporary failure.
fn misbehaviour() -> Vec<(&'static str, Act, &'static str)> {
    let lines = "250-x\r\n".repeat(199) + "250 x\r\n";
    let endless = "250 ".to_string() + "x".repeat(100_000).as_str();
    vec![
        ("greeting", Act::Silence, "127.0.0.1:PORT: no greeting or reply to EHLO within"),
        (
            "greeting",
            Act::say("421 4.7.0 too many connections"),
            "127.0.0.1:PORT: the server replied 421 4.7.0",
        ),
        ("greeting", Act::say("554 go away"), "127.0.0.1:PORT: the server replied 554 go away"),
        ("greeting", Act::Close, "127.0.0.1:PORT: the server closed the connection"),
        ("greeting", Act::raw("SSH-2.0-OpenSSH_9.2\r\n"), "127.0.0.1:PORT: not an SMTP reply"),
        ("greeting", Act::raw("220 hi\r\n250 fake\r\n"), "127.0.0.1:PORT: unexpected data from the server"),
        ("EHLO", Act::Silence, "127.0.0.1:PORT: no greeting or reply to EHLO within"),
        ("EHLO", Act::say("421 4.5.2 what"), "127.0.0.1:PORT: the server replied 421 4.5.2 what"),
        ("EHLO", Act::raw("250 fake\r\n550 5.1.1 no\r\n"), "127.0.0.1:PORT: unexpected data from the server"),
        ("VRFY", Act::Silence, "no reply to VRFY within 180ms"),
        ("VRFY", Act::Drip("550 5.1.1 no such user\r\n", 20), "no reply to VRFY within 180ms"),
        ("VRFY", Act::Close, "the server closed the connection"),
        ("VRFY", Act::raw("550 5.1.1 no"), "no reply to VRFY within 180ms"),
        ("VRFY", Act::RawThenClose("550 5.1.1 no".into()), "the server closed the connection"),
        ("VRFY", Act::raw("550 5.1.1 no\n"), "a line of the reply ends in a bare line feed"),
        ("VRFY", Act::raw("5.1.1 no\r\n"), "not an SMTP reply"),
        ("VRFY", Act::raw("690 x\r\n"), "not an SMTP reply"),
        ("VRFY", Act::raw("\r\n"), "not an SMTP reply"),
        ("VRFY", Act::raw("\0\0\0\0"), "not an SMTP reply"),
        ("VRFY", Act::raw("550-5.1.1 no\r\n250 ok\r\n"), "the lines of the reply have different codes"),
        ("VRFY", Act::raw("550 5.1.1 no\r\n550 5.1.1 no\r\n"), "unexpected data from the server"),
        ("VRFY", Act::raw("252 2.0.0 ok\r\n550 5.1.1 no\r\n"), "unexpected data from the server"),
        ("VRFY", Act::raw("250 ok\r\n250 o"), "unexpected data from the server"),
        ("VRFY", Act::raw(&lines), "the reply has too many lines"),
        ("VRFY", Act::raw(&endless), "a line of the reply is too long"),
        ("VRFY", Act::Endless("250-x\r\n"), "the reply has too many lines"),
        ("VRFY", Act::Endless("xxxxxxxx"), "not an SMTP reply"),
    ]
}

#[tokio::test]
async fn misbehaviour_is_a_temporary_failure_and_the_next_question_is_asked() {
    for (at, act, want) in misbehaviour() {
        let case = format!("{at} {act:?}");
        let case = &case[..case.floor_char_boundary(100)];
        // Only the first connection is bad.
        let fake = Fake::start(move |line, connection, _| match line {
            _ if connection == 0 && line.starts_with(at) => act.clone(),
            _ if line.starts_with("VRFY") => Act::say("550 5.1.1 no"),
            _ => Act::Usual,
        })
        .await;
        let late = want.contains("within");
        let settings = if late { settings(&fake.spec()) } else { patient(&fake.spec()) };
        let source = source(&settings).await;
        let begin = Instant::now();
        let got = verdict(&source, "foo@example.test").await;
        let want = format!("temporary failure: {want}").replace("PORT", &fake.port().to_string());
        // On a busy machine the deadline of the whole may come before that of the step.
        let overall = late && got == format!("temporary failure: no answer within {DEADLINE:?}");
        assert!(got.starts_with(&want) || overall, "{case}: {got}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{case}: {:?}", begin.elapsed());
        let mut next = verdict(&source, "foo@example.test").await;
        while late && next.starts_with("temporary failure: ") {
            // A busy machine; it must not take long all the same.
            assert!(begin.elapsed() < Duration::from_secs(5), "{case}: {next}");
            next = verdict(&source, "foo@example.test").await;
        }
        assert_eq!(next, "not found", "{case}");
        assert!(fake.connections() == 2 || late, "{case}");
    }
}

#[tokio::test]
async fn nobody_is_there() {
    // A port that was free a moment ago.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let got = verdict(&source(&patient(&format!("vrfy:127.0.0.1:{port}"))).await, "foo@example.test").await;
    assert!(got.starts_with(&format!("temporary failure: 127.0.0.1:{port}: Connection refused")), "{got}");
}

#[tokio::test]
async fn all_addresses_are_tried() {
    // The fake listens at 127.0.0.1 only, localhost may be ::1 as well.
    let fake = Fake::saying("250 ok").await;
    let source = source(&patient(&format!("vrfy:localhost:{}", fake.port()))).await;
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("smtp");
    let fake = Fake::saying("250 ok").await;
    fake.listen_at(&path);
    let source = source(&patient(&format!("vrfy:unix:{}", path.display()))).await;
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
}

#[tokio::test]
async fn idle_connections_that_died_are_replaced() {
    for farewell in [Act::Close, Act::RawThenClose("421 4.4.2 Error: timeout exceeded\r\n".into())] {
        let fake = Fake::start(move |line, connection, _| match line {
            // The first connection answers once and says farewell when it is idle.
            _ if line.starts_with("VRFY") => {
                let then = if connection == 0 { farewell.clone() } else { Act::Usual };
                Act::Then(Box::new(Act::say("250 ok")), 20, Box::new(then))
            }
            _ => Act::Usual,
        })
        .await;
        let source = source(&patient(&fake.spec())).await;
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(verdict(&source, "bar@example.test").await, "exists");
        assert_eq!(fake.connections(), 2);
        // The second question was not sent to the dead one.
        assert_eq!(fake.vrfys(), ["VRFY <foo@example.test>", "VRFY <bar@example.test>"]);
    }
}

#[tokio::test]
async fn a_used_connection_that_dies_under_the_question_is_replaced_once() {
    for (bad_connections, want, asked) in
        [(1, "exists", 3), (2, "temporary failure: the server closed the connection", 3)]
    {
        let fake = Fake::start(move |line, connection, nth| match line {
            _ if line.starts_with("VRFY") && connection == 0 && nth == 0 => Act::say("250 ok"),
            _ if line.starts_with("VRFY") && connection < bad_connections => Act::Close,
            _ if line.starts_with("VRFY") => Act::say("250 ok"),
            _ => Act::Usual,
        })
        .await;
        let source = source(&patient(&fake.spec())).await;
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        assert_eq!(verdict(&source, "foo@example.test").await, want);
        assert_eq!((fake.vrfys().len(), fake.connections()), (asked, 2));
    }
}

#[tokio::test]
async fn after_421_once_more_and_not_twice() {
    for (bad_connections, want) in [
        (1, "not found"),
        (2, "temporary failure: VRFY <foo@example.test>: 421 4.7.0 Error: too many errors"),
    ] {
        let fake = Fake::start(move |line, connection, _| match line {
            _ if line.starts_with("VRFY") && connection < bad_connections => {
                Act::RawThenClose("421 4.7.0 Error: too many errors\r\n".into())
            }
            _ if line.starts_with("VRFY") => Act::say("550 5.1.1 no"),
            _ => Act::Usual,
        })
        .await;
        let source = source(&patient(&fake.spec())).await;
        assert_eq!(verdict(&source, "foo@example.test").await, want);
        assert_eq!((fake.vrfys().len(), fake.connections()), (2, 2));
    }
}

#[tokio::test]
async fn a_question_given_up_takes_its_connection_along() {
    let fake = Fake::start(|line, connection, _| match line {
        _ if line.starts_with("VRFY") && connection == 0 => {
            Act::Then(Box::new(Act::Usual), 50, Box::new(Act::say("250 too late")))
        }
        _ if line.starts_with("VRFY") => Act::say("550 5.1.1 no"),
        _ => Act::Usual,
    })
    .await;
    let mut settings = patient(&fake.spec());
    settings.sources[0].deadline = Duration::from_secs(2);
    let sources = rcptd::account::Sources::build(&settings, false).await.unwrap();
    let foo = Address::from_rcpt(b"foo@example.test");
    // The member itself, without the cache, which would go on asking.
    let member = sources.members[0].source.clone();
    assert!(tokio::time::timeout(Duration::from_millis(30), member.look_up(&foo)).await.is_err());
    tokio::time::sleep(Duration::from_millis(40)).await;
    // The late reply is nobody's.
    assert_eq!(member.look_up(&foo).await.result.to_string(), "not found");
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn connections_are_asked_so_often_and_no_more() {
    for (per_connection, questions, connections) in [(1, 3, 3), (2, 4, 2), (2, 5, 3), (10, 5, 1)] {
        let fake = Fake::saying("250 ok").await;
        let mut settings = patient(&fake.spec());
        settings.sources[0].smtp.per_connection = per_connection;
        let source = source(&settings).await;
        for _ in 0..questions {
            assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        }
        assert_eq!(fake.connections(), connections, "{per_connection} {questions}");
        let used_up = questions / per_connection as usize;
        eventually("QUIT to all used up", || fake.count("QUIT") == used_up).await;
    }
}

#[tokio::test]
async fn quit_delays_nobody() {
    let fake = Fake::start(|line, _, _| match line {
        "QUIT" => Act::Silence,
        _ if line.starts_with("VRFY") => Act::say("250 ok"),
        _ => Act::Usual,
    })
    .await;
    let mut settings = patient(&fake.spec());
    settings.sources[0].smtp.per_connection = 1;
    let source = source(&settings).await;
    let begin = Instant::now();
    for _ in 0..30 {
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    // Those for whom there was no room were closed without a word.
    eventually("QUIT to some", || (16..30).contains(&fake.count("QUIT"))).await;
    eventually("all closed", || fake.open() == 0).await;
}

#[tokio::test]
async fn idle_connections_are_few_and_not_for_ever() {
    let fake = Fake::start(|line, _, _| match line {
        _ if line.starts_with("VRFY") => Act::Then(Box::new(Act::Usual), 30, Box::new(Act::say("250 ok"))),
        _ => Act::Usual,
    })
    .await;
    let mut settings = patient(&fake.spec());
    settings.sources[0].smtp.idle_connections = 2;
    settings.sources[0].smtp.idle_timeout = Duration::from_millis(100);
    let source = source(&settings).await;
    exist_at_once(&source, (0..6).map(|i| format!("foo{i}@example.test"))).await;
    assert_eq!(fake.connections(), 6);
    eventually("QUIT to four", || fake.count("QUIT") == 4 && fake.open() == 2).await;
    eventually("QUIT to the others when their time had come", || fake.count("QUIT") == 6).await;
    // And then there is a new one.
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
    assert_eq!(fake.connections(), 7);
}

#[tokio::test]
async fn nothing_is_left_when_the_tree_goes() {
    let fake = Fake::saying("250 ok").await;
    let source = source(&patient(&fake.spec())).await;
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
    assert_eq!(fake.open(), 1);
    drop(source);
    eventually("QUIT and closed", || fake.count("QUIT") == 1 && fake.open() == 0).await;
}

#[tokio::test]
async fn no_more_connections_than_questions_allowed() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (n, m) = (now.clone(), most.clone());
    let fake = Fake::start(move |line, _, _| match line {
        _ if line.starts_with("VRFY") => {
            m.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let n = n.clone();
            let done = Act::Do(Arc::new(move || {
                n.fetch_sub(1, Ordering::SeqCst);
            }));
            let reply = Act::Then(Box::new(done), 0, Box::new(Act::say("250 ok")));
            Act::Then(Box::new(Act::Usual), 10, Box::new(reply))
        }
        _ => Act::Usual,
    })
    .await;
    let mut settings = patient(&fake.spec());
    settings.sources[0].concurrency = 3;
    let source = source(&settings).await;
    exist_at_once(&source, (0..20).map(|i| format!("foo{i}@example.test"))).await;
    assert_eq!((most.load(Ordering::SeqCst), fake.connections()), (3, 3));
}

#[tokio::test]
async fn a_hundred_askers_one_vrfy() {
    let fake = Fake::start(|line, _, _| match line {
        _ if line.starts_with("VRFY") => Act::Then(Box::new(Act::Usual), 20, Box::new(Act::say("250 ok"))),
        _ => Act::Usual,
    })
    .await;
    let mut settings = patient(&fake.spec());
    settings.cache = CacheSettings::default();
    let source = source(&settings).await;
    exist_at_once(&source, (0..100).map(|_| "foo@example.test".into())).await;
    let later = ask(&source, "foo@example.test").await;
    assert_eq!((later.cached, &*later.source), (true, &*fake.spec()));
    assert_eq!(fake.vrfys(), ["VRFY <foo@example.test>"]);
}
