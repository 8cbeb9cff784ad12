//! When a reply counts: a witness for "not found", a canary for "exists".

#![allow(clippy::match_same_arms)] // The answers of the servers are tables.

use super::fake::{Act, Fake};
use super::{ask, patient, source, verdict};
use rcptd::account::settings::{CacheSettings, Scoped, Settings, Trust, Witness};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A server that replies to VRFY as this says.
async fn server(reply: impl Fn(&str) -> &'static str + Send + Sync + 'static) -> Fake {
    Fake::start(move |line, _, _| match line.strip_prefix("VRFY <") {
        Some(account) => Act::say(reply(account.trim_end_matches('>'))),
        None => Act::Usual,
    })
    .await
}

/// What is set where nothing is: canary and witness.
fn controlled(fake: &Fake) -> Settings {
    let mut settings = patient(&fake.spec());
    settings.sources[0].witness = Witness::Default.into();
    settings.sources[0].smtp.code_250 = Trust::Canary.into();
    settings.sources[0].smtp.code_252 = Trust::Canary.into();
    settings
}

fn is_canary(account: &str) -> bool {
    let name = account.split('@').next().unwrap();
    name.len() >= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The accounts asked for, canaries as `?`.
fn asked(fake: &Fake) -> Vec<String> {
    let name = |line: String| {
        let account = line.strip_prefix("VRFY <").unwrap().strip_suffix('>').unwrap().to_string();
        if is_canary(&account) { format!("?{}", &account[account.find('@').unwrap()..]) } else { account }
    };
    fake.vrfys().into_iter().map(name).collect()
}

const NO: &str = "550 5.1.1 no";

#[tokio::test]
async fn one_control_of_each_kind_for_each_domain() {
    for yes in ["252 2.0.0 ok", "250 2.1.5 ok"] {
        let fake =
            server(move |a| if a.starts_with("foo@") || a.starts_with("postmaster@") { yes } else { NO })
                .await;
        let source = source(&controlled(&fake)).await;
        for domain in ["one.test", "two.test"] {
            for _ in 0..3 {
                assert_eq!(verdict(&source, &format!("bar@{domain}")).await, "not found");
                assert_eq!(verdict(&source, &format!("foo@{domain}")).await, "exists");
            }
        }
        let controls: Vec<_> =
            asked(&fake).into_iter().filter(|a| !a.starts_with("foo") && !a.starts_with("bar")).collect();
        assert_eq!(controls, ["postmaster@one.test", "?@one.test", "postmaster@two.test", "?@two.test"]);
        assert_eq!(fake.connections(), 1);
    }
}

#[tokio::test]
async fn an_account_that_was_found_is_the_witness() {
    let fake = server(|a| if a.starts_with("foo@") { "250 ok" } else { NO }).await;
    let source = source(&controlled(&fake)).await;
    assert_eq!(verdict(&source, "foo@one.test").await, "exists");
    assert_eq!(verdict(&source, "bar@one.test").await, "not found");
    // Not that of another domain.
    let got = verdict(&source, "bar@two.test").await;
    assert!(got.contains("does not find the witness <postmaster@two.test> either"), "{got}");
    assert_eq!(
        asked(&fake),
        ["foo@one.test", "?@one.test", "bar@one.test", "bar@two.test", "postmaster@two.test"]
    );
}

/// What is said to the question, what to the witness; the verdict.
const WITNESSES: &[(&str, &str, &str)] = &[
    (NO, "250 ok", "not found"),
    (NO, "252 ok", "not found"),
    (NO, "251 elsewhere", "not found"),
    (
        NO,
        NO,
        "temporary failure: VRFY <foo@example.test>: 550 5.1.1 no, but 127.0.0.1:PORT for example.test does not find",
    ),
    (
        NO,
        "550",
        "temporary failure: VRFY <foo@example.test>: 550 5.1.1 no, but 127.0.0.1:PORT for example.test does not find",
    ),
    (
        NO,
        "450 4.3.0 later",
        "temporary failure: VRFY <foo@example.test>: 550 5.1.1 no, but 127.0.0.1:PORT for example.test gave",
    ),
    (
        NO,
        "550 5.7.1 no",
        "temporary failure: VRFY <foo@example.test>: 550 5.1.1 no, but 127.0.0.1:PORT for example.test gave",
    ),
    (
        NO,
        "garbage",
        "temporary failure: VRFY <foo@example.test>: 550 5.1.1 no, but 127.0.0.1:PORT for example.test gave no",
    ),
    ("550 unknown user", "250 ok", "not found"),
    ("550", "250 ok", "not found"),
    ("550", "550", "temporary failure: VRFY <foo@example.test>: 550, which may be about something else"),
    // No witness makes these certain.
    ("550 Database error", "250 ok", "temporary failure: VRFY <foo@example.test>: 550 Database error"),
    (
        "550 Please try again later",
        "250 ok",
        "temporary failure: VRFY <foo@example.test>: 550 Please try again later",
    ),
    (
        "550 That is a mailing list, not a user",
        "250 ok",
        "temporary failure: VRFY <foo@example.test>: 550 That is a mailing",
    ),
    ("553 ambiguous", "250 ok", "temporary failure: VRFY <foo@example.test>: 553 ambiguous"),
    ("551 User not local", "250 ok", "temporary failure: VRFY <foo@example.test>: 551 User not local"),
];

#[tokio::test]
async fn not_found_needs_a_witness() {
    for (reply, witness, want) in WITNESSES {
        let fake = server(|a| if a.starts_with("postmaster@") { witness } else { reply }).await;
        let source = source(&controlled(&fake)).await;
        for _ in 0..3 {
            let got = verdict(&source, "foo@example.test").await;
            assert!(
                got.starts_with(&want.replace("PORT", &fake.port().to_string())),
                "{reply} {witness}: {got}"
            );
        }
        let witnesses = asked(&fake).iter().filter(|a| a.starts_with("postmaster")).count();
        assert!(witnesses <= 1, "{reply} {witness}: {witnesses} for one interval");
    }
}

#[tokio::test]
async fn which_account_is_the_witness() {
    let fake = server(|a| match a {
        "info@one.test" | "chief@two.test" => "250 ok",
        _ => NO,
    })
    .await;
    let account = |text: &str| Witness::Account(text.into());
    let by_domain = Scoped {
        default: account("info"),
        domains: [("two.test".to_string(), account("chief")), ("three.test".to_string(), Witness::Off)]
            .into(),
    };
    for (witness, wants) in [
        (Witness::Default.into(), ["temporary failure", "temporary failure", "temporary failure"]),
        (account("info").into(), ["not found", "temporary failure", "temporary failure"]),
        (Witness::Off.into(), ["not found", "not found", "not found"]),
        (by_domain, ["not found", "not found", "not found"]),
    ] {
        let mut settings = controlled(&fake);
        settings.sources[0].witness = witness;
        let source = source(&settings).await;
        for (domain, want) in ["one", "two", "three"].into_iter().zip(wants) {
            let got = verdict(&source, &format!("bar@{domain}.test")).await;
            assert!(got.starts_with(want), "{domain} {:?}: {got}", settings.sources[0].witness);
        }
    }
}

#[tokio::test]
async fn canaries_that_are_accepted_or_get_no_answer() {
    for (reply, want) in [
        ("252 2.0.0 ok", "also accepts an account that does not exist (252 2.0.0 ok)"),
        ("250 ok", "also accepts an account that does not exist (250 ok)"),
        ("450 4.1.1 later", "gave no answer for an account that does not exist: 450 4.1.1 later"),
        ("550 5.7.1 no", "gave no answer for an account that does not exist: 550 5.7.1 no"),
        ("553 no", "gave no answer for an account that does not exist: 553 no"),
        ("garbage", "gave no answer for an account that does not exist: not an SMTP reply"),
    ] {
        for yes in ["250 ok", "252 ok"] {
            let fake = server(move |a| if is_canary(a) { reply } else { yes }).await;
            let source = source(&controlled(&fake)).await;
            for _ in 0..3 {
                let got = verdict(&source, "foo@example.test").await;
                let server = format!("127.0.0.1:{} for example.test", fake.port());
                let want = format!("temporary failure: VRFY <foo@example.test>: {yes}, but {server} {want}");
                assert!(got.starts_with(&want), "{got}");
            }
            // Not one for every question, whatever became of it.
            assert_eq!(asked(&fake).iter().filter(|a| a.starts_with('?')).count(), 1, "{reply}");
        }
    }
}

/// One catch-all domain among others, and what 250 is worth.
#[tokio::test]
async fn codes_are_trusted_by_domain() {
    let fake = server(|a| match a.split_once('@') {
        Some((_, "catchall.test")) => "252 ok",
        Some((_, "sendmail.test")) => "250 ok",
        Some(("foo", _)) => "252 ok",
        _ => NO,
    })
    .await;
    let one = |domain: &str, trust| Scoped {
        default: Trust::Canary,
        domains: [(domain.to_string(), trust)].into(),
    };
    for (code_250, code_252, wants) in [
        (Trust::Canary.into(), Trust::Canary.into(), ["exists", "temporary failure", "temporary failure"]),
        (
            Trust::Canary.into(),
            one("catchall.test", Trust::Exists),
            ["exists", "exists", "temporary failure"],
        ),
        (
            one("sendmail.test", Trust::Exists),
            Trust::Canary.into(),
            ["exists", "temporary failure", "exists"],
        ),
        (
            Trust::Canary.into(),
            one("good.test", Trust::TempFail),
            ["temporary failure", "temporary failure", "temporary failure"],
        ),
    ] {
        let mut settings = controlled(&fake);
        settings.sources[0].smtp.code_250 = code_250;
        settings.sources[0].smtp.code_252 = code_252;
        let source = source(&settings).await;
        for (domain, want) in ["good", "catchall", "sendmail"].into_iter().zip(wants) {
            let got = verdict(&source, &format!("foo@{domain}.test")).await;
            assert!(got.starts_with(want), "{domain} {:?}: {got}", settings.sources[0].smtp);
        }
    }
}

/// Words that are on no list count if the server has the same for an account that does not exist.
#[tokio::test]
async fn unfamiliar_words_are_compared() {
    for (foo, canary, witness, want) in [
        ("550 Benutzer unbekannt", "550 Benutzer unbekannt", "250 ok", "not found"),
        ("550 no", "550 no", "252 ok", "not found"),
        // An outage: the server knew others before, or has other words for it.
        ("550 Kontoliste weg", "550 Kontoliste weg", "550 Kontoliste weg", "and for the witness"),
        ("550 Kontoliste weg", "550 Kontoliste weg", "451 4.3.0", "and for the witness"),
        ("550 Kontoliste weg", "550 Benutzer unbekannt", "250 ok", "with a different text"),
        ("550 Kontoliste weg", NO, "250 ok", "with a different text"),
        ("550 Verteiler", "252 ok", "250 ok", "with a different text"),
        ("550 Verteiler", "451 4.3.0", "250 ok", "with a different text"),
    ] {
        let fake = server(move |a| match a.split('@').next() {
            Some("foo" | "foo2") => foo,
            Some("postmaster") => witness,
            Some("known") => "250 ok",
            _ => canary,
        })
        .await;
        let mut settings = controlled(&fake);
        settings.sources[0].smtp.code_250 = Trust::Exists.into();
        let source = source(&settings).await;
        // That it found an account a moment ago is not enough.
        assert_eq!(verdict(&source, "known@example.test").await, "exists");
        for account in ["foo", "foo", "foo2"] {
            let got = verdict(&source, &format!("{account}@example.test")).await;
            assert!(got.contains(want), "{foo} {canary} {witness}: {got}");
        }
        let controls =
            asked(&fake).iter().filter(|a| a.starts_with('?') || a.starts_with("postmaster")).count();
        assert!(controls <= 2, "{controls}");
    }
}

/// A refusal in unfamiliar words is no better as the canary's than as another account's.
#[tokio::test]
async fn the_account_is_still_found_after_a_canary_in_unfamiliar_words() {
    for (first, later, canary, want) in [
        // A limit of questions, or a server that went down in between.
        ("252 ok", "550 zu viele Anfragen", "550 zu viele Anfragen", "and then for the first account"),
        ("250 ok", "550", "550", "and then for the first account"),
        ("252 ok", "421 busy", "550 \u{2717}", "and then for the first account"),
        ("252 ok", "252 ok", "550 Benutzer unbekannt", "exists"),
        ("252 ok", "252 ok", "550", "exists"),
    ] {
        let asked = AtomicUsize::new(0);
        let fake = server(move |a| match (is_canary(a), asked.fetch_add(1, Ordering::SeqCst)) {
            (true, _) => canary,
            (false, 0) => first,
            (false, _) => later,
        })
        .await;
        let source = source(&controlled(&fake)).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.contains(want), "{first} {later} {canary}: {got}");
    }
}

