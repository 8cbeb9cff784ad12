//! Finds the known word that a misspelled word was probably meant to be.

/// Longest word that is compared, in bytes; known words are much shorter.
const MAX_WORD: usize = 64;
/// Shortest common prefix that counts as similar, in bytes.
const MIN_PREFIX: usize = 4;

/// Returns the one of `known` that is most similar to `word`.
///
/// Words are similar if at most a third of the letters (and at most three) differ, or if one is a prefix of
/// the other. Case is ignored, and `-` equals `_`. The result is `None` if two words are equally similar.
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
                && word.len().min(other.len()) >= MIN_PREFIX;
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
    fn finds_the_nearest_word() {
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
        assert_eq!(nearest("acb", ["abc", "acd"]), None, "two are equally similar");
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
