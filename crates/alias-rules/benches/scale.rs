//! The cost of a million names: time to load, memory, lookups, and lookups while rules are replaced.
//!
//! `cargo bench -p alias-rules --bench scale` prints a table. Each line is measured in a separate process, so
//! that its memory is that of its rules.

#![allow(clippy::expect_used, missing_docs)] // benchmarks may panic

use alias_rules::{Decision, Options, Rules, load};
use arc_swap::ArcSwap;
use diagnostics::Text;
use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The kinds of names and their number.
const KINDS: [(&str, usize); 4] =
    [("accounts", 1_000_000), ("aliases", 1_000_000), ("rules", 100_000), ("literals", 100_000)];
/// The number of names in the rules for comparison.
const SMALL: usize = 1000;

/// Rules with `n` names of a kind.
fn config(kind: &str, n: usize) -> String {
    let names = |prefix: &str| {
        let mut names = String::new();
        for i in 0..n {
            let comma = if i == 0 { "" } else { "," };
            let line = if i % 10 == 9 { "\n" } else { "" };
            write!(names, "{comma}{line}{prefix}{i}").expect("a string takes all");
        }
        names
    };
    let each = |rule: &dyn Fn(usize) -> String| (0..n).map(rule).collect::<Vec<_>>().join("\n");
    match kind {
        "accounts" => {
            format!("ACCOUNT {} MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();", names("user"))
        }
        "aliases" => format!(
            "ACCOUNT foo ALIASED {} MATCHES %alias%-%ident%-%code% WITH CHAR(1,-), CHARS();",
            names("user")
        ),
        "rules" => {
            each(&|i| format!("ACCOUNT user{i} MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();"))
        }
        _ => each(&|i| format!("ACCOUNT acct{i} MATCHES user{i}-%ident%-%code% WITH CHAR(1,-), CHARS();")),
    }
}

fn rules(text: &Text) -> Rules {
    load(std::slice::from_ref(text), &Options::default()).expect("it loads").rules
}

/// The value of a field of /proc/self/status, in bytes.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    1024 * line.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok()).expect("a number")
}

/// Number of measurements. The minimum counts, since other load makes the others longer.
const ROUNDS: usize = 9;

/// The mean time of a lookup of `names`, in nanoseconds.
fn time(rules: &Rules, names: &[String], hits: bool) -> f64 {
    let rounds = 100_000_usize.div_ceil(names.len());
    let begun = Instant::now();
    for _ in 0..rounds {
        for name in names {
            let found = !matches!(black_box(rules.find(black_box(&**name))), Decision::NoMatch);
            assert_eq!(found, hits, "{name}");
        }
    }
    begun.elapsed().as_secs_f64() * 1e9 / as_f64(rounds * names.len())
}

#[allow(clippy::cast_precision_loss)] // counts of this size are exact
fn as_f64(n: usize) -> f64 {
    n as f64
}

#[derive(Clone, Copy)]
struct Times {
    one: f64,
    any: f64,
    near: f64,
    miss: f64,
}

impl Times {
    const WORST: Self = Times { one: f64::MAX, any: f64::MAX, near: f64::MAX, miss: f64::MAX };

    fn min(self, other: Self) -> Self {
        Times {
            one: self.one.min(other.one),
            any: self.any.min(other.any),
            near: self.near.min(other.near),
            miss: self.miss.min(other.miss),
        }
    }
}

fn times(rules: &Rules, n: usize) -> Times {
    // This step visits all names in an order that defeats the cache.
    let some =
        |rest: &str| -> Vec<String> { (0..100_000).map(|i| format!("user{}{rest}", i * 7919 % n)).collect() };
    Times {
        one: time(rules, &[format!("user{}-macys-m5", n - 1)], true),
        any: time(rules, &some("-macys-m5"), true),
        near: time(rules, &some("-macys-m6"), false),
        miss: time(rules, &["postmaster".into(), "john.q.public".into(), "mary-ann".into()], false),
    }
}

