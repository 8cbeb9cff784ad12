//! The program under test, run as its service manager would run it.

use crate::Outcome;
use crate::log::{Log, wait};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// For a start, a reload, a stop; each takes milliseconds on an idle host.
const LIMIT: Duration = Duration::from_secs(20);

/// One rcptd with its configuration in a folder of its own.
pub struct Rcptd {
    folder: PathBuf,
    child: Option<Child>,
    notify: UnixDatagram,
    notify_path: PathBuf,
    // A socket's path must be short, which that of the folder may not be.
    _socket_folder: TempDir,
    pub log: Log,
    /// What it gets as the socket `systemd:map`.
    pub socket: Option<TcpListener>,
}

impl Rcptd {
    /// A program that is not running yet; `folder` holds `rcptd.conf` and gets `rcptd.log`.
    pub fn new(folder: &Path) -> Outcome<Self> {
        let fail = |e| format!("notification socket: {e}");
        let socket_folder = TempDir::with_prefix("rcptd-mta-").map_err(fail)?;
        let notify_path = socket_folder.path().join("notify");
        let notify = UnixDatagram::bind(&notify_path).map_err(fail)?;
        notify.set_nonblocking(true).map_err(fail)?;
        let log = Log::new(&folder.join("rcptd.log"));
        Ok(Rcptd {
            folder: folder.to_owned(),
            child: None,
            notify,
            notify_path,
            _socket_folder: socket_folder,
            log,
            socket: None,
        })
    }

    /// Whether it was started and has not been stopped or killed by this test.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(&mut self) -> Outcome {
        if self.child.is_some() {
            return Err("rcptd runs already".to_owned());
        }
        let fail = |e| format!("starting rcptd: {e}");
        let log = self.folder.join("rcptd.log");
        let log = File::options().create(true).append(true).open(log).map_err(fail)?;
        // setpriv(1) sees to it that rcptd does not outlive a test that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        let stdin = match &self.socket {
            // systemd's first file is the third; it must be for this very process, which sh(1) becomes.
            Some(socket) => {
                let pass =
                    "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=map; exec \"$@\" 3<&0 </dev/null";
                command.args(["sh", "-c", pass, "sh"]);
                Stdio::from(OwnedFd::from(socket.try_clone().map_err(fail)?))
            }
            None => Stdio::null(),
        };
        let child = command
            .args([env!("CARGO_BIN_EXE_rcptd"), "serve", "-c"])
            .arg(self.folder.join("rcptd.conf"))
            .env("NOTIFY_SOCKET", &self.notify_path)
            .stdin(stdin)
            .stdout(log.try_clone().map_err(fail)?)
            .stderr(log)
            .spawn()
            .map_err(fail)?;
        self.child = Some(child);
        self.wait_ready("rcptd ready")
    }

    /// Sends SIGHUP and waits until it says that it has dealt with it, well or not.
    pub fn reload(&mut self) -> Outcome {
        self.signal("HUP")?;
        self.wait_ready("rcptd ready after SIGHUP")
    }

    /// Sends SIGTERM; it must end in good order.
    pub fn stop(&mut self) -> Outcome {
        self.signal("TERM")?;
        let child = self.child.as_mut().ok_or("rcptd does not run")?;
        let status = wait(LIMIT, "rcptd ends after SIGTERM", || child.try_wait().map_err(|e| e.to_string()))?;
        self.child = None;
        if status.success() { Ok(()) } else { Err(format!("rcptd ended after SIGTERM with {status}")) }
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) -> Outcome {
        let mut child = self.child.take().ok_or("rcptd does not run")?;
        let end = |child: &mut Child| -> std::io::Result<ExitStatus> {
            child.kill()?;
            child.wait()
        };
        end(&mut child).map(drop).map_err(|e| format!("killing rcptd: {e}"))
    }

    /// Ends the scenario: if it runs it must still be alive and stop in good order, and it had no defect.
    pub fn finish(&mut self) -> Outcome {
        if self.is_started() {
            self.stop()?;
        }
        let log = self.log.since(0);
        let is_defect = |line: &&str| line.contains("panicked at") || line.contains("a defect in rcptd");
        match log.lines().find(is_defect) {
            Some(line) => Err(format!("rcptd had a defect: {line}")),
            None => Ok(()),
        }
    }

    fn signal(&mut self, name: &str) -> Outcome {
        let child = self.child.as_mut().ok_or("rcptd does not run")?;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("rcptd has ended by itself with {status}"));
        }
        let id = child.id().to_string();
        // What it said before is not an answer to this signal.
        while self.notification().is_some() {}
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("SIG{name} to rcptd: {other:?}")),
        }
    }

    fn notification(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.notify.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
    }

    fn wait_ready(&mut self, what: &str) -> Outcome {
        wait(LIMIT, what, || {
            while let Some(state) = self.notification() {
                if state.lines().any(|line| line == "READY=1") {
                    return Ok(Some(()));
                }
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            match ended {
                Some(status) => Err(format!("{what}: it ended with {status}")),
                None => Ok(None),
            }
        })
    }
}

impl Drop for Rcptd {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.kill();
        }
    }
}

/// Writes the configuration of a scenario: `text` with its names replaced.
pub fn configure(folder: &Path, file: &str, text: &str, names: &[(String, String)]) -> Outcome {
    let text = names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    fs::write(folder.join(file), text).map_err(|e| format!("{file}: {e}"))
}
