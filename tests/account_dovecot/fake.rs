//! A fake server with faults.

use super::{settings, source, verdict};
use rcptd::account::settings::Witness;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

const GREETING: &str = "VERSION\t1\t1\nSPID\t4711\n";

/// Deadline of the tests that wait for it.
const DEADLINE: Duration = Duration::from_millis(300);

/// The server closes the connection after a reply with this at its end.
const CLOSE: &str = "<close>";

/// Replies of the server to a request, whose number replaces ID.
type Reply = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Fake {
    folder: tempfile::TempDir,
    /// The requests of all connections, each with the number of its connection.
    requests: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Fake {
    /// A server that sends `greeting`, and replies with `reply`. `None`: it does not reply.
    fn start(greeting: &'static str, reply: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("auth-userdb")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (reply, log): (Arc<Reply>, _) = (Arc::new(Box::new(reply)), requests.clone());
        tokio::spawn(async move {
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (reply, log) = (reply.clone(), log.clone());
                tokio::spawn(async move { serve(stream, number, greeting, &reply, &log).await });
            }
        });
        Fake { folder, requests }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("auth-userdb")
    }

    /// The users that were asked for, each with the number of its connection. Canaries are called `canary`.
    fn asked(&self) -> Vec<(usize, String)> {
        let requests = self.requests.lock().unwrap();
        let users = requests.iter().filter_map(|(number, line)| {
            let user = line.strip_prefix("USER\t")?.split('\t').nth(1)?;
            let (local, domain) = user.split_once('@')?;
            let name = if local.len() == 24 { format!("canary@{domain}") } else { user.to_owned() };
            Some((*number, name))
        });
        users.collect()
    }
}

async fn serve(
    mut stream: UnixStream,
    number: usize,
    greeting: &str,
    reply: &Reply,
    log: &Mutex<Vec<(usize, String)>>,
) -> Option<()> {
    stream.write_all(greeting.as_bytes()).await.ok()?;
    if !greeting.ends_with('\n') {
        return None;
    }
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await.ok()? {
        log.lock().unwrap().push((number, line.clone()));
        let fields: Vec<&str> = line.split('\t').collect();
        let ["USER", id, user, "service=lmtp"] = fields[..] else { continue };
        let Some(text) = reply(user) else { continue };
        let octets = text.replace("ID", id).replace(CLOSE, "");
        lines.get_mut().write_all(octets.as_bytes()).await.ok()?;
        if text.ends_with(CLOSE) {
            return None;
        }
    }
    Some(())
}

/// Finds the witness, but not the canary.
fn control(user: &str) -> String {
    if user.starts_with("postmaster@") || user.starts_with("alice@") {
        format!("USER\tID\t{user}\tuid=5000\n")
    } else {
        "NOTFOUND\tID\n".into()
    }
}

/// The reply, and the result.
const REPLIES: &[(&str, &str)] = &[
    ("USER\tID\tx@example.test\tuid=5000\tgid=5000\thome=/x\n", "exists"),
    ("USER\tID\tother@example.test\n", "exists"),
    ("NOTFOUND\tID\n", "not found"),
    ("FAIL\tID\n", "FAIL, for a reason that is in the log of Dovecot"),
    ("FAIL\tID\treason=the database is down\n", "FAIL reason=the database is down"),
    ("NOTFOUND\t4294967295\n", "the question 4294967295 was not asked"),
    ("NOTFOUND\tID\nUSER\tID\tx\n", "was not asked or has its answer"),
    ("NOTFOUND\tID\nNOTFOUND\tID\n", "was not asked or has its answer"),
    ("550 5.1.1 User unknown\r\n", "not an answer: 550 5.1.1 User unknown"),
    ("NOTFOUND\n", "not an answer: NOTFOUND"),
    ("USER\tID\n", "not an answer: USER"),
    ("\n", "not an answer: "),
    ("NOTFOUND\tID<close>", "it has closed the connection"),
    ("FAIL<close>", "it has closed the connection"),
    (CLOSE, "it has closed the connection"),
];

