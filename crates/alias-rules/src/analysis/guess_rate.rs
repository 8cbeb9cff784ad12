//! Computes the chance that a random name is an alias.
//!
//! In this model, the sender of a random name knows the account, the alias, the literals and the order of the
//! parts, but not the functions. The length of each identifier is drawn from [`LENGTHS`] or [`FQDN_LENGTHS`],
//! and all texts of the class with this length are equally likely. Each character of the code is drawn by its
//! kind: one of 10 digits for each digit of a count, one of 36 letters and digits for a character, one of 32
//! characters for `HMAC`. The chance of a code is the product of these chances, and the rate is its mean over
//! all identifiers.
//!
//! Functions of different identifiers are independent. The chance for one identifier is computed exactly if
//! it depends on length and counts only. Otherwise it is estimated from [`SAMPLES`] texts, which are the same
//! in every run.

use super::instances::Source;
use crate::ir::{CompiledCall, Op, Target};
use crate::load::Options;
use crate::matcher::operations;
use crate::vocabulary::{Class, Function, is_alpha, is_digit, is_vowel};
use diagnostics::Text;
use foldhash::HashMap;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// The lengths of identifiers: names of shops and lists are hardly ever longer.
pub const LENGTHS: RangeInclusive<usize> = 1..=12;
/// The lengths of domains.
pub const FQDN_LENGTHS: RangeInclusive<usize> = 4..=16;
/// Number of texts of an estimate. For a rate of one in twenty the error is at most a tenth of the rate.
pub const SAMPLES: usize = 4096;
/// Maximum number of accounts and aliases considered; more would hardly change the mean.
const MAX_NAMES: usize = 100_000;

/// The characters from which a guessed character is drawn.
const CHARACTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const CAPITALS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The number of characters from which a guessed character of `HMAC` is drawn.
const SECRET: f64 = 32.0;

/// The chance that a random name with the form of a statement is an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct GuessRate {
    /// The index of the statement.
    pub statement: usize,
    /// The chance, between 0 (for a statement that never matches) and 1.
    pub share: f64,
    /// Whether the chance is exact; otherwise it is estimated.
    pub exact: bool,
}

/// Formats the rate: `1 in 360 (exact)` or `about 1 in 290 (estimated from 4096 samples)`.
impl fmt::Display for GuessRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share <= 0.0 {
            return f.write_str("never");
        }
        let odds = 1.0 / self.share;
        let about = if self.exact { "" } else { "about " };
        match odds {
            ..9.95 => write!(f, "{about}1 in {odds:.1}")?,
            _ => write!(f, "{about}1 in {odds:.0}")?,
        }
        if self.exact { f.write_str(" (exact)") } else { write!(f, " (estimated from {SAMPLES} samples)") }
    }
}

/// Computes the rate of each statement of valid texts.
pub fn guess_rates(texts: &[Text], options: &Options) -> Vec<GuessRate> {
    let mut cache = Cache::default();
    let sources = crate::analysis::sources(texts, options);
    sources.iter().enumerate().map(|(i, source)| cache.guess_rate(i, source)).collect()
}

/// The chances of identifiers that were computed before: a hundred thousand statements have few distinct
/// ones.
#[derive(Default)]
pub(crate) struct Cache {
    identifiers: HashMap<(u8, String), (f64, bool)>,
    fold: bool,
}

impl Cache {
    pub fn guess_rate(&mut self, statement: usize, source: &Source<'_>) -> GuessRate {
        if source.checked.never.is_some() || source.instance_count() == 0 {
            return GuessRate { statement, share: 0.0, exact: true };
        }
        self.fold = source.folds();
        let names = |list: &[crate::analysis::instances::Entry<'_>], target: Target| {
            let calls: Vec<&CompiledCall> =
                source.calls.iter().filter(|call| call.target == target).collect();
            if calls.is_empty() {
                return 1.0;
            }
            let shares = list.iter().take(MAX_NAMES).map(|entry| chance(&calls, &entry.key));
            mean(shares)
        };
        let aliases = if source.aliases.is_empty() { &source.accounts } else { &source.aliases };
        let mut share = names(&source.accounts, Target::Account) * names(aliases, Target::Alias);
        let mut exact = true;
        for (i, class) in source.checked.statement.expression.identifiers().enumerate() {
            let calls: Vec<&CompiledCall> =
                source.calls.iter().filter(|call| call.target == Target::Identifier(i)).collect();
            if calls.is_empty() {
                continue;
            }
            let ops: Vec<&Op> = calls.iter().map(|call| &call.op).collect();
            let key = (u8::from(self.fold), format!("{class:?} {ops:?}"));
            let fold = self.fold;
            let (chance, is_exact) = *self.identifiers.entry(key).or_insert_with(|| {
                by_counts(class, &calls, fold)
                    .map_or_else(|| (estimate(class, &calls, fold), false), |share| (share, true))
            });
            share *= chance;
            exact &= is_exact;
        }
        for call in source.calls.iter().filter(|call| call.target == Target::Name) {
            if let Op::Hmac(length) = call.op {
                share *= power(SECRET, length);
            }
        }
        GuessRate { statement, share, exact }
    }
}

