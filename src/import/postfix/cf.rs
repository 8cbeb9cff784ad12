//! The syntax of the files of Postfix' clients, which is that of main.cf (postconf(5)): `name = value`, lines that
//! begin with white space continue the line before, and lines whose first character is `#` are comments. In
//! these files, unlike in main.cf, `$name` is ordinary text.

use crate::import::{Fault, Place};
use mail_address::BLANKS;

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value, without white space at both ends.
    pub value: String,
    /// The line of the name, from 1.
    pub line: usize,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The parameters in the order of the file. If a name occurs twice, its last value counts.
    pub parameters: Vec<Parameter>,
    /// Lines that continue no other, which Postfix ignores.
    pub ignored: Vec<usize>,
    /// Errors, which Postfix reports as fatal.
    pub faults: Vec<Fault>,
}

/// Parses a file.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut logical: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim_start_matches(BLANKS);
        if bare.is_empty() || bare.starts_with('#') {
            // Comments and empty lines do not end a continued line.
            continue;
        }
        match logical.last_mut() {
            _ if bare.len() == line.len() => logical.push((at + 1, line.into())),
            Some((_, before)) => before.push_str(line),
            None => parsed.ignored.push(at + 1),
        }
    }
    for (line, text) in logical {
        let split =
            text.split_once('=').map(|(name, value)| (name.trim_matches(BLANKS), value.trim_matches(BLANKS)));
        match split.filter(|(name, _)| !name.is_empty() && !name.contains(BLANKS)) {
            Some((name, value)) => {
                parsed.parameters.push(Parameter { name: name.into(), value: value.into(), line });
            }
            None => parsed.faults.push(Fault {
                place: Place::Text(line, 1),
                message: "this is not a parameter".into(),
                help: "write name = value; begin a line with a blank if it continues the one before".into(),
            }),
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_parameters() {
        for (text, want) in [
            ("a=b", &[("a", "b", 1)][..]),
            ("a = b \r\nc =\n", &[("a", "b", 1), ("c", "", 2)]),
            ("# x\n\n  # y\na = b = c\n", &[("a", "b = c", 4)]),
            ("q = SELECT\n# c\n  v\n\n\tFROM t\nx = y", &[("q", "SELECT  v\tFROM t", 1), ("x", "y", 6)]),
            ("a = $b # no comment", &[("a", "$b # no comment", 1)]),
            // Only blanks of ASCII separate and continue.
            (
                "a =\u{a0}1\u{a0}\n\u{a0}b = 2\n\u{b}3",
                &[("a", "\u{a0}1\u{a0}", 1), ("\u{a0}b", "2\u{b}3", 2)],
            ),
            ("\u{feff}a = 1", &[("\u{feff}a", "1", 1)]),
            ("a = 1\na = 2", &[("a", "1", 1), ("a", "2", 2)]),
        ] {
            let parsed = parse(text);
            let got: Vec<_> = parsed.parameters.iter().map(|p| (&*p.name, &*p.value, p.line)).collect();
            assert_eq!(got, want, "{text}");
            assert!(parsed.faults.is_empty() && parsed.ignored.is_empty(), "{text}");
        }
    }

    #[test]
    fn reports_lines_without_a_parameter() {
        let parsed = parse("  x = 1\nquery SELECT\n= b\ny z = 1\nfine = 1\n");
        let lines: Vec<_> = parsed.faults.iter().map(|fault| fault.of("f.cf")).collect();
        assert_eq!(parsed.ignored, [1]);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("f.cf:2:1: error: this is not a parameter"), "{lines:?}");
        assert_eq!(parsed.parameters.len(), 1);
    }
}