#[tokio::test]
async fn only_an_answer_counts() {
    let fake = Fake::start(GREETING, |user| match user.split('@').next()?.parse::<usize>() {
        Ok(number) => Some(REPLIES[number].0.to_owned()),
        Err(_) => Some(control(user)),
    });
    let source = source(&settings(&fake.socket())).await;
    for (number, (reply, want)) in REPLIES.iter().enumerate() {
        let got = verdict(&source, &format!("{number}@example.test")).await;
        match *want {
            "exists" | "not found" => assert_eq!(got, *want, "{reply:?}"),
            want => assert!(got.starts_with("temporary failure: ") && got.contains(want), "{reply:?}: {got}"),
        }
    }
}

#[tokio::test]
async fn every_other_greeting_is_a_temporary_failure() {
    for (greeting, want) in [
        ("VERSION\t2\t0\nSPID\t1\n", "it uses version 2 of the protocol"),
        ("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\n", "not an answer: MECH"),
        ("220 mail.example.test ESMTP\r\n", "the first line is not a version: 220 mail"),
        ("USER\t1\talice@example.test\n", "the first line is not a version: USER"),
        ("VERSION\t1\t1", ": unix:"),
        ("", ": unix:"),
    ] {
        let fake = Fake::start(greeting, |user| Some(control(user)));
        let source = source(&settings(&fake.socket())).await;
        for account in ["alice@example.test", "bogus@example.test"] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with("temporary failure: ") && got.contains(want), "{greeting:?}: {got}");
        }
    }
}

/// A connection with a pending answer is not used again.
#[tokio::test]
async fn silence_is_a_temporary_failure() {
    let fake = Fake::start(GREETING, |user| (!user.starts_with("slow@")).then(|| control(user)));
    let mut settings = settings(&fake.socket());
    settings.sources[0].deadline = DEADLINE;
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "slow@example.test").await, "temporary failure: no answer within 300ms");
    // The machine may be busy.
    while verdict(&source, "alice@example.test").await != "exists" {}
    let slow = (1, "slow@example.test".to_owned());
    assert_eq!(fake.asked().iter().filter(|(number, _)| *number == 1).collect::<Vec<_>>(), [&slow]);
}

/// A connection is used again. The controls are done once in their interval.
#[tokio::test]
async fn asks_over_one_connection() {
    let fake = Fake::start(GREETING, |user| Some(control(user)));
    let source = source(&settings(&fake.socket())).await;
    for (account, want) in [
        ("bogus@example.test", "not found"),
        ("alice@example.test", "exists"),
        ("Alice@Example.TEST", "exists"),
        ("\"a b\"@example.test", "not found"),
        ("alice@two.test", "exists"),
        ("bogus@two.test", "not found"),
    ] {
        assert_eq!(verdict(&source, account).await, want, "{account}");
    }
    let want = [
        "bogus@example.test",
        "postmaster@example.test",
        "alice@example.test",
        "canary@example.test",
        "alice@example.test",
        "a b@example.test",
        "alice@two.test",
        "canary@two.test",
        "bogus@two.test",
    ];
    assert_eq!(fake.asked(), want.map(|user| (1, user.to_owned())));
    let hellos = fake.requests.lock().unwrap().iter().filter(|(_, line)| line == "VERSION\t1\t1").count();
    assert_eq!(hellos, 1);
}

/// A server that closes the connection after each answer, as Dovecot does when it restarts.
#[tokio::test]
async fn asks_again_if_an_idle_connection_was_closed() {
    let fake = Fake::start(GREETING, |user| Some(control(user) + CLOSE));
    let source = source(&settings(&fake.socket())).await;
    for _ in 0..3 {
        for (account, want) in [("alice@example.test", "exists"), ("bogus@example.test", "not found")] {
            assert_eq!(verdict(&source, account).await, want);
        }
    }
    // Three lookups of each user, and the canary.
    assert_eq!(fake.asked().last().unwrap(), &(7, "bogus@example.test".to_owned()));
}

