//! Detects losses in a configuration that are probably caused by a truncated file.

use crate::config::Config;
use crate::watch::has_shrunk;
use diagnostics::count;
use std::collections::BTreeMap;

/// Returns everything that has shrunk to less than half, each as a sentence with the remedy. Files that the
/// configuration no longer names are ignored: that is intended.
pub(super) fn shrunk(old: &Config, new: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, unit: &str, before: usize, now: usize| {
        if has_shrunk(before, now) {
            found.push(format!(
                "{what} has shrunk from {} to {now}; if this is intended, send SIGHUP",
                count(before, unit)
            ));
        }
    };
    let config = new.path.display().to_string();
    compare(&config, "domain", old.domains.len(), new.domains.len());
    compare(&config, "account source", old.account.sources.len(), new.account.sources.len());
    compare(&config, "map", old.tables.maps.len(), new.tables.maps.len());
    let scripts = |config: &Config| usize::from(config.script.is_some() || config.plugin.is_some());
    compare(&config, "script", scripts(old), scripts(new));
    let (before, now) = (rules(old), rules(new));
    let is_named = |file: &str| new.files.iter().any(|named| named.display().to_string() == file);
    for (file, number) in &before {
        if is_named(file) {
            compare(file, "rule", *number, now.get(file).copied().unwrap_or_default());
        }
    }
    // Rules may be moved from one file to another; the total shows whether they are lost.
    compare("the total of all files", "rule", before.values().sum(), now.values().sum());
    for (path, list) in &old.tables.lists {
        if let Some(new) = new.tables.lists.get(path) {
            compare(&path.display().to_string(), "key", list.len(), new.len());
        }
    }
    found
}

/// Number of rules in each file.
fn rules(config: &Config) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for i in 0..config.rules.len() {
        *counts.entry(config.rules.statement(i).file).or_default() += 1;
    }
    counts
}
