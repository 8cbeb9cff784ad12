//! Finds characters for a name when the part of each character is known in the splits of both statements.
//! This is a constraint solver: each position has a set of possible characters, every function removes
//! impossible ones, and the rest is decided by backtracking.

use super::alphabet::{Alphabet, Symbol};
use super::call_state::counts;
use crate::ir::Op;
use crate::matcher::operations::place;
use crate::vocabulary::Function;
use std::ops::Range;

/// A set of symbols.
pub(crate) type Set = u128;

/// The set of one symbol.
pub(crate) fn only(symbol: Symbol) -> Set {
    1 << symbol
}

/// The only symbol of a set; `None` if the set is empty or has several.
fn single(set: Set) -> Option<Symbol> {
    set.is_power_of_two().then(|| lowest(set))
}

fn lowest(set: Set) -> Symbol {
    // A set has at most 128 symbols.
    Symbol::try_from(set.trailing_zeros()).unwrap_or_default()
}

/// A function with the positions of its identifier and of its token in the code.
#[derive(Clone, Debug)]
pub(crate) struct Condition<'c> {
    pub op: &'c Op,
    /// The default of `CHAR`.
    pub default: &'c [Symbol],
    pub identifier: Range<usize>,
    pub code: Range<usize>,
}

impl Condition<'_> {
    /// The set of symbols whose number or position determines the value; `None` if single symbols do.
    fn kind(&self, kinds: &Kinds) -> Option<Set> {
        match self.op {
            Op::Count(function) => Some(kinds.counted(*function)),
            Op::LabelChar { .. } => Some(kinds.dot),
            Op::Any | Op::None | Op::Char { .. } | Op::Hmac(_) => None,
        }
    }
}

/// The symbols of an alphabet that functions count.
pub(crate) struct Kinds {
    digits: Set,
    alphas: Set,
    vowels: Set,
    dot: Set,
    all: Set,
    /// The symbol of each digit, if the alphabet has all of them.
    numbers: Vec<Symbol>,
}

impl Kinds {
    pub fn of(alphabet: &Alphabet) -> Self {
        let symbols = || (0..alphabet.len()).filter_map(|at| Symbol::try_from(at).ok());
        let counted = |function| {
            let counted = symbols().filter(|symbol| counts(function, alphabet.byte(*symbol)));
            counted.fold(0, |set, symbol| set | only(symbol))
        };
        Kinds {
            digits: counted(Function::Digits),
            alphas: counted(Function::Alphas),
            vowels: counted(Function::Vowels),
            dot: counted(Function::Labels),
            all: counted(Function::Chars),
            numbers: alphabet.symbols("0123456789").unwrap_or_default(),
        }
    }

    fn counted(&self, function: Function) -> Set {
        match function {
            Function::Digits => self.digits,
            Function::Alphas => self.alphas,
            Function::Vowels => self.vowels,
            Function::Labels => self.dot,
            Function::Chars | Function::Any | Function::None | Function::Char | Function::Hmac => self.all,
        }
    }

    /// The symbols of a number.
    fn number(&self, n: usize) -> Vec<Symbol> {
        let digits = n.to_string();
        digits.bytes().filter_map(|b| self.numbers.get(usize::from(b - b'0')).copied()).collect()
    }
}

/// The possible characters of each position.
struct Domains<'d> {
    sets: &'d mut [Set],
    conditions: &'d [Condition<'d>],
    changed: bool,
}

