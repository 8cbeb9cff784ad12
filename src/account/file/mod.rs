//! `file:PATH`, a list of accounts, read again whenever it changes.
//!
//! | the file | a listed account | any other |
//! | --- | --- | --- |
//! | is good | exists | missing |
//! | is being written, or was a moment ago | exists, if the last good one listed it | unknown |
//! | has errors | exists, if the last good one listed it | unknown |
//! | is gone, unreadable or lists nothing | unknown | unknown |
//!
//! Nobody becomes missing by an accident: not by a typing error, nor by a file that is being moved about.
//!
//! **Replace by rename**: write the new list beside the old one and `mv` it over it. Half of a list that is
//! written in place looks like a short one, so that nobody is missing until the writer has closed it; if no
//! event tells (NFS), until it was left alone for [`QUIET`]. A writer who opens and closes the file for every
//! line, or dies in the middle, cannot be told from one who has finished.

mod hand;
mod list;

use super::spec::{Kind, OpenFuture, Plan, Site};
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use crate::addr::{Address, Cases};
use crate::observe::account as observe;
use hand::Hand;
use list::List;
use notify::event::Flag;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Largest list read: more than two million accounts. Larger ones belong into a database.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;

/// How long changes are gathered before the list is read: a list is often written in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// How long a list must have been left alone to be taken as finished where no event tells that it is. Whoever
/// writes a list in place seldom pauses for longer.
const QUIET: Duration = Duration::from_secs(2);

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
        let (name, path, cases) = (site.name.clone(), self.path.clone(), site.cases.clone());
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || FileSource::open(name, path, cases));
            let mut source = opened.await.map_err(|_| vec!["reading it was given up".to_string()])??;
            source.keep_looking();
            source.settle().await;
            Ok(Arc::new(source) as Arc<dyn AccountSource>)
        })
    }
}

/// The source: a shared view of the list, and what keeps it up to date for as long as this lives.
#[derive(Debug)]
struct FileSource {
    file: Arc<Watched>,
    /// None where the directory cannot be watched.
    _watcher: Option<RecommendedWatcher>,
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
    fn open(name: Arc<str>, path: PathBuf, cases: Cases) -> Result<Self, Vec<String>> {
        let file = Arc::new(Watched::new(name, path, cases));
        let mut seen = file.looking();
        // Watched first and read afterwards, so that no change falls between.
        let watcher = file.clone().watch();
        let before = file.state().heard;
        let view = match file.read() {
            Ok((list, stamp)) => View { list: Arc::new(list), trouble: None, stamp: Some(stamp) },
            Err(Unusable::Gone { why, stamp: Some(stamp) }) => {
                // A list without accounts: not an error, a new site has none, but no reason to refuse mail.
                observe::source_file_unreadable(&file.name, &file.path, &why);
                let trouble = Some(Trouble::Gone(why.into()));
                View { list: Arc::default(), trouble, stamp: Some(stamp) }
            }
            Err(Unusable::Changing) => View::default(),
            Err(Unusable::Gone { why, stamp: None }) => return Err(vec![why]),
            Err(Unusable::Broken { problems, .. }) => return Err(problems),
        };
        *seen = view.stamp.map(|stamp| (stamp, Instant::now()));
        let quiet = view.stamp.is_some_and(|stamp| stamp.is_quiet(None));
        let mut state = file.state();
        // What was heard during the reading is about what was not read.
        if state.heard == before && (quiet || state.hand == Hand::Finished) {
            state.hand = Hand::Rest;
        }
        state.view = view;
        drop(state);
        drop(seen);
        Ok(FileSource { file, _watcher: watcher, look: None })
    }

