//! The statement of a query, and the values bound to it for each key.

use super::super::results::ResultSettings;
use super::super::settings::{Kind, Query};
use super::super::template::{Part, Sides, Template};
use super::rows::MAX_ROWS;
use super::scan::{parameter, scan};
use std::sync::Arc;

/// A query in the form for the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text, with placeholders for the parameters.
    pub text: Arc<str>,
    /// The part of the key for each parameter.
    places: Vec<Part>,
    /// Whether it only selects rows with the given key. Then a key that cannot be stored is not found.
    pub by_key: bool,
    /// Whether the last column is the stored key, to be compared with the given one.
    ///
    /// In MySQL `a` equals `ä`, `a ` equals `a`, and the number 5 equals `5x`, depending on the collation and
    /// type of the column; in SQLite the number 5 equals `05`. For a mail server these are different keys.
    pub shows_key: bool,
    /// Whether keys that differ only by case are different.
    pub case_sensitive: bool,
    /// Number of columns that are values. Postfix reads all in MySQL and PostgreSQL, but only the first in
    /// SQLite.
    pub columns: usize,
    /// The conversion of the values.
    pub results: Arc<ResultSettings>,
}

impl Statement {
    /// Creates the statement of `query` for a database of `kind`. The error is a sentence with the remedy.
    pub fn new(kind: Kind, query: &Query) -> Result<Self, String> {
        match query {
            Query::Columns { table, key, value, reason } => {
                let table = table.split('.').map(|part| quoted(kind, part)).collect::<Result<Vec<_>, _>>()?;
                let key = quoted(kind, key)?;
                let mut columns = vec![value.as_ref().map_or_else(|| Ok(key.clone()), |v| quoted(kind, v))?];
                if let Some(reason) = reason {
                    columns.push(quoted(kind, reason)?);
                }
                let shows_key = matches!(kind, Kind::Mysql | Kind::Sqlite);
                if shows_key {
                    columns.push(key.clone());
                }
                let text = format!(
                    "SELECT {} FROM {} WHERE {key} = {} LIMIT {}",
                    columns.join(", "),
                    table.join("."),
                    parameter(kind, 1),
                    MAX_ROWS + 1,
                );
                Ok(Statement {
                    text: text.into(),
                    places: vec![Part::Key],
                    by_key: true,
                    shows_key,
                    case_sensitive: false,
                    columns: usize::MAX,
                    results: Arc::default(),
                })
            }
            Query::Sql(text) => {
                let (text, places) = scan(kind, &Template::parse(text)?)?;
                Ok(Statement {
                    text: text.into(),
                    places,
                    by_key: false,
                    shows_key: false,
                    case_sensitive: false,
                    columns: if kind == Kind::Sqlite { 1 } else { usize::MAX },
                    results: Arc::default(),
                })
            }
            Query::Ldap { .. } | Query::Redis { .. } => {
                Err(format!("a database of type {} is asked with table and key, or with query", kind.name()))
            }
        }
    }

    /// The values bound for `key`, in the order of the parameters. `None` if the key is not looked up, or the
    /// query needs a user or a domain that the key does not have.
    pub fn bindings<'a>(&'a self, key: &'a str) -> Option<Vec<&'a str>> {
        if !self.results.admits(key) {
            return None;
        }
        let sides = Sides::of(key);
        self.places.iter().map(|place| sides.part(place)).collect()
    }
}

/// Quotes an identifier. SQLite takes an unknown name in double quotes as a text ("The Double-quoted String
/// Literals Misfeature"), so that a misspelt column would never equal a key. So for SQLite the quotes of
/// MySQL are used, which it also accepts.
fn quoted(kind: Kind, name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err(
            "the name of a table or column is empty: write it out, schema.table with both parts".into()
        );
    }
    if name.contains('\0') {
        return Err("the name of a table or column contains NUL, which no name does".into());
    }
    let quote = if kind == Kind::Postgresql { "\"" } else { "`" };
    Ok(format!("{quote}{}{quote}", name.replace(quote, &quote.repeat(2))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(table: &str, key: &str, value: Option<&str>, reason: Option<&str>) -> Query {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Query::Columns { table: table.into(), key: key.into(), value: owned(value), reason: owned(reason) }
    }

    #[test]
    fn quotes_names_of_columns() {
        use Kind::{Mysql, Postgresql, Sqlite};
        for (kind, query, want) in [
            (Postgresql, columns("t", "k", Some("v"), None), r#"SELECT "v" FROM "t" WHERE "k" = $1"#),
            (
                Postgresql,
                columns("mail.t", "k", Some("v"), Some("r")),
                r#"SELECT "v", "r" FROM "mail"."t" WHERE "k" = $1"#,
            ),
            (Postgresql, columns("t", "k", None, None), r#"SELECT "k" FROM "t" WHERE "k" = $1"#),
            (
                Postgresql,
                columns("t", "a\"b; --", Some("V"), None),
                r#"SELECT "V" FROM "t" WHERE "a""b; --" = $1"#,
            ),
            (Mysql, columns("m.t", "k", Some("v"), None), "SELECT `v`, `k` FROM `m`.`t` WHERE `k` = ?"),
            (
                Mysql,
                columns("t", "a`b", None, Some("r")),
                "SELECT `a``b`, `r`, `a``b` FROM `t` WHERE `a``b` = ?",
            ),
            (Sqlite, columns("t", "k.x", Some("v"), None), "SELECT `v`, `k.x` FROM `t` WHERE `k.x` = ?"),
        ] {
            let statement = Statement::new(kind, &query).unwrap();
            assert_eq!(&*statement.text, format!("{want} LIMIT 50001"), "{query:?}");
            assert_eq!(statement.bindings("a'b@c"), Some(vec!["a'b@c"]));
        }
        for bad in
            [columns("", "k", None, None), columns("a.", "k", None, None), columns("t", "", None, None)]
        {
            assert!(Statement::new(Postgresql, &bad).is_err(), "{bad:?}");
        }
        assert!(Statement::new(Postgresql, &columns("t", "k\0", None, None)).is_err());
        let redis = Query::Redis { key: "%s".into(), field: None };
        assert!(Statement::new(Mysql, &redis).unwrap_err().contains("table and key"));
    }

    #[test]
    fn binds_the_sides_of_a_key() {
        let statement = |text: &str| Statement::new(Kind::Mysql, &Query::Sql(text.into())).unwrap();
        for (text, key, want) in [
            ("f(%s)", "a@b", Some(vec!["a@b"])),
            ("f(%u, %d)", "a@b@c", Some(vec!["a@b", "c"])),
            ("f(%u)", "a", Some(vec!["a"])),
            ("f(%u)", "@b", None),
            ("f(%d, %u)", "a@", None),
            ("f(%d)", "@b", Some(vec!["b"])),
            ("f(%s, %d)", "a", None),
        ] {
            assert_eq!(statement(text).bindings(key), want, "{text} {key}");
        }
    }
}
