//! Statements with `DOMAINS`.

use crate::tests::errors::{check, check_remedies};
use crate::tests::{read, rules};
use crate::*;
use diagnostics::Severity;

fn at<'q>(name: &'q str, domain: &'q str) -> Query<'q> {
    Query { name, domain: Some(domain), today: None }
}

/// The account and the statement of an alias.
fn found<'r>(rules: &'r Rules, query: Query<'_>) -> Option<(&'r str, usize)> {
    match rules.find(query) {
        Decision::NoMatch => None,
        Decision::Account { name, statement, .. } => Some((name, statement)),
        other => panic!("{query:?}: {other:?}"),
    }
}

#[test]
fn statements_apply_in_their_domains() {
    let rules = rules(
        "ACCOUNT foo DOMAINS a.example, Bücher.example., A.EXAMPLE MATCHES x-%ident%-%code% WITH CHARS();\n\
         ACCOUNT bar DOMAINS b.example MATCHES x-%ident%-%code% WITH CHARS();\n\
         ACCOUNT all MATCHES y-%ident%-%code% WITH CHARS();",
    );
    let cases = [
        ("x-abc-3", Some("a.example"), Some(("foo", 0))),
        ("x-abc-3", Some("xn--bcher-kva.example"), Some(("foo", 0))),
        ("x-abc-3", Some("b.example"), Some(("bar", 1))),
        ("x-abc-3", Some("c.example"), None),
        // The caller must use canonical spelling.
        ("x-abc-3", Some("A.example"), None),
        ("x-abc-3", None, None),
        ("y-abc-3", Some("a.example"), Some(("all", 2))),
        ("y-abc-3", None, Some(("all", 2))),
    ];
    for (name, domain, want) in cases {
        let query = Query { name, domain, today: None };
        assert_eq!(found(&rules, query), want, "{query:?}");
        let explained = rules.explain(query);
        assert_eq!(explained.outcome, rules.find(query).into());
        assert!(!explained.to_string().is_empty());
    }
    let explained = rules.explain(at("x-abc-3", "b.example"));
    assert_eq!(explained.statements[0].finding, Finding::OtherDomain);
    assert!(explained.statements[0].to_string().ends_with("    is for other domains\n"));
    // A name that is too long does not match if no statement applies.
    let long = "x-".repeat(MAX_NAME);
    assert_eq!(rules.find(at(&long, "c.example")), Decision::NoMatch);
}

#[test]
fn statements_clash_only_in_common_domains() {
    let same = "the same expression is at t:2, and it does not distinguish the accounts";
    let shared = "alias \"s\" belongs to several accounts, and the expression does not distinguish them";
    let cases: [(&str, &str, &[&str]); 9] = [
        // clauses of the first statement, of the second, errors of the first
        ("foo DOMAINS a.test MATCHES x", "bar DOMAINS b.test MATCHES x", &[]),
        ("foo DOMAINS a.test, b.test MATCHES x", "bar DOMAINS c.test, B.test MATCHES x", &[same]),
        ("foo DOMAINS a.test MATCHES x", "bar MATCHES x", &[same]),
        ("foo MATCHES x", "bar DOMAINS a.test MATCHES x", &[same]),
        ("foo ALIASED s DOMAINS a.test MATCHES %alias%", "bar ALIASED s DOMAINS b.test MATCHES %alias%", &[]),
        (
            "foo ALIASED s DOMAINS a.test MATCHES %alias%",
            "bar ALIASED s DOMAINS b.test, a.test MATCHES %alias%",
            &[shared],
        ),
        ("foo ALIASED s DOMAINS a.test MATCHES %alias%", "bar ALIASED s MATCHES %alias%", &[shared]),
        ("foo ALIASED s MATCHES %alias%", "bar ALIASED s DOMAINS a.test MATCHES %alias%", &[shared]),
        (
            "foo, baz ALIASED s DOMAINS a.test MATCHES %alias%",
            "bar ALIASED s DOMAINS b.test MATCHES %alias%",
            &[shared],
        ),
    ];
    for (first, second, want) in cases {
        let config = format!(
            "ACCOUNT {first}-%ident%-%code% WITH CHARS();\nACCOUNT {second}-%ident%-%code% WITH CHARS();"
        );
        let problems = read(&config, &Options::default()).err().unwrap_or_default();
        let errors = problems.iter().filter(|p| p.severity == Severity::Error && p.place().0 == 1);
        assert_eq!(errors.map(|p| &*p.message).collect::<Vec<_>>(), want, "{config}");
    }
}

