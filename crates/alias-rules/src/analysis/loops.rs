//! Finds rules whose `DELIVER TO` addresses form a loop.

use super::instances::Source;
use super::report::MAX_REPORTED;
use crate::ir::MAX_HOPS;
use crate::load::Options;
use crate::matcher::rules::{Decision, Query, Rules};
use diagnostics::{Problem, Text};
use mail_address::{Address, LocalPartPolicy, escape};

/// Maximum number of addresses to follow, which takes some tenths of a second.
const MAX_FOLLOWED: usize = 100_000;

/// Returns the policy of a domain, or `None` for a domain that is not local, in which no rule applies.
pub type PolicyOf<'r> = dyn Fn(&str) -> Option<LocalPartPolicy> + 'r;

/// Finds statements whose `DELIVER TO` leads into a loop, or through more than [`MAX_HOPS`] aliases: mail to
/// them is deferred until it bounces. `rules` must be `texts` loaded with `options`.
pub fn delivery_loops(
    rules: &Rules,
    texts: &[Text],
    options: &Options,
    policy_of: &PolicyOf<'_>,
) -> Vec<Problem> {
    if !rules.store.scopes.iter().any(|scope| scope.target().is_some()) {
        return Vec::new();
    }
    follow(&crate::analysis::sources(texts, options), rules, policy_of, MAX_FOLLOWED)
}

fn follow(sources: &[Source<'_>], rules: &Rules, policy_of: &PolicyOf<'_>, most: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut followed, mut more) = (0, 0);
    for source in sources {
        let Some(deliver) = &source.checked.statement.deliver else { continue };
        let targets = (0..source.instance_count()).map(|number| source.subject(number).target(deliver));
        // All targets of a statement have the same domain.
        let is_local = |target: &Address| target.domain().is_some_and(|domain| policy_of(domain).is_some());
        if source.checked.never.is_some() || !targets.clone().take(1).any(|target| is_local(&target)) {
            continue;
        }
        let distinct = if deliver.target.value.contains('%') { usize::MAX } else { 1 };
        for target in targets.take(distinct) {
            if followed == most {
                let message = format!("only the first {most} addresses of DELIVER TO were followed");
                problems.push(
                    Problem::warning(source.text, deliver.target.span(), message)
                        .help("mail that the rules redirect in a loop is deferred and logged"),
                );
                return problems;
            }
            followed += 1;
            let Some((chain, is_loop)) = endless_chain(target, rules, policy_of) else { continue };
            if problems.len() == MAX_REPORTED {
                more += 1;
                break;
            }
            let chain: Vec<String> =
                chain.iter().map(|address| escape(&address.to_string()).to_string()).collect();
            let chain = chain.join(", ");
            let message = if is_loop {
                format!("DELIVER TO loops: {chain}")
            } else {
                format!("DELIVER TO redirects mail more than {MAX_HOPS} times: {chain}")
            };
            problems.push(
                Problem::error(source.text, deliver.target.span(), message)
                    .help("deliver to an address that no rule matches, such as that of the mailbox"),
            );
            break;
        }
    }
    if let Some(first) = sources.first().filter(|_| more > 0) {
        let message = format!("DELIVER TO of {more} more rules loops");
        let span = first.checked.statement.keyword.clone();
        problems
            .push(Problem::error(first.text, span, message).help("fix the others first, then check again"));
    }
    problems
}