fn real(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

fn mean(shares: impl Iterator<Item = f64>) -> f64 {
    let (sum, number) = shares.fold((0.0, 0_u32), |(sum, number), share| (sum + share, number + 1));
    if number == 0 { 0.0 } else { sum / f64::from(number) }
}

/// The chance of `times` independent events with one chance in `of` each.
fn power(of: f64, times: usize) -> f64 {
    of.powi(-i32::try_from(times).unwrap_or(i32::MAX))
}

/// The chance of guessing the digits of a number.
fn digits(count: usize) -> f64 {
    power(10.0, count.checked_ilog10().map_or(1, |log| log as usize + 1))
}

/// The chance of guessing the values of all functions of `text`.
fn chance(calls: &[&CompiledCall], text: &str) -> f64 {
    calls.iter().map(|call| chance_of(&call.op, text)).product()
}

fn chance_of(op: &Op, text: &str) -> f64 {
    let characters = real(CHARACTERS.len());
    let contained = || real(CHARACTERS.iter().filter(|c| text.as_bytes().contains(c)).count());
    match op {
        Op::Any => contained() / characters,
        Op::None => 1.0 - contained() / characters,
        Op::Hmac(length) => power(SECRET, *length),
        op => match (operations::value(op, text, ""), op) {
            (None, _) => 0.0,
            (Some(value), Op::Count(_)) => power(10.0, value.len()),
            (Some(value), _) => power(characters, value.chars().count()),
        },
    }
}

/// The characters that are allowed at the edges of an identifier, and inside.
fn alphabets(class: Class, fold: bool) -> [Vec<u8>; 2] {
    let all: Vec<u8> =
        CHARACTERS.iter().chain(if fold { &[][..] } else { CAPITALS }).chain(b"_.-").copied().collect();
    let of = |fits: &dyn Fn(u8) -> bool| all.iter().copied().filter(|b| fits(*b)).collect();
    [of(&|b| class.edge(b)), of(&|b| class.inner(b))]
}

fn lengths(class: Class) -> RangeInclusive<usize> {
    if class == Class::Fqdn { FQDN_LENGTHS } else { LENGTHS }
}

/// The numbers of digits, letters, vowels and dots.
type CharacterCounts = [u8; 4];

fn counts_of(b: u8) -> CharacterCounts {
    [is_digit(b), is_alpha(b), is_vowel(b), b == b'.'].map(u8::from)
}

/// The chance of each combination of counts, with one more character, which is any `of` these. Only the
/// `tracked` counts are distinguished.
fn one_more(
    ways: &BTreeMap<CharacterCounts, f64>,
    of: &[u8],
    tracked: [bool; 4],
) -> BTreeMap<CharacterCounts, f64> {
    let mut kinds: BTreeMap<CharacterCounts, f64> = BTreeMap::new();
    for b in of {
        let mut counts = counts_of(*b);
        for (count, tracked) in counts.iter_mut().zip(tracked) {
            *count *= u8::from(tracked);
        }
        *kinds.entry(counts).or_default() += 1.0 / real(of.len());
    }
    let mut next: BTreeMap<CharacterCounts, f64> = BTreeMap::new();
    for (so_far, chance) in ways {
        for (more, kind) in &kinds {
            let mut sum = *so_far;
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            *next.entry(sum).or_default() += chance * kind;
        }
    }
    next
}

/// The exact chance for an identifier whose functions depend on its length and counts only; `None` for other
/// functions.
fn by_counts(class: Class, calls: &[&CompiledCall], fold: bool) -> Option<f64> {
    let used = |function| calls.iter().any(|call| call.op == Op::Count(function));
    let plain = |op: &Op| matches!(op, Op::Count(_) | Op::Char { .. });
    let sought: Vec<&&CompiledCall> = calls.iter().filter(|call| !plain(&call.op)).collect();
    let counted = [Function::Digits, Function::Alphas, Function::Vowels, Function::Labels].map(used);
    match sought[..] {
        [] => {}
        // The chance that a text contains a character depends on its length only.
        [call] if matches!(call.op, Op::Any | Op::None) => {
            if class == Class::Fqdn || counted.contains(&true) {
                return None;
            }
        }
        _ => return None,
    }
    let [edge, inner] = alphabets(class, fold);
    // A fqdn needs a dot even if dots are not counted.
    let tracked = [counted[0], counted[1], counted[2], counted[3] || class == Class::Fqdn];
    let mut before = BTreeMap::from([([0; 4], 1.0)]);
    let mut shares = Vec::new();
    for length in 1..=*lengths(class).end() {
        // `before` has one character less; the last one is an edge.
        let ways = one_more(&before, &edge, tracked);
        before = one_more(&before, if length == 1 { &edge } else { &inner }, tracked);
        if !lengths(class).contains(&length) {
            continue;
        }
        let (mut all, mut guessed) = (0.0, 0.0);
        for (counts, chance) in &ways {
            let fits = class != Class::Fqdn || counts[3] > 0;
            let weight = |call: &&CompiledCall| match &call.op {
                Op::Count(function) => digits(match function {
                    Function::Digits => counts[0].into(),
                    Function::Alphas => counts[1].into(),
                    Function::Vowels => counts[2].into(),
                    Function::Labels => usize::from(counts[3]) + 1,
                    _ => length,
                }),
                Op::Any => chance_contained(&edge, &inner, length),
                Op::None => 1.0 - chance_contained(&edge, &inner, length),
                // The chance is the same for all texts of the length.
                op => chance_of(op, &"a".repeat(length)),
            };
            if fits {
                all += chance;
                guessed += chance * calls.iter().map(weight).product::<f64>();
            }
        }
        shares.push(if all > 0.0 { guessed / all } else { 0.0 });
    }
    Some(mean(shares.into_iter()))
}

/// The chance that a random text of this length contains a random character.
fn chance_contained(edge: &[u8], inner: &[u8], length: usize) -> f64 {
    let missing = |c: &u8| {
        let not = |of: &[u8]| 1.0 - if of.contains(c) { 1.0 / real(of.len()) } else { 0.0 };
        let edges = length.min(2);
        (0..length).map(|at| not(if at < edges { edge } else { inner })).product::<f64>()
    };
    1.0 - CHARACTERS.iter().map(missing).sum::<f64>() / real(CHARACTERS.len())
}

/// Estimates the chance as the mean over random texts of the class.
fn estimate(class: Class, calls: &[&CompiledCall], fold: bool) -> f64 {
    let [edge, inner] = alphabets(class, fold);
    let mut random = Random(0);
    let shares = (0..SAMPLES).map(|i| {
        let lengths = lengths(class);
        // All lengths are equally frequent.
        let length = lengths.start() + i % (lengths.end() - lengths.start() + 1);
        loop {
            let text: String = (0..length)
                .map(|at| {
                    let of = if at == 0 || at + 1 == length { &edge } else { &inner };
                    char::from(of[random.below(of.len())])
                })
                .collect();
            // Of texts with four characters, one in twenty has a dot.
            if class != Class::Fqdn || text.contains('.') {
                return chance(calls, &text);
            }
        }
    });
    mean(shares)
}

/// The exact chance, if it can be computed, and the estimate for the first statement's identifier.
#[cfg(test)]
pub(crate) fn both(texts: &[Text], options: &Options) -> (Option<f64>, f64) {
    let sources = crate::analysis::sources(texts, options);
    let class = sources[0].checked.statement.expression.identifiers().next().unwrap_or(Class::Alnum);
    let calls: Vec<&CompiledCall> = sources[0].calls.iter().collect();
    let exact = by_counts(class, &calls, options.fold).filter(|_| sources[0].checked.never.is_none());
    (exact, estimate(class, &calls, options.fold))
}

/// A pseudorandom number generator with a fixed seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap_or_default()
    }
}
