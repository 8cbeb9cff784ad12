//! The set of names in the rules, for scripts. Look-ups do not need it, so it is built at its first use.

use super::Rules;
use super::hashes::HASHES;
use super::store::{Entry, Store};
use hashbrown::HashTable;
use mail_address::fold;
use std::borrow::Cow;
use std::hash::BuildHasher;

/// The distinct names of all lists of one kind, as numbers of entries.
#[derive(Clone, Debug, Default)]
struct Names(HashTable<u32>);

/// The names of all lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Census {
    accounts: Names,
    aliases: Names,
}

impl Names {
    fn add(&mut self, store: &Store, entry: u32) {
        let name = store.name(entry);
        if !self.has(store, name) {
            let hash_of = |other: &u32| HASHES.hash_one(store.name(*other));
            self.0.insert_unique(HASHES.hash_one(name), entry, hash_of);
        }
    }

    fn has(&self, store: &Store, name: &str) -> bool {
        self.0.find(HASHES.hash_one(name), |other| store.name(*other) == name).is_some()
    }
}

impl Rules {
    /// Whether some statement is about this account.
    pub fn is_account(&self, name: &str) -> bool {
        self.census().accounts.has(&self.store, &self.key(name))
    }

    /// Whether some statement has this name after `ALIASED`.
    pub fn is_alias(&self, name: &str) -> bool {
        self.census().aliases.has(&self.store, &self.key(name))
    }

    /// The accounts and aliases that occur in expressions, as they are compared, each with its statement.
    pub fn placed_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let placed = |entry: &&Entry| self.store.is_placed(entry);
        let entries = self.store.entries.iter().filter(placed);
        entries.map(|entry| (entry.statement as usize, self.store.text(entry.span())))
    }

    /// The accounts of all statements, as they are spelled there, each with its statement.
    pub fn account_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let entries = (0..).zip(&self.store.entries).filter(|(_, entry)| !entry.is_alias());
        entries.map(|(number, entry)| (entry.statement as usize, self.store.spelling(number)))
    }

    /// The number of distinct accounts in the statements.
    pub fn accounts(&self) -> usize {
        self.census().accounts.0.len()
    }

    /// The number of distinct names after `ALIASED`.
    pub fn aliases(&self) -> usize {
        self.census().aliases.0.len()
    }

    fn census(&self) -> &Census {
        self.census.get_or_init(|| {
            let mut census = Census::default();
            for (number, entry) in (0..).zip(&self.store.entries) {
                let names = if entry.is_alias() { &mut census.aliases } else { &mut census.accounts };
                names.add(&self.store, number);
            }
            census
        })
    }

    fn key<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.fold { fold(name) } else { Cow::Borrowed(name) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, load};
    use diagnostics::Text;

    #[test]
    fn names() {
        let text = Text::new(
            "a.rules",
            "ACCOUNT foo, Bar MATCHES %account%-%alpha%-%code% WITH CHARS();
             ACCOUNT foo ALIASED Pinky, brain MATCHES %alias%-%alpha%-%code% WITH CHARS();
             ACCOUNT foo ALIASED brain MATCHES %alias%=%alpha%=%code% WITH CHARS();
             ACCOUNT baz MATCHES %account%=%alpha%=%code% WITH CHARS();",
        );
        for fold in [false, true] {
            let rules = load(std::slice::from_ref(&text), &Options { fold, ..Options::default() });
            let rules = rules.expect("rules").rules;
            for (name, account, alias) in [
                ("foo", true, false),
                ("baz", true, false),
                ("Bar", true, false),
                ("bar", fold, false),
                ("Pinky", false, true),
                ("PINKY", false, fold),
                ("brain", false, true),
                ("", false, false),
            ] {
                assert_eq!((rules.is_account(name), rules.is_alias(name)), (account, alias), "{name}");
            }
            assert_eq!((rules.accounts(), rules.aliases()), (3, 2));
        }
    }
}
