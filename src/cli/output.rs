//! Files that the commands write: whole, or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Puts `content` in the place of the file at `path`, with its mode and owner. A reader finds the old file or
/// the new one, also after a crash; where `path` is a link, the file it leads to is replaced.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    replace_with(path, content, |mode| mode)
}

/// What a mode allows to whoever is neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Readable by its owner alone.
pub fn private() -> Permissions {
    Permissions::from_mode(0o600)
}

/// The same for content that is nobody else's business: a file that everybody on this host can get at becomes
/// [`private`], any other keeps its mode.
pub fn replace_private(path: &Path, content: &str) -> io::Result<()> {
    replace_with(path, content, |mode| if mode.mode() & OTHERS == 0 { mode } else { private() })
}

fn replace_with(path: &Path, content: &str, mode: impl Fn(Permissions) -> Permissions) -> io::Result<()> {
    let path = path.canonicalize()?;
    let old = fs::metadata(&path)?;
    let name = path.file_name().unwrap_or_default().display();
    let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = create(&new, content, Some(mode(old.permissions())))
        .and_then(|()| {
            let now = fs::metadata(&new)?;
            // A file of another owner is not quietly made one's own.
            let same = now.uid() == old.uid() && now.gid() == old.gid();
            if same { Ok(()) } else { chown(&new, Some(old.uid()), Some(old.gid())) }
        })
        .and_then(|()| fs::rename(&new, &path));
    if let Err(e) = &written
        && e.kind() != io::ErrorKind::AlreadyExists
    {
        // It may not be there.
        let _ = fs::remove_file(&new);
    }
    written?;
    // The name is on the disk when its folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes a file that is not there yet.
pub fn create(path: &Path, content: &str, mode: Option<Permissions>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Some(mode) = mode {
        file.set_permissions(mode)?;
    }
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn mode_and_links_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        create(&file, "old", None).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("a", &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(create(&file, "x", None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(replace(&folder.path().join("c"), "x").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn what_is_private_becomes_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        create(&file, "old", None).unwrap();
        for (before, after) in
            [(0o644, 0o600), (0o640, 0o640), (0o600, 0o600), (0o666, 0o600), (0o604, 0o600)]
        {
            fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
            replace_private(&file, "new").unwrap();
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, after, "{before:o}");
        }
    }
}
