//! `DELIVER TO`.

use crate::tests::errors::{check, check_remedies};
use crate::tests::{read, rules};
use crate::*;
use diagnostics::Severity;

/// The account and the target; `None` if the name is ambiguous.
fn found<'r>(rules: &'r Rules, name: &str) -> Option<(&'r str, Option<String>)> {
    assert_eq!(rules.explain(name).outcome, rules.find(name).into(), "{name}");
    match rules.find(name) {
        Decision::Account { name, target, .. } => Some((name, target.map(Into::into))),
        Decision::Ambiguous { .. } => None,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn placeholders_are_replaced() {
    let cases = [
        ("%account%@b.example", "Foo@b.example"),
        ("%account%@B.example.", "Foo@b.example"),
        ("list@bücher.example", "list@xn--bcher-kva.example"),
        ("%alias%-%account%+%alias%@b.example", "sales-Foo+sales@b.example"),
        ("x.y@[192.0.2.1]", "x.y@[192.0.2.1]"),
        ("grüße@b.example", "grüße@b.example"),
        // A local part that is not a dot-string is quoted.
        (".%account%@b.example", "\".Foo\"@b.example"),
    ];
    for (address, want) in cases {
        for end in [";", " ;"] {
            let rules = rules(&format!(
                "ACCOUNT Foo, bar ALIASED sales, help MATCHES %account%+%alias%-%ident%-%code% WITH CHARS()\n\
                 DELIVER TO {address}{end}ACCOUNT x MATCHES x-%code% WITH CHARS(account);"
            ));
            assert_eq!(found(&rules, "Foo+sales-abc-3"), Some(("Foo", Some(want.into()))), "{address}");
            assert_eq!(found(&rules, "x-1"), Some(("x", None)));
        }
    }
}

/// The case of the looked-up name does not matter.
#[test]
fn targets_keep_the_spelling_of_the_rules() {
    let config = "ACCOUNT Foo ALIASED Sales, sALES, help MATCHES %alias%-%code% WITH CHARS(alias) \
                  DELIVER TO %account%.%alias%@b.example;";
    let rules = read(config, &Options { fold: true, ..Options::default() }).expect("it loads").rules;
    assert_eq!(found(&rules, "SALES-5"), Some(("Foo", Some("Foo.Sales@b.example".into()))));
    assert_eq!(found(&rules, "Help-4"), Some(("Foo", Some("Foo.help@b.example".into()))));
    let explained = rules.explain("help-4").to_string();
    assert!(explained.ends_with("an alias of \"Foo\", delivered to Foo.help@b.example"), "{explained}");
}

/// Different targets of one account are ambiguous; equal targets are not.
#[test]
fn targets_distinguish_destinations() {
    let two = |first: &str, second: &str| {
        format!(
            "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHARS() {first};\n\
             ACCOUNT foo MATCHES %account%-%alpha%-%code% WITH CHARS() {second};"
        )
    };
    let cases = [
        (two("", ""), Some(None)),
        (two("DELIVER TO a@b.example", "DELIVER TO a@B.example."), Some(Some("a@b.example"))),
        (two("DELIVER TO foo@b.example", "DELIVER TO %account%@b.example"), Some(Some("foo@b.example"))),
        (two("DELIVER TO a@b.example", "DELIVER TO A@b.example"), None),
        (two("DELIVER TO a@b.example", "DELIVER TO a@c.example"), None),
        (two("DELIVER TO a@b.example", ""), None),
        (two("", "DELIVER TO a@b.example"), None),
    ];
    for (config, want) in cases {
        let rules = rules(&config);
        let want = want.map(|target| ("foo", target.map(Into::into)));
        assert_eq!(found(&rules, "foo-abc-3"), want, "{config}");
        let debug = rules.with_debug_account(Some("dbg".into()));
        let want = want.unwrap_or(("dbg", None));
        assert_eq!(found(&debug, "foo-abc-3"), Some(want), "{config}");
    }
    // Targets are compared exactly, since the case sensitivity of their host is not known.
    let folding = Options { fold: true, ..Options::default() };
    let other = read(&two("DELIVER TO a@b.example", "DELIVER TO A@b.example"), &folding).expect("it loads");
    assert_eq!(found(&other.rules, "foo-abc-3"), None);
}

/// If the target contains the alias, every matching alias is a separate destination.
#[test]
fn aliases_distinguish_destinations() {
    let cases = [
        ("VOWELS(2)", "%alias%@b.example", "axaxbxc-0", None),
        ("CHARS(2)", "%alias%@b.example", "axaxbxc-1", None),
        ("CHARS(2)", "%account%@b.example", "axaxbxc-1", Some("foo@b.example")),
        ("CHARS(2)", "%alias%@b.example", "axbxcxd-1", Some("a@b.example")),
        ("CHARS(2)", "%alias%@b.example", "axaxcde-3", Some("a@b.example")),
    ];
    for (function, address, name, want) in cases {
        let config = format!(
            "ACCOUNT foo ALIASED a, axa MATCHES %alias%x%ident%x%ident%-%code% WITH {function} DELIVER TO {address};"
        );
        let want = want.map(|target: &str| ("foo", Some(target.to_owned())));
        assert_eq!(found(&rules(&config), name), want, "{config}");
    }
    // The alias may be in the target only, if the account has a single alias.
    let single = "ACCOUNT foo ALIASED a MATCHES x-%ident%-%code% WITH CHARS() DELIVER TO %alias%@b.example;";
    assert_eq!(found(&rules(single), "x-abc-3"), Some(("foo", Some("a@b.example".into()))));
}

#[test]
fn invalid_targets_are_reported() {
    let with =
        |address: &str| format!("ACCOUNT foo MATCHES x-%ident%-%code% WITH CHARS() DELIVER {address};");
    let aliased =
        "ACCOUNT foo ALIASED a\u{1} MATCHES %alias%-%code% WITH CHARS(alias) DELIVER TO %alias%@b.test;";
    let long = format!(
        "ACCOUNT {} MATCHES x-%ident%-%code% WITH CHARS() DELIVER TO x%account%@b.test;",
        "a".repeat(255)
    );
    let message = format!("the address is too long with \"{}\"", "a".repeat(255));
    check(
        &[
            (&with("a@b.test"), &[(1, 59, "expected TO, found \"a@b.test;\"")]),
            (&with("TO"), &[(1, 59, "expected TO, found \"TO;\"")]),
            (&with("TO "), &[(1, 62, "expected an address, found \";\"")]),
            (&with("TO foo"), &[(1, 62, "\"foo\" is not an address")]),
            (&with("TO @b.test"), &[(1, 62, "\"@b.test\" is not an address")]),
            (&with("TO a@"), &[(1, 64, "\"\" is not a domain")]),
            (&with("TO a@b..test"), &[(1, 64, "\"b..test\" is not a domain")]),
            (&with("TO a@%account%.test"), &[(1, 64, "\"%account%.test\" is not a domain")]),
            (
                &with("TO <a@b.test>"),
                &[
                    (1, 62, "\"<\" is not allowed in an unquoted local part"),
                    (1, 65, "\"b.test>\" is not a domain"),
                ],
            ),
            (&with("TO a@b@c.test"), &[(1, 63, "\"@\" is not allowed in an unquoted local part")]),
            (&with("TO \"a\"@c.test"), &[(1, 62, "\"\"\" is not allowed in an unquoted local part")]),
            (&with("TO %acount%@b.test"), &[(1, 63, "unknown name \"acount\" in the address")]),
            (&with("TO %ident%@b.test"), &[(1, 63, "unknown name \"ident\" in the address")]),
            (&with("TO a%account@b.test"), &[(1, 63, "the name has no closing \"%\"")]),
            (
                &with("TO %alias%@b.test"),
                &[(1, 63, "the address names the alias, but the statement has none")],
            ),
            (&with("TO a@b.test c@d.test"), &[(1, 71, "expected \";\", found \"c@d.test;\"")]),
            (
                "ACCOUNT foo MATCHES x-%code% WITH CHARS(account) DELIVER TO a@b.test",
                &[(1, 69, "unexpected end of file, expected a semicolon")],
            ),
            (
                "ACCOUNT foo MATCHES x-%code% WITH CHARS(account) DELIVER TO",
                &[(1, 60, "unexpected end of file, expected an address")],
            ),
            (
                "ACCOUNT foo MATCHES x-%code% WITH CHARS(account) DELIVER",
                &[(1, 57, "unexpected end of file, expected TO")],
            ),
            (
                "ACCOUNT foo MATCHES x-%code% WITH DELIVER TO a@b.test;",
                &[(1, 35, "unknown function \"DELIVER\"")],
            ),
            (aliased, &[(1, 21, "\"a\u{1}\" contains a control character")]),
            (&long, &[(1, 314, &message)]),
            (&with(&format!("TO {}@b.test", "a".repeat(256))), &[(1, 62, "the address is too long")]),
        ],
        Severity::Error,
    );
    // The next statement is parsed although the semicolon is missing.
    let two = "ACCOUNT foo MATCHES x-%code% WITH CHARS(account) DELIVER TO a@b.test ACCOUNT x MATCHES y";
    check(
        &[(
            two,
            &[(1, 70, "expected \";\", found \"ACCOUNT\""), (1, 89, "unexpected end of file, expected WITH")],
        )],
        Severity::Error,
    );
    check_remedies(&[
        (&with("TOO a@b.test"), "did you mean TO?"),
        (&with("TO foo"), "write local@domain, such as %account%@example.com"),
        (&with("TO %acount%@b.test"), "did you mean %account%?"),
        (&with("TO %ident%@b.test"), "known are account and alias"),
        (&with("TO %alias%@b.test"), "write %account% instead of %alias%, or add ALIASED"),
        (&with("TO a@%account%.test"), "names are allowed in the local part only"),
        (&with("TO a@b.test c@d.test"), "an address is one word; a semicolon ends the statement"),
        (two, "end the statement above with a semicolon"),
        ("ACCOUNT foo MATCHES x-%code% WITH CHARS(account) DELIVR TO a@b.test;", "did you mean DELIVER?"),
    ]);
}
