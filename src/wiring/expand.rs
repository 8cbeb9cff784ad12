//! Expands parameters in the values of Postfix parameters, as in postconf(5): `$name`, `${name}`, `$(name)`,
//! `${name?{text}:{text}}`, `${{a} == {b} ? {text} : {text}}`.

use mail_address::BLANKS;
use std::cell::Cell;
use std::cmp::Ordering;

/// Maximum nesting of parameters. Postfix stops at 100; the expansion of a value that contains itself must
/// end.
const MAX_DEPTH: usize = 50;
/// Maximum number of parameters in the expansion of one value. A parameter that uses another one twice
/// doubles the number at each level. The default of `proxy_read_maps` uses 100.
const MAX_PARTS: u32 = 10_000;
/// Maximum length of a value. A list of domains in main.cf may be long, but not longer than this.
const MAX_LENGTH: usize = 1 << 20;

/// Expands `text`. `lookup` returns the unexpanded value of a parameter; a parameter that is not set is
/// empty.
pub fn expand<'t>(text: &str, lookup: &dyn Fn(&str) -> Option<&'t str>) -> String {
    let mut out = String::new();
    Expander { lookup, parts: Cell::new(0) }.text(text, 0, &mut out);
    out
}

struct Expander<'e, 't> {
    lookup: &'e dyn Fn(&str) -> Option<&'t str>,
    parts: Cell<u32>,
}

impl Expander<'_, '_> {
    fn text(&self, text: &str, depth: usize, out: &mut String) {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(out, &rest[..at]);
            rest = &rest[at + 1..];
            rest = match rest.chars().next() {
                Some('$') => {
                    push(out, "$");
                    &rest[1..]
                }
                Some(open @ ('{' | '(')) => match closed(rest, open) {
                    Some((inside, after)) => {
                        self.group(inside, depth, out);
                        after
                    }
                    // Postfix rejects such a value, so the result is empty.
                    None => "",
                },
                _ => {
                    let (name, after) = name(rest);
                    self.parameter(name, depth, out);
                    after
                }
            };
        }
        push(out, rest);
    }

    fn parameter(&self, name: &str, depth: usize, out: &mut String) {
        if self.may_go_on(depth, out)
            && let Some(value) = (self.lookup)(name)
        {
            self.text(value, depth + 1, out);
        }
    }

    fn may_go_on(&self, depth: usize, out: &str) -> bool {
        self.parts.set(self.parts.get().saturating_add(1));
        depth < MAX_DEPTH && self.parts.get() < MAX_PARTS && out.len() < MAX_LENGTH
    }

    /// Expands the text between the braces of `${...}`.
    fn group(&self, inside: &str, depth: usize, out: &mut String) {
        if !self.may_go_on(depth, out) {
            return;
        }
        let inside = inside.trim_matches(BLANKS);
        let (is_true, rest, name) = if inside.starts_with('{') {
            let Some((holds, rest)) = self.comparison(inside, depth) else { return };
            (holds, rest, None)
        } else {
            let (name, rest) = name(inside);
            let mut value = String::new();
            self.parameter(name, depth, &mut value);
            (!value.is_empty(), rest.trim_start_matches(BLANKS), Some(value))
        };
        match (rest.chars().next(), name) {
            (None, Some(value)) => push(out, &value),
            (Some(mark @ ('?' | ':')), _) => {
                let rest = rest[1..].trim_start_matches(BLANKS);
                let (first, second) = match closed(rest, '{') {
                    Some((first, after)) => {
                        let after = after
                            .trim_start_matches(BLANKS)
                            .strip_prefix(':')
                            .map(|rest| rest.trim_start_matches(BLANKS));
                        (first, after.map(|other| closed(other, '{').map_or(other, |(inside, _)| inside)))
                    }
                    None => (rest, None),
                };
                let chosen = match (mark, is_true) {
                    ('?', true) | (':', false) => Some(first),
                    ('?', false) => second,
                    _ => None,
                };
                if let Some(chosen) = chosen {
                    self.text(chosen, depth + 1, out);
                }
            }
            _ => (),
        }
    }

    /// Evaluates `{a} == {b}`. Returns the result and the rest.
    fn comparison<'g>(&self, text: &'g str, depth: usize) -> Option<(bool, &'g str)> {
        let (left, rest) = closed(text, '{')?;
        let rest = rest.trim_start_matches(BLANKS);
        let (operator, rest) = rest.split_at(rest.find('{')?);
        let (right, rest) = closed(rest, '{')?;
        let value = |text: &str| {
            let mut out = String::new();
            self.text(text, depth + 1, &mut out);
            out.trim_matches(BLANKS).to_owned()
        };
        let (left, right) = (value(left), value(right));
        let operator = operator.trim_matches(BLANKS);
        let (order, operator) = match operator.strip_suffix("level") {
            Some(operator) => (by_level(&left, &right), operator.trim_matches(BLANKS)),
            None => (by_number_or_text(&left, &right), operator),
        };
        let holds = match operator {
            "==" => order.is_eq(),
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            _ => return None,
        };
        Some((holds, rest.trim_start_matches(BLANKS)))
    }
}

