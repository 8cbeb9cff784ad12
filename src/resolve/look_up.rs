//! Looks up one address: the script or plug-in, the rules, and the script again. The result is the next step of the
//! resolution.

use super::{DeferReason, Outcome, RejectReason, Resolver, RuleTrace};
use crate::script::{Hook, Returned, ScriptError, ScriptFunction};
use alias_rules::{Day, Decision, Query, Rules};
use mail_address::{Address, Forms, LocalPartPolicy, canonical_domain, escape, is_domain};
use std::borrow::Cow;
use std::sync::Arc;

/// The rules for one case sensitivity, and what runs before and after them.
#[derive(Clone, Debug)]
pub struct Form {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The script, loaded with these rules, or the plug-in.
    pub hook: Option<Hook>,
}

impl From<Arc<Rules>> for Form {
    fn from(rules: Arc<Rules>) -> Self {
        Form { rules, hook: None }
    }
}

/// A step of the resolution, for callers that show it.
pub(super) enum Event<'e> {
    /// The lookup of this address begins.
    Address(&'e Address),
    /// The script or plug-in was called with a local part and a domain.
    Script(ScriptFunction, &'e str, &'e str, &'e Result<Returned, ScriptError>),
    /// These rules were searched.
    Rules(&'e Rules, Query<'e>),
}

/// Callback that receives the events.
pub(super) type Show<'s> = dyn FnMut(Event<'_>) + Send + 's;

