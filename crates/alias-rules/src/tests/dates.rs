//! Aliases with a last day.

use crate::tests::errors::{check, check_remedies};
use crate::tests::rules;
use crate::*;
use diagnostics::Severity;

fn day(text: &str) -> Day {
    let mut parts = text.split('-');
    let mut next = || parts.next().expect("three parts");
    let (year, month, day) = (next(), next(), next());
    let day =
        Day::new(year.parse().expect("a year"), month.parse().expect("a month"), day.parse().expect("a day"));
    day.expect("a day of the calendar")
}

/// The decision as text: `foo`, `foo until 2026-11-30 by 0`, or empty.
fn decided(rules: &Rules, name: &str, today: Option<&str>) -> String {
    let query = Query { name, domain: None, today: today.map(day) };
    assert_eq!(rules.explain(query).outcome, rules.find(query).into(), "{query:?}");
    match rules.find(query) {
        Decision::NoMatch => String::new(),
        Decision::Account { name, .. } => name.into(),
        Decision::Expired { name, statement, last } => format!("{name} until {last} by {statement}"),
        other => panic!("{query:?}: {other:?}"),
    }
}

#[test]
fn aliases_expire_after_their_last_day() {
    let rules = rules(
        "ACCOUNT foo MATCHES %account%-%date%-%ident%-%code% WITH CHARS();\n\
         ACCOUNT bar MATCHES bar.%code%.%date% WITH CHARS(account);",
    );
    let cases = [
        ("foo-2611-abc-3", None, "foo"),
        ("foo-2611-abc-3", Some("2026-11-20"), "foo"),
        ("foo-2611-abc-3", Some("2026-11-30"), "foo"),
        ("foo-2611-abc-3", Some("2026-12-01"), "foo until 2026-11-30 by 0"),
        ("foo-261119-abc-3", Some("2026-11-20"), "foo until 2026-11-19 by 0"),
        ("foo-261120-abc-3", Some("2026-11-20"), "foo"),
        ("foo-26w47-abc-3", Some("2026-11-22"), "foo"),
        ("foo-26W47-abc-3", Some("2026-11-23"), "foo until 2026-11-22 by 0"),
        // A wrong code or date never matches.
        ("foo-2611-abc-4", Some("2026-12-01"), ""),
        ("foo-2611-abc-4", None, ""),
        ("foo-2613-abc-3", None, ""),
        ("foo-26111-abc-3", None, ""),
        ("foo-2611300-abc-3", None, ""),
        ("foo--abc-3", None, ""),
        ("foo-٢٦١١-abc-3", None, ""),
        ("bar.3.2611", Some("2026-11-20"), "bar"),
        ("bar.3.2611", Some("2026-12-20"), "bar until 2026-11-30 by 1"),
        ("bar.3.261", None, ""),
        ("bar.3.26111", None, ""),
    ];
    for (name, today, want) in cases {
        assert_eq!(decided(&rules, name, today), want, "{name} {today:?}");
    }
}

#[test]
fn live_matches_take_precedence_over_expired_ones() {
    let rules = rules(
        "ACCOUNT old MATCHES x-%date%-%ident%-%code% WITH CHARS();\n\
         ACCOUNT new MATCHES x-%alnum%-%ident%-%code% WITH CHARS(2);\n\
         ACCOUNT two MATCHES y-%date%-%ident%-%code% WITH CHARS();\n\
         ACCOUNT old MATCHES y-%date%-2%alnum%-%code% WITH CHARS();\n\
         ACCOUNT two MATCHES y-%number%-%date%-%code% WITH CHARS();\n\
         ACCOUNT one MATCHES %alnum%a%date%a%alnum%-%code% WITH VOWELS(1);",
    );
    let cases = [
        ("x-2611-abc-3", "2026-12-01", "new"),
        // The first statement determines the account, regardless of the days.
        ("y-2610-2abc-4", "2026-11-01", "two until 2026-10-31 by 2"),
        ("y-2610-2abc-3", "2026-11-01", "old until 2026-10-31 by 3"),
        // The latest day of that account counts, even if it is of another statement.
        ("y-2610-2612-4", "2027-01-01", "two until 2026-12-31 by 2"),
        ("y-2610-2612-4", "2026-12-31", "two"),
        // Two splits, of which the code allows one.
        ("xa2510a2611ax-0", "2025-10-31", "one"),
        ("xa2510a2611ax-0", "2025-11-01", "one until 2025-10-31 by 5"),
        ("xa2510a2611ax-1", "2026-11-30", "one"),
        ("xa2510a2611ax-1", "2026-12-01", "one until 2026-11-30 by 5"),
    ];
    for (name, today, want) in cases {
        assert_eq!(decided(&rules, name, Some(today)), want, "{name} {today:?}");
    }
}

