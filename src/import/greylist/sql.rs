//! `INSERT` statements of a dump, one on a line: `INSERT INTO name (columns) VALUES (…),(…);`.
//!
//! As `sqlite3 .dump`, `mysqldump` and `pg_dump --inserts` write them. In the dump of `mysqldump`, which has the name of
//! the table in backquotes, a backslash in a text is an escape.

/// Words that begin the lines of a dump.
const WORDS: [&str; 8] = ["INSERT", "CREATE", "PRAGMA", "BEGIN", "SET", "DROP", "LOCK", "/*!"];

/// Whether a line is one of a dump.
pub fn is_statement(line: &str) -> bool {
    WORDS.iter().any(|word| begins_with(line, word))
}

fn begins_with(line: &str, word: &str) -> bool {
    line.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

/// An `INSERT` statement before its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert<'l> {
    /// The table, without its schema.
    pub table: String,
    /// The columns, if they are named.
    pub columns: Vec<String>,
    rest: &'l str,
    has_escapes: bool,
}

impl<'l> Insert<'l> {
    /// Parses the beginning of a statement. `None` if the line is another one.
    pub fn parse(line: &'l str) -> Option<Self> {
        let rest = ["INSERT IGNORE INTO ", "INSERT INTO "]
            .iter()
            .find_map(|begin| begins_with(line, begin).then(|| line.get(begin.len()..)).flatten())?;
        let (mut table, mut rest) = identifier(rest.trim_start())?;
        let has_escapes = line.contains('`');
        if let Some(after) = rest.strip_prefix('.') {
            (table, rest) = identifier(after)?;
        }
        let mut columns = Vec::new();
        if let Some(list) = rest.trim_start().strip_prefix('(') {
            let (list, after) = list.split_once(')')?;
            for column in list.split(',') {
                columns.push(identifier(column.trim())?.0);
            }
            rest = after;
        }
        let rest = rest.trim_start();
        let rest = begins_with(rest, "VALUES").then(|| rest.get("VALUES".len()..)).flatten()?;
        Some(Insert { table, columns, rest: rest.trim_start(), has_escapes })
    }
}

/// The rows; an error ends them.
impl Iterator for Insert<'_> {
    type Item = Result<Vec<String>, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_start_matches([',', ' ']);
        if rest.is_empty() || rest.starts_with(';') {
            return None;
        }
        let Some((values, rest)) = row(rest, self.has_escapes) else {
            self.rest = "";
            return Some(Err(()));
        };
        self.rest = rest;
        Some(Ok(values))
    }
}

/// A name, with or without quotes, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '`')) {
        let (name, rest) = text.get(1..)?.split_once(quote)?;
        return Some((name.to_ascii_lowercase(), rest));
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), rest))
}

/// The values in parentheses, and what follows. `NULL` is empty.
fn row(text: &str, has_escapes: bool) -> Option<(Vec<String>, &str)> {
    /// The tables have five columns; more are another table.
    const MOST: usize = 16;
    let mut rest = text.strip_prefix('(')?;
    let mut values = Vec::new();
    loop {
        rest = rest.trim_start();
        let (value, after) = if let Some(begin) = rest.strip_prefix('\'') {
            string(begin, has_escapes)?
        } else {
            let end = rest.find([',', ')'])?;
            let word = rest[..end].trim();
            let word = if word.eq_ignore_ascii_case("null") { "" } else { word };
            (word.to_owned(), &rest[end..])
        };
        values.push(value);
        // PostgreSQL may add a type.
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix(')') {
            return Some((values, after));
        }
        rest = after.strip_prefix(',').filter(|_| values.len() < MOST)?;
    }
}

/// A text after its first quote, and what follows its last one.
fn string(text: &str, has_escapes: bool) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if has_escapes => out.push(match chars.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            }),
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                out.push('\'');
                chars.next();
            }
            '\'' => return Some((out, &text[at + 1..])),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        for (line, want) in [
            ("INSERT INTO connect VALUES('a','b',1,NULL,'x');", "connect [] a|b|1||x"),
            ("INSERT INTO \"connect\" VALUES('o''x','');", "connect [] o'x|"),
            ("INSERT INTO `connect` VALUES ('a\\'b','c'),('d,)','e');", "connect [] a'b|c / d,)|e"),
            ("insert into public.connect (src, \"rcpt\") values ('a\\b', 'c');", "connect [src,rcpt] a\\b|c"),
            ("INSERT INTO connect VALUES('a','b", "connect [] !"),
            ("INSERT INTO connect VALUES('a') x", "connect [] a / !"),
            ("INSERT INTO connect VALUES(", "connect [] !"),
            ("INSERT INTO connect VALUES(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)", "connect [] !"),
        ] {
            let insert = Insert::parse(line).unwrap();
            let begin = format!("{} [{}]", insert.table, insert.columns.join(","));
            let rows: Vec<String> =
                insert.map(|row| row.map_or("!".to_owned(), |row| row.join("|"))).collect();
            assert_eq!(format!("{begin} {}", rows.join(" / ")), want, "{line}");
        }
        for line in
            ["", "INSERT", "INSERT INTO ", "INSERT INTO x", "INSERT INTO x (a", "INSERT INTO \"x", "SELECT 1"]
        {
            assert_eq!(Insert::parse(line), None, "{line}");
        }
    }
}
