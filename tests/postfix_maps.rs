//! Maps beside Postfix' own clients: the same keys are asked of `postmap -q` and of rcptd, over the same data and
//! with the same queries, of the kinds that mail systems have (postfixadmin, iRedMail, mailcow, ISPmail, modoboa).
//! Each intended difference is in a list here, and in rcptd.maps(5) with its reason.
//!
//! The packages of Debian that this needs: postgresql, mariadb-server, slapd, and postfix with postfix-mysql,
//! postfix-pgsql, postfix-ldap, postfix-sqlite. Postfix does not run: postmap(1) has a configuration of its own.

#![cfg(all(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite", feature = "ldap"))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

#[path = "postfix_maps/ldap.rs"]
mod ldap;
#[path = "common/postfix.rs"]
mod postfix_server;
#[path = "common/programs.rs"]
mod programs;
#[path = "postfix_maps/results.rs"]
mod results;
#[path = "postfix_maps/schemas.rs"]
mod schemas;
#[path = "common/servers.rs"]
mod servers;
#[path = "databases_sql/site.rs"]
#[allow(dead_code, reason = "another test needs the rest of it")]
mod site;
#[path = "common/stores.rs"]
mod stores;
#[path = "postfix_maps/texts.rs"]
mod texts;
#[path = "postfix_maps/types.rs"]
mod types;

use diagnostics::Text;
use postfix_server::PostmapResult;
use rcptd::import::postfix::import;
use rcptd::map::case_folded::CaseFolded;
use rcptd::map::settings::{DatabaseSettings, Kind, Query};
use rcptd::map::{Lookup, Source, Table};
use schemas::Schema;
use servers::{ADMIN, Make, PASSWORD};
use site::Site;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use stores::open;

impl From<Lookup<String>> for PostmapResult {
    fn from(answer: Lookup<String>) -> Self {
        match answer {
            Lookup::Found(value) => PostmapResult::Value(value),
            Lookup::NotFound => PostmapResult::NotFound,
            Lookup::TempFail(_) => PostmapResult::Failure,
        }
    }
}

/// A configuration of Postfix for postmap(1).
pub struct Postfix(tempfile::TempDir);

impl Postfix {
    fn begin() -> Self {
        let folder = tempfile::Builder::new().prefix("rcptd-postfix-").tempdir().unwrap();
        fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
        fs::write(folder.path().join("master.cf"), "").unwrap();
        Postfix(folder)
    }

    /// The results of the client of this type for these keys, with this file of settings.
    fn results(&self, kind: &str, settings: &str, keys: &[&str]) -> Vec<PostmapResult> {
        let file = self.0.path().join("map.cf");
        fs::write(&file, settings).unwrap();
        postfix_server::postmap(self.0.path(), &format!("{kind}:{}", file.display()), keys)
    }
}

/// The settings of Postfix for a database, without a query, and its type of table.
fn server_settings(site: &Site) -> (&'static str, String) {
    let server = || {
        // A value of main.cf is not unescaped.
        format!("hosts = 127.0.0.1:{}\nuser = {ADMIN}\npassword = {PASSWORD}\n", site.port())
    };
    match site.kind() {
        Kind::Postgresql => ("pgsql", format!("{}dbname = postgres\n", server())),
        Kind::Mysql => ("mysql", format!("{}dbname = mail\n", server())),
        _ => ("sqlite", format!("dbpath = {}\n", site.settings().file.unwrap().display())),
    }
}

/// The settings of Postfix for a query. Postfix inserts the key into the text, so the placeholders need quotes.
fn settings(site: &Site, query: &str) -> (&'static str, String) {
    let quoted = ["%s", "%u", "%d"]
        .iter()
        .fold(query.to_owned(), |text, place| text.replace(place, &format!("'{place}'")));
    let (kind, place) = server_settings(site);
    (kind, format!("{place}query = {quoted}\n"))
}

