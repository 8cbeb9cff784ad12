//! Events of the defence against clients that guess recipients.

use super::line::{client, queue_id};
use super::{Metrics, RateLimit, tables};
use std::fmt::{self, Display};
use std::sync::atomic::Ordering::Relaxed;
use tracing::{info, warn};

/// A network that is over the limit of unknown recipients, for its log line.
pub struct GuessingBegins<'a> {
    /// The server's queue id.
    pub queue_id: Option<&'a [u8]>,
    /// The session number in the process.
    pub session: u64,
    /// Whether this was a dry run.
    pub only_logged: bool,
    /// The name and the address of the client with the last unknown recipient.
    pub client: (Option<&'a [u8]>, &'a [u8]),
    /// The network.
    pub network: &'a dyn Display,
    /// Unknown recipients within the window.
    pub misses: u32,
    /// Known recipients within the window.
    pub hits: u32,
}

/// Formats the line:
/// `NOQUEUE: session=7 listener=milter stage=RCPT guessing=begins client=c.test[192.0.2.1] network=192.0.2.1 misses=20 hits=0`
impl Display for GuessingBegins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begins = if self.only_logged { "would_begin" } else { "begins" };
        write!(f, "{}: session={}", queue_id(self.queue_id), self.session)?;
        write!(f, " listener=milter stage=RCPT guessing={begins}")?;
        write!(f, " client={} network={}", client(self.client.0, self.client.1), self.network)?;
        write!(f, " misses={} hits={}", self.misses, self.hits)
    }
}

/// A network has too many unknown recipients: its recipients are deferred from now on.
pub fn guessing_begins(metrics: &Metrics, begins: &GuessingBegins<'_>) {
    metrics.milter.guessing_networks.fetch_add(1, Relaxed);
    info!("{begins}");
}

/// The recipients of a network are no longer deferred.
pub fn guessing_ends(metrics: &Metrics, network: &dyn Display, deferred: u64) {
    metrics.milter.guessing_networks.fetch_sub(1, Relaxed);
    info!("listener=milter guessing=ends network={network} deferred={deferred}");
}

/// A recipient was deferred without asking an account source.
pub fn guess_deferred(metrics: &Metrics) {
    metrics.milter.guessing_deferred.fetch_add(1, Relaxed);
}

/// The table of networks is full: a further network is not counted.
pub fn guessing_full(rate_limit: &RateLimit, most: usize) {
    let Some(suppressed) = rate_limit.passes() else { return };
    let others = tables::others(suppressed);
    warn!(
        "listener=milter {most} networks have recipients within guessing.window, further ones are not counted{others}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_lines() {
        let mut begins = GuessingBegins {
            queue_id: None,
            session: 7,
            only_logged: false,
            client: (Some(b"c.test"), b"IPv6:2001:db8::1"),
            network: &"2001:db8::/64",
            misses: 20,
            hits: 3,
        };
        let want = "NOQUEUE: session=7 listener=milter stage=RCPT guessing=begins \
                    client=c.test[2001:db8::1] network=2001:db8::/64 misses=20 hits=3";
        assert_eq!(begins.to_string(), want);
        begins.only_logged = true;
        assert_eq!(begins.to_string(), want.replace("begins", "would_begin"));
    }
}
