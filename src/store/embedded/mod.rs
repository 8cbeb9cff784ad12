//! A store in one file, for one rcptd: a B-tree of crate redb, which survives a crash at any time.
//!
//! | module | contents |
//! | --- | --- |
//! | `changes` | what is not in the file yet |
//! | `file` | the file: open, read, commit, expire, evict |
//!
//! A disk may be slow, full, or hang. So neither reads nor writes are done by the threads that answer mail servers: one
//! thread reads, for all who wait at the same time; another one commits changes once in [`FLUSH`]. A crash loses at most
//! the changes since then. While commits fail, changes stay in memory, up to [`MAX_CHANGES`].

mod changes;
mod file;
#[cfg(test)]
mod tests;

use self::changes::{Changes, Held};
use self::file::File;
use super::{Page, Store};
use crate::lookup::{Lookup, LookupFuture, Reason};
use crate::observe::outage::Outage;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long changes are collected before they are committed: what a crash may lose.
pub const FLUSH: Duration = Duration::from_secs(1);
/// Number of changes that are committed before [`FLUSH`] has passed, so that a commit stays short.
const FLUSH_AT: usize = 20_000;
/// Most changes in memory, about 20 MB. More are an error: the disk is full or hangs.
pub const MAX_CHANGES: usize = 200_000;
/// Most requests that wait for the thread that reads. More are an error: the disk hangs.
const MAX_WAITING: usize = 10_000;
/// Most requests that are read with one view of the file.
const BATCH: usize = 256;
/// Pauses after a commit that failed, from the first one to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Settings of a file.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most entries in the file. At the limit, those nearest to their expiry go first.
    pub max_entries: u64,
    /// Returns the time in seconds since 1970.
    pub clock: fn() -> u64,
}

/// A store in a file. Dropping it commits the changes, and waits until that is done.
pub struct Embedded {
    shared: Arc<Shared>,
    reads: Option<SyncSender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    file: File,
    settings: Settings,
    changes: Mutex<Changes>,
    /// Wakes the thread that commits.
    wake: Condvar,
    outage: Arc<Outage>,
}

/// A request to the thread that reads.
enum Read {
    Texts(Vec<Box<str>>, oneshot::Sender<Result<Vec<Option<String>>, String>>),
    Page(Box<str>, Box<str>, oneshot::Sender<Result<Page, String>>),
}

impl Embedded {
    /// Opens the file, or creates it for its owner only. A file that is damaged, or of another version, is moved aside,
    /// and its new name is returned, too: what it has is less important than that mail is accepted. This waits for the
    /// disk.
    ///
    /// # Errors
    /// A sentence with the remedy: the folder does not exist, the file belongs to another user or is in use.
    pub fn open(
        path: &Path,
        settings: Settings,
        outage: Arc<Outage>,
    ) -> Result<(Self, Option<String>), String> {
        let (file, moved) = File::open(path)?;
        let (changes, wake) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { file, settings, changes, wake, outage });
        let (reads, waiting) = sync_channel(MAX_WAITING);
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.into()).spawn(run);
            thread.map_err(|error| format!("cannot start a thread: {error}"))
        };
        let (reader, writer) = (shared.clone(), shared.clone());
        let threads = vec![
            start("store-read", Box::new(move || reader.serve(&waiting)))?,
            start("store-write", Box::new(move || writer.commit_changes()))?,
        ];
        Ok((Embedded { shared, reads: Some(reads), threads }, moved))
    }

    /// Number of entries in the file, including those that have expired and are still there.
    pub fn len(&self) -> Result<u64, String> {
        self.shared.file.len()
    }

    /// Whether the file has no entries.
    pub fn is_empty(&self) -> Result<bool, String> {
        self.len().map(|len| len == 0)
    }

    fn ask<T>(&self, read: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Read) -> Asked<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.reads.as_ref().is_some_and(|reads| reads.try_send(read(reply)).is_ok());
        Asked(sent.then_some(answer))
    }

    /// Reads texts; those that have changed since the last commit come from memory.
    async fn texts(&self, keys: &[&str]) -> Result<Vec<Option<String>>, String> {
        let now = (self.shared.settings.clock)();
        let mut texts = vec![None; keys.len()];
        let (mut rest, mut places) = (Vec::new(), Vec::new());
        {
            let changes = self.shared.changes();
            for (at, key) in keys.iter().enumerate() {
                match changes.get(key, now) {
                    Held::Text(text) => texts[at] = Some(text.to_owned()),
                    Held::Nothing => (),
                    Held::Unchanged => {
                        rest.push(Box::from(*key));
                        places.push(at);
                    }
                }
            }
        }
        if !rest.is_empty() {
            let found = self.ask(|reply| Read::Texts(rest, reply)).answer().await?;
            for (at, text) in places.into_iter().zip(found) {
                texts[at] = text;
            }
        }
        Ok(texts)
    }

    fn put(&self, key: &str, text: Option<(&str, Duration)>) -> Result<(), String> {
        let now = (self.shared.settings.clock)();
        let is_many = self.shared.changes().put(key, text.map(|(text, ttl)| (text, expiry(now, ttl))))?;
        if is_many {
            self.shared.wake.notify_one();
        }
        Ok(())
    }
}

