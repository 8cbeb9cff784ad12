//! Checks the account sources `map:NAME` with the maps that they name.

use super::check::Check;
use super::keys;
use super::tables::MapSettings;
use super::value::Given;
use crate::account::settings::{SourceSettings, Witness};
use crate::map::source::SourceSpec;
use diagnostics::Problem;
use mail_address::escape;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

impl Check<'_> {
    /// A source `map:NAME` needs a map of this name that does not ask the accounts in turn.
    pub fn account_maps(&mut self, raw: &keys::Account, maps: &[MapSettings], complete: bool) {
        let Some(given) = raw.source.given() else { return };
        let names: Vec<Arc<str>> = maps.iter().map(|map| map.name.clone()).collect();
        for item in &given.value.items {
            let Some(name) = item.get_ref().text().and_then(|text| text.trim().strip_prefix("map:")) else {
                continue;
            };
            if name.is_empty() {
                continue;
            }
            self.map_name(given, item.span(), name, &names, complete);
            if asks_resolver(maps, name) {
                let message = format!("account.source: the map {} looks up accounts itself", escape(name));
                let help = "a map with resolver: in its sources does not know which accounts exist: name a \
                            map with values of its own";
                self.error_in(given, item.span(), message, help);
            }
        }
    }

    /// Checks that each source `map:NAME` has a witness if it needs one, and no cache below that of the accounts: a
    /// witness that it finds may be gone, and `rcptd cache flush` would not reach it.
    pub fn map_witnesses(
        &mut self,
        raw: &keys::Account,
        sources: &[SourceSettings],
        maps: &[MapSettings],
        domains: &[String],
    ) {
        let Some(given) = raw.source.given() else { return };
        for item in &given.value.items {
            let text = item.get_ref().text().map(str::trim).unwrap_or_default();
            let source = sources.iter().find(|source| **source.spec.name() == *text);
            let (Some(source), Some(name)) = (source, text.strip_prefix("map:")) else { continue };
            let its =
                domains.iter().filter(|name| source.domains.as_ref().is_none_or(|all| all.contains(*name)));
            let witnesses: Vec<&Witness> = its.map(|domain| source.witness.of(domain)).collect();
            let parts = parts(maps, name);
            if witnesses.contains(&&Witness::Default) {
                self.without_map_witness(given, item.span(), name, &parts);
            }
            let is_cached = parts.iter().any(|(map, part)| {
                let is_server = matches!(
                    part,
                    SourceSpec::Database(_) | SourceSpec::TcpTable(_) | SourceSpec::Socketmap(..)
                );
                is_server && !map.cache_ttl.is_zero()
            });
            if is_cached {
                let message = format!(
                    "account.source: the map {} has cache_ttl, so what it finds may be gone, and what it does not find \
                     may be there",
                    escape(name)
                );
                let help = "leave cache_ttl out, since account.cache caches the accounts, or name another map without it";
                self.error_in(given, item.span(), message, help);
            }
        }
    }

    /// Warns of a map with sources that may lose their data and have no witness. Databases have their own.
    fn without_map_witness<T>(
        &mut self,
        given: &Given<T>,
        span: Range<usize>,
        name: &str,
        parts: &[(&MapSettings, &SourceSpec)],
    ) {
        let mut without: Vec<String> = Vec::new();
        for (_, part) in parts {
            let loses = matches!(
                part,
                SourceSpec::Texthash(_)
                    | SourceSpec::Lmdb(_)
                    | SourceSpec::TcpTable(_)
                    | SourceSpec::Socketmap(..)
            );
            let part = part.to_string();
            if loses && !without.contains(&part) {
                without.push(part);
            }
        }
        if without.is_empty() {
            return;
        }
        let message = format!(
            "account.source: the map {} has no witness: if one of its sources lost its data, mail to existing accounts \
             would be rejected: {}",
            escape(name),
            escape(&without.join(", "))
        );
        let help = format!(
            "write {{ source = \"map:{}\", witness = \"postmaster\" }} with the name of an account that exists in each \
             domain, or witness = false for none",
            escape(name)
        );
        self.problems.push(Problem::warning(&given.text, span, message).help(help));
    }
}

/// The sources of a map and of the maps that it names, each with its map. Those that combine others are not among
/// them.
fn parts<'m>(maps: &'m [MapSettings], name: &str) -> Vec<(&'m MapSettings, &'m SourceSpec)> {
    let (mut seen, mut next, mut all) = (BTreeSet::new(), vec![name], Vec::new());
    while let Some(name) = next.pop() {
        let Some(map) = maps.iter().find(|map| *map.name == *name) else { continue };
        if !seen.insert(&map.name) {
            continue;
        }
        let mut sources: Vec<&SourceSpec> = map.sources.iter().rev().collect();
        while let Some(source) = sources.pop() {
            match source {
                SourceSpec::Union(members) | SourceSpec::Pipe(members) => {
                    sources.extend(members.iter().rev());
                }
                SourceSpec::Map(other) => next.push(other),
                part => all.push((map, part)),
            }
        }
    }
    all
}

/// Whether a map asks the resolver, by itself or by one of the maps that it names.
fn asks_resolver(maps: &[MapSettings], name: &str) -> bool {
    parts(maps, name).iter().any(|(_, part)| matches!(part, SourceSpec::Resolver(_)))
}
