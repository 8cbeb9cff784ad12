//! Does this account exist?
//!
//! [`AccountSource`] is the interface to systems that know the accounts. A source has three answers, and **"I
//! don't know" is never "no"**: a timeout, a reply that is not understood, a database error are
//! [`Verdict::Unknown`] with a reason, and only the operator's policy turns that into an answer for the mail
//! server.
//!
//! # The tree
//!
//! [`build`] makes one source from the settings. It contains the others, and each box is a source itself:
//!
//! ```text
//! Cache ── Chain ─┬─ AcceptUnknown? ── Watched ── Deadline ── Limit ── vrfy:…
//!                 ├─ AcceptUnknown? ── Watched ── Deadline ── Limit ── file:…
//!                 └─ …
//! ```
//!
//! # Writing a source
//!
//! A source is one file with one type that has [`AccountSource::verify`]. The boxes above do timeouts, limits
//! and caching. A source itself has three duties:
//!
//! * It answers [`Verdict::Missing`] only on an explicit "not found". Everything else is [`Verdict::Unknown`]
//!   with a reason an operator can act on.
//! * It does not block: files by `tokio::fs`, blocking libraries by `tokio::task::spawn_blocking` with a
//!   permit that the closure keeps (the caller may be gone while the thread still works).
//! * It survives being dropped at every `.await`: a connection in the middle of a command is dropped with the
//!   question, never returned to a pool.
//!
//! `examples/account_source.rs` is a complete source with its boxes. To make it available in the
//! configuration, add a [`spec::Kind`] to its file and one line to the list in `spec.rs`.

mod accept;
mod cache;
mod chain;
mod deadline;
mod file;
mod fixed;
mod follows;
mod limit;
mod passwd;
pub mod settings;
mod sources;
pub mod spec;
#[cfg(test)]
mod testing;
mod vrfy;
mod watched;

pub use accept::AcceptUnknown;
pub use cache::{Cache, MAX_QUESTIONS};
pub use chain::Chain;
pub use deadline::Deadline;
pub use follows::Follows;
pub use limit::Limit;
pub use sources::{Sources, build};
#[doc(hidden)]
pub use vrfy::ask_over;
pub use watched::Watched;

use crate::watch::Basis;
use mail_address::Address;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Whether an account exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The account exists; mail for it may be accepted.
    Exists,
    /// The account certainly does not exist; mail for it is to be refused permanently.
    Missing,
    /// Temporary failure; mail for it is to be deferred.
    Unknown(Reason),
}

/// `exists`, `missing` or `unknown: ` and the reason, not escaped.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Exists => f.write_str("exists"),
            Verdict::Missing => f.write_str("missing"),
            Verdict::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

/// Reason of a temporary failure: text for the log and for `explain`, never for a peer.
///
/// The text may quote a server's reply, so escape it for the log (see [`mail_address::escape`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    text: Arc<str>,
    accept: bool,
    uncontrolled: bool,
}

impl Reason {
    /// A reason in one sentence fragment, such as `no reply to VRFY within 5 s`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Reason { text: text.into(), accept: false, uncontrolled: false }
    }

    /// The reason if an answer does not count, since the source has not proved able to give the opposite one
    /// (see [`crate::lookup::control`]). The text has the remedy.
    pub fn uncontrolled(text: impl Into<Arc<str>>) -> Self {
        Reason { uncontrolled: true, ..Reason::new(text) }
    }

    /// Whether it is one of [`Reason::uncontrolled`].
    pub fn is_uncontrolled(&self) -> bool {
        self.uncontrolled
    }

    /// The same reason for a source with `unknown = "accept"`.
    #[must_use]
    pub fn accepting(mut self) -> Self {
        self.accept = true;
        self
    }

    /// Whether the operator chose to accept mail while this source fails temporarily.
    pub fn is_accepting(&self) -> bool {
        self.accept
    }

    /// The text for the log.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A verdict and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The name of the source, as the operator wrote it (`vrfy:127.0.0.1:5025`).
    pub source: Arc<str>,
    /// Whether it comes from the cache.
    pub cached: bool,
    /// Longest time to cache it, if that is shorter than for other answers, as its control expires.
    pub keep: Option<Duration>,
    /// Question and reply, in one sentence fragment such as `VRFY <foo@example.com>: 550 5.1.1 no such user`:
    /// text for the log and for `explain`, never for a peer. It may quote a server, so escape it. The reason
    /// of [`Verdict::Unknown`] has its own.
    pub detail: Option<Arc<str>>,
    /// The states of files that it comes from: when one of them changes, it is dropped from the cache.
    pub basis: Basis,
}

/// Longest [`Answer::detail`], in octets: a reply line of 512 octets (RFC 5321, section 4.5.3.1.5) and the
/// name that was asked for. The cache has one for each account.
pub const MAX_DETAIL: usize = 1024;

impl Answer {
    /// A fresh answer of the source called `source`.
    pub fn new(verdict: Verdict, source: &Arc<str>) -> Self {
        Answer {
            verdict,
            source: source.clone(),
            cached: false,
            keep: None,
            detail: None,
            basis: Basis::default(),
        }
    }

    /// The same with question and reply (see [`Answer::detail`]), cut off after [`MAX_DETAIL`] octets.
    #[must_use]
    pub fn with_detail(mut self, text: &str) -> Self {
        self.detail = Some(text[..text.floor_char_boundary(MAX_DETAIL)].into());
        self
    }

    /// The same, cached for at most `time`.
    #[must_use]
    pub fn kept_for(mut self, time: Duration) -> Self {
        self.keep = Some(time);
        self
    }

    /// The same, depending on `basis` as well.
    #[must_use]
    pub fn resting_on(mut self, basis: &Basis) -> Self {
        self.basis = self.basis.and(basis);
        self
    }
}

/// An answer to come.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A source of accounts.
///
/// `account` is the address mail would be delivered to, domain in lower case. An implementation must answer
/// [`Verdict::Unknown`] whenever it is not certain, must not block the runtime, and must survive being
/// dropped in the middle (every call has a deadline). It need not cache, limit or time anything: the wrappers
/// in this folder do that for every source.
pub trait AccountSource: fmt::Debug + Send + Sync {
    /// Asks whether `account` exists.
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a>;
}
