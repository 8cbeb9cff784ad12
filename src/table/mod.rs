//! Key-value tables that the configuration names, from inline lists to databases.
//!
//! A [`Table`] has three answers for a key, as postmap(1) has: its value, not found, or a temporary failure.
//! **"I don't know" is never "no"**: a server that is down, a row that cannot be read, an answer that is late
//! are [`Answer::Unknown`] with a reason.
//!
//! Tables do not depend on mail: [`crate::map`] decides which keys are looked up for an address, and which
//! values are valid. Keys are already folded if case does not matter to the map.
//!
//! | module | owns |
//! | --- | --- |
//! | `source` | sources of values, as an operator writes them |
//! | `build` | builds a table from its sources |
//! | `list`, `fixed` | tables in memory: lists, and constant answers |
//! | `combine` | tables of tables |
//! | `cache`, `memory` | caching, and one question for concurrent calls |
//! | `database`, `settings`, `template` | databases, their settings, their queries |
//! | `witness` | whether the "not found" of a server counts |
//! | `sql`, `ldap`, `redis` | a kind of database each |
//! | `lmdb` | files made by postmap(1) |
//! | `remote` | other servers of tables |
//! | `watched` | when a database or another server begins to fail, and when it works again |

pub mod build;
pub mod cache;
pub mod combine;
pub mod database;
mod dial;
pub mod fixed;
pub mod folded;
#[cfg(any(feature = "redis", feature = "ldap"))]
mod hosts;
#[cfg(feature = "ldap")]
mod ldap;
pub mod list;
#[cfg(feature = "lmdb")]
pub mod lmdb;
pub mod memory;
#[cfg(feature = "redis")]
mod redis;
pub mod remote;
pub mod settings;
pub mod source;
#[cfg(any(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))]
mod sql;
pub mod template;
#[cfg(test)]
mod testing;
pub(crate) mod tls;
mod value;
mod watched;
#[cfg(any(
    feature = "redis",
    feature = "ldap",
    feature = "sql-postgres",
    feature = "sql-mysql",
    feature = "sql-sqlite"
))]
mod witness;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Longest value, in octets: what Postfix takes from a socketmap server (socketmap_table(5)).
pub const MAX_VALUE: usize = 100_000;

/// Most members of a combined table. They are asked one after the other, within one deadline.
pub const MAX_MEMBERS: usize = 64;

/// The answer of a table for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Found, with this value. The front end makes sure that it is not empty, since that is an error for a
    /// mail server.
    Found(String),
    /// The key certainly does not exist.
    NotFound,
    /// Temporary failure.
    Unknown(Reason),
}

/// Reason of a temporary failure: text for the log, never for a peer. It may quote a server, so escape it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Arc<str>);

impl Reason {
    /// A reason in one sentence fragment, such as `database users: no connection within 2 s`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Reason(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    /// A temporary failure with this reason.
    pub fn unknown(why: impl Into<Arc<str>>) -> Self {
        Answer::Unknown(Reason::new(why))
    }
}

/// An answer to come.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A table of keys and values.
///
/// An implementation answers [`Answer::Unknown`] whenever it is not certain, does not block the runtime, and
/// survives being dropped in the middle, since every call has a deadline. It need not cache, nor combine
/// concurrent calls: that is done for all tables.
pub trait Table: fmt::Debug + Send + Sync {
    /// The value of `key`, which is not empty.
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a>;
}
