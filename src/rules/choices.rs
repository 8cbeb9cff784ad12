//! Which accounts and aliases of a statement have to be tried with a name.

use super::compile::{Names, Piece, Program, Use};
use super::eval::{Counted, Lookup};
use super::spots::Spots;

impl Lookup<'_> {
    /// Which names of a list have to be tried.
    pub(super) fn choices(&mut self, program: &Program, names: &Names, usage: Use) -> Counted<Choices> {
        Ok(match usage {
            Use::Nowhere => Choices::Alike { ways: names.entries.len() },
            Use::Computed => Choices::All,
            Use::Placed(at) => self.placed(program, names, at)?,
        })
    }

    /// The names of a list that stand in the name where the piece numbered `at` can stand.
    fn placed(&mut self, program: &Program, names: &Names, at: usize) -> Counted<Choices> {
        let name = self.name;
        let (shortest, longest) = names.len;
        let (before, after) = (at.checked_sub(1).map(|i| &program.pieces[i]), program.pieces.get(at + 1));
        let mut found = Found::default();
        let starts = match before {
            None => Spots::one(0),
            Some(Piece::Literal(text)) if at == 1 => Spots::prefix(name, text),
            Some(Piece::Literal(text)) => Spots::behind(name, text),
            Some(_) => Spots::behind(name, ""),
        };
        for start in starts {
            self.spend(1)?;
            let rest = &name[start..];
            let last = at + 2 == program.pieces.len();
            let ends = match after {
                None => Spots::one(rest.len()),
                Some(Piece::Literal(text)) if last => Spots::suffix(rest, text),
                Some(Piece::Literal(text)) => Spots::before(rest, text),
                Some(_) => Spots::behind(rest, ""),
            };
            for len in ends {
                if len > longest {
                    break;
                }
                self.spend(1)?;
                if len >= shortest
                    && let Some(entry) = names.find(&rest[..len])
                {
                    found.add(entry);
                }
            }
        }
        Ok(Choices::Found(found))
    }
}

/// Which names of a list have to be tried.
pub(super) enum Choices {
    /// Any one of them stands for all.
    Alike { ways: usize },
    /// Each.
    All,
    /// These.
    Found(Found),
}

impl Choices {
    /// The numbers of the entries to be tried, of `len`.
    pub fn each(&self, len: usize) -> impl Iterator<Item = usize> {
        let (range, found) = match self {
            Choices::Alike { .. } => (0..len.min(1), &[][..]),
            Choices::All => (0..len, &[][..]),
            Choices::Found(found) => (0..0, found.entries()),
        };
        range.chain(found.iter().copied())
    }

    /// How many names one entry stands for.
    pub fn ways(&self) -> usize {
        if let Choices::Alike { ways } = self { *ways } else { 1 }
    }
}

/// Entries found, each once. Nearly always there is one at most.
#[derive(Default)]
pub(super) struct Found {
    first: Option<usize>,
    all: Vec<usize>,
}

impl Found {
    fn add(&mut self, entry: usize) {
        match self.first {
            None => self.first = Some(entry),
            Some(first) if first == entry => {}
            Some(first) => {
                if self.all.is_empty() {
                    self.all.push(first);
                }
                if !self.all.contains(&entry) {
                    self.all.push(entry);
                }
            }
        }
    }

    fn entries(&self) -> &[usize] {
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }
}
