//! What is refused and where, what is warned of, folding, limits, explanations.

mod naive;

use super::*;
use crate::diag::Severity;
use std::net::IpAddr;

/// A statement that is right but for its functions.
fn with(functions: &str) -> String {
    format!("ACCOUNT foo MATCHES %account%-%ident%-%code% WITH {functions};")
}

fn read(config: &str, options: Options) -> Result<Loaded, Vec<Problem>> {
    load(&[Text::new("t", config)], &options)
}

fn rules(config: &str) -> Rules {
    read(config, Options::default()).unwrap_or_else(|problems| panic!("{config}: {problems:#?}")).rules
}

/// Line, column and message of each problem of this severity.
fn problems(config: &str, dialect: Dialect, severity: Severity) -> Vec<(usize, usize, String)> {
    let problems = match read(config, Options { fold: false, dialect }) {
        Ok(loaded) => loaded.problems,
        Err(problems) => problems,
    };
    assert!(problems.iter().all(|p| p.help.as_ref().is_none_or(|help| !help.is_empty())), "{problems:#?}");
    let of = problems.into_iter().filter(|problem| problem.severity == severity);
    of.map(|problem| (problem.place().0, problem.place().1, problem.message)).collect()
}

/// A text with the line, column and message of each of its problems.
type Case<'a> = (&'a str, &'a [(usize, usize, &'a str)]);

