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
use crate::map::{Lookup, LookupFuture, Source, Table};
use mail_address::canonical_domain;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A map as it is served.
#[derive(Debug)]
pub struct Map {
    name: Arc<str>,
    table: Arc<Table>,
    search: SearchStrategy,
    reading: Arc<Reading>,
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
        Map { name, table, search, reading }
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
