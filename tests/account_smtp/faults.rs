//! What comes of a fault at any step of a question, by VRFY, by RCPT and by LMTP.

use super::fake::{Act, Fake};
use super::{DEADLINE, eventually, patient, settings, source, verdict};
use mail_address::Address;
use rcptd::account::Sources;
use rcptd::account::settings::{Trust, Witness};
use std::time::Duration;

const KINDS: [&str; 3] = ["vrfy", "rcpt", "lmtp"];

/// The types that send MAIL and RSET.
const WITH_MAIL: [&str; 2] = ["rcpt", "lmtp"];

/// What the server gets as the question for foo@example.test.
fn question(kind: &str) -> &'static str {
    if kind == "vrfy" { "VRFY <foo@example.test>" } else { "RCPT TO:<foo@example.test>" }
}

/// The step of a session that a line belongs to.
fn step(line: &str) -> &'static str {
    match line.get(..4) {
        Some("gree") => "greeting",
        Some("EHLO" | "LHLO") => "hello",
        Some("MAIL") => "MAIL",
        Some("VRFY" | "RCPT") => "question",
        Some("RSET") => "RSET",
        _ => "other",
    }
}

/// A server at whose connections before the `bad`th there is this fault, if at the question, at the first one; and
/// that otherwise knows nobody.
async fn faulty(at: &'static str, act: Act, bad: usize) -> Fake {
    Fake::start(move |line, connection, nth| match step(line) {
        here if here == at && connection < bad && (at != "question" || nth == 0) => act.clone(),
        "question" => Act::say("550 5.1.1 no"),
        _ => Act::Usual,
    })
    .await
}

/// A fault, where it is, and the end of the reason. `PORT`, `HELLO`, `VERB` and `QUESTION` are those of the type.
fn faults() -> Vec<(&'static str, Act, &'static str)> {
    let closing = || Act::RawThenClose("421 4.3.2 shutting down\r\n".into());
    vec![
        ("greeting", Act::Close, "127.0.0.1:PORT: the server closed the connection"),
        ("greeting", Act::say("421 4.7.0 too many"), "127.0.0.1:PORT: the server replied 421 4.7.0 too many"),
        ("greeting", Act::say("554 5.7.1 no"), "127.0.0.1:PORT: the server replied 554 5.7.1 no"),
        ("greeting", Act::Silence, "127.0.0.1:PORT: no greeting or reply to HELLO within 100ms"),
        ("hello", Act::Close, "127.0.0.1:PORT: the server closed the connection"),
        ("hello", Act::raw("hello\r\n"), "127.0.0.1:PORT: not an SMTP reply"),
        ("hello", Act::Silence, "127.0.0.1:PORT: no greeting or reply to HELLO within 100ms"),
        ("hello", Act::say("451 4.3.2 later"), "127.0.0.1:PORT: the server replied 451 4.3.2 later"),
        ("MAIL", Act::Close, "the server closed the connection"),
        ("MAIL", Act::Silence, "no reply to MAIL within 180ms"),
        ("MAIL", Act::Drip("250 2.1.0 a very long welcome\r\n", 20), "no reply to MAIL within 180ms"),
        ("MAIL", Act::raw("what?\r\n"), "not an SMTP reply"),
        ("MAIL", Act::raw("250 ok\r\n250 ok\r\n"), "unexpected data from the server"),
        ("MAIL", Act::say("550 5.7.1 no bounces"), "MAIL FROM:<>: 550 5.7.1 no bounces"),
        ("MAIL", Act::say("550 5.1.1 unknown user"), "MAIL FROM:<>: 550 5.1.1 unknown user"),
        ("MAIL", Act::say("451 4.7.1 greylisted"), "MAIL FROM:<>: 451 4.7.1 greylisted"),
        ("MAIL", Act::say("252 what"), "MAIL FROM:<>: 252 what"),
        ("question", Act::Close, "the server closed the connection"),
        ("question", Act::RawThenClose("550 5.1.1 n".into()), "the server closed the connection"),
        ("question", Act::Silence, "no reply to VERB within 180ms"),
        ("question", Act::Drip("550 5.1.1 no such user\r\n", 20), "no reply to VERB within 180ms"),
        ("question", Act::raw("\x16\x03\x01"), "not an SMTP reply"),
        ("question", Act::raw("550 5.1.1 no\r\n250 ok\r\n"), "unexpected data from the server"),
        ("question", Act::say("450 4.2.0 greylisted"), "QUESTION: 450 4.2.0 greylisted"),
        ("question", Act::say("451 4.3.0 database"), "QUESTION: 451 4.3.0 database"),
        ("question", Act::say("550 5.7.1 relay denied"), "QUESTION: 550 5.7.1 relay denied"),
        ("question", Act::say("552 5.2.2 over quota"), "QUESTION: 552 5.2.2 over quota"),
        ("question", Act::say("554 5.7.1 blocked"), "QUESTION: 554 5.7.1 blocked"),
        ("question", closing(), "QUESTION: 421 4.3.2 shutting down"),
        ("MAIL", closing(), "MAIL FROM:<>: 421 4.3.2 shutting down"),
    ]
}

