//! SQL databases: PostgreSQL, MySQL and SQLite.
//!
//! | module | contents |
//! | --- | --- |
//! | `query`, `scan` | the text of a query, and its bound values (pure) |
//! | `rows` | joins the rows of one key to one value (pure) |
//! | `pool` | the connections to one server |
//! | `postgres`, `mysql`, `sqlite` | the differences: connecting, binding, reading columns, types of errors |
//! | this module | choice of the server, retries and timeouts |
//!
//! The first server that can be reached gets the query. A server that cannot be reached is tried after the
//! others for [`BACKOFF`](crate::net::back_off::BACKOFF), then first again. A connection that breaks is replaced once: the server was
//! restarted, or has closed idle connections. A query that the database rejects (no such table, no
//! permission) is not repeated. All of these are [`Lookup::TempFail`].
//!
//! Sessions keep the settings of the server and the role (time zone, SQL mode, date style), so that a query
//! has the same meaning as in Postfix and psql(1). rcptd sets only the encoding and a time limit.

#[cfg(feature = "sql-mysql")]
mod mysql;
mod pool;
#[cfg(feature = "sql-postgres")]
mod postgres;
mod query;
mod rows;
mod scan;
#[cfg(feature = "sql-sqlite")]
mod sqlite;
#[cfg(test)]
mod tests;

use super::database::Database;
use super::results::ResultSettings;
use super::settings::{DatabaseSettings, Kind, Query};
use super::witness::Witness;
use super::{Lookup, LookupFuture, Source, Table};
use crate::net::back_off::in_order;
use crate::observe::Metrics;
use crate::observe::outage::Servers;
use pool::{Driver, Failure, Server};
use query::Statement;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Creates the SQL database of these settings. It connects at the first query. The error is a sentence with
/// the remedy.
pub(super) fn open(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Database>, String> {
    match settings.kind {
        #[cfg(feature = "sql-postgres")]
        Kind::Postgresql => Ok(Sql::shared(settings, metrics, postgres::servers(settings)?)),
        #[cfg(feature = "sql-mysql")]
        Kind::Mysql => Ok(Sql::shared(settings, metrics, mysql::servers(settings)?)),
        #[cfg(feature = "sql-sqlite")]
        Kind::Sqlite => Ok(Sql::shared(settings, metrics, sqlite::servers(settings)?)),
        kind => Err(super::database::missing(kind)),
    }
}

/// A server with its name for messages.
type Named<D> = (String, D);

/// Creates the driver of each server.
#[cfg(any(feature = "sql-postgres", feature = "sql-mysql"))]
fn each_host<D>(
    settings: &DatabaseSettings,
    driver: impl Fn(&crate::net::host::Host) -> D,
) -> Result<Vec<Named<D>>, String> {
    if settings.hosts.is_empty() {
        return Err(format!(
            "set hosts to the servers of the database: [\"db.example.com\"], or [\"unix:/run/{}\"]",
            if settings.kind == Kind::Mysql { "mysqld/mysqld.sock" } else { "postgresql" }
        ));
    }
    Ok(settings.hosts.iter().map(|host| (host.to_string(), driver(host))).collect())
}

struct Sql<D: Driver>(Arc<Shared<D>>);

/// The state that the tables of a database share.
struct Shared<D: Driver> {
    name: Arc<str>,
    kind: Kind,
    case_sensitive: bool,
    /// The servers in the order in which they are tried.
    servers: Vec<Arc<Server<D>>>,
    outages: Servers,
    deadline: Duration,
    witness: Arc<Witness<Statement>>,
}

/// A table: one query.
struct SqlTable<D: Driver> {
    database: Arc<Shared<D>>,
    statement: Arc<Statement>,
}

impl<D: Driver> fmt::Debug for Sql<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sql").field(&self.0.name).finish()
    }
}

impl<D: Driver> fmt::Debug for SqlTable<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlTable").field(&self.database.name).field(&self.statement.text).finish()
    }
}

