//! PostgreSQL.

use super::super::Answer;
use super::super::settings::{DatabaseSettings, Host};
use super::pool::{Driver, Failure};
use super::query::Statement;
use super::rows::{Cell, Rows, not_text, unreadable};
use super::{Named, each_host, explain};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgRow, PgSeverity,
    PgSslMode, PgTypeInfo, PgTypeKind, PgValueRef,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Decode, Either, Encode, Executor, Postgres, Row, Type,
    TypeInfo, ValueRef,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// What PostgreSQL names its sockets, with the port behind (the manual's "unix_socket_directories").
const SOCKET: &str = ".s.PGSQL.";
/// "PostgreSQL Error Codes": a parameter whose type cannot be found out.
const INDETERMINATE: &str = "42P18";
/// "PostgreSQL Error Codes": a text that has no spelling in the encoding of the database, so is not stored there.
const UNTRANSLATABLE: &str = "22P05";

pub(super) struct PostgresDriver(PgConnectOptions);

pub(super) struct Connection {
    inner: PgConnection,
    /// The statements whose parameters are known to be texts.
    checked: HashSet<Arc<str>>,
}

/// The servers of these settings.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<PostgresDriver>>, String> {
    each_host(settings, |host| PostgresDriver(options(settings, host)))
}

fn options(settings: &DatabaseSettings, host: &Host) -> PgConnectOptions {
    // Floating numbers are not read, and PgBouncer refuses to be told how they are written.
    let mut options =
        PgConnectOptions::new_without_pgpass().application_name("rcptd").extra_float_digits(None);
    options = match host {
        Host::Inet(host, port) => options.host(host).port(*port),
        Host::Unix(path) => {
            let (folder, port) = socket(path);
            options.socket(folder).port(port)
        }
    };
    // A socket of this machine needs no encryption, and PostgreSQL has none there.
    options = if settings.tls && matches!(host, Host::Inet(..)) {
        options.ssl_mode(PgSslMode::VerifyFull)
    } else {
        options.ssl_mode(PgSslMode::Disable)
    };
    // sqlx adds it to what the system trusts, and cannot be told to take it alone.
    if let Some(file) = &settings.tls_ca {
        options = options.ssl_root_cert(file);
    }
    if let Some(user) = &settings.user {
        options = options.username(user);
    }
    if let Some(password) = &settings.password {
        options = options.password(password.reveal());
    }
    if !settings.database.is_empty() {
        options = options.database(&settings.database);
    }
    options.disable_statement_logging()
}

/// The folder of a socket and its port: the path may be of either.
fn socket(path: &Path) -> (&Path, u16) {
    let port =
        path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(SOCKET)?.parse().ok());
    match (path.parent(), port) {
        (Some(folder), Some(port)) => (folder, port),
        _ => (path, super::Kind::Postgresql.port()),
    }
}

impl Driver for PostgresDriver {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, String> {
        let inner = self.0.connect().await.map_err(|error| explain(&error))?;
        Ok(Connection { inner, checked: HashSet::new() })
    }

    async fn is_current(&self, _: &mut Connection) -> bool {
        true
    }

