//! In what a statement differs, with addresses that show it.

use super::{Importer, MAX_ACCOUNTS, before, samples};
use crate::compile::refusals::Checked;
use crate::fmt::{Entry, Kind, Sort, Token};
use crate::ir::{Never, Op, Target};
use crate::load::{Options, load};
use crate::matcher::rules::Decision;
use crate::syntax::Subject;
use crate::syntax::expression::Item;
use crate::vocabulary::{Class, Function};
use diagnostics::Text;
use mail_address::escape;
use std::fmt;

/// Something that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the old text.
    pub line: Option<usize>,
    /// The expression or the setting.
    pub about: String,
    /// What was, and what is.
    pub text: String,
    /// Names that show it.
    pub examples: Vec<Example>,
}

/// A name of which something else is said now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The local part.
    pub name: String,
    /// What the predecessor said.
    pub before: String,
    /// What the rules say now.
    pub now: String,
}

/// A line for the difference and one for each example.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or_else(String::new, |line| format!("line {line}, "));
        write!(f, "{line}{}: {}", escape(&self.about), self.text)?;
        for Example { name, before, now } in &self.examples {
            write!(f, "\n    {}  trualias: {}  rcptd: {}", escape(name), escape(before), escape(now))?;
        }
        Ok(())
    }
}

const NOT_FOUND: &str = "not found";
const BROKE_DOWN: &str = "no answer";

/// What differs in the statement numbered `i`.
pub(crate) fn of(
    importer: &Importer<'_>,
    i: usize,
    checked: &Checked<'_>,
    entry: &Entry<'_>,
) -> Vec<(String, Vec<Example>)> {
    let Kind::Statement { tokens, commas, .. } = &entry.kind else { return Vec::new() };
    let seen = Seen { importer, i, checked, tokens, commas };
    let all =
        [seen.using(), seen.percent(), seen.star(), seen.alias(), seen.breakdown(), seen.label(), seen.end()];
    all.into_iter().chain([seen.overlap(), seen.commas(), seen.names()]).flatten().collect()
}

type Found = Option<(String, Vec<Example>)>;

struct Seen<'s> {
    importer: &'s Importer<'s>,
    i: usize,
    checked: &'s Checked<'s>,
    tokens: &'s [Token<'s>],
    commas: &'s [String],
}

