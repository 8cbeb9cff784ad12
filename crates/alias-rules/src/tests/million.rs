//! Compares a million lookups with the naive implementation: files with many statements, whose templates
//! share literals and whose accounts are in several statements, and names that are one character away from an
//! alias.

use crate::tests::naive::{NaiveStatement, Want, decide};
use crate::tests::random::{day, name_for, statement};
use crate::*;
use diagnostics::Text;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Number of files for each thread. Together with [`NAMES`] this makes a million names.
const FILES: usize = 500;
/// Test machines have at least two cores.
const THREADS: u8 = 2;
/// Number of names looked up in each file.
const NAMES: usize = 1000;
/// Maximum number of statements in a file. It exceeds the number up to which the prefilter tries all
/// templates.
const STATEMENTS: usize = 12;

/// A random value of a strategy.
fn random_value<S: Strategy>(strategy: S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

fn text(statements: &[NaiveStatement]) -> String {
    statements.iter().map(NaiveStatement::text).collect()
}

/// Up to [`STATEMENTS`] statements that can be loaded together.
fn file(runner: &mut TestRunner) -> (Vec<NaiveStatement>, Rules) {
    let wanted = random_value(1..=STATEMENTS, runner);
    let (mut all, mut rules) = (Vec::new(), Rules::default());
    for _ in 0..4 * wanted {
        let next = random_value(statement(), runner);
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

/// The name with one character changed, added or removed, or unchanged.
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

/// Looks up names in one file and returns the number of aliases.
fn compare(runner: &mut TestRunner) -> usize {
    let (statements, rules) = file(runner);
    let mut hits = 0;
    let mut name = String::new();
    for i in 0..if statements.is_empty() { 0 } else { NAMES } {
        if i % 10 == 0 {
            let of = runner.rng().random_range(0..statements.len());
            name = random_value(name_for(&statements[of]), runner);
        }
        let name = changed(&name, runner);
        let domain = [None, Some("a.test"), Some("b.test")][runner.rng().random_range(0..3)];
        let query = Query { name: &name, domain, today: random_value(day(), runner) };
        let got = rules.find(query);
        hits += usize::from(!matches!(got, Decision::NoMatch));
        match (decide(&statements, query), got) {
            (Want::Decision(want), got) => assert_eq!(got, want, "{query:?}\n{}", text(&statements)),
            (Want::Expired { statement, names }, Decision::Expired { name, statement: got, .. })
                if got == statement && names.contains(name) => {}
            (want, got) => panic!("{want:?} {got:?} {query:?}\n{}", text(&statements)),
        }
    }
    hits
}

#[test]
fn a_million_decisions_equal_those_of_the_naive_implementation() {
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
    // The test is useful only if enough names are aliases.
    assert!(hits.iter().sum::<usize>() > usize::from(THREADS) * FILES * NAMES / 20, "{hits:?}");
}
