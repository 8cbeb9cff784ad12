//! A mail server that does what a script says, line by line.

#![allow(dead_code, reason = "each test uses a part")]

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A file of `tests/data/account/make.sh`.
pub fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/account", name].iter().collect()
}

/// With the certificate for 127.0.0.1.
pub fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(data("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(server))
}

/// What to do about a line.
#[derive(Clone)]
pub enum Act {
    /// What any server would: greet, say hello with SMTPUTF8, begin and end a transaction, say goodbye; nothing to
    /// anything else.
    Usual,
    Raw(Vec<u8>),
    RawThenClose(String),
    /// Octet by octet, with so many milliseconds between.
    Drip(&'static str, u64),
    /// The same over and over.
    Endless(&'static str),
    Close,
    Silence,
    Do(Arc<dyn Fn() + Send + Sync>),
    /// Something, and something else so many milliseconds later.
    Then(Box<Act>, u64, Box<Act>),
    /// This in plaintext, and then TLS.
    StartTls(String),
}

impl Act {
    pub fn raw(text: &str) -> Self {
        Act::Raw(text.into())
    }

    pub fn say(line: &str) -> Self {
        Act::raw(&format!("{line}\r\n"))
    }
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Raw(bytes) => write!(f, "{}", mail_address::escape(bytes)),
            Act::RawThenClose(text) => write!(f, "{} and close", mail_address::escape(text)),
            Act::Drip(text, _) => write!(f, "drip {text}"),
            Act::Endless(text) => write!(f, "endless {text}"),
            Act::Close => f.write_str("close"),
            Act::Silence => f.write_str("silence"),
            _ => f.write_str("…"),
        }
    }
}

/// Given a line (`greeting` for the connection itself), the number of the connection and the number of questions
/// (VRFY, RCPT) before on it.
type Script = dyn Fn(&str, usize, usize) -> Act + Send + Sync;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct State {
    script: Box<Script>,
    tls: Option<TlsAcceptor>,
    lines: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

pub struct Fake {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Fake {
    pub async fn start(script: impl Fn(&str, usize, usize) -> Act + Send + Sync + 'static) -> Self {
        Fake::start_with(None, script).await
    }

    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&str, usize, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (lines, connections, open) = Default::default();
        let state = Arc::new(State { script: Box::new(script), tls, lines, connections, open });
        let (address, shared) = (listener.local_addr().unwrap(), state.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(shared.clone().serve(Box::new(stream)));
            }
        });
        Fake { address, state, accepting }
    }

    /// Stops accepting connections.
    pub fn stop(&self) {
        self.accepting.abort();
    }

    /// One that has one answer to every VRFY.
    pub async fn saying(reply: &'static str) -> Self {
        Fake::start(move |line, _, _| if line.starts_with("VRFY") { Act::say(reply) } else { Act::Usual })
            .await
    }

    pub fn listen_at(&self, path: &Path) {
        let (listener, state) = (UnixListener::bind(path).unwrap(), self.state.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(state.clone().serve(Box::new(stream)));
            }
        });
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn spec(&self) -> String {
        format!("vrfy:{}", self.address)
    }

    /// The same as a source of this type.
    pub fn spec_as(&self, kind: &str) -> String {
        format!("{kind}:{}", self.address)
    }

    pub fn lines(&self) -> Vec<String> {
        self.state.lines.lock().unwrap().clone()
    }

    pub fn vrfys(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with("VRFY")).collect()
    }

    /// All questions, whether by VRFY or RCPT.
    pub fn questions(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| is_question(line)).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|l| *l == line).count()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

fn is_question(line: &str) -> bool {
    line.starts_with("VRFY") || line.starts_with("RCPT")
}

impl State {
    async fn serve(self: Arc<Self>, stream: Box<dyn Stream>) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        // However it ends.
        self.session(stream, connection).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    async fn session(&self, stream: Box<dyn Stream>, connection: usize) -> Option<()> {
        let mut stream = BufStream::new(stream);
        let (mut line, mut asked) = ("greeting".to_string(), 0);
        loop {
            match (self.script)(&line, connection, asked) {
                Act::StartTls(reply) => {
                    stream.write_all(reply.as_bytes()).await.ok()?;
                    stream.flush().await.ok()?;
                    let encrypted = self.tls.as_ref()?.accept(stream.into_inner()).await.ok()?;
                    stream = BufStream::new(Box::new(encrypted));
                }
                act => self.act(act, &line, &mut stream).await?,
            }
            asked += usize::from(is_question(&line));
            let mut bytes = Vec::new();
            if stream.read_until(b'\n', &mut bytes).await.ok()? == 0 {
                return None;
            }
            line = String::from_utf8_lossy(&bytes).trim_end_matches("\r\n").to_string();
            self.lines.lock().unwrap().push(line.clone());
        }
    }

    /// None ends the session.
    async fn act(&self, act: Act, line: &str, stream: &mut BufStream<Box<dyn Stream>>) -> Option<()> {
        match act {
            Act::Usual => {
                let reply = match line.get(..4)? {
                    "gree" => "220 fake ESMTP\r\n",
                    "EHLO" | "LHLO" => "250-fake\r\n250 SMTPUTF8\r\n",
                    "MAIL" | "RSET" => "250 2.0.0 ok\r\n",
                    "QUIT" => {
                        stream.write_all(b"221 bye\r\n").await.ok()?;
                        stream.flush().await.ok()?;
                        return None;
                    }
                    _ => "",
                };
                stream.write_all(reply.as_bytes()).await.ok()?;
            }
            Act::Raw(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::RawThenClose(text) => {
                stream.write_all(text.as_bytes()).await.ok()?;
                stream.flush().await.ok()?;
                return None;
            }
            Act::Drip(text, every) => {
                for byte in text.bytes() {
                    stream.write_all(&[byte]).await.ok()?;
                    stream.flush().await.ok()?;
                    tokio::time::sleep(Duration::from_millis(every)).await;
                }
            }
            Act::Endless(text) => loop {
                stream.write_all(text.as_bytes()).await.ok()?;
            },
            Act::Close | Act::StartTls(_) => return None,
            Act::Silence => (),
            Act::Do(done) => done(),
            Act::Then(first, later, second) => {
                Box::pin(self.act(*first, line, stream)).await?;
                tokio::time::sleep(Duration::from_millis(later)).await;
                Box::pin(self.act(*second, line, stream)).await?;
            }
        }
        stream.flush().await.ok()
    }
}
