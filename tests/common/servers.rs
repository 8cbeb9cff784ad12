//! PostgreSQL and MariaDB, each started by a test in a folder of its own, at a port of its own, and gone with it.
//!
//! The programs are Debian's (packages `postgresql` and `mariadb-server`). They refuse to run as root, so root
//! starts them as the users that these packages make.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

#[path = "folder.rs"]
pub mod folder;

pub use super::programs::free_port;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a server to start or stop.
const WAIT: Duration = Duration::from_mins(1);

/// Who may do everything, with this password too.
pub const ADMIN: &str = "admin";
pub const PASSWORD: &str = "s3cret'%\\pass";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Postgresql,
    Mariadb,
}

/// A server. It must be started, and dropped, by the thread that uses it: it dies with that.
pub struct Server {
    make: Make,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Make {
    /// The user it runs as where the test is root.
    fn user(self) -> &'static str {
        match self {
            Make::Postgresql => "postgres",
            Make::Mariadb => "mysql",
        }
    }

    fn program(self, name: &str) -> PathBuf {
        let places = match self {
            Make::Postgresql => {
                let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
                let mut places: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
                places.sort();
                places
            }
            Make::Mariadb => vec!["/usr/sbin".into(), "/usr/bin".into()],
        };
        let found = places.iter().rev().map(|place| place.join(name)).find(|path| path.exists());
        let package = match self {
            Make::Postgresql => "postgresql",
            Make::Mariadb => "mariadb-server",
        };
        found.unwrap_or_else(|| panic!("no {name}: install {package}, as tests/run does"))
    }
}

impl Server {
    /// One that runs, with a certificate for 127.0.0.1 of the authority in tests/data/account/ca.pem.
    pub fn start(make: Make) -> Self {
        Server::start_in(make, folder::folder("rcptd-sql-", make.user()))
    }

