//! The sources that ask a server, each with a server that has the accounts foo, bar and postmaster.

use super::databases::{Ldap, Redis, Sql};
use super::dovecot::Dovecot;
use super::fake::{self, acceptor};
use super::servers::Make;
use super::stores;
use super::{Opened, fixtures, settings, witnessed_map};
use rcptd::account::settings::{StartTls, Witness};
use rcptd::map::remote;
use rcptd::net::host::Host;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;

/// The accounts of every server.
pub const ACCOUNTS: [&str; 3] = ["foo@example.test", "bar@example.test", "postmaster@example.test"];

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    On,
    /// The certificate is from an authority that is not trusted.
    OtherAuthority,
}

impl Tls {
    pub fn authority(self) -> &'static str {
        if self == Tls::OtherAuthority { "server.pem" } else { "ca.pem" }
    }
}

/// The reply of a server instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A temporary failure.
    Temporary,
    /// A permanent error, such as a missing privilege; if the protocol has no such reply, one that violates the
    /// protocol.
    Permanent,
    /// These octets, which violate the protocol.
    Garbage(&'static [u8]),
}

/// A source, and its server.
pub trait Site: Send + Sync {
    /// The name of the source in the table.
    fn name(&self) -> &'static str;
    /// Where the server listens.
    fn place(&self, tls: Tls) -> Host;
    /// Whether rcptd expects it at a socket.
    fn is_at_socket(&self) -> bool {
        false
    }
    fn has_tls(&self) -> bool {
        false
    }
    /// Whether a connection stays open for minutes until an abandoned query ends.
    fn lingers(&self) -> bool {
        false
    }
    /// Opens the source, with the server at this address.
    fn open(&self, at: &Host, deadline: Duration, tls: Tls) -> Opened;
    /// The reply to a request, if it is the question for an account.
    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>>;
    /// Restarts the server. Returns false if it cannot be restarted.
    fn restart(&mut self) -> bool {
        false
    }
    /// Removes all accounts.
    fn empty(&mut self);
}

/// Starts every server. To add a source, add a line here.
pub fn all() -> Vec<fn() -> Box<dyn Site>> {
    vec![
        || Box::new(Smtp::start("vrfy")),
        || Box::new(Smtp::start("rcpt")),
        || Box::new(Smtp::start("lmtp")),
        || Box::new(Dovecot::start_with(&ACCOUNTS.map(|account| account.split('@').next().unwrap()))),
        || Box::new(Plugin::start("exec:")),
        || Box::new(Plugin::start("unix:")),
        || Box::new(Remote::start("map: tcp")),
        || Box::new(Remote::start("map: socketmap")),
        || Box::new(Sql::start(Make::Postgresql)),
        || Box::new(Sql::start(Make::Mariadb)),
        || Box::new(Redis::start()),
        || Box::new(Ldap::start()),
    ]
}

pub fn inet(port: u16) -> Host {
    Host::Inet("127.0.0.1".into(), port)
}

/// `vrfy:`, `rcpt:` and `lmtp:`.
struct Smtp {
    kind: &'static str,
    server: fake::Fake,
    is_empty: Arc<AtomicBool>,
}

impl Smtp {
    fn start(kind: &'static str) -> Self {
        use fake::Act;
        let is_empty = Arc::new(AtomicBool::new(false));
        let empty = is_empty.clone();
        let script = move |line: &str, _, _| match line.get(..4) {
            Some("EHLO" | "LHLO") => Act::say("250-fake\r\n250-SMTPUTF8\r\n250 STARTTLS"),
            Some("STAR") => Act::StartTls("220 go ahead\r\n".into()),
            Some("VRFY" | "RCPT") => {
                let is_there = ACCOUNTS.iter().any(|account| line.contains(&format!("<{account}>")));
                Act::say(if is_there && !empty.load(SeqCst) { "250 2.1.5 ok" } else { "550 5.1.1 no" })
            }
            _ => Act::Usual,
        };
        let server = fixtures().block_on(fake::Fake::start_with(Some(acceptor()), script));
        Smtp { kind, server, is_empty }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.server.stop();
    }
}

