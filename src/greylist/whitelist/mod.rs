//! Whitelists: the mail to which greylisting does not apply. No I/O.
//!
//! An entry is a list of conditions that must all hold; a whitelist applies if one of its entries does.
//!
//! | module | contents |
//! | --- | --- |
//! | `condition` | the conditions, and whether one holds |
//! | `entries` | one entry a line: `client=192.0.2.0/24 !sender=@example.com` |
//! | `postgrey` | the lists of clients and of recipients of postgrey |
//! | `tprt` | the lists of TPRT, in JSON |
//! | `refuse` | entries that would disable greylisting |
//! | `keys` | what is looked up in a map that is a whitelist |

mod condition;
mod entries;
pub mod keys;
mod postgrey;
mod refuse;
mod tprt;

pub use condition::{Condition, MAX_REGEX, MailboxPattern, Term};

use super::Facts;
use crate::net::network::Network;
use condition::Holds;
use diagnostics::{Problem, Text};
use mail_address::{escape, fold};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Most entries of a file: each takes some 200 octets.
pub const MAX_ENTRIES: usize = 500_000;
/// Most entries of all files that have no condition to search by, such as those with regular expressions only: each is
/// compared with each recipient.
pub const MAX_SCANNED: usize = 500;
/// Most conditions of an entry.
pub const MAX_CONDITIONS: usize = 16;
/// Most errors that are reported of a file.
const MAX_PROBLEMS: usize = 20;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Conditions, or the JSON of TPRT if the file begins with `{`.
    Entries,
    /// The list of clients of postgrey.
    Clients,
    /// The list of recipients of postgrey.
    Recipients,
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its conditions, which must all hold.
    pub terms: Box<[Term]>,
    /// The file.
    pub file: Arc<str>,
    /// The line in the file, from 1.
    pub line: usize,
}

/// Formats the conditions as in a file of entries.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            write!(f, "{}{term}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// The result of a search.
#[derive(Clone, Copy, Debug)]
pub enum Found<'w> {
    /// This entry applies.
    Listed(&'w Entry),
    /// An entry applies if SPF has its result.
    NeedsSpf,
    /// No entry applies.
    NotListed,
}

/// A whitelist.
#[derive(Clone, Debug, Default)]
pub struct Whitelist {
    entries: Vec<Entry>,
    by_network: HashMap<Network, Vec<usize>>,
    /// The lengths of the prefixes in `by_network`, of IPv4 and IPv6.
    prefixes: [Vec<u8>; 2],
    by_name: HashMap<Box<str>, Vec<usize>>,
    by_sender: HashMap<Box<str>, Vec<usize>>,
    by_recipient: HashMap<Box<str>, Vec<usize>>,
    /// Those without a condition to search by.
    scanned: Vec<usize>,
}

impl Whitelist {
    /// Adds the entries of a file. `regex`: whether it may have regular expressions. Returns all problems; after an
    /// error the whitelist is incomplete, and must not be used.
    pub fn add(&mut self, text: &Text, format: Format, regex: bool) -> Vec<Problem> {
        let mut reader = Reader { text, regex, problems: Vec::new(), suppressed: 0 };
        let found = match format {
            Format::Entries if text.content.trim_start().starts_with('{') => tprt::read(&mut reader),
            Format::Entries => entries::read(&mut reader),
            Format::Clients => postgrey::clients(&mut reader),
            Format::Recipients => postgrey::recipients(&mut reader),
        };
        for (entry, span) in found {
            if self.entries.len() >= MAX_ENTRIES {
                reader.error(
                    span,
                    format!("there are more than {MAX_ENTRIES} entries"),
                    "use a map of a database",
                );
                break;
            }
            if let Some((what, remedy)) = refuse::reason(&entry) {
                reader.error(span, what, remedy);
                continue;
            }
            if self.insert(entry) > MAX_SCANNED {
                let what = format!(
                    "more than {MAX_SCANNED} entries have neither client, name, sender nor recipient"
                );
                reader.error(span, what, "each is compared with each recipient: use fewer");
                break;
            }
        }
        reader.finish()
    }