fn push(out: &mut String, text: &str) {
    if out.len() < MAX_LENGTH {
        out.push_str(text);
    }
}

/// Splits off the name of a parameter.
fn name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// Splits `text` into the text between its opening and closing brace, and the rest.
pub(super) fn closed(text: &str, open: char) -> Option<(&str, &str)> {
    let close = if open == '(' { ')' } else { '}' };
    let inside = text.strip_prefix(open)?;
    let mut depth = 1_usize;
    for (at, c) in inside.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((&inside[..at], &inside[at + 1..]));
            }
        }
    }
    None
}

fn by_number_or_text(left: &str, right: &str) -> Ordering {
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// Compares compatibility levels such as `3.6`: major, minor, patch.
pub(super) fn by_level(left: &str, right: &str) -> Ordering {
    let parts = |level: &str| {
        let mut parts =
            level.split('.').map(|part| part.trim_matches(BLANKS).parse::<u32>().unwrap_or_default());
        [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default)
    };
    parts(left).cmp(&parts(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_postconf_does() {
        let lookup = |name: &str| {
            Some(match name {
                "myhostname" => "mx.example.com",
                "mydomain" => "example.com",
                "nested" => "$myhostname, localhost.$mydomain",
                "itself" => "x$itself",
                "empty" => "",
                "compatibility_level" => "3.6",
                _ => return None,
            })
        };
        for (text, want) in [
            ("$myhostname, localhost", "mx.example.com, localhost"),
            ("${myhostname}x$(mydomain)", "mx.example.comxexample.com"),
            ("$nested", "mx.example.com, localhost.example.com"),
            ("a$$b", "a$b"),
            ("$unset.", "."),
            ("${empty:{none}}", "none"),
            ("${empty?{some}:{none}}", "none"),
            ("${mydomain?{some}:{none}}", "some"),
            ("${mydomain?plain}", "plain"),
            ("${mydomain:plain}", ""),
            ("${{$compatibility_level} <level {2} ? {$mydomain} : {}}", ""),
            ("${{$compatibility_level} >=level {3.10} ? {$mydomain} : {older}}", "older"),
            ("${{$mydomain} == {example.com} ? {yes} : {no}}", "yes"),
            ("${{10} < {9} ? {yes} : {no}}", "no"),
            ("inline:{ {@$mydomain = OK} }", "inline:{ {@example.com = OK} }"),
            ("${broken", ""),
            ("${{a} ~ {b} ? {x}}", ""),
            ("end$", "end"),
        ] {
            assert_eq!(expand(text, &lookup), want, "{text}");
        }
        assert!(expand("$itself", &lookup).len() <= MAX_DEPTH);
        let doubling = |name: &str| (name == "a").then_some("$a$a");
        assert!(expand("$a", &doubling).is_empty());
        let long = "y".repeat(5000);
        let doubling = |name: &str| match name {
            "b" => Some("$c$c$c$c$c$c$c$c$c$c"),
            "c" => Some("$d$d$d$d$d$d$d$d$d$d"),
            "d" => Some("$e$e$e$e$e$e$e$e$e$e"),
            "e" => Some(long.as_str()),
            _ => None,
        };
        assert!(expand("$b", &doubling).len() < MAX_LENGTH + long.len() + 1);
    }

    #[test]
    fn compares_levels_by_number() {
        for (left, right, want) in [
            ("3.10", "3.9", Ordering::Greater),
            ("2", "3.6", Ordering::Less),
            ("3.6", "3.6.0", Ordering::Equal),
            ("", "1", Ordering::Less),
        ] {
            assert_eq!(by_level(left, right), want, "{left} {right}");
        }
    }
}
