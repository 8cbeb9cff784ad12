//! The file of the embedded store.

use super::changes::{Batch, Change};
use crate::store::{PAGE, Page};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageError, Table, TableDefinition, TableError,
};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Key to expiry (4 octets, seconds since 1970, big-endian) and text.
const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");
/// Memory for pages of the file, in octets; the page cache of the system has more.
const CACHE: usize = 32 << 20;
/// The whole file is searched for expired entries once in this number of commits: about an hour.
const ROUND: u64 = 3600;
/// Fewest and most entries that are searched after a commit, so that it stays short.
const SLICE: (u64, u64) = (500, 20_000);
/// Most kinds of entries; each is looked for when one has to go.
const MAX_KINDS: usize = 8;
/// Number of neighbours that are looked at when one has to go.
const OF_EACH: usize = 8;
/// Most entries that are evicted with one commit, so that it stays short after the limit was lowered. More than are
/// written with one commit.
const MAX_EVICTED: usize = 50_000;
/// Places without an entry to evict after which any entry goes. So an eviction takes a bounded time.
const TRIES: usize = 200;

/// The file.
pub(super) struct File {
    path: PathBuf,
    /// `None` after a failure, until it is opened again: after an error of the disk, redb does nothing any more.
    database: RwLock<Option<Database>>,
}

/// A view of the file at one time.
pub(super) struct View {
    table: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

/// Where the search for expired entries goes on.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    after: Vec<u8>,
    random: RandomState,
    count: u64,
}

impl File {
    /// Opens the file, or creates it. A file that cannot be used is moved aside; its new name is returned, too.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), String> {
        let (database, moved) = File::open_or_move(path)?;
        Ok((File { path: path.to_owned(), database: RwLock::new(Some(database)) }, moved))
    }

    fn open_or_move(path: &Path) -> Result<(Database, Option<String>), String> {
        let name = path.display();
        let why = match File::try_open(path)? {
            Ok(database) => return Ok((database, None)),
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(format!("{name} is in use by another process: give each rcptd its own file"));
            }
            Err(why @ DatabaseError::Storage(StorageError::Io(_))) if !is_damage(&why) => {
                return Err(format!("{name} cannot be used: {why}"));
            }
            Err(why) => why,
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let aside = format!("{name}.broken-{since}");
        fs::rename(path, &aside)
            .map_err(|error| format!("{name} is damaged ({why}), and cannot be renamed: {error}"))?;
        match File::try_open(path)? {
            Ok(database) => Ok((database, Some(format!("{name} is damaged ({why}): moved to {aside}")))),
            Err(error) => Err(format!("{name} cannot be created: {error}")),
        }
    }

    fn try_open(path: &Path) -> Result<Result<Database, DatabaseError>, String> {
        let name = path.display();
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "create its folder",
                io::ErrorKind::PermissionDenied => "let the user of rcptd write in its folder",
                _ => "check its disk",
            };
            format!("{name} cannot be opened: {error}: {remedy}")
        })?;
        let backend = FileBackend::new(file);
        Ok(backend.and_then(|backend| Builder::new().set_cache_size(CACHE).create_with_backend(backend)))
    }

    /// A view of the file as it is now.
    pub fn view(&self) -> Result<View, String> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.failed(&"it is closed after an error"))?;
        let read = database.begin_read().map_err(|error| self.failed(&error))?;
        match read.open_table(ENTRIES) {
            Ok(table) => Ok(View { table: Some(table) }),
            Err(TableError::TableDoesNotExist(_)) => Ok(View { table: None }),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> Result<u64, String> {
        let view = self.view()?;
        view.table.as_ref().map_or(Ok(0), |table| table.len().map_err(|error| self.failed(&error)))
    }

    /// Commits changes, removes some entries that have expired, and those above the limit.
    pub fn commit(
        &self,
        batch: Option<&Batch>,
        cleaner: &mut Cleaner,
        now: u64,
        max_entries: u64,
    ) -> Result<(), String> {
        self.open_again()?;
        let done = self.clean_and_write(batch, cleaner, now, max_entries);
        if done.is_err() {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    /// Opens the file again after an error. A file that is damaged is moved aside.
    fn open_again(&self) -> Result<(), String> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(File::open_or_move(&self.path)?.0);
        }
        Ok(())
    }

    fn clean_and_write(
        &self,
        batch: Option<&Batch>,
        cleaner: &mut Cleaner,
        now: u64,
        max_entries: u64,
    ) -> Result<(), String> {
        let expired = cleaner.expired(&self.view()?, now).map_err(|error| self.failed(&error))?;
        if batch.is_none() && expired.is_empty() {
            return Ok(());
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.failed(&"it is closed after an error"))?;
        write(database, batch, &expired, cleaner, max_entries).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &dyn fmt::Display) -> String {
        format!("{}: {error}", self.path.display())
    }
}

/// Writes changes in one transaction.
fn write(
    database: &Database,
    batch: Option<&Batch>,
    expired: &[Vec<u8>],
    cleaner: &mut Cleaner,
    max_entries: u64,
) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    // After a crash the file opens at once, whatever its size.
    write.set_quick_repair(true);
    {
        let mut table = write.open_table(ENTRIES)?;
        for key in expired {
            table.remove(key.as_slice())?;
        }
        if let Some(batch) = batch {
            // In the order of the file, neighbours are in one page.
            let mut changes: Vec<(&str, &Change)> =
                batch.iter().map(|(key, change)| (&**key, change)).collect();
            changes.sort_unstable_by_key(|(key, _)| *key);
            for (key, change) in changes {
                match change {
                    Some((text, expiry)) => {
                        table.insert(key.as_bytes(), value(text, *expiry).as_slice())?;
                    }
                    None => {
                        table.remove(key.as_bytes())?;
                    }
                }
            }
        }
        cleaner.evict(&mut table, max_entries)?;
    }
    write.commit()?;
    Ok(())
}

