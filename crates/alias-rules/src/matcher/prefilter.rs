//! Selects the templates that may match a name by their literals.
//!
//! A name matches an expression only if it contains all literals of the expression. The key of a template is
//! the literal that is rarest in all templates. A lookup searches the name for keys in a hash table, so its
//! cost does not depend on the number of templates.

use crate::ir::{HASHER, Piece, Span, Store};
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Up to this number of templates, trying each of them is faster than searching for keys.
const FEW: usize = 8;

/// The keys of all templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefilter {
    /// Templates that are always tried: they have no literal, or there are few templates.
    always: Vec<u32>,
    /// All other templates, grouped by key.
    templates: Vec<u32>,
    keys: Vec<Key>,
    table: HashTable<u32>,
    /// The distinct lengths of keys, in bytes, sorted.
    lengths: Vec<usize>,
    /// A filter of the first two bytes of keys, hashed to a bit. A key of one byte sets the bits of all
    /// second bytes.
    begins: Vec<u64>,
}

/// Number of bits in [`Prefilter::begins`].
const BITS: usize = 1 << 12;

/// A literal with its templates.
#[derive(Clone, Copy, Debug)]
struct Key {
    text: Span,
    /// The range of its templates in [`Prefilter::templates`].
    begin: u32,
    end: u32,
}

impl Prefilter {
    pub fn of(store: &Store) -> Self {
        let mut prefilter = Prefilter::default();
        let can_match = |template: &u32| store.template(*template).never.is_none();
        let all: Vec<u32> = (0..).zip(&store.templates).map(|(number, _)| number).filter(can_match).collect();
        if all.len() <= FEW {
            prefilter.always = all;
            return prefilter;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for template in &all {
            for span in literals_of(store, *template) {
                *counts.entry(store.text(span)).or_default() += 1;
            }
        }
        let mut keyed = Vec::new();
        for template in all {
            // The rarest literal; of equally rare ones the longest.
            let rank = |span: &Span| (counts[store.text(*span)], Reverse(span.len));
            match literals_of(store, template).min_by_key(rank) {
                Some(text) => keyed.push((text, template)),
                None => prefilter.always.push(template),
            }
        }
        keyed.sort_by_key(|(text, template)| (store.text(*text), *template));
        prefilter.begins = vec![0; BITS / 64];
        for (begin, (text, template)) in (0..).zip(keyed) {
            prefilter.templates.push(template);
            match prefilter.keys.last_mut() {
                Some(last) if store.text(last.text) == store.text(text) => last.end = begin + 1,
                _ => {
                    prefilter.keys.push(Key { text, begin, end: begin + 1 });
                    prefilter.lengths.push(text.len as usize);
                    prefilter.add_begin(store.text(text).as_bytes());
                }
            }
        }
        prefilter.lengths.sort_unstable();
        prefilter.lengths.dedup();
        let text_of = |number: &u32| store.text(prefilter.keys[*number as usize].text);
        let mut table = HashTable::with_capacity(prefilter.keys.len());
        for (number, _) in (0..).zip(&prefilter.keys) {
            let hash = HASHER.hash_one(text_of(&number));
            table.insert_unique(hash, number, |other| HASHER.hash_one(text_of(other)));
        }
        prefilter.table = table;
        prefilter
    }

    fn add_begin(&mut self, key: &[u8]) {
        match key {
            [first, second, ..] => set(&mut self.begins, bit(*first, *second)),
            [first] => (0..=255).for_each(|second| set(&mut self.begins, bit(*first, second))),
            [] => {}
        }
    }

    /// Calls `each` once with every template that may match `name`, until it returns `false`.
    pub fn each(&self, store: &Store, name: &str, each: &mut dyn FnMut(u32) -> bool) {
        for template in &self.always {
            if !each(*template) {
                return;
            }
        }
        if self.templates.is_empty() {
            return;
        }
        let bytes = name.as_bytes();
        let Some(shortest) = self.lengths.first() else { return };
        let mut seen: SmallVec<[u32; 16]> = SmallVec::new();
        for at in 0..=bytes.len().saturating_sub(*shortest) {
            let Some(first) = bytes.get(at) else { break };
            let second = bytes.get(at + 1).copied().unwrap_or_default();
            let bit = bit(*first, second);
            if self.begins[bit / 64] & 1 << (bit % 64) == 0 {
                continue;
            }
            for len in &self.lengths {
                let Some(text) = name.get(at..at + len) else {
                    if at + len > name.len() {
                        break;
                    }
                    continue;
                };
                let same = |other: &u32| store.text(self.keys[*other as usize].text) == text;
                let Some(key) = self.table.find(HASHER.hash_one(text), same) else { continue };
                if seen.contains(key) {
                    continue;
                }
                seen.push(*key);
                let Key { begin, end, .. } = self.keys[*key as usize];
                for template in &self.templates[begin as usize..end as usize] {
                    if !each(*template) {
                        return;
                    }
                }
            }
        }
    }
}

fn literals_of(store: &Store, template: u32) -> impl Iterator<Item = Span> {
    let program = store.template(template);
    let number = |piece: &Piece| if let Piece::Literal(number) = piece { Some(*number) } else { None };
    program.form().pieces.iter().filter_map(number).map(move |number| program.literal_span(number))
}

fn bit(first: u8, second: u8) -> usize {
    (usize::from(first) * 67 + usize::from(second)) % BITS
}

fn set(bits: &mut [u64], bit: usize) {
    bits[bit / 64] |= 1 << (bit % 64);
}
