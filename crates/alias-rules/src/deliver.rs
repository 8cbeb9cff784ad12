//! `DELIVER TO`: parses the address, and expands it for the names that matched.

use super::Rules;
use super::eval::Hit;
use super::syntax::{ACCOUNT, Deliver, Fault, Name, Parser, Statement, Stop};
use super::words::is_blank;
use diagnostics::nearest;
use mail_address::{Address, MAX_LOCAL_PART, Malformed, checked_domain};
use std::borrow::Cow;

/// How often mail for a recipient may be redirected. More rules in a chain are not intended, and each is
/// another look-up.
pub const MAX_HOPS: usize = 10;

/// A part of the local part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    Account,
    Alias,
}

/// The address, with places for the names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Template {
    parts: Vec<Part>,
    domain: String,
    /// The whole address if it is the same for all names.
    fixed: Option<Box<str>>,
}

impl Parser<'_, '_> {
    /// Skips a semicolon. Without one, the statement still ends if another one begins.
    pub fn semicolon(&mut self, expected: &str, help: &str) -> Result<(), Stop> {
        self.cursor.skip_blank();
        if self.cursor.eat(';') {
            return Ok(());
        }
        let Some(span) = self.cursor.peek_word() else { return self.ended("a semicolon") };
        let found = self.cursor.slice(&span);
        let next = found == ACCOUNT || self.is_setting(&span);
        let fault = Fault::new(span.clone(), format!("expected {expected}, found \"{found}\""));
        let fault = fault.help(if next { "end the statement above with a semicolon" } else { help });
        if found == ACCOUNT {
            // It is the next statement, anywhere on its line.
            self.faults.push(fault);
            self.cursor.seek(span.start);
            return Ok(());
        }
        self.error(fault, span.start)
    }
}

impl<'t> Parser<'t, '_> {
    /// Parses the text after `DELIVER`, up to the semicolon.
    pub fn deliver(&mut self) -> Result<Deliver<'t>, Stop> {
        self.keyword("TO", "deliver")?;
        self.cursor.skip_blank();
        let span = self.cursor.run(|c| is_blank(c) || c == ';');
        if span.is_empty() {
            let Some(found) = self.cursor.peek_word() else { return self.ended("an address") };
            let text = self.cursor.slice(&found);
            let fault = Fault::new(found.clone(), format!("expected an address, found \"{text}\""));
            return self.error(fault.help(SUCH_AS), found.start);
        }
        let target = Name { value: self.cursor.slice(&span), start: span.start };
        self.semicolon("\";\"", "an address is one word; a semicolon ends the statement")?;
        Ok(Deliver { target })
    }
}

const SUCH_AS: &str = "write local@domain, such as %account%@example.com";

/// Characters that an unquoted local part cannot contain.
const ODD: [char; 12] = ['"', '\\', '<', '>', '(', ')', '[', ']', ',', ':', '@', '!'];

/// Parses the address of a statement.
pub(super) fn check(statement: &Statement<'_>, faults: &mut Vec<Fault>) -> Option<Template> {
    let target = statement.deliver.as_ref()?.target;
    let known = faults.len();
    let Some((local, domain)) = target.value.rsplit_once('@').filter(|(local, _)| !local.is_empty()) else {
        let fault = Fault::new(target.span(), format!("\"{}\" is not an address", target.value));
        faults.push(fault.help(SUCH_AS));
        return None;
    };
    let at_domain = target.span().end - domain.len()..target.span().end;
    let canonical = checked_domain(domain).map_err(|help| {
        let help = if domain.contains('%') { "names stand in the local part only" } else { help };
        faults.push(Fault::new(at_domain, format!("\"{domain}\" is not a domain")).help(help));
    });
    if let Some((at, c)) = local.char_indices().find(|(_, c)| ODD.contains(c) || c.is_control()) {
        let at = target.start + at;
        let fault = Fault::new(at..at + c.len_utf8(), format!("no local part holds \"{c}\" as it is"));
        faults.push(fault.help("write local@domain, without quotes and brackets"));
    }
    let parts = parts(local, target.start, statement.aliases.is_some(), faults);
    let (Ok(domain), true) = (canonical, faults.len() == known) else { return None };
    let mut template = Template { parts, domain: domain.into(), fixed: None };
    if !template.names(&Part::Account) && !template.names(&Part::Alias) {
        template.fixed = template.write("", "").ok().map(Into::into);
    }
    template.check_names(statement, target, faults);
    Some(template)
}

