//! Finds the statements, accounts and aliases to compare: those whose names can begin and end alike. Among a
//! hundred thousand rules that begin with an account each, these are few.

use super::alphabet::{Alphabet, Symbol};
use super::instances::{Listed, Source, Subject};
use super::machine::Machine;
use super::search::{Bounds, Differ, Found, Pair, Parts};
use super::ways::{Looked, Ways};
use super::{Clash, Limits};
use crate::matcher::rules::{Decision, Query, Rules};
use crate::syntax::expression::Item;
use foldhash::{HashMap, HashMapExt};
use mail_address::MAX_LOCAL_PART;
use std::rc::Rc;

/// How much longer than the shortest name of either statement a witness may be. A code of the identifiers
/// that a function counts in the first few characters meets another one there or hardly ever.
const SLACK: usize = 16;

/// Most pairs of accounts and aliases of the same two statements that are searched for a shorter witness.
const SHORTER: usize = 64;

/// Most names of a list that are compared one by one, with each other or with another list: the first ones.
/// All their pairs are about [`MAX_PAIRS`](crate::analysis::MAX_PAIRS).
const FIRST: usize = 200;

/// Most pairs to consider. Many need no comparison: they belong to one account, or end in different texts.
/// Each takes less than a microsecond.
const MAX_LOOKS: u64 = 5_000_000;

/// Most steps for two statements before all others have had as many. Names of eight characters take some
/// hundred, so the short names of all statements are checked before the long ones of any.
const FIRST_STEPS: usize = 2_000;

/// How far a comparison goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// [`FIRST_STEPS`].
    First,
    /// As far as the limits allow.
    All,
}

/// A comparison that did not come to an end: no name is shorter than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open(pub usize);

/// A pair of an account and an alias, by the number of its statement and its own.
type Member = (usize, usize);

/// A unit of comparison.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// This pair of an account and an alias of this statement.
    One(usize, usize),
    /// All statements of this form.
    All(usize),
}

/// The result of all comparisons.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// At most one for two statements.
    pub clashes: Vec<(Clash, [usize; 2])>,
    /// Names read in several ways, or for several aliases, all for one account.
    pub ways: Vec<(Clash, [usize; 2])>,
    /// How many pairs there were, and how many were compared.
    pub pairs: (u64, u64),
    /// How many of these were not finished.
    pub given_up: u64,
    /// All shorter names were checked in each of those.
    pub shorter: usize,
    /// How many statements were not checked for names that can be split in two ways.
    pub unsplit: usize,
}

pub(crate) struct Comparison<'p> {
    pub sources: &'p [Source<'p>],
    pub rules: &'p Rules,
    pub limits: &'p Limits,
    pub fold: bool,
    pub done: Compared,
    pub work: usize,
    looks: u64,
    /// By statements: how many of their pairs were compared, and the clash found, by its number.
    known: HashMap<(usize, usize), (usize, Option<usize>)>,
    forms: Vec<Vec<usize>>,
    /// The characters of the names of each form.
    listed: Rc<[Listed]>,
    /// The comparisons that the first effort did not finish, each with the length reached.
    open: Vec<(usize, Member, Member)>,
}

