//! The mail servers: one container for each wiring, started once, used by all its scenarios.

use crate::Outcome;
use crate::log::{Log, wait};
use crate::shell::Shell;
use crate::wiring::{Kind, Wiring};
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// From `run` to the greeting; about 3 s on an idle host, but four start at once.
const START_LIMIT: Duration = Duration::from_secs(90);

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
    pub kind: Kind,
    pub smtp: SocketAddr,
    /// A VRFY server that must not be rcptd's source. With the milter it accepts everything: an smtpd with an empty
    /// local_recipient_maps, or the Sendmail whose local mailer has lost flag w. With tables it asks rcptd.
    pub open: SocketAddr,
    /// The ports that the configurations name, and those that are in their place here.
    pub ports: Vec<(u16, SocketAddr)>,
    /// A port for [`crate::relay::Relay`].
    pub relay: SocketAddr,
    pub log: Log,
    /// Holds a folder per mailbox.
    pub mail: PathBuf,
    /// The root of the repository.
    pub root: PathBuf,
    engine: Engine,
    container: String,
    child: Child,
    shell: Mutex<Option<Shell>>,
}

impl Mta {
    /// Starts the container and waits until it serves; `folder` gets its log and its mail.
    pub fn start(kind: &Kind, engine: &Engine, root: &Path, folder: &Path) -> Outcome<Self> {
        let fail = |e| format!("{}: {e}", kind.name);
        let mail = folder.join("mail");
        fs::create_dir_all(&mail).map_err(fail)?;
        let log_path = folder.join("mta.log");
        let log_file = File::create(&log_path).map_err(fail)?;
        let container = format!("rcptd-mta-{}-{}", std::process::id(), kind.name);
        let [smtp, open, relay] = [free_port()?, free_port()?, free_port()?];
        // Where there is none that was made for it, the public server is the one not to be asked.
        let has_open = kind.wiring == Wiring::Milter && kind.server.family == "postfix";
        let open = if has_open { open } else { smtp };
        let (wiring, _, ports) = kind.wiring.row();
        let ports: Vec<(u16, SocketAddr)> =
            ports.iter().map(|port| Ok((*port, free_port()?))).collect::<Outcome<_>>()?;
        let mut command = engine.command();
        command.args(["run", "--rm", "-i", "--name", &container, "--network=host", "--log-driver=none"]);
        // Some hosts forbid the engine's own, higher limits.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]);
        // Sendmail waits a minute for a qualified host name.
        command.args(["--hostname", "mx.example.test", "--add-host", "mx.example.test:127.0.0.1"]);
        command.arg("-v").arg(format!("{}:/mail", mail.display()));
        command.arg("-v").arg(format!("{}:/install:ro", root.join("install").display()));
        command.arg("-v").arg(format!("{}:/tests:ro", root.join("tests/mta").display()));
        for (name, address) in [("SMTP_PORT", smtp), ("OPEN_PORT", open)] {
            command.arg("-e").arg(format!("{name}={}", address.port()));
        }
        command.arg("-e").arg(format!("WIRING={wiring}"));
        command.arg("-e").arg(format!("PORTS={}", sed(&ports)));
        command.arg(format!("localhost/rcptd-lab/{}", kind.server.image));
        // The container ends when its standard input does, that is, at the latest with this process.
        command.stdin(Stdio::piped()).stdout(log_file.try_clone().map_err(fail)?).stderr(log_file);
        let child = command.spawn().map_err(fail)?;
        let mut mta = Mta {
            kind: kind.clone(),
            smtp,
            open,
            ports,
            relay,
            log: Log::new(&log_path),
            mail,
            root: root.to_owned(),
            engine: engine.clone(),
            container,
            child,
            shell: Mutex::new(None),
        };
        mta.wait_until_served().map_err(|e| format!("{}: {e}\n{}", kind.name, mta.log.tail(0, 40)))?;
        Ok(mta)
    }

    /// What is here in the place of a port that the configurations name.
    pub fn port(&self, written: u16) -> Option<SocketAddr> {
        self.ports.iter().find(|(port, _)| *port == written).map(|(_, address)| *address)
    }

    /// Its VRFY server, if it is wired with one.
    pub fn vrfy(&self) -> Option<SocketAddr> {
        self.port(5025)
    }

    fn wait_until_served(&mut self) -> Outcome {
        wait(START_LIMIT, "mail server serves", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the container ended with {status}; is the image there (lab/build)?"));
            }
            let serves = |address| TcpStream::connect(address).is_ok();
            let ready = self.log.since(0).contains(self.kind.server.version)
                && serves(self.smtp)
                && self.vrfy().is_none_or(serves);
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

    /// Runs `words` in the container, without input, and returns the exit code and what was printed. To start a
    /// process by the engine takes a good part of a second, so that one shell does it for all.
    pub fn ask(&self, words: &[&str]) -> Outcome<(i32, String)> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if shell.is_none() {
            let mut command = self.engine.command();
            command.args(["exec", "-i", &self.container, "sh"]);
            *shell = Some(Shell::start(command)?);
        }
        match shell.as_mut() {
            Some(running) => running.ask(words).inspect_err(|_| *shell = None),
            None => Err("no shell".to_owned()),
        }
    }

    /// The names of its accounts.
    pub fn accounts(&self) -> Outcome<Vec<String>> {
        let (code, passwd) = self.ask(&["getent", "passwd"])?;
        if code != 0 {
            return Err(format!("getent passwd ended with exit code {code}"));
        }
        let account =
            |line: &str| line.contains(":/mail/").then(|| line.split(':').next().map(str::to_owned));
        Ok(passwd.lines().filter_map(account).flatten().collect())
    }
}

/// A script for sed(1) that puts the ports of a test in the place of those that a configuration names, as Postfix
/// and as Sendmail write them.
fn sed(ports: &[(u16, SocketAddr)]) -> String {
    let one = |(written, address): &(u16, SocketAddr)| {
        let port = address.port();
        format!(
            "s/127\\.0\\.0\\.1:{written}\\b/127.0.0.1:{port}/g;s/inet:{written}@/inet:{port}@/g;\
             s/Port={written}\\b/Port={port}/g"
        )
    };
    ports.iter().map(one).collect::<Vec<_>>().join(";")
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
