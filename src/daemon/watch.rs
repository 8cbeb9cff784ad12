//! Watches the files of the configuration: when to read them again, and when not to yet.

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

/// Changes are collected for so long: an editor or a package manager makes several of one.
pub const DEBOUNCE: Duration = Duration::from_millis(500);

/// How long a file may be written before that is worth a word in the log: the configuration waits for it.
const LONG: Duration = Duration::from_secs(30);

/// The files of one configuration under watch; it ends with the value.
///
/// They are watched also where no change is to cause a reload (`watch = false`): whoever asks for one must not get
/// half a file.
pub(super) struct Watch {
    files: Arc<Files>,
    /// Whether a change asks for a reload.
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
    /// Its state when the configuration in force was read, or the one that could not be used.
    read: Option<Read>,
    /// Whether the log has that it is still being written.
    told: bool,
}

/// The states of files before they are read.
pub(super) type Marks = Vec<(PathBuf, Read)>;

impl Watch {
    /// A watch over these files, which changes in them have ask `control` for a reload if `asks`.
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
                // Where it fails the next look may go better.
                let look = spawn_blocking(move || files.look()).await.unwrap_or_default();
                next = look.next;
                if look.is_due
                    && is_asking.load(Relaxed)
                    && let Some(sender) = &sender
                {
                    // A full channel holds a reload already.
                    let _ = sender.try_send(Command::Reload(super::WATCH));
                }
            }
        });
        let watch = Watch { files: known, asks, task: task.abort_handle() };
        let _ = watch.only(files).await;
        watch
    }

    /// Whether a change asks for a reload from now on.
    pub fn ask(&self, asks: bool) {
        self.asks.store(asks, Relaxed);
    }

    /// Whether a file has changed, and all are finished.
    pub async fn is_due(&self) -> bool {
        let files = self.files.clone();
        spawn_blocking(move || files.look().is_due).await.unwrap_or(false)
    }

    /// Watches these files and no others. Returns whether one of them was not watched before: what happened to it
    /// until now is not known.
    pub async fn only(&self, files: &[PathBuf]) -> bool {
        let (known, wanted) = (self.files.clone(), files.to_vec());
        spawn_blocking(move || known.only(&wanted)).await.unwrap_or(true)
    }

    /// Waits until all files are finished, for a short while. Returns those that are not.
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

    /// Whether all files are finished.
    pub async fn is_finished(&self) -> bool {
        let files = self.files.clone();
        spawn_blocking(move || files.unfinished().is_empty()).await.unwrap_or(false)
    }

    /// The states of all files now. To be taken before they are read.
    pub async fn marks(&self) -> Marks {
        let files = self.files.clone();
        spawn_blocking(move || files.marks()).await.unwrap_or_default()
    }

    /// Whether all files are what they were at these marks.
    pub async fn is_unchanged(&self, marks: &Marks) -> bool {
        self.marks().await == *marks
    }

    /// Notes that the files were read at these marks.
    pub fn read(&self, marks: &Marks) {
        for one in self.files.known().iter_mut() {
            let mark = marks.iter().find(|(path, _)| path == one.file.path());
            one.read = mark.map(|(_, read)| *read).or(one.read);
            one.told = false;
        }
    }
}

/// What a look at all files has found.
struct Look {
    /// At least one has changed, and all are finished.
    is_due: bool,
    /// When to look again, whatever happens.
    next: Duration,
}

impl Default for Look {
    fn default() -> Self {
        Look { is_due: false, next: LOOK }
    }
}

impl Files {
    fn known(&self) -> MutexGuard<'_, Vec<One>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How each file compares to what was read of it. The lock is not held meanwhile: the disk may hang.
    fn conditions(&self) -> Vec<(One, Condition)> {
        let known = self.known().clone();
        let condition = |one: One| {
            one.file.tend();
            let condition = one.file.compare(one.read.as_ref());
            (one, condition)
        };
        known.into_iter().map(condition).collect()
    }

    fn look(&self) -> Look {
        let conditions = self.conditions();
        let mut look = Look::default();
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
