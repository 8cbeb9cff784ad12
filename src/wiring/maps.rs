//! Parses lists in main.cf, and the tables in them.

use super::expand::closed;
pub use crate::map::source::items as words;
use mail_address::BLANKS;

/// Maximum nesting of `unionmap:` and `pipemap:`.
const MAX_DEPTH: usize = 8;

/// The text in the braces of a word `{ ... }`, without spaces at the edges; otherwise the word.
pub fn unbraced(word: &str) -> &str {
    match closed(word, '{') {
        Some((inside, "")) => inside.trim_matches(|c: char| c == ',' || BLANKS.contains(&c)),
        _ => word,
    }
}

/// A lookup table in main.cf, `type:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<'v> {
    /// The table as it is written.
    pub text: &'v str,
    /// Whether it begins with `proxy:`. Then proxymap(8) opens it, outside of any chroot.
    pub proxied: bool,
    /// The type, such as `hash`, `socketmap` or `inline`.
    pub kind: &'v str,
    /// The text after the colon.
    pub argument: &'v str,
}

impl<'v> Map<'v> {
    /// Parses a word as a table: a type and a colon. Returns `None` for a path or an address.
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

    /// The tables of a list, as they are written.
    pub fn listed(list: &'v str) -> Vec<Self> {
        words(list).into_iter().filter_map(Map::parse).collect()
    }

    /// All tables of a list that have entries. `unionmap:{...}` and `pipemap:{...}` are replaced by their
    /// members.
    pub fn all(list: &'v str) -> Vec<Self> {
        let (mut maps, mut next) = (Vec::new(), vec![(list, 0)]);
        while let Some((list, depth)) = next.pop() {
            for map in Map::listed(list) {
                match map.kind {
                    "unionmap" | "pipemap" if depth < MAX_DEPTH => {
                        next.push((unbraced(map.argument), depth + 1));
                    }
                    _ => maps.push(map),
                }
            }
        }
        maps
    }

    /// Whether it is the password file, which contains the users of this host.
    pub fn is_passwd(&self) -> bool {
        self.kind == "unix" && self.argument == "passwd.byname"
    }

    /// The keys and values of an `inline:` table.
    pub fn inline_entries(&self) -> Vec<(&'v str, &'v str)> {
        if self.kind != "inline" {
            return Vec::new();
        }
        let entry = |entry: &'v str| {
            unbraced(entry)
                .split_once('=')
                .map(|(key, value)| (key.trim_matches(BLANKS), value.trim_matches(BLANKS)))
        };
        words(unbraced(self.argument)).into_iter().filter_map(entry).collect()
    }

    /// The keys of an `inline:` table.
    pub fn inline_keys(&self) -> Vec<&'v str> {
        self.inline_entries().into_iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_lists_outside_of_braces() {
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
    fn distinguishes_tables_from_other_words() {
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
    fn parses_keys_of_inline_tables() {
        for (text, want) in [
            ("inline:{ {@example.com = OK} }", &["@example.com"][..]),
            ("inline:{@a.test=OK, { @b.test = OK }}", &["@a.test", "@b.test"]),
            ("inline:{}", &[]),
            ("hash:{a=b}", &[]),
        ] {
            assert_eq!(Map::parse(text).unwrap().inline_keys(), want, "{text}");
        }
    }

    #[test]
    fn lists_members_of_nested_tables() {
        for (list, want) in [
            ("hash:/a, unionmap:{ hash:/b, inline:{ x=y } }", &["hash:/a", "hash:/b", "inline:{ x=y }"][..]),
            ("pipemap:{unionmap:{hash:/a}, static:b}", &["static:b", "hash:/a"]),
            ("randmap:{OK, yes}", &["randmap:{OK, yes}"]),
        ] {
            let got: Vec<&str> = Map::all(list).iter().map(|map| map.text).collect();
            assert_eq!(got, want, "{list}");
        }
        let deep = ["unionmap:{".repeat(1000), "}".repeat(1000)].concat();
        assert_eq!(Map::all(&deep).len(), 1);
    }
}
