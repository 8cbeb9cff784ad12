//! Events of the policy server: decisions about recipients, with greylisting.

use super::line::{name, octets, queue_id, text};
use super::{Metrics, RateLimit, tables};
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::{Level, debug, enabled, info, warn};

/// What a decision of greylisting was, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greylisted {
    /// Deferred: the first attempt.
    New,
    /// Deferred: the first attempt, which was not stored.
    Throttled,
    /// Deferred: too early.
    Early,
    /// Passed for the first time, after a delay.
    Delayed,
    /// Passed, since the triplet had passed before.
    Known,
    /// Passed, since the client had passed often enough.
    Client,
    /// Passed: a whitelist, or a public list of mail servers.
    Whitelisted,
    /// Passed: a computed alias.
    Alias,
    /// Passed: the recipient has written to the sender.
    Correspondent,
    /// Passed: greylisting does not apply.
    Exempt,
    /// Passed or deferred, since the store failed.
    StoreFailed,
}

impl Greylisted {
    /// All of them.
    pub const ALL: [Greylisted; 11] = [
        Greylisted::New,
        Greylisted::Throttled,
        Greylisted::Early,
        Greylisted::Delayed,
        Greylisted::Known,
        Greylisted::Client,
        Greylisted::Whitelisted,
        Greylisted::Alias,
        Greylisted::Correspondent,
        Greylisted::Exempt,
        Greylisted::StoreFailed,
    ];

    /// The value of the metrics' label.
    pub fn name(self) -> &'static str {
        match self {
            Greylisted::New => "new",
            Greylisted::Throttled => "throttled",
            Greylisted::Early => "early",
            Greylisted::Delayed => "delayed",
            Greylisted::Known => "known",
            Greylisted::Client => "client",
            Greylisted::Whitelisted => "whitelisted",
            Greylisted::Alias => "alias",
            Greylisted::Correspondent => "correspondent",
            Greylisted::Exempt => "exempt",
            Greylisted::StoreFailed => "store_failed",
        }
    }
}

/// Counters of greylisting.
#[derive(Debug, Default)]
pub struct GreylistCounters {
    counts: [AtomicU64; Greylisted::ALL.len()],
    /// Correspondents that were stored.
    pub learned: AtomicU64,
    /// Sum of the delays of messages that passed, in seconds.
    pub delay: AtomicU64,
}

impl GreylistCounters {
    /// Counts a decision.
    pub fn count(&self, what: Greylisted) {
        self.counts[what as usize].fetch_add(1, Relaxed);
    }

    /// The number of decisions of a kind.
    pub fn get(&self, what: Greylisted) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }
}

/// A decision about a recipient, for its log line.
pub struct PolicyDecision<'a> {
    /// The server's queue id.
    pub queue_id: Option<&'a [u8]>,
    /// The listener.
    pub listener: &'a str,
    /// The number of the connection in the process.
    pub connection: u64,
    /// The state of the SMTP session, such as `RCPT`.
    pub stage: &'static str,
    /// `pass`, `greylist`, `reject` or `trouble`.
    pub action: &'static str,
    /// Whether this was a dry run.
    pub only_logged: bool,
    /// The reason in words, as in the log of postgrey.
    pub reason: &'a dyn Display,
    /// The number of seconds by which the message was delayed.
    pub delay: Option<u64>,
    /// The verified name of the client.
    pub client_name: Option<&'a str>,
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// The sender.
    pub sender: &'a [u8],
    /// The recipient.
    pub recipient: &'a [u8],
    /// More about the reason, such as the entry of a whitelist.
    pub detail: Option<&'a dyn Display>,
}

/// Formats the line with the fields of postgrey, which its tools read:
/// `NOQUEUE: action=greylist, reason=new, client_name=mx.test, client_address=192.0.2.1, sender=a@b.test, recipient=c@d.test, …`
impl Display for PolicyDecision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.only_logged { "would_" } else { "" };
        write!(f, "{}: action={would}{}, reason={}", queue_id(self.queue_id), self.action, self.reason)?;
        if let Some(delay) = self.delay {
            write!(f, ", delay={delay}")?;
        }
        write!(f, ", client_name={}", name(&self.client_name.unwrap_or("unknown")))?;
        match self.client {
            Some(client) => write!(f, ", client_address={client}")?,
            None => f.write_str(", client_address=unknown")?,
        }
        let field = |octets: &[u8]| mail_address::word(octets).to_string();
        write!(f, ", sender={}, recipient={}", field(self.sender), field(self.recipient))?;
        write!(
            f,
            ", stage={}, listener={}, connection={}",
            self.stage,
            name(&self.listener),
            self.connection
        )?;
        if let Some(detail) = self.detail {
            write!(f, ", detail={}", text(detail))?;
        }
        Ok(())
    }
}

/// A recipient was decided.
pub fn policy_decided(decision: &PolicyDecision<'_>) {
    info!("{decision}");
}

/// A request was left to the mail server: it is not about a recipient of ours.
pub fn policy_left_alone(listener: &str, connection: u64, stage: &str, why: &str) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    debug!("connection={connection} listener={} stage={stage} left alone: {why}", name(&listener));
}

/// A request of the policy protocol that cannot be answered.
pub fn policy_trouble(
    rate_limit: &RateLimit,
    listener: &str,
    connection: u64,
    why: &dyn Display,
    what: &[u8],
) {
    let Some(suppressed) = rate_limit.passes() else { return };
    let others = tables::others(suppressed);
    let (listener, why, what) = (name(&listener), text(why), octets(what));
    warn!("connection={connection} listener={listener} no decision: recipient={what} detail={why}{others}");
}

/// A file of greylisting was damaged, and moved aside.
pub fn store_moved(what: &str) {
    warn!("greylist.store: detail={}; greylisting begins anew", text(&what));
}

/// An address was stored to which an account has written.
pub fn learned_correspondent(metrics: &Metrics) {
    metrics.greylist.learned.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn formats_lines_as_postgrey_does() {
        let mut decision = PolicyDecision {
            queue_id: None,
            listener: "inet:127.0.0.1:10023",
            connection: 7,
            stage: "RCPT",
            action: "greylist",
            only_logged: false,
            reason: &"early-retry (12s missing)",
            delay: None,
            client_name: Some("mx.example.org"),
            client: Some(Ipv4Addr::new(192, 0, 2, 1).into()),
            sender: b"bob@example.org, recipient=x",
            recipient: b"foo@example.test",
            detail: None,
        };
        let line = decision.to_string();
        let want = "NOQUEUE: action=greylist, reason=early-retry (12s missing), client_name=mx.example.org, \
                    client_address=192.0.2.1, sender=bob@example.org,";
        assert!(line.starts_with(want), "{line}");
        // The first recipient= cannot be forged.
        assert_eq!(line.matches(", recipient=").count(), 1, "{line}");
        decision.only_logged = true;
        decision.delay = Some(320);
        decision.detail = Some(&"name=.example.org");
        let line = decision.to_string();
        assert!(
            line.contains("action=would_greylist") && line.contains(", delay=320, client_name="),
            "{line}"
        );
        // Nor can a field within a text.
        assert!(line.ends_with("detail=\"name\\x3d.example.org\""), "{line}");
    }

    #[test]
    fn each_decision_has_its_counter() {
        let counters = GreylistCounters::default();
        for (at, what) in Greylisted::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, at);
            counters.count(what);
            assert_eq!(counters.get(what), 1, "{what:?}");
        }
    }
}
