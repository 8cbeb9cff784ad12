//! Lists in main.cf: the words of a list, and the tables among them.

use super::expand::closed;
pub use crate::table::source::items as words;

/// The text in the braces of a word `{ ... }`, without blanks at the edges; else the word.
pub fn unbraced(word: &str) -> &str {
    match closed(word, '{') {
        Some((inside, "")) => inside.trim_matches(|c: char| c == ',' || c.is_ascii_whitespace()),
        _ => word,
    }
}

/// A lookup table as main.cf names it, `type:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<'v> {
    /// The whole, as it is written.
    pub text: &'v str,
    /// Whether it begins with `proxy:`: then proxymap(8) asks it, outside of any chroot.
    pub proxied: bool,
    /// `hash`, `socketmap`, `inline` ...
    pub kind: &'v str,
    /// What follows the colon.
    pub argument: &'v str,
}

impl<'v> Map<'v> {
    /// The table that a word names, if any: a type and a colon, not a path or an address.
    pub fn parse(word: &'v str) -> Option<Self> {
        let word = unbraced(word);
        let (proxied, rest) = match word.strip_prefix("proxy:") {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let (kind, argument) = rest.split_once(':')?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_kind.then_some(Map { text: word, proxied, kind, argument })
    }

    /// All tables of a list of tables. The parts of `unionmap:{...}` and `pipemap:{...}` come after them.
    pub fn all(list: &'v str) -> Vec<Self> {
        let mut maps = Vec::new();
        for word in words(list) {
            let Some(map) = Map::parse(word) else { continue };
            let members = match map.kind {
                "unionmap" | "pipemap" | "randmap" => unbraced(map.argument),
                _ => "",
            };
            maps.push(map);
            maps.extend(words(members).into_iter().filter_map(Map::parse));
        }
        maps
    }

    /// Whether it is the password file, which has the users of this host.
    pub fn is_passwd(&self) -> bool {
        self.kind == "unix" && self.argument == "passwd.byname"
    }

    /// The keys of an `inline:` table.
    pub fn inline_keys(&self) -> Vec<&'v str> {
        if self.kind != "inline" {
            return Vec::new();
        }
        let key = |entry: &'v str| unbraced(entry).split_once('=').map(|(key, _)| key.trim());
        words(unbraced(self.argument)).into_iter().filter_map(key).collect()
    }

    /// Whether it has a value for every key.
    pub fn has_everything(&self) -> bool {
        let matches_all =
            |patterns: &str| words(patterns).iter().any(|word| unbraced(word).starts_with("/.*/"));
        self.kind == "static"
            || matches!(self.kind, "regexp" | "pcre") && matches_all(unbraced(self.argument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_of_braces() {
        for (list, want) in [
            ("", &[][..]),
            ("a, b\tc", &["a", "b", "c"]),
            (
                "unix:passwd.byname inline:{ {@example.com = OK}, b=c } x",
                &["unix:passwd.byname", "inline:{ {@example.com = OK}, b=c }", "x"],
            ),
            (
                "{ inet:127.0.0.1:3047, default_action=accept }, inet:h:1",
                &["{ inet:127.0.0.1:3047, default_action=accept }", "inet:h:1"],
            ),
            ("a } b", &["a", "}", "b"]),
        ] {
            assert_eq!(words(list), want, "{list}");
        }
    }

    #[test]
    fn tables_are_told_from_other_words() {
        for (word, want) in [
            ("hash:/etc/aliases", Some((false, "hash", "/etc/aliases"))),
            ("proxy:unix:passwd.byname", Some((true, "unix", "passwd.byname"))),
            (
                "socketmap:inet:127.0.0.1:2224:aliases",
                Some((false, "socketmap", "inet:127.0.0.1:2224:aliases")),
            ),
            ("{ tcp:127.0.0.1:3048 }", Some((false, "tcp", "127.0.0.1:3048"))),
            ("example.com", None),
            ("/etc/postfix/domains", None),
            ("[::1]", None),
            ("!hash:/x", None),
        ] {
            let got = Map::parse(word).map(|map| (map.proxied, map.kind, map.argument));
            assert_eq!(got, want, "{word}");
        }
    }

    #[test]
    fn keys_of_inline_tables() {
        for (text, want) in [
            ("inline:{ {@example.com = OK} }", &["@example.com"][..]),
            ("inline:{@a.test=OK, { @b.test = OK }}", &["@a.test", "@b.test"]),
            ("inline:{}", &[]),
            ("hash:{a=b}", &[]),
        ] {
            assert_eq!(Map::parse(text).unwrap().inline_keys(), want, "{text}");
        }
        for (text, want) in [("static:OK", true), ("regexp:{{/.*/ OK}}", true), ("hash:/x", false)] {
            assert_eq!(Map::parse(text).unwrap().has_everything(), want, "{text}");
        }
    }
}
