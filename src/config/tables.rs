//! Checks `[[map]]`, and combines all settings that belong to maps.

use super::check::Check;
use super::files;
use super::keys::{self, MapTable};
use super::listeners::{SocketmapSettings, TcpTableSettings};
use super::value::{Field, Given, List};
use crate::map::list::List as KeyList;
use crate::map::results::ResultSettings;
use crate::map::search::SearchStrategy;
use crate::map::settings::{DatabaseSettings, Query};
use crate::map::source::SourceSpec;
use crate::resolve::view::ResolverView;
use diagnostics::nearest;
use mail_address::escape;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Most maps; each takes a few hundred bytes and some counters, and more are a mistake.
pub const MAX_MAPS: usize = 1000;
/// Longest name of a map, in octets. The protocols have no limit; a name is typed into main.cf, is part of
/// every request and every metric, and is read in logs.
pub const MAX_MAP_NAME: usize = 64;
/// Largest text of a `texthash:`: hundreds of thousands of entries. Larger ones belong in a database.
pub const MAX_LIST: u64 = 64 << 20;
/// Default of `cache_ttl`: changes take effect at once.
pub(super) const CACHE_TTL: Duration = Duration::ZERO;
/// Bounds of `cache_ttl`: changes must take effect eventually.
pub(super) const CACHE_TTLS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

/// Most sources of a map, including the maps that it names and their sources: each may be used for each
/// key, nested in one another.
pub const MAX_PARTS: usize = 200;

/// Whether a name is valid for a map: letters, digits, `.`, `_` and `-` of ASCII, at most [`MAX_MAP_NAME`].
/// A blank ends the name in a request (socketmap_table(5)), and braces, commas and colons have a meaning in
/// lists of maps.
pub fn is_map_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_MAP_NAME).contains(&name.len()) && name.bytes().all(good)
}

/// Settings of maps, databases and their listeners.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The maps.
    pub maps: Vec<MapSettings>,
    /// The databases that they use.
    pub databases: Vec<DatabaseSettings>,
    /// The contents of their lists.
    pub lists: HashMap<PathBuf, Arc<KeyList>>,
    /// Listeners for tcp_table(5).
    pub tcp_tables: Vec<TcpTableSettings>,
    /// Listeners for socketmap_table(5).
    pub socketmaps: Vec<SocketmapSettings>,
}

/// Settings of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSettings {
    /// Name of the map in requests.
    pub name: Arc<str>,
    /// The sources of its values, in the order in which they are used.
    pub sources: Vec<SourceSpec>,
    /// The search strategy.
    pub search: SearchStrategy,
    /// How long results of databases and other servers are cached.
    pub cache_ttl: Duration,
    /// The query for a database.
    pub query: Option<Query>,
    /// The conversion of the values of the query.
    pub results: Arc<ResultSettings>,
}

impl MapSettings {
    /// Whether it asks the resolver.
    fn resolves(&self) -> bool {
        let mut found = false;
        for source in &self.sources {
            source.walk(&mut |source| found |= matches!(source, SourceSpec::Resolver(_)));
        }
        found
    }
}

impl Tables {
    /// Whether a map uses the resolver.
    pub fn resolve(&self) -> bool {
        self.maps.iter().any(MapSettings::resolves)
    }

    /// Whether the map of this name asks the resolver.
    pub fn resolves(&self, name: &str) -> bool {
        self.maps.iter().any(|map| *map.name == *name && map.resolves())
    }

    /// Whether there is a listener.
    pub fn are_served(&self) -> bool {
        !self.tcp_tables.is_empty() || !self.socketmaps.is_empty()
    }

    /// Whether there are any maps, databases or listeners.
    pub fn are_there(&self) -> bool {
        self.are_served() || !self.maps.is_empty() || !self.databases.is_empty()
    }
}

