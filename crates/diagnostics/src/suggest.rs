//! "Did you mean …?"

/// Longest word that is looked at, in bytes; nothing that we know by name is nearly as long.
const MAX_WORD: usize = 64;
/// Fewer letters in common at the beginning are chance.
const MIN_BEGINNING: usize = 4;

/// The one of `known` that `word` was probably meant to be: a third of its letters wrong at the most, or one
/// of the two the beginning of the other; and no other one as near. Case does not count, nor does `-` for `_`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|known| {
            let other = plain(known);
            let distance = strsim::osa_distance(&word, &other);
            let begins = (word.starts_with(&other) || other.starts_with(&*word))
                && word.len().min(other.len()) >= MIN_BEGINNING;
            (begins || distance <= (other.len() / 3).clamp(1, 3)).then_some((distance, known))
        })
        .filter(|_| !word.is_empty())
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, known), ..] => Some(known),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings() {
        let known = ["listen", "deadline", "idle_timeout", "exists", "entries", "CHARS", "ANY", "vrfy"];
        for (word, want) in [
            ("lisen", Some("listen")),
            ("litsen", Some("listen")),
            ("Idle-Timeout", Some("idle_timeout")),
            ("deadlines", Some("deadline")),
            ("idle", Some("idle_timeout")),
            ("chars", Some("CHARS")),
            ("verfy", Some("vrfy")),
            ("exi", None),
            ("LEN", None),
            ("source", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
        assert_eq!(nearest("acb", ["abc", "acd"]), None, "two as near");
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
