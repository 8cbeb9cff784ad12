//! Conversion of the values of a query by `domain`, `result_format` and `expansion_limit`, as in the clients of
//! Postfix (mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5)).

use super::template::{Part, Piece, Sides, pieces};
use super::{Lookup, MAX_VALUE};
use mail_address::{canonical_domain, fold};
use std::str::FromStr;

/// Settings of the values of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultSettings {
    /// The domains whose addresses are looked up.
    pub domains: DomainList,
    /// The format of each value.
    pub format: ResultFormat,
    /// Most values of a key; more are a temporary failure. 0: as many as fit into a value.
    pub expansion_limit: usize,
}

impl ResultSettings {
    /// Whether `key` is looked up: its domain is in the list, and it has the parts that the format uses. Other keys are
    /// not found, without a query.
    pub fn admits(&self, key: &str) -> bool {
        self.domains.admits(key) && self.format.has_parts(Sides::of(key))
    }

    /// The result for a key with only one value.
    #[cfg(feature = "redis")]
    pub fn only(&self, key: &str, value: &str) -> Lookup<String> {
        let mut joined = Joined::new(self, key);
        match joined.add(value) {
            Ok(_) => joined.finish(),
            Err(why) => Lookup::temp_fail(why),
        }
    }
}

/// A list of domains; if it is empty, every key is looked up. Otherwise only addresses with a local part and a domain
/// of the list: no names without a domain, no domains, no `@domain`. Subdomains do not count. The first entry that
/// equals the domain decides; an entry that begins with `!` excludes it (postconf(5), "type:table list"). A domain with
/// other letters than those of ASCII may be written in either form: an account is looked up with `xn--`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainList(Vec<(String, bool)>);

impl DomainList {
    /// Adds an entry: a domain, or `!` and a domain. The error is the remedy.
    pub fn add(&mut self, entry: &str) -> Result<(), String> {
        let name = entry.trim_start_matches('!');
        if name.contains([':', '/']) {
            return Err("write the domains themselves: files and tables of Postfix are not read".into());
        }
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '@')) {
            return Err("write a domain such as \"example.com\", each as an entry of its own".into());
        }
        let is_in = (entry.len() - name.len()).is_multiple_of(2);
        self.0.push((fold(name).into_owned(), is_in));
        Ok(())
    }

    fn admits(&self, key: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some((user, domain)) = key.rsplit_once('@') else { return false };
        let (domain, ascii) = (fold(domain), canonical_domain(domain));
        let is_same = |name: &str| name == domain || canonical_domain(name) == ascii;
        let found = self.0.iter().find(|(name, _)| is_same(name));
        !user.is_empty() && found.is_some_and(|(_, is_in)| *is_in)
    }

    /// Its entries, as in the configuration.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, is_in)| if *is_in { name.clone() } else { format!("!{name}") })
    }
}

/// The format of a value: `%s` is the value, `%u` and `%d` are the parts before and after its last `@`; `%S`, `%U`, `%D`
/// and `%1` to `%9` are parts of the key, as in a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFormat {
    text: String,
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A text, or a part of the value.
    OfValue(Part),
    OfKey(Part),
}

impl FromStr for ResultFormat {
    type Err = String;

    /// The error is the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        let place = |piece| match piece {
            Piece::Text(text) => Place::OfValue(Part::Text(text)),
            Piece::Place(place @ ('s' | 'u' | 'd')) => Place::OfValue(Part::of(place)),
            Piece::Place(place) => Place::OfKey(Part::of(place)),
        };
        let places = pieces(text).filter(|pieces| !pieces.is_empty()).ok_or(
            "write %s for the value, %u and %d for the parts before and after its @, %S, %U, %D or %1 to %9 for parts of \
             the key, %% for a percent sign",
        )?;
        Ok(ResultFormat { text: text.to_owned(), places: places.into_iter().map(place).collect() })
    }
}

