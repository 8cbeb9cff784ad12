//! SQLite files in WAL mode ("Write-Ahead Logging", section "Read-Only Databases").

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The first octets of every SQLite file ("Database File Format").
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The place of the version that a reader must know, and its value in WAL mode.
const READ_VERSION: (usize, u8) = (19, 2);

/// Returns the reason why a file in WAL mode cannot be read, and the remedy. A reader must be able to create the file
/// `-shm` in the same folder, unless a writer has created it. Checked for the user of this process.
pub fn unreadable(file: &Path) -> Option<(String, String)> {
    if !is_wal(file) {
        return None;
    }
    let mut shared = file.as_os_str().to_owned();
    shared.push("-shm");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let can_write = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok();
    let why = || {
        format!(
            "{} is in WAL mode: a reader must create files in the folder {}, but rcptd may not write to it",
            file.display(),
            folder.display()
        )
    };
    let help = "permit it, or run PRAGMA journal_mode = DELETE in the database";
    (!can_write && !Path::new(&shared).exists()).then(|| (why(), help.to_owned()))
}

fn is_wal(file: &Path) -> bool {
    let mut begin = [0; 20];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut begin));
    let (place, version) = READ_VERSION;
    read.is_ok() && begin.starts_with(MAGIC) && begin.get(place) == Some(&version)
}
