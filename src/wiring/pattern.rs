//! Matches patterns of regexp_table(5) and pcre_table(5).
//!
//! Determines whether a table of patterns has a value for a key. It supports the syntax that tables of
//! addresses use, and returns [`Unknown`] for everything else (references, assertions, possessive repeats).

use super::maps::{unbraced, words};

/// Maximum length of a pattern. Longer ones are not matched.
const MAX_PATTERN: usize = 500;
/// Maximum nesting of groups. Each level is a recursive call.
const MAX_DEPTH: usize = 16;
/// Maximum number of repeats in a pattern: more than a key has characters.
const MAX_REPEAT: usize = 1000;
/// Maximum number of steps of one match: nested repeats can take exponential time.
const MAX_STEPS: usize = 10_000;

/// The value of the first pattern that matches `key`; `None` if none matches, an error if that cannot be
/// determined.
pub fn value<'t>(lines: &[&'t str], key: &str) -> Result<Option<&'t str>, Unknown> {
    // Whether each of the enclosing conditions holds.
    let mut conditions: Vec<bool> = Vec::new();
    for line in lines.iter().map(|line| line.trim()) {
        if line == "endif" {
            conditions.pop();
            continue;
        }
        let (is_condition, rest) = match line.strip_prefix("if") {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => (true, rest.trim_start()),
            _ => (false, line),
        };
        let holds_here = conditions.iter().all(|holds| *holds);
        if !holds_here && !is_condition {
            continue;
        }
        let (negated, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest.trim_start()));
        let (pattern, value) = delimited(rest).ok_or(Unknown)?;
        let holds = holds_here && matches(pattern, key)? != negated;
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
    let is_line = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    // A line that begins with a space continues a value, whose text does not matter.
    Some(file?.lines().filter(is_line).filter(|line| !line.starts_with([' ', '\t'])).collect())
}

