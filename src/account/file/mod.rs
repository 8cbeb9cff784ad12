//! `file:PATH`, a list of accounts, which is read again whenever it changes.
//!
//! | the file | listed accounts | other accounts |
//! | --- | --- | --- |
//! | is valid | exists | not found |
//! | is being written, or was a moment ago | exists, if listed in the last valid version | temporary failure |
//! | has errors, or lost more than half of its accounts | exists, if listed in the last valid version | temporary failure |
//! | is deleted, unreadable or empty | temporary failure | temporary failure |
//!
//! A typing error, a file that is being moved, or a truncated file never makes an account "not found". A much
//! shorter list takes effect when the operator reloads.
//!
//! **Replace by rename**: write the new list to another file in the same directory and `mv` it over the old
//! one. A list that is half written in place looks like a short list, so no account is "not found" until the
//! writer has closed it or, without events (NFS), until it is unchanged for [`QUIET`]. A writer that opens
//! and closes the file for every line, or that dies before it has finished, looks like one that has finished,
//! unless the list has shrunk.
//!
//! The state of a list survives a reload: the sources of the old and the new configuration share it.
//!
//! A list may have another [`Format`]: `aliases:` is such a list.

mod list;

use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::observe::account as observe;
use crate::watch::{self, Condition, QUIET, Read as AsRead, SETTLE, Stamp, WatchedFile, has_shrunk};
pub(super) use list::{List, Problems, check_size};
use mail_address::{Address, CaseSensitivity};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Largest list that is read: more than two million accounts. Larger ones belong in a database.
pub const MAX_FILE: u64 = 64 * 1024 * 1024;

/// How long a list may be written before a warning is logged.
const LONG: Duration = Duration::from_secs(30);

/// The lists in use, so that a reload keeps their state.
static LISTS: Mutex<Vec<Weak<FileSource>>> = Mutex::new(Vec::new());

/// `file:PATH`
pub(super) const TYPE: SourceType =
    SourceType { name: "file", usage: "file:/PATH", read: |arguments| ListFile::at(arguments, &FORMAT) };

const FORMAT: Format = Format { name: "file", folds: false, parse: list::parse };

/// The syntax of a list.
#[derive(Debug)]
pub(super) struct Format {
    /// The type of the source.
    pub name: &'static str,
    /// Whether case never matters in the names, whatever the configuration.
    pub folds: bool,
    /// Parses the list in the file of this name. The error has a line for each problem.
    pub parse: Parse,
}

type Parse = fn(&str, Vec<u8>, &CaseSensitivity) -> Result<List, Vec<String>>;

/// The configuration of a source that is a list.
#[derive(Debug)]
pub(super) struct ListFile {
    path: PathBuf,
    format: &'static Format,
}

impl ListFile {
    /// The list at `path`. The error is a sentence fragment.
    pub fn at(path: &str, format: &'static Format) -> Result<Arc<dyn SourceConfig>, String> {
        let file = ListFile { path: PathBuf::from(path), format };
        if file.path.is_absolute() {
            Ok(Arc::new(file))
        } else {
            Err(format!("\"{path}\" is not an absolute path"))
        }
    }
}

impl SourceConfig for ListFile {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let (name, path, format) = (context.name.clone(), self.path.clone(), self.format);
        let cases = if format.folds { false.into() } else { context.cases.clone() };
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || FileSource::shared(name, &path, cases, format));
            let (source, is_new) = opened.await.map_err(|_| vec!["the read was abandoned".to_string()])??;
            if is_new {
                source.keep_looking();
            }
            source.settle().await;
            Ok(source as Arc<AccountSource>)
        })
    }
}

/// The source: a view of the list, shared by all configurations. A task keeps it up to date until it is
/// dropped.
#[derive(Debug)]
struct FileSource {
    list: Arc<Watched>,
    look: Mutex<Option<AbortHandle>>,
}

impl Drop for FileSource {
    fn drop(&mut self) {
        if let Some(look) = lock(&self.look).take() {
            look.abort();
        }
        // A source of the same file with other settings, such as another case_sensitive, may go on.
        let file = &self.list.file;
        let other = sources_in_use().into_iter().find(|other| Arc::ptr_eq(&other.list.file, file));
        let trouble = other.and_then(|other| other.list.view().trouble);
        file.set_trouble(trouble.as_ref().map(|trouble| &*trouble.why));
    }
}

