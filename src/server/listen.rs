//! Listening sockets of all servers: opens them as configured, and keeps accepting after errors.

use super::endpoint::Endpoint;
use crate::observe;
use listenfd::ListenFd;
use mail_address::escape;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use nix::sys::stat::{Mode, umask};
use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::time::{Sleep, sleep};

/// Connections that the kernel queues until they are accepted; more than a mail server opens at once.
pub const BACKLOG: u32 = 1024;
/// First and longest pause after a failed accept. Without a pause, running out of file descriptors would
/// cause a busy loop; a longer one would delay recovery.
pub const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Settings of a UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Permissions; the mail server must be able to write.
    pub mode: u32,
    /// Group, if not the group of the process.
    pub group: Option<String>,
}

/// Sockets passed by systemd, each until a listener takes it.
pub struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
    /// Whether a listener has asked for the name of each socket, successfully or not.
    asked: Vec<bool>,
}

impl Inherited {
    /// The sockets passed to this process (sd_listen_fds(3)).
    pub fn from_env() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let sockets = ListenFd::from_env();
        let asked = vec![false; sockets.len()];
        Inherited { sockets, names: names.split(':').map(String::from).collect(), asked }
    }

    /// The name of a socket; systemd uses `unknown` if the unit sets no name.
    fn name(&self, i: usize) -> &str {
        self.names.get(i).map_or("unknown", |name| name)
    }

    fn take(&mut self, name: &str) -> io::Result<Vec<Kind>> {
        let mut kinds = Vec::new();
        for i in 0..self.sockets.len() {
            if self.name(i) != name {
                continue;
            }
            self.asked[i] = true;
            if let Ok(Some(tcp)) = self.sockets.take_tcp_listener(i) {
                listens(&tcp)?;
                tcp.set_nonblocking(true)?;
                kinds.push(Kind::Tcp(TcpListener::from_std(tcp)?));
            } else if let Some(unix) = self.sockets.take_unix_listener(i)? {
                listens(&unix)?;
                unix.set_nonblocking(true)?;
                kinds.push(Kind::Unix(UnixListener::from_std(unix)?));
            }
        }
        Ok(kinds)
    }

    /// Returns an error that names all passed sockets if no listener has asked for one of them: its clients
    /// would connect and wait forever.
    pub fn left_over(&self) -> Option<String> {
        let list = |wanted: &dyn Fn(usize) -> bool| {
            let named = (0..self.sockets.len()).filter(|i| wanted(*i));
            named.map(|i| escape(self.name(i)).to_string()).collect::<Vec<_>>().join(", ")
        };
        let left = list(&|i| !self.asked[i]);
        if left.is_empty() {
            return None;
        }
        Some(format!(
            "systemd passed the sockets {}, of which no listen names {left}: write systemd:NAME for each in a \
             listen, or disable its socket unit",
            list(&|_| true)
        ))
    }
}

/// Checks that a socket accepts connections. Fails for a connected socket and for one that does not listen.
fn listens(socket: &impl AsFd) -> io::Result<()> {
    if getsockopt(socket, sockopt::AcceptConn)? {
        return Ok(());
    }
    Err(io::Error::other("the socket does not listen (write ListenStream= in its unit, and Accept=no)"))
}

/// A listening socket.
pub struct Listener {
    kind: Kind,
    name: Arc<str>,
    pause: Option<Pin<Box<Sleep>>>,
    failures: u32,
    _file: Option<Unlink>,
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a UNIX socket.
    Unix(UnixStream),
}

/// Opens the sockets of an endpoint: a host name may have several addresses. The error is a sentence with
/// the remedy.
pub async fn bind(
    endpoint: &Endpoint,
    file: &SocketFile,
    inherited: &mut Inherited,
) -> Result<Vec<Listener>, String> {
    let say = |e: io::Error| format!("cannot listen at {endpoint}: {e}{}", remedy(&e));
    let mut file_made = None;
    let kinds = match endpoint {
        Endpoint::Inet { host, port } => {
            let mut kinds = Vec::new();
            for address in lookup_host((&**host, *port)).await.map_err(say)? {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
                let listener = socket.and_then(|s| {
                    s.set_reuseaddr(true)?;
                    s.bind(address)?;
                    s.listen(BACKLOG)
                });
                kinds.push(Kind::Tcp(listener.map_err(say)?));
            }
            kinds
        }
        Endpoint::Unix(path) => {
            let made = bind_unix(path, file).map_err(|e| format!("cannot listen at {endpoint}: {e}"))?;
            file_made = Some(made.1);
            vec![Kind::Unix(made.0)]
        }
        Endpoint::Systemd(name) => {
            let kinds = inherited.take(name).map_err(say)?;
            if kinds.is_empty() {
                return Err(format!(
                    "systemd passed no socket named {name}: start rcptd by a socket unit with \
                     FileDescriptorName={name}"
                ));
            }
            kinds
        }
    };
    let listener = |kind: Kind| Listener {
        name: kind.name(endpoint).into(),
        kind,
        pause: None,
        failures: 0,
        _file: file_made.take(),
    };
    Ok(kinds.into_iter().map(listener).collect())
}

