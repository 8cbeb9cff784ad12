//! Clients that send mail until they are told to stop, while a scenario breaks something. Each message is sent again
//! until it is accepted.

use crate::Outcome;
use crate::random::Random;
use crate::smtp::{Reply, Smtp};
use crate::stage::{Post, SENDER, Sent, Stage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

const MOST_RECIPIENTS: usize = 4;
/// A client told to come back does so after this time.
const RETRY: Duration = Duration::from_millis(50);
/// Some more than a minute; what a scenario breaks works again sooner.
const MOST_RETRIES: usize = 1500;

/// What clients did.
#[derive(Default)]
pub struct Work {
    /// The messages that were accepted, with the reply.
    pub sent: Vec<(Sent, Reply)>,
    /// Number of deferred attempts.
    pub deferred: usize,
}

impl Work {
    /// Checks that each accepted message was delivered exactly once, and that the clients noticed what the scenario
    /// broke. Returns a summary.
    pub fn check(self, stage: &mut Stage<'_>) -> Outcome<String> {
        let mut sent = Vec::new();
        for (message, reply) in self.sent {
            stage.note(&reply);
            sent.push(message);
        }
        let copies = stage.balance(&sent)?;
        if self.deferred == 0 {
            return Err("no client was told to come back".to_owned());
        }
        Ok(format!("{} messages, {copies} copies, {} times told to come back", sent.len(), self.deferred))
    }
}

/// Runs this many clients during `breaking`, which gets random numbers and a function that tells whether all clients
/// still run: one ends early if it sees an error. Returns the result of `breaking`, too.
pub fn send_during<T>(
    post: &Post,
    clients: usize,
    seed: u64,
    breaking: impl FnOnce(&mut Random, &dyn Fn() -> bool) -> Outcome<T>,
) -> Outcome<(T, Work)> {
    let over = AtomicBool::new(false);
    let (broken, works) = thread::scope(|scope| {
        let over = &over;
        let running: Vec<_> = (0..clients)
            .map(|n| scope.spawn(move || client(post, n, &mut Random::new(seed, n), over)))
            .collect();
        let all_run = || running.iter().all(|client| !client.is_finished());
        let broken = breaking(&mut Random::new(seed, clients), &all_run);
        over.store(true, Ordering::SeqCst);
        let works: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (broken, works)
    });
    let mut all = Work::default();
    for work in works {
        let work = work.unwrap_or_else(|_| Err("a client panicked".to_owned()))?;
        all.deferred += work.deferred;
        all.sent.extend(work.sent);
    }
    Ok((broken?, all))
}

/// One client: sends message after message, each until it is accepted, until `over` is set.
fn client(post: &Post, number: usize, random: &mut Random, over: &AtomicBool) -> Outcome<Work> {
    let mut work = Work::default();
    let mut n = 0;
    while !over.load(Ordering::SeqCst) {
        n += 1;
        message(post, &format!("{number}-{n}"), random, &mut work)?;
    }
    Ok(work)
}

/// Sends one message, unless all its recipients are refused.
fn message(post: &Post, name: &str, random: &mut Random, work: &mut Work) -> Outcome {
    let recipients = random.recipients(MOST_RECIPIENTS, name);
    let message = Sent::new(name, &recipients);
    for _ in 0..MOST_RETRIES {
        let mut smtp = Smtp::open(post.server)?;
        let tried = try_message(&mut smtp, post, &message, &recipients);
        match tried.map_err(|e| format!("{name}: {e}\n{}", smtp.transcript))? {
            Some(Ended::Sent(reply)) => {
                work.sent.push((message, reply));
                return Ok(());
            }
            Some(Ended::Refused) => return Ok(()),
            None => {
                work.deferred += 1;
                sleep(RETRY);
            }
        }
    }
    Err(format!("{name}: told to come back {MOST_RETRIES} times"))
}

enum Ended {
    Sent(Reply),
    Refused,
}

/// One attempt; none if the server says to come back.
fn try_message(
    smtp: &mut Smtp,
    post: &Post,
    message: &Sent,
    recipients: &[(String, Option<&'static str>)],
) -> Outcome<Option<Ended>> {
    // Without rcptd, Sendmail greets and then defers everything, Postfix defers one command or another.
    let mut ask = |command: &str, want: &str| -> Outcome<bool> {
        if !command.is_empty() {
            smtp.send(&format!("{command}\r\n"))?;
        }
        let got = smtp.reply()?;
        if got.matches("4") {
            return Ok(false);
        }
        if got.matches(want) { Ok(true) } else { Err(format!("{command}: got {:?}, want {want:?}", got.0)) }
    };
    let mail = format!("MAIL FROM:<{SENDER}>");
    for (command, want) in [("", "220"), ("EHLO client.remote.test", "250"), (&mail, "250")] {
        if !ask(command, want)? {
            return Ok(None);
        }
    }
    for (address, mailbox) in recipients {
        let want = if mailbox.is_some() { "250" } else { "550 5.1.1" };
        if !ask(&format!("RCPT TO:<{address}>"), want)? {
            return Ok(None);
        }
    }
    if message.want.is_empty() {
        return Ok(Some(Ended::Refused));
    }
    let reply = smtp.message(&post.text(&message.name))?;
    if reply.matches("4") {
        return Ok(None);
    }
    if reply.queue_id().is_none() {
        return Err(format!("message: got {:?}, want 250 and a queue id", reply.0));
    }
    Ok(Some(Ended::Sent(reply)))
}
