//! Compares decisions on random rules and names with the naive implementation, and checks that no input
//! causes a panic.

use crate::tests::naive::{NaiveStatement, Part, Want, decide};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;

/// A statement over a small alphabet, so that names have many splits.
pub(crate) fn statement() -> impl Strategy<Value = NaiveStatement> {
    let name = prop_oneof!["[ab1]{1,2}", Just("é".to_owned()), Just("a-b".to_owned())];
    let class = prop::sample::select(vec!["alnum", "alpha", "number", "ident", "fqdn"]);
    let variable = prop_oneof![
        4 => class.prop_map(Part::Class),
        1 => Just(Part::Account),
        1 => Just(Part::Alias),
        1 => Just(Part::Date),
    ];
    let literal = prop::sample::select(vec!["a", "b", "1", "-", ".", "aa", "a1", "--", "_", "é", "%"]);
    let parts = (prop::collection::vec((variable, literal), 1..4), 0..4_usize, any::<[bool; 2]>());
    let parts = parts.prop_map(|(pairs, code, [first, last])| {
        let mut parts = Vec::new();
        let code = code.min(pairs.len());
        for (i, (variable, literal)) in pairs.into_iter().enumerate() {
            if i == code {
                parts.extend([Part::Code, Part::Literal("-".into())]);
            }
            parts.extend([variable, Part::Literal(literal.into())]);
        }
        if !parts.iter().any(|part| matches!(part, Part::Code)) {
            parts.push(Part::Code);
        } else if first {
            parts.pop();
        }
        if last {
            parts.insert(0, Part::Literal("a".into()));
        }
        // At most one date is allowed.
        let date = parts.iter().position(|part| matches!(part, Part::Date));
        for part in parts.iter_mut().skip(date.map_or(usize::MAX, |at| at + 1)) {
            if matches!(part, Part::Date) {
                *part = Part::Class("alnum");
            }
        }
        parts
    });
    let function =
        prop::sample::select(vec!["CHARS", "DIGITS", "ALPHAS", "VOWELS", "LABELS", "ANY", "NONE", "CHAR"]);
    let call = (
        function,
        0..4_usize,
        -2..4_i64,
        -2..4_i64,
        prop::sample::select(vec!["a", "1", "-", "a1", "é", ""]),
    );
    let accounts = prop::collection::vec(name.clone(), 1..3);
    let aliases = prop::collection::vec(name, 0..3);
    let domains =
        prop_oneof![Just(vec![]), prop::sample::subsequence(vec!["a.test", "b.test", "c.test"], 1..3),];
    let deliver = prop::option::of(prop::sample::select(vec![
        "m@x.test",
        "%account%@x.test",
        "%alias%@x.test",
        "a%%%alias%@x.test",
    ]));
    (accounts, aliases, domains, parts, prop::collection::vec(call, 1..4), deliver).prop_map(
        |(accounts, aliases, domains, parts, calls, deliver)| {
            let without = aliases.is_empty();
            let deliver = deliver.filter(|target: &&str| !without || !target.contains("%alias%"));
            let mut statement =
                NaiveStatement { accounts, aliases, domains, parts, calls: Vec::new(), deliver };
            let classes = statement.classes();
            let one_fqdn = classes == ["fqdn"];
            statement.calls = calls
                .into_iter()
                .map(|(name, target, label, at, default)| {
                    let target = match target.checked_sub(1).filter(|i| *i < classes.len()) {
                        Some(i) => (i + 1).to_string(),
                        None if target == 0 && !statement.aliases.is_empty() => "alias".into(),
                        None if one_fqdn && name == "CHAR" => "1".into(),
                        None => "account".into(),
                    };
                    let class = target.parse::<usize>().ok().map(|i| classes[i - 1]);
                    let others = match (name, class) {
                        ("CHAR", Some("fqdn")) => vec![label.to_string(), at.to_string(), default.into()],
                        ("CHAR", _) => vec![at.to_string(), default.into()],
                        _ => Vec::new(),
                    };
                    (name, target, others)
                })
                .collect();
            statement
        },
    )
}

