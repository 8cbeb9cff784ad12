//! Static analysis of rules: proves that no name is an alias of two accounts, or finds one; reports
//! statements that never match, and the chance of guessing an alias.
//!
//! The cost is bounded by [`Limits`], and reaching a limit is reported. Every witness is looked up in the
//! rules before it is reported.
//!
//! | file | contents |
//! | --- | --- |
//! | `instances` | statements, each with one account and one alias |
//! | `pairs` | finds the instances that can clash |
//! | `alphabet`, `machine`, `call_state` | a statement as a state machine that reads characters |
//! | `split_search`, `solve` | finds the shortest name that two instances match, by its length |
//! | `search` | the same by states |
//! | `always` | findings that need no name |
//! | `guess_rate` | the chance that a random name is an alias |
//! | `loops` | rules whose `DELIVER TO` loops |
//! | `unprotected` | check codes without effect, because the mail server splits off extensions |
//! | `report` | the messages |

mod alphabet;
mod always;
mod call_state;
mod guess_rate;
mod instances;
mod loops;
mod machine;
mod pairs;
mod report;
mod search;
mod solve;
mod split_search;
pub(crate) mod unprotected;

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
pub use loops::{PolicyOf, delivery_loops};
use pairs::Comparison;

/// Maximum number of pairs of rules and accounts that are compared. Most take a tenth of a millisecond, since
/// their shapes have no common name.
pub const MAX_PAIRS: usize = 20_000;

/// Maximum number of pairs of states for two statements, and of steps of a search by length. Real rules need
/// some thousand; the maximum takes some tenths of a second.
pub const MAX_STATES: usize = 50_000;

/// Maximum number of pairs of states and steps for all statements, which takes some seconds.
pub const MAX_WORK: usize = 4_000_000;

/// Up to this number, names that are not at the beginning are compared one by one. Longer lists are first
/// compared as a whole, which would take longer for short lists.
pub const MAX_SINGLE: usize = 16;

/// The rate above which aliases are easy to guess. The rate of a single count is above it, that of two
/// functions is below.
pub const GUESSABLE: f64 = 0.05;

/// Limits of the analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Warn about statements for which a random name is an alias at a higher rate. `None` disables the
    /// warning.
    pub guessable: Option<f64>,
    /// Maximum number of pairs of rules and accounts that are compared.
    pub pairs: usize,
    /// Maximum number of pairs of states and of steps for two statements.
    pub states: usize,
    /// Maximum number of pairs of states and steps for all statements.
    pub work: usize,
    /// Maximum number of names that are compared one by one if they are not at the beginning.
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

/// A name that two statements match, or that one statement matches in two split_search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// A shortest such name.
    pub witness: String,
    /// Its domain; `None` for any domain.
    pub domain: Option<String>,
    /// The indices of the statements.
    pub statements: [usize; 2],
    /// The destination of each.
    pub destinations: [String; 2],
}

/// The result of the analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// All problems, in the order of the texts.
    pub problems: Vec<Problem>,
    /// Names with two destinations; at most one for each pair of statements.
    pub clashes: Vec<Clash>,
    /// Whether no limit was reached. Then all names were considered that are at most 16 characters longer
    /// than the shortest name of either statement.
    pub complete: bool,
}

/// Finds problems in `rules`, which must be `texts` loaded with `options`.
///
/// ```
/// use alias_rules::{Limits, Options, analyse, load};
/// use diagnostics::Text;
///
/// let text = "ACCOUNT foo MATCHES x-%ident%-%code% WITH CHARS();\n\
///             ACCOUNT bar MATCHES x-%alpha%-%code% WITH CHARS();";
/// let (texts, options) = ([Text::new("example.rules", text)], Options::default());
/// let rules = load(&texts, &options).unwrap().rules;
/// let analysis = analyse(&rules, &texts, &options, &Limits::default());
/// assert_eq!(analysis.clashes[0].destinations, ["foo", "bar"]);
/// ```
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
    let complete = done.pairs.0 == done.pairs.1 && done.unfinished == 0 && done.unsearched == 0;
    report.compared(&done);
    let clashes = done.clashes.into_iter().map(|(clash, _)| clash).collect();
    Analysis { problems: report.sorted(texts), clashes, complete }
}

/// The statements of the texts.
fn sources<'t>(texts: &'t [Text], options: &Options) -> Vec<Source<'t>> {
    let mut sources = Vec::new();
    for text in texts {
        // Faults were reported when the texts were loaded.
        let mut each = |statement, faults: &mut Vec<Fault>| {
            let checked = refusals::statement(statement, &options.secrets, faults);
            sources.push(Source::new(text, checked, options.fold));
        };
        syntax::read(text, options.dialect, &mut Settings::default(), &mut Vec::new(), &mut each);
    }
    sources
}
