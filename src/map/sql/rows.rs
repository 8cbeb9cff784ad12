//! Joins the rows of one key to one value.

use super::super::settings::MAX_ROWS;
use super::super::{Lookup, MAX_VALUE};
use super::query::Statement;
use mail_address::fold;
use std::borrow::Cow;

/// The content of a column; `None` for NULL. The error is the reason why it cannot be read.
pub type Cell<'r> = Result<Option<Cow<'r, str>>, String>;

/// The rows read so far.
///
/// For a query in SQL, the columns of all rows are joined with commas, except those that are NULL or empty,
/// as in Postfix (mysql_table(5), pgsql_table(5), sqlite_table(5)). With SQLite only the first column counts.
///
/// For a table with columns for keys and values, a row is the value and, after a space, the reason; rows are
/// joined with commas. A row whose value is NULL is ignored. An empty value is an error, since it is unclear
/// whether an account with an empty path exists.
#[derive(Debug)]
pub struct Rows<'k> {
    style: Style<'k>,
    seen: usize,
    text: String,
    found: bool,
    fault: Option<String>,
}

/// The meaning of columns.
#[derive(Clone, Copy, Debug)]
enum Style<'k> {
    /// At most this many columns, each of them a value.
    Query { columns: usize },
    /// A value and an optional reason. With `key`, the last column is the stored key, and rows with other
    /// keys are skipped; with `exact`, also those that differ only by case.
    Table { key: Option<&'k str>, exact: bool },
}

impl<'k> Rows<'k> {
    /// Creates an empty set of rows for `key`.
    pub fn new(statement: &Statement, key: &'k str) -> Self {
        Rows::of(if statement.by_key {
            Style::Table { key: statement.shows_key.then_some(key), exact: statement.case_sensitive }
        } else {
            Style::Query { columns: statement.columns }
        })
    }

    fn of(style: Style<'k>) -> Self {
        Rows { style, seen: 0, text: String::new(), found: false, fault: None }
    }

    /// Adds a row with this many columns. Returns false to stop if there are too many rows.
    pub fn add<'r>(&mut self, columns: usize, cell: impl Fn(usize) -> Cell<'r>) -> bool {
        self.seen += 1;
        if self.seen > MAX_ROWS {
            self.fault = Some(format!("this key has more than {MAX_ROWS} rows"));
            return false;
        }
        // After a fault the remaining rows are read and ignored, so that the connection can be used again.
        if self.fault.is_none() {
            self.fault = self.row(columns, cell).err();
        }
        true
    }

    fn row<'r>(&mut self, columns: usize, cell: impl Fn(usize) -> Cell<'r>) -> Result<(), String> {
        if columns == 0 {
            return Err(no_rows());
        }
        match self.style {
            Style::Query { columns: most } => {
                for column in 0..columns.min(most) {
                    if let Some(value) = cell(column)?.filter(|value| !value.is_empty()) {
                        self.value(&value);
                    }
                }
            }
            Style::Table { key, exact } => {
                let mut values = columns;
                if let Some(key) = key {
                    values -= 1;
                    // The collation of the column may differ from the configured case sensitivity.
                    let is_same =
                        |stored: Cow<'_, str>| stored == key || (!exact && fold(&stored) == fold(key));
                    if !cell(values)?.is_some_and(is_same) {
                        return Ok(());
                    }
                }
                let Some(value) = cell(0)? else { return Ok(()) };
                if value.is_empty() {
                    return Err("the value of this key is empty".into());
                }
                self.value(&value);
                for column in 1..values {
                    if let Some(more) = cell(column)?.filter(|more| !more.is_empty()) {
                        self.text.push(' ');
                        self.text.push_str(&more);
                    }
                }
            }
        }
        if self.text.len() > MAX_VALUE {
            return Err(format!("the value of this key is longer than {MAX_VALUE} octets"));
        }
        Ok(())
    }

    fn value(&mut self, value: &str) {
        if self.found {
            self.text.push(',');
        }
        self.found = true;
        self.text.push_str(value);
    }

    /// Returns the result for the key, or the reason of a temporary failure.
    pub fn finish(self) -> Result<Lookup<String>, String> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.found => Ok(Lookup::Found(self.text)),
            None => Ok(Lookup::NotFound),
        }
    }
}

/// The error for a statement that never returns rows, such as an UPDATE: "not found" would be wrong.
pub fn no_rows() -> String {
    "the query gives no result set: write a SELECT".into()
}

