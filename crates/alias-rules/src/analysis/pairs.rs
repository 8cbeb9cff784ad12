//! Selects and compares the instances (a statement with one account and one alias) that can clash: those
//! whose names can begin and end alike. Among a hundred thousand rules that each begin with an account, these
//! are few.

use super::alphabet::{Alphabet, Symbol};
use super::instances::{ListCharacters, Source, Subject};
use super::machine::Machine;
use super::search::{Bounds, Differ, Pair, Parts, SearchResult};
use super::split_search::{SplitResult, SplitSearch};
use super::{Clash, Limits};
use crate::matcher::rules::{Decision, Query, Rules};
use crate::syntax::expression::Item;
use foldhash::{HashMap, HashMapExt};
use mail_address::MAX_LOCAL_PART;
use std::rc::Rc;

/// Maximum number of characters by which a witness is longer than the shortest name of either statement.
/// Codes that do not clash within the first few characters hardly ever clash.
const SLACK: usize = 16;

/// Maximum number of pairs of instances of the same two statements that are searched for a shorter witness.
const SHORTER: usize = 64;

/// Maximum number of names of a list that are compared one by one, with each other or with another list. All
/// their pairs are about [`MAX_PAIRS`](crate::analysis::MAX_PAIRS).
const FIRST: usize = 200;

/// Maximum number of pairs to consider, each of which takes less than a microsecond. Many need no comparison,
/// because they belong to one account or end in different texts.
const MAX_CONSIDERED: u64 = 5_000_000;

/// Maximum number of steps for two statements in the first pass. Names of eight characters take some hundred,
/// so the short names of all statements are checked before long names of any.
const FIRST_STEPS: usize = 2_000;

/// The effort of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// At most [`FIRST_STEPS`].
    First,
    /// Up to the limits.
    All,
}

/// The error of a comparison that was not finished: there is no clash with a shorter name than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished(pub usize);

/// The index of a statement and the number of its instance.
type InstanceId = (usize, usize);

/// A unit of comparison.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// An instance of a statement.
    One(usize, usize),
    /// All instances of all statements of a form.
    All(usize),
}

/// The result of all comparisons.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Names with two destinations; at most one for each pair of statements.
    pub clashes: Vec<(Clash, [usize; 2])>,
    /// Names with several matches for one account.
    pub same_account: Vec<(Clash, [usize; 2])>,
    /// The number of pairs, and of pairs that were compared.
    pub pairs: (u64, u64),
    /// The number of comparisons that were not finished.
    pub unfinished: u64,
    /// The length up to which unfinished comparisons have checked all names.
    pub shorter: usize,
    /// The number of statements that were not searched for names that can be split in two ways.
    pub unsearched: usize,
}

pub(crate) struct Comparison<'p> {
    pub sources: &'p [Source<'p>],
    pub rules: &'p Rules,
    pub limits: &'p Limits,
    pub fold: bool,
    pub done: Compared,
    pub work: usize,
    considered: u64,
    /// By pair of statements, the number of compared instances, and the index of the clash found.
    compared: HashMap<(usize, usize), (usize, Option<usize>)>,
    forms: Vec<Vec<usize>>,
    /// The characters of the names of each form.
    listed: Rc<[ListCharacters]>,
    /// The comparisons that the first pass did not finish, each with the length reached.
    unfinished: Vec<(usize, InstanceId, InstanceId)>,
}