impl Seen<'_> {
    /// An address made by the statement, with what the predecessor said of it.
    fn made(&self, before: &str) -> Vec<Example> {
        self.examples(self.importer.made(self.i, self.checked, None), before)
    }

    fn examples(&self, names: impl IntoIterator<Item = String>, before: &str) -> Vec<Example> {
        let one = |name: String| {
            let now = self.importer.now(&name);
            Example { name, before: before.into(), now }
        };
        names.into_iter().map(one).filter(|example| example.before != example.now).collect()
    }

    /// An address made by the statement at which it broke down.
    fn broken(&self, words: Option<&[String]>) -> Vec<Example> {
        let made = self.importer.made(self.i, self.checked, words);
        self.examples(made.filter(|name| before::looks_right(self.checked, name)), BROKE_DOWN)
    }

    fn items(&self) -> &[Item] {
        &self.checked.statement.expression.items
    }

    fn has(&self, item: &Item) -> bool {
        self.checked.statement.expression.has(item)
    }

    /// `USING`, at which it broke down.
    fn using(&self) -> Found {
        let class = self.checked.statement.using?;
        let text = format!(
            "trualias broke down at USING and read no file with it; rcptd demands that what stands for \
             %account% and %alias% is {}: {}",
            class.name(),
            class.describe()
        );
        Some((text, self.made("no server")))
    }

    /// Percent signs, meant and not meant.
    fn percent(&self) -> Found {
        let literal = |item: &Item| matches!(item, Item::Literal(text) if text.contains('%'));
        if self.items().iter().any(literal) {
            let text = "%% is one percent sign; trualias lost it and took literals behind it for names, so that \
                        it refused the file or matched other addresses";
            return Some((text.into(), Vec::new()));
        }
        let first = before::phantom(&self.checked.statement.expression.text)?;
        let text = "where names stand side by side or alone, trualias wanted a percent sign that is not in the \
                    expression";
        let made = self.importer.made(self.i, self.checked, None);
        let old = made.iter().filter(|_| first).map(|name| format!("%{name}"));
        let account = self.checked.statement.accounts.first().filter(|_| !self.has(&Item::Account));
        let account = account.map_or("the account", |name| name.value);
        let mut examples = self.examples(old.collect::<Vec<_>>(), account);
        examples.splice(0..0, self.examples(made, NOT_FOUND));
        Some((text.into(), examples))
    }

    /// `ALIASED *`, the alias called `*`.
    fn star(&self) -> Found {
        let mut pairs = self.tokens.windows(2);
        pairs.find(|binding| {
            binding[0].text == "ALIASED" && binding[1].text == "*" && binding[1].sort == Sort::Name
        })?;
        let text = "ALIASED * means the account; trualias took it for an alias called *";
        let mut examples = if self.has(&Item::Alias) { self.made(NOT_FOUND) } else { Vec::new() };
        examples.retain(|example| !example.name.contains('*'));
        Some((text.into(), examples))
    }

    /// `%alias%` where there is no alias, which was an empty text.
    fn alias(&self) -> Found {
        let star = self.tokens.iter().any(|token| token.text == "ALIASED");
        if self.checked.statement.aliases.is_some() || star || !self.has(&Item::Alias) {
            return None;
        }
        let text = "without ALIASED, %alias% is the account; trualias took it for an empty text, which matched by \
                    accident only";
        // What matches without it as well may be such an accident.
        let without = |text: &str| text.replace("%alias%", "").replace("%alias", "");
        let accident = |name: &String| match self.variant(without) {
            Some(rules) => !matches!(rules.find(name.as_str()), Decision::NoMatch),
            None => true,
        };
        let made = self.importer.made(self.i, self.checked, None).filter(|name| !accident(name));
        Some((text.into(), self.examples(made, NOT_FOUND)))
    }

    /// The statement alone, with another expression.
    fn variant(&self, expression: impl Fn(&str) -> String) -> Option<crate::matcher::rules::Rules> {
        let words = self.tokens.iter().enumerate().map(|(i, token)| {
            let list = |sort| matches!(sort, Sort::Name | Sort::Call);
            let comma = i > 0 && list(token.sort) && self.tokens[i - 1].sort == token.sort;
            let text =
                if token.sort == Sort::Expression { expression(&token.text) } else { token.text.to_string() };
            format!("{}{text}", if comma { ", " } else { " " })
        });
        let text = Text::new("", &words.collect::<String>());
        load(&[text], &Options::default()).ok().map(|loaded| loaded.rules)
    }

    /// A function that looks at an identifier where there is none.
    fn breakdown(&self) -> Found {
        let Some(Never::NoIdentifier(function)) = self.checked.never else { return None };
        let text = format!(
            "trualias broke down at each address that looks right, since {} looks at an identifier and there is \
             none; here the statement matches nothing",
            function.name()
        );
        // It did so when it came to that function, so it has to be the first.
        let call = self.checked.statement.calls.first()?;
        let faulty = match (call.function, &call.arguments[..]) {
            (Function::Char, arguments) => matches!(arguments, [Subject::Index(_)]),
            (_, arguments) => matches!(arguments, [] | [Subject::Unsaid]),
        };
        let code: String = self
            .checked
            .statement
            .calls
            .iter()
            .map(|call| if call.function.counts() { '1' } else { 'a' })
            .collect();
        let account = self.checked.statement.accounts.first()?.value;
        let alias = self.checked.statement.aliases.as_ref().and_then(|names| names.first());
        let name: String = self
            .items()
            .iter()
            .map(|item| match item {
                Item::Literal(text) => text.as_str(),
                Item::Account => account,
                Item::Alias => alias.map_or(account, |name| name.value),
                Item::Code => &code,
                Item::Date | Item::Identifier(_) => "",
            })
            .collect();
        let certain = faulty && before::looks_right(self.checked, &name);
        Some((text, self.examples(Some(name).filter(|_| certain), BROKE_DOWN)))
    }

    /// The first character of a label that is empty.
    fn label(&self) -> Found {
        let (target, label) = self.checked.calls.iter().find_map(|call| match (&call.op, call.target) {
            (Op::LabelChar { label, at: 0, .. }, Target::Identifier(i)) => Some((i, *label)),
            _ => None,
        })?;
        // The first and the last label are never empty.
        let dots = usize::try_from(label.unsigned_abs()).ok().filter(|dots| (2..=10).contains(dots))?;
        let mut words = samples(self.checked).into_iter().next()?;
        *words.get_mut(target)? = format!("a{}b", ".".repeat(dots));
        let text = "an index 0 of CHAR means 1 and takes the default where the label is empty; trualias broke down \
                    there";
        Some((text.into(), self.broken(Some(&words))))
    }

    /// A last name without its second percent sign.
    fn end(&self) -> Found {
        let text = &self.checked.statement.expression.text;
        let open = !text.ends_with('%') && matches!(self.items().last(), Some(Item::Account | Item::Alias));
        let text =
            "the percent sign behind the last name may be missing; trualias broke down at each address that \
                    looks right"
                .to_owned();
        open.then(|| (text, self.broken(None)))
    }

    /// A literal that overlaps itself. An account is a part of the literals beside it.
    fn overlap(&self) -> Found {
        let statement = &self.checked.statement;
        let mut words = samples(self.checked).into_iter().next()?;
        let mut identifiers = 0;
        let mut found = false;
        let mut names = Vec::new();
        for (at, item) in self.items().iter().enumerate() {
            let Item::Identifier(class) = item else { continue };
            identifiers += 1;
            let behind = &self.items()[at + 1..];
            for account in statement.accounts.iter().take(MAX_ACCOUNTS) {
                let alias = statement.aliases.as_ref().and_then(|names| names.first()).unwrap_or(account);
                let literal: String = behind
                    .iter()
                    .map_while(|item| match item {
                        Item::Literal(text) => Some(text.as_str()),
                        Item::Account => Some(account.value),
                        Item::Alias => Some(alias.value),
                        Item::Code | Item::Date | Item::Identifier(_) => None,
                    })
                    .collect();
                let short = if *class == Class::Number { "42" } else { "a" };
                let word = if *class == Class::Fqdn { "a.b" } else { short };
                let Some(longer) = before::overlapped(*class, word, &literal) else { continue };
                found = true;
                let old = std::mem::replace(words.get_mut(identifiers - 1)?, longer);
                let made = self.importer.made_for(self.i, self.checked, account.value, Some(&words));
                names.extend(made.into_iter().next());
                *words.get_mut(identifiers - 1)? = old;
            }
        }
        names.truncate(1);
        let text = "a literal is found at each of its places; trualias went on behind one and missed those that \
                    overlap it";
        found.then(|| (text.into(), self.examples(names, NOT_FOUND)))
    }

    /// Commas too many, which were empty names.
    fn commas(&self) -> Found {
        let keyword = self.commas.first()?;
        let text = format!(
            "a comma too many behind {keyword} is ignored; trualias took it for an empty name, so that matches were \
             ambiguous or failed"
        );
        let computed = self.checked.calls.iter().any(|call| call.target == Target::Account);
        let own = self.checked.statement.aliases.is_none() && self.has(&Item::Alias);
        let alike = !self.has(&Item::Account) && !own && !computed;
        let several = self.checked.statement.accounts.len() > 1;
        let debug = self.importer.rules.debug_account();
        let before = debug.map_or_else(|| NOT_FOUND.into(), |debug| format!("{debug}, the debug account"));
        let certain = keyword == "ACCOUNT" && alike && !several;
        Some((text, if certain { self.made(&before) } else { Vec::new() }))
    }

    /// Names of more than letters, digits and `_`.
    fn names(&self) -> Found {
        let statement = &self.checked.statement;
        let placed = self.has(&Item::Account) || statement.aliases.is_none() && self.has(&Item::Alias);
        if statement.using.is_some() || !placed {
            return None;
        }
        let mut odd = statement.accounts.iter().filter(|name| !Class::Ident.spells(name.value)).peekable();
        let first = odd.peek()?.value;
        let text = format!(
            "accounts such as \"{}\" hold more than letters, digits and \"_\"; trualias matched them by accident \
             only",
            escape(first)
        );
        let made = odd.take(MAX_ACCOUNTS).find_map(|name| {
            let made = self.importer.made_for(self.i, self.checked, name.value, None);
            made.into_iter().find(|made| !before::looks_right(self.checked, made))
        });
        Some((text, self.examples(made, NOT_FOUND)))
    }
}
