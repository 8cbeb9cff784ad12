//! Maps as they are served: a name, a table, and the search of a mail server.
//!
//! Between a protocol and its tables are two steps that are about mail. A
//! [`ResolverView`](crate::resolve::view::ResolverView) makes a table of the resolver, so that a map and the milter
//! share one [`Outcome`](crate::resolve::Outcome). A [`SearchStrategy`] does the search that Postfix leaves
//! to the servers of `tcp:` and `socketmap:` tables, to which it sends the full key only, and checks the
//! value.
//!
//! The spelling of a key does not matter: smtpd(8) sends keys in lower case and without quotes, cleanup(8) as
//! the client sent them. The resolver knows which domains are case-sensitive; for all other sources keys are
//! folded where they are looked up ([`crate::map::case_folded`]).

use super::search::{Candidate, Context, SearchStrategy};
use super::source::{SourceSpec, lmdb_file};
use crate::map::{Lookup, LookupFuture, Source, Table};
use mail_address::canonical_domain;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// A map as it is served.
#[derive(Debug)]
pub struct Map {
    name: Arc<str>,
    table: Arc<Table>,
    search: SearchStrategy,
    reading: Arc<Reading>,
    has_one_source: bool,
    files: Vec<PathBuf>,
}

/// Maps by name.
pub type Maps = HashMap<Arc<str>, Arc<Map>>;

/// The interpretation of keys, shared by all maps of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The characters that begin an extension, by domain in canonical spelling.
    pub delimiters: HashMap<String, Box<str>>,
    /// The characters that begin an extension in all other domains.
    pub other_delimiters: Box<str>,
    /// The domains in which a key may be the local part alone.
    pub local: HashSet<String>,
}

impl Map {
    /// Creates the map `name` of this table.
    pub fn new(name: Arc<str>, table: Arc<Table>, search: SearchStrategy, reading: Arc<Reading>) -> Self {
        Map { name, table, search, reading, has_one_source: false, files: Vec::new() }
    }

    /// Records which sources the table was built of. `maps` are the maps that they name.
    #[must_use]
    pub fn made_of(mut self, sources: &[SourceSpec], maps: &Maps) -> Self {
        self.has_one_source = match sources {
            [SourceSpec::Union(_) | SourceSpec::Pipe(_)] => false,
            [SourceSpec::Map(name)] => maps.get(&**name).is_some_and(|map| map.has_one_source),
            sources => sources.len() == 1,
        };
        for source in sources {
            source.walk(&mut |part| match part {
                SourceSpec::Lmdb(path) => self.files.push(lmdb_file(path)),
                SourceSpec::Map(name) => {
                    self.files.extend(maps.get(&**name).into_iter().flat_map(|map| map.files.clone()));
                }
                _ => (),
            });
        }
        self
    }

    /// Whether all values come from one source, so that a key that is found shows that this source works. If it is
    /// not known, they do not.
    pub fn has_one_source(&self) -> bool {
        self.has_one_source
    }

    /// The files that are read at each lookup.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its search strategy.
    pub fn search_strategy(&self) -> SearchStrategy {
        self.search
    }

    /// Looks up a key. The value is never empty. There is no timeout; the caller must limit the time.
    pub async fn find(&self, key: &[u8]) -> Lookup<String> {
        // Keys of tables are text, so a key that is not UTF-8 does not exist.
        let Ok(key) = std::str::from_utf8(key) else { return Lookup::NotFound };
        if key.is_empty() {
            return Lookup::NotFound;
        }
        let answer = match self.search {
            SearchStrategy::Plain => self.table.look_up(key).await,
            strategy => self.search_with(strategy, key).await,
        };
        match answer {
            Lookup::Found(value) if value.is_empty() => Lookup::temp_fail("the value is empty"),
            answer => answer,
        }
    }

    fn candidates<'k>(&self, strategy: SearchStrategy, key: &'k str) -> Vec<Candidate<'k>> {
        let domain = canonical_domain(key.rsplit_once('@').map_or("", |(_, domain)| domain));
        let reading = &self.reading;
        let context = Context {
            delimiters: reading.delimiters.get(&*domain).unwrap_or(&reading.other_delimiters),
            is_local: &|domain| reading.local.contains(&*canonical_domain(domain)),
        };
        strategy.candidates(key, &context)
    }

    /// Looks up the candidates in order, until one is found or fails temporarily.
    async fn search_with(&self, strategy: SearchStrategy, key: &str) -> Lookup<String> {
        for candidate in self.candidates(strategy, key) {
            match self.table.look_up(&candidate.key).await {
                Lookup::NotFound => (),
                Lookup::Found(value) => {
                    return match strategy.value(&candidate, key, &value) {
                        Ok(value) => Lookup::Found(value),
                        Err(why) => Lookup::temp_fail(format!("the value cannot be used: {why}")),
                    };
                }
                unknown @ Lookup::TempFail(_) => return unknown,
            }
        }
        Lookup::NotFound
    }
}

/// A map as a source of another map: the same lookup as for a mail server.
impl Source<str, Lookup<String>> for Map {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(self.find(key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::fixed::Always;

    #[test]
    fn knows_what_it_is_made_of() {
        let mut maps = Maps::new();
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (name, sources, is_one, wants) in [
            ("none", &[][..], false, &[][..]),
            ("server", &["tcp:h:1"], true, &[]),
            ("file", &["lmdb:/a"], true, &["/a.lmdb"]),
            ("list", &["texthash:/a"], true, &[]),
            ("two", &["tcp:h:1", "lmdb:/a.lmdb"], false, &["/a.lmdb"]),
            ("union", &["unionmap:{tcp:h:1}"], false, &[]),
            ("pipe", &["pipemap:{lmdb:/a,lmdb:/b}"], false, &["/a.lmdb", "/b.lmdb"]),
            ("other", &["map:file"], true, &["/a.lmdb"]),
            ("others", &["map:union"], false, &[]),
            ("deep", &["unionmap:{map:two,lmdb:/c}"], false, &["/a.lmdb", "/c.lmdb"]),
            ("unknown", &["map:absent"], false, &[]),
        ] {
            let sources: Vec<SourceSpec> = sources.iter().map(|source| source.parse().unwrap()).collect();
            let table = Arc::new(Always::new(Lookup::NotFound));
            let map = Map::new(name.into(), table, SearchStrategy::Plain, Arc::default());
            let map = map.made_of(&sources, &maps);
            assert_eq!((map.has_one_source(), map.files()), (is_one, &*files(wants)), "{name}");
            maps.insert(name.into(), Arc::new(map));
        }
    }
}
