//! Whether all statements together leave no doubt whose an address is. Statements go by their number, which
//! is also their place in every list here.

use super::expression::{Expression, Item};
use super::symbols::{Listed, Symbols};
use super::syntax::{Fault, Statement};
use crate::diag::Text;
use foldhash::{HashMap, HashSet, HashSetExt};

/// Nobody has the alias, or more than one account.
const NOBODY: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;

/// Who has which alias in which statement. Names go by their numbers.
struct Facts<'s> {
    symbols: &'s Symbols,
    /// The statements that name an account: those of account `n` are `of[starts[n]..starts[n + 1]]`.
    of: Vec<u32>,
    starts: Vec<u32>,
    /// The one account that has an alias.
    owner: Vec<u32>,
    /// The first and the last statement that have the expression, letter by letter.
    texts: HashMap<&'s str, (usize, usize)>,
}

impl<'s> Facts<'s> {
    fn new(statements: &[(&'s Text, &'s Statement<'s>)], symbols: &'s Symbols) -> Self {
        let mut starts = vec![0_u32; symbols.len() + 1];
        for x in 0..statements.len() {
            for account in symbols.lists(x).accounts {
                starts[account.number()] += 1;
            }
        }
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        // From here on each is the end of its list, and moves to the beginning as the list is filled.
        let mut of = vec![0; end as usize];
        let mut owner = vec![NOBODY; symbols.len()];
        let mut texts: HashMap<&str, (usize, usize)> = HashMap::default();
        for (x, (_, statement)) in statements.iter().enumerate().rev() {
            texts.entry(&statement.expression.text).or_insert((x, x)).0 = x;
            let lists = symbols.lists(x);
            for account in lists.accounts {
                let start = &mut starts[account.number()];
                *start -= 1;
                of[*start as usize] = number(x);
            }
            let only = if let [account] = lists.accounts { number(account.number()) } else { SEVERAL };
            for alias in lists.aliases {
                let owner = &mut owner[alias.number()];
                *owner = if *owner == NOBODY || *owner == only { only } else { SEVERAL };
            }
        }
        Facts { symbols, of, starts, owner, texts }
    }

    /// The accounts with the statements that name them.
    fn accounts(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let of = |n: usize| self.of.get(self.starts[n] as usize..self.starts[n + 1] as usize);
        (0..self.symbols.len()).filter_map(move |n| Some((n, of(n)?))).filter(|(_, of)| !of.is_empty())
    }

    /// Another statement with the expression of statement `x`.
    fn same(&self, x: usize, text: &str) -> Option<usize> {
        let (first, last) = *self.texts.get(text)?;
        [first, last].into_iter().find(|other| *other != x)
    }

    fn has_one_owner(&self, alias: Listed) -> bool {
        self.owner[alias.number()] < SEVERAL
    }
}

/// Names are fewer than the bytes they stand in, which are counted by 32 bits.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NOBODY)
}

/// What the aliases of an account are like.
#[derive(Clone, Copy)]
enum Aliases {
    None,
    /// A single one, which no other account has.
    Own(Listed),
    /// Several, this one among them, which no other account has.
    SomeOwn(Listed),
    /// Others have each of them as well.
    Shared,
}

/// The statements that leave doubt, by number, and what is wrong with them.
pub(super) fn check(statements: &[(&Text, &Statement<'_>)], symbols: &Symbols) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    let facts = Facts::new(statements, symbols);
    let lists = |x: usize| symbols.lists(x).aliases.iter().copied();
    // Of each statement one alias that only its account has.
    let own: Vec<Option<Listed>> =
        (0..statements.len()).map(|x| lists(x).find(|alias| facts.has_one_owner(*alias))).collect();
    let mut refused = HashSet::new();
    let mut refuse = |x: usize, message: String, help: String| {
        if refused.insert(x) {
            let span = statements[x].1.expression.span.clone();
            faults.push((x, Fault::new(span, message).help(help)));
        }
    };
    let same = |other: usize| {
        let (text, statement) = statements[other];
        let line = text.line(statement.expression.span.start);
        format!(
            "the same expression stands at {}:{line} too, and it does not tell the accounts apart",
            text.file
        )
    };
    for (account, of) in facts.accounts() {
        let aliases = aliases_of(of, symbols, &own);
        for &x in of {
            let x = x as usize;
            let statement = statements[x].1;
            let expression = &statement.expression;
            let other = facts.same(x, &expression.text);
            match (aliases, other) {
                (Aliases::None, Some(other)) if !expression.has(&Item::Account) => {
                    refuse(x, same(other), "put %account% into it, or a literal of its own into each".into());
                }
                (Aliases::Own(alias), Some(other)) if !names_someone(expression) => {
                    let alias = symbols.text(alias.number());
                    refuse(x, same(other), format!("put %account% into it, or %alias% for \"{alias}\""));
                }
                (Aliases::SomeOwn(alias), _)
                    if statement.aliases.is_some() && !expression.has(&Item::Alias) =>
                {
                    let (account, alias) = (symbols.text(account), symbols.text(alias.number()));
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
        if let Some(alias) = lists(x).find(|alias| !facts.has_one_owner(*alias)) {
            let alias = symbols.text(alias.number());
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
fn aliases_of(of: &[u32], symbols: &Symbols, own: &[Option<Listed>]) -> Aliases {
    let mut all = of.iter().flat_map(|x| symbols.lists(*x as usize).aliases);
    let Some(first) = all.next() else { return Aliases::None };
    let single = all.all(|alias| alias.number() == first.number());
    match of.iter().find_map(|x| own[*x as usize]) {
        Some(alias) if single => Aliases::Own(alias),
        Some(alias) => Aliases::SomeOwn(alias),
        None => Aliases::Shared,
    }
}

fn names_someone(expression: &Expression) -> bool {
    expression.has(&Item::Account) || expression.has(&Item::Alias)
}
