//! Watches the files of the configuration.

use super::control::{Command, Control};
use crate::config::Config;
use crate::observe;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, NoCache, new_debouncer_opt};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Changes are collected for so long: an editor or a package manager makes several of one.
pub const DEBOUNCE: Duration = Duration::from_millis(500);

/// The watch over the files of one configuration; it ends with the value.
pub(super) struct Watch {
    files: Arc<Mutex<HashSet<PathBuf>>>,
    /// The folders under watch.
    folders: HashSet<PathBuf>,
    debouncer: Option<Debouncer<RecommendedWatcher, NoCache>>,
}

impl Watch {
    /// Watches all files `config` was read from, if it wants that; each change asks `control` for a reload.
    pub(super) fn new(config: &Config, control: &Control) -> Self {
        let files = Arc::new(Mutex::new(HashSet::new()));
        let mut watch = Watch { files: files.clone(), folders: HashSet::new(), debouncer: None };
        let Some(sender) = control.sender().filter(|_| config.watch) else { return watch };
        let changed = move |events: DebounceEventResult| {
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            let ours = |path: &Path| files.contains(path);
            if events.is_ok_and(|events| {
                events.iter().any(|e| e.paths.iter().any(|p| ours(p) && is_change(e.kind, p)))
            }) {
                // A full channel holds a reload already.
                let _ = sender.try_send(Command::Reload(super::WATCH));
            }
        };
        match new_debouncer_opt::<_, RecommendedWatcher, NoCache>(
            DEBOUNCE,
            None,
            changed,
            NoCache,
            notify::Config::default(),
        ) {
            Ok(debouncer) => watch.debouncer = Some(debouncer),
            Err(e) => observe::not_watching(&e),
        }
        // Whoever begins a watch reads the files after that.
        let _ = watch.also(&config.files);
        watch
    }

    /// Watches these files and no others. What was seen of them already is not lost, as it would be with a
    /// watch begun anew.
    pub(super) fn only(&mut self, files: &[PathBuf]) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.also(files)
    }

    /// Watches these files as well. Tells whether a folder was among them that was not watched before: what
    /// happened in it until now went unseen.
    #[must_use]
    pub(super) fn also(&mut self, files: &[PathBuf]) -> bool {
        let mut is_new = false;
        let Some(debouncer) = &mut self.debouncer else { return is_new };
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files {
            // The folder is what is watched: a file that is replaced by another keeps its name only.
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
            known.insert(file);
            if self.folders.contains(&folder) {
                continue;
            }
            match debouncer.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => is_new |= self.folders.insert(folder),
                Err(e) => observe::not_watching(&e),
            }
        }
        is_new
    }
}

/// Whether a file is another one now, and complete: it was closed after writing, renamed, linked or removed.
/// A file that is still being written is not read, since half of it may well pass for all of it; nor does our
/// own reading count.
fn is_change(kind: EventKind, path: &Path) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Remove(_) => true,
        // A link is complete when it is there; nothing else will be heard of it.
        EventKind::Create(_) => path.is_symlink(),
        _ => false,
    }
}
