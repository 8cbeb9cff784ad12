//! Converts settings of sockmapd to a configuration. The caller has checked the settings.

use super::{Postmap, Sockmapd};
use crate::config::is_map_name;
use crate::import::{PASSWORD, quoted};
use crate::map::settings::Kind;
use mail_address::escape;
use std::collections::HashSet;
use std::fmt::Write;

/// Writes a configuration with the settings of `sockmapd`, found in the file called `file`. The password goes
/// into [`PASSWORD`].
pub fn configuration(file: &str, sockmapd: &Sockmapd) -> String {
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
            let _ = writeln!(out, "password_file = {}", quoted(PASSWORD));
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
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_valid_database_names() {
        let maps = ["mail", "größe", "mail", "db1", "a b"]
            .map(|database| Postmap { database: database.into(), ..Postmap::default() });
        let got = databases(&maps);
        let got: Vec<(&str, &str)> = got.iter().map(|(database, name)| (*database, &**name)).collect();
        assert_eq!(got, [("mail", "mail"), ("größe", "db2"), ("db1", "db1"), ("a b", "db3")]);
    }
}
