//! The states of files that a result depends on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Counts the changes of a file.
#[derive(Clone, Debug, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// Records a change: results from an earlier state become invalid.
    pub fn bump(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// The basis of a result that is computed from now on. Take it before the lookup.
    pub fn basis(&self) -> Basis {
        Basis { on: vec![(self.clone(), self.0.load(SeqCst))] }
    }
}

/// The states of files that a result depends on. The result of a server depends on no file, and is valid
/// until its TTL expires.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    on: Vec<(Revision, u64)>,
}

impl Basis {
    /// Whether all files are unchanged.
    pub fn holds(&self) -> bool {
        self.on.iter().all(|(revision, then)| revision.0.load(SeqCst) == *then)
    }

    /// Whether it is that of a result that depends on no file.
    pub fn is_empty(&self) -> bool {
        self.on.is_empty()
    }

    /// Combines two bases.
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
    fn basis_holds_until_a_file_changes() {
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
