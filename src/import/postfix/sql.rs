//! Converts the queries of Postfix' clients of SQL databases.
//!
//! Postfix escapes the key and puts it into the text of the query, so its places are in quotes there: `'%s'`,
//! `'%u@%d'`. rcptd binds the key as a parameter, which is never in quotes: `%s`, `CONCAT(%u, '@', %d)`. So the
//! converter must find the quotes of the query, in the syntax of each database.

use crate::map::settings::Kind;

/// A converted query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The text, with placeholders of rcptd.
    pub text: String,
    /// Whether a place was not in quotes.
    pub is_bare: bool,
    /// Whether there is a place for the key.
    pub has_key: bool,
}

/// The remedy for an unknown placeholder.
const UNKNOWN: &str = "write %s, %u, %d, %S, %U, %D, %1 to %9, or %% for a percent sign";

/// Converts a query for a database of `kind`. The error is what is wrong, and the remedy.
pub fn bind(kind: Kind, text: &str) -> Result<Bound, (String, String)> {
    let mut binder = Binder { kind, bound: Bound::default(), is_fresh: false };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = binder.step(c, rest)?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(binder.bound)
}

/// A part of a text in quotes.
enum Part<'t> {
    Text(&'t str),
    Place(char),
}

struct Binder {
    kind: Kind,
    bound: Bound,
    /// Whether a place was written immediately before.
    is_fresh: bool,
}

type Wrong = (String, String);

impl Binder {
    /// Converts the beginning of `rest`, and returns its length.
    fn step(&mut self, c: char, rest: &str) -> Result<usize, Wrong> {
        let (length, is_text) = match (self.kind, c) {
            (_, '\'') | (Kind::Mysql | Kind::Sqlite, '"') => return self.quoted(c, rest),
            (_, '%') => return self.bare(rest),
            (_, '"' | '`') => (closed(&rest[1..], c, false)? + 1, false),
            (Kind::Sqlite, '[') => (closed(&rest[1..], ']', false)? + 1, false),
            (Kind::Postgresql, '$') => (dollar(rest)?, false),
            _ => comment(self.kind, rest)?.map_or((c.len_utf8(), true), |length| (length, false)),
        };
        let piece = rest.get(..length).unwrap_or(rest);
        if !is_text && parts(piece)?.iter().any(|part| matches!(part, Part::Place(_))) {
            let help = "write it as a value, such as WHERE address = '%s'";
            return Err((
                "the key is in a name or a comment, where a database accepts no value".into(),
                help.into(),
            ));
        }
        if std::mem::take(&mut self.is_fresh) && c.is_alphanumeric() {
            self.bound.text.push(' ');
        }
        self.bound.text.push_str(piece);
        Ok(length)
    }

    /// A place that is not in quotes.
    fn bare(&mut self, rest: &str) -> Result<usize, Wrong> {
        match parts(rest.get(..2).unwrap_or(rest))?.first() {
            Some(Part::Place(place)) => {
                let after = rest[2..].chars().next();
                if self.bound.text.ends_with(is_word) || after.is_some_and(is_word) || self.is_fresh {
                    let help = "write each place for the key as a value of its own, such as '%s'";
                    return Err((
                        "the key is a part of a name, where a database accepts no value".into(),
                        help.into(),
                    ));
                }
                self.bound.is_bare = true;
                self.place(*place);
            }
            _ => self.bound.text.push_str("%%"),
        }
        Ok(2)
    }

    fn place(&mut self, place: char) {
        self.bound.has_key = true;
        if self.bound.text.ends_with(is_word) {
            self.bound.text.push(' ');
        }
        self.bound.text.push('%');
        // In a query, capitals mean the same.
        self.bound.text.push(place.to_ascii_lowercase());
        self.is_fresh = true;
    }

