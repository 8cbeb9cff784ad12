//! Templates of queries, with `%s` for the key, `%u` and `%d` for its two sides, and `%1` to `%9` for the labels
//! of its domain, as in Postfix tables.

use std::borrow::Cow;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(Box<str>),
    /// `%s`: the key.
    Key,
    /// `%u`: the text before the last `@` of the key; the whole key if there is no `@`.
    User,
    /// `%d`: the text after the last `@`.
    Domain,
    /// `%1` to `%9`: a label of the domain, counted from its end; empty labels do not count.
    Label(u8),
}

impl Part {
    /// The part of the key that the letter of a placeholder means, whatever its case.
    pub(super) fn of(place: char) -> Self {
        match place {
            'u' | 'U' => Part::User,
            'd' | 'D' => Part::Domain,
            '1'..='9' => Part::Label(u8::try_from(place).unwrap_or(b'1') - b'0'),
            _ => Part::Key,
        }
    }
}

/// A piece of the text of a template.
pub(super) enum Piece {
    /// Literal text, without doubled percent signs.
    Text(Box<str>),
    /// A placeholder: one of the letters s, u, d, S, U, D, or a digit from 1 to 9.
    Place(char),
}

/// Splits a template at its placeholders; `None` if it has a percent sign that is not part of a placeholder.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let place = match (c, if c == '%' { rest.next() } else { None }) {
            ('%', Some(place @ ('s' | 'u' | 'd' | 'S' | 'U' | 'D' | '1'..='9'))) => place,
            ('%', Some('%')) => {
                literal.push('%');
                continue;
            }
            ('%', _) => return None,
            _ => {
                literal.push(c);
                continue;
            }
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Place(place));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Some(pieces)
}

/// A text with places for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A key and its sides.
///
/// If a side is missing or empty (such as the user of `@example.com`), a query that uses it is not sent, and
/// the key is not found (mysql_table(5), pgsql_table(5), ldap_table(5): "the query is suppressed"). With an
/// empty user, a query for a catch-all that excludes accounts would exclude none.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'k> {
    key: &'k str,
    user: Option<&'k str>,
    domain: Option<&'k str>,
}

impl<'k> Sides<'k> {
    /// Splits `key`.
    pub fn of(key: &'k str) -> Self {
        let (user, domain) = key.rsplit_once('@').unwrap_or((key, ""));
        let filled = |side: &'k str| Some(side).filter(|side| !side.is_empty());
        Sides { key, user: filled(user), domain: filled(domain) }
    }

    /// The text of a part; `None` if the side is missing or empty.
    pub fn part<'p>(&self, part: &'p Part) -> Option<&'p str>
    where
        'k: 'p,
    {
        match part {
            Part::Text(text) => Some(text),
            Part::Key => Some(self.key),
            Part::User => self.user,
            Part::Domain => self.domain,
            Part::Label(number) => self.label(*number),
        }
    }

    fn label(&self, number: u8) -> Option<&'k str> {
        let mut labels = self.domain?.rsplit('.').filter(|label| !label.is_empty());
        labels.nth(usize::from(number).checked_sub(1)?)
    }
}

impl Template {
    /// Parses a template. The error is the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text),
            // In the query of a table of Postfix, capitals mean the same.
            Piece::Place(place) => Part::of(place),
        };
        let pieces = pieces(text).ok_or(
            "write %s for the key, %u and %d for the parts before and after its @, %1 to %9 for a label of its \
             domain, %% for a percent sign",
        )?;
        Ok(Template(pieces.into_iter().map(part).collect()))
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether it contains the key. Otherwise the result is the same for every key.
    pub fn has_key(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The text for a key, with each side escaped by `escape`. `None` if the key lacks a side that is used.
    pub fn expand<'k>(&self, key: &'k str, escape: impl Fn(&'k str) -> Cow<'k, str>) -> Option<String> {
        let sides = Sides::of(key);
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Key => out.push_str(&escape(sides.key)),
                Part::User => out.push_str(&escape(sides.user?)),
                Part::Domain => out.push_str(&escape(sides.domain?)),
                Part::Label(number) => out.push_str(&escape(sides.label(*number)?)),
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_the_key_and_its_sides() {
        for (template, key, want) in [
            ("%s", "foo@example.test", Some("foo@example.test")),
            ("mail:%d:%u", "foo@example.test", Some("mail:example.test:foo")),
            ("%u", "foo", Some("foo")),
            ("%d", "foo", None),
            ("%d", "@example.test", Some("example.test")),
            ("%u|%d", "a@b@c", Some("a@b|c")),
            // As Postfix's own clients handle empty sides (tested with sqlite of 3.7).
            ("%u", "@example.test", None),
            ("%u|%d", "@example.test", None),
            ("%u|%d", "foo@", None),
            ("%u", "foo@", Some("foo")),
            ("%d", "foo@", None),
            ("%u", "@", None),
            ("%d", "@", None),
            ("%s", "@", Some("@")),
            ("%u", " @example.test", Some(" ")),
            ("%S %U %D", "foo@example.test", Some("foo@example.test foo example.test")),
            ("%3|%2|%1", "foo@mail.example.test", Some("mail|example|test")),
            ("%2", "foo@mail..test.", Some("mail")),
            ("%3", "foo@example.test", None),
            ("%1", "@test", Some("test")),
            ("%1", "test", None),
            ("%1", "foo@.", None),
            ("100%% %s", "x", Some("100% x")),
            ("const", "x", Some("const")),
            ("%s", "%d%s", Some("%d%s")),
        ] {
            let got = Template::parse(template).unwrap().expand(key, Cow::Borrowed);
            assert_eq!(got.as_deref(), want, "{template} {key}");
        }
        for bad in ["%", "%x", "a%", "% s", "%0"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse("x%%").is_ok_and(|t| !t.has_key()));
        assert!(Template::parse("%d").is_ok_and(|t| t.has_key()));
    }
}