fn check(cases: &[Case<'_>], severity: Severity) {
    for (config, want) in cases {
        let got = problems(config, Dialect::TcpTable, severity);
        let got: Vec<_> = got.iter().map(|(line, column, text)| (*line, *column, &**text)).collect();
        assert_eq!(&got[..], *want, "{config}");
    }
}

#[test]
fn errors_of_reading() {
    check(
        &[
            ("account foo", &[(1, 1, "no statement begins with \"account\"")]),
            ("\u{feff}PORT: 1", &[(1, 1, "no statement begins with \"\u{feff}PORT:\"")]),
            (
                "FOO: 1\nPORT: x",
                &[(1, 1, "no statement begins with \"FOO:\""), (2, 7, "\"x\" is not a port")],
            ),
            ("PORT 1\nPORT: 1", &[(1, 1, "no colon behind PORT")]),
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
            ("ALIAS DOMAINS: d", &[(1, 1, "ALIAS DOMAINS cannot stand in a file of rules")]),
            ("CASE SENSITIVE: yes", &[(1, 1, "CASE SENSITIVE cannot stand in a file of rules")]),
            ("ACCOUNT", &[(1, 8, "the file ends where a list of names should stand")]),
            ("ACCOUNT foo\n", &[(2, 1, "the file ends where MATCHES should stand")]),
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
            (&with("CHARS ()"), &[(1, 51, "no \"(\" behind CHARS")]),
            (&with("CHARS(), "), &[(1, 60, "expected a function, found \";\"")]),
            (&with("CHARS() CHARS()"), &[(1, 59, "expected \",\" or \";\", found \"CHARS();\"")]),
            (&with("CHARS(1,2)"), &[(1, 51, "CHARS has more than one argument")]),
            (&with("CHARS(x)"), &[(1, 57, "\"x\" is not a number, account or alias")]),
            (&with("CHARS("), &[(1, 51, "the parenthesis behind CHARS is not closed")]),
            (&with("CHAR(1)"), &[(1, 51, "CHAR has too few arguments")]),
            (&with("CHAR(account,-)"), &[(1, 56, "\"account\" is not a number")]),
            (&with("CHAR(1,account,-)"), &[(1, 58, "\"account\" is not a number")]),
        ],
        Severity::Error,
    );
}

#[test]
fn errors_of_meaning() {
    let two = |functions: &str| format!("ACCOUNT foo MATCHES %ident%.%fqdn%-%code% WITH {functions};");
    let one = |functions: &str| format!("ACCOUNT foo MATCHES x-%fqdn%-%code% WITH {functions};");
    check(
        &[
            (&with("CHARS(2)"), &[(1, 51, "CHARS looks at identifier 2, which there is not")]),
            (&with("CHARS(0)"), &[(1, 51, "CHARS looks at identifier 0, which there is not")]),
            (&with("CHARS(alias)"), &[(1, 51, "CHARS looks at the alias, but the statement has none")]),
            (&with("CHAR(1,1,1,-)"), &[(1, 51, "CHAR names a label, but there is no %fqdn%")]),
            (&with("CHAR(1,1,1,1,-)"), &[(1, 51, "CHAR has too many arguments")]),
            (&with("CHAR(,-)"), &[(1, 51, "CHAR has an index that is not a number")]),
            (&two("CHARS()"), &[(1, 48, "CHARS does not say which identifier it looks at")]),
            (&two("CHAR(1,-)"), &[(1, 48, "CHAR does not say which identifier it looks at")]),
            (&two("CHAR(2,1,-)"), &[(1, 48, "CHAR looks at a %fqdn% and needs a label")]),
            (&two("CHAR(1,1,1,-)"), &[(1, 48, "CHAR names a label, but the identifier is not a %fqdn%")]),
            (&two("CHAR(3,1,-)"), &[(1, 48, "CHAR looks at identifier 3, which there is not")]),
            (&two("CHAR(1,1,-), CHAR(2,1,1,-), CHAR(account,1,-)"), &[]),
            (
                &one("CHAR(account,1,-)"),
                &[(1, 42, "CHAR does not say which character of which label it takes")],
            ),
            (&one("CHAR(1,-)"), &[(1, 42, "CHAR does not say which character of which label it takes")]),
            (&one("CHAR(2,1,1,-)"), &[(1, 42, "CHAR looks at identifier 2, which there is not")]),
            (&one("CHAR(-1,1,-), CHAR(1,2,3,-)"), &[]),
            (
                "ACCOUNT foo MATCHES %ident%%number%-%kode% WITH CHARS(1);",
                &[
                    (1, 29, "\"number\" stands next to another name"),
                    (1, 38, "unknown name \"kode\" in the expression"),
                ],
            ),
        ],
        Severity::Error,
    );
}

#[test]
fn errors_of_all_statements() {
    check(
        &[
            (
                "ACCOUNT foo MATCHES x%alpha%-%code% WITH CHARS();\nACCOUNT bar MATCHES x%alpha%-%code% WITH CHARS();",
                &[
                    (1, 21, "the same expression stands at t:2 too, and it does not tell the accounts apart"),
                    (2, 21, "the same expression stands at t:1 too, and it does not tell the accounts apart"),
                ],
            ),
            (
                "ACCOUNT foo ALIASED a, b MATCHES %account%-%alpha%-%code% WITH CHARS();",
                &[(1, 34, "account \"foo\" has several aliases, but the expression names none")],
            ),
            (
                "ACCOUNT foo, bar ALIASED a MATCHES %alias%-%alpha%-%code% WITH CHARS();",
                &[(
                    1,
                    36,
                    "alias \"a\" belongs to several accounts, and the expression does not say to which",
                )],
            ),
            // Of the first statement too little is known to say anything of the second.
            (
                "ACCOUNT foo ALIASED a MATCHES x WITH;\nACCOUNT foo ALIASED b MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 33, "expected WITH, found \"WITH;\"")],
            ),
        ],
        Severity::Error,
    );
}

/// One run names every error of a text, and none that is not there.
#[test]
fn reading_goes_on() {
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
        (6, 69, "the parenthesis behind CHARS is not closed"),
        (7, 41, "CHARS looks at identifier 1, which there is not"),
        (8, 10, "the file ends where MATCHES should stand"),
    ];
    check(&[(config, &want)], Severity::Error);
}

