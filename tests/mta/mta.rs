//! The mail servers: one container each, started once, used by all scenarios.

use crate::Outcome;
use crate::log::{Log, wait};
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// From `run` to the greeting; about 3 s on an idle host, but four start at once.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A mail server rcptd is tested with.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub family: &'static str,
    image: &'static str,
    /// What its log says at the start, so that a test of 3.7 is one of 3.7.
    version: &'static str,
}

/// All of them: those of Debian 12 and 13.
pub const KINDS: [Kind; 4] = [
    Kind { name: "postfix-3.7", family: "postfix", image: "postfix:bookworm", version: "-- version 3.7." },
    Kind { name: "postfix-3.10", family: "postfix", image: "postfix:trixie", version: "-- version 3.10." },
    Kind { name: "sendmail-8.17", family: "sendmail", image: "sendmail:bookworm", version: "daemon (8.17." },
    Kind { name: "sendmail-8.18", family: "sendmail", image: "sendmail:trixie", version: "daemon (8.18." },
];

impl Kind {
    /// Whether a selection such as `postfix` or `sendmail-8.18,postfix` names this one.
    pub fn is_in(&self, selection: &str) -> bool {
        selection.split(',').any(|name| name == self.name || name == self.family)
    }
}

/// The program that runs containers, with its first arguments.
#[derive(Clone, Debug)]
pub struct Engine(Vec<String>);

impl Engine {
    /// Asks `lab/engine`.
    pub fn find(root: &Path) -> Outcome<Self> {
        let got = Command::new(root.join("lab/engine")).output().map_err(|e| format!("lab/engine: {e}"))?;
        if !got.status.success() {
            return Err(String::from_utf8_lossy(&got.stderr).trim().to_owned());
        }
        Ok(Engine(String::from_utf8_lossy(&got.stdout).lines().map(str::to_owned).collect()))
    }

    fn command(&self) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().map_or("podman", String::as_str));
        command.args(words);
        command
    }
}

/// A mail server that runs.
pub struct Mta {
    pub kind: &'static Kind,
    pub smtp: SocketAddr,
    /// Its VRFY server.
    pub vrfy: SocketAddr,
    /// A VRFY server that accepts everything: an smtpd with an empty local_recipient_maps, or the Sendmail
    /// whose local mailer has lost flag w.
    pub open: SocketAddr,
    /// Where it looks for rcptd.
    pub milter: SocketAddr,
    /// A port for [`crate::relay::Relay`].
    pub relay: SocketAddr,
    pub log: Log,
    /// Holds a folder per mailbox.
    pub mail: PathBuf,
    engine: Engine,
    container: String,
    child: Child,
}

impl Mta {
    /// Starts the container and waits until it serves; `folder` gets its log and its mail.
    pub fn start(kind: &'static Kind, engine: &Engine, root: &Path, folder: &Path) -> Outcome<Self> {
        let fail = |e| format!("{}: {e}", kind.name);
        let mail = folder.join("mail");
        fs::create_dir_all(&mail).map_err(fail)?;
        let log_path = folder.join("mta.log");
        let log_file = File::create(&log_path).map_err(fail)?;
        let container = format!("rcptd-mta-{}-{}", std::process::id(), kind.name);
        let [smtp, vrfy, open, milter, relay] =
            [free_port()?, free_port()?, free_port()?, free_port()?, free_port()?];
        let open = if kind.family == "sendmail" { smtp } else { open };
        let mut command = engine.command();
        command.args(["run", "--rm", "-i", "--name", &container, "--network=host", "--log-driver=none"]);
        // Some hosts forbid the engine's own, higher limits.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]);
        // Sendmail waits a minute for a qualified host name.
        command.args(["--hostname", "mx.example.test", "--add-host", "mx.example.test:127.0.0.1"]);
        command.arg("-v").arg(format!("{}:/mail", mail.display()));
        command.arg("-v").arg(format!("{}:/install:ro", root.join("install").display()));
        for (name, address) in
            [("SMTP_PORT", smtp), ("VRFY_PORT", vrfy), ("OPEN_PORT", open), ("MILTER_PORT", milter)]
        {
            command.arg("-e").arg(format!("{name}={}", address.port()));
        }
        command.arg(format!("localhost/rcptd-lab/{}", kind.image));
        // The container ends when its standard input does, that is, at the latest with this process.
        command.stdin(Stdio::piped()).stdout(log_file.try_clone().map_err(fail)?).stderr(log_file);
        let child = command.spawn().map_err(fail)?;
        let log = Log::new(&log_path);
        let engine = engine.clone();
        let mut mta = Mta { kind, smtp, vrfy, open, milter, relay, log, mail, engine, container, child };
        mta.wait_until_served().map_err(|e| format!("{}: {e}\n{}", kind.name, mta.log.tail(0, 40)))?;
        Ok(mta)
    }

    fn wait_until_served(&mut self) -> Outcome {
        wait(START_LIMIT, "mail server serves", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the container ended with {status}; is the image there (lab/build)?"));
            }
            let serves = |address| TcpStream::connect(address).is_ok();
            let ready =
                self.log.since(0).contains(self.kind.version) && serves(self.smtp) && serves(self.vrfy);
            Ok(ready.then_some(()))
        })
    }

    /// Runs `words` in the container with `input` and returns the exit code.
    pub fn exec(&self, words: &[&str], input: &str) -> Outcome<i32> {
        let fail = |e| format!("{words:?} in the container: {e}");
        let mut command = self.engine.command();
        command.args(["exec", "-i", &self.container]).args(words).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(fail)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(fail)?;
        }
        let status = child.wait().map_err(fail)?;
        status.code().ok_or_else(|| format!("{words:?} in the container: {status}"))
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        let mut remove = self.engine.command();
        remove.args(["rm", "-f", "-t", "0", &self.container]).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = remove.status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on. It lies below the range from which outgoing connections take theirs, so that
/// none of them sits on it while its server starts.
fn free_port() -> Outcome<SocketAddr> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no free port".to_owned())
}
