//! Parses the expression after `MATCHES`.

use super::Fault;
use crate::vocabulary::Class;
use diagnostics::nearest;
use std::ops::Range;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Literal(String),
    /// `%account%`
    Account,
    /// `%alias%`
    Alias,
    /// `%code%`
    Code,
    /// `%date%`: the last day of the alias.
    Date,
    /// A name such as `%ident%`: a text of the class.
    Identifier(Class),
}

impl Item {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "account" => Some(Item::Account),
            "alias" => Some(Item::Alias),
            "code" => Some(Item::Code),
            "date" => Some(Item::Date),
            _ => Class::from_name(name).map(Item::Identifier),
        }
    }
}

/// An expression, as written and parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub text: String,
    pub span: Range<usize>,
    pub items: Vec<Item>,
    /// Whether it has errors. If so, items are missing.
    pub faulty: bool,
}

impl Expression {
    pub fn has(&self, item: &Item) -> bool {
        self.items.contains(item)
    }

    /// The classes of its identifiers, from left to right.
    pub fn identifiers(&self) -> impl Iterator<Item = Class> {
        self.items.iter().filter_map(|item| match item {
            Item::Identifier(class) => Some(*class),
            _ => None,
        })
    }
}

/// Parses `text`, which is at `span` of the file. `%%` is a literal `%`; a single `%` begins a name, which
/// extends to the next `%` or to the end; a `%` at the end is dropped.
pub(crate) fn read(text: &str, span: Range<usize>, faults: &mut Vec<Fault>) -> Expression {
    let known = faults.len();
    let mut items = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(tail) = after.strip_prefix('%') {
            literal.push('%');
            rest = tail;
            continue;
        }
        let (name, tail) = after.split_once('%').unwrap_or((after, ""));
        rest = tail;
        if name.is_empty() {
            continue;
        }
        let start = span.start + (text.len() - after.len());
        let at = start..start + name.len();
        if !literal.is_empty() {
            items.push(Item::Literal(std::mem::take(&mut literal)));
        }
        match Item::from_name(name) {
            Some(item) => {
                if item == Item::Date && items.contains(&item) {
                    let fault = Fault::new(at.clone(), "a second %date% in the expression");
                    faults.push(fault.help("an alias has one last day: keep one %date%"));
                }
                if let Some(fault) = adjacent(items.last(), &item, name, &at) {
                    faults.push(fault);
                }
                items.push(item);
            }
            None => faults.push(unknown(name, at)),
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        items.push(Item::Literal(literal));
    }
    Expression { text: text.into(), span, items, faulty: faults.len() > known }
}

/// Reports two adjacent names that cannot be separated: only letters next to digits can.
fn adjacent(before: Option<&Item>, item: &Item, name: &str, at: &Range<usize>) -> Option<Fault> {
    use Class::{Alpha, Number};
    use Item::Identifier;
    let message = match (before?, item) {
        (Item::Literal(_), _)
        | (Identifier(Alpha), Identifier(Number))
        | (Identifier(Number), Identifier(Alpha)) => return None,
        (Identifier(Alpha), Identifier(Alpha)) | (Identifier(Number), Identifier(Number)) => {
            format!("\"{name}\" is next to itself")
        }
        _ => format!("\"{name}\" is next to another name"),
    };
    Some(
        Fault::new(at.clone(), message)
            .help("put a literal between them; only %alpha% and %number% may be adjacent"),
    )
}

fn unknown(name: &str, at: Range<usize>) -> Fault {
    let known = ["account", "alias", "code", "date"].into_iter().chain(Class::ALL.map(Class::name));
    let help = match nearest(name, known) {
        Some(near) => format!("did you mean %{near}%?"),
        None => {
            "known are account, alias, code, date, alnum, alpha, number, ident, fqdn; a literal percent sign is \
                 written %%"
                .into()
        }
    };
    Fault::new(at, format!("unknown name \"{name}\" in the expression")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let mut faults = Vec::new();
        let got = read(text, 0..text.len(), &mut faults);
        let items = got.items.iter().map(|item| match item {
            Item::Literal(text) => format!("'{text}'"),
            Item::Identifier(class) => class.name().into(),
            other => format!("{other:?}"),
        });
        let faults = faults.iter().map(|f| format!("!{}..{}", f.span.start, f.span.end));
        items.chain(faults).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parses_literals_names_and_percent_signs() {
        let cases = [
            ("%account%-%alnum%-%code%", "Account '-' alnum '-' Code"),
            ("a%%b%code", "'a%b' Code"),
            ("%%", "'%'"),
            ("%%%%", "'%%'"),
            ("%%%code%", "'%' Code"),
            ("%code%-%", "Code '-'"),
            ("%", ""),
            ("a%%code", "'a%code'"),
            ("%alpha%%number%%alpha%", "alpha number alpha"),
            ("%alpha%%alpha%", "alpha alpha !8..13"),
            ("%ident%%code%", "ident Code !8..12"),
            ("é%nope%", "'é' !3..7"),
            ("%date%-%number%", "Date '-' number"),
            ("%number%%date%", "number Date !9..13"),
            ("%date%%alpha%", "Date alpha !7..12"),
            ("%date%-%date%", "Date '-' Date !8..12"),
            ("%code%-%date", "Code '-' Date"),
        ];
        for (text, want) in cases {
            assert_eq!(show(text), want, "{text}");
        }
    }
}
