//! A real Dovecot 2.3 (packages `dovecot-core`, `dovecot-lmtpd`), started by a test in a folder of its own.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)]

use super::programs::{free_port, program, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Dovecot {
    folder: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

impl Dovecot {
    /// Accounts alice and postmaster of example.test.
    pub fn start() -> Self {
        Dovecot::start_with(&["alice", "postmaster"])
    }

    /// These accounts of example.test. If there are none, the list does not exist.
    pub fn start_with(names: &[&str]) -> Self {
        Dovecot::start_as(names, "userdb {\n driver = passwd-file\n args = PATH/users\n}\n")
    }

    /// The same with these lines of the configuration for its users, in which PATH is its folder.
    pub fn start_as(names: &[&str], users: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rcptd-dovecot-").tempdir().unwrap();
        // Its processes run as users of their own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (path, port) = (folder.path().display(), free_port());
        let conf = format!(
            "base_dir = {path}/run\nstate_dir = {path}/state\nlog_path = {path}/log\n\
             protocols = lmtp\nlisten = 127.0.0.1\nssl = no\ndefault_internal_user = root\n\
             default_login_user = root\ndefault_internal_group = root\nmail_location = maildir:{path}/mail/%n\n\
             passdb {{\n driver = static\n args = nopassword=y\n}}\n\
             service auth {{\n unix_listener rcptd-userdb {{\n mode = 0600\n }}\n}}\n\
             service anvil {{\n chroot =\n}}\n\
             service stats {{\n chroot =\n}}\n\
             service lmtp {{\n unix_listener lmtp {{\n mode = 0600\n }}\n\
             inet_listener lmtp {{\n address = 127.0.0.1\n port = {port}\n }}\n}}\n{}",
            users.replace("PATH", &path.to_string())
        );
        fs::write(folder.path().join("dovecot.conf"), conf).unwrap();
        let child = Command::new(program("dovecot", "dovecot-core"))
            .args(["-F", "-c"])
            .arg(folder.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let dovecot = Dovecot { folder, port, child };
        if !names.is_empty() {
            dovecot.users(names);
        }
        let sockets = [dovecot.socket(), dovecot.auth()];
        wait_for("dovecot", &dovecot.folder.path().join("log"), || {
            sockets.iter().all(|socket| UnixStream::connect(socket).is_ok())
        });
        dovecot
    }

    pub fn users(&self, names: &[&str]) {
        let path = self.folder.path().display();
        let line = |name: &&str| format!("{name}@example.test::65534:65534::{path}/mail/{name}::\n");
        fs::write(self.list(), names.iter().map(line).collect::<String>()).unwrap();
    }

    pub fn list(&self) -> PathBuf {
        self.folder.path().join("users")
    }

    /// The socket of LMTP.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/lmtp")
    }

    /// The socket of the auth service.
    pub fn auth(&self) -> PathBuf {
        self.folder.path().join("run/rcptd-userdb")
    }

    /// Reloads: all processes except the first are replaced.
    pub fn reload(&self) {
        let done = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
