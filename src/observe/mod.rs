//! Logging and counting: one function per event, so that the lines stay consistent. An event that is counted
//! gets the [`Metrics`] of its daemon.
//!
//! The levels:
//!
//! - `error`: rcptd cannot work correctly, and the operator must act: a failed reload, a server that accepts
//!   the canary address.
//! - `warn`: a fault from which rcptd recovers: a session that broke, a connection that could not be
//!   accepted.
//! - `info`: start, stop, reload, and **one line for each decided recipient**, queue id first.
//! - `debug`: the course of single connections.
//!
//! Every text from outside is escaped, and the fields of a line have a fixed order ([`mod@line`]). These texts
//! are never sent to a client.

pub mod account;
pub mod files;
mod guessing;
pub mod line;
mod log_file;
mod message;
pub mod meter;
pub mod metrics;
pub mod openmetrics;
pub mod outage;
pub mod plugin;
pub mod policy;
pub mod setup;
pub mod stats;
mod tables;

pub use guessing::{GuessingBegins, guess_deferred, guessing_begins, guessing_ends, guessing_full};
pub use message::{MAX_NAMED, Message, cannot_change_headers, message};
pub use tables::{
    RateLimit, broken_request, connection_begun, connection_ended, looked_up, tempfail, unknown_map,
};

pub use metrics::Metrics;

use diagnostics::{Problem, Severity, count};
use line::{client, mailbox, name, text};
use mail_address::{one_line, word};
use std::fmt::{self, Display};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// The decision about a recipient, for the log line and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Not in one of our domains.
    NotOurs,
    /// An account under its own name.
    Keep,
    /// Replaced by its account.
    Rewrite,
    /// Rejected.
    Reject,
    /// Deferred.
    Defer,
}

impl Decided {
    /// The word for the log line.
    pub fn name(self) -> &'static str {
        match self {
            Decided::NotOurs => "not_ours",
            Decided::Keep => "keep",
            Decided::Rewrite => "rewrite",
            Decided::Reject => "reject",
            Decided::Defer => "defer",
        }
    }
}

/// Data of a decided recipient for its log line.
pub struct Recipient<'a> {
    /// The server's queue id; Postfix has none before the first accepted recipient.
    pub queue_id: Option<&'a [u8]>,
    /// The session number in the process, the same in all lines of the session.
    pub session: u64,
    /// The decision.
    pub decided: Decided,
    /// Whether this was a dry run: the mail was not changed.
    pub only_logged: bool,
    /// The origin of the decision, such as `rule:aliases.rules:3`.
    pub reason: &'a dyn Display,
    /// Code and enhanced code of the reply; `None`: the recipient is not rejected or deferred.
    pub code: Option<(u16, &'a str)>,
    /// The sender, as the server reports it.
    pub from: Option<&'a [u8]>,
    /// The recipient as typed.
    pub to: &'a [u8],
    /// The account that replaces it.
    pub new_to: Option<&'a dyn Display>,
    /// The client's name and address.
    pub client: (Option<&'a [u8]>, Option<&'a [u8]>),
    /// The source of the result for the account, and whether it was cached (`hit`, `miss` or `stale`); `rule` alone
    /// if the rule made a lookup unnecessary.
    pub source: Option<(&'a str, Option<&'static str>)>,
    /// The reason in words.
    pub detail: Option<&'a dyn Display>,
    /// Time from the command to the decision.
    pub took: Duration,
}

impl Display for Recipient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.only_logged { "would_" } else { "" };
        let (code, enhanced) = self.code.unwrap_or((250, "2.1.5"));
        write!(f, "{}: session={}", line::queue_id(self.queue_id), self.session)?;
        write!(f, " listener=milter stage=RCPT verdict={would}{}", self.decided.name())?;
        write!(f, " code=\"{code} {enhanced}\"")?;
        if let (name, Some(address)) = self.client {
            write!(f, " client={}", client(name, address))?;
        }
        write!(f, " reason={}", name(self.reason))?;
        if let Some((source, cached)) = self.source {
            write!(f, " source={}", name(&source))?;
            if let Some(cached) = cached {
                write!(f, " cache={cached}")?;
            }
        }
        write!(f, " ms={}", self.took.as_millis())?;
        if let Some(from) = self.from {
            write!(f, " from={}", mailbox(from))?;
        }
        write!(f, " to={}", mailbox(self.to))?;
        if let Some(new_to) = self.new_to {
            write!(f, " newto={}", mailbox(new_to.to_string().as_bytes()))?;
        }
        if let Some(detail) = self.detail {
            write!(f, " detail={}", text(detail))?;
        }
        Ok(())
    }
}

/// A recipient was decided.
pub fn recipient(metrics: &Metrics, recipient: &Recipient<'_>) {
    let counters = &metrics.milter;
    let counter = match recipient.decided {
        _ if recipient.only_logged => &counters.unchanged,
        Decided::NotOurs | Decided::Keep => &counters.unchanged,
        Decided::Rewrite => &counters.rewritten,
        Decided::Reject => &counters.rejected,
        Decided::Defer => &counters.deferred,
    };
    counter.fetch_add(1, Relaxed);
    info!("{recipient}");
}

