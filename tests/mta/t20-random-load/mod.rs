//! Random mail by ten clients at once, and the books balanced: what was accepted is delivered exactly once,
//! what was refused never.
//!
//! On a host that is busy beyond measure the VRFY server may not answer in time. A client that is told to come
//! back for that reason does so, as any mail server would; how often is reported.

use crate::Outcome;
use crate::books::Copies;
use crate::smtp::{Reply, Smtp};
use crate::stage::{SENDER, Stage};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const CLIENTS: usize = 10;
/// Two thousand in all, for each mail server.
const MESSAGES: usize = 200;
const MOST_RECIPIENTS: usize = 5;
/// A recipient is asked for again so many times.
const MOST_RETRIES: usize = 10;
const ACCOUNTS: [&str; 10] = ["alice", "bob", "carol", "dave", "erin", "foo", "bar", "u00", "u01", "u02"];
const WORDS: [&str; 8] = ["macys", "google", "x", "nytimes", "Amazon", "a1b2", "Zoo", "telephone"];

/// An address and the mailbox that gets its mail; none if it must be refused.
type Recipient = (String, Option<&'static str>);

/// One message: its name, who has to get it, and what the mail server said.
struct Sent {
    name: String,
    want: Copies,
    reply: Reply,
}

/// What came of a transaction.
struct Ended {
    /// The message, unless the transaction was given up.
    sent: Option<Sent>,
    hung_up: bool,
    retries: usize,
}

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    // Set it to have the same mail again.
    let seed = match std::env::var("RCPTD_MTA_SEED") {
        Ok(seed) => seed.parse().map_err(|e| format!("RCPTD_MTA_SEED: {e}"))?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()),
    };
    load(stage, seed).map_err(|e| format!("RCPTD_MTA_SEED={seed}: {e}"))
}

fn load(stage: &mut Stage<'_>, seed: u64) -> Outcome<String> {
    let start = Instant::now();
    let shared = &*stage;
    let clients: Vec<Outcome<(Vec<Sent>, usize)>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || client(shared, n, &mut Random::new(seed, n as u64))))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err("a client panicked".to_owned())))
            .collect()
    });
    let (mut sent, mut retries) = (Vec::new(), 0);
    for client in clients {
        let (more, again) = client?;
        sent.extend(more);
        retries += again;
    }
    let accepted = start.elapsed();
    for message in &sent {
        stage.note(&message.reply);
    }
    stage.settle()?;
    let done = start.elapsed();
    // All mailboxes in one pass: a message that was not sent must not be there either.
    let mut got: BTreeMap<String, Copies> = BTreeMap::new();
    let prefix = stage.subject("");
    for mail in stage.books.all()? {
        if let Some(name) = mail.header("Subject").and_then(|subject| subject.strip_prefix(&prefix)) {
            *got.entry(name.to_owned()).or_default().entry(mail.mailbox.clone()).or_default() += 1;
        }
        if mail.is_report() && mail.text.contains(&format!("Subject: {prefix}")) {
            return Err(format!("a report in {}:\n{}", mail.mailbox, mail.text));
        }
    }
    for message in &sent {
        let got = got.remove(&message.name).unwrap_or_default();
        if got != message.want {
            return Err(format!("deliveries of {}: got {got:?}, want {:?}", message.name, message.want));
        }
    }
    if let Some((name, copies)) = got.first_key_value() {
        return Err(format!("{name} was not accepted but delivered: {copies:?}"));
    }
    let copies: usize = sent.iter().map(|message| message.want.values().sum::<usize>()).sum();
    Ok(format!(
        "{} messages accepted in {} s, all {copies} copies delivered in {} s; {retries} RCPTs asked again",
        sent.len(),
        accepted.as_secs(),
        done.as_secs()
    ))
}

/// One client: message after message, with a new connection now and then.
fn client(stage: &Stage<'_>, number: usize, random: &mut Random) -> Outcome<(Vec<Sent>, usize)> {
    let (mut sent, mut retries) = (Vec::new(), 0);
    let mut smtp = stage.smtp()?;
    for n in 0..MESSAGES {
        let name = format!("{number}-{n}");
        let transaction = transaction(stage, &mut smtp, &name, random);
        let ended = transaction.map_err(|e| format!("{name}: {e}\n{}", smtp.transcript))?;
        sent.extend(ended.sent);
        retries += ended.retries;
        if ended.hung_up || random.one_in(20) {
            smtp = stage.smtp()?;
        }
        smtp.transcript.clear();
    }
    Ok((sent, retries))
}

/// One transaction. It is sometimes given up, by RSET or by hanging up.
fn transaction(stage: &Stage<'_>, smtp: &mut Smtp, name: &str, random: &mut Random) -> Outcome<Ended> {
    smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
    let mut retries = 0;
    let recipients: Vec<_> =
        (0..=random.below(MOST_RECIPIENTS)).map(|n| recipient(random, &format!("{name}-{n}"))).collect();
    if random.one_in(2) {
        smtp.send(&recipients.iter().map(rcpt).collect::<Vec<_>>().concat())?;
        let mut later = Vec::new();
        for recipient in &recipients {
            if !is_answered(smtp, recipient)? {
                later.push(recipient);
            }
        }
        for recipient in later {
            retries += 1 + ask(smtp, recipient)?;
        }
    } else {
        for recipient in &recipients {
            retries += ask(smtp, recipient)?;
        }
    }
    let mut want = Copies::new();
    for account in recipients.iter().filter_map(|(_, account)| *account) {
        let copies = want.entry(account.to_owned()).or_default();
        // Each recipient elsewhere is another; an account gets one copy, however often it was named.
        *copies = if account == "remote" { *copies + 1 } else { 1 };
    }
    if random.one_in(30) {
        return Ok(Ended { sent: None, hung_up: true, retries });
    }
    if want.is_empty() || random.one_in(20) {
        smtp.ask("RSET", "250")?;
        return Ok(Ended { sent: None, hung_up: false, retries });
    }
    let reply = smtp.message(&stage.text(name))?;
    if !reply.matches("250") || reply.queue_id().is_none() {
        return Err(format!("message: got {:?}, want 250 and a queue id", reply.0));
    }
    let sent = Sent { name: name.to_owned(), want, reply };
    Ok(Ended { sent: Some(sent), hung_up: false, retries })
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

/// A random recipient and the mailbox that gets its mail; none if it must be refused.
fn recipient(random: &mut Random, unique: &str) -> Recipient {
    let account = *random.pick(&ACCOUNTS);
    let word = *random.pick(&WORDS);
    let alias = crate::stage::alias(account, word);
    let (local, mailbox) = match random.below(12) {
        0..=3 => (alias, Some(account)),
        4 => (swap_case(&alias), Some(account)),
        5 | 6 => (account.to_owned(), Some(account)),
        7 => (format!("\"{alias}\""), Some(account)),
        8 => (format!("{alias}0"), None),
        9 => (format!("nobody-{unique}"), None),
        10 => (crate::stage::alias("ghost", word), None),
        _ => return (format!("{alias}-{unique}@remote.test"), Some("remote")),
    };
    let domain = if random.one_in(4) { "Example.TEST" } else { "example.test" };
    (format!("{local}@{domain}"), mailbox)
}

fn swap_case(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c }).collect()
}

/// Numbers that are the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Random(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
