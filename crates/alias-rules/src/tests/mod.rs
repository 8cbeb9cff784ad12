//! Settings, folding, ambiguity, limits, explanations.

mod dates;
mod deliver;
mod domains;
mod errors;
mod formatting;
mod generating;
mod hmac;
mod importing;
mod million;
pub(crate) mod naive;
pub(crate) mod random;

use crate::*;
use diagnostics::Text;
use std::net::IpAddr;

/// A valid statement with these functions.
fn with(functions: &str) -> String {
    format!("ACCOUNT foo MATCHES %account%-%ident%-%code% WITH {functions};")
}

fn read(config: &str, options: &Options) -> Result<Loaded, Vec<diagnostics::Problem>> {
    load(&[Text::new("t", config)], options)
}

fn rules(config: &str) -> Rules {
    read(config, &Options::default()).unwrap_or_else(|problems| panic!("{config}: {problems:#?}")).rules
}

#[test]
fn settings_are_parsed_with_their_places() {
    let config = "HOST: ::1\nPORT:25\nSMTP HOST: mx.test\nSMTP\nPORT: +2_5\nLOCAL HOST: me.test\n\
                  LOCAL DOMAINS: a.test  B.test\nALIAS DOMAINS: A.test b.test,\nLOGGING: Info\nSTATISTICS: -5\n\
                  PROCESSOR: mod\nCASE SENSITIVE: TRUE\nPYTHON_IS_311: 0\nDEBUG ACCOUNT: joe\n";
    let first = Text::new("first", "PORT: 1\nLOGGING: debug\n");
    let second = Text::new("second", config);
    let options = Options { fold: false, dialect: Dialect::Any, ..Options::default() };
    let loaded = load(&[first, second.clone()], &options).expect("it loads");
    let settings = loaded.settings;
    macro_rules! got {
        ($($name:ident)*) => {{ $(let $name = settings.$name.as_ref().map(|setting| {
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
    // All statements but those for domains and case are allowed in a file of rules.
    let all = read(config, &Options::default()).expect_err("domains and case");
    let errors = all.iter().filter(|problem| problem.severity == diagnostics::Severity::Error);
    assert_eq!(errors.map(|problem| problem.place().0).collect::<Vec<_>>(), [8, 12]);
}

#[test]
fn several_texts_are_loaded_as_one() {
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
fn folding_ignores_case_in_names_literals_and_codes() {
    let config = "ACCOUNT Foo, straße USING alpha MATCHES To-%account%-%ident%-%code% WITH CHAR(1,-), CHARS(), CHAR(9,X);\n\
                  ACCOUNT foo, GRÜSSE MATCHES %account%+%ident%+%code% WITH CHARS(account), CHARS();\n\
                  ACCOUNT foo ALIASED Joe MATCHES %alias%=%ident%=%code% WITH ANY(alias), NONE(alias), CHARS();";
    let options = Options { fold: true, dialect: Dialect::TcpTable, ..Options::default() };
    let rules = read(config, &options).expect("it loads").rules;
    let cases = [
        ("to-FOO-Macys-m5x", Some("Foo")),
        ("To-foo-macys-M5X", Some("Foo")),
        ("to-foo-macys-m6x", None),
        ("FOO+Abc+33", Some("foo")),
        ("Grüße+abc+63", Some("GRÜSSE")),
        ("JOE=abc=JX3", Some("foo")),
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
    // Accounts of a statement that differ by case only are one repeated account.
    let twice = read("ACCOUNT Foo, foo MATCHES %account%-%code% WITH CHARS(account);", &options)
        .expect("it loads")
        .rules;
    assert_eq!(
        twice.find("foo-3"),
        Decision::Account { name: "Foo", target: None, statement: 0, ambiguous: true, by_debug: false }
    );
    // In two statements, such accounts share their aliases.
    let config = "ACCOUNT Foo ALIASED A MATCHES %account%-%code% WITH CHARS(account);\n\
                  ACCOUNT foo ALIASED b MATCHES %account%+%code% WITH CHARS(account);";
    assert_eq!(read(config, &options).map_err(|problems| problems.len()).err(), Some(2));
    assert!(read(config, &Options::default()).is_ok());
}

#[test]
fn matches_of_several_accounts_are_ambiguous() {
    let both = "ACCOUNT foo, bar MATCHES %ident%-%code% WITH CHARS();";
    assert_eq!(rules(both).find("abc-3"), Decision::Ambiguous { statements: vec![0] });
    let debug = rules(both).with_debug_account(Some("dbg".into()));
    assert_eq!(
        debug.find("abc-3"),
        Decision::Account { name: "dbg", target: None, statement: 0, ambiguous: true, by_debug: true }
    );
    let apart = "ACCOUNT foo, fo MATCHES %ident%-%code% WITH CHARS(account), CHARS();";
    assert_eq!(
        rules(apart).find("abc-23"),
        Decision::Account { name: "fo", target: None, statement: 0, ambiguous: false, by_debug: false }
    );
}

#[test]
fn lookups_beyond_the_step_limit_fail_temporarily() {
    let worst = include_str!("../../tests/data/worst.jsonl");
    let vectors =
        worst.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a vector"));
    let vector = vectors.into_iter().find(|v| v["decision"] == "temp_fail").expect("there is one");
    let (config, name) =
        (vector["config"].as_str().expect("rules"), vector["name"].as_str().expect("a name"));
    let fine = "ACCOUNT a MATCHES %ident%.%code% WITH CHARS();\n";
    let rules = rules(&format!("{fine}{config}\n{fine}").replacen("%ident%", "%alnum%", 1));
    assert_eq!(rules.find(name), Decision::TempFail { statement: 1 });
    let explained = rules.explain(name);
    assert_eq!(explained.outcome, Outcome::TempFail);
    let failed = |trace: &Trace| trace.finding == Finding::TempFail;
    assert_eq!(explained.statements.iter().map(failed).collect::<Vec<_>>(), [false, true, false]);
    // A name that is too long fails, too, unless its characters rule out every statement.
    let long = name.repeat(MAX_NAME / name.len() + 1);
    assert_eq!(rules.find(&long), Decision::TempFail { statement: 0 });
    assert_eq!(rules.explain(&long).outcome, Outcome::TempFail);
    assert_eq!(rules.find(&"x".repeat(MAX_NAME + 1)), Decision::NoMatch);
}

/// The error is about the text that exceeds the limit.
#[test]
fn the_total_size_of_texts_is_limited() {
    let texts = [Text::new("a", "12"), Text::new("b", "34"), Text::new("c", "")];
    assert!(crate::load::too_long(&texts, 4).is_none());
    let problem = crate::load::too_long(&texts, 3).expect("too long").to_string();
    assert!(problem.starts_with("b:1:1: error: there are more than 3 bytes of rules"), "{problem}");
    assert!(problem.contains("keep that many names in a database"), "{problem}");
}

#[test]
fn all_statements_share_the_steps_of_a_lookup() {
    let worst = include_str!("../../tests/data/worst.jsonl");
    let vectors =
        worst.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a vector"));
    let expensive =
        |v: &serde_json::Value| v["decision"] == "no" && v["steps"].as_u64() > Some(MAX_STATEMENT_STEPS / 2);
    let vector = vectors.into_iter().find(expensive).expect("there is one");
    let rules = rules(vector["config"].as_str().expect("rules"));
    let mut matcher = crate::matcher::Matcher::new(vector["name"].as_str().expect("a name"));
    let decided = (0..1000).take_while(|_| matcher.statement(rules.program(0)).is_ok()).count() as u64;
    assert!((50..=100).contains(&decided), "{decided}");
    assert_eq!(matcher.used(), MAX_LOOKUP_STEPS);
}

/// These names take a naive implementation seconds or longer.
#[test]
fn slow_names_take_few_steps() {
    let slow = include_str!("../../tests/data/slow.jsonl");
    let mut seen = 0;
    for line in slow.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect("a vector");
        let rules = rules(vector["config"].as_str().expect("a configuration"));
        let name = vector["queries"][0]["q"].as_str().expect("a name");
        let Cost { steps, limit } = rules.cost(name);
        assert!(steps < limit / 100, "{}: {steps}", vector["id"]);
        seen += 1;
    }
    assert_eq!(seen, 21);
}

#[test]
fn explanations_show_the_split_or_the_first_mismatch() {
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
                   %account%    \"foo\"\n      \
                   %ident%      \"macys\"\n      \
                   %code%       \"m5\"\n      \
                   CHAR(1,1,-)  of \"macys\" = \"m\"\n      \
                   CHARS(1)     of \"macys\" = \"5\"\n  \
               the other statement does not match\n  \
               an alias of \"foo\"",
        ),
        (
            "foo-macys-m6",
            "foo-macys-m6\n  \
               t:1 %account%-%ident%-%code%\n    \
                 no match: the code is \"m6\", computed \"m5\"\n      \
                   %account%    \"foo\"\n      \
                   %ident%      \"macys\"\n      \
                   %code%       \"m6\"\n      \
                   computed     \"m5\"\n                     \
                                  ^\n      \
                   CHAR(1,1,-)  of \"macys\" = \"m\"\n      \
                   CHARS(1)     of \"macys\" = \"5\", the code has \"6\"\n  \
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
            "foo-_-m5\n  t:1 %account%-%ident%-%code%\n    no match: after \"foo-\", \"%ident%\" does not match \"_-m5\"\n  \
             the other statement does not match\n  no alias",
        ),
        (
            "ann.42.2n",
            "ann.42.2n\n  \
               t:2 ann.%number%.%code%\n    \
                 no match: the code is \"2n\", computed \"2?\"\n      \
                   %number%       \"42\"\n      \
                   %code%         \"2n\"\n      \
                   computed       \"2?\"\n                       \
                                    ^\n      \
                   DIGITS(1)      of \"42\"  = \"2\"\n      \
                   NONE(account)  of \"ann\" matches no character here, the code has \"n\"\n  \
               the other statement does not match\n  \
               no alias",
        ),
        (
            "foo-ab",
            "foo-ab\n  t:1 %account%-%ident%-%code%\n    no match: the name ends after \"foo-ab\", expected \"-\"\n  \
             the other statement does not match\n  no alias",
        ),
    ];
    for (name, want) in cases {
        assert_eq!(rules.explain(name).to_string(), want);
    }
}

#[test]
fn near_misses_are_ordered_and_limited() {
    let rules = rules(
        "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHARS();\n\
         ACCOUNT foo MATCHES f%alpha%-%ident%-%code% WITH CHARS(2), CHARS(1);\n\
         ACCOUNT foo MATCHES %account%+%ident%-%code% WITH CHARS();\n\
         ACCOUNT bar MATCHES %account%-%alnum%-%code% WITH CHARS();\n\
         ACCOUNT baz MATCHES %account%-%alpha%-%code% WITH CHARS();\n\
         ACCOUNT foo MATCHES fo%alpha%-%ident%-%code% WITH CHARS(2), CHAR(2,1,-), CHARS(1);",
    );
    let near = |name: &str| {
        let explanation = rules.explain(name);
        let near: Vec<String> = explanation.near().iter().map(|trace| trace.place.clone()).collect();
        assert_eq!(explanation.nearest().map(|trace| &*trace.place), near.first().map(|place| &**place));
        near
    };
    for (name, want) in [
        ("foo-macys-5m2", &["t:6", "t:1", "t:2"][..]),
        ("foo-macys-6", &["t:1", "t:2", "t:6"]),
        ("joe-macys-5", &["t:1", "t:4", "t:5"]),
        ("foo-macys-5", &[]),
        ("foo+macys", &["t:3", "t:1", "t:2"]),
        ("foo-_", &["t:1", "t:2", "t:4"]),
        ("é", &["t:1"]),
    ] {
        assert_eq!(near(name), *want, "{name}");
        assert!(want.len() <= MAX_NEAR);
    }
    assert!(Rules::default().explain("x").near().is_empty());
}

/// Rules and names are constructed to be expensive.
#[test]
fn names_of_legal_length_are_decided() {
    for (config, name) in [
        ("%alnum%0%alnum%0%code%0%alnum%0%alnum% WITH VOWELS(1), VOWELS(2), DIGITS(3), DIGITS(4);", "0"),
        ("%alnum%0%alnum%0%code%0%alnum%0%alnum% WITH VOWELS(1), DIGITS(2), VOWELS(3), DIGITS(4);", "01"),
        ("%alnum%0%alnum%0%alnum%0%code%0%alnum% WITH VOWELS(1), VOWELS(2), DIGITS(3);", "0"),
        ("%alnum%0%date%0%code%0%alnum%0%alnum% WITH VOWELS(1), DIGITS(2), VOWELS(3);", "01"),
        ("%fqdn%0%fqdn%0%code%0%fqdn% WITH CHAR(1,1,1,-), CHAR(2,-1,-1,-), CHAR(3,2,2,-);", "0.00"),
    ] {
        let rules = rules(&format!("ACCOUNT a MATCHES {config}"));
        let name: String = name.chars().cycle().take(mail_address::MAX_LOCAL_PART).collect();
        for today in [None, Day::new(2099, 12, 31)] {
            let query = Query { name: &name, domain: None, today };
            assert!(!matches!(rules.find(query), Decision::TempFail { .. }), "{config} {name}");
        }
    }
}
