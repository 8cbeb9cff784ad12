//! Converts settings of sockmapd to a configuration. The caller has checked the settings.

use super::{difference, quoted};
use crate::config::tables::is_map_name;
use crate::map::settings::{Kind, Password};
use crate::net::host::Host;
use alias_rules::Difference;
use mail_address::escape;
use std::collections::HashSet;
use std::fmt::Write;

/// Default port of sockmapd.
pub const SOCKMAPD_PORT: u16 = 2224;
/// Settings of sockmapd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockmapd {
    /// The port, on all interfaces.
    pub port: u16,
    /// Whether a log file was set.
    pub log_file: bool,
    /// Whether a log level was set, which sockmapd never used.
    pub log_level: bool,
    /// Whether a user or group to run as was set.
    pub run_as: bool,
    /// The servers of all databases, in the order in which sockmapd tried them.
    pub hosts: Vec<Host>,
    /// The database user.
    pub user: String,
    /// The user's password.
    pub password: Option<Password>,
    /// The maps.
    pub maps: Vec<Postmap>,
    /// Unknown keys, as they are written.
    pub unknown: Vec<String>,
}

/// A map of sockmapd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postmap {
    /// Name of the map in requests; a [map name](crate::config::is_map_name).
    pub service: String,
    /// The database.
    pub database: String,
    /// The table, optionally with its schema.
    pub table: String,
    /// The column of keys.
    pub key: String,
    /// The column of values; without one the key is the value.
    pub value: Option<String>,
    /// The column of the text that is appended to the value.
    pub reason: Option<String>,
}

/// Writes a configuration with the settings of `sockmapd`, found in the file called `file`. The password
/// goes into `password_file`. Also returns the differences.
pub fn import_sockmapd(file: &str, sockmapd: &Sockmapd, password_file: &str) -> (String, Vec<Difference>) {
    let port = sockmapd.port;
    let mut out = format!("# Made from {} by \"rcptd import sockmapd\"; see rcptd.conf(5).\n", escape(file));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n[[socketmap]]\n# sockmapd listened on all interfaces. If mail servers on other hosts use it, add \
         the address they\n# connect to: listen = [\"inet:127.0.0.1:{port}\", \"inet:ADDRESS:{port}\"]\n\
         listen = {}\n",
        quoted(&format!("inet:127.0.0.1:{port}"))
    );
    let databases = databases(&sockmapd.maps);
    let hosts: Vec<String> = sockmapd.hosts.iter().map(|host| quoted(&host.to_string())).collect();
    for (database, name) in &databases {
        let _ = write!(
            out,
            "\n[[database]]\nname = {}\nkind = \"{}\"\nhosts = [{}]\nuser = {}\n",
            quoted(name),
            Kind::Mysql.name(),
            hosts.join(", "),
            quoted(&sockmapd.user)
        );
        if sockmapd.password.is_some() {
            let _ = writeln!(out, "password_file = {}", quoted(password_file));
        }
        let _ = writeln!(out, "database = {}", quoted(database));
    }
    for map in &sockmapd.maps {
        let name = databases.iter().find(|(database, _)| *database == map.database).map(|(_, name)| &**name);
        let source = format!("database:{}", name.unwrap_or_default());
        let _ = write!(out, "\n[[map]]\nname = {}\nsource = {}\n", quoted(&map.service), quoted(&source));
        let columns = [("table", Some(&map.table)), ("key", Some(&map.key)), ("value", map.value.as_ref())];
        for (key, name) in columns.into_iter().chain([("reason", map.reason.as_ref())]) {
            if let Some(name) = name {
                let _ = writeln!(out, "{key} = {}", quoted(name));
            }
        }
    }
    (out, differences(sockmapd, password_file))
}

/// Returns the databases in the order of their first maps, each with the name of its table in the
/// configuration: its own name, if that is valid there.
fn databases(maps: &[Postmap]) -> Vec<(&str, String)> {
    let mut databases: Vec<(&str, String)> = Vec::new();
    let mut seen = HashSet::new();
    let taken: HashSet<&str> = maps.iter().map(|map| &*map.database).collect();
    let mut number = 0;
    for Postmap { database, .. } in maps {
        if !seen.insert(&**database) {
            continue;
        }
        let mut name = database.clone();
        while !is_map_name(&name) || (name != *database && taken.contains(&*name)) {
            number += 1;
            name = format!("db{number}");
        }
        databases.push((database, name));
    }
    databases
}

