//! rcptd is killed again and again while clients send: each message they got rid of is delivered exactly once,
//! and no other.

use crate::Outcome;
use crate::random::{Random, seed};
use crate::smtp::{Reply, Smtp};
use crate::stage::{Post, SENDER, Sent, Stage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

const CLIENTS: usize = 6;
const KILLS: usize = 10;
const MOST_RECIPIENTS: usize = 4;
/// rcptd lives at least this long, and at most four times as long.
const LIFE: Duration = Duration::from_millis(250);
/// A client told to come back does so after this time.
const RETRY: Duration = Duration::from_millis(50);
/// Some more than a minute; rcptd is never away for longer than a start takes.
const MOST_RETRIES: usize = 1500;

/// What a client did.
#[derive(Default)]
pub struct Work {
    /// The messages that were accepted, with the reply.
    pub sent: Vec<(Sent, Reply)>,
    /// Number of deferred attempts.
    pub deferred: usize,
}

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let seed = seed()?;
    load(stage, seed).map_err(|e| format!("RCPTD_MTA_SEED={seed}: {e}"))
}

fn load(stage: &mut Stage<'_>, seed: u64) -> Outcome<String> {
    let over = AtomicBool::new(false);
    let (post, rcptd) = (&stage.post, &mut stage.rcptd);
    let (killed, work) = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || client(post, n, &mut Random::new(seed, n), over)))
            .collect();
        let mut random = Random::new(seed, CLIENTS);
        let killed = (0..KILLS).try_for_each(|_| {
            sleep(LIFE * u32::try_from(1 + random.below(4)).unwrap_or(1));
            rcptd.kill()?;
            rcptd.start()
        });
        over.store(true, Ordering::SeqCst);
        let join = |client: thread::ScopedJoinHandle<'_, _>| {
            client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        (killed, clients.into_iter().map(join).collect::<Vec<Outcome<Work>>>())
    });
    killed?;
    let (mut sent, mut deferred) = (Vec::new(), 0);
    for work in work {
        let work = work?;
        deferred += work.deferred;
        for (message, reply) in work.sent {
            stage.note(&reply);
            sent.push(message);
        }
    }
    let copies = stage.balance(&sent)?;
    if deferred == 0 {
        return Err("no client noticed that rcptd was killed".to_owned());
    }
    Ok(format!("{} messages, {copies} copies, {KILLS} kills, {deferred} times told to come back", sent.len()))
}

/// One client: sends message after message, each until it is accepted, until `over` is set.
pub fn client(post: &Post, number: usize, random: &mut Random, over: &AtomicBool) -> Outcome<Work> {
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
