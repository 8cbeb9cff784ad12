//! `HMAC`: codes that require a secret.

use crate::tests::errors::{check, check_remedies};
use crate::tests::read;
use crate::*;
use diagnostics::Severity;

const NEW: &str = "correct horse battery staple";
const OLD: &str = "an older secret of 27 bytes";

fn secrets() -> Secrets {
    Secrets::new([NEW.into(), OLD.into()])
}

fn rules(config: &str, fold: bool) -> Rules {
    let options = Options { fold, secrets: secrets(), ..Options::default() };
    read(config, &options).unwrap_or_else(|problems| panic!("{config}: {problems:#?}")).rules
}

fn found<'r>(rules: &'r Rules, name: &str) -> Option<&'r str> {
    assert_eq!(rules.explain(name).outcome, rules.find(name).into(), "{name}");
    match rules.find(name) {
        Decision::NoMatch => None,
        Decision::Account { name, ambiguous: false, .. } => Some(name),
        other => panic!("{name}: {other:?}"),
    }
}

/// The expected values were computed with Python's hmac and hashlib.
#[test]
fn codes_equal_known_answers() {
    let shop = HmacInput { account: "foo", alias: "foo", before: "foo-macys-", after: "" };
    let sales = HmacInput { account: "foo", alias: "sales", before: "sales+2611-x", after: "-y.z" };
    let old = Secrets::new([OLD.into()]);
    let cases = [
        (secrets(), 8, shop, "hdebnxtx"),
        (secrets(), 32, shop, "hdebnxtxqba6sx4dppc4um5qqmkyjqcg"),
        (secrets(), 12, sales, "pj333emghpae"),
        (old.clone(), 8, shop, "2yk4zrfm"),
    ];
    for (secrets, len, bound, want) in cases {
        assert_eq!(secrets.code(len, &bound).as_deref(), Some(want));
        assert!(secrets.verify(want.as_bytes(), &bound));
    }
    assert!(secrets().verify(b"2yk4zrfm", &shop) && !old.verify(b"hdebnxtx", &shop));
    for len in [0, 3, 33] {
        assert_eq!(secrets().code(len, &shop), None);
    }
    assert!(!secrets().verify(b"", &shop) && !secrets().verify(b"hde", &shop));
    assert_eq!(Secrets::default().code(8, &shop), None);
    // Moving text from one part to the next changes the code.
    let moved = HmacInput { before: "foo-macys", after: "-", ..shop };
    assert_ne!(secrets().code(32, &moved), secrets().code(32, &shop));
}

#[test]
fn any_change_of_the_name_invalidates_the_code() {
    let rules = rules("ACCOUNT foo, bar MATCHES %account%-%ident%-%code% WITH HMAC(8);", false);
    let name = "foo-macys-hdebnxtx";
    assert_eq!(found(&rules, name), Some("foo"));
    assert_eq!(found(&rules, "foo-macys-2yk4zrfm"), Some("foo"), "by the older secret");
    assert_eq!(found(&rules, "bar-macys-hdebnxtx"), None, "another account's");
    for (i, c) in name.char_indices() {
        for other in ["2", "z", "-", "H", "é", ""] {
            if other != c.to_string() {
                let changed = [&name[..i], other, &name[i + 1..]].concat();
                assert_eq!(found(&rules, &changed), None, "{changed}");
            }
        }
    }
}

fn code(account: &str, alias: &str, before: &str, after: &str) -> String {
    let bound = HmacInput { account, alias, before, after };
    secrets().code(6, &bound).expect("there is a secret")
}

