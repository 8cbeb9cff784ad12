//! Databases, which several maps may share.

use super::Table;
use super::settings::{DatabaseSettings, Kind, Query};
use std::fmt;
use std::sync::Arc;

/// A database with its connections. It connects at the first query, so that a database that is down when
/// rcptd starts only causes temporary failures.
pub trait Database: fmt::Debug + Send + Sync {
    /// Creates the table that sends `query`. The error is a sentence with the remedy.
    fn table(&self, query: &Query) -> Result<Arc<Table>, String>;
}

/// Creates the database of these settings. The error is a sentence with the remedy.
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

/// The error for a type of database that is not built in.
pub fn missing(kind: Kind) -> String {
    format!(
        "this rcptd was built without databases of type {}: build it with --features {}, or take a package that \
         has it",
        kind.name(),
        kind.feature()
    )
}
