//! Arranges words and comments in lines.

use super::WIDTH;
use super::tokens::{Entry, Kind, Sort, Token};

/// The indentation of continued lines.
const INDENT: &str = "    ";

/// Formats all entries, each on its own lines. Several blank lines between entries become one.
pub(crate) fn text(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    for entry in entries {
        if entry.blank && !out.is_empty() {
            out.push('\n');
        }
        match &entry.kind {
            Kind::Comment(comment) => line(&mut out, comment),
            Kind::Setting { comments, words, value } => {
                for comment in comments {
                    line(&mut out, comment);
                }
                line(&mut out, format!("{words}: {value}").trim_end());
            }
            Kind::Statement { tokens, on_line, .. } => match on_one_line(tokens).filter(|_| *on_line) {
                Some(statement) => line(&mut out, &statement),
                None => on_lines(&mut out, tokens),
            },
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// The separator of two words on a line.
fn between(before: Sort, sort: Sort) -> &'static str {
    match (before, sort) {
        (_, Sort::End) => "",
        (Sort::Name, Sort::Name) | (Sort::Call, Sort::Call) => ", ",
        _ => " ",
    }
}

/// Formats a statement on one line, if it fits and has no comments.
fn on_one_line(tokens: &[Token<'_>]) -> Option<String> {
    let mut line = String::new();
    let mut before = None;
    for token in tokens {
        if !token.comments.is_empty() {
            return None;
        }
        line.push_str(before.map_or("", |before| between(before, token.sort)));
        line.push_str(&token.text);
        before = Some(token.sort);
    }
    (width(&line) <= WIDTH).then_some(line)
}

/// Formats a statement with a line for each part. Long lists are wrapped.
fn on_lines(out: &mut String, tokens: &[Token<'_>]) {
    let mut open = String::new();
    let mut before = None;
    for token in tokens {
        let gap = before.map_or("", |before| between(before, token.sort));
        let is_part = token.sort == Sort::Keyword && before != Some(Sort::Keyword);
        // One column is for the comma or semicolon that follows.
        let is_wide = width(&open) + width(gap) + width(&token.text) + 1 > WIDTH;
        // A line that begins with # would be a comment.
        let wraps = gap == ", " && is_wide && !token.text.starts_with('#');
        if before.is_some() && (is_part || wraps || !token.comments.is_empty()) {
            open.push_str(gap.trim_end());
            line(out, &open);
            let indent = if is_part { "" } else { INDENT };
            for comment in &token.comments {
                line(out, &format!("{indent}{comment}"));
            }
            indent.clone_into(&mut open);
        } else {
            open.push_str(gap);
        }
        open.push_str(&token.text);
        before = Some(token.sort);
    }
    line(out, &open);
}

fn width(text: &str) -> usize {
    text.chars().count()
}