/// The sources in use. The last use of one may end with the caller, and its end locks the list again, so the list is
/// not locked any more.
fn sources_in_use() -> Vec<Arc<FileSource>> {
    lock(&LISTS).iter().filter_map(Weak::upgrade).collect()
}

impl FileSource {
    /// Returns the source of this list, which another configuration may have opened already, and whether it
    /// is new.
    fn shared(
        name: Arc<str>,
        path: &Path,
        cases: CaseSensitivity,
        format: &'static Format,
    ) -> Result<(Arc<Self>, bool), Vec<String>> {
        let is_same = |source: &Arc<FileSource>| {
            let list = &source.list;
            list.file.path() == path && list.cases == cases && list.format.name == format.name
        };
        let known = sources_in_use().into_iter().find(is_same);
        if let Some(source) = known {
            source.list.look();
            // A list with errors makes the new configuration invalid, as it prevents a start.
            let view = source.list.view();
            return match view.trouble {
                Some(Trouble { kind: TroubleKind::Broken, why }) => Err(vec![why.to_string()]),
                Some(Trouble { kind: TroubleKind::Gone, why }) if view.stamp().is_none() => {
                    Err(vec![why.to_string()])
                }
                _ => Ok((source, false)),
            };
        }
        let source = Arc::new(FileSource::open(name, path, cases, format)?);
        let mut lists = lock(&LISTS);
        lists.retain(|list| list.strong_count() > 0);
        lists.push(Arc::downgrade(&source));
        Ok((source, true))
    }

    /// Reads the list, which must be readable and without errors, and starts to watch it.
    fn open(
        name: Arc<str>,
        path: &Path,
        cases: CaseSensitivity,
        format: &'static Format,
    ) -> Result<Self, Vec<String>> {
        let list = Arc::new(Watched::new(name, path, cases, format));
        let looking = lock(&list.looking);
        // Watch first, then read, so that no change is missed.
        list.file.tend();
        let events = list.file.heard().events;
        let quiet = list.file.compare(None) == Condition::Ready;
        let view = match list.read() {
            Ok((accounts, stamp, digest)) => {
                let read = Some(AsRead { stamp: Some(stamp), events, digest: Some(digest) });
                View { list: Arc::new(accounts), trouble: None, read, settled: true }
            }
            Err(Unusable::Gone { why, stamp: Some(stamp) }) => {
                // An empty list is not an error, since a new site has no accounts, but it does not make
                // accounts "not found".
                observe::source_file_unreadable(&list.name, list.file.path(), &why);
                let trouble = Some(Trouble { kind: TroubleKind::Gone, why: why.into() });
                let read = Some(AsRead { stamp: Some(stamp), events, digest: None });
                View { list: Arc::default(), trouble, read, settled: true }
            }
            Err(Unusable::Changing) => View::default(),
            Err(Unusable::Gone { why, stamp: None }) => return Err(vec![why]),
            Err(Unusable::Broken { problems, .. }) => return Err(problems),
        };
        // If the list may be half written, listed accounts exist, but others are a temporary failure.
        list.show(if quiet { view } else { View { read: None, settled: false, ..view } });
        drop(looking);
        Ok(FileSource { list, look: Mutex::default() })
    }

    /// Waits until a recently written list is old enough, so that the first results are definite if rcptd is
    /// started right after the list is written. The wait is limited, since a list may be written for hours.
    async fn settle(&self) {
        let end = Instant::now() + QUIET + SETTLE;
        while !self.list.is_settled() && Instant::now() < end {
            tokio::time::sleep(SETTLE).await;
            let list = self.list.clone();
            let _ = tokio::task::spawn_blocking(move || list.look()).await;
        }
    }

