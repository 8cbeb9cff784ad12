//! Secrets and the characters that `HMAC` computes with them.
//!
//! The characters encode HMAC-SHA-256 of all parts of an alias, including a last day, so that changing any
//! part requires a secret. The length of each part precedes it, so different aliases have different input.

use ring::hmac;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The allowed numbers of `HMAC` characters, five bits each. With four characters, one guess in a million is
/// right; mail servers limit the number of guesses. 32 characters cannot be guessed.
pub const HMAC_LENGTHS: RangeInclusive<usize> = 4..=32;

/// The characters of `HMAC`: digits and lower case letters, which every mail server preserves, without 0, 1,
/// l and o, which people confuse.
pub const HMAC_ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// Maximum number of secrets: one to compute codes, and earlier ones. Each adds a computation for every name
/// that looks like an alias.
pub const MAX_SECRETS: usize = 8;

/// Minimum length of a secret, in bytes. Third parties know aliases and can try secrets offline.
pub const MIN_SECRET: usize = 16;

/// Start of the HMAC input. A change of the format needs another tag.
const TAG: &[u8] = b"rcptd-hmac-1";

/// Steps of one computation, in addition to one for each byte; less than 2 µs for an ordinary name.
const STEPS: usize = 200;

/// An ordered list of secrets: the first one computes codes, all of them verify.
///
/// ```
/// use alias_rules::{HmacInput, Secrets};
///
/// let secrets = Secrets::parse("# current\n0123456789abcdef\n")?;
/// let input = HmacInput { account: "foo", alias: "foo", before: "foo-shop-", after: "" };
/// let code = secrets.code(8, &input).unwrap_or_default();
/// assert!(secrets.verify(code.as_bytes(), &input));
/// assert!(!secrets.verify(code.as_bytes(), &HmacInput { before: "foo-bank-", ..input }));
/// # Ok::<(), Vec<alias_rules::BadSecret>>(())
/// ```
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

/// The input of `HMAC`. All texts are as compared: case-folded unless case matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HmacInput<'a> {
    /// The account.
    pub account: &'a str,
    /// The alias, or the account if the statement has no aliases.
    pub alias: &'a str,
    /// The part of the name before the code.
    pub before: &'a str,
    /// The part of the name after the code.
    pub after: &'a str,
}

/// A problem in a file of secrets. Messages do not contain the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret {
    /// The line, from 1.
    pub line: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    Character,
    TooShort,
    Duplicate { first: usize },
    TooMany,
}

impl BadSecret {
    /// An instruction how to fix it.
    pub fn help(&self) -> String {
        match self.kind {
            Kind::Missing => "write one on a line, for example the output of \"openssl rand -hex 16\"".into(),
            Kind::Character => "save the file as plain text, without a byte order mark".into(),
            Kind::TooShort => "generate one with \"openssl rand -hex 16\"".into(),
            Kind::Duplicate { .. } => "remove one of them".into(),
            Kind::TooMany => "remove the oldest".into(),
        }
    }
}

/// Describes the problem in a sentence without a full stop.
impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Missing => f.write_str("the file contains no secret"),
            Kind::Character => f.write_str("the secret contains a byte order mark or a control character"),
            Kind::TooShort => write!(f, "the secret is shorter than {MIN_SECRET} bytes"),
            Kind::Duplicate { first } => write!(f, "the secret is also in line {first}"),
            Kind::TooMany => write!(f, "there are more than {MAX_SECRETS} secrets"),
        }
    }
}

impl std::error::Error for BadSecret {}

impl Secrets {
    /// Creates the list. The lengths are not checked.
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let secret =
            |bytes: Vec<u8>| Secret { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), bytes: bytes.into() };
        Secrets(secrets.into_iter().map(secret).collect())
    }

    /// Parses the content of a file with a secret on each line. Blanks around a secret, blank lines and lines
    /// that begin with `#` are ignored.
    ///
    /// # Errors
    /// All problems of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<BadSecret>> {
        let mut bad = Vec::new();
        let mut found: Vec<(usize, &str)> = Vec::new();
        for (i, secret) in text.lines().map(str::trim).enumerate() {
            let mut fault = |kind| bad.push(BadSecret { line: i + 1, kind });
            if secret.is_empty() || secret.starts_with('#') {
                continue;
            }
            if found.len() == MAX_SECRETS {
                fault(Kind::TooMany);
                break;
            }
            if secret.contains(|c: char| c.is_control() || c == '\u{feff}') {
                fault(Kind::Character);
            } else if secret.len() < MIN_SECRET {
                fault(Kind::TooShort);
            } else if let Some((first, _)) = found.iter().find(|(_, other)| *other == secret) {
                fault(Kind::Duplicate { first: *first });
            }
            found.push((i + 1, secret));
        }
        if found.is_empty() {
            bad.push(BadSecret { line: 1, kind: Kind::Missing });
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        Ok(Secrets::new(found.into_iter().map(|(_, secret)| secret.as_bytes().to_vec())))
    }

    /// The number of secrets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Computes `len` characters with the first secret. `None` if the list is empty or `len` is not in
    /// [`HMAC_LENGTHS`].
    pub fn code(&self, len: usize, input: &HmacInput<'_>) -> Option<String> {
        let secret = self.0.first().filter(|_| HMAC_LENGTHS.contains(&len))?;
        Some(characters(&secret.key, input).take(len).map(char::from).collect())
    }

    /// Whether one of the secrets computes `code`. The comparison takes constant time.
    pub fn verify(&self, code: &[u8], input: &HmacInput<'_>) -> bool {
        HMAC_LENGTHS.contains(&code.len())
            && self.0.iter().fold(false, |valid, secret| {
                let pairs = characters(&secret.key, input).zip(code);
                valid | (pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
            })
    }

    /// The steps of verifying one code whose input has `bytes` bytes.
    pub(crate) fn steps(&self, bytes: usize) -> usize {
        self.len() * (STEPS + bytes)
    }
}

/// Shows the number of secrets only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.len())
    }
}

/// Encodes the HMAC as characters, five bits each.
fn characters(key: &hmac::Key, input: &HmacInput<'_>) -> impl Iterator<Item = u8> + use<> {
    let mut context = hmac::Context::with_key(key);
    context.update(TAG);
    for text in [input.account, input.alias, input.before, input.after] {
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

/// Whether `text` begins with `len` characters of [`HMAC_ALPHABET`].
pub(crate) fn begins(text: &str, len: usize) -> bool {
    text.as_bytes().get(..len).is_some_and(|bytes| bytes.iter().all(|b| HMAC_ALPHABET.contains(b)))
}