/// Addresses that a request cannot contain are not sent.
#[tokio::test]
async fn some_addresses_are_not_asked() {
    let fake = Fake::start(GREETING, |user| Some(control(user)));
    let source = source(&settings(&fake.socket())).await;
    for account in
        ["alice", "@example.test", "\"a@b\"@example.test", "\"a\tb\"@example.test", "\"a\nb\"@example.test"]
    {
        let got = verdict(&source, account).await;
        assert!(got.starts_with("temporary failure: not asked: "), "{account:?}: {got}");
    }
    assert_eq!(fake.asked(), []);
}

/// Each configured witness, whether it is found, and the results for an unknown name before and after another account
/// was found.
#[tokio::test]
async fn not_found_needs_a_witness() {
    let (set, lost) =
        ("set witness to an account that exists there", "does not find the witness nobody@example.test");
    for (witness, before, after) in [
        (Witness::Account("postmaster".into()), "not found", "not found"),
        (Witness::Account("nobody".into()), lost, "not found"),
        (Witness::Default, set, "not found"),
        (Witness::Off, "not found", "not found"),
    ] {
        let fake = Fake::start(GREETING, |user| Some(control(user)));
        let mut settings = settings(&fake.socket());
        settings.sources[0].witness = witness.clone().into();
        let source = source(&settings).await;
        let got = verdict(&source, "bogus@example.test").await;
        assert!(got.contains(before), "{witness:?}: {got}");
        assert_eq!(verdict(&source, "alice@example.test").await, "exists");
        assert_eq!(verdict(&source, "bogus@example.test").await, after, "{witness:?}");
        // Not for another domain.
        let got = verdict(&source, "bogus@two.test").await;
        assert!(
            got.contains(&before.replace("nobody@example.test", "nobody@two.test")),
            "{witness:?}: {got}"
        );
    }
}

/// Without a configured witness, the last account that was found is looked up again.
#[tokio::test]
async fn the_last_account_is_a_witness() {
    let users = Arc::new(Mutex::new(vec!["alice", "bob"]));
    let there = users.clone();
    let fake = Fake::start(GREETING, move |user| {
        let found = there.lock().unwrap().iter().any(|name| user.starts_with(&format!("{name}@")));
        Some(if found { "USER\tID\tx\n" } else { "NOTFOUND\tID\n" }.into())
    });
    let mut settings = settings(&fake.socket());
    settings.sources[0].witness = Witness::Default.into();
    settings.sources[0].control_interval = Duration::from_millis(1);
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "alice@example.test").await, "exists");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(verdict(&source, "bogus@example.test").await, "not found");
    let last: Vec<String> = fake.asked().into_iter().rev().take(2).map(|(_, user)| user).collect();
    assert_eq!(last, ["alice@example.test", "bogus@example.test"]);
    // The list of users is lost.
    users.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(2)).await;
    for account in ["bogus@example.test", "bob@example.test", "alice@example.test"] {
        let got = verdict(&source, account).await;
        assert!(got.contains("does not find the witness alice@example.test either (NOTFOUND)"), "{got}");
        assert!(got.contains("set witness"), "{got}");
    }
    // And is there again, without alice.
    users.lock().unwrap().push("bob");
    assert_eq!(verdict(&source, "bob@example.test").await, "exists");
    assert_eq!(verdict(&source, "alice@example.test").await, "not found");
}

#[tokio::test]
async fn the_socket_is_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("auth-userdb");
    let source = source(&settings(&socket)).await;
    let got = verdict(&source, "alice@example.test").await;
    let want = format!("temporary failure: unix:{}: No such file or directory", socket.display());
    assert!(got.starts_with(&want), "{got}");
}
