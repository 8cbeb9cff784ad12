//! Parses spellings beyond RFC 5321 that mail servers accept: comments, phrases, groups and the like.
//!
//! Postfix reads the argument of RCPT with an RFC 822 parser, Sendmail with its rulesets:
//! `<alice(x)@example.com>`, `Alice <alice@example.com>`, `<list:alice@example.com;>` and
//! `<alice@"example.com">` are all accepted. Servers differ in the details, so such a spelling is never
//! certain: [`is_certain`] finds the spellings that all servers parse alike, and [`parts`] returns the best
//! guess for all others, which the server has to confirm.

use super::domain::is_domain;
use super::{canonical_domain, fold};

/// Whether all servers parse an address alike, into the parts as written.
pub(super) fn is_certain(local: &str, domain: Option<&str>) -> bool {
    is_certain_local(local) && domain.is_none_or(is_certain_domain)
}

/// Whether a local part is a name without specials (RFC 5322, section 3.2.3) or one quoted string. Routes
/// (`%`, `!`, `@`) and misplaced dots are not checked here.
fn is_certain_local(local: &str) -> bool {
    let special = |c: char| {
        let is_special = matches!(c, '(' | ')' | '<' | '>' | ',' | ';' | ':' | '[' | ']' | '\\' | '"');
        is_special || c.is_ascii_whitespace() || c == '\u{b}'
    };
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return !local.contains(special);
    };
    let mut escaped = false;
    for c in quoted.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => (),
        }
    }
    !escaped
}

/// Whether a domain is a host name or an address literal. An international name must be in its canonical
/// form, since servers do not map other forms to it as IDNA does.
pub(super) fn is_certain_domain(domain: &str) -> bool {
    let canonical = canonical_domain(domain);
    if !is_domain(&canonical) {
        return false;
    }
    if domain.is_ascii() {
        return true;
    }
    let (unicode, valid) = idna::domain_to_unicode(&canonical);
    valid.is_ok() && fold(domain.strip_suffix('.').unwrap_or(domain)) == fold(&unicode)
}

/// A word of an address, or a special character between words.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Special(char),
}

/// Finds the most likely address in a text and returns its local part and domain.
pub(super) fn parts(text: &str) -> (String, Option<String>) {
    let tokens = tokens(text);
    let mut address = between_brackets(&tokens);
    if address.first() == Some(&Token::Special('@'))
        && let Some(end) = address.iter().position(|token| *token == Token::Special(':'))
    {
        address = &address[end + 1..];
    }
    // The first member of a group, and the first non-empty member of a list.
    if let Some(end) = address.iter().rposition(|token| *token == Token::Special(':')) {
        address = &address[end + 1..];
    }
    let separator = |token: &Token| matches!(token, Token::Special(',' | ';'));
    let address = address.split(separator).find(|part| !part.is_empty()).unwrap_or_default();
    match address.iter().rposition(|token| *token == Token::Special('@')) {
        None => (joined(address), None),
        Some(at) => {
            let domain = joined(&address[at + 1..]);
            (joined(&address[..at]), Some(domain.trim_end_matches('.').to_owned()).filter(|d| !d.is_empty()))
        }
    }
}

/// The content of the innermost brackets that are not empty, or everything.
fn between_brackets(tokens: &[Token]) -> &[Token] {
    let mut begin = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Special('<') => begin = i + 1,
            Token::Special('>') if i > begin => return &tokens[begin..i],
            _ => (),
        }
    }
    &tokens[begin..]
}

/// Splits a text into words and specials: drops comments and blanks, resolves quotes and backslashes.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
            }
            _ if c.is_ascii_alphanumeric() || !(c.is_ascii_whitespace() || "()<>@,;:.".contains(c)) => {
                word.get_or_insert_default().push(c);
            }
            _ => {
                tokens.extend(word.take().map(Token::Word));
                match c {
                    '(' => skip_comment(&mut chars),
                    '<' | '>' | '@' | ',' | ';' | ':' | '.' => tokens.push(Token::Special(c)),
                    // A blank, or an unmatched end of a comment.
                    _ => (),
                }
            }
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

