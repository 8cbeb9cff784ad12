//! The configuration as it is written: each key with its type, nothing checked against another.
//!
//! The macro makes of one list the fields, their reader and the names known to [`keys`], so that the
//! three cannot differ.

use super::read::{Reader, Value};
use diagnostics::Text;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key's value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    /// The key with its section, such as `milter.listen`.
    pub key: &'static str,
    /// The file, which is another one where an old statement in the rules stands for the key.
    pub text: Text,
    /// The bytes of the value in it.
    pub span: Range<usize>,
    /// What was written.
    pub value: T,
}

/// A key in the file.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is there, but not of its type; that has been said.
    Broken,
    /// It is there.
    Given(Given<T>),
}

impl<T> Field<T> {
    /// What is there, if it can be used.
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
    /// Those that could be read.
    pub items: Vec<Spanned<T>>,
    /// Whether that is all of them.
    pub complete: bool,
}

/// A table whose keys are known.
pub(super) trait Section: Default {
    /// What stands before its keys: `milter.`, or nothing for the top of the file.
    const PREFIX: &'static str;
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// The sections in it.
    const SECTIONS: &'static [&'static str];

    /// Reads one key; `false` if there is none of that name.
    fn set(&mut self, name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> bool;

    /// Adds its keys and those of the sections in it to `keys`.
    fn list(keys: &mut Vec<(&'static str, &'static str)>);

    /// Whether none of its own keys is there.
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
        /// The domains whose recipients are looked at.
        domains: List<String>,
        /// The domain understood where a recipient has none; the first of `domains` where empty.
        origin: String,
        /// Files of alias rules, relative to this file.
        rules: List<String>,
        /// Whether local parts that differ by case only are different.
        case_sensitive: bool,
        /// The account of aliases that lead to several; none where empty.
        debug_account: String,
        /// A file with the secrets of the rules, relative to this file; none where empty.
        secrets: String,
        /// How often, in percent, a random address may pass a rule before that is warned of; 0 for never.
        guessable: Percent,
        /// The operator's script, relative to this file; none where empty.
        script: String,
        /// How local parts are read, by domain.
        normalise: List<NormaliseTable>,
        /// Whether everything is decided and logged, but nothing done.
        dry_run: bool,
        /// Whether a changed file is read again without being told to.
        watch: bool,
        /// How many threads work; 0 for as many as there are cores.
        workers: u64,
        /// The maps that are served.
        map: List<MapTable>,
        /// The databases that maps ask.
        database: List<DatabaseTable>,
        /// Where maps are served to Postfix by tcp_table(5).
        tcp_table: List<TcpTable>,
        /// Where they are served by socketmap_table(5).
        socketmap: List<Socketmap>,
    } + {
        /// The milter.
        milter: Milter,
        /// Which accounts exist.
        account: Account,
        /// What is counted.
        statistics: Statistics,
        /// Where monitoring finds the figures.
        metrics: Metrics,
        /// Where the other commands find the daemon.
        control: Control,
        /// What is logged, and where to.
        log: Log,
    }

    /// `[milter]`
    Milter "milter." {
        /// Where the mail server finds the milter.
        listen: List<String>,
        /// The permissions of UNIX sockets, in octal digits.
        socket_mode: String,
        /// The group of UNIX sockets; the program's own where empty.
        socket_group: String,
        /// Longest time from question to answer.
        deadline: Duration,
        /// Most connections of the mail server at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
        /// Most recipients remembered of one message.
        max_recipients: u64,
        /// What is said of a recipient whose account does not exist.
        reject_reply: String,
        /// What is said while nobody can tell.
        defer_reply: String,
        /// A header that records the alias of a message to one recipient; none where empty.
        header: String,
    }

    /// `[account]`
    Account "account." {
        /// Who knows the accounts; several are asked in turn.
        source: List<Source>,
        /// Longest wait for a source.
        deadline: Duration,
        /// Most questions to a source at once.
        concurrency: u64,
        /// What happens to mail while a source fails temporarily.
        tempfail_action: String,
        /// How long a witness or a canary vouches for a server.
        control_interval: Duration,
    } + {
        /// What is remembered.
        cache: Cache,
        /// For `vrfy:` sources.
        vrfy: Vrfy,
    }

    /// A source with settings of its own.
    SourceTable "account.source." {
        /// Which one.
        source: String,
        /// As `account.deadline`.
        deadline: Duration,
        /// As `account.concurrency`.
        concurrency: u64,
        /// As `account.tempfail_action`.
        tempfail_action: String,
        /// As `account.control_interval`.
        control_interval: Duration,
        /// As `account.vrfy.witness`; of `passwd:` the user that exists.
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
        /// The domains it is about; all that no other entry names where it is not there.
        domains: List<String>,
        /// As the key of this name at the top.
        case_sensitive: bool,
        /// The characters that begin an extension.
        delimiters: String,
        /// The characters that do not count.
        remove: String,
        /// Whether local parts are brought to Unicode's form NFKC.
        nfkc: bool,
    }

    /// An entry of `map`.
    MapTable "map." {
        /// What servers call it.
        name: String,
        /// Where its values come from; several are asked in turn.
        source: List<String>,
        /// How it is searched.
        search: String,
        /// How long answers of databases and other servers are cached.
        cache_ttl: Duration,
        /// The table of SQL.
        table: String,
        /// Its column of keys; of Redis the key.
        key: String,
        /// Its column of values.
        value: String,
        /// Its column of what is added to the value.
        reason: String,
        /// A query of SQL.
        query: String,
        /// Where a search of LDAP begins.
        base: String,
        /// What it looks for.
        filter: String,
        /// The attribute that counts.
        attribute: String,
        /// How deep it goes.
        scope: String,
        /// The field of a hash of Redis.
        field: String,
    }

    /// An entry of `database`.
    DatabaseTable "database." {
        /// What maps call it.
        name: String,
        /// What it is.
        kind: String,
        /// Its servers.
        hosts: List<String>,
        /// Who asks.
        user: String,
        /// The file with the password, relative to this one.
        password_file: String,
        /// Which database of the server.
        database: String,
        /// The file of SQLite, relative to this one.
        file: String,
        /// Whether connections are encrypted.
        tls: bool,
        /// The certificates that may have signed the server's.
        tls_ca: String,
        /// Most connections to a server.
        connections: u64,
        /// Longest wait for a connection.
        connect_timeout: Duration,
        /// Longest wait for an answer.
        deadline: Duration,
        /// A key that is certainly there.
        witness: String,
        /// How long it counts that a server has found a key.
        control_interval: Duration,
    }

    /// An entry of `tcp_table`.
    TcpTable "tcp_table." {
        /// Where Postfix finds it.
        listen: List<String>,
        /// The map it serves.
        map: String,
        /// Longest time from question to answer.
        deadline: Duration,
        /// Most connections at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
    }

    /// An entry of `socketmap`.
    Socketmap "socketmap." {
        /// Where the mail server finds it.
        listen: List<String>,
        /// The maps it serves; all where it is not there.
        maps: List<String>,
        /// Which mail server asks.
        mta: String,
        /// The permissions of UNIX sockets, in octal digits.
        socket_mode: String,
        /// The group of UNIX sockets; the program's own where empty.
        socket_group: String,
        /// Longest time from question to answer.
        deadline: Duration,
        /// Most connections at once.
        max_connections: u64,
        /// How long a connection may be silent.
        idle_timeout: Duration,
    }

    /// `[statistics]`
    Statistics "statistics." {
        /// Whether figures are collected for `stats`, `jstats` and `rcptd status`.
        enabled: bool,
        /// How often they are logged; never where 0.
        log_interval: Duration,
    }

    /// `[metrics]`
    Metrics "metrics." {
        /// Where they are served by HTTP; nowhere where empty.
        listen: List<String>,
    }

    /// `[control]`
    Control "control." {
        /// A UNIX socket; none where empty.
        listen: String,
        /// Its permissions, in octal digits.
        socket_mode: String,
        /// Its group; the program's own where empty.
        socket_group: String,
    }

    /// `[account.cache]`
    Cache "account.cache." {
        /// How long "exists" is cached.
        positive_ttl: Duration,
        /// How long "not found" is cached.
        negative_ttl: Duration,
        /// Most accounts cached.
        entries: u64,
    }

    /// `[account.vrfy]`
    Vrfy "account.vrfy." {
        /// The name said in EHLO; the host's own where empty.
        helo: String,
        /// VRFYs sent over one connection.
        per_connection: u64,
        /// Idle connections kept open.
        idle_connections: u64,
        /// How long an idle connection is kept.
        idle_timeout: Duration,
        /// What a reply 250 or 251 means.
        code_250: ByDomain<String>,
        /// What a reply 252 means.
        code_252: ByDomain<String>,
        /// The account that a server must find before its "not found" counts.
        witness: ByDomain<WitnessName>,
        /// Whether connections are encrypted.
        starttls: String,
        /// The name in the server's certificate; the host name of the source where empty.
        tls_name: String,
        /// A file of certificates that may have signed the server's; the system's where empty.
        tls_ca: String,
    }

    /// `[log]`
    Log "log." {
        /// Where the log goes.
        target: String,
        /// The least important events logged.
        level: String,
    }
}

/// An entry of `account.source`: the source alone, or a table with it.
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

/// One choice for all domains, or a table with a choice for each and a `default` for the others.
#[derive(Debug)]
pub(super) struct ByDomain<T> {
    /// For all domains that are not named.
    pub default: Option<Spanned<T>>,
    /// The domains that are named.
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
                reader.wrong_type(key, value, "a text or false", help)
            }
        }
    }
}

/// A section that there may be several of, each below a heading `[[name]]`.
trait Entry: Section {
    /// How it is begun.
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

/// A number of percent.
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

/// The keys of the sections that there may be several of, with the name of the section.
pub fn keys_of_entries() -> Vec<(&'static str, &'static str)> {
    let mut keys = Vec::new();
    NormaliseTable::list(&mut keys);
    MapTable::list(&mut keys);
    DatabaseTable::list(&mut keys);
    TcpTable::list(&mut keys);
    Socketmap::list(&mut keys);
    keys
}

/// Every key with its section (`""` for the top of the file), in the order of the reference.
pub fn keys() -> Vec<(&'static str, &'static str)> {
    let mut keys = Vec::new();
    Top::list(&mut keys);
    keys
}
