//! Builds the services from a checked configuration.

use super::clock::today;
use crate::account::settings::{Settings as AccountSettings, SourceSettings};
use crate::account::{AccountSource, Sources};
use crate::config::{Config, MapSettings, StoreSettings};
use crate::map::build::{BuildContext, build as build_table};
use crate::map::database::{self, Database};
use crate::map::fixed::Always;
use crate::map::served::{Map, Maps, Reading};
use crate::map::source::SourceSpec;
use crate::map::{Lookup, Table};
use crate::observe::Metrics;
use crate::resolve::view::{Resolved, ResolverView};
use crate::resolve::{Form, Resolver, Settings};
use crate::script::{Hook, Plugin};
use crate::server::milter::adapter::Service;
use crate::server::milter::session::Policy;
use crate::store::Store;
use alias_rules::Rules;
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
    /// The database in which greylisting keeps its state, if it is one.
    pub greylist_store: Option<Arc<dyn Store>>,
}

/// Builds everything. The error lists all problems, as sentences with the remedy.
pub async fn build(config: &Config, metrics: &Arc<Metrics>) -> Result<Live, Vec<String>> {
    rebuild(config, metrics, None, None).await
}

/// Builds everything for a reload. Cached accounts are kept if their sources are the same as in `before`, and
/// the plug-in of `script` if it is `running` with the same settings.
pub async fn rebuild(
    config: &Config,
    metrics: &Arc<Metrics>,
    before: Option<&Sources>,
    running: Option<&Arc<Plugin>>,
) -> Result<Live, Vec<String>> {
    let (sources, builder) = accounts(config, metrics, before).await?;
    let greylist_store = match config.greylist.as_ref().map(|greylist| &greylist.store) {
        Some(StoreSettings::Database(name)) => Some(builder.store("greylist.store", name)?),
        Some(StoreSettings::File(_)) | None => None,
    };
    let resolver = Arc::new(resolver(config, sources.composed.clone(), running));
    let asked = resolver.clone();
    // Reads certificates and LMDB files, from a disk that may hang.
    let maps = tokio::task::spawn_blocking(move || builder.finish(&asked)).await;
    let maps = maps.map_err(|e| vec![format!("a defect in rcptd: {e}")])??;
    let policy = Arc::new(policy(config));
    let deadline = config.milter.deadline;
    let service = Service { resolver, policy, deadline, guessing: config.guessing.clone() };
    Ok(Live { service, maps, accounts: sources, greylist_store })
}

/// The account sources, and the maps that do not ask the resolver: a source may be one of these.
pub async fn accounts(
    config: &Config,
    metrics: &Arc<Metrics>,
    before: Option<&Sources>,
) -> Result<(Sources, MapBuilder), Vec<String>> {
    let settings = sources(config)?;
    let (all, counters) = (config.clone(), metrics.clone());
    let builder = tokio::task::spawn_blocking(move || MapBuilder::new(all, counters)).await;
    let builder = builder.map_err(|e| vec![format!("a defect in rcptd: {e}")])??;
    let cases = config.cases.clone();
    let store = settings
        .cache
        .shared
        .as_deref()
        .map(|name| builder.store("account.cache.shared", name))
        .transpose()?;
    let sources = Sources::rebuild(&settings, cases, &builder.made, store, metrics, before).await?;
    Ok((sources, builder))
}

/// The settings of the account sources. Without any configured source, because recipients are not resolved,
/// it is a source that always fails temporarily.
fn sources(config: &Config) -> Result<AccountSettings, Vec<String>> {
    let mut settings = config.account.clone();
    if settings.sources.is_empty() {
        settings.sources.push(SourceSettings::new("fail:".parse().map_err(|why| vec![why])?));
    }
    if settings.names_map() {
        settings.identify_maps(&(&config.tables.maps, &config.tables.databases));
    }
    Ok(settings)
}

/// Creates the resolver of a configuration with these accounts. The plug-in of `script` is started, unless it is
/// `running` with the same settings.
///
/// # Panics
/// Outside of a runtime, if there is a plug-in.
pub fn resolver(config: &Config, accounts: Arc<AccountSource>, running: Option<&Arc<Plugin>>) -> Resolver {
    let settings = Settings {
        domains: config.domains.clone(),
        origin: config.origin.clone(),
        case_sensitive: config.case_sensitive,
        normal: config.normal.clone(),
        today,
    };
    let plugin = config.plugin.as_ref().map(|settings| {
        let same = running.filter(|plugin| plugin.settings() == settings);
        Hook::Plugin(same.cloned().unwrap_or_else(|| Arc::new(Plugin::start(settings))))
    });
    let with_hook = |rules: &Arc<Rules>, script: Option<&Hook>| Form {
        rules: rules.clone(),
        hook: plugin.clone().or_else(|| script.cloned()),
    };
    let other_case = config.other_case.as_ref().map(|form| with_hook(&form.rules, form.hook.as_ref()));
    let form = with_hook(&config.rules, config.script.as_ref());
    Resolver::new(settings, form, accounts).with_other_case(other_case)
}

