//! Checks whether /etc/passwd is complete: half of the file lists half of the users.

use crate::watch::{WatchedFile, has_shrunk};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long the file must be unchanged. useradd(8) and the like replace it by rename, but other programs
/// write in place.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Largest file that is read: more than half a million users.
const MAX_FILE: u64 = 64 << 20;

/// The file, and the number of users it had. There is one for the whole process, so that a reload does not
/// lose the information that the file has shrunk.
#[derive(Debug)]
pub(super) struct UserFile {
    file: Arc<WatchedFile>,
    users: Mutex<Option<usize>>,
}

impl UserFile {
    /// Creates the state of the file at `path`, without reading it.
    pub fn new(path: &Path) -> Self {
        UserFile { file: WatchedFile::of(path), users: Mutex::default() }
    }

    /// Counts the users at the first call, and when the operator has accepted the present file. Blocks.
    pub fn begin(&self) {
        if self.file.take_accepted() {
            *self.users.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        // If the file cannot be read or is incomplete, the lookup of a user that is not found reports it.
        let _ = self.is_whole();
    }

    /// Checks whether the file is readable, finished and has not shrunk. The error is the reason. Blocks.
    pub fn is_whole(&self) -> Result<(), String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", self.file.path().display());
        let metadata = fs::metadata(self.file.path()).map_err(|error| wrong(&error))?;
        // Opening another kind of file might block.
        if !metadata.is_file() {
            return Err(wrong(&"it is not a file"));
        }
        // If the clock was set back, the file looks young for that long. Without a modification time it
        // counts as old.
        let young = metadata.modified().is_ok_and(|time| {
            SystemTime::now()
                .duration_since(time)
                .map_or_else(|ahead| ahead.duration() < QUIET, |age| age < QUIET)
        });
        if young {
            return Err(wrong(&"it was changed a moment ago, and may be half written"));
        }
        let mut content = Vec::new();
        let file = File::open(self.file.path()).map_err(|error| wrong(&error))?;
        file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(|error| wrong(&error))?;
        match content.last() {
            None => return Err(wrong(&"it is empty")),
            Some(b'\n') => (),
            Some(_) => return Err(wrong(&"it ends within a line, and may be half written")),
        }
        let now = content.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = users.filter(|before| has_shrunk(*before, now)) {
            return Err(wrong(&format_args!(
                "it has shrunk from {before} users to {now}; if this is intended, send SIGHUP"
            )));
        }
        *users = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "root:x:0:0::/root:/bin/sh\n";

    fn write(path: &Path, text: &str, time: SystemTime) {
        fs::write(path, text).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn half_written_file_is_incomplete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let long_ago = SystemTime::now() - QUIET;
        for (text, time, want) in [
            (None, long_ago, Some("No such file")),
            (Some(""), long_ago, Some("it is empty")),
            (Some(ROOT), long_ago, None),
            (Some("root:x:0:0::/root:/bin/sh\nali"), long_ago, Some("ends within a line")),
            (Some(ROOT), SystemTime::now(), Some("changed a moment ago")),
        ] {
            if let Some(text) = text {
                write(&path, text, time);
            }
            let got = UserFile::new(&path).is_whole().err();
            assert_eq!(got.is_some(), want.is_some(), "{text:?}: {got:?}");
            assert!(want.is_none_or(|want| got.unwrap().contains(want)), "{text:?}");
        }
        assert!(UserFile::new(folder.path()).is_whole().is_err());
    }

    #[test]
    fn shrunk_file_is_incomplete_until_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let long_ago = SystemTime::now() - QUIET;
        let file = UserFile::new(&path);
        for (lines, whole) in
            [(10, true), (5, true), (10, true), (4, false), (0, false), (5, true), (2, false)]
        {
            write(&path, &ROOT.repeat(lines), long_ago);
            assert_eq!(file.is_whole().is_ok(), whole, "{lines}");
            // A reload for another reason.
            file.begin();
            assert_eq!(file.is_whole().is_ok(), whole, "{lines} after a reload");
        }
        crate::watch::accept();
        file.begin();
        assert!(file.is_whole().is_ok());
    }
}
