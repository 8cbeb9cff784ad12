//! A message to a thousand recipients: 30 accounts and 970 aliases of theirs.

use crate::Outcome;
use crate::stage::{SENDER, Stage, alias};
use std::time::Instant;

/// Postfix takes no more in one transaction (smtpd_recipient_limit).
const RECIPIENTS: usize = 1000;
const ACCOUNTS: usize = 30;
/// Sent ahead at a time; their replies fit into any socket buffer.
const AHEAD: usize = 50;

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let recipients: Vec<String> = (0..RECIPIENTS)
        .map(|n| {
            let account = format!("u{:02}", n % ACCOUNTS);
            let local = if n < ACCOUNTS { account } else { alias(&account, &word(n)) };
            format!("{local}@example.test")
        })
        .collect();
    let mut smtp = stage.post.connect()?;
    let start = Instant::now();
    smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
    for some in recipients.chunks(AHEAD) {
        let commands: Vec<_> = some.iter().map(|address| format!("RCPT TO:<{address}>\r\n")).collect();
        smtp.send(&commands.concat())?;
        for address in some {
            smtp.expect("250").map_err(|e| format!("{address}: {e}"))?;
        }
    }
    let asked = start.elapsed();
    let reply = smtp.message(&stage.post.text("thousand"))?;
    let ended = start.elapsed().saturating_sub(asked);
    if !reply.matches("250") {
        return Err(format!("message: got {:?}, want 250", reply.0));
    }
    stage.note(&reply);
    let want = (0..ACCOUNTS).map(|n| (format!("u{n:02}"), 1)).collect();
    stage.delivered("thousand", &want)?;
    Ok(format!("RCPTs {} ms, end of message {} ms", asked.as_millis(), ended.as_millis()))
}

/// The number in letters, which makes a word of its own for each.
fn word(mut number: usize) -> String {
    let mut word = String::new();
    for letter in ('a'..='z').cycle() {
        if number == 0 {
            break;
        }
        if number % 2 == 1 {
            word.push(letter);
        }
        number /= 2;
    }
    word
}
