//! The reply to `rcptd status`.

use crate::config::Config;
use crate::observe::Metrics;
use crate::observe::meter::{Counted, Meter, Of, Totals};
use crate::server::maps::Maps;
use crate::watch::troubles;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Status of the daemon.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    metrics: Arc<Metrics>,
    maps: Arc<Maps>,
    changing: Mutex<Changing>,
}

/// The part of the status that a reload changes.
#[derive(Debug)]
struct Changing {
    config: String,
    rules: usize,
    domains: usize,
    dry_run: bool,
    loaded: Instant,
    /// The problems of the last reload, if it failed.
    failed: Option<Vec<String>>,
    /// Keys whose new values take effect at the next restart.
    restart: Vec<&'static str>,
}

impl Status {
    /// Creates the status of a daemon that starts with this configuration.
    pub fn new(config: &Config, metrics: Arc<Metrics>, maps: Arc<Maps>) -> Arc<Self> {
        let now = Instant::now();
        let changing = Changing {
            config: config.path.display().to_string(),
            rules: config.rules.len(),
            domains: config.domains.len(),
            dry_run: config.dry_run,
            loaded: now,
            failed: None,
            restart: Vec::new(),
        };
        Arc::new(Status { started: now, metrics, maps, changing: changing.into() })
    }

    /// Records a reload. `restart` are the changed keys that need a restart.
    pub fn reloaded(&self, config: &Config, restart: Vec<&'static str>) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.rules = config.rules.len();
        changing.domains = config.domains.len();
        changing.dry_run = config.dry_run;
        changing.loaded = Instant::now();
        changing.failed = None;
        changing.restart = restart;
    }

    /// Records a failed reload with its problems.
    pub fn reload_failed(&self, why: &[String]) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.failed = Some(why.to_vec());
    }

    /// Returns the status as JSON.
    pub fn json(&self) -> String {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (listeners, maps) = self.meters();
        let Metrics { milter: counters, reloads, .. } = &*self.metrics;
        let milter = json!({
            "dry_run": changing.dry_run,
            "sessions": counters.sessions.load(Relaxed),
            "session_errors": counters.session_errors.load(Relaxed),
            "recipients": counters.recipients(),
            "rewritten": counters.rewritten.load(Relaxed),
            "rejected": counters.rejected.load(Relaxed),
            "deferred": counters.deferred.load(Relaxed),
            "messages_deferred": counters.messages_deferred.load(Relaxed),
            "guessing_networks": counters.guessing_networks.load(Relaxed),
            "guessing_deferred": counters.guessing_deferred.load(Relaxed),
        });
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "up_seconds": self.started.elapsed().as_secs(),
            "configuration": changing.config,
            "loaded_seconds_ago": changing.loaded.elapsed().as_secs(),
            "last_reload_failed": changing.failed,
            "needs_restart": changing.restart,
            "files": files(),
            "reloads": reloads.succeeded.load(Relaxed),
            "failed_reloads": reloads.failed.load(Relaxed),
            "rules": changing.rules,
            "domains": changing.domains,
            "milter": milter,
            "sources": sources(&self.metrics),
            "listeners": listeners,
            "maps": maps,
        });
        status.to_string()
    }

    /// The listeners, and the maps in service.
    fn meters(&self) -> (Vec<Value>, Vec<Value>) {
        let (mut listeners, mut maps) = (Vec::new(), Vec::new());
        let current = self.maps.list();
        for meter in self.metrics.meters() {
            let totals = meter.totals();
            let (answered, figures) = (answered(&totals), figures(&meter));
            match meter.of() {
                // Below "sources".
                Of::Source => (),
                Of::Listener(protocol) => listeners.push(json!({
                    "name": meter.name(),
                    "protocol": protocol,
                    "open": totals.open,
                    "connections": totals.connections,
                    "reads": totals.reads,
                    "writes": totals.writes,
                    "answered": answered,
                    "figures": figures,
                })),
                Of::Map => {
                    // Skip maps that a reload has removed.
                    if let Some((name, search)) = current.iter().find(|(name, _)| **name == *meter.name()) {
                        maps.push(json!({
                            "name": &**name,
                            "search": search,
                            "answered": answered,
                            "figures": figures,
                        }));
                    }
                }
            }
        }
        (listeners, maps)
    }
}

/// The number of each result.
fn answered(totals: &Totals) -> Value {
    let counts = Counted::ALL.iter().zip(totals.answered);
    Value::Object(counts.map(|(counted, count)| (counted.name().to_owned(), count.into())).collect())
}

/// The times within which half, nine tenths and 99 of 100 requests were answered; null if there were none, or if
/// it took longer than all that is measured.
fn within(totals: &Totals) -> Value {
    let of = |percent| totals.quantile(percent).map(|time| time.as_secs_f64() * 1000.0);
    json!({ "50": of(50), "90": of(90), "99": of(99) })
}

fn figures(meter: &Meter) -> Option<Value> {
    meter.json().and_then(|text| serde_json::from_str(&text).ok())
}

/// The account sources and databases, with the servers that fail.
fn sources(metrics: &Metrics) -> Vec<Value> {
    let meters = metrics.meters();
    let mut states = metrics.source_states();
    // Account sources, with their servers, before the databases and servers of maps.
    states.sort_by_key(|one| {
        !meters.iter().any(|meter| meter.of() == Of::Source && *meter.name() == *one.source)
    });
    let sources = states.into_iter().map(|one| {
        let (seconds, detail) = one.failing.map(|(since, why)| (since.as_secs(), why)).unzip();
        // Databases and single servers have none.
        let meter = meters
            .iter()
            .find(|meter| meter.of() == Of::Source && *meter.name() == *one.source && one.server.is_empty());
        json!({
            "source": one.source,
            "answered": meter.map(|meter| answered(&meter.totals())),
            "figures": meter.and_then(|meter| figures(meter)),
            "within_ms": meter.map(|meter| within(&meter.totals())),
            "skipped": one.skipped,
            "breaker": one.breaker.name(),
            "server": (!one.server.is_empty()).then_some(one.server),
            "failures": one.failures,
            "failing_seconds": seconds,
            "detail": detail,
        })
    });
    sources.collect()
}

/// The files that are not used as they are now.
fn files() -> Vec<Value> {
    troubles().into_iter().map(|(path, why)| json!({ "path": path, "detail": why })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_sources_come_before_databases() {
        let metrics = Metrics::default();
        let outages = [("database:a", None), ("vrfy:z", None), ("vrfy:z", Some("s:25")), ("file:/b", None)]
            .map(|(name, server)| metrics.outage(name, server));
        let meters = ["vrfy:z", "file:/b"].map(|name| metrics.source(name));
        let names: Vec<String> = sources(&metrics)
            .iter()
            .map(|one| one["source"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["file:/b", "vrfy:z", "vrfy:z", "database:a"]);
        drop((outages, meters));
    }
}