/// Whether the contents of a file are wrong, and not the disk.
fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => true,
    }
}

impl View {
    /// The texts of keys that have not expired.
    pub fn texts(&self, keys: &[Box<str>], now: u64) -> Result<Vec<Option<String>>, String> {
        let Some(table) = &self.table else { return Ok(vec![None; keys.len()]) };
        let read = |key: &str| {
            let found = table.get(key.as_bytes()).map_err(|error| error.to_string())?;
            Ok(found.and_then(|found| text(found.value(), now).map(str::to_owned)))
        };
        keys.iter().map(|key| read(key)).collect()
    }

    /// The keys with `prefix` that follow `after`.
    pub fn page(&self, prefix: &str, after: &str, now: u64) -> Result<Page, String> {
        let mut page = Page { keys: Vec::new(), next: None };
        let Some(table) = &self.table else { return Ok(page) };
        let from = if after.is_empty() { prefix } else { after };
        for entry in table.range(from.as_bytes()..).map_err(|error| error.to_string())? {
            let (key, found) = entry.map_err(|error| error.to_string())?;
            let Ok(key) = std::str::from_utf8(key.value()) else { continue };
            if !key.starts_with(prefix) {
                return Ok(page);
            }
            if key == after || text(found.value(), now).is_none() {
                continue;
            }
            page.keys.push(key.to_owned());
            if page.keys.len() == PAGE {
                page.next = Some(key.to_owned());
                return Ok(page);
            }
        }
        Ok(page)
    }
}

impl Cleaner {
    /// The next part of the file: its keys that have expired.
    fn expired(&mut self, view: &View, now: u64) -> Result<Vec<Vec<u8>>, StorageError> {
        let Some(table) = &view.table else { return Ok(Vec::new()) };
        let most = (table.len()? / ROUND).clamp(SLICE.0, SLICE.1);
        let (mut expired, mut seen, mut last) = (Vec::new(), 0, Vec::new());
        for entry in table.range(self.after.as_slice()..)? {
            let (key, found) = entry?;
            if seen == most {
                last = key.value().to_vec();
                break;
            }
            seen += 1;
            if text(found.value(), now).is_none() {
                expired.push(key.value().to_vec());
            }
        }
        // At the end it begins again.
        self.after = last;
        Ok(expired)
    }

    /// Removes entries of a full file, down to the limit: from random places, those whose expiry is in the nearer half of
    /// what was seen. So entries that passed stay while there are others, which expire far earlier. After [`TRIES`]
    /// places without such entries, any go.
    fn evict(&mut self, table: &mut Table<'_, &[u8], &[u8]>, max_entries: u64) -> Result<(), redb::Error> {
        let (mut nearest, mut farthest, mut tries, mut evicted) = (u64::MAX, 0, 0, 0);
        while table.len()? > max_entries && evicted < MAX_EVICTED {
            let mut found = Vec::new();
            for entry in table.range(self.place(table)?.as_slice()..)?.take(OF_EACH) {
                let (key, value) = entry?;
                found.push((expires(value.value()), key.value().to_vec()));
            }
            for (expires, _) in &found {
                (nearest, farthest) = (nearest.min(*expires), farthest.max(*expires));
            }
            tries += 1;
            let most = if tries > TRIES { u64::MAX } else { nearest / 2 + farthest / 2 };
            let near = found.into_iter().filter(|(expires, _)| *expires <= most);
            let above = usize::try_from(table.len()? - max_entries).unwrap_or(usize::MAX);
            for (_, key) in near.take(above) {
                table.remove(key.as_slice())?;
                (tries, evicted) = (0, evicted + 1);
            }
        }
        Ok(())
    }

    /// A random place between the first and the last key.
    fn place(&mut self, table: &Table<'_, &[u8], &[u8]>) -> Result<Vec<u8>, StorageError> {
        self.count += 1;
        let random = self.random.hash_one(self.count);
        // The first octet is the kind of the entry, the others are a digest in base 64: letters from - to z.
        let mut kinds = Vec::new();
        let mut next = vec![0];
        while let Some(entry) = table.range(next.as_slice()..)?.next() {
            let Some(kind) = entry?.0.value().first().copied() else { break };
            kinds.push(kind);
            match kind.checked_add(1).filter(|_| kinds.len() < MAX_KINDS) {
                Some(kind) => next = vec![kind],
                None => break,
            }
        }
        let at = usize::try_from(random >> 56).unwrap_or(0) % kinds.len().max(1);
        let digit = |at: u32| b'-' + u8::try_from((random >> (8 * at)) & 0xff).unwrap_or(0) % 78;
        Ok(vec![kinds.get(at).copied().unwrap_or(0), digit(0), digit(1), digit(2)])
    }
}

/// The octets of a text with its expiry.
fn value(text: &str, expires: u64) -> Vec<u8> {
    let expires = u32::try_from(expires).unwrap_or(u32::MAX);
    [&expires.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The expiry of an entry, see [`value`]; that of one that cannot be read has passed.
fn expires(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets).into())
}

/// The text of an entry that has not expired.
fn text(value: &[u8], now: u64) -> Option<&str> {
    let text = std::str::from_utf8(value.get(4..)?).ok()?;
    (now < expires(value)).then_some(text)
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.path.display())
    }
}
