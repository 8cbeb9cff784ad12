//! Errors and warnings, with their places.

use crate::tests::{read, rules, with};
use crate::*;
use diagnostics::Severity;

/// Line, column and message of each problem of this severity.
fn problems(config: &str, dialect: Dialect, severity: Severity) -> Vec<(usize, usize, String)> {
    let problems = match read(config, &Options { dialect, ..Options::default() }) {
        Ok(loaded) => loaded.problems,
        Err(problems) => problems,
    };
    assert!(problems.iter().all(|p| p.help.as_ref().is_none_or(|help| !help.is_empty())), "{problems:#?}");
    let of = problems.into_iter().filter(|problem| problem.severity == severity);
    of.map(|problem| (problem.place().0, problem.place().1, problem.message)).collect()
}

/// A text with the line, column and message of each of its problems.
pub(crate) type Case<'a> = (&'a str, &'a [(usize, usize, &'a str)]);

pub(crate) fn check(cases: &[Case<'_>], severity: Severity) {
    for (config, want) in cases {
        let got = problems(config, Dialect::TcpTable, severity);
        let got: Vec<_> = got.iter().map(|(line, column, text)| (*line, *column, &**text)).collect();
        assert_eq!(&got[..], *want, "{config}");
    }
}

/// The remedy of the first problem of each text.
pub(crate) fn check_remedies(cases: &[(&str, &str)]) {
    for (config, want) in cases {
        let problems = read(config, &Options::default()).expect_err(config);
        assert_eq!(problems[0].help.as_deref(), Some(*want), "{config}");
    }
}

#[test]
fn syntax_errors_are_reported() {
    check(
        &[
            ("account foo", &[(1, 1, "no statement begins with \"account\"")]),
            ("\u{feff}PORT: 1", &[(1, 1, "no statement begins with \"\u{feff}PORT:\"")]),
            (
                "FOO: 1\nPORT: x",
                &[(1, 1, "no statement begins with \"FOO:\""), (2, 7, "\"x\" is not a port")],
            ),
            ("PORT 1\nPORT: 1", &[(1, 1, "no colon after PORT")]),
            ("PORT: 65536", &[(1, 7, "\"65536\" is not a port")]),
            ("PORT:\n42", &[(1, 6, "\"\" is not a port"), (2, 1, "no statement begins with \"42\"")]),
            ("HOST: localhost", &[(1, 7, "\"localhost\" is not an IPv4 or IPv6 address")]),
            ("LOGGING: loud", &[(1, 10, "\"loud\" is not a logging level")]),
            ("DEBUG ACCOUNT: a b", &[(1, 16, "\"a b\" is not an account")]),
            ("DEBUG ACCOUNT: a@b", &[(1, 16, "\"a@b\" is not an account")]),
            ("DEBUG WALRUS: x", &[(1, 1, "unknown statement \"DEBUG WALRUS\"")]),
            ("DEBUG:ACCOUNT: x", &[(1, 1, "unknown statement \"DEBUG ACCOUNT\"")]),
            ("STATISTICS: x", &[(1, 13, "\"x\" is not a number of seconds")]),
            ("PYTHON_IS_311: maybe", &[(1, 16, "\"maybe\" is not a truth value")]),
            ("ALIAS DOMAINS: d", &[(1, 1, "ALIAS DOMAINS is not allowed in a file of rules")]),
            ("CASE SENSITIVE: yes", &[(1, 1, "CASE SENSITIVE is not allowed in a file of rules")]),
            ("ACCOUNT", &[(1, 8, "unexpected end of file, expected a list of names")]),
            ("ACCOUNT foo\n", &[(2, 1, "unexpected end of file, expected MATCHES")]),
            ("ACCOUNT , MATCHES x", &[(1, 19, "expected MATCHES, found \"x\"")]),
            ("ACCOUNT ,; x", &[(1, 12, "expected MATCHES, found \"x\"")]),
            ("ACCOUNT foo MATCHES x%code% WITH;", &[(1, 29, "expected WITH, found \"WITH;\"")]),
            ("ACCOUNT foo bar MATCHES x", &[(1, 13, "expected MATCHES, found \"bar\"")]),
            (
                "ACCOUNT foo USING alfa MATCHES x%code% WITH ANY(account);",
                &[(1, 19, "unknown class \"alfa\"")],
            ),
            ("ACCOUNT foo ALIASED a USING alpha MATCHES", &[(1, 23, "expected MATCHES, found \"USING\"")]),
            (&with("x, CHARS()"), &[(1, 51, "unknown function \"x\"")]),
            (&with("CHARS ()"), &[(1, 51, "no \"(\" after CHARS")]),
            (&with("CHARS(), "), &[(1, 60, "expected a function, found \";\"")]),
            (&with("CHARS() CHARS()"), &[(1, 59, "expected \",\" or \";\", found \"CHARS();\"")]),
            (&with("CHARS(1,2)"), &[(1, 51, "CHARS has more than one argument")]),
            (&with("CHARS(x)"), &[(1, 57, "\"x\" is not a number, account or alias")]),
            (&with("CHARS("), &[(1, 51, "the parenthesis after CHARS is not closed")]),
            (&with("CHAR(1)"), &[(1, 51, "CHAR has too few arguments")]),
            (&with("CHAR(account,-)"), &[(1, 56, "\"account\" is not a number")]),
            (&with("CHAR(1,account,-)"), &[(1, 58, "\"account\" is not a number")]),
        ],
        Severity::Error,
    );
}

#[test]
fn semantic_errors_are_reported() {
    let two = |functions: &str| format!("ACCOUNT foo MATCHES %ident%.%fqdn%-%code% WITH {functions};");
    let one = |functions: &str| format!("ACCOUNT foo MATCHES x-%fqdn%-%code% WITH {functions};");
    check(
        &[
            (&with("CHARS(2)"), &[(1, 51, "CHARS looks at identifier 2, which does not exist")]),
            (&with("CHARS(0)"), &[(1, 51, "CHARS looks at identifier 0, which does not exist")]),
            (&with("CHARS(alias)"), &[(1, 51, "CHARS looks at the alias, but the statement has none")]),
            (&with("CHAR(1,1,1,-)"), &[(1, 51, "CHAR specifies a label, but there is no %fqdn%")]),
            (&with("CHAR(1,1,1,1,-)"), &[(1, 51, "CHAR has too many arguments")]),
            (&with("CHAR(,-)"), &[(1, 51, "CHAR has an index that is not a number")]),
            (&two("CHARS()"), &[(1, 48, "CHARS does not specify an identifier")]),
            (&two("CHAR(1,-)"), &[(1, 48, "CHAR does not specify an identifier")]),
            (&two("CHAR(2,1,-)"), &[(1, 48, "CHAR looks at a %fqdn% and needs a label")]),
            (&two("CHAR(1,1,1,-)"), &[(1, 48, "CHAR specifies a label, but the identifier is not a %fqdn%")]),
            (&two("CHAR(3,1,-)"), &[(1, 48, "CHAR looks at identifier 3, which does not exist")]),
            (&two("CHAR(1,1,-), CHAR(2,1,1,-), CHAR(account,1,-)"), &[]),
            (&one("CHAR(account,1,-)"), &[(1, 42, "CHAR does not specify a label and a character")]),
            (&one("CHAR(1,-)"), &[(1, 42, "CHAR does not specify a label and a character")]),
            (&one("CHAR(2,1,1,-)"), &[(1, 42, "CHAR looks at identifier 2, which does not exist")]),
            (&one("CHAR(-1,1,-), CHAR(1,2,3,-)"), &[]),
            (
                "ACCOUNT foo MATCHES %ident%%number%-%kode% WITH CHARS(1);",
                &[
                    (1, 29, "\"number\" is next to another name"),
                    (1, 38, "unknown name \"kode\" in the expression"),
                ],
            ),
        ],
        Severity::Error,
    );
}

#[test]
fn ambiguous_statements_are_reported() {
    check(
        &[
            (
                "ACCOUNT foo MATCHES x%alpha%-%code% WITH CHARS();\nACCOUNT bar MATCHES x%alpha%-%code% WITH CHARS();",
                &[
                    (1, 21, "the same expression is at t:2, and it does not distinguish the accounts"),
                    (2, 21, "the same expression is at t:1, and it does not distinguish the accounts"),
                ],
            ),
            (
                "ACCOUNT foo ALIASED a, b MATCHES %account%-%alpha%-%code% WITH CHARS();",
                &[(1, 34, "account \"foo\" has several aliases, but the expression has no %alias%")],
            ),
            (
                "ACCOUNT foo, bar ALIASED a MATCHES %alias%-%alpha%-%code% WITH CHARS();",
                &[(
                    1,
                    36,
                    "alias \"a\" belongs to several accounts, and the expression does not distinguish them",
                )],
            ),
            // The first statement has an error, so the second is not checked against it.
            (
                "ACCOUNT foo ALIASED a MATCHES x WITH;\nACCOUNT foo ALIASED b MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 33, "expected WITH, found \"WITH;\"")],
            ),
        ],
        Severity::Error,
    );
}

