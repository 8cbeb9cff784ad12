//! `rcptd check --maps`: sends the query of each map once, to find a wrong password, table or column before mail does.

use crate::config::{Config, MapSettings};
use crate::lookup::control::canary_name;
use crate::map::build::{BuildContext, build};
use crate::map::database::{self, Database};
use crate::map::source::SourceSpec;
use crate::map::{Lookup, Reason, Table};
use crate::observe::Metrics;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The domain of the keys that are looked up: reserved (RFC 2606), so it has no entries, with a label for each of `%1` to
/// `%9`.
const DOMAIN: &str = "a.b.c.d.e.f.check.rcptd.invalid";
/// Keys for queries that compare the key with a number or a network address, and reject others.
const OTHER_KEYS: [&str; 2] = ["0", "192.0.2.1"];

/// The result for a source of a map.
#[derive(Debug)]
pub struct Report {
    /// The name of the map.
    pub map: Arc<str>,
    /// The source, as in the configuration.
    pub source: String,
    /// The error, if the query failed.
    pub fault: Option<Fault>,
}

/// Why a query failed.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The error, and the remedy if it is known.
    pub text: String,
    /// Whether the server could not be reached, so that the query may be correct.
    pub is_down: bool,
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Fault { text, is_down: false }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { map, source, fault } = self;
        write!(f, "map {map}: {source}: {}", fault.as_ref().map_or("ok", |fault| &fault.text))
    }
}

/// Asks each database and each other server of each map, all at once, and returns the results in the order of the
/// configuration.
pub async fn check(config: &Config) -> Vec<Report> {
    let metrics = Arc::new(Metrics::default());
    let databases: HashMap<String, Arc<dyn Database>> = config
        .tables
        .databases
        .iter()
        // An error was reported when the configuration was built.
        .filter_map(|settings| Some((settings.name.to_string(), database::open(settings, &metrics).ok()?)))
        .collect();
    let mut asked = Vec::new();
    for map in &config.tables.maps {
        for source in servers(map) {
            let made = table(map, &source, &databases, &metrics, !config.case_sensitive);
            let task = match made.and_then(|table| Ok((table, keys(map)?))) {
                Ok((table, keys)) => tokio::spawn(async move { ask(&table, &keys).await }),
                Err(fault) => tokio::spawn(async { Some(fault.into()) }),
            };
            asked.push((map.name.clone(), source.to_string(), task));
        }
    }
    let mut reports = Vec::new();
    for (map, source, task) in asked {
        let fault = task.await.unwrap_or_else(|error| Some(format!("a defect in rcptd: {error}").into()));
        reports.push(Report { map, source, fault });
    }
    reports
}

/// The databases and servers in the sources of a map.
fn servers(map: &MapSettings) -> Vec<SourceSpec> {
    let mut found = Vec::new();
    for source in &map.sources {
        source.walk(&mut |part| {
            let is_server =
                matches!(part, SourceSpec::Database(_) | SourceSpec::TcpTable(_) | SourceSpec::Socketmap(..));
            if is_server && !found.contains(part) {
                found.push(part.clone());
            }
        });
    }
    found
}

fn table(
    map: &MapSettings,
    source: &SourceSpec,
    databases: &HashMap<String, Arc<dyn Database>>,
    metrics: &Metrics,
    fold: bool,
) -> Result<Arc<Table>, String> {
    let context = BuildContext {
        fold,
        lists: &HashMap::new(),
        databases,
        query: map.query.as_ref(),
        results: &map.results,
        cache_ttl: Duration::ZERO,
        metrics,
        made: &|_| None,
    };
    build(std::slice::from_ref(source), &context).map_err(|errors| errors.join("; "))
}

/// Returns the error of the first query, if all fail.
async fn ask(table: &Arc<Table>, keys: &[String]) -> Option<Fault> {
    let mut first = None;
    for key in keys {
        match table.look_up(key).await {
            Lookup::Found(_) | Lookup::NotFound => return None,
            Lookup::TempFail(why) => first = first.or(Some(fault(&why))),
        }
    }
    first
}

/// Keys that do not exist. A query is correct if the lookup of one of them does not fail.
fn keys(map: &MapSettings) -> Result<Vec<String>, String> {
    let name = canary_name()?;
    let named = map.results.domains.entries().find(|entry| !entry.starts_with('!'));
    let domain = named.as_deref().unwrap_or(DOMAIN);
    let all = [format!("{name}@{domain}"), format!("0@{domain}")].into_iter();
    let all = all.chain(OTHER_KEYS.map(str::to_owned));
    let is_sent = |key: &String| {
        map.results.admits(key) && map.query.as_ref().is_none_or(|query| query.is_sent_for(key))
    };
    let keys: Vec<String> = all.filter(is_sent).collect();
    if keys.is_empty() {
        return Err(
            "its query is never sent for a key in its domains: check domain, result_format and the placeholders of the \
             query"
                .into(),
        );
    }
    Ok(keys)
}

/// Texts in errors, and the remedy for errors that contain one of them.
const REMEDIES: [(&[&str], &str); 5] = [
    (
        &["password authentication failed", "Access denied", "bind as", "WRONGPASS", "NOAUTH"],
        "check user, password_file and database",
    ),
    (&["certificate", "TLS"], "check tls_ca, and that the name of the host is in the certificate"),
    (&["permission denied", "command denied", "NOPERM"], "allow the user to read the table"),
    (
        &[
            "does not exist",
            "doesn't exist",
            "no such table",
            "no such column",
            "Unknown column",
            "Unknown database",
        ],
        "check the names in the query, and the database",
    ),
    (
        &["syntax", "operator", "function"],
        "check the query; if required, write the type of a placeholder, as in %s::text",
    ),
];
/// Texts in errors of a server that cannot be reached, and the remedy.
const DOWN: (&[&str], &str) = (
    &["refused", "No such file", "no connection", "no answer", "timed out", "could not be resolved"],
    "check hosts or file, and that the server runs",
);

fn fault(why: &Reason) -> Fault {
    let why = why.to_string();
    let is_one_of = |parts: &[&str]| parts.iter().any(|part| why.contains(part));
    let known = REMEDIES.iter().find(|(parts, _)| is_one_of(parts));
    let is_down = known.is_none() && is_one_of(DOWN.0);
    let remedy = known.or(Some(&DOWN).filter(|_| is_down));
    Fault { text: remedy.map_or_else(|| why.clone(), |(_, remedy)| format!("{why} ({remedy})")), is_down }
}
