//! Settings of databases and their queries. Defaults are only here.

use crate::lookup::control::INTERVAL;
use crate::net::host::Host;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB and MySQL.
    Mysql,
    /// A file of SQLite.
    Sqlite,
    /// Redis and Valkey.
    Redis,
    /// A directory, LDAP version 3.
    Ldap,
}

impl Kind {
    /// All kinds, by their names in the configuration.
    pub const ALL: [(&'static str, Kind); 5] = [
        ("postgresql", Kind::Postgresql),
        ("mysql", Kind::Mysql),
        ("sqlite", Kind::Sqlite),
        ("redis", Kind::Redis),
        ("ldap", Kind::Ldap),
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The cargo feature for it.
    pub fn feature(self) -> &'static str {
        match self {
            Kind::Postgresql => "sql-postgres",
            Kind::Mysql => "sql-mysql",
            Kind::Sqlite => "sql-sqlite",
            Kind::Redis => "redis",
            Kind::Ldap => "ldap",
        }
    }

    /// Whether it is built in.
    pub fn is_built_in(self) -> bool {
        match self {
            Kind::Postgresql => cfg!(feature = "sql-postgres"),
            Kind::Mysql => cfg!(feature = "sql-mysql"),
            Kind::Sqlite => cfg!(feature = "sql-sqlite"),
            Kind::Redis => cfg!(feature = "redis"),
            Kind::Ldap => cfg!(feature = "ldap"),
        }
    }

    /// Whether it is asked in SQL.
    pub fn is_sql(self) -> bool {
        matches!(self, Kind::Postgresql | Kind::Mysql | Kind::Sqlite)
    }

    /// The default port of its servers; 0 for a file.
    pub fn port(self) -> u16 {
        match self {
            Kind::Postgresql => 5432,
            Kind::Mysql => 3306,
            Kind::Sqlite => 0,
            Kind::Redis => 6379,
            Kind::Ldap => 389,
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(password: impl Into<String>) -> Self {
        Password(password.into())
    }

    /// The text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// One database, on one server or on several with the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The name for maps.
    pub name: Arc<str>,
    /// The kind of database.
    pub kind: Kind,
    /// Its servers: the first that can be reached is asked. Not for SQLite.
    pub hosts: Vec<Host>,
    /// The user name; with LDAP the name to bind as. `None`: anonymous or the default.
    pub user: Option<String>,
    /// The password, if one is needed.
    pub password: Option<Password>,
    /// The name of the database; with Redis its number. Empty: the server's default.
    pub database: String,
    /// The file of SQLite.
    pub file: Option<PathBuf>,
    /// Whether the connection is encrypted, and the server's certificate checked. With LDAP by STARTTLS.
    pub tls: bool,
    /// Certificate authorities for the server's certificate: instead of those of the system or, with MariaDB
    /// and MySQL, in addition to them, since their driver has no other way.
    pub tls_ca: Option<PathBuf>,
    /// Most connections at once, to each server.
    pub connections: u32,
    /// Longest wait for a connection to one server, before the next is tried.
    pub connect_timeout: Duration,
    /// Longest wait for an answer in all.
    pub deadline: Duration,
    /// Whether keys that differ by case only are different.
    pub case_sensitive: bool,
    /// A key that certainly exists: if a server does not find it, its "not found" for others does not count.
    pub witness: Option<String>,
    /// How long a key that was found vouches for the server.
    pub control_interval: Duration,
}

impl DatabaseSettings {
    /// A database called `name`, on no server yet, with the defaults.
    pub fn new(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        DatabaseSettings {
            name: name.into(),
            kind,
            hosts: Vec::new(),
            user: None,
            password: None,
            database: String::new(),
            file: None,
            tls: false,
            tls_ca: None,
            connections: CONNECTIONS,
            connect_timeout: CONNECT_TIMEOUT,
            deadline: DEADLINE,
            case_sensitive: false,
            witness: None,
            control_interval: INTERVAL,
        }
    }
}

/// Default of [`DatabaseSettings::connections`]: PostgreSQL allows 100 to all of its clients together.
pub const CONNECTIONS: u32 = 10;
/// Default of [`DatabaseSettings::connect_timeout`]: two servers that hang fit into the deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Default of [`DatabaseSettings::deadline`]: shorter than the 8 s of a listener, so that the reason is known.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long a server that could not be reached is passed over, if there is another.
pub const PASSED_OVER: Duration = Duration::from_secs(10);

/// The query of a map for its database.
///
/// In the texts of `Sql`, `Ldap::filter`, `Ldap::base`, `Redis::key` and `Redis::field`, `%s` stands for the
/// key, `%u` for the part before its last `@` (all of it if there is none), `%d` for the part after it, and
/// `%%` for a percent sign. If a named part is empty, the query is not sent, and the answer is "not found".
/// The values are always bound or escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `SELECT value[, reason] FROM table WHERE key = ...`, as in sockmapd, with quoted names.
    Columns {
        /// The table, perhaps with its schema: `mail.aliases`.
        table: String,
        /// The column of keys.
        key: String,
        /// The column of values; without one the value is the key.
        value: Option<String>,
        /// A column whose text, if not empty, is appended to the value after a blank.
        reason: Option<String>,
    },
    /// A query of the operator's own: the first column is the value, further ones are added with blanks.
    Sql(String),
    /// A search in a directory.
    Ldap {
        /// The base of the search.
        base: String,
        /// The filter.
        filter: String,
        /// The attribute whose values count.
        attribute: String,
        /// The scope of the search.
        scope: Scope,
    },
    /// A key of Redis, or a field of one of its hashes.
    Redis {
        /// The key.
        key: String,
        /// The field, if the key is a hash.
        field: Option<String>,
    },
}

/// How deep a search goes (RFC 4511, section 4.5.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The base alone.
    Base,
    /// One level below it.
    One,
    /// All of it.
    #[default]
    Sub,
}

/// Most rows or values of one key that are read. They are joined with commas, as Postfix joins them.
pub const MAX_ROWS: usize = 1000;