#[test]
fn remedies() {
    let cases = [
        ("account foo", "did you mean ACCOUNT?"),
        ("ACCOUNT: foo", "no colon stands behind ACCOUNT"),
        ("ALIAS DOMAINS: d", "set \"domains\" in rcptd.conf instead"),
        ("CASE SENSITIVE: 1", "set \"case_sensitive\" in rcptd.conf instead"),
        (
            "ACCOUNT foo, MATCHES x%code% WITH ANY(account);",
            "remove the comma in front of MATCHES; it makes MATCHES a name of the list",
        ),
        ("ACCOUNT foo MATCHS x", "did you mean MATCHES?"),
        (
            "ACCOUNT foo MATCHES a %code% WITH",
            "an expression has no blanks; WITH and the functions follow it",
        ),
        ("ACCOUNT foo MATCHES %kode%-x WITH ANY(account);", "did you mean %code%?"),
        ("ACCOUNT foo MATCHES %code% WITH VOWEL(account);", "did you mean VOWELS?"),
        ("ACCOUNT foo MATCHES %code% WITH ANY(1);", "the expression holds no identifier; write ANY(account)"),
    ];
    for (config, want) in cases {
        let problems = read(config, Options::default()).expect_err(config);
        assert_eq!(problems[0].help.as_deref(), Some(want), "{config}");
    }
}

