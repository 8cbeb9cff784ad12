//! The configuration as written: each key with its type, before checks between keys.
//!
//! The macro derives the fields, their reader and the names in [`keys`] from one list, so that the three
//! cannot differ.

use super::read::{Reader, Value};
use diagnostics::Text;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key's value and its position.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    /// The key with its section, such as `milter.listen`.
    pub key: &'static str,
    /// The file; for an old statement in the rules that sets the key, the rules file.
    pub text: Text,
    /// The position of the value in the file, in bytes.
    pub span: Range<usize>,
    /// The value.
    pub value: T,
}

/// A key in the file.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// The key is not present.
    #[default]
    Absent,
    /// The key is present, but not of its type; the error was reported.
    Broken,
    /// The key is present and has its type.
    Given(Given<T>),
}

impl<T> Field<T> {
    /// Returns the value, if present and usable.
    pub fn given(&self) -> Option<&Given<T>> {
        match self {
            Field::Given(given) => Some(given),
            Field::Absent | Field::Broken => None,
        }
    }
}

/// One value or a list of them.
#[derive(Debug)]
pub(super) struct List<T> {
    /// The items that could be read.
    pub items: Vec<Spanned<T>>,
    /// Whether these are all items.
    pub complete: bool,
}

/// A table whose keys are known.
pub(super) trait Section: Default {
    /// Prefix of its keys: `milter.`, or empty for the top of the file.
    const PREFIX: &'static str;
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// Its subsections.
    const SECTIONS: &'static [&'static str];

    /// Reads one key; returns `false` if there is no key of that name.
    fn set(&mut self, name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> bool;

    /// Adds its keys and those of its subsections to `keys`.
    fn list(keys: &mut Vec<(&'static str, &'static str)>);

    /// Whether all of its own keys are absent.
    fn is_absent(&self) -> bool;

    /// Reads a whole table.
    fn read_table(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Self {
        let mut section = Self::default();
        for (name, value) in table {
            if !section.set(name.get_ref(), value, reader) {
                reader.unknown_key::<Self>(name);
            }
        }
        section
    }
}

macro_rules! sections {
    ($(
        $(#[$about:meta])*
        $section:ident $prefix:literal {
            $( $(#[$doc:meta])* $key:ident: $type:ty, )*
        } $( + {
            $( $(#[$sub_doc:meta])* $sub:ident: $sub_type:ident, )*
        } )?
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $section {
            $( $(#[$doc])* pub $key: Field<$type>, )*
            $($( $(#[$sub_doc])* pub $sub: $sub_type, )*)?
        }

        impl Section for $section {
            const PREFIX: &'static str = $prefix;
            const KEYS: &'static [&'static str] = &[$( stringify!($key) ),*];
            const SECTIONS: &'static [&'static str] = &[$($( stringify!($sub) ),*)?];

            fn set(&mut self, name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> bool {
                match name {
                    $( stringify!($key) => {
                        self.$key = reader.field(concat!($prefix, stringify!($key)), value);
                    } )*
                    $($( stringify!($sub) => {
                        self.$sub = reader.section(concat!($prefix, stringify!($sub)), value);
                    } )*)?
                    _ => return false,
                }
                true
            }

            fn is_absent(&self) -> bool {
                true $( && matches!(self.$key, Field::Absent) )*
            }

            fn list(keys: &mut Vec<(&'static str, &'static str)>) {
                keys.extend(Self::KEYS.iter().map(|key| (Self::PREFIX.trim_end_matches('.'), *key)));
                $($( $sub_type::list(keys); )*)?
            }
        }
    )*};
}

sections! {
    /// The top of the file.
    Top "" {
        /// The domains whose recipients are resolved.
        domains: List<String>,
        /// The domain of a recipient without one; if empty, the first of `domains`.
        origin: String,
        /// Files of alias rules, relative to this file.
        rules: List<String>,
        /// Whether local parts that differ by case only are different.
        case_sensitive: bool,
        /// The account for ambiguous aliases; if empty, there is none.
        debug_account: String,
        /// A file with the secrets of the rules, relative to this file; if empty, there is none.
        secrets: String,
        /// Percentage of random addresses above which a rule causes a warning; 0: never.
        guessable: Percent,
        /// The operator's script, relative to this file; if empty, there is none.
        script: String,
        /// How local parts are normalised, by domain.
        normalise: List<NormaliseTable>,
        /// Whether to decide and log, but change nothing.
        dry_run: bool,
        /// Whether a changed file causes a reload.
        watch: bool,
        /// Number of threads; 0: as many as there are cores.
        workers: u64,
        /// The maps.
        map: List<MapTable>,
        /// The databases that maps use.
        database: List<DatabaseTable>,
        /// Listeners that serve maps to Postfix by tcp_table(5).
        tcp_table: List<TcpTable>,
        /// Listeners that serve maps by socketmap_table(5).
        socketmap: List<Socketmap>,
    } + {
        /// The milter.
        milter: Milter,
        /// The account sources.
        account: Account,
        /// The statistics.
        statistics: Statistics,
        /// The metrics server.
        metrics: Metrics,
        /// The control socket.
        control: Control,
        /// Level and target of the log.
        log: Log,
    }

    /// `[milter]`
    Milter "milter." {
        /// Addresses to listen on.
        listen: List<String>,
        /// Permissions of UNIX sockets, in octal digits.
        socket_mode: String,
        /// Group of UNIX sockets; if empty, the group of the process.
        socket_group: String,
        /// Longest time from request to reply.
        deadline: Duration,
        /// Most connections of the mail server at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
        /// Most recipients of one message.
        max_recipients: u64,
        /// Reply to a recipient whose account does not exist.
        reject_reply: String,
        /// Reply when the lookup fails temporarily.
        defer_reply: String,
        /// A header that records the alias of a message to one recipient; if empty, there is none.
        header: String,
    }

    /// `[account]`
    Account "account." {
        /// The sources of accounts, in the order in which they are used.
        source: List<Source>,
        /// Longest wait for a source.
        deadline: Duration,
        /// Most concurrent lookups in a source.
        concurrency: u64,
        /// Whether mail is deferred or accepted while a source fails temporarily.
        tempfail_action: String,
        /// How long a passed control by a witness or a canary is valid.
        control_interval: Duration,
    } + {
        /// Cache of the results.
        cache: Cache,
        /// For `vrfy:` sources.
        vrfy: Vrfy,
    }

    /// A source with its own settings.
    SourceTable "account.source." {
        /// The source.
        source: String,
        /// As `account.deadline`.
        deadline: Duration,
        /// As `account.concurrency`.
        concurrency: u64,
        /// As `account.tempfail_action`.
        tempfail_action: String,
        /// As `account.control_interval`.
        control_interval: Duration,
        /// As `account.vrfy.witness`; for `passwd:` a user that exists.
        witness: ByDomain<WitnessName>,
        /// As the keys of these names in `account.vrfy`.
        helo: String,
        per_connection: u64,
        idle_connections: u64,
        idle_timeout: Duration,
        code_250: ByDomain<String>,
        code_252: ByDomain<String>,
        starttls: String,
        tls_name: String,
        tls_ca: String,
    }

    /// An entry of `normalise`.
    NormaliseTable "normalise." {
        /// The domains of the entry; if absent, all domains that no other entry names.
        domains: List<String>,
        /// As the key of this name at the top.
        case_sensitive: bool,
        /// The characters that begin an extension.
        delimiters: String,
        /// The characters that are removed.
        remove: String,
        /// Whether local parts are converted to Unicode's form NFKC.
        nfkc: bool,
    }

    /// An entry of `map`.
    MapTable "map." {
        /// The name of the map in requests.
        name: String,
        /// The sources of its values, in the order in which they are used.
        source: List<String>,
        /// The search strategy.
        search: String,
        /// How long results of databases and other servers are cached.
        cache_ttl: Duration,
        /// The SQL table.
        table: String,
        /// The column of keys; for Redis the key.
        key: String,
        /// The column of values.
        value: String,
        /// The column of the text that is appended to the value.
        reason: String,
        /// An SQL query.
        query: String,
        /// The base of an LDAP search.
        base: String,
        /// The filter of an LDAP search.
        filter: String,
        /// The attribute with the value.
        attribute: String,
        /// The scope of an LDAP search.
        scope: String,
        /// The field of a Redis hash.
        field: String,
    }

    /// An entry of `database`.
    DatabaseTable "database." {
        /// The name of the database in maps.
        name: String,
        /// The kind of the database.
        kind: String,
        /// Its servers.
        hosts: List<String>,
        /// The user name.
        user: String,
        /// The file with the password, relative to this file.
        password_file: String,
        /// The database of the server.
        database: String,
        /// The SQLite file, relative to this file.
        file: String,
        /// Whether connections are encrypted.
        tls: bool,
        /// Certificates that the server's certificate must be signed with.
        tls_ca: String,
        /// Most connections to a server.
        connections: u64,
        /// Longest wait for a connection.
        connect_timeout: Duration,
        /// Longest wait for a result.
        deadline: Duration,
        /// A key that certainly exists.
        witness: String,
        /// How long a lookup of the witness is valid.
        control_interval: Duration,
    }

    /// An entry of `tcp_table`.
    TcpTable "tcp_table." {
        /// Addresses to listen on.
        listen: List<String>,
        /// The map it serves.
        map: String,
        /// Longest time from request to reply.
        deadline: Duration,
        /// Most connections at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
    }

    /// An entry of `socketmap`.
    Socketmap "socketmap." {
        /// Addresses to listen on.
        listen: List<String>,
        /// The maps it serves; if absent, all maps.
        maps: List<String>,
        /// The mail server that is the client.
        mta: String,
        /// Permissions of UNIX sockets, in octal digits.
        socket_mode: String,
        /// Group of UNIX sockets; if empty, the group of the process.
        socket_group: String,
        /// Longest time from request to reply.
        deadline: Duration,
        /// Most connections at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
    }

    /// `[statistics]`
    Statistics "statistics." {
        /// Whether statistics are collected for `stats`, `jstats` and `rcptd status`.
        enabled: bool,
        /// Interval at which they are logged; 0: never.
        log_interval: Duration,
    }

    /// `[metrics]`
    Metrics "metrics." {
        /// Addresses of the HTTP server; if empty, there is none.
        listen: List<String>,
    }

    /// `[control]`
    Control "control." {
        /// Path of a UNIX socket; if empty, there is none.
        listen: String,
        /// Permissions of the socket, in octal digits.
        socket_mode: String,
        /// Group of the socket; if empty, the group of the process.
        socket_group: String,
    }

    /// `[account.cache]`
    Cache "account.cache." {
        /// How long "exists" is cached.
        positive_ttl: Duration,
        /// How long "not found" is cached.
        negative_ttl: Duration,
        /// Most cached accounts.
        entries: u64,
    }

    /// `[account.vrfy]`
    Vrfy "account.vrfy." {
        /// The name in EHLO; if empty, the name of the host.
        helo: String,
        /// Most VRFY commands in one connection.
        per_connection: u64,
        /// Most idle connections that are kept open.
        idle_connections: u64,
        /// How long an idle connection is kept.
        idle_timeout: Duration,
        /// Meaning of a reply 250 or 251.
        code_250: ByDomain<String>,
        /// Meaning of a reply 252.
        code_252: ByDomain<String>,
        /// The account that a server must find before its "not found" is used.
        witness: ByDomain<WitnessName>,
        /// Whether connections are encrypted.
        starttls: String,
        /// The name in the server's certificate; if empty, the host name of the source.
        tls_name: String,
        /// A file of certificates that the server's certificate must be signed with; if empty, those of the
        /// system.
        tls_ca: String,
    }

    /// `[log]`
    Log "log." {
        /// The target of the log.
        target: String,
        /// The lowest level that is logged.
        level: String,
    }
}

/// An entry of `account.source`: the source alone, or a table with its settings.
#[derive(Debug)]
pub(super) enum Source {
    /// `"vrfy:127.0.0.1:5025"`
    Name(String),
    /// `{ source = "vrfy:127.0.0.1:5025", deadline = "2s" }`
    Table(Box<SourceTable>),
}

impl Value for Source {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Source::Table(Box::new(SourceTable::read_table(table, reader)))),
            _ => String::read(key, value, reader).map(Source::Name),
        }
    }
}

impl Account {
    /// Whether a source is a map.
    pub fn names_map(&self) -> bool {
        let items = self.source.given().map(|given| &given.value.items[..]).unwrap_or_default();
        items.iter().filter_map(|item| item.get_ref().text()).any(|text| text.trim().starts_with("map:"))
    }
}

impl Source {
    /// The source as it is written.
    pub fn text(&self) -> Option<&str> {
        match self {
            Source::Name(name) => Some(name),
            Source::Table(table) => table.source.given().map(|name| &*name.value),
        }
    }
}

/// One value for all domains, or a table with a value for each and a `default` for the others.
#[derive(Debug)]
pub(super) struct ByDomain<T> {
    /// The value for all domains that are not named.
    pub default: Option<Spanned<T>>,
    /// The values of the named domains.
    pub domains: Vec<(Spanned<String>, Spanned<T>)>,
}

impl<T: Value> Value for ByDomain<T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            let default = Spanned::new(value.span(), T::read(key, value, reader)?);
            return Some(ByDomain { default: Some(default), domains: Vec::new() });
        };
        let (mut choices, mut complete) = (ByDomain { default: None, domains: Vec::new() }, true);
        for (name, value) in table {
            match T::read(key, value, reader).map(|choice| Spanned::new(value.span(), choice)) {
                None => complete = false,
                Some(choice) if name.get_ref() == "default" => choices.default = Some(choice),
                Some(choice) => {
                    choices.domains.push((Spanned::new(name.span(), name.get_ref().to_string()), choice));
                }
            }
        }
        complete.then_some(choices)
    }
}

/// A witness: an account, or `false` for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WitnessName {
    /// `"postmaster"`
    Account(String),
    /// `false`
    Off,
}

impl Value for WitnessName {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(WitnessName::Off),
            DeValue::String(text) => Some(WitnessName::Account(text.to_string())),
            _ => {
                let help =
                    "write the name of an account that exists, such as \"postmaster\", or false for none";
                reader.wrong_type(key, value, "a string or false", help)
            }
        }
    }
}

/// A section that may occur several times, each time with a heading `[[name]]`.
trait Entry: Section {
    /// The heading.
    const BEGIN: &'static str;
}

impl Entry for NormaliseTable {
    const BEGIN: &'static str = "write [[normalise]] and its keys below";
}

impl Entry for MapTable {
    const BEGIN: &'static str = "write [[map]] and its keys below";
}

impl Entry for DatabaseTable {
    const BEGIN: &'static str = "write [[database]] and its keys below";
}

impl Entry for TcpTable {
    const BEGIN: &'static str = "write [[tcp_table]] and its keys below";
}

impl Entry for Socketmap {
    const BEGIN: &'static str = "write [[socketmap]] and its keys below";
}

impl<T: Entry> Value for T {
    const LIST: [&'static str; 2] = ["a list of sections", T::BEGIN];

    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(T::read_table(table, reader)),
            _ => reader.wrong_type(key, value, "a section", T::BEGIN),
        }
    }
}

/// A percentage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Percent(pub f64);

impl Value for Percent {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok().map(Percent),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok().map(Percent),
            _ => reader.wrong_type(key, value, "a number", "write a number of percent such as 5 or 0.5"),
        }
    }
}

/// Returns the keys of the sections that may occur several times, each with the name of its section.
pub fn keys_of_entries() -> Vec<(&'static str, &'static str)> {
    let mut keys = Vec::new();
    NormaliseTable::list(&mut keys);
    MapTable::list(&mut keys);
    DatabaseTable::list(&mut keys);
    TcpTable::list(&mut keys);
    Socketmap::list(&mut keys);
    keys
}

/// Returns every key with its section (`""` for the top of the file), in the order of the reference.
pub fn keys() -> Vec<(&'static str, &'static str)> {
    let mut keys = Vec::new();
    Top::list(&mut keys);
    keys
}