    /// Starts the task that checks the file on each event, and at intervals.
    fn keep_looking(&self) {
        let list = self.list.clone();
        list.file.wake(&list.wake);
        let task = tokio::spawn(async move {
            // The file may have been written a moment before it was opened.
            let mut next = QUIET;
            loop {
                // A timeout is not an error: it is time for a check without an event.
                let _ = timeout(next, watch::something(&list.wake)).await;
                let list = list.clone();
                // If the task fails, the next check may succeed.
                next = tokio::task::spawn_blocking(move || list.look()).await.unwrap_or(QUIET);
            }
        });
        *lock(&self.look) = Some(task.abort_handle());
    }
}

impl Source<Address, Verification> for FileSource {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        let list = &self.list;
        let basis = list.file.revision().basis();
        let (view, settled) = (list.view(), list.is_settled());
        let verdict = match (&view.trouble, view.list.has(account, &list.cases)) {
            (Some(Trouble { kind: TroubleKind::Gone, why }), _) => Lookup::TempFail(Reason::new(why.clone())),
            (_, true) => Lookup::Found(()),
            (Some(trouble), false) => Lookup::TempFail(Reason::new(trouble.why.clone())),
            (None, false) if view.list.is_elsewhere(account) => Lookup::temp_fail(format!(
                "the list has {} at another domain only: mail servers use such a name in all of their domains; \
                 remove its domain",
                account.local()
            )),
            (None, false) if settled => Lookup::NotFound,
            (None, false) => Lookup::TempFail(Reason::new("the list is being written")),
        };
        let answer = Verification::new(verdict, &list.name).depending_on(&basis);
        Box::pin(std::future::ready(answer))
    }
}

/// The result of reading the file.
#[derive(Clone, Debug, Default)]
struct View {
    /// The last valid list.
    list: Arc<List>,
    trouble: Option<Trouble>,
    /// The state of the file when it was read.
    read: Option<AsRead>,
    /// Whether the file looked finished at that time.
    settled: bool,
}

