//! The clients of Postfix that are imported: their names, and the parameters that each of them has.

use crate::map::settings::Kind;
use std::str::FromStr;

/// A client of Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// mysql_table(5).
    Mysql,
    /// pgsql_table(5).
    Pgsql,
    /// sqlite_table(5).
    Sqlite,
    /// ldap_table(5).
    Ldap,
}

impl Client {
    /// All clients, with the types of tables in main.cf.
    pub const ALL: [(&'static str, Client); 4] = [
        ("mysql", Client::Mysql),
        ("pgsql", Client::Pgsql),
        ("sqlite", Client::Sqlite),
        ("ldap", Client::Ldap),
    ];

    /// The type of table in main.cf.
    pub fn name(self) -> &'static str {
        Client::ALL.iter().find(|(_, client)| *client == self).map_or("", |(name, _)| name)
    }

    /// The type of database in rcptd.
    pub fn kind(self) -> Kind {
        match self {
            Client::Mysql => Kind::Mysql,
            Client::Pgsql => Kind::Postgresql,
            Client::Sqlite => Kind::Sqlite,
            Client::Ldap => Kind::Ldap,
        }
    }

    /// Its parameters. Those with a text have no counterpart in rcptd; the text is the consequence.
    pub fn parameters(self) -> impl Iterator<Item = &'static (&'static str, Option<&'static str>)> {
        let (own, shared): (&[_], &[_]) = match self {
            Client::Mysql => (MYSQL, SQL),
            Client::Pgsql => (PGSQL, SQL),
            Client::Sqlite => (SQLITE, SQL),
            Client::Ldap => (LDAP, &[]),
        };
        COMMON.iter().chain(shared).chain(own)
    }

    fn has(self, parameter: &str) -> bool {
        self.parameters().any(|(name, _)| *name == parameter)
    }
}

/// Parameters and, if they have no counterpart, the consequence.
type Parameters = &'static [(&'static str, Option<&'static str>)];

const NO_CLIENT_CERTIFICATE: &str = "is left out: rcptd sends no certificate of its own. If the server requires one, it \
     refuses the connection, and each lookup fails temporarily";
const SASL: &str = "is left out: rcptd has no SASL";
const NO_CACHE: &str = "is left out: Postfix ignores it, too";
const CONNECTIONS: &str =
    "is left out: rcptd closes idle connections and retries servers at times of its own";

const COMMON: Parameters = &[("domain", None), ("expansion_limit", None), ("result_format", None)];

const SQL: Parameters = &[
    ("query", None),
    ("select_field", None),
    ("table", None),
    ("where_field", None),
    ("additional_conditions", None),
];

const MYSQL: Parameters = &[
    ("hosts", None),
    ("user", None),
    ("password", None),
    ("dbname", None),
    (
        "option_file",
        Some(
            "is left out: rcptd reads no my.cnf. Write the user, the password and the socket that it sets into rcptd.conf",
        ),
    ),
    ("option_group", Some("is left out: rcptd reads no my.cnf")),
    ("require_result_set", None),
    ("tls_cert_file", Some(NO_CLIENT_CERTIFICATE)),
    ("tls_key_file", Some(NO_CLIENT_CERTIFICATE)),
    ("tls_CAfile", None),
    ("tls_CApath", None),
    ("tls_ciphers", Some("is left out: rcptd uses the cipher suites of rustls")),
    ("tls_verify_cert", None),
    ("charset", Some("is left out: rcptd uses utf8mb4")),
    ("idle_interval", Some(CONNECTIONS)),
    ("retry_interval", Some(CONNECTIONS)),
];

const PGSQL: Parameters = &[
    ("hosts", None),
    ("user", None),
    ("password", None),
    ("dbname", None),
    ("select_function", None),
    ("encoding", Some("is left out: rcptd uses UTF-8")),
    ("idle_interval", Some(CONNECTIONS)),
    ("retry_interval", Some(CONNECTIONS)),
];

const SQLITE: Parameters = &[("dbpath", None)];

const LDAP: Parameters = &[
    ("server_host", None),
    ("server_port", None),
    ("timeout", None),
    ("search_base", None),
    ("query_filter", None),
    ("result_filter", None),
    ("result_attribute", None),
    ("special_result_attribute", None),
    ("terminal_result_attribute", None),
    ("leaf_result_attribute", None),
    ("scope", None),
    ("bind", None),
    ("bind_dn", None),
    ("bind_pw", None),
    ("cache", Some(NO_CACHE)),
    ("cache_expiry", Some(NO_CACHE)),
    ("cache_size", Some(NO_CACHE)),
    ("recursion_limit", None),
    ("size_limit", None),
    ("dereference", None),
    ("chase_referrals", None),
    ("version", None),
    ("debuglevel", Some("is left out: rcptd has [log] level")),
    ("sasl_mechs", Some(SASL)),
    ("sasl_realm", Some(SASL)),
    ("sasl_authz_id", Some(SASL)),
    ("sasl_minssf", Some(SASL)),
    ("start_tls", None),
    ("tls_ca_cert_dir", None),
    ("tls_ca_cert_file", None),
    ("tls_cert", Some(NO_CLIENT_CERTIFICATE)),
    ("tls_key", Some(NO_CLIENT_CERTIFICATE)),
    ("tls_require_cert", None),
    ("tls_random_file", Some("is left out: rcptd takes random numbers from the kernel")),
    ("tls_cipher_suite", Some("is left out: rcptd uses the cipher suites of rustls")),
];

