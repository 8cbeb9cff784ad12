//! What is not in the file yet: changes since the last commit, and those that are being committed.

use super::{FLUSH_AT, MAX_CHANGES};
use std::collections::HashMap;
use std::sync::Arc;

/// A text and its expiry; `None`: the key was removed.
pub(super) type Change = Option<(Box<str>, u64)>;

/// Changes by key.
pub(super) type Batch = HashMap<Box<str>, Change>;

/// What the changes say of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held<'c> {
    /// It has this text.
    Text(&'c str),
    /// It has none: it was removed, or its text has expired.
    Nothing,
    /// It has not changed: the file knows.
    Unchanged,
}

/// The changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    new: Batch,
    /// Those that are being committed.
    committing: Option<Arc<Batch>>,
    /// Number of commits.
    commits: u64,
    urgent: bool,
    closed: bool,
    /// Why the last commit failed.
    failure: Option<String>,
}

impl Changes {
    /// What the changes say of a key.
    pub fn get(&self, key: &str, now: u64) -> Held<'_> {
        let committing = || self.committing.as_ref().and_then(|batch| batch.get(key));
        match self.new.get(key).or_else(committing) {
            Some(Some((text, expires))) if now < *expires => Held::Text(text),
            Some(_) => Held::Nothing,
            None => Held::Unchanged,
        }
    }

    /// Changes a key. Returns whether there are so many changes that they have to be committed.
    pub fn put(&mut self, key: &str, text: Option<(&str, u64)>) -> Result<bool, String> {
        if self.closed {
            return Err("the store is closed".into());
        }
        let waiting = self.new.len() + self.committing.as_ref().map_or(0, |batch| batch.len());
        if waiting >= MAX_CHANGES && !self.new.contains_key(key) {
            return Err(format!("{MAX_CHANGES} changes could not be written to the disk"));
        }
        self.new.insert(key.into(), text.map(|(text, expires)| (text.into(), expires)));
        self.urgent |= self.new.len() >= FLUSH_AT && self.committing.is_none();
        Ok(self.urgent)
    }

    /// Adds a text unless the key has one in the changes; the file had none after the commit number `commits`. Returns
    /// whether it was added; `None`: there was another commit since, so that the file may have the key.
    pub fn add(
        &mut self,
        key: &str,
        text: (&str, u64),
        now: u64,
        commits: u64,
    ) -> Result<Option<bool>, String> {
        match self.get(key, now) {
            Held::Text(_) => Ok(Some(false)),
            Held::Unchanged if self.commits != commits => Ok(None),
            Held::Nothing | Held::Unchanged => self.put(key, Some(text)).map(|_| Some(true)),
        }
    }

    /// Number of commits so far.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Returns the changes for a commit; they stay readable.
    pub fn take(&mut self) -> Option<Arc<Batch>> {
        self.urgent = false;
        if self.new.is_empty() {
            return None;
        }
        let batch = Arc::new(std::mem::take(&mut self.new));
        self.committing = Some(batch.clone());
        Some(batch)
    }

    /// The changes of [`Changes::take`] are in the file.
    pub fn committed(&mut self) {
        self.failure = None;
        if self.committing.take().is_some() {
            self.commits += 1;
        }
        self.urgent |= self.new.len() >= FLUSH_AT;
    }

    /// The changes of [`Changes::take`] could not be committed: they are new again, unless there are newer ones.
    pub fn failed(&mut self, why: &str) {
        self.failure = Some(why.to_owned());
        let Some(batch) = self.committing.take() else { return };
        let newer = std::mem::take(&mut self.new);
        self.new = Arc::unwrap_or_clone(batch);
        self.new.extend(newer);
    }

    /// Why the last commit failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Asks for a commit as soon as possible.
    pub fn hurry(&mut self) {
        self.urgent |= !self.new.is_empty();
    }

    /// Whether a commit is due before its time.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether everything is in the file.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.committing.is_none()
    }

    /// Ends the store after one more commit.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the store ends.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}