/// All of the text counts, in whatever encoding, and of the name of an account nothing.
#[tokio::test]
async fn different_words_are_told_apart() {
    const LONG: &str = "dieser Rechner gibt gern und ausführlich Auskunft über alles, was ihn betrifft, und bittet darum, \
                        die Länge der Antwort zu entschuldigen, die sich aus der Vielzahl der Gründe ergibt, aus denen eine \
                        Adresse nicht erreichbar sein kann:";
    let long = |end: &str| format!("550 {LONG} {end}\r\n").into_bytes();
    for (asked, foo, others) in [
        ("foo", b"550 \xd1\xe1\xee\xe9\r\n".to_vec(), b"550 \xed\xe5\xf2!\r\n".to_vec()),
        ("foo", b"550 E17 \xd1\xe1\xee\xe9\r\n".to_vec(), b"550 E17 \xed\xe5\xf2\xf3\r\n".to_vec()),
        ("foo", long("Störung"), long("gibt es nicht")),
        ("unknown", b"550 user unknown ist gesperrt\r\n".to_vec(), b"550 user x gibt es nicht\r\n".to_vec()),
    ] {
        let fake = {
            let (foo, others) = (foo.clone(), others.clone());
            Fake::start(move |line, _, _| match line.strip_prefix("VRFY <") {
                Some(account) if account.starts_with("postmaster@") => Act::say("250 ok"),
                Some(account) if account.starts_with(asked) => Act::Raw(foo.clone()),
                Some(_) => Act::Raw(others.clone()),
                None => Act::Usual,
            })
            .await
        };
        let source = source(&controlled(&fake)).await;
        assert_eq!(verdict(&source, "bar@example.test").await, "not found");
        let got = verdict(&source, &format!("{asked}@example.test")).await;
        assert!(got.contains("with a different text"), "{}: {got}", mail_address::escape(&foo));
    }
}

