//! The statements of texts once more as trees, for the tools: those who make addresses, lay out a text, or
//! compare two ways to read it look at what was written, not at what it was compiled to.

use super::refusals;
use super::refusals::Checked;
use crate::load::Options;
use crate::secrets::Secrets;
use crate::syntax;
use crate::syntax::settings::{Dialect, Settings};
use crate::syntax::{Fault, Statement};
use diagnostics::Text;

/// The statements of `texts`, which have been loaded without an error: the one numbered `i` here is the one
/// numbered `i` in the [`Rules`](crate::matcher::rules::Rules) of the same texts. What is wrong with them was said by
/// [`load`](crate::load::load).
pub(crate) fn of<'t>(texts: &'t [Text], options: &Options) -> Vec<Checked<'t>> {
    let (mut legacy, mut faults) = (Settings::default(), Vec::new());
    let mut statements = Vec::new();
    for text in texts {
        syntax::read(text, options.dialect, &mut legacy, &mut faults, &mut |statement, faults| {
            statements.push(refusals::statement(statement, &options.secrets, faults));
        });
    }
    statements
}

/// All of a text.
#[derive(Debug, Default)]
pub(crate) struct Tree<'t> {
    pub statements: Vec<Statement<'t>>,
    /// Whether some statement could not be read to its end and is missing.
    pub gaps: bool,
}

/// What stands in `text`, and what is wrong with it by itself. No secret is needed to read.
pub(crate) fn tree<'t>(text: &'t Text, faults: &mut Vec<Fault>) -> Tree<'t> {
    let secrets = Secrets::new([b"any will do".to_vec()]);
    let mut statements = Vec::new();
    let mut each = |statement, faults: &mut Vec<Fault>| {
        statements.push(refusals::statement(statement, &secrets, faults).statement);
    };
    let complete = syntax::read(text, Dialect::Any, &mut Settings::default(), faults, &mut each);
    Tree { statements, gaps: !complete }
}
