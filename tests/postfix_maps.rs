//! Maps beside Postfix' own clients: the same keys are asked of `postmap -q` and of rcptd, over the same data and
//! with the same queries, of the kinds that mail systems have (postfixadmin, iRedMail, mailcow, ISPmail, modoboa).
//! Each difference that is meant is in `DIFFERENCES`, and in rcptd.maps(5) with its reason.
//!
//! The packages of Debian that this needs: postgresql, mariadb-server, slapd, and postfix with postfix-mysql,
//! postfix-pgsql, postfix-ldap, postfix-sqlite. Postfix does not run: postmap(1) has a configuration of its own.

#![cfg(all(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite", feature = "ldap"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "postfix_maps/ldap.rs"]
mod ldap;
#[path = "postfix_maps/schemas.rs"]
mod schemas;
#[path = "common/servers.rs"]
mod servers;
#[path = "databases_sql/site.rs"]
#[allow(dead_code, reason = "another test needs the rest of it")]
mod site;
#[path = "common/stores.rs"]
mod stores;

use rcptd::map::case_folded::CaseFolded;
use rcptd::map::database::open;
use rcptd::map::settings::{Kind, Query};
use rcptd::map::{Lookup, Source, Table};
use schemas::Schema;
use servers::{ADMIN, Make, PASSWORD};
use site::Site;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What a client says of a key; of a failure there is only that it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    Value(String),
    Nothing,
    Failure,
}

impl From<Lookup<String>> for Says {
    fn from(answer: Lookup<String>) -> Self {
        match answer {
            Lookup::Found(value) => Says::Value(value),
            Lookup::NotFound => Says::Nothing,
            Lookup::TempFail(_) => Says::Failure,
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

    /// What the client of this type says of each key, with this file of settings.
    pub fn says(&self, kind: &str, settings: &str, keys: &[&str]) -> Vec<Says> {
        // All at once, and one by one where it fails for some.
        self.run(kind, settings, keys).unwrap_or_else(|| {
            let one = |key: &&str| {
                self.run(kind, settings, &[*key]).map_or(Says::Failure, |mut says| says.remove(0))
            };
            keys.iter().map(one).collect()
        })
    }

    fn run(&self, kind: &str, settings: &str, keys: &[&str]) -> Option<Vec<Says>> {
        let file = self.0.path().join("map.cf");
        fs::write(&file, settings).unwrap();
        let mut child = Command::new(stores::program("postmap", "postfix"))
            .arg("-c")
            .arg(self.0.path())
            .args(["-q", "-", &format!("{kind}:{}", file.display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = keys.iter().map(|key| format!("{key}\n")).collect::<Vec<_>>().concat();
        // Where it fails it does not read the rest.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!errors.contains("unsupported dictionary type"), "install postfix-{kind}: {errors}");
        if errors.contains("fatal:") {
            return None;
        }
        let found = String::from_utf8(output.stdout).unwrap();
        let value = |key: &&str| {
            let begin = format!("{key}\t");
            let line = found.lines().find_map(|line| line.strip_prefix(&begin));
            line.map_or(Says::Nothing, |value| Says::Value(value.into()))
        };
        Some(keys.iter().map(value).collect())
    }
}

/// The settings of Postfix for a query. Postfix puts the key into the text, so its places are in quotes there.
fn settings(site: &Site, query: &str) -> (&'static str, String) {
    let quoted = ["%s", "%u", "%d"]
        .iter()
        .fold(query.to_owned(), |text, place| text.replace(place, &format!("'{place}'")));
    let server = || {
        // A value of main.cf is not unescaped.
        format!("hosts = 127.0.0.1:{}\nuser = {ADMIN}\npassword = {PASSWORD}\n", site.port())
    };
    let (kind, place) = match site.kind() {
        Kind::Postgresql => ("pgsql", format!("{}dbname = postgres\n", server())),
        Kind::Mysql => ("mysql", format!("{}dbname = mail\n", server())),
        _ => ("sqlite", format!("dbpath = {}\n", site.settings().file.unwrap().display())),
    };
    (kind, format!("{place}query = {quoted}\n"))
}

/// Queries whose values rcptd refuses to read, on purpose: kind of database and a part of the query. The reasons are in
/// rcptd.maps(5).
const DIFFERENCES: &[(Kind, &str)] = &[(Kind::Mysql, "SELECT expired FROM")];

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
        let keys: Vec<&str> = schema.keys.iter().chain(schemas::KEYS).copied().collect();
        for (key, theirs) in keys.iter().zip(postfix.says(kind, &settings, &keys)) {
            let ours = Says::from(table.look_up(key).await);
            match theirs {
                Says::Value(_) => found += 1,
                Says::Nothing => missing += 1,
                Says::Failure => (),
            }
            let is_meant = matches!(theirs, Says::Value(_))
                && DIFFERENCES.iter().any(|(kind, part)| *kind == site.kind() && query.contains(part));
            let want = if is_meant { Says::Failure } else { theirs.clone() };
            if ours != want {
                faults.push(format!("{kind} {query} {key:?}: Postfix says {theirs:?}, rcptd {ours:?}"));
            }
        }
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