fn differences(sockmapd: &Sockmapd, password_file: &str) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut say = |about: &str, text: String| out.push(difference(about, text));
    let port = sockmapd.port;
    say(
        "listen",
        format!(
            "sockmapd listened on all IPv4 addresses of the host; rcptd listens on 127.0.0.1 only. If mail \
             servers on other hosts use it, add \"inet:ADDRESS:{port}\" with the address they connect to, \
             and block all other clients with a firewall: the socketmap protocol has no authentication"
        ),
    );
    if sockmapd.password.is_some() {
        let text = format!(
            "is in {password_file}, which only its owner can read. Let rcptd read it: chgrp it to the group \
             rcptd runs with, then chmod 640"
        );
        say("database.password", text);
    }
    if sockmapd.maps.iter().any(|map| map.value.is_some()) {
        let text = "values other than OK and REJECT were sent unchanged, so each had to begin with a status \
                    word (OK, NOTFOUND, TEMP, PERM); rcptd replies OK and the value, whatever it is. Remove \
                    such words from the column";
        say("postmaps[].value", text.into());
    }
    for (about, text) in ALWAYS {
        say(about, text.into());
    }
    if sockmapd.run_as {
        let text = "are left out: User= and Group= of the systemd unit set the user and group of rcptd";
        say("sysconfig.run_as_user, run_as_group", text.into());
    }
    if sockmapd.log_file {
        let text =
            "is left out: rcptd logs to standard error or, by [log] target = \"journald\", to the journal";
        say("sysconfig.logfile", text.into());
    }
    if sockmapd.log_level {
        say("sysconfig.loglevel", "had no effect; rcptd has [log] level".into());
    }
    for place in &sockmapd.unknown {
        say(place, "was ignored by sockmapd and is left out".into());
    }
    out
}

/// Differences for any settings.
const ALWAYS: [(&str, &str); 9] = [
    (
        "postmaps[].table, key, value, reason",
        "sockmapd inserted them and the key into the text of the SQL query, so a sender could inject SQL; \
         rcptd quotes names and passes the key as a parameter",
    ),
    (
        "several rows of one key",
        "sockmapd used the first row that the database returned; rcptd joins their values with commas, as \
         Postfix does",
    ),
    (
        "errors of the database",
        "were answered with OK without a value, as if the key existed; rcptd replies TEMP, and the mail is \
         tried again",
    ),
    (
        "unknown maps",
        "were answered with TEMP, now with PERM; write mta = \"sendmail\" below [[socketmap]] if Sendmail \
         uses it, which treats PERM as \"not found\"",
    ),
    ("keys with a comma or a blank", "were rejected with PERM; now they are looked up"),
    (
        "connections of mail servers",
        "sockmapd served one at a time, and the others waited; rcptd serves up to max_connections at once",
    ),
    ("SIGHUP", "sockmapd exited if the file was invalid; rcptd logs the error and keeps its configuration"),
    (
        "the character set",
        "was utf8, with at most three octets per character; it is now utf8mb4, which has every character",
    ),
    (
        "connections to the database",
        "are not encrypted, as before; write tls = true below [[database]] for that",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MAX_MAP_NAME;

    #[test]
    fn chooses_valid_database_names() {
        let maps = ["mail", "größe", "mail", "db1", "a b"]
            .map(|database| Postmap { database: database.into(), ..Postmap::default() });
        let got = databases(&maps);
        let got: Vec<(&str, &str)> = got.iter().map(|(database, name)| (*database, &**name)).collect();
        assert_eq!(got, [("mail", "mail"), ("größe", "db2"), ("db1", "db1"), ("a b", "db3")]);
    }

    #[test]
    fn accepts_valid_map_names() {
        for (name, want) in [
            ("aliases", true),
            ("a.b_c-1", true),
            (&*"a".repeat(MAX_MAP_NAME), true),
            (&*"a".repeat(MAX_MAP_NAME + 1), false),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("{a}", false),
            ("größe", false),
        ] {
            assert_eq!(is_map_name(name), want, "{name}");
        }
    }
}
