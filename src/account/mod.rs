//! Does this account exist?
//!
//! [`AccountSource`] is the seam at which rcptd meets the world that knows the accounts. A source says
//! one of three things, and **"I don't know" is never "no"**: a timeout, a reply that means nothing, a
//! database error are [`Verdict::Unknown`] with a reason, and only the operator's policy turns that into
//! an answer for the mail server.
//!
//! # The tree
//!
//! [`build`] makes of the settings one source that holds all the others, every box a source itself:
//!
//! ```text
//! Cache ── Chain ─┬─ AcceptUnknown? ── Watched ── Deadline ── Limit ── vrfy:…
//!                 ├─ AcceptUnknown? ── Watched ── Deadline ── Limit ── file:…
//!                 └─ …
//! ```
//!
//! # Writing a source
//!
//! A source is one file with one type that has [`AccountSource::verify`]. It does not time, limit or cache
//! anything, since the boxes above do; three things are its own:
//!
//! * It answers [`Verdict::Missing`] only when the world said so in so many words. Whatever else happens is
//!   [`Verdict::Unknown`] with a reason an operator can act on.
//! * It does not block: files by `tokio::fs`, blocking libraries by `tokio::task::spawn_blocking` with a
//!   permit that the closure keeps (an asker may be gone while the thread still works).
//! * It survives being dropped at every `.await`: a connection in the middle of a command is dropped with
//!   the question, never given back to a pool.
//!
//! `examples/account_source.rs` is a complete one, put together with the boxes. To give it a name that an
//! operator can write, add a [`spec::Kind`] to its file and one line to the list in `spec.rs`.

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

use crate::addr::Address;
use crate::watch::Basis;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The account exists; mail for it may be accepted.
    Exists,
    /// The account certainly does not exist; mail for it is to be refused for good.
    Missing,
    /// Nobody can say now; mail for it is to be deferred.
    Unknown(Reason),
}

/// `exists`, `missing` or `unknown: ` and the reason, which is to be escaped.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Exists => f.write_str("exists"),
            Verdict::Missing => f.write_str("missing"),
            Verdict::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

/// Why nothing is known: text for the log and for `explain`, never for a peer.
///
/// The text may quote a server's reply, so whoever logs it escapes it (see [`crate::addr::escape`]).
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

    /// The reason of a source that has an answer, which does not count: the source was not shown able to give the
    /// opposite one (see [`crate::lookup::control`]). The text holds the remedy.
    pub fn uncontrolled(text: impl Into<Arc<str>>) -> Self {
        Reason { uncontrolled: true, ..Reason::new(text) }
    }

    /// Whether it is one of [`Reason::uncontrolled`].
    pub fn is_uncontrolled(&self) -> bool {
        self.uncontrolled
    }

    /// The same reason of a source whose operator prefers to accept mail while it cannot say.
    #[must_use]
    pub fn accepting(mut self) -> Self {
        self.accept = true;
        self
    }

    /// Whether the operator chose to accept mail while this source cannot say.
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

/// A verdict and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is known.
    pub verdict: Verdict,
    /// The name of the source that said so, as the operator wrote it (`vrfy:127.0.0.1:5025`).
    pub source: Arc<str>,
    /// Whether it was remembered rather than asked.
    pub cached: bool,
    /// Longest time for which it may be remembered, where that is shorter than for other answers: what it
    /// rests on may not hold for longer.
    pub keep: Option<Duration>,
    /// What was asked and what the other end replied, in one sentence fragment such as
    /// `VRFY <foo@example.com>: 550 5.1.1 no such user`: text for the log and for `explain`, never for a peer.
    /// It may quote a server, so whoever shows it escapes it. The reason of [`Verdict::Unknown`] holds its own.
    pub detail: Option<Arc<str>>,
    /// The states of files that it rests on: it is not remembered any longer when one of them has changed.
    pub basis: Basis,
}

/// Longest [`Answer::detail`], in octets: a reply line of 512 octets (RFC 5321, section 4.5.3.1.5) and the name that
/// was asked for. The cache holds one of them for each account.
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

    /// The same with what was asked and replied (see [`Answer::detail`]), cut off after [`MAX_DETAIL`] octets.
    #[must_use]
    pub fn with_detail(mut self, text: &str) -> Self {
        self.detail = Some(text[..text.floor_char_boundary(MAX_DETAIL)].into());
        self
    }

    /// The same, not to be remembered for longer than `time`.
    #[must_use]
    pub fn kept_for(mut self, time: Duration) -> Self {
        self.keep = Some(time);
        self
    }

    /// The same, resting on this as well.
    #[must_use]
    pub fn resting_on(mut self, basis: &Basis) -> Self {
        self.basis = self.basis.and(basis);
        self
    }
}

/// An answer to come.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Somebody who knows which accounts exist.
///
/// `account` is the address mail would be delivered to, domain in lower case. An implementation must
/// answer [`Verdict::Unknown`] whenever it is not certain, must not block the runtime, and must survive
/// being dropped in the middle (a deadline stands round every call). It need not cache, limit or time
/// anything: the wrappers in this folder do that for every source alike.
pub trait AccountSource: fmt::Debug + Send + Sync {
    /// Asks whether `account` exists.
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a>;
}
