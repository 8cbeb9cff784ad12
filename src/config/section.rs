//! Sections of the configuration: the macro `sections!` derives everything that depends on the list of keys
//! from their descriptions in [`keys`](super::keys).

use super::read::Reader;
use super::time;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The description of a key, from which the sample and the manual pages are generated.
#[derive(Clone, Debug)]
pub struct Key {
    /// The section: `milter`, or empty for the top of the file.
    pub section: &'static str,
    /// The name.
    pub name: &'static str,
    /// The syntax of its values: words in quotes and `true` and `false` are themselves, other words are
    /// placeholders. A value of `[domain, ...]` may also be a single domain.
    pub syntax: &'static str,
    /// The value without the key.
    pub default: DefaultValue,
    /// The smallest and the largest value.
    pub bounds: Option<(String, String)>,
    /// When a change takes effect.
    pub change: Change,
    /// The value in the sample, for a key that every site sets.
    pub sample: Option<&'static str>,
    /// The documentation: paragraphs, `code`, lists of "- `term`: text", and fenced examples of Markdown.
    pub doc: &'static str,
}

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At a reload.
    Reload,
    /// At the next start.
    Restart,
}

/// The value of a key that is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// No value: the key must be present.
    Required,
    /// The documentation of the key describes what its absence means.
    Unset,
    /// This value, in TOML.
    Value(String),
}

/// The description of a section.
#[derive(Clone, Debug)]
pub struct Description {
    /// The name: `milter`, or empty for the top of the file.
    pub name: &'static str,
    /// Documentation of the whole section, as in [`Key::doc`].
    pub doc: &'static str,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// A value that can be written as TOML.
pub(super) trait Toml {
    /// Returns its text.
    fn toml(&self) -> String;
}

impl Toml for &str {
    fn toml(&self) -> String {
        toml::Value::from(*self).to_string()
    }
}

impl Toml for Duration {
    fn toml(&self) -> String {
        toml::Value::from(time::show(*self)).to_string()
    }
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        impl Toml for $type {
            fn toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

plain! { bool u8 u32 u64 usize f64 }

impl<T: Toml> From<T> for DefaultValue {
    fn from(value: T) -> Self {
        DefaultValue::Value(value.toml())
    }
}

/// Returns a list without items.
pub(super) fn empty_list() -> DefaultValue {
    DefaultValue::Value("[]".to_owned())
}

/// Returns permissions as they are written.
pub(super) fn octal(mode: u32) -> DefaultValue {
    DefaultValue::Value(format!("\"{mode:04o}\""))
}

/// Returns the word for `value` in a list of choices.
pub(super) fn word<T: PartialEq>(choices: &[(&'static str, T)], value: &T) -> DefaultValue {
    choices.iter().find(|(_, choice)| choice == value).map_or(DefaultValue::Unset, |(word, _)| (*word).into())
}

/// Returns the smallest and the largest value, as they are written without quotes.
pub(super) fn bounds<T: Toml>(range: &RangeInclusive<T>) -> (String, String) {
    let bound = |value: &T| value.toml().trim_matches('"').to_owned();
    (bound(range.start()), bound(range.end()))
}

/// A table whose keys are known.
pub(super) trait Section: Default {
    /// Prefix of its keys: `milter.`, or empty for the top of the file.
    const PREFIX: &'static str;
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// Its subsections.
    const SECTIONS: &'static [&'static str];

    /// Reads one key; returns `false` if there is no key of that name.
    fn set(&mut self, name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> bool;

    /// Adds its description and those of its subsections to `all`.
    fn describe(all: &mut Vec<Description>);

    /// Whether all of its own keys are absent.
    fn is_absent(&self) -> bool;

    /// Reads a whole table.
    fn read_table(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Self {
        let mut section = Self::default();
        for (name, value) in table {
            if !section.set(name.get_ref(), value, reader) {
                reader.unknown_key::<Self>(name);
            }
        }
        section
    }
}

/// A section that may occur several times, each time with a heading `[[name]]`.
pub(super) trait Entry: Section {
    /// How to write one, for messages.
    const BEGIN: &'static str;
}

/// Defines sections with their keys: the fields, their reader, and their descriptions.
///
/// ```text
/// /// Documentation of the section.
/// Name "prefix." {
///     /// Documentation of the key.
///     key: Type = DEFAULT, "syntax", Change, in BOUNDS, sample "value in the sample";
/// } + {
///     subsection: Name;
/// }
/// ```
///
/// `in` and `sample` are optional. `[[name]]` after the prefix: the section may occur several times.
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])*
        $section:ident $prefix:literal $([[$entry:ident]])? {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $default:expr, $syntax:literal, $change:ident
                $(, in $bounds:expr)? $(, sample $sample:literal)?;
            )*
        } $( + { $( $sub:ident: $sub_type:ident; )* } )?
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        pub(in crate::config) struct $section {
            $( $(#[doc = $doc])* pub $key: Field<$type>, )*
            $($( #[doc = concat!("The section `", $prefix, stringify!($sub), "`.")] pub $sub: $sub_type, )*)?
        }

        impl Section for $section {
            const PREFIX: &'static str = $prefix;
            const KEYS: &'static [&'static str] = &[$( stringify!($key) ),*];
            const SECTIONS: &'static [&'static str] = &[$($( stringify!($sub) ),*)?];

            fn set(&mut self, name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> bool {
                match name {
                    $( stringify!($key) => {
                        self.$key = reader.field(concat!($prefix, stringify!($key)), value);
                    } )*
                    $($( stringify!($sub) => {
                        self.$sub = reader.section(concat!($prefix, stringify!($sub)), value);
                    } )*)?
                    _ => return false,
                }
                true
            }

            fn is_absent(&self) -> bool {
                true $( && matches!(self.$key, Field::Absent) )*
            }

            fn describe(all: &mut Vec<Description>) {
                let name = $prefix.trim_end_matches('.');
                all.push(Description {
                    name,
                    doc: concat!($( $about, "\n" ),*),
                    keys: vec![$( Key {
                        section: name,
                        name: stringify!($key),
                        syntax: $syntax,
                        default: DefaultValue::from($default),
                        bounds: None $( .or(Some(bounds(&$bounds))) )?,
                        change: Change::$change,
                        sample: None $( .or(Some($sample)) )?,
                        doc: concat!($( $doc, "\n" ),*),
                    } ),*],
                });
                $($( $sub_type::describe(all); )*)?
            }
        }

        $(
            impl Entry for $section {
                const BEGIN: &'static str =
                    concat!("write [[", stringify!($entry), "]] and its keys below");
            }
        )?
    )*};
}

pub(super) use sections;
