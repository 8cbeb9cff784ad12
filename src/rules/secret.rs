//! Secrets with which `HMAC` computes.

use std::fmt;
use std::sync::Arc;

/// Secrets in order: the first one makes codes, all of them verify.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Arc<[Box<[u8]>]>);

impl Secrets {
    /// From the secrets themselves.
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Secrets(secrets.into_iter().map(Vec::into_boxed_slice).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Says how many, and nothing else.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.len())
    }
}
