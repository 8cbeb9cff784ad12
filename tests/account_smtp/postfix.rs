//! A real Postfix (package `postfix`), asked by RCPT and by VRFY. It has a configuration and a queue of its own.

use super::postfix_server::{FOLDER, Postfix as Server, Smtp};
use super::programs::{free_port, wait_for};
use super::{eventually, patient, source, verdict};
use rcptd::account::settings::{Settings, Trust, Witness};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Postfix {
    server: Server,
    port: u16,
}

impl Postfix {
    /// Accounts alice and postmaster of example.test, with these lines in main.cf as well.
    fn start(more: &str) -> Self {
        let port = free_port();
        let main = format!(
            "virtual_mailbox_domains = example.test\nvirtual_mailbox_maps = texthash:{FOLDER}/users\n\
             smtpd_hard_error_limit = 20\nsmtpd_error_sleep_time = 1s\n{more}\n"
        );
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd");
        let users = [("users", "alice@example.test x\npostmaster@example.test x\n")];
        Postfix { server: Server::start(&main, &master, &users, port), port }
    }

    fn settings(&self, kind: &str) -> Settings {
        let mut settings = patient(&format!("{kind}:127.0.0.1:{}", self.port));
        settings.sources[0].witness = Witness::Default.into();
        settings.sources[0].smtp.code_250 = Trust::Canary.into();
        settings.sources[0].smtp.code_252 = Trust::Canary.into();
        // The limits of Postfix by default.
        settings.sources[0].smtp.per_connection = 5;
        settings
    }

