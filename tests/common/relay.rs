//! A relay between rcptd and a server. It forwards all octets until a test sets a fault: it closes a connection at an
//! octet, sends octet by octet, holds answers back, refuses connections, or answers instead of the server.
//!
//! So each fault can be tested with every server, including real ones.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use super::programs::free_port;
use rcptd::net::host::Host;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for a listener or for the end of connections.
const WAIT: Duration = Duration::from_secs(30);

/// Replies to a request instead of the server; `None` forwards it.
pub type Answer = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// The treatment of all connections, including those that are already open.
#[derive(Clone)]
pub enum RelayMode {
    /// All octets are forwarded.
    Pass,
    /// Connections are closed, and new ones are refused.
    Down,
    /// The connection is closed after this number of octets of the server, if there are more.
    Cut(usize),
    /// The octets of the server are forwarded one by one, each after this time.
    Drip(Duration),
    /// The octets of the server are held until the mode changes.
    Hold,
    /// Requests are answered by the test.
    Answer(Answer),
}

impl fmt::Debug for RelayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayMode::Pass => f.write_str("pass"),
            RelayMode::Down => f.write_str("down"),
            RelayMode::Cut(after) => write!(f, "cut after {after}"),
            RelayMode::Drip(_) => f.write_str("drip"),
            RelayMode::Hold => f.write_str("hold"),
            RelayMode::Answer(_) => f.write_str("answer"),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Default)]
struct Counts {
    listens: AtomicBool,
    open: AtomicUsize,
    passed: AtomicUsize,
}

pub struct Relay {
    host: Host,
    mode: watch::Sender<RelayMode>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay to the server at `to`, on a free port or on this socket. Its tasks run in `runtime`.
    pub fn start(runtime: &Handle, socket: Option<PathBuf>, to: Host) -> Self {
        let host = match socket {
            Some(path) => Host::Unix(path),
            None => Host::Inet("127.0.0.1".into(), free_port()),
        };
        let (mode, counts) = (watch::Sender::new(RelayMode::Pass), Arc::<Counts>::default());
        let task = runtime.spawn(accept(host.clone(), to, mode.subscribe(), counts.clone()));
        let relay = Relay { host, mode, counts, task };
        let begun = Instant::now();
        while !relay.counts.listens.load(SeqCst) {
            assert!(begun.elapsed() < WAIT, "the relay does not listen at {}", relay.host);
            std::thread::sleep(Duration::from_millis(1));
        }
        relay
    }

    /// The address on which it listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.counts.open.load(SeqCst)
    }

    /// Octets of the server that were forwarded since the mode was set.
    pub fn passed(&self) -> usize {
        self.counts.passed.load(SeqCst)
    }

    /// Sets the mode, and waits until it is in force for new connections.
    pub async fn set(&self, mode: RelayMode) {
        let is_down = matches!(mode, RelayMode::Down);
        self.counts.passed.store(0, SeqCst);
        self.mode.send_replace(mode);
        let done = || self.counts.listens.load(SeqCst) != is_down && (!is_down || self.open() == 0);
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < WAIT, "the relay at {} is not {:?}", self.host, *self.mode.borrow());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Closes all connections, and then forwards again.
    pub async fn hang_up(&self) {
        self.set(RelayMode::Down).await;
        self.set(RelayMode::Pass).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Connections end with the sender of the mode.
        self.task.abort();
    }
}

enum Listener {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(host: &Host) -> Option<Self> {
        match host {
            Host::Inet(name, port) => TcpListener::bind((&**name, *port)).await.ok().map(Listener::Inet),
            Host::Unix(path) => {
                let _ = fs::remove_file(path);
                UnixListener::bind(path).ok().map(Listener::Unix)
            }
        }
    }

    async fn accept(&self) -> Option<Box<dyn Stream>> {
        Some(match self {
            Listener::Inet(listener) => {
                let (stream, _) = listener.accept().await.ok()?;
                stream.set_nodelay(true).ok()?;
                Box::new(stream)
            }
            Listener::Unix(listener) => Box::new(listener.accept().await.ok()?.0),
        })
    }
}

