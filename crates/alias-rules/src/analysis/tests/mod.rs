//! Tests of the analysis. The texts of all messages are tested in the golden files of `rcptd check`.

mod brute;
mod guesses;

use super::*;
use crate::load::load;
use crate::matcher::rules::Decision;
use diagnostics::Severity;
use std::fmt::Write;

fn analysis_of(texts: &[Text], options: &Options, limits: &Limits) -> (Rules, Analysis) {
    let rules = load(texts, options).unwrap_or_else(|problems| panic!("{problems:#?}")).rules;
    let analysis = analyse(&rules, texts, options, limits);
    (rules, analysis)
}

fn analysis(config: &str, limits: &Limits) -> Analysis {
    analysis_of(&[Text::new("t", config)], &Options::default(), limits).1
}

/// The witnesses of all clashes; the analysis must be complete.
fn witnesses(config: &str) -> Vec<String> {
    let analysis = analysis(config, &Limits::default());
    assert!(analysis.complete, "{config}");
    analysis.clashes.into_iter().map(|clash| clash.witness).collect()
}

#[test]
fn finds_the_shortest_clashes() {
    let two = |one: &str, two: &str| format!("ACCOUNT foo MATCHES {one};\nACCOUNT bar MATCHES {two};");
    let lists = |names: &str, rest: &str| format!("ACCOUNT {names} MATCHES {rest};");
    let cases: [(String, &[&str]); 21] = [
        (two("x-%ident%-%code% WITH CHARS()", "x-%alnum%-%code% WITH CHARS()"), &["x-b-1"]),
        (two("x-%ident%-%code% WITH CHARS()", "y-%ident%-%code% WITH CHARS()"), &[]),
        (two("x-%ident%-%code% WITH CHARS()", "x-%ident%.%code% WITH CHARS()"), &[]),
        (two("x-%alpha%-%code% WITH CHARS()", "x-%number%-%code% WITH CHARS()"), &[]),
        // The shapes have common names, but the codes differ.
        (two("x-%alpha%-%code% WITH CHARS()", "x-%alnum%-%code% WITH DIGITS()"), &[]),
        (two("x-%alpha%-%code% WITH VOWELS()", "x-%alnum%-%code% WITH DIGITS()"), &["x-b-0"]),
        (two("x-%alpha%-%code% WITH CHAR(1,-)", "x-%alnum%-%code% WITH CHAR(-1,-)"), &["x-b-b"]),
        (two("x-%alpha%-%code% WITH CHAR(2,q)", "x-%alnum%-%code% WITH NONE()"), &["x-b-q"]),
        (two("x-%alpha%-%code% WITH CHAR(2,)", "x-%alnum%-%code% WITH NONE()"), &[]),
        (two("x-%alpha%-%code% WITH ANY()", "x-%alnum%-%code% WITH NONE()"), &[]),
        (two("x-%fqdn%-%code% WITH LABELS()", "x-%alnum%.%alnum%-%code% WITH CHARS(1)"), &["x-bb.b-2"]),
        (two("x-%fqdn%-%code% WITH CHAR(-2,1,-)", "x-%alnum%.%alnum%-%code% WITH CHARS(1)"), &["x-1.b-1"]),
        // The code of one statement overlaps an identifier of the other.
        (two("%code%-%alnum%-x WITH CHARS()", "%alnum%-%code%-x WITH CHAR(1,-)"), &["1-1-x"]),
        (two("é%alpha%-%code% WITH CHAR(2,é)", "é%alnum%-%code% WITH NONE()"), &["éb-é"]),
        (lists("joe, ann", "%account%-%fqdn%-%code% WITH LABELS()"), &[]),
        (lists("joe, joe-ann", "%account%-%fqdn%-%code% WITH LABELS()"), &["joe-ann-b.b-2"]),
        (lists("joe, joe-ann", "%account%-%fqdn%-%code% WITH CHARS()"), &[]),
        (lists("joe, ann", "%ident%.%account%.%code% WITH CHARS()"), &[]),
        (lists("joe, ann", "%fqdn%.%account%.%code%.x WITH CHARS()"), &[]),
        (lists("joe, ann", "%ident%.%code% WITH CHARS()"), &["b.1"]),
        ("ACCOUNT foo MATCHES x%ident%-%code% WITH CHARS();\nACCOUNT foo MATCHES x%alnum%-%code% WITH CHARS();".into(), &[]),
    ];
    for (config, want) in cases {
        let got = witnesses(&config);
        // The witness may be any name of the shortest length.
        let lengths = |names: &[String]| names.iter().map(|name| name.chars().count()).collect::<Vec<_>>();
        let want: Vec<String> = want.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(lengths(&got), lengths(&want), "{config}: {got:?}");
        let rules = load(&[Text::new("t", &config)], &Options::default()).unwrap().rules;
        for name in got.iter().chain(&want) {
            assert!(matches!(rules.find(name), Decision::Ambiguous { .. }), "{config}: {name}");
        }
    }
}

