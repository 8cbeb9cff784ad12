//! Converts the parameters of a server: hosts, login, TLS.

use super::client::Client;
use super::settings::Settings;
use crate::config::is_map_name;
use crate::map::settings::{DatabaseSettings, Kind, MYSQL_SOCKETS, Password};
use crate::net::host::{Host, LDAP_PORT, host_and_port, ldap_server};
use std::time::Duration;

/// Longest `timeout` that is converted: the highest `deadline`.
const MAX_TIMEOUT: u32 = 60;

/// Returns the settings of the server, without a name.
pub fn database(settings: &mut Settings) -> DatabaseSettings {
    let kind = settings.client.kind();
    let mut database = DatabaseSettings::new("", kind);
    match settings.client {
        Client::Sqlite => {
            database.file = settings.text("dbpath").map(Into::into);
            if database.file.is_none() {
                settings.fault("dbpath", "is missing", "write dbpath = /PATH");
            }
        }
        Client::Ldap => ldap(settings, &mut database),
        Client::Mysql | Client::Pgsql => {
            database.hosts = sql_hosts(settings, kind);
            database.user = settings.text("user");
            database.password = settings.text("password").map(Password::new);
            database.database = settings.text("dbname").unwrap_or_default();
            if database.user.is_none() {
                settings.say("user", "is missing: Postfix logs in with the name of its own user (postfix), rcptd with a default of its own; set user");
            }
            if settings.client == Client::Mysql {
                mysql_tls(settings, &mut database);
            }
        }
    }
    database
}

fn mysql_tls(settings: &mut Settings, database: &mut DatabaseSettings) {
    let has = ["tls_cert_file", "tls_key_file", "tls_CAfile", "tls_CApath", "tls_ciphers"]
        .iter()
        .any(|name| settings.text(name).is_some());
    let verifies = settings.yes("tls_verify_cert", false);
    if !has {
        if verifies {
            settings.say("tls_verify_cert", NO_TLS);
        }
        return;
    }
    database.tls = true;
    database.tls_ca = settings.text("tls_CAfile").map(Into::into);
    authorities_in_folder(settings, "tls_CApath", database);
    if !verifies {
        settings.say("tls_verify_cert", CHECKED);
    }
}

const NO_TLS: &str = "is left out, since no other parameter of TLS is set: whether Postfix then encrypts the connection \
                      depends on its client library. To encrypt it and check the certificate, write tls = true in \
                      [[database]]";
const NO_FOLDER: &str =
    "is left out: rcptd trusts the authorities of the system; name a file with others in tls_ca";
const ONLY_FILE: &str = "is left out: rcptd reads no folder; append the authorities in it to the file tls_ca";

/// Reports a folder of certificate authorities, which rcptd does not have.
fn authorities_in_folder(settings: &mut Settings, name: &'static str, database: &DatabaseSettings) {
    if settings.text(name).is_some() {
        settings.say(name, if database.tls_ca.is_none() { NO_FOLDER } else { ONLY_FILE });
    }
}

const CHECKED: &str = "is no: Postfix does not check the certificate of the server; rcptd always does. If the certificate is \
                       not valid for the name of the host, each lookup fails temporarily";

/// The servers of MariaDB, MySQL and PostgreSQL. Postfix tries UNIX sockets first.
fn sql_hosts(settings: &mut Settings, kind: Kind) -> Vec<Host> {
    let mut named = settings.list("hosts");
    if named.is_empty() {
        named.push("localhost".into());
    }
    let mut hosts = Vec::new();
    for text in &named {
        if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            let help = "write hosts = HOST:PORT, and user, password and dbname of their own";
            settings.fault("hosts", "has a URI, which is not imported", help);
            continue;
        }
        let path = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = path {
            hosts.push(Host::Unix(path.into()));
            continue;
        }
        let bare = text.strip_prefix("inet:").unwrap_or(text);
        match host_and_port(bare, Some(kind.port())) {
            Ok((host, _)) if kind == Kind::Mysql && host == "localhost" => {
                let [socket, ..] = MYSQL_SOCKETS;
                settings.say("hosts", format!(
                    "localhost is the UNIX socket of the server, as in Postfix; {socket} is assumed: see SELECT \
                     @@socket"
                ));
                hosts.push(Host::Unix(socket.into()));
            }
            Ok((host, port)) => hosts.push(Host::Inet(host, port)),
            Err(why) => {
                let help = "write HOST, HOST:PORT, inet:HOST:PORT or unix:/PATH, with the number of the port";
                settings.fault("hosts", &format!("{why} (entry {})", hosts.len() + 1), help);
            }
        }
    }
    hosts.sort_by_key(|host| matches!(host, Host::Inet(..)));
    hosts
}

