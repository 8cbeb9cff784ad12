//! Finds the shortest name that two machines accept by breadth-first search over pairs of states. Of all
//! names that lead to the same states, only the first is kept.

use super::alphabet::{Alphabet, Symbol};
use super::machine::{Machine, Place, State};
use foldhash::{HashMap, HashMapExt, HashSet};
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// The required difference between the two splits of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differ {
    /// No difference, since the statements differ.
    No,
    /// A character belongs to different parts. Both machines are of the same statement.
    Split,
    /// A character belongs to an account or alias in one split only, or to an account and an alias.
    Names,
}

/// For each character of a name, the index of its part in both splits.
pub(crate) type Parts = [Vec<u16>; 2];

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// No such name exists.
    Nothing,
    /// No such name exists up to the maximum length.
    NotWithinLength,
    /// A shortest name.
    Name(Vec<Symbol>, Parts),
    /// The limit of states was reached; all names of this length or shorter were checked.
    LimitReached(usize),
}

/// The states of a machine by index, with cached transitions.
pub(crate) struct Reader<'m> {
    machine: &'m Machine<'m>,
    states: Vec<State>,
    numbers: HashMap<State, u32>,
    next: HashMap<(u32, Symbol), Rc<[u32]>>,
}

impl<'m> Reader<'m> {
    fn new(machine: &'m Machine<'m>) -> Self {
        let start = machine.start();
        let (states, numbers) = (vec![start.clone()], HashMap::from_iter([(start, 0)]));
        Reader { machine, states, numbers, next: HashMap::new() }
    }

    fn next(&mut self, from: u32, symbol: Symbol) -> Rc<[u32]> {
        if let Some(next) = self.next.get(&(from, symbol)) {
            return next.clone();
        }
        let mut found = Vec::new();
        let state = self.states[from as usize].clone();
        self.machine.step(&state, symbol, &mut |state| {
            let new = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(state).or_insert_with_key(|state| {
                self.states.push(state.clone());
                new
            });
            found.push(number);
        });
        let next: Rc<[u32]> = found.into();
        self.next.insert((from, symbol), next.clone());
        next
    }

    /// The part that the next character belongs to.
    pub fn place(&self, state: u32) -> Place {
        self.machine.place(&self.states[state as usize])
    }

    /// The part that takes the next character.
    pub fn part(&self, state: u32) -> u16 {
        self.states[state as usize].part
    }

    fn accepts(&self, state: u32) -> bool {
        self.machine.accepts(&self.states[state as usize])
    }
}

/// Maximum number of states of a machine, and of pairs that lead to no name, for each pair of [`Bounds::states`]:
/// with many functions most are of this kind, and each takes some hundred octets.
const DEAD_ENDS: usize = 8;

/// The limits of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The maximum length of a name, in characters.
    pub longest: usize,
    /// The maximum number of pairs of states.
    pub states: usize,
}

/// The two statements of a search: their machines without functions.
pub(crate) struct Pair<'m> {
    pub alphabet: &'m Alphabet,
    pub differ: Differ,
    pub shapes: [&'m Machine<'m>; 2],
}

