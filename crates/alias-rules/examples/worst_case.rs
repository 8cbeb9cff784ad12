//! Searches rules and names whose lookup is as expensive as possible, by random changes of the most expensive
//! ones:
//!
//! ```sh
//! cargo run --release -p alias-rules --example worst_case -- SECONDS GOAL SEED
//! ```
//!
//! The goal is one of
//!
//! - `steps`: the most steps,
//! - `decided`: the most steps of a lookup within the limit,
//! - `time`: the longest time,
//! - `rate`: the longest time for a step.
//!
//! Steps are the same in every run, times are not. The worst case of each round is printed as a line of
//! `tests/data/worst.jsonl`, with its time, and at the end the longest time and the slowest step.

#![allow(clippy::expect_used, clippy::cast_precision_loss, missing_docs)] // a developer tool

use alias_rules::{Decision, Options, Rules, load};
use diagnostics::Text;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Maximum number of items of an expression, and of functions.
const MAX_ITEMS: usize = 20;
/// Maximum length of a name.
const MAX_NAME: usize = 320;
/// Number of changes without progress after which a new round begins.
const PATIENCE: usize = 3000;
/// Minimum number of steps of a lookup for measuring the time of a step.
const MIN_STEPS: u64 = 2000;

const CLASSES: [&str; 5] = ["alnum", "alpha", "number", "ident", "fqdn"];
const LITERALS: [&str; 10] = ["0", "1", "a", "x", ".", "-", "00", "aa", "01", "_"];
const DEFAULTS: [&str; 6] = ["0", "1", "a", "-", "00", "x"];
const LETTERS: &[u8] = b"0123456789abcxyzeio.-_A";

/// Rules and a name.
#[derive(Clone)]
struct Case {
    accounts: usize,
    /// Literals and names in percent signs, alternating.
    items: Vec<String>,
    calls: Vec<String>,
    name: Vec<u8>,
}

/// A pseudorandom number generator: the upper half of a linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }

    fn of<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    fn call(&mut self, classes: &[&str]) -> String {
        let i = self.below(classes.len());
        let number = |random: &mut Self| [0, 1, 2, 3, 9, 100, -1, -2, -3, -40][random.below(10)];
        let (target, fqdn) = (i + 1, classes.get(i) == Some(&"fqdn"));
        match self.below(9) {
            0 => format!("CHARS({target})"),
            1 => format!("DIGITS({target})"),
            2 => format!("ALPHAS({target})"),
            3 => format!("VOWELS({target})"),
            4 if fqdn => format!("LABELS({target})"),
            5 => format!("ANY({target})"),
            6 => format!("NONE({target})"),
            7 if self.below(4) == 0 => "CHARS(account)".into(),
            _ if fqdn => {
                let (label, at) = (number(self), number(self));
                format!("CHAR({target},{label},{at},{})", self.of(&DEFAULTS))
            }
            _ => {
                let at = number(self);
                format!("CHAR({target},{at},{})", self.of(&DEFAULTS))
            }
        }
    }

    fn start(&mut self) -> Case {
        let mut case = Case { accounts: 1, items: Vec::new(), calls: Vec::new(), name: Vec::new() };
        let pairs = 2 + self.below(5);
        let code = self.below(pairs + 1);
        for i in 0..=pairs {
            let item = if i == code { "code" } else { self.of(&CLASSES) };
            case.items.push(format!("%{item}%"));
            if i < pairs {
                case.items.push(self.of(&LITERALS).into());
            }
        }
        let classes = case.classes();
        case.calls = (0..=self.below(4)).map(|_| self.call(&classes)).collect();
        self.name(&mut case.name);
        case
    }

    /// Generates a name that repeats a short text.
    fn name(&mut self, name: &mut Vec<u8>) {
        let unit: Vec<u8> = (0..=self.below(5)).map(|_| LETTERS[self.below(LETTERS.len())]).collect();
        *name = unit.into_iter().cycle().take(MAX_NAME).collect();
    }

    /// Makes one change, sometimes more.
    fn change(&mut self, case: &mut Case) {
        match self.below(16) {
            kind @ 0..8 => self.change_name(case, kind),
            kind => self.change_rule(case, kind),
        }
        case.name.truncate(MAX_NAME);
        case.calls.truncate(MAX_ITEMS);
        if case.name.is_empty() {
            case.name.push(b'0');
        }
        if self.below(3) == 0 {
            self.change(case);
        }
    }

    fn change_name(&mut self, case: &mut Case, kind: usize) {
        let at = self.below(case.name.len());
        let byte = LETTERS[self.below(LETTERS.len())];
        match kind {
            0 => self.name(&mut case.name),
            1 | 2 => case.name[at] = byte,
            3 => case.name.insert(at, byte),
            4 => {
                case.name.remove(at);
            }
            5 | 6 => {
                let len = self.below(case.name.len() - at) + 1;
                case.name[at..at + len].fill(byte);
            }
            _ => {
                let (unit, len) = (1 + self.below(6), self.below(case.name.len() - at));
                for i in at + unit..at + len {
                    case.name[i] = case.name[i - unit];
                }
            }
        }
    }

    fn change_rule(&mut self, case: &mut Case, kind: usize) {
        match kind {
            8 if case.items.len() + 2 <= MAX_ITEMS => {
                let i = self.below(case.items.len() / 2 + 1) * 2;
                let class = format!("%{}%", self.of(&CLASSES));
                case.items.insert(i.min(case.items.len()), self.of(&LITERALS).into());
                case.items.insert(i.min(case.items.len()), class);
            }
            9 => {
                let i = self.below(case.items.len());
                if !case.items[i].starts_with('%') {
                    case.items[i] = self.of(&LITERALS).into();
                } else if case.items[i] != "%code%" {
                    let what = if self.below(12) == 0 { "account" } else { self.of(&CLASSES) };
                    case.items[i] = format!("%{what}%");
                }
            }
            10 if case.items.len() > 3 => {
                let i = self.below(case.items.len() - 1);
                case.items.drain(i..i + 2);
            }
            11 => {
                let (i, j) = (self.below(case.items.len() / 2 + 1) * 2, self.below(case.items.len() / 2) * 2);
                if i.max(j) < case.items.len() {
                    case.items.swap(i, j);
                }
            }
            12 | 13 => {
                let call = self.call(&case.classes());
                let i = self.below(case.calls.len() + 1);
                if i == case.calls.len() || self.below(2) == 0 && case.calls.len() < MAX_ITEMS {
                    case.calls.insert(i, call);
                } else {
                    case.calls[i] = call;
                }
            }
            14 if case.calls.len() > 1 => {
                let i = self.below(case.calls.len());
                case.calls.remove(i);
            }
            15 => case.accounts = [1, 1, 2, 10][self.below(4)],
            _ => self.change(case),
        }
    }
}

