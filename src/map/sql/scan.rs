//! Turns a query template into the text of a prepared statement.
//!
//! A place for the key becomes a parameter, so a key is always a value. This only works outside of quotes: in
//! quotes the sign of a parameter is ordinary text, and the query would have another meaning. So the scanner
//! finds quotes and comments, in the syntax of each database:
//!
//! - PostgreSQL: "Lexical Structure" of its manual: `E'...'` with backslashes, `$tag$...$tag$`, nested `/* */`
//! - MySQL and MariaDB: "String Literals" and "Comment Syntax": backslashes in `'...'` and `"..."`, `#`, and
//!   `--` only before a space
//! - SQLite: "SQLite Keywords" and "SQL Comment Syntax": `[...]` and `` `...` `` are names

use super::super::settings::Kind;
use super::super::template::{Part, Template};

/// Scans `template` as a query for a database of `kind`. Returns its text with the signs of parameters, and
/// the part of the key for each. The error is a sentence with the remedy.
pub fn scan(kind: Kind, template: &Template) -> Result<(String, Vec<Part>), String> {
    if !template.has_key() {
        return Err("the query has no place for the key: write %s where it belongs".into());
    }
    let mut scanner =
        Scanner { kind, state: State::Code, out: String::new(), places: Vec::new(), fresh: false };
    for part in template.parts() {
        match part {
            Part::Text(text) => scanner.text(text)?,
            place => scanner.place(place)?,
        }
    }
    match scanner.state {
        State::Code | State::Ended | State::Line { .. } => Ok((scanner.out, scanner.places)),
        State::Block { .. } => Err("the query ends within a comment: close it with */".into()),
        State::Quoted { close, .. } => Err(format!("the query ends within quotes: close them with {close}")),
        State::Dollar(tag) => Err(format!("the query ends within quotes: close them with {tag}")),
    }
}

/// The sign of the parameter with this number, counted from 1.
pub fn parameter(kind: Kind, number: usize) -> String {
    if kind == Kind::Postgresql { format!("${number}") } else { "?".into() }
}

/// The position of the scanner in the syntax.
#[derive(Debug)]
enum State {
    Code,
    /// After the semicolon that ends the query.
    Ended,
    Quoted {
        close: char,
        backslashes: bool,
    },
    /// In dollar quotes of PostgreSQL, with the delimiter: `$tag$`.
    Dollar(String),
    /// In a comment to the end of the line.
    Line {
        ended: bool,
    },
    Block {
        depth: usize,
        ended: bool,
    },
}

struct Scanner {
    kind: Kind,
    state: State,
    out: String,
    places: Vec<Part>,
    /// Whether a place was written immediately before.
    fresh: bool,
}

