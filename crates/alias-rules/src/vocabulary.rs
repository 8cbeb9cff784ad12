//! The vocabulary: identifier classes, functions, and the words of a statement.

/// Categories of bytes; a class is two sets of categories.
const DIGIT: u8 = 1;
const UPPER: u8 = 2;
const LOWER: u8 = 4;
const UNDERSCORE: u8 = 8;
const DOT: u8 = 16;
const DASH: u8 = 32;
const VOWEL: u8 = 64;

const LETTER: u8 = UPPER | LOWER;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut b: u8 = 0;
    while b < 128 {
        kinds[b as usize] = match b {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' => UPPER,
            b'a' | b'e' | b'i' | b'o' | b'u' => LOWER | VOWEL,
            b'a'..=b'z' => LOWER,
            b'_' => UNDERSCORE,
            b'.' => DOT,
            b'-' => DASH,
            _ => 0,
        };
        b += 1;
    }
    kinds
};

fn is(b: u8, kinds: u8) -> bool {
    KINDS[usize::from(b)] & kinds != 0
}

pub(crate) fn is_digit(b: u8) -> bool {
    is(b, DIGIT)
}

/// Whether `b` is a lower case letter. `ALPHAS` does not count capitals: existing addresses depend on it.
pub(crate) fn is_alpha(b: u8) -> bool {
    is(b, LOWER)
}

/// Whether `b` is a lower case vowel, see [`is_alpha`].
pub(crate) fn is_vowel(b: u8) -> bool {
    is(b, VOWEL)
}

/// A class of identifiers: the ASCII characters allowed inside, and a smaller set allowed at both ends. An
/// identifier has at least one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Letters and digits.
    Alnum,
    /// Letters.
    Alpha,
    /// Digits.
    Number,
    /// Letters and digits; `_` inside.
    Ident,
    /// Letters and digits; `.` and `-` inside, with at least one dot. Labels are not checked.
    Fqdn,
}

impl Class {
    pub(crate) const ALL: [Class; 5] = [Class::Alnum, Class::Alpha, Class::Number, Class::Ident, Class::Fqdn];

    /// The name in an expression.
    pub fn name(self) -> &'static str {
        match self {
            Class::Alnum => "alnum",
            Class::Alpha => "alpha",
            Class::Number => "number",
            Class::Ident => "ident",
            Class::Fqdn => "fqdn",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether `b` may be the first or the last character.
    pub(crate) fn edge(self, b: u8) -> bool {
        is(
            b,
            match self {
                Class::Alpha => LETTER,
                Class::Number => DIGIT,
                Class::Alnum | Class::Ident | Class::Fqdn => LETTER | DIGIT,
            },
        )
    }

    /// Whether `b` may be inside.
    pub(crate) fn inner(self, b: u8) -> bool {
        is(
            b,
            match self {
                Class::Alpha => LETTER,
                Class::Number => DIGIT,
                Class::Alnum => LETTER | DIGIT,
                Class::Ident => LETTER | DIGIT | UNDERSCORE,
                Class::Fqdn => LETTER | DIGIT | DOT | DASH,
            },
        )
    }

    /// The length of the shortest text of the class.
    pub(crate) fn min_len(self) -> usize {
        if self == Class::Fqdn { 3 } else { 1 }
    }

    /// Whether all characters of `text` are allowed. The dot of an fqdn is not checked.
    pub(crate) fn spells(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(|b| self.edge(*b))
            && bytes.last().is_some_and(|b| self.edge(*b))
            && bytes.iter().all(|b| self.inner(*b))
    }

    /// The allowed characters in words, for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Class::Alnum => "letters and digits",
            Class::Alpha => "letters",
            Class::Number => "digits",
            Class::Ident => "letters, digits and, inside, \"_\"",
            Class::Fqdn => "letters, digits and, inside, \".\" and \"-\", with a dot",
        }
    }
}

/// A function of a calc expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Number of characters.
    Chars,
    /// Number of digits.
    Digits,
    /// Number of lower case letters.
    Alphas,
    /// Number of lower case vowels.
    Vowels,
    /// Number of labels of an fqdn.
    Labels,
    /// Any character that the text contains.
    Any,
    /// Any character that the text does not contain.
    None,
    /// The character at an index.
    Char,
    /// Characters of a message authentication code.
    Hmac,
}

impl Function {
    pub(crate) const ALL: [Function; 9] = [
        Function::Chars,
        Function::Digits,
        Function::Alphas,
        Function::Vowels,
        Function::Labels,
        Function::Any,
        Function::None,
        Function::Char,
        Function::Hmac,
    ];

    /// The name in a calc expression.
    pub fn name(self) -> &'static str {
        match self {
            Function::Chars => "CHARS",
            Function::Digits => "DIGITS",
            Function::Alphas => "ALPHAS",
            Function::Vowels => "VOWELS",
            Function::Labels => "LABELS",
            Function::Any => "ANY",
            Function::None => "NONE",
            Function::Char => "CHAR",
            Function::Hmac => "HMAC",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Function::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Whether the value is a number.
    pub(crate) fn counts(self) -> bool {
        !matches!(self, Function::Any | Function::None | Function::Char | Function::Hmac)
    }
}

/// Whether `c` separates words: Unicode white space and the four ASCII separators.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Parses an integer as the predecessor did: with a sign, leading zeros, and single underscores between
/// digits. Values out of range saturate.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let mut value: i64 = 0;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for c in group.chars() {
            value = value.saturating_mul(10).saturating_add(c.to_digit(10)?.into());
        }
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_may_have_sign_zeros_and_underscores() {
        let cases = [
            ("1", Some(1)),
            ("+1", Some(1)),
            ("-3", Some(-3)),
            ("0_1", Some(1)),
            ("01", Some(1)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(-i64::MAX)),
            ("", None),
            ("+", None),
            ("1_", None),
            ("_1", None),
            ("1__2", None),
            ("x", None),
            ("1.0", None),
        ];
        for (text, want) in cases {
            assert_eq!(integer(text), want, "{text:?}");
        }
    }

    #[test]
    fn classes_restrict_inner_and_edge_characters() {
        let cases = [
            (Class::Ident, "a_b", true),
            (Class::Ident, "_a", false),
            (Class::Ident, "a-b", false),
            (Class::Fqdn, "a..b", true),
            (Class::Fqdn, "ab", true),
            (Class::Fqdn, ".a", false),
            (Class::Alpha, "", false),
            (Class::Alnum, "é", false),
        ];
        for (class, text, want) in cases {
            assert_eq!(class.spells(text), want, "{class:?} {text:?}");
        }
    }
}
