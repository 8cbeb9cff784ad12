//! Settings of databases and queries, with all their defaults.

use super::template::Template;
use crate::lookup::control::INTERVAL;
pub use crate::net::back_off::BACKOFF;
use crate::net::host::{Host, LDAP_PORT};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A type of database.
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
    /// An LDAP directory, version 3.
    Ldap,
}

impl Kind {
    /// All types, with their names in the configuration.
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

    /// The cargo feature that enables it.
    pub fn feature(self) -> &'static str {
        match self {
            Kind::Postgresql => "sql-postgres",
            Kind::Mysql => "sql-mysql",
            Kind::Sqlite => "sql-sqlite",
            Kind::Redis => "redis",
            Kind::Ldap => "ldap",
        }
    }

    /// Whether this rcptd was built with it.
    pub fn is_built_in(self) -> bool {
        match self {
            Kind::Postgresql => cfg!(feature = "sql-postgres"),
            Kind::Mysql => cfg!(feature = "sql-mysql"),
            Kind::Sqlite => cfg!(feature = "sql-sqlite"),
            Kind::Redis => cfg!(feature = "redis"),
            Kind::Ldap => cfg!(feature = "ldap"),
        }
    }

    /// Whether its queries are in SQL.
    pub fn is_sql(self) -> bool {
        matches!(self, Kind::Postgresql | Kind::Mysql | Kind::Sqlite)
    }

    /// The default port of its servers; 0 for SQLite.
    pub fn port(self) -> u16 {
        match self {
            Kind::Postgresql => 5432,
            Kind::Mysql => 3306,
            Kind::Sqlite => 0,
            Kind::Redis => 6379,
            Kind::Ldap => LDAP_PORT,
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Creates a password.
    pub fn new(password: impl Into<String>) -> Self {
        Password(password.into())
    }

    /// The password itself, for the login.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Settings of one database, on one server or on several with the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The name in the sources of maps.
    pub name: Arc<str>,
    /// The type of database.
    pub kind: Kind,
    /// The servers, in the order in which they are tried. Empty for SQLite.
    pub hosts: Vec<Host>,
    /// Those of `hosts` whose connections are encrypted from the first octet (`ldaps://`).
    pub ldaps: Vec<Host>,
    /// The user name; for LDAP the DN of the bind. `None`: anonymous or the default.
    pub user: Option<String>,
    /// The password, if the server needs one.
    pub password: Option<Password>,
    /// The name of the database; for Redis its number. Empty: the default of the server.
    pub database: String,
    /// The file of an SQLite database.
    pub file: Option<PathBuf>,
    /// Whether connections are encrypted, and the certificate of the server is checked. LDAP uses
    /// STARTTLS, except for `ldaps`.
    pub tls: bool,
    /// Certificate authorities for the server's certificate, instead of those of the system. With MariaDB and
    /// MySQL they are added to those of the system, since their driver cannot replace them.
    pub tls_ca: Option<PathBuf>,
    /// Maximum number of concurrent connections to each server.
    pub connections: u32,
    /// Timeout of a connection to one server. After that the next one is tried.
    pub connect_timeout: Duration,
    /// Timeout of a lookup.
    pub deadline: Duration,
    /// Whether keys that differ only by case are different.
    pub case_sensitive: bool,
    /// A key that certainly exists. If a server does not find it, its "not found" for other keys does not
    /// count.
    pub witness: Option<String>,
    /// How long the control of a server is valid.
    pub control_interval: Duration,
    /// Redis only: `hosts` are Sentinels, which name the server to ask.
    pub sentinel: Option<SentinelSettings>,
}

/// Settings of Redis Sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelSettings {
    /// The name of the master in the configuration of the Sentinels.
    pub master: String,
    /// The password of the Sentinels, if they have one.
    pub password: Option<Password>,
}

/// The default port of Redis Sentinel.
pub const SENTINEL_PORT: u16 = 26379;

impl DatabaseSettings {
    /// Maximum time for a connection to one server. At most half of the timeout of the lookup, whatever the
    /// setting, so that there is time for another server.
    #[cfg(any(
        feature = "redis",
        feature = "ldap",
        feature = "sql-postgres",
        feature = "sql-mysql",
        feature = "sql-sqlite"
    ))]
    pub(super) fn connect_limit(&self) -> Duration {
        self.connect_timeout.min(self.deadline / 2)
    }

    /// Creates settings with defaults, without a server.
    pub fn new(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        DatabaseSettings {
            name: name.into(),
            kind,
            hosts: Vec::new(),
            ldaps: Vec::new(),
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
            sentinel: None,
        }
    }
}