impl<'m> Pair<'m> {
    /// Finds the pairs of states from which a name of both shapes can be completed, with the minimum number
    /// of characters for that; empty if there is no common name. `None` if there are too many pairs. Adds the
    /// number of visited pairs to `work`.
    pub fn meet(&self, states: usize, work: &mut usize) -> Option<Meeting<'m>> {
        let mut readers = self.shapes.map(Reader::new);
        let mut seen: HashMap<Key, usize> = HashMap::from_iter([(self.start(), 0)]);
        let mut nodes = vec![self.start()];
        // The predecessors of each pair.
        let mut from: Vec<Vec<usize>> = vec![Vec::new()];
        let mut ends = Vec::new();
        let mut at = 0;
        while let Some(key) = nodes.get(at).copied() {
            self.each(&mut readers, key, &mut |_, next, accepts| {
                let number = *seen.entry(next).or_insert_with(|| {
                    *work += 1;
                    if accepts {
                        ends.push(nodes.len());
                    }
                    nodes.push(next);
                    from.push(Vec::new());
                    nodes.len() - 1
                });
                if from[number].last() != Some(&at) {
                    from[number].push(at);
                }
            });
            if nodes.len() > states {
                return None;
            }
            at += 1;
        }
        let mut left: HashMap<Key, usize> = HashMap::new();
        let mut level = ends;
        for length in 0.. {
            level.retain(|node| match left.entry(nodes[*node]) {
                Entry::Vacant(entry) => {
                    entry.insert(length);
                    true
                }
                Entry::Occupied(_) => false,
            });
            if level.is_empty() {
                break;
            }
            level = level.iter().flat_map(|node| from[*node].iter().copied()).collect();
        }
        Some(Meeting { readers, left })
    }

    pub fn start(&self) -> Key {
        (0, 0, self.differ == Differ::No)
    }

    /// Calls `to` with every next pair of states, its character, and whether a name may end there.
    pub fn each(&self, readers: &mut [Reader<'_>; 2], key: Key, to: &mut dyn FnMut(Symbol, Key, bool)) {
        let [one, two] = readers;
        let (a, b, differs) = key;
        let (part_a, part_b) = (one.part(a), two.part(b));
        let differs = differs
            || match self.differ {
                Differ::No => true,
                Differ::Split => part_a != part_b,
                Differ::Names => self.shapes[0].name(part_a) != self.shapes[1].name(part_b),
            };
        for symbol in (0..self.alphabet.len()).filter_map(|symbol| Symbol::try_from(symbol).ok()) {
            let to_a = one.next(a, symbol);
            if to_a.is_empty() {
                continue;
            }
            let to_b = two.next(b, symbol);
            for a in to_a.iter().copied() {
                for b in to_b.iter().copied() {
                    to(symbol, (a, b, differs), differs && one.accepts(a) && two.accepts(b));
                }
            }
        }
    }

    /// Finds the shortest name that both `machines` accept. `meeting` is the result of [`Pair::meet`].
    pub fn search(
        &self,
        machines: [&Machine<'_>; 2],
        meeting: &Meeting<'_>,
        bounds: Bounds,
        work: &mut usize,
    ) -> SearchResult {
        let mut readers = machines.map(Reader::new);
        let mut shapes = [Vec::new(), Vec::new()];
        let mut seen: HashSet<Key> = HashSet::from_iter([self.start()]);
        // Each pair with its predecessor and its character.
        let mut nodes: Vec<Node> = vec![(self.start(), 0, 0)];
        let (mut length, mut level_end, mut at) = (0, 1, 0);
        let (mut too_long, mut last) = (false, None);
        let most = bounds.states.saturating_mul(DEAD_ENDS);
        while let Some(&(key, ..)) = nodes.get(at) {
            if at == level_end {
                (length, level_end) = (length + 1, nodes.len());
            }
            let mut new = Vec::new();
            self.each(&mut readers, key, &mut |symbol, next, accepts| {
                // One state may have very many successors.
                if seen.len() <= most && seen.insert(next) {
                    new.push((next, symbol, accepts));
                }
            });
            for (next, symbol, accepts) in new {
                let (Some(a), Some(b)) = (
                    meeting.shape(0, &readers[0], next.0, &mut shapes[0]),
                    meeting.shape(1, &readers[1], next.1, &mut shapes[1]),
                ) else {
                    continue;
                };
                let Some(left) = meeting.left.get(&(a, b, next.2)) else { continue };
                if length + 1 + left > bounds.longest {
                    too_long = true;
                    continue;
                }
                *work += 1;
                nodes.push((next, at, symbol));
                if accepts && last.is_none() {
                    last = Some(nodes.len() - 1);
                }
            }
            if let Some(last) = last {
                return name(&nodes, last, &readers);
            }
            let states = readers.iter().map(|reader| reader.states.len()).chain([seen.len()]).max();
            if nodes.len() > bounds.states || states > Some(most) {
                return SearchResult::LimitReached(length);
            }
            at += 1;
        }
        if too_long { SearchResult::NotWithinLength } else { SearchResult::Nothing }
    }
}

/// The indices of two states, and whether the splits differ so far.
pub(crate) type Key = (u32, u32, bool);

/// The pairs of states from which a name of both shapes can be completed.
pub(crate) struct Meeting<'m> {
    pub readers: [Reader<'m>; 2],
    left: HashMap<Key, usize>,
}

impl Meeting<'_> {
    /// Whether there is no common name.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The minimum number of characters that complete a name; `None` if that is impossible.
    pub fn left(&self, key: Key) -> Option<usize> {
        self.left.get(&key).copied()
    }

    /// Converts the state of an exact machine to the index of the shape's state. `known` caches the results.
    fn shape(
        &self,
        which: usize,
        exact: &Reader<'_>,
        state: u32,
        known: &mut Vec<Option<u32>>,
    ) -> Option<u32> {
        while known.len() <= state as usize {
            let state = &exact.states[known.len()];
            known.push(self.readers[which].numbers.get(&exact.machine.shape_of(state)).copied());
        }
        known[state as usize]
    }
}

type Node = (Key, usize, Symbol);

/// Reconstructs the name that leads to a node.
fn name(nodes: &[Node], mut at: usize, readers: &[Reader<'_>; 2]) -> SearchResult {
    let (mut symbols, mut parts) = (Vec::new(), [Vec::new(), Vec::new()]);
    while at > 0 {
        let (_, from, symbol) = nodes[at];
        let (a, b, _) = nodes[from].0;
        symbols.push(symbol);
        parts[0].push(readers[0].part(a));
        parts[1].push(readers[1].part(b));
        at = from;
    }
    symbols.reverse();
    for parts in &mut parts {
        parts.reverse();
    }
    SearchResult::Name(symbols, parts)
}
