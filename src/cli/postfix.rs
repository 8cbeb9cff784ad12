//! `rcptd check --postfix`: compares the configuration with that of Postfix, as read from postconf(1) and the
//! file system.

use super::args::PostfixFolder;
use crate::config::Config;
use crate::wiring::{self, Facts, Files, Ours, Output, Postfix, Reach, TableText};
use diagnostics::{Problem, Text};
use nix::unistd::{Gid, User, getgrouplist};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Path of postconf(1), if it is not in PATH: only root's PATH usually contains sbin.
const ELSEWHERE: &str = "/usr/sbin/postconf";
/// Largest main.cf or master.cf that is read to show its lines.
const MAX_FILE: u64 = 4 << 20;
/// Largest text of a table that is read.
const MAX_TABLE: u64 = 64 << 20;

/// Returns the problems in the connection of Postfix with `config`.
pub fn check(folder: PostfixFolder<'_>, config: &Config) -> Vec<Problem> {
    let mut warnings = BTreeSet::new();
    let mut ask = |option: Option<&str>| postconf(folder, option, &mut warnings);
    let asked = [ask(None), ask(Some("-n")), ask(Some("-M")), ask(Some("-P"))];
    let [Ok(all), Ok(set), Ok(services), Ok(overrides)] = &asked else {
        let why = asked.iter().find_map(|output| output.as_ref().err()).cloned().unwrap_or_default();
        let text = Text::new("postconf", "");
        let help = "install Postfix, or name the folder that has main.cf: --postfix /etc/postfix";
        return vec![Problem::error(&text, 0..0, why).help(help)];
    };
    let postfix = Postfix::read(Output { all, set, services, overrides });
    let folder = PathBuf::from(postfix.value(None, "config_directory"));
    let files = Files { main: file(&folder.join("main.cf")), master: file(&folder.join("master.cf")) };
    let ours = Ours::new(config);
    let facts = facts(&postfix, &ours);
    let findings = wiring::check(&postfix, &ours, &facts);
    let warned = warnings.iter().map(|line| Problem::warning(&files.main, 0..0, line.clone()));
    findings.iter().map(|finding| files.problem(finding)).chain(warned).collect()
}

/// Returns the output of postconf(1); its warnings go to standard error. The error is a sentence.
fn postconf(
    folder: PostfixFolder<'_>,
    option: Option<&str>,
    warnings: &mut BTreeSet<String>,
) -> Result<String, String> {
    let run = |program: &str| {
        let mut command = Command::new(program);
        if let PostfixFolder::At(folder) = folder {
            command.arg("-c").arg(folder);
        }
        command.args(option).output()
    };
    let got = match run("postconf") {
        Err(e) if e.kind() == ErrorKind::NotFound => run(ELSEWHERE),
        other => other,
    };
    let got = got.map_err(|e| format!("postconf cannot be run: {e}"))?;
    let said = String::from_utf8_lossy(&got.stderr);
    if !got.status.success() {
        return Err(format!("postconf failed: {}", said.trim()));
    }
    warnings.extend(said.lines().map(str::to_owned).filter(|line| line.contains("warning: ")));
    Ok(String::from_utf8_lossy(&got.stdout).into_owned())
}

/// Reads a file to quote its lines; empty if it cannot be read, since postconf(1) could read it.
fn file(path: &Path) -> Text {
    let small = fs::metadata(path).is_ok_and(|found| found.len() <= MAX_FILE);
    let content = if small { fs::read(path).unwrap_or_default() } else { Vec::new() };
    Text::new(&path.display().to_string(), &String::from_utf8_lossy(&content))
}

/// Reads the text of a table, if possible: the source of a database, or a text that Postfix reads itself.
fn table(path: &Path) -> Option<TableText> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_TABLE {
        return None;
    }
    Some(TableText::new(&String::from_utf8_lossy(&fs::read(path).ok()?)))
}

fn facts(postfix: &Postfix, ours: &Ours) -> Facts {
    let owner = postfix.value(None, "mail_owner");
    let user = User::from_name(&owner).ok().flatten().map(|user| Identity::new(&owner, &user));
    let sockets = wiring::sockets_named(postfix, ours).into_iter().map(|path| {
        let reach = match &user {
            Some(user) => user.reach(&path),
            None => Reach::CannotTell(format!("the user {owner}, set by mail_owner, does not exist")),
        };
        (path, reach)
    });
    let queue = PathBuf::from(postfix.value(None, "queue_directory"));
    Facts {
        sockets: sockets.collect(),
        tables: wiring::tables_named(postfix)
            .into_iter()
            .filter_map(|path| table(&path).map(|text| (path, text)))
            .collect(),
        chroot_has_passwd: queue.join("etc/passwd").exists(),
    }
}

/// The user that runs the programs of Postfix.
struct Identity {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Identity {
    fn new(name: &str, user: &User) -> Self {
        let groups = CString::new(name).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
        let groups = groups.unwrap_or_else(|| vec![user.gid]);
        Identity {
            name: name.to_owned(),
            uid: user.uid.as_raw(),
            gids: groups.into_iter().map(Gid::as_raw).collect(),
        }
    }

    /// Whether the user has a permission on `found`; `bit` is its bit in the mode for others.
    fn may(&self, found: &fs::Metadata, bit: u32) -> bool {
        let bit = match () {
            () if found.uid() == self.uid => bit << 6,
            () if self.gids.contains(&found.gid()) => bit << 3,
            () => bit,
        };
        self.uid == 0 || found.mode() & bit != 0
    }

    /// Whether the user may connect to a socket: this needs search permission in each folder above, and
    /// write permission.
    fn reach(&self, path: &Path) -> Reach {
        const SEARCH: u32 = 0o1;
        const WRITE: u32 = 0o2;
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            match fs::metadata(folder) {
                Ok(found) if self.may(&found, SEARCH) => (),
                Ok(_) => {
                    return Reach::Denied(format!("user {} may not enter {}", self.name, folder.display()));
                }
                Err(e) => return unseen(folder, &e),
            }
        }
        match fs::metadata(path) {
            Ok(found) if !found.file_type().is_socket() => Reach::NotASocket,
            Ok(found) if self.may(&found, WRITE) => Reach::Yes,
            Ok(found) => {
                let mode = found.mode() & 0o777;
                Reach::Denied(format!("user {} may not write to it, mode {mode:04o}", self.name))
            }
            Err(e) => unseen(path, &e),
        }
    }
}

fn unseen(path: &Path, error: &std::io::Error) -> Reach {
    match error.kind() {
        ErrorKind::NotFound => Reach::Missing,
        _ => Reach::CannotTell(format!("{}: {error}", path.display())),
    }
}
