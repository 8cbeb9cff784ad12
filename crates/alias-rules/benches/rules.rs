//! The time of a lookup: hits, misses and near misses, few and many rules, and names that are slow to look
//! up.

#![allow(clippy::expect_used, missing_docs)] // benchmarks may panic

use alias_rules::{ORDINARY_NAME, Options, Rules, load};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use diagnostics::Text;
use serde_json::Value;
use std::fmt::Write;
use std::hint::black_box;

fn rules(config: &str) -> Rules {
    load(&[Text::new("bench.rules", config)], &Options::default()).expect("it loads").rules
}

fn vectors(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a vector")).collect()
}

/// The sample rules of the documentation.
fn sample(c: &mut Criterion) {
    let examples = vectors(include_str!("../tests/data/b-examples.jsonl"));
    let sample = examples.iter().find(|v| v["id"] == "b-readme-sample-table").expect("the sample");
    let rules = rules(sample["config"].as_str().expect("a configuration"));
    let mut group = c.benchmark_group("sample");
    for (what, name) in [
        ("hit", "foo-23skidoo-2k3"),
        ("hit, alias", "griselda-23_skidoo-3k2"),
        ("hit, no account", "samissexy.34"),
        ("near miss, code", "foo-23skidoo-2k4"),
        ("near miss, account", "fob-23skidoo-2k3"),
        ("miss", "postmaster"),
        ("miss, dots", "john.q.public"),
        ("miss, dash", "mary-ann"),
        ("miss, long", "xK3vqLw9ZpRt7YbN2mHc5GdJ8fQs1TaVe4UoXi6z"),
    ] {
        group.bench_function(what, |b| b.iter(|| black_box(rules.find(black_box(name)))));
    }
    group.finish();
}

/// Many statements with one account each.
fn statements(c: &mut Criterion) {
    let mut group = c.benchmark_group("statements");
    for n in [10, 100, 1000] {
        let mut config = String::new();
        for i in 0..n {
            writeln!(config, "ACCOUNT user{i} MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();")
                .expect("a string takes all");
        }
        let rules = rules(&config);
        let last = format!("user{}-macys-m5", n - 1);
        for (what, name) in
            [("last hits", &*last), ("no account", "nobody-macys-m5"), ("no dash", "postmaster")]
        {
            group.bench_with_input(BenchmarkId::new(what, n), name, |b, name| {
                b.iter(|| black_box(rules.find(black_box(name))));
            });
        }
    }
    group.finish();
}

/// One statement with many accounts.
fn accounts(c: &mut Criterion) {
    let mut group = c.benchmark_group("accounts");
    for n in [10, 1000, 100_000] {
        let names: Vec<String> = (0..n).map(|i| format!("user{i}")).collect();
        let rules =
            rules(&format!("ACCOUNT {} MATCHES %account%-%ident%-%code% WITH CHARS();", names.join(",")));
        let last = format!("user{}-macys-5", n - 1);
        for (what, name) in [("last hits", &*last), ("no account", "nobody-macys-5")] {
            group.bench_with_input(BenchmarkId::new(what, n), name, |b, name| {
                b.iter(|| black_box(rules.find(black_box(name))));
            });
        }
    }
    group.finish();
}

/// Names that took the predecessor seconds or longer.
fn slow(c: &mut Criterion) {
    let mut group = c.benchmark_group("slow");
    group.sample_size(20);
    for vector in vectors(include_str!("../tests/data/slow.jsonl")) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (id, rules) = (text(&vector["id"]), rules(&text(&vector["config"])));
        let name = text(&vector["queries"][0]["q"]);
        group.bench_function(id, |b| b.iter(|| black_box(rules.find(black_box(&name)))));
    }
    group.finish();
}

/// The most expensive names known.
fn worst(c: &mut Criterion) {
    let mut group = c.benchmark_group("worst");
    group.sample_size(20);
    for (i, vector) in vectors(include_str!("../tests/data/worst.jsonl")).iter().enumerate() {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (rules, name) = (rules(&text(&vector["config"])), text(&vector["name"]));
        let id = BenchmarkId::new(text(&vector["decision"]), i);
        group.bench_function(id, |b| b.iter(|| black_box(rules.find(black_box(&name)))));
    }
    // A thousand statements, each as expensive as possible.
    let is_ordinary = |vector: &&Value| {
        let len = vector["name"].as_str().map_or(usize::MAX, str::len);
        vector["decision"] == "no" && len + 2 <= ORDINARY_NAME
    };
    let all = vectors(include_str!("../tests/data/worst.jsonl"));
    let vector =
        all.iter().filter(is_ordinary).max_by_key(|vector| vector["steps"].as_u64()).expect("a vector");
    let config = vector["config"].as_str().expect("a configuration");
    let (_, expression) = config.split_once("MATCHES ").expect("an expression");
    let rules = rules(&format!("ACCOUNT z MATCHES %account%={expression}\n").repeat(1000));
    let name = format!("z={}", vector["name"].as_str().expect("a name"));
    group.bench_function("1000 statements", |b| b.iter(|| black_box(rules.find(black_box(&name)))));
    group.finish();
}

criterion_group!(benches, sample, statements, accounts, slow, worst);
criterion_main!(benches);
