//! Static analysis of rules: proves that no name is an alias of two accounts, or finds one; reports
//! statements that never match, and how hard aliases are to guess.
//!
//! Pure and bounded.
//!
//! | file | owns |
//! | --- | --- |
//! | `instances` | statements, each with one account and one alias |
//! | `pairs` | which of these can clash |
//! | `alphabet`, `machine`, `call_state` | how a statement reads a name, character by character |
//! | `ways`, `solve` | the shortest name that two instances match, by its length |
//! | `search` | the same by states |
//! | `always` | findings that need no name |
//! | `guess_rate` | how often a random name is an alias |
//! | `rings` | rules whose `DELIVER TO` loops |
//! | `unprotected` | check codes that protect nothing, because the mail server splits off extensions |
//! | `report` | the messages |
//!
//! Every witness is looked up in the rules before it is shown. If a search ends at one of the [`Limits`],
//! that is reported, too.

mod alphabet;
mod always;
mod call_state;
mod guess_rate;
mod instances;
mod machine;
mod pairs;
mod report;
mod rings;
mod search;
mod solve;
pub(crate) mod unprotected;
mod ways;

#[cfg(test)]
mod tests;

use crate::compile::refusals;
use crate::load::Options;
use crate::matcher::rules::Rules;
use crate::syntax;
use crate::syntax::Fault;
use crate::syntax::settings::Settings;
use diagnostics::{Problem, Text};
pub use guess_rate::{GuessRate, guess_rates};
use instances::Source;
use pairs::Comparison;
pub use rings::{Reads, rings};

/// Most pairs of rules and accounts compared. Most take a tenth of a millisecond, since their shapes have no
/// common name.
pub const MAX_PAIRS: usize = 20_000;

/// Most pairs of states for two statements, and most steps of a search by length. Real rules take some
/// thousand; this many take some tenths of a second.
pub const MAX_STATES: usize = 50_000;

/// Most pairs of states and steps for all of them: some seconds.
pub const MAX_WORK: usize = 4_000_000;

/// Up to this number, names that are not at the beginning are compared one by one; with more, first all
/// together, which takes longer for few names.
pub const MAX_SINGLE: usize = 16;

/// Above this rate aliases are easy to guess: a single count is above it, two functions are not.
pub const GUESSABLE: f64 = 0.05;

/// Limits of the analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Warn of statements for which a random name is an alias more often than this.
    pub guessable: Option<f64>,
    /// See [`MAX_PAIRS`].
    pub pairs: usize,
    /// See [`MAX_STATES`].
    pub states: usize,
    /// See [`MAX_WORK`].
    pub work: usize,
    /// See [`MAX_SINGLE`].
    pub listed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            guessable: Some(GUESSABLE),
            pairs: MAX_PAIRS,
            states: MAX_STATES,
            work: MAX_WORK,
            listed: MAX_SINGLE,
        }
    }
}

/// A name that two statements match, or one statement in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// A shortest one.
    pub witness: String,
    /// Its domain; `None` for any domain.
    pub domain: Option<String>,
    /// The statements, by number.
    pub statements: [usize; 2],
    /// The destination of each.
    pub destinations: [String; 2],
}

/// The result of the analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// All problems, in the order of the texts.
    pub problems: Vec<Problem>,
    /// Names with two destinations; at most one for each two statements.
    pub clashes: Vec<Clash>,
    /// Whether all possible clashes were compared to the end: names up to 16 characters longer than the
    /// shortest ones of either statement.
    pub complete: bool,
}

/// Looks for problems in rules that could be loaded: `rules` are `texts`, read with `options`.
pub fn analyse(rules: &Rules, texts: &[Text], options: &Options, limits: &Limits) -> Analysis {
    let sources = sources(texts, options);
    let mut comparison = Comparison::new(&sources, rules, limits, options.fold);
    comparison.run();
    let mut report = report::Report::new(&sources, rules);
    report.splits(&mut comparison);
    comparison.finish();
    report.shapes();
    report.guesses(limits);
    let done = comparison.done;
    let complete = done.pairs.0 == done.pairs.1 && done.given_up == 0 && done.unsplit == 0;
    report.compared(&done);
    let clashes = done.clashes.into_iter().map(|(clash, _)| clash).collect();
    Analysis { problems: report.sorted(texts), clashes, complete }
}

/// The statements of the texts.
fn sources<'t>(texts: &'t [Text], options: &Options) -> Vec<Source<'t>> {
    let mut sources = Vec::new();
    for text in texts {
        // Their faults were reported when they were loaded.
        let mut each = |statement, faults: &mut Vec<Fault>| {
            let checked = refusals::statement(statement, &options.secrets, faults);
            sources.push(Source::new(text, checked, options.fold));
        };
        syntax::read(text, options.dialect, &mut Settings::default(), &mut Vec::new(), &mut each);
    }
    sources
}
