//! Checks `[[database]]`.

use super::check::{Check, text};
use super::files;
use super::keys::{self, DatabaseTable};
use super::tables::MAX_MAPS;
use super::value::{Field, Given, List};
use crate::lookup::control::INTERVAL;
use crate::map::database::missing;
use crate::map::settings::{
    CONNECT_TIMEOUT, CONNECTIONS, DEADLINE, DatabaseSettings, Kind, Password, SENTINEL_PORT, SentinelSettings,
};
use crate::map::wal::unreadable;
use crate::net::host::{Host, host_and_port, ldap_server};
use diagnostics::Problem;
use mail_address::escape;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Most servers of a database: each may take its whole `connect_timeout`.
pub const MAX_HOSTS: usize = 16;
/// Largest password file.
const MAX_PASSWORD: u64 = 4096;
/// Bounds of `connections`.
pub(super) const CONNECTION_COUNTS: RangeInclusive<u32> = 1..=1000;
/// Bounds of `connect_timeout` and `deadline`.
pub(super) const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
/// Bounds of `control_interval`: a server that has lost its data must be noticed within a day.
pub(super) const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

impl Check<'_> {
    /// Checks all databases. Files are relative to `folder`, and added to `watched` if a change causes a
    /// reload.
    pub fn databases(
        &mut self,
        field: &Field<List<DatabaseTable>>,
        folder: &Path,
        case_sensitive: bool,
        watched: &mut Vec<PathBuf>,
    ) -> Vec<DatabaseSettings> {
        let mut all: Vec<DatabaseSettings> = Vec::new();
        let Some(given) = field.given() else { return all };
        if given.value.items.len() > MAX_MAPS {
            let help = format!("at most {MAX_MAPS} are allowed");
            self.error(given, format!("{} has too many entries", given.key), help);
        }
        for item in given.value.items.iter().take(MAX_MAPS) {
            let Some(database) = self.database(given, item, folder, watched) else {
                self.broken_databases.extend(text(&item.get_ref().name).map(|name| name.value.clone()));
                continue;
            };
            let database = DatabaseSettings { case_sensitive, ..database };
            if all.iter().any(|other| other.name == database.name) {
                let message = format!("there are two databases called {}", database.name);
                self.error_in(given, item.span(), message, "give each its own name");
            } else {
                all.push(database);
            }
        }
        all
    }

    /// Notes databases of maps without a witness.
    pub(super) fn without_witness(&mut self, raw: &keys::Top, databases: &[DatabaseSettings]) {
        let Some(given) = raw.database.given() else { return };
        let shared =
            text(&raw.account.cache.shared).and_then(|given| given.value.trim().strip_prefix("database:"));
        let maps = raw.map.given().map(|given| &given.value.items[..]).unwrap_or_default();
        let sources = maps.iter().filter_map(|map| map.get_ref().source.given());
        let sources: Vec<&str> =
            sources.flat_map(|given| &given.value.items).map(|item| item.get_ref().as_str()).collect();
        // A database that only holds shared accounts is never used for "not found".
        let is_for_maps = |name: &str| {
            shared != Some(name) || sources.iter().any(|source| source.contains(&format!("database:{name}")))
        };
        let without: Vec<&str> = databases
            .iter()
            .filter(|database| database.witness.is_none() && is_for_maps(&database.name))
            .map(|database| &*database.name)
            .collect();
        if !without.is_empty() {
            let (which, them) = match &without[..] {
                [one] => (format!("the database {one} has"), "it"),
                several => (format!("the databases {} have", several.join(", ")), "one of them"),
            };
            let message = format!(
                "{which} no witness: if {them} is empty, such as a new replica, its maps find no key, so accounts in \
                 it are rejected"
            );
            let help = "set witness in [[database]] to a key that always exists, such as \
                        \"postmaster@example.com\"";
            self.problems.push(Problem::note(&given.text, given.span.clone(), message).help(help));
        }
    }

    fn database(
        &mut self,
        list: &Given<List<DatabaseTable>>,
        item: &Spanned<DatabaseTable>,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Option<DatabaseSettings> {
        let table = item.get_ref();
        let name = self.name(&table.name, list, item.span(), "database");
        let kind = match &table.kind {
            Field::Given(given) => {
                let kind = self.choice(&table.kind, None, &Kind::ALL.map(|(word, kind)| (word, Some(kind))));
                if let Some(kind) = kind.filter(|kind| !kind.is_built_in()) {
                    self.error(
                        given,
                        format!("{} = \"{}\" cannot be used", given.key, given.value),
                        missing(kind),
                    );
                }
                kind
            }
            Field::Absent => {
                let help = format!("write kind = one of {}", Kind::ALL.map(|(word, _)| word).join(", "));
                self.error_in(list, item.span(), "a database without kind", help);
                None
            }
            Field::Broken => None,
        };
        let kind = kind?;
        let (connect_timeout, deadline) = self.database_times(table);
        let hosts = self.hosts(table, kind, list, item.span());
        let has_ldaps = hosts.iter().any(|(_, is_ldaps)| *is_ldaps);
        let ldaps = hosts.iter().filter(|(_, is_ldaps)| *is_ldaps).map(|(host, _)| host.clone()).collect();
        let file = self.database_file(table, kind, folder, list, item.span());
        self.without_connection(table, kind, has_ldaps);
        Some(DatabaseSettings {
            name: name?,
            kind,
            hosts: hosts.into_iter().map(|(host, _)| host).collect(),
            ldaps,
            user: text(&table.user).map(|user| user.value.clone()),
            password: self.password(&table.password_file, folder, watched),
            database: self.database_name(table, kind),
            file,
            tls: table.tls.given().is_some_and(|given| given.value),
            tls_ca: self.certificates(&table.tls_ca, folder).inspect(|path| watched.push(path.clone())),
            connections: self.number(&table.connections, CONNECTIONS, &CONNECTION_COUNTS),
            connect_timeout,
            deadline,
            case_sensitive: false,
            witness: text(&table.witness).map(|witness| witness.value.clone()),
            control_interval: self.time(&table.control_interval, INTERVAL, &INTERVALS),
            sentinel: self.sentinel(table, kind, folder, watched),
        })
    }

    /// The time limits of connecting, and of a query.
    fn database_times(&mut self, table: &DatabaseTable) -> (Duration, Duration) {
        let connect_timeout = self.time(&table.connect_timeout, CONNECT_TIMEOUT, &TIMES);
        let deadline = self.time(&table.deadline, DEADLINE, &TIMES);
        if let Some(given) = table.connect_timeout.given().or(table.deadline.given())
            && connect_timeout >= deadline
        {
            let help = "make it half of deadline or less, so that another server can be tried";
            self.warning(given, "the first server may use up the whole deadline", help);
        }
        (connect_timeout, deadline)
    }

    /// The servers, and whether each is one of `ldaps:`.
    fn hosts(
        &mut self,
        table: &DatabaseTable,
        kind: Kind,
        list: &Given<List<DatabaseTable>>,
        span: Range<usize>,
    ) -> Vec<(Host, bool)> {
        const HELP: &str =
            "write its servers, such as hosts = [\"db1.example.com\", \"db2.example.com:5433\"]";
        let given = match &table.hosts {
            Field::Given(given) if kind == Kind::Sqlite => {
                self.error(given, "a database of SQLite has no hosts", "write file = \"…\"");
                return Vec::new();
            }
            Field::Given(given) => given,
            Field::Absent if kind != Kind::Sqlite => {
                self.error_in(list, span, "a database without hosts", HELP);
                return Vec::new();
            }
            Field::Absent | Field::Broken => return Vec::new(),
        };
        if given.value.items.is_empty() && given.value.complete {
            self.error(given, format!("{} is empty", given.key), HELP);
        }
        if given.value.items.len() > MAX_HOSTS {
            let help = format!("at most {MAX_HOSTS} are allowed");
            self.error(given, format!("{} has too many entries", given.key), help);
        }
        let port = if text(&table.sentinel_master).is_some() { SENTINEL_PORT } else { kind.port() };
        let mut hosts = Vec::new();
        for item in given.value.items.iter().take(MAX_HOSTS) {
            let url = if kind == Kind::Ldap { ldap_server(item.get_ref()) } else { None };
            match url.unwrap_or_else(|| host(item.get_ref(), port).map(|host| (host, false))) {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    let message = format!("{}: \"{}\" {error}", given.key, escape(item.get_ref()));
                    let help = match kind {
                        Kind::Ldap => "write HOST, HOST:PORT, ldaps://HOST, ldapi://PATH or unix:/PATH",
                        _ => "write HOST, HOST:PORT, [ADDRESS]:PORT or unix:/PATH",
                    };
                    self.error_in(given, item.span(), message, help);
                }
            }
        }
        hosts
    }

    fn database_file(
        &mut self,
        table: &DatabaseTable,
        kind: Kind,
        folder: &Path,
        list: &Given<List<DatabaseTable>>,
        span: Range<usize>,
    ) -> Option<PathBuf> {
        match (text(&table.file), kind) {
            (Some(given), Kind::Sqlite) => {
                let file = folder.join(&given.value);
                if let Some((why, help)) = unreadable(&file) {
                    self.warning(given, format!("{}: {why}", given.key), help);
                }
                Some(file)
            }
            (Some(given), _) => {
                let help = "write hosts = [\"…\"]; a file is for kind = \"sqlite\"";
                self.error(given, format!("{} does not apply here", given.key), help);
                None
            }
            (None, Kind::Sqlite) if matches!(table.file, Field::Broken) => None,
            (None, Kind::Sqlite) => {
                self.error_in(list, span, "a database of SQLite without file", "write file = \"users.db\"");
                None
            }
            (None, _) => None,
        }
    }

    /// Reports `tls_ca` without TLS, and the keys of a connection in a SQLite database, which has none.
    fn without_connection(&mut self, table: &DatabaseTable, kind: Kind, has_ldaps: bool) {
        let tls = table.tls.given().filter(|tls| tls.value);
        let ca = text(&table.tls_ca);
        if kind == Kind::Sqlite {
            let keys =
                [table.user.place(), table.password_file.place(), table.tls.place(), table.tls_ca.place()];
            for given in keys.into_iter().flatten() {
                let message = format!("{} does not apply here", given.key);
                self.error(&given, message, "SQLite reads a file: remove the key");
            }
        } else if let (Some(given), None, false) = (ca, tls, has_ldaps) {
            let message = format!("{} has no effect: the connection is not encrypted", given.key);
            self.warning(given, message, "write tls = true");
        }
    }

    fn database_name(&mut self, table: &DatabaseTable, kind: Kind) -> String {
        let Some(given) = text(&table.database) else { return String::new() };
        if kind == Kind::Redis && given.value.parse::<u16>().is_err() {
            let message = format!("{} = \"{}\" is not a number", given.key, escape(&given.value));
            self.error(given, message, "the databases of Redis are numbered from 0");
        }
        if matches!(kind, Kind::Sqlite | Kind::Ldap) {
            let help = if kind == Kind::Ldap { "write base in the map" } else { "write file" };
            self.error(given, format!("{} does not apply here", given.key), help);
        }
        given.value.clone()
    }

    fn sentinel(
        &mut self,
        table: &DatabaseTable,
        kind: Kind,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Option<SentinelSettings> {
        let (master, password) = (text(&table.sentinel_master), text(&table.sentinel_password_file));
        for given in [master, password].into_iter().flatten().filter(|_| kind != Kind::Redis) {
            let help = "Sentinel monitors servers of Redis and Valkey: remove the key";
            self.error(given, format!("{} does not apply here", given.key), help);
        }
        if let (None, Some(given)) = (master, password) {
            let help = "write sentinel_master = \"…\", the name after `sentinel monitor` in sentinel.conf";
            self.error(given, format!("{} has no effect without sentinel_master", given.key), help);
        }
        let password = self.password(&table.sentinel_password_file, folder, watched);
        Some(SentinelSettings { master: master?.value.clone(), password })
    }

    /// Reads the password in the first line of a file that other users cannot read.
    fn password(
        &mut self,
        field: &Field<String>,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Option<Password> {
        let given = text(field)?;
        let path = folder.join(&given.value);
        if !watched.contains(&path) {
            watched.push(path.clone());
        }
        let read = files::read_private(&path, MAX_PASSWORD).and_then(|bytes| {
            let text = String::from_utf8(bytes)
                .map_err(|_| ("it is not UTF-8".to_owned(), "save it as UTF-8".to_owned()))?;
            let line = text.lines().next().unwrap_or_default().trim_end_matches('\r');
            if line.is_empty() {
                return Err((
                    "its first line is empty".into(),
                    "write the password into the first line".into(),
                ));
            }
            Ok(Password::new(line))
        });
        read.map_err(|(why, help)| {
            // Do not quote the value: it may be the password instead of its file.
            self.error(&given.hidden(), format!("the file of {} cannot be read: {why}", given.key), help);
        })
        .ok()
    }
}

/// Parses `HOST[:PORT]`, `[IPV6][:PORT]` or `unix:/PATH`. The error says what the text "has".
fn host(text: &str, port: u16) -> Result<Host, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Host::Unix(path.into())),
        Some(_) => Err("has a path that does not begin with /".into()),
        None => host_and_port(text, Some(port)).map(|(host, port)| Host::Inet(host, port)),
    }
}