/// Skips the rest of a comment, which may be nested.
fn skip_comment(chars: &mut std::str::Chars<'_>) {
    let mut depth = 1;
    while depth > 0 {
        match chars.next() {
            Some('(') => depth += 1,
            Some(')') => depth -= 1,
            Some('\\') => drop(chars.next()),
            Some(_) => (),
            None => return,
        }
    }
}

/// Joins tokens to a text; adjacent words are separated by a blank, as in Postfix.
fn joined(tokens: &[Token]) -> String {
    let mut out = String::new();
    let mut after_word = false;
    for token in tokens {
        match token {
            Token::Word(word) => {
                if after_word {
                    out.push(' ');
                }
                out.push_str(word);
                after_word = true;
            }
            Token::Special(c) => {
                out.push(*c);
                after_word = false;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_every_spelling() {
        for (text, local, domain) in [
            ("alice@d.test", "alice", Some("d.test")),
            ("alice(x)@d.test(a(b)\\)c)", "alice", Some("d.test")),
            ("(x)alice@d(x).(y)test", "alice", Some("d.test")),
            ("alice@d.test(x", "alice", Some("d.test")),
            ("<alice@d.test>", "alice", Some("d.test")),
            ("<<alice@d.test>>", "alice", Some("d.test")),
            ("Alice Smith <alice@d.test>", "alice", Some("d.test")),
            ("\"x@e.test\" <alice@d.test>", "alice", Some("d.test")),
            ("<><alice@d.test>", "alice", Some("d.test")),
            ("grp: alice@d.test ;", "alice", Some("d.test")),
            ("@e.test,@f.test:alice@d.test", "alice", Some("d.test")),
            (",;alice@d.test;,", "alice", Some("d.test")),
            ("alice @ d . test..", "alice", Some("d.test")),
            ("alice@\"d.test\"", "alice", Some("d.test")),
            ("al\\ice@d\\.te\\st", "alice", Some("d.test")),
            ("\"al\\\"ice\"@d.test", "al\"ice", Some("d.test")),
            ("\"alice@d.test\"", "alice@d.test", None),
            ("alice\\@d.test", "alice@d.test", None),
            ("alice\r@d.test\r", "alice", Some("d.test")),
            ("al ice@d.test", "al ice", Some("d.test")),
            ("a@b@d.test", "a@b", Some("d.test")),
            ("alice@", "alice", None),
            ("(x)", "", None),
            ("\"", "", None),
            ("\\", "", None),
        ] {
            assert_eq!(parts(text), (local.to_owned(), domain.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn domains_that_all_servers_parse_alike_are_certain() {
        for (domain, want) in [
            ("d.test", true),
            ("D.TEST.", true),
            ("[127.0.0.1]", true),
            ("bücher.example", true),
            ("BÜCHER.example.", true),
            ("xn--bcher-kva.example", true),
            ("d.test..", false),
            (".d.test", false),
            ("[d.test]", false),
            ("d.test:25", false),
            ("\"d.test\"", false),
            ("d.test\r", false),
            ("d\u{3002}test", false),
            ("d\u{ad}.test", false),
            ("\u{ff44}.test", false),
            ("d.test\u{fffd}", false),
        ] {
            assert_eq!(is_certain_domain(domain), want, "{domain:?}");
        }
    }

    #[test]
    fn local_parts_that_all_servers_parse_alike_are_certain() {
        for (local, want) in [
            ("alice", true),
            ("a..b.", true),
            ("a%b!c@d", true),
            ("\"a b(c)\\\"\"", true),
            ("grüße", true),
            ("a\u{1}", true),
            ("", true),
            ("a(x)", false),
            ("\"a\".b", false),
            ("\"\"a", false),
            ("\"a\\\"", false),
            ("a b", false),
            ("a\r", false),
            ("a\\b", false),
            ("g:a", false),
        ] {
            assert_eq!(is_certain_local(local), want, "{local:?}");
        }
    }
}
