//! Pinned accounts, which exist without asking a source until an operator unpins them.
//!
//! They are not among the accounts that sources find, since those are forgotten if there are too many of them, and
//! when a source does not find them any more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

/// Maximum number of pins, some megabytes. A pin is the remedy for single accounts; a source that is wrong about more
/// of them is to be corrected.
pub const MAX_PINS: usize = 10_000;

/// The pins: the key of each account in the cache, and when it was pinned.
#[derive(Debug, Default)]
pub(super) struct Pins(RwLock<BTreeMap<String, SystemTime>>);

/// The error of a pin beyond [`MAX_PINS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPins;

impl fmt::Display for TooManyPins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAX_PINS} accounts are pinned already: unpin some, or correct the account source")
    }
}

impl Pins {
    /// Pins an account, or changes the time of its pin.
    pub fn add(&self, key: String, since: SystemTime) -> Result<(), TooManyPins> {
        let mut pins = self.write();
        if pins.len() >= MAX_PINS && !pins.contains_key(&key) {
            return Err(TooManyPins);
        }
        pins.insert(key, since);
        Ok(())
    }

    /// Returns whether the account was pinned.
    pub fn remove(&self, key: &str) -> bool {
        self.write().remove(key).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// When the account was pinned, if it is.
    pub fn since(&self, key: &str) -> Option<SystemTime> {
        self.read().get(key).copied()
    }

    /// All, in the order of their keys.
    pub fn list(&self) -> Vec<(String, SystemTime)> {
        self.read().iter().map(|(key, since)| (key.clone(), *since)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, SystemTime>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, SystemTime>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_limited() {
        let (pins, now) = (Pins::default(), SystemTime::now());
        for i in 0..MAX_PINS {
            assert_eq!(pins.add(i.to_string(), now), Ok(()));
        }
        assert_eq!(pins.add("one".into(), now), Err(TooManyPins));
        assert_eq!(pins.add("7".into(), now), Ok(()), "it is pinned already");
        assert!(pins.remove("7") && !pins.remove("7"));
        assert_eq!(pins.add("one".into(), now), Ok(()));
        assert_eq!(pins.list().len(), MAX_PINS);
    }
}