/// The map that `rcptd import postfix` makes of this file of settings, in its own database.
fn imported(kind: &str, settings: &str) -> CaseFolded {
    let named = format!("{kind}:map.cf").parse().unwrap();
    let files = import(&[(named, Text::new("map.cf", settings))]).unwrap().files;
    let folder = tempfile::tempdir().unwrap();
    for file in &files {
        let path = folder.path().join(&file.name);
        fs::write(&path, &file.content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let loaded = rcptd::config::load(&folder.path().join("rcptd.conf"));
    let config = loaded.unwrap_or_else(|_| panic!("cannot be loaded: {settings}"));
    let tables = &config.tables;
    // Time limits are not the subject, and the machine may be busy.
    let database = DatabaseSettings {
        connect_timeout: Duration::from_secs(20),
        deadline: Duration::from_mins(1),
        ..tables.databases[0].clone()
    };
    let table = open(&database)
        .unwrap()
        .table_with(tables.maps[0].query.as_ref().unwrap(), &tables.maps[0].results)
        .unwrap();
    CaseFolded::new(table, true)
}

/// Queries in the form of Postfix, with the key inside of other text, for the tables of postfixadmin.
const WITHIN_TEXT: [&str; 6] = [
    "SELECT goto FROM alias WHERE address = '%u@%d'",
    "SELECT goto FROM alias WHERE address = '@%D' OR address = '%S' ORDER BY goto",
    "SELECT domain FROM domain WHERE 'x.%d' LIKE '%%.%d' AND domain='%d'",
    "SELECT goto FROM alias WHERE address LIKE '%u@%%' ORDER BY goto",
    "SELECT goto FROM alias WHERE address = '%U@%2.%1'",
    "SELECT goto FROM alias WHERE address = '%s' AND '%3' = ''",
];

/// Compares imported maps with `postmap -q` for the original file.
async fn compare_imported(site: &Site, postfix: &Postfix) {
    let mut faults = Vec::new();
    let mut found = 0;
    for query in WITHIN_TEXT {
        let (kind, settings) = settings(site, "%s");
        let settings = settings.replace("query = '%s'", &format!("query = {query}"));
        let table = imported(kind, &settings);
        for (key, theirs) in schemas::KEYS.iter().zip(postfix.results(kind, &settings, schemas::KEYS)) {
            let ours = PostmapResult::from(table.look_up(key).await);
            found += usize::from(matches!(ours, PostmapResult::Value(_)));
            if ours != theirs {
                faults.push(format!("{kind} {query} {key:?}: Postfix returns {theirs:?}, rcptd {ours:?}"));
            }
        }
    }
    assert!(found > 5 && faults.is_empty(), "{found} found:\n{}", faults.join("\n"));
}

async fn compare(site: &Site, schema: &Schema) {
    let postfix = Postfix::begin();
    let mut admin = site.admin().await;
    for statement in schema.tables {
        admin.run(statement).await;
    }
    let database = open(&site.settings()).unwrap();
    let mut faults = Vec::new();
    let (mut found, mut missing) = (0, 0);
    for query in schema.queries.iter().filter_map(|query| query.of(site.kind())) {
        let table: Arc<Table> = database.table(&Query::Sql(query.clone())).unwrap();
        let table = CaseFolded::new(table, true);
        let (kind, settings) = settings(site, &query);
        let imported = imported(kind, &settings);
        let keys: Vec<&str> = schema.keys.iter().chain(schemas::KEYS).copied().collect();
        for (key, theirs) in keys.iter().zip(postfix.results(kind, &settings, &keys)) {
            let ours = PostmapResult::from(table.look_up(key).await);
            match theirs {
                PostmapResult::Value(_) => found += 1,
                PostmapResult::NotFound => missing += 1,
                PostmapResult::Failure => (),
            }
            if ours != theirs {
                faults.push(format!("{kind} {query} {key:?}: Postfix returns {theirs:?}, rcptd {ours:?}"));
            }
            let imported = PostmapResult::from(imported.look_up(key).await);
            if imported != ours {
                faults.push(format!("{kind} {query} {key:?}: imported {imported:?}, rcptd {ours:?}"));
            }
        }
    }
    if schema.name == "postfixadmin" {
        compare_imported(site, &postfix).await;
    }
    assert!(found > 3 && missing > 10, "{}: {found} found, {missing} not", schema.name);
    assert!(faults.is_empty(), "{}:\n{}", schema.name, faults.join("\n"));
}

#[tokio::test]
async fn postgresql() {
    let site = Site::server(Make::Postgresql);
    for schema in schemas::ALL {
        compare(&site, schema).await;
    }
}

#[tokio::test]
async fn mariadb() {
    let site = Site::server(Make::Mariadb);
    for schema in schemas::ALL {
        compare(&site, schema).await;
    }
}

#[tokio::test]
async fn sqlite() {
    let site = Site::file();
    for schema in schemas::ALL {
        compare(&site, schema).await;
    }
}
