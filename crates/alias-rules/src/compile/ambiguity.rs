//! Finds statements whose expression does not identify one account, considering all statements together.
//! Statements are referred to by their index.
//!
//! Statements without a common domain never apply to the same address. So statements with the same expression
//! and other owners of an alias are searched among the statements that share a domain; one without `DOMAINS`
//! shares every domain. The cost is proportional to the lists of domains, not to the pairs of statements.

use super::interner::{Interner, Listed};
use super::scope;
use crate::syntax::expression::Item;
use crate::syntax::{Fault, Name, Statement};
use diagnostics::Text;
use foldhash::{HashMap, HashSet, HashSetExt};
use std::borrow::Cow;
use std::ops::Range;

/// A summary of a statement, without its names.
pub(crate) struct Brief<'t> {
    /// The index of its text, and the text.
    file: usize,
    text: &'t Text,
    /// The span of its expression.
    span: Range<usize>,
    has_account: bool,
    has_alias: bool,
    aliased: bool,
    domains: Option<Vec<Name<'t>>>,
}

impl<'t> Brief<'t> {
    /// Summarises a statement of `text`, which has the index `file`.
    pub fn of(file: usize, text: &'t Text, statement: &Statement<'t>) -> Self {
        let Statement { expression, aliases, domains, .. } = statement;
        Brief {
            file,
            text,
            span: expression.span.clone(),
            has_account: expression.has(&Item::Account),
            has_alias: expression.has(&Item::Alias),
            aliased: aliases.is_some(),
            domains: domains.clone(),
        }
    }

    /// The expression as written.
    fn expression(&self) -> &'t str {
        self.text.content.get(self.span.clone()).unwrap_or_default()
    }
}

/// The owner of an alias that no account has.
const NO_OWNER: u32 = u32::MAX;
/// The owner of an alias that several accounts have.
const SEVERAL: u32 = u32::MAX - 1;

/// The statements of each account and the owners of each alias. Names are referred to by their number.
struct Facts<'s> {
    interner: &'s Interner,
    /// The statements by account: those of account `n` are `of[starts[n]..starts[n + 1]]`.
    of: Vec<u32>,
    starts: Vec<u32>,
    /// For each alias the account that has it, [`SEVERAL`] or [`NO_OWNER`].
    owner: Vec<u32>,
    /// For aliases with several owners: the owner in each domain, and in the statements for all domains
    /// (`None`).
    owner_in: HashMap<(usize, Option<usize>), u32>,
    /// The domains of each statement, by number; empty if it is for all domains.
    domains_of: Vec<Vec<usize>>,
    /// The first and the last statement with the same expression.
    texts: HashMap<&'s str, FirstLast>,
    /// The same for each domain, and for the statements for all domains (`None`). Empty if all statements are
    /// for all domains.
    texts_in: HashMap<(&'s str, Option<usize>), FirstLast>,
}

type FirstLast = (usize, usize);