/// The edits of a message could not be sent, so the message was deferred.
pub fn edit_failed(metrics: &Metrics, queue_id: Option<&[u8]>, session: u64, why: &dyn Display) {
    metrics.milter.messages_deferred.fetch_add(1, Relaxed);
    let id = line::queue_id(queue_id);
    error!(
        "{id}: session={session} listener=milter stage=EOM message deferred, recipients not replaced: detail={}",
        text(why)
    );
}

/// A session began.
pub fn session_begun(metrics: &Metrics, session: u64) {
    metrics.milter.sessions.fetch_add(1, Relaxed);
    debug!("session={session} listener=milter begins");
}

/// A mail server does not let milters replace recipients.
pub fn cannot_replace(session: u64) {
    error!(
        "session={session} listener=milter the mail server does not let milters replace recipients, so \
         aliases are deferred: enable milter protocol 2 or later with SMFIF_ADDRCPT and SMFIF_DELRCPT"
    );
}

/// A session ended early. `last` is the letter of the last command that was read.
pub fn session_broken(metrics: &Metrics, listener: &dyn Display, last: Option<u8>, why: &dyn Display) {
    metrics.milter.session_errors.fetch_add(1, Relaxed);
    let last = last.map_or("none".into(), |b| word(&[b]).to_string());
    warn!("listener={} milter session broken: last={last} detail={}", name(listener), text(why));
}

/// A connection could not be accepted; accepting continues after `pause`.
pub fn accept_failed(listener: &dyn Display, why: &std::io::Error, pause: Duration) {
    let listener = name(listener);
    warn!("listener={listener} cannot accept a connection, next try in {} ms: {why}", pause.as_millis());
}

/// A listener has reached its connection limit. `then` is what happens to a further connection, and
/// `rate_limit` is that of the listener.
pub fn connection_limit(rate_limit: &RateLimit, listener: &dyn Display, open: usize, then: &str) {
    let Some(suppressed) = rate_limit.passes() else { return };
    let (listener, others) = (name(listener), tables::others(suppressed));
    warn!(
        "listener={listener} {open} connections are open, which is the limit; {then} (max_connections){others}"
    );
}

/// A listener was opened.
pub fn listening(listener: &dyn Display) {
    info!("listener={} listening", name(listener));
}

/// The daemon has started. `dry_run`: the milter only logs its decisions.
pub fn started(version: &str, rules: usize, domains: usize, dry_run: bool) {
    let mode = if dry_run { ", dry run" } else { "" };
    let (rules, domains) = (count(rules, "rule"), count(domains, "domain"));
    info!("rcptd {version} ready: {rules}, {domains}{mode}");
    warn_of_dry_run(dry_run);
}

fn warn_of_dry_run(on: bool) {
    if on {
        warn!(
            "dry_run is on: the milter only logs, and rejects no recipient. Where the mail server leaves \
             that to rcptd (empty local_recipient_maps, no flag w), mail for unknown recipients is accepted \
             and bounces"
        );
    }
}

/// A warning or a note about the configuration.
pub fn configuration_remark(problem: &Problem) {
    let text = problem.to_string();
    match problem.severity {
        Severity::Note => info!("{}", one_line(&text)),
        Severity::Warning | Severity::Error => warn!("{}", one_line(&text)),
    }
}

/// A reload took effect. `restart` are the changed keys that need a restart.
pub fn reloaded(metrics: &Metrics, why: &str, rules: usize, restart: &[&str], dry_run: bool) {
    metrics.reloads.succeeded.fetch_add(1, Relaxed);
    metrics.reloads.last_failed.store(false, Relaxed);
    let mode = if dry_run { ", dry run" } else { "" };
    info!("configuration reloaded ({why}): {}{mode}", count(rules, "rule"));
    warn_of_dry_run(dry_run);
    if !restart.is_empty() {
        warn!("changed settings that need a restart: {}", restart.join(", "));
    }
}

/// A reload failed; the old configuration remains in use.
pub fn reload_failed(metrics: &Metrics, why: &str, problems: &[String]) {
    metrics.reloads.failed.fetch_add(1, Relaxed);
    metrics.reloads.last_failed.store(true, Relaxed);
    for problem in problems {
        error!("{}", one_line(problem));
    }
    error!(
        "configuration not reloaded ({why}): {}; the old configuration stays in force",
        count(problems.len(), "problem")
    );
}

/// The statistics of all listeners, maps and account sources (`statistics.log_interval`).
pub fn statistics(metrics: &Metrics) {
    for meter in metrics.meters() {
        let kind = match meter.of() {
            meter::Of::Listener(_) => "listener",
            meter::Of::Map => "map",
            meter::Of::Source => "source",
        };
        for line in meter.report_lines() {
            info!("{kind}={} {line}", name(&meter.name()));
        }
    }
}