/// A name that probably matches: it has a text for each part.
pub(crate) fn name_for(statement: &NaiveStatement) -> impl Strategy<Value = String> + use<> {
    let texts: Vec<BoxedStrategy<String>> = statement
        .parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => Just(text.clone()).boxed(),
            Part::Account => prop::sample::select(statement.accounts.clone()).boxed(),
            Part::Alias if statement.aliases.is_empty() => {
                prop::sample::select(statement.accounts.clone()).boxed()
            }
            Part::Alias => prop::sample::select(statement.aliases.clone()).boxed(),
            Part::Code => "[0-3]{1,3}|[ab1é-]{1,3}".boxed(),
            Part::Date => prop::sample::select(vec![
                "1111", "111111", "11w11", "11W46", "2611", "2602", "260229", "280229", "26w53", "27w53",
            ])
            .prop_map_into()
            .boxed(),
            Part::Class("fqdn") => "[ab1]\\.[ab1.-]{0,2}[ab1]".boxed(),
            Part::Class("number") => "1{1,3}".boxed(),
            Part::Class(_) => "[ab]{1,3}".boxed(),
        })
        .collect();
    let statement = statement.clone();
    (texts, any::<prop::sample::Index>(), 0..6_u8, any::<bool>()).prop_map(
        move |(mut texts, at, change, correct_code)| {
            if correct_code {
                // The account and the alias are the first ones in the name, or any if the name has none.
                let text_of =
                    |is: fn(&Part) -> bool| statement.parts.iter().position(is).map(|at| texts[at].clone());
                let account = text_of(|part| matches!(part, Part::Account));
                let account = account.unwrap_or_else(|| statement.accounts[0].clone());
                let alias = text_of(|part| matches!(part, Part::Alias));
                let alias =
                    alias.or_else(|| statement.aliases.first().cloned()).unwrap_or_else(|| account.clone());
                let split: Vec<&str> = texts.iter().map(|text| &**text).collect();
                let code = statement.code(&split, &account, &alias);
                for (part, text) in statement.parts.iter().zip(&mut texts) {
                    if matches!(part, Part::Code) && !code.is_empty() {
                        text.clone_from(&code);
                    }
                }
            }
            let mut name: Vec<char> = texts.concat().chars().collect();
            let at = at.index(name.len());
            match change {
                0 => name[at] = 'a',
                1 => name.insert(at, '1'),
                _ => {}
            }
            name.into_iter().collect()
        },
    )
}

/// One or two statements. The second may have the same expression with another target and domain.
fn statements() -> impl Strategy<Value = Vec<NaiveStatement>> {
    (statement(), prop::option::of(statement()), any::<bool>()).prop_map(|(first, second, same)| {
        let second = second.map(|second| {
            if same {
                NaiveStatement { deliver: second.deliver, domains: second.domains, ..first.clone() }
            } else {
                second
            }
        });
        std::iter::once(first).chain(second).collect()
    })
}

fn loaded(statements: &[NaiveStatement]) -> Option<Rules> {
    let text: String = statements.iter().map(NaiveStatement::text).collect();
    load(&[Text::new("t", &text)], &Options::default()).ok().map(|loaded| loaded.rules)
}

