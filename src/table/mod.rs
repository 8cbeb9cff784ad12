//! Key to value: the tables an operator names, from a list in the configuration to a database elsewhere.
//!
//! A [`Table`] says one of three things of a key, as postmap(1) does: its value, that there is none, or that
//! nobody can say now. **"I don't know" is never "no"**: a server that is down, a row that cannot be read, an
//! answer that is late are [`Answer::Unknown`] with a reason.
//!
//! Tables know nothing of mail: which keys are asked for an address, and what a value has to look like, is
//! decided above ([`crate::map`]). Keys come folded where case does not matter to the map.
//!
//! | module | owns |
//! | --- | --- |
//! | `source` | where values come from, as an operator writes it |
//! | `build` | the table that sources make |
//! | `list`, `fixed` | tables at hand: lists, and those that always say the same |
//! | `combine` | tables of tables |
//! | `cache`, `memory` | asking once for many, and remembering |
//! | `database`, `settings`, `template` | databases, what is chosen about them, what they are asked |
//! | `witness` | whether a server that does not have a key would have any |
//! | `sql`, `ldap`, `redis` | a kind of database each |
//! | `lmdb` | what postmap(1) has made |
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

/// Most tables that another one is made of. They are asked one after the other, within one deadline.
pub const MAX_MEMBERS: usize = 64;

/// What a table says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there, with this value. Whoever hands a value out sees to it that it is not empty, since to a mail
    /// server that is an error.
    Found(String),
    /// It is certainly not there.
    NotFound,
    /// Nobody can say now.
    Unknown(Reason),
}

/// Why nothing is known of a key: text for the log, never for a peer. It may quote a server, so whoever logs it
/// escapes it.
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
    /// Nobody can say, for this reason.
    pub fn unknown(why: impl Into<Arc<str>>) -> Self {
        Answer::Unknown(Reason::new(why))
    }
}

/// An answer to come.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Somebody who knows values of keys.
///
/// An implementation answers [`Answer::Unknown`] whenever it is not certain, does not block the runtime, and
/// survives being dropped in the middle: a deadline stands round every call. It need not remember anything, nor
/// ask once for many: that is done for all of them alike.
pub trait Table: fmt::Debug + Send + Sync {
    /// The value of `key`, which is not empty.
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a>;
}
