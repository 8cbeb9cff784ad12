//! The maps that are served: a name, the tables behind it, and what a mail server means by asking it.
//!
//! Between the bytes of a protocol and the tables stand two things that are about mail. A
//! [`ResolverView`](purpose::ResolverView) makes a table of the resolver, so that the answers of a map and of the milter are
//! one [`Outcome`](crate::resolve::Outcome). A [`SearchStrategy`](profile::SearchStrategy) makes the search that Postfix leaves to
//! the servers of `tcp:` and `socketmap:` tables, which are asked with the full key only, and checks what comes of
//! it.
//!
//! A key means the same however a mail server spells it: smtpd(8) asks in lower case and without quotes,
//! cleanup(8) as it was typed. The resolver knows by itself which domains tell upper from lower case; for all other
//! sources keys are folded where they are asked ([`crate::map::case_folded`]).

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
    profile: SearchStrategy,
    reading: Arc<Reading>,
}

/// Maps by name.
pub type Maps = HashMap<Arc<str>, Arc<Map>>;

/// How keys are read, the same for all maps of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The characters that begin an extension, by domain in canonical spelling.
    pub delimiters: HashMap<String, Box<str>>,
    /// Those of all other domains.
    pub other_delimiters: Box<str>,
    /// The domains in which a key may be the local part alone.
    pub local: HashSet<String>,
}

impl Map {
    /// The map `name` of this table.
    pub fn new(name: Arc<str>, table: Arc<Table>, profile: SearchStrategy, reading: Arc<Reading>) -> Self {
        Map { name, table, profile, reading }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it searches.
    pub fn profile(&self) -> SearchStrategy {
        self.profile
    }

    /// The value of a key, which is never empty. Takes as long as the tables do; whoever awaits it sets the limit.
    pub async fn find(&self, key: &[u8]) -> Lookup<String> {
        // Keys of tables are text: what is not UTF-8 is in none of them.
        let Ok(key) = std::str::from_utf8(key) else { return Lookup::NotFound };
        if key.is_empty() {
            return Lookup::NotFound;
        }
        let answer = match self.profile {
            SearchStrategy::Plain => self.table.look_up(key).await,
            profile => self.search(profile, key).await,
        };
        match answer {
            Lookup::Found(value) if value.is_empty() => Lookup::temp_fail("the value is empty"),
            answer => answer,
        }
    }

    fn candidates<'k>(&self, profile: SearchStrategy, key: &'k str) -> Vec<Candidate<'k>> {
        let domain = canonical_domain(key.rsplit_once('@').map_or("", |(_, domain)| domain));
        let reading = &self.reading;
        let context = Context {
            delimiters: reading.delimiters.get(&*domain).unwrap_or(&reading.other_delimiters),
            is_local: &|domain| reading.local.contains(&*canonical_domain(domain)),
        };
        profile.candidates(key, &context)
    }

    /// Asks for one key after the other, until one is there or nobody can say.
    async fn search(&self, profile: SearchStrategy, key: &str) -> Lookup<String> {
        for candidate in self.candidates(profile, key) {
            match self.table.look_up(&candidate.key).await {
                Lookup::NotFound => (),
                Lookup::Found(value) => {
                    return match profile.value(&candidate, key, &value) {
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

/// A map that another is made of is asked as a mail server would ask it.
impl Source<str, Lookup<String>> for Map {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(self.find(key.as_bytes()))
    }
}
