//! Texts with an expiry that outlive a restart: the state of greylisting, known accounts.
//!
//! A database that several hosts share is a [`Store`], too: see `map::redis`.

pub mod embedded;
pub mod prefixed;
#[cfg(test)]
pub(crate) mod testing;

use crate::lookup::{Lookup, LookupFuture};
use std::fmt;
use std::time::Duration;

/// What the keys begin with that rcptd writes into a database. They do not show that a database has the data of its
/// maps.
pub const OWN_KEYS: &str = "rcptd:";

/// Keys of a page, about: a store may return more or fewer.
pub const PAGE: usize = 1000;

/// Some keys of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// The cursor of the next page; `None`: there is none.
    pub next: Option<String>,
}

/// Texts that rcptd writes, each with an expiry. Errors are sentences for the log.
pub trait Store: fmt::Debug + Send + Sync {
    /// Reads a text. If the key is absent, the result is [`Lookup::NotFound`], which proves nothing, since texts expire.
    fn get<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>>;

    /// Writes a text, and its expiry.
    fn set<'a>(&'a self, key: &'a str, text: &'a str, ttl: Duration) -> LookupFuture<'a, Result<(), String>>;

    /// Writes a text unless the key exists. Whether it was written.
    fn add<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        ttl: Duration,
    ) -> LookupFuture<'a, Result<bool, String>>;

    /// Reads the texts of these keys, each `None` if its key is absent; an error if one cannot be read.
    fn get_all<'a>(&'a self, keys: &'a [&'a str]) -> LookupFuture<'a, Result<Vec<Option<String>>, String>>;

    /// Removes a text, if it exists.
    fn remove<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Result<(), String>>;

    /// Returns some of the keys that begin with `prefix`, which has no special characters. `cursor` is empty, or that of
    /// the page before. A key may occur twice, and one that is written or removed meanwhile may be missing.
    fn page<'a>(&'a self, prefix: &'a str, cursor: &'a str) -> LookupFuture<'a, Result<Page, String>>;

    /// Waits until everything that was written is where it survives a crash of this host.
    fn flush(&self) -> LookupFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
