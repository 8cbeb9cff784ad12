//! Servers of tables that a test starts itself: real ones of Debian's packages, in a folder of their own and on
//! ports of their own, and fake ones that misbehave.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub use super::programs::{free_port, program};
use rcptd::map::database::{self, Database};
use rcptd::map::settings::DatabaseSettings;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a server that starts.
const START: Duration = Duration::from_secs(30);

/// Opens a database, with counters of its own.
pub fn open(settings: &DatabaseSettings) -> Result<Arc<dyn Database>, String> {
    database::open(settings, &Arc::default())
}

/// A certificate of `tests/data/account/make.sh`, for 127.0.0.1 and mail.example.test.
pub fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/account").join(name)
}

/// Runs a program to its end, with this for its input.
pub fn run(command: &mut Command, input: &str) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read everything; then its message tells why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program that serves as long as the value lives.
pub struct Served {
    folder: PathBuf,
    command: Vec<String>,
    pub port: u16,
    /// The port for TLS of a directory.
    pub tls_port: u16,
    child: Option<Child>,
}

impl Served {
    fn new(folder: &Path, port: u16, command: Vec<String>) -> Self {
        let mut served = Served { folder: folder.into(), command, port, tls_port: 0, child: None };
        served.start();
        served
    }

    /// Starts it and waits until it accepts connections.
    pub fn start(&mut self) {
        let log = self.folder.join("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        // setpriv(1) sees to it that it does not outlive a test that is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(&self.command)
            .current_dir(&self.folder)
            .env("TMPDIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let is_late = begun.elapsed() > START;
            assert!(ended.is_none() && !is_late, "it does not serve:\n{}", fs::read_to_string(&log).unwrap());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it: its connections end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it without an end of its connections, or lets it go on: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        run(Command::new("kill").args(["-s", name, &id]), "");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A Redis; `more` are further arguments.
pub fn redis(folder: &Path, more: &[&str]) -> Served {
    let port = free_port();
    let mut command = vec![program("redis-server", "redis-server").display().to_string()];
    let port_text = port.to_string();
    let fixed = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"];
    command.extend(fixed.iter().chain(more).map(|word| (*word).to_owned()));
    Served::new(folder, port, command)
}

/// A Redis Sentinel that watches the server at `master` as "mymaster", alone; `more` are lines of its configuration.
pub fn redis_sentinel(folder: &Path, master: u16, more: &str) -> Served {
    let port = free_port();
    let file = folder.join("sentinel.conf");
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n{more}"
    );
    fs::write(&file, config).unwrap();
    let program = program("redis-server", "redis-server").display().to_string();
    Served::new(folder, port, vec![program, file.display().to_string(), "--sentinel".into()])
}

/// Commands to a Redis, over one connection; none may fail.
pub fn tell_redis(port: u16, commands: &[&[&str]]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for words in commands {
        let reply = told(&mut stream, words);
        assert!(!reply.is_empty() && !reply.starts_with('-'), "{words:?}: {reply}");
    }
}

/// What a Redis says to a command.
pub fn tell_redis_once(port: u16, words: &[&str]) -> String {
    told(&mut TcpStream::connect(("127.0.0.1", port)).unwrap(), words)
}

fn told(stream: &mut TcpStream, words: &[&str]) -> String {
    let mut line = format!("*{}\r\n", words.len());
    for word in words {
        write!(line, "${}\r\n{word}\r\n", word.len()).unwrap();
    }
    stream.write_all(line.as_bytes()).unwrap();
    let mut reply = [0; 4096];
    let n = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..n]).into_owned()
}

/// A directory with these entries (LDIF), which anybody may read, below dc=example,dc=test; its manager has the
/// password "secret". It listens on the socket `ldapi` of its folder, too, and with TLS on another port.
pub fn slapd(folder: &Path, entries: &str) -> Served {
    slapd_with(folder, entries, "")
}

/// The same with further lines of its configuration.
pub fn slapd_with(folder: &Path, entries: &str, more: &str) -> Served {
    let slapd = program("slapd", "slapd");
    let (port, tls_port, socket) = (free_port(), free_port(), folder.join("ldapi"));
    let mut config = String::new();
    for schema in ["core", "cosine", "inetorgperson", "nis"] {
        writeln!(config, "include /etc/ldap/schema/{schema}.schema").unwrap();
    }
    writeln!(
        config,
        "pidfile {folder}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nsizelimit unlimited\n\
         TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
         database mdb\nsuffix dc=example,dc=test\nrootdn cn=manager,dc=example,dc=test\nrootpw secret\n\
         directory {folder}/data\nmaxsize 100000000\nindex mail eq\n{more}",
        certificate("ca.pem").display(),
        certificate("server.pem").display(),
        certificate("server.key").display(),
        folder = folder.display(),
    )
    .unwrap();
    let file = folder.join("slapd.conf");
    fs::write(&file, config).unwrap();
    fill_slapd(folder, entries);
    let socket = socket.display().to_string().replace('/', "%2F");
    let listen = format!("ldap://127.0.0.1:{port}/ ldapi://{socket}/ ldaps://127.0.0.1:{tls_port}/");
    let words = ["-f", &file.display().to_string(), "-h", &listen, "-d", "0"].map(str::to_owned);
    let mut served = Served::new(folder, port, [vec![slapd.display().to_string()], words.to_vec()].concat());
    served.tls_port = tls_port;
    served
}

/// Replaces the entries of a directory that is stopped.
pub fn fill_slapd(folder: &Path, entries: &str) {
    let data = folder.join("data");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir(&data).unwrap();
    let file = folder.join("slapd.conf");
    run(Command::new(program("slapadd", "slapd")).args(["-q", "-f"]).arg(&file), entries);
}

/// Adds these keys and values to a file of LMDB, which is made if there is none.
pub fn mdb_load(file: &Path, pairs: &[(String, String)]) {
    let mut text = "VERSION=3\nformat=print\ntype=btree\nmapsize=104857600\nHEADER=END\n".to_owned();
    let escaped = |text: &str| {
        text.bytes().fold(String::new(), |mut out, octet| {
            match octet {
                b'!'..=b'~' if octet != b'\\' => out.push(octet.into()),
                _ => write!(out, "\\{octet:02x}").unwrap(),
            }
            out
        })
    };
    for (key, value) in pairs {
        writeln!(text, " {}\n {}", escaped(key), escaped(value)).unwrap();
    }
    text.push_str("DATA=END\n");
    run(Command::new(program("mdb_load", "lmdb-utils")).arg("-n").arg(file), &text);
}

/// What a fake server does about a request.
pub enum Act {
    /// Answers, and waits for the next one.
    Reply(Vec<u8>),
    /// Answers, and closes the connection.
    SayAndClose(Vec<u8>),
    /// Says nothing at all.
    Hang,
}

/// A server of the test's own.
pub struct Fake {
    pub port: u16,
    /// How many connections were made to it.
    pub connections: Arc<AtomicUsize>,
    /// The open connections, by their number.
    open: Arc<Mutex<HashMap<usize, TcpStream>>>,
    is_over: Arc<AtomicBool>,
}

impl Fake {
    /// One that does this about requests, each of which `is_complete` when all of it was read.
    pub fn new(
        is_complete: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
        act: impl Fn(&[u8]) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Fake { port, connections: Arc::default(), open: Arc::default(), is_over: Arc::default() };
        let (connections, open, is_over) =
            (fake.connections.clone(), fake.open.clone(), fake.is_over.clone());
        let serve = Arc::new(move |mut stream: TcpStream| {
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                request.extend_from_slice(&piece[..n]);
                if !is_complete(&request) {
                    continue;
                }
                let done = match act(&request) {
                    Act::Reply(bytes) => stream.write_all(&bytes),
                    Act::SayAndClose(bytes) => {
                        let _ = stream.write_all(&bytes);
                        let _ = stream.shutdown(Shutdown::Both);
                        return;
                    }
                    Act::Hang => Ok(()),
                };
                if done.is_err() {
                    return;
                }
                request.clear();
            }
        });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let number = connections.fetch_add(1, Ordering::SeqCst);
                open.lock().unwrap().insert(number, stream.try_clone().unwrap());
                let (serve, open) = (serve.clone(), open.clone());
                thread::spawn(move || {
                    serve(stream);
                    open.lock().unwrap().remove(&number);
                });
            }
        });
        fake
    }

    /// One that accepts connections and says nothing.
    pub fn silent() -> Self {
        Fake::new(|_| false, |_| Act::Hang)
    }

    /// Ends all connections there are.
    pub fn close_connections(&self) {
        for (_, stream) in self.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Says this on all connections there are, unasked.
    pub fn say(&self, bytes: &[u8]) {
        for mut stream in self.open.lock().unwrap().values() {
            let _ = stream.write_all(bytes);
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.close_connections();
    }
}

/// A directory that returns this for every search except that of its root. Codes are below 128.
pub fn fake_directory(entry: Option<&'static [u8]>, code: u8) -> Fake {
    Fake::new(
        |request| request.get(1).is_some_and(|length| request.len() == usize::from(*length) + 2),
        move |request| {
            let (id, operation) = (request[4], request[5]);
            let answer = match operation {
                // a bind
                0x60 => 0x61,
                // a search
                0x63 => 0x65,
                _ => return Act::Hang,
            };
            // The root is the empty name.
            let is_root = request.get(8) == Some(&0);
            let mut bytes = Vec::new();
            let mut message = |operation: u8, content: &[u8]| {
                let length = u8::try_from(content.len()).unwrap();
                bytes.extend([0x30, length + 5, 2, 1, id, operation, length]);
                bytes.extend(content);
            };
            if let Some(entry) = entry.filter(|_| !is_root) {
                message(0x64, entry);
            }
            message(answer, &[10, 1, if is_root { 0 } else { code }, 4, 0, 4, 0]);
            Act::Reply(bytes)
        },
    )
}
