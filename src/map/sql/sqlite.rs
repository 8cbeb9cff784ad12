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
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Interval between checks whether the path still leads to the open file. After a replacement by rename, the
/// old file would be read forever.
const LOOKED_AT: Duration = Duration::from_secs(1);

pub(super) struct SqliteDriver {
    file: PathBuf,
    options: SqliteConnectOptions,
    /// One permit for each connection that may be open, held by the threads that look at the file or open it.
    threads: Arc<Semaphore>,
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
    let permits = usize::try_from(settings.connections).unwrap_or(usize::MAX);
    let threads = Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)));
    Ok(vec![(file.display().to_string(), SqliteDriver { file: path, options, threads })])
}

impl SqliteDriver {
    /// Waits for `work` on the file, which has a permit until it ends, even if the caller gives up: its thread
    /// continues then, and while a file server hangs, each attempt would use up one more.
    async fn limited<T, W>(&self, work: W) -> Result<T, String>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, String>> + Send + 'static,
    {
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|error| error.to_string())?;
        let task = tokio::spawn(async move {
            let _permit = permit;
            work.await
        });
        task.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn identity(file: PathBuf) -> Result<Identity, String> {
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

async fn open(file: PathBuf, options: SqliteConnectOptions) -> Result<Connection, String> {
    let file = identity(file).await?;
    let mut inner = options.connect().await.map_err(|error| explain(&error))?;
    let stopped = Arc::new(AtomicBool::new(false));
    let looked_at = Arc::clone(&stopped);
    let mut handle = inner.lock_handle().await.map_err(|error| explain(&error))?;
    handle.set_progress_handler(STEPS, move || !looked_at.load(Relaxed));
    drop(handle);
    Ok(Connection { inner, stopped, file, looked_at: Instant::now() })
}

impl Driver for SqliteDriver {
    type Connection = Connection;
    type Stop = Arc<AtomicBool>;

    async fn connect(&self) -> Result<Connection, String> {
        self.limited(open(self.file.clone(), self.options.clone())).await
    }

    async fn is_current(&self, connection: &mut Connection) -> bool {
        let now = Instant::now();
        if now < connection.looked_at + LOOKED_AT {
            return true;
        }
        connection.looked_at = now;
        self.limited(identity(self.file.clone())).await == Ok(connection.file)
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

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_file_server_that_hangs_uses_up_no_threads() {
        const SOON: Duration = Duration::from_millis(50);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        // An empty database.
        std::fs::write(&file, "").unwrap();
        let settings = DatabaseSettings {
            file: Some(file),
            connections: 2,
            ..DatabaseSettings::new("users", Kind::Sqlite)
        };
        let (_, driver) = servers(&settings).unwrap().remove(0);
        let mut connection = driver.connect().await.unwrap();
        let age = |connection: &mut Connection| connection.looked_at = Instant::now() - LOOKED_AT;
        // For these the caller does not wait any more.
        let (begun, file_server) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        for _ in 0..5 {
            let (begun, file_server) = (begun.clone(), file_server.clone());
            let work = async move {
                begun.fetch_add(1, Relaxed);
                let _ = file_server.acquire().await;
                Ok(())
            };
            assert!(timeout(SOON, driver.limited(work)).await.is_err());
        }
        assert_eq!(begun.load(Relaxed), 2);
        assert!(timeout(SOON, driver.connect()).await.is_err());
        assert!(timeout(SOON, driver.is_current(&mut connection)).await.unwrap(), "looked at a moment ago");
        age(&mut connection);
        assert!(timeout(SOON, driver.is_current(&mut connection)).await.is_err());
        // It replies again.
        file_server.close();
        age(&mut connection);
        assert!(driver.is_current(&mut connection).await);
        driver.connect().await.unwrap();
    }
}