pub(crate) fn day() -> impl Strategy<Value = Option<Day>> {
    let days =
        vec![(2011, 3, 20), (2011, 3, 21), (2011, 11, 12), (2026, 11, 30), (2028, 2, 29), (2030, 1, 1)];
    let days = prop::sample::select(days).prop_map(|(year, month, day)| Day::new(year, month, day));
    prop_oneof![Just(None), days]
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn decisions_equal_those_of_the_naive_implementation(
        (statements, names) in statements().prop_flat_map(|statements| {
            let name = prop::sample::select(statements.clone()).prop_flat_map(|statement| name_for(&statement));
            let name = prop_oneof![4 => name.boxed(), 1 => "[ab1é.-]{0,10}".boxed()];
            let domain = prop::sample::select(vec![None, Some("a.test"), Some("b.test")]);
            (Just(statements), prop::collection::vec((name, domain, day()), 4))
        })
    ) {
        let Some(rules) = loaded(&statements) else { return Err(TestCaseError::reject("refused")) };
        for (name, domain, today) in &names {
            let query = Query { name, domain: *domain, today: *today };
            let text: String = statements.iter().map(NaiveStatement::text).collect();
            match (decide(&statements, query), rules.find(query)) {
                (Want::Decision(want), got) => prop_assert_eq!(got, want, "{} {:?}", text, query),
                (Want::Expired { statement, names }, Decision::Expired { name, statement: got, .. }) => {
                    prop_assert!(got == statement && names.contains(name), "{} {:?}", text, query);
                }
                (want, got) => prop_assert!(false, "{want:?} {got:?} {text} {query:?}"),
            }
            // Random names take fewer rows than a lookup computes before it keeps any.
            prop_assert_eq!(rules.find_keeping(query, 0), rules.find(query), "{} {:?}", text, query);
            let explained = rules.explain(query);
            prop_assert_eq!(explained.outcome, rules.find(query).into());
            for (i, trace) in explained.statements.iter().enumerate() {
                let alone = decide(&statements[i..=i], query);
                match &trace.finding {
                    Finding::Matched { split: Some(split), .. } => {
                        prop_assert!(split.values.iter().all(|value| value.right) && split.code == split.computed);
                        prop_assert!(split.last.is_none_or(|last| today.is_none_or(|today| today <= last)));
                    }
                    Finding::Expired { split: Some(split), last, .. } => {
                        prop_assert!(split.values.iter().all(|value| value.right) && split.last == Some(*last));
                        let expired =
                            matches!(alone, Want::Expired { .. } | Want::Decision(Decision::Expired { .. }));
                        prop_assert!(expired, "{text} {query:?}");
                    }
                    Finding::Matched { split: None, .. }
                    | Finding::Expired { split: None, .. }
                    | Finding::TempFail => prop_assert!(false, "nothing shown"),
                    _ => prop_assert!(matches!(alone, Want::Decision(Decision::NoMatch)), "{text} {query:?}"),
                }
            }
        }
    }
}

proptest! {
    /// All problems are within the text, and every name has a decision.
    #[test]
    fn any_text_and_any_name_are_handled(
        text in "(ACCOUNT|MATCHES|WITH|USING|ALIASED|DOMAINS|DELIVER TO|PORT:|DEBUG|HMAC\\(4|CHARS\\(|\\)|CHAR\\(1|,|;|%account%|%alias%@|%date%|%code%|a@b|%|#|\n|\r| |é|foo|\\PC){0,40}",
        name in "\\PC{0,30}",
        fold in any::<bool>(),
    ) {
        let text = Text::new("t", &text);
        for dialect in [Dialect::TcpTable, Dialect::Any] {
            match load(std::slice::from_ref(&text), &Options { fold, dialect, ..Options::default() }) {
                Ok(loaded) => {
                    let _ = loaded.rules.find(&name);
                }
                Err(problems) => {
                    prop_assert!(diagnostics::any_error(&problems));
                    for problem in problems {
                        prop_assert!(text.content.get(problem.span.clone()).is_some(), "{problem:?}");
                        prop_assert!(!problem.render(false).is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn any_name_is_explained(statement in statement(), name in "\\PC{0,30}", fold in any::<bool>()) {
        let Ok(loaded) = load(&[Text::new("t", &statement.text())], &Options { fold, ..Options::default() }) else {
            return Ok(());
        };
        prop_assert_eq!(loaded.rules.explain(&name).outcome, loaded.rules.find(&name).into());
        prop_assert!(!loaded.rules.explain(&name).to_string().chars().any(|c| c.is_control() && c != '\n'));
    }
}
