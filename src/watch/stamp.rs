//! Detects that a file has changed.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long a file must be unchanged to count as finished if there are no events. A program that writes in
/// place rarely pauses for longer.
pub const QUIET: Duration = Duration::from_secs(2);

/// Identity and times of a file. Reads with the same stamp return the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if it does not exist.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|file| Stamp::of(&file))
    }

    /// The stamp of a file with this metadata.
    pub fn of(file: &Metadata) -> Self {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether the content may be the same although the times differ.
    pub(super) fn is_as_long(&self, other: &Stamp) -> bool {
        (self.device, self.inode, self.length) == (other.device, other.inode, other.length)
    }

    /// Whether the file was unchanged for [`QUIET`], by its modification time or since the stamp was first
    /// seen. A file server may have another clock.
    pub fn is_quiet(&self, since: Option<Instant>) -> bool {
        let (seconds, nanos) = self.written;
        let written = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanos).ok())
            .and_then(|(seconds, nanos)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        // A time before 1970 is old.
        let old = written.is_none_or(|written| written.elapsed().is_ok_and(|age| age >= QUIET));
        old || since.is_some_and(|since| since.elapsed() >= QUIET)
    }
}

/// A hash of the content, which differs in each run of the program.
pub fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    hasher.finish()
}

/// The digest of the file at `path`; `None` if it cannot be read, or is larger than any reader accepts.
pub(super) fn digest_at(path: &Path) -> Option<u64> {
    /// The largest limit of all readers.
    const MAX: u64 = 64 << 20;
    // Opening another kind of file might block.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= MAX).then(|| digest(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_quiet_by_age_or_observation() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hour = Duration::from_hours(1);
        let long_seen = Instant::now().checked_sub(QUIET);
        for (written, since, want) in [
            (SystemTime::now() - QUIET, None, true),
            (SystemTime::now() - QUIET / 2, None, false),
            (SystemTime::now() - QUIET / 2, Some(Instant::now()), false),
            (SystemTime::now() - QUIET / 2, long_seen, true),
            (SystemTime::UNIX_EPOCH - hour, None, true),
            // the clock of another host
            (SystemTime::now() + hour, None, false),
            (SystemTime::now() + hour, long_seen, true),
        ] {
            file.as_file().set_modified(written).unwrap();
            let stamp = Stamp::of(&file.as_file().metadata().unwrap());
            assert_eq!(stamp.is_quiet(since), want, "{written:?} {since:?}");
        }
    }
}