/// Includes accounts and aliases that are not in the name, other functions, and text after the code.
#[test]
fn the_code_depends_on_all_parts() {
    let rules = rules(
        "ACCOUNT foo, bar MATCHES x-%ident%-%code% WITH HMAC(6);\n\
         ACCOUNT ann ALIASED sales, help MATCHES %alias%.%date%.%code%.%ident% WITH CHARS(), HMAC(6), CHAR(1,-);\n\
         ACCOUNT twice MATCHES %code%+%ident%+%code% WITH HMAC(6);",
        false,
    );
    let x = |account| format!("x-abc-{}", code(account, account, "x-abc-", ""));
    assert_eq!(found(&rules, &x("foo")), Some("foo"));
    assert_eq!(found(&rules, &x("bar")), Some("bar"));
    assert_eq!(found(&rules, &x("baz")), None);
    let signed = code("ann", "sales", "sales.2611.", ".abc");
    let cases = [
        (format!("sales.2611.3{signed}a.abc"), Some("ann")),
        (format!("sales.2612.3{signed}a.abc"), None),
        (format!("help.2611.3{signed}a.abc"), None),
        (format!("sales.2611.4{signed}a.abc"), None),
        (format!("sales.2611.3{signed}b.abc"), None),
        (format!("sales.2611.3{signed}a.abd"), None),
    ];
    for (name, want) in cases {
        assert_eq!(found(&rules, &name), want, "{name}");
    }
    // The first of two codes is not verified.
    let twice = |first: &str| format!("{first}+abc+{}", code("twice", "twice", &format!("{first}+abc+"), ""));
    assert_eq!(found(&rules, &twice("222222")), Some("twice"));
    assert_eq!(found(&rules, &twice("22222")), None);
    assert_eq!(found(&rules, &twice("22222l")), None);
}

#[test]
fn codes_are_computed_from_case_folded_names() {
    let config = "ACCOUNT Foo MATCHES %account%-%ident%-%code% WITH HMAC(8);";
    let folding = rules(config, true);
    for name in ["foo-macys-hdebnxtx", "FOO-Macys-HDEBNXTX"] {
        assert_eq!(found(&folding, name), Some("Foo"), "{name}");
    }
    let exact = rules(config, false);
    let bound = HmacInput { account: "Foo", alias: "Foo", before: "Foo-macys-", after: "" };
    let name = format!("Foo-macys-{}", secrets().code(8, &bound).expect("there is a secret"));
    assert_eq!(found(&exact, &name), Some("Foo"));
    assert_eq!(found(&exact, &name.to_uppercase()), None);
    assert_eq!(found(&exact, "foo-macys-hdebnxtx"), None);
}

#[test]
fn explanations_do_not_reveal_codes() {
    let rules = rules("ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHARS(), HMAC(8);", false);
    assert_eq!(
        rules.explain("foo-macys-5hdebnxty").to_string(),
        "foo-macys-5hdebnxty\n  t:1 %account%-%ident%-%code%\n    \
           no match: the code is \"5hdebnxty\", computed \"5????????\"\n      \
             %account%  \"foo\"\n      \
             %ident%    \"macys\"\n      \
             %code%     \"5hdebnxty\"\n      \
             computed   \"5????????\"\n                   ^^^^^^^^\n      \
             CHARS(1)   of \"macys\"      = \"5\"\n      \
             HMAC(8)    of \"foo-macys-\" = \"????????\", the code has \"hdebnxty\"\n  \
           no alias",
    );
    let right = rules.explain("foo-macys-5hdebnxtx").to_string();
    assert!(right.contains("HMAC(8)    of \"foo-macys-\" = \"hdebnxtx\"\n  an alias of \"foo\""), "{right}");
    // The question marks of an explanation are not a correct code.
    for name in ["foo-macys-5????????", "foo-macys-4????????", "foo-macys-5", "foo-macys-5é"] {
        let explained = rules.explain(name);
        assert_eq!(explained.outcome, Outcome::NoMatch);
        let text = explained.to_string();
        assert!(!text.contains("hdebnxtx"), "{text}");
        let Finding::WrongCode(split) = &explained.statements[0].finding else { panic!("{text}") };
        assert!(!split.values[1].right, "{text}");
    }
}

/// With the maximum number of secrets, names of legal length are decided.
#[test]
fn verifying_secrets_takes_steps() {
    let many = |n: usize| Secrets::new((0..n).map(|i| format!("{i}{NEW}").into_bytes()));
    let options = Options { secrets: many(2), ..Options::default() };
    let config = "ACCOUNT a MATCHES %alnum%2%code%2%alnum% WITH HMAC(4);";
    let rules = read(config, &options).expect("it loads").rules;
    let name = "2".repeat(100);
    assert_eq!(rules.find(&name), Decision::NoMatch);
    let mut matcher = crate::matcher::Matcher::new(&name);
    matcher.statement(rules.program(0)).expect("there are steps enough");
    let used = matcher.used();
    // One computation for each secret and each of some hundred positions.
    assert!((90 * 2 * 200..100 * 2 * 400).contains(&used), "{used}");
    let options = Options { secrets: many(MAX_SECRETS), ..Options::default() };
    let rules = read(config, &options).expect("it loads").rules;
    assert!(matches!(rules.find(&name), Decision::TempFail { .. }));
    assert!(matches!(rules.find(&"2".repeat(MAX_NAME)), Decision::TempFail { .. }));
}

