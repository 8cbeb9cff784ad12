//! The keys of the configuration, each described once: its type, default, bounds, syntax and documentation. Those of
//! maps are in `map_keys`.
//!
//! The macro `sections!` derives the fields of the raw form, their reader and [`sections()`] from this list. The
//! sample and the lists of keys in the manual pages are generated from it by `tests/config`. The documentation is
//! for mail administrators; the first paragraph of each key is its definition.

use super::account_source::{self as source, POSTMASTER};
use super::read::Reader;
use super::section::{
    Change, DefaultValue, DefaultValue::Required, DefaultValue::Unset, Description, Entry, Key, Section,
    bounds, empty_list, octal, sections, word,
};
use super::value::{ByDomain, Field, List, Percent, Source, WitnessName};
use super::{account, guessing, inspect, milter, top};
use crate::account::settings::{self as accounts, Combine, OnTempFail, StartTls, Trust};
use crate::lookup::control;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

pub(super) use super::map_keys::{DatabaseTable, MapTable, Socketmap, TcpTable};

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
        /// folding of Unicode, as in Postfix), and codes are computed from the name in lower case. Accounts
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

        /// A script in Rhai (`https://rhai.rs/book`) that runs before and after the rules, or a plug-in, which is a
        /// program in any language. A script may define two functions:
        ///
        /// - `preprocess(alias, domain)`: called first; the name it returns is looked up in the rules
        /// - `postprocess(account, domain)`: called if a rule matches; returns the recipient of the mail
        ///
        /// Each returns a string, which is a name in the same domain; or `[name, domain]`; or `()`, if the
        /// address is not an alias. The domain that `preprocess` returns must be one of `domains`;
        /// `postprocess` may return any address, as `DELIVER TO` in a rule may name any. If the script fails or
        /// exceeds its limits, the recipient is deferred and the reason is logged. The manual page has the
        /// details, the limits and an example, in the section SCRIPT.
        ///
        /// Each value that begins with `exec:` or `unix:` is a plug-in:
        ///
        /// - `exec:/PATH [ARGUMENT...]`: rcptd starts this program, and talks to it over standard input and output.
        ///   There is no shell, and there are no quotes
        /// - `unix:/PATH`: rcptd connects to the socket at which your program listens
        ///
        /// It gets `rcptd-plugin 1` and replies `rcptd-plugin 1 NAME`. To `ID preprocess ADDRESS` and
        /// `ID postprocess ADDRESS` it replies `ID use ADDRESS`, `ID same`, `ID noalias` or
        /// `ID tempfail REASON`; plug-ins.md has the details, and short examples. If it fails, or does not
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
        /// mail system. It applies to the milter only: maps are still served.
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
    } + {
        milter: Milter;
        guessing: Guessing;
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
        /// sends the message to them later. Postfix has a limit of its own, `smtpd_recipient_limit`, which is
        /// 1000.
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

    /// The account sources, which rcptd asks whether an account exists.
    Account "account." {
        /// The source, or a list of sources. Required, unless rcptd only serves maps without `resolver:`.
        ///
        /// - `vrfy:HOST:PORT`: a mail server, asked with VRFY (RFC 5321, section 4.1.1.6)
        /// - `vrfy:mx:DOMAIN`: the same, the mail servers of DOMAIN
        /// - `vrfy:srv:NAME`: the same, with the SRV records of NAME
        /// - `vrfy:unix:/PATH`: the same, at a UNIX socket
        /// - `rcpt:HOST:PORT`: a mail server, asked as if there were a message, with MAIL FROM:<>, RCPT and RSET;
        ///   `mx:`, `srv:` and `unix:` as above. For a server without VRFY
        /// - `lmtp:HOST:PORT`: the same for a server that stores mail, by LMTP (RFC 2033), such as Dovecot
        /// - `lmtp:unix:/PATH`: the same, at a UNIX socket
        /// - `dovecot:/PATH`: the users of Dovecot, asked at a socket of its auth service
        /// - `file:/PATH`: a file with one account per line
        /// - `aliases:/PATH`: the names on the left of a file such as `/etc/aliases`
        /// - `map:NAME`: the keys of a map without `resolver:`, such as accounts in SQL, LDAP or Redis; the map
        ///   looks up the address with its search strategy
        /// - `passwd:`: the users of this host, as configured in nsswitch.conf
        /// - `exec:/PATH ARGUMENT...`: a program of yours, which rcptd starts and asks over standard input and
        ///   output with a line protocol; no shell, no quotes
        /// - `unix:/PATH`: the same, a program that listens at this UNIX socket
        /// - `none:`: verifies nothing; every account exists
        /// - `static:notfound`: no account exists; for tests
        /// - `fail:`: every lookup fails temporarily; for tests
        ///
        /// Replace a list of accounts by renaming. While another program writes the list in place, accounts of
        /// the last complete list still exist, and lookups of other accounts fail temporarily. A line of a `file:`
        /// list that has no effect is an error: a name with an invisible character or a `*`, a name that is not
        /// in the composed form of Unicode (NFC), an invalid domain. Quotes take any name as it is.
        ///
        /// A name in an `aliases:` file, aliases(5) of Postfix or Sendmail, exists in every domain, whatever its
        /// value, and case does not matter. Values with `:include:`, files and programs are not followed. A name
        /// `user@domain`, which only Sendmail allows, exists at that domain; at other domains the lookup fails
        /// temporarily, since Sendmail uses the local part in all its domains. A line that Postfix would ignore
        /// is an error, also if only its value is not UTF-8; comments may have another encoding. As in Postfix,
        /// only ASCII has blanks; a name with an invisible character, such as a no-break space or a byte order
        /// mark, is an error unless it is in quotes. The file is read when it changes, without newaliases; while
        /// it has errors, its last valid version counts, and lookups of other names fail temporarily. With the
        /// users of the host, it is the usual truth of a mail server:
        ///
        /// ```toml
        /// source = ["aliases:/etc/aliases", "passwd:"]
        /// ```
        ///
        /// and `combine = "union"`.
        ///
        /// With `none:` rcptd accepts every address that no rule rejects. Use it only if the mail server checks
        /// recipients itself after rcptd. Otherwise the server accepts mail for accounts that do not exist, and
        /// sends bounces to forged senders (backscatter). rcptd logs a warning at start and at each reload.
        ///
        /// ```toml
        /// source = "none:"
        /// ```
        ///
        /// Sources in a list are asked in turn, see `combine` and `on_tempfail`.
        ///
        /// A source may be a table with its own settings: `domains`, `deadline`, `concurrency`, `on_tempfail` and
        /// `control_interval`, and the keys of `[account.smtp]` and `[account.dovecot]`. They override those of the
        /// sections, for this source alone.
        ///
        /// ```toml
        /// source = ["vrfy:mail.example.com:25", { source = "file:/var/lib/rcptd/accounts", deadline = "1s" }]
        /// ```
        ///
        /// Dovecot has a socket for LMTP, to which the user of rcptd must be able to connect.
        ///
        /// ```toml
        /// source = "lmtp:unix:/run/dovecot/lmtp"
        /// ```
        ///
        /// `dovecot:` finds the same users as LMTP of Dovecot, without a transaction for each lookup. Create a socket
        /// for rcptd alone, whose name must end in `-userdb`: write `unix_listener rcptd-userdb { ... }` in
        /// `service auth` of Dovecot, with `user = rcptd` and `mode = 0600`. On the socket `auth-userdb` with its
        /// default mode 0666, each client except root can look up its own user only, so lookups of rcptd fail
        /// temporarily.
        ///
        /// Dovecot does not find a name with a character that is not in `auth_username_chars`. So it does not find
        /// `user+extension`, although its LMTP server accepts it (`recipient_delimiter` of Dovecot, `+` by default): set
        /// `delimiters` of `normalise` to the same character, or this mail is rejected. It does not find users of a
        /// proxy that are in the passdb only: use `lmtp:`. The settings are in `[account.dovecot]`.
        ///
        /// ```toml
        /// source = "dovecot:/run/dovecot/rcptd-userdb"
        /// ```
        ///
        /// The source `passwd:` has a witness, too (see `witness`). It is the user root by default; change it
        /// in the table of the source.
        ///
        /// ```toml
        /// source = { source = "passwd:", witness = "postfix" }
        /// ```
        ///
        /// A map of a server (`tcp:`, `socketmap:`) or of a file (`lmdb:`, `texthash:`) finds no account if it has
        /// lost its data. Set a witness in the table of the source: the local part of an account that exists in each
        /// domain. Then "not found" counts only if the map found it within `control_interval`; otherwise the lookup
        /// fails temporarily. If the map has several sources, take an account that only the server has. Databases have a
        /// `witness` in `[[database]]`. The map must not have a `cache_ttl`.
        ///
        /// ```toml
        /// source = { source = "map:users", witness = { default = "postmaster", "example.com" = "info" } }
        /// ```
        ///
        /// A program gets `rcptd-plugin 1` and replies `rcptd-plugin 1 NAME`. To `ID exists ADDRESS` it replies
        /// `ID found`, `ID notfound` or `ID tempfail REASON`; plug-ins.md has the details and examples. It has
        /// no witness, unless its table sets one. After an error, or if it does not answer within twice the
        /// deadline, it is restarted.
        source: List<Source> = Unset, "[source, ...]", Reload, sample "\"vrfy:127.0.0.1:5025\"";

        /// The time limit for an answer of a source; after it, the lookup fails temporarily. Set it below
        /// `milter.deadline`: then the log names the source that was late. In a list, the sum of all deadlines
        /// but the last should be below `milter.deadline`, too.
        deadline: Duration = accounts::DEADLINE, "time", Reload, in source::DEADLINES;

        /// The maximum number of concurrent lookups in a source. Further lookups wait, within their deadline.
        /// For a mail server these are connections; Postfix allows 50 to one client
        /// (`smtpd_client_connection_count_limit`).
        concurrency: u64 = accounts::CONCURRENCY, "number", Reload, in source::CONCURRENCIES;

        /// How the answers of several sources are combined.
        ///
        /// - `"fallback"`: every source has all accounts. The next source is asked only if those before it fail
        ///   temporarily, for example while a server is down
        /// - `"union"`: each source has some of the accounts. An account exists if one of the sources has it, and
        ///   does not exist if all sources are certain that it does not, as with the users of a host and `/etc/aliases`
        combine: String = word(&account::COMBINE, &Combine::default()), "\"fallback\" | \"union\"", Reload;

        /// What rcptd does after a temporary failure of a source.
        ///
        /// - `"next"`: it asks the next source of the list. If no source has the account, mail is deferred
        /// - `"defer"`: it defers mail at once, and asks no other source
        /// - `"accept"`: it asks the next source of the list. If no source is certain, mail is accepted, unless a
        ///   source that failed has another setting. Mail accepted for an account that does not exist bounces,
        ///   often to a forged sender: use it only if you must not delay mail
        on_tempfail: String = word(&source::ON_TEMPFAIL, &OnTempFail::default()),
            "\"next\" | \"defer\" | \"accept\"", Reload;

        /// How long the control of a server is valid. A server that has lost its table of users replies "no
        /// such user" for every name, and a server that does not check its recipients accepts every name. So
        /// "not found" counts only from a server that found an account within this time (see `witness`), and
        /// "exists" only from a server that rejected a random name within this time (see `code_250`,
        /// `code_252`).
        ///
        /// A server is identified by the peer address of the connection, and each domain has its own control.
        /// If several servers share an address, as with a load balancer, rcptd does not notice that one of them
        /// has lost its users while another one finds some: list the servers themselves.
        ///
        /// Answers that depend on a control are cached no longer than this. Connections are closed after this
        /// time, since smtpd of Postfix answers from the tables that it read when the client connected.
        control_interval: Duration = control::INTERVAL, "time", Reload, in source::CONTROL;
    } + {
        cache: Cache;
        smtp: Smtp;
        dovecot: Dovecot;
    }

    /// The cache of account lookups. Temporary failures are never cached. An account that is often asked for is looked
    /// up again shortly before its time has passed.
    ///
    /// `rcptd cache` lists what is in it, and removes single addresses, domains or sources.
    Cache "account.cache." {
        /// How long the answer "exists" is cached; `"0s"`: not at all. With a longer time rcptd asks less
        /// often, with a shorter one a change takes effect sooner. An answer is dropped earlier if the file it
        /// comes from changes: a list of accounts, `/etc/passwd` or `/etc/nsswitch.conf`.
        positive_ttl: Duration = accounts::POSITIVE_TTL, "time", Reload, in account::CACHE_TTLS;

        /// How long the answer "not found" is cached; `"0s"`: not at all. Keep it short: until it has passed,
        /// mail to a new mailbox is rejected.
        negative_ttl: Duration = accounts::NEGATIVE_TTL, "time", Reload, in account::CACHE_TTLS;

        /// The maximum size of the cache in MiB. An account takes about 350 bytes. If the cache is full, the accounts
        /// that were not asked for longest are removed first.
        size: u64 = accounts::SIZE, "number", Reload, in account::CACHE_SIZES;

        /// How long an account that a source found counts as existing while its sources fail; `"0s"`: not at all.
        /// So a backup MX accepts mail to the accounts that it knows while its primary is down, and defers mail
        /// to all others. An account that was deleted during the outage still gets mail, which bounces. The answer
        /// "not found" of a source counts at once.
        stale_ttl: Duration = accounts::STALE_TTL, "time", Reload, in account::STALE_TTLS;

        /// The file in which rcptd keeps the accounts of `stale_ttl` for its next start. Only rcptd can read it. An
        /// empty value means no file. The default applies if its folder exists; the service of systemd creates it.
        /// Accounts of `file:`, `aliases:` and `passwd:` are not in the file. It is written once a minute, and when an
        /// account is pinned or forgotten. A file with damaged lines is kept as `FILE.damaged`.
        file: String = account::KNOWN_FILE, "file", Restart;

        /// A database of kind `"redis"`, as `database:NAME`, in which several mail servers share the accounts of
        /// `stale_ttl`. While the sources of a server fail, it also accepts mail to accounts that another server has
        /// found: a backup MX accepts mail to accounts that it was never asked for. If the value is empty, accounts
        /// are not shared. Allow only the mail servers to write to it: an entry there makes an account exist during an
        /// outage. With an eviction policy in Redis (`maxmemory-policy`), the accounts that it removes are unknown then.
        ///
        /// An account counts if the other server has found it with a source that is written in the same way here;
        /// for maps, `[[map]]` and `[[database]]` must be the same, too. So do not share accounts if the same text
        /// means another server on each host, such as `vrfy:127.0.0.1:25`. Accounts of `file:`, `aliases:`,
        /// `passwd:` and `none:` are not shared, nor are pinned ones. The database never makes an account "not
        /// found". If it is down, accounts are not shared, which is logged once; it delays an answer by at most
        /// 500 ms. "Not found" of a source removes the account, and so does `rcptd cache flush`; each server keeps
        /// the accounts that it has found itself. The keys begin with `rcptd:known:`; a user of the ACL needs
        /// `+get +set +del +scan ~rcptd:known:*`, in a cluster also `+cluster|slots`.
        shared: String = "", "database", Reload;
    }

    /// Settings of all sources that ask a mail server: `vrfy:`, `rcpt:` and `lmtp:`.
    Smtp "account.smtp." {
        /// The name that rcptd sends in EHLO or LHLO. If it is empty, rcptd sends the name of this host.
        helo: String = "", "name", Reload;

        /// The maximum number of questions in one connection, after which rcptd closes it. Servers slow down
        /// clients that ask a lot: Sendmail from the 6th question, Postfix from the 11th unknown name
        /// (`smtpd_soft_error_limit`); Exim disconnects at the 11th. If your server has no such limits, as with
        /// LMTP of Dovecot, set a large number.
        per_connection: u64 = accounts::PER_CONNECTION, "number", Reload, in source::PER_CONNECTION;

        /// The maximum number of idle connections that are kept open.
        idle_connections: u64 = accounts::IDLE_CONNECTIONS, "number", Reload, in source::IDLE_CONNECTIONS;

        /// How long an idle connection is kept open. Postfix disconnects after 300s (`smtpd_timeout`), and
        /// after 10s under stress.
        idle_timeout: Duration = accounts::IDLE_TIMEOUT, "time", Reload, in source::IDLE;

        /// The meaning of the replies 250 and 251, "the user exists", and of 252 to RCPT. A Sendmail whose local
        /// mailer has no flag `w` replies 250 for every name, and so does a server that does not check its
        /// recipients.
        ///
        /// - `"canary"`: the account exists if the server rejects a canary, a random address that does not
        ///   exist. rcptd asks for one every `control_interval`. If the server accepts it, mail is deferred
        /// - `"exists"`: the account exists
        ///
        /// A table sets exceptions for domains, see `code_252`.
        code_250: ByDomain<String> =
            word(&source::CODE_250, &Trust::default()), "\"canary\" | \"exists\" | table", Reload;

        /// The meaning of the reply 252 to VRFY, "cannot VRFY user, but will accept message". Many servers send
        /// it for every name. It has no effect on `rcpt:` and `lmtp:`.
        ///
        /// - `"canary"`, `"exists"`: as for `code_250`
        /// - `"tempfail"`: temporary failure
        ///
        /// A table sets exceptions for domains, here for a domain in which the server accepts every name.
        ///
        /// ```toml
        /// code_252 = { default = "canary", "example.com" = "exists" }
        /// ```
        code_252: ByDomain<String> =
            word(&source::CODE_252, &Trust::default()), "\"canary\" | \"exists\" | \"tempfail\" | table",
            Reload;

        /// The witness: the local part of an account that exists in each domain. If the server found no account
        /// within `control_interval` and replies "no such user", rcptd asks it for the witness. If the server
        /// does not find the witness either, mail is deferred. Many domains have no postmaster; name an account
        /// that they have, if necessary by domain.
        ///
        /// ```toml
        /// witness = { default = "postmaster", "example.com" = "info" }
        /// ```
        ///
        /// With `false` there is no witness. Then every "no such user" counts, also from a server that has lost
        /// its users: rcptd rejects mail for all of them until the server is repaired. Use this only for a
        /// server that cannot lose its users, or for domains without accounts.
        witness: ByDomain<WitnessName> = POSTMASTER, "account | false | table", Reload;

        /// Whether the connection is encrypted with STARTTLS: `"never"`, for a server on this host;
        /// `"offered"`, if the server offers it; or `"required"`. With the last two rcptd checks the
        /// certificate of the server.
        starttls: String =
            word(&source::STARTTLS, &StartTls::default()), "\"never\" | \"offered\" | \"required\"", Reload;

        /// The name in the certificate of the server. If it is empty, it is the host in `source`.
        tls_name: String = "", "name", Reload;

        /// A file (PEM) with the certificates of the authorities to trust. If it is empty, rcptd trusts those
        /// of the system.
        tls_ca: String = "", "file", Reload;
    }

    /// Settings of `dovecot:` sources.
    Dovecot "account.dovecot." {
        /// The service for which Dovecot looks up users. The configuration of Dovecot may have a different userdb for
        /// each service, in blocks such as `protocol lmtp`. Use the service that delivers mail, `"lmtp"` or `"lda"`.
        service: String = accounts::SERVICE, "name", Reload;

        /// The witness: the local part of an account that exists in each domain, as `account.smtp.witness`. With an
        /// empty list of users, Dovecot finds no account. So "not found" counts only if Dovecot found an account in
        /// the domain within `control_interval`, or finds the witness now. If this key is empty, the witness is the
        /// last account that was found in the domain; until one is found, mail for unknown names is deferred. Set the
        /// witness for domains that seldom get mail.
        ///
        /// ```toml
        /// witness = { default = "", "example.com" = "info" }
        /// ```
        ///
        /// With `false` every "not found" counts, also from a Dovecot that has lost its users.
        ///
        /// "Exists" counts only if Dovecot does not find a canary, a random name, since a static userdb finds every
        /// name.
        witness: ByDomain<WitnessName> = "", "account | false | table", Reload;
    }

    /// Statistics of the last minute, for `stats` and `jstats` of tcp_table and for `rcptd status`.
    Statistics "statistics." {
        /// Whether rcptd reports these statistics. Counters since the start are reported in any case.
        enabled: bool = inspect::ENABLED, "true | false", Restart;

        /// How often statistics are logged, one line for each figure of each listener and map; `"0s"`: never.
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
        /// so logrotate(8) needs no command. Lines that do not fit on a full disk are lost and counted.
        target: String = "stderr", "\"stderr\" | \"journald\" | \"file:/PATH\"", Restart;

        /// The level of the log: `"error"`, `"warn"`, `"info"` (one line per recipient), or `"debug"`
        /// (also lookups in maps, and begin and end of connections).
        level: String = top::Level::default().name(),
            "\"error\" | \"warn\" | \"info\" | \"debug\"", Restart;
    }

    /// A source with its own settings.
    SourceTable "account.source." {
        /// The source.
        source: String = Required, "source", Reload;
        /// As `account.deadline`.
        deadline: Duration = Unset, "time", Reload, in source::DEADLINES;
        /// As `account.concurrency`.
        concurrency: u64 = Unset, "number", Reload, in source::CONCURRENCIES;
        /// The domains whose accounts the source has; without it, all. The source is not asked for others. Each
        /// of the domains that rcptd serves needs a source.
        ///
        /// ```toml
        /// source = [
        ///     { source = "passwd:", domains = "example.com" },
        ///     { source = "vrfy:mail.example.net:25", domains = ["example.net", "example.org"] },
        /// ]
        /// ```
        domains: List<String> = Unset, "[domain, ...]", Reload;
        /// As `account.on_tempfail`.
        on_tempfail: String = Unset, "\"next\" | \"defer\" | \"accept\"", Reload;
        /// As `account.control_interval`.
        control_interval: Duration = Unset, "time", Reload, in source::CONTROL;
        /// As `account.smtp.witness`; for `dovecot:` as `account.dovecot.witness`; for `passwd:` a user that
        /// exists. `map:`, `exec:` and `unix:` have none by default.
        witness: ByDomain<WitnessName> = Unset, "account | false | table", Reload;
        /// As `account.smtp.helo`, which applies if this is empty.
        helo: String = Unset, "name", Reload;
        /// As `account.smtp.per_connection`.
        per_connection: u64 = Unset, "number", Reload, in source::PER_CONNECTION;
        /// As `account.smtp.idle_connections`.
        idle_connections: u64 = Unset, "number", Reload, in source::IDLE_CONNECTIONS;
        /// As `account.smtp.idle_timeout`.
        idle_timeout: Duration = Unset, "time", Reload, in source::IDLE;
        /// As `account.smtp.code_250`.
        code_250: ByDomain<String> = Unset, "\"canary\" | \"exists\" | table", Reload;
        /// As `account.smtp.code_252`.
        code_252: ByDomain<String> = Unset, "\"canary\" | \"exists\" | \"tempfail\" | table", Reload;
        /// As `account.smtp.starttls`.
        starttls: String = Unset, "\"never\" | \"offered\" | \"required\"", Reload;
        /// As `account.smtp.tls_name`, which applies if this is empty.
        tls_name: String = Unset, "name", Reload;
        /// As `account.smtp.tls_ca`, which applies if this is empty.
        tls_ca: String = Unset, "file", Reload;
        /// As `account.dovecot.service`.
        service: String = Unset, "name", Reload;
    }

    /// The keys of an entry:
    NormaliseTable "normalise." [[normalise]] {
        /// The domains that the entry applies to. Without it, they are all domains that no other entry names.
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
    all
}