    /// A text in quotes.
    fn quoted(&mut self, quote: char, rest: &str) -> Result<usize, Wrong> {
        let prefix = self.prefix();
        let is_escape = self.kind == Kind::Postgresql && prefix.eq_ignore_ascii_case("e");
        let backslashes = self.kind == Kind::Mysql || is_escape;
        let inside = closed(&rest[1..], quote, backslashes)?;
        let length = inside + 1;
        let content = &rest[1..inside];
        let found = parts(content)?;
        if !found.iter().any(|part| matches!(part, Part::Place(_))) {
            self.is_fresh = false;
            self.bound.text.push_str(&rest[..length]);
            return Ok(length);
        }
        let is_special =
            prefix.starts_with('_') || ["n", "x", "b", "&"].iter().any(|p| prefix.eq_ignore_ascii_case(p));
        if is_special {
            let help = "write the text in plain quotes: '%s'";
            return Err((format!("a text with the prefix {prefix} contains the key"), help.into()));
        }
        if is_escape {
            self.bound.text.pop();
        }
        let open = if is_escape { "E'".to_owned() } else { quote.to_string() };
        let (begin, between, end) = match (found.len(), self.kind) {
            (1, _) => ("", "", ""),
            (_, Kind::Mysql) => ("CONCAT(", ", ", ")"),
            _ => ("(", " || ", ")"),
        };
        if !begin.is_empty() && self.bound.text.ends_with(is_word) {
            self.bound.text.push(' ');
        }
        self.bound.text.push_str(begin);
        for (at, part) in found.iter().enumerate() {
            if at > 0 {
                self.bound.text.push_str(between);
            }
            match part {
                Part::Place(place) => self.place(*place),
                Part::Text(text)
                    if backslashes && text.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 =>
                {
                    let help = "remove the backslash before the place for the key";
                    return Err(("a backslash is before the key".into(), help.into()));
                }
                Part::Text(text) => self.bound.text.extend([&*open, text, quote.encode_utf8(&mut [0; 4])]),
            }
        }
        self.bound.text.push_str(end);
        self.is_fresh = end.is_empty();
        Ok(length)
    }

    /// The prefix of a text in quotes, which is immediately before: the word, or the last character.
    fn prefix(&self) -> String {
        let text = &self.bound.text;
        let word = text.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
        match text.get(word..).unwrap_or_default() {
            "" => text.chars().next_back().map(String::from).unwrap_or_default(),
            word => word.into(),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Splits a text at its places for the key. A percent sign stays doubled.
fn parts(text: &str) -> Result<Vec<Part<'_>>, Wrong> {
    let (mut found, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(percent) = text.get(at..).and_then(|rest| rest.find('%')) {
        let begin = at + percent;
        match text[begin + 1..].chars().next() {
            Some('%') => (),
            Some(place @ ('s' | 'u' | 'd' | 'S' | 'U' | 'D' | '1'..='9')) => {
                if from < begin {
                    found.push(Part::Text(&text[from..begin]));
                }
                found.push(Part::Place(place));
                from = begin + 2;
            }
            _ => return Err(("a percent sign is not followed by a placeholder".into(), UNKNOWN.into())),
        }
        at = begin + 2;
    }
    if from < text.len() {
        found.push(Part::Text(&text[from..]));
    }
    Ok(found)
}

/// The length of a text with its closing quote. A doubled quote is a part of the text.
fn closed(text: &str, quote: char, backslashes: bool) -> Result<usize, Wrong> {
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if c == '\\' && backslashes {
            rest.next();
        } else if c == quote && rest.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + c.len_utf8());
        }
    }
    Err((format!("{quote} is missing at the end of a text in the query"), "close the quotes".into()))
}