impl Scanner {
    fn place(&mut self, place: &Part) -> Result<(), String> {
        let name = match place {
            Part::User => "%u",
            Part::Domain => "%d",
            Part::Label(_) => "each of %1 to %9",
            Part::Key | Part::Text(_) => "%s",
        };
        match self.state {
            State::Code => (),
            State::Quoted { .. } | State::Dollar(_) => {
                return Err(format!("write {name} without quotes: rcptd passes the value separately"));
            }
            State::Line { .. } | State::Block { .. } => {
                return Err(format!("take {name} out of the comment, where it means nothing"));
            }
            State::Ended => return Err(one_only()),
        }
        if self.fresh || self.out.chars().next_back().is_some_and(is_word) {
            return Err(apart(name));
        }
        self.places.push(place.clone());
        self.out.push_str(&parameter(self.kind, self.places.len()));
        self.fresh = true;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if std::mem::take(&mut self.fresh) && text.starts_with(is_word) {
            return Err(apart("the place of the key"));
        }
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = self.step(c, rest)?;
            let (done, behind) = rest.split_at(length);
            self.out.push_str(done);
            rest = behind;
        }
        Ok(())
    }

    /// Scans the beginning of `rest`, and returns its length in octets.
    fn step(&mut self, c: char, rest: &str) -> Result<usize, String> {
        match &mut self.state {
            State::Code => self.code(c, rest, false),
            State::Ended => self.code(c, rest, true),
            State::Quoted { close, backslashes } => {
                if c == '\\' && *backslashes {
                    return Ok(rest.chars().take(2).map(char::len_utf8).sum());
                }
                // A doubled quote is one quote in the text. It closes the quotes and opens them again.
                if c == *close {
                    self.state = State::Code;
                }
                Ok(c.len_utf8())
            }
            State::Dollar(tag) => {
                let length = if rest.starts_with(tag.as_str()) { tag.len() } else { c.len_utf8() };
                if length > 1 && c == '$' {
                    self.state = State::Code;
                }
                Ok(length)
            }
            State::Line { ended } => {
                if c == '\n' {
                    self.state = if *ended { State::Ended } else { State::Code };
                }
                Ok(c.len_utf8())
            }
            State::Block { depth, ended } => {
                if rest.starts_with("*/") {
                    *depth -= 1;
                    if *depth == 0 {
                        self.state = if *ended { State::Ended } else { State::Code };
                    }
                    return Ok(2);
                }
                if rest.starts_with("/*") && self.kind == Kind::Postgresql {
                    *depth += 1;
                    return Ok(2);
                }
                Ok(c.len_utf8())
            }
        }
    }

    fn code(&mut self, c: char, rest: &str, ended: bool) -> Result<usize, String> {
        let second = rest[c.len_utf8()..].chars().next();
        if self.kind == Kind::Mysql && c == '#' {
            self.state = State::Line { ended };
            return Ok(1);
        }
        if let Some(behind) = rest.strip_prefix("--") {
            let third = behind.chars().next();
            if self.kind != Kind::Mysql || third.is_some_and(|c| c.is_whitespace() || c.is_control()) {
                self.state = State::Line { ended };
                return Ok(2);
            }
        }
        if rest.starts_with("/*") {
            self.state = State::Block { depth: 1, ended };
            return Ok(2);
        }
        if ended && !c.is_whitespace() && c != ';' {
            return Err(one_only());
        }
        let quoted = |close, backslashes| State::Quoted { close, backslashes };
        match (self.kind, c) {
            (_, ';') => self.state = State::Ended,
            (kind, '\'') => {
                self.state =
                    quoted('\'', kind == Kind::Mysql || kind == Kind::Postgresql && self.is_escape());
            }
            (kind, '"') => self.state = quoted('"', kind == Kind::Mysql),
            (Kind::Mysql | Kind::Sqlite, '`') => self.state = quoted('`', false),
            (Kind::Sqlite, '[') => self.state = quoted(']', false),
            (Kind::Postgresql, '$') if !self.out.chars().next_back().is_some_and(is_word) => {
                if second.is_some_and(|c| c.is_ascii_digit()) {
                    return Err(sign(&rest[..2]));
                }
                if let Some(tag) = dollar(rest) {
                    self.state = State::Dollar(tag.to_owned());
                    return Ok(tag.len());
                }
            }
            (Kind::Mysql | Kind::Sqlite, '?') => return Err(sign("?")),
            (Kind::Sqlite, ':' | '@' | '$') if second.is_some_and(is_word) => {
                return Err(sign(&rest[..c.len_utf8() + second.map_or(0, char::len_utf8)]));
            }
            _ => (),
        }
        Ok(c.len_utf8())
    }

    /// Whether quotes that open now are those of `E'...'`.
    fn is_escape(&self) -> bool {
        let mut before = self.out.chars().rev();
        matches!(before.next(), Some('e' | 'E')) && !before.next().is_some_and(is_word)
    }
}