impl Check<'_> {
    /// Checks all of them. Files are relative to `folder`; those that are read are added to `watched`.
    /// `fold`: keys that differ by case only are the same.
    pub fn tables(
        &mut self,
        raw: &keys::Top,
        folder: &Path,
        fold: bool,
        watched: &mut Vec<PathBuf>,
    ) -> Tables {
        let databases = self.databases(&raw.database, folder, !fold, watched);
        self.without_witness(raw, &databases);
        let mut tables = Tables { databases, ..Tables::default() };
        let mut places = Vec::new();
        if let Some(given) = raw.map.given() {
            self.at_most(given, MAX_MAPS);
            for item in given.value.items.iter().take(MAX_MAPS) {
                let map = self.map(given, item, &tables.databases);
                if let (Some(name), Some(at)) =
                    (map.as_ref().map(|map| &map.name), item.get_ref().name.given())
                    && tables.maps.iter().any(|map| map.name == *name)
                {
                    let message = format!("{}: there are two maps called {}", at.key, escape(&**name));
                    self.error(at, message, "give each its own name");
                    continue;
                }
                let sources = item.get_ref().source.given();
                tables.maps.extend(map);
                places.extend(sources.map(|sources| (tables.maps.len(), sources)));
            }
        }
        // A map that could not be read may be the one that is named; its error was reported.
        let complete = raw
            .map
            .given()
            .is_none_or(|given| given.value.complete && given.value.items.len() == tables.maps.len());
        let names: Vec<Arc<str>> = tables.maps.iter().map(|map| map.name.clone()).collect();
        for (_, from) in &places {
            for item in &from.value.items {
                let Ok(source) = item.get_ref().parse::<SourceSpec>() else { continue };
                self.names_in(from, item.span(), &source, &names, complete);
                self.lists(from, item.span(), &source, (folder, fold), &mut tables.lists, watched);
            }
        }
        self.circles(&tables.maps, &raw.map);
        if let Some(given) = raw.map.given()
            && matches!((&raw.tcp_table, &raw.socketmap), (Field::Absent, Field::Absent))
            && !given.value.items.is_empty()
            && !raw.account.names_map()
        {
            let help = "add a section [[socketmap]] or [[tcp_table]] with listen";
            self.warning(given, "no listener serves the maps", help);
        }
        tables.tcp_tables = self.tcp_tables(&raw.tcp_table, &names, complete);
        tables.socketmaps = self.socketmaps(&raw.socketmap, &names, complete);
        tables
    }

    /// Reports a list that is longer than allowed.
    pub(super) fn at_most<T>(&mut self, given: &Given<List<T>>, most: usize) {
        if given.value.items.len() > most {
            let help = format!("at most {most} are allowed");
            self.error(given, format!("{} has too many entries", given.key), help);
        }
    }

    fn map(
        &mut self,
        list: &Given<List<MapTable>>,
        item: &Spanned<MapTable>,
        databases: &[DatabaseSettings],
    ) -> Option<MapSettings> {
        let table = item.get_ref();
        let name = self.name(&table.name, list, item.span(), "map");
        let sources = match &table.source {
            Field::Given(from) => {
                if from.value.items.is_empty() && from.value.complete {
                    self.error(from, format!("{} is empty", from.key), SOURCE_HELP);
                }
                let sources: Vec<Option<SourceSpec>> = from
                    .value
                    .items
                    .iter()
                    .map(|source| self.parsed::<SourceSpec, _>(from, source.span(), source.get_ref()))
                    .collect();
                let complete = from.value.complete && !sources.is_empty();
                sources.into_iter().collect::<Option<Vec<SourceSpec>>>().filter(|_| complete)
            }
            Field::Absent => {
                self.error_in(list, item.span(), "a map without source", SOURCE_HELP);
                None
            }
            Field::Broken => None,
        };
        let search = self.choice(&table.search, SearchStrategy::Plain, &SearchStrategy::ALL);
        let cache_ttl = self.time(&table.cache_ttl, CACHE_TTL, &CACHE_TTLS);
        let query = sources.as_ref().and_then(|sources| self.query(table, sources, databases));
        let results = Arc::new(self.results(table, sources.as_deref()?));
        Some(MapSettings { name: name?, sources: sources?, search, cache_ttl, query, results })
    }

    /// Checks a name of a map or database.
    pub(super) fn name<T>(
        &mut self,
        field: &Field<String>,
        list: &Given<List<T>>,
        span: Range<usize>,
        what: &str,
    ) -> Option<Arc<str>> {
        const HELP: &str = "write up to 64 letters, digits and any of _.-";
        match field {
            Field::Given(given) => {
                let name = &given.value;
                if is_map_name(name) {
                    return Some(name.as_str().into());
                }
                self.error(given, format!("{} = \"{}\" is not a name", given.key, escape(name)), HELP);
            }
            Field::Absent => self.error_in(list, span, format!("a {what} without name"), HELP),
            Field::Broken => (),
        }
        None
    }
    /// Checks the maps and views that a source names.
    fn names_in<T>(
        &mut self,
        at: &Given<T>,
        span: Range<usize>,
        source: &SourceSpec,
        names: &[Arc<str>],
        complete: bool,
    ) {
        source.walk(&mut |source| match source {
            SourceSpec::Map(name) => self.map_name(at, span.clone(), name, names, complete),
            SourceSpec::Resolver(name) if ResolverView::named(name).is_none() => {
                let words: Vec<&str> = ResolverView::ALL.iter().map(|(word, _)| *word).collect();
                let help = nearest(name, words.iter().copied()).map_or_else(
                    || format!("write one of resolver:{}", words.join(", resolver:")),
                    |near| format!("did you mean resolver:{near}?"),
                );
                let message = format!("{}: the resolver has no map {}", at.key, escape(name));
                self.error_in(at, span.clone(), message, help);
            }
            SourceSpec::Lmdb(_) if !cfg!(feature = "lmdb") => {
                let message = format!("{}: this rcptd was built without lmdb", at.key);
                self.error_in(at, span.clone(), message, "build it with --features lmdb, or use texthash:");
            }
            _ => (),
        });
    }

    /// Checks that the name of a map is one of `names`.
    pub(super) fn map_name<T>(
        &mut self,
        at: &Given<T>,
        span: Range<usize>,
        name: &str,
        names: &[Arc<str>],
        complete: bool,
    ) {
        if !complete || names.iter().any(|known| **known == *name) {
            return;
        }
        let help = nearest(name, names.iter().map(|name| &**name)).map_or_else(
            || format!("add a section [[map]] with name = \"{}\"", escape(name)),
            |near| format!("did you mean {near}?"),
        );
        self.error_in(at, span, format!("{}: there is no map {}", at.key, escape(name)), help);
    }

    /// Reads the lists that a source names.
    fn lists<T>(
        &mut self,
        at: &Given<T>,
        span: Range<usize>,
        source: &SourceSpec,
        (folder, fold): (&Path, bool),
        lists: &mut HashMap<PathBuf, Arc<KeyList>>,
        watched: &mut Vec<PathBuf>,
    ) {
        source.walk(&mut |source| {
            let SourceSpec::Texthash(named) = source else { return };
            if lists.contains_key(named) {
                return;
            }
            let path = folder.join(named);
            if !watched.contains(&path) {
                watched.push(path.clone());
            }
            match files::read(&path, MAX_LIST) {
                Ok(bytes) => {
                    let text = files::text(&path, &bytes, &mut self.problems);
                    let (list, mut problems) = KeyList::parse(&text, fold);
                    self.problems.append(&mut problems);
                    lists.insert(named.clone(), Arc::new(list));
                }
                Err((why, help)) => {
                    let shown = path.display().to_string();
                    let message = format!("{}: {} cannot be read: {why}", at.key, escape(&shown));
                    self.error_in(at, span.clone(), message, help);
                }
            }
        });
    }

    /// Reports maps that name each other in a loop, and maps that use too many others for each key.
    fn circles(&mut self, maps: &[MapSettings], field: &Field<List<MapTable>>) {
        let Some(given) = field.given() else { return };
        let mut waiting: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
        for map in maps {
            let parts = waiting.entry(&map.name).or_default();
            for source in &map.sources {
                parts_of(source, parts);
            }
        }
        // The number of sources of a map is known when it is known for all its parts. The remaining maps
        // are in a loop, or use one that is.
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        loop {
            let is_known = |part: &Part<'_>| match part {
                Part::Map(name) => !waiting.contains_key(name),
                Part::Other => true,
            };
            let ready: Vec<&str> = waiting
                .iter()
                .filter(|(_, parts)| parts.iter().all(is_known))
                .map(|(name, _)| *name)
                .collect();
            if ready.is_empty() {
                break;
            }
            for name in ready {
                let parts = waiting.remove(name).unwrap_or_default();
                let size = |part: &Part<'_>| match part {
                    Part::Map(name) => 1 + known.get(name).copied().unwrap_or_default(),
                    Part::Other => 1,
                };
                let sum = parts.iter().map(size).fold(0, usize::saturating_add);
                if sum > MAX_PARTS {
                    let message = format!("the map {name} has more than {MAX_PARTS} sources in total");
                    self.error(given, message, "each may be queried for each key: name fewer maps in it");
                }
                known.insert(name, sum.min(MAX_PARTS));
            }
        }
        if !waiting.is_empty() {
            let shown = waiting.keys().copied().collect::<Vec<_>>().join(", ");
            let message = format!("these maps refer to each other in a loop: {shown}");
            self.error(given, message, "give one of them another source");
        }
    }
}

/// A part of a map.
enum Part<'s> {
    Map(&'s str),
    Other,
}

fn parts_of<'s>(source: &'s SourceSpec, parts: &mut Vec<Part<'s>>) {
    match source {
        SourceSpec::Map(name) => parts.push(Part::Map(name)),
        SourceSpec::Union(members) | SourceSpec::Pipe(members) => {
            for member in members {
                parts_of(member, parts);
            }
        }
        _ => parts.push(Part::Other),
    }
}

/// Remedy for an invalid `source`.
const SOURCE_HELP: &str = "write the source of its values, such as \"resolver:virtual_alias\", \
                           \"texthash:/PATH\" or \"database:NAME\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_valid_map_names() {
        for (name, want) in [
            ("aliases", true),
            ("a.b_c-1", true),
            (&*"a".repeat(MAX_MAP_NAME), true),
            (&*"a".repeat(MAX_MAP_NAME + 1), false),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("{a}", false),
            ("größe", false),
        ] {
            assert_eq!(is_map_name(name), want, "{name}");
        }
    }
}
