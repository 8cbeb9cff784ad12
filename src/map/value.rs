//! What is made of the octets that another program hands over: a value, or the reason why they are none.

use super::{Lookup, MAX_VALUE};

/// Longest text of another program that is quoted in a reason, in characters. An explanation fits; a page that
/// a server sends in its place is cut.
const MAX_QUOTED: usize = 300;

/// The answer that a value is: it has to be text, not empty, and not longer than [`MAX_VALUE`].
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

/// The reason for a value that is not read to its end.
pub(super) fn too_long() -> String {
    format!("the value is longer than {MAX_VALUE} octets")
}

/// The text of another program as it is quoted in a reason.
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
    fn values() {
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
    fn quotations_are_cut() {
        assert_eq!(quoted(b"no \xff"), "no \u{fffd}");
        let exact = "é".repeat(MAX_QUOTED);
        assert_eq!(quoted(exact.as_bytes()), exact);
        assert_eq!(quoted(format!("{exact}é").as_bytes()), format!("{exact}…"));
    }
}
