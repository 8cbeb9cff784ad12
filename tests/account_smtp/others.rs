//! A real Exim and a real OpenSMTPD. They conflict with the package of Postfix, so their packages
//! (`exim4-daemon-light`, `opensmtpd`) are unpacked, and each runs with folders of the test mounted at /etc and /var.

use super::namespace::with_folders;
use super::programs::{free_port, wait_for};
use super::{patient, source, verdict};
use rcptd::account::settings::{Settings, Trust, Witness};
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user of Exim in the folder of the test, and its group.
const EXIM: u32 = 65531;
/// The group that the tools of OpenSMTPD must have.
const OPENSMTPQ: u32 = 65533;

/// Where `tests/run setup` has unpacked the packages.
fn unpacked(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mail-servers").join(path);
    assert!(path.exists(), "no {}: unpack it with tests/run setup", path.display());
    path
}

struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// A folder with /etc and /var for a server.
    fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("rcptd-mail-").tempdir().unwrap();
        let server = Server { folder, port: free_port(), child: None };
        for (name, mode) in [
            ("", 0o755),
            ("etc", 0o755),
            ("spool", 0o755),
            ("var", 0o755),
            ("var/run", 0o755),
            ("var/lib", 0o755),
            ("var/lib/opensmtpd", 0o755),
            ("var/lib/opensmtpd/empty", 0o755),
            ("var/spool", 0o755),
            ("var/spool/smtpd", 0o711),
        ] {
            let path = server.path(name);
            let _ = fs::create_dir(&path);
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        chown(server.path("spool"), Some(EXIM), Some(EXIM)).unwrap();
        let line = |(name, id): (&str, u32)| format!("{name}:x:{id}:{id}:{name}:/nonexistent:/bin/false\n");
        let users = [
            ("root", 0),
            ("Debian-exim", EXIM),
            ("opensmtpd", 65532),
            ("opensmtpq", OPENSMTPQ),
            ("nobody", 65534),
        ];
        server.write("etc/passwd", &users.map(line).concat());
        server.write("etc/group", &users.map(|(name, id)| format!("{name}:x:{id}:\n")).concat());
        server.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
        server.write("etc/hosts", "127.0.0.1 localhost\n");
        server.write("etc/mailname", "mx.example.test\n");
        server.write("etc/resolv.conf", "");
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A command that runs with the folders of the test mounted at /etc and /var.
    fn command(&self, program: &Path) -> Command {
        let (etc, var, tools) = (self.path("etc"), self.path("var"), unpacked("usr/libexec"));
        with_folders(&[(&etc, "/etc"), (&var, "/var"), (&tools, "/usr/libexec")], program)
    }

    fn run(&mut self, what: &str, command: &mut Command) {
        let log = File::create(self.path("output")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; this test needs root"));
        self.child = Some(child);
        let port = self.port;
        wait_for(what, &self.path("output"), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("{}{}", read("output"), read("spool/mainlog"))
    }

    fn settings(&self, kind: &str) -> Settings {
        let mut settings = patient(&format!("{kind}:127.0.0.1:{}", self.port));
        settings.sources[0].witness = Witness::Default.into();
        settings.sources[0].smtp.code_250 = Trust::Canary.into();
        settings.sources[0].smtp.code_252 = Trust::Canary.into();
        settings.sources[0].smtp.per_connection = 5;
        settings
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The main process ends the others.
            let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// Accounts alice and postmaster of example.test.
fn exim(router: &str) -> Server {
    let mut server = Server::prepare();
    let (path, port) = (server.folder.path().display(), server.port);
    let conf = format!(
        "exim_path = {}\nspool_directory = {path}/spool\nlog_file_path = {path}/spool/%slog\n\
         pid_file_path = {path}/spool/pid\nprimary_hostname = mx.example.test\nkeep_environment =\n\
         local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\nhost_lookup =\nrfc1413_hosts =\n\
         tls_advertise_hosts =\nqueue_only = true\nacl_smtp_vrfy = accept\nacl_smtp_rcpt = rcpt\n\
         begin acl\nrcpt:\n require message = relay not permitted\n domains = example.test\n\
         require verify = recipient\n accept\n\
         begin routers\nlater:\n driver = redirect\n local_parts = later\n allow_defer\n\
         data = :defer: the list is down\nusers:\n driver = accept\n domains = example.test\n transport = none\n{}\n\
         begin transports\nnone:\n driver = appendfile\n file = /dev/null\n",
        unpacked("usr/sbin/exim4").display(),
        router.replace("PATH", &path.to_string()),
    );
    server.write("exim.conf", &conf);
    server.write("users", "alice: x\npostmaster: x\n");
    let mut command = server.command(&unpacked("usr/sbin/exim4"));
    command.arg("-C").arg(server.path("exim.conf")).arg("-bdf");
    server.run("exim", &mut command);
    server
}

/// Exim, with its accounts in a file.
const LISTED: &str = " local_parts = lsearch;PATH/users\n";

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_accounts_of_exim() {
    let exim = exim(LISTED);
    for (kind, later) in [
        ("vrfy", "temporary failure: VRFY <later@example.test>: 451 "),
        ("rcpt", "temporary failure: RCPT TO:<later@example.test>: 451 "),
    ] {
        let source = source(&exim.settings(kind)).await;
        for _ in 0..3 {
            for (account, want) in [
                ("alice@example.test", "exists"),
                ("bogus@example.test", "not found"),
                ("alice@remote.test", "temporary failure: "),
                ("later@example.test", later),
            ] {
                let got = verdict(&source, account).await;
                assert!(got.starts_with(want), "{kind} {account}: {got}\n{}", exim.log());
            }
        }
        // More than ten errors, after which Exim disconnects a client.
        for number in 0..15 {
            let got = verdict(&source, &format!("bogus{number}@example.test")).await;
            assert_eq!(got, "not found", "{kind} {number}\n{}", exim.log());
        }
    }
    assert!(!exim.log().contains("too many"), "{}", exim.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn deferrals_of_exim_are_temporary_failures() {
    let exim = exim(LISTED);
    for (fault, alice) in
        [("empty", "does not find the witness"), ("missing", ": 421 "), ("folder", ": 421 ")]
    {
        let _ = fs::remove_file(exim.path("users"));
        match fault {
            "empty" => exim.write("users", ""),
            "folder" => fs::create_dir(exim.path("users")).unwrap(),
            _ => (),
        }
        for kind in ["vrfy", "rcpt"] {
            let source = source(&exim.settings(kind)).await;
            for account in ["alice@example.test", "bogus@example.test"] {
                let got = verdict(&source, account).await;
                assert!(got.starts_with("temporary failure: "), "{fault} {kind}: {got}\n{}", exim.log());
                assert!(got.contains(alice), "{fault} {kind}: {got}\n{}", exim.log());
            }
        }
    }
    // A server that accepts every name.
    let open = self::exim("");
    for kind in ["vrfy", "rcpt"] {
        let got = verdict(&source(&open.settings(kind)).await, "alice@example.test").await;
        assert!(got.contains("also accepts an account that does not exist"), "{kind}: {got}");
    }
}

/// With these lines about the accounts alice and postmaster in users.db, and in the list `list`.
fn opensmtpd(action: &str) -> Server {
    let mut server = Server::prepare();
    let conf = format!(
        "table users db:/etc/users.db\ntable list {{ alice = nobody, postmaster = nobody }}\n\
         listen on 127.0.0.1 port {}\naction \"keep\" maildir \"/nonexistent\" {action}\n\
         match from any for domain \"example.test\" action \"keep\"\n",
        server.port
    );
    server.write("etc/smtpd.conf", &conf);
    server.write("etc/users", "alice 65534:65534:/nonexistent\npostmaster 65534:65534:/nonexistent\n");
    // The program runs under another name, and the package sets this group.
    let makemap = server.path("makemap");
    fs::copy(unpacked("usr/sbin/smtpctl"), &makemap).unwrap();
    let mut command = server.command(Path::new("setpriv"));
    let group = format!("--regid={OPENSMTPQ}");
    command.args([&group, "--clear-groups"]).arg(&makemap).args(["-o", "/etc/users.db", "/etc/users"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(server.path("etc/users.db"), Permissions::from_mode(0o644)).unwrap();
    let mut command = server.command(&unpacked("usr/sbin/smtpd"));
    command.args(["-d", "-f", "/etc/smtpd.conf"]);
    server.run("opensmtpd", &mut command);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_accounts_of_opensmtpd() {
    let opensmtpd = opensmtpd("userbase <users>");
    let source = source(&opensmtpd.settings("rcpt")).await;
    for _ in 0..3 {
        for (account, want) in [
            ("alice@example.test", "exists"),
            ("bogus@example.test", "not found"),
            // It replies the same as for an account that does not exist.
            ("alice@remote.test", "temporary failure: "),
        ] {
            let got = verdict(&source, account).await;
            assert!(got.starts_with(want), "{account}: {got}\n{}", opensmtpd.log());
        }
    }
    for number in 0..15 {
        let got = verdict(&source, &format!("bogus{number}@example.test")).await;
        assert_eq!(got, "not found", "{number}\n{}", opensmtpd.log());
    }
    // It has no VRFY.
    let got = verdict(&super::source(&opensmtpd.settings("vrfy")).await, "alice@example.test").await;
    assert!(got.starts_with("temporary failure: VRFY <alice@example.test>: 500 "), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deferrals_of_opensmtpd_are_temporary_failures() {
    let gone = opensmtpd("userbase <users>");
    let mut settings = gone.settings("rcpt");
    settings.sources[0].control_interval = Duration::from_millis(1);
    let source = source(&settings).await;
    assert_eq!(verdict(&source, "alice@example.test").await, "exists");
    fs::rename(gone.path("etc/users.db"), gone.path("etc/users.old")).unwrap();
    for account in ["alice@example.test", "bogus@example.test"] {
        let got = verdict(&source, account).await;
        assert!(got.contains(": 451 Temporary failure: "), "{got}\n{}", gone.log());
    }
    fs::rename(gone.path("etc/users.old"), gone.path("etc/users.db")).unwrap();
    assert_eq!(verdict(&source, "bogus@example.test").await, "not found", "{}", gone.log());
    // For a name that a virtual table lacks it replies 524, which does not mean that the account does not exist.
    let expanding = opensmtpd("virtual <list>");
    let source = super::source(&expanding.settings("rcpt")).await;
    for (account, want) in [
        ("alice@example.test", "temporary failure: RCPT TO:<alice@example.test>: 250 "),
        ("bogus@example.test", "temporary failure: RCPT TO:<bogus@example.test>: 524 5.2.4 "),
    ] {
        let got = verdict(&source, account).await;
        assert!(got.starts_with(want), "{got}\n{}", expanding.log());
    }
}
