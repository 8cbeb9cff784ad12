//! What an entry of a directory contributes to the result: values, and references to other entries.
//!
//! A directory also returns attributes with options (`mail;lang-de`) and the subtypes of an attribute (`cn` and
//! `sn` for `name`; RFC 4511, section 4.5.1.8). As in Postfix, the former count and the latter do not. An option of
//! Active Directory is no such option: `member;range=0-1499` has a part of the values of `member`, which is not asked
//! for the others.

use super::super::settings::{Attributes, MAX_ROWS};
use super::super::value::{quoted, too_long};
use crate::map::MAX_VALUE;
use ldap3::ResultEntry;
use ldap3::asn1::StructureTag;

/// Maximum number of DNs and URLs that one lookup reads: each member of a group with [`MAX_ROWS`] values is one,
/// and the groups within it are some more.
pub(super) const MAX_REFERENCES: usize = 2 * MAX_ROWS;

/// The beginning of the option that marks a part of the values.
const RANGE: &[u8] = b"range=";

/// The role of an attribute, which decides whether its values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Terminal,
    Leaf,
    Plain,
    Special,
}

/// The attributes of a search, with their roles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Roles(Vec<(String, Role)>);

/// A value that counts, or the DN or URL of other entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Value(Vec<u8>),
    Reference(Vec<u8>),
}

/// The items that were read so far for one lookup.
#[derive(Debug, Default)]
pub(super) struct Tally {
    values: usize,
    octets: usize,
    references: usize,
    /// The name of another attribute in the result.
    pub other: Option<String>,
}

/// An attribute as the directory returned it: name and values.
type Attribute = (Vec<u8>, Vec<Vec<u8>>);

impl Roles {
    /// An attribute with several roles has the first one, as in Postfix.
    pub fn of(attributes: &Attributes) -> Self {
        let Attributes { plain, special, leaf, terminal, .. } = attributes;
        let roles =
            [(terminal, Role::Terminal), (leaf, Role::Leaf), (plain, Role::Plain), (special, Role::Special)];
        let named = |(names, role): (&Vec<String>, Role)| {
            names.iter().map(|name| (name.clone(), role)).collect::<Vec<_>>()
        };
        Roles(roles.into_iter().flat_map(named).collect())
    }

    /// The names of all attributes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The role of an attribute that the directory returned; `None` if it was not asked for by this name.
    fn role(&self, returned: &[u8]) -> Option<Role> {
        let known = self.0.iter().find(|(name, _)| is_a(returned, name.as_bytes()));
        known.map(|(_, role)| *role)
    }

    /// Whether an attribute with this role and without further options has values. Postfix compares whole names
    /// here.
    fn has(&self, role: Role, attributes: &[Attribute]) -> bool {
        let is_one = |(name, values): &Attribute| {
            let same =
                |known: &&(String, Role)| known.1 == role && name.eq_ignore_ascii_case(known.0.as_bytes());
            !values.is_empty() && self.0.iter().any(|known| same(&known))
        };
        attributes.iter().any(is_one)
    }

    /// Adds what an entry contributes to `items`. The error is the reason of a temporary failure.
    pub fn read(&self, entry: ResultEntry, tally: &mut Tally, items: &mut Vec<Item>) -> Result<(), String> {
        let attributes = attributes(entry).ok_or("an entry of the directory violates RFC 4511")?;
        let is_terminal = self.has(Role::Terminal, &attributes);
        let is_leaf = !self.has(Role::Special, &attributes);
        for (name, values) in attributes {
            let role = self.role(&name);
            if role.is_some() && is_part(&name) {
                return Err(format!("the directory returned only a part of the values: {}", quoted(&name)));
            }
            let counts = match role {
                None => {
                    tally.other = Some(quoted(&name));
                    false
                }
                Some(Role::Terminal) => is_terminal || is_leaf,
                Some(Role::Leaf) => !is_terminal && is_leaf,
                Some(Role::Plain) => !is_terminal,
                Some(Role::Special) if is_terminal => false,
                Some(Role::Special) => {
                    tally.references += values.len();
                    if tally.references > MAX_REFERENCES {
                        return Err(format!(
                            "there are more than {MAX_REFERENCES} references to other entries"
                        ));
                    }
                    items.extend(values.into_iter().map(Item::Reference));
                    continue;
                }
            };
            for value in values.into_iter().filter(|_| counts) {
                tally.value(&value)?;
                items.push(Item::Value(value));
            }
        }
        Ok(())
    }
}

