//! Which templates a name can match at all, by their literals: a name that does not hold a literal of an
//! expression does not match it. Each template goes by the literal that is rarest among all of them, its
//! anchor; so a name is compared with the literals it holds, however many templates there are.

use crate::ir::{HASHER, Piece, Span, Store};
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Up to this many templates, trying each is faster than looking for anchors.
const FEW: usize = 8;

/// The anchors of all templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefilter {
    /// Templates that have no literal, or of which there are few: each is tried.
    always: Vec<u32>,
    /// Templates by anchor: those of one anchor stand side by side.
    templates: Vec<u32>,
    literals: Vec<Literals>,
    table: HashTable<u32>,
    /// The lengths of anchors, in bytes, the shortest first.
    lengths: Vec<usize>,
    /// The pairs of bytes with which anchors begin, hashed to a bit; one of a single byte begins with all.
    begins: Vec<u64>,
}

/// Bits for the beginnings of anchors.
const BITS: usize = 1 << 12;

/// A literal with the templates that go by it.
#[derive(Clone, Copy, Debug)]
struct Literals {
    text: Span,
    /// Where its templates begin in the list of all.
    begin: u32,
    end: u32,
}

impl Prefilter {
    pub fn of(store: &Store) -> Self {
        let mut anchors = Prefilter::default();
        let able = |template: &u32| store.template(*template).never.is_none();
        let all: Vec<u32> = (0..).zip(&store.templates).map(|(number, _)| number).filter(able).collect();
        if all.len() <= FEW {
            anchors.always = all;
            return anchors;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for template in &all {
            for span in literals_of(store, *template) {
                *counts.entry(store.text(span)).or_default() += 1;
            }
        }
        let mut anchored = Vec::new();
        for template in all {
            // The rarest; of equals the longest.
            let rank = |span: &Span| (counts[store.text(*span)], Reverse(span.len));
            match literals_of(store, template).min_by_key(rank) {
                Some(text) => anchored.push((text, template)),
                None => anchors.always.push(template),
            }
        }
        anchored.sort_by_key(|(text, template)| (store.text(*text), *template));
        anchors.begins = vec![0; BITS / 64];
        for (begin, (text, template)) in (0..).zip(anchored) {
            anchors.templates.push(template);
            match anchors.literals.last_mut() {
                Some(last) if store.text(last.text) == store.text(text) => last.end = begin + 1,
                _ => {
                    anchors.literals.push(Literals { text, begin, end: begin + 1 });
                    anchors.lengths.push(text.len as usize);
                    anchors.note_begin(store.text(text).as_bytes());
                }
            }
        }
        anchors.lengths.sort_unstable();
        anchors.lengths.dedup();
        let text_of = |number: &u32| store.text(anchors.literals[*number as usize].text);
        let mut table = HashTable::with_capacity(anchors.literals.len());
        for (number, _) in (0..).zip(&anchors.literals) {
            let hash = HASHER.hash_one(text_of(&number));
            table.insert_unique(hash, number, |other| HASHER.hash_one(text_of(other)));
        }
        anchors.table = table;
        anchors
    }

    fn note_begin(&mut self, anchor: &[u8]) {
        match anchor {
            [first, second, ..] => set(&mut self.begins, bit(*first, *second)),
            [first] => (0..=255).for_each(|second| set(&mut self.begins, bit(*first, second))),
            [] => {}
        }
    }

    /// Calls `each` with every template that may match `name`, once, until it says `false`.
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
                let same = |other: &u32| store.text(self.literals[*other as usize].text) == text;
                let Some(anchor) = self.table.find(HASHER.hash_one(text), same) else { continue };
                // Where it stands once more nothing new begins.
                if seen.contains(anchor) {
                    continue;
                }
                seen.push(*anchor);
                let Literals { begin, end, .. } = self.literals[*anchor as usize];
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
