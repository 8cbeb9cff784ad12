//! The rows of one key, as one value.

use super::super::settings::MAX_ROWS;
use super::super::{Answer, MAX_VALUE};
use crate::addr::fold;
use std::borrow::Cow;

/// What one column of a row holds; `None` for NULL. The error is why it cannot be read.
pub type Cell<'r> = Result<Option<Cow<'r, str>>, String>;

/// The rows read so far.
///
/// The first column of a row is its value, further ones are added to it with a blank, rows are joined with
/// commas, as Postfix' tables have it (ldap_table(5), pgsql_table(5)). A row whose value is NULL is none, and so
/// are further columns that are NULL or empty. A value that is empty is an error, since to a mail server it is.
#[derive(Debug)]
pub struct Rows<'k> {
    /// The key asked for, where the last column is the one that is stored.
    key: Option<&'k str>,
    /// Whether it is to be the same to the letter.
    case_sensitive: bool,
    seen: usize,
    text: String,
    found: bool,
    fault: Option<String>,
}

impl<'k> Rows<'k> {
    /// None yet. With a `key`, the last column of each row is the key as it is stored, and rows of other keys
    /// are left out; `case_sensitive`: also those that differ by case only.
    pub fn new(key: Option<&'k str>, case_sensitive: bool) -> Self {
        Rows { key, case_sensitive, seen: 0, text: String::new(), found: false, fault: None }
    }

    /// Adds a row of so many columns. False if no more are wanted: there are too many.
    pub fn add<'r>(&mut self, columns: usize, cell: impl Fn(usize) -> Cell<'r>) -> bool {
        self.seen += 1;
        if self.seen > MAX_ROWS {
            self.fault = Some(format!("this key has more than {MAX_ROWS} rows"));
            return false;
        }
        // With a fault the rest is read and forgotten: then the connection can be used again.
        if self.fault.is_none() {
            self.fault = self.row(columns, cell).err();
        }
        true
    }

    fn row<'r>(&mut self, columns: usize, cell: impl Fn(usize) -> Cell<'r>) -> Result<(), String> {
        let mut values = columns;
        if let Some(key) = self.key {
            values = columns.saturating_sub(1);
            // The collation of the column may be another than what the site says of case.
            let exact = self.case_sensitive;
            let is_same = |stored: Cow<'_, str>| stored == key || (!exact && fold(&stored) == fold(key));
            if !cell(values)?.is_some_and(is_same) {
                return Ok(());
            }
        }
        if values == 0 {
            return Err("the query gives rows without columns: name a column behind SELECT".into());
        }
        let Some(value) = cell(0)? else { return Ok(()) };
        if value.is_empty() {
            return Err("the value of this key is empty".into());
        }
        if self.found {
            self.text.push(',');
        }
        self.found = true;
        self.text.push_str(&value);
        for column in 1..values {
            if let Some(more) = cell(column)?.filter(|more| !more.is_empty()) {
                self.text.push(' ');
                self.text.push_str(&more);
            }
        }
        if self.text.len() > MAX_VALUE {
            return Err(format!("the value of this key is longer than {MAX_VALUE} octets"));
        }
        Ok(())
    }

    /// The value of the key, or why there is none to be had.
    pub fn finish(self) -> Result<Answer, String> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.found => Ok(Answer::Found(self.text)),
            None => Ok(Answer::NotFound),
        }
    }
}

/// What to do about a column whose type is not read. SQLite has none of those.
#[cfg(any(feature = "sql-postgres", feature = "sql-mysql"))]
pub fn unreadable(column: &str, kind: &str) -> String {
    format!("column {column} is of type {kind}, which is not read: cast it to a text in the query")
}

/// What to do about a text that is none.
pub fn not_text(column: &str) -> String {
    format!("column {column} holds something that is not UTF-8: correct it in the database")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = &'static [Option<&'static str>];

    fn joined(key: Option<&str>, rows: &[Row]) -> Result<Answer, String> {
        let mut all = Rows::new(key, false);
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
    fn rows_are_joined() {
        let found = |text: &str| Ok(Answer::Found(text.into()));
        let fault = |text: &str| Err(text.to_owned());
        for (key, rows, want) in [
            (None, &[][..], Ok(Answer::NotFound)),
            (None, &[&[Some("a")][..]], found("a")),
            (None, &[&[Some("a")], &[Some("b")]], found("a,b")),
            (None, &[&[Some("a"), Some("b"), None, Some(""), Some("c")]], found("a b c")),
            (None, &[&[None, Some("b")]], Ok(Answer::NotFound)),
            (None, &[&[None], &[Some("b")]], found("b")),
            (None, &[&[Some("")]], fault("the value of this key is empty")),
            (None, &[&[Some("a")], &[Some("")]], fault("the value of this key is empty")),
            (None, &[&[Some("!")]], fault("unreadable")),
            (None, &[&[Some("a"), Some("!")], &[Some("b")]], fault("unreadable")),
            (None, &[&[]], fault("the query gives rows without columns: name a column behind SELECT")),
            (Some("k"), &[&[Some("a"), Some("k")]], found("a")),
            (Some("k"), &[&[Some("a"), Some("r"), Some("K")]], found("a r")),
            (Some("k"), &[&[Some("a"), Some("k ")]], Ok(Answer::NotFound)),
            (Some("k"), &[&[Some("!"), Some("x")]], Ok(Answer::NotFound)),
            (Some("k"), &[&[Some("a"), None], &[Some("b"), Some("k")]], found("b")),
        ] {
            assert_eq!(joined(key, rows), want, "{key:?} {rows:?}");
        }
    }

    #[test]
    fn nothing_is_cut_off() {
        let row: Row = &[Some("a")];
        assert!(joined(None, &vec![row; MAX_ROWS]).is_ok());
        assert!(joined(None, &vec![row; MAX_ROWS + 1]).is_err_and(|why| why.contains("more than 1000 rows")));
        for (length, fits) in [(MAX_VALUE, true), (MAX_VALUE + 1, false)] {
            let text = "a".repeat(length);
            let mut rows = Rows::new(None, false);
            assert!(rows.add(1, |_| Ok(Some(Cow::Borrowed(&text)))));
            assert_eq!(rows.finish().is_ok(), fits);
        }
    }
}
