//! The index against the naive way, a million times: files of many statements, in which templates share
//! literals, accounts stand in several statements and names are one character away from an alias.

use crate::tests::naive::{Made, Want, decide};
use crate::tests::random::{day, made, name_for};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Files, one after the other, in each thread; with [`NAMES`] that makes a million names.
const FILES: usize = 500;
/// Two cores are what tests can count on.
const THREADS: u8 = 2;
/// Names looked up in each file.
const NAMES: usize = 1000;
/// More statements than are tried without looking for their literals.
const STATEMENTS: usize = 12;

/// A random value of a strategy.
fn one<S: Strategy>(strategy: S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

fn text(made: &[Made]) -> String {
    made.iter().map(Made::text).collect()
}

/// Statements that can be loaded together, up to [`STATEMENTS`].
fn file(runner: &mut TestRunner) -> (Vec<Made>, Rules) {
    let wanted = one(1..=STATEMENTS, runner);
    let (mut all, mut rules) = (Vec::new(), Rules::default());
    for _ in 0..4 * wanted {
        let next = one(made(), runner);
        all.push(next);
        match load(&[Text::new("t", &text(&all))], &Options::default()) {
            Ok(loaded) => rules = loaded.rules,
            Err(_) => drop(all.pop()),
        }
        if all.len() == wanted {
            break;
        }
    }
    (all, rules)
}

/// The name with one character changed, added or left out, or as it is.
fn changed(name: &str, runner: &mut TestRunner) -> String {
    const CHARACTERS: [char; 9] = ['a', 'b', '1', '2', '0', '-', '.', '_', 'é'];
    let mut chars: Vec<char> = name.chars().collect();
    let rng = runner.rng();
    let (at, c) = (rng.random_range(0..=chars.len()), CHARACTERS[rng.random_range(0..CHARACTERS.len())]);
    match rng.random_range(0..4) {
        0 => chars.insert(at, c),
        1 if at < chars.len() => chars[at] = c,
        2 if at < chars.len() => drop(chars.remove(at)),
        _ => {}
    }
    chars.into_iter().collect()
}

/// Looks up names in one file: how many were aliases.
fn compare(runner: &mut TestRunner) -> usize {
    let (made, rules) = file(runner);
    let mut hits = 0;
    let mut name = String::new();
    for i in 0..if made.is_empty() { 0 } else { NAMES } {
        if i % 10 == 0 {
            let of = runner.rng().random_range(0..made.len());
            name = one(name_for(&made[of]), runner);
        }
        let name = changed(&name, runner);
        let domain = [None, Some("a.test"), Some("b.test")][runner.rng().random_range(0..3)];
        let query = Query { name: &name, domain, today: one(day(), runner) };
        let got = rules.find(query);
        hits += usize::from(!matches!(got, Decision::NoMatch));
        match (decide(&made, query), got) {
            (Want::Decision(want), got) => assert_eq!(got, want, "{query:?}\n{}", text(&made)),
            (Want::Expired { statement, names }, Decision::Expired { name, statement: got, .. })
                if got == statement && names.contains(name) => {}
            (want, got) => panic!("{want:?} {got:?} {query:?}\n{}", text(&made)),
        }
    }
    hits
}

#[test]
fn a_million_names() {
    let hits: Vec<usize> = std::thread::scope(|scope| {
        let thread = |seed: u8| {
            move || {
                let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
                let mut runner = TestRunner::new_with_rng(Config::default(), rng);
                (0..FILES).map(|_| compare(&mut runner)).sum::<usize>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|seed| scope.spawn(thread(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no difference")).collect()
    });
    // A test in which nothing is an alias proves nothing.
    assert!(hits.iter().sum::<usize>() > usize::from(THREADS) * FILES * NAMES / 20, "{hits:?}");
}