/// The error for a column whose type is not supported. PostgreSQL and SQLite have no such types.
#[cfg(feature = "sql-mysql")]
pub fn unreadable(column: &str, kind: &str) -> String {
    format!("column {column} is of type {kind}, which rcptd does not read: cast it to a text in the query")
}

/// The error for a text that is not UTF-8.
pub fn not_text(column: &str) -> String {
    format!("column {column} holds something that is not UTF-8: correct it in the database")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = &'static [Option<&'static str>];

    fn joined(style: Style<'_>, rows: &[Row]) -> Result<Lookup<String>, String> {
        let mut all = Rows::of(style);
        for row in rows {
            let cell = |at: usize| match row[at] {
                Some("!") => Err("unreadable".to_owned()),
                text => Ok(text.map(Cow::Borrowed)),
            };
            if !all.add(row.len(), cell) {
                break;
            }
        }
        all.finish()
    }

    #[test]
    fn joins_rows_of_tables() {
        let found = |text: &str| Ok(Lookup::Found(text.into()));
        let fault = |text: &str| Err(text.to_owned());
        for (key, rows, want) in [
            (None, &[][..], Ok(Lookup::NotFound)),
            (None, &[&[Some("a")][..]], found("a")),
            (None, &[&[Some("a")], &[Some("b")]], found("a,b")),
            (None, &[&[Some("a"), Some("b"), None, Some(""), Some("c")]], found("a b c")),
            (None, &[&[None, Some("b")]], Ok(Lookup::NotFound)),
            (None, &[&[None], &[Some("b")]], found("b")),
            (None, &[&[Some("")]], fault("the value of this key is empty")),
            (None, &[&[Some("a")], &[Some("")]], fault("the value of this key is empty")),
            (None, &[&[Some("!")]], fault("unreadable")),
            (None, &[&[Some("a"), Some("!")], &[Some("b")]], fault("unreadable")),
            (None, &[&[]], Err(no_rows())),
            (Some("k"), &[&[Some("a"), Some("k")]], found("a")),
            (Some("k"), &[&[Some("a"), Some("r"), Some("K")]], found("a r")),
            (Some("k"), &[&[Some("a"), Some("k ")]], Ok(Lookup::NotFound)),
            (Some("k"), &[&[Some("!"), Some("x")]], Ok(Lookup::NotFound)),
            (Some("k"), &[&[Some("a"), None], &[Some("b"), Some("k")]], found("b")),
        ] {
            assert_eq!(joined(Style::Table { key, exact: false }, rows), want, "{key:?} {rows:?}");
        }
    }

    #[test]
    fn joins_rows_of_queries() {
        let found = |text: &str| Ok(Lookup::Found(text.into()));
        for (columns, rows, want) in [
            (9, &[][..], Ok(Lookup::NotFound)),
            (9, &[&[Some("a"), Some("b")][..], &[Some("c"), None]], found("a,b,c")),
            (9, &[&[None, Some("b")], &[Some(""), Some("")]], found("b")),
            (9, &[&[Some("")]], Ok(Lookup::NotFound)),
            (9, &[&[None]], Ok(Lookup::NotFound)),
            (9, &[&[Some("a"), Some("!")]], Err("unreadable".to_owned())),
            (9, &[&[]], Err(no_rows())),
            (1, &[&[Some("a"), Some("b")], &[Some("c"), Some("!")]], found("a,c")),
            (1, &[&[None, Some("b")]], Ok(Lookup::NotFound)),
        ] {
            assert_eq!(joined(Style::Query { columns }, rows), want, "{columns} {rows:?}");
        }
    }

    #[test]
    fn limits_rows_and_length() {
        let row: Row = &[Some("a")];
        let style = Style::Query { columns: 1 };
        assert!(joined(style, &vec![row; MAX_ROWS]).is_ok());
        assert!(
            joined(style, &vec![row; MAX_ROWS + 1]).is_err_and(|why| why.contains("more than 1000 rows"))
        );
        for (length, fits) in [(MAX_VALUE, true), (MAX_VALUE + 1, false)] {
            let text = "a".repeat(length);
            let mut rows = Rows::of(style);
            assert!(rows.add(1, |_| Ok(Some(Cow::Borrowed(&text)))));
            assert_eq!(rows.finish().is_ok(), fits);
        }
    }
}