#[tokio::test]
async fn controls_keep_to_the_limit_of_a_connection() {
    let fake = server(|a| if a.starts_with("foo@") { "252 ok" } else { NO }).await;
    let mut settings = controlled(&fake);
    settings.sources[0].smtp.per_connection = 1;
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
    assert_eq!((fake.vrfys().len(), fake.connections()), (2, 2));
}

/// A connection that ends after the answer does not make the control fail.
#[tokio::test]
async fn a_control_question_is_asked_over_another_connection_if_need_be() {
    for end in [Act::Close, Act::RawThenClose("421 4.7.0 enough\r\n".into())] {
        let fake = Fake::start(move |line, connection, nth| match line.strip_prefix("VRFY <") {
            Some(_) if connection == 0 && nth > 0 => end.clone(),
            Some(account) => Act::say(if account.starts_with("foo@") { "250 ok" } else { NO }),
            None => Act::Usual,
        })
        .await;
        let source = source(&controlled(&fake)).await;
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        assert_eq!(fake.connections(), 2);
    }
}

#[tokio::test]
async fn what_rests_on_a_control_is_remembered_no_longer_than_it() {
    let broken = Arc::new(AtomicUsize::new(0));
    let is_broken = broken.clone();
    let fake = server(move |a| match (a.split('@').next(), is_broken.load(Ordering::SeqCst)) {
        (Some("foo"), _) => "252 2.0.0 ok",
        (Some("postmaster"), 0) => "250 2.1.5 ok",
        (Some("bar"), _) | (_, 0) => NO,
        // It accepts everybody, and does not find the witness.
        (Some("postmaster"), _) => NO,
        _ => "252 2.0.0 ok",
    })
    .await;
    for (trusting, foo, bar) in
        [(false, "temporary failure: VRFY", "temporary failure: VRFY"), (true, "exists", "not found")]
    {
        broken.store(0, Ordering::SeqCst);
        let mut settings = controlled(&fake);
        settings.cache = CacheSettings { stale_ttl: Duration::ZERO, ..CacheSettings::default() };
        settings.sources[0].control_interval = Duration::from_millis(300);
        if trusting {
            settings.sources[0].smtp.code_252 = Trust::Exists.into();
            settings.sources[0].witness = Witness::Off.into();
        }
        let source = source(&settings).await;
        assert_eq!(verdict(&source, "bar@example.test").await, "not found");
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        for account in ["foo@example.test", "bar@example.test"] {
            assert!(ask(&source, account).await.cached, "{account}");
        }
        broken.store(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let got = verdict(&source, "bar@example.test").await;
        assert!(got.starts_with(bar), "{got}");
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.starts_with(foo), "{got}");
    }
}