impl<D: Driver> Sql<D> {
    fn shared(
        settings: &DatabaseSettings,
        metrics: &Arc<Metrics>,
        servers: Vec<Named<D>>,
    ) -> Arc<dyn Database> {
        let witness = Arc::new(Witness::new(settings, metrics));
        let server = |(name, driver)| {
            let (connections, limit) = (settings.connections, settings.connect_limit());
            Arc::new(Server::new(name, driver, connections, limit, Arc::clone(&witness)))
        };
        Arc::new(Sql(Arc::new(Shared {
            name: Arc::clone(&settings.name),
            kind: settings.kind,
            case_sensitive: settings.case_sensitive,
            servers: servers.into_iter().map(server).collect(),
            outages: Servers::of(format!("database:{}", settings.name), metrics),
            deadline: settings.deadline,
            witness,
        })))
    }
}

impl<D: Driver> Database for Sql<D> {
    fn table_with(&self, query: &Query, results: &Arc<ResultSettings>) -> Result<Arc<Table>, String> {
        let mut statement = Statement::new(self.0.kind, query)?;
        statement.results = Arc::clone(results);
        statement.case_sensitive = self.0.case_sensitive;
        let statement = Arc::new(statement);
        self.0.witness.add(&statement);
        Ok(Arc::new(SqlTable { database: Arc::clone(&self.0), statement }))
    }
}

impl<D: Driver> Source<str, Lookup<String>> for SqlTable<D> {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(self.database.ask(&self.statement, key))
    }
}

impl<D: Driver> Shared<D> {
    async fn ask(&self, statement: &Arc<Statement>, key: &str) -> Lookup<String> {
        if statement.bindings(key).is_none() {
            return Lookup::NotFound;
        }
        let asked = Instant::now();
        let by = asked + self.deadline;
        let mut troubles = Vec::new();
        let mut retried = false;
        for server in in_order(&self.servers, |server| server.back_off.is_backed_off()) {
            loop {
                let lease = match timeout_at(by, server.lend(asked)).await {
                    Ok(Ok(lease)) => lease,
                    Ok(Err(why)) => {
                        if self.servers.len() > 1 {
                            server.back_off.back_off();
                        }
                        troubles.push((server.name().to_owned(), why));
                        break;
                    }
                    Err(_) => {
                        let why = format!("no connection was available within {:?}", self.deadline);
                        troubles.push((server.name().to_owned(), why));
                        return self.unknown(&troubles);
                    }
                };
                let why = match timeout_at(by, lease.put(Arc::clone(statement), key.to_owned())).await {
                    Ok(Ok(Ok(Lookup::TempFail(why)))) => why.to_string(),
                    Ok(Ok(Ok(answer))) => {
                        self.outages.answered(server.name(), &troubles);
                        return answer;
                    }
                    Ok(Ok(Err(Failure::Refused(why) | Failure::Spoiled(why)))) => why,
                    // The panic itself has been logged.
                    Ok(Err(_)) => "the lookup was abandoned".to_owned(),
                    Ok(Ok(Err(Failure::Broken(why)))) => {
                        server.discard_connections();
                        if !std::mem::replace(&mut retried, true) {
                            continue;
                        }
                        why
                    }
                    Err(_) => {
                        // The server may be slow or down. New connections will show it.
                        server.discard_connections();
                        format!("no answer within {:?}", self.deadline)
                    }
                };
                troubles.push((server.name().to_owned(), why));
                return self.unknown(&troubles);
            }
        }
        self.unknown(&troubles)
    }

    fn unknown(&self, troubles: &[(String, String)]) -> Lookup<String> {
        let troubles: Vec<_> = troubles.iter().map(|(server, why)| format!("{server}: {why}")).collect();
        Lookup::temp_fail(format!("database {}: {}", self.name, troubles.join("; ")))
    }
}

/// Classifies an error of sqlx, as far as that does not depend on the database. `broken` decides whether an
/// error of the database broke the connection.
#[cfg(any(feature = "sql-mysql", feature = "sql-sqlite"))]
fn failure(error: &sqlx::Error, broken: impl Fn(&dyn sqlx::error::DatabaseError) -> bool) -> Failure {
    let why = explain(error);
    match error {
        sqlx::Error::Database(error) if broken(&**error) => Failure::Broken(why),
        sqlx::Error::Database(_) => Failure::Refused(why),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Failure::Broken(why)
        }
        _ => Failure::Spoiled(why),
    }
}

/// The text of the error from the database or the system.
#[cfg(any(feature = "sql-mysql", feature = "sql-sqlite"))]
fn explain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} (code {code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
