//! Questions to DNS that are asked for each message: cached, merged, limited in number and time.

use crate::lookup::cache::REFRESH_PERCENT;
use crate::lookup::{Cache, CacheLimits, Key, Limit, Lookup, Source, Timeout};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time for one question with all of its DNS queries: what RFC 7208, section 4.6.4, wants at least. Callers have a much
/// shorter deadline, but the answer is cached for the next attempt of the client.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// Maximum number of questions that ask DNS at the same time. More would need more sockets than a small server has.
pub(super) const AT_ONCE: usize = 100;
/// Maximum number of questions in progress, waiting ones included. The others have no answer at once: in [`LIMIT`] no
/// more get their turn, if each takes a second.
const QUESTIONS: usize = 2000;
/// How long an answer is cached: the TTL that most SPF records have.
pub(super) const TTL: Duration = Duration::from_hours(1);
/// Octets of the keys and answers in a cache. It has about 20,000 entries.
pub(super) const CAPACITY: u64 = 4 << 20;
/// Octets of an entry besides its key, roughly.
const ENTRY: usize = 120;

/// A source behind a cache.
pub(super) struct Cached<K: ?Sized, T> {
    cache: Cache<K, Lookup<T>>,
}

impl<K: Key + ?Sized + 'static, T: Clone + fmt::Debug + Send + Sync + 'static> Cached<K, T> {
    /// Wraps a source; `name` is that of its failures.
    pub fn new(name: &str, source: Arc<dyn Source<K, Lookup<T>>>) -> Self {
        let limited = Arc::new(Limit::new(AT_ONCE, source));
        let timed = Arc::new(Timeout::new(name, LIMIT, limited));
        let limits = CacheLimits {
            capacity: CAPACITY,
            weight: |key, _| u32::try_from(key.len() + ENTRY).unwrap_or(u32::MAX),
            questions: QUESTIONS,
            refresh_percent: REFRESH_PERCENT,
        };
        Cached { cache: Cache::new(name, &limits, Arc::new(|_| TTL), timed) }
    }

    /// The answer; `None` if there is none, or not before the deadline.
    pub async fn ask(&self, key: &K, deadline: Instant) -> Option<T> {
        match timeout_at(deadline, self.cache.look_up(key)).await {
            Ok(Lookup::Found(answer)) => Some(answer),
            Ok(Lookup::NotFound | Lookup::TempFail(_)) | Err(_) => None,
        }
    }
}

impl<K: ?Sized, T> fmt::Debug for Cached<K, T>
where
    Cache<K, Lookup<T>>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}