/// The next step for an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The address is not an alias: look up its own account.
    Own,
    /// The address is an alias of this account: look up that account.
    Account(Address),
    /// A rule redirects the mail to this address.
    Target(Address),
    /// The outcome is final.
    Stop(Outcome),
}

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
    pub(super) async fn look_up(&self, at: &Address, today: Option<Day>, show: &mut Show<'_>) -> Found {
        show(Event::Address(at));
        let domain = at.domain().unwrap_or_default();
        let normal = self.normal(domain);
        let own = Asked { names: normal.typed(at.local()), domain: domain.into() };
        let Some(hook) = &self.form(normal).hook else {
            let (rule, next) = next_step(self.ask(&own, today, show), domain);
            return Found { rule, next };
        };
        let before = self.preprocess(hook, own, domain, show).await;
        let (rule, next) = match before {
            Ok(Some(asked)) => next_step(self.ask(&asked, today, show), &asked.domain),
            Ok(None) => (RuleTrace::None, Next::Own),
            Err(doubt) => (RuleTrace::None, Next::Stop(Outcome::TempFail(doubt))),
        };
        match postprocess(hook, &next, show).await {
            Ok(None) => Found { rule, next },
            Ok(Some(Next::Own)) => Found { rule: RuleTrace::None, next: Next::Own },
            Ok(Some(next)) => Found { rule, next },
            Err(doubt) => Found { rule, next: Next::Stop(Outcome::TempFail(doubt)) },
        }
    }

    /// Whether the address of an account, as written in the rules, is an alias itself: then its mail is
    /// redirected there. A mail server that uses tables looks up the result again, so both lead to the same
    /// address.
    pub(super) async fn leads_on(&self, account: &Address, today: Option<Day>) -> bool {
        match self.look_up(account, today, &mut |_| ()).await.next {
            Next::Own => false,
            Next::Account(next) => !self.is_same(account, &next),
            Next::Target(_) | Next::Stop(_) => true,
        }
    }

    /// Runs `preprocess` and returns the query to the rules, if they are to be searched.
    async fn preprocess<'a>(
        &self,
        hook: &Hook,
        own: Asked<'a>,
        domain: &'a str,
        show: &mut Show<'_>,
    ) -> Result<Option<Asked<'a>>, DeferReason> {
        let returned = call(hook, ScriptFunction::Preprocess, own.names.whole(), domain, show).await;
        let (local, to) = match returned.transpose()? {
            None | Some(Returned::Same) => return Ok(Some(own)),
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
async fn postprocess(hook: &Hook, next: &Next, show: &mut Show<'_>) -> Result<Option<Next>, DeferReason> {
    let (Next::Account(to) | Next::Target(to)) = next else { return Ok(None) };
    let domain = to.domain().unwrap_or_default();
    let returned = call(hook, ScriptFunction::Postprocess, to.local(), domain, show).await;
    let (local, other) = match returned.transpose()? {
        None | Some(Returned::Same) => return Ok(None),
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
    match unfit(&address) {
        None => Ok(Some(Next::Target(address))),
        Some(why) => Err(wrong(&why)),
    }
}

async fn call(
    hook: &Hook,
    function: ScriptFunction,
    local: &str,
    domain: &str,
    show: &mut Show<'_>,
) -> Option<Result<Returned, DeferReason>> {
    let returned = hook.call(function, local, domain).await?;
    show(Event::Script(function, local, domain, &returned));
    Some(returned.map_err(|fault| DeferReason::Script(fault.to_string().into())))
}

/// Returns the next step for an address at `domain`.
fn next_step(decision: Decision<'_>, domain: &str) -> (RuleTrace, Next) {
    match decision {
        Decision::NoMatch => (RuleTrace::None, Next::Own),
        Decision::Ambiguous { statements } => {
            (RuleTrace::Ambiguous(statements.first().copied().unwrap_or_default()), Next::Own)
        }
        // The account is not looked up: even if it exists, the address is no longer valid.
        Decision::Expired { statement, last, .. } => {
            (RuleTrace::Expired(statement), Next::Stop(Outcome::NoSuchUser(RejectReason::Expired(last))))
        }
        Decision::TempFail { statement } => {
            (RuleTrace::None, Next::Stop(Outcome::TempFail(DeferReason::Rules(statement))))
        }
        Decision::Account { name, target, statement, ambiguous, by_debug } => {
            let trace = match (by_debug, ambiguous) {
                (true, _) => RuleTrace::DebugAccount(statement),
                (false, true) => RuleTrace::MatchedTwice(statement),
                (false, false) => RuleTrace::Matched(statement),
            };
            let next = match target {
                None => Address::new(name, domain).map(Next::Account).map_err(DeferReason::Target),
                Some(target) => destination(&target).map(Next::Target),
            };
            (trace, next.unwrap_or_else(|doubt| Next::Stop(Outcome::TempFail(doubt))))
        }
    }
}

/// The address that a rule redirects to. Part of it may come from the names in the rule, so it is parsed
/// like any other address.
fn destination(text: &str) -> Result<Address, DeferReason> {
    let text_inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let address = Address::from_server(text_inside.as_bytes());
    match unfit(&address) {
        None => Ok(address),
        Some(why) => {
            Err(DeferReason::Destination(format!("the rule delivers to \"{}\": {why}", escape(text)).into()))
        }
    }
}

/// Returns why mail cannot be sent to an address, if so. Its destination must be unambiguous for a mail
/// server.
pub(super) fn unfit(address: &Address) -> Option<String> {
    if let Some(why) = address.malformed() {
        return Some(why.to_string());
    }
    match address.domain() {
        None => Some("it has no domain".into()),
        Some(domain) if !is_domain(domain) => Some("its domain is invalid".into()),
        Some(_) if address.may_be_rerouted() => Some("its local part may be a route".into()),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alias_rules::Day;

    fn account<'r>(name: &'r str, target: Option<&'r str>) -> Decision<'r> {
        let target = target.map(Into::into);
        Decision::Account { name, target, statement: 7, ambiguous: false, by_debug: false }
    }

    #[test]
    fn next_step_follows_the_decision() {
        let day = Day::new(2026, 11, 30).expect("a day");
        let address = |local: &str| Address::new(local, "example.test").expect("an address");
        let too_long = "x".repeat(256);
        for (decision, want) in [
            (Decision::NoMatch, (RuleTrace::None, Next::Own)),
            (Decision::Ambiguous { statements: vec![3, 4] }, (RuleTrace::Ambiguous(3), Next::Own)),
            (
                Decision::Expired { name: "foo", statement: 7, last: day },
                (RuleTrace::Expired(7), Next::Stop(Outcome::NoSuchUser(RejectReason::Expired(day)))),
            ),
            (
                Decision::TempFail { statement: 7 },
                (RuleTrace::None, Next::Stop(Outcome::TempFail(DeferReason::Rules(7)))),
            ),
            (account("foo", None), (RuleTrace::Matched(7), Next::Account(address("foo")))),
            (
                account(&too_long, None),
                (
                    RuleTrace::Matched(7),
                    Next::Stop(Outcome::TempFail(DeferReason::Target(mail_address::Malformed::TooLong))),
                ),
            ),
        ] {
            assert_eq!(next_step(decision, "example.test"), want);
        }
        assert_eq!(
            RejectReason::Expired(day).to_string(),
            "the alias has expired, its last day was 2026-11-30"
        );
    }

    #[test]
    fn parses_and_checks_destinations() {
        // target in the rule, destination of the mail or reason of the failure
        for (target, want) in [
            ("bar@elsewhere.example", Ok("bar@elsewhere.example")),
            ("Bar@Elsewhere.Example.", Ok("Bar@elsewhere.example")),
            ("<bar+x@bücher.example>", Ok("bar+x@xn--bcher-kva.example")),
            ("\"a b\"@elsewhere.example", Ok("\"a b\"@elsewhere.example")),
            ("bar", Err("it has no domain")),
            ("", Err("it has no domain")),
            ("bar@", Err("it has no domain")),
            ("@elsewhere.example", Err("its local part may be a route")),
            ("a%b@elsewhere.example", Err("its local part may be a route")),
            ("a@b@elsewhere.example", Err("its local part may be a route")),
            ("b!a@elsewhere.example", Err("its local part may be a route")),
            ("a@else where.example", Err("its domain is invalid")),
            ("a@elsewhere..example", Err("its domain is invalid")),
            ("a@x>,<b.example", Err("its domain is invalid")),
            ("\"a@elsewhere.example", Err("quoted string does not end")),
            ("a\r\nb@elsewhere.example", Err("control character in the address")),
        ] {
            let (trace, got) = next_step(account("foo", Some(target)), "example.test");
            assert_eq!(trace, RuleTrace::Matched(7));
            let got = match got {
                Next::Target(address) => Ok(address.to_string()),
                Next::Stop(Outcome::TempFail(doubt)) => Err(doubt.to_string()),
                other => panic!("{target}: {other:?}"),
            };
            let want = want
                .map(String::from)
                .map_err(|why| format!("the rule delivers to \"{}\": {why}", escape(target)));
            assert_eq!(got, want, "{target}");
        }
    }
}