fn ldap(settings: &mut Settings, database: &mut DatabaseSettings) {
    database.tls = settings.yes("start_tls", false);
    for (host, is_ldaps) in ldap_hosts(settings) {
        database.ldaps.extend(is_ldaps.then(|| host.clone()));
        database.hosts.push(host);
    }
    if database.tls || !database.ldaps.is_empty() {
        database.tls_ca = settings.text("tls_ca_cert_file").map(Into::into);
        authorities_in_folder(settings, "tls_ca_cert_dir", database);
        if !settings.yes("tls_require_cert", false) {
            settings.say("tls_require_cert", CHECKED);
        }
    } else {
        let text =
            "is left out: without start_tls and ldaps: the connection is not encrypted, in Postfix neither";
        settings.left_out(&["tls_require_cert", "tls_ca_cert_file", "tls_ca_cert_dir"], text);
    }
    ldap_bind(settings, database);
    if let Some(seconds) = settings.number("timeout").filter(|seconds| *seconds > 0) {
        database.deadline = Duration::from_secs(seconds.min(MAX_TIMEOUT).into());
        settings.say("timeout", format!(
            "limits one search in Postfix; here {} s is the time for the whole answer, and a listener waits 8s unless its \
             deadline is longer",
            seconds.min(MAX_TIMEOUT)
        ));
    }
    if settings.text("version").is_some_and(|version| version != "3") {
        settings.say("version", "is not 3: rcptd uses LDAP version 3 only");
    }
}

fn ldap_bind(settings: &mut Settings, database: &mut DatabaseSettings) {
    let bind = settings.text("bind").unwrap_or_else(|| "yes".into()).to_ascii_lowercase();
    match &*bind {
        "yes" | "simple" => match (settings.text("bind_dn"), settings.text("bind_pw")) {
            (Some(user), Some(password)) => {
                database.user = Some(user);
                database.password = Some(Password::new(password));
            }
            (Some(_), None) => {
                settings.say("bind_dn", "is left out, since bind_pw is empty: such a bind is anonymous");
            }
            (None, _) => settings.left_out(&["bind_pw"], "is left out, since bind_dn is empty"),
        },
        "no" | "none" => settings.left_out(&["bind_dn", "bind_pw"], "is left out, since bind is no"),
        "sasl" => settings.gap(
            "bind",
            "rcptd has no SASL, and an anonymous search may find less; set user and password_file",
        ),
        _ => settings.fault("bind", "is none of yes, no and sasl", "write yes or no"),
    }
}

/// The servers, and whether each is one of `ldaps:`.
fn ldap_hosts(settings: &mut Settings) -> Vec<(Host, bool)> {
    let port = match settings.number("server_port").map(u16::try_from) {
        None => LDAP_PORT,
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            settings.fault("server_port", "is no port", "write a number up to 65535");
            LDAP_PORT
        }
    };
    let mut named = settings.list("server_host");
    if named.is_empty() {
        named.push("localhost".into());
    }
    let mut hosts = Vec::new();
    for text in &named {
        let bare = || host_and_port(text, Some(port)).map(|(host, port)| (Host::Inet(host, port), false));
        match ldap_server(text).unwrap_or_else(bare) {
            Ok(host) => hosts.push(host),
            Err(why) => {
                let help = "write HOST, HOST:PORT, ldap://HOST:PORT, ldaps://HOST or ldapi://%2FPATH";
                settings.fault("server_host", &why, help);
            }
        }
    }
    hosts
}

/// Makes a valid name of `text` that is not yet in `taken`.
pub fn name(text: &str, default: &str, taken: impl Fn(&str) -> bool) -> String {
    /// Longest beginning of the text, so that a number fits into the name, too.
    const LONGEST: usize = 56;
    let good = |c: char| if is_map_name(c.encode_utf8(&mut [0; 4])) { c } else { '_' };
    let begin: String = text.chars().map(good).take(LONGEST).collect();
    let begin = if begin.is_empty() { default.to_owned() } else { begin };
    let mut name = begin.clone();
    let mut number = 1;
    while taken(&name) {
        number += 1;
        name = format!("{begin}-{number}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_names() {
        for (text, taken, want) in [
            ("mail", &[][..], "mail"),
            ("mail", &["mail"], "mail-2"),
            ("mail", &["mail", "mail-2"], "mail-3"),
            ("größe x", &[], "gr__e_x"),
            ("", &[], "map"),
        ] {
            assert_eq!(name(text, "map", |name| taken.contains(&name)), want, "{text}");
        }
        assert!(is_map_name(&name(&"a".repeat(500), "map", |name| name.len() < 57)));
    }
}
