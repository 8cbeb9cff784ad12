//! Watches the files of the configuration, and decides when to reload them.

use super::control::{Command, Control};
use crate::observe::files as observe;
use crate::watch::{Condition, LOOK, QUIET, Read, SETTLE, WatchedFile, something};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

/// How long changes are collected: editors and package managers make several at once.
pub const DEBOUNCE: Duration = Duration::from_millis(500);

/// How long a file may be open for writing before a warning is logged, since the reload waits for it.
const LONG: Duration = Duration::from_secs(30);

/// A watch on the files of one configuration; it ends when dropped.
///
/// It is also needed if changes do not cause a reload (`watch = false`): a requested reload must not read
/// an incomplete file.
pub(super) struct Watch {
    files: Arc<Files>,
    /// Whether a change causes a reload.
    asks: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Files {
    known: Mutex<Vec<One>>,
    wake: Arc<Notify>,
}

#[derive(Clone)]
struct One {
    file: Arc<WatchedFile>,
    /// State of the file when it was last read, whether or not the configuration could be used.
    read: Option<Read>,
    /// Whether the warning that the file is still being written was logged.
    told: bool,
}

/// The states of files before they are read.
pub(super) type Marks = Vec<(PathBuf, Read)>;

impl Watch {
    /// Watches these files. If `asks` is set, changes request a reload from `control`.
    pub async fn new(files: &[PathBuf], control: &Control, asks: bool) -> Self {
        let (known, asks) = (Arc::new(Files::default()), Arc::new(AtomicBool::new(asks)));
        let (all, is_asking, sender) = (known.clone(), asks.clone(), control.sender());
        let task = tokio::spawn(async move {
            let mut next = QUIET;
            loop {
                if timeout(next, something(&all.wake)).await.is_ok() {
                    sleep(DEBOUNCE.saturating_sub(SETTLE)).await;
                }
                let files = all.clone();
                // If the check fails, the next one may succeed.
                let look = spawn_blocking(move || files.look()).await.unwrap_or_default();
                next = look.next;
                if look.is_due
                    && is_asking.load(Relaxed)
                    && let Some(sender) = &sender
                {
                    // A full channel contains a reload already.
                    let _ = sender.try_send(Command::Reload(super::reload::WATCH));
                }
            }
        });
        let watch = Watch { files: known, asks, task: task.abort_handle() };
        let _ = watch.only(files).await;
        watch
    }

    /// Sets whether a change causes a reload.
    pub fn ask(&self, asks: bool) {
        self.asks.store(asks, Relaxed);
    }

    /// Whether a file has changed, and all files are completely written.
    pub async fn is_due(&self) -> bool {
        let files = self.files.clone();
        spawn_blocking(move || files.look().is_due).await.unwrap_or(false)
    }

    /// Replaces the watched files by these. Returns whether one of them is new, so that its earlier changes
    /// were not noticed.
    pub async fn only(&self, files: &[PathBuf]) -> bool {
        let (known, wanted) = (self.files.clone(), files.to_vec());
        spawn_blocking(move || known.only(&wanted)).await.unwrap_or(true)
    }

    /// Waits a short time until all files are completely written. Returns those that are not.
    pub async fn settle(&self) -> Vec<PathBuf> {
        let end = Instant::now() + QUIET + SETTLE;
        loop {
            let files = self.files.clone();
            let unfinished = spawn_blocking(move || files.unfinished()).await.unwrap_or_default();
            if unfinished.is_empty() || Instant::now() >= end {
                return unfinished;
            }
            sleep(SETTLE).await;
        }
    }

    /// Whether all files are completely written.
    pub async fn is_finished(&self) -> bool {
        let files = self.files.clone();
        spawn_blocking(move || files.unfinished().is_empty()).await.unwrap_or(false)
    }

    /// Returns the current states of all files. Must be called before reading them.
    pub async fn marks(&self) -> Marks {
        let files = self.files.clone();
        spawn_blocking(move || files.marks()).await.unwrap_or_default()
    }

    /// Whether all files are unchanged since these marks.
    pub async fn is_unchanged(&self, marks: &Marks) -> bool {
        self.marks().await == *marks
    }

    /// Records that the files were read at these marks.
    pub fn read(&self, marks: &Marks) {
        for one in self.files.known().iter_mut() {
            let mark = marks.iter().find(|(path, _)| path == one.file.path());
            one.read = mark.map(|(_, read)| *read).or(one.read);
            one.told = false;
        }
    }
}

/// The result of checking all files.
struct FilesState {
    /// Whether a file has changed, and all files are completely written.
    is_due: bool,
    /// When to check again, with or without events.
    next: Duration,
}

impl Default for FilesState {
    fn default() -> Self {
        FilesState { is_due: false, next: LOOK }
    }
}

impl Files {
    fn known(&self) -> MutexGuard<'_, Vec<One>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns each file's state compared to its last read. The lock is not held meanwhile: the disk may
    /// hang.
    fn conditions(&self) -> Vec<(One, Condition)> {
        let known = self.known().clone();
        let condition = |one: One| {
            one.file.tend();
            let condition = one.file.compare(one.read.as_ref());
            (one, condition)
        };
        known.into_iter().map(condition).collect()
    }

    fn look(&self) -> FilesState {
        let conditions = self.conditions();
        let mut look = FilesState::default();
        let mut unfinished = false;
        for (one, condition) in &conditions {
            look.next = look.next.min(one.file.look_interval());
            match condition {
                Condition::Unchanged | Condition::Touched(_) => (),
                Condition::Ready => look.is_due = true,
                Condition::Young => {
                    unfinished = true;
                    look.next = look.next.min(QUIET);
                }
                Condition::Writing(since) => {
                    unfinished = true;
                    if *since >= LONG && !one.told {
                        observe::still_being_written(one.file.path());
                        self.tell(one.file.path());
                    }
                }
            }
        }
        look.is_due &= !unfinished;
        look
    }

    fn tell(&self, path: &Path) {
        for one in self.known().iter_mut().filter(|one| one.file.path() == path) {
            one.told = true;
        }
    }

    fn unfinished(&self) -> Vec<PathBuf> {
        let is_unfinished =
            |condition: &Condition| matches!(condition, Condition::Young | Condition::Writing(_));
        let conditions = self.conditions();
        let unfinished = conditions.iter().filter(|(_, condition)| is_unfinished(condition));
        unfinished.map(|(one, _)| one.file.path().to_owned()).collect()
    }

    fn marks(&self) -> Marks {
        let known = self.known().clone();
        known.into_iter().map(|one| (one.file.path().to_owned(), one.file.mark())).collect()
    }

    fn only(&self, wanted: &[PathBuf]) -> bool {
        let mut is_new = false;
        let before = self.known().clone();
        let mut known: Vec<One> = Vec::with_capacity(wanted.len());
        for path in wanted {
            let file = WatchedFile::of(path);
            if known.iter().any(|one| Arc::ptr_eq(&one.file, &file)) {
                continue;
            }
            if let Some(one) = before.iter().find(|one| Arc::ptr_eq(&one.file, &file)) {
                known.push(one.clone());
            } else {
                is_new = true;
                file.wake(&self.wake);
                file.tend();
                known.push(One { file, read: None, told: false });
            }
        }
        *self.known() = known;
        is_new
    }
}
