//! Mail addresses: parsing the argument of `RCPT TO`, comparing, folding, printing, escaping.
//!
//! An [`Address`] keeps the exact bytes that the mail server sent, because a milter must repeat them to
//! delete a recipient, and the mailbox they name: the local part without its quoting (RFC 5321, section
//! 4.1.2) and the domain in canonical spelling.
//!
//! Parsing never fails, because no recipient may be lost: everything that a mail server accepts becomes an
//! `Address`. [`Address::malformed`] returns why it cannot name a mailbox, [`Address::is_certain`] whether
//! all servers read it alike, [`Address::may_be_rerouted`] whether a server may route by its local part. The
//! caller decides how to treat such an address.
//!
//! ```
//! use mail_address::Address;
//!
//! let address = Address::from_rcpt(b"<\"Alice\"@Example.COM.>");
//! assert_eq!((address.local(), address.domain()), ("Alice", Some("example.com")));
//! assert_eq!(address.raw(), b"<\"Alice\"@Example.COM.>");
//! assert!(address.same_mailbox(&Address::from_rcpt(b"<alice@example.com>"), false));
//! // Postfix drops the comment, other servers may not.
//! assert!(!Address::from_rcpt(b"<alice(work)@example.com>").is_certain());
//! ```

mod case;
mod domain;
mod escape;
mod extension;
mod parse;
mod policy;
mod spelling;

pub use case::CaseSensitivity;
pub use domain::{is_domain, parse_domain};
pub use escape::{Escaped, escape, is_hidden, one_line, plain_json, quoted, word};
pub use extension::Forms;
pub use policy::{LocalPartPolicy, is_mark};

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The characters that Postfix and Sendmail take for blanks in their files: those of isspace(3) in the C locale.
/// All other white space of Unicode is ordinary text to them.
pub const BLANKS: [char; 6] = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];

/// Longest local part that can name a mailbox, in octets.
///
/// RFC 5321, section 4.5.3.1.1 requires 64; Postfix and Sendmail pass on far longer ones. 255 octets is the
/// limit of file names and login names, so no account has a longer name.
pub const MAX_LOCAL_PART: usize = 255;

/// Maximum number of routes followed in a local part; each makes it shorter. No server follows as many.
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
    /// A quoted string without its closing quote.
    UnclosedQuote,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Control => "control character in the address",
            Malformed::NotUtf8 => "address is not UTF-8",
            Malformed::TooLong => "address is too long",
            Malformed::UnclosedQuote => "quoted string does not end",
        })
    }
}

