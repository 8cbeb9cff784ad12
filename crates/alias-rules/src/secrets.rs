//! Secrets, and the characters that `HMAC` computes with them.
//!
//! What is computed is HMAC-SHA-256 over all that an alias is made of, so that nobody without a secret can
//! change any of it, a last day included. Each text goes in with its length in front: no two aliases make the
//! same input.

use ring::hmac;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How many characters `HMAC` makes. Each is worth five bits: with four, one guess in a million is right,
/// which is little, but mail servers count guesses; with 32 nobody will ever guess.
pub const HMAC_LENGTHS: RangeInclusive<usize> = 4..=32;

/// The characters: digits and small letters, which survive every mail server, without 0, 1, l and o, which
/// people take for each other.
pub const HMAC_ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// Most secrets of a file: one that makes codes and those it took the place of. Each costs a computation for
/// every name that looks like an alias.
pub const MAX_SECRETS: usize = 8;

/// Shortest secret, in bytes. An alias is in the hands of strangers, who can try secrets on it at leisure.
pub const MIN_SECRET: usize = 16;

/// What the input begins with; another way to make it would need another tag.
const TAG: &[u8] = b"rcptd-hmac-1";

/// Steps of one computation, less than 2 µs for an ordinary name. It takes one more for each byte.
const STEPS: usize = 200;

/// Secrets in order: the first one makes codes, all of them verify.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secrets(Arc<[Secret]>);

#[derive(Clone)]
struct Secret {
    bytes: Box<[u8]>,
    key: hmac::Key,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// What the characters of `HMAC` are computed from, all of it as it is compared: folded, where upper and
/// lower case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// The account.
    pub account: &'a str,
    /// The alias; the account, where the statement has none.
    pub alias: &'a str,
    /// The name in front of the code.
    pub before: &'a str,
    /// The name behind the code.
    pub after: &'a str,
}

/// Why a line of a file of secrets cannot be used. The secret itself is in no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret {
    /// The line, from 1.
    pub line: usize,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    None,
    Odd,
    Short,
    Twice { first: usize },
    TooMany,
}

impl BadSecret {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self.why {
            Why::None => "write one on a line of its own, such as that of \"openssl rand -hex 16\"".into(),
            Why::Odd => "save the file as plain text, without a byte order mark".into(),
            Why::Short => "make one with \"openssl rand -hex 16\"".into(),
            Why::Twice { .. } => "remove one of them".into(),
            Why::TooMany => "remove the oldest".into(),
        }
    }
}

/// What is wrong, in a sentence without a full stop.
impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::None => f.write_str("there is no secret here"),
            Why::Odd => f.write_str("the secret holds a byte order mark or a control character"),
            Why::Short => write!(f, "the secret is shorter than {MIN_SECRET} bytes"),
            Why::Twice { first } => write!(f, "the secret stands in line {first} as well"),
            Why::TooMany => write!(f, "there are more than {MAX_SECRETS} secrets"),
        }
    }
}

impl std::error::Error for BadSecret {}

impl Secrets {
    /// From the secrets themselves.
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let secret =
            |bytes: Vec<u8>| Secret { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), bytes: bytes.into() };
        Secrets(secrets.into_iter().map(secret).collect())
    }

    /// From a file: one on each line, without the blanks around it. Blank lines and those that begin with `#`
    /// are none. The error holds all that is wrong.
    pub fn parse(text: &str) -> Result<Self, Vec<BadSecret>> {
        let mut bad = Vec::new();
        let mut found: Vec<(usize, &str)> = Vec::new();
        for (i, secret) in text.lines().map(str::trim).enumerate() {
            let mut fault = |why| bad.push(BadSecret { line: i + 1, why });
            if secret.is_empty() || secret.starts_with('#') {
                continue;
            }
            if found.len() == MAX_SECRETS {
                fault(Why::TooMany);
                break;
            }
            if secret.contains(|c: char| c.is_control() || c == '\u{feff}') {
                fault(Why::Odd);
            } else if secret.len() < MIN_SECRET {
                fault(Why::Short);
            } else if let Some((first, _)) = found.iter().find(|(_, other)| *other == secret) {
                fault(Why::Twice { first: *first });
            }
            found.push((i + 1, secret));
        }
        if found.is_empty() {
            bad.push(BadSecret { line: 1, why: Why::None });
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        Ok(Secrets::new(found.into_iter().map(|(_, secret)| secret.as_bytes().to_vec())))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `len` characters that `HMAC` makes with the first secret; `None` without one, or if `len` is not of
    /// [`HMAC_LENGTHS`].
    pub fn code(&self, len: usize, bound: &Bound<'_>) -> Option<String> {
        let secret = self.0.first().filter(|_| HMAC_LENGTHS.contains(&len))?;
        Some(characters(&secret.key, bound).take(len).map(char::from).collect())
    }

    /// Whether one of the secrets makes `code`. The time it takes does not tell how much of it is right.
    pub fn verify(&self, code: &[u8], bound: &Bound<'_>) -> bool {
        HMAC_LENGTHS.contains(&code.len())
            && self.0.iter().fold(false, |right, secret| {
                let right_characters = characters(&secret.key, bound).zip(code);
                right | (right_characters.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
            })
    }

    /// The steps it takes to verify one code over so many bytes.
    pub(crate) fn steps(&self, bytes: usize) -> usize {
        self.len() * (STEPS + bytes)
    }
}

/// Says how many, and nothing else.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.len())
    }
}

/// The characters, five bits each, the first ones first.
fn characters(key: &hmac::Key, bound: &Bound<'_>) -> impl Iterator<Item = u8> + use<> {
    let mut context = hmac::Context::with_key(key);
    context.update(TAG);
    for text in [bound.account, bound.alias, bound.before, bound.after] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let tag = context.sign();
    (0..*HMAC_LENGTHS.end()).map(move |i| {
        let byte = |at: usize| tag.as_ref().get(at).copied().map_or(0, u16::from);
        let pair = byte(i * 5 / 8) << 8 | byte(i * 5 / 8 + 1);
        HMAC_ALPHABET[usize::from(pair >> (11 - i * 5 % 8) & 31)]
    })
}

/// Whether `text` begins with `len` characters that `HMAC` may have made.
pub(crate) fn begins(text: &str, len: usize) -> bool {
    text.as_bytes().get(..len).is_some_and(|bytes| bytes.iter().all(|b| HMAC_ALPHABET.contains(b)))
}