/// Nearly all pairs of states of these rules lead to no name. Without a limit of those, this takes minutes and
/// some gigabytes.
#[test]
fn limits_pairs_that_lead_to_no_name() {
    let config = "ACCOUNT foo MATCHES %code%1%number% WITH CHAR(1,-2,a1), CHAR(1,1,-), CHARS(1), CHAR(1,-2,a1);\n\
                  ACCOUNT bar MATCHES 1-%alnum%1%code% WITH CHAR(1,1,-), ANY(1), ANY(1), CHARS(1), NONE(1);";
    let analysis = analysis(config, &Limits { states: 1_000, ..Limits::default() });
    assert_eq!((analysis.clashes.len(), analysis.complete), (0, false));
}

#[test]
fn clashes_depend_on_case_sensitivity() {
    let config = "ACCOUNT foo MATCHES x-%alpha%-%code% WITH ALPHAS();\nACCOUNT bar MATCHES x-%alpha%-%code%-x WITH CHARS();\n\
                  ACCOUNT baz MATCHES X-%alpha%-%code% WITH CHARS();";
    let texts = [Text::new("t", config)];
    for (fold, want) in [(false, 0), (true, 1)] {
        let options = Options { fold, ..Options::default() };
        let (_, analysis) = analysis_of(&texts, &options, &Limits::default());
        assert_eq!(analysis.clashes.len(), want, "{:?}", analysis.clashes);
    }
}

#[test]
fn reports_the_places_of_both_statements() {
    let texts = [
        Text::new("a.rules", "ACCOUNT foo MATCHES x-%ident%-%code% WITH CHAR(1,-), CHARS();\n"),
        Text::new("b.rules", "\nACCOUNT bar MATCHES x-%alnum%-%code% WITH CHAR(1,-), CHARS();\n"),
    ];
    let (rules, analysis) = analysis_of(&texts, &Options::default(), &Limits::default());
    let [problem] = &analysis.problems[..] else { panic!("{analysis:#?}") };
    assert_eq!(
        (problem.severity, &*problem.text.file, problem.place()),
        (Severity::Error, "b.rules", (2, 21))
    );
    let [label] = &problem.related[..] else { panic!("{problem:#?}") };
    assert_eq!((&*label.text.file, label.text.place(label.span.start)), ("a.rules", (1, 21)));
    assert!(problem.message.contains("by a.rules:1 of foo"), "{problem}");
    assert!(problem.message.contains("no alias of this rule reaches bar alone"), "{problem}");
    // With a debug account it is a warning.
    let rules = rules.with_debug_account(Some("joe".into()));
    let analysis = analyse(&rules, &texts, &Options::default(), &Limits::default());
    assert_eq!(analysis.problems[0].severity, Severity::Warning);
    assert!(analysis.problems[0].message.contains("debug account joe"), "{:?}", analysis.problems);
    assert_eq!(analysis.clashes.len(), 1);
}

#[test]
fn reaching_a_limit_is_reported() {
    let config = "ACCOUNT foo MATCHES x-%ident%-%code% WITH CHARS();\n\
                  ACCOUNT bar MATCHES x-%alnum%-%code% WITH VOWELS();\n\
                  ACCOUNT baz MATCHES x-%code%-%alnum% WITH DIGITS();\n";
    let limits = || Limits { guessable: None, ..Limits::default() };
    assert!(analysis(config, &limits()).complete);
    let cases = [
        (Limits { pairs: 1, ..limits() }, "1 of 3 pairs"),
        (Limits { work: 1, ..limits() }, "1 of 3 pairs"),
        (Limits { work: 1, ..limits() }, "not searched for names that can be split in two ways: 3 rules"),
        (Limits { states: 3, ..limits() }, "3 of 3 comparisons were stopped at names of 5 characters"),
    ];
    for (limits, want) in cases {
        let analysis = analysis(config, &limits);
        assert!(!analysis.complete, "{want}");
        let warnings = analysis.problems.iter().filter(|problem| problem.severity == Severity::Warning);
        let warnings: Vec<String> = warnings.map(|problem| problem.message.clone()).collect();
        assert!(warnings.iter().any(|warning| warning.contains(want)), "{want} in {warnings:?}");
    }
}

