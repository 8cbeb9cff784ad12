//! Mail addresses: parsing the argument of `RCPT TO`, comparing, folding, printing, escaping.
//!
//! An [`Address`] is parsed once at the edge. It keeps the exact bytes the mail server sent, because the
//! milter's "delete recipient" must repeat them, and the mailbox they name: the local part without its
//! quoting (RFC 5321, section 4.1.2) and the domain in its canonical spelling.
//!
//! Parsing never fails: everything that a mail server accepts becomes an `Address`, since no recipient may be
//! lost. [`Address::malformed`] tells that it cannot name a mailbox, [`Address::is_certain`] whether all
//! servers read it alike, [`Address::may_be_rerouted`] whether a server may route by its local part; the
//! resolver decides what to do.

mod case;
mod domain;
mod escape;
mod extension;
mod normal;
mod parse;
mod spelling;

pub use case::Cases;
pub use domain::{checked_domain, is_domain};
pub use escape::{Escaped, escape, one_line, plain_json, quoted, word};
pub use extension::Forms;
pub use normal::{Normal, is_mark};

use icu_casemap::CaseMapper;
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Longest local part that can name a mailbox, in octets.
///
/// RFC 5321, section 4.5.3.1.1 requires 64; Postfix and Sendmail pass on far longer ones. 255 is the longest
/// file name or login name, so no longer account exists.
pub const MAX_LOCAL_PART: usize = 255;

/// Most routes followed in a local part, each of which makes it shorter: more than any server follows.
const MAX_HOPS: usize = 10;

/// Longest domain, in octets of its ASCII form (RFC 5321, section 4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;

/// Why the local part of an address cannot name a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A control character, which no mailbox name may contain (RFC 5321, section 4.1.2).
    Control,
    /// Octets that are not UTF-8 (RFC 6531, section 3.3).
    NotUtf8,
    /// Longer than [`MAX_LOCAL_PART`], or a domain longer than [`MAX_DOMAIN`].
    TooLong,
    /// A quoted string that does not end.
    Quote,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Control => "control character in the address",
            Malformed::NotUtf8 => "address is not UTF-8",
            Malformed::TooLong => "address is too long",
            Malformed::Quote => "quoted string does not end",
        })
    }
}

/// A mail address, with the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    // Shared, since addresses are cloned often while a recipient is resolved.
    raw: Arc<[u8]>,
    local: Arc<str>,
    domain: Arc<str>,
    malformed: Option<Malformed>,
    certain: bool,
}

impl Address {
    /// Reads the first argument of `RCPT TO`: with or without angle brackets, quoted or not, after a source
    /// route (RFC 5321, appendix C: to be ignored), with a dot after the domain or without a domain; also the
    /// spellings of RFC 822 that servers accept, which are not certain.
    pub fn from_rcpt(argument: &[u8]) -> Self {
        Address::from_parts(argument, parse::path(argument))
    }

    /// Reads an address as a mail server names it once it has read it itself: `{rcpt_addr}` of a milter, the key
    /// of a look-up. Brackets, comments and blanks in it are part of the name.
    pub fn from_server(text: &[u8]) -> Self {
        Address::from_parts(text, parse::address(text))
    }

    fn from_parts(raw: &[u8], parsed: parse::Parts) -> Self {
        Address {
            raw: raw.into(),
            local: parsed.local.into(),
            domain: canonical_domain(&parsed.domain).into(),
            malformed: parsed.malformed,
            certain: parsed.certain,
        }
    }

    /// The mailbox `local` (unquoted) at `domain`.
    pub fn new(local: &str, domain: &str) -> Result<Self, Malformed> {
        if local.len() > MAX_LOCAL_PART || domain.len() > MAX_DOMAIN {
            return Err(Malformed::TooLong);
        }
        if local.chars().chain(domain.chars()).any(char::is_control) {
            return Err(Malformed::Control);
        }
        let mut address = Address {
            raw: Arc::default(),
            local: local.into(),
            domain: canonical_domain(domain).into(),
            malformed: None,
            certain: true,
        };
        address.raw = address.path().into_bytes().into();
        Ok(address)
    }

    /// The same recipient bytes, but with the mailbox of `meaning`.
    #[must_use]
    pub fn meaning(self, meaning: Address) -> Self {
        Address { raw: self.raw, ..meaning }
    }

    /// The same recipient at `domain`, for an address without one.
    #[must_use]
    pub fn at(self, domain: &str) -> Self {
        Address { domain: canonical_domain(domain).into(), ..self }
    }

    /// The bytes it was read from.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The same bytes, to be kept.
    pub fn shared_raw(&self) -> Arc<[u8]> {
        self.raw.clone()
    }

    /// The bytes without one pair of brackets around them.
    pub fn unbracketed(&self) -> &[u8] {
        self.raw.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(&self.raw)
    }

    /// Other bytes by which a mail server may know it: Postfix removes one pair of brackets and the source
    /// route from the argument of RCPT, but not from a recipient that a milter names.
    pub fn other_names(&self) -> Vec<Arc<[u8]>> {
        let inner = self.unbracketed();
        let path = match inner.iter().position(|b| *b == b':') {
            Some(colon) if inner.starts_with(b"@") => &inner[colon + 1..],
            _ => inner,
        };
        let mut names = Vec::new();
        if self.certain {
            let without_route = match std::str::from_utf8(inner) {
                Ok(text) => parse::strip_route(text).as_bytes(),
                Err(_) => inner,
            };
            if without_route.len() < inner.len() {
                let bracketed = inner.len() < self.raw.len();
                names.push(if bracketed {
                    [b"<", without_route, b">"].concat().into()
                } else {
                    without_route.into()
                });
            }
        } else if *path != *self.raw && !path.starts_with(b">") {
            // Brackets that do not match are an error to Sendmail, which then refuses the message.
            names.push(path.into());
        }
        names
    }

