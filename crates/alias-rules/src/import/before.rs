//! The behaviour of the predecessor, as far as it matters for differences.

use crate::compile::refusals::Checked;
use crate::matcher::code_shape;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;

/// Whether a name passed the predecessor's first test, regardless of its code: it could be split into the
/// literals and a text of the right form for each name of the expression. Accounts and aliases had to be of
/// the class `ident`.
pub(crate) fn has_shape(checked: &Checked<'_>, name: &str) -> bool {
    let fits = |item: &Item, text: &str| match item {
        Item::Literal(literal) => text == literal,
        Item::Account | Item::Alias => is_of(Class::Ident, text),
        Item::Identifier(class) => is_of(*class, text),
        Item::Code => !text.is_empty() && code_shape::fits(&checked.calls, text),
        // The predecessor had no %date%.
        Item::Date => false,
    };
    let mut here = vec![0];
    for item in &checked.statement.expression.items {
        let mut there: Vec<usize> = Vec::new();
        for &start in &here {
            let ends = (start + 1..=name.len())
                .filter(|end| name.get(start..*end).is_some_and(|text| fits(item, text)));
            there.extend(ends);
        }
        there.sort_unstable();
        there.dedup();
        here = there;
    }
    here.last() == Some(&name.len())
}

fn is_of(class: Class, text: &str) -> bool {
    class.spells(text) && (class != Class::Fqdn || text.contains('.'))
}

/// Detects a quirk of the predecessor: for two adjacent names at the beginning or the end, three names in a
/// row, or a single name, it required a percent sign that the expression does not have. The value is `true`
/// if the only such percent sign was at the beginning.
pub(crate) fn phantom_percent(expression: &str) -> Option<bool> {
    let literals: Vec<&str> = expression.split('%').step_by(2).collect();
    let is_empty = |pair: &[&str]| pair.iter().all(|literal| literal.is_empty());
    let mut found = literals.windows(2).enumerate().filter(|(_, pair)| is_empty(pair));
    let (at, _) = found.next()?;
    Some(at == 0 && found.next().is_none())
}

/// For an identifier with the text `word` before `literal`, finds a longer text after which the literal
/// overlaps an earlier occurrence. The predecessor missed such occurrences.
pub(crate) fn overlapped(class: Class, word: &str, literal: &str) -> Option<String> {
    let starts = literal.char_indices().skip(1).map(|(at, _)| at);
    starts.filter(|at| literal.starts_with(&literal[*at..])).find_map(|at| {
        let longer = format!("{word}{}", &literal[..at]);
        let first = format!("{longer}{literal}").find(literal) == Some(word.len());
        (first && is_of(class, &longer) && is_of(class, word)).then_some(longer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_before_overlapping_literals() {
        for (class, word, literal, want) in [
            (Class::Alpha, "a", "xx", Some("ax")),
            (Class::Alpha, "a", "xy", None),
            (Class::Alpha, "a", "--", None),
            (Class::Fqdn, "a.b", "-foo-", Some("a.b-foo")),
            (Class::Fqdn, "a.b", "xyx", Some("a.bxy")),
            (Class::Alnum, "ax", "xx", None),
            (Class::Alnum, "a", "é1é", None),
            (Class::Alnum, "a", "x", None),
        ] {
            assert_eq!(overlapped(class, word, literal).as_deref(), want, "{word} {literal}");
        }
    }

    #[test]
    fn detects_phantom_percent_signs() {
        for (expression, want) in [
            ("%alpha%%number%-%code%", Some(true)),
            ("x-%code%-%alpha%%number%", Some(false)),
            ("x%alpha%%number%%alpha%-%code%", Some(false)),
            ("x%alpha%%number%-%code%", None),
            ("%account%-%code%", None),
            ("%code%", Some(true)),
            ("%alpha%%number%%alpha%-%code%", Some(false)),
        ] {
            assert_eq!(phantom_percent(expression), want, "{expression}");
        }
    }
}
