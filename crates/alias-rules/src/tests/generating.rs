//! The generator: generated addresses resolve to the account, and failures have the right reason.

use crate::generate::generate;
use crate::tests::{naive, random};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;

fn generate_all(
    config: &str,
    fold: bool,
    request: &GenerateRequest<'_>,
) -> Result<Vec<Generated>, NoStatement> {
    let texts = [Text::new("t", config)];
    let options = Options { fold, ..Options::default() };
    let rules = load(&texts, &options).unwrap_or_else(|problems| panic!("{config}: {problems:#?}")).rules;
    generate(&texts, &rules, &options, request)
}

/// The result of each rule: the name, or `!` and the reason.
fn results(config: &str, fold: bool, request: &GenerateRequest<'_>) -> String {
    let generated = match generate_all(config, fold, request) {
        Ok(generated) => generated,
        Err(unknown) => return format!("!{unknown}"),
    };
    let each = generated.into_iter().map(|generated| match generated.result {
        Ok(address) if address.remarks.is_empty() => address.name,
        Ok(address) => format!("{} ({})", address.name, address.remarks.join("; ")),
        Err(reason) => format!("!{reason}"),
    });
    each.collect::<Vec<_>>().join("\n")
}

type Case<'c> = (&'c str, bool, &'c [&'c str], &'c str);