/// The time must be proportional to the number of statements; if it grew with the square, this test would
/// take hours.
#[test]
fn loads_100_000_statements_in_linear_time() {
    const MANY: usize = 100_000;
    let one = |i: usize, domain: usize| {
        format!(
            "ACCOUNT a{i} ALIASED s DOMAINS d{domain}.test MATCHES %alias%-%alpha%-%code% WITH CHARS();\n"
        )
    };
    let text = (0..MANY).map(|i| one(i, i)).collect::<Vec<_>>().concat();
    let loaded = read(&text, &Options::default()).expect("the domains differ");
    assert_eq!(found(&loaded.rules, at("s-abc-3", "d7.test")), Some(("a7", 7)));
    // Fewer statements, since formatting their problems takes time.
    let many = MANY / 10;
    let text = (0..many).map(|i| one(i, i % (many / 2))).collect::<Vec<_>>().concat();
    let problems = read(&text, &Options::default()).expect_err("two of each");
    assert_eq!(problems.len(), many);
}

#[test]
fn invalid_domains_are_reported() {
    let with =
        |domains: &str| format!("ACCOUNT foo DOMAINS {domains} MATCHES x-%ident%-%code% WITH CHARS();");
    check(
        &[
            (&with("a..test"), &[(1, 21, "\"a..test\" is not a domain")]),
            (&with("a.test, *.test"), &[(1, 29, "\"*.test\" is not a domain")]),
            (&with("x@a.test"), &[(1, 21, "\"x@a.test\" is not a domain")]),
            (&with(","), &[(1, 31, "expected MATCHES, found \"x-%ident%-%code%\"")]),
            (&with("a.test b.test"), &[(1, 28, "expected MATCHES, found \"b.test\"")]),
            (&with("a.test USING alpha"), &[(1, 28, "expected MATCHES, found \"USING\"")]),
            (&with("a.test ALIASED a"), &[(1, 28, "expected MATCHES, found \"ALIASED\"")]),
            ("ACCOUNT foo DOMAINS", &[(1, 20, "unexpected end of file, expected a list of names")]),
            ("ACCOUNT foo DOMAIN a.test MATCHES", &[(1, 13, "expected MATCHES, found \"DOMAIN\"")]),
        ],
        Severity::Error,
    );
    check(
        &[
            (&with("a.test, A.test."), &[(1, 29, "domain \"A.test.\" is in the list twice")]),
            (&with("a.test,,b.test"), &[(1, 28, "an empty domain name is ignored")]),
        ],
        Severity::Warning,
    );
    check_remedies(&[
        (&with("x@a.test"), "write only the part after the @"),
        (&with("*.test"), "domains are compared as a whole: write each one"),
        (&with("a.test USING alpha"), "write USING before DOMAINS"),
        (&with("a.test b.test"), "names of a list are separated by commas"),
        ("ACCOUNT foo DOMAIN a.test MATCHES", "did you mean DOMAINS?"),
    ]);
    let list = |n: usize| (0..n).map(|i| format!("d{i}.test")).collect::<Vec<_>>().join(",");
    let most = crate::compile::scope::MAX_DOMAINS;
    check(&[(&with(&list(most)), &[])], Severity::Error);
    let message = format!("the statement has more than {most} domains");
    let column = 21 + list(most).len() + 1;
    check(&[(&with(&list(most + 1)), &[(1, column, &message)])], Severity::Error);
}
