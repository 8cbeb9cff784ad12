//! A Postfix of Debian's package that a test starts itself, with a configuration and a queue of its own, and its
//! postmap(1). It needs root.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)]

use super::programs::{program, wait_for};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for a reply.
const WAIT: Duration = Duration::from_mins(1);

/// Placeholder for the folder in the texts of a configuration.
pub const FOLDER: &str = "@FOLDER@";

pub struct Postfix {
    folder: tempfile::TempDir,
    child: Child,
}

impl Postfix {
    /// Starts one with these files; the services of `master` are in addition to those that each instance needs. Returns
    /// when it accepts connections at `port`.
    pub fn start(main: &str, master: &str, files: &[(&str, &str)], port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("rcptd-postfix-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {FOLDER}/queue\ndata_directory = {FOLDER}/data\n\
             maillog_file = {FOLDER}/log\nmaillog_file_prefixes = {FOLDER}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example.test\n\
             mydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\n\
             default_transport = error:no mail is sent\nin_flow_delay = 0\n\
             smtpd_hard_error_limit = 1000\nsmtpd_error_sleep_time = 0\n\
             smtpd_relay_restrictions = reject_unauth_destination\n{main}\n"
        );
        let master = format!(
            "{master}\ncleanup unix n - n - 0 cleanup\nrewrite unix - - n - - trivial-rewrite\n\
             proxymap unix - - n - - proxymap\nanvil unix - - n - 1 anvil\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        );
        let place = folder.path().display().to_string();
        for (name, content) in [("main.cf", &*main), ("master.cf", &master)].iter().chain(files) {
            fs::write(folder.path().join(name), content.replace(FOLDER, &place)).unwrap();
        }
        for name in ["queue", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let owned = Command::new("chown").arg("postfix").arg(folder.path().join("data")).status().unwrap();
        assert!(owned.success(), "install postfix, as tests/run does; and this test needs root");
        // Creates the folders of the queue.
        let output = Command::new(program("postfix", "postfix"))
            .arg("-c")
            .arg(folder.path())
            .arg("check")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let errors = File::create(folder.path().join("errors")).unwrap();
        let child = Command::new(program("master", "postfix"))
            .args(["-d", "-c"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let postfix = Postfix { folder, child };
        wait_for("postfix", &postfix.path("log"), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        postfix
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The results of its client for these keys.
    pub fn postmap(&self, table: &str, keys: &[&str]) -> Vec<PostmapResult> {
        postmap(self.folder.path(), table, keys)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // master terminates its daemons.
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A client of an smtpd.
pub struct Smtp(BufReader<TcpStream>);

impl Smtp {
    /// Connects and sends EHLO.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut smtp = Smtp(BufReader::new(stream));
        let greeting = smtp.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        let reply = smtp.ask("EHLO client.remote.test");
        assert!(reply.starts_with("250 "), "{reply}");
        smtp
    }

    /// The reply to a command, or to the text of a message: its last line.
    pub fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the server closed the connection");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}

/// The replies to RCPT for these addresses, in one connection.
pub fn rcpt(port: u16, addresses: &[&str]) -> Vec<String> {
    let mut smtp = Smtp::connect(port);
    let reply = smtp.ask("MAIL FROM:<sender@remote.test>");
    assert!(reply.starts_with("250 "), "{reply}");
    let replies = addresses.iter().map(|address| smtp.ask(&format!("RCPT TO:<{address}>"))).collect();
    smtp.ask("QUIT");
    replies
}

/// The result of a client for a key. A failure has no reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostmapResult {
    Value(String),
    NotFound,
    Failure,
}

/// The results of `postmap -q` for these keys in a table, with the main.cf in this folder.
pub fn postmap(config: &Path, table: &str, keys: &[&str]) -> Vec<PostmapResult> {
    let asked = begin_postmap(config, table, keys);
    // All keys with one process; if it fails, each key with its own process, since a failure takes a second.
    end_postmap(asked, table, keys).unwrap_or_else(|| {
        let asked: Vec<_> = keys.iter().map(|key| begin_postmap(config, table, &[*key])).collect();
        let end = |(asked, key): (Child, &&str)| {
            end_postmap(asked, table, &[*key]).map_or(PostmapResult::Failure, |mut results| results.remove(0))
        };
        asked.into_iter().zip(keys).map(end).collect()
    })
}

fn begin_postmap(config: &Path, table: &str, keys: &[&str]) -> Child {
    let mut child = Command::new(program("postmap", "postfix"))
        .arg("-c")
        .arg(config)
        .args(["-q", "-", table])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = keys.iter().map(|key| format!("{key}\n")).collect::<Vec<_>>().concat();
    // After a failure it does not read the remaining keys.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child
}

/// `None` if it failed.
fn end_postmap(child: Child, table: &str, keys: &[&str]) -> Option<Vec<PostmapResult>> {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("unsupported dictionary type"), "install the package for {table}: {errors}");
    if errors.contains("fatal:") {
        return None;
    }
    let found = String::from_utf8(output.stdout).unwrap();
    let value = |key: &&str| {
        let begin = format!("{key}\t");
        let line = found.lines().find_map(|line| line.strip_prefix(&begin));
        line.map_or(PostmapResult::NotFound, |value| PostmapResult::Value(value.into()))
    };
    Some(keys.iter().map(value).collect())
}