/// Configuration, folding, account and words, and the expected results.
fn check(cases: &[Case<'_>]) {
    for (config, fold, words, want) in cases {
        let [account, words @ ..] = words else { panic!("no account") };
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let request = GenerateRequest { account, words: &words, ..GenerateRequest::default() };
        assert_eq!(results(config, *fold, &request), *want, "{config} {words:?}");
    }
}

#[test]
fn words_are_checked_against_their_classes() {
    let long = "m".repeat(70);
    let too_long = "m".repeat(250);
    let shop = "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();";
    check(&[
        (shop, false, &["foo", "macys"], "foo-macys-m5"),
        (shop, false, &["foo", "Macys"], "foo-Macys-M5"),
        (
            shop,
            true,
            &["FOO", "Macys"],
            "foo-macys-m5 (\"Macys\" is treated as \"macys\": case does not matter)",
        ),
        (shop, false, &["foo"], "!the rule needs 1 word: %alnum%; given none"),
        (shop, false, &["foo", "a", "b"], "!the rule needs 1 word: %alnum%; given 2"),
        (
            shop,
            false,
            &["foo", "j.crew"],
            "!word 1, \"j.crew\", is not %alnum%: character 2 is \".\", but allowed are letters and digits; you could write \"jcrew\"",
        ),
        (shop, false, &["foo", ""], "!word 1, \"\", is not %alnum%: it is empty"),
        (shop, false, &["fooo", "x"], "!no rule names account \"fooo\"; did you mean \"foo\"?"),
        (
            shop,
            false,
            &["foo", &long],
            &format!("foo-{long}-m70 (its local part has 78 octets; some mail systems accept only 64)"),
        ),
        (
            shop,
            false,
            &["foo", &too_long],
            &format!("!\"foo-{too_long}-m250\" would have 259 octets, but a local part has at most 255"),
        ),
        (
            "ACCOUNT foo MATCHES %fqdn%.%number%.%code% WITH LABELS(1), NONE(2), ANY(2);",
            false,
            &["foo", "macys", "12"],
            "!word 1, \"macys\", is not %fqdn%: it has no dot; you could write \"macys.com\"",
        ),
        (
            "ACCOUNT foo MATCHES %ident%.%number%.%code% WITH NONE(2), ANY(1);",
            false,
            &["foo", "_a_", "12"],
            "!word 1, \"_a_\", is not %ident%: it begins with \"_\", which is allowed inside only; you could write \"a\"",
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
fn ambiguous_addresses_are_not_returned() {
    check(&[
        // With the first character it would be ambiguous which dot ends the first identifier.
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
            "!\"abc-3\" is ambiguous; the rule matches it for several accounts",
        ),
        (
            "ACCOUNT foo MATCHES %alnum%-x WITH CHARS();",
            false,
            &["foo", "abc"],
            "!the rule never matches: the expression has no %code%",
        ),
        (
            "ACCOUNT foo MATCHES %alnum%-%code% WITH CHAR(4,);",
            false,
            &["foo", "abc"],
            "!CHAR(1,4,) has no value for \"abc\"",
        ),
        (
            "ACCOUNT foo ALIASED joe, jim MATCHES %alias%-%code% WITH CHARS(alias);",
            false,
            &["foo"],
            "!the rule has several aliases; choose one with --alias: \"joe\", \"jim\"",
        ),
        ("ACCOUNT foo ALIASED joe MATCHES %alias%-%code% WITH CHARS(alias);", false, &["foo"], "joe-3"),
        (
            "ACCOUNT fo.o USING alpha MATCHES %account%-%code% WITH CHARS(account);",
            false,
            &["fo.o"],
            "!\"fo.o\" is not alpha, as USING requires: letters only",
        ),
        (
            "ACCOUNT foo MATCHES a..%account%-%code% WITH CHARS(account);",
            false,
            &["foo"],
            "a..foo-3 (it must be quoted in an address, which many web forms refuse)",
        ),
    ]);
}

#[test]
fn selects_rules_by_alias_and_number() {
    let config = "ACCOUNT foo ALIASED joe, jim MATCHES %alias%-%code% WITH CHARS(alias);\n\
                  ACCOUNT bar MATCHES b%code% WITH CHARS(account);\n\
                  ACCOUNT foo MATCHES f%code% WITH CHARS(account);";
    let foo = GenerateRequest { account: "foo", ..GenerateRequest::default() };
    let cases = [
        (GenerateRequest { alias: Some("jim"), ..foo }, "jim-3"),
        (GenerateRequest { rule: Some(3), ..foo }, "f3"),
        (
            GenerateRequest { rule: Some(2), ..foo },
            "!rule 2 is not for this account and alias; rules of the account: 1, 3",
        ),
        (GenerateRequest { rule: Some(0), ..foo }, "!there is no rule 0: they are numbered from 1 to 3"),
        (GenerateRequest { rule: Some(4), ..foo }, "!there is no rule 4: they are numbered from 1 to 3"),
        (
            GenerateRequest { alias: Some("jimm"), ..foo },
            "!no rule of \"foo\" has alias \"jimm\"; did you mean \"jim\"?",
        ),
        (
            GenerateRequest { alias: Some("jim"), until: Day::new(2026, 12, 31), ..foo },
            "!addresses of this rule do not expire: it has no %date%",
        ),
    ];
    for (request, want) in cases {
        assert_eq!(results(config, false, &request), want, "{request:?}");
    }
    let [generated] =
        &generate_all(config, false, &GenerateRequest { rule: Some(3), ..foo }).expect("generated")[..]
    else {
        panic!("more than one")
    };
    assert_eq!((generated.rule, &*generated.place, &*generated.expression), (3, "t:3", "f%code%"));
}

#[test]
fn steps_describe_each_function() {
    let config = "ACCOUNT foo MATCHES %alnum%.%fqdn%.%code% WITH CHAR(1,-2,-), CHAR(1,9,z), CHAR(2,-1,1,-), \
                  CHAR(2,5,1,y), CHAR(2,1,7,x), CHARS(2), VOWELS(1), NONE(1), ANY(account);";
    let words = ["ma5".to_owned(), "ab.com".to_owned()];
    let request = GenerateRequest { account: "foo", words: &words, ..GenerateRequest::default() };
    let generated = generate_all(config, false, &request).expect("generated");
    let address = generated[0].result.as_ref().expect("address");
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
    assert_eq!(address.steps, want);
}

#[test]
fn domain_day_and_secret_are_used_or_requested() {
    let results = |clauses: [&str; 3], request: GenerateRequest<'_>, secrets: &Secrets| {
        let [domains, date, function] = clauses;
        let config =
            format!("ACCOUNT foo {domains} MATCHES %account%-{date}%code% WITH CHARS(account){function};");
        let texts = [Text::new("t", &config)];
        // Rules with HMAC do not load without a secret, but generation may lack one.
        let some = Secrets::new([b"correct horse battery staple".to_vec()]);
        let rules = load(&texts, &Options { secrets: some, ..Options::default() }).expect("it loads").rules;
        let options = Options { secrets: secrets.clone(), ..Options::default() };
        let generated = generate(&texts, &rules, &options, &request).expect("the account is there");
        match &generated[0].result {
            Ok(address) => format!("{}@{}", address.name, address.domain.as_deref().unwrap_or("-")),
            Err(reason) => reason.to_string(),
        }
    };
    let foo = GenerateRequest { account: "foo", ..GenerateRequest::default() };
    let until = |year, month, day| GenerateRequest { until: Day::new(year, month, day), ..foo };
    let at = |domain| GenerateRequest { domain: Some(domain), ..foo };
    let (none, some) = (Secrets::default(), Secrets::new([b"correct horse battery staple".to_vec()]));
    let (plain, ours) = (["", "", ""], ["DOMAINS A.test, b.test", "", ""]);
    let (dated, signed) = (["", "%date%-", ""], ["", "", ", HMAC(6), HMAC(4)"]);
    let cases = [
        (plain, foo, &none, "foo-3@-"),
        (plain, at("X.test."), &none, "foo-3@x.test"),
        (ours, foo, &none, "foo-3@a.test"),
        (ours, at("B.test"), &none, "foo-3@b.test"),
        (ours, at("c.test"), &none, "the rule is not for c.test, but for \"A.test\", \"b.test\""),
        (dated, foo, &none, "the address has a last day; set it with --until YYYY-MM-DD"),
        (dated, until(2026, 11, 30), &none, "foo-2611-3@-"),
        (dated, until(2026, 11, 22), &none, "foo-26w47-3@-"),
        (dated, until(2026, 11, 21), &none, "foo-261121-3@-"),
        (dated, until(2100, 1, 1), &none, "%date% cannot express 2100-01-01: years are 2000 to 2099"),
        (signed, foo, &none, "the code is computed with a secret; set its file with --secrets"),
    ];
    for (clauses, request, secrets, want) in cases {
        assert_eq!(results(clauses, request, secrets), want);
    }
    let code = results(signed, foo, &some);
    assert_eq!((&code[..5], code.len()), ("foo-3", "foo-3".len() + 10 + "@-".len()), "{code}");
}

/// With two functions that have several values, the 63rd code is the first that is not ambiguous; with three,
/// it is the 3845th, which exceeds the limit.
#[test]
fn stops_after_max_tries() {
    let word: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    for (any, tries, succeeds) in
        [("ANY(), ANY()", 62 + 1, true), ("ANY(), ANY(), ANY()", 62 * 62 + 1, false)]
    {
        assert_eq!(tries <= MAX_TRIES, succeeds);
        let config = format!(
            "ACCOUNT foo MATCHES %alnum%-%code% WITH {any};\n\
             ACCOUNT bar MATCHES %ident%-%code% WITH {};",
            any.replacen("ANY()", "CHAR(1,-)", 1)
        );
        let words = [word.clone()];
        let request = GenerateRequest { account: "foo", words: &words, ..GenerateRequest::default() };
        let generated = generate_all(&config, false, &request).expect("generated");
        match &generated[0].result {
            Ok(address) => assert!(succeeds && address.name.ends_with("-ba"), "{address:?}"),
            Err(reason) => assert!(!succeeds && matches!(reason, Reason::Ambiguous { .. }), "{reason}"),
        }
    }
}

#[test]
fn long_lists_are_abbreviated() {
    let aliases: Vec<String> = (0..MAX_NAMED + 2).map(|n| format!("a{n}")).collect();
    let config =
        format!("ACCOUNT foo ALIASED {} MATCHES %alias%-%code% WITH CHARS(alias);", aliases.join(","));
    let results = results(&config, false, &GenerateRequest { account: "foo", ..GenerateRequest::default() });
    assert!(results.ends_with("\"a4\" and 2 more"), "{results}");
}

fn words_for(statement: &naive::NaiveStatement) -> impl Strategy<Value = Vec<String>> + use<> {
    let words: Vec<BoxedStrategy<String>> = statement
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

    /// A generated address resolves to the account only. If all words are valid but no address is generated,
    /// the name is ambiguous.
    #[test]
    fn generated_addresses_resolve_to_the_account(
        (statement, words, account, alias, fold) in random::statement().prop_flat_map(|statement| {
            let (accounts, words) = (statement.accounts.clone(), words_for(&statement));
            let aliases = if statement.aliases.is_empty() {
                Just(None).boxed()
            } else {
                prop::sample::select(statement.aliases.clone()).prop_map(Some).boxed()
            };
            (Just(statement), words, prop::sample::select(accounts), aliases, any::<bool>())
        })
    ) {
        let texts = [Text::new("t", &statement.text())];
        let options = Options { fold, ..Options::default() };
        let Ok(loaded) = load(&texts, &options) else { return Err(TestCaseError::reject("refused")) };
        let until = statement.text().contains("%date%").then(|| Day::new(2026, 11, 21)).flatten();
        let request = GenerateRequest { account: &account, alias: alias.as_deref(), words: &words, until, ..GenerateRequest::default() };
        let results = generate(&texts, &loaded.rules, &options, &request).expect("the account is there");
        prop_assert_eq!(results.len(), 1);
        match &results[0].result {
            Ok(address) => {
                let query = Query { name: &address.name, domain: address.domain.as_deref(), today: until };
                let found = loaded.rules.find(query);
                let right = matches!(&found, Decision::Account { name, ambiguous: false, by_debug: false, .. } if **name == account);
                prop_assert!(right, "{} {}: {found:?}", statement.text(), address.name);
                prop_assert!(!address.steps.is_empty());
                prop_assert!(address.name.len() <= mail_address::MAX_LOCAL_PART);
            }
            Err(Reason::Ambiguous { name, .. }) => {
                let domain = statement.domains.first().copied();
                let is_ambiguous = !matches!(loaded.rules.find(Query { name, domain, today: until }), Decision::Account { ambiguous: false, .. } | Decision::NoMatch);
                prop_assert!(is_ambiguous, "{} {}", statement.text(), name);
            }
            Err(Reason::Never(_) | Reason::NoValue { .. }) => {}
            Err(other) => prop_assert!(false, "{} {words:?}: {other}", statement.text()),
        }
    }
}
