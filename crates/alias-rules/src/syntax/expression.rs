//! From the text behind `MATCHES` to its items.

use super::Fault;
use crate::vocabulary::Class;
use diagnostics::nearest;
use std::ops::Range;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// These very characters.
    Literal(String),
    /// `%account%`
    Account,
    /// `%alias%`
    Alias,
    /// `%code%`
    Code,
    /// `%date%`: the last day of the alias.
    Date,
    /// A text of the class.
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

/// The expression as written and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub text: String,
    pub span: Range<usize>,
    pub items: Vec<Item>,
    /// Whether something is wrong with it, so that items are missing.
    pub faulty: bool,
}

impl Expression {
    pub fn has(&self, item: &Item) -> bool {
        self.items.contains(item)
    }

    /// The classes of its identifiers, the first one first.
    pub fn identifiers(&self) -> impl Iterator<Item = Class> {
        self.items.iter().filter_map(|item| match item {
            Item::Identifier(class) => Some(*class),
            _ => None,
        })
    }
}

/// Reads `text`, which stands at `span`. In a literal `%%` is one `%`; a single `%` opens a name that goes
/// up to the next one or to the end; a `%` with nothing behind it is dropped.
pub(crate) fn read(text: &str, span: Range<usize>, faults: &mut Vec<Fault>) -> Expression {
    let known = faults.len();
    let mut items = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(behind) = after.strip_prefix('%') {
            literal.push('%');
            rest = behind;
            continue;
        }
        let (name, behind) = after.split_once('%').unwrap_or((after, ""));
        rest = behind;
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
                    faults.push(fault.help("an alias has one last day: leave one"));
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

/// Only letters can be told from digits where nothing stands between.
fn adjacent(before: Option<&Item>, item: &Item, name: &str, at: &Range<usize>) -> Option<Fault> {
    use Class::{Alpha, Number};
    use Item::Identifier;
    let message = match (before?, item) {
        (Item::Literal(_), _)
        | (Identifier(Alpha), Identifier(Number))
        | (Identifier(Number), Identifier(Alpha)) => return None,
        (Identifier(Alpha), Identifier(Alpha)) | (Identifier(Number), Identifier(Number)) => {
            format!("\"{name}\" stands next to itself")
        }
        _ => format!("\"{name}\" stands next to another name"),
    };
    Some(
        Fault::new(at.clone(), message)
            .help("put a literal between them; only %alpha% and %number% may stand side by side"),
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
    fn expressions() {
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
