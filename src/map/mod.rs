//! The maps that are served: a name, the tables behind it, and what a mail server means by asking it.
//!
//! Between the bytes of a protocol and the tables stand two things that are about mail. A
//! [`Purpose`](purpose::Purpose) makes a table of the resolver, so that the answers of a map and of the milter are
//! one [`Outcome`](crate::resolve::Outcome). A [`Profile`](profile::Profile) makes the search that Postfix leaves to
//! the servers of `tcp:` and `socketmap:` tables, which are asked with the full key only, and checks what comes of
//! it.
//!
//! A key means the same however a mail server spells it: smtpd(8) asks in lower case and without quotes,
//! cleanup(8) as it was typed. The resolver knows by itself which domains tell upper from lower case; for all other
//! sources keys are folded where they are asked ([`crate::table::folded`]).

pub mod profile;
pub mod purpose;

use crate::table::{Answer, AnswerFuture, Table};
use mail_address::canonical_domain;
use profile::{Candidate, Context, Profile};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A map as it is served.
#[derive(Debug)]
pub struct Map {
    name: Arc<str>,
    table: Arc<dyn Table>,
    profile: Profile,
    reading: Arc<Reading>,
}

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
    pub fn new(name: Arc<str>, table: Arc<dyn Table>, profile: Profile, reading: Arc<Reading>) -> Self {
        Map { name, table, profile, reading }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it searches.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The value of a key, which is never empty. Takes as long as the tables do; whoever awaits it sets the limit.
    pub async fn look_up(&self, key: &[u8]) -> Answer {
        // Keys of tables are text: what is not UTF-8 is in none of them.
        let Ok(key) = std::str::from_utf8(key) else { return Answer::NotFound };
        if key.is_empty() {
            return Answer::NotFound;
        }
        let answer = match self.profile {
            Profile::Plain => self.table.get(key).await,
            profile => self.search(profile, key).await,
        };
        match answer {
            Answer::Found(value) if value.is_empty() => Answer::unknown("the value is empty"),
            answer => answer,
        }
    }

    fn candidates<'k>(&self, profile: Profile, key: &'k str) -> Vec<Candidate<'k>> {
        let domain = canonical_domain(key.rsplit_once('@').map_or("", |(_, domain)| domain));
        let reading = &self.reading;
        let context = Context {
            delimiters: reading.delimiters.get(&*domain).unwrap_or(&reading.other_delimiters),
            is_local: &|domain| reading.local.contains(&*canonical_domain(domain)),
        };
        profile.candidates(key, &context)
    }

    /// Asks for one key after the other, until one is there or nobody can say.
    async fn search(&self, profile: Profile, key: &str) -> Answer {
        for candidate in self.candidates(profile, key) {
            match self.table.get(&candidate.key).await {
                Answer::NotFound => (),
                Answer::Found(value) => {
                    return match profile.value(&candidate, key, &value) {
                        Ok(value) => Answer::Found(value),
                        Err(why) => Answer::unknown(format!("the value cannot be used: {why}")),
                    };
                }
                unknown @ Answer::Unknown(_) => return unknown,
            }
        }
        Answer::NotFound
    }
}

/// A map that another is made of is asked as a mail server would ask it.
impl Table for Map {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(self.look_up(key.as_bytes()))
    }
}
