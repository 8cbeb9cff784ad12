//! MariaDB and MySQL.

use super::super::Lookup;
use super::super::settings::DatabaseSettings;
use super::pool::{Driver, Failure, GRACE};
use super::query::Statement;
use super::rows::{Cell, Rows, no_rows, not_text, unreadable};
use super::{Named, each_host, explain};
use crate::net::host::Host;
use futures_util::TryStreamExt;
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
    MySqlTypeInfo, MySqlValueRef,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Decode, Either, Executor, MySql, Row, Type, TypeInfo,
    ValueRef,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// sqlx connects with the capability IGNORE_SPACE, which adds a mode to the session: it makes function names
/// reserved words, so that a column `position` is a syntax error. Remove the mode, unless the server sets it
/// globally.
const OWN_MODE: &str = "sql_mode = IF(FIND_IN_SET('IGNORE_SPACE', @@GLOBAL.sql_mode), @@SESSION.sql_mode, \
                        TRIM(BOTH ',' FROM REPLACE(CONCAT(',', @@SESSION.sql_mode, ','), ',IGNORE_SPACE,', ',')))";
/// "Error Codes": the server does not have this variable.
const UNKNOWN_VARIABLE: u16 = 1193;

/// Identifies the server, since a name may have several.
const WHO: &str = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id)";

pub(super) struct Connection {
    inner: MySqlConnection,
    peer: Arc<str>,
}

pub(super) struct MysqlDriver {
    options: MySqlConnectOptions,
    deadline: Duration,
}

/// Creates the driver of each server.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<MysqlDriver>>, String> {
    each_host(settings, |host| MysqlDriver { options: options(settings, host), deadline: settings.deadline })
}

fn options(settings: &DatabaseSettings, host: &Host) -> MySqlConnectOptions {
    // An empty name is the anonymous user. The default of sqlx is root.
    let user = settings.user.as_deref().unwrap_or_default();
    let mut options = MySqlConnectOptions::new()
        .username(user)
        // Keep the server's settings for || and the time zone.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None);
    options = match host {
        Host::Inet(host, port) => options.host(host).port(*port),
        Host::Unix(path) => options.socket(path),
    };
    // A UNIX socket needs no encryption, and has no name for a certificate.
    options = if settings.tls && matches!(host, Host::Inet(..)) {
        options.ssl_mode(MySqlSslMode::VerifyIdentity)
    } else {
        options.ssl_mode(MySqlSslMode::Disabled)
    };
    // sqlx adds the file to the certificates of the system, and cannot use it alone.
    if let Some(file) = &settings.tls_ca {
        options = options.ssl_ca(file);
    }
    if let Some(password) = &settings.password {
        options = options.password(password.reveal());
    }
    if !settings.database.is_empty() {
        options = options.database(&settings.database);
    }
    options.disable_statement_logging()
}

impl Driver for MysqlDriver {
    type Connection = Connection;
    type Stop = ();

    async fn connect(&self) -> Result<Connection, String> {
        let mut inner = self.options.connect().await.map_err(|error| explain(&error))?;
        set_up(&mut inner, self.deadline + GRACE).await.map_err(|error| explain(&error))?;
        let who = sqlx::raw_sql(WHO).fetch_one(&mut inner).await.map_err(|error| explain(&error))?;
        let peer = who.try_get::<String, _>(0).map_err(|error| explain(&error))?;
        Ok(Connection { inner, peer: peer.into() })
    }

    async fn is_current(&self, _: &mut Connection) -> bool {
        true
    }

    fn peer(connection: &Connection) -> Arc<str> {
        connection.peer.clone()
    }

    fn stop(_: &Connection) {}

    async fn end((): &()) {
        // The time limit of the session ends the query.
    }

