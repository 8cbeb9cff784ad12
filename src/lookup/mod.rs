//! Look-ups that may fail: the three-valued result, the trait of all sources, and the wrappers around them.
//!
//! A source of accounts and a map are both a [`Source`]: a key goes in, a [`Lookup`] comes out. Each wrapper is
//! written once for both, and is a source itself:
//!
//! | file | the wrapper |
//! | --- | --- |
//! | `timeout` | turns a late answer into a temporary failure |
//! | `limit` | bounds the number of concurrent questions |
//! | `cache` | caches answers, and asks once for concurrent calls with one key |
//! | `outage` | logs when a source begins to fail, and when it works again |
//!
//! `control` tells whether the answer of a server counts: by a witness that it has to find, and a canary that it must
//! not find.

pub mod cache;
pub mod control;
pub mod limit;
pub mod outage;
#[cfg(test)]
pub mod testing;
pub mod timeout;

pub use cache::{Cache, CacheLimits, Ttl};
pub use limit::Limit;
pub use outage::OutageLog;
pub use timeout::Timeout;

use crate::watch::Basis;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The result of a look-up.
///
/// **"I don't know" is never "no"**: a timeout, a reply that is not understood, a database error are
/// [`Lookup::TempFail`], and only the operator's policy makes of it a reply to the mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The key exists, with this value; `()` if only its existence matters.
    Found(T),
    /// The key certainly does not exist.
    NotFound,
    /// Temporary failure.
    TempFail(Reason),
}

impl<T> Lookup<T> {
    /// A temporary failure with this reason.
    pub fn temp_fail(reason: impl Into<Arc<str>>) -> Self {
        Lookup::TempFail(Reason::new(reason))
    }

    /// The same result without its value.
    pub fn existence(&self) -> Lookup<()> {
        match self {
            Lookup::Found(_) => Lookup::Found(()),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::TempFail(reason) => Lookup::TempFail(reason.clone()),
        }
    }
}

/// `exists`, `not found`, or `temporary failure: ` and the reason, not escaped.
impl fmt::Display for Lookup<()> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lookup::Found(()) => f.write_str("exists"),
            Lookup::NotFound => f.write_str("not found"),
            Lookup::TempFail(reason) => write!(f, "temporary failure: {reason}"),
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
    /// (see [`control`]). The text has the remedy.
    pub fn uncontrolled(text: impl Into<Arc<str>>) -> Self {
        Reason { uncontrolled: true, ..Reason::new(text) }
    }

    /// Whether it is one of [`Reason::uncontrolled`].
    pub fn is_uncontrolled(&self) -> bool {
        self.uncontrolled
    }

    /// The same reason for a source whose temporary failures do not keep mail from being accepted.
    #[must_use]
    pub fn accepting(mut self) -> Self {
        self.accept = true;
        self
    }

    /// Whether the operator chose to accept mail while this source fails temporarily.
    pub fn is_accepting(&self) -> bool {
        self.accept
    }

    /// The same reason, accepting only if `other` is accepting, too.
    #[must_use]
    pub fn and(mut self, other: &Reason) -> Self {
        self.accept &= other.accept;
        self
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

/// An answer to come.
pub type LookupFuture<'a, A> = Pin<Box<dyn Future<Output = A> + Send + 'a>>;

/// Answers questions about keys of type `K`.
///
/// An implementation answers with a temporary failure whenever it is not certain, does not block the runtime, and
/// survives being dropped in the middle, since every question has a deadline. It need not cache, limit or time
/// anything: that is what the wrappers do.
pub trait Source<K: ?Sized, A>: fmt::Debug + Send + Sync {
    /// The answer for `key`.
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A>;
}

/// What the wrappers need to know about a key.
pub trait Key: fmt::Debug + ToOwned<Owned: Send + Sync + 'static> + Send + Sync {
    /// The key of the cache. Keys with the same one have the same answer.
    fn cache_key(&self) -> Cow<'_, str>;
}

impl Key for str {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

/// What the wrappers need to know about an answer.
pub trait Answer: Clone + fmt::Debug + Send + Sync + 'static {
    /// A temporary failure that a wrapper of the source `name` noticed.
    fn failed(reason: Reason, name: &Arc<str>) -> Self;

    /// The reason, if the answer is a temporary failure.
    fn failure(&self) -> Option<&Reason>;

    /// Whether all that the answer depends on is unchanged.
    fn is_current(&self) -> bool {
        true
    }

    /// The same answer, depending on `basis` as well.
    #[must_use]
    fn depending_on(self, basis: &Basis) -> Self {
        let _ = basis;
        self
    }

    /// The same answer out of the cache.
    #[must_use]
    fn from_cache(self) -> Self {
        self
    }
}

impl<T: Clone + fmt::Debug + Send + Sync + 'static> Answer for Lookup<T> {
    fn failed(reason: Reason, _: &Arc<str>) -> Self {
        Lookup::TempFail(reason)
    }

    fn failure(&self) -> Option<&Reason> {
        if let Lookup::TempFail(reason) = self { Some(reason) } else { None }
    }
}
