//! Random recipients, the same for the same seed.

use crate::stage::alias;
use std::time::{SystemTime, UNIX_EPOCH};

const ACCOUNTS: [&str; 10] = ["alice", "bob", "carol", "dave", "erin", "foo", "bar", "u00", "u01", "u02"];
const WORDS: [&str; 8] = ["macys", "google", "x", "nytimes", "Amazon", "a1b2", "Zoo", "telephone"];

/// An address and the mailbox that gets its mail; none if it must be refused.
pub type Recipient = (String, Option<&'static str>);

/// Random numbers (SplitMix64).
pub struct Random(u64);

/// The seed of a scenario: `RCPTD_MTA_SEED`, to have the same mail again, or the time.
pub fn seed() -> Result<u64, String> {
    match std::env::var("RCPTD_MTA_SEED") {
        Ok(seed) => seed.parse().map_err(|e| format!("RCPTD_MTA_SEED: {e}")),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs())),
    }
}

impl Random {
    /// Each stream of one seed has numbers of its own.
    pub fn new(seed: u64, stream: usize) -> Self {
        Random(seed ^ (stream as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Up to `most` recipients of any kind; `unique` makes some of their names.
    pub fn recipients(&mut self, most: usize, unique: &str) -> Vec<Recipient> {
        (0..=self.below(most)).map(|n| self.recipient(&format!("{unique}-{n}"))).collect()
    }

    fn recipient(&mut self, unique: &str) -> Recipient {
        let account = *self.pick(&ACCOUNTS);
        let word = *self.pick(&WORDS);
        let alias_of = alias;
        let alias = alias_of(account, word);
        let (local, mailbox) = match self.below(12) {
            0..=3 => (alias, Some(account)),
            4 => (alias.to_ascii_uppercase(), Some(account)),
            5 | 6 => (account.to_owned(), Some(account)),
            7 => (format!("\"{alias}\""), Some(account)),
            8 => (format!("{alias}0"), None),
            9 => (format!("nobody-{unique}"), None),
            10 => (alias_of("ghost", word), None),
            _ => return (format!("{alias}-{unique}@remote.test"), Some("remote")),
        };
        let domain = if self.one_in(4) { "Example.TEST" } else { "example.test" };
        (format!("{local}@{domain}"), mailbox)
    }
}
