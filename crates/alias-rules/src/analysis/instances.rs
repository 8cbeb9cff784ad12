//! Statements prepared for comparison, and their instances: a statement with one account and one alias.

use crate::compile::refusals::Checked;
use crate::ir::{CompiledCall, Op, Target};
use crate::syntax::expression::Item;
use crate::syntax::{Deliver, Name};
use diagnostics::Text;
use foldhash::{HashSet, HashSetExt};
use mail_address::{Address, canonical_domain, fold};
use std::borrow::Cow;

/// A name of a list; `key` is case-folded if names are compared ignoring case.
#[derive(Debug)]
pub(crate) struct Entry<'t> {
    pub name: Name<'t>,
    pub key: Cow<'t, str>,
}

/// The characters of the accounts and aliases of all statements of a form.
#[derive(Debug, Default)]
pub(crate) struct ListCharacters {
    pub accounts: HashSet<char>,
    pub aliases: HashSet<char>,
}

impl ListCharacters {
    pub fn of<'s>(sources: impl Iterator<Item = &'s Source<'s>>) -> Self {
        let mut listed = ListCharacters::default();
        for source in sources {
            listed.accounts.extend(source.accounts.iter().flat_map(|entry| entry.key.chars()));
            listed.aliases.extend(source.aliases.iter().flat_map(|entry| entry.key.chars()));
        }
        listed
    }
}

/// A statement whose texts are case-folded if names are compared ignoring case.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    pub text: &'t Text,
    pub checked: Checked<'t>,
    pub items: Vec<Item>,
    pub calls: Vec<CompiledCall>,
    /// The distinct accounts; at most two if neither names nor functions use them.
    pub accounts: Vec<Entry<'t>>,
    /// The same for the aliases; empty without `ALIASED`.
    pub aliases: Vec<Entry<'t>>,
    /// In canonical spelling; `None` for all domains.
    domains: Option<Vec<String>>,
    fold: bool,
}

/// Number of accounts or aliases to keep if they are not used: two are enough for a clash.
const UNUSED: usize = 2;

fn key(text: &str, case: bool) -> Cow<'_, str> {
    if case { Cow::Borrowed(text) } else { fold(text) }
}

impl<'t> Source<'t> {
    pub fn new(text: &'t Text, checked: Checked<'t>, fold: bool) -> Self {
        let statement = &checked.statement;
        let has_own = statement.aliases.is_some();
        let folded = |text: &str| key(text, !fold).into_owned();
        let items = statement.expression.items.iter().map(|item| match item {
            Item::Literal(text) => Item::Literal(folded(text)),
            // Without `ALIASED` the account is the alias.
            Item::Alias if !has_own => Item::Account,
            other => other.clone(),
        });
        let items: Vec<Item> = items.collect();
        let calls = checked.calls.iter().map(|call| {
            let op = match &call.op {
                Op::Char { at, default } => Op::Char { at: *at, default: folded(default) },
                Op::LabelChar { label, at, default } => {
                    Op::LabelChar { label: *label, at: *at, default: folded(default) }
                }
                other => other.clone(),
            };
            CompiledCall { op, ..call.clone() }
        });
        let calls: Vec<CompiledCall> = calls.collect();
        let list = |names: &[Name<'t>], item: &Item, target: Target| {
            let placed = items.contains(item);
            let used = placed || calls.iter().any(|call| call.target == target);
            let fits = |key: &str| !placed || statement.using.is_none_or(|class| class.spells(key));
            let mut seen = HashSet::new();
            let entries = names.iter().map(|name| Entry { name: *name, key: key(name.value, !fold) });
            let entries = entries.filter(|entry| fits(&entry.key) && seen.insert(entry.key.clone()));
            entries.take(if used { usize::MAX } else { UNUSED }).collect::<Vec<_>>()
        };
        let accounts = list(&statement.accounts, &Item::Account, Target::Account);
        let names = statement.aliases.as_deref().unwrap_or_default();
        let aliases = list(names, &Item::Alias, Target::Alias);
        let domains = statement.domains.as_ref();
        let domains =
            domains.map(|list| list.iter().map(|name| canonical_domain(name.value).into()).collect());
        Source { text, checked, items, calls, accounts, aliases, domains, fold }
    }

