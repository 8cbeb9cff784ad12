//! Reads and checks a configuration file of sockmapd.
//!
//! sockmapd inserted names into SQL unquoted. Here a name must be a plain name; anything else is an error,
//! since the file does not show its effect in a query.

use super::json::{Object, Reader};
use super::{PORT, Postmap, Sockmapd};
use crate::config::{MAX_MAP_NAME, is_map_name};
use crate::import::Fault;
use crate::map::settings::Password;
use crate::net::host::Host;
use mail_address::{escape, is_domain};
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;

/// Longest name of a table, a column or a database, in characters (the limit of MariaDB and MySQL).
const MAX_NAME: usize = 64;

const WHOLE: &str = "write { \"database\": {…}, \"postmaps\": […] }";
const DATABASE: &str = "write \"database\": { \"host\": [\"HOST\"], \"port\": \"3306\", \"username\": \"USER\", \"password\": \"…\" }";
const HOSTS: &str = "write \"host\": [\"db1.example.com\", \"db2.example.com\"]";
const MAPS: &str = "write \"postmaps\": [{ \"service\": \"NAME\", \"database\": \"NAME\", \"table\": \"TABLE\", \
                    \"key\": \"COLUMN\" }]";

/// Reads the parsed file. The error lists all problems.
pub fn read(value: &Value) -> Result<Sockmapd, Vec<Fault>> {
    let mut reader = Reader::default();
    let mut sockmapd = Sockmapd { port: PORT, ..Sockmapd::default() };
    if let Some(top) = reader.object("", value, &["database", "sysconfig", "postmaps"], WHOLE) {
        system(&mut reader, &top, &mut sockmapd);
        match Reader::value(&top, "database") {
            Some(value) => database(&mut reader, value, &mut sockmapd),
            None => reader.fault("database", "is missing", DATABASE),
        }
        maps(&mut reader, &top, &mut sockmapd);
    }
    sockmapd.unknown = reader.unknown;
    if reader.faults.is_empty() { Ok(sockmapd) } else { Err(reader.faults) }
}

fn system(reader: &mut Reader, top: &Object<'_>, sockmapd: &mut Sockmapd) {
    const PLACE: &str = "sysconfig";
    const KEYS: [&str; 5] = ["port", "logfile", "loglevel", "run_as_user", "run_as_group"];
    let Some(value) = Reader::value(top, PLACE) else { return };
    let Some(system) = reader.object(PLACE, value, &KEYS, "write \"sysconfig\": { \"port\": \"2224\" }")
    else {
        return;
    };
    if let Some(port) = reader.port(&system, "port") {
        sockmapd.port = port;
    }
    sockmapd.log_file = reader.text(&system, "logfile").is_some();
    sockmapd.log_level = reader.text(&system, "loglevel").is_some();
    // Read both, so that errors in both are reported.
    let [user, group] = ["run_as_user", "run_as_group"].map(|key| reader.text(&system, key).is_some());
    sockmapd.run_as = user || group;
}

fn database(reader: &mut Reader, value: &Value, sockmapd: &mut Sockmapd) {
    const KEYS: [&str; 4] = ["host", "port", "username", "password"];
    let Some(database) = reader.object("database", value, &KEYS, DATABASE) else { return };
    let before = reader.faults.len();
    let port = reader.port(&database, "port");
    if port.is_none() && reader.faults.len() == before {
        reader.fault(&database.place("port"), "is missing", "write \"port\": \"3306\"");
    }
    for (i, value) in reader.list(&database, "host", HOSTS).iter().enumerate() {
        let place = database.place(&format!("host[{i}]"));
        match value.as_str().and_then(host) {
            Some(host) => sockmapd.hosts.push(Host::Inet(host, port.unwrap_or_default())),
            None => reader.fault(
                &place,
                "is not a host name or address",
                "write it alone, such as \"db1.example.com\"; the port has a key of its own",
            ),
        }
    }
    let user = reader.needed(&database, "username", "write the user name for the database");
    if user.is_some_and(|user| user.contains(char::is_control)) {
        reader.fault(&database.place("username"), "contains a control character", "remove it");
    }
    let password = reader.text(&database, "password");
    if password.is_some_and(|password| password.contains(['\n', '\r', '\0'])) {
        let help = "choose a password of one line: rcptd reads the first line of its file";
        reader.fault(&database.place("password"), "contains a line break or a NUL", help);
    }
    sockmapd.user = user.unwrap_or_default().into();
    sockmapd.password = password.map(Password::new);
}

/// Returns the host, without the brackets of an IPv6 address.
fn host(text: &str) -> Option<String> {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = address.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    // A name that ends in a number is an address (RFC 1123, section 2.1), here an invalid one.
    let number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (is_domain(text) && !text.starts_with('[') && !number).then(|| text.into())
}

