//! Loops: rules whose `DELIVER TO` leads to each other.

use super::instances::Source;
use super::report::MAX_TOLD;
use crate::MAX_HOPS;
use crate::load::Options;
use crate::matcher::rules::{Decision, Query, Rules};
use diagnostics::{Problem, Text};
use mail_address::{Address, LocalPartPolicy, escape};

/// Most addresses to follow: some tenths of a second.
const MAX_FOLLOWED: usize = 100_000;

/// The normalisation of a domain; `None` for a domain that is not ours, where no rule applies.
pub type Reads<'r> = dyn Fn(&str) -> Option<LocalPartPolicy> + 'r;

/// Finds the statements whose `DELIVER TO` leads into a loop, or to more aliases than [`MAX_HOPS`]: mail to them
/// is deferred until it bounces. `rules` are `texts`, read with `options`.
pub fn rings(rules: &Rules, texts: &[Text], options: &Options, reads: &Reads<'_>) -> Vec<Problem> {
    if !rules.store.scope.iter().any(|scope| scope.target().is_some()) {
        return Vec::new();
    }
    follow(&crate::analysis::sources(texts, options), rules, reads, MAX_FOLLOWED)
}

fn follow(sources: &[Source<'_>], rules: &Rules, reads: &Reads<'_>, most: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut followed, mut more) = (0, 0);
    for source in sources {
        let Some(deliver) = &source.checked.statement.deliver else { continue };
        let targets = (0..source.members()).map(|member| source.subject(member).target(deliver));
        // A domain is the same for all names.
        let is_ours = |target: &Address| target.domain().is_some_and(|domain| reads(domain).is_some());
        if source.checked.never.is_some() || !targets.clone().take(1).any(|target| is_ours(&target)) {
            continue;
        }
        let one = if deliver.target.value.contains('%') { usize::MAX } else { 1 };
        for target in targets.take(one) {
            if followed == most {
                let message = format!("only the first {most} addresses of DELIVER TO were followed");
                problems.push(
                    Problem::warning(source.text, deliver.target.span(), message)
                        .help("mail that the rules send on in a loop is deferred, and logged"),
                );
                return problems;
            }
            followed += 1;
            let Some((way, again)) = round(target, rules, reads) else { continue };
            if problems.len() == MAX_TOLD {
                more += 1;
                break;
            }
            let way: Vec<String> =
                way.iter().map(|address| escape(&address.to_string()).to_string()).collect();
            let way = way.join(", ");
            let message = if again {
                format!("DELIVER TO loops: {way}")
            } else {
                format!("DELIVER TO sends mail on more than {MAX_HOPS} times: {way}")
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
            .push(Problem::error(first.text, span, message).help("fix the others first, and check again"));
    }
    problems
}

/// The chain of addresses from `target`, if it does not end; and whether it is a loop.
fn round(target: Address, rules: &Rules, reads: &Reads<'_>) -> Option<(Vec<Address>, bool)> {
    let mut met = vec![target];
    loop {
        let here = met.last()?;
        let domain = here.domain()?;
        let normal = reads(domain)?;
        let read = normal.typed(here.local());
        let target = |name: &str| match rules.find(Query { name, domain: Some(domain), today: None }) {
            Decision::Account { target, .. } => Some(target),
            _ => None,
        };
        // As for a recipient: the whole name, and then without its extension.
        let next = read.each().find_map(|(name, _)| target(name)).flatten()?;
        let next = Address::from_rcpt(next.as_bytes());
        let again = met.iter().any(|met| met.same_mailbox(&next, normal.case_sensitive));
        met.push(next);
        if again || met.len() > MAX_HOPS {
            return Some((met, again));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load;

    fn told(config: &str, most: usize) -> Vec<String> {
        let texts = [Text::new("t", config)];
        let options = Options { fold: true, ..Options::default() };
        let rules = load(&texts, &options).unwrap_or_else(|problems| panic!("{config} {problems:?}")).rules;
        let reads = |domain: &str| {
            let plus = LocalPartPolicy { delimiters: "+".into(), ..LocalPartPolicy::plain(false) };
            ["a.test", "b.test"].contains(&domain).then_some(plus)
        };
        let sources = crate::analysis::sources(&texts, &options);
        let problems = follow(&sources, &rules, &reads, most);
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
            // To itself, to itself in other spellings, by its extension, and through another one.
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
            // For one of the names.
            (
                "ACCOUNT a, ab-1 MATCHES %account%-%code% WITH CHARS(account) DELIVER TO %account%-1@a.test;",
                vec!["a-1@a.test, a-1@a.test"],
            ),
            // Into a ring of others.
            (
                "ACCOUNT c MATCHES c-%code% WITH CHARS(account) DELIVER TO a-1@a.test;\n\
                 ACCOUNT a MATCHES a-%code% WITH CHARS(account) DELIVER TO a-1@a.test;",
                vec!["a-1@a.test, a-1@a.test", "a-1@a.test, a-1@a.test"],
            ),
            // A wrong code, an account, another domain, a domain without the rule, a statement that never matches.
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
            let want: Vec<String> = want.into_iter().map(|way| format!("{loops}{way}")).collect();
            assert_eq!(told(config, MAX_FOLLOWED), want, "{config}");
        }
        let told = told(&far, MAX_FOLLOWED);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("DELIVER TO sends mail on more than 10 times: f1-1@a.test, f2-1@a.test"),
            "{told:?}"
        );
    }

    /// Incomplete checks are reported.
    #[test]
    fn limits() {
        let config = "ACCOUNT a, b, c-1 MATCHES x-%account%-%code% WITH CHARS(account) DELIVER TO %account%@a.test;\n\
                      ACCOUNT c MATCHES c-%code% WITH CHARS(account) DELIVER TO c-1@a.test;";
        assert_eq!(told(config, 2), ["only the first 2 addresses of DELIVER TO were followed"]);
        assert_eq!(told(config, MAX_FOLLOWED).len(), 2);
        let one =
            |i| format!("ACCOUNT a{i} MATCHES a{i}-%code% WITH CHARS(account) DELIVER TO a{i}-2@a.test;\n");
        let many: String = (100..100 + MAX_TOLD + 3).map(one).collect();
        let many = many.replace("-2@", "-4@");
        let told = told(&many, MAX_FOLLOWED);
        assert_eq!(told.len(), MAX_TOLD + 1);
        assert_eq!(told[MAX_TOLD], "DELIVER TO of 3 more rules loops");
    }
}