    /// The number of instances.
    pub fn instance_count(&self) -> usize {
        let aliases = if self.checked.statement.aliases.is_some() { self.aliases.len() } else { 1 };
        self.accounts.len().saturating_mul(aliases)
    }

    /// The instance of this number.
    pub fn subject(&self, number: usize) -> Subject<'_> {
        let aliases = self.aliases.len().max(1);
        Subject {
            source: self,
            account: self.accounts.get(number / aliases),
            alias: self.aliases.get(number % aliases),
            listed: None,
        }
    }

    /// An instance that represents all accounts and aliases of all statements of its form.
    pub fn general<'s>(&'s self, listed: &'s ListCharacters) -> Subject<'s> {
        Subject { source: self, account: None, alias: None, listed: Some(listed) }
    }

    /// Whether the code depends on a secret.
    pub fn needs_secret(&self) -> bool {
        self.calls.iter().any(|call| matches!(call.op, Op::Hmac(_)))
    }

    /// Whether accounts or aliases matter but are not in the fixed beginning of names.
    pub fn has_floating_names(&self) -> bool {
        let prefix = self.items.get(..self.fixed_items()).unwrap_or_default();
        [(&self.accounts, Item::Account, Target::Account), (&self.aliases, Item::Alias, Target::Alias)]
            .into_iter()
            .any(|(list, item, target)| {
                let used = self.items.contains(&item) || self.calls.iter().any(|call| call.target == target);
                list.len() > 1 && used && !prefix.contains(&item)
                    // Several statements may differ in their names only.
                    || self.items.contains(&item) && !prefix.contains(&item)
            })
    }

    /// A key that is equal for statements that differ in names and positions only.
    pub fn form(&self) -> String {
        let Source { checked, items, calls, aliases, domains, .. } = self;
        let (using, delivers) = (checked.statement.using, checked.statement.deliver.is_some());
        format!("{items:?} {calls:?} {using:?} {domains:?} {} {delivers}", aliases.is_empty())
    }

    /// The number of items before the first one that varies.
    pub fn fixed_items(&self) -> usize {
        let fixed = |item: &&Item| matches!(item, Item::Account | Item::Alias | Item::Literal(_));
        self.items.iter().take_while(fixed).count()
    }

    /// A key that is equal for statements whose names are split alike after the fixed items. `None` if
    /// accounts or aliases occur there.
    pub fn split_form(&self) -> Option<String> {
        let rest = self.items.get(self.fixed_items()..).unwrap_or_default();
        let names = rest.iter().any(|item| matches!(item, Item::Account | Item::Alias));
        (!names).then(|| format!("{rest:?} {:?}", self.calls))
    }

    /// A domain in which both statements apply; `None` for any domain. The error means that there is no such
    /// domain.
    pub fn domain<'s>(&'s self, other: &'s Source<'_>) -> Result<Option<&'s str>, ()> {
        let found = match (&self.domains, &other.domains) {
            (None, None) => return Ok(None),
            (Some(only), None) | (None, Some(only)) => only.first(),
            (Some(one), Some(two)) => one.iter().find(|domain| two.contains(domain)),
        };
        found.map(|domain| Some(&**domain)).ok_or(())
    }

    /// Whether the statement applies in every domain in which the other one does.
    pub fn applies_with(&self, other: &Source<'_>) -> bool {
        self.domains.is_none() || self.domains == other.domains
    }

    /// Whether names are compared ignoring case.
    pub fn folds(&self) -> bool {
        self.fold
    }

    pub fn line(&self) -> usize {
        self.text.place(self.checked.statement.keyword.start).0
    }
}

