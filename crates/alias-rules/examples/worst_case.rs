//! Makes up rules and names that cost as much as it can find, by changing what has cost most so far:
//!
//! ```sh
//! cargo run --release -p alias-rules --example worst_case -- 60 steps 1
//! ```
//!
//! for a minute, from this seed on. With `decided` in the place of `steps` it looks for names that are
//! decided, with `time` for the longest time, with `rate` for the dearest step; steps are the same in every
//! run, times are not.
//! Prints the worst of each round as a line of `tests/data/worst.jsonl`, with the time it took, and
//! in the end the longest time and the dearest step of all.

#![allow(clippy::expect_used, clippy::cast_precision_loss, missing_docs)] // a tool for developers

use alias_rules::{Decision, Options, Rules, load};
use diagnostics::Text;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Most items of an expression, and most functions.
const MAX_ITEMS: usize = 20;
/// Longest name.
const MAX_NAME: usize = 320;
/// A round begins anew after so many changes that made nothing worse.
const PATIENCE: usize = 3000;
/// Below so many steps a look-up says nothing about what a step takes.
const MIN_STEPS: u64 = 2000;

const CLASSES: [&str; 5] = ["alnum", "alpha", "number", "ident", "fqdn"];
const LITERALS: [&str; 10] = ["0", "1", "a", "x", ".", "-", "00", "aa", "01", "_"];
const DEFAULTS: [&str; 6] = ["0", "1", "a", "-", "00", "x"];
const LETTERS: &[u8] = b"0123456789abcxyzeio.-_A";

#[derive(Clone)]
struct Made {
    accounts: usize,
    /// Literals, and names in percent signs, in turn.
    items: Vec<String>,
    calls: Vec<String>,
    name: Vec<u8>,
}

/// Numbers that look random: a linear congruence, its upper half.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }

    fn of<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    fn call(&mut self, classes: &[&str]) -> String {
        let i = self.below(classes.len());
        let number = |dice: &mut Self| [0, 1, 2, 3, 9, 100, -1, -2, -3, -40][dice.below(10)];
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

    fn start(&mut self) -> Made {
        let mut made = Made { accounts: 1, items: Vec::new(), calls: Vec::new(), name: Vec::new() };
        let pairs = 2 + self.below(5);
        let code = self.below(pairs + 1);
        for i in 0..=pairs {
            let item = if i == code { "code" } else { self.of(&CLASSES) };
            made.items.push(format!("%{item}%"));
            if i < pairs {
                made.items.push(self.of(&LITERALS).into());
            }
        }
        let classes = made.classes();
        made.calls = (0..=self.below(4)).map(|_| self.call(&classes)).collect();
        self.name(&mut made.name);
        made
    }

    /// A name that repeats itself.
    fn name(&mut self, name: &mut Vec<u8>) {
        let unit: Vec<u8> = (0..=self.below(5)).map(|_| LETTERS[self.below(LETTERS.len())]).collect();
        *name = unit.into_iter().cycle().take(MAX_NAME).collect();
    }

    /// Makes one change, mostly.
    fn change(&mut self, made: &mut Made) {
        let at = self.below(made.name.len());
        let byte = LETTERS[self.below(LETTERS.len())];
        match self.below(16) {
            0 => self.name(&mut made.name),
            1 | 2 => made.name[at] = byte,
            3 => made.name.insert(at, byte),
            4 => {
                made.name.remove(at);
            }
            5 | 6 => {
                let len = self.below(made.name.len() - at) + 1;
                made.name[at..at + len].fill(byte);
            }
            7 => {
                let (unit, len) = (1 + self.below(6), self.below(made.name.len() - at));
                for i in at + unit..at + len {
                    made.name[i] = made.name[i - unit];
                }
            }
            8 if made.items.len() + 2 <= MAX_ITEMS => {
                let i = self.below(made.items.len() / 2 + 1) * 2;
                let class = format!("%{}%", self.of(&CLASSES));
                made.items.insert(i.min(made.items.len()), self.of(&LITERALS).into());
                made.items.insert(i.min(made.items.len()), class);
            }
            9 => {
                let i = self.below(made.items.len());
                if !made.items[i].starts_with('%') {
                    made.items[i] = self.of(&LITERALS).into();
                } else if made.items[i] != "%code%" {
                    let what = if self.below(12) == 0 { "account" } else { self.of(&CLASSES) };
                    made.items[i] = format!("%{what}%");
                }
            }
            10 if made.items.len() > 3 => {
                let i = self.below(made.items.len() - 1);
                made.items.drain(i..i + 2);
            }
            11 => {
                let (i, j) = (self.below(made.items.len() / 2 + 1) * 2, self.below(made.items.len() / 2) * 2);
                if i.max(j) < made.items.len() {
                    made.items.swap(i, j);
                }
            }
            12 | 13 => {
                let call = self.call(&made.classes());
                let i = self.below(made.calls.len() + 1);
                if i == made.calls.len() || self.below(2) == 0 && made.calls.len() < MAX_ITEMS {
                    made.calls.insert(i, call);
                } else {
                    made.calls[i] = call;
                }
            }
            14 if made.calls.len() > 1 => {
                let i = self.below(made.calls.len());
                made.calls.remove(i);
            }
            15 => made.accounts = [1, 1, 2, 10][self.below(4)],
            _ => self.change(made),
        }
        made.name.truncate(MAX_NAME);
        made.calls.truncate(MAX_ITEMS);
        if made.name.is_empty() {
            made.name.push(b'0');
        }
        if self.below(3) == 0 {
            self.change(made);
        }
    }
}

