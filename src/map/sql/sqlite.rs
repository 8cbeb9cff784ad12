//! SQLite.

use super::super::Lookup;
use super::super::settings::DatabaseSettings;
use super::super::wal;
use super::pool::{Driver, Failure};
use super::query::Statement;
use super::rows::{Cell, Rows, no_rows, not_text, text};
use super::{Named, explain};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Column, ConnectOptions, Decode, Executor, Row, Sqlite, ValueRef};
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// Interval between checks whether the path still leads to the open file. After a replacement by rename, the
/// old file would be read forever.
const LOOKED_AT: Duration = Duration::from_secs(1);

pub(super) struct SqliteDriver {
    file: PathBuf,
    options: SqliteConnectOptions,
}

/// Number of virtual machine steps after which SQLite checks whether to continue ("Query Progress
/// Callbacks"): some microseconds.
const STEPS: i32 = 1000;

pub(super) struct Connection {
    inner: SqliteConnection,
    /// Set to cancel the query.
    stopped: Arc<AtomicBool>,
    file: Identity,
    looked_at: Instant,
}

/// Identity of a file: device and inode.
type Identity = (u64, u64);

/// Creates the driver of the file.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<SqliteDriver>>, String> {
    let Some(file) = settings.file.clone().filter(|file| !file.as_os_str().is_empty()) else {
        return Err("set file to the path of the database".into());
    };
    // "file:..." and ":memory:" have a special meaning in SQLite ("URI Filenames"); an absolute path never
    // begins like that.
    let path = if file.is_absolute() { file.clone() } else { PathBuf::from(".").join(&file) };
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .create_if_missing(false)
        // Shorter than the timeout of a lookup, so that the reason is logged.
        .busy_timeout(settings.deadline / 2)
        .disable_statement_logging();
    Ok(vec![(file.display().to_string(), SqliteDriver { file: path, options })])
}

impl SqliteDriver {
    async fn identity(&self) -> Result<Identity, String> {
        let file = self.file.clone();
        let look = move || match std::fs::metadata(&file) {
            // The message of SQLite is only "unable to open database file".
            Ok(data) if data.is_file() => match wal::unreadable(&file) {
                Some((why, help)) => Err(format!("{why}: {help}")),
                None => Ok((data.dev(), data.ino())),
            },
            Ok(_) => Err("is not a file".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Driver for SqliteDriver {
    type Connection = Connection;
    type Stop = Arc<AtomicBool>;

    async fn connect(&self) -> Result<Connection, String> {
        let file = self.identity().await?;
        let mut inner = self.options.connect().await.map_err(|error| explain(&error))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let looked_at = Arc::clone(&stopped);
        let mut handle = inner.lock_handle().await.map_err(|error| explain(&error))?;
        handle.set_progress_handler(STEPS, move || !looked_at.load(Relaxed));
        drop(handle);
        Ok(Connection { inner, stopped, file, looked_at: Instant::now() })
    }

    async fn is_current(&self, connection: &mut Connection) -> bool {
        let now = Instant::now();
        if now < connection.looked_at + LOOKED_AT {
            return true;
        }
        connection.looked_at = now;
        self.identity().await == Ok(connection.file)
    }

    fn peer(connection: &Connection) -> Arc<str> {
        let (device, number) = connection.file;
        format!("file {device}:{number}").into()
    }

    fn stop(connection: &Connection) -> Arc<AtomicBool> {
        Arc::clone(&connection.stopped)
    }

    async fn end(stop: &Arc<AtomicBool>) {
        stop.store(true, Relaxed);
    }

    async fn ask<'c>(
        connection: &'c mut Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> Result<Lookup<String>, Failure> {
        let mut arguments = SqliteArguments::default();
        for binding in bindings {
            arguments.add(*binding).map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let mut rows = Rows::new(statement, key);
        let read = |row: SqliteRow| {
            rows.add(row.len(), |at| cell(&row, at)).then_some(()).ok_or(sqlx::Error::RowNotFound)
        };
        let text = AssertSqlSafe(Arc::clone(&statement.text));
        let result = sqlx::query_with(text, arguments).try_map(read).fetch_all(&mut connection.inner).await;
        match result {
            Ok(_) if !has_rows(&mut connection.inner, statement).await? => Err(Failure::Refused(no_rows())),
            Ok(_) => rows.finish().map_err(Failure::Refused),
            Err(sqlx::Error::RowNotFound) => rows.finish().and(Err(String::new())).map_err(Failure::Spoiled),
            Err(error) => Err(super::failure(&error, is_over)),
        }
    }
}

/// Whether a statement returns rows. It has been prepared, so this runs no query.
async fn has_rows(connection: &mut SqliteConnection, statement: &Statement) -> Result<bool, Failure> {
    let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(Arc::clone(&statement.text)));
    let prepared = connection.prepare(text).await.map_err(|error| super::failure(&error, is_over))?;
    Ok(!sqlx::Statement::columns(&prepared).is_empty())
}

/// Reads numbers as SQLite prints them, so all types are supported.
fn cell(row: &SqliteRow, at: usize) -> Cell<'_> {
    let name = row.columns().get(at).map_or("", |column| column.name());
    let raw = row.try_get_raw(at).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(None);
    }
    let value = <String as Decode<Sqlite>>::decode(raw).map_err(|_| not_text(name))?;
    text(value.as_bytes(), name).map(|text| Some(Cow::Owned(text.to_owned())))
}

/// Whether an error is about the open file, not the query: IOERR, CORRUPT, CANTOPEN, NOTADB ("Result and
/// Error Codes"), in the low octet of an extended code. The path may lead to another file by now.
fn is_over(error: &dyn DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 10 | 11 | 14 | 26))
}
