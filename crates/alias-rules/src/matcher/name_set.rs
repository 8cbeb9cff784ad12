//! The sets of names in the rules, for scripts and statistics. Lookups do not need them.

use crate::ir::{HASHER, Store};
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// A set of names, each represented by an entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashTable<u32>);

/// The distinct accounts and aliases of all statements.
#[derive(Clone, Debug, Default)]
pub(super) struct NameSet {
    pub accounts: Names,
    pub aliases: Names,
}

impl NameSet {
    pub fn of(store: &Store) -> Self {
        let mut set = NameSet::default();
        for (number, entry) in (0..).zip(&store.entries) {
            let names = if entry.is_alias() { &mut set.aliases } else { &mut set.accounts };
            names.add(store, number);
        }
        set
    }
}

impl Names {
    fn add(&mut self, store: &Store, entry: u32) {
        let name = store.name(entry);
        if !self.contains(store, name) {
            let hash_of = |other: &u32| HASHER.hash_one(store.name(*other));
            self.0.insert_unique(HASHER.hash_one(name), entry, hash_of);
        }
    }

    /// Whether the set contains a name, which must be case-folded as the rules are.
    pub fn contains(&self, store: &Store, name: &str) -> bool {
        self.0.find(HASHER.hash_one(name), |other| store.name(*other) == name).is_some()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
