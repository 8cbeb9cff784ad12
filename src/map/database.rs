//! Databases, which several maps may share.

use super::Table;
use super::results::ResultSettings;
use super::settings::{DatabaseSettings, Kind, Query};
use crate::observe::Metrics;
use crate::store::Store;
use std::fmt;
use std::sync::Arc;

/// A database with its connections. It connects at the first query, so that a database that is down when
/// rcptd starts only causes temporary failures.
pub trait Database: fmt::Debug + Send + Sync {
    /// Creates the table that sends `query` and converts its values by `results`. The error is a sentence with
    /// the remedy.
    fn table_with(&self, query: &Query, results: &Arc<ResultSettings>) -> Result<Arc<Table>, String>;

    /// Creates the table that sends `query` for each key, and returns all values as they are.
    fn table(&self, query: &Query) -> Result<Arc<Table>, String> {
        self.table_with(query, &Arc::default())
    }

    /// The store for texts of rcptd; `None` if this type of database has none.
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }
}

/// Creates the database of these settings. The error is a sentence with the remedy.
pub fn open(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Database>, String> {
    match settings.kind {
        #[cfg(feature = "sql-postgres")]
        Kind::Postgresql => super::sql::open(settings, metrics),
        #[cfg(feature = "sql-mysql")]
        Kind::Mysql => super::sql::open(settings, metrics),
        #[cfg(feature = "sql-sqlite")]
        Kind::Sqlite => super::sql::open(settings, metrics),
        #[cfg(feature = "redis")]
        Kind::Redis => super::redis::open(settings, metrics),
        #[cfg(feature = "ldap")]
        Kind::Ldap => super::ldap::open(settings, metrics),
        #[allow(unreachable_patterns, reason = "with all features there is no other")]
        kind => {
            // Without any database there is nothing to count.
            let _ = metrics;
            Err(missing(kind))
        }
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
