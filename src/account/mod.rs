//! Does this account exist?
//!
//! A source of accounts is an [`AccountSource`]: it knows the accounts of a mail server, a file, a database. Its answer
//! is a [`Verification`] with one of three results, and **"I don't know" is never "no"**: a timeout, a reply that is
//! not understood, a database error are [`Lookup::TempFail`] with a reason, and only the operator's policy makes of it
//! a reply to the mail server.
//!
//! # The tree
//!
//! [`build`] makes one source from the settings. It contains the others, and each box is a source itself:
//!
//! ```text
//! Cache ── Chain ─┬─ AcceptTempFail? ── OutageLog ── Timeout ── Limit ── vrfy:…
//!                 ├─ AcceptTempFail? ── OutageLog ── Timeout ── Limit ── file:…
//!                 └─ …
//! ```
//!
//! # Writing a source
//!
//! A source is one file with one type that implements [`Source`] for addresses. The boxes above do timeouts, limits
//! and caching. A source itself has three duties:
//!
//! * It answers [`Lookup::NotFound`] only on an explicit "not found". Everything else is [`Lookup::TempFail`]
//!   with a reason an operator can act on.
//! * It does not block: files by `tokio::fs`, blocking libraries by `tokio::task::spawn_blocking` with a
//!   permit that the closure keeps (the caller may be gone while the thread still works).
//! * It survives being dropped at every `.await`: a connection in the middle of a command is dropped with the
//!   question, never returned to a pool.
//!
//! `examples/account_source.rs` is a complete source with its boxes. To make it available in the
//! configuration, add a [`spec::SourceType`] to its file and one line to the list in `spec.rs`.

mod accept;
mod chain;
mod file;
mod fixed;
mod follows;
mod map;
mod passwd;
pub mod settings;
mod sources;
pub mod spec;
#[cfg(test)]
mod testing;
mod vrfy;

pub use crate::lookup::{Key, Lookup, LookupFuture, Reason, Source};
pub use accept::AcceptTempFail;
pub use chain::Chain;
pub use follows::Follows;
pub use sources::{Sources, account_cache, build};
#[doc(hidden)]
pub use vrfy::ask_over;

use crate::lookup;
use crate::watch::Basis;
use mail_address::Address;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A source of accounts. The key is the address that mail would be delivered to, its domain in lower case; see
/// [`Source`] for the duties of an implementation.
pub type AccountSource = dyn Source<Address, Verification>;

/// A result and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether the account exists.
    pub result: Lookup<()>,
    /// The name of the source, as the operator wrote it (`vrfy:127.0.0.1:5025`).
    pub source: Arc<str>,
    /// Whether it comes from the cache.
    pub cached: bool,
    /// Longest time to cache it, if that is shorter than for other answers, as its control expires.
    pub ttl: Option<Duration>,
    /// Question and reply, in one sentence fragment such as `VRFY <foo@example.com>: 550 5.1.1 no such user`:
    /// text for the log and for `explain`, never for a peer. It may quote a server, so escape it. The reason
    /// of [`Lookup::TempFail`] has its own.
    pub detail: Option<Arc<str>>,
    /// The states of files that it comes from: when one of them changes, it is dropped from the cache.
    pub basis: Basis,
}

/// Longest [`Verification::detail`], in octets: a reply line of 512 octets (RFC 5321, section 4.5.3.1.5) and the
/// name that was asked for. The cache has one for each account.
pub const MAX_DETAIL: usize = 1024;

impl Verification {
    /// A fresh answer of the source called `source`.
    pub fn new(result: Lookup<()>, source: &Arc<str>) -> Self {
        Verification {
            result,
            source: source.clone(),
            cached: false,
            ttl: None,
            detail: None,
            basis: Basis::default(),
        }
    }

    /// The same with question and reply (see [`Verification::detail`]), cut off after [`MAX_DETAIL`] octets.
    #[must_use]
    pub fn with_detail(mut self, text: &str) -> Self {
        self.detail = Some(text[..text.floor_char_boundary(MAX_DETAIL)].into());
        self
    }

    /// The same, depending on `basis` as well.
    #[must_use]
    pub fn depending_on(mut self, basis: &Basis) -> Self {
        self.basis = self.basis.and(basis);
        self
    }

    /// The same, cached for at most `ttl`.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl lookup::Answer for Verification {
    fn failed(reason: Reason, name: &Arc<str>) -> Self {
        Verification::new(Lookup::TempFail(reason), name)
    }

    fn failure(&self) -> Option<&Reason> {
        self.result.failure()
    }

    fn is_current(&self) -> bool {
        self.basis.holds()
    }

    fn depending_on(self, basis: &Basis) -> Self {
        Verification::depending_on(self, basis)
    }

    fn from_cache(self) -> Self {
        Verification { cached: true, ..self }
    }
}

/// The name as it is asked: an answer about `Foo` is not one about `foo`.
impl Key for Address {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Owned(self.key(true))
    }
}