/// The parts of `local`, which begins at `start`.
fn parts(local: &str, start: usize, aliased: bool, faults: &mut Vec<Fault>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = local;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        let at = start + (local.len() - after.len());
        let Some((name, behind)) = after.split_once('%') else {
            let fault = Fault::new(at - 1..at, "a name begins here and does not end");
            faults.push(fault.help("write %account% or %alias%"));
            return parts;
        };
        rest = behind;
        let span = at..at + name.len();
        let part = match name {
            "" => {
                let fault = Fault::new(at - 1..at + 1, "a percent sign in an address may be read as a route");
                faults.push(fault.help("no address with one can be delivered to"));
                continue;
            }
            "account" => Part::Account,
            "alias" if aliased => Part::Alias,
            "alias" => {
                let fault = Fault::new(span, "the address names the alias, but the statement has none");
                faults.push(fault.help("write %account% instead of %alias%, or add ALIASED"));
                continue;
            }
            _ => {
                let fault = Fault::new(span, format!("unknown name \"{name}\" in the address"));
                faults.push(fault.help(match nearest(name, ["account", "alias"]) {
                    Some(near) => format!("did you mean %{near}%?"),
                    None => "known are account and alias".into(),
                }));
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part);
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

impl Template {
    fn names(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    /// Whether the address depends on the alias.
    pub fn names_alias(&self) -> bool {
        self.names(&Part::Alias)
    }

    fn write(&self, account: &str, alias: &str) -> Result<String, Malformed> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Account => account,
            Part::Alias => alias,
        });
        Address::new(&parts.collect::<String>(), &self.domain).map(|address| address.to_string())
    }

    /// Checks that all names of the lists give a valid address.
    fn check_names(&self, statement: &Statement<'_>, target: Name<'_>, faults: &mut Vec<Fault>) {
        let mut longest = [""; 2];
        let lists = [(Part::Account, Some(&statement.accounts)), (Part::Alias, statement.aliases.as_ref())];
        for ((part, list), longest) in lists.into_iter().zip(&mut longest) {
            let Some(list) = list.filter(|_| self.names(&part)) else { continue };
            *longest = list.iter().map(|name| name.value).max_by_key(|name| name.len()).unwrap_or_default();
            if let Some(name) = list.iter().find(|name| name.value.contains(char::is_control)) {
                let message = format!("\"{}\" holds a control character, which no address does", name.value);
                faults.push(Fault::new(name.span(), message).help("write the local part as it is in mail"));
            }
            if let Some(name) = list.iter().find(|name| name.value.contains(['%', '!', '@', '\\'])) {
                let message = format!("\"{}\" may be read as a route in an address", name.value);
                faults.push(Fault::new(name.span(), message).help("leave it out of this statement"));
            }
        }
        let [account, alias] = longest;
        if self.write(account, alias) == Err(Malformed::TooLong) {
            let longest = if alias.is_empty() { account } else { alias };
            let message = if longest.is_empty() {
                "the address is too long".into()
            } else {
                format!("the address is too long with \"{longest}\"")
            };
            let help = format!("a local part has {MAX_LOCAL_PART} octets at most");
            faults.push(Fault::new(target.span(), message).help(help));
        }
    }
}

impl Rules {
    /// Where mail goes after a match of `program`; `None`: to the account itself.
    pub(super) fn target<'r>(&'r self, statement: u32, hit: &Hit) -> Result<Option<Cow<'r, str>>, Malformed> {
        let Some(template) = self.store.program(statement).terms().target() else { return Ok(None) };
        if let Some(fixed) = &template.fixed {
            return Ok(Some(Cow::Borrowed(fixed)));
        }
        let alias = hit.alias.map_or("", |alias| self.store.spelling(alias));
        template.write(self.store.spelling(hit.account), alias).map(|target| Some(Cow::Owned(target)))
    }
}
