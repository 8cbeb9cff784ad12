//! Random mail by ten clients at once, and the books balanced: what was accepted is delivered exactly once,
//! what was refused never.
//!
//! On a host that is busy beyond measure the VRFY server may not answer in time. A client that is told to come
//! back for that reason does so, as any mail server would; how often is reported.

use crate::Outcome;
use crate::random::{Random, Recipient, seed};
use crate::smtp::{Reply, Smtp};
use crate::stage::{Post, SENDER, Sent, Stage};
use std::thread;
use std::time::Instant;

const CLIENTS: usize = 10;
/// Two thousand transactions in all, for each mail server.
const TRANSACTIONS: usize = 200;
const MOST_RECIPIENTS: usize = 5;
/// A recipient is asked for again so many times.
const MOST_RETRIES: usize = 10;

/// What a client did.
#[derive(Default)]
struct Work {
    sent: Vec<(Sent, Reply)>,
    /// How often a recipient had to be asked for again.
    retries: usize,
}

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let seed = seed()?;
    load(stage, seed).map_err(|e| format!("RCPTD_MTA_SEED={seed}: {e}"))
}

fn load(stage: &mut Stage<'_>, seed: u64) -> Outcome<String> {
    let start = Instant::now();
    let post = &stage.post;
    let work: Vec<Outcome<Work>> = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| scope.spawn(move || client(post, n, &mut Random::new(seed, n)))).collect();
        let join = |client: thread::ScopedJoinHandle<'_, _>| {
            client.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
        };
        clients.into_iter().map(join).collect()
    });
    let accepted = start.elapsed().as_secs();
    let (mut sent, mut retries) = (Vec::new(), 0);
    for work in work {
        let work = work?;
        retries += work.retries;
        for (message, reply) in work.sent {
            stage.note(&reply);
            sent.push(message);
        }
    }
    let copies = stage.balance(&sent)?;
    Ok(format!(
        "{} messages accepted in {accepted} s, all {copies} copies delivered in {} s; {retries} RCPTs asked again",
        sent.len(),
        start.elapsed().as_secs()
    ))
}

/// One client: transaction after transaction, with a new connection now and then.
fn client(post: &Post, number: usize, random: &mut Random) -> Outcome<Work> {
    let mut work = Work::default();
    let mut smtp = post.connect()?;
    for n in 0..TRANSACTIONS {
        let name = format!("{number}-{n}");
        let keep = transaction(post, &mut smtp, &name, random, &mut work)
            .map_err(|e| format!("{name}: {e}\n{}", smtp.transcript))?;
        if !keep || random.one_in(20) {
            smtp = post.connect()?;
        }
        smtp.transcript.clear();
    }
    Ok(work)
}

/// One transaction, which is sometimes given up: by RSET, or by hanging up, and then this is false.
fn transaction(
    post: &Post,
    smtp: &mut Smtp,
    name: &str,
    random: &mut Random,
    work: &mut Work,
) -> Outcome<bool> {
    smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
    let recipients = random.recipients(MOST_RECIPIENTS, name);
    let mut open: Vec<_> = recipients.iter().collect();
    if random.one_in(2) {
        // Sent ahead; who got no answer is asked for again below.
        smtp.send(&recipients.iter().map(rcpt).collect::<Vec<_>>().concat())?;
        open.clear();
        for recipient in &recipients {
            if !is_answered(smtp, recipient)? {
                work.retries += 1;
                open.push(recipient);
            }
        }
    }
    for recipient in open {
        work.retries += ask(smtp, recipient)?;
    }
    if random.one_in(30) {
        return Ok(false);
    }
    let message = Sent::new(name, &recipients);
    if message.want.is_empty() || random.one_in(20) {
        smtp.ask("RSET", "250")?;
        return Ok(true);
    }
    let reply = smtp.message(&post.text(name))?;
    if !reply.matches("250") || reply.queue_id().is_none() {
        return Err(format!("message: got {:?}, want 250 and a queue id", reply.0));
    }
    work.sent.push((message, reply));
    Ok(true)
}

fn rcpt((address, _): &Recipient) -> String {
    format!("RCPT TO:<{address}>\r\n")
}

/// Reads the reply to RCPT: false if it says to come back, an error if it is not the right one.
fn is_answered(smtp: &mut Smtp, (address, mailbox): &Recipient) -> Outcome<bool> {
    let want = if mailbox.is_some() { "250" } else { "550 5.1.1" };
    let got = smtp.reply()?;
    if got.matches("451 4.3.0") {
        return Ok(false);
    }
    if got.matches(want) { Ok(true) } else { Err(format!("{address}: got {:?}, want {want:?}", got.0)) }
}

/// Asks until there is an answer; returns how often it had to be asked again.
fn ask(smtp: &mut Smtp, recipient: &Recipient) -> Outcome<usize> {
    for retries in 0..=MOST_RETRIES {
        smtp.send(&rcpt(recipient))?;
        if is_answered(smtp, recipient)? {
            return Ok(retries);
        }
    }
    Err(format!("{}: told to come back {MOST_RETRIES} times", recipient.0))
}