    /// The same in this folder, which must be its user's.
    pub fn start_in(make: Make, folder: tempfile::TempDir) -> Self {
        let mut server = Server { make, folder, port: free_port(), child: None };
        for name in ["server.pem", "server.key"] {
            let from: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/account", name].iter().collect();
            fs::copy(from, server.path(name)).unwrap();
            server.give(&server.path(name), 0o600);
        }
        server.create();
        server.run();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket; of PostgreSQL the folder is enough only with its usual port.
    pub fn socket(&self) -> PathBuf {
        match self.make {
            Make::Postgresql => self.path(&format!(".s.PGSQL.{}", self.port)),
            Make::Mariadb => self.path("sock"),
        }
    }

    /// Starts it, and waits until it takes connections.
    pub fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(match self.make {
            Make::Postgresql => "postgres",
            Make::Mariadb => "mariadbd",
        });
        let (pem, key) = (self.path("server.pem"), self.path("server.key"));
        match self.make {
            Make::Postgresql => {
                command.arg("-D").arg(self.path("data"));
                for setting in [
                    "listen_addresses=127.0.0.1".to_owned(),
                    format!("port={}", self.port),
                    format!("unix_socket_directories={}", self.folder.path().display()),
                    "ssl=on".to_owned(),
                    format!("ssl_cert_file={}", pem.display()),
                    format!("ssl_key_file={}", key.display()),
                    "fsync=off".to_owned(),
                    "shared_buffers=16MB".to_owned(),
                ] {
                    command.arg("-c").arg(setting);
                }
            }
            Make::Mariadb => {
                command.arg("--no-defaults").arg("--bind-address=127.0.0.1").args(["--skip-name-resolve"]);
                command.arg(format!("--datadir={}", self.path("data").display()));
                command.arg(format!("--port={}", self.port));
                command.arg(format!("--socket={}", self.socket().display()));
                command.arg(format!("--pid-file={}", self.path("pid").display()));
                command.arg(format!("--init-file={}", self.path("init.sql").display()));
                command.arg(format!("--ssl-cert={}", pem.display()));
                command.arg(format!("--ssl-key={}", key.display()));
                command.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]);
            }
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        // PostgreSQL listens before it answers.
        let ready = || match self.make {
            Make::Postgresql => {
                let mut asked = Command::new(self.make.program("pg_isready"));
                asked.args(["--quiet", "--host=127.0.0.1"]).arg(format!("--port={}", self.port));
                asked.status().unwrap().success()
            }
            Make::Mariadb => std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok(),
        };
        let until = Instant::now() + WAIT;
        while !ready() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "{:?} ended: {}", self.make, log());
            assert!(Instant::now() < until, "{:?} does not start: {}", self.make, log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it in good order.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let signal = if self.make == Make::Postgresql { "-INT" } else { "-TERM" };
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        let until = Instant::now() + WAIT;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{:?} does not stop", self.make);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of the server, as its user, which ends when the test does.
    fn command(&self, program: &str) -> Command {
        let mut command = self.as_user();
        command.arg(self.make.program(program)).current_dir(self.folder.path());
        command
    }

    /// What runs its arguments as the user of the server, until the test ends.
    fn as_user(&self) -> Command {
        let mut command = folder::command_as(folder::other_user(self.make.user()).as_ref());
        // What it writes for a while it writes where it can.
        command.env("TMPDIR", self.folder.path());
        command
    }

    /// Makes a file or folder one of the server's user.
    fn give(&self, path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if let Some(user) = folder::other_user(self.make.user()) {
            nix::unistd::chown(path, Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    fn create(&self) {
        let mut command = match self.make {
            Make::Postgresql => {
                fs::write(self.path("password"), format!("{PASSWORD}\n")).unwrap();
                self.give(&self.path("password"), 0o600);
                let mut command = self.command("initdb");
                command.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"]);
                command.arg("--username").arg(ADMIN).arg("--pwfile").arg(self.path("password"));
                command
            }
            Make::Mariadb => {
                let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
                let init = format!(
                    "CREATE DATABASE IF NOT EXISTS mail CHARACTER SET utf8mb4;\n\
                     CREATE USER IF NOT EXISTS '{ADMIN}'@'%' IDENTIFIED BY '{password}';\n\
                     GRANT ALL ON *.* TO '{ADMIN}'@'%' WITH GRANT OPTION;\n"
                );
                fs::write(self.path("init.sql"), init).unwrap();
                self.give(&self.path("init.sql"), 0o600);
                let mut command = self.command("mariadb-install-db");
                command.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
                command
            }
        };
        let data = if self.make == Make::Postgresql { "--pgdata" } else { "--datadir" };
        let output = command.arg(format!("{data}={}", self.path("data").display())).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
    }
}

/// A PgBouncer before a PostgreSQL, which lends a server for one transaction.
pub struct Pooler {
    pub port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// One with fewer connections to this server than its clients have to it.
    pub fn pooler(&self) -> Pooler {
        let folder = folder::folder("rcptd-pooler-", self.make.user());
        let (port, place) = (free_port(), folder.path().display());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {place}/users\npool_mode = transaction\n\
             default_pool_size = 3\nmax_client_conn = 200\nlogfile = {place}/log\nlog_connections = 0\n\
             log_disconnections = 0\n",
            self.port
        );
        for (name, text) in [("ini", settings), ("users", format!("\"{ADMIN}\" \"{PASSWORD}\"\n"))] {
            fs::write(folder.path().join(name), text).unwrap();
            self.give(&folder.path().join(name), 0o600);
        }
        self.give(folder.path(), 0o700);
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("no pgbouncer: install it, as tests/run does");
        let mut command = self.as_user();
        command
            .arg(program)
            .arg("-q")
            .arg(folder.path().join("ini"))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + WAIT;
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "PgBouncer ended: {}", log());
            assert!(Instant::now() < until, "PgBouncer does not start: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        Pooler { port, child, _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if self.make == Make::Postgresql {
                // Its children end on their own, but only where it can tell them; killed, it leaves memory behind.
                let _ = Command::new("kill").arg("-QUIT").arg(child.id().to_string()).status();
                let until = Instant::now() + Duration::from_secs(10);
                while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
