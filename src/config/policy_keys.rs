//! The keys of the policy server and of greylisting, see [`keys`](super::keys).

use super::read::Reader;
use super::section::{
    Change, DefaultValue, DefaultValue::Required, Description, Entry, Key, Section, bounds, empty_list,
    octal, sections,
};
use super::value::{Field, List};
use super::{greylist, listeners, milter};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

sections! {
    /// Greylisting, for the listeners in `policy`. A client that is not known has to try again later: mail servers do
    /// so, most programs that send spam do not. It is off by default; `enabled = true` turns it on.
    ///
    /// For each recipient that exists, rcptd decides in this order. Mail passes if the recipient is not in `domains`,
    /// or is exempt by `opt_out` or `opt_in`; if a whitelist names it; if the recipient is a computed alias, which its
    /// owner gave to someone; if the account has written to the sender; if the client has passed often enough
    /// (`auto_whitelist`); or if the same client, sender and recipient have passed before. Otherwise, the client has to
    /// wait for `delay` since its first attempt.
    ///
    /// The client is its organisation, if that can be known (`client_key`), so that a provider with many addresses passes
    /// on the second try. rcptd.policy(5) has the details, the format of whitelists, and a table for those who come from
    /// postgrey or TPRT.
    Greylist "greylist." {
        /// Whether rcptd greylists.
        enabled: bool = greylist::ENABLED, "true | false", Reload;

        /// Where the state is kept: a file, or `database:NAME`, a `[[database]]` of type `redis` that several hosts share.
        ///
        /// The file belongs to one rcptd. Its folder must exist, and must be on a local disk. What was written in the
        /// last second is lost in a crash, which may delay some mail again. Several hosts with one database decide alike: a
        /// message whose first attempt was at one of them passes at the other.
        store: String = greylist::STORE, "file | database:NAME", Restart;

        /// How long after the first attempt a client has to wait.
        delay: Duration = greylist::DELAY, "time", Reload, in greylist::DELAYS;

        /// How long after the first attempt another one may pass; after this time, it is a first attempt again. Mail
        /// servers try for up to five days, most of them every few minutes at first.
        retry_window: Duration = greylist::RETRY_WINDOW, "time", Reload, in greylist::WINDOWS;

        /// How long a client, sender and recipient that have passed stay known without a message. So a newsletter that
        /// comes once a month is not delayed again. Applies to known clients and to correspondents, too.
        max_age: Duration = greylist::MAX_AGE, "time", Reload, in greylist::AGES;

        /// By what a client is known, in this order; the network of its address, if none of it applies.
        ///
        /// - `"name"`: the registered domain of its verified name, such as google.com, by the public suffix list. Names
        ///   that contain the address or words such as dsl do not count: their hosts are strangers to each other
        /// - `"spf"`: the domain of the sender, if SPF says that the client may send for it
        client_key: List<String> = greylist::client_key(), "[\"name\", \"spf\"]", Reload;

        /// The length of the prefix of an IPv4 network.
        ipv4_prefix: u64 = greylist::IPV4_PREFIX, "number", Reload, in greylist::IPV4_PREFIXES;

        /// The length of the prefix of an IPv6 network.
        ipv6_prefix: u64 = greylist::IPV6_PREFIX, "number", Reload, in greylist::IPV6_PREFIXES;

        /// After this number of passes, of which one counts per hour, all mail of a client passes; 0: never.
        auto_whitelist: u64 = greylist::AUTO_WHITELIST, "number", Reload, in greylist::COUNTS;

        /// Whether mail passes whose sender the recipient has written to. rcptd learns that from requests of the submission
        /// service: from clients that have logged in, and from listeners with `purpose = "submission"`.
        correspondents: bool = greylist::CORRESPONDENTS, "true | false", Reload;

        /// What becomes of mail from `<>`: `"greylist"`, as from any sender, or `"pass"`. Reports of failed deliveries have
        /// this sender, but spammers use it, too.
        null_sender: String = greylist::null_sender(), "\"greylist\" | \"pass\"", Reload;

        /// The domains whose recipients are greylisted. By default those of the global key `domains`; if that key is absent,
        /// all domains.
        domains: List<String> = empty_list(), "[domain, ...]", Reload;

        /// Domains for which rcptd decides and logs, but lets all mail pass. Use it for the first days.
        dry_run: List<String> = empty_list(), "[domain, ...]", Reload;

        /// Files with recipients that are not greylisted: an address, `user@` or a domain in each line.
        opt_out: List<String> = empty_list(), "[file, ...]", Reload;

        /// Files with recipients; if there are any, only these are greylisted.
        opt_in: List<String> = empty_list(), "[file, ...]", Reload;

        /// Whitelists: files with an entry a line, such as `client=192.0.2.0/24 !sender=@example.com`, whose conditions must
        /// all hold; whitelists of TPRT in JSON; and `map:NAME`, a map of which rcptd looks up the client, its networks
        /// and domains, the recipient, `user@` and the domain. Files are read again when they change. An error in one of them
        /// changes nothing.
        whitelist: List<String> = empty_list(), "[file | map:NAME, ...]", Reload;

        /// Files with clients, in the format of postgrey: a domain, an address, a network or `/regex/` in each line.
        whitelist_clients: List<String> = empty_list(), "[file, ...]", Reload;

        /// Files with recipients, in the format of postgrey: an address, `user@`, a domain or `/regex/` in each line.
        whitelist_recipients: List<String> = empty_list(), "[file, ...]", Reload;

        /// Whether whitelists may have regular expressions.
        allow_regex: bool = greylist::ALLOW_REGEX, "true | false", Reload;

        /// Longest wait for DNS for one recipient. A failure or timeout is no result: the client is then known by its network.
        dns_deadline: Duration = greylist::DNS_DEADLINE, "time", Reload, in greylist::DNS_DEADLINES;

        /// The zone of a public list of mail servers, such as `list.dnswl.org`: mail of clients in it passes. It is asked
        /// only before a client would have to wait. Mind the terms of use of the list.
        dnswl: String = "", "domain", Reload;

        /// Whether names are stored as digests only, so that the store does not show who writes to whom. Then `rcptd grey
        /// list` cannot show names either.
        hash: bool = greylist::HASH, "true | false", Reload;

        /// Most entries in a file. At the limit, entries that wait for a second attempt go first. A database has limits of
        /// its own.
        max_entries: u64 = greylist::MAX_ENTRIES, "number", Restart, in greylist::ENTRY_COUNTS;

        /// Most new entries of a network in one hour; 0: any number. The mail of further attempts has to wait, and is not
        /// stored, so that a client which tries random addresses does not fill the store.
        max_new: u64 = greylist::MAX_NEW, "number", Reload, in greylist::NEW_COUNTS;

        /// What becomes of mail while the store fails: `"pass"` or `"defer"`. The failure is logged once.
        on_store_failure: String = greylist::on_store_failure(), "\"pass\" | \"defer\"", Reload;

        /// The action for a client that has to wait, of access(5): `DEFER_IF_PERMIT`, `DEFER`, or a code from 400 to 499.
        action: String = greylist::ACTION, "action", Reload;

        /// The text of the reply. `{wait}` is the number of seconds until another attempt may pass; `{delay}`, `{hostname}`
        /// and `{recipient}` are known, too. With the enhanced code 4.2.0 no server takes it for a fault of its own.
        text: String = greylist::TEXT, "text", Reload;

        /// The header of a message that was delayed; `{delay}` is the number of seconds, `{hostname}`, `{date}` and
        /// `{recipient}` are known, too. If it is empty, there is no header.
        header: String = greylist::HEADER, "text", Reload;

        /// The name of this host in texts. By default the name of the system.
        hostname: String = "", "name", Reload;
    }

    /// The keys of a listener:
    PolicyTable "policy." [[policy]] {
        /// An endpoint or a list of them, as `milter.listen`.
        ///
        /// Anyone who can connect to it can find out which accounts exist, and fill the store of greylisting.
        listen: List<String> = Required, "[endpoint, ...]", Restart;

        /// Which mail Postfix asks about: `"mx"`, mail from other servers, or `"submission"`, mail of your users, which is
        /// never greylisted, and from which rcptd learns their correspondents.
        purpose: String = listeners::purpose(), "\"mx\" | \"submission\"", Restart;

        /// What happens if there is no decision, since the lookup of the account failed or the request is invalid.
        /// `"hang_up"`: the connection ends, and Postfix asks once more, and then defers the mail with `451 4.3.5` and a
        /// warning. Otherwise an action of access(5), such as `"DEFER_IF_PERMIT 4.3.0 try again later"` or `"DUNNO"`.
        on_trouble: String = listeners::HANG_UP, "\"hang_up\" | action", Restart;

        /// The permissions of UNIX sockets, as `milter.socket_mode`.
        socket_mode: String = octal(milter::SOCKET_MODE), "mode", Restart;

        /// The group of UNIX sockets, as `milter.socket_group`.
        socket_group: String = "", "group", Restart;

        /// The time limit for an answer; see `on_trouble`. Postfix waits for 100s.
        deadline: Duration = milter::DEADLINE, "time", Restart, in milter::DEADLINES;

        /// The maximum number of connections. At the maximum, a new connection replaces the one that has
        /// been idle longest, if it has been idle for at least a second.
        max_connections: u64 = milter::MAX_CONNECTIONS, "number", Restart, in milter::CONNECTIONS;

        /// How long a connection may be silent. Postfix closes connections itself.
        idle_timeout: Duration = listeners::IDLE_TIMEOUT, "time", Restart, in listeners::IDLE;
    }
}
