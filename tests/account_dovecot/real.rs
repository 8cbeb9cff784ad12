//! A real Dovecot 2.3, and checks that `newer` uses for 2.4.

use super::programs::WAIT;
use super::server::Dovecot;
use super::{Server, settings, source, verdict};
use rcptd::account::AccountSource;
use rcptd::account::settings::{Settings, Witness};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Server for Dovecot {
    fn auth(&self) -> PathBuf {
        Dovecot::auth(self)
    }

    fn list(&self) -> PathBuf {
        Dovecot::list(self)
    }

    fn users(&self, names: &[&str]) {
        Dovecot::users(self, names);
    }

    fn log(&self) -> String {
        Dovecot::log(self)
    }
}

/// Controls that are done again for each lookup.
pub fn strict(dovecot: &impl Server) -> Settings {
    let mut settings = settings(&dovecot.auth());
    settings.sources[0].control_interval = Duration::from_millis(1);
    settings
}

/// Asks until the result begins with `want`.
async fn becomes(source: &Arc<AccountSource>, account: &str, want: &str, dovecot: &impl Server) {
    let begin = Instant::now();
    loop {
        let got = verdict(source, account).await;
        if got.starts_with(want) {
            return;
        }
        assert!(begin.elapsed() < WAIT, "{account}: {got}\n{}", dovecot.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_users_of_dovecot() {
    finds_its_users(&Dovecot::start()).await;
}

pub async fn finds_its_users(dovecot: &impl Server) {
    let source = source(&settings(&dovecot.auth())).await;
    for _ in 0..2 {
        for (account, want) in [
            ("alice@example.test", "exists"),
            ("Alice@Example.TEST", "exists"),
            ("postmaster@example.test", "exists"),
            ("bogus@example.test", "not found"),
            // Characters that are not in auth_username_chars.
            ("alice+x@example.test", "not found"),
            ("\"a b\"@example.test", "not found"),
            ("grüße@example.test", "not found"),
            // A domain of which it has no account, not even the witness.
            ("alice@other.test", "temporary failure: USER alice@other.test: NOTFOUND, but unix:"),
            ("\"alice@x\"@example.test", "temporary failure: not asked: "),
        ] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with(want), "{account}: {got}\n{}", dovecot.log());
        }
    }
    let longest = format!("{}@{}.test", "x".repeat(255), ["a"; 125].join("."));
    let got = verdict(&source, &longest).await;
    assert!(got.contains("NOTFOUND, but"), "{got}");
    assert!(!dovecot.log().contains("BUG"), "{}", dovecot.log());
}

/// A reload ends processes, which closes the idle connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_dovecot_is_no_failure() {
    let dovecot = Dovecot::start();
    let source = source(&settings(&dovecot.auth())).await;
    for _ in 0..3 {
        for (account, want) in [("alice@example.test", "exists"), ("bogus@example.test", "not found")] {
            assert_eq!(verdict(&source, account).await, want, "{}", dovecot.log());
        }
        dovecot.reload();
    }
}

/// Without a configured witness, the last account that was found is the witness.
#[tokio::test(flavor = "multi_thread")]
async fn without_witness_an_account_must_be_found_first() {
    let dovecot = Dovecot::start();
    let mut settings = strict(&dovecot);
    settings.sources[0].witness = Witness::Default.into();
    let source = source(&settings).await;
    let got = verdict(&source, "bogus@example.test").await;
    assert!(got.starts_with("temporary failure: ") && got.contains("set witness"), "{got}");
    assert_eq!(verdict(&source, "alice@example.test").await, "exists");
    assert_eq!(verdict(&source, "bogus@example.test").await, "not found");
}

/// An empty list, a missing list, and a folder in its place. Dovecot checks the file once a second.
#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_list_of_users_is_a_temporary_failure() {
    an_unavailable_list_fails(&Dovecot::start()).await;
}

pub async fn an_unavailable_list_fails(dovecot: &impl Server) {
    for witness in [Witness::Account("postmaster".into()), Witness::Default] {
        let mut settings = strict(dovecot);
        settings.sources[0].witness = witness.into();
        let source = source(&settings).await;
        becomes(&source, "alice@example.test", "exists", dovecot).await;
        for fault in ["empty", "missing", "folder"] {
            let _ = fs::remove_file(dovecot.list());
            match fault {
                "empty" => fs::write(dovecot.list(), "").unwrap(),
                "folder" => fs::create_dir(dovecot.list()).unwrap(),
                _ => (),
            }
            becomes(&source, "alice@example.test", "temporary failure: ", dovecot).await;
            for account in ["alice@example.test", "bogus@example.test"] {
                let got = verdict(&source, account).await;
                let want = format!("temporary failure: USER {account}: ");
                assert!(got.starts_with(&want), "{fault}: {got}\n{}", dovecot.log());
            }
        }
        fs::remove_dir(dovecot.list()).unwrap();
        dovecot.users(&["alice", "postmaster"]);
        becomes(&source, "alice@example.test", "exists", dovecot).await;
        assert_eq!(verdict(&source, "bogus@example.test").await, "not found");
    }
}

/// A Dovecot that cannot open its list replies FAIL to some lookups, and NOTFOUND to others, so that the witness is
/// needed here as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_lookup_of_dovecot_is_a_temporary_failure() {
    let dovecot = Dovecot::start_with(&[]);
    let source = source(&strict(&dovecot)).await;
    for account in ["alice@example.test", "bogus@example.test"] {
        let got = verdict(&source, account).await;
        assert!(got.starts_with(&format!("temporary failure: USER {account}: ")), "{got}");
        assert!(got.contains("FAIL, for a reason that is in the log of Dovecot"), "{got}\n{}", dovecot.log());
    }
}

/// A static userdb finds every name, which the canary detects.
#[tokio::test(flavor = "multi_thread")]
async fn a_userdb_that_finds_every_name_is_a_temporary_failure() {
    let users =
        "userdb {\n driver = static\n args = uid=65534 gid=65534 home=/nonexistent allow_all_users=yes\n}\n";
    finds_everybody(&Dovecot::start_as(&[], users)).await;
}

pub async fn finds_everybody(dovecot: &impl Server) {
    let source = source(&strict(dovecot)).await;
    for account in ["alice@example.test", "bogus@example.test"] {
        let got = verdict(&source, account).await;
        assert!(got.starts_with(&format!("temporary failure: USER {account}: found, but unix:")), "{got}");
        assert!(
            got.contains("also accepts an account that does not exist (found): make its userdb"),
            "{got}"
        );
    }
}

/// Dovecot has a different userdb for each service.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_selects_the_userdb() {
    let users = "protocol lda {\n userdb {\n driver = passwd-file\n args = PATH/users\n }\n}\n";
    let dovecot = Dovecot::start_as(&["alice", "postmaster"], users);
    for (service, want) in [("lda", "exists"), ("lmtp", "temporary failure: ")] {
        let mut settings = strict(&dovecot);
        settings.sources[0].dovecot.service = service.into();
        let got = verdict(&source(&settings).await, "alice@example.test").await;
        assert!(got.starts_with(want), "{service}: {got}\n{}", dovecot.log());
    }
}