    /// Adds an entry. Returns the number of those that have no condition to search by.
    fn insert(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        let mut anchors = entry.terms.iter().filter(|term| !term.negated).map(|term| &term.condition);
        // The most selective condition first.
        let rank = |condition: &&Condition| match condition {
            Condition::Sender(_) => 0,
            Condition::Recipient(_) => 1,
            Condition::Client(_) => 2,
            Condition::Name(_) => 3,
            _ => 4,
        };
        let anchor = anchors.by_ref().min_by_key(rank);
        match anchor {
            Some(Condition::Sender(pattern)) => self.by_sender.entry(pattern.key()).or_default().push(at),
            Some(Condition::Recipient(pattern)) => {
                self.by_recipient.entry(pattern.key()).or_default().push(at);
            }
            Some(Condition::Client(network)) => {
                let prefixes = &mut self.prefixes[usize::from(!network.is_ipv4())];
                if !prefixes.contains(&network.prefix()) {
                    prefixes.push(network.prefix());
                }
                self.by_network.entry(*network).or_default().push(at);
            }
            Some(Condition::Name(domain)) => self.by_name.entry(domain.clone()).or_default().push(at),
            _ => self.scanned.push(at),
        }
        self.entries.push(entry);
        self.scanned.len()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an entry has a condition on SPF.
    pub fn needs_spf(&self) -> bool {
        let is_spf = |term: &Term| matches!(term.condition, Condition::Spf(_));
        self.entries.iter().any(|entry| entry.terms.iter().any(is_spf))
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Searches the first entry that applies.
    pub fn find(&self, facts: &Facts<'_>) -> Found<'_> {
        let mut needs_spf = false;
        for at in self.candidates(facts) {
            let Some(entry) = self.entries.get(at) else { continue };
            match entry.applies(facts) {
                Holds::Yes => return Found::Listed(entry),
                Holds::IfSpf => needs_spf = true,
                Holds::No => (),
            }
        }
        if needs_spf { Found::NeedsSpf } else { Found::NotListed }
    }

    /// The entries that may apply.
    fn candidates(&self, facts: &Facts<'_>) -> impl Iterator<Item = usize> {
        let prefixes = &self.prefixes[usize::from(facts.client.is_ipv6())];
        let networks = prefixes.iter().map(|prefix| Network::around(facts.client, *prefix, *prefix));
        let of_client = networks.filter_map(|network| self.by_network.get(&network));
        let names = facts.client_name.into_iter().flat_map(condition::parents);
        let of_name = names.filter_map(|name| self.by_name.get(name));
        let senders = Some(facts.sender).filter(|_| !self.by_sender.is_empty()).into_iter();
        let of_sender =
            senders.flat_map(condition::keys_of_sender).filter_map(|key| self.by_sender.get(&*key));
        let recipients = Some(facts.recipient).filter(|_| !self.by_recipient.is_empty()).into_iter();
        let of_recipient =
            recipients.flat_map(condition::keys).filter_map(|key| self.by_recipient.get(&*key));
        let indexed = of_client.chain(of_name).chain(of_sender).chain(of_recipient).flatten();
        indexed.chain(&self.scanned).copied()
    }
}

impl Entry {
    fn applies(&self, facts: &Facts<'_>) -> Holds {
        let mut all = Holds::Yes;
        for term in &self.terms {
            match term.holds(facts) {
                Holds::No => return Holds::No,
                Holds::IfSpf => all = Holds::IfSpf,
                Holds::Yes => (),
            }
        }
        all
    }
}

/// What is read of a file, and its problems.
struct Reader<'t> {
    text: &'t Text,
    regex: bool,
    problems: Vec<Problem>,
    suppressed: usize,
}

impl Reader<'_> {
    fn error(&mut self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            self.suppressed += 1;
            return;
        }
        self.problems.push(Problem::error(self.text, span, what).help(remedy));
    }

    /// The lines that are neither empty nor comments, with their places.
    fn lines(&self) -> Vec<(String, Range<usize>)> {
        let mut lines = Vec::new();
        let mut next = 0;
        for line in self.text.content.split_inclusive('\n') {
            let start = next;
            next += line.len();
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let begin = start + (line.len() - line.trim_start().len());
            lines.push((trimmed.to_owned(), begin..begin + trimmed.len()));
        }
        lines
    }

    fn entry(&self, terms: Vec<Term>, span: &Range<usize>) -> Entry {
        Entry { terms: terms.into(), file: self.text.file.clone(), line: self.text.line(span.start) }
    }

    /// Parses a regular expression, without regard to case.
    fn regex(&self, pattern: &str) -> Result<condition::Pattern, (String, String)> {
        if !self.regex {
            let what = format!("the regular expression /{}/ is not allowed", escape(pattern));
            return Err((what, "set greylist.allow_regex = true, or write a domain or a network".into()));
        }
        condition::Pattern::parse(pattern)
    }

    fn finish(mut self) -> Vec<Problem> {
        if self.suppressed > 0 {
            let what = format!("{} more errors are not shown", self.suppressed);
            self.problems.push(
                Problem::error(self.text, 0..0, what).help("mend those that are shown, and check again"),
            );
        }
        self.problems
    }
}

/// Text in the form in which it is compared.
fn folded(text: &str) -> Box<str> {
    fold(text).into()
}

#[cfg(test)]
mod tests;
