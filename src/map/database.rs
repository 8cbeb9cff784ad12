//! Databases: what maps share that ask the same one.

use super::Table;
use super::settings::{DatabaseSettings, Kind, Query};
use std::fmt;
use std::sync::Arc;

/// A database, with its connections. None is made before the first question: a database that is down when rcptd
/// starts is one that cannot say, and nothing else.
pub trait Database: fmt::Debug + Send + Sync {
    /// The table that `query` makes of it; the error is a sentence with the remedy.
    fn table(&self, query: &Query) -> Result<Arc<Table>, String>;
}

/// The database of these settings; the error is a sentence with the remedy.
pub fn open(settings: &DatabaseSettings) -> Result<Arc<dyn Database>, String> {
    match settings.kind {
        #[cfg(feature = "sql-postgres")]
        Kind::Postgresql => super::sql::open(settings),
        #[cfg(feature = "sql-mysql")]
        Kind::Mysql => super::sql::open(settings),
        #[cfg(feature = "sql-sqlite")]
        Kind::Sqlite => super::sql::open(settings),
        #[cfg(feature = "redis")]
        Kind::Redis => super::redis::open(settings),
        #[cfg(feature = "ldap")]
        Kind::Ldap => super::ldap::open(settings),
        #[allow(unreachable_patterns, reason = "with all features there is no other")]
        kind => Err(missing(kind)),
    }
}

/// What to do about a kind that is not built in.
pub fn missing(kind: Kind) -> String {
    format!(
        "this rcptd was built without databases of type {}: build it with --features {}, or take a package that \
         has it",
        kind.name(),
        kind.feature()
    )
}
