//! Parses loaded texts again for the tools that need the source: the generator, the formatter and the
//! importer.

use super::refusals;
use super::refusals::Checked;
use crate::secrets::Secrets;
use crate::syntax;
use crate::syntax::settings::{Dialect, Settings};
use crate::syntax::{Fault, Statement};
use diagnostics::Text;

/// Parses and checks `texts` that [`load`](crate::load::load) accepted. The index of a statement is the same
/// as in their [`Rules`](crate::matcher::rules::Rules). Warnings are dropped, since `load` reported them.
pub(crate) fn of<'t>(texts: &'t [Text], dialect: Dialect, secrets: &Secrets) -> Vec<Checked<'t>> {
    let (mut legacy, mut faults) = (Settings::default(), Vec::new());
    let mut statements = Vec::new();
    for text in texts {
        syntax::read(text, dialect, &mut legacy, &mut faults, &mut |statement, faults| {
            statements.push(refusals::statement(statement, secrets, faults));
        });
    }
    statements
}

/// A parsed text.
#[derive(Debug, Default)]
pub(crate) struct Tree<'t> {
    pub statements: Vec<Statement<'t>>,
    /// Whether statements are missing because of errors.
    pub gaps: bool,
}

/// Parses `text` and reports the errors in its statements, but not those between statements. Secrets are not
/// needed.
pub(crate) fn tree<'t>(text: &'t Text, faults: &mut Vec<Fault>) -> Tree<'t> {
    // A placeholder, so that HMAC without a secret is not an error.
    let secrets = Secrets::new([b"placeholder".to_vec()]);
    let mut statements = Vec::new();
    let mut each = |statement, faults: &mut Vec<Fault>| {
        statements.push(refusals::statement(statement, &secrets, faults).statement);
    };
    let complete = syntax::read(text, Dialect::Any, &mut Settings::default(), faults, &mut each);
    Tree { statements, gaps: !complete }
}
