//! Converts a decision of the rules into the next step of the resolution.

use super::{DeferReason, Outcome, RejectReason, RuleTrace};
use alias_rules::Decision;
use mail_address::{Address, escape, is_domain};

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

/// Returns the next step for an address at `domain`.
pub(super) fn next(decision: Decision<'_>, domain: &str) -> (RuleTrace, Next) {
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
        Some(domain) if !is_domain(domain) => Some("its domain is none".into()),
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
            assert_eq!(next(decision, "example.test"), want);
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
            ("a@else where.example", Err("its domain is none")),
            ("a@elsewhere..example", Err("its domain is none")),
            ("a@x>,<b.example", Err("its domain is none")),
            ("\"a@elsewhere.example", Err("quoted string does not end")),
            ("a\r\nb@elsewhere.example", Err("control character in the address")),
        ] {
            let (trace, got) = next(account("foo", Some(target)), "example.test");
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