    async fn ask<'c>(
        connection: &'c mut Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> Result<Answer, Failure> {
        // No text of PostgreSQL contains it ("Character Types").
        if key.contains('\0') {
            return if statement.by_key {
                Ok(Answer::NotFound)
            } else {
                Err(Failure::Refused("the key contains NUL, which PostgreSQL cannot be asked for".into()))
            };
        }
        if !connection.checked.contains(&statement.text) {
            check(connection, statement).await?;
        }
        let mut arguments = PgArguments::default();
        for binding in bindings {
            arguments.add(Text(binding)).map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let mut rows = Rows::new(None, false);
        let read = |row: PgRow| {
            rows.add(row.len(), |at| cell(&row, at)).then_some(()).ok_or(sqlx::Error::RowNotFound)
        };
        let text = AssertSqlSafe(Arc::clone(&statement.text));
        let result = sqlx::query_with(text, arguments).try_map(read).fetch_all(&mut connection.inner).await;
        match result {
            Ok(_) => rows.finish().map_err(Failure::Refused),
            Err(sqlx::Error::RowNotFound) => rows.finish().and(Err(String::new())).map_err(Failure::Spoiled),
            Err(error) if statement.by_key && code_of(&error) == Some(UNTRANSLATABLE) => Ok(Answer::NotFound),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// A key, of the type of whatever it is compared with: declared as `text` it would not find a `citext` in another
/// case, since the comparison would be that of `text`.
struct Text<'k>(&'k str);

impl Type<Postgres> for Text<'_> {
    fn type_info() -> PgTypeInfo {
        unspecified()
    }
}

impl<'q> Encode<'q, Postgres> for Text<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<'q, Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

/// The type of a parameter that the server is to find out itself (the manual's "Message Formats", Parse).
fn unspecified() -> PgTypeInfo {
    PgTypeInfo::with_oid(Oid(0))
}

/// Prepares the statement, and sees to it that its parameters are texts. sqlx sends them in binary form, and to a
/// number the four letters of a key would be 32 bits.
async fn check(connection: &mut Connection, statement: &Statement) -> Result<(), Failure> {
    let types = vec![unspecified(); statement.parameters()];
    let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(Arc::clone(&statement.text)));
    let prepared =
        connection.inner.prepare_with(text, &types).await.map_err(|error| match failure(&error) {
            Failure::Refused(why) if code_of(&error) == Some(INDETERMINATE) => {
                Failure::Refused(format!("{why}: say that it is a text, as in %s::text"))
            }
            failure => failure,
        })?;
    let parameters = sqlx::Statement::parameters(&prepared).and_then(Either::left).unwrap_or_default();
    if let Some(other) = parameters.iter().find(|kind| !is_text(kind)) {
        return Err(Failure::Refused(format!(
            "the key is compared with a value of type {}: compare it with a text, as in column::text = %s",
            other.name().to_lowercase()
        )));
    }
    connection.checked.insert(Arc::clone(&statement.text));
    Ok(())
}

/// Whether the binary form of a type is its text.
fn is_text(kind: &PgTypeInfo) -> bool {
    match kind.kind() {
        PgTypeKind::Enum(_) => true,
        PgTypeKind::Domain(inner) => is_text(inner),
        _ => {
            matches!(kind.name(), "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN")
                || kind.name().eq_ignore_ascii_case("citext")
        }
    }
}

fn cell(row: &PgRow, at: usize) -> Cell<'_> {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let raw = row.try_get_raw(at).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().into_owned();
    value(raw, &kind, name).map(Some)
}

fn value<'r>(raw: PgValueRef<'r>, kind: &PgTypeInfo, column: &str) -> Result<Cow<'r, str>, String> {
    if kind.name() == "CHAR" {
        // It comes filled up with blanks, which are no part of it ("Character Types").
        return raw
            .as_str()
            .map(|text| Cow::Borrowed(text.trim_end_matches(' ')))
            .map_err(|_| not_text(column));
    }
    if is_text(kind) {
        return raw.as_str().map(Cow::Borrowed).map_err(|_| not_text(column));
    }
    let text = match (kind.kind(), kind.name()) {
        (PgTypeKind::Domain(inner), _) => return value(raw, inner, column),
        (_, "INT2") => <i16 as Decode<Postgres>>::decode(raw).map(|number| number.to_string()),
        (_, "INT4") => <i32 as Decode<Postgres>>::decode(raw).map(|number| number.to_string()),
        (_, "INT8") => <i64 as Decode<Postgres>>::decode(raw).map(|number| number.to_string()),
        (_, "BOOL") => <bool as Decode<Postgres>>::decode(raw).map(|yes| yes.to_string()),
        (_, name) => return Err(unreadable(column, &name.to_lowercase())),
    };
    text.map(Cow::Owned).map_err(|error| format!("column {column} cannot be read: {error}"))
}

fn code_of(error: &sqlx::Error) -> Option<&str> {
    Some(error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.code())
}

fn failure(error: &sqlx::Error) -> Failure {
    super::failure(error, |error| {
        error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| {
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                || is_over(error.code())
                || error.routine() == Some("RevalidateCachedQuery")
        })
    })
}

/// Whether an error says nothing of the question, only of the connection or the moment. Codes are those of the
/// manual's "PostgreSQL Error Codes"; that a prepared statement no longer fits its table has only a routine of
/// its own, its code 0A000 being that of many errors.
fn is_over(code: &str) -> bool {
    // Connections; the server going down; a prepared statement that is gone; a standby that had to go on.
    code.starts_with("08") || code.starts_with("57P") || matches!(code, "26000" | "40001")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_folders_or_files() {
        for (path, folder, port) in [
            ("/run/postgresql", "/run/postgresql", 5432),
            ("/run/postgresql/.s.PGSQL.5433", "/run/postgresql", 5433),
            ("/run/.s.PGSQL.x", "/run/.s.PGSQL.x", 5432),
        ] {
            assert_eq!(socket(Path::new(path)), (Path::new(folder), port), "{path}");
        }
    }
}
