//! Addresses made: what is said to be good is good, and what is not has its reason.

use crate::generate::generate;
use crate::tests::{naive, random};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;

fn ordered(config: &str, fold: bool, order: &Order<'_>) -> Result<Vec<Made>, Unknown> {
    let texts = [Text::new("t", config)];
    let options = Options { fold, ..Options::default() };
    let rules = load(&texts, &options).unwrap_or_else(|problems| panic!("{config}: {problems:#?}")).rules;
    generate(&texts, &rules, &options, order)
}

/// What each rule says: the name, or the reason behind `!`.
fn said(config: &str, fold: bool, order: &Order<'_>) -> String {
    let made = match ordered(config, fold, order) {
        Ok(made) => made,
        Err(unknown) => return format!("!{unknown}"),
    };
    let each = made.into_iter().map(|made| match made.result {
        Ok(good) if good.remarks.is_empty() => good.name,
        Ok(good) => format!("{} ({})", good.name, good.remarks.join("; ")),
        Err(reason) => format!("!{reason}"),
    });
    each.collect::<Vec<_>>().join("\n")
}

type Case<'c> = (&'c str, bool, &'c [&'c str], &'c str);

/// Configuration, folding, account and words, and what is said.
fn check(cases: &[Case<'_>]) {
    for (config, fold, words, want) in cases {
        let [account, words @ ..] = words else { panic!("no account") };
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let order = Order { account, words: &words, ..Order::default() };
        assert_eq!(said(config, *fold, &order), *want, "{config} {words:?}");
    }
}

#[test]
fn words_that_fit_and_that_do_not() {
    let long = "m".repeat(70);
    let too_long = "m".repeat(250);
    let shop = "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();";
    check(&[
        (shop, false, &["foo", "macys"], "foo-macys-m5"),
        (shop, false, &["foo", "Macys"], "foo-Macys-M5"),
        (shop, true, &["FOO", "Macys"], "foo-macys-m5 (\"Macys\" counts as \"macys\": case does not matter)"),
        (shop, false, &["foo"], "!the rule wants 1 word: %alnum%; given none"),
        (shop, false, &["foo", "a", "b"], "!the rule wants 1 word: %alnum%; given 2"),
        (
            shop,
            false,
            &["foo", "j.crew"],
            "!word 1, \"j.crew\", is not %alnum%: character 2 is \".\", and it is made of letters and digits; you could write \"jcrew\"",
        ),
        (shop, false, &["foo", ""], "!word 1, \"\", is not %alnum%: it is empty"),
        (shop, false, &["fooo", "x"], "!no rule names account \"fooo\"; did you mean \"foo\"?"),
        (
            shop,
            false,
            &["foo", &long],
            &format!(
                "foo-{long}-m70 (its 78 octets in front of the @ are more than the 64 that every mail system takes)"
            ),
        ),
        (
            shop,
            false,
            &["foo", &too_long],
            &format!("!\"foo-{too_long}-m250\" would have 259 octets, and a local part has 255 at most"),
        ),
        (
            "ACCOUNT foo MATCHES %fqdn%.%number%.%code% WITH LABELS(1), NONE(2), ANY(2);",
            false,
            &["foo", "macys", "12"],
            "!word 1, \"macys\", is not %fqdn%: it holds no dot; you could write \"macys.com\"",
        ),
        (
            "ACCOUNT foo MATCHES %ident%.%number%.%code% WITH NONE(2), ANY(1);",
            false,
            &["foo", "_a_", "12"],
            "!word 1, \"_a_\", is not %ident%: it begins with \"_\", which may stand inside only; you could write \"a\"",
        ),
        (
            "ACCOUNT foo MATCHES %ident%.%number%.%code% WITH NONE(2), ANY(1);",
            false,
            &["foo", "a_b", "012"],
            "a_b.012.3a",
        ),
    ]);
}

#[test]
fn rules_that_leave_doubt_or_make_nothing() {
    check(&[
        // The first character would leave doubt about which dot ends the first identifier.
        ("ACCOUNT foo MATCHES %fqdn%.%alnum%-%code% WITH NONE(1);", false, &["foo", "a.b", "c"], "a.b.c-c"),
        ("ACCOUNT foo MATCHES %alpha%x%alpha%-%code% WITH CHARS(1);", false, &["foo", "a", "b"], "axb-1"),
        ("ACCOUNT foo MATCHES %alpha%x%alpha%-%code% WITH ANY(1);", false, &["foo", "axa", "b"], "axaxb-x"),
        (
            "ACCOUNT foo MATCHES %alpha%x%alpha%-%code% WITH CHAR(1,1,-);",
            false,
            &["foo", "axa", "b"],
            "!\"axaxb-a\" is ambiguous; the rule matches it in more than one way, one is %alpha% = \"a\", %alpha% = \"axb\", %code% = \"a\"",
        ),
        (
            "ACCOUNT foo MATCHES %alpha%-%code% WITH CHARS();\nACCOUNT bar MATCHES %alnum%-%code% WITH CHARS();",
            false,
            &["foo", "abc"],
            "!\"abc-3\" is ambiguous; t:2 %alnum%-%code% makes it an alias of \"bar\"",
        ),
        (
            "DEBUG ACCOUNT: foo\nACCOUNT foo, bar MATCHES %alnum%-%code% WITH CHARS();",
            false,
            &["foo", "abc"],
            "!\"abc-3\" is ambiguous; the rule gives it to several accounts",
        ),
        (
            "ACCOUNT foo MATCHES %alnum%-x WITH CHARS();",
            false,
            &["foo", "abc"],
            "!the rule never matches: the expression holds no %code%",
        ),
        (
            "ACCOUNT foo MATCHES %alnum%-%code% WITH CHAR(4,);",
            false,
            &["foo", "abc"],
            "!CHAR(1,4,) gives nothing for \"abc\"",
        ),
        (
            "ACCOUNT foo ALIASED joe, jim MATCHES %alias%-%code% WITH CHARS(alias);",
            false,
            &["foo"],
            "!the rule has several aliases; say which, with --alias: \"joe\", \"jim\"",
        ),
        ("ACCOUNT foo ALIASED joe MATCHES %alias%-%code% WITH CHARS(alias);", false, &["foo"], "joe-3"),
        (
            "ACCOUNT fo.o USING alpha MATCHES %account%-%code% WITH CHARS(account);",
            false,
            &["fo.o"],
            "!\"fo.o\" is not alpha, as USING demands: letters alone",
        ),
        (
            "ACCOUNT foo MATCHES a..%account%-%code% WITH CHARS(account);",
            false,
            &["foo"],
            "a..foo-3 (it has to be quoted in an address, which many forms on the web refuse)",
        ),
    ]);
}

#[test]
fn choosing_rules() {
    let config = "ACCOUNT foo ALIASED joe, jim MATCHES %alias%-%code% WITH CHARS(alias);\n\
                  ACCOUNT bar MATCHES b%code% WITH CHARS(account);\n\
                  ACCOUNT foo MATCHES f%code% WITH CHARS(account);";
    let foo = Order { account: "foo", ..Order::default() };
    let cases = [
        (Order { alias: Some("jim"), ..foo }, "jim-3"),
        (Order { rule: Some(3), ..foo }, "f3"),
        (
            Order { rule: Some(2), ..foo },
            "!rule 2 is not for this account and alias; rules of the account: 1, 3",
        ),
        (Order { rule: Some(0), ..foo }, "!there is no rule 0: they are numbered from 1 to 3"),
        (Order { rule: Some(4), ..foo }, "!there is no rule 4: they are numbered from 1 to 3"),
        (
            Order { alias: Some("jimm"), ..foo },
            "!no rule of \"foo\" has alias \"jimm\"; did you mean \"jim\"?",
        ),
        (
            Order { alias: Some("jim"), until: Day::new(2026, 12, 31), ..foo },
            "!addresses of this rule do not expire: it has no %date%",
        ),
    ];
    for (order, want) in cases {
        assert_eq!(said(config, false, &order), want, "{order:?}");
    }
    let [made] = &ordered(config, false, &Order { rule: Some(3), ..foo }).expect("made")[..] else {
        panic!("more than one")
    };
    assert_eq!((made.rule, &*made.place, &*made.expression), (3, "t:3", "f%code%"));
}

#[test]
fn steps_teach() {
    let config = "ACCOUNT foo MATCHES %alnum%.%fqdn%.%code% WITH CHAR(1,-2,-), CHAR(1,9,z), CHAR(2,-1,1,-), \
                  CHAR(2,5,1,y), CHAR(2,1,7,x), CHARS(2), VOWELS(1), NONE(1), ANY(account);";
    let words = ["ma5".to_owned(), "ab.com".to_owned()];
    let order = Order { account: "foo", words: &words, ..Order::default() };
    let made = ordered(config, false, &order).expect("made");
    let good = made[0].result.as_ref().expect("good");
    let want = [
        "second last character of ma5: a",
        "ma5 has no 9th character, so take z: z",
        "first letter of com, the last part of ab.com: c",
        "ab.com has no 5th part, so take y: y",
        "\"ab\", the first part of ab.com, has no 7th character, so take x: x",
        "count the characters of ab.com: 6",
        "count the vowels (a, e, i, o, u in lower case) of ma5: 1",
        "any letter or digit that is not in ma5: b",
        "any character of foo: f",
        "code: azcyx61bf",
        "put together: ma5.ab.com.azcyx61bf",
    ];
    assert_eq!(good.steps, want);
}

/// A domain, a day, a secret: what is made says them, and what is missing is asked for.
#[test]
fn domains_days_and_secrets() {
    let said = |clauses: [&str; 3], order: Order<'_>, secrets: &Secrets| {
        let [domains, date, function] = clauses;
        let config =
            format!("ACCOUNT foo {domains} MATCHES %account%-{date}%code% WITH CHARS(account){function};");
        let texts = [Text::new("t", &config)];
        // Rules with HMAC do not load without a secret; that one is missing is said all the same.
        let some = Secrets::new([b"correct horse battery staple".to_vec()]);
        let rules = load(&texts, &Options { secrets: some, ..Options::default() }).expect("it loads").rules;
        let options = Options { secrets: secrets.clone(), ..Options::default() };
        let made = generate(&texts, &rules, &options, &order).expect("the account is there");
        match &made[0].result {
            Ok(good) => format!("{}@{}", good.name, good.domain.as_deref().unwrap_or("-")),
            Err(reason) => reason.to_string(),
        }
    };
    let foo = Order { account: "foo", ..Order::default() };
    let until = |year, month, day| Order { until: Day::new(year, month, day), ..foo };
    let at = |domain| Order { domain: Some(domain), ..foo };
    let (none, some) = (Secrets::default(), Secrets::new([b"correct horse battery staple".to_vec()]));
    let (plain, ours) = (["", "", ""], ["DOMAINS A.test, b.test", "", ""]);
    let (dated, signed) = (["", "%date%-", ""], ["", "", ", HMAC(6), HMAC(4)"]);
    let cases = [
        (plain, foo, &none, "foo-3@-"),
        (plain, at("X.test."), &none, "foo-3@x.test"),
        (ours, foo, &none, "foo-3@a.test"),
        (ours, at("B.test"), &none, "foo-3@b.test"),
        (ours, at("c.test"), &none, "the rule is not for c.test, but for \"A.test\", \"b.test\""),
        (dated, foo, &none, "the address has a last day; say which, with --until YYYY-MM-DD"),
        (dated, until(2026, 11, 30), &none, "foo-2611-3@-"),
        (dated, until(2026, 11, 22), &none, "foo-26w47-3@-"),
        (dated, until(2026, 11, 21), &none, "foo-261121-3@-"),
        (
            dated,
            until(2100, 1, 1),
            &none,
            "%date% has no way to write 2100-01-01; years go from 2000 to 2099",
        ),
        (signed, foo, &none, "the code is computed with a secret; name its file with --secrets"),
    ];
    for (clauses, order, secrets, want) in cases {
        assert_eq!(said(clauses, order, secrets), want);
    }
    let code = said(signed, foo, &some);
    assert_eq!((&code[..5], code.len()), ("foo-3", "foo-3".len() + 10 + "@-".len()), "{code}");
}

