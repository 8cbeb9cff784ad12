//! Whether all statements together leave no doubt whose an address is. Statements go by their number, which
//! is also their place in every list here.

use super::expression::{Expression, Item};
use super::syntax::{Fault, Name, Statement};
use crate::diag::Text;
use foldhash::{HashMap, HashSet, HashSetExt};
use std::borrow::Cow;

/// Who has which alias in which statement. Names are folded where case does not count.
#[derive(Default)]
struct Facts<'s> {
    /// In order of appearance, each with the statements that name it.
    accounts: Vec<(Cow<'s, str>, Vec<usize>)>,
    position: HashMap<Cow<'s, str>, usize>,
    /// The aliases of each statement.
    aliases: Vec<Vec<Cow<'s, str>>>,
    /// The one account that has the alias, `None` if there are several.
    owner: HashMap<Cow<'s, str>, Option<Cow<'s, str>>>,
    /// The first and the last statement that have the expression, letter by letter.
    texts: HashMap<&'s str, (usize, usize)>,
}

impl<'s> Facts<'s> {
    fn add(&mut self, x: usize, statement: &'s Statement<'s>, key: impl Fn(&'s Name<'s>) -> Cow<'s, str>) {
        self.texts.entry(&statement.expression.text).or_insert((x, x)).1 = x;
        let mut accounts = HashSet::new();
        for account in statement.accounts.iter().map(&key) {
            if accounts.insert(account.clone()) {
                let next = self.accounts.len();
                let at = *self.position.entry(account.clone()).or_insert(next);
                if at == next {
                    self.accounts.push((account, Vec::new()));
                }
                self.accounts[at].1.push(x);
            }
        }
        let only = accounts.iter().next().filter(|_| accounts.len() == 1);
        let aliases: Vec<_> = statement.aliases.iter().flatten().map(&key).collect();
        for alias in &aliases {
            let owner = self.owner.entry(alias.clone()).or_insert_with(|| only.cloned());
            if owner.as_ref() != only {
                *owner = None;
            }
        }
        self.aliases.push(aliases);
    }

    /// Another statement with the expression of statement `x`.
    fn same(&self, x: usize, text: &str) -> Option<usize> {
        let (first, last) = *self.texts.get(text)?;
        [first, last].into_iter().find(|other| *other != x)
    }

    fn has_one_owner(&self, alias: &str) -> bool {
        self.owner.get(alias).is_some_and(Option::is_some)
    }
}

/// What the aliases of an account are like.
#[derive(Clone, Copy)]
enum Aliases<'f> {
    None,
    /// A single one, which no other account has.
    Own(&'f str),
    /// Several, this one among them, which no other account has.
    SomeOwn(&'f str),
    /// Others have each of them as well.
    Shared,
}

/// The statements that leave doubt, by number, and what is wrong with them. With `fold` names are compared
/// without regard to case.
pub(super) fn check(statements: &[(&Text, &Statement<'_>)], fold: bool) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    let mut facts = Facts::default();
    for (x, (_, statement)) in statements.iter().enumerate() {
        facts.add(
            x,
            statement,
            |name| {
                if fold { crate::addr::fold(name.value) } else { Cow::Borrowed(name.value) }
            },
        );
    }
    // Of each statement one alias that only its account has.
    let own: Vec<Option<&str>> = facts
        .aliases
        .iter()
        .map(|aliases| aliases.iter().map(|alias| &**alias).find(|alias| facts.has_one_owner(alias)))
        .collect();
    let mut refused = HashSet::new();
    let mut refuse = |x: usize, message: String, help: String| {
        if refused.insert(x) {
            let span = statements[x].1.expression.span.clone();
            faults.push((x, Fault::new(span, message).help(help)));
        }
    };
    let same = |other: usize| {
        let (text, statement) = statements[other];
        let line = text.place(statement.expression.span.start).0;
        format!(
            "the same expression stands at {}:{line} too, and it does not tell the accounts apart",
            text.file
        )
    };
    for (account, of) in &facts.accounts {
        let aliases = aliases_of(of, &facts, &own);
        for &x in of {
            let statement = statements[x].1;
            let expression = &statement.expression;
            let other = facts.same(x, &expression.text);
            match (aliases, other) {
                (Aliases::None, Some(other)) if !expression.has(&Item::Account) => {
                    refuse(x, same(other), "put %account% into it, or a literal of its own into each".into());
                }
                (Aliases::Own(alias), Some(other)) if !names_someone(expression) => {
                    refuse(x, same(other), format!("put %account% into it, or %alias% for \"{alias}\""));
                }
                (Aliases::SomeOwn(alias), _)
                    if statement.aliases.is_some() && !expression.has(&Item::Alias) =>
                {
                    refuse(
                        x,
                        format!("account \"{account}\" has several aliases, but the expression names none"),
                        format!("put %alias% into it; \"{alias}\" is one of them"),
                    );
                }
                _ => {}
            }
        }
    }
    for (x, (_, statement)) in statements.iter().enumerate() {
        let expression = &statement.expression;
        if expression.has(&Item::Account) && expression.has(&Item::Alias) {
            continue;
        }
        if let Some(alias) = facts.aliases[x].iter().find(|alias| !facts.has_one_owner(alias)) {
            refuse(
                x,
                format!(
                    "alias \"{alias}\" belongs to several accounts, and the expression does not say to which"
                ),
                "put both %account% and %alias% into it".into(),
            );
        }
    }
    faults
}

/// What the aliases are that the statements `of` an account give it.
fn aliases_of<'f>(of: &[usize], facts: &'f Facts<'_>, own: &[Option<&'f str>]) -> Aliases<'f> {
    let mut all = of.iter().flat_map(|x| &facts.aliases[*x]);
    let Some(first) = all.next() else { return Aliases::None };
    let single = all.all(|alias| alias == first);
    match of.iter().find_map(|x| own[*x]) {
        Some(alias) if single => Aliases::Own(alias),
        Some(alias) => Aliases::SomeOwn(alias),
        None => Aliases::Shared,
    }
}

fn names_someone(expression: &Expression) -> bool {
    expression.has(&Item::Account) || expression.has(&Item::Alias)
}