impl<'s> Facts<'s> {
    fn new(statements: &[Brief<'s>], interner: &'s Interner) -> Self {
        let mut starts = vec![0_u32; interner.len() + 1];
        for x in 0..statements.len() {
            for account in interner.lists(x).accounts {
                starts[account.number()] += 1;
            }
        }
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        // Each start is the end of its list for now, and moves to the beginning as the list is filled.
        let mut of = vec![0; end as usize];
        let mut owner = vec![NO_OWNER; interner.len()];
        let mut texts: HashMap<&str, FirstLast> = HashMap::default();
        for (x, statement) in statements.iter().enumerate().rev() {
            texts.entry(statement.expression()).or_insert((x, x)).0 = x;
            let lists = interner.lists(x);
            for account in lists.accounts {
                let start = &mut starts[account.number()];
                *start -= 1;
                of[*start as usize] = number(x);
            }
            for alias in lists.aliases {
                add_owner(&mut owner[alias.number()], lists.accounts);
            }
        }
        let (owner_in, texts_in, domains_of) = Default::default();
        let mut facts = Facts { interner, of, starts, owner, owner_in, domains_of, texts, texts_in };
        facts.add_domains(statements);
        facts
    }

    /// Fills the maps that depend on domains.
    fn add_domains(&mut self, statements: &[Brief<'s>]) {
        if statements.iter().all(|statement| statement.domains.is_none()) {
            return;
        }
        let mut numbers: HashMap<Cow<'s, str>, usize> = HashMap::default();
        for (x, statement) in statements.iter().enumerate() {
            let mut domains = Vec::new();
            for domain in scope::domains(statement.domains.as_deref()) {
                let next = numbers.len();
                domains.push(*numbers.entry(domain).or_insert(next));
            }
            let text = statement.expression();
            let lists = self.interner.lists(x);
            for place in places(&domains) {
                self.texts_in.entry((text, place)).or_insert((x, x)).1 = x;
                // Most aliases have one owner in all domains.
                for alias in lists.aliases.iter().filter(|alias| self.owner[alias.number()] == SEVERAL) {
                    let owner = self.owner_in.entry((alias.number(), place)).or_insert(NO_OWNER);
                    add_owner(owner, lists.accounts);
                }
            }
            self.domains_of.push(domains);
        }
    }

    /// The domains of a statement; empty if it is for all domains.
    fn domains_of(&self, x: usize) -> &[usize] {
        self.domains_of.get(x).map_or(&[], Vec::as_slice)
    }

    /// The accounts with the statements that name them.
    fn accounts(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let of = |n: usize| self.of.get(self.starts[n] as usize..self.starts[n + 1] as usize);
        (0..self.interner.len()).filter_map(move |n| Some((n, of(n)?))).filter(|(_, of)| !of.is_empty())
    }

    /// Another statement with the same expression as statement `x` and a common domain.
    fn same(&self, x: usize, text: &str) -> Option<usize> {
        let other = |found: Option<&FirstLast>| {
            let (first, last) = *found?;
            [first, last].into_iter().find(|other| *other != x)
        };
        let own = self.domains_of(x);
        if own.is_empty() {
            return other(self.texts.get(text));
        }
        let shared = std::iter::once(None).chain(places(own));
        shared.map(|place| self.texts_in.get(&(text, place))).find_map(other)
    }

    /// Whether the alias of statement `x` has a single owner in all domains of the statement.
    fn has_one_owner(&self, x: usize, alias: Listed) -> bool {
        let owner = self.owner[alias.number()];
        let own = self.domains_of(x);
        if owner < SEVERAL || own.is_empty() {
            return owner < SEVERAL;
        }
        let shared = std::iter::once(None).chain(places(own));
        let mut owners = shared.filter_map(|place| self.owner_in.get(&(alias.number(), place)));
        owners.next().is_some_and(|first| *first < SEVERAL && owners.all(|owner| owner == first))
    }
}

/// The domains of a statement as keys: each domain, or `None` for all.
fn places(domains: &[usize]) -> impl Iterator<Item = Option<usize>> {
    domains.iter().copied().map(Some).chain(domains.is_empty().then_some(None))
}

/// Adds the accounts of another statement to the owners of an alias.
fn add_owner(owner: &mut u32, accounts: &[Listed]) {
    let only = if let [account] = accounts { number(account.number()) } else { SEVERAL };
    *owner = if *owner == NO_OWNER || *owner == only { only } else { SEVERAL };
}

/// A number of 32 bits, which suffices for all names because the size of the texts is limited.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NO_OWNER)
}

/// The aliases of an account, classified by their owners.
#[derive(Clone, Copy)]
enum Aliases {
    None,
    /// One alias, which no other account has.
    Own(Listed),
    /// Several aliases; no other account has this one.
    SomeOwn(Listed),
    /// Other accounts have all of them, too.
    Shared,
}

/// Reports the ambiguous statements, each with the index of its text.
pub(crate) fn check(statements: &[Brief<'_>], interner: &Interner) -> Vec<(usize, Fault)> {
    let facts = Facts::new(statements, interner);
    // For each statement, an alias that has a single owner.
    let own: Vec<Option<Listed>> = (0..statements.len())
        .map(|x| aliases_listed(interner, x).find(|alias| facts.has_one_owner(x, *alias)))
        .collect();
    let mut refusals = Refusals { statements, refused: HashSet::new(), faults: Vec::new() };
    for (account, of) in facts.accounts() {
        let aliases = aliases_of(of, interner, &own);
        for &x in of {
            let x = x as usize;
            let statement = &statements[x];
            let other = facts.same(x, statement.expression());
            match (aliases, other) {
                (Aliases::None, Some(other)) if !statement.has_account => {
                    let help = "put %account% into it, or a different literal into each";
                    refusals.refuse(x, refusals.same(other), help.into());
                }
                (Aliases::Own(alias), Some(other)) if !statement.has_account && !statement.has_alias => {
                    let alias = interner.text(alias.number());
                    let help = format!("put %account% into it, or %alias% for \"{alias}\"");
                    refusals.refuse(x, refusals.same(other), help);
                }
                (Aliases::SomeOwn(alias), _) if statement.aliased && !statement.has_alias => {
                    let (account, alias) = (interner.text(account), interner.text(alias.number()));
                    let message = format!(
                        "account \"{account}\" has several aliases, but the expression has no %alias%"
                    );
                    refusals.refuse(x, message, format!("put %alias% into it; \"{alias}\" is one of them"));
                }
                _ => {}
            }
        }
    }
    for (x, statement) in statements.iter().enumerate() {
        if statement.has_account && statement.has_alias {
            continue;
        }
        if let Some(alias) = aliases_listed(interner, x).find(|alias| !facts.has_one_owner(x, *alias)) {
            let alias = interner.text(alias.number());
            let message = format!(
                "alias \"{alias}\" belongs to several accounts, and the expression does not distinguish them"
            );
            refusals.refuse(x, message, "put both %account% and %alias% into it".into());
        }
    }
    refusals.faults
}

fn aliases_listed(interner: &Interner, statement: usize) -> impl Iterator<Item = Listed> + '_ {
    interner.lists(statement).aliases.iter().copied()
}

/// The statements that are ambiguous, each with one reason.
struct Refusals<'s, 't> {
    statements: &'s [Brief<'t>],
    refused: HashSet<usize>,
    faults: Vec<(usize, Fault)>,
}

impl Refusals<'_, '_> {
    fn refuse(&mut self, x: usize, message: String, help: String) {
        if self.refused.insert(x) {
            let Brief { file, span, .. } = &self.statements[x];
            self.faults.push((*file, Fault::new(span.clone(), message).help(help)));
        }
    }

    fn same(&self, other: usize) -> String {
        let Brief { text, span, .. } = &self.statements[other];
        let line = text.line(span.start);
        format!("the same expression is at {}:{line}, and it does not distinguish the accounts", text.file)
    }
}

/// Classifies the aliases that the statements `of` an account give it.
fn aliases_of(of: &[u32], interner: &Interner, own: &[Option<Listed>]) -> Aliases {
    let mut all = of.iter().flat_map(|x| interner.lists(*x as usize).aliases);
    let Some(first) = all.next() else { return Aliases::None };
    let single = all.all(|alias| alias.number() == first.number());
    match of.iter().find_map(|x| own[*x as usize]) {
        Some(alias) if single => Aliases::Own(alias),
        Some(alias) => Aliases::SomeOwn(alias),
        None => Aliases::Shared,
    }
}
