//! Generates addresses from an account and words, the inverse of `matcher`.
//!
//! An address is returned only if [`Rules::find`] resolves it to exactly the requested account.

mod code;
mod reason;
mod steps;

pub use reason::{NoStatement, Reason};

use crate::compile::refusals::Checked;
use crate::compile::trees;
use crate::date::Day;
use crate::explain::Finding;
use crate::ir::Target;
use crate::load::Options;
use crate::matcher::rules::{Decision, Query, Rules};
use crate::secrets::HmacInput;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;
use code::Code;
use diagnostics::{Text, nearest};
use mail_address::{Address, MAX_LOCAL_PART, escape, fold};
use std::borrow::Cow;

/// Maximum length of a local part that all mail systems accept (RFC 5321, section 4.5.3.1.1). A longer one is
/// generated with a remark.
pub const USUAL_LOCAL_PART: usize = 64;

/// Maximum number of codes that are tried if functions have several correct values. `ANY` of a long word and
/// `NONE` have some thirty values each; if ten of them are ambiguous, probably all are.
pub const MAX_TRIES: usize = 64;

/// Maximum number of rules, aliases or domains listed in a reason, since lists may be long.
pub const MAX_NAMED: usize = 5;

/// A request for addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenerateRequest<'o> {
    /// The account.
    pub account: &'o str,
    /// One of its aliases.
    pub alias: Option<&'o str>,
    /// The texts of the identifiers, in order.
    pub words: &'o [String],
    /// The number of a statement, from 1; `None` for all statements of the account.
    pub rule: Option<usize>,
    /// The domain of the address.
    pub domain: Option<&'o str>,
    /// The last day of the address.
    pub until: Option<Day>,
}

/// The result of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The number of the statement, from 1.
    pub rule: usize,
    /// Its file and line, `aliases.rules:3`.
    pub place: String,
    /// Its expression.
    pub expression: String,
    /// The address, or the reason that there is none.
    pub result: Result<GeneratedAddress, Reason>,
}

/// A generated address, which the rules resolve to the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedAddress {
    /// Its local part, without quotes.
    pub name: String,
    /// Its domain, if the request or the statement specifies one.
    pub domain: Option<String>,
    /// Remarks, in sentences without a full stop.
    pub remarks: Vec<String>,
    /// Instructions for composing the address without a computer.
    pub steps: Vec<String>,
}

/// Generates an address with every statement of `texts` that has the account. `rules` must be `texts` loaded
/// with `options`.
///
/// # Errors
/// [`NoStatement`] if no statement has the account, the alias and the number.
///
/// ```
/// use alias_rules::{GenerateRequest, Options, generate, load};
/// use diagnostics::Text;
///
/// let text = "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();";
/// let (texts, options) = ([Text::new("example.rules", text)], Options::default());
/// let rules = load(&texts, &options).unwrap().rules;
/// let words = ["macys".to_owned()];
/// let request = GenerateRequest { account: "foo", words: &words, ..GenerateRequest::default() };
/// let generated = generate(&texts, &rules, &options, &request).unwrap();
/// assert_eq!(generated[0].result.as_ref().unwrap().name, "foo-macys-m5");
/// ```
pub fn generate(
    texts: &[Text],
    rules: &Rules,
    options: &Options,
    request: &GenerateRequest<'_>,
) -> Result<Vec<Generated>, NoStatement> {
    let statements = trees::of(texts, options.dialect, &options.secrets);
    let generator = Generator { rules, options, request };
    let selected = generator.select(&statements)?;
    let generated = selected.into_iter().map(|(i, checked)| {
        let statement = rules.statement(i);
        Generated {
            rule: i + 1,
            place: statement.to_string(),
            expression: checked.statement.expression.text.clone(),
            result: generator.statement(i, checked),
        }
    });
    Ok(generated.collect())
}

/// Generates an address with the statement `checked`, which has the index `i` in `rules`.
pub(crate) fn with_statement(
    rules: &Rules,
    options: &Options,
    request: &GenerateRequest<'_>,
    i: usize,
    checked: &Checked<'_>,
) -> Result<GeneratedAddress, Reason> {
    Generator { rules, options, request }.statement(i, checked)
}

struct Generator<'m> {
    rules: &'m Rules,
    options: &'m Options,
    request: &'m GenerateRequest<'m>,
}

/// The texts for the names of an expression.
struct Parts<'p> {
    account: Cow<'p, str>,
    alias: Cow<'p, str>,
    words: Vec<Cow<'p, str>>,
    date: Option<String>,
}

impl Parts<'_> {
    /// The text of an item; empty for the code.
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

    /// The text that a function looks at; empty for the whole name, which is not known yet.
    fn target(&self, target: Target) -> &str {
        match target {
            Target::Identifier(i) => self.words.get(i).map_or("", |word| word),
            Target::Account => &self.account,
            Target::Alias => &self.alias,
            Target::Name => "",
        }
    }
}

