//! The keys of maps, databases and table servers, which rcptd.maps(5) explains; see `keys`.

use super::read::Reader;
use super::section::{
    Change, DefaultValue, DefaultValue::Required, DefaultValue::Unset, Description, Entry, Key, Section,
    bounds, octal, sections, word,
};
use super::value::{Field, List};
use super::{database, listeners, milter, query, results, tables};
use crate::lookup::control;
use crate::map::results::{EXPANSION_LIMIT, RESULT_FORMAT};
use crate::map::search::SearchStrategy;
use crate::map::settings::{self as databases, Scope};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

sections! {
    /// The keys of a map, described in full in rcptd.maps(5):
    MapTable "map." [[map]] {
        /// The name for mail servers: up to 64 letters, digits and any of `_.-`.
        name: String = Required, "name", Reload;

        /// The source of its values, or a list of sources, which are asked in turn until one has the key:
        /// `resolver:VIEW`, `texthash:/PATH`, `inline:{ KEY=VALUE, ... }`, `lmdb:/PATH`, `database:NAME`,
        /// `tcp:HOST:PORT`, `socketmap:inet:HOST:PORT:NAME`, `socketmap:unix:/PATH:NAME`, `map:NAME` (another
        /// map), `static:VALUE`, `fail:REASON`, `unionmap:{a, b}` or `pipemap:{a, b}`. The resolver gives the
        /// answers of the milter, in the views `virtual_alias`, `recipients`, `sender_login`,
        /// `sender_login_name`, `access`, `transport`, `account` and `domains`.
        ///
        /// If a source fails temporarily, the sources after it are not asked, since it may have the key. The
        /// section SOURCES describes them.
        source: List<String> = Required, "[source, ...]", Reload;

        /// The search strategy, which also checks the form of values: `plain`, `transport`, `access`,
        /// `sender_bcc`, `recipient_bcc`, `canonical`, `relocated`, `generic`, `virtual_alias`,
        /// `virtual_mailbox`, `virtual_mailbox_domains`, `sender_login`, `header_checks` or `body_checks`.
        /// Postfix asks a server for the full address only; the strategy does the rest of the search. With
        /// `plain`, the key is looked up unchanged.
        ///
        /// The section SEARCH STRATEGIES describes them.
        search: String = SearchStrategy::Plain.name(), "strategy", Reload;

        /// How long answers from databases and other servers are cached, values and "not found".
        ///
        /// Temporary failures are never cached. In any case, concurrent equal queries are sent to the database
        /// once. A map that is an account source (`map:NAME` in `account.source`) must not have a `cache_ttl`, since
        /// `account.cache` caches its accounts.
        cache_ttl: Duration = tables::CACHE_TTL, "time", Reload, in tables::CACHE_TTLS;

        /// For an SQL database: the table.
        table: String = Unset, "name", Reload;

        /// For an SQL database: the column of keys. For Redis: the key, with placeholders as in `query`.
        ///
        /// In Redis, keys that begin with `rcptd:` are those that rcptd writes itself (`account.cache.shared`): it does
        /// not look them up, and the result is a temporary failure.
        key: String = Unset, "name", Reload;

        /// For an SQL database: the column of values. Without it, the value is the key.
        value: String = Unset, "name", Reload;

        /// For an SQL database: a column whose text is appended to the value after a blank, if it is not empty.
        reason: String = Unset, "name", Reload;

        /// For an SQL database, instead of table and columns: your own query. `%s` is the key, `%u` and `%d`
        /// are the parts before and after its last @. Write them without quotes.
        ///
        /// `%u` is the whole key if it has no @, and `%%` is a percent sign. `%1` to `%9` are the labels of the
        /// domain, counted from its end: for user@mail.example.com, `%1` is com and `%3` is mail. If a query contains
        /// a placeholder that is empty, such as `%u` for the catch-all `@example.com`, or a label that the domain
        /// does not have, the query is not sent and the key is not found, as in the clients of Postfix. Capitals,
        /// such as `%S`, mean the same. The values of placeholders are bound as parameters and
        /// never become part of the text of the query.
        ///
        /// All columns of all rows that are neither NULL nor empty are joined with commas; with SQLite only the
        /// first column counts. A query without a result set, such as an UPDATE, is an error. Sessions use the
        /// settings of the server and the role, such as time zone and SQL mode.
        ///
        /// The database compares texts by its collations; see DIFFERENCES FROM THE CLIENTS OF POSTFIX. Values
        /// of a column `key` are compared as described below, whatever the collation.
        query: String = Unset, "query", Reload;

        /// For a directory (LDAP): the base of the search. It may contain placeholders as in `query`, which are
        /// escaped as required.
        base: String = Unset, "dn", Reload;

        /// For a directory: the filter of the search, with placeholders as in `query`, which are escaped as
        /// required.
        filter: String = Unset, "filter", Reload;

        /// For a directory: the attributes with the values.
        ///
        /// All values of all entries are joined with commas, in the order in which the directory returns the
        /// attributes. Required, unless `leaf_attribute` or `terminal_attribute` is set. An entry without the
        /// attributes has no value, as with Postfix: the bound user must be allowed to read them.
        attribute: List<String> = Unset, "[name, ...]", Reload;

        /// For a directory: attributes that refer to other entries, such as the members of a group. rcptd also reads
        /// the values of these entries.
        ///
        /// A value is a DN or an LDAP URL (RFC 4516). A DN refers to one entry. A URL is a search in the same
        /// directory; as with Postfix, its host is ignored. If the URL names attributes, only those are read that
        /// are also attributes of the map. The values of the entries replace the reference. Entries may refer to
        /// further ones, up to `recursion_limit`; rcptd follows at most 2000 references, each with a search of its
        /// own, all within the deadline of the database. If a reference is not a valid DN or URL, or if an entry
        /// refers to itself, the lookup fails temporarily.
        special_attribute: List<String> = Unset, "[name, ...]", Reload;

        /// For a directory: attributes with values, except in an entry that has a `special_attribute`. So the
        /// address of a group is not a value, and the addresses of its members are.
        leaf_attribute: List<String> = Unset, "[name, ...]", Reload;

        /// For a directory: attributes with values that replace all others. If an entry has one of them, its other
        /// attributes are ignored, `special_attribute` included.
        terminal_attribute: List<String> = Unset, "[name, ...]", Reload;

        /// For a directory: the maximum length of a chain of references, in searches, including the first one. If a
        /// chain is longer, the lookup fails temporarily.
        recursion_limit: u64 = databases::RECURSION_LIMIT, "number", Reload, in query::RECURSION_LIMITS;

        /// For a directory: the scope of the search, `"base"`, `"one"` or `"sub"`.
        scope: String = word(&query::SCOPES, &Scope::default()), "\"base\" | \"one\" | \"sub\"", Reload;

        /// For Redis: the field, if the value of `key` is a hash.
        field: String = Unset, "name", Reload;

        /// For a database: the format of each value, such as `"smtp:[%s]"`. `%s` is the value, `%u` and `%d` are the
        /// parts before and after its last @. Capitals and digits (`%S`, `%U`, `%D`, `%1` to `%9`) are parts of the
        /// key, as in `query`.
        ///
        /// `%u` is the whole value if it has no @, and `%%` is a percent sign. A value without a part that the format
        /// contains is ignored, and so is an empty value. A key without such a part is not found, without a query.
        /// With `reason`, the format applies to the value only. This key, `domain` and `expansion_limit` mean the same
        /// as in mysql_table(5), pgsql_table(5), sqlite_table(5) and ldap_table(5).
        result_format: String = RESULT_FORMAT, "format", Reload;

        /// For a database: the domains whose addresses are looked up. All other keys are not found, without a query:
        /// addresses in other domains and in subdomains, names without a domain, domains, and `@domain`. International
        /// domains can be written either way, as in the global key `domains`.
        ///
        /// The first entry that equals the domain decides; an entry `!example.com` excludes a domain.
        domain: List<String> = Unset, "[domain, ...]", Reload;

        /// For a database: the maximum number of values of a key. If there are more, the lookup fails temporarily. With
        /// 1, a map never returns a list. 0 means no limit, except that a value has at most 100000 octets.
        expansion_limit: u64 = EXPANSION_LIMIT, "number", Reload, in results::EXPANSION_LIMITS;
    }

    /// The keys of a database, described in full in rcptd.maps(5):
    DatabaseTable "database." [[database]] {
        /// The name for maps, as `database:NAME`.
        name: String = Required, "name", Reload;

        /// The kind of the database: `"postgresql"`, `"mysql"` (also for MariaDB), `"sqlite"`, `"redis"` or
        /// `"ldap"`.
        ///
        /// It must be built in, as in the packages.
        kind: String = Required, "\"postgresql\" | \"mysql\" | \"sqlite\" | \"redis\" | \"ldap\"", Reload;

        /// Its servers, which have the same content: `HOST`, `HOST:PORT` or `unix:/PATH`. rcptd asks the first
        /// that it can connect to. Required, except for SQLite.
        ///
        /// With Redis Cluster, write some of its nodes; with Redis Sentinel, the Sentinels. With PostgreSQL,
        /// the path is the folder of the socket. With MariaDB and MySQL, `localhost` is the UNIX socket, as in their
        /// own clients, whatever the port. Its path is the value of the environment variable `MYSQL_UNIX_PORT`, or the
        /// first of the usual paths that exists; write `127.0.0.1` to connect by TCP, or set `tls`. With LDAP, a
        /// server may be a URL: `ldap://HOST`, `ldaps://HOST`, which uses TLS from the beginning and port 636, or
        /// `ldapi://%2FPATH`. A server that could not be reached is asked
        /// last for 10 s. Names are looked up in `/etc/hosts` and DNS, with the search list of resolv.conf(5); changes
        /// of both files take effect at once. Only the driver of MySQL uses the C library, and so
        /// nsswitch.conf(5).
        hosts: List<String> = Unset, "[host, ...]", Reload;

        /// The user name; with LDAP the DN to bind as.
        ///
        /// With MariaDB and MySQL, rcptd supports the authentication methods `mysql_native_password`,
        /// `caching_sha2_password`, `sha256_password`, `unix_socket` and `auth_socket`, but not `ed25519`, `parsec` and
        /// `pam`.
        user: String = Unset, "name", Reload;

        /// A file whose first line is the password. Other users must not be able to read it (`chmod 640`).
        password_file: String = Unset, "file", Reload;

        /// The name of the database; with Redis its number.
        database: String = Unset, "name", Reload;

        /// The file of SQLite.
        ///
        /// If the database is in WAL mode, rcptd must be allowed to write to its folder, unless a writer has created
        /// the files `-shm` and `-wal`.
        file: String = Unset, "file", Reload;

        /// Whether connections are encrypted. If they are, rcptd checks the certificate of the server.
        ///
        /// LDAP uses STARTTLS; write `hosts = "ldaps://HOST"` instead for a server with a port for TLS.
        tls: bool = false, "true | false", Reload;

        /// A file (PEM) with the certificates of the authorities to trust, instead of those of the system; with
        /// MariaDB and MySQL, in addition to them.
        tls_ca: String = Unset, "file", Reload;

        /// The maximum number of connections to each server.
        ///
        /// If a query exceeds its deadline, rcptd ends it in the server, by a cancel request (PostgreSQL) or
        /// the time limit of the session (MariaDB and MySQL); until then its connection counts. If a server
        /// refuses a further connection, queries wait for an open one.
        connections: u64 = databases::CONNECTIONS, "number", Reload, in database::CONNECTION_COUNTS;

        /// Longest wait for a connection.
        connect_timeout: Duration = databases::CONNECT_TIMEOUT, "time", Reload, in database::TIMES;

        /// Longest wait for an answer.
        deadline: Duration = databases::DEADLINE, "time", Reload, in database::TIMES;

        /// A key that always exists, such as `"postmaster@example.com"`, in one of the maps of this database.
        /// If a server does not find it (a replica that is still empty), "not found" from that server is not
        /// trusted.
        ///
        /// The lookup of another key is then a temporary failure. Each key that the same server has found
        /// within `control_interval` is a witness, too. The configured one is asked for only if no key was
        /// found, over the same connection. Without a witness, rcptd trusts "not found" from an empty server.
        ///
        /// With Redis, "not found" never counts from a replica that has lost its master
        /// (`master_link_status:down`), if rcptd is allowed to send `INFO`. rcptd asks at most once a second.
        witness: String = Unset, "key", Reload;

        /// How long a server is trusted after it found a key.
        control_interval: Duration = control::INTERVAL, "time", Reload, in database::INTERVALS;

        /// For Redis with Sentinel: the name of the master, as after `sentinel monitor` in `sentinel.conf`.
        /// `hosts` are then the Sentinels, whose default port is 26379.
        ///
        /// rcptd asks the first Sentinel that it can connect to for the address of the master, and checks the
        /// role of that server (`ROLE`). It asks again when the master fails, and before it trusts a "not found" of
        /// the master if the last check is more than a second ago. During a fail-over, lookups fail temporarily.
        /// `user`, `password_file` and `database` are for the master, `tls` and `tls_ca` for both.
        sentinel_master: String = Unset, "name", Reload;

        /// For Redis with Sentinel: a file whose first line is the password of the Sentinels (`requirepass` in
        /// `sentinel.conf`), if they have one.
        sentinel_password_file: String = Unset, "file", Reload;
    }

    /// The keys of a listener:
    TcpTable "tcp_table." [[tcp_table]] {
        /// An endpoint or a list of them, as `milter.listen`; Postfix supports TCP only.
        ///
        /// Anyone who can connect to it can find out which accounts exist: the protocol has no passwords and no
        /// encryption.
        listen: List<String> = Required, "[endpoint, ...]", Restart;

        /// The name of the map to serve; Postfix does not send a map name.
        map: String = Required, "name", Restart;

        /// The time limit for an answer; after it, the answer is a temporary failure.
        deadline: Duration = milter::DEADLINE, "time", Restart, in milter::DEADLINES;

        /// The maximum number of connections. At the maximum, a new connection replaces the one that has
        /// been idle longest, if it has been idle for at least a second.
        max_connections: u64 = milter::MAX_CONNECTIONS, "number", Restart, in milter::CONNECTIONS;

        /// How long a connection may be silent. Postfix keeps connections open and closes them itself.
        idle_timeout: Duration = listeners::IDLE_TIMEOUT, "time", Restart, in listeners::IDLE;
    }

    /// The keys of a listener:
    Socketmap "socketmap." [[socketmap]] {
        /// An endpoint or a list of them, as `milter.listen`.
        ///
        /// Anyone who can connect to it can find out which accounts exist: the protocol has no passwords and no
        /// encryption.
        listen: List<String> = Required, "[endpoint, ...]", Restart;

        /// The names of the maps to serve. By default, all maps.
        maps: List<String> = Unset, "[name, ...]", Restart;

        /// The mail server: `"postfix"` or `"sendmail"`, which treat some answers differently.
        ///
        /// If a map does not exist, the reply to Postfix is `PERM`: Postfix defers the mail and logs an error
        /// of the configuration. Sendmail treats `PERM` as "not found", so the reply to Sendmail is `TEMP`.
        mta: String = word(&listeners::MTA, &false), "\"postfix\" | \"sendmail\"", Restart;

        /// The permissions of UNIX sockets, as `milter.socket_mode`.
        socket_mode: String = octal(milter::SOCKET_MODE), "mode", Restart;

        /// The group of UNIX sockets, as `milter.socket_group`.
        socket_group: String = "", "group", Restart;

        /// The time limit for an answer; after it, the answer is a temporary failure.
        deadline: Duration = milter::DEADLINE, "time", Restart, in milter::DEADLINES;

        /// The maximum number of connections. At the maximum, a new connection replaces the one that has
        /// been idle longest, if it has been idle for at least a second.
        max_connections: u64 = milter::MAX_CONNECTIONS, "number", Restart, in milter::CONNECTIONS;

        /// How long a connection may be silent. Postfix keeps connections open and closes them itself.
        idle_timeout: Duration = listeners::IDLE_TIMEOUT, "time", Restart, in listeners::IDLE;
    }
}