/// The daemon begins to stop.
pub fn stopping(signal: &str, busy: usize) {
    info!("{signal}: stopping, {} under way", count(busy, "message"));
}

/// The daemon stops at once.
pub fn forced(why: &str) {
    warn!("{why}: stopping at once; mail servers will retry unfinished messages");
}

/// The daemon has stopped.
pub fn stopped(metrics: &Metrics) {
    info!("stopped: {metrics}");
}

/// A listener has ended without a request to stop.
pub fn listener_ended(why: &dyn Display) {
    error!("a listener has ended; rcptd stops, so that systemd restarts it: {why}");
}

/// A task panicked. Only its session is lost.
pub fn panicked(what: &dyn Display) {
    error!("a defect in rcptd ended one session, please report it: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Recipient<'static> {
        Recipient {
            queue_id: Some(b"4XyZ12"),
            session: 7,
            decided: Decided::Rewrite,
            only_logged: false,
            reason: &"rule:aliases.rules:3",
            code: None,
            from: Some(b"a@b.test"),
            to: b"<foo-macys-m5@example.com>",
            new_to: Some(&"foo@example.com"),
            client: (Some(b"c.test"), Some(b"192.0.2.1")),
            source: Some(("vrfy:127.0.0.1:5025", Some("hit"))),
            detail: None,
            took: Duration::from_millis(3),
        }
    }

    #[test]
    fn formats_recipient_lines() {
        assert_eq!(
            example().to_string(),
            "4XyZ12: session=7 listener=milter stage=RCPT verdict=rewrite code=\"250 2.1.5\" \
             client=c.test[192.0.2.1] reason=rule:aliases.rules:3 source=vrfy:127.0.0.1:5025 cache=hit ms=3 \
             from=<a@b.test> to=<foo-macys-m5@example.com> newto=<foo@example.com>"
        );
    }

    /// Hostile texts for data of clients, servers and file names.
    const HOSTILE: &[&str] = &[
        "x\r\n4XyZ13: session=8 listener=milter stage=RCPT verdict=reject client=v.test[198.51.100.7]",
        "\"x> client=v.test[198.51.100.7]\"@example.com",
        "\"x> client=v.test[198.51.100.7] y=<z\"@example.com",
        "<\"x\" client=v.test[198.51.100.7]>",
        "x\" client=\"v.test[198.51.100.7]",
        "x\\\" client=\"v.test[198.51.100.7]",
        "x\u{2028}client=v.test[198.51.100.7]",
        "x\u{2029}\u{85}\u{b}\u{c}\u{1c}client=v.test[198.51.100.7]",
        "x\u{a0}client=v.test[198.51.100.7]",
        "x\u{3000}client=v.test[198.51.100.7]\u{202e}",
        "x\u{1b}[2J\u{9b}client=v.test[198.51.100.7]",
        "<6>NOQUEUE: session=1 client=v.test[198.51.100.7]",
        " client=v.test[198.51.100.7] ",
        "]client=v.test[198.51.100.7]",
        "=client=v.test[198.51.100.7]",
    ];

    /// The names of the fields of a line, as a program finds them by ` name=`.
    fn fields(line: &str) -> Vec<&str> {
        let names = line.split(' ').filter_map(|part| part.split_once('=').map(|(name, _)| name));
        names.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase())).collect()
    }

    #[test]
    fn hostile_texts_cannot_forge_fields() {
        let names = [
            "session", "listener", "stage", "verdict", "code", "client", "reason", "source", "cache", "ms",
            "from", "to", "newto", "detail",
        ];
        for evil in HOSTILE {
            let bytes = evil.as_bytes();
            let whole = Recipient {
                queue_id: Some(bytes),
                reason: evil,
                code: Some((550, "5.1.1")),
                from: Some(bytes),
                to: bytes,
                new_to: Some(evil),
                client: (Some(bytes), Some(b"192.0.2.1")),
                source: Some((evil, Some("hit"))),
                detail: Some(evil),
                only_logged: true,
                decided: Decided::Reject,
                ..example()
            };
            let line = whole.to_string();
            assert_eq!(fields(&line), names, "{line}");
            assert_eq!(one_line(&line), line);
            // Each text begins and ends with its own delimiters.
            let client = line.split_once(" client=").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
            assert!(client.ends_with("[192.0.2.1]") && client.matches(['[', ']']).count() == 2, "{client}");
            for (start, end) in [(" from=<", "> to="), (" to=<", "> newto="), (" newto=<", "> detail=")] {
                let (_, rest) = line.split_once(start).unwrap();
                assert_eq!(rest.find('>'), rest.find(end), "{line}");
            }
            assert_eq!(line.matches('"').count(), 4, "{line}");
            assert!(line.ends_with('"'), "{line}");
        }
    }

    #[test]
    fn quotes_replies_completely() {
        let line = Recipient { detail: Some(&"550 x\r\ny\x1b\"z\" = 1"), ..example() }.to_string();
        assert!(line.ends_with(" detail=\"550 x\\x0d\\x0ay\\x1b\\x22z\\x22 \\x3d 1\""), "{line}");
    }
}
