//! Watches files: whether a file is being written, and whether it has changed since it was read.
//!
//! A half written file may look complete, so a reader calls [`WatchedFile::compare`] first. The write state
//! belongs to the process, not to a configuration: [`WatchedFile::of`] returns the same value for a path as
//! long as any reader holds it, and a reload opens the new readers before it drops the old ones.
//!
//! | module | contents |
//! | --- | --- |
//! | `write_state` | whether a file is finished, from its events |
//! | `stamp` | identity and times of a file, to detect changes |
//! | `folder` | inotify(7): one watch for each folder, restarted when it is lost |
//! | `followed` | files that other code reads |
//! | `revision` | the states of files that a result depends on |

mod folder;
mod followed;
mod revision;
mod stamp;
mod write_state;

pub use folder::RETRY;
pub use followed::Followed;
pub use revision::{Basis, Revision};
pub use stamp::{QUIET, Stamp, digest};
pub use write_state::WriteState;

use folder::{Folder, lock};
use notify::event::ModifyKind;
use notify::{Event, EventKind};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long events are collected before a file is checked. Files are often written in several steps.
pub const SETTLE: Duration = Duration::from_millis(100);

/// Interval of checks without an event. Changes by another host (NFS), in a folder that was replaced together
/// with its parent, or through symbolic links raise no event.
pub const LOOK: Duration = Duration::from_secs(5);

/// Interval of checks if the folder cannot be watched.
pub const LOOK_UNWATCHED: Duration = Duration::from_secs(1);

/// The watched files.
static FILES: Mutex<BTreeMap<PathBuf, Weak<WatchedFile>>> = Mutex::new(BTreeMap::new());

/// A watched file.
#[derive(Debug)]
pub struct WatchedFile {
    this: Weak<WatchedFile>,
    path: PathBuf,
    heard: Mutex<Heard>,
    /// The last stamp, and when it was first seen.
    seen: Mutex<Option<(Stamp, Instant)>>,
    places: Mutex<Places>,
    wakes: Mutex<Vec<Weak<Notify>>>,
    revision: Revision,
    accepted: AtomicBool,
    /// The reason why the reader does not use the present file.
    trouble: Mutex<Option<Box<str>>>,
}

/// The location of the file.
#[derive(Debug, Default)]
struct Places {
    folders: Vec<Arc<Folder>>,
    /// The path with symbolic links resolved, if it differs.
    target: Option<PathBuf>,
}

/// The events of a file so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The state after the last event.
    pub state: WriteState,
    /// Number of events.
    pub events: u64,
}

/// The state of a file when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// `None` if the file did not exist.
    pub stamp: Option<Stamp>,
    /// See [`Heard::events`].
    pub events: u64,
    /// The digest of its content (see [`digest`]), if known.
    pub digest: Option<u64>,
}

/// The result of comparing a file to its state when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The file is unchanged.
    Unchanged,
    /// The times of the file have changed, or it was opened for writing, but its content is the same.
    Touched(Read),
    /// The file has changed and is finished.
    Ready,
    /// The file has changed recently, and no event shows that it is finished. Check it again soon.
    Young,
    /// The file is being written. The time is that since its stamp last changed.
    Writing(Duration),
}

impl WatchedFile {
    /// Returns the file at `path`, which the whole process shares. The watch starts with
    /// [`tend`](Self::tend).
    pub fn of(path: &Path) -> Arc<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut files = lock(&FILES);
        if let Some(file) = files.get(&path).and_then(Weak::upgrade) {
            return file;
        }
        files.retain(|_, file| file.strong_count() > 0);
        let file = Arc::new_cyclic(|this| WatchedFile {
            this: this.clone(),
            path: path.clone(),
            heard: Mutex::default(),
            seen: Mutex::default(),
            places: Mutex::default(),
            wakes: Mutex::default(),
            revision: Revision::default(),
            accepted: AtomicBool::new(false),
            trouble: Mutex::default(),
        });
        files.insert(path, Arc::downgrade(&file));
        file
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its events so far.
    pub fn heard(&self) -> Heard {
        *lock(&self.heard)
    }

    /// The revision, which counts events and changes that readers detect without an event.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Watches the folder of the file and, if the file is a symbolic link, that of its target. Must be called
    /// repeatedly. Blocks.
    pub fn tend(&self) {
        let target = fs::canonicalize(&self.path).ok().filter(|target| *target != self.path);
        let mut wanted: Vec<&Path> = Vec::with_capacity(2);
        for path in [Some(&self.path), target.as_ref()].into_iter().flatten() {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if !wanted.contains(&folder) {
                wanted.push(folder);
            }
        }
        let folders = {
            let mut places = lock(&self.places);
            if !places.folders.iter().map(|folder| folder.path()).eq(wanted.iter().copied()) {
                let new: Vec<_> = wanted.iter().map(|folder| Folder::of(folder)).collect();
                for old in places.folders.iter().filter(|old| !wanted.contains(&old.path())) {
                    old.remove(&self.this);
                }
                for folder in &new {
                    folder.add(&self.this);
                }
                places.folders = new;
            }
            places.target = target;
            places.folders.clone()
        };
        for folder in folders {
            folder.tend();
        }
    }

