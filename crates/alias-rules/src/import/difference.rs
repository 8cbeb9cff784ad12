//! Finds the differences in the meaning of a statement, with examples.

use super::{Importer, MAX_ACCOUNTS, before, samples};
use crate::compile::refusals::Checked;
use crate::fmt::{Entry, Kind, Sort, Token};
use crate::ir::{NeverMatches, Op, Target};
use crate::load::{Options, load};
use crate::matcher::rules::Decision;
use crate::syntax::Subject;
use crate::syntax::expression::Item;
use crate::vocabulary::{Class, Function};
use diagnostics::Text;
use mail_address::escape;
use std::fmt;

/// A difference between the predecessor and rcptd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line in the old text.
    pub line: Option<usize>,
    /// The expression or the setting.
    pub about: String,
    /// A description of the old and the new behaviour.
    pub text: String,
    /// Names with different results.
    pub examples: Vec<Example>,
}

/// A name with different results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The local part.
    pub name: String,
    /// The result of the predecessor.
    pub before: String,
    /// The result of the new rules.
    pub now: String,
}

/// Formats one line for the difference and one for each example.
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
const CRASHED: &str = "no answer";

/// Finds the differences of statement `i`.
pub(crate) fn of(
    importer: &Importer<'_>,
    i: usize,
    checked: &Checked<'_>,
    entry: &Entry<'_>,
) -> Vec<(String, Vec<Example>)> {
    let Kind::Statement { tokens, commas, .. } = &entry.kind else { return Vec::new() };
    let quirks = Quirks { importer, i, checked, tokens, commas };
    let all = [
        quirks.using(),
        quirks.percent(),
        quirks.star(),
        quirks.alias(),
        quirks.crash(),
        quirks.label(),
        quirks.end(),
        quirks.overlap(),
        quirks.commas(),
        quirks.names(),
    ];
    all.into_iter().flatten().collect()
}

type Found = Option<(String, Vec<Example>)>;

/// Detects the quirks of the predecessor that affect a statement.
struct Quirks<'s> {
    importer: &'s Importer<'s>,
    i: usize,
    checked: &'s Checked<'s>,
    tokens: &'s [Token<'s>],
    commas: &'s [String],
}

