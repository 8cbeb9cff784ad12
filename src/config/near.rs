//! "Did you mean …?"

/// The one of `known` that `name` may be a misspelling of: at most a third of its letters wrong, or one of
/// the two the beginning of the other; and no other one as near.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Fewer letters in common are chance.
    const MIN_BEGINNING: usize = 4;
    // Longer names are no misspelling of any key, and not worth the time.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .filter_map(|known| {
            let distance = distance(&name, known);
            let begins = (name.starts_with(known) || known.starts_with(&name))
                && name.len().min(known.len()) >= MIN_BEGINNING;
            (begins || distance * 3 <= known.len()).then_some((distance, *known))
        })
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, known), ..] => Some(known),
        [] => None,
    }
}

/// How many letters have to be added, removed, replaced or swapped with their neighbour to make `b` of `a`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    // Row by row: cost[i * width + j] makes the first j letters of `b` of the first i of `a`.
    let mut cost = vec![0; (a.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[at(i, j)] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = cost[at(i - 1, j - 1)] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(cost[at(i - 1, j)] + 1).min(cost[at(i, j - 1)] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(cost[at(i - 2, j - 2)] + 1);
                }
                least
            };
        }
    }
    cost[at(a.len(), b.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings() {
        let known = ["listen", "deadline", "idle_timeout", "exists", "entries"];
        for (name, want) in [
            ("lisen", Some("listen")),
            ("litsen", Some("listen")),
            ("Idle-Timeout", Some("idle_timeout")),
            ("deadlines", Some("deadline")),
            ("idle", Some("idle_timeout")),
            ("exi", None),
            ("source", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), want, "{name}");
        }
        assert_eq!(nearest("acb", &["abc", "acd"]), None, "two as near");
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }
}