/// Follows the addresses from `target`. Returns the chain if it is too long, and whether it is a loop; `None`
/// if the chain ends.
fn endless_chain(target: Address, rules: &Rules, policy_of: &PolicyOf<'_>) -> Option<(Vec<Address>, bool)> {
    let mut chain = vec![target];
    loop {
        let here = chain.last()?;
        let domain = here.domain()?;
        let policy = policy_of(domain)?;
        let forms = policy.typed(here.local());
        let target = |name: &str| match rules.find(Query { name, domain: Some(domain), today: None }) {
            Decision::Account { target, .. } => Some(target),
            _ => None,
        };
        // As for a recipient: the whole name, then the name without its extension.
        let next = forms.each().find_map(|(name, _)| target(name)).flatten()?;
        let next = Address::from_rcpt(next.as_bytes());
        let is_loop = chain.iter().any(|address| address.same_mailbox(&next, policy.case_sensitive));
        chain.push(next);
        if is_loop || chain.len() > MAX_HOPS {
            return Some((chain, is_loop));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load;

    fn messages(config: &str, most: usize) -> Vec<String> {
        let texts = [Text::new("t", config)];
        let options = Options { fold: true, ..Options::default() };
        let rules = load(&texts, &options).unwrap_or_else(|problems| panic!("{config} {problems:?}")).rules;
        let policy_of = |domain: &str| {
            let plus = LocalPartPolicy { delimiters: "+".into(), ..LocalPartPolicy::plain(false) };
            ["a.test", "b.test"].contains(&domain).then_some(plus)
        };
        let sources = crate::analysis::sources(&texts, &options);
        let problems = follow(&sources, &rules, &policy_of, most);
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn finds_loops() {
        let loops = "DELIVER TO loops: ";
        let next = |i: usize| {
            format!("ACCOUNT f MATCHES f{i}-%code% WITH CHARS(account) DELIVER TO f{}-1@a.test;\n", i + 1)
        };
        let far: String = (0..=MAX_HOPS).map(next).collect();
        for (config, want) in [
            // To itself, to itself in another spelling, with an extension, and through another statement.
            (
                "ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a-x-1@a.test;",
                vec!["a-x-1@a.test, a-x-1@a.test"],
            ),
            (
                "ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO A-X-1@A.Test;",
                vec!["A-X-1@a.test, A-X-1@a.test"],
            ),
            (
                "ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a-x-1+y@a.test;",
                vec!["a-x-1+y@a.test, a-x-1+y@a.test"],
            ),
            (
                "ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO b-x-1@b.test;\n\
                 ACCOUNT b MATCHES b-%ident%-%code% WITH CHARS() DELIVER TO a-y-1@a.test;",
                vec!["b-x-1@b.test, a-y-1@a.test, b-x-1@b.test", "a-y-1@a.test, b-x-1@b.test, a-y-1@a.test"],
            ),
            // For one of the names only.
            (
                "ACCOUNT a, ab-1 MATCHES %account%-%code% WITH CHARS(account) DELIVER TO %account%-1@a.test;",
                vec!["a-1@a.test, a-1@a.test"],
            ),
            // Into a loop of another statement.
            (
                "ACCOUNT c MATCHES c-%code% WITH CHARS(account) DELIVER TO a-1@a.test;\n\
                 ACCOUNT a MATCHES a-%code% WITH CHARS(account) DELIVER TO a-1@a.test;",
                vec!["a-1@a.test, a-1@a.test", "a-1@a.test, a-1@a.test"],
            ),
            // A wrong code, an account, another domain, a domain without the rule, a statement that never
            // matches.
            ("ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a-x-2@a.test;", vec![]),
            ("ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a@a.test;", vec![]),
            ("ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a-x-1@c.test;", vec![]),
            (
                "ACCOUNT a DOMAINS b.test MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO a-x-1@a.test;",
                vec![],
            ),
            ("ACCOUNT a MATCHES a-%ident% WITH CHARS() DELIVER TO a-x@a.test;", vec![]),
            // A chain that ends.
            (
                "ACCOUNT a MATCHES a-%ident%-%code% WITH CHARS() DELIVER TO b-x-1@b.test;\n\
                 ACCOUNT b MATCHES b-%ident%-%code% WITH CHARS() DELIVER TO c-x-1@a.test;\n\
                 ACCOUNT c MATCHES c-%ident%-%code% WITH CHARS();",
                vec![],
            ),
        ] {
            let want: Vec<String> = want.into_iter().map(|chain| format!("{loops}{chain}")).collect();
            assert_eq!(messages(config, MAX_FOLLOWED), want, "{config}");
        }
        let got = messages(&far, MAX_FOLLOWED);
        assert_eq!(got.len(), 1, "{got:?}");
        assert!(
            got[0].starts_with("DELIVER TO redirects mail more than 10 times: f1-1@a.test, f2-1@a.test"),
            "{got:?}"
        );
    }

    #[test]
    fn incomplete_checks_are_reported() {
        let config = "ACCOUNT a, b, c-1 MATCHES x-%account%-%code% WITH CHARS(account) DELIVER TO %account%@a.test;\n\
                      ACCOUNT c MATCHES c-%code% WITH CHARS(account) DELIVER TO c-1@a.test;";
        assert_eq!(messages(config, 2), ["only the first 2 addresses of DELIVER TO were followed"]);
        assert_eq!(messages(config, MAX_FOLLOWED).len(), 2);
        let one =
            |i| format!("ACCOUNT a{i} MATCHES a{i}-%code% WITH CHARS(account) DELIVER TO a{i}-2@a.test;\n");
        let many: String = (100..100 + MAX_REPORTED + 3).map(one).collect();
        let many = many.replace("-2@", "-4@");
        let got = messages(&many, MAX_FOLLOWED);
        assert_eq!(got.len(), MAX_REPORTED + 1);
        assert_eq!(got[MAX_REPORTED], "DELIVER TO of 3 more rules loops");
    }
}