impl Domains<'_> {
    /// Restricts a position to `set`; `None` if nothing is left.
    fn keep(&mut self, at: usize, set: Set) -> Option<()> {
        let kept = self.sets[at] & set;
        self.changed |= kept != self.sets[at];
        self.sets[at] = kept;
        (kept != 0).then_some(())
    }

    /// Restricts the code to this text.
    fn text(&mut self, code: &Range<usize>, text: &[Symbol]) -> Option<()> {
        if text.is_empty() || text.len() != code.len() {
            return None;
        }
        code.clone().zip(text).try_for_each(|(at, symbol)| self.keep(at, only(*symbol)))
    }

    fn count(&mut self, condition: &Condition<'_>, function: Function, kinds: &Kinds) -> Option<()> {
        let Condition { identifier, code, .. } = condition;
        let set = kinds.counted(function);
        let extra = usize::from(function == Function::Labels);
        let least_count = identifier.clone().filter(|at| self.sets[*at] & !set == 0).count() + extra;
        let most_count = identifier.clone().filter(|at| self.sets[*at] & set != 0).count() + extra;
        let mut digits = vec![0; code.len()];
        let fits = |n: &usize, sets: &[Set]| {
            let number = kinds.number(*n);
            let fits = number.len() == code.len()
                && code.clone().zip(&number).all(|(at, symbol)| sets[at] & only(*symbol) != 0);
            fits.then_some(number)
        };
        let numbers: Vec<(usize, Vec<Symbol>)> = (least_count..=most_count)
            .filter_map(|n| fits(&n, self.sets).map(|number| (n, number)))
            .collect();
        let (least, most) = (numbers.first()?.0, numbers.last()?.0);
        for (_, number) in &numbers {
            for (digits, symbol) in digits.iter_mut().zip(number) {
                *digits |= only(*symbol);
            }
        }
        code.clone().zip(digits).try_for_each(|(at, digits)| self.keep(at, digits))?;
        for at in identifier.clone() {
            let set_at = self.sets[at];
            if most == least_count && set_at & !set != 0 {
                self.keep(at, !set)?;
            } else if least == most_count && set_at & set != 0 {
                self.keep(at, set)?;
            }
        }
        Some(())
    }

    /// The positions of a label in an identifier whose dots are known.
    fn label(&self, identifier: &Range<usize>, label: i64, dot: Set) -> Option<Range<usize>> {
        let dots: Vec<usize> = identifier.clone().filter(|at| self.sets[*at] & !dot == 0).collect();
        let begins = std::iter::once(identifier.start).chain(dots.iter().map(|dot| dot + 1));
        let ends = dots.iter().copied().chain([identifier.end]);
        let mut labels = begins.zip(ends).map(|(begin, end)| begin..end);
        place(label, dots.len() + 1).and_then(|n| labels.nth(n))
    }

    /// Whether `NONE` requires that the code's character differs from the character at this position.
    fn differ(&self, code: usize, at: usize) -> bool {
        let demands = |condition: &Condition<'_>| {
            *condition.op == Op::None && condition.code.start == code && condition.identifier.contains(&at)
        };
        self.conditions.iter().any(demands)
    }

    /// Applies `CHAR` to the text at these positions.
    fn char(&mut self, text: Option<Range<usize>>, at: i64, condition: &Condition<'_>) -> Option<()> {
        let found = text.and_then(|text| place(at, text.len()).map(|n| text.start + n));
        let Some(at) = found else { return self.text(&condition.code, condition.default) };
        if condition.code.len() != 1 {
            return None;
        }
        let code = condition.code.start;
        if self.differ(code, at) {
            return None;
        }
        self.keep(code, self.sets[at])?;
        self.keep(at, self.sets[code])
    }

    /// Removes characters that `condition` does not allow; `None` if it cannot be satisfied.
    fn apply(&mut self, condition: &Condition<'_>, kinds: &Kinds) -> Option<()> {
        let Condition { identifier, code, .. } = condition;
        match condition.op {
            Op::Count(function) => self.count(condition, *function, kinds),
            Op::Char { at, .. } => self.char(Some(identifier.clone()), *at, condition),
            Op::LabelChar { label, at, .. } => {
                let mixed = |at: usize| self.sets[at] & kinds.dot != 0 && self.sets[at] & !kinds.dot != 0;
                if identifier.clone().any(mixed) {
                    return Some(());
                }
                self.char(self.label(identifier, *label, kinds.dot), *at, condition)
            }
            Op::Any => {
                let can = |at: &usize| !self.differ(code.start, *at);
                let all = identifier.clone().filter(can).fold(0, |all, at| all | self.sets[at]);
                self.keep(code.start, all)?;
                let Some(symbol) = single(self.sets[code.start]) else { return Some(()) };
                let mut places = identifier.clone().filter(|at| self.sets[*at] & only(symbol) != 0);
                let first = places.next()?;
                if places.next().is_none() { self.keep(first, only(symbol)) } else { Some(()) }
            }
            Op::None => {
                for at in identifier.clone() {
                    if single(self.sets[at]).is_some() {
                        self.keep(code.start, !self.sets[at])?;
                    }
                }
                if single(self.sets[code.start]).is_none() {
                    return Some(());
                }
                identifier.clone().try_for_each(|at| self.keep(at, !self.sets[code.start]))
            }
            // Machines do not support codes with a secret.
            Op::Hmac(_) => None,
        }
    }
}

