//! The types of values: each reads itself from a TOML value.

use super::keys::SourceTable;
use super::read::Reader;
use super::section::{Entry, Section};
use super::time;
use diagnostics::Text;
use mail_address::escape;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A key's value and its position.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    /// The key with its section, such as `milter.listen`.
    pub key: &'static str,
    /// The file; for a server statement of trualias that sets the key, the rules file.
    pub text: Text,
    /// The position of the value in the file, in bytes.
    pub span: Range<usize>,
    /// The value.
    pub value: T,
}

impl<T> Given<T> {
    /// The same place with asterisks for the value, which a message must not quote.
    pub fn hidden(&self) -> Given<()> {
        let part = |range: Range<usize>| self.text.content.get(range).unwrap_or_default();
        let (before, after) = (part(0..self.span.start), part(self.span.end..self.text.content.len()));
        let content = [before, &"*".repeat(self.span.len()), after].concat();
        let text = Text::new(&self.text.file, &content);
        Given { key: self.key, text, span: self.span.clone(), value: () }
    }
}

/// A key in the file.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// The key is not present.
    #[default]
    Absent,
    /// The key is present, but not of its type; the error was reported.
    Broken,
    /// The key is present and has its type.
    Given(Given<T>),
}

impl<T> Field<T> {
    /// Returns the value, if present and usable.
    pub fn given(&self) -> Option<&Given<T>> {
        match self {
            Field::Given(given) => Some(given),
            Field::Absent | Field::Broken => None,
        }
    }

    /// Where the key is in the file, if it is present and usable.
    pub fn place(&self) -> Option<Given<()>> {
        self.given().map(|given| Given {
            key: given.key,
            text: given.text.clone(),
            span: given.span.clone(),
            value: (),
        })
    }
}

/// One value or a list of them.
#[derive(Debug)]
pub(super) struct List<T> {
    /// The items that could be read.
    pub items: Vec<Spanned<T>>,
    /// Whether these are all items.
    pub complete: bool,
}

/// A type of values.
pub(super) trait Value: Sized {
    /// Name of a list of such values, and its syntax, for messages.
    const LIST: [&'static str; 2] = ["a list of strings", "write it as [\"...\", \"...\"]"];

    /// Reads a value. Reports a problem of `key` to `reader` and returns `None`.
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self>;
}

impl Value for String {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => reader.wrong_type(key, value, "a string", "write it in quotes"),
        }
    }
}

impl Value for bool {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            _ => reader.wrong_type(key, value, "true or false", "write it without quotes"),
        }
    }
}

impl Value for u64 {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(number) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok().or_else(|| {
                    let message = format!("{key} = {number} is out of range");
                    reader.error(value.span(), message, "write a number that is neither negative nor huge")
                })
            }
            _ => reader.wrong_type(key, value, "a number", "write a whole number without quotes"),
        }
    }
}

impl Value for Duration {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => time::parse(text).or_else(|| {
                reader.error(
                    value.span(),
                    format!("{key} = \"{}\" is not a time", escape(&**text)),
                    time::REMEDY,
                )
            }),
            DeValue::Integer(_) => u64::read(key, value, reader).map(Duration::from_secs),
            _ => reader.wrong_type(key, value, "a time", time::REMEDY),
        }
    }
}

/// A single value is read as a list of one.
impl<T: Value> Value for List<T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let values = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            DeValue::String(_) | DeValue::Table(_) => vec![value],
            _ => return reader.wrong_type(key, value, T::LIST[0], T::LIST[1]),
        };
        let mut list = List { items: Vec::new(), complete: true };
        for value in values {
            match T::read(key, value, reader) {
                Some(item) => list.items.push(Spanned::new(value.span(), item)),
                None => list.complete = false,
            }
        }
        Some(list)
    }
}

/// An entry of `account.source`: the source alone, or a table with its settings.
#[derive(Debug)]
pub(super) enum Source {
    /// `"vrfy:127.0.0.1:5025"`
    Name(String),
    /// `{ source = "vrfy:127.0.0.1:5025", deadline = "2s" }`
    Table(Box<SourceTable>),
}

impl Value for Source {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Source::Table(Box::new(SourceTable::read_table(table, reader)))),
            _ => String::read(key, value, reader).map(Source::Name),
        }
    }
}

impl Source {
    /// The source as it is written.
    pub fn text(&self) -> Option<&str> {
        match self {
            Source::Name(name) => Some(name),
            Source::Table(table) => table.source.given().map(|name| &*name.value),
        }
    }
}

/// One value for all domains, or a table with a value for each and a `default` for the others.
#[derive(Debug)]
pub(super) struct ByDomain<T> {
    /// The value for all domains that are not named.
    pub default: Option<Spanned<T>>,
    /// The values of the named domains.
    pub domains: Vec<(Spanned<String>, Spanned<T>)>,
}

impl<T: Value> Value for ByDomain<T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            let default = Spanned::new(value.span(), T::read(key, value, reader)?);
            return Some(ByDomain { default: Some(default), domains: Vec::new() });
        };
        let (mut choices, mut complete) = (ByDomain { default: None, domains: Vec::new() }, true);
        for (name, value) in table {
            // TOML reads `example.com = …` as a table `example` with the key `com`.
            if let DeValue::Table(_) = value.get_ref() {
                let message = format!(
                    "{key}: the domain that begins with {} is not in quotes",
                    escape(&**name.get_ref())
                );
                complete = false;
                let help = "write it in quotes, such as \"example.com\"";
                reader.error::<()>(name.span(), message, help);
                continue;
            }
            match T::read(key, value, reader).map(|choice| Spanned::new(value.span(), choice)) {
                None => complete = false,
                Some(choice) if name.get_ref() == "default" => choices.default = Some(choice),
                Some(choice) => {
                    choices.domains.push((Spanned::new(name.span(), name.get_ref().to_string()), choice));
                }
            }
        }
        complete.then_some(choices)
    }
}

/// A witness: an account, or `false` for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WitnessName {
    /// `"postmaster"`
    Account(String),
    /// `false`
    Off,
}

impl Value for WitnessName {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(WitnessName::Off),
            DeValue::String(text) => Some(WitnessName::Account(text.to_string())),
            _ => {
                let help =
                    "write the name of an account that exists, such as \"postmaster\", or false for none";
                reader.wrong_type(key, value, "a string or false", help)
            }
        }
    }
}

/// A percentage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Percent(pub f64);

impl Value for Percent {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok().map(Percent),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok().map(Percent),
            DeValue::Integer(number) => {
                let message = format!("{key}: {number} is not a decimal number");
                reader.error(value.span(), message, "write a number of percent such as 5 or 0.5")
            }
            _ => reader.wrong_type(key, value, "a number", "write a number of percent such as 5 or 0.5"),
        }
    }
}

impl<T: Entry> Value for T {
    const LIST: [&'static str; 2] = ["a list of sections", T::BEGIN];

    fn read(key: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(T::read_table(table, reader)),
            _ => reader.wrong_type(key, value, "a section", T::BEGIN),
        }
    }
}
