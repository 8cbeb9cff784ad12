//! The importer: new rules keep their decisions, and the reported behaviour of the predecessor equals its
//! recorded behaviour.

use crate::*;
use diagnostics::Text;
use serde_json::{Value, json};

/// A decision as examples format it.
fn shown(rules: &Rules, name: &str) -> String {
    match rules.find(name) {
        Decision::NoMatch => "not found".into(),
        Decision::Account { name, .. } => name.into(),
        other => format!("{other:?}"),
    }
}

fn imported(config: &str) -> (Imported, Rules) {
    let imported =
        import(&Text::new("t", config)).unwrap_or_else(|problems| panic!("{config} {problems:#?}"));
    let text = Text::new("aliases.rules", &imported.rules);
    let rules = load(&[text], &Options::default()).expect("the new rules load").rules;
    let debug = imported.settings.debug_account.as_ref().map(|setting| setting.value.clone());
    (imported, rules.with_debug_account(debug))
}

#[test]
fn imported_samples_keep_their_decisions() {
    let (mut seen, mut examples) = (0, 0);
    for text in [
        include_str!("../../tests/data/a-unittests.jsonl"),
        include_str!("../../tests/data/b-examples.jsonl"),
        include_str!("../../tests/data/c-generated.jsonl"),
        include_str!("../../tests/data/q-quirks.jsonl"),
    ] {
        for vector in text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a vector")) {
            let (id, config) = (&vector["id"], vector["config"].as_str().expect("a configuration"));
            let options = Options { dialect: Dialect::Any, ..Options::default() };
            let Ok(old) = load(&[Text::new("t", config)], &options) else {
                assert!(import(&Text::new("t", config)).is_err(), "{id}");
                continue;
            };
            seen += 1;
            let (imported, rules) = imported(config);
            assert_eq!((imported.statements, rules.len()), (old.rules.len(), old.rules.len()), "{id}");
            assert_eq!(format(&Text::new("t", &imported.rules)).as_deref(), Ok(&*imported.rules), "{id}");
            for query in vector["queries"].as_array().into_iter().flatten().take(3) {
                let name = query["q"].as_str().expect("a name");
                assert_eq!(rules.find(name), old.rules.find(name), "{id} {name}");
            }
            let upstream = |name: &str| {
                let queries = vector["queries"].as_array().into_iter().flatten();
                queries.into_iter().find(|query| query["q"] == name).cloned()
            };
            for example in imported.differences.iter().flat_map(|difference| &difference.examples) {
                examples += 1;
                let Example { name, before, now } = example;
                let shown = shown(&rules, name);
                assert!(now.starts_with(&shown), "{id} {example:?} {shown}");
                assert_ne!(before, now, "{id}");
                let Some(query) = upstream(name) else { continue };
                match &**before {
                    "not found" => assert!(
                        ["", "null"].contains(&query["expect"].as_str().unwrap_or("null")),
                        "{id} {example:?}"
                    ),
                    "no answer" => assert!(query.get("crash").is_some(), "{id} {example:?}"),
                    account => {
                        let account = account.trim_end_matches(", the debug account");
                        assert_eq!(query["expect"], json!(account), "{id}");
                    }
                }
            }
        }
    }
    assert!(seen > 1000 && examples > 1000, "{seen} {examples}");
}

#[test]
fn all_recorded_quirks_are_reported() {
    let quirks = include_str!("../../tests/data/q-quirks.jsonl");
    let words = [
        ("Q01", "USING"),
        ("Q02", "percent sign"),
        ("Q03", "ALIASED *"),
        ("Q04", "%alias% is the account"),
        ("Q06", "crashed at each"),
        ("Q07", "index 0"),
        ("Q08", "last name"),
        ("Q09", "overlap"),
        ("Q11", "extra comma"),
        ("Q12", "accounts such as"),
    ];
    let mut reported = std::collections::BTreeSet::new();
    for vector in quirks.lines().map(|line| serde_json::from_str::<Value>(line).expect("a vector")) {
        let id = vector["id"].as_str().expect("an id");
        let config = vector["config"].as_str().expect("a configuration");
        let Some((quirk, word)) = words.iter().find(|(quirk, _)| id.starts_with(&format!("q-{quirk}-")))
        else {
            continue;
        };
        let Ok(imported) = import(&Text::new("t", config)) else { continue };
        if imported.differences.iter().any(|difference| difference.to_string().contains(word)) {
            reported.insert(*quirk);
        } else {
            // A vector may show where a quirk has no effect.
            let labelled = vector.to_string().contains("\"quirk\"");
            assert!(!labelled, "{id} {config}: {:#?}", imported.differences);
        }
    }
    assert_eq!(reported.into_iter().collect::<Vec<_>>(), words.map(|(quirk, _)| quirk));
}

#[test]
fn examples_are_limited_but_differences_are_not() {
    let statement = |n| format!("ACCOUNT a-{n} MATCHES %account%-x{n}x-%alpha%-%code% WITH CHARS();\n");
    let config = (0..300).map(statement).collect::<Vec<_>>().concat();
    let (imported, _) = imported(&config);
    let examples: usize = imported.differences.iter().map(|difference| difference.examples.len()).sum();
    assert_eq!(imported.differences.len(), 301);
    assert!(examples <= MAX_EXAMPLES && examples + 1 >= MAX_EXAMPLES, "{examples}");
}