impl Quirks<'_> {
    /// An address generated with the statement as an example. `before` is the result of the predecessor.
    fn generated(&self, before: &str) -> Vec<Example> {
        self.examples(self.importer.generate(self.i, self.checked, None), before)
    }

    fn examples(&self, names: impl IntoIterator<Item = String>, before: &str) -> Vec<Example> {
        let one = |name: String| {
            let now = self.importer.now(&name);
            Example { name, before: before.into(), now }
        };
        names.into_iter().map(one).filter(|example| example.before != example.now).collect()
    }

    /// An address generated with the statement, at which the predecessor crashed.
    fn crashed(&self, words: Option<&[String]>) -> Vec<Example> {
        let generated = self.importer.generate(self.i, self.checked, words);
        self.examples(generated.filter(|name| before::has_shape(self.checked, name)), CRASHED)
    }

    fn items(&self) -> &[Item] {
        &self.checked.statement.expression.items
    }

    fn has(&self, item: &Item) -> bool {
        self.checked.statement.expression.has(item)
    }

    /// `USING`, at which the predecessor crashed.
    fn using(&self) -> Found {
        let class = self.checked.statement.using?;
        let text = format!(
            "trualias crashed at USING and could not load the file; rcptd requires that the text of %account% and \
             %alias% is {}: {}",
            class.name(),
            class.describe()
        );
        Some((text, self.generated("no server")))
    }

    /// Literal percent signs, and percent signs that the expression does not have.
    fn percent(&self) -> Found {
        let literal = |item: &Item| matches!(item, Item::Literal(text) if text.contains('%'));
        if self.items().iter().any(literal) {
            let text = "%% is one percent sign; trualias dropped it and took literals after it for names, so that \
                        it refused the file or matched other addresses";
            return Some((text.into(), Vec::new()));
        }
        let first = before::phantom_percent(&self.checked.statement.expression.text)?;
        let text = "for adjacent names or a single name, trualias required a percent sign that is not in the \
                    expression";
        let generated = self.importer.generate(self.i, self.checked, None);
        let old = generated.iter().filter(|_| first).map(|name| format!("%{name}"));
        let account = self.checked.statement.accounts.first().filter(|_| !self.has(&Item::Account));
        let account = account.map_or("the account", |name| name.value);
        let mut examples = self.examples(old.collect::<Vec<_>>(), account);
        examples.splice(0..0, self.examples(generated, NOT_FOUND));
        Some((text.into(), examples))
    }

    /// `ALIASED *`, the alias called `*`.
    fn star(&self) -> Found {
        let mut pairs = self.tokens.windows(2);
        pairs.find(|pair| pair[0].text == "ALIASED" && pair[1].text == "*" && pair[1].sort == Sort::Name)?;
        let text = "ALIASED * means the account; trualias took it for an alias called *";
        let mut examples = if self.has(&Item::Alias) { self.generated(NOT_FOUND) } else { Vec::new() };
        examples.retain(|example| !example.name.contains('*'));
        Some((text.into(), examples))
    }

    /// `%alias%` without `ALIASED`, which was an empty text.
    fn alias(&self) -> Found {
        let star = self.tokens.iter().any(|token| token.text == "ALIASED");
        if self.checked.statement.aliases.is_some() || star || !self.has(&Item::Alias) {
            return None;
        }
        let text = "without ALIASED, %alias% is the account; trualias took it for an empty text, which matched only by \
                    accident";
        // A name that also matches without %alias% may have matched by accident.
        let without = |text: &str| text.replace("%alias%", "").replace("%alias", "");
        let accident = |name: &String| match self.variant(without) {
            Some(rules) => !matches!(rules.find(name.as_str()), Decision::NoMatch),
            None => true,
        };
        let generated = self.importer.generate(self.i, self.checked, None).filter(|name| !accident(name));
        Some((text.into(), self.examples(generated, NOT_FOUND)))
    }

    /// Loads the statement alone, with another expression.
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

    /// A function that looks at an identifier, although the expression has none.
    fn crash(&self) -> Found {
        let Some(NeverMatches::NoIdentifier(function)) = self.checked.never else { return None };
        let text = format!(
            "trualias crashed at each address of the right form, since {} looks at an identifier, but the expression \
             has none; in rcptd the statement matches nothing",
            function.name()
        );
        // The crash is certain only if the function is the first one.
        let call = self.checked.statement.calls.first()?;
        let faulty = match (call.function, &call.arguments[..]) {
            (Function::Char, arguments) => matches!(arguments, [Subject::Index(_)]),
            (_, arguments) => matches!(arguments, [] | [Subject::Unspecified]),
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
        let certain = faulty && before::has_shape(self.checked, &name);
        Some((text, self.examples(Some(name).filter(|_| certain), CRASHED)))
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
        let text = "an index 0 of CHAR means 1 and takes the default if the label is empty; trualias crashed in that \
                    case";
        Some((text.into(), self.crashed(Some(&words))))
    }

    /// A name at the end of the expression without its second percent sign.
    fn end(&self) -> Found {
        let text = &self.checked.statement.expression.text;
        let open = !text.ends_with('%') && matches!(self.items().last(), Some(Item::Account | Item::Alias));
        let text =
            "the percent sign after the last name may be missing; trualias crashed at each address of the right form"
                .to_owned();
        open.then(|| (text, self.crashed(None)))
    }

    /// A literal that overlaps itself. Accounts and aliases are part of adjacent literals.
    fn overlap(&self) -> Found {
        let statement = &self.checked.statement;
        let mut words = samples(self.checked).into_iter().next()?;
        let mut identifiers = 0;
        let mut found = false;
        let mut names = Vec::new();
        for (at, item) in self.items().iter().enumerate() {
            let Item::Identifier(class) = item else { continue };
            identifiers += 1;
            let rest = &self.items()[at + 1..];
            for account in statement.accounts.iter().take(MAX_ACCOUNTS) {
                let alias = statement.aliases.as_ref().and_then(|names| names.first()).unwrap_or(account);
                let literal: String = rest
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
                let generated = self.importer.generate_for(self.i, self.checked, account.value, Some(&words));
                names.extend(generated.into_iter().next());
                *words.get_mut(identifiers - 1)? = old;
            }
        }
        names.truncate(1);
        let text = "all occurrences of a literal are found; trualias continued after each one and missed those that \
                    overlap it";
        found.then(|| (text.into(), self.examples(names, NOT_FOUND)))
    }

    /// Extra commas, which were empty names.
    fn commas(&self) -> Found {
        let keyword = self.commas.first()?;
        let text = format!(
            "an extra comma after {keyword} is ignored; trualias took it for an empty name, so that matches were \
             ambiguous or failed"
        );
        let computed = self.checked.calls.iter().any(|call| call.target == Target::Account);
        let own = self.checked.statement.aliases.is_none() && self.has(&Item::Alias);
        let unused = !self.has(&Item::Account) && !own && !computed;
        let several = self.checked.statement.accounts.len() > 1;
        let debug = self.importer.rules.debug_account();
        let before = debug.map_or_else(|| NOT_FOUND.into(), |debug| format!("{debug}, the debug account"));
        let certain = keyword == "ACCOUNT" && unused && !several;
        Some((text, if certain { self.generated(&before) } else { Vec::new() }))
    }

    /// Names with other characters than letters, digits and `_`.
    fn names(&self) -> Found {
        let statement = &self.checked.statement;
        let placed = self.has(&Item::Account) || statement.aliases.is_none() && self.has(&Item::Alias);
        if statement.using.is_some() || !placed {
            return None;
        }
        let mut others = statement.accounts.iter().filter(|name| !Class::Ident.spells(name.value)).peekable();
        let first = others.peek()?.value;
        let text = format!(
            "accounts such as \"{}\" have other characters than letters, digits and \"_\"; trualias matched them only \
             by accident",
            escape(first)
        );
        let generated = others.take(MAX_ACCOUNTS).find_map(|name| {
            let generated = self.importer.generate_for(self.i, self.checked, name.value, None);
            generated.into_iter().find(|name| !before::has_shape(self.checked, name))
        });
        Some((text, self.examples(generated, NOT_FOUND)))
    }
}