/// Measures and prints one line of the table.
fn line(kind: &str, n: usize) {
    let small = rules(&Text::new("small", &config(kind, SMALL)));
    let content = config(kind, n);
    let text = Text::new("large", &content);
    let bytes = content.len();
    drop(content);
    let base = memory("VmRSS");
    let begun = Instant::now();
    let large = rules(&text);
    let loaded = begun.elapsed();
    let peak = memory("VmHWM").saturating_sub(base);
    let resident = memory("VmRSS").saturating_sub(base);
    let names: usize = (0..n).map(|i| format!("user{i}").len()).sum();
    // Alternately, so that other load affects both.
    let (mut before, mut after) = (Times::WORST, Times::WORST);
    for _ in 0..ROUNDS {
        before = before.min(times(&small, SMALL));
        after = after.min(times(&large, n));
    }
    println!(
        "{kind:9} {n:8}  load {:5.2} s of {:4.1} MB, per name {:4.0} B above its text ({:4.0} at the peak); \
         hit, the same name {:4.0} ns ({:4.2} x {SMALL}), any name {:4.0} ns ({:4.2} x), near miss {:4.0} ns \
         ({:4.2} x), miss {:4.0} ns ({:4.2} x)",
        loaded.as_secs_f64(),
        as_f64(bytes) / 1e6,
        as_f64(resident.saturating_sub(names)) / as_f64(n),
        as_f64(peak.saturating_sub(names)) / as_f64(n),
        after.one,
        after.one / before.one,
        after.any,
        after.any / before.any,
        after.near,
        after.near / before.near,
        after.miss,
        after.miss / before.miss,
    );
}

/// Compares the index with a linear walk: a thousand rules together, and one by one.
fn walk() {
    let each = |i: usize| config("rules", SMALL).lines().nth(i).map(ToOwned::to_owned).expect("a rule");
    let one_by_one: Vec<Rules> = (0..SMALL).map(|i| rules(&Text::new("one", &each(i)))).collect();
    let together = rules(&Text::new("all", &config("rules", SMALL)));
    for (what, name, hits) in [("hit", "user999-macys-m5", true), ("no account", "nobody-macys-m5", false)] {
        let (mut index, mut walk) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            index = index.min(time(&together, &[name.to_owned()], hits));
            let begun = Instant::now();
            for _ in 0..100 {
                let found = one_by_one
                    .iter()
                    .filter(|rules| !matches!(black_box(rules.find(black_box(name))), Decision::NoMatch));
                assert_eq!(found.count(), usize::from(hits));
            }
            walk = walk.min(begun.elapsed().as_secs_f64() * 1e9 / 100.0);
        }
        println!("{SMALL} rules, {what}: index {index:.0} ns, walk {walk:.0} ns ({:.0} x)", walk / index);
    }
}

/// The times of single lookups while rules are loaded and replaced, and while they are not.
fn reload() {
    let n = 1_000_000;
    let text = Text::new("large", &config("accounts", n));
    let current = Arc::new(ArcSwap::from_pointee(rules(&text)));
    for (what, reloads) in [("idle", 0), ("reloading", 5)] {
        let done = Arc::new(AtomicBool::new(false));
        let loader = {
            let (text, current, done) = (text.clone(), current.clone(), done.clone());
            std::thread::spawn(move || {
                let begun = Instant::now();
                for _ in 0..reloads {
                    current.store(Arc::new(rules(&text)));
                }
                if reloads == 0 {
                    std::thread::sleep(Duration::from_secs(3));
                }
                done.store(true, Ordering::Relaxed);
                begun.elapsed()
            })
        };
        let mut taken = Vec::new();
        let mut i = 0_usize;
        while !done.load(Ordering::Relaxed) {
            i = (i + 7919) % n;
            let name = format!("user{i}-macys-m5");
            let begun = Instant::now();
            let found = matches!(current.load().find(&*name), Decision::Account { .. });
            taken.push(begun.elapsed());
            assert!(found, "{name}");
        }
        let elapsed = loader.join().expect("the loader ends");
        taken.sort_unstable();
        let at = |permille: usize| taken[(taken.len() - 1) * permille / 1000];
        println!(
            "{what:9} {reloads} reloads of {n} accounts in {:.1} s: {} lookups, p50 {:?}, p99 {:?}, p99.9 {:?}, \
             longest {:?}",
            elapsed.as_secs_f64(),
            taken.len(),
            at(500),
            at(990),
            at(999),
            at(1000),
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match &arguments[..] {
        [what] if what == "reload" => reload(),
        [what] if what == "walk" => walk(),
        [kind, n] => line(kind, n.parse().expect("a number")),
        _ => {
            let program = std::env::current_exe().expect("this program");
            let run = |arguments: &[&str]| {
                let status = Command::new(&program).args(arguments).status().expect("this program runs");
                assert!(status.success(), "{arguments:?}");
            };
            for (kind, n) in KINDS {
                run(&[kind, &n.to_string()]);
            }
            run(&["walk"]);
            run(&["reload"]);
        }
    }
}
