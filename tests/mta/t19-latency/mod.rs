//! How long the milter makes a client wait.
//!
//! Small packets to and fro over TCP run into the delayed acknowledgement of 40 ms if one side keeps back
//! what it has to say (Nagle's algorithm); each wait would show it.

use crate::Outcome;
use crate::stage::{SENDER, Stage, alias};
use std::time::{Duration, Instant};

const MESSAGES: usize = 30;
/// Linux delays an acknowledgement by at least this much. The median hides what a busy host adds to some.
const DELAYED_ACK: Duration = Duration::from_millis(40);

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let mut smtp = stage.post.connect()?;
    let (mut rcpts, mut messages) = (Vec::new(), Vec::new());
    for n in 0..MESSAGES {
        let name = format!("latency-{n}");
        smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
        let start = Instant::now();
        smtp.ask(&format!("RCPT TO:<{}@example.test>", alias("foo", "macys")), "250")?;
        rcpts.push(start.elapsed());
        let start = Instant::now();
        let reply = smtp.message(&stage.post.text(&name))?;
        messages.push(start.elapsed());
        if !reply.matches("250") {
            return Err(format!("{name}: got {:?}, want 250", reply.0));
        }
        stage.note(&reply);
    }
    for n in 0..MESSAGES {
        stage.delivered(&format!("latency-{n}"), &[("foo".to_owned(), 1)].into())?;
    }
    let (rcpt, message) = (median(&mut rcpts), median(&mut messages));
    if rcpt >= DELAYED_ACK {
        return Err(format!("half of the RCPTs took longer than {rcpt:?}"));
    }
    let slowest = rcpts.last().copied().unwrap_or_default();
    Ok(format!("RCPT median {rcpt:.1?}, slowest {slowest:.1?}; DATA to its end median {message:.1?}"))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
