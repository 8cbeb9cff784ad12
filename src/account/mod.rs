//! Sources of accounts: whether an account exists.
//!
//! A source of accounts is an [`AccountSource`], such as a mail server, a file or the users of this host. It
//! returns a [`Verification`] with one of three results. **A temporary failure is never "not found"**: a
//! timeout, a reply that is not understood and a database error are [`Lookup::TempFail`] with a reason. Only
//! the operator's policy turns it into a reply to the mail server.
//!
//! # The tree
//!
//! [`build`] makes one source from the settings. It contains the others; each box is itself a source:
//!
//! ```text
//! Known ── Timeout ── Cache ── Recorded ── Chain ─┬─ Breaker ── OutageLog ── Timeout ── Limit ── vrfy:…
//!                                                 ├─ Breaker ── OutageLog ── Timeout ── Limit ── file:…
//!                                                 └─ …
//! ```
//!
//! # Writing a source
//!
//! A source is one file with one type that implements [`Source`] for addresses. The wrappers above do
//! timeouts, limits and caching. A source itself has three duties:
//!
//! - It returns [`Lookup::NotFound`] only on an explicit "not found". Everything else is [`Lookup::TempFail`]
//!   with a reason that an operator can act on.
//! - It does not block: it reads files with `tokio::fs`, and calls blocking libraries with
//!   `tokio::task::spawn_blocking` and a permit that the closure owns, since the thread may outlive the
//!   caller.
//! - It may be dropped at every `.await`: a connection in the middle of a command is closed, never returned
//!   to a pool.
//!
//! `examples/account_source.rs` is a complete source with its wrappers. To add a type of source to the
//! configuration, add a [`spec::SourceType`] to its file and one line to the list in `spec.rs`.

mod aliases;
mod chain;
mod dovecot;
mod file;
mod fixed;
mod follows;
mod handover;
pub mod known;
mod map;
mod passwd;
mod plugin;
pub mod settings;
#[cfg(test)]
mod simulation;
mod smtp;
mod sources;
pub mod spec;
#[cfg(test)]
mod testing;

pub use crate::lookup::{Key, Lookup, LookupFuture, Reason, Source};
#[doc(hidden)]
pub use aliases::{has as aliases_have, syntax as aliases_syntax};
pub use chain::{Chain, Member, Progress};
#[doc(hidden)]
pub use dovecot::protocol as dovecot_protocol;
pub use follows::Follows;
#[doc(hidden)]
pub use smtp::ask_over;
pub use sources::{Sources, account_cache, build};

use crate::lookup;
use crate::watch::Basis;
use mail_address::Address;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A source of accounts. The key is the address to which mail would be delivered, with its domain in lower
/// case. See [`Source`] for the duties of an implementation.
pub type AccountSource = dyn Source<Address, Verification>;

/// The result of a lookup, with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether the account exists.
    pub result: Lookup<()>,
    /// The name of the source, as the operator wrote it (`vrfy:127.0.0.1:5025`).
    pub source: Arc<str>,
    /// Whether it comes from the cache.
    pub cached: bool,
    /// Whether the source fails now, and the account is known from before or pinned (see [`known`]).
    pub stale: bool,
    /// Maximum TTL of this result, if it is shorter than the configured one because the control expires.
    pub ttl: Option<Duration>,
    /// Command and reply in one sentence fragment, such as `VRFY <foo@example.com>: 550 5.1.1 no such user`:
    /// text for the log and for `explain`, never for a peer. It may quote a server, so escape it. The reason
    /// of a [`Lookup::TempFail`] has its own text.
    pub detail: Option<Arc<str>>,
    /// The states of the files that the result depends on. When one of them changes, the result is dropped
    /// from the cache.
    pub basis: Basis,
    /// With a [`Lookup::TempFail`] of several sources: those that said "not found". That they found the account before
    /// does not count any more.
    pub denied: Vec<Arc<str>>,
}

/// Maximum length of [`Verification::detail`] in octets: a reply line of 512 octets (RFC 5321, section
/// 4.5.3.1.5) and the address. The cache stores one for each account.
pub const MAX_DETAIL: usize = 1024;

impl Verification {
    /// A result of `source` that does not come from the cache.
    pub fn new(result: Lookup<()>, source: &Arc<str>) -> Self {
        Verification {
            result,
            source: source.clone(),
            cached: false,
            stale: false,
            ttl: None,
            detail: None,
            basis: Basis::default(),
            denied: Vec::new(),
        }
    }

    /// Where the result comes from, as a word of the log.
    pub fn cache_word(&self) -> &'static str {
        match (self.stale, self.cached) {
            (true, _) => "stale",
            (false, true) => "hit",
            (false, false) => "miss",
        }
    }

    /// Adds [`Verification::detail`], truncated to [`MAX_DETAIL`] octets.
    #[must_use]
    pub fn with_detail(mut self, text: &str) -> Self {
        self.detail = Some(text[..text.floor_char_boundary(MAX_DETAIL)].into());
        self
    }

    /// Adds `basis` to the files that the result depends on.
    #[must_use]
    pub fn depending_on(mut self, basis: &Basis) -> Self {
        self.basis = self.basis.and(basis);
        self
    }

    /// Limits the time for which the result is cached.
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

    fn is_found(&self) -> bool {
        matches!(self.result, Lookup::Found(()))
    }

    fn is_current(&self) -> bool {
        self.basis.holds()
    }

    fn depending_on(self, basis: &Basis) -> Self {
        Verification::depending_on(self, basis)
    }

    fn marked_cached(self) -> Self {
        Verification { cached: true, ..self }
    }
}

/// The key is case-sensitive: the results for `Foo` and `foo` may differ.
impl Key for Address {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Owned(self.key(true))
    }
}
