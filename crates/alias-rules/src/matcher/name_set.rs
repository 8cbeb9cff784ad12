//! The set of names in the rules, for scripts. Look-ups do not need it, so it is built at its first use.

use crate::ir::{HASHER, Store};
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The distinct names of all lists of one kind, as numbers of entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashTable<u32>);

/// The names of all lists.
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
        if !self.contain(store, name) {
            let hash_of = |other: &u32| HASHER.hash_one(store.name(*other));
            self.0.insert_unique(HASHER.hash_one(name), entry, hash_of);
        }
    }

    /// Whether a name, as names are compared, is one of them.
    pub fn contain(&self, store: &Store, name: &str) -> bool {
        self.0.find(HASHER.hash_one(name), |other| store.name(*other) == name).is_some()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
