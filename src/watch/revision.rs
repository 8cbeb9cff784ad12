//! The state of files that an answer depends on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Counts the changes of a file from which answers are made.
#[derive(Clone, Debug, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// Notes a change: answers from an earlier state become invalid.
    pub fn bump(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// The basis of an answer that is made from now on. Take it before the look-up.
    pub fn basis(&self) -> Basis {
        Basis { on: vec![(self.clone(), self.0.load(SeqCst))] }
    }
}

/// The states of files that an answer depends on. The answer of a server depends on none, and is valid as
/// long as it is cached.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    on: Vec<(Revision, u64)>,
}

impl Basis {
    /// Whether none of the files has changed since.
    pub fn holds(&self) -> bool {
        self.on.iter().all(|(revision, then)| revision.0.load(SeqCst) == *then)
    }

    /// Both bases together.
    #[must_use]
    pub fn and(mut self, other: &Basis) -> Self {
        self.on.extend(other.on.iter().cloned());
        self
    }
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        self.on.len() == other.on.len()
            && self.on.iter().zip(&other.on).all(|(a, b)| Arc::ptr_eq(&a.0.0, &b.0.0) && a.1 == b.1)
    }
}

impl Eq for Basis {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_holds_until_a_part_of_it_changes() {
        let (a, b) = (Revision::default(), Revision::default());
        let both = a.basis().and(&b.basis());
        let only = a.basis();
        assert!(both.holds() && only.holds() && Basis::default().holds());
        assert!(only == a.basis() && only != b.basis() && only != both);
        b.bump();
        assert!(!both.holds() && only.holds() && b.basis().holds());
        a.bump();
        assert!(!only.holds() && only != a.basis() && Basis::default().holds());
    }
}