/// The length of a text in dollar quotes, or 1 for another dollar sign.
fn dollar(rest: &str) -> Result<usize, Wrong> {
    let tag = rest[1..].find('$').map(|end| &rest[..end + 2]);
    let Some(tag) = tag.filter(|tag| tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_'))
    else {
        return Ok(1);
    };
    match rest[tag.len()..].find(tag) {
        Some(end) => Ok(end + 2 * tag.len()),
        None => {
            Err((format!("{tag} is missing at the end of a text in the query"), "close the quotes".into()))
        }
    }
}

/// The length of a comment, if `rest` begins with one.
fn comment(kind: Kind, rest: &str) -> Result<Option<usize>, Wrong> {
    let line = match kind {
        Kind::Mysql => rest.starts_with('#') || rest.starts_with("-- ") || rest.starts_with("--\t"),
        _ => rest.starts_with("--"),
    };
    if line {
        return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    if !rest.starts_with("/*") {
        return Ok(None);
    }
    match rest.find("*/") {
        Some(end) => Ok(Some(end + 2)),
        None => Err(("a comment in the query does not end".into(), "close it with */".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Mysql, Postgresql, Sqlite};

    #[test]
    fn binds_the_key() {
        for (kind, query, want) in [
            (Mysql, "SELECT v FROM t WHERE k='%s' AND a = '1'", "SELECT v FROM t WHERE k=%s AND a = '1'"),
            (Mysql, "SELECT v FROM t WHERE k=\"%s\"", "SELECT v FROM t WHERE k=%s"),
            (Mysql, "f('%u@%d')", "f(CONCAT(%u, '@', %d))"),
            (Postgresql, "f('%u@%d')", "f((%u || '@' || %d))"),
            (Sqlite, "f('@%d')", "f(('@' || %d))"),
            (Mysql, "k LIKE'%s'OR 1", "k LIKE %s OR 1"),
            (Mysql, "k LIKE '%%@%D'", "k LIKE CONCAT('%%@', %d)"),
            (Mysql, "k LIKE '%%@x' AND y='%S'", "k LIKE '%%@x' AND y=%s"),
            (Mysql, "'it\\'s %s'", "CONCAT('it\\'s ', %s)"),
            (Postgresql, "'it''s %s'", "('it''s ' || %s)"),
            (Postgresql, "E'a\\'%s'", "(E'a\\'' || %s)"),
            (Postgresql, "f(E'%s')", "f(%s)"),
            (Postgresql, "'a\\%s'", "('a\\' || %s)"),
            (Postgresql, "\"col\" = '%s' -- x", "\"col\" = %s -- x"),
            (Postgresql, "$$it's$$ || '%s'", "$$it's$$ || %s"),
            (Sqlite, "[it's] = '%s'", "[it's] = %s"),
            (Mysql, "`it's` = '%s' /* it's */", "`it's` = %s /* it's */"),
            (Mysql, "k = '%s' # it's", "k = %s # it's"),
            (Mysql, "id = %s", "id = %s"),
            (Mysql, "CALL lookup('%s')", "CALL lookup(%s)"),
            (Mysql, "'%u%d'", "CONCAT(%u, %d)"),
            (Mysql, "f('%2.%1')", "f(CONCAT(%2, '.', %1))"),
            (Mysql, "a % 2", "!a percent sign"),
            (Mysql, "'100%'", "!a percent sign"),
            (Mysql, "FROM t_%s", "!the key is a part of a name"),
            (Mysql, "FROM `%d`", "!the key is in a name"),
            (Postgresql, "FROM \"%d\"", "!the key is in a name"),
            (Mysql, "x /* %s */", "!the key is in a name or a comment"),
            (Mysql, "_utf8'%s'", "!a text with the prefix _utf8"),
            (Postgresql, "U&'%s'", "!a text with the prefix &"),
            (Mysql, "'a\\%s'", "!a backslash"),
            (Mysql, "k = '%s", "!' is missing"),
            (Postgresql, "k = $a$ %s", "!$a$ is missing"),
            (Mysql, "/* x", "!a comment"),
        ] {
            match (bind(kind, query), want.strip_prefix('!')) {
                (Ok(bound), None) => assert_eq!(bound.text, want, "{query}"),
                (Err((why, _)), Some(want)) => assert!(why.starts_with(want), "{query}: {why}"),
                (got, _) => panic!("{query}: {got:?}"),
            }
        }
    }

    #[test]
    fn notes_bare_and_missing_places() {
        for (query, want) in [
            ("k = '%s'", (false, true)),
            ("k = %s", (true, true)),
            ("k = '%1'", (false, true)),
            ("SELECT 1", (false, false)),
        ] {
            let bound = bind(Mysql, query).unwrap();
            assert_eq!((bound.is_bare, bound.has_key), want, "{query}");
        }
    }
}
