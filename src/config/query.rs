//! Checks the database query of a map.

use super::check::{Check, text};
use super::keys::MapTable;
use super::value::{Field, Given, List};
use crate::map::settings::{Attributes, DatabaseSettings, Kind, Query, RECURSION_LIMIT, Scope};
use crate::map::source::SourceSpec;
use crate::map::template::Template;
use diagnostics::nearest;
use mail_address::escape;
use std::ops::RangeInclusive;

/// Values of `scope`.
pub(super) const SCOPES: [(&str, Scope); 3] =
    [("base", Scope::Base), ("one", Scope::One), ("sub", Scope::Sub)];

/// Bounds of `recursion_limit`: the first search counts.
pub(super) const RECURSION_LIMITS: RangeInclusive<usize> = 1..=RECURSION_LIMIT;

/// The remedy for a key that applies only to a map that asks a database.
pub(super) const NO_DATABASE: &str = "it applies only to a map with source = \"database:NAME\"";

/// The names of the databases that `sources` ask.
pub(super) fn databases_in(sources: &[SourceSpec]) -> Vec<String> {
    let mut named = Vec::new();
    for source in sources {
        source.walk(&mut |source| {
            if let SourceSpec::Database(name) = source {
                named.push(name.clone());
            }
        });
    }
    named
}

/// The keys of a map that define its database query.
struct Asked<'t> {
    /// The keys that are present, with their names.
    given: Vec<(&'static str, &'t Given<String>)>,
    /// Those whose values are not texts.
    others: Vec<(&'static str, Given<()>)>,
}

/// The keys for a directory.
const LDAP_KEYS: [&str; 8] = [
    "base",
    "filter",
    "attribute",
    "special_attribute",
    "leaf_attribute",
    "terminal_attribute",
    "recursion_limit",
    "scope",
];

/// The names in a list.
fn names(field: &Field<List<String>>) -> Vec<String> {
    let items = field.given().map(|given| &*given.value.items).unwrap_or_default();
    items.iter().map(|item| item.get_ref().clone()).collect()
}

impl<'t> Asked<'t> {
    fn of(table: &'t MapTable) -> Self {
        let fields = [
            ("table", &table.table),
            ("key", &table.key),
            ("value", &table.value),
            ("reason", &table.reason),
            ("query", &table.query),
            ("base", &table.base),
            ("filter", &table.filter),
            ("scope", &table.scope),
            ("field", &table.field),
        ];
        let lists = [
            ("attribute", &table.attribute),
            ("special_attribute", &table.special_attribute),
            ("leaf_attribute", &table.leaf_attribute),
            ("terminal_attribute", &table.terminal_attribute),
        ];
        let lists = lists.into_iter().map(|(name, field)| (name, field.place()));
        let others = lists.chain([("recursion_limit", table.recursion_limit.place())]);
        Asked {
            given: fields.into_iter().filter_map(|(name, field)| Some((name, text(field)?))).collect(),
            others: others.filter_map(|(name, place)| Some((name, place?))).collect(),
        }
    }

    /// The places of all keys that are present.
    fn places(&self) -> Vec<(&'static str, Given<()>)> {
        let texts = self.given.iter().map(|(name, given)| {
            (*name, Given { key: given.key, text: given.text.clone(), span: given.span.clone(), value: () })
        });
        texts.chain(self.others.iter().cloned()).collect()
    }

    fn get(&self, name: &str) -> Option<&'t Given<String>> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, given)| *given)
    }
}

