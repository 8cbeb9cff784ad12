//! Events of the account sources.

use super::line::{name, octets, text};
use super::metrics::Metrics;
use diagnostics::count;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A control address was verified: passed, failed by the server (`Err(true)`), or without a result
/// (`Err(false)`).
pub fn control_asked(metrics: &Metrics, kind: &str, result: Result<(), bool>) {
    let counters = if kind == "canary" { &metrics.canaries } else { &metrics.witnesses };
    let counter = match result {
        Ok(()) => &counters.passed,
        Err(true) => &counters.failed,
        Err(false) => &counters.unanswered,
    };
    counter.fetch_add(1, Relaxed);
}

/// A server failed its control for the first time, or after it had passed. `kind` is `witness` or `canary`.
pub fn control_failed(source: &str, kind: &str, server: &str, domain: &str, reply: &str) {
    let (source, server, domain, reply) = (name(&source), name(&server), name(&domain), text(&reply));
    if kind == "canary" {
        error!(
            "source={source} server={server} domain={domain} control={kind} reply={reply} the server accepts an account \
             that does not exist, so its \"exists\" cannot be trusted: mail for accounts of this domain is deferred; let \
             the server check its recipients (Postfix: local_recipient_maps and smtpd_reject_unlisted_recipient), or set \
             code_252 or code_250 of this source"
        );
    } else {
        error!(
            "source={source} server={server} domain={domain} control={kind} reply={reply} the server does not find the \
             witness, so its \"not found\" cannot be trusted: mail for accounts that it does not find is deferred; set \
             witness to an account that exists there"
        );
    }
}

/// A server passed its control after it had failed it.
pub fn control_passed(source: &str, kind: &str, server: &str, domain: &str) {
    info!(
        "source={} server={} domain={} control={kind} the answers of the server can be trusted again",
        name(&source),
        name(&server),
        name(&domain)
    );
}

/// A list of accounts is missing or unreadable. Until it can be read, lookups in it fail temporarily.
pub fn source_file_unreadable(source: &str, path: &Path, reason: &str) {
    warn!(
        "source={} path={} detail={} the list of accounts cannot be used: \
         lookups in it fail temporarily until it is fixed",
        name(&source),
        octets(path.as_os_str().as_encoded_bytes()),
        text(&reason)
    );
}

/// A list of accounts has errors. Until they are fixed, accounts in the last valid list still exist.
pub fn source_file_broken(source: &str, path: &Path, problem: &str) {
    warn!(
        "source={} path={} detail={} the list of accounts has errors: accounts of \
         the last valid one still exist, lookups of all others fail temporarily until it is fixed",
        name(&source),
        octets(path.as_os_str().as_encoded_bytes()),
        text(&problem)
    );
}

/// A list of accounts was read again.
pub fn source_file_reloaded(source: &str, path: &Path, accounts: usize) {
    info!(
        "source={} path={} accounts={accounts} the list of accounts was read",
        name(&source),
        octets(path.as_os_str().as_encoded_bytes())
    );
}

/// A list of aliases was read, and has this number of entries whose values are not read.
pub fn source_file_not_followed(source: &str, path: &Path, entries: usize) {
    debug!(
        "source={} path={} entries={entries} values with :include:, files or programs are not followed: the names \
         before them exist",
        name(&source),
        octets(path.as_os_str().as_encoded_bytes())
    );
}

/// A source accepts every account.
pub fn source_verifies_nothing(source: &str) {
    warn!(
        "source={} no account is verified: every address that no rule rejects is accepted; the mail server must check \
         recipients itself, or it sends bounces to forged senders",
        name(&source)
    );
}

/// A plug-in has sent its hello.
pub fn plugin_ready(source: &str, program: &str) {
    info!("source={} detail={} the plug-in is ready", name(&source), text(&program));
}

/// A plug-in has ended, or was ended since it failed. It is started again after `pause`. `first`: it has worked
/// before.
pub fn plugin_failed(source: &str, reason: &str, pause: Duration, first: bool) {
    let (source, pause, reason) = (name(&source), pause.as_millis(), text(&reason));
    if first {
        warn!("source={source} detail={reason} the plug-in failed, restart in {pause} ms");
    } else {
        info!("source={source} detail={reason} the plug-in failed again, restart in {pause} ms");
    }
}

/// A plug-in has written a line to standard error. `suppressed` is the number of lines before it that were not
/// logged.
pub fn plugin_message(source: &str, line: &[u8], suppressed: u64) {
    let source = name(&source);
    if suppressed > 0 {
        info!("source={source} not logged: {} of the plug-in", count(suppressed, "line"));
    }
    info!("source={source} stderr={}", octets(line));
}