fn maps(reader: &mut Reader, top: &Object<'_>, sockmapd: &mut Sockmapd) {
    const KEYS: [&str; 6] = ["service", "database", "table", "key", "value", "reason"];
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (i, value) in reader.list(top, "postmaps", MAPS).iter().enumerate() {
        let place = format!("postmaps[{i}]");
        let Some(object) = reader.object(&place, value, &KEYS, MAPS) else { continue };
        let service = reader.needed(&object, "service", "write the name by which Postfix asks for the map");
        if let Some(service) = service {
            if !is_map_name(service) {
                let message = format!("\"{}\" cannot be the name of a map", escape(service));
                let help = format!(
                    "write up to {MAX_MAP_NAME} letters, digits, \".\", \"_\" and \"-\", here and in main.cf"
                );
                reader.fault(&object.place("service"), message, help);
            } else if let Some(first) = seen.get(service) {
                let message = format!("\"{service}\" is also the name of postmaps[{first}]");
                reader.fault(&object.place("service"), message, "remove the wrong one");
            } else {
                seen.insert(service, i);
            }
        }
        let database = reader.needed(&object, "database", "write the name of the database");
        if let Some(name) = database.filter(|name| !is_database(name)) {
            let message = format!("\"{}\" is not the name of a database", escape(name));
            reader.fault(&object.place("database"), message, "write the name alone");
        }
        let table = reader.needed(&object, "table", "write the name of the table");
        let key = reader.needed(&object, "key", "write the name of the column of keys");
        let (value, reason) = (reader.text(&object, "value"), reader.text(&object, "reason"));
        if let (Some(_), None) = (reason, value) {
            let help = "write \"value\": \"COLUMN\", or remove the reason";
            reader.fault(&object.place("reason"), "has no effect without a value", help);
        }
        let table = name(reader, &object, "table", table, true);
        let key = name(reader, &object, "key", key, false);
        let value = name(reader, &object, "value", value, false);
        let reason = name(reader, &object, "reason", reason, false);
        sockmapd.maps.push(Postmap {
            service: service.unwrap_or_default().into(),
            database: database.unwrap_or_default().into(),
            table: table.unwrap_or_default(),
            key: key.unwrap_or_default(),
            value,
            reason,
        });
    }
}

/// Returns the name of a table, optionally with its schema, or of a column. Other texts are reported.
fn name(
    reader: &mut Reader,
    object: &Object<'_>,
    field: &str,
    text: Option<&str>,
    table: bool,
) -> Option<String> {
    let text = text?;
    let mut parts = text.split('.').map(identifier);
    let found = match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(name)), None, None) => Some(name.to_owned()),
        (Some(Some(schema)), Some(Some(name)), None) if table => Some(format!("{schema}.{name}")),
        _ => None,
    };
    if found.is_none() {
        let what = if table { "table" } else { "column" };
        let message =
            format!("\"{}\" is not the name of a {what}, and other SQL is not imported", escape(text));
        let help = if table {
            "make a view and name it here, or name some table and write query = \"SELECT …\" for it in rcptd.conf"
        } else {
            "make a view with such a column and name it here, or name some column and write query = \"SELECT …\" \
             for it in rcptd.conf"
        };
        reader.fault(&object.place(field), message, help);
    }
    found
}

/// Parses a name as MySQL does: letters, digits, `_` and `$`, but not digits alone, which are a number; in
/// backquotes also other characters.
fn identifier(text: &str) -> Option<&str> {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let name = match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(name) => Some(name).filter(|name| !name.contains(|c: char| c == '`' || c.is_control())),
        None => Some(text).filter(|name| name.contains(|c: char| !c.is_ascii_digit())),
    }?;
    let quoted = name.len() != text.len();
    let good = (1..=MAX_NAME).contains(&name.chars().count()) && (quoted || name.chars().all(plain));
    good.then_some(name)
}

/// Whether MySQL allows a database of this name. Some characters had a special meaning in the address with
/// which sockmapd connected to it.
fn is_database(name: &str) -> bool {
    let never = |c: char| "/\\.?&=`'\"".contains(c) || c.is_whitespace() || c.is_control();
    name.chars().count() <= MAX_NAME && !name.contains(never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_hosts() {
        for (text, want) in [
            ("db1.example.com", Some("db1.example.com")),
            ("localhost", Some("localhost")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("db1:3306", None),
            ("[db1]", None),
            ("192.0.2", None),
            ("/run/mysqld/mysqld.sock", None),
            ("a b", None),
            ("a)/x?", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn parses_identifiers() {
        for (text, want) in [
            ("alias", Some("alias")),
            ("dbmail_aliases", Some("dbmail_aliases")),
            ("größe$2", Some("größe$2")),
            ("2fa", Some("2fa")),
            ("`black-white list`", Some("black-white list")),
            ("`1`", Some("1")),
            ("1", None),
            ("a b", None),
            ("a-b", None),
            ("LOWER(alias)", None),
            ("a;DROP", None),
            ("a'", None),
            ("`a` OR `b`", None),
            ("``", None),
            ("`", None),
            ("", None),
            ("`a\nb`", None),
        ] {
            assert_eq!(identifier(text), want, "{text}");
        }
        assert_eq!(identifier(&"é".repeat(64)), Some(&*"é".repeat(64)));
        assert_eq!(identifier(&"é".repeat(65)), None);
    }
}
