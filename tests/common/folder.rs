//! A temporary folder of its own for each server that a test starts.
//!
//! Databases refuse to run as root, so root starts them as the users of their packages. Where the system's temporary
//! folder is closed to those (`TMPDIR` below root's home, a `/tmp` of one's own), a server could neither enter its
//! folder nor write its temporary files. So the folder is made where its user can enter it, and is the server's
//! `TMPDIR` as well.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use nix::unistd::{Uid, User, chown};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::{Builder, TempDir};

/// Longest name of a folder, in octets: the path of a socket in it has 107 (unix(7)).
const LONGEST: usize = 70;

/// The user that a server runs as, if it is another than that of the test.
pub fn other_user(name: &str) -> Option<User> {
    Uid::effective().is_root().then(|| {
        let user = User::from_name(name).unwrap();
        user.unwrap_or_else(|| panic!("no user {name}: install its package, as tests/run does"))
    })
}

/// A folder that `user` owns and can enter, in the system's temporary folder or else where there is one.
pub fn folder(prefix: &str, user: &str) -> TempDir {
    let mut places = vec![std::env::temp_dir()];
    places.extend(["/tmp", "/var/tmp", "/dev/shm", "/run"].map(PathBuf::from));
    folder_in(&places, prefix, user)
}

/// The same in the first of these places where that works.
pub fn folder_in(places: &[PathBuf], prefix: &str, user: &str) -> TempDir {
    let other = other_user(user);
    let usable = places.iter().find_map(|place| {
        let folder = Builder::new().prefix(prefix).tempdir_in(place).ok()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).ok()?;
        if let Some(user) = &other {
            chown(folder.path(), Some(user.uid), Some(user.gid)).ok()?;
        }
        (folder.path().as_os_str().len() <= LONGEST && can_write(folder.path(), other.as_ref()))
            .then_some(folder)
    });
    usable.unwrap_or_else(|| {
        panic!(
            "user {user} can write in none of {places:?}: set TMPDIR to a short path that everybody can enter"
        )
    })
}

/// A command as this user, where it is another one, which ends when the test does.
pub fn command_as(user: Option<&User>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args(["--reuid", &user.name, "--regid", &user.gid.to_string(), "--clear-groups"]);
    }
    command
}

fn can_write(folder: &Path, user: Option<&User>) -> bool {
    let mut command = command_as(user);
    command.args(["sh", "-c", "cd \"$0\" && : >try && rm try"]).arg(folder);
    // Where the test itself cannot look, the shell complains.
    command.current_dir("/").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
