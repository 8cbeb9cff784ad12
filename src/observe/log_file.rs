//! A file as the destination of the log.

use nix::fcntl::OFlag;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Mode of a new file: the log has addresses of senders and recipients.
const MODE: u32 = 0o640;

/// A file that is opened again when its path refers to another file, so that logrotate(8) need not send a signal.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the last line was written only in part, since the disk was full.
    is_torn: bool,
}

impl LogFile {
    /// Opens the file, or creates it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(LogFile { path: path.to_owned(), file: open(path)?, is_torn: false })
    }

    /// Appends a line with its end.
    pub fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.is_current() {
            match open(&self.path) {
                Ok(file) => (self.file, self.is_torn) = (file, false),
                // The renamed file remains in use until a new one can be created.
                Err(_) if self.file.metadata()?.nlink() > 0 => (),
                Err(error) => return Err(error),
            }
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                Err(e) => {
                    self.is_torn |= rest.len() < line.len();
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    fn is_current(&self) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        std::fs::metadata(&self.path).map(id).ok() == self.file.metadata().map(id).ok()
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe or a terminal can block the writer; a pipe without a reader would block here.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_renamed_or_removed_file_is_created_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, old] = ["rcptd.log", "rcptd.log.1"].map(|name| folder.path().join(name));
        let mut log = LogFile::open(&path).expect("a file");
        let content = |path: &Path| fs::read_to_string(path).expect("a log");
        log.put(b"one\n").expect("written");
        fs::rename(&path, &old).expect("renamed");
        log.put(b"two\n").expect("written");
        assert_eq!((content(&old), content(&path)), ("one\n".to_owned(), "two\n".to_owned()));
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o640);
        fs::remove_file(&path).expect("removed");
        log.put(b"three\n").expect("written");
        assert_eq!(content(&path), "three\n");
        // copytruncate of logrotate(8).
        fs::write(&path, "").expect("truncated");
        log.put(b"four\n").expect("written");
        assert_eq!(content(&path), "four\n");
        fs::remove_dir_all(folder.path()).expect("removed");
        log.put(b"lost\n").expect_err("no folder");
        fs::create_dir(folder.path()).expect("a folder");
        log.put(b"five\n").expect("written");
        assert_eq!(content(&path), "five\n");
    }

    #[test]
    fn a_renamed_file_is_used_until_there_is_a_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, old] = ["rcptd.log", "rcptd.log.1"].map(|name| folder.path().join(name));
        let mut log = LogFile::open(&path).expect("a file");
        fs::rename(&path, &old).expect("renamed");
        fs::create_dir(&path).expect("something that is not a file");
        log.put(b"one\n").expect("written");
        assert_eq!(fs::read_to_string(&old).expect("a log"), "one\n");
        fs::remove_dir(&path).expect("removed");
        log.put(b"two\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("a log"), "two\n");
    }

    #[test]
    fn a_pipe_is_no_file_and_stops_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rcptd.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        LogFile::open(&path).err().expect("an error without a reader");
        let flags = OFlag::O_NONBLOCK.bits();
        let _reader = OpenOptions::new().read(true).custom_flags(flags).open(&path).expect("a reader");
        let error = LogFile::open(&path).err().expect("an error with a reader");
        assert_eq!(error.to_string(), "it is not a file");
    }

    #[test]
    fn a_line_that_was_written_in_part_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rcptd.log");
        let mut log = LogFile::open(&path).expect("a file");
        log.file.write_all(b"the disk is fu").expect("written");
        log.is_torn = true;
        log.put(b"one\n").expect("written");
        log.put(b"two\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("a log"), "the disk is fu\none\ntwo\n");
    }

    #[test]
    fn a_device_is_no_file() {
        for path in ["/dev/null", "/dev/full"] {
            let error = LogFile::open(Path::new(path)).err().expect("an error");
            assert_eq!(error.to_string(), "it is not a file");
        }
    }
}