impl<'p> Comparison<'p> {
    pub fn new(sources: &'p [Source<'p>], rules: &'p Rules, limits: &'p Limits, fold: bool) -> Self {
        let mut forms: Vec<Vec<usize>> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (i, source) in sources.iter().enumerate() {
            if source.checked.never.is_none() && !source.needs_secret() && source.instance_count() > 0 {
                let number = *numbers.entry(source.form()).or_insert(forms.len());
                if number == forms.len() {
                    forms.push(Vec::new());
                }
                forms[number].push(i);
            }
        }
        let listed = forms.iter().map(|form| ListCharacters::of(form.iter().map(|source| &sources[*source])));
        let (done, compared, listed) = (Compared::default(), HashMap::new(), listed.collect());
        let (work, considered, unfinished) = (0, 0, Vec::new());
        Comparison {
            sources,
            rules,
            limits,
            fold,
            done,
            work,
            considered,
            compared,
            forms,
            listed,
            unfinished,
        }
    }

    /// The indices of the statements of each form.
    pub fn forms(&self) -> &[Vec<usize>] {
        &self.forms
    }

    /// Compares all instances that can clash in the first pass.
    pub fn run(&mut self) {
        let mut units: Vec<(String, Unit)> = Vec::new();
        for (number, form) in self.forms.iter().enumerate() {
            let instance_count =
                || form.iter().map(|source| self.sources[*source].instance_count()).sum::<usize>();
            if self.sources[form[0]].has_floating_names() && instance_count() > self.limits.listed {
                units.push((self.sources[form[0]].general(&self.listed[number]).prefix(), Unit::All(number)));
                continue;
            }
            for source in form {
                let source_of = &self.sources[*source];
                let each = 0..source_of.instance_count();
                units.extend(each.map(|i| (source_of.subject(i).prefix(), Unit::One(*source, i))));
            }
        }
        // A stable sort keeps equal texts in the order of the rules.
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
            || self.considered >= MAX_CONSIDERED
    }

    fn pair(&mut self, one: Unit, two: Unit) {
        match (one, two) {
            (Unit::One(s, i), Unit::One(t, j)) if (s, i) <= (t, j) => self.instances((s, i), (t, j)),
            (Unit::One(s, i), Unit::One(t, j)) => self.instances((t, j), (s, i)),
            _ => self.lists(one, two),
        }
    }

    /// The instances of a unit that are compared one by one.
    fn instances_of(&self, unit: Unit) -> Vec<InstanceId> {
        match unit {
            Unit::One(source, i) => vec![(source, i)],
            Unit::All(form) => {
                let sources = self.forms[form].iter();
                let each = sources.flat_map(|s| (0..self.sources[*s].instance_count()).map(|i| (*s, i)));
                each.take(FIRST).collect()
            }
        }
    }

    fn count_of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::One(..) => 1,
            Unit::All(form) => {
                self.forms[form].iter().map(|s| self.sources[*s].instance_count() as u64).sum()
            }
        }
    }

    /// Compares two units, of which at least one is a list.
    fn lists(&mut self, one: Unit, two: Unit) {
        let listed = self.listed.clone();
        let whole = |unit| match unit {
            Unit::One(source, i) => self.sources[source].subject(i),
            Unit::All(form) => self.sources[self.forms[form][0]].general(&listed[form]),
        };
        let subjects = [whole(one), whole(two)];
        let names_identify_accounts = subjects.iter().all(|subject| {
            subject.source.items.contains(&Item::Account)
                && subject.source.checked.statement.deliver.is_none()
        });
        let same = matches!((one, two), (Unit::All(a), Unit::All(b)) if a == b);
        if subjects[0].source.domain(subjects[1].source).is_err() {
            return;
        }
        self.done.pairs.0 += 1;
        self.done.pairs.1 += 1;
        if !same && !self.have_common_name(subjects, Differ::No) {
            return;
        }
        if names_identify_accounts && !self.have_common_name(subjects, Differ::Names) {
            // All matches have the same names at the same positions, so they are for the same account.
            return;
        }
        let count = match (self.count_of(one), self.count_of(two)) {
            (n, _) if same => n.saturating_mul(n.saturating_sub(1)) / 2,
            (n, m) => n.saturating_mul(m),
        };
        let (ones, twos) = (self.instances_of(one), self.instances_of(two));
        let mut compared = 0;
        'all: for (i, a) in ones.iter().enumerate() {
            for b in twos.iter().skip(if same { i + 1 } else { 0 }) {
                if self.is_over() {
                    break 'all;
                }
                compared += 1;
                self.instances((*a).min(*b), (*a).max(*b));
            }
        }
        self.done.pairs.0 += count.saturating_sub(compared);
    }

    /// Whether the shapes have a common name, as far as is known within the limits.
    fn have_common_name(&mut self, subjects: [Subject<'_>; 2], differ: Differ) -> bool {
        let Some(alphabet) = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold) else { return true };
        let machine = |subject| Machine::new(subject, 0, &alphabet, false);
        let (Some(one), Some(two)) = (machine(&subjects[0]), machine(&subjects[1])) else { return true };
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }

    /// Compares two instances in the first pass, if they can clash.
    fn instances(&mut self, one: InstanceId, two: InstanceId) {
        let statements = (one.0, two.0);
        self.considered += 1;
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
        let (compared, found) = self.compared.get(&statements).copied().unwrap_or_default();
        if found.is_some() && compared >= SHORTER {
            return;
        }
        self.compared.insert(statements, (compared + 1, found));
        if let Err(Unfinished(length)) = self.compare(one, two, Effort::First) {
            self.unfinished.push((length, one, two));
        }
    }

    /// Finishes the comparisons of the first pass, beginning with those that may have the shortest names.
    pub fn finish(&mut self) {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        unfinished.sort_unstable();
        for (length, one, two) in unfinished {
            let result = if self.work >= self.limits.work {
                Err(Unfinished(length))
            } else {
                self.compare(one, two, Effort::All)
            };
            if let Err(Unfinished(length)) = result {
                self.add_unfinished(length);
            }
        }
    }

    /// Records a comparison that was not finished.
    fn add_unfinished(&mut self, length: usize) {
        self.done.shorter = if self.done.unfinished == 0 { length } else { self.done.shorter.min(length) };
        self.done.unfinished += 1;
    }

    /// The index of the clash found between two statements, with the length of its name.
    fn found(&self, statements: (usize, usize)) -> Option<(usize, usize)> {
        let (_, found) = self.compared.get(&statements)?;
        found.and_then(|at| Some((at, self.done.clashes.get(at)?.0.witness.chars().count())))
    }

    fn compare(&mut self, one: InstanceId, two: InstanceId, effort: Effort) -> Result<(), Unfinished> {
        let (a, b) = (self.sources[one.0].subject(one.1), self.sources[two.0].subject(two.1));
        let same = a.destination() == b.destination();
        let domain = a.source.domain(b.source).ok().flatten();
        let witness = self.witness([a, b], Differ::No, [true, true], effort);
        let previous = self.found((one.0, two.0));
        let name = match witness {
            Ok(Some((name, _))) => name,
            Ok(None) => return Ok(()),
            // The rest of the search could not find a shorter name than the previous one.
            Err(Unfinished(shorter)) if previous.is_some_and(|(_, length)| length <= shorter) => {
                return Ok(());
            }
            Err(unfinished) => return Err(unfinished),
        };
        let length = name.chars().count();
        let clash = Clash {
            witness: name,
            domain: domain.map(Into::into),
            statements: [one.0, two.0],
            destinations: [a.display(), b.display()],
        };
        if !self.is_real(&clash, same) {
            self.add_unfinished(length);
            return Ok(());
        }
        let instances = [one.1, two.1];
        if same {
            self.done.same_account.push((clash, instances));
            return Ok(());
        }
        match previous {
            Some((_, shorter)) if shorter <= length => {}
            Some((at, _)) => self.done.clashes[at] = (clash, instances),
            None => {
                let number = self.done.clashes.len();
                self.compared.entry((one.0, two.0)).or_default().1 = Some(number);
                self.done.clashes.push((clash, instances));
            }
        }
        Ok(())
    }

    /// Whether a lookup confirms a clash.
    pub fn is_real(&self, clash: &Clash, same: bool) -> bool {
        let query = Query { name: &clash.witness, domain: clash.domain.as_deref(), today: None };
        match self.rules.find(query) {
            Decision::Ambiguous { .. } => true,
            Decision::Account { by_debug, ambiguous, .. } => by_debug || same && ambiguous,
            _ => false,
        }
    }

    /// Finds the shortest name that both instances match, with both splits.
    pub fn witness(
        &mut self,
        subjects: [Subject<'_>; 2],
        differ: Differ,
        exact: [bool; 2],
        effort: Effort,
    ) -> Result<Option<(String, Parts)>, Unfinished> {
        let least = subjects.iter().map(Subject::min_len).max().unwrap_or_default();
        let unfinished = || Unfinished(least);
        let alphabet = Alphabet::of(&[&subjects[0], &subjects[1]], self.fold).ok_or_else(unfinished)?;
        let machine =
            |i: usize, exact: bool| Machine::new(&subjects[i], 0, &alphabet, exact).ok_or_else(unfinished);
        let (one, two) = (machine(0, false)?, machine(1, false)?);
        let pair = Pair { alphabet: &alphabet, differ, shapes: [&one, &two] };
        let states = self.limits.states;
        let mut meeting = pair.meet(states, &mut self.work).ok_or_else(unfinished)?;
        let longest = (least + SLACK).min(MAX_LOCAL_PART);
        let Some(shortest) = meeting.left(pair.start()) else { return Ok(None) };
        let witness = |name: Vec<Symbol>, parts| {
            let name: String = name.iter().map(|symbol| alphabet.character(*symbol)).collect();
            Ok((name.len() <= MAX_LOCAL_PART).then_some((name, parts)))
        };
        let steps = FIRST_STEPS.min(states);
        let mut search = SplitSearch::new(&pair, &mut meeting, exact);
        let reached = match search.search(shortest..=longest, steps, &mut self.work) {
            SplitResult::Nothing => return Ok(None),
            SplitResult::Name(name, parts) => return witness(name, parts),
            SplitResult::LimitReached(length) => length,
        };
        if effort == Effort::First {
            return Err(Unfinished(reached));
        }
        // If there are many splits but few states, the search by states is faster.
        let (one, two) = (machine(0, exact[0])?, machine(1, exact[1])?);
        let bounds = Bounds { longest, states };
        let seen = match pair.search([&one, &two], &meeting, bounds, &mut self.work) {
            SearchResult::Nothing | SearchResult::NotWithinLength => return Ok(None),
            SearchResult::Name(name, parts) => return witness(name, parts),
            SearchResult::LimitReached(length) => length,
        };
        let mut search = SplitSearch::new(&pair, &mut meeting, exact);
        match search.search(reached.max(seen + 1)..=longest, states, &mut self.work) {
            SplitResult::Nothing => Ok(None),
            SplitResult::Name(name, parts) => witness(name, parts),
            SplitResult::LimitReached(length) => Err(Unfinished(length)),
        }
    }

    /// Whether a name of the form can be split in two ways, regardless of its code.
    pub fn can_split_twice(&mut self, form: usize) -> bool {
        let listed = self.listed.clone();
        let subject = self.sources[self.forms[form][0]].general(&listed[form]);
        let skip = subject.source.fixed_items();
        let Some(alphabet) = Alphabet::of(&[&subject], self.fold) else { return true };
        let Some(machine) = Machine::new(&subject, skip, &alphabet, false) else { return true };
        let pair = Pair { alphabet: &alphabet, differ: Differ::Split, shapes: [&machine, &machine] };
        let meeting = pair.meet(self.limits.states, &mut self.work);
        meeting.is_none_or(|meeting| !meeting.is_empty())
    }
}