/// The error for syntax that is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// Splits `/pattern/flags value` into pattern and value.
fn delimited(line: &str) -> Option<(&str, &str)> {
    let mark = line.chars().next().filter(|c| c.is_ascii_punctuation() && *c != '\\')?;
    let mut escaped = false;
    let end = line[1..].find(|c: char| {
        let ends = c == mark && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let after = &line[end + 2..];
    Some((&line[1..=end], after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim()))
}

/// Whether a pattern matches a part of `text`, ignoring case.
fn matches(pattern: &str, text: &str) -> Result<bool, Unknown> {
    if pattern.len() > MAX_PATTERN {
        return Err(Unknown);
    }
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let mut parser = Parser { pattern: &pattern, at: 0 };
    let choices = parser.choices(0)?;
    if parser.at < pattern.len() {
        return Err(Unknown);
    }
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut matcher = Matcher { text: &text, steps: 0 };
    let found = (0..=text.len()).any(|at| matcher.any_of(&choices, at, &mut |_, _| true));
    if matcher.steps > MAX_STEPS { Err(Unknown) } else { Ok(found) }
}

/// Alternatives, each of which is a sequence.
type Choices = Vec<Vec<Piece>>;

/// A part of a pattern that may repeat.
struct Piece {
    what: Part,
    least: usize,
    most: usize,
}

enum Part {
    Start,
    End,
    /// A character in one of these ranges or, if negated, in none of them.
    Char {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Group(Choices),
}

struct Parser<'p> {
    pattern: &'p [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn take(&mut self, c: char) -> bool {
        let is_next = self.peek() == Some(c);
        self.at += usize::from(is_next);
        is_next
    }

    fn choices(&mut self, depth: usize) -> Result<Choices, Unknown> {
        if depth > MAX_DEPTH {
            return Err(Unknown);
        }
        let mut choices = vec![Vec::new()];
        while let Some(c) = self.peek() {
            if c == ')' && depth > 0 {
                break;
            }
            self.at += 1;
            if c == '|' {
                choices.push(Vec::new());
                continue;
            }
            let what = self.part(c, depth)?;
            let (least, most) = self.repeat()?;
            if let Some(last) = choices.last_mut() {
                last.push(Piece { what, least, most });
            }
        }
        Ok(choices)
    }

    fn part(&mut self, c: char, depth: usize) -> Result<Part, Unknown> {
        let any = |ranges: &[(char, char)], negated| Part::Char { ranges: ranges.to_vec(), negated };
        Ok(match c {
            '^' => Part::Start,
            '$' => Part::End,
            '.' => any(&[], true),
            '(' => {
                if self.take('?') && !self.take(':') {
                    return Err(Unknown);
                }
                let inside = self.choices(depth + 1)?;
                if !self.take(')') {
                    return Err(Unknown);
                }
                Part::Group(inside)
            }
            '[' => self.set()?,
            '\\' => match self.next().ok_or(Unknown)? {
                'd' => any(&[('0', '9')], false),
                // The case of \w and \W, and the like, is lost.
                c if c.is_ascii_alphanumeric() => return Err(Unknown),
                c => any(&[(c, c)], false),
            },
            '*' | '+' | '?' | '{' => return Err(Unknown),
            c => any(&[(c, c)], false),
        })
    }

    /// Parses the characters between brackets.
    fn set(&mut self) -> Result<Part, Unknown> {
        let negated = self.take('^');
        let mut ranges = Vec::new();
        loop {
            match self.next().ok_or(Unknown)? {
                ']' if !ranges.is_empty() => break,
                '[' if self.take(':') => {
                    let rest: String = self.pattern[self.at..].iter().collect();
                    let (class, _) = rest.split_once(":]").ok_or(Unknown)?;
                    self.at += class.chars().count() + 2;
                    match class {
                        "alpha" | "lower" | "upper" => ranges.push(('a', 'z')),
                        "digit" => ranges.push(('0', '9')),
                        "alnum" => ranges.extend([('a', 'z'), ('0', '9')]),
                        _ => return Err(Unknown),
                    }
                }
                first => {
                    let first = if first == '\\' { self.next().ok_or(Unknown)? } else { first };
                    let is_range = self.peek() == Some('-')
                        && self.pattern.get(self.at + 1).is_some_and(|c| *c != ']' && *c != '[');
                    let last = if is_range {
                        self.at += 1;
                        self.next().ok_or(Unknown)?
                    } else {
                        first
                    };
                    ranges.push((first, last));
                }
            }
        }
        Ok(Part::Char { ranges, negated })
    }

    fn repeat(&mut self) -> Result<(usize, usize), Unknown> {
        let bounds = match self.peek() {
            Some('*') => (0, MAX_REPEAT),
            Some('+') => (1, MAX_REPEAT),
            Some('?') => (0, 1),
            Some('{') => {
                let rest: String = self.pattern[self.at + 1..].iter().take_while(|c| **c != '}').collect();
                self.at += rest.chars().count() + 1;
                let number = |text: &str| text.parse().ok().filter(|n| *n <= MAX_REPEAT).ok_or(Unknown);
                match rest.split_once(',') {
                    Some((least, "")) => (number(least)?, MAX_REPEAT),
                    Some((least, most)) => (number(least)?, number(most)?),
                    None => (number(&rest)?, number(&rest)?),
                }
            }
            _ => return Ok((1, 1)),
        };
        if self.next().is_none() {
            return Err(Unknown);
        }
        // A lazy repeat matches the same texts.
        self.take('?');
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) { Err(Unknown) } else { Ok(bounds) }
    }
}

struct Matcher<'t> {
    text: &'t [char],
    steps: usize,
}

/// Matches the rest of a pattern from a position on.
type Then<'f, 't> = &'f mut dyn FnMut(&mut Matcher<'t>, usize) -> bool;

