//! The keys of account sources, their cache, and the protocols that they speak; see `keys`.

use super::account;
use super::account_source::{self as source, POSTMASTER};
use super::read::Reader;
use super::section::{
    Change, DefaultValue, DefaultValue::Required, DefaultValue::Unset, Description, Key, Section, bounds,
    sections, word,
};
use super::value::{ByDomain, Field, List, Source, WitnessName};
use crate::account::settings::{self as accounts, Combine, OnTempFail, StartTls, Trust};
use crate::lookup::control;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

sections! {
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
        /// - `aliases:/PATH`: the names before the colon in a file such as `/etc/aliases`
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
        /// it has errors, its last valid version counts, and lookups of other names fail temporarily. Together
        /// with the users of the host, it usually has all accounts of a mail server:
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
        /// `ID found`, `ID notfound` or `ID tempfail REASON`; docs/plug-ins.md in the source of rcptd has the details and examples. It has
        /// no witness, unless its table sets one. After an error, or if it does not answer within twice the
        /// deadline, it is restarted.
        source: List<Source> = Unset, "[source, ...]", Reload, sample "\"vrfy:127.0.0.1:5025\"";

        /// The time limit for an answer of a source; after it, the lookup fails temporarily. All sources together
        /// have 7/8 of the shortest `deadline` of the milter and of the listeners whose maps ask for accounts: 7s by
        /// default, and up to 500 ms less with `account.cache.shared`. Set this key below that time: then the log
        /// names the source that was late. In a list, the sum of all deadlines but the last should be below it, too.
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
    /// up again shortly before its entry expires.
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
        /// that are asked for more often are kept.
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
}
