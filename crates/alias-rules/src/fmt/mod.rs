//! Formats a text of rules: the words and comments keep their order, only blanks and line ends change.
//!
//! A statement on one line stays on one line if it fits, so a table of rules remains a table. Any other
//! statement gets a line for each part, and lists are wrapped. A comment is moved to its own line before the
//! word that followed it. The result is parsed reparsed and compared with the original before it is returned.

mod layout;
mod tokens;

pub(crate) use tokens::{Entry, Kind, Sort, Token, read};

use crate::compile::trees;
use crate::compile::trees::Tree;
use crate::syntax::{Name, Statement};
use diagnostics::{Problem, Text, any_error};

/// Maximum width of a line, unless a single word is longer.
pub const WIDTH: usize = 80;

/// Formats `text`.
///
/// # Errors
/// All errors and warnings of the text, if it has an error.
pub fn format(text: &Text) -> Result<String, Vec<Problem>> {
    let mut faults = Vec::new();
    let tree = trees::tree(text, &mut faults);
    let problems: Vec<Problem> = faults.into_iter().map(|fault| fault.of(text)).collect();
    if any_error(&problems) {
        return Err(problems);
    }
    let defect = || vec![Problem::error(text, 0..0, "this text cannot be formatted and is left unchanged")];
    let entries = read(text, &tree).ok_or_else(defect)?;
    let out = layout::text(&entries);
    if is_same(&tree, &entries, &out) { Ok(out) } else { Err(defect()) }
}

/// Formats a text without its configuration statements.
pub(crate) fn rules_alone(entries: &[Entry<'_>]) -> String {
    let rules = entries.iter().filter(|entry| !matches!(entry.kind, Kind::Setting { .. })).cloned();
    layout::text(&rules.collect::<Vec<_>>())
}

/// Whether `out` has the same meaning, comments and settings as `tree` and `entries`.
fn is_same(tree: &Tree<'_>, entries: &[Entry<'_>], out: &str) -> bool {
    let text = Text::new("", out);
    let reparsed = trees::tree(&text, &mut Vec::new());
    let Some(reparsed_entries) = read(&text, &reparsed) else { return false };
    reparsed.gaps == tree.gaps
        && reparsed.statements.len() == tree.statements.len()
        && reparsed.statements.iter().zip(&tree.statements).all(|(a, b)| has_same_meaning(a, b))
        && tokens::comments(&reparsed_entries).eq(tokens::comments(entries))
        && tokens::settings(&reparsed_entries).eq(tokens::settings(entries))
}

/// Whether two statements are equal except for their positions.
fn has_same_meaning(a: &Statement<'_>, b: &Statement<'_>) -> bool {
    let names =
        |a: &[Name<'_>], b: &[Name<'_>]| a.iter().map(|name| name.value).eq(b.iter().map(|name| name.value));
    let lists = |a: &Option<Vec<Name<'_>>>, b: &Option<Vec<Name<'_>>>| match (a, b) {
        (Some(a), Some(b)) => names(a, b),
        (None, None) => true,
        _ => false,
    };
    let calls = |statement: &Statement<'_>| {
        let calls = statement.calls.iter();
        calls.map(|call| (call.function, call.arguments.clone(), call.default.clone())).collect::<Vec<_>>()
    };
    names(&a.accounts, &b.accounts)
        && a.using == b.using
        && lists(&a.aliases, &b.aliases)
        && lists(&a.domains, &b.domains)
        && a.expression.text == b.expression.text
        && calls(a) == calls(b)
        && a.deliver.as_ref().map(|deliver| deliver.target.value)
            == b.deliver.as_ref().map(|deliver| deliver.target.value)
}