/// With each of these functions, a search by states reaches its limit long before the shortest name.
#[test]
fn finds_short_names_with_any_functions() {
    let rules = |all: &[&str]| {
        let one = |(i, rule): (usize, &&str)| format!("ACCOUNT n{i} MATCHES {rule};\n");
        all.iter().enumerate().map(one).collect::<String>()
    };
    for (config, shortest) in [
        (
            "ACCOUNT ab MATCHES a%ident%-%code% WITH VOWELS(1), ANY(1);
             ACCOUNT foo MATCHES %account%x%ident%-%alpha%-%code% WITH CHAR(1,-1,-);
             ACCOUNT b MATCHES %ident%-%code% WITH CHAR(1,2,-), ANY(1);"
                .to_owned(),
            &["a0-00"][..],
        ),
        (
            rules(&[
                "%ident%-%code% WITH ANY(), ANY(), ANY(), CHARS()",
                "%alnum%-%code% WITH CHAR(1,-), CHAR(2,-), CHAR(3,-), ANY()",
            ]),
            &["bb3-bb33"],
        ),
        (
            rules(&[
                "%ident%-%code% WITH ANY(), NONE(), ANY(), NONE()",
                "%alpha%-%code% WITH CHAR(1,-), CHAR(2,z), CHAR(-1,-), CHAR(-2,y)",
            ]),
            &["b-bzby"],
        ),
        (
            rules(&[
                "%code%-%ident% WITH ANY(), ANY(), CHAR(-1,-), VOWELS()",
                "%ident%-%code% WITH CHAR(1,-), CHAR(2,-), ANY(), DIGITS()",
            ]),
            &["aa23-aaa2"],
        ),
        (
            rules(&[
                "x.%fqdn%-%code% WITH CHAR(-1,1,-), CHAR(1,-1,-), ANY(), LABELS()",
                "x.%alnum%.%ident%-%code% WITH ANY(1), ANY(2), CHAR(1,1,-), CHARS(2)",
            ]),
            &["x.b.bb-bbb2"],
        ),
        // The third character of the code would have to be in the first identifier and not in it.
        (
            rules(&[
                "%alnum%-%ident%-%code% WITH ANY(1), ANY(2), ANY(1), ANY(2)",
                "%ident%-%alnum%-%code% WITH CHAR(2,1,-), CHAR(1,1,-), NONE(1), NONE(2)",
            ]),
            &[],
        ),
    ] {
        let got = witnesses(&config);
        let lengths: Vec<usize> = got.iter().map(|name| name.chars().count()).collect();
        let want: Vec<usize> = shortest.iter().map(|name| name.chars().count()).collect();
        assert_eq!(lengths, want, "{config}: {got:?}");
        let rules = load(&[Text::new("t", &config)], &Options::default()).unwrap().rules;
        for name in got.iter().map(|name| &**name).chain(shortest.iter().copied()) {
            assert!(matches!(rules.find(name), Decision::Ambiguous { .. }), "{config}: {name}");
        }
    }
}

#[test]
fn many_rules_are_compared_completely() {
    let mut rules = String::new();
    for i in 0..2000 {
        writeln!(rules, "ACCOUNT u{i} MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();").unwrap();
        writeln!(rules, "ACCOUNT w{i} MATCHES %alpha%.%account%.%code% WITH CHAR(1,-), CHARS();").unwrap();
    }
    let names: Vec<String> = (0..5000).map(|i| format!("v{i}")).collect();
    writeln!(
        rules,
        "ACCOUNT {} MATCHES %number%.%account%.%code% WITH CHAR(1,-), CHARS();",
        names.join(", ")
    )
    .unwrap();
    // The only clash.
    writeln!(rules, "ACCOUNT odd MATCHES u7-%alnum%-%code% WITH CHAR(1,-), CHARS();").unwrap();
    let analysis = analysis(&rules, &Limits::default());
    assert!(analysis.complete, "{:?}", analysis.problems);
    let [clash] = &analysis.clashes[..] else { panic!("{:?}", analysis.clashes) };
    assert_eq!(clash.destinations, ["u7", "odd"]);
}

#[test]
fn comparing_lists_as_a_whole_gives_the_same_results() {
    for (config, want) in [
        ("ACCOUNT joe, ann, ann-b MATCHES %ident%.%account%.%code% WITH CHARS();", 0),
        ("ACCOUNT joe, ann, ann.b MATCHES %ident%.%account%.%ident%.%code% WITH CHARS(1);", 0),
        ("ACCOUNT joe, ann, ann.b MATCHES %ident%.%account%.%fqdn%.%code% WITH CHARS(1);", 1),
        // Two statements of one form.
        (
            "ACCOUNT joe MATCHES %ident%.%account%.%fqdn%.%code% WITH CHARS(1);\n\
             ACCOUNT joe.b MATCHES %ident%.%account%.%fqdn%.%code% WITH CHARS(1);",
            1,
        ),
        // The account is not in the name.
        ("ACCOUNT joe, ann MATCHES %ident%.%code% WITH CHAR(account,1,-), CHARS();", 0),
        ("ACCOUNT joe, jim MATCHES %ident%.%code% WITH CHAR(account,1,-), CHARS();", 1),
    ] {
        for listed in [0, 16] {
            let analysis = analysis(config, &Limits { listed, ..Limits::default() });
            assert_eq!((analysis.clashes.len(), analysis.complete), (want, true), "{config} {listed}");
        }
    }
}
