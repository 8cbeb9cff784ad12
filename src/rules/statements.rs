//! The statements of texts once more as trees, for the tools: those who make addresses, lay out a text, or
//! compare two ways to read it look at what was written, not at what it was compiled to.

use super::check::{self, Checked};
use super::legacy::Legacy;
use super::{Options, syntax};
use crate::diag::Text;

/// The statements of `texts`, which have been loaded without an error: the one numbered `i` here is the one
/// numbered `i` in the [`Rules`](super::Rules) of the same texts. What is wrong with them was said by
/// [`load`](super::load).
pub(super) fn of<'t>(texts: &'t [Text], options: &Options) -> Vec<Checked<'t>> {
    let (mut legacy, mut faults) = (Legacy::default(), Vec::new());
    let mut statements = Vec::new();
    for text in texts {
        syntax::read(text, options.dialect, &mut legacy, &mut faults, &mut |statement, faults| {
            statements.push(check::statement(statement, &options.secrets, faults));
        });
    }
    statements
}