impl<'t> Matcher<'t> {
    fn any_of(&mut self, choices: &Choices, at: usize, then: Then<'_, 't>) -> bool {
        choices.iter().any(|pieces| self.sequence(pieces, at, then))
    }

    fn sequence(&mut self, pieces: &[Piece], at: usize, then: Then<'_, 't>) -> bool {
        match pieces.split_first() {
            Some((piece, rest)) => self.piece(piece, 0, rest, at, then),
            None => then(self, at),
        }
    }

    /// Matches a part that has already matched `times` times, and then the rest.
    fn piece(&mut self, piece: &Piece, times: usize, rest: &[Piece], at: usize, then: Then<'_, 't>) -> bool {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return false;
        }
        if times >= piece.least && self.sequence(rest, at, then) {
            return true;
        }
        if times >= piece.most {
            return false;
        }
        match &piece.what {
            Part::Start => at == 0 && self.sequence(rest, at, then),
            Part::End => at == self.text.len() && self.sequence(rest, at, then),
            Part::Char { ranges, negated } => {
                let is_there = self.text.get(at).is_some_and(|c| {
                    ranges.iter().any(|(first, last)| (first..=last).contains(&c)) != *negated
                });
                is_there && self.piece(piece, times + 1, rest, at + 1, then)
            }
            // A repeat that matches the empty text would never end.
            Part::Group(choices) => self.any_of(choices, at, &mut |matcher, next| {
                if next == at {
                    matcher.sequence(rest, next, then)
                } else {
                    matcher.piece(piece, times + 1, rest, next, then)
                }
            }),
        }
    }
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
            ("^((((a|[a-z])*)*)*)*!", Err(Unknown)),
            ("^(a|b)*@", Ok(false)),
            ("^foo-", Ok(false)),
            ("^.@", Ok(false)),
            ("example\\.org$", Ok(false)),
            ("^postmaster@|^abuse@", Ok(false)),
            ("[]a]", Ok(true)),
            ("\\d{2,}", Ok(false)),
            ("[", Err(Unknown)),
            ("(", Err(Unknown)),
            (")", Ok(false)),
            ("a{", Err(Unknown)),
            ("*", Err(Unknown)),
            ("(?!foo)", Err(Unknown)),
            ("(.)\\1", Err(Unknown)),
            ("\\w+", Err(Unknown)),
            ("a++", Err(Unknown)),
        ] {
            assert_eq!(matches(pattern, KEY), want, "{pattern}");
        }
        let deep = "(".repeat(1000);
        assert_eq!(matches(&deep, KEY), Err(Unknown));
    }

    #[test]
    fn finds_values_in_tables_of_patterns() {
        for (lines, want) in [
            (&["/./ OK"][..], Ok(Some("OK"))),
            (&["/^foo/ x", "!/^foo/ y"], Ok(Some("y"))),
            (&["/@Example\\.com$/i root@b"], Ok(Some("root@b"))),
            (&["#@example#  x"], Ok(Some("x"))),
            (&["/a\\/b/ x"], Ok(None)),
            (&["if /@other/", "/./ x", "endif"], Ok(None)),
            (&["if !/@other/", "/./ x", "endif"], Ok(Some("x"))),
            (&["if /@other/", "if /./", "/./ x", "endif", "endif", "/com/ z"], Ok(Some("z"))),
            (&["/(?=x)/ x"], Err(Unknown)),
            (&["no pattern"], Err(Unknown)),
            (&[], Ok(None)),
        ] {
            assert_eq!(value(lines, "qjwxzkvh@example.com"), want, "{lines:?}");
        }
        assert_eq!(lines("{ {/a b/ x}, {/c/ y} }", None), Some(vec!["/a b/ x", "/c/ y"]));
        assert_eq!(lines("/f", Some("# c\n/a/ x\n  more\n\n/b/ y\n")), Some(vec!["/a/ x", "/b/ y"]));
        assert_eq!(lines("/f", None), None);
    }
}
