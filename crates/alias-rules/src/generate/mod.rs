//! From an account and some words to an address: the way back from `eval`.
//!
//! An address is good only if [`Rules::find`] resolves it to exactly the account it was made for. Whatever is
//! computed here is a proposal until that has been asked.

mod code;
mod reason;
mod steps;

pub use reason::{Reason, Unknown};

use crate::compile::refusals::Checked;
use crate::compile::trees;
use crate::date::Day;
use crate::explain::Finding;
use crate::ir::Target;
use crate::load::Options;
use crate::matcher::rules::{Decision, Query, Rules};
use crate::secrets::Bound;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;
use code::Code;
use diagnostics::{Text, nearest};
use mail_address::{Address, MAX_LOCAL_PART, escape, fold};
use std::borrow::Cow;

/// Longest local part that every mail system takes (RFC 5321, section 4.5.3.1.1); a longer one is made with
/// a remark.
pub const USUAL_LOCAL_PART: usize = 64;

/// How many codes are tried where a function leaves a choice: `ANY` of a long word and `NONE` leave some
/// thirty characters each, and a code that is ambiguous with ten of them is ambiguous by itself.
pub const MAX_TRIES: usize = 64;

/// How many rules, aliases or domains a reason names; a reader wants an example, and a list may be long.
pub const MAX_NAMED: usize = 5;

/// What is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order<'o> {
    /// The account that is to get the mail.
    pub account: &'o str,
    /// One of its aliases.
    pub alias: Option<&'o str>,
    /// The texts of the identifiers, in order.
    pub words: &'o [String],
    /// The number of a statement, from 1; without one, all that name the account.
    pub rule: Option<usize>,
    /// The domain of the address.
    pub domain: Option<&'o str>,
    /// The last day of the address.
    pub until: Option<Day>,
}

/// What one statement makes of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The number of the statement, from 1.
    pub rule: usize,
    /// Its file and line, `aliases.rules:3`.
    pub place: String,
    /// Its expression.
    pub expression: String,
    /// The address, or why there is none.
    pub result: Result<Good, Reason>,
}

/// An address that the rules resolve to the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// Its local part, without quotes.
    pub name: String,
    /// Its domain, where the order or the statement says one.
    pub domain: Option<String>,
    /// What to know about it, in sentences without a full stop.
    pub remarks: Vec<String>,
    /// How to make it in the head, one step each.
    pub steps: Vec<String>,
}

/// Makes what `order` says with every statement of `texts` that names the account; `rules` are what the
/// texts were loaded to, with `options`.
pub fn generate(
    texts: &[Text],
    rules: &Rules,
    options: &Options,
    order: &Order<'_>,
) -> Result<Vec<Made>, Unknown> {
    let statements = trees::of(texts, options);
    let maker = Maker { rules, options, order };
    let chosen = maker.choose(&statements)?;
    let made = chosen.into_iter().map(|(i, checked)| {
        let statement = rules.statement(i);
        Made {
            rule: i + 1,
            place: statement.to_string(),
            expression: checked.statement.expression.text.clone(),
            result: maker.statement(i, checked),
        }
    });
    Ok(made.collect())
}

/// What the statement numbered `i` makes of `order`, whoever it is for; `checked` is that statement, and
/// `rules` are what it was loaded to with all others.
pub(crate) fn one(
    rules: &Rules,
    options: &Options,
    order: &Order<'_>,
    i: usize,
    checked: &Checked<'_>,
) -> Result<Good, Reason> {
    Maker { rules, options, order }.statement(i, checked)
}

struct Maker<'m> {
    rules: &'m Rules,
    options: &'m Options,
    order: &'m Order<'m>,
}

/// What stands for the names of an expression.
struct Parts<'p> {
    account: Cow<'p, str>,
    alias: Cow<'p, str>,
    words: Vec<Cow<'p, str>>,
    date: Option<String>,
}

impl Parts<'_> {
    /// The text of an item but for the code.
    fn text<'a>(&'a self, item: &'a Item, words: &mut impl Iterator<Item = &'a str>) -> &'a str {
        match item {
            Item::Literal(text) => text,
            Item::Account => &self.account,
            Item::Alias => &self.alias,
            Item::Date => self.date.as_deref().unwrap_or_default(),
            Item::Identifier(_) => words.next().unwrap_or_default(),
            Item::Code => "",
        }
    }

    /// What a function looks at; the whole name is not known here.
    fn target(&self, target: Target) -> &str {
        match target {
            Target::Identifier(i) => self.words.get(i).map_or("", |word| word),
            Target::Account => &self.account,
            Target::Alias => &self.alias,
            Target::Name => "",
        }
    }
}