/// With two functions that leave a choice the 63rd code is the first that is not ambiguous, with three the
/// 3845th: that is too many.
#[test]
fn tries_are_limited() {
    let word: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    for (any, tries, good) in [("ANY(), ANY()", 62 + 1, true), ("ANY(), ANY(), ANY()", 62 * 62 + 1, false)] {
        assert_eq!(tries <= MAX_TRIES, good);
        let config = format!(
            "ACCOUNT foo MATCHES %alnum%-%code% WITH {any};\n\
             ACCOUNT bar MATCHES %ident%-%code% WITH {};",
            any.replacen("ANY()", "CHAR(1,-)", 1)
        );
        let words = [word.clone()];
        let order = Order { account: "foo", words: &words, ..Order::default() };
        let made = ordered(&config, false, &order).expect("made");
        match &made[0].result {
            Ok(made) => assert!(good && made.name.ends_with("-ba"), "{made:?}"),
            Err(reason) => assert!(!good && matches!(reason, Reason::Ambiguous { .. }), "{reason}"),
        }
    }
}

#[test]
fn lists_are_cut_short() {
    let aliases: Vec<String> = (0..MAX_NAMED + 2).map(|n| format!("a{n}")).collect();
    let config =
        format!("ACCOUNT foo ALIASED {} MATCHES %alias%-%code% WITH CHARS(alias);", aliases.join(","));
    let said = said(&config, false, &Order { account: "foo", ..Order::default() });
    assert!(said.ends_with("\"a4\" and 2 more"), "{said}");
}

