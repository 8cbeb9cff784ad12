//! Imports the files of Postfix' clients of databases: mysql_table(5), pgsql_table(5), sqlite_table(5) and
//! ldap_table(5).
//!
//! | module | contents |
//! | --- | --- |
//! | `cf` | the syntax of the files |
//! | `client` | the clients and their parameters |
//! | `settings` | the parameters of a file, its errors and differences |
//! | `database`, `query`, `sql` | the conversion of servers and queries |
//! | `results` | the conversion of the parameters for values |
//! | `convert` | the text of the configuration |

mod cf;
mod client;
mod convert;
mod database;
mod query;
mod results;
mod settings;
mod sql;

pub use client::Named;

use super::{CONFIG, File, Imported};
use crate::map::results::ResultSettings;
use crate::map::settings::{DatabaseSettings, Query};
use client::Client;
use diagnostics::{Text, count};
use settings::Settings;
use std::sync::Arc;

/// A table of Postfix.
struct Map {
    /// The name in rcptd.
    name: String,
    /// The table as in main.cf.
    was: String,
    /// The place of its database.
    database: usize,
    query: Query,
    results: ResultSettings,
    /// What rcptd lacks to give the right answers.
    gaps: Vec<&'static str>,
}

/// All tables, and their databases; tables of the same server share one.
#[derive(Default)]
struct Tables {
    maps: Vec<Map>,
    databases: Vec<DatabaseSettings>,
}

/// Imports files. The error has all errors of them.
pub fn import(tables: &[(Named, Text)]) -> Result<Imported, Vec<String>> {
    let mut all = Tables::default();
    let (mut errors, mut differences, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for (named, text) in tables {
        let mut settings = match Settings::read(named, text) {
            Ok(settings) => settings,
            Err(faults) => {
                errors.extend(faults.iter().map(|fault| fault.of(&text.file)));
                continue;
            }
        };
        let database = database::database(&mut settings);
        let query = query::query(&mut settings);
        let results = results::results(&mut settings);
        errors.extend(settings.faults.iter().map(|fault| fault.of(&text.file)));
        differences.append(&mut settings.differences);
        if !clients.contains(&settings.client) {
            clients.push(settings.client);
        }
        if let Some(query) = query {
            all.add(&settings, named, database, (query, results));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut files = Vec::new();
    for database in &all.databases {
        if let Some(password) = &database.password {
            let content = format!("{}\n", password.reveal());
            files.push(File::private(convert::password_file(&database.name), content));
        }
    }
    let names: Vec<&str> = tables.iter().map(|(_, text)| &*text.file).collect();
    files.push(File::public(CONFIG, convert::configuration(&names, &all)));
    let mut general = convert::differences(&all, &clients);
    general.append(&mut differences);
    Ok(Imported { count: count(all.maps.len(), "map"), files, differences: general })
}

impl Tables {
    fn add(
        &mut self,
        settings: &Settings,
        named: &Named,
        database: DatabaseSettings,
        (query, results): (Query, ResultSettings),
    ) {
        let is_same =
            |other: &DatabaseSettings| DatabaseSettings { name: Arc::from(""), ..other.clone() } == database;
        let at = self.databases.iter().position(is_same).unwrap_or_else(|| {
            let wish = match settings.client {
                Client::Mysql | Client::Pgsql => database.database.clone(),
                Client::Ldap => "ldap".into(),
                Client::Sqlite => {
                    let stem = database.file.as_deref().and_then(|file| file.file_stem());
                    stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
                }
            };
            let taken = |name: &str| self.databases.iter().any(|other| *other.name == *name);
            let name = database::name(&wish, settings.client.name(), taken);
            self.databases.push(DatabaseSettings { name: name.into(), ..database });
            self.databases.len() - 1
        });
        let stem = settings.file.strip_suffix(".cf").unwrap_or(&settings.file);
        let name = database::name(stem, "map", |name| self.maps.iter().any(|other| other.name == name));
        let was = format!("{}:{}", settings.client.name(), named.path);
        self.maps.push(Map { name, was, database: at, query, results, gaps: settings.gaps.clone() });
    }
}