impl<'p> Comparison<'p> {
    pub fn new(sources: &'p [Source<'p>], rules: &'p Rules, limits: &'p Limits, fold: bool) -> Self {
        let mut forms: Vec<Vec<usize>> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (i, source) in sources.iter().enumerate() {
            if source.checked.never.is_none() && source.is_open() && source.members() > 0 {
                let number = *numbers.entry(source.form()).or_insert(forms.len());
                if number == forms.len() {
                    forms.push(Vec::new());
                }
                forms[number].push(i);
            }
        }
        let listed = forms.iter().map(|form| Listed::of(form.iter().map(|source| &sources[*source])));
        let (done, known, listed) = (Compared::default(), HashMap::new(), listed.collect());
        let open = Vec::new();
        Comparison { sources, rules, limits, fold, done, work: 0, looks: 0, known, forms, listed, open }
    }

    /// The statements of each form.
    pub fn forms(&self) -> &[Vec<usize>] {
        &self.forms
    }

    /// Compares all possible clashes, each with the first effort.
    pub fn run(&mut self) {
        let mut units: Vec<(String, Unit)> = Vec::new();
        for (number, form) in self.forms.iter().enumerate() {
            let members = || form.iter().map(|source| self.sources[*source].members()).sum::<usize>();
            if self.sources[form[0]].is_unanchored() && members() > self.limits.listed {
                units.push((self.sources[form[0]].any(&self.listed[number]).prefix(), Unit::All(number)));
                continue;
            }
            for source in form {
                let source_of = &self.sources[*source];
                let each = 0..source_of.members();
                units.extend(each.map(|i| (source_of.subject(i).prefix(), Unit::One(*source, i))));
            }
        }
        // Equal texts stay in the order of the rules.
        units.sort_by(|a, b| a.0.cmp(&b.0));
        let mut open: Vec<usize> = Vec::new();
        for (i, (prefix, unit)) in units.iter().enumerate() {
            while open.last().is_some_and(|last| !prefix.starts_with(&units[*last].0)) {
                open.pop();
            }
            if let Unit::All(_) = unit {
                self.pair(*unit, *unit);
            }
            for (n, other) in open.iter().enumerate() {
                if self.is_over() {
                    self.done.pairs.0 += (open.len() - n) as u64;
                    break;
                }
                self.pair(units[*other].1, *unit);
            }
            open.push(i);
        }
    }

    /// Whether a limit is reached.
    pub fn is_over(&self) -> bool {
        self.done.pairs.1 >= self.limits.pairs as u64
            || self.work >= self.limits.work
            || self.looks >= MAX_LOOKS
    }

    fn pair(&mut self, one: Unit, two: Unit) {
        match (one, two) {
            (Unit::One(s, i), Unit::One(t, j)) if (s, i) <= (t, j) => self.members((s, i), (t, j)),
            (Unit::One(s, i), Unit::One(t, j)) => self.members((t, j), (s, i)),
            _ => self.lists(one, two),
        }
    }

    /// The first statement of a unit and the numbers of its members.
    fn members_of(&self, unit: Unit) -> Vec<(usize, usize)> {
        match unit {
            Unit::One(source, i) => vec![(source, i)],
            Unit::All(form) => {
                let sources = self.forms[form].iter();
                let each = sources.flat_map(|s| (0..self.sources[*s].members()).map(|i| (*s, i)));
                each.take(FIRST).collect()
            }
        }
    }

    fn count_of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::One(..) => 1,
            Unit::All(form) => self.forms[form].iter().map(|s| self.sources[*s].members() as u64).sum(),
        }
    }

    /// Compares two units, of which at least one is a list.
    fn lists(&mut self, one: Unit, two: Unit) {
        let listed = self.listed.clone();
        let whole = |unit| match unit {
            Unit::One(source, i) => self.sources[source].subject(i),
            Unit::All(form) => self.sources[self.forms[form][0]].any(&listed[form]),
        };
        let subjects = [whole(one), whole(two)];
        let told = subjects.iter().all(|subject| {
            subject.source.items.contains(&Item::Account)
                && subject.source.checked.statement.deliver.is_none()
        });
        let same = matches!((one, two), (Unit::All(a), Unit::All(b)) if a == b);
        if subjects[0].source.domain(subjects[1].source).is_err() {
            return;
        }
        self.done.pairs.0 += 1;
        self.done.pairs.1 += 1;
        // One reading for a single name becomes two readings for two names.
        if !same && !self.meet(subjects, Differ::No) {
            return;
        }
        if told && !self.meet(subjects, Differ::Names) {
            // They have the same names at the same positions, and so belong to the same accounts.
            return;
        }
        let count = match (self.count_of(one), self.count_of(two)) {
            (n, _) if same => n.saturating_mul(n.saturating_sub(1)) / 2,
            (n, m) => n.saturating_mul(m),
        };
        let (ones, twos) = (self.members_of(one), self.members_of(two));
        let mut compared = 0;
        'all: for (i, a) in ones.iter().enumerate() {
            for b in twos.iter().skip(if same { i + 1 } else { 0 }) {
                if self.is_over() {
                    break 'all;
                }
                compared += 1;
                self.members((*a).min(*b), (*a).max(*b));
            }
        }
        self.done.pairs.0 += count.saturating_sub(compared);
    }

    /// Whether the shapes of two lists have a common name.
    fn meet(&mut self, subjects: [Subject<'_>; 2], differ: Differ) -> bool {
        let Some(alphabet) = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold) else { return true };
        let machine = |subject| Machine::new(subject, 0, &alphabet, false);
        let (Some(one), Some(two)) = (machine(&subjects[0]), machine(&subjects[1])) else { return true };
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }

    /// Two pairs of an account and an alias, each of a statement.
    fn members(&mut self, one: Member, two: Member) {
        let statements = (one.0, two.0);
        self.looks += 1;
        let (a, b) = (self.sources[one.0].subject(one.1), self.sources[two.0].subject(two.1));
        if a.destination() == b.destination() && one.0 != two.0 || a.source.domain(b.source).is_err() {
            return;
        }
        let ends = (a.suffix(), b.suffix());
        if !ends.0.ends_with(&ends.1) && !ends.1.ends_with(&ends.0) {
            return;
        }
        self.done.pairs.0 += 1;
        self.done.pairs.1 += 1;
        let (compared, found) = self.known.get(&statements).copied().unwrap_or_default();
        if found.is_some() && compared >= SHORTER {
            return;
        }
        self.known.insert(statements, (compared + 1, found));
        if let Err(Open(length)) = self.compare(one, two, Effort::First) {
            self.open.push((length, one, two));
        }
    }

    /// Finishes the open comparisons, beginning with those that may have the shortest names.
    pub fn finish(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        open.sort_unstable();
        for (length, one, two) in open {
            let ended = if self.work >= self.limits.work {
                Err(Open(length))
            } else {
                self.compare(one, two, Effort::All)
            };
            if let Err(Open(length)) = ended {
                self.give_up(length);
            }
        }
    }

    /// Records a comparison that was not finished.
    fn give_up(&mut self, length: usize) {
        self.done.shorter = if self.done.given_up == 0 { length } else { self.done.shorter.min(length) };
        self.done.given_up += 1;
    }

    /// The clash found between two statements, by its number, with the length of its name.
    fn found(&self, statements: (usize, usize)) -> Option<(usize, usize)> {
        let (_, found) = self.known.get(&statements)?;
        found.and_then(|at| Some((at, self.done.clashes.get(at)?.0.witness.chars().count())))
    }

    fn compare(&mut self, one: Member, two: Member, effort: Effort) -> Result<(), Open> {
        let (a, b) = (self.sources[one.0].subject(one.1), self.sources[two.0].subject(two.1));
        let same = a.destination() == b.destination();
        let domain = a.source.domain(b.source).ok().flatten();
        let witness = self.witness([a, b], Differ::No, [true, true], effort);
        let known = self.found((one.0, two.0));
        let name = match witness {
            Ok(Some((name, _))) => name,
            Ok(None) => return Ok(()),
            // A name that is not longer is already known.
            Err(Open(shorter)) if known.is_some_and(|(_, length)| length <= shorter) => return Ok(()),
            Err(open) => return Err(open),
        };
        let length = name.chars().count();
        let clash = Clash {
            witness: name,
            domain: domain.map(Into::into),
            statements: [one.0, two.0],
            destinations: [a.shown(), b.shown()],
        };
        if !self.is_real(&clash, same) {
            self.give_up(length);
            return Ok(());
        }
        let members = [one.1, two.1];
        if same {
            self.done.ways.push((clash, members));
            return Ok(());
        }
        match known {
            Some((_, known)) if known <= length => {}
            Some((at, _)) => self.done.clashes[at] = (clash, members),
            None => {
                let number = self.done.clashes.len();
                self.known.entry((one.0, two.0)).or_default().1 = Some(number);
                self.done.clashes.push((clash, members));
            }
        }
        Ok(())
    }

    /// Whether a look-up confirms a clash.
    pub fn is_real(&self, clash: &Clash, same: bool) -> bool {
        let query = Query { name: &clash.witness, domain: clash.domain.as_deref(), today: None };
        match self.rules.find(query) {
            Decision::Ambiguous { .. } => true,
            Decision::Account { by_debug, ambiguous, .. } => by_debug || same && ambiguous,
            _ => false,
        }
    }

    /// The shortest name that both match, and how each splits it.
    pub fn witness(
        &mut self,
        subjects: [Subject<'_>; 2],
        differ: Differ,
        exact: [bool; 2],
        effort: Effort,
    ) -> Result<Option<(String, Parts)>, Open> {
        let least = subjects.iter().map(Subject::min_len).max().unwrap_or_default();
        let open = || Open(least);
        let alphabet = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold).ok_or_else(open)?;
        let machine =
            |i: usize, exact: bool| Machine::new(&subjects[i], 0, &alphabet, exact).ok_or_else(open);
        let (one, two) = (machine(0, false)?, machine(1, false)?);
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let states = self.limits.states;
        let mut meeting = pair.meet(states, &mut self.work).ok_or_else(open)?;
        let longest = (least + SLACK).min(MAX_LOCAL_PART);
        let Some(shortest) = meeting.left(pair.start()) else { return Ok(None) };
        let ended = |name: Vec<Symbol>, parts| {
            let name: String = name.iter().map(|symbol| alphabet.character(*symbol)).collect();
            Ok((name.len() <= MAX_LOCAL_PART).then_some((name, parts)))
        };
        let steps = FIRST_STEPS.min(states);
        let mut ways = Ways::new(&pair, &mut meeting, exact);
        let open = match ways.look(shortest..=longest, steps, &mut self.work) {
            Looked::Nothing => return Ok(None),
            Looked::Name(name, parts) => return ended(name, parts),
            Looked::UsedUp(length) => length,
        };
        if effort == Effort::First {
            return Err(Open(open));
        }
        // With many splits but few states, the search by states is faster.
        let (one, two) = (machine(0, exact[0])?, machine(1, exact[1])?);
        let bounds = Bounds { longest, states };
        let seen = match pair.search([&one, &two], &meeting, bounds, &mut self.work) {
            Found::Nothing | Found::NothingSoShort => return Ok(None),
            Found::Name(name, parts) => return ended(name, parts),
            Found::UsedUp(length) => length,
        };
        let mut ways = Ways::new(&pair, &mut meeting, exact);
        match ways.look(open.max(seen + 1)..=longest, states, &mut self.work) {
            Looked::Nothing => Ok(None),
            Looked::Name(name, parts) => ended(name, parts),
            Looked::UsedUp(length) => Err(Open(length)),
        }
    }

    /// Whether a name of the form can be read in two ways, whatever its code.
    pub fn can_be_cut_twice(&mut self, form: usize) -> bool {
        let listed = self.listed.clone();
        let subject = self.sources[self.forms[form][0]].any(&listed[form]);
        let skip = subject.source.fixed_items();
        let Some(alphabet) = Alphabet::of(&[&subject], self.fold) else { return true };
        let Some(machine) = Machine::new(&subject, skip, &alphabet, false) else { return true };
        let pair = Pair { alphabet: &alphabet, differ: Differ::Split, shapes: [&machine, &machine] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }
}