#[test]
fn warnings() {
    check(
        &[
            (&with("CHARS()"), &[]),
            (
                "ACCOUNT foo MATCHES %account%-%ident% WITH CHARS();",
                &[(1, 21, "the statement never matches: the expression holds no %code%")],
            ),
            (
                "ACCOUNT foo MATCHES %account%-%code% WITH CHARS();",
                &[(
                    1,
                    43,
                    "the statement never matches: CHARS looks at an identifier, and the expression holds none",
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
                    "every match is ambiguous: the statement has several accounts, and nothing tells them apart",
                )],
            ),
            (
                "ACCOUNT foo, foo MATCHES %account%-%code% WITH CHARS(account);",
                &[(1, 14, "account \"foo\" stands in the list twice, every match is ambiguous")],
            ),
            (
                "ACCOUNT a@b MATCHES x%ident%-%code% WITH CHARS();",
                &[(1, 9, "account \"a@b\" is hardly the name of a mailbox")],
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
                &[(1, 9, "account \"joe.smith\" (and 1 more) holds more than letters, digits and \"_\"")],
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

#[test]
fn settings() {
    let config = "HOST: ::1\nPORT:25\nSMTP HOST: mx.test\nSMTP\nPORT: +2_5\nLOCAL HOST: me.test\n\
                  LOCAL DOMAINS: a.test  B.test\nALIAS DOMAINS: A.test b.test,\nLOGGING: Info\nSTATISTICS: -5\n\
                  PROCESSOR: mod\nCASE SENSITIVE: TRUE\nPYTHON_IS_311: 0\nDEBUG ACCOUNT: joe\n";
    let first = Text::new("first", "PORT: 1\nLOGGING: debug\n");
    let second = Text::new("second", config);
    let options = Options { fold: false, dialect: Dialect::Any };
    let loaded = load(&[first, second.clone()], &options).expect("it loads");
    let legacy = loaded.legacy;
    macro_rules! got {
        ($($name:ident)*) => {{ $(let $name = legacy.$name.as_ref().map(|setting| {
            assert_eq!(setting.text, second);
            (setting.value.clone(), &second.content[setting.span.clone()])
        });)* ($($name,)*) }};
    }
    assert_eq!(
        got!(host port smtp_host smtp_port local_host),
        (
            Some((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), "::1")),
            Some((25, "25")),
            Some(("mx.test".into(), "mx.test")),
            Some((25, "+2_5")),
            Some(("me.test".into(), "me.test")),
        )
    );
    assert_eq!(
        got!(local_domains alias_domains logging statistics),
        (
            Some((vec!["a.test".into(), "B.test".into()], "a.test  B.test")),
            Some((vec!["a.test".into(), "b.test,".into()], "A.test b.test,")),
            Some((Logging::Info, "Info")),
            Some((Some(0), "-5")),
        )
    );
    assert_eq!(
        got!(processor case_sensitive python_is_311 debug_account),
        (Some(("mod".into(), "mod")), Some((true, "TRUE")), Some((false, "0")), Some(("joe".into(), "joe")))
    );
    assert_eq!(loaded.rules.debug_account(), Some("joe"));
    assert_eq!(loaded.rules.with_debug_account(Some(String::new())).debug_account(), None);
    // A milter's statements are fine in rules as well, only domains and case are not.
    let all = problems(config, Dialect::TcpTable, Severity::Error);
    assert_eq!(all.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [8, 12]);
}

#[test]
fn several_texts_are_one() {
    let texts = [
        Text::new("a", &with("CHARS()")),
        Text::new("b", "\n# x\nACCOUNT bar\nMATCHES %account%+%ident%+%code% WITH CHARS();"),
    ];
    let rules = load(&texts, &Options::default()).expect("it loads").rules;
    assert_eq!(rules.len(), 2);
    let Decision::Account { name, statement, .. } = rules.find("bar+abc+3") else { panic!("no match") };
    assert_eq!((name, rules.statement(statement).to_string()), ("bar", "b:3".into()));
    assert_eq!(rules.statement(1).text, "%account%+%ident%+%code%");
    assert_eq!(rules.statement(2), Statement { file: "", line: 0, text: "" });
    let same = [Text::new("a", &with("CHARS()")), Text::new("b", &with("CHARS() "))];
    let same = same.map(|text| {
        Text::new(&text.file, &text.content.replace("%account%", "x").replace("foo", &text.file))
    });
    let problems = load(&same, &Options::default()).expect_err("the expressions are the same");
    assert_eq!(problems.iter().map(|p| &*p.text.file).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn folding() {
    let config = "ACCOUNT Foo, straße USING alpha MATCHES To-%account%-%ident%-%code% WITH CHAR(1,-), CHARS(), CHAR(9,X);\n\
                  ACCOUNT foo, GRÜSSE MATCHES %account%+%ident%+%code% WITH CHARS(account), CHARS();\n\
                  ACCOUNT foo ALIASED Joe MATCHES %alias%=%ident%=%code% WITH ANY(alias), NONE(alias), CHARS();";
    let options = Options { fold: true, dialect: Dialect::TcpTable };
    let rules = read(config, options).expect("it loads").rules;
    let cases = [
        ("to-FOO-Macys-m5x", Some("Foo")),
        ("To-foo-macys-M5X", Some("Foo")),
        ("to-foo-macys-m6x", None),
        ("FOO+Abc+33", Some("Foo")),
        ("Grüße+abc+63", Some("GRÜSSE")),
        ("JOE=abc=JX3", Some("Foo")),
        ("joe=abc=jO3", None),
    ];
    for (name, want) in cases {
        let got = match rules.find(name) {
            Decision::Account { name, ambiguous: false, .. } => Some(name),
            Decision::NoMatch => None,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(got, want, "{name}");
        assert_eq!(rules.explain(name).outcome, rules.find(name).into());
    }
    // Two accounts of one statement that differ by case only are one, named twice.
    let twice = read("ACCOUNT Foo, foo MATCHES %account%-%code% WITH CHARS(account);", options)
        .expect("it loads")
        .rules;
    assert_eq!(
        twice.find("foo-3"),
        Decision::Account { name: "Foo", statement: 0, ambiguous: true, by_debug: false }
    );
    // And of two statements, they have the same aliases.
    let config = "ACCOUNT Foo ALIASED A MATCHES %account%-%code% WITH CHARS(account);\n\
                  ACCOUNT foo ALIASED b MATCHES %account%+%code% WITH CHARS(account);";
    assert_eq!(read(config, options).map_err(|problems| problems.len()).err(), Some(2));
    assert!(read(config, Options::default()).is_ok());
}

#[test]
fn ambiguity() {
    let both = "ACCOUNT foo, bar MATCHES %ident%-%code% WITH CHARS();";
    assert_eq!(rules(both).find("abc-3"), Decision::Ambiguous { statements: vec![0] });
    let debug = rules(both).with_debug_account(Some("dbg".into()));
    assert_eq!(
        debug.find("abc-3"),
        Decision::Account { name: "dbg", statement: 0, ambiguous: true, by_debug: true }
    );
    let apart = "ACCOUNT foo, fo MATCHES %ident%-%code% WITH CHARS(account), CHARS();";
    assert_eq!(
        rules(apart).find("abc-23"),
        Decision::Account { name: "fo", statement: 0, ambiguous: false, by_debug: false }
    );
}

/// No name takes longer than the steps allow, and one that would is not said to be no alias.
#[test]
fn steps_are_limited() {
    let rules = rules(
        "ACCOUNT a MATCHES %alnum%0%alnum%0%code%0%alnum%0%alnum% WITH VOWELS(1), VOWELS(2), DIGITS(3), DIGITS(4);",
    );
    assert_eq!(rules.find(&"0".repeat(4000)), Decision::CannotSay { statement: 0 });
    assert_eq!(rules.explain(&"0".repeat(4000)).outcome, Outcome::CannotSay);
    assert_eq!(rules.find(&"0".repeat(MAX_NAME + 1)), Decision::CannotSay { statement: 0 });
    assert_eq!(rules.explain(&"0".repeat(MAX_NAME + 1)).outcome, Outcome::CannotSay);
    // What cannot match by its characters is no alias, however long.
    assert_eq!(rules.find(&"x".repeat(MAX_NAME + 1)), Decision::NoMatch);
}

/// The names that are slow to look up naively use up little of what is allowed.
#[test]
fn slow_names_are_cheap() {
    let slow = include_str!("../../../tests/data/rules/slow.jsonl");
    let mut seen = 0;
    for line in slow.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect("a vector");
        let rules = rules(vector["config"].as_str().expect("a configuration"));
        let name = vector["queries"][0]["q"].as_str().expect("a name");
        let mut lookup = Lookup::new(name, MAX_STEPS);
        for program in &rules.programs {
            lookup.statement(program).expect("there are steps enough");
        }
        let used = MAX_STEPS - lookup.steps();
        let limit = if name.len() <= crate::addr::MAX_LOCAL_PART { 100_000 } else { MAX_STEPS / 4 };
        assert!(used < limit, "{}: {used}", vector["id"]);
        seen += 1;
    }
    assert_eq!(seen, 21);
}

#[test]
fn explanations() {
    let rules = rules(
        "ACCOUNT foo, bar MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();\n\
         ACCOUNT ann MATCHES ann.%number%.%code% WITH DIGITS(), NONE(account);",
    );
    let cases = [
        (
            "foo-macys-m5",
            "foo-macys-m5\n  \
               t:1 %account%-%ident%-%code%\n    \
                 matches for account \"foo\"\n      \
                   %account% = \"foo\"\n      \
                   %ident% = \"macys\"\n      \
                   %code% = \"m5\"\n      \
                   CHAR(1,1,-) of \"macys\" = \"m\"\n      \
                   CHARS(1) of \"macys\" = \"5\"\n  \
               the other statement does not match\n  \
               an alias of \"foo\"",
        ),
        (
            "foo-macys-m6",
            "foo-macys-m6\n  \
               t:1 %account%-%ident%-%code%\n    \
                 no match: the code is \"m6\", computed \"m5\"\n      \
                   %account% = \"foo\"\n      \
                   %ident% = \"macys\"\n      \
                   %code% = \"m6\"\n      \
                   CHAR(1,1,-) of \"macys\" = \"m\"\n      \
                   CHARS(1) of \"macys\" = \"5\", the code differs\n  \
               the other statement does not match\n  \
               no alias",
        ),
        (
            "joe-macys-m5",
            "joe-macys-m5\n  t:1 %account%-%ident%-%code%\n    no match: account \"joe\" is not in the list\n  \
             the other statement does not match\n  no alias",
        ),
        (
            "foo-_-m5",
            "foo-_-m5\n  t:1 %account%-%ident%-%code%\n    no match: behind \"foo-\", \"%ident%\" does not fit \"_-m5\"\n  \
             the other statement does not match\n  no alias",
        ),
        (
            "ann.42.2n",
            "ann.42.2n\n  \
               t:2 ann.%number%.%code%\n    \
                 no match: the code is \"2n\", computed \"2?\"\n      \
                   %number% = \"42\"\n      \
                   %code% = \"2n\"\n      \
                   DIGITS(1) of \"42\" = \"2\"\n      \
                   NONE(account) of \"ann\" fits no character here\n  \
               the other statement does not match\n  \
               no alias",
        ),
        (
            "foo-ab",
            "foo-ab\n  t:1 %account%-%ident%-%code%\n    no match: behind \"foo-ab\" the name ends, wanted \"-\"\n  \
             the other statement does not match\n  no alias",
        ),
    ];
    for (name, want) in cases {
        assert_eq!(rules.explain(name).to_string(), want);
    }
}
