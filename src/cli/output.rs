//! Files that the commands write: completely, or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Replaces the file at `path` by `content`, with its mode and owner. A reader sees the old file or the new
/// one, also after a crash. If `path` is a link, its target is replaced.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    replace_with(path, content, |mode| mode)
}

/// Access bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Permissions of a file that only its owner can read.
pub fn private() -> Permissions {
    Permissions::from_mode(0o600)
}

/// Replaces a file as [`replace`] does, for private content: a file that other users can access becomes
/// [`private`], any other file keeps its mode.
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
            // Keep the owner: a file of another user must not become ours unnoticed.
            let same = now.uid() == old.uid() && now.gid() == old.gid();
            if same { Ok(()) } else { chown(&new, Some(old.uid()), Some(old.gid())) }
        })
        .and_then(|()| fs::rename(&new, &path));
    if let Err(e) = &written
        && e.kind() != io::ErrorKind::AlreadyExists
    {
        // The file may not exist.
        let _ = fs::remove_file(&new);
    }
    written?;
    // The new name is durable after the folder is synced.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Creates a file; fails if it exists.
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
    fn keeps_mode_and_links() {
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
    fn restricts_access_to_private_content() {
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
