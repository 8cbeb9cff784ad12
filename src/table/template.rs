//! Texts in which `%s` stands for the key, `%u` and `%d` for its two sides, as Postfix' tables have it.

use std::borrow::Cow;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(Box<str>),
    /// `%s`: the key.
    Key,
    /// `%u`: what stands before the last `@` of the key; all of it where there is none.
    User,
    /// `%d`: what stands behind the last `@`.
    Domain,
}

/// A text with places for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A key and its sides.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'k> {
    key: &'k str,
    user: &'k str,
    domain: Option<&'k str>,
}

impl<'k> Sides<'k> {
    /// Those of `key`.
    pub fn of(key: &'k str) -> Self {
        match key.rsplit_once('@') {
            Some((user, domain)) => Sides { key, user, domain: Some(domain) },
            None => Sides { key, user: key, domain: None },
        }
    }

    /// What a part stands for; `None` for the domain of a key that has none.
    pub fn part<'p>(&self, part: &'p Part) -> Option<&'p str>
    where
        'k: 'p,
    {
        match part {
            Part::Text(text) => Some(text),
            Part::Key => Some(self.key),
            Part::User => Some(self.user),
            Part::Domain => self.domain,
        }
    }
}

impl Template {
    /// Reads a template; the error is a remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let part = match (c, if c == '%' { rest.next() } else { None }) {
                ('%', Some('%')) => {
                    literal.push('%');
                    continue;
                }
                ('%', Some('s')) => Part::Key,
                ('%', Some('u')) => Part::User,
                ('%', Some('d')) => Part::Domain,
                ('%', _) => {
                    return Err(
                        "write %s for the key, %u and %d for what is before and behind its @, %% for a \
                                percent sign"
                            .into(),
                    );
                }
                _ => {
                    literal.push(c);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Template(parts))
    }

    /// Its parts, in their order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether the key has a place in it; without one every key has the same answer.
    pub fn has_key(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The text for a key, each side as `escape` makes it safe. `None` where a domain is wanted and the key has
    /// none.
    pub fn expand<'k>(&self, key: &'k str, escape: impl Fn(&'k str) -> Cow<'k, str>) -> Option<String> {
        let sides = Sides::of(key);
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Key => out.push_str(&escape(sides.key)),
                Part::User => out.push_str(&escape(sides.user)),
                Part::Domain => out.push_str(&escape(sides.domain?)),
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansions() {
        for (template, key, want) in [
            ("%s", "foo@example.test", Some("foo@example.test")),
            ("mail:%d:%u", "foo@example.test", Some("mail:example.test:foo")),
            ("%u", "foo", Some("foo")),
            ("%d", "foo", None),
            ("%d", "@example.test", Some("example.test")),
            ("%u|%d", "a@b@c", Some("a@b|c")),
            ("100%% %s", "x", Some("100% x")),
            ("const", "x", Some("const")),
            ("%s", "%d%s", Some("%d%s")),
        ] {
            let got = Template::parse(template).unwrap().expand(key, Cow::Borrowed);
            assert_eq!(got.as_deref(), want, "{template} {key}");
        }
        for bad in ["%", "%x", "a%", "% s"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse("x%%").is_ok_and(|t| !t.has_key()));
        assert!(Template::parse("%d").is_ok_and(|t| t.has_key()));
    }
}
