//! The rule engine against what its predecessor was observed to do.

use rcptd::diag::Text;
use rcptd::rules::{Decision, Dialect, Loaded, Options, load};
use serde_json::Value;

const FILES: [(&str, &str, usize, usize); 6] = [
    ("a-unittests", include_str!("data/rules/a-unittests.jsonl"), 53, 19),
    ("b-examples", include_str!("data/rules/b-examples.jsonl"), 43, 16),
    ("c-generated", include_str!("data/rules/c-generated.jsonl"), 820, 374),
    ("d-runs", include_str!("data/rules/d-runs.jsonl"), 72, 0),
    ("q-quirks", include_str!("data/rules/q-quirks.jsonl"), 68, 25),
    ("slow", include_str!("data/rules/slow.jsonl"), 21, 0),
];

fn read(config: &str) -> Result<Loaded, String> {
    let options = Options { fold: false, dialect: Dialect::TcpTable };
    load(&[Text::new("t", config)], &options)
        .map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect())
}

#[test]
fn vectors() {
    let mut bad = Vec::new();
    for (file, text, want_valid, want_invalid) in FILES {
        let (mut valid, mut invalid) = (0, 0);
        for line in text.lines() {
            let vector: Value = serde_json::from_str(line).expect("a vector");
            if vector.get("error").is_some() {
                invalid += 1
            } else {
                valid += 1
            }
            one(&vector, &mut bad);
        }
        assert_eq!((valid, invalid), (want_valid, want_invalid), "{file}");
    }
    println!("{}", bad.iter().take(40).cloned().collect::<Vec<_>>().join("\n"));
    assert!(bad.is_empty(), "{}", bad.len());
}

fn one(vector: &Value, bad: &mut Vec<String>) {
    let id = vector["id"].as_str().expect("an id");
    let config = vector["config"].as_str().expect("a configuration");
    let refused = vector.get("fixed_error").is_some()
        || vector.get("error").is_some() && vector.get("fixed_queries").is_none();
    let loaded = match read(config) {
        Err(problems) => {
            if !refused {
                bad.push(format!("{id} {config:?}: refused: {problems}"));
            }
            return;
        }
        Ok(loaded) => loaded,
    };
    if refused {
        bad.push(format!("{id} {config:?}: not refused {}", vector["error"]));
        return;
    }
    let queries = vector.get("fixed_queries").or_else(|| vector.get("queries")).expect("queries");
    for query in queries.as_array().expect("a list") {
        let name = query["q"].as_str().expect("a name");
        let want = query.get("fixed").unwrap_or(query);
        let want = (want["expect"].as_str().unwrap_or(""), want["ambiguous"].as_bool().expect("a truth"));
        let decision = loaded.rules.find(name);
        let got = match &decision {
            Decision::NoMatch => ("", false),
            Decision::Account { name, ambiguous, .. } => (*name, *ambiguous),
            Decision::Ambiguous { .. } => ("", true),
            Decision::CannotSay { .. } => ("?", false),
        };
        if got != want {
            bad.push(format!("{id} {config:?} {name:?}: got {got:?} want {want:?}"));
        }
    }
}
