//! `file:PATH`, a list of accounts, read again whenever it changes.
//!
//! | the file | a listed account | any other |
//! | --- | --- | --- |
//! | is good | exists | missing |
//! | has errors | exists, if the last good one listed it | unknown |
//! | is gone, unreadable or lists nothing | unknown | unknown |
//!
//! Nobody becomes missing by an accident: not by a typing error, nor by a file that is being moved about.
//! A list should be replaced by renaming the new one over the old one, since half of a list that is being
//! written in place cannot be told from a short one.

mod list;

use super::spec::{Kind, OpenFuture, Plan, Site};
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use crate::addr::Address;
use crate::observe::account as observe;
use list::List;
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Largest list read: more than two million accounts. Larger ones belong into a database.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;

/// How long changes are gathered before the list is read: a list is often written in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the file is looked at all the same: changes made by another host (NFS) or behind a symbolic
/// link raise no event here.
const LOOK: Duration = Duration::from_secs(30);

/// `file:PATH`
pub(super) const KIND: Kind = Kind {
    name: "file",
    usage: "file:/PATH",
    read: |arguments| {
        let path = PathBuf::from(arguments);
        if path.is_absolute() {
            Ok(Arc::new(ListFile { path }))
        } else {
            Err(format!("\"{arguments}\" is not an absolute path"))
        }
    },
};

#[derive(Debug)]
struct ListFile {
    path: PathBuf,
}

impl Plan for ListFile {
    fn open<'a>(&'a self, site: Site<'a>) -> OpenFuture<'a> {
        let (name, path, case_sensitive) = (site.name.clone(), self.path.clone(), site.case_sensitive);
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || FileSource::open(name, path, case_sensitive));
            let mut source = opened.await.map_err(|_| vec!["reading it was given up".to_string()])??;
            source.look_now_and_then();
            Ok(Arc::new(source) as Arc<dyn AccountSource>)
        })
    }
}

/// The source: a shared view of the list, and what keeps it up to date for as long as this lives.
#[derive(Debug)]
struct FileSource {
    file: Arc<Watched>,
    /// None where the directory cannot be watched.
    _watcher: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
    look: Option<AbortHandle>,
}

impl Drop for FileSource {
    fn drop(&mut self) {
        if let Some(look) = &self.look {
            look.abort();
        }
    }
}

impl FileSource {
    /// Reads the list, which must be readable and without errors, and watches its directory.
    fn open(name: Arc<str>, path: PathBuf, case_sensitive: bool) -> Result<Self, Vec<String>> {
        let (view, reading) = Default::default();
        let file = Arc::new(Watched { name, path, case_sensitive, view, reading });
        let reading = file.reading();
        // Watched first and read afterwards, so that no change falls between.
        let watcher = file.clone().watch();
        match file.read() {
            Ok((list, stamp)) => file.show(View { list: Arc::new(list), trouble: None, stamp: Some(stamp) }),
            Err(Unusable::Gone { why, stamp: Some(stamp) }) => {
                // A list without accounts: not an error, a new site has none, but no reason to refuse mail.
                observe::source_file_unreadable(&file.name, &file.path, &why);
                let trouble = Some(Trouble::Gone(why.into()));
                file.show(View { list: Arc::default(), trouble, stamp: Some(stamp) });
            }
            Err(Unusable::Gone { why, stamp: None }) => return Err(vec![why]),
            Err(Unusable::Broken { problems, .. }) => return Err(problems),
        }
        drop(reading);
        Ok(FileSource { file, _watcher: watcher, look: None })
    }

    fn look_now_and_then(&mut self) {
        let file = self.file.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let file = file.clone();
                // Nothing to be done where it fails: the next look may go better.
                let _ = tokio::task::spawn_blocking(move || file.look(false)).await;
            }
        });
        self.look = Some(task.abort_handle());
    }
}

impl AccountSource for FileSource {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        let view = self.file.view();
        let key = account.key(self.file.case_sensitive);
        let verdict = match (&view.trouble, view.list.has(&key)) {
            (None | Some(Trouble::Broken(_)), true) => Verdict::Exists,
            (None, false) => Verdict::Missing,
            (Some(Trouble::Broken(why)), false) | (Some(Trouble::Gone(why)), _) => {
                Verdict::Unknown(Reason::new(why.clone()))
            }
        };
        let answer = Answer::new(verdict, &self.file.name);
        Box::pin(std::future::ready(answer))
    }
}