    async fn ask<'c>(
        connection: &'c mut Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> Result<Lookup<String>, Failure> {
        let mut arguments = MySqlArguments::default();
        for binding in bindings {
            arguments.add(*binding).map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let connection = &mut connection.inner;
        let text = || AssertSqlSafe(Arc::clone(&statement.text));
        let mut rows = Rows::new(statement, key);
        let mut results = 0;
        {
            let mut parts = Executor::fetch_many(&mut *connection, sqlx::query_with(text(), arguments));
            while let Some(part) = parts.try_next().await.map_err(|error| failure(&error))? {
                match part {
                    // Each result set ends with one, even without rows.
                    Either::Left(_) => results += 1,
                    Either::Right(row) => {
                        if !rows.add(row.len(), |at| cell(&row, at)) {
                            return Err(Failure::Spoiled(rows.finish().err().unwrap_or_default()));
                        }
                    }
                }
            }
        }
        // A CALL returns its own result after the rows.
        if results < 2 && !has_rows(connection, text()).await? {
            return Err(Failure::Refused(no_rows()));
        }
        rows.finish().map_err(Failure::Refused)
    }
}

/// Whether a statement returns rows. It has been prepared, so this sends no query.
async fn has_rows(connection: &mut MySqlConnection, text: AssertSqlSafe<Arc<str>>) -> Result<bool, Failure> {
    let prepared = connection.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await;
    let prepared = prepared.map_err(|error| failure(&error))?;
    Ok(!sqlx::Statement::columns(&prepared).is_empty())
}

/// Sets the SQL mode and a time limit, which ends abandoned queries. MariaDB has the limit in seconds; MySQL
/// in milliseconds, for SELECT only; older versions have none. A stricter limit of the server stays.
async fn set_up(connection: &mut MySqlConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let limits = [
        ("max_statement_time", limit.as_secs_f64().to_string()),
        ("max_execution_time", limit.as_millis().to_string()),
    ];
    for (name, limit) in limits {
        let limit = format!(", {name} = IF(@@{name} > 0, LEAST(@@{name}, {limit}), {limit})");
        let done = sqlx::raw_sql(AssertSqlSafe(format!("SET SESSION {OWN_MODE}{limit}")))
            .execute(&mut *connection)
            .await;
        match done {
            Err(sqlx::Error::Database(error))
                if error
                    .try_downcast_ref::<MySqlDatabaseError>()
                    .is_some_and(|error| error.number() == UNKNOWN_VARIABLE) => {}
            done => return done.map(drop),
        }
    }
    sqlx::raw_sql(AssertSqlSafe(format!("SET SESSION {OWN_MODE}"))).execute(connection).await.map(drop)
}

fn cell(row: &MySqlRow, at: usize) -> Cell<'_> {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let raw = row.try_get_raw(at).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().into_owned();
    value(raw, &kind, name).map(Some)
}

fn value<'r>(raw: MySqlValueRef<'r>, kind: &MySqlTypeInfo, column: &str) -> Result<Cow<'r, str>, String> {
    let text = match kind.name() {
        // A DECIMAL is text even in the binary protocol ("Binary Protocol Resultset").
        "VARCHAR" | "CHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON"
        | "DECIMAL" | "BINARY" | "VARBINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
            return <&str as Decode<MySql>>::decode(raw).map(Cow::Borrowed).map_err(|_| not_text(column));
        }
        // A BOOLEAN is a number, signed or unsigned.
        name if name.contains("INT") || name == "BOOLEAN" => {
            if <u64 as Type<MySql>>::compatible(kind) {
                <u64 as Decode<MySql>>::decode(raw).map(|number| number.to_string())
            } else {
                <i64 as Decode<MySql>>::decode(raw).map(|number| number.to_string())
            }
        }
        name => return Err(unreadable(column, &name.to_lowercase())),
    };
    text.map(Cow::Owned).map_err(|error| format!("column {column} cannot be read: {error}"))
}

fn failure(error: &sqlx::Error) -> Failure {
    super::failure(error, |error| {
        error.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|error| {
            is_over(error.number()) || error.code().is_some_and(|code| code.starts_with("08"))
        })
    })
}

/// Whether an error is about the connection, not the query. The numbers are those of "Error Codes" in the
/// manuals; MariaDB and MySQL share those below 1900.
fn is_over(number: u16) -> bool {
    matches!(
        number,
        1053 // the server is shutting down
        | 1152
            ..=1161 // the connection was aborted, or a packet is invalid
        | 1184
        | 1243 // the prepared statement no longer exists
        | 1317 // the query was interrupted
        | 1615 // the prepared statement must be prepared again
        | 1927 // MariaDB: the connection was killed
        | 4031 // MySQL: the connection was idle for too long
    )
}
