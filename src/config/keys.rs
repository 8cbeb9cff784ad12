//! The keys of the configuration, each described once: its type, default, bounds, syntax and documentation. Those of
//! accounts are in `account_keys`, those of maps in `map_keys`.
//!
//! The macro `sections!` derives the fields of the raw form, their reader and [`sections()`] from this list. The
//! sample and the lists of keys in the manual pages are generated from it by `tests/config`. The documentation is
//! for mail administrators; the first paragraph of each key is its definition.

use super::read::Reader;
use super::section::{
    Change, DefaultValue, DefaultValue::Unset, Description, Entry, Key, Section, bounds, empty_list, octal,
    sections,
};
use super::value::{Field, List, Percent};
use super::{guessing, inspect, milter, top};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

pub(super) use super::account_keys::{Account, Cache, SourceTable};
pub(super) use super::map_keys::{DatabaseTable, MapTable, Socketmap, TcpTable};
pub(super) use super::policy_keys::{Greylist, PolicyTable};

sections! {
    /// Global keys, before the first heading.
    Top "" {
        /// The domains whose recipients rcptd checks. Recipients in other domains pass unchecked. Case does not
        /// matter; subdomains are not included. International domains can be written either way, `grün.example`
        /// or `xn--grn-ioa.example`. Required, unless rcptd only serves maps without `resolver:`.
        domains: List<String> = Unset, "[domain, ...]", Reload, sample "[\"example.com\"]";

        /// The domain of a recipient address that has none (`RCPT TO:<postmaster>`). Postfix appends
        /// `$myorigin` to such an address later; write the same domain here. If it is empty, rcptd uses the
        /// first of `domains`.
        origin: String = "", "domain", Reload;

        /// Files with alias rules, see rcptd.rules(5). rcptd reads them in this order, as if they were one
        /// file. If the list is empty, rcptd rewrites no address and only verifies recipients.
        ///
        /// The configuration file of a trualias server, such as `milter_server.conf`, can be named here
        /// unchanged. Its statements `HOST`, `PORT`, `SMTP HOST`, `SMTP PORT`, `LOCAL HOST`, `LOCAL DOMAINS`,
        /// `ALIAS DOMAINS` and `LOGGING` replace keys that are not set here; `rcptd check` reports which.
        rules: List<String> = empty_list(), "[file, ...]", Reload, sample "[\"aliases.rules\"]";

        /// Whether case matters in local parts (Foo and foo), in rules and accounts. In most mail systems it
        /// does not. Set it to `true` only if two accounts differ only by case, or if aliases in use have
        /// capitals and a code that counts lower case letters only (`ALPHAS`, `VOWELS`).
        ///
        /// If it is `false`, names in rules and in lists are compared without regard to case (full case
        /// folding of Unicode, as in Postfix), and codes are computed from the folded name, in which ß is ss. Accounts
        /// are looked up in lower case, an account in a rule as it is spelled there. Conversion to lower case
        /// changes only case: grüße is never looked up as grüsse.
        case_sensitive: bool = false, "true | false", Reload;

        /// The account that receives mail for an ambiguous alias, one that matches rules of several accounts.
        /// If it is empty, rcptd treats such an address as if no rule matched. The rules may name an account,
        /// too (`DEBUG ACCOUNT`); this key overrides it.
        debug_account: String = "", "account", Reload;

        /// A file with the secrets for rules with `HMAC`: one per line, each of 16 octets or more, at most 8.
        /// New codes are made with the first secret; codes made with any of them are valid. So put a new secret
        /// first. Blank lines and lines that begin with `#` are ignored. Make a secret with
        /// `openssl rand -hex 16`.
        ///
        /// A user who can read the file can make aliases. rcptd rejects a file that users other than its owner
        /// and its group can access: use `chmod 640` and the group of rcptd.
        secrets: String = "", "file", Reload;

        /// `rcptd check` warns of a rule if more than this percentage of random addresses of the same form
        /// match it, such as 5 or 0.5. With 0 there are no such warnings.
        guessable: Percent = top::GUESSABLE, "percent", Reload, in top::PERCENT;

        /// A script in Rhai, `https://rhai.rs/book`, that runs before and after the rules, or a plug-in, which is a
        /// program in any language. A script may define two functions:
        ///
        /// - `preprocess(alias, domain)`: called first; the name it returns is looked up in the rules
        /// - `postprocess(account, domain)`: called if a rule matches; returns the recipient of the mail
        ///
        /// Each returns a string, which is a name in the same domain; or `[name, domain]`; or `()`, if the
        /// address is not an alias. The domain that `preprocess` returns must be one of `domains`;
        /// `postprocess` may return any address, as `DELIVER TO` in a rule may name any. If the script fails or
        /// exceeds its limits, the recipient is deferred and the reason is logged. The section SCRIPT of the manual
        /// page has the details, the limits and an example.
        ///
        /// Each value that begins with `exec:` or `unix:` is a plug-in:
        ///
        /// - `exec:/PATH [ARGUMENT...]`: rcptd starts this program, and talks to it over standard input and output.
        ///   There is no shell, and there are no quotes
        /// - `unix:/PATH`: rcptd connects to the socket at which your program listens
        ///
        /// It gets `rcptd-plugin 1` and replies `rcptd-plugin 1 NAME`. To `ID preprocess ADDRESS` and
        /// `ID postprocess ADDRESS` it replies `ID use ADDRESS`, `ID same`, `ID noalias` or
        /// `ID tempfail REASON`; docs/plug-ins.md in the source of rcptd has the details, and short examples. If it fails, or does not
        /// answer within 2 s, the recipient is deferred. After an error, or if it does not answer within twice
        /// this time, it is restarted.
        script: String = "", "file | exec:/PATH | unix:/PATH", Reload;

        /// How local parts are normalised, if the mail server or the senders treat several spellings as the
        /// same. rcptd looks up the normalised form in rules and accounts, so write both in this form. Each
        /// entry is a table in the list, or a section `[[normalise]]` anywhere below.
        ///
        /// ```toml
        /// normalise = [{ domains = "example.com", delimiters = "+", remove = "." }]
        /// ```
        ///
        /// A local part is converted in this order: `nfkc`, `remove`, case, `delimiters`.
        normalise: List<NormaliseTable> = empty_list(), "[entry, ...]", Reload;

        /// Dry run: decide and log, but change nothing. rcptd resolves and verifies recipients and logs the
        /// result, and the mail passes as if rcptd were not there. Use it for the first days with a running
        /// mail system. It applies to the milter and to the policy server: maps are still served.
        dry_run: bool = false, "true | false", Reload;

        /// Whether rcptd reloads the configuration and the rules as soon as they change. If it is `false`,
        /// rcptd reloads them only on SIGHUP (`systemctl reload rcptd`). rcptd never reads a file while another
        /// program writes it; it waits until that program closes the file. It is best to write a new file and
        /// rename it over the old one. If fewer than half of the rules, list entries, domains, maps or account
        /// sources are left, or if the script is gone, the change takes effect on SIGHUP only, since the file may
        /// be incomplete.
        watch: bool = top::WATCH, "true | false", Reload;

        /// Number of worker threads; 0 for one per core. One or two are enough for most sites, since rcptd
        /// waits most of the time.
        workers: u64 = top::WORKERS, "number", Restart, in top::WORKER_COUNTS;

        /// Maps for the mail server. Each is a table in the list, or a section `[[map]]` anywhere below. A
        /// reload also changes the maps of open connections.
        ///
        /// ```toml
        /// map = [{ name = "aliases", source = ["resolver:virtual_alias", "inline:{ a@example.com=b@example.com }"] }]
        /// ```
        map: List<MapTable> = empty_list(), "[entry, ...]", Reload;

        /// The databases of maps. Each is a table in the list, or a section `[[database]]` anywhere below.
        database: List<DatabaseTable> = empty_list(), "[entry, ...]", Reload;

        /// Listeners that serve maps to Postfix by tcp_table(5). Each is a table in the list, or a section
        /// `[[tcp_table]]` anywhere below. Write `tcp:HOST:PORT` in main.cf.
        tcp_table: List<TcpTable> = empty_list(), "[entry, ...]", Restart;

        /// Listeners that serve maps to Postfix or Sendmail by socketmap_table(5). Each is a table in the list,
        /// or a section `[[socketmap]]` anywhere below. Write `socketmap:inet:HOST:PORT:NAME` or
        /// `socketmap:unix:rcptd/map.sock:NAME` in main.cf.
        socketmap: List<Socketmap> = empty_list(), "[entry, ...]", Restart;

        /// Listeners for the policy protocol of Postfix, which verify recipients, and greylist if `greylist.enabled` is
        /// set. Each is a table in the list, or a section `[[policy]]` anywhere below. Write
        /// `check_policy_service inet:127.0.0.1:10023` into `smtpd_recipient_restrictions` in main.cf, after
        /// `reject_unauth_destination`.
        policy: List<PolicyTable> = empty_list(), "[entry, ...]", Restart;
    } + {
        milter: Milter;
        guessing: Guessing;
        greylist: Greylist;
        account: Account;
        statistics: Statistics;
        metrics: Metrics;
        control: Control;
        log: Log;
    }

    /// The milter, which the mail server asks about each recipient.
    Milter "milter." {
        /// The endpoint of the milter, or a list of endpoints.
        ///
        /// - `inet:HOST:PORT`, `inet6:[ADDRESS]:PORT`: a TCP port
        /// - `unix:/PATH`: a UNIX socket
        /// - `systemd:NAME`: a socket opened by systemd, with this `FileDescriptorName=`
        ///
        /// Anyone who can connect to it can find out which accounts exist, so do not open it to the world.
        /// Write the same endpoint to `smtpd_milters` of Postfix (main.cf) or `INPUT_MAIL_FILTER` of Sendmail
        /// (sendmail.mc).
        ///
        /// If there are maps, rcptd starts no milter if this list is empty, or if the section has no keys. With other
        /// keys of the section, the default applies.
        listen: List<String> = milter::LISTEN, "[endpoint, ...]", Restart, sample "\"inet:127.0.0.1:3047\"";

        /// The permissions of UNIX sockets, in octal digits. The mail server needs write permission for the
        /// socket: add it to the group of the socket, or set `socket_group`.
        socket_mode: String = octal(milter::SOCKET_MODE), "mode", Restart;

        /// The group of UNIX sockets, such as `"postfix"`. If it is empty, it is the group of rcptd.
        socket_group: String = "", "group", Restart;

        /// The time limit for a reply about a recipient. After it, rcptd defers the recipient with
        /// `defer_reply`. It must be shorter than the timeout of the mail server, after which
        /// `milter_default_action` applies: Sendmail waits for 10s (`T=R:10s`), Postfix for 30s
        /// (`milter_command_timeout`).
        deadline: Duration = milter::DEADLINE, "time", Reload, in milter::DEADLINES;

        /// The maximum number of connections from the mail server. Further connections wait. Each smtpd process
        /// of Postfix opens one; their number is limited by `default_process_limit`, 100 by default.
        max_connections: u64 = milter::MAX_CONNECTIONS, "number", Restart, in milter::CONNECTIONS;

        /// How long a connection may be silent before rcptd closes it. A connection is open as long as its SMTP
        /// session, in which a client may be silent for 5 minutes at a time, or send a long message.
        idle_timeout: Duration = milter::IDLE_TIMEOUT, "time", Restart, in milter::IDLE;

        /// The maximum number of recipients of one message. rcptd defers further recipients, and the client
        /// sends the message to them later; a message of sendmail(1) with more is deferred as a whole until the
        /// limit is raised. Postfix has a limit of its own, `smtpd_recipient_limit`, which is 1000.
        max_recipients: u64 = milter::MAX_RECIPIENTS, "number", Reload, in milter::RECIPIENTS;

        /// The reply if the account does not exist. The code must be 5xx.
        reject_reply: String = milter::REJECT_REPLY, "reply", Reload;

        /// The reply if the account lookup fails temporarily. The code must be 4xx: the client keeps the mail
        /// and tries again.
        defer_reply: String = milter::DEFER_REPLY, "reply", Reload;

        /// The name of a header, such as `"X-Alias"`, that records the alias, for mail filters of the account.
        /// rcptd adds it only to messages with a single recipient, so that recipients do not see each other.
        /// rcptd removes fields of this name from all incoming mail, so a filter may trust it. If it is empty,
        /// there is no header.
        ///
        /// This needs a mail server that lets milters change header fields, as Postfix and Sendmail do.
        /// Otherwise, and in a dry run, fields of the sender stay, and a filter must not trust them.
        header: String = "", "name", Reload;
    }

    /// The defence of the milter against clients that guess recipients. It is off by default. Set `misses`, for
    /// example to 20, if clients may connect to the mail server directly, and list in `exempt` the servers that
    /// forward mail to it.
    ///
    /// A network is over the limit if it has at least `misses` unknown recipients within the window, and more
    /// unknown recipients than known ones. For the rest of the window rcptd defers all of its recipients with `450
    /// 4.7.1`, known and unknown ones, and asks no account source, so that the reply does not depend on the account.
    /// An honest sender with an old list of addresses is not affected, since it also has known recipients.
    ///
    /// An unknown recipient is one that rcptd rejects since its account does not exist, also if the code of the
    /// alias is wrong. Deferred recipients do not count, and neither do expired aliases. Loopback addresses, clients
    /// that have logged in, and mail submitted by sendmail(1) are exempt. rcptd counts up to 10000 networks at the
    /// same time; further networks are not counted, and so not deferred. This section does not apply to maps, since
    /// requests to maps do not contain the address of the client. The log has one line when a network is over the
    /// limit, and one when it no longer is; fail2ban can count the first one.
    Guessing "guessing." {
        /// The number of unknown recipients of a network within the window at which deferral starts; 0: no limit.
        ///
        /// If all mail comes from one address, such as that of a gateway or of another MX that does not know the
        /// recipients, list that address in `exempt` first. It forwards the mail of all clients, and may have more
        /// unknown recipients than known ones although its other mail is honest.
        misses: u64 = guessing::MISSES, "number", Reload, in guessing::MISS_COUNTS;

        /// The length of the window. Deferral ends after this time at the latest, since the unknown recipients then
        /// no longer count.
        window: Duration = guessing::WINDOW, "time", Reload, in guessing::WINDOWS;

        /// Networks and addresses whose clients are exempt: gateways, other MX of your domains, servers that
        /// forward mail to you, your own networks.
        ///
        /// ```toml
        /// exempt = ["192.0.2.0/24", "2001:db8::25"]
        /// ```
        exempt: List<String> = empty_list(), "[network, ...]", Reload;

        /// The length of the prefix by which IPv4 addresses are grouped: 32 counts each address, 24 each network
        /// of 256 addresses, as `smtpd_client_ipv4_prefix_length` of Postfix. With a shorter prefix, honest
        /// clients are deferred together with a client that guesses in the same network.
        ipv4_prefix: u64 = guessing::IPV4_PREFIX, "number", Reload, in guessing::IPV4_PREFIXES;

        /// The same for IPv6 addresses. A host usually has a whole network of 64 bits, and can use any address in
        /// it; many customers of providers have a network of 56 or 48 bits.
        ipv6_prefix: u64 = guessing::IPV6_PREFIX, "number", Reload, in guessing::IPV6_PREFIXES;
    }

    /// Statistics of the last minute, for `stats` and `jstats` of tcp_table and for `rcptd status`.
    Statistics "statistics." {
        /// Whether rcptd reports these statistics. Counters since the start are reported in any case.
        enabled: bool = inspect::ENABLED, "true | false", Restart;

        /// How often statistics are logged, one line for each figure of each listener, map and account source; `"0s"`: never.
        log_interval: Duration = inspect::LOG_INTERVAL, "time", Restart, in inspect::INTERVALS;
    }

    /// Metrics for monitoring, by HTTP at `/metrics` in the OpenMetrics format; `/healthz` answers as long as
    /// rcptd runs.
    Metrics "metrics." {
        /// An endpoint or a list of them, as `milter.listen`, such as `"inet:127.0.0.1:9177"`. Metrics show the
        /// amount of mail, but no addresses. If the list is empty, there are no metrics.
        listen: List<String> = empty_list(), "[endpoint, ...]", Restart;
    }

    /// The control socket, which `rcptd status`, `rcptd sources`, `rcptd cache` and `rcptd trace` connect to;
    /// `rcptd check` and `rcptd explain` ask the daemon there, too.
    Control "control." {
        /// A UNIX socket. An empty value means no control socket. The default applies if its folder exists; the
        /// service of systemd creates it.
        listen: String = inspect::CONTROL, "endpoint", Restart;

        /// The permissions of the socket, in octal digits. A user who can connect to it can see addresses, and can
        /// forget and pin accounts.
        socket_mode: String = octal(inspect::CONTROL_MODE), "mode", Restart;

        /// The group of the socket. If it is empty, it is the group of rcptd.
        socket_group: String = "", "group", Restart;
    }

    /// The log; rcptd(8) describes its lines.
    Log "log." {
        /// The target of the log: `"stderr"`, which systemd and containers collect, `"journald"`, the socket of
        /// the journal, or `"file:/PATH"`, a file on a local disk. The folder must exist, and the user of rcptd must
        /// be able to create files in it. If the file was renamed or removed, rcptd creates it again, with mode 0640,
        /// so logrotate(8) needs no command. If the disk is full, lines are lost and counted.
        target: String = "stderr", "\"stderr\" | \"journald\" | \"file:/PATH\"", Restart;

        /// The level of the log: `"error"`, `"warn"`, `"info"` (one line per recipient), or `"debug"`
        /// (also lookups in maps, and begin and end of connections).
        level: String = top::Level::default().name(),
            "\"error\" | \"warn\" | \"info\" | \"debug\"", Restart;
    }

    /// The keys of an entry:
    NormaliseTable "normalise." [[normalise]] {
        /// The domains that the entry applies to. By default, all domains that no other entry names.
        domains: List<String> = Unset, "[domain, ...]", Reload;

        /// As the global key `case_sensitive`, for these domains.
        case_sensitive: bool = Unset, "true | false", Reload;

        /// Characters each of which begins an extension, like `recipient_delimiter` of Postfix; set both to the
        /// same value. The whole local part is looked up first, then the local part without the extension: with
        /// `-`, mary-ann may be an account, or mary with an extension. An account keeps the extension, an alias
        /// loses it. If `-` is a delimiter, owner-* and *-request have no extension. Do not write rules in
        /// which a delimiter follows the account: a wrong code is then an extension of the account, and the
        /// mail is accepted; `rcptd check` warns of it.
        ///
        /// The extension begins at the first delimiter in the local part. A local part that begins with a
        /// delimiter has no extension, and neither have postmaster, mailer-daemon and double-bounce.
        ///
        /// The whole local part is looked up in the rules first. If no rule matches, the part without the
        /// extension is looked up. Accounts are looked up in the same way. A recipient is rejected only if
        /// neither exists. It is deferred if the lookup of the first fails temporarily, or if the first is not
        /// found and the lookup of the second fails temporarily.
        delimiters: String = "", "characters", Reload;

        /// Characters to ignore, also in the extension: with `.`, `f.oo+x` is replaced by `foo+x`. A name that
        /// consists of them only is unchanged. Aliases in rules cannot contain them.
        remove: String = "", "characters", Reload;

        /// Whether characters that differ only in appearance are the same: local parts are converted to the
        /// Unicode form NFKC, in which full width letters, ligatures and the like are plain letters.
        nfkc: bool = false, "true | false", Reload;
    }
}

/// Returns the sections that occur once, in the order of the reference. The first one is the top of the file.
pub fn sections() -> Vec<Description> {
    let mut all = Vec::new();
    Top::describe(&mut all);
    all
}

/// Returns the tables that are entries of a list. The name of each is that of the list, such as `map`.
pub fn entries() -> Vec<Description> {
    let mut all = Vec::new();
    SourceTable::describe(&mut all);
    NormaliseTable::describe(&mut all);
    MapTable::describe(&mut all);
    DatabaseTable::describe(&mut all);
    TcpTable::describe(&mut all);
    Socketmap::describe(&mut all);
    PolicyTable::describe(&mut all);
    all
}