impl Made {
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

    /// The rules, the steps of a look-up and the time it takes, unless that is not asked for.
    fn cost(&self, timed: bool) -> Option<(Rules, u64, Duration)> {
        let text = Text::new("worst.rules", &self.config());
        let rules = load(&[text], &Options::default()).ok()?.rules;
        let steps = rules.cost(self.name()).steps;
        let time = if timed { self.time(&rules) } else { Duration::ZERO };
        Some((rules, steps, time))
    }

    /// The shortest of a few times: what it takes when nothing else is going on.
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
    let mut dice = Dice(arguments.next().map_or(1, |text| text.parse().expect("a seed")));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut longest, mut dearest, mut tried) = (Duration::ZERO, 0.0_f64, 0_u64);
    while Instant::now() < end {
        let (mut worst, mut most, mut idle) = (dice.start(), 0.0, 0);
        while idle < PATIENCE && Instant::now() < end {
            let mut made = worst.clone();
            dice.change(&mut made);
            idle += 1;
            let Some((rules, steps, mut time)) = made.cost(timed) else { continue };
            tried += 1;
            let given_up = goal == "decided" && matches!(rules.find(made.name()), Decision::TempFail { .. });
            let fitness = |time: Duration| match &*goal {
                _ if given_up => 0.0,
                "decided" | "steps" => steps as f64,
                "time" => time.as_secs_f64(),
                _ if steps < MIN_STEPS => 0.0,
                _ => time.as_secs_f64() / steps as f64,
            };
            if fitness(time) > most && timed {
                // Once more: it may have been something else that took the time.
                time = time.min((0..5).map(|_| made.time(&rules)).min().unwrap_or(time));
            }
            let fitness = fitness(time);
            if fitness > most {
                idle = 0;
            }
            if fitness >= most {
                (worst, most) = (made, fitness);
            }
        }
        let Some((rules, steps, _)) = worst.cost(false) else { continue };
        let time = (0..5).map(|_| worst.time(&rules)).min().unwrap_or_default();
        let decision = match rules.find(worst.name()) {
            Decision::TempFail { .. } => "cannot say",
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
            dearest = dearest.max(time.as_secs_f64() * 1e9 / steps as f64);
        }
    }
    eprintln!("{tried} tried; the longest took {longest:?}, a step {dearest:.1} ns at most");
}
