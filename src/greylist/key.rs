//! The keys of entries in a store: a letter for the kind, and a digest of the names.
//!
//! A digest has the same length for all names, and the store does not show who writes to whom. It is no secret: who
//! can read the store and guesses all names of an entry can find the entry.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_address::{Address, fold};
use ring::digest::{Context, SHA256};

/// Octets of the SHA-256 digest in a key. Among 10^9 entries, two have the same digest with a probability of 10^-11;
/// then one of them might pass without delay.
const DIGEST: usize = 12;

/// The kinds of entries, by the letter that begins their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Client, sender and recipient.
    Triplet,
    /// A client that has passed.
    Client,
    /// An address outside that one of our accounts has written to, and that account.
    Correspondent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Triplet, Kind::Client, Kind::Correspondent];

    /// The letter that begins its keys.
    pub fn letter(self) -> char {
        match self {
            Kind::Triplet => 't',
            Kind::Client => 'c',
            Kind::Correspondent => 'o',
        }
    }

    /// The kind whose keys begin as this one does.
    pub fn of(key: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| key.starts_with(kind.letter()))
    }
}

/// Returns the key of these names, in this order. The case of letters does not matter.
pub fn key(kind: Kind, names: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for name in names {
        context.update(fold(name).as_bytes());
        // Names have no NUL.
        context.update(&[0]);
    }
    let digest = context.finish();
    let mut key = String::with_capacity(1 + DIGEST.div_ceil(3) * 4);
    key.push(kind.letter());
    let bytes = digest.as_ref();
    URL_SAFE_NO_PAD.encode_string(&bytes[..DIGEST.min(bytes.len())], &mut key);
    key
}

/// The name of a null sender in a key, and in listings.
pub const NULL_SENDER: &str = "<>";

/// Returns the key of a triplet. `client` is the text of the key of the client, `sender` what
/// [`stable`](super::sender::stable) returns.
pub fn triplet(client: &str, sender: &str, recipient: &Address) -> String {
    key(Kind::Triplet, &[client, sender, &recipient.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_differ() {
        let rcpt = |text: &str| Address::from_server(text.as_bytes());
        let one = triplet("192.0.2.0/24", "bob@example.org", &rcpt("foo@example.test"));
        // Other versions and other hosts must find it.
        assert_eq!(one, "tQNCaGWDaV-BHpNJh");
        assert_eq!(one.len(), 17);
        assert_eq!(one, triplet("192.0.2.0/24", "Bob@Example.org", &rcpt("FOO@example.TEST")));
        let others = [
            triplet("192.0.3.0/24", "bob@example.org", &rcpt("foo@example.test")),
            triplet("192.0.2.0/24", "bob2@example.org", &rcpt("foo@example.test")),
            triplet("192.0.2.0/24", "bob@example.org", &rcpt("foo2@example.test")),
            triplet("192.0.2.0/24", NULL_SENDER, &rcpt("foo@example.test")),
            key(Kind::Client, &["192.0.2.0/24", "bob@example.org", "foo@example.test"]),
            key(Kind::Triplet, &["192.0.2.0/24bob@example.org", "foo@example.test"]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(*other != one && !others[..at].contains(other), "{at}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&key(kind, &["x"])), Some(kind));
        }
    }
}
