//! Dovecot 2.4 of Debian 13, whose packages are unpacked. It runs with that folder as its root.

use super::Server;
use super::namespace::with_folders;
use super::programs::wait_for;
use super::real::{an_unavailable_list_fails, finds_everybody, finds_its_users};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Dovecot {
    folder: tempfile::TempDir,
    child: Child,
}

impl Dovecot {
    /// With these lines of the configuration for its users.
    fn start(users: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trixie");
        assert!(root.join("usr/sbin/dovecot").exists(), "no {}: run tests/run setup", root.display());
        let folder = tempfile::Builder::new().prefix("rcptd-dovecot-").tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (etc, tmp) = (folder.path().join("etc"), folder.path().join("tmp"));
        fs::create_dir(&etc).unwrap();
        fs::create_dir(&tmp).unwrap();
        let accounts = "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n";
        fs::write(etc.join("passwd"), accounts).unwrap();
        fs::write(etc.join("group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        let conf = format!(
            "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\nbase_dir = /srv/run\n\
             state_dir = /srv/state\nlog_path = /srv/log\nprotocols =\nlisten = 127.0.0.1\nssl = no\n\
             default_internal_user = root\ndefault_login_user = root\ndefault_internal_group = root\n\
             passdb static {{\n password = x\n}}\n{users}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n\
             service auth {{\n unix_listener rcptd-userdb {{\n mode = 0600\n }}\n}}\n"
        );
        fs::write(folder.path().join("dovecot.conf"), conf).unwrap();
        let inside = |name: &str| root.join(name).display().to_string();
        let there = ["etc", "tmp", "dev", "srv"].map(inside);
        let output = File::create(folder.path().join("output")).unwrap();
        let here = [&*etc, &*tmp, Path::new("/dev"), folder.path()];
        let places: Vec<_> = here.into_iter().zip(there.iter().map(String::as_str)).collect();
        let child = with_folders(&places, Path::new("chroot"))
            .arg(&root)
            .args(["/usr/sbin/dovecot", "-F", "-c", "/srv/dovecot.conf"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let dovecot = Dovecot { folder, child };
        dovecot.users(&["alice", "postmaster"]);
        let socket = dovecot.auth();
        wait_for("dovecot 2.4", &dovecot.folder.path().join("output"), || {
            UnixStream::connect(&socket).is_ok()
        });
        dovecot
    }
}

impl Server for Dovecot {
    fn auth(&self) -> PathBuf {
        self.folder.path().join("run/rcptd-userdb")
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("users")
    }

    fn users(&self, names: &[&str]) {
        let line = |name: &&str| format!("{name}@example.test::65534:65534::/nonexistent::\n");
        fs::write(self.list(), names.iter().map(line).collect::<String>()).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The users in a file.
const LISTED: &str = "userdb passwd-file {\n passwd_file_path = /srv/users\n}";

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_users_of_dovecot_2_4() {
    finds_its_users(&Dovecot::start(LISTED)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_list_of_dovecot_2_4_is_a_temporary_failure() {
    an_unavailable_list_fails(&Dovecot::start(LISTED)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_userdb_of_dovecot_2_4_that_finds_every_name_is_a_temporary_failure() {
    let users =
        "userdb static {\n allow_all_users = yes\n fields {\n uid = 65534\n gid = 65534\n home = /x\n }\n}";
    finds_everybody(&Dovecot::start(users)).await;
}