impl Tally {
    fn value(&mut self, value: &[u8]) -> Result<(), String> {
        self.values += 1;
        // They are joined with commas.
        self.octets += value.len() + usize::from(self.values > 1);
        match () {
            () if self.values > MAX_ROWS => Err(format!("there are more than {MAX_ROWS} values")),
            () if self.octets > MAX_VALUE => Err(too_long()),
            () => Ok(()),
        }
    }
}

/// Whether the attribute `returned` is `known`, or `known` with options.
pub(super) fn is_a(returned: &[u8], known: &[u8]) -> bool {
    let Some((begin, rest)) = returned.split_at_checked(known.len()) else { return false };
    begin.eq_ignore_ascii_case(known) && matches!(rest.first(), None | Some(b';'))
}

/// Whether the attribute `returned` has more values than those returned with it ("MS-ADTS", 3.1.1.3.1.3.3, range
/// retrieval): the last part ends with `*` instead of a number.
fn is_part(returned: &[u8]) -> bool {
    returned.split(|octet| *octet == b';').skip(1).any(|option| {
        let (begin, range) = option.split_at_checked(RANGE.len()).unwrap_or_default();
        begin.eq_ignore_ascii_case(RANGE) && !range.ends_with(b"-*")
    })
}

/// The attributes of an entry (RFC 4511, section 4.5.2).
fn attributes(entry: ResultEntry) -> Option<Vec<Attribute>> {
    // The name of the entry comes first.
    let attributes = entry.0.expect_constructed()?.into_iter().nth(1)?.expect_constructed()?;
    attributes.into_iter().map(attribute).collect()
}

fn attribute(tag: StructureTag) -> Option<Attribute> {
    let mut parts = tag.expect_constructed()?.into_iter();
    let name = parts.next()?.expect_primitive()?;
    let values = parts.next()?.expect_constructed()?;
    Some((name, values.into_iter().map(StructureTag::expect_primitive).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::asn1::{ASNTag, OctetString, Sequence, Set, Tag};

    fn octets(text: &str) -> Tag {
        Tag::OctetString(OctetString { inner: text.into(), ..OctetString::default() })
    }

    fn set(inner: Vec<Tag>) -> Tag {
        Tag::Set(Set { inner, ..Set::default() })
    }

    fn sequence(inner: Vec<Tag>) -> Tag {
        Tag::Sequence(Sequence { inner, ..Sequence::default() })
    }

    /// An entry with this value of each attribute; empty: none.
    fn entry(attributes: &[(&str, &str)]) -> ResultEntry {
        let attribute = |(name, value): &(&str, &str)| {
            let values = if value.is_empty() { Vec::new() } else { vec![octets(value)] };
            sequence(vec![octets(name), set(values)])
        };
        let attributes = sequence(attributes.iter().map(attribute).collect());
        ResultEntry::new(sequence(vec![octets("cn=a"), attributes]).into_structure())
    }

    #[test]
    fn a_part_of_the_values_is_not_all_of_them() {
        let named = |name: &str| vec![name.to_owned()];
        let roles = Roles::of(&Attributes {
            plain: named("mail"),
            special: named("member"),
            ..Attributes::default()
        });
        let values = |texts: &[&str]| Ok(texts.iter().map(|text| Item::Value((*text).into())).collect());
        let references =
            |texts: &[&str]| Ok(texts.iter().map(|text| Item::Reference((*text).into())).collect());
        let part = |name: &str| Err(format!("the directory returned only a part of the values: {name}"));
        for (attributes, want) in [
            (&[("mail", "a")][..], values(&["a"])),
            (&[("mail;lang-de", "a"), ("Mail", "b")], values(&["a", "b"])),
            (&[("member", ""), ("member;range=0-1499", "cn=b")], part("member;range=0-1499")),
            (&[("mail", "a"), ("Mail;RANGE=0-0", "b")], part("Mail;RANGE=0-0")),
            (&[("mail;binary;range=1500-2999", "b")], part("mail;binary;range=1500-2999")),
            (&[("mail;range=", "b")], part("mail;range=")),
            (&[("member;range=0-*", "cn=b")], references(&["cn=b"])),
            (&[("mail;range", "a"), ("mail;ranges-0", "b")], values(&["a", "b"])),
            (&[("other;range=0-1499", "b"), ("mail", "a")], values(&["a"])),
        ] {
            let mut items = Vec::new();
            let read = roles.read(entry(attributes), &mut Tally::default(), &mut items);
            assert_eq!(read.map(|()| items), want, "{attributes:?}");
        }
    }
}
