//! The log line at the end of a message.
//!
//! It links the queue id, which Postfix reports with the second recipient at the earliest, with the
//! session, and names the replaced recipients.

use super::{Metrics, line};
use mail_address::Address;
use std::fmt::{self, Display};
use std::sync::atomic::Ordering::Relaxed;
use tracing::{info, warn};

/// Most replacements named in a line. Each replacement also has its own line at RCPT.
pub const MAX_NAMED: usize = 10;

/// Data of a complete message for its log line.
pub struct Message<'a> {
    /// The server's queue id.
    pub queue_id: Option<&'a [u8]>,
    /// The session number in the process, the same in all lines of the session.
    pub session: u64,
    /// Number of recipients.
    pub recipients: usize,
    /// The replaced recipients, each with its replacement.
    pub replaced: &'a [(Address, Address)],
    /// Whether this was a dry run: the message was not changed.
    pub only_logged: bool,
    /// Why the message is deferred, if it is; then no recipient is replaced.
    pub deferred: Option<&'a dyn Display>,
}

/// Formats the line:
/// `4XyZ12: session=7 listener=milter stage=EOM verdict=rewrite recipients=2 replaced=1 names="<alias> -> <account>"`
impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.only_logged { "would_" } else { "" };
        let verdict = match self.deferred {
            Some(_) => "defer",
            None if self.replaced.is_empty() => "keep",
            None => "rewrite",
        };
        write!(f, "{}: session={}", line::queue_id(self.queue_id), self.session)?;
        write!(f, " listener=milter stage=EOM verdict={would}{verdict} recipients={}", self.recipients)?;
        if let Some(why) = self.deferred {
            return write!(f, " detail={}", line::text(why));
        }
        write!(f, " replaced={}", self.replaced.len())?;
        if self.replaced.is_empty() {
            return Ok(());
        }
        f.write_str(" names=\"")?;
        for (i, (alias, target)) in self.replaced.iter().take(MAX_NAMED).enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            let (alias, target) = (alias.path(), target.path());
            write!(
                f,
                "{separator}{} -> {}",
                line::mailbox(alias.as_bytes()),
                line::mailbox(target.as_bytes())
            )?;
        }
        match self.replaced.len().saturating_sub(MAX_NAMED) {
            0 => f.write_str("\""),
            more => write!(f, ", and {more} more\""),
        }
    }
}

/// A message was received completely.
pub fn message(metrics: &Metrics, message: &Message<'_>) {
    if message.deferred.is_some() {
        metrics.milter.messages_deferred.fetch_add(1, Relaxed);
        warn!("{message}");
    } else {
        info!("{message}");
    }
}

/// A mail server does not let milters change header fields.
pub fn cannot_change_headers(session: u64) {
    warn!(
        "session={session} listener=milter the mail server does not let milters change header fields, so \
         rcptd neither sets the one of milter.header nor removes the sender's"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_message_lines() {
        let pair = |n: usize| {
            let alias = Address::new(&format!("a\" b{n}"), "d.test").expect("an address");
            (alias, Address::new("foo", "d.test").expect("an address"))
        };
        let pairs: Vec<_> = (0..12).map(pair).collect();
        let message = Message {
            queue_id: Some(b"4XyZ12"),
            session: 7,
            recipients: 12,
            replaced: &[],
            only_logged: false,
            deferred: None,
        };
        let begin = "4XyZ12: session=7 listener=milter stage=EOM verdict";
        assert_eq!(message.to_string(), format!("{begin}=keep recipients=12 replaced=0"));
        let one = Message { replaced: &pairs[..1], only_logged: true, ..message };
        assert_eq!(
            one.to_string(),
            format!(
                "{begin}=would_rewrite recipients=12 replaced=1 \
                 names=\"<\\x22a\\x5c\\x22\\x20b0\\x22@d.test> -> <foo@d.test>\""
            )
        );
        // A local part cannot pretend to be another replacement.
        let forged = Address::new("x> -> <boss>, <y", "d.test").expect("an address");
        let forged = [(forged, pairs[0].1.clone())];
        let line = Message { replaced: &forged, ..message }.to_string();
        assert_eq!(line.matches(" -> ").count(), 1, "{line}");
        let all = Message { replaced: &pairs, ..message };
        assert!(all.to_string().ends_with("b9\\x22@d.test> -> <foo@d.test>, and 2 more\""), "{all}");
        let deferred = Message { deferred: Some(&"down\n\""), ..message };
        assert_eq!(deferred.to_string(), format!("{begin}=defer recipients=12 detail=\"down\\x0a\\x22\""));
    }
}