impl<'m> Maker<'m> {
    fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.options.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    /// The statements to try, with their numbers from 0.
    fn choose<'s, 't>(
        &self,
        statements: &'s [Checked<'t>],
    ) -> Result<Vec<(usize, &'s Checked<'t>)>, Unknown> {
        let account = self.key(self.order.account);
        let alias = self.order.alias.map(|alias| self.key(alias));
        let of_account: Vec<_> = statements
            .iter()
            .enumerate()
            .filter(|(_, checked)| {
                checked.statement.accounts.iter().any(|name| self.key(name.value) == account)
            })
            .collect();
        if of_account.is_empty() {
            let known = statements.iter().flat_map(|checked| &checked.statement.accounts);
            let near = nearest(self.order.account, distinct(known.map(|name| name.value)));
            return Err(Unknown::Account { account: self.order.account.into(), near: near.map(Into::into) });
        }
        let mut chosen = of_account.clone();
        if let (Some(alias), Some(given)) = (&alias, self.order.alias) {
            let has = |checked: &Checked<'_>| {
                checked.statement.aliases.iter().flatten().any(|name| self.key(name.value) == *alias)
            };
            chosen.retain(|(_, checked)| has(checked));
            if chosen.is_empty() {
                let known = of_account.iter().filter_map(|(_, checked)| checked.statement.aliases.as_ref());
                let near = nearest(given, distinct(known.flatten().map(|name| name.value)));
                let (account, alias) = (self.order.account.into(), given.into());
                return Err(Unknown::Alias { account, alias, near: near.map(Into::into) });
            }
        }
        if let Some(rule) = self.order.rule {
            chosen.retain(|(i, _)| i + 1 == rule);
            if chosen.is_empty() {
                let of_account = of_account.iter().map(|(i, _)| i + 1).take(MAX_NAMED).collect();
                return Err(Unknown::Rule { rule, rules: statements.len(), of_account });
            }
        }
        Ok(chosen)
    }

    /// What the statement numbered `i` makes of the order.
    fn statement(&self, i: usize, checked: &Checked<'_>) -> Result<Good, Reason> {
        if let Some(never) = checked.never {
            return Err(Reason::Never(never));
        }
        let parts = self.parts(checked)?;
        let domain = self.domain(checked)?;
        let code = Code::of(checked, &parts)?;
        let mut refused = None;
        for choice in code.choices().take(MAX_TRIES) {
            let name = self.name(checked, &parts, &code, &choice)?;
            let query = Query { name: &name, domain: domain.as_deref(), today: None };
            let in_doubt = match self.rules.find(query) {
                Decision::Account { name: account, ambiguous: false, by_debug: false, target, .. }
                    if self.key(account) == parts.account =>
                {
                    let target = target.map(Cow::into_owned);
                    let steps = steps::of(checked, &parts, &code, &choice, &name);
                    return Ok(self.good(name, domain, &parts, target, steps));
                }
                Decision::TempFail { .. } => return Err(Reason::TempFail { name }),
                Decision::Expired { last, .. } => return Err(Reason::Expired { name, last }),
                Decision::NoMatch => false,
                Decision::Account { .. } | Decision::Ambiguous { .. } => true,
            };
            // Of several the first is the one a reader expects.
            refused.get_or_insert((name, in_doubt));
        }
        let Some((name, in_doubt)) = refused else { return Err(Reason::NoChoice) };
        if in_doubt { Err(self.doubt(i, &name, domain.as_deref())) } else { Err(Reason::NoMatch { name }) }
    }

    /// The texts for the names of the expression, if they fit.
    fn parts(&self, checked: &Checked<'m>) -> Result<Parts<'m>, Reason> {
        let statement = &checked.statement;
        let expression = &statement.expression;
        let account = self.key(self.order.account);
        let alias = match (&statement.aliases, self.order.alias) {
            (None, _) => account.clone(),
            (Some(_), Some(alias)) => self.key(alias),
            (Some(aliases), None) => {
                let computed = checked.calls.iter().any(|call| call.target == Target::Alias);
                match &aliases[..] {
                    [_, _, ..] if expression.has(&Item::Alias) || computed => {
                        let more = aliases.len().saturating_sub(MAX_NAMED);
                        let aliases = aliases.iter().take(MAX_NAMED).map(|name| name.value.into()).collect();
                        return Err(Reason::WhichAlias { aliases, more });
                    }
                    names => names.first().map_or_else(|| account.clone(), |name| self.key(name.value)),
                }
            }
        };
        if let Some(class) = statement.using {
            for (item, text) in [(Item::Account, &account), (Item::Alias, &alias)] {
                if expression.has(&item) && !class.spells(text) {
                    return Err(Reason::Using { name: text.to_string(), class });
                }
            }
        }
        let date = match (expression.has(&Item::Date), self.order.until) {
            (false, None) => None,
            (true, Some(day)) => Some(code::date(day)?),
            (true, None) => return Err(Reason::NoDay),
            (false, Some(_)) => return Err(Reason::NoDate),
        };
        let classes: Vec<Class> = expression.identifiers().collect();
        let words: Vec<Cow<'_, str>> = self.order.words.iter().map(|word| self.key(word)).collect();
        if words.len() != classes.len() {
            return Err(Reason::Words { wanted: classes, got: words.len() });
        }
        match classes
            .iter()
            .zip(&words)
            .enumerate()
            .find_map(|(i, (class, word))| reason::misfit(*class, word).map(|why| (i + 1, *class, word, why)))
        {
            Some((number, class, word, why)) => {
                let could = reason::could_write(class, word);
                Err(Reason::Misfit { number, word: word.to_string(), class, why, could })
            }
            None => Ok(Parts { account, alias, words, date }),
        }
    }

    /// The domain of the address, if one is known.
    fn domain(&self, checked: &Checked<'_>) -> Result<Option<String>, Reason> {
        let canonical = |domain: &str| mail_address::canonical_domain(domain).into_owned();
        let wanted = self.order.domain.map(canonical);
        let Some(domains) = &checked.statement.domains else { return Ok(wanted) };
        match wanted {
            Some(wanted) if domains.iter().any(|domain| canonical(domain.value) == wanted) => {
                Ok(Some(wanted))
            }
            Some(wanted) => {
                let domains = domains.iter().take(MAX_NAMED).map(|domain| domain.value.into()).collect();
                Err(Reason::Domain { wanted, domains })
            }
            None => Ok(domains.first().map(|domain| canonical(domain.value))),
        }
    }

    /// All of it put together with one of the codes.
    fn name(
        &self,
        checked: &Checked<'_>,
        parts: &Parts<'_>,
        code: &Code,
        choice: &[usize],
    ) -> Result<String, Reason> {
        let items = &checked.statement.expression.items;
        let last = items.iter().rposition(|item| *item == Item::Code);
        let (mut before, mut after) = (String::new(), String::new());
        let mut words = parts.words.iter().map(|word| &**word);
        for (i, item) in items.iter().enumerate() {
            let side = if Some(i) <= last { &mut before } else { &mut after };
            match item {
                // It only has to look like a code, and what does so more than this one?
                Item::Code if Some(i) != last => side.push_str(&code.text(choice, None)),
                // A literal is compared in the form in which names are.
                Item::Literal(text) => side.push_str(&self.key(text)),
                item => side.push_str(parts.text(item, &mut words)),
            }
        }
        let hmac = {
            let Parts { account, alias, .. } = parts;
            code.hmac(&self.options.secrets, &Bound { account, alias, before: &before, after: &after })?
        };
        let name = [&*before, &self.key(&code.text(choice, hmac.as_deref())), &after].concat();
        if name.len() > MAX_LOCAL_PART {
            return Err(Reason::TooLong { name });
        }
        Ok(name)
    }

    fn good(
        &self,
        name: String,
        domain: Option<String>,
        parts: &Parts<'_>,
        target: Option<String>,
        steps: Vec<String>,
    ) -> Good {
        let mut remarks = Vec::new();
        let changed = self.order.words.iter().zip(&parts.words).find(|(given, taken)| *given != *taken);
        if let Some((given, taken)) = changed {
            let (given, taken) = (escape(given), escape(&**taken));
            remarks.push(format!("\"{given}\" counts as \"{taken}\": case does not matter"));
        }
        if name.len() > USUAL_LOCAL_PART {
            let len = name.len();
            remarks.push(format!(
                "its {len} octets in front of the @ are more than the {USUAL_LOCAL_PART} that every mail system takes"
            ));
        }
        if Address::new(&name, "").is_ok_and(|address| address.to_string() != name) {
            remarks.push("it has to be quoted in an address, which many forms on the web refuse".into());
        }
        if let Some(target) = target {
            remarks.push(format!("its mail goes to {}", escape(&target)));
        }
        Good { name, domain, remarks, steps }
    }

    /// Why the name is not, or not only, an alias of the account by the statement numbered `i`.
    fn doubt(&self, i: usize, name: &str, domain: Option<&str>) -> Reason {
        let explanation = self.rules.explain(Query { name, domain, today: None });
        let (mut others, mut own) = (Vec::new(), None);
        for (at, trace) in explanation.statements.into_iter().enumerate() {
            match trace.finding {
                Finding::Matched { several, ambiguous, split, .. } if at == i && (several || ambiguous) => {
                    own = Some((several, split.map(|split| split.parts).unwrap_or_default()));
                }
                Finding::Matched { account, .. } if at != i && others.len() < MAX_NAMED => {
                    others.push((trace.place, trace.expression, account));
                }
                _ => {}
            }
        }
        Reason::Ambiguous { name: name.into(), others, own }
    }
}

/// Each name once: the nearest of two that are the same is none.
fn distinct<'n>(names: impl Iterator<Item = &'n str>) -> impl Iterator<Item = &'n str> {
    let mut seen = foldhash::HashSet::default();
    names.filter(move |name| seen.insert(*name))
}
