//! A text of rules laid out: the same words and comments in the same order, with blanks and line ends where
//! a reader looks for them.
//!
//! A statement that stands on one line and fits stays on one line, so that a table of rules remains one. Any
//! other has a line for each part; lists are wrapped. A comment has a line of its own in front of the word it
//! stood in front of. What comes out is read again and compared before it is handed out.

mod layout;
mod tokens;

pub(crate) use tokens::{Entry, Kind, Sort, Token, read};

use crate::compile::trees;
use crate::compile::trees::Tree;
use crate::syntax::{Name, Statement};
use diagnostics::{Problem, Text, any_error};

/// Widest line, where a word does not make it wider: what fits beside another text on a screen.
pub const WIDTH: usize = 80;

/// Lays `text` out. The error holds what is wrong with it; a text with an error in it has no other form.
pub fn format(text: &Text) -> Result<String, Vec<Problem>> {
    let mut faults = Vec::new();
    let tree = trees::tree(text, &mut faults);
    let problems: Vec<Problem> = faults.into_iter().map(|fault| fault.of(text)).collect();
    if any_error(&problems) {
        return Err(problems);
    }
    let defect = || vec![Problem::error(text, 0..0, "this cannot be laid out; it stays as it is")];
    let entries = read(text, &tree).ok_or_else(defect)?;
    let out = layout::text(&entries);
    if is_same(&tree, &entries, &out) { Ok(out) } else { Err(defect()) }
}

/// Lays out what is left of a text without its configuration statements.
pub(crate) fn rules_alone(entries: &[Entry<'_>]) -> String {
    let rules = entries.iter().filter(|entry| !matches!(entry.kind, Kind::Setting { .. })).cloned();
    layout::text(&rules.collect::<Vec<_>>())
}

/// Whether `out` says what `tree` and `entries` say.
fn is_same(tree: &Tree<'_>, entries: &[Entry<'_>], out: &str) -> bool {
    let text = Text::new("", out);
    let again = trees::tree(&text, &mut Vec::new());
    let Some(entries_again) = read(&text, &again) else { return false };
    again.gaps == tree.gaps
        && again.statements.len() == tree.statements.len()
        && again.statements.iter().zip(&tree.statements).all(|(a, b)| means(a, b))
        && tokens::comments(&entries_again).eq(tokens::comments(entries))
        && tokens::settings(&entries_again).eq(tokens::settings(entries))
}

/// Whether two statements are the same but for their places.
fn means(a: &Statement<'_>, b: &Statement<'_>) -> bool {
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