/// The default of `result_format`: the value itself.
pub const RESULT_FORMAT: &str = "%s";
/// The default of `expansion_limit`: no limit.
pub const EXPANSION_LIMIT: usize = 0;

impl Default for ResultFormat {
    fn default() -> Self {
        ResultFormat { text: RESULT_FORMAT.into(), places: vec![Place::OfValue(Part::Key)] }
    }
}

impl ResultFormat {
    /// The format, as in the configuration.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn has_parts(&self, key: Sides<'_>) -> bool {
        self.places.iter().all(|place| match place {
            Place::OfKey(part) => key.part(part).is_some(),
            Place::OfValue(_) => true,
        })
    }

    /// Appends a value in this format to `out`. Returns false if the value lacks a part that is used, such as the domain
    /// of a name without one: such a value is ignored, and `out` may have a part of it.
    fn write(&self, value: &str, key: &str, out: &mut String) -> bool {
        let (value, key) = (Sides::of(value), Sides::of(key));
        self.places.iter().all(|place| {
            let text = match place {
                Place::OfValue(part) => value.part(part),
                Place::OfKey(part) => key.part(part),
            };
            text.is_some_and(|text| {
                out.push_str(text);
                true
            })
        })
    }
}

/// Joins the values of a key with commas, each in its format.
#[derive(Debug)]
pub struct Joined<'a> {
    settings: &'a ResultSettings,
    key: &'a str,
    text: String,
    count: usize,
}

impl<'a> Joined<'a> {
    /// Creates one without values.
    pub fn new(settings: &'a ResultSettings, key: &'a str) -> Self {
        Joined { settings, key, text: String::new(), count: 0 }
    }

    /// Adds a value, unless it is empty or lacks a part that the format uses. Returns whether it was added. The error is
    /// the reason of a temporary failure.
    pub fn add(&mut self, value: &str) -> Result<bool, String> {
        let before = self.text.len();
        if before > 0 {
            self.text.push(',');
        }
        if value.is_empty() || !self.settings.format.write(value, self.key, &mut self.text) {
            self.text.truncate(before);
            return Ok(false);
        }
        self.count += 1;
        let limit = self.settings.expansion_limit;
        if limit > 0 && self.count > limit {
            return Err(format!("this key has more than {limit} values, the expansion_limit of the map"));
        }
        self.fits()?;
        Ok(true)
    }

    /// Whether no value was added.
    #[cfg(feature = "ldap")]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends more text to the value that was added last.
    pub fn append(&mut self, text: &str) -> Result<(), String> {
        self.text.push_str(text);
        self.fits()
    }

    fn fits(&self) -> Result<(), String> {
        if self.text.len() > MAX_VALUE {
            return Err(super::value::too_long());
        }
        Ok(())
    }

