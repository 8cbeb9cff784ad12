//! Finds the shortest name that two machines accept by its length: enumerates the splits of a name of this
//! length in both shapes and, for each, solves for characters with correct codes.
//!
//! A [search over states](crate::analysis::search) has to record the characters that functions have seen, so
//! four functions that look at characters reach its limit after four characters. This search chooses a
//! character only when all functions that look at it are known. So it finds short names with any functions,
//! and only long names, which have many splits, take long.

use super::alphabet::Symbol;
use super::machine::{Call, Machine, Place};
use super::search::{Key, Meeting, Pair, Parts};
use super::solve::{Condition, Kinds, LimitReached, Set, narrow, only, solve};
use foldhash::{HashMap, HashMapExt};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SplitResult {
    /// No name of these lengths exists.
    Nothing,
    /// A shortest name.
    Name(Vec<Symbol>, Parts),
    /// The limit of steps was reached at names of this length; no shorter name exists.
    LimitReached(usize),
}

/// A next pair of states, with the symbols that lead to it.
type Edge = (Key, Set);

/// A search over the splits of names in two shapes.
pub(crate) struct SplitSearch<'p, 'm> {
    pair: &'p Pair<'m>,
    meeting: &'p mut Meeting<'m>,
    kinds: Kinds,
    /// The statements whose codes must be correct.
    exact: [bool; 2],
    edges: HashMap<Key, Rc<[Edge]>>,
    /// The part of each character in both splits.
    places: [Vec<Place>; 2],
    /// The pair of states before each character.
    keys: Vec<Key>,
    steps: usize,
}

impl<'p, 'm> SplitSearch<'p, 'm> {
    pub fn new(pair: &'p Pair<'m>, meeting: &'p mut Meeting<'m>, exact: [bool; 2]) -> Self {
        let kinds = Kinds::of(pair.alphabet);
        let (edges, places, keys) = (HashMap::new(), [Vec::new(), Vec::new()], Vec::new());
        SplitSearch { pair, meeting, kinds, exact, edges, places, keys, steps: 0 }
    }

    /// Searches for the shortest name of these lengths, with at most this number of steps. Adds the steps
    /// taken to `work`.
    pub fn search(&mut self, lengths: RangeInclusive<usize>, steps: usize, work: &mut usize) -> SplitResult {
        self.steps = steps;
        let mut result = SplitResult::Nothing;
        for length in lengths {
            self.keys.clear();
            self.places.iter_mut().for_each(Vec::clear);
            match self.extend(self.pair.start(), length, &[]) {
                Ok(None) => continue,
                Ok(Some((name, parts))) => result = SplitResult::Name(name, parts),
                Err(LimitReached) => result = SplitResult::LimitReached(length),
            }
            break;
        }
        *work += steps - self.steps;
        result
    }

    /// Continues from a pair of states with `left` more characters. `sets` are the possible characters
    /// before.
    fn extend(
        &mut self,
        key: Key,
        left: usize,
        sets: &[Set],
    ) -> Result<Option<(Vec<Symbol>, Parts)>, LimitReached> {
        if left == 0 {
            let conditions = self.conditions(None);
            let name = solve(&conditions, &self.kinds, sets.to_vec(), &mut self.steps)?;
            return Ok(name.map(|name| (name, self.parts())));
        }
        let here = self.places_of(key);
        for (next, symbols) in self.edges(key).iter().copied() {
            let Some(least) = self.meeting.left(next) else { continue };
            if least >= left || (least == 0) != (left == 1) {
                continue;
            }
            self.steps = self.steps.checked_sub(1).ok_or(LimitReached)?;
            let mut sets = [sets, &[symbols]].concat();
            self.keys.push(key);
            for (places, place) in self.places.iter_mut().zip(here) {
                places.push(place);
            }
            let there = self.places_of(next);
            // At the end of a part, conditions of functions may become complete.
            let fits = there == here || narrow(&self.conditions(Some(there)), &self.kinds, &mut sets);
            let found = if fits { self.extend(next, left - 1, &sets)? } else { None };
            if found.is_some() {
                return Ok(found);
            }
            self.keys.pop();
            self.places.iter_mut().for_each(|places| places.truncate(self.keys.len()));
        }
        Ok(None)
    }

    fn edges(&mut self, key: Key) -> Rc<[Edge]> {
        if let Some(edges) = self.edges.get(&key) {
            return edges.clone();
        }
        let mut edges: Vec<Edge> = Vec::new();
        self.pair.each(&mut self.meeting.readers, key, &mut |symbol, next, _| match edges
            .iter_mut()
            .find(|(other, _)| *other == next)
        {
            Some((_, symbols)) => *symbols |= only(symbol),
            None => edges.push((next, only(symbol))),
        });
        let edges: Rc<[Edge]> = edges.into();
        self.edges.insert(key, edges.clone());
        edges
    }

    fn places_of(&self, (a, b, _): Key) -> [Place; 2] {
        [self.meeting.readers[0].place(a), self.meeting.readers[1].place(b)]
    }

    /// The part of each character in both splits.
    fn parts(&self) -> Parts {
        let [one, two] = &self.meeting.readers;
        let each = |part: &dyn Fn(&Key) -> u16| self.keys.iter().map(part).collect();
        [each(&|key| one.part(key.0)), each(&|key| two.part(key.1))]
    }

    /// The conditions of functions whose identifier and token are complete. `there` is the part of the next
    /// character.
    fn conditions(&self, there: Option<[Place; 2]>) -> Vec<Condition<'m>> {
        let mut conditions = Vec::new();
        for which in (0..2).filter(|which| self.exact[*which]) {
            let (places, machine): (_, &'m Machine<'m>) = (&self.places[which], self.pair.shapes[which]);
            let range = |place: Place| -> Option<Range<usize>> {
                if there.is_some_and(|there| there[which] == place) {
                    return None;
                }
                let start = places.iter().position(|other| *other == place)?;
                Some(start..start + places[start..].iter().take_while(|other| **other == place).count())
            };
            for (i, call) in machine.calls().iter().enumerate() {
                let Call { op, default, of: Some(of), .. } = call else { continue };
                if let (Some(identifier), Some(code)) = (range(Place::Identifier(*of)), range(Place::Call(i)))
                {
                    conditions.push(Condition { op, default, identifier, code });
                }
            }
        }
        conditions
    }
}
