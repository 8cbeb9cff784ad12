//! MariaDB and MySQL.

use super::super::settings::{DatabaseSettings, MYSQL_SOCKETS};
use super::super::{Lookup, MAX_VALUE};
use super::pool::{Driver, Failure, GRACE};
use super::query::Statement;
use super::rows::{Cell, Rows, no_rows, text};
use super::{Named, each_host, explain};
use crate::net::host::Host;
use futures_util::TryStreamExt;
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
    MySqlTypeInfo,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Decode, Either, Executor, MySql, Row, Type, TypeInfo,
    ValueRef,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// sqlx connects with the capability IGNORE_SPACE, which adds a mode to the session: it makes function names
/// reserved words, so that a column `position` is a syntax error. Remove the mode, unless the server sets it
/// globally. Also remove the mode that pads each value of a CHAR column, so that it would not equal its key.
const OWN_MODE: &str = "sql_mode = TRIM(BOTH ',' FROM REPLACE(REPLACE(CONCAT(',', @@SESSION.sql_mode, ','), \
                        IF(FIND_IN_SET('IGNORE_SPACE', @@GLOBAL.sql_mode), ',,', ',IGNORE_SPACE,'), ','), \
                        ',PAD_CHAR_TO_FULL_LENGTH,', ','))";
/// The server cuts the result of GROUP_CONCAT after this number of octets. A longer value than [`MAX_VALUE`] must
/// still be one after the conversion from the encoding of the column, which has at most four octets for a
/// character.
const MAX_GROUP: usize = 4 * (MAX_VALUE + 1);
/// "Error Codes": the server does not have this variable.
const UNKNOWN_VARIABLE: u16 = 1193;

/// Identifies the server, since a name may have several.
const WHO: &str = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id)";

pub(super) struct Connection {
    inner: MySqlConnection,
    peer: Arc<str>,
    /// The numbers of the statements that are executed as text, since their columns are not texts.
    as_text: HashMap<Arc<str>, usize>,
}

pub(super) struct MysqlDriver {
    options: MySqlConnectOptions,
    /// Whether the server is `localhost`, which is its UNIX socket, as in the C libraries.
    is_local: bool,
    deadline: Duration,
}

/// The name of the UNIX socket.
const LOCALHOST: &str = "localhost";
/// The environment variable with the path of the socket, as in the C libraries.
const SOCKET_VARIABLE: &str = "MYSQL_UNIX_PORT";
/// The message of sqlx for an authentication method that it does not support, before its name.
const UNKNOWN_METHOD: &str = "unknown authentication plugin: ";

/// Creates the driver of each server.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<MysqlDriver>>, String> {
    each_host(settings, |host| MysqlDriver {
        options: options(settings, host),
        is_local: is_local(settings, host),
        deadline: settings.deadline,
    })
}

/// Whether a host is the UNIX socket, which needs no encryption.
fn is_local(settings: &DatabaseSettings, host: &Host) -> bool {
    !settings.tls && matches!(host, Host::Inet(name, _) if name == LOCALHOST)
}

/// The path of the socket of `localhost`: that of the environment, or the first one that exists.
fn local_socket(environment: Option<OsString>, exists: impl Fn(&Path) -> bool) -> Result<PathBuf, String> {
    if let Some(path) = environment.filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let found = MYSQL_SOCKETS.iter().map(Path::new).find(|path| exists(path));
    found.map(PathBuf::from).ok_or_else(|| {
        format!(
            "localhost means the UNIX socket of the server, which was not found at {}: write unix:/PATH (see SELECT \
             @@socket), or 127.0.0.1 to connect by TCP",
            MYSQL_SOCKETS.join(", ")
        )
    })
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
        let local = self.is_local.then(|| local_socket(std::env::var_os(SOCKET_VARIABLE), Path::exists));
        let options = match local.transpose()? {
            Some(path) => self.options.clone().socket(path),
            None => self.options.clone(),
        };
        let mut inner = options.connect().await.map_err(|error| refused(&error))?;
        set_up(&mut inner, self.deadline + GRACE).await.map_err(|error| explain(&error))?;
        let who = sqlx::raw_sql(WHO).fetch_one(&mut inner).await.map_err(|error| explain(&error))?;
        let peer = who.try_get::<String, _>(0).map_err(|error| explain(&error))?;
        Ok(Connection { inner, peer: peer.into(), as_text: HashMap::new() })
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
        let mut number = connection.as_text.get(&statement.text).copied();
        if number.is_none() {
            if let Some(answer) = ask_binary(&mut connection.inner, statement, key, bindings).await? {
                return Ok(answer);
            }
            number = Some(connection.as_text.len());
            prepare_as_text(connection, statement).await?;
        }
        ask_as_text(&mut connection.inner, number.unwrap_or_default(), statement, key, bindings).await
    }
}

