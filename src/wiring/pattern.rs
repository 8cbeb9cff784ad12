//! Matches patterns of regexp_table(5) and pcre_table(5).
//!
//! Determines whether a table of patterns has a value for a key. It supports the syntax that tables of
//! addresses use, and returns [`Unknown`] for everything else (references, assertions, possessive repeats).

use super::maps::{unbraced, words};
use mail_address::BLANKS;
use regex::RegexBuilder;

/// Largest compiled pattern, in octets. Patterns of address tables take a few thousand; repeats of repeats may take
/// any amount.
const MAX_SIZE: usize = 1 << 20;
/// Deepest nesting of groups; each level is a call within a call.
const MAX_DEPTH: u32 = 16;

/// The value of the first pattern that matches `key`; `None` if none matches, an error if that cannot be
/// determined.
pub fn value<'t>(lines: &[&'t str], key: &str) -> Result<Option<&'t str>, Unknown> {
    // Whether each of the enclosing conditions holds.
    let mut conditions: Vec<bool> = Vec::new();
    for line in lines.iter().map(|line| line.trim_matches(BLANKS)) {
        if line == "endif" {
            conditions.pop();
            continue;
        }
        let (is_condition, rest) = match line.strip_prefix("if") {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                (true, rest.trim_start_matches(BLANKS))
            }
            _ => (false, line),
        };
        let holds_here = conditions.iter().all(|holds| *holds);
        if !holds_here && !is_condition {
            continue;
        }
        let (negated, rest) =
            rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest.trim_start_matches(BLANKS)));
        let (pattern, flags, value) = delimited(rest).ok_or(Unknown)?;
        let holds = holds_here && matches(pattern, flags, key)? != negated;
        if is_condition {
            conditions.push(holds);
        } else if holds {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The lines of a table, from its file or from the braces of `pcre:{ {/pattern/ value}, ... }`.
pub fn lines<'t>(argument: &'t str, file: Option<&'t str>) -> Option<Vec<&'t str>> {
    if argument.starts_with('{') {
        return Some(words(unbraced(argument)).into_iter().map(unbraced).collect());
    }
    let is_line = |line: &&str| {
        !line.trim_matches(BLANKS).is_empty() && !line.trim_start_matches(BLANKS).starts_with('#')
    };
    // A line that begins with a space continues a value, whose text does not matter.
    Some(file?.lines().filter(is_line).filter(|line| !line.starts_with(BLANKS)).collect())
}

/// The error for syntax that is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// `/pattern/flags value`: the pattern, the flags and the value.
fn delimited(line: &str) -> Option<(&str, &str, &str)> {
    let mark = line.chars().next().filter(|c| c.is_ascii_punctuation() && *c != '\\')?;
    let mut escaped = false;
    let end = line[1..].find(|c: char| {
        let ends = c == mark && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let after = &line[end + 2..];
    let value = after.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    Some((&line[1..=end], &after[..after.len() - value.len()], value.trim_matches(BLANKS)))
}

/// Whether a pattern matches a part of `text`. Tables ignore case, unless the flag `i` is set.
fn matches(pattern: &str, flags: &str, text: &str) -> Result<bool, Unknown> {
    // The crate reads a possessive repeat as a repeated repeat, and \< as the beginning of a word.
    let differs = ["++", "*+", "?+", "}+", "\\<", "\\>"].iter().any(|text| pattern.contains(text));
    if differs || !matches!(flags, "" | "i") {
        return Err(Unknown);
    }
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(flags.is_empty())
        .size_limit(MAX_SIZE)
        .nest_limit(MAX_DEPTH)
        .build()
        .map_err(|_| Unknown)?;
    Ok(regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_patterns_of_address_tables() {
        const KEY: &str = "qjwxzkvh@example.com";
        for (pattern, want) in [
            ("", Ok(true)),
            (".", Ok(true)),
            ("^", Ok(true)),
            ("$", Ok(true)),
            (".*", Ok(true)),
            ("^.+$", Ok(true)),
            ("@example\\.com$", Ok(true)),
            ("@EXAMPLE.com", Ok(true)),
            ("^[^@]+@example\\.com$", Ok(true)),
            ("^(.*)@(.*\\.)?example\\.(com|net)$", Ok(true)),
            ("^(?:[a-z0-9._-]+)@", Ok(true)),
            ("^[[:alnum:]]{1,64}@", Ok(true)),
            ("^([a-z]*)*@example.org$", Ok(false)),
            ("^((((a|[a-z])*)*)*)*!", Ok(false)),
            ("^(a|b)*@", Ok(false)),
            ("^foo-", Ok(false)),
            ("^.@", Ok(false)),
            ("example\\.org$", Ok(false)),
            ("^postmaster@|^abuse@", Ok(false)),
            ("[]a]", Ok(true)),
            ("\\d{2,}", Ok(false)),
            ("[", Err(Unknown)),
            ("(", Err(Unknown)),
            (")", Err(Unknown)),
            ("a{", Err(Unknown)),
            ("*", Err(Unknown)),
            ("(?!foo)", Err(Unknown)),
            ("(.)\\1", Err(Unknown)),
            ("^\\w+@", Ok(true)),
            ("(a{1,9}){1,999}", Err(Unknown)),
            ("\\<q", Err(Unknown)),
            ("a++", Err(Unknown)),
        ] {
            assert_eq!(matches(pattern, "", KEY), want, "{pattern}");
        }
        let deep = "(".repeat(1000);
        assert_eq!(matches(&deep, "", KEY), Err(Unknown));
    }

    #[test]
    fn finds_values_in_tables_of_patterns() {
        for (lines, want) in [
            (&["/./ OK"][..], Ok(Some("OK"))),
            (&["/^foo/ x", "!/^foo/ y"], Ok(Some("y"))),
            (&["/@Example\\.com$/ root@b"], Ok(Some("root@b"))),
            (&["#@example#  x"], Ok(Some("x"))),
            (&["/a\\/b/ x"], Ok(None)),
            (&["if /@other/", "/./ x", "endif"], Ok(None)),
            (&["if !/@other/", "/./ x", "endif"], Ok(Some("x"))),
            (&["if /@other/", "if /./", "/./ x", "endif", "endif", "/com/ z"], Ok(Some("z"))),
            (&["/(?=x)/ x"], Err(Unknown)),
            (&["/COM$/ x"], Ok(Some("x"))),
            (&["/COM$/i x"], Ok(None)),
            (&["/com$/x x"], Err(Unknown)),
            (&["no pattern"], Err(Unknown)),
            (&[], Ok(None)),
        ] {
            assert_eq!(value(lines, "qjwxzkvh@example.com"), want, "{lines:?}");
        }
        assert_eq!(lines("{ {/a b/ x}, {/c/ y} }", None), Some(vec!["/a b/ x", "/c/ y"]));
        assert_eq!(lines("/f", Some("# c\n/a/ x\n  more\n\n/b/ y\n")), Some(vec!["/a/ x", "/b/ y"]));
        // A blank of Unicode begins a pattern, which rcptd does not know; Postfix ignores the line.
        assert_eq!(lines("/f", Some("/a/ x\n\u{b}more\n\u{a0}/b/ y\n")), Some(vec!["/a/ x", "\u{a0}/b/ y"]));
        assert_eq!(lines("/f", None), None);
    }
}