#[tokio::test]
async fn a_fault_is_a_temporary_failure_and_the_next_question_is_asked() {
    for (at, act, want) in faults() {
        for kind in KINDS.iter().filter(|kind| at != "MAIL" || WITH_MAIL.contains(kind)) {
            // After 421 the question is asked once more.
            let bad = if want.contains(": 421 4.3.2") { 2 } else { 1 };
            let fake = faulty(at, act.clone(), bad).await;
            let late = want.contains("within");
            let spec = fake.spec_as(kind);
            let source = source(&if late { settings(&spec) } else { patient(&spec) }).await;
            let got = verdict(&source, "foo@example.test").await;
            let want = want
                .replace("PORT", &fake.port().to_string())
                .replace("HELLO", if *kind == "lmtp" { "LHLO" } else { "EHLO" })
                .replace("VERB", &question(kind)[..4])
                .replace("QUESTION", question(kind));
            // On a busy machine the deadline of the whole may come before that of the step.
            let overall = late && got == format!("temporary failure: no answer within {DEADLINE:?}");
            assert!(got == format!("temporary failure: {want}") || overall, "{kind} {at} {act:?}: {got}");
            if late {
                continue;
            }
            assert_eq!(verdict(&source, "bar@example.test").await, "not found", "{kind} {at} {act:?}");
            // No message was begun, and no connection was used after a fault.
            assert_eq!(fake.count("DATA"), 0);
            let whole = at == "question" && act_is_one_reply(&act);
            assert_eq!(fake.connections(), if whole { 1 } else { bad + 1 }, "{kind} {at} {act:?}");
        }
    }
}

/// Whether the connection can be used after this, since it is one reply of which the code is no fault.
fn act_is_one_reply(act: &Act) -> bool {
    matches!(act, Act::Raw(bytes) if bytes.is_ascii() && bytes.ends_with(b"\r\n") && !bytes.ends_with(b"250 ok\r\n"))
}

/// The answer has come before RSET; what comes of that decides about the connection alone.
#[tokio::test]
async fn a_fault_at_rset_closes_the_connection_and_the_answer_counts() {
    for act in [
        Act::Close,
        Act::say("502 5.5.1 what"),
        Act::say("550 5.1.1 no"),
        Act::RawThenClose("421 4.7.0 too many errors\r\n".into()),
        Act::raw("what\r\n"),
        Act::raw("250 ok\r\n250 ok\r\n"),
    ] {
        for kind in WITH_MAIL {
            let fake = faulty("RSET", act.clone(), 1).await;
            let source = source(&patient(&fake.spec_as(kind))).await;
            for connections in [1, 2, 2] {
                assert_eq!(verdict(&source, "foo@example.test").await, "not found", "{kind} {act:?}");
                assert_eq!(fake.connections(), connections, "{kind} {act:?}");
            }
        }
    }
}

