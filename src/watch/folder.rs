//! Watches folders. Each has its own watch, so that a file server that hangs delays only its own files.

use super::WatchedFile;
use crate::observe::files as observe;
use notify::event::{Flag, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Shortest and longest pause between attempts to watch a folder. Both a missing folder and a lack of inotify
/// instances (fs.inotify.max_user_instances) may last.
pub const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The watched folders, so that all files in a folder share its watch.
static FOLDERS: Mutex<BTreeMap<PathBuf, Weak<Folder>>> = Mutex::new(BTreeMap::new());

/// A watched folder. The watch is on the folder instead of its files, since after a rename over a file, a
/// watch on the file would stay on the old one.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: Mutex<Vec<Weak<WatchedFile>>>,
    watching: Mutex<Watching>,
    /// Whether the folder was moved or removed, so that the watch is on the old one.
    moved: AtomicBool,
}

#[derive(Debug, Default)]
struct Watching {
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the watched folder.
    identity: Option<(u64, u64)>,
    /// Number of failed attempts since the last success.
    failures: u32,
    next_try: Option<Instant>,
}

impl Folder {
    /// Returns the folder at `path`, which the whole process shares.
    pub fn of(path: &Path) -> Arc<Self> {
        let mut folders = lock(&FOLDERS);
        if let Some(folder) = folders.get(path).and_then(Weak::upgrade) {
            return folder;
        }
        folders.retain(|_, folder| folder.strong_count() > 0);
        let folder = Arc::new(Folder {
            path: path.to_owned(),
            files: Mutex::default(),
            watching: Mutex::default(),
            moved: AtomicBool::new(false),
        });
        folders.insert(path.to_owned(), Arc::downgrade(&folder));
        folder
    }

    /// Sends events in this folder to `file`.
    pub fn add(&self, file: &Weak<WatchedFile>) {
        let mut files = lock(&self.files);
        files.retain(|known| known.strong_count() > 0);
        if !files.iter().any(|known| known.ptr_eq(file)) {
            files.push(file.clone());
        }
    }

    /// Stops sending events to `file`.
    pub fn remove(&self, file: &Weak<WatchedFile>) {
        lock(&self.files).retain(|known| !known.ptr_eq(file));
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the watch is active. Without it, files must be polled.
    pub fn is_watched(&self) -> bool {
        lock(&self.watching).watcher.is_some()
    }

    /// Starts the watch, or restarts it if the folder was replaced. Blocks.
    pub fn tend(self: &Arc<Self>) {
        let identity = fs::metadata(&self.path).ok().map(|folder| (folder.dev(), folder.ino()));
        let mut watching = lock(&self.watching);
        let moved = self.moved.swap(false, SeqCst);
        if watching.watcher.is_some() && watching.identity == identity && !moved {
            return;
        }
        if watching.watcher.take().is_some() {
            watching.next_try = None;
        }
        if watching.next_try.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let folder = Arc::downgrade(self);
        let hear = move |event| {
            if let Some(folder) = folder.upgrade() {
                folder.hear(event);
            }
        };
        let begun = notify::recommended_watcher(hear).and_then(|mut watcher| {
            watcher.watch(&self.path, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match begun {
            Ok(watcher) => {
                watching.watcher = Some(watcher);
                watching.identity = identity;
                if watching.failures > 0 {
                    observe::folder_watched(&self.path);
                }
                watching.failures = 0;
                watching.next_try = None;
            }
            Err(why) => {
                let (first, longest) = RETRY;
                let pause = (first * 2u32.pow(watching.failures.min(10))).min(longest);
                watching.next_try = Some(Instant::now() + pause);
                if watching.failures == 0 {
                    observe::folder_unwatched(&self.path, &why);
                }
                watching.failures = watching.failures.saturating_add(1);
                return;
            }
        }
        drop(watching);
        // Events before the watch started were missed.
        self.tell(&Event::new(EventKind::Other).set_flag(Flag::Rescan));
    }

    fn hear(&self, event: notify::Result<Event>) {
        let event = event.unwrap_or_else(|_| Event::new(EventKind::Other).set_flag(Flag::Rescan));
        let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        if gone && event.paths.contains(&self.path) {
            self.moved.store(true, SeqCst);
        }
        self.tell(&event);
    }

    fn tell(&self, event: &Event) {
        let files: Vec<_> = lock(&self.files).iter().filter_map(Weak::upgrade).collect();
        for file in files {
            file.hear(event);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