/// An instance: a statement with one account and one alias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'s> {
    pub source: &'s Source<'s>,
    pub account: Option<&'s Entry<'s>>,
    pub alias: Option<&'s Entry<'s>>,
    /// The characters of the names, if it represents all names of the lists.
    pub listed: Option<&'s ListCharacters>,
}

impl<'s> Subject<'s> {
    pub fn calls(&self) -> &'s [CompiledCall] {
        &self.source.calls
    }

    pub fn account_key(&self) -> &'s str {
        self.account.map_or("", |entry| &*entry.key)
    }

    pub fn alias_key(&self) -> &'s str {
        self.alias.or(self.account).map_or("", |entry| &*entry.key)
    }

    /// The text of an item, if it is the same in all names.
    pub fn fixed(&self, item: &'s Item) -> Option<&'s str> {
        match item {
            Item::Literal(text) => Some(text),
            Item::Account if self.listed.is_none() => Some(self.account_key()),
            Item::Alias if self.listed.is_none() => Some(self.alias_key()),
            _ => None,
        }
    }

    /// The text that a function looks at, if it is an account or alias.
    pub fn looked_at(&self, target: Target) -> Option<&'s str> {
        match target {
            Target::Account => Some(self.account_key()),
            Target::Alias => Some(self.alias_key()),
            Target::Identifier(_) | Target::Name => None,
        }
    }

    /// The characters of all its texts.
    pub fn characters(&self) -> Vec<char> {
        let fixed = self.source.items.iter().filter_map(|item| self.fixed(item));
        let looked = self
            .calls()
            .iter()
            .filter_map(|call| self.looked_at(call.target).filter(|_| self.listed.is_none()));
        let defaults = self.calls().iter().filter_map(|call| match &call.op {
            Op::Char { default, .. } | Op::LabelChar { default, .. } => Some(&**default),
            _ => None,
        });
        fixed.chain(looked).chain(defaults).flat_map(str::chars).collect()
    }

    /// The common beginning of all its names.
    pub fn prefix(&self) -> String {
        self.source.items.iter().map_while(|item| self.fixed(item)).collect()
    }

    /// The common end of all its names.
    pub fn suffix(&self) -> String {
        let mut parts: Vec<&str> =
            self.source.items.iter().rev().map_while(|item| self.fixed(item)).collect();
        parts.reverse();
        parts.concat()
    }

    /// A key of account and target, which is equal if a lookup treats them as one destination. Two accounts
    /// with the same target are two destinations.
    pub fn destination(&self) -> Cow<'s, str> {
        match &self.source.checked.statement.deliver {
            None => Cow::Borrowed(self.account_key()),
            Some(_) => format!("{} {}", self.account_key(), self.display()).into(),
        }
    }

    /// The destination in a message.
    pub fn display(&self) -> String {
        let account = self.account.map_or("", |entry| entry.name.value);
        match &self.source.checked.statement.deliver {
            None => account.into(),
            Some(deliver) => format!("{account} ({})", self.target_text(deliver)),
        }
    }

    fn target_text(&self, deliver: &Deliver<'_>) -> String {
        let name = |entry: Option<&Entry<'s>>| entry.map_or("", |entry| entry.name.value);
        let target = deliver.target.value.replace("%account%", name(self.account));
        target.replace("%alias%", name(self.alias.or(self.account)))
    }

    /// The address of `DELIVER TO`.
    pub fn target(&self, deliver: &Deliver<'_>) -> Address {
        Address::from_rcpt(self.target_text(deliver).as_bytes())
    }

    /// The minimum number of characters of a name.
    pub fn min_len(&self) -> usize {
        let len = |item| match item {
            Item::Identifier(class) => class.min_len(),
            Item::Code => self.calls().len(),
            Item::Date => 4,
            _ => 1,
        };
        let items = self.source.items.iter();
        items
            .map(|item| self.fixed(item).map_or_else(|| len(item.clone()), |text| text.chars().count()))
            .sum()
    }
}
