//! Builds the services from a checked configuration.

use super::clock::today;
use crate::account::settings::{Settings as AccountSettings, SourceSettings};
use crate::account::{AccountSource, Sources};
use crate::config::{Config, MapSettings};
use crate::map::build::{BuildContext, build as build_table};
use crate::map::database::{self, Database};
use crate::map::fixed::Always;
use crate::map::served::{Map, Reading};
use crate::map::source::SourceSpec;
use crate::map::{Lookup, Table};
use crate::resolve::view::{Resolved, ResolverView};
use crate::resolve::{Form, Resolver, Settings};
use crate::server::milter::adapter::Service;
use crate::server::milter::session::Policy;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything that a reload replaces.
pub struct Live {
    /// Settings and resolver of milter sessions.
    pub service: Service,
    /// The maps.
    pub maps: Vec<Arc<Map>>,
    /// The account sources that both use.
    pub accounts: Sources,
}

/// Builds everything. The error lists all problems, as sentences with the remedy.
pub async fn build(config: &Config) -> Result<Live, Vec<String>> {
    rebuild(config, None).await
}

/// Builds everything for a reload. Cached accounts are kept if their sources are the same as in `before`.
pub async fn rebuild(config: &Config, before: Option<&Sources>) -> Result<Live, Vec<String>> {
    let accounts = sources(config)?;
    let sources = Sources::rebuild(&accounts, config.cases.clone(), before).await?;
    let resolver = Arc::new(resolver(config, sources.composed.clone()));
    let (all, asked) = (config.clone(), resolver.clone());
    // Reads certificates and LMDB files, from a disk that may hang.
    let maps = tokio::task::spawn_blocking(move || maps(&all, &asked)).await;
    let maps = maps.map_err(|e| vec![format!("a defect in rcptd: {e}")])??;
    let policy = Arc::new(policy(config));
    let service = Service { resolver, policy, deadline: config.milter.deadline };
    Ok(Live { service, maps, accounts: sources })
}

/// The settings of the account sources. Without any configured source, because recipients are not resolved,
/// it is a source that always fails temporarily.
fn sources(config: &Config) -> Result<AccountSettings, Vec<String>> {
    let mut settings = config.account.clone();
    if settings.sources.is_empty() {
        settings.sources.push(SourceSettings::new("fail:".parse().map_err(|why| vec![why])?));
    }
    Ok(settings)
}

/// Creates the resolver of a configuration with these accounts.
pub fn resolver(config: &Config, accounts: Arc<AccountSource>) -> Resolver {
    let settings = Settings {
        domains: config.domains.clone(),
        origin: config.origin.clone(),
        case_sensitive: config.case_sensitive,
        normal: config.normal.clone(),
        today,
    };
    let form = Form { rules: config.rules.clone(), script: config.script.clone() };
    Resolver::new(settings, form, accounts).with_other_case(config.other_case.clone())
}

/// Creates the policy of milter sessions.
pub fn policy(config: &Config) -> Policy {
    Policy {
        unknown: config.milter.reject_reply.clone(),
        later: config.milter.defer_reply.clone(),
        max_recipients: config.milter.max_recipients,
        header: config.milter.header.clone(),
        // The case sensitivity of other domains is unknown; treating two mailboxes as one would lose a
        // copy.
        case_sensitive: config.cases.clone().with_default(true),
        dry_run: config.dry_run,
        origin: config.origin.clone(),
    }
}

/// Creates the maps of a configuration with this resolver. Databases are connected to later, so rcptd also
/// starts while one is down.
pub fn maps(config: &Config, resolver: &Arc<Resolver>) -> Result<Vec<Arc<Map>>, Vec<String>> {
    let tables = &config.tables;
    let mut errors = Vec::new();
    let mut databases: HashMap<String, Arc<dyn Database>> = HashMap::new();
    for settings in &tables.databases {
        match database::open(settings) {
            Ok(database) => drop(databases.insert(settings.name.to_string(), database)),
            Err(why) => errors.push(format!("database {}: {why}", settings.name)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let reading = Arc::new(reading(config));
    let refusal = config.milter.reject_reply.to_string();
    let mut made: HashMap<Arc<str>, Arc<Map>> = HashMap::new();
    let mut waiting: Vec<&MapSettings> = tables.maps.iter().collect();
    // Maps that others depend on are created first. The configuration has no loops, so each round creates
    // at least one.
    while !waiting.is_empty() {
        let (ready, later): (Vec<&MapSettings>, Vec<&MapSettings>) =
            waiting.into_iter().partition(|map| others(map).iter().all(|name| made.contains_key(&**name)));
        if ready.is_empty() {
            errors.push("a defect in rcptd: maps name each other in a circle".into());
            break;
        }
        for settings in ready {
            let context = BuildContext {
                fold: !config.case_sensitive,
                lists: &tables.lists,
                databases: &databases,
                query: settings.query.as_ref(),
                cache_ttl: settings.cache_ttl,
                made: &|source| match source {
                    SourceSpec::Resolver(name) => {
                        let purpose = ResolverView::named(name)?;
                        Some(Arc::new(Resolved::new(resolver.clone(), purpose, &refusal)) as Arc<Table>)
                    }
                    SourceSpec::Map(name) => made.get(&**name).map(|map| map.clone() as Arc<Table>),
                    _ => None,
                },
            };
            match build_table(&settings.sources, &context) {
                Ok(table) => {
                    let map = Map::new(settings.name.clone(), table, settings.search, reading.clone());
                    made.insert(settings.name.clone(), Arc::new(map));
                }
                Err(why) => {
                    errors.extend(why.into_iter().map(|why| format!("map {}: {why}", settings.name)));
                    // A placeholder, so that maps that depend on it do not report errors, too.
                    let nothing = Arc::new(Always::new(Lookup::temp_fail("it could not be made")));
                    let map = Map::new(settings.name.clone(), nothing, settings.search, reading.clone());
                    made.insert(settings.name.clone(), Arc::new(map));
                }
            }
        }
        waiting = later;
    }
    if errors.is_empty() { Ok(made.into_values().collect()) } else { Err(errors) }
}

/// The names of the maps that a map depends on.
fn others(map: &MapSettings) -> Vec<String> {
    let mut names = Vec::new();
    for source in &map.sources {
        source.walk(&mut |source| {
            if let SourceSpec::Map(name) = source {
                names.push(name.clone());
            }
        });
    }
    names
}

/// The normalisation of keys in maps.
fn reading(config: &Config) -> Reading {
    let delimiters = config.normal.iter().map(|(domain, normal)| (domain.clone(), normal.delimiters.clone()));
    Reading {
        delimiters: delimiters.collect(),
        other_delimiters: config
            .normal_elsewhere
            .as_ref()
            .map(|normal| normal.delimiters.clone())
            .unwrap_or_default(),
        local: config.domains.iter().cloned().collect(),
    }
}
