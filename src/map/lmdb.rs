//! LMDB files as postmap(1) writes them (lmdb_table(5)).
//!
//! They are read with plain reads, not with the LMDB library, which maps files into memory: if another
//! program damages or truncates a mapped file, the process is killed, so no interface of the library is safe.
//! This reader looks up one key in the main database of a file in the format of LMDB 0.9, and checks every
//! number of each page. LMDB does not overwrite pages of the two newest snapshots. So if the snapshot is
//! still the newest one at the end of a search, the search has read that snapshot only.
//!
//! The file is opened for every lookup. It may be replaced or updated at any time, and each result comes from
//! the current file.

use super::source::lmdb_file;
use super::value::found;
use super::{Lookup, LookupFuture, MAX_VALUE, Source, Table};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Maximum number of concurrent reads of a file, each in its own thread: a disk that hangs must not use up
/// all threads for blocking calls (tokio's limit is 512).
const READERS: usize = 16;
/// Maximum number of searches if the file is updated meanwhile. An update takes milliseconds, a search
/// microseconds.
const WALKS: usize = 10;
/// Maximum number of pages from the root to a leaf (`CURSOR_STACK` of LMDB). A longer path means that pages
/// form a cycle.
const MAX_DEPTH: usize = 32;

/// Magic number at the beginning of a file, and version of the format.
const MAGIC: u64 = 0xBEEF_C0DE;
const VERSION: u64 = 1;
/// Octets of a page number. A file can only be read on hosts with the same word size and byte order.
const WORD: usize = size_of::<usize>();
/// A page header: page number, two octets of padding, kind, beginning and end of the free space.
const KIND: usize = WORD + 2;
const LOWER: usize = WORD + 4;
const UPPER: usize = WORD + 6;
const PAGE_HEADER: usize = WORD + 8;
/// A node header: length of the data or page number of the child, flags, length of the key.
const NODE_HEADER: usize = 8;
/// A database record: a number, flags, depth, and five words, the last of which is the root page.
const DATABASE: usize = 8 + 5 * WORD;
/// The meta page after its page header: magic number, version, an address, size of the map, two databases (of
/// free pages, and the main one), last page, number of the snapshot.
const META: usize = 8 + 2 * WORD + 2 * DATABASE + 2 * WORD;
const DATABASES: usize = 8 + 2 * WORD;

/// Kinds of pages. The other bits are internal to LMDB.
const BRANCH: usize = 0x01;
const LEAF: usize = 0x02;
const OVERFLOW: usize = 0x04;
const META_PAGE: usize = 0x08;
const KINDS: usize = 0x6f;
/// The flag of a node whose data is on overflow pages. A node with any other flag is not a plain value.
const BIG_DATA: usize = 0x01;
/// The root page of an empty database.
const NO_PAGE: u64 = if WORD == 8 { u64::MAX } else { 0xFFFF_FFFF };

#[derive(Debug)]
struct Lmdb {
    path: PathBuf,
    readers: Arc<Semaphore>,
}

/// Opens the file of `lmdb:path` (see [`lmdb_file`]). The error is a sentence with the remedy.
pub fn open(path: &Path) -> Result<Arc<Table>, String> {
    let path = lmdb_file(path);
    let file = File::open(&path).map_err(|error| {
        format!(
            "cannot open {}: {error}: create it with postmap lmdb:{}",
            path.display(),
            source(&path).display()
        )
    })?;
    newest(&file).map_err(|why| {
        format!("{}: {why}: create it with postmap lmdb:{}", path.display(), source(&path).display())
    })?;
    Ok(Arc::new(Lmdb { path, readers: Arc::new(Semaphore::new(READERS)) }))
}

/// The text file from which the LMDB file was made.
fn source(path: &Path) -> PathBuf {
    path.with_extension("")
}

