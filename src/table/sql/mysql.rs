//! MariaDB and MySQL.

use super::super::Answer;
use super::super::settings::{DatabaseSettings, Host};
use super::pool::{Driver, Failure};
use super::query::Statement;
use super::rows::{Cell, Rows, not_text, unreadable};
use super::{Named, each_host, explain};
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
    MySqlTypeInfo, MySqlValueRef,
};
use sqlx::{Arguments, AssertSqlSafe, Column, ConnectOptions, Decode, MySql, Row, Type, TypeInfo, ValueRef};
use std::borrow::Cow;
use std::sync::Arc;

pub(super) struct MysqlDriver(MySqlConnectOptions);

/// The servers of these settings.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<MysqlDriver>>, String> {
    each_host(settings, |host| MysqlDriver(options(settings, host)))
}

fn options(settings: &DatabaseSettings, host: &Host) -> MySqlConnectOptions {
    // Without a user it is the anonymous one; that of sqlx would be root.
    let user = settings.user.as_deref().unwrap_or_default();
    let mut options = MySqlConnectOptions::new().username(user);
    options = match host {
        Host::Inet(host, port) => options.host(host).port(*port),
        Host::Unix(path) => options.socket(path),
    };
    // A socket of this machine needs no encryption, and there is no name that a certificate could be for.
    options = if settings.tls && matches!(host, Host::Inet(..)) {
        options.ssl_mode(MySqlSslMode::VerifyIdentity)
    } else {
        options.ssl_mode(MySqlSslMode::Disabled)
    };
    // sqlx adds it to what the system trusts, and cannot be told to take it alone.
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
    type Connection = MySqlConnection;

    async fn connect(&self) -> Result<MySqlConnection, String> {
        self.0.connect().await.map_err(|error| explain(&error))
    }

    async fn is_current(&self, _: &mut MySqlConnection) -> bool {
        true
    }

    async fn ask<'c>(
        connection: &'c mut MySqlConnection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> Result<Answer, Failure> {
        let mut arguments = MySqlArguments::default();
        for binding in bindings {
            arguments.add(*binding).map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let mut rows = Rows::new(statement.shows_key.then_some(key), statement.case_sensitive);
        let read = |row: MySqlRow| {
            rows.add(row.len(), |at| cell(&row, at)).then_some(()).ok_or(sqlx::Error::RowNotFound)
        };
        let text = AssertSqlSafe(Arc::clone(&statement.text));
        let result = sqlx::query_with(text, arguments).try_map(read).fetch_all(connection).await;
        match result {
            Ok(_) => rows.finish().map_err(Failure::Refused),
            Err(sqlx::Error::RowNotFound) => rows.finish().and(Err(String::new())).map_err(Failure::Spoiled),
            Err(error) => Err(failure(&error)),
        }
    }
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
        // In the binary protocol, too, a DECIMAL is a text ("Binary Protocol Resultset").
        "VARCHAR" | "CHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON"
        | "DECIMAL" | "BINARY" | "VARBINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
            return <&str as Decode<MySql>>::decode(raw).map(Cow::Borrowed).map_err(|_| not_text(column));
        }
        // A BOOLEAN is a number, of either sort.
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

/// Whether an error says nothing of the question, only of the connection. Numbers are those of the manuals'
/// "Error Codes"; MariaDB and MySQL share those below 1900.
fn is_over(number: u16) -> bool {
    matches!(
        number,
        1053 // the server is going down
        | 1152
            ..=1161 // the connection was aborted, or a packet of it is wrong
        | 1184
        | 1243 // a prepared statement that is gone
        | 1317 // the question was interrupted
        | 1615 // a prepared statement that no longer fits
        | 1927 // MariaDB: the connection was killed
        | 4031 // MySQL: it was idle too long
    )
}
