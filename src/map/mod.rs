//! Maps: from key to value, with all their sources from inline lists to databases, and the search that
//! Postfix leaves to a map server.
//!
//! A [`Table`] returns one of three results for a key, like postmap(1): a value, not found, or a temporary
//! failure. **A temporary failure is never "not found"**: a server that is down, a row that cannot be read,
//! and a timeout are [`Lookup::TempFail`] with a reason.
//!
//! Tables are independent of mail: `search` decides which keys are looked up for an address, and which values
//! are valid. Keys are already folded if their case does not matter.
//!
//! | module | contents |
//! | --- | --- |
//! | `served` | a map as it is served: name, table and search |
//! | `search` | which keys Postfix would look up for an address |
//! | `source` | sources of values in the configuration |
//! | `build` | builds a table from its sources |
//! | `list`, `fixed` | tables in memory: lists, and constant results |
//! | `combine` | tables that combine other tables |
//! | `case_folded` | the case of keys |
//! | `database`, `settings`, `template` | databases, their settings, their queries |
//! | `results` | conversion of the values of a query: format, domains, limit |
//! | `witness` | whether the "not found" of a server counts |
//! | `sql`, `ldap`, `redis` | one type of database each |
//! | `wal` | SQLite files that cannot be read in WAL mode |
//! | `lmdb` | files made by postmap(1) |
//! | `remote` | tables of other servers |

pub mod build;
pub mod case_folded;
pub mod combine;
pub mod database;
pub mod fixed;

#[cfg(any(feature = "redis", feature = "ldap"))]
mod hosts;
#[cfg(feature = "ldap")]
mod ldap;
pub mod list;
#[cfg(feature = "lmdb")]
pub mod lmdb;
#[cfg(feature = "redis")]
mod redis;
pub mod remote;
pub mod results;
pub mod search;
pub mod served;
pub mod settings;
pub mod source;
#[cfg(any(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))]
mod sql;
pub mod template;
#[cfg(test)]
mod testing;
mod value;
pub mod wal;
#[cfg(any(
    feature = "redis",
    feature = "ldap",
    feature = "sql-postgres",
    feature = "sql-mysql",
    feature = "sql-sqlite"
))]
mod witness;

pub use crate::lookup::{Lookup, LookupFuture, Reason, Source};

/// Maximum length of a value in octets: Postfix's limit for socketmap servers (socketmap_table(5)).
pub const MAX_VALUE: usize = 100_000;

/// Maximum number of members of a combined table. They are asked one after the other, within one timeout.
pub const MAX_MEMBERS: usize = 64;

/// A table of keys and values. Keys are not empty. A value may be empty; [`served::Map`] turns it into a
/// temporary failure, since it is an error for a mail server.
pub type Table = dyn Source<str, Lookup<String>>;
