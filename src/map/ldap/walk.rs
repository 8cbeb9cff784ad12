//! Follows the references between the entries of a directory, as ldap_table(5) does: the values of an entry are
//! returned in the order of its attributes, and those of an entry that it refers to at the place of the reference.
//!
//! This module does no I/O: the caller searches.

use super::super::results::Joined;
use super::super::settings::Scope;
use super::super::value::quoted;
use super::Question;
use super::entry::{Item, Roles, Tally, is_a};
use super::url;
use crate::map::Lookup;
use ldap3::ResultEntry;
use std::sync::Arc;
use std::vec::IntoIter;

/// The filter that matches every entry.
pub(super) const ANYTHING: &str = "(objectClass=*)";

/// In a list of attributes, this name requests all attributes, as an empty list does (RFC 4511, section 4.5.1.8).
const ALL_ATTRIBUTES: &str = "*";

/// One search in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub base: String,
    pub filter: String,
    pub scope: Scope,
    pub attributes: Arc<[String]>,
}

/// The state of one lookup.
#[derive(Debug)]
pub(super) struct Walk<'q> {
    roles: &'q Roles,
    all: &'q Arc<[String]>,
    recursion_limit: usize,
    tally: Tally,
    /// The searches from the first one to the current one, with their items that were not used yet.
    levels: Vec<(Search, IntoIter<Item>)>,
    joined: Joined<'q>,
    has_values: bool,
    has_empty_value: bool,
    /// The name of an entry that does not exist, although another refers to it.
    dangling: Option<String>,
}

impl<'q> Walk<'q> {
    pub fn new(question: &'q Question, key: &'q str) -> Self {
        Walk {
            roles: &question.roles,
            all: &question.attributes,
            recursion_limit: question.recursion_limit,
            tally: Tally::default(),
            levels: Vec::new(),
            joined: Joined::new(&question.results, key),
            has_values: false,
            has_empty_value: false,
            dangling: None,
        }
    }

    /// Whether the current search is the first one, for the key.
    pub fn is_at_key(&self) -> bool {
        self.levels.is_empty()
    }

    /// Reads an entry of the current search into `items`. The error is the reason of a temporary failure.
    pub fn read(&mut self, entry: ResultEntry, items: &mut Vec<Item>) -> Result<(), String> {
        self.roles.read(entry, &mut self.tally, items)
    }

    /// Adds the items of a search.
    pub fn enter(&mut self, search: Search, items: Vec<Item>) {
        self.levels.push((search, items.into_iter()));
    }

    /// Whether `search` must have an entry if its base exists: that entry itself.
    pub fn must_find(&self, search: &Search) -> bool {
        !self.is_at_key() && search.scope == Scope::Base && search.filter == ANYTHING
    }

    /// Records that the base of a search does not exist or is hidden. As in Postfix, the other values count.
    pub fn skip(&mut self, search: &Search) {
        self.dangling.get_or_insert_with(|| quoted(search.base.as_bytes()));
    }

    /// Returns the next search; `None` after the last one. The error is the reason of a temporary failure.
    pub fn next(&mut self) -> Result<Option<Search>, String> {
        loop {
            let depth = self.levels.len();
            let Some((_, items)) = self.levels.last_mut() else { return Ok(None) };
            let reference = match items.next() {
                Some(Item::Reference(reference)) => reference,
                Some(Item::Value(value)) => {
                    let value = String::from_utf8(value).map_err(|_| "the value is not UTF-8")?;
                    self.has_values = true;
                    self.has_empty_value |= value.is_empty();
                    self.joined.add(&value)?;
                    continue;
                }
                None => {
                    self.levels.pop();
                    continue;
                }
            };
            if depth >= self.recursion_limit {
                let (to, limit) = (quoted(&reference), self.recursion_limit);
                return Err(format!("the reference to {to} exceeds recursion_limit = {limit}"));
            }
            let Some(search) = self.target(reference)? else { continue };
            // Postfix repeats the search until the limit.
            if self.levels.iter().any(|(before, _)| *before == search) {
                return Err(format!("{} refers to itself", quoted(search.base.as_bytes())));
            }
            return Ok(Some(search));
        }
    }

