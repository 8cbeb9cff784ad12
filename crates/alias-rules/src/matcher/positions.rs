//! Finds the positions of texts in a name.

/// An iterator over positions in a name, in order.
pub(crate) enum Positions<'n> {
    /// At most one position.
    One(Option<usize>),
    /// The position of each occurrence of a text, plus `add`. Occurrences may overlap.
    Each { name: &'n str, text: &'n str, from: usize, add: usize },
}

impl<'n> Positions<'n> {
    pub fn one(at: usize) -> Self {
        Positions::One(Some(at))
    }

    /// The position after `text`, if `name` begins with it.
    pub fn prefix(name: &str, text: &str) -> Self {
        Positions::One(name.starts_with(text).then_some(text.len()))
    }

    /// The position before `text`, if `name` ends with it.
    pub fn suffix(name: &str, text: &str) -> Self {
        Positions::One(name.strip_suffix(text).map(str::len))
    }

    /// The positions after each occurrence of `text`. For an empty text, all positions.
    pub fn after(name: &'n str, text: &'n str) -> Self {
        Positions::Each { name, text, from: 0, add: text.len() }
    }

    /// The positions before each occurrence of `text`.
    pub fn before(name: &'n str, text: &'n str) -> Self {
        Positions::Each { name, text, from: 0, add: 0 }
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Positions::One(at) => at.take(),
            Positions::Each { name, text, from, add } => loop {
                let at = *from;
                // Both are UTF-8, so a match begins and ends between characters.
                let rest = name.as_bytes().get(at..)?;
                *from += 1;
                if rest.starts_with(text.as_bytes()) && name.is_char_boundary(at) {
                    return Some(at + *add);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_overlapping_occurrences() {
        let cases = [
            (Positions::after("axxxb", "xx"), vec![3, 4]),
            (Positions::before("axxxb", "xx"), vec![1, 2]),
            (Positions::after("aé", ""), vec![0, 1, 3]),
            (Positions::after("éé", "é"), vec![2, 4]),
            (Positions::before("", "x"), vec![]),
            (Positions::prefix("foo-", "foo"), vec![3]),
            (Positions::prefix("foo-", "fox"), vec![]),
            (Positions::suffix("foo-", "-"), vec![3]),
            (Positions::one(7), vec![7]),
        ];
        for (got, want) in cases {
            assert_eq!(got.collect::<Vec<_>>(), want);
        }
    }
}
