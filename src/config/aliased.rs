//! Detects accounts of rules that are aliases by another rule.
//!
//! The daemon follows such aliases, as a mail server that uses tables does: mail for the account is
//! redirected to another account, which is rarely intended. If they form a loop, no mail is delivered.

use crate::resolve::MAX_HOPS;
use alias_rules::{Decision, Query, Rules};
use diagnostics::{Problem, Text};
use mail_address::{LocalPartPolicy, escape, fold};
use std::collections::HashSet;

/// Most lookups, to limit the time to about a second.
const MAX_LOOK_UPS: usize = 500_000;

/// Most warnings and most errors; a larger number has a common cause.
const MAX_FOUND: usize = 20;

/// Destination of the mail of an account that is an alias.
enum Destination {
    /// Another account, after all redirects.
    Account(String),
    /// None: the redirects form a loop or are too many.
    Loop,
}

/// Returns the warnings and errors for these rules. `domains` are ours, with the normalisation of their
/// local parts; without any, it checks all domains that are not named in a rule.
pub(super) fn aliased_accounts(
    rules: &Rules,
    texts: &[Text],
    domains: &[(Option<&str>, &LocalPartPolicy)],
) -> Vec<Problem> {
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    let (mut seen, mut look_ups) = (HashSet::new(), 0);
    for (statement, account) in rules.account_names() {
        if !seen.insert(account) {
            continue;
        }
        look_ups += domains.len();
        if look_ups > MAX_LOOK_UPS {
            let message = format!(
                "not checked: whether accounts are aliases themselves, from \"{}\" on",
                escape(account)
            );
            warnings.push(at(rules, texts, statement, |text, span| Problem::warning(text, span, message)));
            break;
        }
        let destination =
            domains.iter().find_map(|(domain, normal)| destination(rules, normal, *domain, account));
        let account = escape(account);
        match destination {
            Some(Destination::Account(end)) if warnings.len() < MAX_FOUND => {
                let message = format!(
                    "the account \"{account}\" is an alias itself: its mail goes to \"{}\"",
                    escape(&end)
                );
                let help =
                    "name that account in the rule, or change the rule that treats this one as an alias";
                warnings.push(at(rules, texts, statement, |text, span| {
                    Problem::warning(text, span, message).help(help)
                }));
            }
            Some(Destination::Loop) if errors.len() < MAX_FOUND => {
                let message = format!("the account \"{account}\" is an alias that ends in a loop");
                let help = "its mail would always be deferred: name an account that is not an alias";
                errors.push(at(rules, texts, statement, |text, span| {
                    Problem::error(text, span, message).help(help)
                }));
            }
            _ => (),
        }
    }
    errors.append(&mut warnings);
    errors
}

/// Returns where the mail of an account goes, if not to the account itself.
fn destination(
    rules: &Rules,
    normal: &LocalPartPolicy,
    domain: Option<&str>,
    account: &str,
) -> Option<Destination> {
    let same = |a: &str, b: &str| if normal.case_sensitive { a == b } else { fold(a) == fold(b) };
    let mut chain = vec![account.to_owned()];
    loop {
        let current = chain.last()?;
        let forms = normal.typed(current);
        let found = forms.each().map(|(name, _)| rules.find(Query { name, domain, today: None }));
        let next = match found.into_iter().find(|decision| !matches!(decision, Decision::NoMatch)) {
            // The operator knows of this redirect, and an address in another domain may be redirected
            // there.
            Some(Decision::Account { target: Some(target), .. }) => {
                return Some(Destination::Account(target.into_owned()));
            }
            Some(Decision::Account { name, target: None, .. }) if !same(name, current) => name.to_owned(),
            _ => return chain.get(1..)?.last().cloned().map(Destination::Account),
        };
        if chain.len() > MAX_HOPS || chain.iter().any(|before| same(before, &next)) {
            return Some(Destination::Loop);
        }
        chain.push(next);
    }
}

/// Returns a problem at a statement.
fn at(
    rules: &Rules,
    texts: &[Text],
    statement: usize,
    problem: impl FnOnce(&Text, std::ops::Range<usize>) -> Problem,
) -> Problem {
    let place = rules.statement(statement);
    let Some(text) = texts.iter().find(|text| *text.file == *place.file) else {
        return problem(&Text::new(place.file, ""), 0..0);
    };
    let lines = text.content.split_inclusive('\n');
    let start: usize = lines.take(place.line.saturating_sub(1)).map(str::len).sum();
    problem(text, start..start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alias_rules::{Dialect, Options, load};

    #[test]
    fn finds_accounts_that_are_aliases() {
        let plain = LocalPartPolicy::plain(false);
        let plus = LocalPartPolicy { delimiters: "+".into(), ..LocalPartPolicy::plain(false) };
        let foo = "ACCOUNT foo MATCHES %alpha%.%code% WITH CHARS();";
        // the other rule, normalisation of local parts, problem
        for (rule, normal, want) in [
            ("ACCOUNT bar MATCHES up-%alpha%-%code% WITH CHARS();", &plain, ""),
            // An account that is its own alias.
            ("ACCOUNT foo MATCHES up-%alpha%-%code% WITH CHARS();", &plain, ""),
            (
                "ACCOUNT abc.3 MATCHES up-%alpha%-%code% WITH CHARS();",
                &plain,
                "warning: the account \"abc.3\" is an alias itself: its mail goes to \"foo\"",
            ),
            ("ACCOUNT abc.4 MATCHES up-%alpha%-%code% WITH CHARS();", &plain, ""),
            ("ACCOUNT abc.3+x MATCHES up-%alpha%-%code% WITH CHARS();", &plain, ""),
            (
                "ACCOUNT Abc.3+x MATCHES up-%alpha%-%code% WITH CHARS();",
                &plus,
                "warning: the account \"Abc.3+x\" is an alias itself: its mail goes to \"foo\"",
            ),
            (
                "ACCOUNT abc.3 DOMAINS b.test MATCHES up-%alpha%-%code% WITH CHARS();",
                &plain,
                "warning: the account \"abc.3\" is an alias itself: its mail goes to \"foo\"",
            ),
            (
                "ACCOUNT up-a-1 MATCHES down-%alpha%-%code% WITH CHARS();\n\
                 ACCOUNT down-a-1 MATCHES up-%alpha%-%code% WITH CHARS();",
                &plain,
                "error: the account \"up-a-1\" is an alias that ends in a loop; \
                 error: the account \"down-a-1\" is an alias that ends in a loop",
            ),
            (
                "ACCOUNT up-a-1 MATCHES down-%alpha%-%code% WITH CHARS();\n\
                 ACCOUNT x MATCHES up-%alpha%-%code% WITH CHARS() DELIVER TO x@else.test;",
                &plain,
                "warning: the account \"up-a-1\" is an alias itself: its mail goes to \"x@else.test\"",
            ),
        ] {
            let text = Text::new("a.rules", &[foo, rule].join("\n"));
            let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
            let rules = load(std::slice::from_ref(&text), &options).expect("rules").rules;
            let found = aliased_accounts(&rules, &[text], &[(Some("a.test"), normal)]);
            let messages: Vec<String> = found
                .iter()
                .map(|problem| {
                    assert!(problem.span.start >= foo.len(), "{rule}: it is about the second line");
                    format!("{}: {}", problem.severity, problem.message)
                })
                .collect();
            assert_eq!(messages.join("; "), want, "{rule}");
        }
    }
}