impl Check<'_> {
    /// Returns the query for the database that a map names, if it names one.
    pub(super) fn query(
        &mut self,
        table: &MapTable,
        sources: &[SourceSpec],
        databases: &[DatabaseSettings],
    ) -> Option<Query> {
        let asked = Asked::of(table);
        let named = databases_in(sources);
        let from = table.source.given()?;
        if named.is_empty() {
            for (name, given) in &asked.places() {
                self.warning(given, format!("map.{name} has no effect"), NO_DATABASE);
            }
            return None;
        }
        let kind = self.kind(from, &named, databases)?;
        let allowed: &[&str] = match kind {
            Kind::Ldap => &LDAP_KEYS,
            Kind::Redis => &["key", "field"],
            _ if asked.get("query").is_some() => &["query"],
            _ => &["table", "key", "value", "reason"],
        };
        for (name, given) in asked.places().iter().filter(|(name, _)| !allowed.contains(name)) {
            let help = format!("the keys for this database are {}", allowed.join(", "));
            self.error(given, format!("map.{name} does not apply here"), help);
        }
        match kind {
            Kind::Ldap => self.ldap(table, from, &asked),
            Kind::Redis => {
                let key = self.need(from, &asked, "key", "write the key, such as \"alias:%s\"");
                let field = asked.get("field");
                let field = field.map(|field| self.template(field));
                let key = if field.is_some() { self.template(key?)? } else { self.template_with_key(key?)? };
                Some(Query::Redis { key, field: field.flatten() })
            }
            _ if asked.get("query").is_some() => {
                Some(Query::Sql(self.template_with_key(asked.get("query")?)?))
            }
            _ => {
                let help = "write the table and its columns key and value, or a query";
                let table = self.need(from, &asked, "table", help);
                let key = self.need(from, &asked, "key", "write the column that holds the keys");
                let column = |name| asked.get(name).map(|given| given.value.clone());
                Some(Query::Columns {
                    table: table?.value.clone(),
                    key: key?.value.clone(),
                    value: column("value"),
                    reason: column("reason"),
                })
            }
        }
    }

    /// The type of the named databases. Those of one map must have the same kind of query.
    fn kind(
        &mut self,
        from: &Given<impl Sized>,
        named: &[String],
        databases: &[DatabaseSettings],
    ) -> Option<Kind> {
        let mut kinds = Vec::new();
        for name in named {
            if let Some(database) = databases.iter().find(|database| *database.name == **name) {
                kinds.push(database.kind);
                continue;
            }
            // Its own error is enough.
            if self.broken_databases.contains(name) {
                continue;
            }
            let known = databases.iter().map(|database| &*database.name);
            let help = nearest(name, known).map_or_else(
                || format!("add a section [[database]] with name = \"{name}\""),
                |near| format!("did you mean database:{near}?"),
            );
            self.error(from, format!("{}: there is no database {}", from.key, escape(name)), help);
        }
        let kind = kinds.first().copied()?;
        if kinds.iter().any(|other| other.is_sql() != kind.is_sql() || (!kind.is_sql() && *other != kind)) {
            let help = "make a map for each and name them in another: source = [\"map:A\", \"map:B\"]";
            self.error(
                from,
                format!("{}: one query cannot serve databases of different kinds", from.key),
                help,
            );
            return None;
        }
        Some(kind)
    }

    fn need<'g>(
        &mut self,
        from: &Given<impl Sized>,
        asked: &Asked<'g>,
        name: &str,
        help: &str,
    ) -> Option<&'g Given<String>> {
        let given = asked.get(name);
        if given.is_none() {
            self.error(from, format!("map.{name} is missing for this database"), help);
        }
        given
    }

    fn ldap(&mut self, table: &MapTable, from: &Given<impl Sized>, asked: &Asked<'_>) -> Option<Query> {
        let help = "write where the search begins, such as \"ou=people,dc=example,dc=com\"";
        let base = self.need(from, asked, "base", help);
        let filter = self.need(from, asked, "filter", "write the search filter, such as \"(mail=%s)\"");
        let attributes = Attributes {
            plain: names(&table.attribute),
            special: names(&table.special_attribute),
            leaf: names(&table.leaf_attribute),
            terminal: names(&table.terminal_attribute),
            recursion_limit: self.number(&table.recursion_limit, RECURSION_LIMIT, &RECURSION_LIMITS),
        };
        let with_values = [&table.attribute, &table.leaf_attribute, &table.terminal_attribute];
        if with_values.iter().all(|field| matches!(field, Field::Absent)) {
            let help = "write the attribute whose value is returned, such as \"uid\"";
            self.error(from, "map.attribute is missing for this database", help);
        }
        let base = self.template(base?)?;
        let has_key = Template::parse(&base).is_ok_and(|base| base.has_key());
        let filter = if has_key { self.template(filter?)? } else { self.template_with_key(filter?)? };
        Some(Query::Ldap {
            base,
            filter,
            attributes,
            scope: self.choice(&table.scope, Scope::default(), &SCOPES),
        })
    }

    fn template(&mut self, given: &Given<String>) -> Option<String> {
        match Template::parse(&given.value) {
            Ok(_) => Some(given.value.clone()),
            Err(help) => {
                let message = format!("{} = \"{}\" cannot be used", given.key, escape(&given.value));
                self.error(given, message, help);
                None
            }
        }
    }

    fn template_with_key(&mut self, given: &Given<String>) -> Option<String> {
        let text = self.template(given)?;
        if Template::parse(&text).is_ok_and(|template| !template.has_key()) {
            let help = "write %s where the key belongs, or %u and %d for the parts before and after its @";
            self.error(given, format!("{} has no placeholder for the key", given.key), help);
        }
        Some(text)
    }
}