async fn connect(host: &Host) -> Option<Box<dyn Stream>> {
    Some(match host {
        Host::Inet(name, port) => {
            let stream = TcpStream::connect((&**name, *port)).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Box::new(stream)
        }
        Host::Unix(path) => Box::new(UnixStream::connect(path).await.ok()?),
    })
}

/// Listens, unless the mode is [`RelayMode::Down`].
async fn accept(at: Host, to: Host, mut mode: watch::Receiver<RelayMode>, counts: Arc<Counts>) {
    loop {
        if mode.wait_for(|mode| !matches!(mode, RelayMode::Down)).await.is_err() {
            return;
        }
        let Some(listener) = Listener::bind(&at).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        counts.listens.store(true, SeqCst);
        let mut until_down = mode.clone();
        loop {
            tokio::select! {
                _ = until_down.wait_for(|mode| matches!(mode, RelayMode::Down)) => break,
                client = listener.accept() => if let Some(client) = client {
                    let open = Open::new(&counts);
                    let (to, mode) = (to.clone(), mode.clone());
                    tokio::spawn(async move { pass(client, &to, mode, &open.0).await });
                },
            }
        }
        drop(listener);
        if let Host::Unix(path) = &at {
            let _ = fs::remove_file(path);
        }
        counts.listens.store(false, SeqCst);
    }
}

/// Counts an open connection until it is dropped.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, SeqCst);
        Open(counts.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// Forwards octets according to the mode, until one side closes the connection.
async fn pass(
    mut client: Box<dyn Stream>,
    to: &Host,
    mut mode: watch::Receiver<RelayMode>,
    counts: &Counts,
) -> Option<()> {
    let mut server = connect(to).await?;
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    // Octets of the server in this mode.
    let mut sent = 0;
    loop {
        if mode.has_changed().ok()? {
            sent = 0;
        }
        let now = mode.borrow_and_update().clone();
        if matches!(now, RelayMode::Down) {
            return None;
        }
        tokio::select! {
            // A change of the mode applies to later requests.
            biased;
            changed = mode.changed() => {
                changed.ok()?;
                mode.mark_changed();
            }
            n = client.read(&mut up) => {
                let request = &up[..n.ok().filter(|n| *n > 0)?];
                let answer = if let RelayMode::Answer(answer) = &now { answer(request) } else { None };
                match answer {
                    Some(answer) => client.write_all(&answer).await.ok()?,
                    None => server.write_all(request).await.ok()?,
                }
            }
            n = server.read(&mut down), if !matches!(now, RelayMode::Hold) => {
                let octets = &down[..n.ok().filter(|n| *n > 0)?];
                // Count before sending: the client may read the number as soon as it has the octets.
                counts.passed.fetch_add(octets.len(), SeqCst);
                let most = if let RelayMode::Cut(after) = now { after - sent } else { usize::MAX };
                if let RelayMode::Drip(every) = now {
                    drip(octets, every, &mut client, &mut mode).await?;
                } else {
                    client.write_all(&octets[..octets.len().min(most)]).await.ok()?;
                }
                if octets.len() > most {
                    return None;
                }
                sent += octets.len();
            }
        }
    }
}

/// Writes octet by octet; writes the remaining octets at once when the mode changes.
async fn drip(
    octets: &[u8],
    every: Duration,
    client: &mut Box<dyn Stream>,
    mode: &mut watch::Receiver<RelayMode>,
) -> Option<()> {
    for (at, octet) in octets.iter().enumerate() {
        let changed = tokio::time::timeout(every, mode.changed()).await;
        if let Ok(changed) = changed {
            changed.ok()?;
            // The loop must read the new mode.
            mode.mark_changed();
            return client.write_all(&octets[at..]).await.ok();
        }
        client.write_all(&[*octet]).await.ok()?;
    }
    Some(())
}
