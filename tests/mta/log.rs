//! A log file that another process writes, read while it grows.

use crate::Outcome;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a file or a directory is looked at again while something is awaited.
pub const POLL: Duration = Duration::from_millis(20);

/// Calls `ready` until it returns something; says what was awaited when `limit` has passed.
pub fn wait<T>(limit: Duration, what: &str, mut ready: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(got) = ready()? {
            return Ok(got);
        }
        if Instant::now() > end {
            return Err(format!("{what}: not within {} s", limit.as_secs()));
        }
        sleep(POLL);
    }
}

/// A log file.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub fn new(path: &Path) -> Self {
        Log { path: path.to_owned() }
    }

    /// Where the log ends now.
    pub fn mark(&self) -> usize {
        fs::metadata(&self.path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX))
    }

    /// What was written since `mark`, up to the last complete line; moves `mark` there.
    pub fn next(&self, mark: &mut usize) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(*mark as u64))?;
            file.read_to_end(&mut bytes)
        });
        // A log that is not there yet is empty.
        if read.is_err() {
            return String::new();
        }
        let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(complete);
        *mark += complete;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What was written since `mark`, up to the last complete line.
    pub fn since(&self, mut mark: usize) -> String {
        self.next(&mut mark)
    }

    /// The last `lines` lines since `mark`.
    pub fn tail(&self, mark: usize, lines: usize) -> String {
        let text = self.since(mark);
        let all: Vec<_> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }
}