    fn log(&self) -> String {
        self.server.log()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_accounts_of_postfix() {
    let postfix = Postfix::start("");
    for kind in ["vrfy", "rcpt"] {
        let source = source(&postfix.settings(kind)).await;
        for _ in 0..3 {
            for (account, want) in [
                ("alice@example.test", "exists"),
                ("bogus@example.test", "not found"),
                // Another server's domain.
                ("alice@remote.test", "temporary failure: "),
            ] {
                let got = verdict(&source, account).await;
                assert!(got.starts_with(want), "{kind} {account}: {got}\n{}", postfix.log());
            }
        }
    }
    // No message came of it.
    for queue in ["incoming", "active", "deferred", "maildrop"] {
        // cleanup(8) removes the queue file that it created at RCPT after some time.
        let folder = postfix.server.path("queue").join(queue);
        eventually(queue, || fs::read_dir(&folder).unwrap().count() == 0).await;
    }
}

/// `rcptd check --accounts` with the rules of two accounts, one of which Postfix does not have.
#[test]
fn check_asks_postfix_for_the_accounts_of_the_rules() {
    let postfix = Postfix::start("");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rcptd.conf");
    let rules = "ACCOUNT alice, bogus MATCHES %account%-%alnum%-%code% WITH CHARS();\n";
    fs::write(folder.path().join("aliases.rules"), rules).unwrap();
    fs::write(
        &config,
        format!(
            "domains = [\"example.test\"]\nrules = [\"aliases.rules\"]\n\
             [account]\nsource = \"vrfy:127.0.0.1:{}\"\n",
            postfix.port
        ),
    )
    .unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_rcptd"));
    let output = check.args(["check", "--accounts", "-c"]).arg(&config).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(78),
        "{out}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        postfix.log()
    );
    for want in ["works: ", "bogus@example.test", "account not found: VRFY", "1 exists, 1 not found"] {
        assert!(out.contains(want), "{want}: {out}\n{}", postfix.log());
    }
    assert!(!out.contains("alice@"), "{out}");
}

/// A process that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The milter at this port, with the account alice and a limit of two unknown recipients.
fn milter(folder: &Path, port: u16) -> Program {
    fs::write(folder.join("accounts"), "alice\n").unwrap();
    let config = format!(
        "domains = [\"example.test\"]\n[milter]\nlisten = \"inet:127.0.0.1:{port}\"\n\
         [guessing]\nmisses = 2\nwindow = \"1h\"\n\
         [account]\nsource = \"file:{}/accounts\"\n[control]\nlisten = \"unix:{}/control\"\n",
        folder.display(),
        folder.display()
    );
    fs::write(folder.join("rcptd.conf"), config).unwrap();
    let log = File::create(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
    command.args(["serve", "-c"]).arg(folder.join("rcptd.conf")).stdin(Stdio::null()).stderr(log);
    let program = Program(command.spawn().unwrap());
    wait_for("rcptd", &folder.join("log"), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    program
}

/// The replies to these recipients of a client with these attributes of XCLIENT.
fn as_client(postfix: &Postfix, attributes: &str, recipients: &[&str]) -> Vec<String> {
    let mut smtp = Smtp::connect(postfix.port);
    for line in [&*format!("XCLIENT {attributes}"), "EHLO c.test", "MAIL FROM:<a@b.test>"] {
        let got = smtp.ask(line);
        assert!(got.starts_with('2'), "{line}: {got}\n{}", postfix.log());
    }
    recipients.iter().map(|name| smtp.ask(&format!("RCPT TO:<{name}@example.test>"))).collect()
}

/// Postfix reports the address of the client and its login name.
#[test]
fn clients_of_postfix_that_guess_are_deferred() {
    const UNKNOWN: &str = "550 5.1.1 Recipient address rejected: User unknown";
    const DEFERRED: &str = "450 4.7.1 Too many unknown recipients from your network, please try again later";
    const ACCEPTED: &str = "250 2.1.5 Ok";
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let _milter = milter(folder.path(), port);
    let postfix = Postfix::start(&format!(
        "smtpd_milters = inet:127.0.0.1:{port}\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\n\
         virtual_mailbox_maps ="
    ));
    for (attributes, recipients, want) in [
        (
            "ADDR=192.0.2.1 NAME=c.test",
            &["a", "b", "alice", "c"][..],
            &[UNKNOWN, UNKNOWN, DEFERRED, DEFERRED][..],
        ),
        // Another connection of it, another client, and a user of the same network.
        ("ADDR=192.0.2.1 NAME=c.test", &["alice"], &[DEFERRED]),
        ("ADDR=192.0.2.2 NAME=d.test", &["alice", "a"], &[ACCEPTED, UNKNOWN]),
        ("ADDR=192.0.2.1 NAME=c.test LOGIN=joe", &["alice", "a"], &[ACCEPTED, UNKNOWN]),
    ] {
        let got = as_client(&postfix, attributes, recipients);
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(got, want, "{attributes}\n{log}\n{}", postfix.log());
    }
}

/// More than twenty errors, after which Postfix disconnects a client by default.
#[tokio::test(flavor = "multi_thread")]
async fn stays_below_the_error_limit_of_postfix() {
    let postfix = Postfix::start("");
    let source = source(&postfix.settings("rcpt")).await;
    for number in 0..25 {
        let got = verdict(&source, &format!("bogus{number}@example.test")).await;
        assert_eq!(got, "not found", "{number}\n{}", postfix.log());
    }
    assert!(!postfix.log().contains("too many errors"), "{}", postfix.log());
}

/// Configurations in which Postfix cannot tell, or accepts every name.
#[tokio::test(flavor = "multi_thread")]
async fn doubts_of_postfix_are_temporary_failures() {
    for (more, alice) in [
        // The table cannot be read.
        ("virtual_mailbox_maps = texthash:/nonexistent/users", "451 4.3.0"),
        ("smtpd_reject_unlisted_recipient = no", "also accepts an account that does not exist"),
        (
            "unknown_virtual_mailbox_reject_code = 450",
            "gave no answer for an account that does not exist: 450",
        ),
        ("smtpd_recipient_restrictions = reject", "554 5.7.1"),
        ("smtpd_sender_restrictions = reject\nsmtpd_delay_reject = no", "MAIL FROM:<>: 554 5.7.1"),
        ("smtpd_client_restrictions = reject\nsmtpd_delay_reject = no", "the server replied 554"),
        // It has lost its users.
        ("virtual_mailbox_maps = inline:{x@example.test=x}", "does not find the witness"),
    ] {
        let postfix = Postfix::start(more);
        let source = source(&postfix.settings("rcpt")).await;
        for account in ["alice@example.test", "bogus@example.test"] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with("temporary failure: "), "{more} {account}: {got}\n{}", postfix.log());
            assert!(got.contains(alice) || account.starts_with("bogus"), "{more}: {got}\n{}", postfix.log());
        }
    }
}