impl Source<str, Lookup<String>> for Lmdb {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let unknown =
                |why: &dyn std::fmt::Display| Lookup::temp_fail(format!("{}: {why}", self.path.display()));
            // Held by the reading thread, which continues if the caller times out.
            let permit = match self.readers.clone().acquire_owned().await {
                Ok(permit) => permit,
                Err(error) => return unknown(&error),
            };
            let (path, key) = (self.path.clone(), key.to_owned());
            let reading = spawn_blocking(move || {
                let _permit = permit;
                look_up(&path, &key)
            });
            match reading.await {
                Ok(Ok(Lookup::TempFail(why))) => unknown(&why),
                Ok(Ok(answer)) => answer,
                Ok(Err(why)) => unknown(&why),
                Err(error) => unknown(&error),
            }
        })
    }
}

/// Looks up a key like Postfix: keys and values may be stored with or without a trailing NUL.
fn look_up(path: &Path, key: &str) -> Result<Lookup<String>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut tries = vec![[key.as_bytes(), b"\0"].concat()];
    if !key.ends_with('\0') {
        tries.push(key.into());
    }
    for _ in 0..WALKS {
        let snapshot = newest(&file)?;
        let walk = || {
            for key in &tries {
                if let Some(mut value) = find(&file, &snapshot, key)? {
                    if value.last() == Some(&0) {
                        value.pop();
                    }
                    return Ok(found(value));
                }
            }
            Ok(Lookup::NotFound)
        };
        let answer = walk();
        if newest(&file)? == snapshot {
            return answer;
        }
    }
    Err("it is being updated continuously".into())
}

/// The state of the database at one time.
#[derive(PartialEq, Eq)]
struct Snapshot {
    page_size: usize,
    root: u64,
    last_page: u64,
    number: u64,
}

/// The newest snapshot: a file begins with two, and the one with the higher number is newer.
fn newest(file: &File) -> Result<Snapshot, String> {
    let first = snapshot(file, 0)?;
    let second = snapshot(file, first.page_size)?;
    if first.page_size != second.page_size {
        return Err(damaged("pages of two sizes"));
    }
    Ok(if second.number > first.number { second } else { first })
}

fn snapshot(file: &File, at: usize) -> Result<Snapshot, String> {
    let mut bytes = vec![0; PAGE_HEADER + META];
    file.read_exact_at(&mut bytes, at as u64).map_err(|error| error.to_string())?;
    let meta = bytes.get(PAGE_HEADER..).unwrap_or_default();
    if half(&bytes, KIND)? & KINDS != META_PAGE || number(meta, 0, 4)? != MAGIC {
        return Err("this is not an LMDB file of this kind of machine".into());
    }
    let version = number(meta, 4, 4)?;
    if version != VERSION {
        return Err(format!("its format has version {version}, but rcptd supports version {VERSION}"));
    }
    // The size of pages is stored in place of the key size of the first database.
    let page_size = usize::try_from(number(meta, DATABASES, 4)?).unwrap_or(0);
    if !page_size.is_power_of_two() || !(512..=32_768).contains(&page_size) {
        return Err(damaged("the size of its pages"));
    }
    let main = DATABASES + DATABASE;
    if half(meta, main + 4)? != 0 {
        return Err("its keys are not in the order that postmap gives them".into());
    }
    Ok(Snapshot {
        page_size,
        root: number(meta, main + 8 + 4 * WORD, WORD)?,
        last_page: number(meta, DATABASES + 2 * DATABASE, WORD)?,
        number: number(meta, DATABASES + 2 * DATABASE + WORD, WORD)?,
    })
}

/// Returns the data of a key.
fn find(file: &File, snapshot: &Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut page = snapshot.root;
    if page == NO_PAGE {
        return Ok(None);
    }
    for _ in 0..MAX_DEPTH {
        let bytes = read(file, snapshot, page, snapshot.page_size)?;
        let nodes = nodes(&bytes)?;
        match half(&bytes, KIND)? & KINDS {
            BRANCH => {
                // A node leads to the keys from its own up to that of the next; the first node has no key.
                let node =
                    nodes.iter().rev().find(|node| node.key <= key).ok_or_else(|| damaged("a branch"))?;
                page = node.page;
            }
            LEAF => {
                let Some(node) = nodes.iter().find(|node| node.key == key) else { return Ok(None) };
                return data(file, snapshot, &bytes, node).map(Some);
            }
            _ => return Err(damaged("a page of another kind")),
        }
    }
    Err(damaged("a branch that does not end"))
}