    /// The search for a DN or URL; `None` if the URL asks for none of the attributes.
    fn target(&self, reference: Vec<u8>) -> Result<Option<Search>, String> {
        let text = String::from_utf8(reference)
            .map_err(|error| format!("the reference {} is not UTF-8", quoted(error.as_bytes())))?;
        if !url::is_url(&text) {
            let (filter, attributes) = (ANYTHING.into(), self.all.clone());
            return Ok(Some(Search { base: text, filter, scope: Scope::Base, attributes }));
        }
        let Some(url) = url::parse(&text) else {
            return Err(format!("the reference {} is not a valid LDAP URL", quoted(text.as_bytes())));
        };
        let attributes = match &*url.attributes {
            [] => self.all.clone(),
            named if named.iter().any(|name| name == ALL_ATTRIBUTES) => self.all.clone(),
            named => self.selected(named),
        };
        let is_needed = !attributes.is_empty();
        Ok(is_needed.then_some(Search { base: url.base, filter: url.filter, scope: url.scope, attributes }))
    }

    /// The attributes that both a URL and the map name; of two with and without options, the one with options.
    fn selected(&self, named: &[String]) -> Arc<[String]> {
        let both = |a: &str, b: &str| match () {
            () if is_a(b.as_bytes(), a.as_bytes()) => Some(b.to_owned()),
            () if is_a(a.as_bytes(), b.as_bytes()) => Some(a.to_owned()),
            () => None,
        };
        named.iter().flat_map(|a| self.all.iter().filter_map(move |b| both(a, b))).collect()
    }

    /// The result, after the last search.
    pub fn answer(self) -> Lookup<String> {
        match (self.has_values, self.dangling, self.tally.other) {
            // The key exists. Since entries are missing, it may have values that were not read.
            (_, Some(name), _) if self.joined.is_empty() => {
                Lookup::temp_fail(format!("an entry refers to {name}, which is not found or may not be read"))
            }
            // A synonym of the attribute cannot be distinguished from a subtype.
            (false, _, Some(other)) => Lookup::temp_fail(format!(
                "the directory returned {other} for the attribute {}: write the name that it uses",
                self.all.join(", ")
            )),
            (false, _, None) => Lookup::NotFound,
            _ if self.has_empty_value => Lookup::temp_fail("a value is empty"),
            _ => self.joined.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;
    use crate::map::settings::Attributes;

    #[test]
    fn a_url_selects_attributes_of_the_map() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).into()).collect() };
        let attributes = Attributes {
            plain: names(&["mail", "uid;x-a"]),
            special: names(&["member"]),
            ..Attributes::default()
        };
        let roles = Roles::of(&attributes);
        let question = Question {
            base: Template::parse("dc=test").unwrap(),
            filter: Template::parse("(mail=%s)").unwrap(),
            scope: Scope::Sub,
            attributes: roles.names().map(str::to_owned).collect(),
            roles,
            recursion_limit: 2,
            fixed: 1,
            results: std::sync::Arc::default(),
        };
        let walk = Walk::new(&question, "key");
        let all = ["mail", "uid;x-a", "member"];
        for (url, want) in [
            ("cn=a", &all[..]),
            ("ldap:///cn=a", &all),
            ("ldap:///cn=a?*", &all),
            ("ldap:///cn=a?*?sub", &all),
            ("ldap:///cn=a?%2a,mail,createTimestamp", &all),
            ("ldap:///cn=a?mail", &["mail"]),
            ("ldap:///cn=a?uid,mail;lang-de,cn", &["uid;x-a", "mail;lang-de"]),
            ("ldap:///cn=a?cn", &[]),
            ("ldap:///cn=a?1.1", &[]),
        ] {
            let search = walk.target(url.into()).unwrap();
            let got = search.map_or_else(Vec::new, |search| search.attributes.to_vec());
            assert_eq!(got, want, "{url}");
        }
    }
}