    /// Waits for a list written a moment ago to come of age, so that whoever writes a list and starts rcptd gets
    /// definite answers from the first question on; not for longer, since a list may be written for hours.
    async fn settle(&self) {
        let end = Instant::now() + QUIET + SETTLE;
        while self.file.state().hand != Hand::Rest && Instant::now() < end {
            tokio::time::sleep(SETTLE).await;
            let file = self.file.clone();
            let _ = tokio::task::spawn_blocking(move || file.look()).await;
        }
    }

    /// Looks at the file whenever something happens to it, and now and then.
    fn keep_looking(&mut self) {
        let file = self.file.clone();
        let task = tokio::spawn(async move {
            // It may have been written a moment before it was opened.
            let mut soon = true;
            loop {
                // Late is no reason to despair, it is the time to look all the same.
                let _ = timeout(if soon { QUIET } else { LOOK }, file.something()).await;
                let file = file.clone();
                // Nothing to be done where it fails: the next look may go better.
                soon = tokio::task::spawn_blocking(move || file.look()).await.unwrap_or(false);
            }
        });
        self.look = Some(task.abort_handle());
    }
}

impl AccountSource for FileSource {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        let State { view, hand, .. } = self.file.state().clone();
        let verdict = match (&view.trouble, view.list.has(account, &self.file.cases)) {
            (None | Some(Trouble::Broken(_)), true) => Verdict::Exists,
            (None, false) if hand == Hand::Rest => Verdict::Missing,
            (None, false) => Verdict::Unknown(Reason::new("the list is being written")),
            (Some(Trouble::Broken(why)), false) | (Some(Trouble::Gone(why)), _) => {
                Verdict::Unknown(Reason::new(why.clone()))
            }
        };
        let answer = Answer::new(verdict, &self.file.name);
        Box::pin(std::future::ready(answer))
    }
}

/// What was read of the file.
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
    /// One that changed while it was read.
    Changing,
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

    /// Whether the file was left alone for [`QUIET`], by its own clock or, since a file server may have
    /// another one, from when it was seen first.
    fn is_quiet(&self, since: Option<Instant>) -> bool {
        let (seconds, nanos) = self.written;
        let written = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanos).ok())
            .and_then(|(seconds, nanos)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        // Before 1970 is long ago.
        let old = written.is_none_or(|written| written.elapsed().is_ok_and(|age| age >= QUIET));
        old || since.is_some_and(|since| since.elapsed() >= QUIET)
    }
}

/// What is known of the file at the moment.
#[derive(Clone, Debug, Default)]
struct State {
    view: View,
    hand: Hand,
    /// Counts the events heard about the file.
    heard: u64,
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    path: PathBuf,
    cases: Cases,
    state: Mutex<State>,
    /// The stamp seen last, and when first. Held from looking at the file until its view is shown, so that no
    /// older view comes after a newer.
    seen: Mutex<Option<(Stamp, Instant)>>,
    /// Something has happened in the directory.
    wake: Notify,
}

