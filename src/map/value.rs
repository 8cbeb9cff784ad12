//! Interprets the octets of another program: a value, or the reason of a temporary failure.

use super::{Lookup, MAX_VALUE};

/// Maximum length of a quoted text of another program, in characters. An explanation fits; a page that a
/// server sends instead is truncated.
const MAX_QUOTED: usize = 300;

/// Creates the result for a value. It must be UTF-8, not empty, and not longer than [`MAX_VALUE`].
pub(super) fn found(value: Vec<u8>) -> Lookup<String> {
    if value.is_empty() {
        return Lookup::temp_fail("the value is empty");
    }
    if value.len() > MAX_VALUE {
        return Lookup::temp_fail(too_long());
    }
    match String::from_utf8(value) {
        Ok(value) => Lookup::Found(value),
        Err(_) => Lookup::temp_fail("the value is not UTF-8"),
    }
}

/// The reason for a value that is too long to be read.
pub(super) fn too_long() -> String {
    format!("the value is longer than {MAX_VALUE} octets")
}

/// The text of another program, truncated for a reason.
pub(super) fn quoted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_values() {
        let long = vec![b'a'; MAX_VALUE];
        for (octets, want) in [
            (b"foo@example.test".to_vec(), Lookup::Found("foo@example.test".into())),
            ("grüße".into(), Lookup::Found("grüße".into())),
            (long.clone(), Lookup::Found("a".repeat(MAX_VALUE))),
            ([&long[..], b"a"].concat(), Lookup::temp_fail("the value is longer than 100000 octets")),
            (Vec::new(), Lookup::temp_fail("the value is empty")),
            (b"gr\xfc\xdfe".to_vec(), Lookup::temp_fail("the value is not UTF-8")),
        ] {
            assert_eq!(found(octets), want);
        }
    }

    #[test]
    fn truncates_quotations() {
        assert_eq!(quoted(b"no \xff"), "no \u{fffd}");
        let exact = "é".repeat(MAX_QUOTED);
        assert_eq!(quoted(exact.as_bytes()), exact);
        assert_eq!(quoted(format!("{exact}é").as_bytes()), format!("{exact}…"));
    }
}