/// A server that is slow, or says nothing, after the answer does not make it late.
#[tokio::test]
async fn silence_at_rset_does_not_delay_the_answer() {
    for kind in WITH_MAIL {
        let fake = faulty("RSET", Act::Silence, 1).await;
        let mut settings = patient(&fake.spec_as(kind));
        settings.sources[0].deadline = Duration::from_secs(4);
        let source = source(&settings).await;
        assert_eq!(verdict(&source, "foo@example.test").await, "not found");
        assert_eq!(verdict(&source, "bar@example.test").await, "not found");
        assert_eq!(fake.connections(), 2);
        eventually("the first one is closed", || fake.open() == 1).await;
    }
}

#[tokio::test]
async fn what_is_sent() {
    for (kind, want) in [
        ("vrfy", &["EHLO h.test", "VRFY <foo@example.test>", "VRFY <gr\u{fc}n@example.test> SMTPUTF8"][..]),
        (
            "rcpt",
            &[
                "EHLO h.test",
                "MAIL FROM:<>",
                "RCPT TO:<foo@example.test>",
                "RSET",
                "MAIL FROM:<> SMTPUTF8",
                "RCPT TO:<gr\u{fc}n@example.test>",
                "RSET",
            ],
        ),
        (
            "lmtp",
            &[
                "LHLO h.test",
                "MAIL FROM:<>",
                "RCPT TO:<foo@example.test>",
                "RSET",
                "MAIL FROM:<> SMTPUTF8",
                "RCPT TO:<gr\u{fc}n@example.test>",
                "RSET",
            ],
        ),
    ] {
        let fake = faulty("nowhere", Act::Usual, 0).await;
        let mut settings = patient(&fake.spec_as(kind));
        settings.sources[0].smtp.helo = "h.test".into();
        let source = source(&settings).await;
        for account in ["foo@example.test", "gr\u{fc}n@example.test"] {
            assert_eq!(verdict(&source, account).await, "not found");
        }
        assert_eq!(fake.lines(), want, "{kind}");
    }
}

/// HELO is for SMTP only.
#[tokio::test]
async fn no_helo_in_lmtp() {
    for (kind, want) in [("vrfy", "not found"), ("rcpt", "not found"), ("lmtp", "temporary failure: ")] {
        let fake = Fake::start(|line, _, _| match line.get(..4) {
            Some("EHLO" | "LHLO") => Act::say("500 5.5.1 what"),
            Some("HELO") => Act::say("250 fake"),
            Some("VRFY" | "RCPT") => Act::say("550 5.1.1 no"),
            _ => Act::Usual,
        })
        .await;
        let got = verdict(&source(&patient(&fake.spec_as(kind))).await, "foo@example.test").await;
        assert!(got.starts_with(want), "{kind}: {got}");
    }
}

/// A lookup that is dropped at any step takes its connection along: the late reply answers nothing else.
#[tokio::test]
async fn a_question_that_is_dropped_is_never_in_the_pool() {
    for kind in KINDS {
        for at in ["MAIL", "question", "RSET"] {
            if at != "question" && kind == "vrfy" {
                continue;
            }
            let late = Act::Then(Box::new(Act::Usual), 150, Box::new(Act::say("250 2.0.0 too late")));
            // `Usual` replies to MAIL and RSET at once.
            let late =
                if at == "question" { late } else { Act::Then(Box::new(Act::Silence), 150, Box::new(late)) };
            let fake = faulty(at, late, 1).await;
            let sources = Sources::build(&patient(&fake.spec_as(kind)), false).await.unwrap();
            let foo = Address::from_rcpt(b"foo@example.test");
            // The member itself, without the cache, which would go on asking.
            let member = sources.members[0].clone();
            let asked = tokio::time::timeout(Duration::from_millis(100), member.source.look_up(&foo)).await;
            assert!(asked.is_err(), "{kind} {at}");
            assert_eq!(member.source.look_up(&foo).await.result.to_string(), "not found", "{kind} {at}");
            assert_eq!(fake.connections(), 2, "{kind} {at}");
        }
    }
}

