//! The recipe of senders, as smtpd_sender_login_maps of a Postfix whose users log in through Dovecot.

use super::common::{Daemon, Site};
use super::postfix_server::{Postfix, Smtp};
use super::programs::{free_port, program, wait_for};
use super::servers::{ADMIN, Make, PASSWORD};
use super::{RULES, create, replace, schemas, section, site, texts};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Logins with the password "secret", as AUTH PLAIN encodes them.
const NOBODY: &str = "";
const ANN: &str = "AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=";
const ONEIL: &str = "AG8nbmVpbEBleGFtcGxlLmNvbQBzZWNyZXQ=";

const MAY: &str = "250 2.1.5";
const NOT_OWNED: &str = "553 5.7.1";
const LATER: &str = super::LATER;

/// Login, sender, the first characters of the reply.
const CASES: &[(&str, &str, &str)] = &[
    (ANN, "ann@example.com", MAY),
    (ANN, "Ann@Example.com", MAY),
    (ANN, "ann-macys-m5@example.com", MAY),
    (ANN, "ann-macys-m6@example.com", NOT_OWNED),
    (ANN, "info@example.com", MAY),
    (ANN, "o'neil@example.com", NOT_OWNED),
    (ANN, "nobody@example.com", NOT_OWNED),
    (ANN, "old@example.com", NOT_OWNED),
    (ANN, "ann@remote.test", NOT_OWNED),
    (ONEIL, "o'neil@example.com", MAY),
    (ONEIL, "ann@example.com", NOT_OWNED),
    (ONEIL, "ann-macys-m5@example.com", NOT_OWNED),
    (ONEIL, "info@example.com", NOT_OWNED),
    // Clients without a login may send as addresses without an owner.
    (NOBODY, "ann@example.com", NOT_OWNED),
    (NOBODY, "ann-macys-m5@example.com", NOT_OWNED),
    (NOBODY, "info@example.com", NOT_OWNED),
    (NOBODY, "nobody@example.com", MAY),
    (NOBODY, "ann@remote.test", MAY),
];

/// The authentication service of a Dovecot, for every name with the password "secret".
struct Auth {
    folder: tempfile::TempDir,
    child: Child,
}

impl Auth {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rcptd-dovecot-").tempdir().unwrap();
        // smtpd(8) runs as a user of its own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().display();
        let conf = format!(
            "base_dir = {path}/run\nstate_dir = {path}/state\nlog_path = {path}/log\n\
             protocols =\nssl = no\ndefault_internal_user = root\ndefault_login_user = root\n\
             default_internal_group = root\nauth_username_chars =\n\
             passdb {{\n driver = static\n args = password=secret\n}}\n\
             userdb {{\n driver = static\n args = uid=65534 gid=65534 home=/nonexistent\n}}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n\
             service auth {{\n unix_listener {path}/auth {{\n mode = 0666\n }}\n}}\n"
        );
        fs::write(folder.path().join("dovecot.conf"), conf).unwrap();
        let child = Command::new(program("dovecot", "dovecot-core"))
            .args(["-F", "-c"])
            .arg(folder.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let auth = Auth { folder, child };
        wait_for("dovecot", &auth.folder.path().join("log"), || {
            std::os::unix::net::UnixStream::connect(auth.socket()).is_ok()
        });
        auth
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("auth")
    }
}

impl Drop for Auth {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The reply to a message of this sender.
fn send(port: u16, login: &str, sender: &str) -> String {
    let mut smtp = Smtp::connect(port);
    if login != NOBODY {
        let reply = smtp.ask(&format!("AUTH PLAIN {login}"));
        assert!(reply.starts_with("235 "), "{reply}");
    }
    let reply = smtp.ask(&format!("MAIL FROM:<{sender}>"));
    assert!(reply.starts_with("250 "), "{reply}");
    smtp.ask("RCPT TO:<somebody@example.com>")
}

fn start(site: &site::Site, database: &str, port: u16) -> Daemon {
    let folder = Site::new("", "");
    folder.write("password", PASSWORD);
    super::private(&folder.path("password"));
    folder.write("aliases.rules", RULES);
    let accounts = texts(&section("postfixadmin"), "toml").concat();
    let own = texts(&section("Senders of users who have logged in"), "toml").concat();
    let config = format!(
        "domains = [\"example.com\"]\nrules = [\"aliases.rules\"]\n[account]\nsource = \"map:accounts\"\n\
         [[socketmap]]\nlisten = \"inet:127.0.0.1:{port}\"\n\
         [[database]]\nname = \"mail\"\nkind = \"{}\"\nhosts = [\"127.0.0.1:{}\"]\nuser = \"{ADMIN}\"\n\
         password_file = \"{}\"\ndatabase = \"{database}\"\n{accounts}{own}",
        site.kind().name(),
        site.port(),
        folder.path("password").display(),
    );
    folder.write("rcptd.conf", &config);
    Daemon::start(folder)
}

#[tokio::test]
async fn senders_of_users() {
    let mut site = site::Site::server(Make::Postgresql);
    let schema = &schemas::ALL[0];
    create(&site, schema).await;
    let (port, smtpd) = (free_port(), free_port());
    let daemon = start(&site, &schema.database(), port);
    let auth = Auth::start();
    let mut main = texts(&section("Senders of users who have logged in"), "text").concat();
    replace(&mut main, "127.0.0.1:2224", &format!("127.0.0.1:{port}"));
    let main = format!(
        "{main}virtual_mailbox_domains = example.com\nvirtual_mailbox_maps = static:all\n\
         smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n",
        auth.socket().display()
    );
    let postfix = Postfix::start(&main, &format!("127.0.0.1:{smtpd} inet n - n - - smtpd"), &[], smtpd);
    let check = |login: &str, sender: &str, want: &str| {
        let reply = send(smtpd, login, sender);
        let logs = || format!("{}\n{}", daemon.log.text(), postfix.log());
        assert!(reply.starts_with(want), "{login} {sender}: {reply}, want {want}\n{}", logs());
    };
    for (login, sender, want) in CASES {
        check(login, sender, want);
    }
    site.process().stop();
    for (login, sender, want) in [
        (ANN, "ann@example.com", LATER),
        (ANN, "info@example.com", LATER),
        (NOBODY, "later@example.com", LATER),
    ] {
        check(login, sender, want);
    }
}