/// Removes characters that the conditions do not allow. Returns `false` if there is no solution.
pub(crate) fn narrow(conditions: &[Condition<'_>], kinds: &Kinds, sets: &mut [Set]) -> bool {
    let mut domains = Domains { sets, conditions, changed: true };
    while std::mem::take(&mut domains.changed) {
        if conditions.iter().any(|condition| domains.apply(condition, kinds).is_none()) {
            return false;
        }
    }
    true
}

/// The error of a search that reached its limit of steps.
#[derive(Debug)]
pub(crate) struct LimitReached;

/// Finds characters for all positions; `None` if there is no solution. Each attempt takes one of `steps`.
pub(crate) fn solve(
    conditions: &[Condition<'_>],
    kinds: &Kinds,
    mut sets: Vec<Set>,
    steps: &mut usize,
) -> Result<Option<Vec<Symbol>>, LimitReached> {
    *steps = steps.checked_sub(1).ok_or(LimitReached)?;
    if !narrow(conditions, kinds, &mut sets) {
        return Ok(None);
    }
    let Some((at, part)) = undecided(conditions, kinds, &sets) else {
        // The first of equivalent characters is the most readable.
        return Ok(Some(sets.into_iter().map(lowest).collect()));
    };
    let first = sets[at] & part;
    let mut others = sets[at] & !part;
    if let Some(symbol) = single(first) {
        others &= !equivalent(symbol, conditions, kinds, &sets);
    }
    for part in [first, others] {
        let mut sets = sets.clone();
        sets[at] = part;
        let found = solve(conditions, kinds, sets, steps)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The symbols that are equivalent to `symbol`: if it does not lead to a solution, they do not, either.
fn equivalent(symbol: Symbol, conditions: &[Condition<'_>], kinds: &Kinds, sets: &[Set]) -> Set {
    let with = |equivalent: Set, set: Set| {
        if set & only(symbol) == 0 { equivalent & !set } else { equivalent & set }
    };
    let mut equivalent = sets.iter().copied().fold(Set::MAX, with);
    for condition in conditions {
        equivalent = condition.kind(kinds).map_or(equivalent, |kind| with(equivalent, kind));
        let named = if matches!(condition.op, Op::Count(_)) { &kinds.numbers } else { condition.default };
        equivalent = named.iter().fold(equivalent, |equivalent, named| with(equivalent, only(*named)));
    }
    equivalent
}

/// The next position to decide and a subset of its characters; `None` if all conditions are decided.
fn undecided(conditions: &[Condition<'_>], kinds: &Kinds, sets: &[Set]) -> Option<(usize, Set)> {
    let kind = |condition: &Condition<'_>| {
        let kind = condition.kind(kinds)?;
        let mixed = |at: &usize| sets[*at] & kind != 0 && sets[*at] & !kind != 0;
        condition.identifier.clone().find(mixed).map(|at| (at, kind))
    };
    let code = |condition: &Condition<'_>| {
        let open = condition.code.clone().find(|at| single(sets[*at]).is_none());
        open.map(|at| (at, only(lowest(sets[at]))))
    };
    let any = |condition: &Condition<'_>| {
        let symbol = only(lowest(sets[condition.code.start]));
        let is_there = condition.identifier.clone().any(|at| sets[at] == symbol);
        if *condition.op != Op::Any || is_there {
            return None;
        }
        condition.identifier.clone().find(|at| sets[*at] & symbol != 0).map(|at| (at, symbol))
    };
    // First the kinds, which decide most at once, then the codes, which every function restricts.
    let mut found = conditions.iter().find_map(kind);
    found = found.or_else(|| conditions.iter().find_map(code));
    found.or_else(|| conditions.iter().find_map(any))
}
