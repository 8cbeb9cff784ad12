//! PostgreSQL.

mod wire;

use super::super::Lookup;
use super::super::settings::DatabaseSettings;
use super::pool::{Driver, Failure, GRACE};
use super::query::Statement;
use super::rows::{Rows, no_rows, not_text};
use super::{Named, each_host};
use crate::net::host::Host;
use crate::net::tls;
use postgres_protocol::Oid;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use wire::{Cancel, Error, Login, TEXT, Wire};

/// The name of PostgreSQL's sockets, before the port ("unix_socket_directories" in the manual).
const SOCKET: &str = ".s.PGSQL.";
/// "PostgreSQL Error Codes": the type of a parameter cannot be determined.
const INDETERMINATE: &str = "42P18";
/// "PostgreSQL Error Codes": the encoding of the database cannot represent a text, or UTF-8 cannot represent a
/// value. A key that cannot be represented, which is rejected when it is bound, is not stored there.
const UNTRANSLATABLE: &str = "22P05";
/// The server determines the type ("Message Formats", Parse), as for a literal. A key declared as `text`
/// would not match a `citext` in another case.
const UNSPECIFIED: Oid = 0;

pub(super) struct PostgresDriver {
    host: Host,
    login: Arc<Login>,
}

pub(super) struct Connection {
    wire: Wire,
    peer: Arc<str>,
    /// The types of parameters, for statements that need explicit types.
    types: HashMap<Arc<str>, Vec<Oid>>,
}

/// Creates the driver of each server.
pub(super) fn servers(settings: &DatabaseSettings) -> Result<Vec<Named<PostgresDriver>>, String> {
    let tls = settings.tls.then(|| tls::client(settings.tls_ca.as_deref())).transpose()?;
    let login = Arc::new(Login {
        user: settings.user.clone().map_or_else(own_name, Ok)?,
        password: settings.password.clone(),
        database: settings.database.clone(),
        tls: tls.map(TlsConnector::from),
        connect_timeout: settings.connect_limit(),
        limit: settings.deadline + GRACE,
    });
    each_host(settings, |host| {
        let host = match host {
            Host::Unix(path) => Host::Unix(socket(path)),
            Host::Inet(..) => host.clone(),
        };
        PostgresDriver { host, login: login.clone() }
    })
}

/// The default user, as in psql(1).
fn own_name() -> Result<String, String> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    user.map(|user| user.name).ok_or_else(|| "the user of rcptd has no name: set user".into())
}

/// The path of a socket; `path` may be its folder.
fn socket(path: &Path) -> PathBuf {
    let is_port = |name: &str| name.strip_prefix(SOCKET).is_some_and(|port| port.parse::<u16>().is_ok());
    if path.file_name().and_then(OsStr::to_str).is_some_and(is_port) {
        return path.into();
    }
    path.join(format!("{SOCKET}{}", super::Kind::Postgresql.port()))
}

impl Driver for PostgresDriver {
    type Connection = Connection;
    /// `None` if the server ends the query itself at its time limit.
    type Stop = Option<Cancel>;

    async fn connect(&self) -> Result<Connection, String> {
        let wire = Wire::open(&self.host, &self.login).await?;
        Ok(Connection { peer: wire.peer().into(), wire, types: HashMap::new() })
    }

    async fn is_current(&self, _: &mut Connection) -> bool {
        true
    }

    fn peer(connection: &Connection) -> Arc<str> {
        connection.peer.clone()
    }

    fn stop(connection: &Connection) -> Option<Cancel> {
        connection.wire.cancel()
    }

    async fn end(stop: &Option<Cancel>) {
        if let Some(stop) = stop {
            // If this fails, the query continues, and still counts.
            let _ = stop.send().await;
        }
    }

    async fn ask<'c>(
        connection: &'c mut Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> Result<Lookup<String>, Failure> {
        // A PostgreSQL text cannot contain it ("Character Types").
        if key.contains('\0') {
            return if statement.by_key {
                Ok(Lookup::NotFound)
            } else {
                Err(Failure::Refused("the key contains NUL, which PostgreSQL does not allow".into()))
            };
        }
        let mut types = connection
            .types
            .get(&statement.text)
            .cloned()
            .unwrap_or_else(|| vec![UNSPECIFIED; bindings.len()]);
        loop {
            let mut rows = Rows::new(statement, key);
            let read = |row: &wire::Row<'_>| match row.cells() {
                Ok(cells) => rows.add(cells.len(), |at| match cells.get(at) {
                    Some((name, Some(text))) => std::str::from_utf8(text)
                        .map(|text| Some(Cow::Borrowed(text)))
                        .map_err(|_| not_text(name)),
                    _ => Ok(None),
                }),
                Err(_) => false,
            };
            return match connection.wire.ask(&statement.text, &types, bindings, read).await {
                Ok(true) => rows.finish().map_err(Failure::Refused),
                Ok(false) => Err(Failure::Refused(no_rows())),
                Err(Error::Refused { code, why, .. }) if code == INDETERMINATE => {
                    // A literal would be a text here.
                    match parameter(&why).and_then(|number| types.get_mut(number)) {
                        Some(unknown) if *unknown == UNSPECIFIED => {
                            *unknown = TEXT;
                            connection.types.insert(Arc::clone(&statement.text), types.clone());
                            continue;
                        }
                        _ => Err(Failure::Refused(format!("{why}: write its type, as in %s::text"))),
                    }
                }
                Err(Error::Refused { code, binding: true, .. })
                    if statement.by_key && code == UNTRANSLATABLE =>
                {
                    Ok(Lookup::NotFound)
                }
                Err(Error::Refused { code, why, .. }) if is_over(&code) => Err(Failure::Broken(why)),
                Err(Error::Refused { why, .. }) => Err(Failure::Refused(why)),
                Err(Error::Broken(why)) => Err(Failure::Broken(why)),
                Err(Error::Unread(why)) => Err(Failure::Spoiled(rows.finish().err().unwrap_or(why))),
            };
        }
    }
}

/// The parameter in a message of the server, counted from 0. `$1` is the same in all languages.
fn parameter(message: &str) -> Option<usize> {
    let (_, behind) = message.split_once('$')?;
    let digits = behind.find(|c: char| !c.is_ascii_digit()).map_or(behind, |end| &behind[..end]);
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// Whether an error is about the connection or temporary, not about the query. The codes are those of
/// "PostgreSQL Error Codes" in the manual.
fn is_over(code: &str) -> bool {
    // Connection errors; server shutdown; a conflict on a standby.
    code.starts_with("08") || code.starts_with("57P") || code == "40001"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_sockets_and_their_folders() {
        for (path, want) in [
            ("/run/postgresql", "/run/postgresql/.s.PGSQL.5432"),
            ("/run/postgresql/.s.PGSQL.5433", "/run/postgresql/.s.PGSQL.5433"),
            ("/run/.s.PGSQL.x", "/run/.s.PGSQL.x/.s.PGSQL.5432"),
        ] {
            assert_eq!(socket(Path::new(path)), Path::new(want), "{path}");
        }
    }

    #[test]
    fn finds_the_parameter_in_a_message() {
        for (message, want) in [
            ("could not determine data type of parameter $1", Some(0)),
            ("konnte Datentyp von Parameter $12 nicht ermitteln", Some(11)),
            ("$0", None),
            ("$", None),
            ("no parameter", None),
        ] {
            assert_eq!(parameter(message), want, "{message}");
        }
    }
}
