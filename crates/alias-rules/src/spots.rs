//! Where things can stand in a name.

/// Positions in a name, in order.
pub(super) enum Spots<'n> {
    /// At most one.
    One(Option<usize>),
    /// Each occurrence of a text, overlapping ones too: the position plus `add`.
    Each { name: &'n str, text: &'n str, from: usize, add: usize },
}

impl<'n> Spots<'n> {
    pub fn one(at: usize) -> Self {
        Spots::One(Some(at))
    }

    /// Behind `text`, if `name` begins with it.
    pub fn prefix(name: &str, text: &str) -> Self {
        Spots::One(name.starts_with(text).then_some(text.len()))
    }

    /// In front of `text`, if `name` ends with it.
    pub fn suffix(name: &str, text: &str) -> Self {
        Spots::One(name.strip_suffix(text).map(str::len))
    }

    /// Behind each `text`; behind each character and at the beginning where it is empty.
    pub fn behind(name: &'n str, text: &'n str) -> Self {
        Spots::Each { name, text, from: 0, add: text.len() }
    }

    /// In front of each `text`.
    pub fn before(name: &'n str, text: &'n str) -> Self {
        Spots::Each { name, text, from: 0, add: 0 }
    }
}

impl Iterator for Spots<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Spots::One(at) => at.take(),
            Spots::Each { name, text, from, add } => loop {
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
    fn spots() {
        let cases = [
            (Spots::behind("axxxb", "xx"), vec![3, 4]),
            (Spots::before("axxxb", "xx"), vec![1, 2]),
            (Spots::behind("aé", ""), vec![0, 1, 3]),
            (Spots::behind("éé", "é"), vec![2, 4]),
            (Spots::before("", "x"), vec![]),
            (Spots::prefix("foo-", "foo"), vec![3]),
            (Spots::prefix("foo-", "fox"), vec![]),
            (Spots::suffix("foo-", "-"), vec![3]),
            (Spots::one(7), vec![7]),
        ];
        for (got, want) in cases {
            assert_eq!(got.collect::<Vec<_>>(), want);
        }
    }
}