    /// The result for the key.
    pub fn finish(self) -> Lookup<String> {
        if self.count > 0 { Lookup::Found(self.text) } else { Lookup::NotFound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(entries: &[&str]) -> DomainList {
        let mut list = DomainList::default();
        for entry in entries {
            list.add(entry).unwrap();
        }
        list
    }

    #[test]
    fn admits_addresses_in_domains() {
        for (entries, key, want) in [
            (&[][..], "foo", true),
            (&[], "@one.test", true),
            (&["one.test"], "foo@one.test", true),
            (&["One.Test"], "foo@oNE.test", true),
            (&["one.test"], "foo@bar@one.test", true),
            (&["one.test"], "foo@sub.one.test", false),
            (&["one.test"], "foo@two.test", false),
            (&["one.test", "two.test"], "foo@two.test", true),
            (&["one.test"], "@one.test", false),
            (&["one.test"], "one.test", false),
            (&["one.test"], "foo", false),
            (&["one.test"], "foo@", false),
            (&["!one.test", "one.test"], "foo@one.test", false),
            (&["one.test", "!one.test"], "foo@one.test", true),
            (&["!!one.test"], "foo@one.test", true),
            (&["größe.test"], "foo@GRÖSSE.test", true),
            (&["bücher.test"], "foo@xn--bcher-kva.test", true),
            (&["xn--bcher-kva.test"], "foo@BÜCHER.test", true),
            (&["!bücher.test", "xn--bcher-kva.test"], "foo@xn--bcher-kva.test", false),
        ] {
            let settings = ResultSettings { domains: domains(entries), ..ResultSettings::default() };
            assert_eq!(settings.admits(key), want, "{entries:?} {key}");
        }
        for (entry, want) in [
            ("hash:/x", "files and tables"),
            ("/x", "files and tables"),
            ("", "write a domain"),
            ("!", "write a domain"),
            ("a b", "of its own"),
            ("a,b", "of its own"),
            ("@a", "write a domain"),
        ] {
            assert!(DomainList::default().add(entry).unwrap_err().contains(want), "{entry}");
        }
        assert_eq!(domains(&["a", "!B"]).entries().collect::<Vec<_>>(), ["a", "!b"]);
    }

    #[test]
    fn joins_values_in_their_format() {
        let found = |text: &str| Ok(Lookup::Found(text.to_owned()));
        for (format, key, values, want) in [
            ("%s", "k@x.test", &["a", "", "b@c"][..], found("a,b@c")),
            ("smtp:[%s]", "k@x.test", &["a", "b"], found("smtp:[a],smtp:[b]")),
            ("%u", "k@x.test", &["a@b", "c", "@d", "e@"], found("a,c,e")),
            ("%d", "k@x.test", &["a@b", "c", "@d", "e@"], found("b,d")),
            ("%u+%d", "k@x.test", &["a@b@c", "c"], found("a@b+c")),
            ("%s %S %U %D %1 %2 100%%", "k@x.test", &["a"], found("a k@x.test k x.test test x 100%")),
            ("x", "k", &["a", "b"], found("x,x")),
            ("%d", "k", &["a"], Ok(Lookup::NotFound)),
            ("%s", "k", &[], Ok(Lookup::NotFound)),
            ("%s", "k", &["a", "b", "", "c"], found("a,b,c")),
            (
                "%s",
                "k",
                &["a", "b", "c", "d"],
                Err("this key has more than 3 values, the expansion_limit of the map".to_owned()),
            ),
            // Ignored values do not count.
            ("%d", "k", &["a@1", "b", "c@2", "d", "e@3"], found("1,2,3")),
        ] {
            let settings = ResultSettings {
                format: format.parse().unwrap(),
                expansion_limit: 3,
                ..ResultSettings::default()
            };
            let mut joined = Joined::new(&settings, key);
            let added = values.iter().try_for_each(|value| joined.add(value).map(drop));
            assert_eq!(added.map(|()| joined.finish()), want, "{format} {key} {values:?}");
            assert_eq!(settings.format.text(), format);
        }
        for bad in ["", "%", "%x", "%0"] {
            assert!(bad.parse::<ResultFormat>().unwrap_err().contains("write %s for the value"), "{bad}");
        }
    }

    #[test]
    fn needs_the_parts_of_the_key() {
        for (format, key, want) in [
            ("%s%u%d", "k", true),
            ("%S", "@", true),
            ("%U", "k", true),
            ("%U", "@x", false),
            ("%D", "k", false),
            ("%D", "@x", true),
            ("%2", "k@x", false),
            ("%2", "k@y.x", true),
        ] {
            let settings = ResultSettings { format: format.parse().unwrap(), ..ResultSettings::default() };
            assert_eq!(settings.admits(key), want, "{format} {key}");
        }
    }

    #[test]
    fn limits_length() {
        let settings = ResultSettings::default();
        for (length, fits) in [(MAX_VALUE, true), (MAX_VALUE + 1, false)] {
            assert_eq!(Joined::new(&settings, "k").add(&"a".repeat(length)).is_ok(), fits);
        }
    }
}