fn arguments(bindings: &[&str]) -> Result<MySqlArguments, Failure> {
    let mut arguments = MySqlArguments::default();
    for binding in bindings {
        arguments.add(*binding).map_err(|error| Failure::Refused(error.to_string()))?;
    }
    Ok(arguments)
}

/// Asks in the binary protocol; `None` if a column is of a type that only the server can convert to text.
async fn ask_binary(
    connection: &mut MySqlConnection,
    statement: &Statement,
    key: &str,
    bindings: &[&str],
) -> Result<Option<Lookup<String>>, Failure> {
    let text = || AssertSqlSafe(Arc::clone(&statement.text));
    let mut rows = Rows::new(statement, key);
    let mut results = 0;
    let mut are_texts = true;
    {
        let query = sqlx::query_with(text(), arguments(bindings)?);
        let mut parts = Executor::fetch_many(&mut *connection, query);
        while let Some(part) = parts.try_next().await.map_err(|error| failure(&error))? {
            match part {
                // Each result set ends with one, even without rows.
                Either::Left(_) => results += 1,
                Either::Right(row) => {
                    are_texts = are_texts && row.columns().iter().all(|column| is_text(column.type_info()));
                    if are_texts && !rows.add(row.len(), |at| cell(&row, at)) {
                        return Err(Failure::Spoiled(rows.finish().err().unwrap_or_default()));
                    }
                }
            }
        }
    }
    if !are_texts {
        return Ok(None);
    }
    // A CALL returns its own result after the rows.
    if results < 2 && !has_rows(connection, text()).await? {
        return Err(Failure::Refused(no_rows()));
    }
    rows.finish().map(Some).map_err(Failure::Refused)
}

/// Prepares a statement under the next number.
///
/// The binary protocol has times and floating point numbers without the number of their decimals, and ZEROFILL
/// without its width, so only the server can convert them to text. It sends text for a statement that is executed in
/// SQL, with variables as parameters.
async fn prepare_as_text(connection: &mut Connection, statement: &Statement) -> Result<(), Failure> {
    let number = connection.as_text.len();
    let set = sqlx::query("SET @rcptd = ?").bind(&*statement.text);
    set.execute(&mut connection.inner).await.map_err(|error| failure(&error))?;
    let prepare = AssertSqlSafe(format!("PREPARE rcptd{number} FROM @rcptd"));
    sqlx::raw_sql(prepare).execute(&mut connection.inner).await.map_err(|error| failure(&error))?;
    connection.as_text.insert(Arc::clone(&statement.text), number);
    Ok(())
}

/// Executes the statement that was prepared under this number.
async fn ask_as_text(
    connection: &mut MySqlConnection,
    number: usize,
    statement: &Statement,
    key: &str,
    bindings: &[&str],
) -> Result<Lookup<String>, Failure> {
    let names: Vec<String> = (0..bindings.len()).map(|at| format!("@rcptd{at}")).collect();
    let set = format!("SET {} = ?", names.join(" = ?, "));
    let set = sqlx::query_with(AssertSqlSafe(set), arguments(bindings)?);
    set.execute(&mut *connection).await.map_err(|error| failure(&error))?;
    let execute = AssertSqlSafe(format!("EXECUTE rcptd{number} USING {}", names.join(", ")));
    let mut rows = Rows::new(statement, key);
    let mut results = 0;
    {
        let mut parts = Executor::fetch_many(&mut *connection, sqlx::raw_sql(execute));
        while let Some(part) = parts.try_next().await.map_err(|error| failure(&error))? {
            match part {
                Either::Left(_) => results += 1,
                Either::Right(row) => {
                    if !rows.add(row.len(), |at| cell(&row, at)) {
                        return Err(Failure::Spoiled(rows.finish().err().unwrap_or_default()));
                    }
                }
            }
        }
    }
    // A procedure may have rows for some keys only.
    if results < 2 && !has_rows(connection, AssertSqlSafe(Arc::clone(&statement.text))).await? {
        return Err(Failure::Refused(no_rows()));
    }
    rows.finish().map_err(Failure::Refused)
}

/// Whether a statement returns rows. It has usually been prepared, so this sends no query.
async fn has_rows(connection: &mut MySqlConnection, text: AssertSqlSafe<Arc<str>>) -> Result<bool, Failure> {
    let prepared = connection.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await;
    let prepared = prepared.map_err(|error| failure(&error))?;
    Ok(!sqlx::Statement::columns(&prepared).is_empty())
}

