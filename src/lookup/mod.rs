//! Lookups that may fail: the three-valued result, the trait of all sources, and the wrappers around them.
//!
//! A source of accounts and a map are both a [`Source`]: it takes a key and returns a [`Lookup`]. Each
//! wrapper works for both and is itself a source:
//!
//! | file | wrapper |
//! | --- | --- |
//! | `timeout` | turns a timeout into a temporary failure |
//! | `breaker` | does not ask a source that does not answer |
//! | `limit` | limits the number of concurrent lookups |
//! | `cache` | caches results, and merges concurrent lookups of the same key |
//! | `outage` | logs when a source starts to fail and when it recovers |
//!
//! `control` checks whether the result of a server counts: the server must find a witness, and must not find
//! a canary.

pub mod breaker;
pub mod cache;
pub mod control;
pub mod limit;
pub mod outage;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeout;

pub use breaker::Breaker;
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
use std::time::Duration;

/// The result of a lookup.
///
/// **A temporary failure is never "not found"**: a timeout, a reply that is not understood and a database
/// error are [`Lookup::TempFail`]. Only the operator's policy turns it into a reply to the mail server.
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
    /// Creates a temporary failure with this reason.
    pub fn temp_fail(reason: impl Into<Arc<str>>) -> Self {
        Lookup::TempFail(Reason::new(reason))
    }

    /// The same result without the value.
    pub fn existence(&self) -> Lookup<()> {
        match self {
            Lookup::Found(_) => Lookup::Found(()),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::TempFail(reason) => Lookup::TempFail(reason.clone()),
        }
    }
}

/// Formats as `exists`, `not found`, or `temporary failure: ` and the reason, not escaped.
impl fmt::Display for Lookup<()> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lookup::Found(()) => f.write_str("exists"),
            Lookup::NotFound => f.write_str("not found"),
            Lookup::TempFail(reason) => write!(f, "temporary failure: {reason}"),
        }
    }
}

/// The reason of a temporary failure: text for the log and for `explain`, never for a peer.
///
/// It may quote the reply of a server, so escape it for the log (see [`mail_address::escape`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    text: Arc<str>,
    accept: bool,
    uncontrolled: bool,
    timeout: bool,
}

impl Reason {
    /// Creates a reason from a sentence fragment, such as `no reply to VRFY within 5 s`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Reason { text: text.into(), accept: false, uncontrolled: false, timeout: false }
    }

    /// Creates the reason of a result that does not count, since its source has not passed its control (see
    /// [`control`]). The text names the remedy.
    pub fn uncontrolled(text: impl Into<Arc<str>>) -> Self {
        Reason { uncontrolled: true, ..Reason::new(text) }
    }

    /// Whether it was created by [`Reason::uncontrolled`].
    pub fn is_uncontrolled(&self) -> bool {
        self.uncontrolled
    }

    /// Creates the reason of a lookup that was given up after this time.
    pub fn timeout(after: Duration) -> Self {
        Reason::timed_out(format!("no answer within {after:?}"))
    }

    /// Creates the reason of a lookup that failed because a server did not reply in time; the text says at which
    /// step. It opens the circuit breaker, as any timeout does.
    pub fn timed_out(text: impl Into<Arc<str>>) -> Self {
        Reason { timeout: true, ..Reason::new(text) }
    }

    /// Whether it was created by [`Reason::timeout`] or [`Reason::timed_out`].
    pub fn is_timeout(&self) -> bool {
        self.timeout
    }

    /// Marks the reason as one with which mail is accepted, see [`Reason::is_accepting`].
    #[must_use]
    pub fn accepting(mut self) -> Self {
        self.accept = true;
        self
    }

    /// Whether the operator configured rcptd to accept mail while this source fails temporarily.
    pub fn is_accepting(&self) -> bool {
        self.accept
    }

    /// Combines two failures: keeps this text, and is accepting only if both are.
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

/// The future of a lookup.
pub type LookupFuture<'a, A> = Pin<Box<dyn Future<Output = A> + Send + 'a>>;

/// Looks up keys of type `K`.
///
/// An implementation returns a temporary failure whenever it is not certain. It does not block the runtime.
/// It may be dropped at any `.await`, since every lookup has a timeout. It need not cache, limit or time
/// anything: the wrappers do.
pub trait Source<K: ?Sized, A>: fmt::Debug + Send + Sync {
    /// Looks up `key`.
    fn look_up<'a>(&'a self, key: &'a K) -> LookupFuture<'a, A>;
}

/// The key of a lookup, as the wrappers need it.
pub trait Key: fmt::Debug + ToOwned<Owned: Send + Sync + 'static> + Send + Sync {
    /// The key in the cache. Keys with the same cache key have the same result.
    fn cache_key(&self) -> Cow<'_, str>;
}

impl Key for str {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

/// The result of a lookup, as the wrappers need it.
pub trait Answer: Clone + fmt::Debug + Send + Sync + 'static {
    /// Creates a temporary failure that a wrapper of the source `name` detected.
    fn failed(reason: Reason, name: &Arc<str>) -> Self;

    /// The reason, if the result is a temporary failure.
    fn failure(&self) -> Option<&Reason>;

    /// Whether the key was found.
    fn is_found(&self) -> bool;

    /// Whether everything that the result depends on is unchanged.
    fn is_current(&self) -> bool {
        true
    }

    /// Adds `basis` to the files that the result depends on.
    #[must_use]
    fn depending_on(self, basis: &Basis) -> Self {
        let _ = basis;
        self
    }

    /// Marks the result as coming from the cache.
    #[must_use]
    fn marked_cached(self) -> Self {
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

    fn is_found(&self) -> bool {
        matches!(self, Lookup::Found(_))
    }
}
