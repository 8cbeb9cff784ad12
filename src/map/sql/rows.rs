//! Joins the rows of one key to one value.

use super::super::results::Joined;
use super::super::{Lookup, MAX_VALUE};
use super::query::Statement;
use mail_address::fold;
use std::borrow::Cow;

/// Maximum number of rows read for one key. As many values and their commas fit into a value of [`MAX_VALUE`]
/// octets; Postfix has no limit of its own unless `expansion_limit` sets one.
pub const MAX_ROWS: usize = MAX_VALUE / 2;

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
    joined: Joined<'k>,
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
    pub fn new(statement: &'k Statement, key: &'k str) -> Self {
        let style = if statement.by_key {
            Style::Table { key: statement.shows_key.then_some(key), exact: statement.case_sensitive }
        } else {
            Style::Query { columns: statement.columns }
        };
        Rows::of(style, Joined::new(&statement.results, key))
    }

    fn of(style: Style<'k>, joined: Joined<'k>) -> Self {
        Rows { style, seen: 0, joined, fault: None }
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
                    if let Some(value) = cell(column)? {
                        self.joined.add(whole(&value)?)?;
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
                if !self.joined.add(whole(&value)?)? {
                    return Ok(());
                }
                for column in 1..values {
                    if let Some(more) = cell(column)?.filter(|more| !more.is_empty()) {
                        self.joined.append(" ")?;
                        self.joined.append(&more)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the result for the key, or the reason of a temporary failure.
    pub fn finish(self) -> Result<Lookup<String>, String> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.joined.finish()),
        }
    }
}

/// Checks a value: Postfix would read only the part before a NUL.
fn whole(value: &str) -> Result<&str, String> {
    if value.contains('\0') {
        return Err("a value contains a NUL: correct it in the database".into());
    }
    Ok(value)
}

/// The error for a statement that never returns rows, such as an UPDATE: "not found" would be wrong.
pub fn no_rows() -> String {
    "the query gives no result set: write a SELECT".into()
}

/// The text in a column. NULs at its end do not belong to it: the server pads a `BINARY(n)` with them.
#[cfg(any(feature = "sql-mysql", feature = "sql-sqlite"))]
pub fn text<'r>(octets: &'r [u8], column: &str) -> Result<&'r str, String> {
    let end = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let text = octets.get(..end).unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| not_text(column))
}

/// The error for a text that is not UTF-8.
pub fn not_text(column: &str) -> String {
    format!("column {column} holds something that is not UTF-8: correct it in the database")
}

#[cfg(test)]
mod tests {
    use super::super::super::results::ResultSettings;
    use super::*;

    type Row = &'static [Option<&'static str>];

    fn joined(style: Style<'_>, rows: &[Row]) -> Result<Lookup<String>, String> {
        let settings = ResultSettings::default();
        let mut all = Rows::of(style, Joined::new(&settings, "key"));
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
            (9, &[&[Some("a\0b")]], Err("a value contains a NUL: correct it in the database".to_owned())),
            (9, &[&[]], Err(no_rows())),
            (1, &[&[Some("a"), Some("b")], &[Some("c"), Some("!")]], found("a,c")),
            (1, &[&[None, Some("b")]], Ok(Lookup::NotFound)),
        ] {
            assert_eq!(joined(Style::Query { columns }, rows), want, "{columns} {rows:?}");
        }
    }

    #[test]
    #[cfg(any(feature = "sql-mysql", feature = "sql-sqlite"))]
    fn reads_texts() {
        for (octets, want) in [
            (&b"a"[..], Ok("a")),
            (b"", Ok("")),
            (b"a\0\0", Ok("a")),
            (b"\0", Ok("")),
            (b"a\0b", Ok("a\0b")),
            (b"\xff", Err("column c holds something that is not UTF-8")),
        ] {
            match (text(octets, "c"), want) {
                (Err(why), Err(part)) => assert!(why.starts_with(part), "{why}"),
                (got, want) => assert_eq!(got, want.map_err(str::to_owned), "{octets:?}"),
            }
        }
    }

    #[test]
    fn limits_rows() {
        let row: Row = &[None];
        let style = Style::Query { columns: 1 };
        assert!(joined(style, &vec![row; MAX_ROWS]).is_ok());
        assert!(
            joined(style, &vec![row; MAX_ROWS + 1]).is_err_and(|why| why.contains("more than 50000 rows"))
        );
    }
}