impl Watched {
    fn new(name: Arc<str>, path: PathBuf, cases: Cases) -> Self {
        let (state, seen, wake) = Default::default();
        Watched { name, path, cases, state, seen, wake }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looking(&self) -> MutexGuard<'_, Option<(Stamp, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what a look has found, unless the file changed since the look began: then only the event counts,
    /// and the next look comes with it.
    fn show(&self, new: State) {
        let mut state = self.state();
        if state.heard == new.heard {
            *state = new;
        }
    }

    /// Watches the directory, not the file: renaming over a file leaves the watch on the old one.
    fn watch(self: Arc<Self>) -> Option<RecommendedWatcher> {
        let file = self.clone();
        let watching = notify::recommended_watcher(move |event| file.hear(event)).and_then(|mut watcher| {
            watcher.watch(self.path.parent().unwrap_or(Path::new("/")), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        watching
            .inspect_err(|error| {
                observe::source_file_unwatched(&self.name, &self.path, &error.to_string());
            })
            .ok()
    }

    /// Takes note of an event at once, and has the file looked at later.
    fn hear(&self, event: notify::Result<Event>) {
        let lost = |_| Event::new(EventKind::Other).set_flag(Flag::Rescan);
        let event = event.unwrap_or_else(lost);
        let mut state = self.state();
        if let Some(hand) = state.hand.after(&event, &self.path) {
            state.hand = hand;
            state.heard = state.heard.wrapping_add(1);
        } else if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        // Also of what happens elsewhere in the directory, such as to a symbolic link: its stamp will tell.
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until something has happened and nothing more does for a moment.
    async fn something(&self) {
        self.wake.notified().await;
        let end = Instant::now() + QUIET;
        while Instant::now() < end && timeout(SETTLE, self.wake.notified()).await.is_ok() {}
    }

    /// Reads the list again if it has changed and is finished; true if it must be looked at again before long.
    fn look(&self) -> bool {
        let mut seen = self.looking();
        let State { view: old, hand, heard } = self.state().clone();
        let stamp = fs::metadata(&self.path).ok().map(|file| Stamp::of(&file));
        if hand == Hand::Rest && stamp == old.stamp {
            return false;
        }
        if seen.is_none_or(|(known, _)| Some(known) != stamp) {
            *seen = stamp.map(|stamp| (stamp, Instant::now()));
        }
        let since = seen.map(|(_, since)| since);
        if hand == Hand::Writing {
            // The event of its end is waited for, not looked for.
            if since.is_some_and(|since| since.elapsed() >= LOOK) {
                self.show(State {
                    view: self.broken(&old, "the list is still being written", stamp),
                    hand,
                    heard,
                });
            }
            return false;
        }
        if hand != Hand::Finished && stamp.is_some_and(|stamp| !stamp.is_quiet(since)) {
            self.show(State { view: old, hand: Hand::Perhaps, heard });
            return true;
        }
        let view = match self.read() {
            Ok((list, stamp)) => {
                if old.stamp != Some(stamp) {
                    observe::source_file_reloaded(&self.name, &self.path, list.len());
                }
                View { list: Arc::new(list), trouble: None, stamp: Some(stamp) }
            }
            Err(Unusable::Broken { problems, stamp }) => {
                self.broken(&old, problems.first().map_or("", String::as_str), Some(stamp))
            }
            Err(Unusable::Gone { why, stamp }) => {
                let trouble = Some(Trouble::Gone(why.as_str().into()));
                if trouble != old.trouble {
                    observe::source_file_unreadable(&self.name, &self.path, &why);
                }
                View { list: old.list, trouble, stamp }
            }
            Err(Unusable::Changing) => {
                self.show(State { view: old, hand: Hand::Perhaps, heard });
                return true;
            }
        };
        self.show(State { view, hand: Hand::Rest, heard });
        false
    }

    /// The view after a list that cannot be used, in which the last good one goes on.
    fn broken(&self, old: &View, why: &str, stamp: Option<Stamp>) -> View {
        let trouble = Some(Trouble::Broken(why.into()));
        if trouble != old.trouble {
            observe::source_file_broken(&self.name, &self.path, why);
        }
        View { list: old.list.clone(), trouble, stamp }
    }

    fn read(&self) -> Result<(List, Stamp), Unusable> {
        let gone =
            |error: io::Error| Unusable::Gone { why: format!("cannot read the list: {error}"), stamp: None };
        // Asked before it is opened: opening a FIFO would wait for a writer, and opening a device may do
        // anything.
        if !fs::metadata(&self.path).map_err(gone)?.is_file() {
            return Err(gone(io::Error::other("not a file")));
        }
        let mut file = File::open(&self.path).map_err(gone)?;
        let stamp = Stamp::of(&file.metadata().map_err(gone)?);
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(gone)?;
        if Stamp::of(&file.metadata().map_err(gone)?) != stamp {
            return Err(Unusable::Changing);
        }
        let file = self.path.to_string_lossy();
        match list::parse(&file, bytes, &self.cases) {
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