    /// The local part, without quotes and backslashes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in canonical spelling, `None` if there is none.
    pub fn domain(&self) -> Option<&str> {
        (!self.domain.is_empty()).then_some(&*self.domain)
    }

    /// Why this cannot name a mailbox, if it cannot.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// The same, marked as not certain.
    #[must_use]
    pub fn doubted(self) -> Self {
        Address { certain: false, ..self }
    }

    /// Whether every mail server reads the bytes alike. If not, only the server knows the address; the parts
    /// are a guess.
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// Whether its case-folded form is ambiguous: if case matters, with capitals; else, if folding changes
    /// more than the case.
    pub fn may_lose_case(&self, case_sensitive: bool) -> bool {
        !self.raw.is_ascii() || (case_sensitive && self.raw.iter().any(u8::is_ascii_uppercase))
    }

    /// The next address if a server reads a route in the local part: `user@host`, `host!user`, `user%host`,
    /// in this order.
    pub fn next_hop(&self) -> Option<Address> {
        let local = &self.local;
        let (user, host) = local
            .rsplit_once('@')
            .or_else(|| local.split_once('!').map(|(host, user)| (user, host)))
            .or_else(|| local.rsplit_once('%'))?;
        Address::new(user, host).ok()
    }

    /// The address itself, then the addresses of the routes in its local part, one after the other.
    pub fn hops(&self) -> impl Iterator<Item = Address> {
        std::iter::successors(Some(self.clone()), Address::next_hop).take(MAX_HOPS)
    }

    /// Whether `server` may be a server's reading of this: the address, or a route in it, without regard to
    /// case; the server may leave out the domain.
    pub fn may_be_read_as(&self, server: &Address) -> bool {
        self.hops().any(|hop| {
            let same_domain =
                hop.domain.is_empty() || server.domain.is_empty() || hop.domain == server.domain;
            same_domain && fold(&hop.local) == fold(&server.local)
        })
    }

    /// Whether a mail server may read a route out of the local part: `user%host@relay`, `host!user@relay`,
    /// `user@host@relay`, `user\@host@relay`, or no local part at all. Only the server knows the destination
    /// of such an address.
    pub fn may_be_rerouted(&self) -> bool {
        self.local.is_empty() || self.local.contains(['%', '!', '@', '\\'])
    }

    /// Whether both certainly name one mailbox. Domains are compared without regard to case, local parts if
    /// so chosen, in lower case: names that only full case folding makes equal (`grüße`, `grüsse`) may be two
    /// mailboxes.
    pub fn same_mailbox(&self, other: &Address, case_sensitive: bool) -> bool {
        self.domain == other.domain
            && if case_sensitive {
                self.local == other.local
            } else {
                lower(&self.local) == lower(&other.local)
            }
    }

    /// A key that is equal for equal mailboxes (see [`Address::same_mailbox`]).
    pub fn key(&self, case_sensitive: bool) -> String {
        self.keyed(&if case_sensitive { Cow::Borrowed(&*self.local) } else { lower(&self.local) })
    }

    /// A key that is equal for all spellings of a local part that compare equal (see [`fold`]): to find an
    /// address in a list that is in memory.
    pub fn folded_key(&self, case_sensitive: bool) -> String {
        self.keyed(&if case_sensitive { Cow::Borrowed(&*self.local) } else { fold(&self.local) })
    }

    fn keyed(&self, local: &str) -> String {
        // Domains have no NUL, so no two mailboxes share a key.
        [local, &*self.domain].join("\0")
    }

    /// The address in angle brackets, as in SMTP and the milter protocol.
    pub fn path(&self) -> String {
        // Brackets, an @, and the quotes that some need.
        let mut path = String::with_capacity(self.local.len() + self.domain.len() + 5);
        // Writing to a String cannot fail.
        let _ = write!(path, "<{self}>");
        path
    }
}

/// The address without brackets, its local part quoted if necessary.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

/// Whether a local part needs no quotes: the Dot-string of RFC 5321, section 4.1.2, with the UTF-8 of
/// RFC 6531, section 3.3.
fn is_dot_string(local: &str) -> bool {
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

/// Unicode's full case folding, as in Postfix (`ß` becomes `ss`): spellings that differ by case only become
/// equal. Use it to compare two texts, never for a name that a server or database is asked for: that is
/// [`lower`].
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { ascii_lower(text) } else { CaseMapper::new().fold_string(text) }
}

/// A text in lower case. Only case changes: `ß` and the final sigma stay, and `İ`, whose plain lower case `i`
/// would be another name, keeps its dot.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return ascii_lower(text);
    }
    let lowered = text.to_lowercase();
    if lowered == text { Cow::Borrowed(text) } else { Cow::Owned(lowered) }
}

fn ascii_lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// A domain in canonical form: lower case, in A-labels (RFC 5890) if it is international, without the dot at
/// the end.
pub fn canonical_domain(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() {
        return fold(unrooted(domain));
    }
    match idna::domain_to_ascii(domain) {
        // The dot may be one of another script.
        Ok(ascii) => Cow::Owned(unrooted(&ascii).into()),
        // IDNA refuses it, so no such domain exists; it only has to stay the same.
        Err(_) => fold(unrooted(domain)),
    }
}

/// Without the dot at its end. With two dots it is not a domain, and must not become one if this is called
/// twice.
fn unrooted(domain: &str) -> &str {
    domain.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(domain)
}

#[cfg(test)]
mod tests;
