//! The content of tables, as far as it is known: `inline:` tables in main.cf, the maps of rcptd, and tables
//! whose text file can be read.
//!
//! To check whether a table matches every name of a domain, names are looked up that no operator would use.

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

/// Local parts that do not exist: a table that has all of them matches every name. They differ in length,
/// since a pattern may require one.
const PROBES: [&str; 2] = ["qjwxzkvh", "zxqvkjwqhzpf"];
/// A domain that does not exist: a table that has its names matches every name of every domain.
const ELSEWHERE: &str = "elsewhere.invalid";
/// Maximum nesting of `unionmap:` and `pipemap:`.
const MAX_DEPTH: usize = 8;
/// Types whose tables postmap(1) makes from a text file with the same path.
const LISTS: [&str; 7] = ["texthash", "hash", "btree", "lmdb", "cdb", "dbm", "sdbm"];
/// Types of tables with patterns.
const PATTERNS: [&str; 2] = ["regexp", "pcre"];

/// The result of looking up a key in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The key exists; with its value, if that is known.
    Found(Option<String>),
    /// The key does not exist.
    NotFound,
    /// The content of the table is unknown.
    CannotTell,
}

/// A key as Postfix looks it up.
#[derive(Clone, Copy, Debug)]
pub enum Key<'k> {
    /// The whole key.
    Whole(&'k str),
    /// A part of the key, such as `@example.com`, which Postfix does not look up in patterns and other
    /// programs.
    Part(&'k str),
}

/// The text file of a table.
#[derive(Clone, Debug)]
pub struct TableText {
    content: String,
    list: List,
}

impl TableText {
    /// Parses a text. Errors are ignored: postmap(1) reports them.
    pub fn new(content: &str) -> Self {
        let (list, _) = List::parse(&Text::new("", content), true);
        TableText { content: content.to_owned(), list }
    }
}

/// The text files of the tables in a list.
pub fn texts(list: &str) -> BTreeSet<PathBuf> {
    let maps = Map::all(list).into_iter();
    let with_text = maps.filter(|map| LISTS.contains(&map.kind) || PATTERNS.contains(&map.kind));
    with_text.map(|map| PathBuf::from(map.argument)).filter(|path| path.is_absolute()).collect()
}

/// The result of the first member that has the key.
pub fn any<T>(members: impl IntoIterator<Item = T>, look_up: impl Fn(T) -> Entry) -> Entry {
    let mut result = Entry::NotFound;
    for member in members {
        match look_up(member) {
            Entry::NotFound => (),
            // A member before it may have another value.
            Entry::Found(_) if result == Entry::CannotTell => return Entry::Found(None),
            Entry::Found(value) => return Entry::Found(value),
            Entry::CannotTell => result = Entry::CannotTell,
        }
    }
    result
}

/// The result of a pipe: each member looks up the value of the one before it.
pub fn pipe<T>(members: &[T], key: &str, look_up: impl Fn(&T, &str) -> Entry) -> Entry {
    let mut value = Entry::Found(Some(key.to_owned()));
    for member in members {
        value = match value {
            Entry::Found(Some(key)) => look_up(member, &key),
            // The key is unknown, but a table that has this probe has every name.
            Entry::Found(None) => match look_up(member, PROBES[0]) {
                Entry::NotFound => Entry::CannotTell,
                entry => entry,
            },
            other => return other,
        };
    }
    value
}

/// Looks up keys in the tables of a service.
pub struct Content<'c> {
    postfix: &'c Postfix,
    ours: &'c Ours,
    facts: &'c Facts,
    service: Option<&'c Service>,
    /// The tables of aliases(5), which never match all names of a domain.
    aliases: String,
    /// The entries of `inline:` tables, by the text of the table. Each table is looked up for every domain,
    /// of which there may be thousands.
    inline: RefCell<HashMap<String, HashMap<String, String>>>,
}

impl<'c> Content<'c> {
    /// Creates the lookup for the tables of `service`, or of main.cf.
    pub fn new(postfix: &'c Postfix, ours: &'c Ours, facts: &'c Facts, service: Option<&'c Service>) -> Self {
        let aliases = postfix.value(service, "alias_maps");
        Content { postfix, ours, facts, service, aliases, inline: RefCell::default() }
    }

    /// Looks up a key, which must be in lower case.
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
            // Keys of cidr tables are addresses of clients.
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

    /// Whether a table matches every name of a domain.
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

    /// Whether a table matches every name of every domain, and the value.
    pub fn everything(&self, map: &Map<'_>) -> Entry {
        self.covers(map, ELSEWHERE)
    }

    /// Whether a table matches every domain.
    pub fn has_every_domain(&self, map: &Map<'_>) -> bool {
        matches!(self.entry(map, Key::Whole(ELSEWHERE)), Entry::Found(_))
    }
}

fn found(value: Option<&str>) -> Entry {
    value.map_or(Entry::NotFound, |value| Entry::Found(Some(value.to_owned())))
}