/// What is known of the file at the moment.
#[derive(Clone, Debug, Default)]
struct View {
    /// The last good list.
    list: Arc<List>,
    trouble: Option<Trouble>,
    stamp: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Broken(Arc<str>),
    Gone(Arc<str>),
}

/// Why a list cannot be used.
enum Unusable {
    /// No list at all.
    Gone { why: String, stamp: Option<Stamp> },
    /// One with errors.
    Broken { problems: Vec<String>, stamp: Stamp },
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    path: PathBuf,
    case_sensitive: bool,
    view: Mutex<View>,
    /// Held from looking at the file until its view is shown, so that no older view comes after a newer.
    reading: Mutex<()>,
}

impl Watched {
    fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reading(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Watches the directory, not the file: renaming over a file leaves the watch on the old one.
    fn watch(self: Arc<Self>) -> Option<Debouncer<RecommendedWatcher, RecommendedCache>> {
        let file = self.clone();
        let watcher = new_debouncer(SETTLE, None, move |events: DebounceEventResult| {
            let Ok(events) = events else { return file.look(true) };
            // Reading the list is an access too.
            let mut changes =
                events.iter().filter(|event| !matches!(event.kind, EventKind::Access(_))).peekable();
            if changes.peek().is_some() {
                // The stamp tells about changes elsewhere in the directory, such as that of a symbolic link.
                let named = changes.any(|event| event.need_rescan() || event.paths.contains(&file.path));
                file.look(named);
            }
        });
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        watching
            .inspect_err(|error| {
                observe::source_file_unwatched(&self.name, &self.path, &error.to_string());
            })
            .ok()
    }

    /// Reads the list again if it has changed, or in any case.
    fn look(&self, in_any_case: bool) {
        let _reading = self.reading();
        let old = self.view();
        let stamp = fs::metadata(&self.path).ok().map(|file| Stamp::of(&file));
        if !in_any_case && stamp == old.stamp {
            return;
        }
        let new = match self.read() {
            Ok((list, stamp)) => {
                if old.stamp != Some(stamp) {
                    observe::source_file_reloaded(&self.name, &self.path, list.len());
                }
                View { list: Arc::new(list), trouble: None, stamp: Some(stamp) }
            }
            Err(Unusable::Broken { problems, stamp }) => {
                let why: Arc<str> = problems.first().map_or("", String::as_str).into();
                let trouble = Some(Trouble::Broken(why.clone()));
                if trouble != old.trouble {
                    observe::source_file_broken(&self.name, &self.path, &why);
                }
                View { list: old.list, trouble, stamp: Some(stamp) }
            }
            Err(Unusable::Gone { why, stamp }) => {
                let trouble = Some(Trouble::Gone(why.as_str().into()));
                if trouble != old.trouble {
                    observe::source_file_unreadable(&self.name, &self.path, &why);
                }
                View { list: old.list, trouble, stamp }
            }
        };
        self.show(new);
    }

    fn read(&self) -> Result<(List, Stamp), Unusable> {
        let gone =
            |error: io::Error| Unusable::Gone { why: format!("cannot read the list: {error}"), stamp: None };
        // Asked before it is opened: opening a FIFO would wait for a writer.
        if !fs::metadata(&self.path).map_err(gone)?.is_file() {
            return Err(gone(io::Error::other("not a file")));
        }
        let mut file = File::open(&self.path).map_err(gone)?;
        let stamp = Stamp::of(&file.metadata().map_err(gone)?);
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(gone)?;
        let file = self.path.to_string_lossy();
        match list::parse(&file, bytes, self.case_sensitive) {
            Err(problems) => Err(Unusable::Broken { problems, stamp }),
            Ok(list) if list.len() == 0 => {
                Err(Unusable::Gone { why: "the list names no account".into(), stamp: Some(stamp) })
            }
            Ok(list) => Ok((list, stamp)),
        }
    }
}

#[cfg(test)]
mod tests;
