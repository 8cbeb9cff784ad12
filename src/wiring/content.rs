//! What tables have, as far as it is known: those written in main.cf, rcptd's own, and those with a text that
//! can be read.
//!
//! To see whether a table has every name of a domain it is asked for names that no operator would write.

use super::maps::{Map, unbraced, words};
use super::ours::{Asked, Ours};
use super::pattern;
use super::postfix::{Postfix, Service};
use super::sockets::Facts;
use crate::map::list::List;
use diagnostics::Text;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Local parts that do not exist: a table that has all of them has every name. They differ in length, since a
/// pattern may ask for one.
const PROBES: [&str; 2] = ["qjwxzkvh", "zxqvkjwqhzpf"];
/// A domain in which this host has nothing: a table that has its names has every name of every domain.
const ELSEWHERE: &str = "elsewhere.invalid";
/// Deepest nesting of `unionmap:` and `pipemap:`.
const MAX_DEPTH: usize = 8;
/// Types whose tables postmap(1) makes of a text with the same path.
const LISTS: [&str; 7] = ["texthash", "hash", "btree", "lmdb", "cdb", "dbm", "sdbm"];
/// Types of tables with patterns.
const PATTERNS: [&str; 2] = ["regexp", "pcre"];

/// What a table has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A value, and which, if that is known.
    Found(Option<String>),
    /// Nothing.
    NotFound,
    /// Its content is not known.
    CannotTell,
}

/// A key as Postfix asks for it.
#[derive(Clone, Copy, Debug)]
pub enum Key<'k> {
    /// As it is.
    Whole(&'k str),
    /// A part of it, such as `@example.com`, for which Postfix does not ask patterns and other programs.
    Part(&'k str),
}

/// The text of a table.
#[derive(Clone, Debug)]
pub struct TableText {
    content: String,
    list: List,
}

impl TableText {
    /// Reads a text. Its errors do not matter here: postmap(1) reports them.
    pub fn new(content: &str) -> Self {
        let (list, _) = List::parse(&Text::new("", content), true);
        TableText { content: content.to_owned(), list }
    }
}

/// The texts of the tables in a list.
pub fn texts(list: &str) -> BTreeSet<PathBuf> {
    let maps = Map::all(list).into_iter();
    let with_text = maps.filter(|map| LISTS.contains(&map.kind) || PATTERNS.contains(&map.kind));
    with_text.map(|map| PathBuf::from(map.argument)).filter(|path| path.is_absolute()).collect()
}

/// What the first of these has that has something.
pub fn any<T>(members: impl IntoIterator<Item = T>, look_up: impl Fn(T) -> Entry) -> Entry {
    let mut result = Entry::NotFound;
    for member in members {
        match look_up(member) {
            Entry::NotFound => (),
            // One before it may have another value.
            Entry::Found(_) if result == Entry::CannotTell => return Entry::Found(None),
            Entry::Found(value) => return Entry::Found(value),
            Entry::CannotTell => result = Entry::CannotTell,
        }
    }
    result
}

/// What tables have that are asked one after the other, each for the value of the one before it.
pub fn pipe<T>(members: &[T], key: &str, look_up: impl Fn(&T, &str) -> Entry) -> Entry {
    let mut value = Entry::Found(Some(key.to_owned()));
    for member in members {
        value = match value {
            Entry::Found(Some(key)) => look_up(member, &key),
            // The key is not known: a table that has this name has every name.
            Entry::Found(None) => match look_up(member, PROBES[0]) {
                Entry::NotFound => Entry::CannotTell,
                entry => entry,
            },
            other => return other,
        };
    }
    value
}

/// Looks up keys in the tables that a service names.
pub struct Content<'c> {
    postfix: &'c Postfix,
    ours: &'c Ours,
    facts: &'c Facts,
    service: Option<&'c Service>,
    /// The tables of aliases(5), in which no domain has all names.
    aliases: String,
    /// The entries of `inline:` tables that were looked up, by the text of the table: they are asked for each of
    /// our domains, of which there may be thousands.
    inline: RefCell<HashMap<String, HashMap<String, String>>>,
}