/// Sets the SQL mode, the length of GROUP_CONCAT, and a time limit, which ends abandoned queries. MariaDB has the
/// limit in seconds; MySQL in milliseconds, for SELECT only; older versions have none. A stricter limit of the server
/// stays.
async fn set_up(connection: &mut MySqlConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let limits = [
        ("max_statement_time", limit.as_secs_f64().to_string()),
        ("max_execution_time", limit.as_millis().to_string()),
    ];
    let set = format!(
        "SET SESSION {OWN_MODE}, group_concat_max_len = GREATEST(@@group_concat_max_len, {MAX_GROUP})"
    );
    for (name, limit) in limits {
        let limit = format!(", {name} = IF(@@{name} > 0, LEAST(@@{name}, {limit}), {limit})");
        let done = sqlx::raw_sql(AssertSqlSafe(format!("{set}{limit}"))).execute(&mut *connection).await;
        match done {
            Err(sqlx::Error::Database(error))
                if error
                    .try_downcast_ref::<MySqlDatabaseError>()
                    .is_some_and(|error| error.number() == UNKNOWN_VARIABLE) => {}
            done => return done.map(drop),
        }
    }
    sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await.map(drop)
}

/// Whether the binary protocol has a type as text, or as a signed number, which has only one text. A DECIMAL is text
/// there ("Binary Protocol Resultset"). Unsigned numbers may have ZEROFILL.
fn is_text(kind: &MySqlTypeInfo) -> bool {
    match kind.name() {
        "VARCHAR" | "CHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON"
        | "DECIMAL" | "BINARY" | "VARBINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "NULL" => {
            true
        }
        _ => is_signed(kind),
    }
}

/// Whether a type is a signed integer, such as a BOOLEAN.
fn is_signed(kind: &MySqlTypeInfo) -> bool {
    let is_number = kind.name().contains("INT") || kind.name() == "BOOLEAN";
    is_number && !<u64 as Type<MySql>>::compatible(kind)
}

fn cell(row: &MySqlRow, at: usize) -> Cell<'_> {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let raw = row.try_get_raw(at).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(None);
    }
    if is_signed(&raw.type_info()) {
        // In either protocol.
        let number = <i64 as Decode<MySql>>::decode(raw);
        return number
            .map(|number| Some(Cow::Owned(number.to_string())))
            .map_err(|error| format!("column {name} cannot be read: {error}"));
    }
    let octets = <&[u8] as Decode<MySql>>::decode(raw).map_err(|error| error.to_string())?;
    text(octets, name).map(|text| Some(Cow::Borrowed(text)))
}

/// The reason why a connection was refused, with the remedy if rcptd cannot log in as this user.
fn refused(error: &sqlx::Error) -> String {
    let why = explain(error);
    match why.split_once(UNKNOWN_METHOD) {
        // sqlx may append a position in its source.
        Some((_, method)) => format!(
            "the server requires the authentication method {}, which rcptd does not support: set another one, such \
             as ALTER USER ... IDENTIFIED VIA mysql_native_password USING PASSWORD('...'), or unix_socket with hosts = \
             [\"localhost\"]",
            method.split_whitespace().next().unwrap_or_default()
        ),
        None => why,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_local_socket() {
        for (environment, there, want) in [
            (Some("/x/sock"), &[][..], Ok("/x/sock")),
            (Some(""), &["/var/lib/mysql/mysql.sock"], Ok("/var/lib/mysql/mysql.sock")),
            (None, &["/tmp/mysql.sock", "/run/mysqld/mysqld.sock"], Ok("/run/mysqld/mysqld.sock")),
            (None, &[], Err("127.0.0.1 to connect by TCP")),
            (None, &["/tmp/mysql.sock"], Err("write unix:/PATH")),
        ] {
            let exists = |path: &Path| there.iter().any(|there| Path::new(there) == path);
            match (local_socket(environment.map(OsString::from), exists), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, Path::new(want)),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, _) => panic!("{environment:?} {there:?}: {got:?}"),
            }
        }
        for (host, tls, want) in [
            (Host::Inet("localhost".into(), 3306), false, true),
            (Host::Inet("localhost".into(), 3306), true, false),
            (Host::Inet("127.0.0.1".into(), 3306), false, false),
            (Host::Unix("/localhost".into()), false, false),
        ] {
            let settings = DatabaseSettings { tls, ..DatabaseSettings::new("d", super::super::Kind::Mysql) };
            assert_eq!(is_local(&settings, &host), want, "{host} {tls}");
        }
    }
}