fn remedy(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::AddrInUse => " (another program listens there; is rcptd running already?)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this host has that address)",
        _ => "",
    }
}

fn bind_unix(path: &Path, file: &SocketFile) -> Result<(UnixListener, Unlink), String> {
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err("the path exists and is not a socket; move it away".into());
        }
        Ok(_) => match connect_at_once(path) {
            // The queue is full, as when the program is suspended.
            Ok(()) | Err(Errno::EAGAIN) => {
                return Err("another program listens there; is rcptd running already?".into());
            }
            Err(Errno::ECONNREFUSED) => {
                fs::remove_file(path).map_err(|e| format!("cannot remove a stale socket: {e}"))?;
            }
            Err(e) => return Err(format!("a socket exists that may be in use: {}", e.desc())),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => (),
        Err(e) => return Err(e.to_string()),
    }
    // No client may connect before mode and group are set.
    let before = umask(Mode::from_bits_truncate(0o777));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!("{e} (create its folder first)"),
        _ => e.to_string(),
    })?;
    let ours = Unlink::new(path).map_err(|e| e.to_string())?;
    if let Some(group) = &file.group {
        let gid = nix::unistd::Group::from_name(group).map_err(|e| e.to_string())?;
        let gid = gid.ok_or_else(|| format!("there is no group {group}"))?.gid;
        nix::unistd::chown(path, None, Some(gid)).map_err(|e| {
            format!("cannot give the socket to group {group}: {e} (rcptd's user must be a member)")
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(file.mode)).map_err(|e| e.to_string())?;
    Ok((listener, ours))
}

/// Whether this host has a group; `None` if the name service does not answer.
pub fn has_group(name: &str) -> Option<bool> {
    nix::unistd::Group::from_name(name).ok().map(|group| group.is_some())
}

/// Connects to a socket without waiting for the program that listens on it.
fn connect_at_once(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(probe.as_raw_fd(), &UnixAddr::new(path)?)
}

/// Removes a socket file on drop, if it is still the file that was created.
struct Unlink {
    path: PathBuf,
    inode: (u64, u64),
}

impl Unlink {
    fn new(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Unlink { path: path.into(), inode: (meta.dev(), meta.ino()) })
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode) {
            // Errors do not matter: the next start replaces a socket that is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Kind {
    fn name(&self, endpoint: &Endpoint) -> String {
        match self {
            Kind::Tcp(l) => l.local_addr().map_or_else(
                |_| endpoint.to_string(),
                |a| Endpoint::Inet { host: a.ip().to_string(), port: a.port() }.to_string(),
            ),
            Kind::Unix(_) => endpoint.to_string(),
        }
    }
}

impl Listener {
    /// The address, with the port that the system chose.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Accepts the next connection. After an error it logs and waits, so that neither a lack of file
    /// descriptors nor a client that has disconnected stops the service.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Stream> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let accepted = match &self.kind {
                Kind::Tcp(l) => ready!(l.poll_accept(cx)).map(|(s, _)| {
                    // Replies are small and the client waits for them; Nagle's algorithm would delay them.
                    // If the client has disconnected, the first read fails.
                    let _ = s.set_nodelay(true);
                    Stream::Tcp(s)
                }),
                Kind::Unix(l) => ready!(l.poll_accept(cx)).map(|(s, _)| Stream::Unix(s)),
            };
            match accepted {
                Ok(stream) => {
                    self.failures = 0;
                    return Poll::Ready(stream);
                }
                Err(e) if is_of_the_client(&e) => (),
                Err(e) => {
                    let (first, longest) = ACCEPT_PAUSE;
                    let pause = (first * 2u32.pow(self.failures.min(10))).min(longest);
                    self.failures = self.failures.saturating_add(1);
                    observe::accept_failed(&self.name, &e, pause);
                    self.pause = Some(Box::pin(sleep(pause)));
                }
            }
        }
    }
}

impl Stream {
    /// The peer for the log: its address, or the process at a UNIX socket.
    pub fn peer(&self) -> String {
        match self {
            Stream::Tcp(s) => s.peer_addr().map_or_else(|_| "gone".into(), |address| address.to_string()),
            Stream::Unix(s) => match s.peer_cred().map(|peer| peer.pid()) {
                Ok(Some(pid)) => format!("pid:{pid}"),
                _ => "unix".into(),
            },
        }
    }
}

/// Whether an accept failed because of that client only (accept(2)); the next one may succeed.
fn is_of_the_client(e: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(e.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_flush(cx),
            Stream::Unix(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