#[test]
fn the_latest_of_several_last_days_counts() {
    let config = "ACCOUNT foo MATCHES %alnum%a%date%a%alnum%-%code% WITH VOWELS(1);";
    for (name, want) in [("xa2512a2611a2501ax-1", "2026-11-30"), ("xa2611a2512ax-1", "2025-12-31")] {
        let want = format!("foo until {want} by 0");
        assert_eq!(decided(&rules(config), name, Some("2030-01-01")), want, "{name}");
    }
}

#[test]
fn explanations_show_the_last_day() {
    let rules = rules("ACCOUNT foo MATCHES %account%-%date%-%code% WITH CHARS(account);");
    let explain =
        |name, today| rules.explain(Query { name, domain: None, today: Some(day(today)) }).to_string();
    let split = "      %account%       \"foo\"\n      %date%          \"2611\" (to 2026-11-30)\n";
    assert_eq!(
        explain("foo-2611-3", "2026-11-30"),
        format!(
            "foo-2611-3\n  t:1 %account%-%date%-%code%\n    matches for account \"foo\"\n{split}      %code%          \"3\"\n      \
             CHARS(account)  of \"foo\" = \"3\"\n  an alias of \"foo\""
        )
    );
    assert_eq!(
        explain("foo-2611-3", "2026-12-01"),
        format!(
            "foo-2611-3\n  t:1 %account%-%date%-%code%\n    matches for account \"foo\", but expired on 2026-11-30\n{split}      \
             %code%          \"3\"\n      CHARS(account)  of \"foo\" = \"3\"\n  was an alias of \"foo\" until 2026-11-30"
        )
    );
    assert_eq!(
        explain("foo-2611-4", "2026-12-01"),
        format!(
            "foo-2611-4\n  t:1 %account%-%date%-%code%\n    no match: the code is \"4\", computed \"3\"\n{split}      \
             %code%          \"4\"\n      computed        \"3\"\n                       ^\n      CHARS(account)  of \"foo\" = \"3\", the code has \"4\"\n  no alias"
        )
    );
    assert_eq!(
        explain("foo-2613-3", "2026-12-01"),
        "foo-2613-3\n  t:1 %account%-%date%-%code%\n    no match: after \"foo-\", \"%date%\" does not match \"2613-3\"\n  \
         no alias"
    );
}

#[test]
fn invalid_dates_are_reported() {
    let with = |expression: &str| format!("ACCOUNT foo MATCHES {expression} WITH CHARS(account);");
    check(
        &[
            (&with("%date%.%code%-%date%"), &[(1, 36, "a second %date% in the expression")]),
            (&with("%date%%code%"), &[(1, 28, "\"code\" is next to another name")]),
            (&with("%alpha%%date%-%code%"), &[(1, 29, "\"date\" is next to another name")]),
            (
                "ACCOUNT foo MATCHES %date%-%code% WITH CHARS(1);",
                &[(1, 40, "CHARS looks at identifier 1, which does not exist")],
            ),
        ],
        Severity::Error,
    );
    check_remedies(&[
        (&with("%date%.%code%-%date%"), "an alias has one last day: keep one %date%"),
        (&with("%dat%-%code%"), "did you mean %date%?"),
        (
            &with("%day%-%code%"),
            "known are account, alias, code, date, alnum, alpha, number, ident, fqdn; a literal percent sign is \
             written %%",
        ),
    ]);
}
