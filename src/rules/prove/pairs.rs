//! Which statements, accounts and aliases have to be compared: those whose names can begin and end alike. Of
//! a hundred thousand rules that begin with an account each, these are few.

use super::alphabet::Alphabet;
use super::machine::Machine;
use super::member::{Listed, Source, Subject};
use super::search::{Bounds, Differ, Found, Pair, Parts};
use super::{Clash, Limits};
use crate::addr::MAX_LOCAL_PART;
use crate::rules::expression::Item;
use crate::rules::{Decision, Query, Rules};
use foldhash::{HashMap, HashMapExt};
use std::rc::Rc;

/// How much longer than the shortest name of either statement a witness may be. A code of the identifiers
/// that a function counts in the first few characters meets another one there or hardly ever.
const SLACK: usize = 16;

/// So many pairs of accounts and aliases of the same two statements are looked at for a shorter witness.
const SHORTER: usize = 64;

/// Of the names of a list that have to be compared one by one, with each other or with another list, so many
/// are: the first ones. All pairs of these are about [`MAX_PAIRS`](super::MAX_PAIRS).
const FIRST: usize = 200;

/// Most pairs that are looked at, of which many need no comparison: they are of one account, or end in
/// different texts. Each takes less than a microsecond.
const MAX_LOOKS: u64 = 5_000_000;

/// What is compared.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// This pair of an account and an alias of this statement.
    One(usize, usize),
    /// All statements of this form.
    All(usize),
}

/// What is known after all comparisons.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// At most one for two statements.
    pub clashes: Vec<(Clash, [usize; 2])>,
    /// Names read in several ways, or for several aliases, all for one account.
    pub ways: Vec<(Clash, [usize; 2])>,
    /// How many pairs there were, and how many were compared.
    pub pairs: (u64, u64),
    /// How many of these were given up.
    pub given_up: u64,
    /// How many statements were not looked at for names that can be read in two ways.
    pub uncut: usize,
}

pub(super) struct Comparison<'p> {
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
    /// What the names of each form are made of.
    listed: Rc<[Listed]>,
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
        Comparison { sources, rules, limits, fold, done, work: 0, looks: 0, known, forms, listed }
    }

    /// The statements of each form.
    pub fn forms(&self) -> &[Vec<usize>] {
        &self.forms
    }

    /// Compares all that can clash.
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

    /// Two units, one of which is a list at least.
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
        // What is one and the same reading for one name is another one for two.
        if !same && !self.meet(subjects, Differ::No) {
            return;
        }
        if told && !self.meet(subjects, Differ::Names) {
            // They hold the same names at the same places, and so they are of the same accounts.
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

    /// Whether the shapes of two lists meet.
    fn meet(&mut self, subjects: [Subject<'_>; 2], differ: Differ) -> bool {
        let Some(alphabet) = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold) else { return true };
        let machine = |subject| Machine::new(subject, 0, &alphabet, false);
        let (Some(one), Some(two)) = (machine(&subjects[0]), machine(&subjects[1])) else { return true };
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }

    /// Two pairs of an account and an alias, each of a statement.
    fn members(&mut self, one: (usize, usize), two: (usize, usize)) {
        let statements = (one.0, two.0);
        self.looks += 1;
        let (a, b) = (self.sources[one.0].subject(one.1), self.sources[two.0].subject(two.1));
        let same = a.destination() == b.destination();
        if same && one.0 != two.0 {
            return;
        }
        let Ok(domain) = a.source.domain(b.source) else { return };
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
        let name = match self.witness([a, b], Differ::No, [true, true]) {
            Ok(Some((name, _))) => name,
            Ok(None) => return,
            Err(()) => {
                self.done.given_up += 1;
                return;
            }
        };
        let clash = Clash {
            witness: name,
            domain: domain.map(Into::into),
            statements: [one.0, two.0],
            destinations: [a.shown(), b.shown()],
        };
        if !self.is_real(&clash, same) {
            self.done.given_up += 1;
            return;
        }
        let members = [one.1, two.1];
        if same {
            self.done.ways.push((clash, members));
            return;
        }
        let length = |clash: &Clash| clash.witness.chars().count();
        match found.and_then(|at| self.done.clashes.get_mut(at)) {
            Some(known) if length(&known.0) <= length(&clash) => {}
            Some(known) => *known = (clash, members),
            None => {
                self.known.insert(statements, (compared + 1, Some(self.done.clashes.len())));
                self.done.clashes.push((clash, members));
            }
        }
    }

    /// Whether a look-up says what a clash does.
    pub fn is_real(&self, clash: &Clash, same: bool) -> bool {
        let query = Query { name: &clash.witness, domain: clash.domain.as_deref(), today: None };
        match self.rules.find(query) {
            Decision::Ambiguous { .. } => true,
            Decision::Account { by_debug, ambiguous, .. } => by_debug || same && ambiguous,
            _ => false,
        }
    }

    /// The shortest name that both take, and how each reads it. The error is that it is not known.
    pub fn witness(
        &mut self,
        subjects: [Subject<'_>; 2],
        differ: Differ,
        exact: [bool; 2],
    ) -> Result<Option<(String, Parts)>, ()> {
        let alphabet = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold).ok_or(())?;
        let machine = |i: usize, exact: bool| Machine::new(&subjects[i], 0, &alphabet, exact).ok_or(());
        let (one, two) = (machine(0, false)?, machine(1, false)?);
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let meeting = pair.meet(self.limits.states, &mut self.work).ok_or(())?;
        if meeting.is_empty() {
            return Ok(None);
        }
        let least = subjects.iter().map(Subject::min_len).max().unwrap_or_default();
        let bounds = Bounds { longest: (least + SLACK).min(MAX_LOCAL_PART), states: self.limits.states };
        let (one, two) = (machine(0, exact[0])?, machine(1, exact[1])?);
        match pair.search([&one, &two], &meeting, bounds, &mut self.work) {
            Found::Nothing | Found::NothingSoShort => Ok(None),
            Found::Name(symbols, parts) => {
                let name: String = symbols.iter().map(|symbol| alphabet.character(*symbol)).collect();
                Ok((name.len() <= MAX_LOCAL_PART).then_some((name, parts)))
            }
            Found::GivenUp => Err(()),
        }
    }

    /// Whether a name of the form can be read in two ways, whatever its code.
    pub fn can_be_cut_twice(&mut self, form: usize) -> bool {
        let listed = self.listed.clone();
        let subject = self.sources[self.forms[form][0]].any(&listed[form]);
        let skip = subject.source.fixed_items();
        let Some(alphabet) = Alphabet::of(&[&subject], self.fold) else { return true };
        let Some(machine) = Machine::new(&subject, skip, &alphabet, false) else { return true };
        let pair = Pair { alphabet: &alphabet, differ: Differ::Cut, shapes: [&machine, &machine] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }
}