/// A mail address, with the bytes it was parsed from.
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
    /// Parses the first argument of `RCPT TO`.
    ///
    /// Angle brackets, quotes, the domain and the dot after it are optional. A source route is ignored, as
    /// RFC 5321, appendix C, recommends. Other spellings of RFC 822 that servers accept are parsed, too, but
    /// are not [certain](Address::is_certain).
    pub fn from_rcpt(argument: &[u8]) -> Self {
        Address::from_parts(argument, parse::path(argument))
    }

    /// Parses an address that the mail server has parsed before: `{rcpt_addr}` of a milter, or the key of a
    /// table lookup. Brackets, comments and blanks in it are part of the name.
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

    /// Creates the address of the mailbox `local` (unquoted) at `domain`.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] and [`Malformed::Control`], in the local part or in the domain.
    pub fn new(local: &str, domain: &str) -> Result<Self, Malformed> {
        if local.len() > MAX_LOCAL_PART || domain.len() > MAX_DOMAIN {
            return Err(Malformed::TooLong);
        }
        if has_control(local) || has_control(domain) {
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

    /// Keeps the raw bytes and replaces everything else by `mailbox`: the server reported how it parses them.
    #[must_use]
    pub fn with_mailbox_of(self, mailbox: Address) -> Self {
        Address { raw: self.raw, ..mailbox }
    }

    /// Keeps the raw bytes and sets the domain, for an address without one.
    #[must_use]
    pub fn with_domain(self, domain: &str) -> Self {
        Address { domain: canonical_domain(domain).into(), ..self }
    }

    /// The bytes it was parsed from.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes it was parsed from, shared.
    pub fn shared_raw(&self) -> Arc<[u8]> {
        self.raw.clone()
    }

    /// The raw bytes without the enclosing pair of angle brackets, if there is one.
    pub fn unbracketed(&self) -> &[u8] {
        self.raw.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(&self.raw)
    }

    /// Other spellings under which the mail server may have stored the recipient: Postfix removes one pair of
    /// brackets and the source route from the argument of RCPT, but not from the recipient in a milter's
    /// request.
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
            // Sendmail refuses the message if brackets do not match.
            names.push(path.into());
        }
        names
    }

    /// The local part, without quotes and backslashes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in canonical spelling, or `None` for an address without a domain.
    pub fn domain(&self) -> Option<&str> {
        (!self.domain.is_empty()).then_some(&*self.domain)
    }

    /// The reason if the address cannot name a mailbox.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Marks the address as uncertain, see [`Address::is_certain`].
    #[must_use]
    pub fn uncertain(self) -> Self {
        Address { certain: false, ..self }
    }

    /// Whether every mail server parses the bytes alike. If not, only the server knows the mailbox, and the
    /// local part and domain returned here are a guess.
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// Whether the case-folded spelling may name another mailbox: one with capitals if case matters, and one
    /// with non-ASCII octets always, because folding changes more than their case.
    pub fn may_lose_case(&self, case_sensitive: bool) -> bool {
        !self.raw.is_ascii() || (case_sensitive && self.raw.iter().any(u8::is_ascii_uppercase))
    }

    /// The next address if a server routes by the local part: `user@host`, `host!user`, `user%host`, tried in
    /// this order.
    pub fn next_hop(&self) -> Option<Address> {
        let local = &self.local;
        let (user, host) = local
            .rsplit_once('@')
            .or_else(|| local.split_once('!').map(|(host, user)| (user, host)))
            .or_else(|| local.rsplit_once('%'))?;
        Address::new(user, host).ok()
    }

    /// The address itself, followed by the addresses of the routes in its local part.
    pub fn hops(&self) -> impl Iterator<Item = Address> {
        std::iter::successors(Some(self.clone()), Address::next_hop).take(MAX_HOPS)
    }

    /// Whether a server may parse this address as `server`: it equals the address or a route in it, ignoring
    /// case; the server may have left out the domain.
    pub fn may_be_read_as(&self, server: &Address) -> bool {
        self.hops().any(|hop| {
            let same_domain =
                hop.domain.is_empty() || server.domain.is_empty() || hop.domain == server.domain;
            same_domain && fold(&hop.local) == fold(&server.local)
        })
    }

    /// Whether a mail server may route by the local part: `user%host@relay`, `host!user@relay`,
    /// `user@host@relay`, `user\@host@relay`, or an empty local part. Only the server knows the destination
    /// of such an address.
    pub fn may_be_rerouted(&self) -> bool {
        self.local.is_empty() || self.local.contains(['%', '!', '@', '\\'])
    }

    /// Whether both certainly name the same mailbox.
    ///
    /// Domains are compared ignoring case. Local parts are compared in lower case unless `case_sensitive`.
    /// Full case folding is not used: `grüße` and `grüsse`, which it makes equal, may be two mailboxes.
    pub fn same_mailbox(&self, other: &Address, case_sensitive: bool) -> bool {
        self.domain == other.domain
            && if case_sensitive {
                self.local == other.local
            } else {
                lower(&self.local) == lower(&other.local)
            }
    }

    /// A key for hash maps, equal for equal mailboxes (see [`Address::same_mailbox`]).
    pub fn key(&self, case_sensitive: bool) -> String {
        self.keyed(&if case_sensitive { Cow::Borrowed(&*self.local) } else { lower(&self.local) })
    }

    /// The address of a [`key`](Self::key); `None` if it is not one.
    ///
    /// ```
    /// use mail_address::Address;
    ///
    /// let address = Address::new("foo", "example.com").unwrap();
    /// assert_eq!(Address::from_key(&address.key(true)), Some(address));
    /// assert_eq!(Address::from_key("foo@example.com"), None);
    /// ```
    pub fn from_key(key: &str) -> Option<Address> {
        let (local, domain) = key.split_once('\0')?;
        Address::new(local, domain).ok()
    }

    /// A key for hash maps, equal for all local parts that full case folding makes equal (see [`fold`]): to
    /// search a list in memory.
    pub fn folded_key(&self, case_sensitive: bool) -> String {
        self.keyed(&if case_sensitive { Cow::Borrowed(&*self.local) } else { fold(&self.local) })
    }

    fn keyed(&self, local: &str) -> String {
        // Domains have no NUL, so no two mailboxes share a key.
        [local, &*self.domain].join("\0")
    }

    /// The address in angle brackets, as in SMTP and the milter protocol.
    pub fn path(&self) -> String {
        // Brackets, @ and quotes.
        let mut path = String::with_capacity(self.local.len() + self.domain.len() + 5);
        path.push('<');
        // Writing to a String cannot fail.
        let _ = self.write(&mut path);
        path.push('>');
        path
    }

    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if is_dot_string(&self.local) {
            out.write_str(&self.local)?;
        } else {
            out.write_char('"')?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    out.write_char('\\')?;
                }
                out.write_char(c)?;
            }
            out.write_char('"')?;
        }
        if self.domain.is_empty() {
            return Ok(());
        }
        out.write_char('@')?;
        out.write_str(&self.domain)
    }
}