fn words_for(made: &naive::Made) -> impl Strategy<Value = Vec<String>> + use<> {
    let words: Vec<BoxedStrategy<String>> = made
        .classes()
        .into_iter()
        .map(|class| match class {
            "fqdn" => "[ab1]\\.[ab1.-]{0,2}[ab1]".boxed(),
            "number" => "1{1,3}".boxed(),
            "ident" => "[abB1](_?[ab1]){0,2}".boxed(),
            "alpha" => "[abA]{1,3}".boxed(),
            _ => "[ab1]{1,3}".boxed(),
        })
        .collect();
    words
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(1000) })]

    /// What is made resolves to the account and to no other, whoever asks; and where nothing is made though
    /// all words fit, the rules are really in doubt.
    #[test]
    fn what_is_made_is_found(
        (made, words, account, alias, fold) in random::made().prop_flat_map(|made| {
            let (accounts, words) = (made.accounts.clone(), words_for(&made));
            let aliases = if made.aliases.is_empty() {
                Just(None).boxed()
            } else {
                prop::sample::select(made.aliases.clone()).prop_map(Some).boxed()
            };
            (Just(made), words, prop::sample::select(accounts), aliases, any::<bool>())
        })
    ) {
        let texts = [Text::new("t", &made.text())];
        let options = Options { fold, ..Options::default() };
        let Ok(loaded) = load(&texts, &options) else { return Err(TestCaseError::reject("refused")) };
        let until = made.text().contains("%date%").then(|| Day::new(2026, 11, 21)).flatten();
        let order = Order { account: &account, alias: alias.as_deref(), words: &words, until, ..Order::default() };
        let results = generate(&texts, &loaded.rules, &options, &order).expect("the account is there");
        prop_assert_eq!(results.len(), 1);
        match &results[0].result {
            Ok(good) => {
                let query = Query { name: &good.name, domain: good.domain.as_deref(), today: until };
                let found = loaded.rules.find(query);
                let right = matches!(&found, Decision::Account { name, ambiguous: false, by_debug: false, .. } if **name == account);
                prop_assert!(right, "{} {}: {found:?}", made.text(), good.name);
                prop_assert!(!good.steps.is_empty());
                prop_assert!(good.name.len() <= mail_address::MAX_LOCAL_PART);
            }
            Err(Reason::Ambiguous { name, .. }) => {
                let domain = made.domains.first().copied();
                let in_doubt = !matches!(loaded.rules.find(Query { name, domain, today: until }), Decision::Account { ambiguous: false, .. } | Decision::NoMatch);
                prop_assert!(in_doubt, "{} {}", made.text(), name);
            }
            Err(Reason::Never(_) | Reason::NoValue { .. }) => {}
            Err(other) => prop_assert!(false, "{} {words:?}: {other}", made.text()),
        }
    }
}
