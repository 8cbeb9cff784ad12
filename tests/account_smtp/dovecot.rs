//! LMTP of a real Dovecot (packages `dovecot-core`, `dovecot-lmtpd`), by TCP and by a UNIX socket.

use super::programs::WAIT;
use super::server::Dovecot;
use super::{patient, source, verdict};
use rcptd::account::settings::{Settings, Trust, Witness};
use std::fs;
use std::time::{Duration, Instant};

/// Believed only with controls, which are done again for each lookup.
fn settings(spec: &str) -> Settings {
    let mut settings = patient(spec);
    settings.sources[0].witness = Witness::Default.into();
    settings.sources[0].smtp.code_250 = Trust::Canary.into();
    settings.sources[0].control_interval = Duration::from_millis(1);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_users_of_dovecot() {
    let dovecot = Dovecot::start();
    for spec in
        [format!("lmtp:127.0.0.1:{}", dovecot.port), format!("lmtp:unix:{}", dovecot.socket().display())]
    {
        let mut settings = settings(&spec);
        settings.sources[0].control_interval = Duration::from_mins(1);
        let source = source(&settings).await;
        for (account, want) in [
            ("alice@example.test", "exists"),
            ("postmaster@example.test", "exists"),
            ("bogus@example.test", "not found"),
            // A domain of which it has no account, not even the witness.
            ("alice@other.test", "temporary failure: "),
            ("bogus2@example.test", "not found"),
        ] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with(want), "{spec} {account}: {got}");
        }
    }
}

/// Lookups of Dovecot that fail are temporary failures, and so is an empty list, which the witness shows.
#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_list_of_users_is_a_temporary_failure() {
    let dovecot = Dovecot::start();
    let source = source(&settings(&format!("lmtp:127.0.0.1:{}", dovecot.port))).await;
    assert_eq!(verdict(&source, "alice@example.test").await, "exists");
    // Later: an empty list, none at all, and a folder in its place.
    for fault in ["empty", "missing", "folder"] {
        let _ = fs::remove_file(dovecot.list());
        match fault {
            "empty" => fs::write(dovecot.list(), "").unwrap(),
            "folder" => fs::create_dir(dovecot.list()).unwrap(),
            _ => (),
        }
        let begin = Instant::now();
        // Dovecot looks at the file once a second.
        while verdict(&source, "alice@example.test").await == "exists" {
            assert!(begin.elapsed() < WAIT, "{fault}: the change is not noticed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for account in ["alice@example.test", "bogus@example.test"] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with("temporary failure: RCPT TO:<"), "{fault} {account}: {got}");
        }
    }
    fs::remove_dir(dovecot.list()).unwrap();
    dovecot.users(&["alice", "postmaster"]);
    let begin = Instant::now();
    while verdict(&source, "alice@example.test").await != "exists" {
        assert!(begin.elapsed() < WAIT, "the list is not read again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(verdict(&source, "bogus@example.test").await, "not found");
}

/// A Dovecot that cannot open its list. It replies 451 to some lookups and 550 to others, so that the witness is
/// needed here as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_lookup_of_dovecot_is_a_temporary_failure() {
    let dovecot = Dovecot::start_with(&[]);
    for spec in
        [format!("lmtp:127.0.0.1:{}", dovecot.port), format!("lmtp:unix:{}", dovecot.socket().display())]
    {
        let source = source(&settings(&spec)).await;
        for account in ["alice@example.test", "bogus@example.test"] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with(&format!("temporary failure: RCPT TO:<{account}>: ")), "{got}");
            assert!(got.contains("451 4.3.0"), "{got}");
        }
    }
}