    /// Whether changes raise events.
    pub fn is_watched(&self) -> bool {
        let places = lock(&self.places);
        !places.folders.is_empty() && places.folders.iter().all(|folder| folder.is_watched())
    }

    /// Interval of checks without an event.
    pub fn look_interval(&self) -> Duration {
        if self.is_watched() { LOOK } else { LOOK_UNWATCHED }
    }

    /// Notifies `wake` of all events of the file or its folder.
    pub fn wake(&self, wake: &Arc<Notify>) {
        let mut wakes = lock(&self.wakes);
        wakes.retain(|known| known.strong_count() > 0);
        wakes.push(Arc::downgrade(wake));
    }

    /// Compares the file to its state when it was read. Blocks.
    pub fn compare(&self, read: Option<&Read>) -> Condition {
        let heard = self.heard();
        let stamp = Stamp::at(&self.path);
        let since = {
            let mut seen = lock(&self.seen);
            if seen.is_none_or(|(known, _)| Some(known) != stamp) {
                *seen = stamp.map(|stamp| (stamp, Instant::now()));
            }
            seen.map(|(_, since)| since)
        };
        let silent = read.is_some_and(|read| read.events == heard.events);
        if silent && read.is_some_and(|read| read.stamp == stamp) {
            return Condition::Unchanged;
        }
        // An event that was handled is no evidence about a later change without an event.
        let state = if silent { WriteState::Unclear } else { heard.state };
        match state {
            // Setting only the modification time raises the same event as a write (inotify(7) does not
            // mention it), but not that of its end.
            WriteState::Writing
                if let Some(read) = read
                    && let (Some(then), Some(now)) = (read.stamp, stamp)
                    && now.is_as_long(&then)
                    && read.digest.is_some()
                    && read.digest == stamp::digest_at(&self.path)
                    && Stamp::at(&self.path) == stamp =>
            {
                Condition::Touched(Read { stamp, events: heard.events, digest: read.digest })
            }
            WriteState::Writing => Condition::Writing(since.map_or(Duration::ZERO, |since| since.elapsed())),
            WriteState::Unclear if stamp.is_some_and(|stamp| !stamp.is_quiet(since)) => Condition::Young,
            WriteState::Unclear | WriteState::Finished => Condition::Ready,
        }
    }

    /// Returns the present state with the digest of the content. Call it before reading the file. Blocks.
    pub fn mark(&self) -> Read {
        // Read the events first: later ones are changes.
        let events = self.heard().events;
        let stamp = Stamp::at(&self.path);
        Read { stamp, events, digest: stamp::digest_at(&self.path) }
    }

    /// Whether the operator has accepted the present content since the last call.
    pub fn take_accepted(&self) -> bool {
        self.accepted.swap(false, SeqCst)
    }

    /// Sets or clears the reason why the reader does not use the present file.
    pub fn set_trouble(&self, why: Option<&str>) {
        *lock(&self.trouble) = why.map(Into::into);
    }

    /// Records an event at once. The file is checked later.
    fn hear(&self, event: &Event) {
        let target = lock(&self.places).target.clone();
        let names = [Some(&*self.path), target.as_deref()];
        let names: Vec<&Path> = names.into_iter().flatten().collect();
        let mut heard = lock(&self.heard);
        let mut after = heard.state.after(event, &names);
        // A link that was moved into place is finished, but its target may not be.
        if after == Some(WriteState::Finished) && is_moved(event) && self.path.is_symlink() {
            after = Some(WriteState::Unclear);
        }
        if let Some(state) = after {
            *heard = Heard { state, events: heard.events.wrapping_add(1) };
        }
        drop(heard);
        if after.is_some() {
            self.revision.bump();
        } else if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        // Notify also after other events in the folder, such as those of a symbolic link: the stamp shows
        // whether the file has changed.
        for wake in lock(&self.wakes).iter().filter_map(Weak::upgrade) {
            wake.notify_one();
        }
    }
}

/// Whether the event is that of a rename.
fn is_moved(event: &Event) -> bool {
    matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)))
}

/// The files that their readers do not use at present, with the reasons.
pub fn troubles() -> Vec<(PathBuf, Box<str>)> {
    let files: Vec<_> = lock(&FILES).values().filter_map(Weak::upgrade).collect();
    files.iter().filter_map(|file| Some((file.path.clone(), lock(&file.trouble).clone()?))).collect()
}

/// Records that the operator accepts the present content of all files, even if it has shrunk.
pub fn accept() {
    let files: Vec<_> = lock(&FILES).values().filter_map(Weak::upgrade).collect();
    for file in files {
        file.accepted.store(true, SeqCst);
        for wake in lock(&file.wakes).iter().filter_map(Weak::upgrade) {
            wake.notify_one();
        }
    }
}

/// Waits for an event, and then until there are none for [`SETTLE`], at most [`QUIET`].
pub async fn something(wake: &Notify) {
    wake.notified().await;
    let end = Instant::now() + QUIET;
    while Instant::now() < end && timeout(SETTLE, wake.notified()).await.is_ok() {}
}

/// Whether so few entries are left that the file was probably truncated.
pub fn has_shrunk(before: usize, now: usize) -> bool {
    now < before.div_ceil(2)
}

#[cfg(test)]
mod tests;
