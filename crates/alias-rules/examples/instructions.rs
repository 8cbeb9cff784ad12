//! Looks up a name a number of times, for `tests/run instructions`, which counts the instructions:
//!
//! ```sh
//! instructions          # lists the cases
//! instructions CASE 100
//! ```

#![allow(clippy::expect_used, missing_docs)] // a developer tool

use alias_rules::{Options, load};
use diagnostics::Text;
use serde_json::Value;
use std::hint::black_box;

/// The vector with the sample rules of the documentation.
const SAMPLE: &str = "b-readme-sample-table";

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Each case with its rules and its name.
fn cases() -> Vec<(String, String, String)> {
    let read =
        |text: &'static str| text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a vector"));
    let mut examples = read(include_str!("../tests/data/b-examples.jsonl"));
    let sample = text(&examples.find(|vector| vector["id"] == SAMPLE).expect("the sample")["config"]);
    let mut cases: Vec<_> = [
        ("hit", "foo-23skidoo-2k3"),
        ("miss", "postmaster"),
        ("near-miss", "foo-23skidoo-2k4"),
        ("near-miss-account", "fob-23skidoo-2k3"),
    ]
    .into_iter()
    .map(|(case, name)| (format!("sample-{case}"), sample.clone(), name.to_owned()))
    .collect();
    let one = "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();";
    cases.push(("one-account-hit".into(), one.into(), "foo-macys-m5".into()));
    for id in ["slow-k2-n1000", "slow-k8-n62-chars", "slow-fqdn5-n128"] {
        let mut slow = read(include_str!("../tests/data/slow.jsonl"));
        let vector = slow.find(|vector| vector["id"] == id).expect("a vector");
        cases.push((id.into(), text(&vector["config"]), text(&vector["queries"][0]["q"])));
    }
    let worst = read(include_str!("../tests/data/worst.jsonl")).filter(|v| v["decision"] == "no");
    let mut worst: Vec<Value> = worst.collect();
    worst.sort_by_key(|vector| std::cmp::Reverse(vector["steps"].as_u64()));
    for (i, vector) in worst.iter().take(3).enumerate() {
        cases.push((format!("worst-{i}"), text(&vector["config"]), text(&vector["name"])));
    }
    cases
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (wanted, times) = (arguments.next(), arguments.next());
    let times: usize = times.map_or(1, |text| text.parse().expect("a number"));
    for (case, config, name) in cases() {
        if wanted.is_none() {
            println!("{case}");
        } else if wanted.as_ref() == Some(&case) {
            let rules = load(&[Text::new("t", &config)], &Options::default()).expect("it loads").rules;
            for _ in 0..times {
                black_box(rules.find(black_box(&*name)));
            }
        }
    }
}