/// Creates the policy of milter sessions.
pub fn policy(config: &Config) -> Policy {
    Policy {
        reject_reply: config.milter.reject_reply.clone(),
        defer_reply: config.milter.defer_reply.clone(),
        max_recipients: config.milter.max_recipients,
        header: config.milter.header.clone(),
        // The case sensitivity of other domains is unknown; treating two mailboxes as one would lose a
        // copy.
        case_sensitive: config.cases.clone().with_default(true),
        dry_run: config.dry_run,
        origin: config.origin.clone(),
    }
}

/// Builds the maps of a configuration: first those with values of their own, then those that ask the resolver. It
/// does not connect to databases yet, so rcptd also starts while one is down.
#[derive(Debug)]
pub struct MapBuilder {
    config: Config,
    metrics: Arc<Metrics>,
    databases: HashMap<String, Arc<dyn Database>>,
    reading: Arc<Reading>,
    made: Maps,
    errors: Vec<String>,
}

impl MapBuilder {
    /// Opens the databases, and builds the maps that do not ask the resolver.
    fn new(config: Config, metrics: Arc<Metrics>) -> Result<Self, Vec<String>> {
        let mut databases: HashMap<String, Arc<dyn Database>> = HashMap::new();
        let mut errors = Vec::new();
        for settings in &config.tables.databases {
            match database::open(settings, &metrics) {
                Ok(database) => drop(databases.insert(settings.name.to_string(), database)),
                Err(why) => errors.push(format!("database {}: {why}", settings.name)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let reading = Arc::new(reading(&config));
        let mut builder = MapBuilder { config, metrics, databases, reading, made: Maps::new(), errors };
        builder.build_ready(None);
        Ok(builder)
    }

    /// The store in a database.
    fn store(&self, key: &str, name: &str) -> Result<Arc<dyn Store>, Vec<String>> {
        let store = self.databases.get(name).and_then(|database| database.store());
        store.ok_or_else(|| vec![format!("{key}: the database {name} cannot store texts")])
    }

    /// Builds the other maps over this resolver; returns all.
    fn finish(mut self, resolver: &Arc<Resolver>) -> Result<Vec<Arc<Map>>, Vec<String>> {
        self.build_ready(Some(resolver));
        if self.made.len() < self.config.tables.maps.len() {
            self.errors.push("a defect in rcptd: maps refer to each other in a cycle".into());
        }
        if self.errors.is_empty() { Ok(self.made.into_values().collect()) } else { Err(self.errors) }
    }

    /// Builds, round by round, the maps whose parts are there.
    fn build_ready(&mut self, resolver: Option<&Arc<Resolver>>) {
        loop {
            let is_ready = |map: &&MapSettings| {
                !self.made.contains_key(&map.name)
                    && map.sources.iter().all(|source| self.is_ready(source, resolver.is_some()))
            };
            let ready: Vec<MapSettings> = self.config.tables.maps.iter().filter(is_ready).cloned().collect();
            if ready.is_empty() {
                return;
            }
            for settings in ready {
                let table = self.table(&settings, resolver).unwrap_or_else(|why| {
                    let name = &settings.name;
                    self.errors.extend(why.into_iter().map(|why| format!("map {name}: {why}")));
                    // So that maps that depend on it do not report errors, too.
                    Arc::new(Always::new(Lookup::temp_fail("it could not be created")))
                });
                let map = Map::new(settings.name.clone(), table, settings.search, self.reading.clone())
                    .made_of(&settings.sources, &self.made);
                self.made.insert(settings.name, Arc::new(map));
            }
        }
    }

    /// Whether all that a source depends on is built.
    fn is_ready(&self, source: &SourceSpec, has_resolver: bool) -> bool {
        let mut ready = true;
        source.walk(&mut |part| {
            ready &= match part {
                SourceSpec::Resolver(_) => has_resolver,
                SourceSpec::Map(name) => self.made.contains_key(&**name),
                _ => true,
            };
        });
        ready
    }

    fn table(
        &self,
        settings: &MapSettings,
        resolver: Option<&Arc<Resolver>>,
    ) -> Result<Arc<Table>, Vec<String>> {
        let refusal = self.config.milter.reject_reply.to_string();
        let context = BuildContext {
            fold: !self.config.case_sensitive,
            lists: &self.config.tables.lists,
            databases: &self.databases,
            query: settings.query.as_ref(),
            results: &settings.results,
            cache_ttl: settings.cache_ttl,
            metrics: &self.metrics,
            made: &|source| match source {
                SourceSpec::Resolver(name) => {
                    let view = ResolverView::named(name)?;
                    Some(Arc::new(Resolved::new(resolver?.clone(), view, &refusal)) as Arc<Table>)
                }
                SourceSpec::Map(name) => self.made.get(&**name).map(|map| map.clone() as Arc<Table>),
                _ => None,
            },
        };
        build_table(&settings.sources, &context)
    }
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