/// A table as main.cf names it: `[proxy:][TYPE:]FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The type, if it is written.
    pub client: Option<Client>,
    /// The path of the file.
    pub path: String,
}

impl FromStr for Named {
    type Err = String;

    /// The error is the reason and the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("proxy:").unwrap_or(text);
        let Some((kind, path)) = bare.split_once(':').filter(|(kind, _)| is_type(kind)) else {
            return Ok(Named { client: None, path: bare.into() });
        };
        if kind == "memcache" {
            return Err(MEMCACHE.into());
        }
        match Client::ALL.iter().find(|(name, _)| *name == kind) {
            Some((_, client)) => Ok(Named { client: Some(*client), path: path.into() }),
            None => Err(format!(
                "a table of type {kind} has no such file: mysql:, pgsql:, sqlite: and ldap: are imported"
            )),
        }
    }
}

/// Why a memcache_table(5) is not imported.
pub const MEMCACHE: &str = "memcache is not supported: it is only a cache. Import the table in its parameter backup, and \
                            set cache_ttl in the [[map]]";

/// Whether a text may be the type of a table.
fn is_type(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Finds the client of a file called `file` from the names of its parameters, or else from its own name. Also
/// returns whether only its own name shows the client. The error is the reason and the remedy.
pub fn guess(file: &str, parameters: &[&str]) -> Result<(Client, bool), String> {
    let only = |client: Client, name: &str| {
        client.has(name) && !Client::ALL.iter().any(|(_, other)| *other != client && other.has(name))
    };
    let shown: Vec<Client> = Client::ALL
        .iter()
        .map(|(_, client)| *client)
        .filter(|client| parameters.iter().any(|name| only(*client, name)))
        .collect();
    match shown[..] {
        [client] => return Ok((client, false)),
        [] => (),
        _ => {
            let names: Vec<_> = shown.iter().map(|client| client.name()).collect();
            return Err(format!(
                "it has parameters of {}: write the type before the name, such as {}:{file}",
                names.join(" and "),
                names.first().unwrap_or(&"")
            ));
        }
    }
    if parameters.contains(&"memcache") {
        return Err(MEMCACHE.into());
    }
    let base = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
    let named = |words: &[&str]| words.iter().any(|word| base.contains(word));
    match (named(&["mysql", "mariadb"]), named(&["pgsql", "postgres"])) {
        (true, false) => Ok((Client::Mysql, true)),
        (false, true) => Ok((Client::Pgsql, true)),
        _ => Err(format!(
            "its parameters do not show whether it is for MariaDB and MySQL or for PostgreSQL: write mysql:{file} or \
             pgsql:{file}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names() {
        let named = |client, path: &str| Ok(Named { client, path: path.into() });
        for (text, want) in [
            ("/etc/postfix/x.cf", named(None, "/etc/postfix/x.cf")),
            ("mysql:/etc/postfix/x.cf", named(Some(Client::Mysql), "/etc/postfix/x.cf")),
            ("proxy:pgsql:x.cf", named(Some(Client::Pgsql), "x.cf")),
            ("proxy:x.cf", named(None, "x.cf")),
            ("./a:b.cf", named(None, "./a:b.cf")),
            ("ldap:/a:b.cf", named(Some(Client::Ldap), "/a:b.cf")),
            ("proxy:memcache:/x.cf", Err(MEMCACHE.into())),
        ] {
            assert_eq!(text.parse::<Named>(), want, "{text}");
        }
        assert!("hash:/etc/aliases".parse::<Named>().unwrap_err().contains("type hash"));
    }

    #[test]
    fn guesses_the_client() {
        for (file, parameters, want) in [
            ("x.cf", &["dbpath", "query"][..], Ok((Client::Sqlite, false))),
            ("x.cf", &["server_host"], Ok((Client::Ldap, false))),
            ("x.cf", &["hosts", "option_file"], Ok((Client::Mysql, false))),
            ("mysql.cf", &["hosts", "select_function"], Ok((Client::Pgsql, false))),
            ("/mysql/x.cf", &["hosts", "dbname", "query"], Err("mysql:/mysql/x.cf or pgsql:/mysql/x.cf")),
            ("/etc/mysql_alias.cf", &["hosts", "query"], Ok((Client::Mysql, true))),
            ("pgsql-alias.cf", &["hosts", "query"], Ok((Client::Pgsql, true))),
            ("mysql-or-pgsql.cf", &["hosts"], Err("mysql:mysql-or-pgsql.cf")),
            ("x.cf", &["dbpath", "server_host"], Err("sqlite and ldap: write the type")),
            ("x.cf", &["memcache", "backup"], Err("memcache is not supported")),
            ("x.cf", &[], Err("write mysql:x.cf")),
        ] {
            match (guess(file, parameters), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{file}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{file}: {got}"),
                (got, _) => panic!("{file}: {got:?}"),
            }
        }
    }
}