/// Prints the address without brackets, its local part quoted if necessary.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// Whether a local part needs no quotes: the Dot-string of RFC 5321, section 4.1.2, with the UTF-8 of
/// RFC 6531, section 3.3.
fn is_dot_string(local: &str) -> bool {
    let atext = |b: u8| match b {
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~' => true,
        _ => b.is_ascii_alphanumeric() || !b.is_ascii(),
    };
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// Applies Unicode's full case folding, as Postfix does: spellings that differ by case only become equal, and
/// `ß` becomes `ss`.
///
/// Use it to compare two texts. To look up a name on a server or in a database, use [`lower`]: a folded name
/// may be another account.
///
/// ```
/// assert_eq!(mail_address::fold("GRÜẞE"), mail_address::fold("grüsse"));
/// assert_eq!(mail_address::lower("GRÜẞE"), "grüße");
/// ```
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { ascii_lower(text) } else { CaseMapper::new().fold_string(text) }
}

/// Converts a text to lower case and changes nothing else: `ß` and the final sigma stay, and `İ` keeps its
/// dot, because a plain `i` would be another name.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return ascii_lower(text);
    }
    let lowered = text.to_lowercase();
    if lowered == text { Cow::Borrowed(text) } else { Cow::Owned(lowered) }
}

/// Whether a text is in Unicode's composed form (NFC), in which RFC 6532, section 3.1, wants names. The same name in
/// another form looks alike, but has other octets.
pub fn is_composed(text: &str) -> bool {
    text.is_ascii() || ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

fn has_control(text: &str) -> bool {
    // Control characters beyond ASCII are found by character.
    if text.is_ascii() {
        text.bytes().any(|b| b.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    }
}

fn ascii_lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Converts a domain to canonical form: lower case, international labels as A-labels (RFC 5890), without the
/// final dot. A domain that IDNA refuses only changes its case.
pub fn canonical_domain(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() {
        return fold(unrooted(domain));
    }
    match idna::domain_to_ascii(domain) {
        // The final dot may be one of another script.
        Ok(ascii) => Cow::Owned(unrooted(&ascii).into()),
        // No such domain exists, so only comparison with itself has to work.
        Err(_) => fold(unrooted(domain)),
    }
}

/// Removes the final dot. With two dots the text is not a domain, and must not become one if this is called
/// twice.
fn unrooted(domain: &str) -> &str {
    domain.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(domain)
}

#[cfg(test)]
mod tests;