impl Case {
    fn classes(&self) -> Vec<&'static str> {
        let class = |item: &String| CLASSES.into_iter().find(|class| item.trim_matches('%') == *class);
        self.items.iter().filter(|item| item.starts_with('%')).filter_map(class).collect()
    }

    fn config(&self) -> String {
        let accounts = (0..self.accounts).map(|i| "a".repeat(i + 1)).collect::<Vec<_>>().join(",");
        let (items, calls) = (self.items.concat(), self.calls.join(", "));
        format!("ACCOUNT {accounts} MATCHES {items} WITH {calls};")
    }

    fn name(&self) -> &str {
        std::str::from_utf8(&self.name).expect("ASCII")
    }

    /// Returns the rules, and the steps and time of a lookup; the time is 0 unless `timed`.
    fn cost(&self, timed: bool) -> Option<(Rules, u64, Duration)> {
        let text = Text::new("worst.rules", &self.config());
        let rules = load(&[text], &Options::default()).ok()?.rules;
        let steps = rules.cost(self.name()).steps;
        let time = if timed { self.time(&rules) } else { Duration::ZERO };
        Some((rules, steps, time))
    }

    /// The minimum of a few measurements, to exclude other load.
    fn time(&self, rules: &Rules) -> Duration {
        let once = || {
            let begin = Instant::now();
            black_box(rules.find(black_box(self.name())));
            begin.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap_or_default()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(10, |text| text.parse().expect("seconds"));
    let goal = arguments.next().unwrap_or_else(|| "steps".into());
    let timed = matches!(&*goal, "time" | "rate");
    let mut random = Random(arguments.next().map_or(1, |text| text.parse().expect("a seed")));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut longest, mut slowest, mut tried) = (Duration::ZERO, 0.0_f64, 0_u64);
    while Instant::now() < end {
        let (mut worst, mut most, mut idle) = (random.start(), 0.0, 0);
        while idle < PATIENCE && Instant::now() < end {
            let mut case = worst.clone();
            random.change(&mut case);
            idle += 1;
            let Some((rules, steps, mut time)) = case.cost(timed) else { continue };
            tried += 1;
            let failed = goal == "decided" && matches!(rules.find(case.name()), Decision::TempFail { .. });
            let fitness = |time: Duration| match &*goal {
                _ if failed => 0.0,
                "decided" | "steps" => steps as f64,
                "time" => time.as_secs_f64(),
                _ if steps < MIN_STEPS => 0.0,
                _ => time.as_secs_f64() / steps as f64,
            };
            if fitness(time) > most && timed {
                // Measure again, since other load may have taken the time.
                time = time.min((0..5).map(|_| case.time(&rules)).min().unwrap_or(time));
            }
            let fitness = fitness(time);
            if fitness > most {
                idle = 0;
            }
            if fitness >= most {
                (worst, most) = (case, fitness);
            }
        }
        let Some((rules, steps, _)) = worst.cost(false) else { continue };
        let time = (0..5).map(|_| worst.time(&rules)).min().unwrap_or_default();
        let decision = match rules.find(worst.name()) {
            Decision::TempFail { .. } => "temp_fail",
            Decision::NoMatch => "no",
            _ => "yes",
        };
        let line = serde_json::json!({
            "config": worst.config(), "name": worst.name(), "steps": steps,
            "micros": time.as_micros(), "decision": decision,
        });
        println!("{line}");
        longest = longest.max(time);
        if steps >= MIN_STEPS {
            slowest = slowest.max(time.as_secs_f64() * 1e9 / steps as f64);
        }
    }
    eprintln!("{tried} cases; longest lookup {longest:?}, slowest step {slowest:.1} ns");
}