/// One node of a page.
struct Node<'p> {
    key: &'p [u8],
    flags: usize,
    /// For a leaf: offset and length of the data.
    data: usize,
    length: usize,
    /// For a branch: the page number of the child.
    page: u64,
}

/// Reads and checks all nodes of a page.
fn nodes(page: &[u8]) -> Result<Vec<Node<'_>>, String> {
    let is_branch = half(page, KIND)? & KINDS == BRANCH;
    let (lower, upper) = (half(page, LOWER)?, half(page, UPPER)?);
    if lower < PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > page.len() {
        return Err(damaged("the bounds of a page"));
    }
    let mut nodes: Vec<Node<'_>> = Vec::new();
    for at in (PAGE_HEADER..lower).step_by(2) {
        let node = half(page, at)?;
        if node < upper {
            return Err(damaged("the place of a key"));
        }
        let (first, second) = (half(page, node)?, half(page, node + 2)?);
        let (low, high) = if cfg!(target_endian = "big") { (second, first) } else { (first, second) };
        let (flags, length) = (half(page, node + 4)?, half(page, node + 6)?);
        let begin = node + NODE_HEADER;
        // The first node of a branch covers all keys before the second, whatever key it has.
        let length = if is_branch && nodes.is_empty() { 0 } else { length };
        let key = page.get(begin..begin + length).ok_or_else(|| damaged("the length of a key"))?;
        if nodes.last().is_some_and(|before| before.key >= key) {
            return Err(damaged("the order of its keys"));
        }
        let low_high = low as u64 | (high as u64) << 16;
        nodes.push(Node {
            key,
            flags,
            data: begin + length,
            length: usize::try_from(low_high).unwrap_or(usize::MAX),
            page: if WORD == 8 { low_high | (flags as u64) << 32 } else { low_high },
        });
    }
    Ok(nodes)
}

/// Reads the data of a leaf node, from its page or from overflow pages.
fn data(file: &File, snapshot: &Snapshot, page: &[u8], node: &Node<'_>) -> Result<Vec<u8>, String> {
    match node.flags {
        0 => {
            let data = page.get(node.data..node.data.saturating_add(node.length));
            data.map(<[u8]>::to_vec).ok_or_else(|| damaged("the length of a value"))
        }
        BIG_DATA => {
            // One octet more than the longest value: a trailing NUL.
            if node.length > MAX_VALUE + 1 {
                return Err(super::value::too_long());
            }
            let first = number(page, node.data, WORD)?;
            let bytes = read(file, snapshot, first, PAGE_HEADER + node.length)?;
            let pages = usize::try_from(number(&bytes, LOWER, 4)?).unwrap_or(0);
            if half(&bytes, KIND)? & KINDS != OVERFLOW
                || pages.saturating_mul(snapshot.page_size) < bytes.len()
            {
                return Err(damaged("the pages of a value"));
            }
            Ok(bytes.get(PAGE_HEADER..).unwrap_or_default().to_vec())
        }
        _ => Err("the key has a nested database or several values, which postmap does not write".into()),
    }
}

/// Reads the first octets of a page, and checks its page number.
fn read(file: &File, snapshot: &Snapshot, page: u64, length: usize) -> Result<Vec<u8>, String> {
    let at = page.checked_mul(snapshot.page_size as u64).filter(|_| page <= snapshot.last_page);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at.ok_or_else(|| damaged("the number of a page"))?)
        .map_err(|error| error.to_string())?;
    if number(&bytes, 0, WORD)? != page {
        return Err(damaged("a page that is another one"));
    }
    Ok(bytes)
}

fn damaged(what: &str) -> String {
    format!("it is damaged: {what}")
}

fn half(bytes: &[u8], at: usize) -> Result<usize, String> {
    number(bytes, at, 2).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// Reads a number of `length` octets in the byte order of this host.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, String> {
    let octets = bytes.get(at..at + length).ok_or_else(|| damaged("a page ends too soon"))?;
    let add = |sum: u64, octet: &u8| sum << 8 | u64::from(*octet);
    Ok(if cfg!(target_endian = "big") {
        octets.iter().fold(0, add)
    } else {
        octets.iter().rev().fold(0, add)
    })
}