#[test]
fn all_errors_are_reported_in_one_run() {
    let config = "PORT: x\n\
                  ACCOUNT a MATCHES %account%-%code% WITH LEN(1), CHARS(account);\n\
                  ACCOUNT b MATCHES %account%-%nope%-%code% WITH CHARS(b), VOWELS(account) ACCOUNT c\n\
                  MATCHES %account%-%code% WITH ANY(account)\n\
                  LOGGING: loud\n\
                  account d MATCHES x WITH y; ACCOUNT e MATCHES %account%-%code% WITH CHARS(1;\n\
                  ACCOUNT f MATCHES %account%-%code% WITH CHARS(1);\n\
                  ACCOUNT g";
    let want = [
        (1, 7, "\"x\" is not a port"),
        (2, 41, "unknown function \"LEN\""),
        (3, 30, "unknown name \"nope\" in the expression"),
        (3, 54, "\"b\" is not a number, account or alias"),
        (3, 74, "expected \",\" or \";\", found \"ACCOUNT\""),
        (5, 1, "expected \",\" or \";\", found \"LOGGING:\""),
        (5, 10, "\"loud\" is not a logging level"),
        (6, 1, "no statement begins with \"account\""),
        (6, 69, "the parenthesis after CHARS is not closed"),
        (7, 41, "CHARS looks at identifier 1, which does not exist"),
        (8, 10, "unexpected end of file, expected MATCHES"),
    ];
    check(&[(config, &want)], Severity::Error);
}

