//! The formatter: layout, and that the meaning does not change.

use crate::tests::{naive, random};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;

fn formatted(text: &str) -> String {
    format(&Text::new("t", text)).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

#[test]
fn formats_statements_lists_and_comments() {
    let long: Vec<String> = (1..20).map(|n| format!("account{n}")).collect();
    let cases = [
        ("", ""),
        (" \n\n", ""),
        ("#a\n\n\n\n  # b  \n#", "#a\n\n# b\n#\n"),
        (
            "ACCOUNT  foo,bar MATCHES %account%-%alnum%-%code%\tWITH CHAR( 1 ,- ),CHARS( );",
            "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();\n",
        ),
        (
            "ACCOUNT foo USING ident ALIASED joe\n,jim MATCHES %alias%%%%code% WITH CHARS(alias) ;PORT :7 \nHOST\n:::1",
            "ACCOUNT foo\nUSING ident\nALIASED joe, jim\nMATCHES %alias%%%%code%\nWITH CHARS(alias);\nPORT: 7\nHOST: ::1\n",
        ),
        (
            "#1\nACCOUNT #2\n#3\nfoo #4,\n#5\n,bar\n#6\nALIASED\n#7\n * MATCHES %account%#%code% WITH\n#8\n CHAR(account,\n#9\n1\n,#\n#10\n),CHARS(account)\n#11\n;#12",
            "!",
        ),
        (
            "#1\nACCOUNT\n#3\nfoo,\n#5\nbar\n#6\nALIASED\n#7\n * MATCHES %account%#%code% WITH\n#8\n CHAR(account,\n#9\n1\n,#\n#10\n),CHARS(account)\n#11\n;\n#12",
            "#1\nACCOUNT\n    #3\n    foo,\n    #5\n    bar\n#6\nALIASED\n    #7\n    *\nMATCHES %account%#%code%\n\
             WITH\n    #8\n    #9\n    #10\n    CHAR(account,1,#), CHARS(account)\n    #11\n    ;\n#12\n",
        ),
        // A word that begins with "#" must not begin a line.
        (
            "ACCOUNT a\n#1\n,#b,c\nMATCHES %account%-%code% WITH CHARS(account);",
            "ACCOUNT a, #b,\n    #1\n    c\nMATCHES %account%-%code%\nWITH CHARS(account);\n",
        ),
        (
            "DEBUG\n# why\nACCOUNT\n#:\n:\nALIAS DOMAINS:  a.test   b.test\n\n\n\nLOGGING: info",
            "# why\n#:\nDEBUG ACCOUNT:\nALIAS DOMAINS: a.test   b.test\n\nLOGGING: info\n",
        ),
        (
            "ACCOUNT a,,b, MATCHES MATCHES x%code% WITH CHARS(account);\r\n\r\n\r\n#x\r#y",
            "ACCOUNT a, b, MATCHES MATCHES x%code% WITH CHARS(account);\n\n#x\n#y\n",
        ),
        (&format!("ACCOUNT {} MATCHES %account%%code% WITH CHARS(account);", long.join(",")), "!"),
        (
            &format!("ACCOUNT {} MATCHES %account%-%code% WITH CHARS(account);", long.join(",")),
            "ACCOUNT account1, account2, account3, account4, account5, account6, account7,\n    \
                 account8, account9, account10, account11, account12, account13, account14,\n    \
                 account15, account16, account17, account18, account19\n\
             MATCHES %account%-%code%\n\
             WITH CHARS(account);\n",
        ),
    ];
    for (text, want) in cases {
        if want == "!" {
            let problems = format(&Text::new("t", text)).expect_err(text);
            assert!(
                diagnostics::any_error(&problems) && !problems[0].message.contains("cannot be formatted"),
                "{problems:?}"
            );
            continue;
        }
        let got = formatted(text);
        assert_eq!(got, want, "{text}");
        assert_eq!(formatted(&got), got);
    }
    // The maximum width, and one character more.
    let statement = |name: &str| format!("ACCOUNT {name} MATCHES %account%-%code% WITH CHARS(account);\n");
    let spare = WIDTH + 1 - statement("").len();
    let (fits, wide) = (statement(&"a".repeat(spare)), statement(&"a".repeat(spare + 1)));
    assert_eq!(formatted(&fits), fits);
    assert_eq!(formatted(&wide).lines().count(), 3);
}

#[test]
fn formatting_samples_is_idempotent_and_keeps_decisions() {
    let (mut seen, mut refused) = (0, 0);
    for text in [
        include_str!("../../tests/data/a-unittests.jsonl"),
        include_str!("../../tests/data/b-examples.jsonl"),
        include_str!("../../tests/data/c-generated.jsonl"),
        include_str!("../../tests/data/d-runs.jsonl"),
        include_str!("../../tests/data/q-quirks.jsonl"),
        include_str!("../../tests/data/slow.jsonl"),
    ] {
        for line in text.lines() {
            let vector: serde_json::Value = serde_json::from_str(line).expect("a vector");
            let config = vector["config"].as_str().expect("a configuration");
            let text = Text::new("t", config);
            let options = Options { dialect: Dialect::Any, ..Options::default() };
            match format(&text) {
                Ok(out) => {
                    seen += 1;
                    assert_eq!(formatted(&out), out, "{}", vector["id"]);
                    // Decisions do not change.
                    let (old, new) = (load(&[text], &options), load(&[Text::new("t", &out)], &options));
                    assert_eq!(old.is_ok(), new.is_ok(), "{}", vector["id"]);
                    let (Ok(old), Ok(new)) = (old, new) else { continue };
                    for query in vector["queries"].as_array().into_iter().flatten().take(2) {
                        let name = query["q"].as_str().expect("a name");
                        assert_eq!(old.rules.find(name), new.rules.find(name), "{} {name}", vector["id"]);
                    }
                }
                Err(problems) => {
                    refused += 1;
                    assert!(
                        problems.iter().all(|problem| !problem.message.contains("cannot be formatted")),
                        "{config}"
                    );
                    assert!(load(&[text], &options).is_err(), "{}", vector["id"]);
                }
            }
        }
    }
    assert!(seen > 1200 && refused > 200, "{seen} {refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn blanks_and_comments_are_allowed_anywhere(
        statements in prop::collection::vec(random::statement(), 1..3),
        gaps in prop::collection::vec("|||[ \n\t]{0,3}|\n *#[ a,;]{0,3}\r?\n", 40),
        settings in "(PORT ?: ?1 \n|DEBUG ACCOUNT:\n|LOCAL\n#x\n DOMAINS : a,  b #c\n){0,2}",
    ) {
        let plain: Vec<String> = statements.iter().map(naive::NaiveStatement::text).collect();
        let mut text = settings.clone();
        let mut gaps = gaps.iter().cycle();
        let mut gap = || gaps.next().map_or("", |gap| &**gap);
        for c in plain.concat().chars() {
            if ",);".contains(c) {
                text.push_str(gap());
            }
            text.push(c);
            if " ,(;".contains(c) {
                text.push_str(gap());
            }
        }
        let Ok(want) = format(&Text::new("t", &(settings + plain.concat().as_str()))) else { return Ok(()) };
        let got = formatted(&text);
        prop_assert_eq!(&formatted(&got), &got);
        let lines = |text: &str, comments: bool| -> Vec<String> {
            let lines = text.split(['\n', '\r']).map(str::trim);
            lines.filter(|line| line.starts_with('#') == comments && !line.is_empty()).map(Into::into).collect()
        };
        prop_assert_eq!(lines(&got, true), lines(&text, true));
        let words = |text: &str| lines(text, false).concat().replace(' ', "");
        prop_assert_eq!(words(&got), words(&want));
    }

    #[test]
    fn any_text_without_errors_is_formatted(
        text in "(ACCOUNT|MATCHES|WITH|USING|ALIASED|PORT:|DEBUG|CHARS\\(|\\)|CHAR\\(1|,|;|%account%|%code%|%|#|\n|\r| |é|foo|\\PC){0,40}",
        gap in "[ \n]|\n#[#x ]\n",
        name in "[#,a]{1,4}",
    ) {
        let whole = format!("ACCOUNT{gap}{name}{gap}MATCHES x#%code%{gap}WITH{gap}CHARS(account){gap};{gap}");
        for text in [text.clone(), whole.clone() + text.as_str(), whole] {
            match format(&Text::new("t", &text)) {
                Ok(out) => prop_assert_eq!(formatted(&out), out),
                Err(problems) => prop_assert!(!problems[0].message.contains("cannot be formatted"), "{text:?}"),
            }
        }
    }
}