/// When what is written now expires, in seconds since 1970.
fn expiry(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(ttl.as_secs().max(1))
}

/// An answer of the thread that reads; `None`: too many wait.
struct Asked<T>(Option<oneshot::Receiver<Result<T, String>>>);

impl<T> Asked<T> {
    async fn answer(self) -> Result<T, String> {
        let Some(answer) = self.0 else {
            return Err("the disk does not answer: too many reads wait for it".into());
        };
        answer.await.unwrap_or_else(|_| Err("the store is closed".into()))
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            match self.texts(&[key]).await {
                Ok(mut texts) => texts.pop().flatten().map_or(Lookup::NotFound, Lookup::Found),
                Err(why) => Lookup::temp_fail(why),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a str, text: &'a str, ttl: Duration) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(self.put(key, Some((text, ttl)))))
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        ttl: Duration,
    ) -> LookupFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let now = (self.shared.settings.clock)();
            loop {
                let commits = self.shared.changes().commits();
                if self.texts(&[key]).await?.pop().flatten().is_some() {
                    return Ok(false);
                }
                let added = self.shared.changes().add(key, (text, expiry(now, ttl)), now, commits)?;
                // Otherwise the file has changed since it was read, and may have the key.
                if let Some(added) = added {
                    return Ok(added);
                }
            }
        })
    }

    fn get_all<'a>(&'a self, keys: &'a [&'a str]) -> LookupFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(self.texts(keys))
    }

    fn remove<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(self.put(key, None)))
    }

    /// The keys in the file; what is not committed yet is left out. The cursor is the last key of the page before.
    fn page<'a>(&'a self, prefix: &'a str, cursor: &'a str) -> LookupFuture<'a, Result<Page, String>> {
        Box::pin(
            async move { self.ask(|reply| Read::Page(prefix.into(), cursor.into(), reply)).answer().await },
        )
    }

    fn flush(&self) -> LookupFuture<'_, Result<(), String>> {
        Box::pin(async move {
            loop {
                {
                    let mut changes = self.shared.changes();
                    if let Some(why) = changes.failure() {
                        return Err(why.to_owned());
                    }
                    if changes.is_empty() {
                        return Ok(());
                    }
                    changes.hurry();
                }
                self.shared.wake.notify_one();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }
}

impl Shared {
    /// Locks the changes. A thread that panicked while it held the lock did no harm.
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads for all who wait, until nobody can ask any more.
    fn serve(&self, waiting: &Receiver<Read>) {
        while let Ok(first) = waiting.recv() {
            // The view comes after the requests: they must see what was committed before they were sent.
            let reads: Vec<Read> = std::iter::once(first).chain(waiting.try_iter().take(BATCH)).collect();
            let view = self.file.view();
            let now = (self.settings.clock)();
            for read in reads {
                // The receiver may have given up.
                match read {
                    Read::Texts(keys, reply) => {
                        let texts =
                            view.as_ref().map_err(Clone::clone).and_then(|view| view.texts(&keys, now));
                        let _ = reply.send(texts);
                    }
                    Read::Page(prefix, cursor, reply) => {
                        let page = view
                            .as_ref()
                            .map_err(Clone::clone)
                            .and_then(|view| view.page(&prefix, &cursor, now));
                        let _ = reply.send(page);
                    }
                }
            }
        }
    }

    /// Commits changes until the store is closed.
    fn commit_changes(&self) {
        let mut pause = Duration::ZERO;
        let mut cleaner = file::Cleaner::default();
        loop {
            let closed = self.wait(pause);
            let now = (self.settings.clock)();
            let batch = self.changes().take();
            let committed = self.file.commit(batch.as_deref(), &mut cleaner, now, self.settings.max_entries);
            drop(batch);
            match committed {
                Ok(()) => {
                    self.changes().committed();
                    self.outage.works();
                    pause = Duration::ZERO;
                }
                Err(why) => {
                    self.changes().failed(&why);
                    self.outage.fails(&Reason::new(why));
                    pause = (pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
                }
            }
            if closed && (pause > Duration::ZERO || self.changes().is_empty()) {
                return;
            }
        }
    }

    /// Waits for the time of the next commit, at least for `pause`. Returns whether the store is closed.
    fn wait(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause.max(FLUSH);
        let mut changes = self.changes();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if changes.is_closed() || (changes.is_urgent() && pause.is_zero()) || left.is_zero() {
                return changes.is_closed();
            }
            let waited = self.wake.wait_timeout(changes, left);
            changes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.changes().close();
        self.shared.wake.notify_one();
        // The thread that reads ends when nobody can ask.
        self.reads = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.file.fmt(f)
    }
}