/// Servers that are wrong about every name: replies to foo, postmaster and all others; the results for foo and
/// nobody.
#[tokio::test]
async fn a_server_that_is_wrong_about_every_name_is_not_believed() {
    const NO: &str = "550 5.1.1 no";
    const FAILS: &str = "temporary failure: ";
    for (replies, wants) in [
        (["250 ok", "250 ok", NO], ["exists", "not found"]),
        (["251 elsewhere", "250 ok", NO], ["exists", "not found"]),
        (["252 ok", "252 ok", NO], ["exists", "not found"]),
        // It accepts everybody.
        (["250 ok", "250 ok", "250 ok"], [FAILS, FAILS]),
        (["252 ok", "252 ok", "252 ok"], [FAILS, FAILS]),
        // It has lost its users.
        ([NO, NO, NO], [FAILS, FAILS]),
        (["550", "550", "550"], [FAILS, FAILS]),
        // It is greylisting, or its database is down.
        (["450 4.2.0", "450 4.2.0", "450 4.2.0"], [FAILS, FAILS]),
        (["250 ok", "250 ok", "450 4.2.0"], [FAILS, FAILS]),
        // Words that no list has, but the same for all that are not there.
        (["250 ok", "250 ok", "550 Benutzer unbekannt"], ["exists", "not found"]),
    ] {
        for kind in KINDS {
            let fake = Fake::start(move |line, _, _| match (step(line), line.split(['<', '@']).nth(1)) {
                ("question", Some("foo")) => Act::say(replies[0]),
                ("question", Some("postmaster")) => Act::say(replies[1]),
                ("question", _) => Act::say(replies[2]),
                _ => Act::Usual,
            })
            .await;
            let mut settings = patient(&fake.spec_as(kind));
            settings.sources[0].witness = Witness::Default.into();
            settings.sources[0].smtp.code_250 = Trust::Canary.into();
            settings.sources[0].smtp.code_252 = Trust::Canary.into();
            let source = source(&settings).await;
            for (name, want) in ["foo", "nobody"].into_iter().zip(wants) {
                let got = verdict(&source, &format!("{name}@example.test")).await;
                assert!(got.starts_with(want), "{kind} {replies:?} {name}: {got}");
            }
            assert!(fake.questions().len() <= 6, "{:?}", fake.questions());
        }
    }
}

/// To RCPT, 252 means the same as 250; to VRFY it has a key of its own.
#[tokio::test]
async fn which_key_decides_about_252() {
    for (kind, code_250, code_252, want) in [
        ("vrfy", Trust::Exists, Trust::TempFail, "temporary failure: VRFY <foo@example.test>: 252 ok"),
        ("vrfy", Trust::TempFail, Trust::Exists, "exists"),
        ("rcpt", Trust::Exists, Trust::TempFail, "exists"),
        ("lmtp", Trust::Exists, Trust::TempFail, "exists"),
        ("rcpt", Trust::TempFail, Trust::Exists, "temporary failure: RCPT TO:<foo@example.test>: 252 ok"),
    ] {
        let fake = faulty("question", Act::say("252 ok"), usize::MAX).await;
        let mut settings = patient(&fake.spec_as(kind));
        settings.sources[0].smtp.code_250 = code_250.into();
        settings.sources[0].smtp.code_252 = code_252.into();
        assert_eq!(verdict(&source(&settings).await, "foo@example.test").await, want, "{kind}");
    }
}

#[tokio::test]
async fn connections_are_limited_by_questions_for_every_type() {
    for kind in KINDS {
        let fake = faulty("nowhere", Act::Usual, 0).await;
        let mut settings = patient(&fake.spec_as(kind));
        settings.sources[0].smtp.per_connection = 2;
        let source = source(&settings).await;
        for _ in 0..5 {
            assert_eq!(verdict(&source, "foo@example.test").await, "not found");
        }
        assert_eq!((fake.questions().len(), fake.connections()), (5, 3), "{kind}");
        eventually("QUIT to both used up", || fake.count("QUIT") == 2).await;
    }
}