impl Site for Smtp {
    fn name(&self) -> &'static str {
        ["vrfy:", "rcpt:", "lmtp:"].into_iter().find(|name| name.starts_with(self.kind)).unwrap()
    }

    fn place(&self, _: Tls) -> Host {
        inet(self.server.port())
    }

    fn has_tls(&self) -> bool {
        true
    }

    fn open(&self, at: &Host, deadline: Duration, tls: Tls) -> Opened {
        let mut settings = settings(&format!("{}:{at}", self.kind), deadline);
        let smtp = &mut settings.sources[0].smtp;
        if tls != Tls::Off {
            smtp.starttls = StartTls::Required;
            smtp.tls_ca = Some(fake::data(tls.authority()));
        }
        Opened::from(settings)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            let is_question = request.starts_with(b"VRFY") || request.starts_with(b"RCPT");
            is_question.then(|| match failure {
                Failure::Temporary => b"451 4.3.0 database is down\r\n".to_vec(),
                Failure::Permanent => b"554 5.7.1 access denied\r\n".to_vec(),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    fn empty(&mut self) {
        self.is_empty.store(true, SeqCst);
    }
}

/// The answer of a fake server to a request, by whether it has an account.
fn fake_server(
    end: u8,
    answer: impl Fn(&str, &dyn Fn(&str) -> bool) -> String + Send + Sync + 'static,
) -> (stores::Fake, Arc<AtomicBool>) {
    let is_empty = Arc::new(AtomicBool::new(false));
    let empty = is_empty.clone();
    let act = move |request: &[u8]| {
        let has = |account: &str| ACCOUNTS.contains(&account) && !empty.load(SeqCst);
        stores::Act::Reply(answer(&String::from_utf8_lossy(request), &has).into_bytes())
    };
    (stores::Fake::new(move |request| request.ends_with(&[end]), act), is_empty)
}

/// `dovecot:`, a real one.
impl Site for Dovecot {
    fn name(&self) -> &'static str {
        "dovecot:"
    }

    fn place(&self, _: Tls) -> Host {
        Host::Unix(self.auth())
    }

    fn is_at_socket(&self) -> bool {
        true
    }

    fn open(&self, at: &Host, deadline: Duration, _: Tls) -> Opened {
        let Host::Unix(path) = at else { panic!("{at} is not a socket") };
        let mut settings = settings(&format!("dovecot:{}", path.display()), deadline);
        settings.sources[0].witness = Witness::Account("postmaster".into()).into();
        Opened::from(settings)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            let text = String::from_utf8_lossy(request);
            let id = text.split_once("USER\t")?.1.split('\t').next()?;
            Some(match failure {
                Failure::Temporary => format!("FAIL\t{id}\treason=the database is down\n").into_bytes(),
                Failure::Permanent => format!("FAIL\t{id}\n").into_bytes(),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    /// Replaces its processes.
    fn restart(&mut self) -> bool {
        self.reload();
        true
    }

    fn empty(&mut self) {
        self.users(&[]);
    }
}

/// `exec:` and `unix:`.
struct Plugin {
    name: &'static str,
    server: stores::Fake,
    is_empty: Arc<AtomicBool>,
    folder: TempDir,
}

/// Connects standard input and output to a port.
const BRIDGE: &str = "exec 3<>\"/dev/tcp/127.0.0.1/$1\" 4<&0 || exit 1\n\
                      { cat <&4 >&3; kill $$; } &\ncat <&3\nkill $!\n";

impl Plugin {
    fn start(name: &'static str) -> Self {
        let answer = |request: &str, has: &dyn Fn(&str) -> bool| {
            let line = |line: &str| match line.split_once(" exists ") {
                Some((id, account)) => format!("{id} {}\n", if has(account) { "found" } else { "notfound" }),
                None => "rcptd-plugin 1 fake\n".into(),
            };
            request.lines().map(line).collect()
        };
        let (server, is_empty) = fake_server(b'\n', answer);
        let folder = TempDir::with_prefix("rcptd-faults-").unwrap();
        fs::write(folder.path().join("bridge"), BRIDGE).unwrap();
        Plugin { name, server, is_empty, folder }
    }
}

impl Site for Plugin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn place(&self, _: Tls) -> Host {
        inet(self.server.port)
    }

    fn is_at_socket(&self) -> bool {
        self.name == "unix:"
    }

    fn open(&self, at: &Host, deadline: Duration, _: Tls) -> Opened {
        let spec = match at {
            Host::Unix(path) => format!("unix:{}", path.display()),
            Host::Inet(_, port) => {
                format!("exec:/bin/bash {} {port}", self.folder.path().join("bridge").display())
            }
        };
        let mut settings = settings(&spec, deadline);
        settings.sources[0].witness = Witness::Account("postmaster".into()).into();
        Opened::from(settings)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            let text = String::from_utf8_lossy(request);
            let id = text.split_once(" exists ")?.0;
            Some(match failure {
                Failure::Temporary => format!("{id} tempfail database is down\n").into_bytes(),
                Failure::Permanent => format!("{id} denied\n").into_bytes(),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    fn empty(&mut self) {
        self.is_empty.store(true, SeqCst);
    }
}

/// `map:` over a server of tcp_table or socketmap.
struct Remote {
    name: &'static str,
    server: stores::Fake,
    is_empty: Arc<AtomicBool>,
}

impl Remote {
    fn start(name: &'static str) -> Self {
        let (server, is_empty) = if name == "map: tcp" {
            fake_server(b'\n', |request, has| {
                let key = request.trim_end().strip_prefix("get ").unwrap_or_default();
                if has(key) { "200 yes\n" } else { "500 no\n" }.into()
            })
        } else {
            fake_server(b',', |request, has| {
                let key = request.split_once(' ').map_or("", |(_, key)| key.trim_end_matches(','));
                if has(key) { "6:OK yes," } else { "9:NOTFOUND ," }.into()
            })
        };
        Remote { name, server, is_empty }
    }
}

impl Site for Remote {
    fn name(&self) -> &'static str {
        self.name
    }

    fn place(&self, _: Tls) -> Host {
        inet(self.server.port)
    }

    fn open(&self, at: &Host, deadline: Duration, _: Tls) -> Opened {
        if self.name == "map: tcp" {
            witnessed_map(&format!("tcp:{at}"), remote::tcp_table(at), deadline)
        } else {
            let source = format!("socketmap:inet:{at}:users");
            witnessed_map(&source, remote::socketmap(at, "users"), deadline)
        }
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            let (temporary, permanent): (&[u8], &[u8]) = if request.ends_with(b",") {
                (b"18:TEMP database down,", b"11:PERM denied,")
            } else {
                (b"400 database down\n", b"501 denied\n")
            };
            Some(match failure {
                Failure::Temporary => temporary.to_vec(),
                Failure::Permanent => permanent.to_vec(),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    fn empty(&mut self) {
        self.is_empty.store(true, SeqCst);
    }
}
