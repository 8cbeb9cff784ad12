//! Watches files that other code reads, such as the C library.

use super::folder::lock;
use super::{Basis, Condition, LOOK, QUIET, Read, WatchedFile, WriteState, something};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

/// Watches files, so that results made from them can be dropped when the files change.
#[derive(Debug)]
pub struct Followed {
    files: Arc<[One]>,
    task: AbortHandle,
}

#[derive(Debug)]
struct One {
    file: Arc<WatchedFile>,
    /// The last state in which the file was finished.
    mark: Mutex<Option<Read>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Watches these files until it is dropped. Must be called within the runtime.
    pub fn new(paths: &[&str]) -> Self {
        let one = |path: &&str| One { file: WatchedFile::of(Path::new(path)), mark: Mutex::default() };
        let files: Arc<[One]> = paths.iter().map(one).collect();
        let wake = Arc::new(Notify::new());
        for one in files.iter() {
            one.file.wake(&wake);
        }
        let all = files.clone();
        let task = tokio::spawn(async move {
            loop {
                let looked_at = all.clone();
                // If the task fails, the next check may succeed.
                let look = spawn_blocking(move || looked_at.iter().map(One::look).min());
                let next = look.await.ok().flatten().unwrap_or(LOOK);
                let _ = timeout(next, something(&wake)).await;
            }
        });
        Followed { files, task: task.abort_handle() }
    }

    /// The basis of a result that is computed from now on.
    pub fn basis(&self) -> Basis {
        self.files.iter().fold(Basis::default(), |basis, one| basis.and(&one.file.revision().basis()))
    }

    /// A file that is being written, and so may be incomplete.
    pub fn unfinished(&self) -> Option<PathBuf> {
        self.files.iter().find(|one| one.is_written()).map(|one| one.file.path().to_owned())
    }
}

impl One {
    fn is_written(&self) -> bool {
        let heard = self.file.heard();
        heard.state == WriteState::Writing && lock(&self.mark).is_none_or(|mark| mark.events != heard.events)
    }

    /// Checks the file, and records a change that raised no event. Returns the time until the next check.
    fn look(&self) -> Duration {
        self.file.tend();
        let mark = *lock(&self.mark);
        match self.file.compare(mark.as_ref()) {
            Condition::Unchanged | Condition::Writing(_) => (),
            Condition::Touched(read) => *lock(&self.mark) = Some(read),
            Condition::Young => {
                self.file.revision().bump();
                return QUIET;
            }
            Condition::Ready => {
                *lock(&self.mark) = Some(self.file.mark());
                self.file.revision().bump();
            }
        }
        self.file.look_interval()
    }
}
