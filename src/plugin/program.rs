//! The process of a plug-in.
//!
//! It runs in its own process group, so that it ends together with the programs it has started. It gets no
//! variables of the daemon's environment, and no descriptors but its standard streams.

use super::messages;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a program may take to end after its standard input was closed, when its client is dropped.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long a program that has closed its output may take to end, so that its exit status is in the log.
pub(super) const LAST_MOMENT: Duration = Duration::from_millis(100);

/// How long a killed process may take to end. A process in an uninterruptible system call ends later; the
/// runtime waits for it then.
const KILLED: Duration = Duration::from_secs(1);

/// The environment: programs are found in the usual folders, and text is UTF-8.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")];

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    path: PathBuf,
    arguments: Vec<String>,
}

impl FromStr for CommandLine {
    type Err = String;

    /// Splits the text at white space. There are no quotes, since no shell reads it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let path = words.next().ok_or("it names no program")?;
        if !path.starts_with('/') {
            return Err("the path of a program must be absolute".into());
        }
        Ok(CommandLine { path: path.into(), arguments: words.map(Into::into).collect() })
    }
}

impl CommandLine {
    /// Checks whether the program can be run. The error is what is wrong, and the remedy.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let shown = self.path.display();
        let data = fs::metadata(&self.path).map_err(|error| {
            (format!("{shown} cannot be run: {error}"), "install the program or correct the path")
        })?;
        if !data.is_file() {
            return Err((format!("{shown} is not a file"), "write the path of a program"));
        }
        access(&self.path, AccessFlags::X_OK).map_err(|error| {
            let why = format!("{shown} cannot be run by the user of rcptd: {}", error.desc());
            (why, "make it executable (chmod +x)")
        })
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A running program. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// `None` after the group was killed: its number may be that of another one by then.
    group: Option<Pid>,
    messages: JoinSet<()>,
}

impl Program {
    /// Starts the program; what it writes to standard error is logged for `source`.
    pub fn start(line: &CommandLine, source: &Arc<str>) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut child = Command::new(&line.path)
            .args(&line.arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let missing = || io::Error::other("it has no standard streams");
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut messages = JoinSet::new();
        messages.spawn(messages::log(stderr.ok_or_else(missing)?, source.clone()));
        let program = Program { child, group, messages };
        Ok((program, stdin.ok_or_else(missing)?, stdout.ok_or_else(missing)?))
    }

    /// Waits until the program ends by itself, at most for `limit`. Then kills its process group, and waits
    /// for the end. Returns how it ended by itself.
    pub async fn end(mut self, limit: Duration) -> Option<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await.ok().and_then(Result::ok);
        // Right after the end of the program, its number is not in use again: numbers go round.
        self.kill();
        if ended.is_none() {
            let _ = timeout(KILLED, self.child.wait()).await;
        }
        // The last words before the end are the most useful ones. They end here, unless a process that has
        // left the group still has the stream.
        let _ = timeout(LAST_MOMENT, self.messages.join_next()).await;
        ended
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Fails if no process is left.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_the_command_line() {
        for (text, want) in [
            ("/bin/x", Ok("/bin/x")),
            ("  /bin/x  a\tb ", Ok("/bin/x|a|b")),
            ("/bin/x \"a b\" $HOME", Ok("/bin/x|\"a|b\"|$HOME")),
            ("", Err("it names no program")),
            (" ", Err("it names no program")),
            ("bin/x", Err("the path of a program must be absolute")),
            ("x", Err("the path of a program must be absolute")),
        ] {
            let got = text.parse::<CommandLine>().map(|line| {
                let path = line.path().display().to_string();
                [vec![path], line.arguments].concat().join("|")
            });
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text:?}");
        }
    }

    #[test]
    fn checks_that_the_program_can_be_run() {
        for (path, want) in [
            ("/bin/sh", None),
            ("/nonexistent/x", Some("/nonexistent/x cannot be run: No such file or directory")),
            ("/etc", Some("/etc is not a file")),
            ("/etc/passwd", Some("/etc/passwd cannot be run by the user of rcptd: Permission denied")),
        ] {
            let got = path.parse::<CommandLine>().unwrap().check();
            match want {
                None => assert_eq!(got, Ok(())),
                Some(want) => assert!(got.as_ref().is_err_and(|(why, _)| why.starts_with(want)), "{got:?}"),
            }
        }
    }
}
