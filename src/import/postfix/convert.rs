//! Writes the configuration, and the differences of every import.

use super::client::Client;
use super::{Map, Tables};
use crate::import::{difference, quoted};
use crate::map::results::ResultSettings;
use crate::map::settings::{Attributes, DEADLINE, DatabaseSettings, Query, RECURSION_LIMIT, Scope};
use alias_rules::Difference;
use mail_address::escape;
use std::fmt::Write;

/// The listener for Postfix.
const LISTEN: &str = "inet:127.0.0.1:2224";

/// The name of the file with the password of a database.
pub fn password_file(database: &str) -> String {
    format!("{database}.password")
}

/// Writes the configuration with these tables, found in `files`.
pub fn configuration(files: &[&str], tables: &Tables) -> String {
    let files: Vec<String> = files.iter().map(|file| escape(file).to_string()).collect();
    let mut out = format!(
        "# Made from {} by \"rcptd import postfix\"; see rcptd.maps(5).\n\n[[socketmap]]\nlisten = {}\n",
        files.join(", "),
        quoted(LISTEN)
    );
    for database in &tables.databases {
        write_database(&mut out, database);
    }
    for map in &tables.maps {
        let database = tables.databases.get(map.database).map_or("", |database| &*database.name);
        write_map(&mut out, map, database);
    }
    out
}

fn write_database(out: &mut String, database: &DatabaseSettings) {
    let DatabaseSettings { name, kind, hosts, ldaps, user, password, file, tls, tls_ca, deadline, .. } =
        database;
    // Writing to a String cannot fail.
    let _ = write!(out, "\n[[database]]\nname = {}\nkind = \"{}\"\n", quoted(name), kind.name());
    if !hosts.is_empty() {
        let scheme = |host| if ldaps.contains(host) { "ldaps://" } else { "" };
        let hosts: Vec<String> =
            hosts.iter().map(|host| quoted(&format!("{}{host}", scheme(host)))).collect();
        let _ = writeln!(out, "hosts = [{}]", hosts.join(", "));
    }
    if let Some(user) = user {
        let _ = writeln!(out, "user = {}", quoted(user));
    }
    if password.is_some() {
        let _ = writeln!(out, "password_file = {}", quoted(&password_file(name)));
    }
    if !database.database.is_empty() {
        let _ = writeln!(out, "database = {}", quoted(&database.database));
    }
    if let Some(file) = file {
        let _ = writeln!(out, "file = {}", quoted(&file.display().to_string()));
    }
    if *tls {
        let _ = writeln!(out, "tls = true");
    }
    if let Some(file) = tls_ca {
        let _ = writeln!(out, "tls_ca = {}", quoted(&file.display().to_string()));
    }
    if *deadline != DEADLINE {
        let _ = writeln!(out, "deadline = \"{}s\"", deadline.as_secs());
    }
}

fn write_map(out: &mut String, map: &Map, database: &str) {
    let Map { name, was, query, results, gaps, .. } = map;
    let _ = write!(
        out,
        "\n# In main.cf: socketmap:{LISTEN}:{name} instead of {}\n[[map]]\nname = {}\n",
        escape(was),
        quoted(name)
    );
    let source = quoted(&format!("database:{database}"));
    if gaps.is_empty() {
        let _ = writeln!(out, "source = {source}");
    } else {
        let reason = quoted(&format!("fail:{} is not supported", gaps.join(", ")));
        let _ = writeln!(out, "source = [{reason}, {source}]");
    }
    let _ = writeln!(out, "search = \"plain\"");
    match query {
        Query::Ldap { base, filter, attributes, scope } => {
            let scope = match scope {
                Scope::Base => "base",
                Scope::One => "one",
                Scope::Sub => "sub",
            };
            for (key, value) in [("base", base), ("filter", filter)] {
                let _ = writeln!(out, "{key} = {}", quoted(value));
            }
            write_attributes(out, attributes);
            let _ = writeln!(out, "scope = \"{scope}\"");
        }
        Query::Sql(text) => {
            let _ = writeln!(out, "query = {}", quoted(text));
        }
        Query::Columns { .. } | Query::Redis { .. } => (),
    }
    write_results(out, results);
}

fn write_results(out: &mut String, results: &ResultSettings) {
    let default = ResultSettings::default();
    if results.format != default.format {
        let _ = writeln!(out, "result_format = {}", quoted(results.format.text()));
    }
    if results.domains != default.domains {
        let domains: Vec<String> = results.domains.entries().map(|entry| quoted(&entry)).collect();
        let _ = writeln!(out, "domain = [{}]", domains.join(", "));
    }
    if results.expansion_limit != default.expansion_limit {
        let _ = writeln!(out, "expansion_limit = {}", results.expansion_limit);
    }
}

fn write_attributes(out: &mut String, attributes: &Attributes) {
    let Attributes { plain, special, leaf, terminal, recursion_limit } = attributes;
    for (key, names) in [
        ("attribute", plain),
        ("special_attribute", special),
        ("leaf_attribute", leaf),
        ("terminal_attribute", terminal),
    ] {
        let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let _ = match &*quoted {
            [] => Ok(()),
            [one] => writeln!(out, "{key} = {one}"),
            several => writeln!(out, "{key} = [{}]", several.join(", ")),
        };
    }
    if *recursion_limit != RECURSION_LIMIT {
        let _ = writeln!(out, "recursion_limit = {recursion_limit}");
    }
}

/// Returns the differences that concern all tables of these clients.
pub fn differences(tables: &Tables, clients: &[Client]) -> Vec<Difference> {
    let mut out = vec![difference("search", SEARCH.into())];
    let mut say = |about: &str, text: &str| out.push(difference(about, text.into()));
    if tables.databases.iter().any(|database| database.password.is_some()) {
        say(
            "passwords",
            "are in NAME.password of each database, which only their owner can read. Let rcptd read them: chgrp them to \
             the group rcptd runs with, then chmod 640",
        );
    }
    if tables.databases.iter().any(|database| database.hosts.len() > 1) {
        say(
            "several hosts",
            "are tried in this order, UNIX sockets first; the SQL clients of Postfix choose at random",
        );
    }
    if clients.iter().any(|client| *client != Client::Ldap) {
        say("query", "rcptd passes the key separately from the query, so its places have no quotes");
    }
    for client in clients {
        let (about, text) = match client {
            Client::Mysql => ("my.cnf", MYSQL),
            Client::Pgsql => ("the encoding", "is UTF-8; Postfix before 3.8 uses LATIN1"),
            Client::Sqlite => continue,
            Client::Ldap => (
                "search_base",
                "if it contains the key, and its part without the key does not exist, the lookup fails temporarily, \
                 since the directory may be empty or the wrong one; for Postfix the key is not found",
            ),
        };
        say(about, text);
    }
    out
}

const SEARCH: &str = "Postfix looks up parts of an address (user@domain without an extension, @domain, parent domains) in \
                      its own tables, but asks a socketmap for the whole address only. Set search in each [[map]] to \
                      the use of the map, such as \"virtual_alias\", \"virtual_mailbox\" or \"transport\"; with \
                      \"plain\" a map answers as postmap -q does";
const MYSQL: &str =
    "is not read; Postfix reads its group [client], which may set the socket, TLS, a user or a password";
