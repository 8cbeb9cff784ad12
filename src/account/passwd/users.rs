//! The file of users, as far as it shows whether it is whole: half of it knows half of the users.

use crate::watch::{WatchedFile, has_shrunk};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long the file must have been left alone: useradd(8) and the like replace it at once, others write it.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Largest file that is read: more than half a million users.
const MAX_FILE: u64 = 64 << 20;

/// The file, and how many users it had. One for the whole process, so that a reload does not forget that it has
/// shrunk.
#[derive(Debug)]
pub(super) struct UserFile {
    file: Arc<WatchedFile>,
    users: Mutex<Option<usize>>,
}

impl UserFile {
    /// The file at `path`. It is not read now.
    pub fn new(path: &Path) -> Self {
        UserFile { file: WatchedFile::of(path), users: Mutex::default() }
    }

    /// Counts the users if that was not done before, or if the operator has asked for what is there now. Blocks.
    pub fn begin(&self) {
        if self.file.take_accepted() {
            *self.users.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        // A file that cannot be read, or that is not whole, shows when a user is not found.
        let _ = self.is_whole();
    }

    /// Whether the file is there, finished and complete, as far as it shows; the error says why not. Blocks.
    pub fn is_whole(&self) -> Result<(), String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", self.file.path().display());
        let metadata = fs::metadata(self.file.path()).map_err(|error| wrong(&error))?;
        // Opening anything else might wait.
        if !metadata.is_file() {
            return Err(wrong(&"it is not a file"));
        }
        // A clock that was set back makes it young for that long; a time that cannot be had makes it old.
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
                "it has shrunk from {before} to {now} users; if that is meant, send SIGHUP"
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
    fn half_a_file_is_not_whole() {
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
    fn a_file_that_has_shrunk_is_not_whole_until_it_is_accepted() {
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