impl View {
    fn stamp(&self) -> Option<Stamp> {
        self.read.and_then(|read| read.stamp)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    kind: TroubleKind,
    why: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TroubleKind {
    /// The list has errors.
    Broken,
    /// The list has lost most of its accounts.
    Shrunk,
    /// The list has been written for a long time.
    Writing,
    /// The list does not exist or is empty.
    Gone,
}

/// The reason why a list cannot be used.
enum Unusable {
    /// The file cannot be read, or lists no accounts.
    Gone { why: String, stamp: Option<Stamp> },
    /// The list has errors.
    Broken { problems: Vec<String>, stamp: Stamp },
    /// The list changed while it was read.
    Changing,
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    cases: CaseSensitivity,
    format: &'static Format,
    file: Arc<WatchedFile>,
    view: Mutex<View>,
    /// Locked from reading the file until its view is published, so that an older view does not replace a
    /// newer one.
    looking: Mutex<()>,
    /// Notified when something happens to the file or its directory.
    wake: Arc<Notify>,
}

/// The view after a list that cannot be used. It keeps the last valid list.
fn broken(old: &View, kind: TroubleKind, why: &str, read: Option<AsRead>) -> View {
    let trouble = Some(Trouble { kind, why: why.into() });
    View { list: old.list.clone(), trouble, read, settled: true }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    fn new(name: Arc<str>, path: &Path, cases: CaseSensitivity, format: &'static Format) -> Self {
        let (view, looking, wake) = Default::default();
        Watched { name, cases, format, file: WatchedFile::of(path), view, looking, wake }
    }

    fn view(&self) -> View {
        lock(&self.view).clone()
    }

    /// Whether the view is one of a finished file, without events since.
    fn is_settled(&self) -> bool {
        let view = lock(&self.view);
        view.settled && view.read.is_some_and(|read| read.events == self.file.heard().events)
    }

    fn show(&self, view: View) {
        self.file.set_trouble(view.trouble.as_ref().map(|trouble| &*trouble.why));
        *lock(&self.view) = view;
        self.file.revision().bump();
    }

    /// Replaces the view `old`, and then logs what has changed. So a change is in effect when its log line appears.
    fn replace(&self, old: &View, view: &View) {
        self.show(view.clone());
        match &view.trouble {
            None if old.stamp() != view.stamp() => {
                observe::source_file_reloaded(&self.name, self.file.path(), view.list.len());
            }
            Some(Trouble { kind, why }) if view.trouble != old.trouble => match kind {
                TroubleKind::Gone => observe::source_file_unreadable(&self.name, self.file.path(), why),
                _ => observe::source_file_broken(&self.name, self.file.path(), why),
            },
            _ => (),
        }
    }

    /// Reads the list again if it has changed and is finished. Returns the time until the next check, which
    /// happens even without events.
    fn look(&self) -> Duration {
        let _looking = lock(&self.looking);
        self.file.tend();
        let accepted = self.file.take_accepted();
        let old = self.view();
        let shrunk = old.trouble.as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::Shrunk);
        let events = self.file.heard().events;
        match self.file.compare(old.read.as_ref()) {
            Condition::Unchanged if !(accepted && shrunk) => return self.file.look_interval(),
            Condition::Unchanged | Condition::Ready => (),
            Condition::Touched(read) => {
                self.show(View { read: Some(read), settled: true, ..old });
                return self.file.look_interval();
            }
            Condition::Young => {
                self.show(View { settled: false, ..old });
                return QUIET;
            }
            Condition::Writing(since) => {
                // No need to poll: closing the file raises an event.
                if since >= LONG {
                    let why = "the list is still being written";
                    let view = broken(&old, TroubleKind::Writing, why, old.read);
                    self.replace(&old, &View { settled: false, ..view });
                }
                return self.file.look_interval();
            }
        }
        self.reread(old, events, accepted)
    }

    /// Reads the file again, which may have changed since `old`. `accepted`: a shrunk list is meant.
    fn reread(&self, old: View, events: u64, accepted: bool) -> Duration {
        let read = |stamp, digest| Some(AsRead { stamp, events, digest });
        let view = match self.read() {
            Ok((list, stamp, digest)) if has_shrunk(old.list.len(), list.len()) && !accepted => {
                let (before, now) = (old.list.len(), list.len());
                let why = format!(
                    "the list has shrunk from {before} accounts to {now}; if this is intended, send SIGHUP"
                );
                broken(&old, TroubleKind::Shrunk, &why, read(Some(stamp), Some(digest)))
            }
            Ok((list, stamp, digest)) => View {
                list: Arc::new(list),
                trouble: None,
                read: read(Some(stamp), Some(digest)),
                settled: true,
            },
            Err(Unusable::Broken { problems, stamp }) => {
                let why = problems.first().map_or("", String::as_str);
                broken(&old, TroubleKind::Broken, why, read(Some(stamp), None))
            }
            Err(Unusable::Gone { why, stamp }) => broken(&old, TroubleKind::Gone, &why, read(stamp, None)),
            Err(Unusable::Changing) => {
                self.show(View { settled: false, ..old });
                return QUIET;
            }
        };
        self.replace(&old, &view);
        self.file.look_interval()
    }

    fn read(&self) -> Result<(List, Stamp, u64), Unusable> {
        let gone =
            |error: io::Error| Unusable::Gone { why: format!("cannot read the list: {error}"), stamp: None };
        let path = self.file.path();
        // Check before opening: opening a FIFO would wait for a writer, and opening a device may have side
        // effects.
        if !fs::metadata(path).map_err(gone)?.is_file() {
            return Err(gone(io::Error::other("not a file")));
        }
        let mut file = File::open(path).map_err(gone)?;
        let stamp = Stamp::of(&file.metadata().map_err(gone)?);
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(gone)?;
        if Stamp::of(&file.metadata().map_err(gone)?) != stamp {
            return Err(Unusable::Changing);
        }
        let digest = watch::digest(&bytes);
        match (self.format.parse)(&path.to_string_lossy(), bytes, &self.cases) {
            Err(problems) => Err(Unusable::Broken { problems, stamp }),
            Ok(list) if list.len() == 0 => {
                Err(Unusable::Gone { why: "the list names no account".into(), stamp: Some(stamp) })
            }
            Ok(list) => {
                if list.not_followed > 0 {
                    observe::source_file_not_followed(&self.name, path, list.not_followed);
                }
                Ok((list, stamp, digest))
            }
        }
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