impl<'c> Content<'c> {
    /// For tables that `service` names, or main.cf.
    pub fn new(postfix: &'c Postfix, ours: &'c Ours, facts: &'c Facts, service: Option<&'c Service>) -> Self {
        let aliases = postfix.value(service, "alias_maps");
        Content { postfix, ours, facts, service, aliases, inline: RefCell::default() }
    }

    /// What a table has for a key in lower case.
    pub fn entry(&self, map: &Map<'_>, key: Key<'_>) -> Entry {
        self.nested(map, key, MAX_DEPTH)
    }

    fn nested(&self, map: &Map<'_>, key: Key<'_>, depth: usize) -> Entry {
        let Some(depth) = depth.checked_sub(1) else { return Entry::CannotTell };
        let (Key::Whole(text) | Key::Part(text)) = key;
        let is_part = matches!(key, Key::Part(_));
        let members = || words(unbraced(map.argument)).into_iter().filter_map(Map::parse);
        match map.kind {
            "static" => Entry::Found(Some(unbraced(map.argument).to_owned())),
            "randmap" => Entry::Found(None),
            "inline" => self.inline(map, text),
            "unionmap" => any(members(), |member| self.nested(&member, key, depth)),
            "pipemap" => {
                let members: Vec<Map<'_>> = members().collect();
                pipe(&members, text, |member, value| {
                    let is_first = is_part && value == text;
                    self.nested(member, if is_first { key } else { Key::Whole(value) }, depth)
                })
            }
            kind if PATTERNS.contains(&kind) => {
                let file = self.text(map.argument).map(|text| &*text.content);
                match pattern::lines(map.argument, file) {
                    None => Entry::CannotTell,
                    Some(_) if is_part => Entry::NotFound,
                    Some(lines) => pattern::value(&lines, text).map_or(Entry::CannotTell, found),
                }
            }
            // Its keys are addresses of clients.
            "cidr" | "fail" => Entry::NotFound,
            _ if map.is_passwd() || words(&self.aliases).contains(&map.text) => Entry::NotFound,
            kind if LISTS.contains(&kind) => {
                self.text(map.argument).map_or(Entry::CannotTell, |table| found(table.list.get(text)))
            }
            _ => match self.ours.asked(map, self.service, self.postfix) {
                Some(Asked::Map(map)) if !is_part => self.ours.entry(map, text),
                Some(_) => Entry::NotFound,
                None => Entry::CannotTell,
            },
        }
    }

    fn inline(&self, map: &Map<'_>, key: &str) -> Entry {
        let mut tables = self.inline.borrow_mut();
        let entries = tables.entry(map.text.to_owned()).or_insert_with(|| {
            let entries = map.inline_entries().into_iter();
            entries.map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect()
        });
        found(entries.get(key).map(String::as_str))
    }

    fn text(&self, path: &str) -> Option<&'c TableText> {
        self.facts.tables.get(Path::new(path))
    }

    /// Whether a table has every name of a domain.
    pub fn covers(&self, map: &Map<'_>, domain: &str) -> Entry {
        let domain = domain.to_lowercase();
        let all = format!("@{domain}");
        let mut result = Entry::Found(None);
        for probe in PROBES {
            let name = format!("{probe}@{domain}");
            match any([Key::Whole(&name), Key::Part(&all)], |key| self.entry(map, key)) {
                Entry::NotFound => return Entry::NotFound,
                Entry::CannotTell => result = Entry::CannotTell,
                Entry::Found(value) if result != Entry::CannotTell => result = Entry::Found(value),
                Entry::Found(_) => (),
            }
        }
        result
    }

    /// Whether a table has every name of every domain, and the value.
    pub fn everything(&self, map: &Map<'_>) -> Entry {
        self.covers(map, ELSEWHERE)
    }

    /// Whether a table has every domain.
    pub fn has_every_domain(&self, map: &Map<'_>) -> bool {
        matches!(self.entry(map, Key::Whole(ELSEWHERE)), Entry::Found(_))
    }
}

fn found(value: Option<&str>) -> Entry {
    value.map_or(Entry::NotFound, |value| Entry::Found(Some(value.to_owned())))
}