#[test]
fn errors_have_remedies() {
    let cases = [
        ("account foo", "did you mean ACCOUNT?"),
        ("ACCOUNT: foo", "remove the colon after ACCOUNT"),
        ("ALIAS DOMAINS: d", "set \"domains\" in rcptd.conf instead"),
        ("CASE SENSITIVE: 1", "set \"case_sensitive\" in rcptd.conf instead"),
        (
            "ACCOUNT foo, MATCHES x%code% WITH ANY(account);",
            "remove the comma before MATCHES; it makes MATCHES a name of the list",
        ),
        ("ACCOUNT foo MATCHS x", "did you mean MATCHES?"),
        (
            "ACCOUNT foo MATCHES a %code% WITH",
            "an expression has no blanks; WITH and the functions follow it",
        ),
        ("ACCOUNT foo MATCHES %kode%-x WITH ANY(account);", "did you mean %code%?"),
        ("ACCOUNT foo MATCHES %code% WITH VOWEL(account);", "did you mean VOWELS?"),
        ("ACCOUNT foo MATCHES %code% WITH ANY(1);", "the expression has no identifier; write ANY(account)"),
    ];
    check_remedies(&cases);
}

#[test]
fn warnings_are_reported() {
    check(
        &[
            (&with("CHARS()"), &[]),
            (
                "ACCOUNT foo MATCHES %account%-%ident% WITH CHARS();",
                &[(1, 21, "the statement never matches: the expression has no %code%")],
            ),
            (
                "ACCOUNT foo MATCHES %account%-%code% WITH CHARS();",
                &[(
                    1,
                    43,
                    "the statement never matches: CHARS looks at an identifier, but the expression has none",
                )],
            ),
            (
                &with("LABELS()"),
                &[(1, 51, "the statement never matches: LABELS looks at a text that is not a %fqdn%")],
            ),
            (
                "ACCOUNT foo MATCHES %code%-%ident%-%code% WITH CHARS();",
                &[(1, 21, "of several %code% only the last one is verified")],
            ),
            (
                "ACCOUNT foo,,bar MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 13, "an empty account name is ignored")],
            ),
            (
                "ACCOUNT foo, bar MATCHES %ident%-%code% WITH CHARS();",
                &[(
                    1,
                    26,
                    "every match is ambiguous: the statement has several accounts and does not distinguish them",
                )],
            ),
            (
                "ACCOUNT foo, foo MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 14, "account \"foo\" is in the list twice, so every match is ambiguous")],
            ),
            (
                "ACCOUNT a@b MATCHES x%ident%-%code% WITH CHARS();",
                &[(1, 9, "account \"a@b\" is probably not the name of a mailbox")],
            ),
            (
                "ACCOUNT a_b, c USING alpha MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 9, "account \"a_b\" never matches: it is not alpha")],
            ),
            (
                "STATISTICS: 60\nPROCESSOR: x\nPYTHON_IS_311: 1",
                &[
                    (1, 1, "STATISTICS has no effect"),
                    (2, 1, "PROCESSOR has no effect"),
                    (3, 1, "PYTHON_IS_311 has no effect"),
                ],
            ),
        ],
        Severity::Warning,
    );
    check(
        &[
            (
                "ACCOUNT joe.smith, a-b MATCHES %account%-%code% WITH CHARS(account);",
                &[(
                    1,
                    9,
                    "account \"joe.smith\" (and 1 more) has other characters than letters, digits and \"_\"",
                )],
            ),
            ("ACCOUNT a-b MATCHES x-%code% WITH CHARS(account);", &[]),
            ("ACCOUNT joe.smith USING fqdn MATCHES %account%-%code% WITH CHARS(account);", &[]),
        ],
        Severity::Note,
    );
    let many = with(&vec!["CHARS()"; 256].join(","));
    check(
        &[(&many, &[(1, 21, "the statement never matches: no local part is long enough")])],
        Severity::Warning,
    );
    assert_eq!(rules(&many).find(&format!("foo-a-{}", "1".repeat(256))), Decision::NoMatch);
}
