//! Whether all statements together leave no doubt whose an address is.

use super::expression::{Expression, Item};
use super::syntax::{Name, Statement};
use crate::diag::{Problem, Text};
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
    /// How many statements have the expression, letter by letter.
    texts: HashMap<&'s str, usize>,
}

impl<'s> Facts<'s> {
    fn add(&mut self, x: usize, statement: &'s Statement, key: impl Fn(&'s Name) -> Cow<'s, str>) {
        *self.texts.entry(&statement.expression.text).or_default() += 1;
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

const SAME: &str = "other statements have the same expression, and it does not tell the accounts apart";

/// Refuses statements that leave doubt. With `fold` names are compared without regard to case.
pub(super) fn check(statements: &[(&Text, &Statement)], fold: bool, problems: &mut Vec<Problem>) {
    let mut facts = Facts::default();
    for (x, (_, statement)) in statements.iter().enumerate() {
        facts.add(x, statement, |name| {
            if fold { crate::addr::fold(&name.value) } else { Cow::Borrowed(&*name.value) }
        });
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
            let (text, statement) = statements[x];
            problems.push(Problem::error(text, statement.expression.span.clone(), message).help(help));
        }
    };
    for (account, of) in &facts.accounts {
        let aliases = aliases_of(of, &facts, &own);
        for &x in of {
            let statement = statements[x].1;
            let expression = &statement.expression;
            let same = facts.texts.get(&*expression.text).is_some_and(|n| *n > 1);
            match aliases {
                Aliases::None if same && !expression.has(&Item::Account) => {
                    refuse(x, SAME.into(), "put %account% into it, or a literal of its own into each".into());
                }
                Aliases::Own(alias) if same && !names_someone(expression) => {
                    refuse(x, SAME.into(), format!("put %account% into it, or %alias% for \"{alias}\""));
                }
                Aliases::SomeOwn(alias) if statement.aliases.is_some() && !expression.has(&Item::Alias) => {
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