#[test]
fn invalid_hmac_calls_are_reported() {
    let with = |call: &str| format!("ACCOUNT foo MATCHES %account%-%ident%-%code% WITH {call};");
    let none = "HMAC needs a secret, but there is none";
    check(
        &[
            (&with("HMAC(8)"), &[(1, 51, none)]),
            (&with("HMAC(3)"), &[(1, 51, "HMAC has 4 to 32 characters, not 3")]),
            (&with("HMAC(33)"), &[(1, 51, "HMAC has 4 to 32 characters, not 33")]),
            (&with("HMAC(-8)"), &[(1, 51, "HMAC has 4 to 32 characters, not -8")]),
            (&with("HMAC()"), &[(1, 51, "HMAC does not specify the number of characters")]),
            (&with("HMAC(account)"), &[(1, 56, "\"account\" is not a number")]),
            (&with("HMAC(8,1)"), &[(1, 51, "HMAC has more than one argument")]),
        ],
        Severity::Error,
    );
    check_remedies(&[
        (&with("HMAC(8)"), "set the file of secrets: the key \"secrets\" of rcptd.conf, or --secrets FILE"),
        (&with("HMAC(3)"), "write HMAC(n), where n is the number of characters"),
        (&with("HMAC()"), "write HMAC(n), where n is the number of characters"),
        (&with("HMAC(account)"), "write HMAC(n), where n is the number of characters"),
        (&with("HMAC(8,1)"), "write HMAC(n), where n is the number of characters"),
        (&with("HMCA(8)"), "did you mean HMAC?"),
    ]);
    // The code depends on the account, so there is no warning about indistinguishable accounts.
    let options = Options { secrets: secrets(), ..Options::default() };
    let both = "ACCOUNT foo, bar MATCHES x-%ident%-%code% WITH HMAC(8);";
    assert_eq!(read(both, &options).expect("it loads").problems, []);
    // Eight calls with 32 characters each do not fit into a local part.
    let long = with(&["HMAC(32)"; 8].join(","));
    let problems = read(&long, &options).expect("it loads").problems;
    assert_eq!(problems[0].message, "the statement never matches: no local part is long enough");
}

#[test]
fn parses_files_of_secrets() {
    let text = format!("# the new one\n\n  {NEW}\t\r\n#{OLD}\n{OLD}\n");
    assert_eq!(Secrets::parse(&text), Ok(secrets()));
    assert_eq!(format!("{:?}", secrets()), "2 secrets");
    let many = |n: usize| (0..n).map(|i| format!("{NEW} {i}")).collect::<Vec<_>>().join("\n");
    assert_eq!(Secrets::parse(&many(MAX_SECRETS)).map(|secrets| secrets.len()), Ok(MAX_SECRETS));
    let short = "1: the secret is shorter than 16 bytes (generate one with \"openssl rand -hex 16\")";
    let none = "1: the file contains no secret (write one on a line, for example the output of \"openssl rand -hex 16\")";
    let cases = [
        ("fifteen-bytes-x".into(), vec![short]),
        ("sixteen-bytes-xy".into(), vec![]),
        // The length is in bytes; these are eight letters.
        ("éééééééé".into(), vec![]),
        (
            format!("x\n{NEW}\n{OLD}\n {NEW}"),
            vec![short, "4: the secret is also in line 2 (remove one of them)"],
        ),
        (String::new(), vec![none]),
        (format!("# {NEW}"), vec![none]),
        (
            format!("\u{feff}{NEW}\n{OLD}\u{7}"),
            vec![
                "1: the secret contains a byte order mark or a control character (save the file as plain text, without a byte order mark)",
                "2: the secret contains a byte order mark or a control character (save the file as plain text, without a byte order mark)",
            ],
        ),
        (many(10), vec!["9: there are more than 8 secrets (remove the oldest)"]),
    ];
    for (text, want) in cases {
        let bad = Secrets::parse(&text).err().unwrap_or_default();
        assert_eq!(
            bad.iter().map(|bad| format!("{}: {bad} ({})", bad.line, bad.help())).collect::<Vec<_>>(),
            want,
            "{text}"
        );
    }
}
