//! Files that somebody else reads for us, such as the C library.

use super::{Basis, LOOK, Stamp, WatchedFile, WriteState, something};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

/// Follows files in order to tell when an answer that was made from them no longer holds.
#[derive(Debug)]
pub struct Followed {
    files: Vec<Arc<WatchedFile>>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Follows these files, for as long as the value lives.
    pub fn new(paths: &[&str]) -> Self {
        let files: Vec<_> = paths.iter().map(|path| WatchedFile::of(Path::new(path))).collect();
        let wake = Arc::new(Notify::new());
        for file in &files {
            file.wake(&wake);
        }
        let all = files.clone();
        let task = tokio::spawn(async move {
            let mut stamps: Vec<Option<Option<Stamp>>> = vec![None; all.len()];
            loop {
                let (looked_at, before) = (all.clone(), stamps.clone());
                let looked = spawn_blocking(move || look(&looked_at, &before)).await;
                // Where it fails the next look may go better.
                let next = looked.map_or(LOOK, |(now, next)| {
                    stamps = now;
                    next
                });
                let _ = timeout(next, something(&wake)).await;
            }
        });
        Followed { files, task: task.abort_handle() }
    }

    /// What an answer rests on that is asked for from now on.
    pub fn basis(&self) -> Basis {
        self.files.iter().fold(Basis::default(), |basis, file| basis.and(&file.revision().basis()))
    }

    /// A file that is being written: what it says now may be half of it.
    pub fn unfinished(&self) -> Option<PathBuf> {
        let is_written = |file: &&Arc<WatchedFile>| file.heard().state == WriteState::Writing;
        self.files.iter().find(is_written).map(|file| file.path().to_owned())
    }
}

/// Looks at each file, and notes a change that raised no event. Returns the stamps, and when to look again.
fn look(
    files: &[Arc<WatchedFile>],
    before: &[Option<Option<Stamp>>],
) -> (Vec<Option<Option<Stamp>>>, Duration) {
    let mut next = LOOK;
    let mut stamps = Vec::with_capacity(files.len());
    for (file, before) in files.iter().zip(before) {
        file.tend();
        next = next.min(file.look_interval());
        let stamp = Stamp::at(file.path());
        if before.is_some_and(|before| before != stamp) {
            file.revision().bump();
        }
        stamps.push(Some(stamp));
    }
    (stamps, next)
}
