//! Looks up one address: the script, the rules, and the script again.

use super::decision::{self, Next};
use super::{DeferReason, Outcome, Resolver, RuleTrace};
use crate::script::{Returned, Script, ScriptError, ScriptFunction};
use alias_rules::{Day, Decision, Query, Rules};
use mail_address::{Address, Forms, LocalPartPolicy, canonical_domain, escape};
use std::borrow::Cow;
use std::sync::Arc;

/// The rules for one case sensitivity, and the script that runs before and after them.
#[derive(Clone, Debug)]
pub struct Form {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The script, loaded with these rules.
    pub script: Option<Arc<Script>>,
}

impl From<Arc<Rules>> for Form {
    fn from(rules: Arc<Rules>) -> Self {
        Form { rules, script: None }
    }
}

/// A step of the resolution, for callers that show it.
pub(super) enum Event<'e> {
    /// The lookup of this address begins.
    Address(&'e Address),
    /// The script was called with a local part and a domain.
    Script(ScriptFunction, &'e str, &'e str, &'e Result<Returned, ScriptError>),
    /// These rules were searched.
    Rules(&'e Rules, Query<'e>),
}

/// Callback that receives the events.
pub(super) type Show<'s> = dyn FnMut(Event<'_>) + Send + 's;

/// The result of looking up an address.
pub(super) struct Found {
    pub rule: RuleTrace,
    pub next: Next,
}

/// The query to the rules.
struct Asked<'a> {
    names: Forms<'a>,
    domain: Cow<'a, str>,
}

impl Resolver {
    /// Looks an address up.
    pub(super) fn look_up(&self, at: &Address, today: Option<Day>, show: &mut Show<'_>) -> Found {
        show(Event::Address(at));
        let domain = at.domain().unwrap_or_default();
        let normal = self.normal(domain);
        let script = self.form(normal).script.as_deref();
        let before = self.preprocess(script, normal.typed(at.local()), domain, show);
        let (rule, next) = match before {
            Ok(Some(asked)) => decision::next(self.ask(&asked, today, show), &asked.domain),
            Ok(None) => (RuleTrace::None, Next::Own),
            Err(doubt) => (RuleTrace::None, Next::Stop(Outcome::TempFail(doubt))),
        };
        match postprocess(script, &next, show) {
            Ok(None) => Found { rule, next },
            Ok(Some(Next::Own)) => Found { rule: RuleTrace::None, next: Next::Own },
            Ok(Some(next)) => Found { rule, next },
            Err(doubt) => Found { rule, next: Next::Stop(Outcome::TempFail(doubt)) },
        }
    }

    /// Whether the address of an account, as written in the rules, is an alias itself: then its mail is
    /// redirected there. A mail server that uses tables looks up the result again, so both lead to the same
    /// address.
    pub(super) fn leads_on(&self, account: &Address, today: Option<Day>) -> bool {
        match self.look_up(account, today, &mut |_| ()).next {
            Next::Own => false,
            Next::Account(next) => !self.is_same(account, &next),
            Next::Target(_) | Next::Stop(_) => true,
        }
    }

    /// Runs `preprocess` and returns the query to the rules, if they are to be searched.
    fn preprocess<'a>(
        &self,
        script: Option<&Script>,
        own: Forms<'a>,
        domain: &'a str,
        show: &mut Show<'_>,
    ) -> Result<Option<Asked<'a>>, DeferReason> {
        let returned =
            script.and_then(|script| call(script, ScriptFunction::Preprocess, own.whole(), domain, show));
        let (local, to) = match returned.transpose()? {
            None => return Ok(Some(Asked { names: own, domain: domain.into() })),
            Some(Returned::NoAlias) => return Ok(None),
            Some(Returned::Name { local, domain: None }) => (local, Cow::Borrowed(domain)),
            Some(Returned::Name { local, domain: Some(to) }) => {
                (local, canonical_domain(&to).into_owned().into())
            }
        };
        // The rules apply to our domains only.
        let Some(normal) = self.domains.get(&*to) else {
            let why = format!("preprocess leads to {}, which is not one of domains", escape(&*to));
            return Err(DeferReason::Script(why.into()));
        };
        Ok(Some(Asked { names: normal.typed(&local).into_owned(), domain: to }))
    }

    /// Searches the rules. A computed alias may contain a text that looks like an extension, so the name
    /// without extension is searched only if the whole name is not a valid alias of one account. If that
    /// finds no alias either, an expired or ambiguous result of the whole name is returned.
    fn ask(&self, asked: &Asked<'_>, today: Option<Day>, show: &mut Show<'_>) -> Decision<'_> {
        let rules = &self.form(self.normal(&asked.domain)).rules;
        let mut find = |name| {
            let query = Query { name, domain: Some(&asked.domain), today };
            show(Event::Rules(rules, query));
            rules.find(query)
        };
        let first = find(asked.names.whole());
        let Some(bare) = asked.names.bare() else { return first };
        match first {
            Decision::NoMatch => find(bare),
            Decision::Expired { .. } | Decision::Ambiguous { .. } => match find(bare) {
                Decision::NoMatch => first,
                second => second,
            },
            Decision::Account { .. } | Decision::TempFail { .. } => first,
        }
    }

    /// The normalisation of local parts in a domain.
    pub(super) fn normal(&self, domain: &str) -> &LocalPartPolicy {
        self.domains.get(domain).unwrap_or(&self.plain)
    }

    /// The rules for a domain with this normalisation.
    fn form(&self, normal: &LocalPartPolicy) -> &Form {
        let usual = normal.case_sensitive == self.settings.case_sensitive;
        self.other_case.as_ref().filter(|_| !usual).unwrap_or(&self.form)
    }
}

/// Runs `postprocess` and returns its address, if that differs from the destination so far.
fn postprocess(
    script: Option<&Script>,
    next: &Next,
    show: &mut Show<'_>,
) -> Result<Option<Next>, DeferReason> {
    let (Next::Account(to) | Next::Target(to)) = next else { return Ok(None) };
    let domain = to.domain().unwrap_or_default();
    let returned =
        script.and_then(|script| call(script, ScriptFunction::Postprocess, to.local(), domain, show));
    let (local, other) = match returned.transpose()? {
        None => return Ok(None),
        Some(Returned::NoAlias) => return Ok(Some(Next::Own)),
        Some(Returned::Name { local, domain }) => (local, domain),
    };
    let wrong = |why: &str| {
        let shown = format!("{local}@{}", other.as_deref().unwrap_or(domain));
        DeferReason::Script(format!("postprocess leads to \"{}\": {why}", escape(&shown)).into())
    };
    let address =
        Address::new(&local, other.as_deref().unwrap_or(domain)).map_err(|why| wrong(&why.to_string()))?;
    if address.local() == to.local() && address.domain() == to.domain() {
        return Ok(None);
    }
    match decision::unfit(&address) {
        None => Ok(Some(Next::Target(address))),
        Some(why) => Err(wrong(&why)),
    }
}

fn call(
    script: &Script,
    function: ScriptFunction,
    local: &str,
    domain: &str,
    show: &mut Show<'_>,
) -> Option<Result<Returned, DeferReason>> {
    let returned = script.call(function, local, domain)?;
    show(Event::Script(function, local, domain, &returned));
    Some(returned.map_err(|fault| DeferReason::Script(fault.to_string().into())))
}
