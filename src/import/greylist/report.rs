//! What an import has taken over, and what not.

use super::{Kind, Settings};
use crate::greylist::key;
use crate::import::difference;
use alias_rules::Difference;
use mail_address::escape;
use std::fmt;

/// Examples that are kept for each reason.
pub const MAX_EXAMPLES: usize = 3;

/// Longest example, in octets.
pub(super) const MAX_EXAMPLE: usize = 200;

/// Entries that were not taken over for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The reason: a sentence fragment.
    pub reason: &'static str,
    /// Their number.
    pub count: u64,
    /// The first [`MAX_EXAMPLES`], each with its line, from 1. The text is not escaped.
    pub examples: Vec<(usize, String)>,
}

/// Formats several lines: the reason, and each example.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.count, self.reason)?;
        for (line, text) in &self.examples {
            write!(f, "\n  line {line}")?;
            if !text.is_empty() {
                write!(f, ": {}", escape(text))?;
            }
        }
        Ok(())
    }
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The format.
    pub kind: Option<Kind>,
    /// Number of lines.
    pub lines: usize,
    /// Number of triplets that were taken over.
    pub triplets: u64,
    /// Number of clients.
    pub clients: u64,
    /// Number of correspondents.
    pub correspondents: u64,
    /// What was not taken over. The parsers have a fixed number of reasons.
    pub skipped: Vec<Skipped>,
    /// What is different after the import.
    pub differences: Vec<Difference>,
}

impl Report {
    /// The number of entries that were taken over.
    pub fn records(&self) -> u64 {
        self.triplets + self.clients + self.correspondents
    }

    pub(super) fn count(&mut self, kind: key::Kind) {
        *match kind {
            key::Kind::Triplet => &mut self.triplets,
            key::Kind::Client => &mut self.clients,
            key::Kind::Correspondent => &mut self.correspondents,
        } += 1;
    }

    pub(super) fn skip(&mut self, reason: &'static str, example: &str) {
        let known = self.skipped.iter().position(|skipped| skipped.reason == reason);
        let at = known.unwrap_or_else(|| {
            self.skipped.push(Skipped { reason, count: 0, examples: Vec::new() });
            self.skipped.len() - 1
        });
        let lines = self.lines;
        if let Some(skipped) = self.skipped.get_mut(at) {
            skipped.count += 1;
            if skipped.examples.len() < MAX_EXAMPLES {
                let end = example.floor_char_boundary(MAX_EXAMPLE);
                skipped.examples.push((lines, example[..end].to_owned()));
            }
        }
    }
}

const SENDERS: (&str, &str) = (
    "senders",
    "are stored without tags of BATV and SRS, numbers, the recipient and the extension, as rcptd looks for them; what the \
     other program did to a sender before is kept, so a few senders wait once more",
);

const NETWORKS: (&str, &str) = (
    "clients",
    "are networks. A client that rcptd knows by its name or by SPF passes by its old triplets, but its passes are counted \
     again",
);

/// The differences that each import of a kind has.
pub(super) fn differences(kind: Kind, settings: &Settings) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut say = |(about, text): (&str, &str)| out.push(difference(about, text.to_owned()));
    match kind {
        Kind::Records => return out,
        Kind::Postgrey => say((
            "postgrey_clients.db",
            "has whole addresses, whose passes count for their network in rcptd; the highest number of a network counts",
        )),
        Kind::Sqlgrey => {
            say((
                "domain_awl",
                "was for one domain of senders and one client; in rcptd the client passes with all senders",
            ));
            say((
                "from_awl",
                "was for one sender and one client with any recipient; in rcptd it counts as one pass of the client, so the \
                 sender waits once more with each recipient",
            ));
            say(("times without a zone", "are read as UTC: see the commands that write seconds"));
        }
        Kind::MilterGreylist => {
            say((
                "lines with AUTO",
                "have the time of their expiry only; they expire at that time, unless they are used before",
            ));
            say((
                "other lines",
                "have the time at which a retry is accepted; a retry is accepted at that time in rcptd, too",
            ));
        }
        Kind::TprtGdbm | Kind::TprtRedis => say((
            "triplets that have passed",
            "have the time of their last use only; the first one is unknown, and 0 seconds of delay are stored",
        )),
    }
    say(NETWORKS);
    say(SENDERS);
    if settings.enough == 0 {
        say(("clients", "have no effect, since no client passes without a triplet by your configuration"));
    }
    out
}
