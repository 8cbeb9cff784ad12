//! Maps: key to value, from inline lists to databases, and the search that Postfix leaves to a server of maps.
//!
//! A [`Table`] has three answers for a key, as postmap(1) has: its value, not found, or a temporary failure.
//! **"I don't know" is never "no"**: a server that is down, a row that cannot be read, an answer that is late
//! are [`Lookup::TempFail`] with a reason.
//!
//! Tables do not depend on mail: `search` decides which keys are looked up for an address, and which values are
//! valid. Keys are already folded if case does not matter to the map.
//!
//! | module | owns |
//! | --- | --- |
//! | `served` | a map as it is served: a name, its table, its search |
//! | `search` | which keys Postfix would look up for an address |
//! | `source` | sources of values, as an operator writes them |
//! | `build` | builds a table from its sources |
//! | `list`, `fixed` | tables in memory: lists, and constant answers |
//! | `combine` | tables of tables |
//! | `case_folded` | the case of keys |
//! | `database`, `settings`, `template` | databases, their settings, their queries |
//! | `witness` | whether the "not found" of a server counts |
//! | `sql`, `ldap`, `redis` | a kind of database each |
//! | `lmdb` | files made by postmap(1) |
//! | `remote` | other servers of tables |

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
#[cfg(any(
    feature = "redis",
    feature = "ldap",
    feature = "sql-postgres",
    feature = "sql-mysql",
    feature = "sql-sqlite"
))]
mod witness;

pub use crate::lookup::{Lookup, LookupFuture, Reason, Source};

/// Longest value, in octets: what Postfix takes from a socketmap server (socketmap_table(5)).
pub const MAX_VALUE: usize = 100_000;

/// Most members of a combined table. They are asked one after the other, within one deadline.
pub const MAX_MEMBERS: usize = 64;

/// A table of keys and values. Keys are not empty. A value may be: what serves it makes sure that it is not, since
/// that is an error for a mail server.
pub type Table = dyn Source<str, Lookup<String>>;