/// Default of [`DatabaseSettings::connections`]: PostgreSQL allows 100 connections of all clients.
pub const CONNECTIONS: u32 = 10;
/// Default of [`DatabaseSettings::connect_timeout`]: two servers that hang fit into the timeout of a lookup.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Default of [`DatabaseSettings::deadline`]: shorter than the 8 s of a listener, so that the reason is
/// logged.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The sockets of MariaDB and MySQL in Debian, Red Hat and SUSE. `localhost` is the first that exists, as in the C
/// libraries of both. Their default without a distribution, in `/tmp`, must be named: any user could create it while
/// the server is down, and answer in its place.
pub const MYSQL_SOCKETS: [&str; 3] =
    ["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/run/mysql/mysql.sock"];

/// The query of a map.
///
/// In the texts of `Sql`, `Ldap::filter`, `Ldap::base`, `Redis::key` and `Redis::field`, `%s` is the key,
/// `%u` the part before its last `@` (the whole key if there is none), `%d` the part after it, `%1` to `%9` the
/// labels of that part, counted from its end, and `%%` a percent sign. If a part that is used is empty, the query is not sent, and the result is "not found".
/// Values are always bound or escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `SELECT value[, reason] FROM table WHERE key = ...`, as in sockmapd, with quoted names.
    Columns {
        /// The table, optionally with its schema: `mail.aliases`.
        table: String,
        /// The column of keys.
        key: String,
        /// The column of values. Without one the value is the key.
        value: Option<String>,
        /// A column whose text is appended to the value after a space, unless it is empty.
        reason: Option<String>,
    },
    /// A query in SQL. Its columns are joined with commas, as in Postfix; with SQLite only the first one
    /// counts.
    Sql(String),
    /// An LDAP search.
    Ldap {
        /// The base of the search.
        base: String,
        /// The filter.
        filter: String,
        /// The attributes that it reads.
        attributes: Attributes,
        /// The scope of the search.
        scope: Scope,
    },
    /// A key of Redis, or a field of a hash.
    Redis {
        /// The key.
        key: String,
        /// The field, if the key is a hash.
        field: Option<String>,
    },
}

/// The attributes that an LDAP search reads, as in ldap_table(5). All values are joined with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Attributes whose values are returned.
    pub plain: Vec<String>,
    /// Attributes with the DN or the LDAP URL of entries whose values are returned, too.
    pub special: Vec<String>,
    /// Like `plain`, except in an entry that has one of `special`.
    pub leaf: Vec<String>,
    /// Like `plain`; an entry that has one of them contributes nothing else.
    pub terminal: Vec<String>,
    /// Maximum number of searches that follow from each other, the first one included.
    pub recursion_limit: usize,
}

impl Default for Attributes {
    fn default() -> Self {
        let (plain, special, leaf, terminal) = Default::default();
        Attributes { plain, special, leaf, terminal, recursion_limit: RECURSION_LIMIT }
    }
}

impl From<&str> for Attributes {
    /// A single attribute.
    fn from(name: &str) -> Self {
        Attributes { plain: vec![name.into()], ..Attributes::default() }
    }
}

/// Default and maximum of [`Attributes::recursion_limit`]: the default of Postfix.
pub const RECURSION_LIMIT: usize = 1000;

impl Query {
    /// Whether it is sent for `key`, which may lack a part that the query contains.
    pub fn is_sent_for(&self, key: &str) -> bool {
        let has =
            |text: &str| Template::parse(text).is_ok_and(|text| text.expand(key, Cow::Borrowed).is_some());
        match self {
            Query::Columns { .. } => true,
            Query::Sql(text) => has(text),
            Query::Ldap { base, filter, .. } => has(base) && has(filter),
            Query::Redis { key, field } => has(key) && field.as_deref().is_none_or(has),
        }
    }
}

/// The scope of a search (RFC 4511, section 4.5.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The base only.
    Base,
    /// The entries directly below the base.
    One,
    /// The base and all entries below it.
    #[default]
    Sub,
}

/// Maximum number of entries or values read from a directory for one key. They are joined with commas, as in Postfix.
pub const MAX_ROWS: usize = 1000;