/// The `$tag$` at the beginning of `text`.
fn dollar(text: &str) -> Option<&str> {
    let behind = text.strip_prefix('$')?;
    let tag = &behind[..behind.find('$')?];
    let is_tag = tag.chars().all(|c| c == '_' || c.is_alphanumeric());
    (is_tag && !tag.starts_with(|c: char| c.is_ascii_digit())).then(|| &text[..tag.len() + 2])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

fn one_only() -> String {
    "write one query, without anything after its semicolon".into()
}

fn apart(name: &str) -> String {
    format!("set {name} apart from the text next to it: it is a value of its own")
}

fn sign(sign: &str) -> String {
    format!("write %s, %u or %d instead of {sign}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PG: &[Kind] = &[Kind::Postgresql];
    const MY: &[Kind] = &[Kind::Mysql];
    const LITE: &[Kind] = &[Kind::Sqlite];
    const ALL: &[Kind] = &[Kind::Postgresql, Kind::Mysql, Kind::Sqlite];
    const NOT_PG: &[Kind] = &[Kind::Mysql, Kind::Sqlite];
    const NOT_MY: &[Kind] = &[Kind::Postgresql, Kind::Sqlite];

    fn scanned(kind: Kind, text: &str) -> Result<(String, Vec<Part>), String> {
        scan(kind, &Template::parse(text).unwrap())
    }

    #[test]
    fn replaces_places_with_parameters() {
        use Part::{Domain, Key, User};
        for (kinds, text, want, places) in [
            (PG, "SELECT a FROM t WHERE k = %s", "SELECT a FROM t WHERE k = $1", &[Key][..]),
            (NOT_PG, "SELECT a FROM t WHERE k = %s", "SELECT a FROM t WHERE k = ?", &[Key]),
            (PG, "f(%u,%d,%s)", "f($1,$2,$3)", &[User, Domain, Key]),
            (NOT_PG, "f(%u,%d,%s)", "f(?,?,?)", &[User, Domain, Key]),
            (PG, "x=%s::text", "x=$1::text", &[Key]),
            (PG, "'it''s' = %s;", "'it''s' = $1;", &[Key]),
            (PG, r"'\' = %s", r"'\' = $1", &[Key]),
            (PG, r"E'\' %%' = %s", r"E'\' %' = $1", &[Key]),
            (PG, r"e'a\\' = %s", r"e'a\\' = $1", &[Key]),
            (PG, r"type'\' = %s", r"type'\' = $1", &[Key]),
            (LITE, r"'\' = %s", r"'\' = ?", &[Key]),
            (MY, r"'\'' = %s", r"'\'' = ?", &[Key]),
            (MY, r#""\"" = %s"#, r#""\"" = ?"#, &[Key]),
            (NOT_PG, "`a'b` = %s", "`a'b` = ?", &[Key]),
            (LITE, "[a'b] = %s", "[a'b] = ?", &[Key]),
            (PG, "\"a'b\" = %s", "\"a'b\" = $1", &[Key]),
            (PG, "a[1] = %s", "a[1] = $1", &[Key]),
            (PG, "$$it's$$ = %s", "$$it's$$ = $1", &[Key]),
            (PG, "$a$ $$ $b$ ' $a$ = %s", "$a$ $$ $b$ ' $a$ = $1", &[Key]),
            (PG, "a$b$ = %s", "a$b$ = $1", &[Key]),
            (PG, "j ? 'a' and k = %s", "j ? 'a' and k = $1", &[Key]),
            (NOT_PG, "'?' = %s", "'?' = ?", &[Key]),
            (PG, "%s -- it's\n", "$1 -- it's\n", &[Key]),
            (NOT_PG, "-- it's\n%s -- don't ask", "-- it's\n? -- don't ask", &[Key]),
            (MY, "# it's\n%s", "# it's\n?", &[Key]),
            (MY, "1--%s", "1--?", &[Key]),
            (MY, "1--'a' = %s", "1--'a' = ?", &[Key]),
            (PG, "/* it's /* nested */ ' */ %s", "/* it's /* nested */ ' */ $1", &[Key]),
            (NOT_PG, "/* it's /* flat */ %s", "/* it's /* flat */ ?", &[Key]),
            (PG, "a LIKE %u || '@%%'", "a LIKE $1 || '@%'", &[User]),
            (PG, "%s; -- the end\n ; /* all */", "$1; -- the end\n ; /* all */", &[Key]),
            (MY, "@a = %s", "@a = ?", &[Key]),
            (PG, "'ä' = %s", "'ä' = $1", &[Key]),
        ] {
            for kind in kinds {
                let got = scanned(*kind, text);
                assert_eq!(got, Ok((want.to_owned(), places.to_vec())), "{} {text}", kind.name());
            }
        }
    }

    #[test]
    fn rejects_places_in_quotes_and_several_statements() {
        for (kinds, text, want) in [
            (ALL, "SELECT 1", "no place for the key"),
            (ALL, "k = '%s'", "write %s without quotes: rcptd passes the value separately"),
            (ALL, "k = \"%s\"", "write %s without quotes: rcptd passes the value separately"),
            (
                ALL,
                "k = '%u@example.test' or d = %d",
                "write %u without quotes: rcptd passes the value separately",
            ),
            (ALL, "k LIKE '%%' || '%d'", "write %d without quotes: rcptd passes the value separately"),
            (ALL, "k = 'it''s %s'", "without quotes"),
            (NOT_PG, "k = `%s`", "without quotes"),
            (LITE, "k = [%s]", "without quotes"),
            (NOT_MY, r"k = '\' or l = '%s'", "without quotes"),
            (MY, r"k = '\'%s'", "without quotes"),
            (PG, r"k = E'\'%s'", "without quotes"),
            (PG, "k = $$%s$$", "without quotes"),
            (PG, "k = $a$ $$ %s$a$", "without quotes"),
            (ALL, "a = %s -- and b = %d", "take %d out of the comment"),
            (MY, "a = %s # and b = %d", "take %d out of the comment"),
            (ALL, "a = %s /* and b = %d */", "take %d out of the comment"),
            (PG, "a = /* /* */ %s */", "take %s out of the comment"),
            (ALL, "a = %s and b = 'c", "ends within quotes"),
            (PG, "a = %s and b = $x$c", "close them with $x$"),
            (ALL, "a = %s /* b", "ends within a comment"),
            (PG, "a = %s /* /* */", "ends within a comment"),
            (ALL, "a = %s; DROP TABLE t", "one query"),
            (ALL, "DELETE FROM t; SELECT %s", "one query"),
            (ALL, "a; %s", "one query"),
            (ALL, "a; -- c\n b = %s", "one query"),
            (ALL, "a; /* c */ %s", "one query"),
            (ALL, "a%s", "apart"),
            (ALL, "%s5", "apart"),
            (ALL, "%u%d", "apart"),
            (PG, "a = %s and b = $2", "instead of $2"),
            (NOT_PG, "a = %s and b = ?", "instead of ?"),
            (LITE, "a = %s and b = :b", "instead of :b"),
            (LITE, "a = %s and b = @b", "instead of @b"),
            (LITE, "a = %s and b = $b", "instead of $b"),
        ] {
            for kind in kinds {
                let got = scanned(*kind, text).unwrap_err();
                assert!(got.contains(want), "{} {text}: {got}", kind.name());
            }
        }
    }

    proptest::proptest! {
        /// The text is unchanged except for the places, and there is one sign for each place.
        #[test]
        fn changes_places_only(text in "([a'\"`\\[\\]$\\-/*;# \\\\é\n]|%s|%%){0,20}") {
            for kind in ALL {
                if let Ok((out, places)) = scanned(*kind, &text) {
                    let mut want = text.replace("%%", "%");
                    for number in 1..=places.len() {
                        want = want.replacen("%s", &parameter(*kind, number), 1);
                    }
                    proptest::prop_assert_eq!(out, want);
                }
            }
        }
    }
}