impl<'m> Generator<'m> {
    fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.options.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    /// Selects the statements to try, with their indices.
    fn select<'s, 't>(
        &self,
        statements: &'s [Checked<'t>],
    ) -> Result<Vec<(usize, &'s Checked<'t>)>, NoStatement> {
        let account = self.key(self.request.account);
        let alias = self.request.alias.map(|alias| self.key(alias));
        let of_account: Vec<_> = statements
            .iter()
            .enumerate()
            .filter(|(_, checked)| {
                checked.statement.accounts.iter().any(|name| self.key(name.value) == account)
            })
            .collect();
        if of_account.is_empty() {
            let known = statements.iter().flat_map(|checked| &checked.statement.accounts);
            let near = nearest(self.request.account, distinct(known.map(|name| name.value)));
            return Err(NoStatement::Account {
                account: self.request.account.into(),
                near: near.map(Into::into),
            });
        }
        let mut selected = of_account.clone();
        if let (Some(alias), Some(given)) = (&alias, self.request.alias) {
            let has = |checked: &Checked<'_>| {
                checked.statement.aliases.iter().flatten().any(|name| self.key(name.value) == *alias)
            };
            selected.retain(|(_, checked)| has(checked));
            if selected.is_empty() {
                let known = of_account.iter().filter_map(|(_, checked)| checked.statement.aliases.as_ref());
                let near = nearest(given, distinct(known.flatten().map(|name| name.value)));
                let (account, alias) = (self.request.account.into(), given.into());
                return Err(NoStatement::Alias { account, alias, near: near.map(Into::into) });
            }
        }
        if let Some(rule) = self.request.rule {
            selected.retain(|(i, _)| i + 1 == rule);
            if selected.is_empty() {
                let of_account = of_account.iter().map(|(i, _)| i + 1).take(MAX_NAMED).collect();
                return Err(NoStatement::Rule { rule, rules: statements.len(), of_account });
            }
        }
        Ok(selected)
    }

    /// Generates an address with one statement.
    fn statement(&self, i: usize, checked: &Checked<'_>) -> Result<GeneratedAddress, Reason> {
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
            let is_ambiguous = match self.rules.find(query) {
                Decision::Account { name: account, ambiguous: false, by_debug: false, target, .. }
                    if self.key(account) == parts.account =>
                {
                    let target = target.map(Cow::into_owned);
                    let steps = steps::of(checked, &parts, &code, &choice, &name);
                    return Ok(self.address(name, domain, &parts, target, steps));
                }
                Decision::TempFail { .. } => return Err(Reason::TempFail { name }),
                Decision::Expired { last, .. } => return Err(Reason::Expired { name, last }),
                Decision::NoMatch => false,
                Decision::Account { .. } | Decision::Ambiguous { .. } => true,
            };
            // The reason is about the first code, which is the most obvious one.
            refused.get_or_insert((name, is_ambiguous));
        }
        let Some((name, is_ambiguous)) = refused else { return Err(Reason::NoChoice) };
        if is_ambiguous {
            Err(self.ambiguous(i, &name, domain.as_deref()))
        } else {
            Err(Reason::NoMatch { name })
        }
    }

    /// The texts for the names of the expression, after checking them.
    fn parts(&self, checked: &Checked<'m>) -> Result<Parts<'m>, Reason> {
        let statement = &checked.statement;
        let expression = &statement.expression;
        let account = self.key(self.request.account);
        let alias = match (&statement.aliases, self.request.alias) {
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
        let date = match (expression.has(&Item::Date), self.request.until) {
            (false, None) => None,
            (true, Some(day)) => Some(code::date(day)?),
            (true, None) => return Err(Reason::NoDay),
            (false, Some(_)) => return Err(Reason::NoDate),
        };
        let classes: Vec<Class> = expression.identifiers().collect();
        let words: Vec<Cow<'_, str>> = self.request.words.iter().map(|word| self.key(word)).collect();
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

    /// The domain of the address, if the request or the statement specifies one.
    fn domain(&self, checked: &Checked<'_>) -> Result<Option<String>, Reason> {
        let canonical = |domain: &str| mail_address::canonical_domain(domain).into_owned();
        let wanted = self.request.domain.map(canonical);
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

    /// Composes the name with one of the codes.
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
                // It only needs the shape of a code.
                Item::Code if Some(i) != last => side.push_str(&code.text(choice, None)),
                // Literals are compared case-folded, as names are.
                Item::Literal(text) => side.push_str(&self.key(text)),
                item => side.push_str(parts.text(item, &mut words)),
            }
        }
        let hmac = {
            let Parts { account, alias, .. } = parts;
            code.hmac(&self.options.secrets, &HmacInput { account, alias, before: &before, after: &after })?
        };
        let name = [&*before, &self.key(&code.text(choice, hmac.as_deref())), &after].concat();
        if name.len() > MAX_LOCAL_PART {
            return Err(Reason::TooLong { name });
        }
        Ok(name)
    }

    fn address(
        &self,
        name: String,
        domain: Option<String>,
        parts: &Parts<'_>,
        target: Option<String>,
        steps: Vec<String>,
    ) -> GeneratedAddress {
        let mut remarks = Vec::new();
        let changed = self.request.words.iter().zip(&parts.words).find(|(given, folded)| *given != *folded);
        if let Some((given, folded)) = changed {
            let (given, folded) = (escape(given), escape(&**folded));
            remarks.push(format!("\"{given}\" is treated as \"{folded}\": case does not matter"));
        }
        if name.len() > USUAL_LOCAL_PART {
            let len = name.len();
            remarks.push(format!(
                "its local part has {len} octets; some mail systems accept only {USUAL_LOCAL_PART}"
            ));
        }
        if Address::new(&name, "").is_ok_and(|address| address.to_string() != name) {
            remarks.push("it must be quoted in an address, which many web forms refuse".into());
        }
        if let Some(target) = target {
            remarks.push(format!("its mail is delivered to {}", escape(&target)));
        }
        GeneratedAddress { name, domain, remarks, steps }
    }

    /// The reason that the name is not an alias of the account only. It was generated with statement `i`.
    fn ambiguous(&self, i: usize, name: &str, domain: Option<&str>) -> Reason {
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

/// Removes repeated names, since [`nearest`] returns nothing for two equal names.
fn distinct<'n>(names: impl Iterator<Item = &'n str>) -> impl Iterator<Item = &'n str> {
    let mut seen = foldhash::HashSet::default();
    names.filter(move |name| seen.insert(*name))
}
