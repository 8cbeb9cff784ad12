//! Whether a 252 means anything, found out by asking for somebody who does not exist.

use super::fake::{Act, Fake};
use super::{ask, patient, source, verdict};
use rcptd::account::settings::{CacheSettings, Settings, Trust};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A server that says 252 to all it would not reject.
async fn postfix(rejects: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Fake {
    Fake::start(move |line, _, _| match line.strip_prefix("VRFY <") {
        Some(account) => Act::say(rejects(account).unwrap_or("252 2.0.0 ok")),
        None => Act::Usual,
    })
    .await
}

fn with_canary(fake: &Fake) -> Settings {
    let mut settings = patient(&fake.spec());
    settings.vrfy.code_252 = Trust::Canary;
    settings
}

/// The accounts asked for that nobody has.
fn canaries(fake: &Fake) -> Vec<String> {
    fake.vrfys().into_iter().filter(|line| !line.starts_with("VRFY <foo")).collect()
}

const NO: Option<&str> = Some("550 5.1.1 no");

#[tokio::test]
async fn the_canary_is_sent_once_for_each_domain() {
    let fake = postfix(|account| if account.starts_with("foo@") { None } else { NO }).await;
    let source = source(&with_canary(&fake)).await;
    for domain in ["one.test", "two.test"] {
        for _ in 0..3 {
            assert_eq!(verdict(&source, &format!("foo@{domain}")).await, "exists");
            assert_eq!(verdict(&source, &format!("foobar@{domain}")).await, "missing");
        }
    }
    let canaries = canaries(&fake);
    assert_eq!(canaries.len(), 2, "{canaries:?}");
    for (canary, domain) in canaries.iter().zip(["one.test", "two.test"]) {
        let name = canary.strip_prefix("VRFY <").and_then(|c| c.strip_suffix(&format!("@{domain}>")));
        let name = name.unwrap_or_else(|| panic!("{canary}"));
        assert!(name.len() >= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric()), "{canary}");
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn bad_and_unknown_canaries() {
    for (reply, want) in [
        ("252 2.0.0 ok", "unknown: 252 2.0.0 ok (and so for an account that does not exist)"),
        ("250 ok", "unknown: 252 2.0.0 ok (and so for an account that does not exist)"),
        (
            "450 4.1.1 later",
            "unknown: 252 2.0.0 ok (and for an account that does not exist: 450 4.1.1 later)",
        ),
        ("550 5.7.1 no", "unknown: 252 2.0.0 ok (and for an account that does not exist: 550 5.7.1 no)"),
        (
            "garbage",
            "unknown: 252 2.0.0 ok (and for an account that does not exist: that is not an SMTP reply)",
        ),
    ] {
        let fake = postfix(move |account| (!account.starts_with("foo")).then_some(reply)).await;
        let source = source(&with_canary(&fake)).await;
        for _ in 0..3 {
            assert_eq!(verdict(&source, "foo@example.test").await, want);
        }
        // Not one for every question, whatever became of it.
        assert_eq!(canaries(&fake).len(), 1, "{reply}");
    }
}

#[tokio::test]
async fn the_canary_keeps_to_the_limit_of_a_connection() {
    let fake = postfix(|account| if account.starts_with("foo@") { None } else { NO }).await;
    let mut settings = with_canary(&fake);
    settings.vrfy.per_connection = 1;
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "foo@example.test").await, "exists");
    assert_eq!((fake.vrfys().len(), fake.connections()), (2, 2));
}

#[tokio::test]
async fn what_rests_on_a_canary_is_remembered_no_longer_than_it() {
    let trusting = Arc::new(AtomicUsize::new(0));
    let accepts = trusting.clone();
    let fake = postfix(move |account| match account.split('@').next() {
        Some("foo") => None,
        Some("foo.sure") => Some("250 2.1.5 ok"),
        _ => (accepts.load(Ordering::SeqCst) == 0).then_some("550 5.1.1 no"),
    })
    .await;
    for (code_252, want) in [(Trust::Canary, "unknown: 252"), (Trust::Exists, "exists")] {
        trusting.store(0, Ordering::SeqCst);
        let mut settings = with_canary(&fake);
        settings.cache = CacheSettings::default();
        settings.vrfy.code_252 = code_252;
        settings.vrfy.canary_interval = Duration::from_millis(300);
        let source = source(&settings).await;
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        assert!(ask(&source, "foo@example.test").await.cached);
        assert_eq!(verdict(&source, "foo.sure@example.test").await, "exists");
        trusting.store(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(400)).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.starts_with(want), "{got}");
        assert!(ask(&source, "foo.sure@example.test").await.cached, "this one needs no canary");
    }
}

#[tokio::test]
async fn a_new_connection_needs_a_fresh_canary() {
    for (per_connection, wait, want) in [(1000, 31, 1), (3, 31, 2), (3, 20, 1)] {
        let fake = postfix(|account| if account.starts_with("foo@") { None } else { NO }).await;
        let mut settings = with_canary(&fake);
        settings.vrfy.per_connection = per_connection;
        settings.vrfy.idle_timeout = Duration::from_mins(5);
        let source = source(&settings).await;
        // With its canary these are three.
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(wait)).await;
        tokio::time::resume();
        assert_eq!(verdict(&source, "foo@example.test").await, "exists");
        assert_eq!(canaries(&fake).len(), want, "{per_connection} {wait}");
        let connections = if per_connection == 3 { 2 } else { 1 };
        assert_eq!(fake.connections(), connections, "{per_connection} {wait}");
    }
}

#[tokio::test]
async fn a_server_that_changes_its_mind() {
    let trusting = Arc::new(AtomicUsize::new(0));
    let accepts = trusting.clone();
    let fake = postfix(move |account| {
        (!account.starts_with("foo") && accepts.load(Ordering::SeqCst) == 0).then_some("550 5.1.1 no")
    })
    .await;
    let mut settings = with_canary(&fake);
    settings.vrfy.canary_interval = Duration::from_millis(80);
    let source = source(&settings).await;
    for (accepts, want) in [(0, "exists"), (1, "unknown: 252"), (0, "exists")] {
        trusting.store(accepts, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.starts_with(want), "{got}");
    }
    assert_eq!(canaries(&fake).len(), 3);
}

/// A Sendmail whose local mailer has lost flag `w` says 250 to everybody.
#[tokio::test]
async fn a_250_is_believed_unless_it_is_to_be_doubted() {
    for (code_250, refuses, want) in [
        (Trust::Exists, false, "exists"),
        (Trust::Canary, false, "unknown: 250"),
        (Trust::Canary, true, "exists"),
    ] {
        let fake = postfix(move |account| match (account.starts_with("foo@"), refuses) {
            (false, true) => NO,
            _ => Some("250 2.1.5 ok"),
        })
        .await;
        let mut settings = with_canary(&fake);
        settings.vrfy.code_250 = code_250;
        let source = source(&settings).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.starts_with(want), "{code_250:?} {refuses}: {got}");
        assert_eq!(canaries(&fake).len(), usize::from(code_250 == Trust::Canary));
    }
}
