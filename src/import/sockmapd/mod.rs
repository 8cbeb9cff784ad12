//! Imports a configuration of sockmapd, a JSON file with the password of its databases.

mod convert;
mod differences;
mod json;
mod read;

use super::{CONFIG, Fault, File, Imported, PASSWORD};
use crate::map::settings::Password;
use crate::net::host::Host;
use diagnostics::{Text, count};

/// Default port of sockmapd.
const PORT: u16 = 2224;

/// Settings of sockmapd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sockmapd {
    /// The port, on all interfaces.
    port: u16,
    /// Whether a log file was set.
    log_file: bool,
    /// Whether a log level was set, which sockmapd never used.
    log_level: bool,
    /// Whether a user or group to run as was set.
    run_as: bool,
    /// The servers of all databases, in the order in which sockmapd tried them.
    hosts: Vec<Host>,
    /// The database user.
    user: String,
    /// The user's password.
    password: Option<Password>,
    /// The maps.
    maps: Vec<Postmap>,
    /// Unknown keys, as they are written.
    unknown: Vec<String>,
}

/// A map of sockmapd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Postmap {
    /// Name of the map in requests; a [map name](crate::config::is_map_name).
    service: String,
    /// The database.
    database: String,
    /// The table, optionally with its schema.
    table: String,
    /// The column of keys.
    key: String,
    /// The column of values; without one the key is the value.
    value: Option<String>,
    /// The column of the text that is appended to the value.
    reason: Option<String>,
}

/// Imports a file. The error lists all errors of it.
pub fn import(text: &Text) -> Result<Imported, Vec<Fault>> {
    let value = json::parse(&text.content).map_err(|fault| vec![fault])?;
    let sockmapd = read::read(&value)?;
    let mut files = Vec::new();
    // The password first: a configuration without it is useless.
    if let Some(password) = &sockmapd.password {
        files.push(File::private(PASSWORD, format!("{}\n", password.reveal())));
    }
    files.push(File::public(CONFIG, convert::configuration(&text.file, &sockmapd)));
    let differences = differences::of(&sockmapd);
    Ok(Imported { count: count(sockmapd.maps.len(), "map"), files, differences })
}