#[tokio::test]
async fn a_server_that_changes_its_mind() {
    let trusting = Arc::new(AtomicUsize::new(0));
    let accepts = trusting.clone();
    let fake =
        server(
            move |a| if a.starts_with("foo") || accepts.load(Ordering::SeqCst) == 1 { "252 ok" } else { NO },
        )
        .await;
    let mut settings = controlled(&fake);
    settings.sources[0].control_interval = Duration::from_millis(80);
    let source = source(&settings).await;
    for (accepts, want) in
        [(0, "exists"), (1, "temporary failure: VRFY <foo@example.test>: 252"), (0, "exists")]
    {
        trusting.store(accepts, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.starts_with(want), "{got}");
    }
    assert_eq!(asked(&fake).iter().filter(|a| a.starts_with('?')).count(), 3);
}

/// A server process that keeps the tables with which its connection began, as smtpd of Postfix does.
#[tokio::test]
async fn connections_do_not_get_old() {
    let carol = Arc::new(AtomicUsize::new(usize::MAX));
    let known_from = carol.clone();
    let fake = Fake::start(move |line, connection, _| match line.strip_prefix("VRFY <") {
        Some(account) if account.starts_with("carol@") => {
            Act::say(if connection >= known_from.load(Ordering::SeqCst) { "250 ok" } else { NO })
        }
        Some(account) if is_canary(account) => Act::say(NO),
        Some(_) => Act::say("250 ok"),
        None => Act::Usual,
    })
    .await;
    let mut settings = controlled(&fake);
    let interval = Duration::from_millis(600);
    settings.sources[0].control_interval = interval;
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "carol@example.test").await, "not found");
    // Carol is added; mail flows all the time, so that no connection becomes idle.
    carol.store(fake.connections(), Ordering::SeqCst);
    let begin = std::time::Instant::now();
    while verdict(&source, "carol@example.test").await != "exists" {
        assert!(begin.elapsed() < interval + Duration::from_millis(500), "{:?}", begin.elapsed());
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(fake.connections() >= 2);
    super::eventually("the old one was closed", || fake.open() == 1).await;
}

#[tokio::test]
async fn control_questions_are_few_under_load() {
    let fake =
        server(|a| if a.starts_with("foo") || a.starts_with("postmaster") { "250 ok" } else { NO }).await;
    let source = source(&controlled(&fake)).await;
    let askers: Vec<_> = (0..200)
        .map(|i| {
            let source = source.clone();
            let (name, want) = if i % 2 == 0 { ("foo", "exists") } else { ("bar", "not found") };
            tokio::spawn(async move {
                assert_eq!(verdict(&source, &format!("{name}{i}@example.test")).await, want);
            })
        })
        .collect();
    for asker in askers {
        asker.await.unwrap();
    }
    let controls = fake.vrfys().len() - 200;
    assert!((1..=2).contains(&controls), "{controls}");
}
