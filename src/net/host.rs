//! A server by its host and port, or by the path of its socket.

use std::fmt;
use std::path::PathBuf;

/// A server of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or address, and a port.
    Inet(String, u16),
    /// The path of a UNIX socket; with PostgreSQL its folder.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Inet(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Host::Inet(host, port) => write!(f, "{host}:{port}"),
            Host::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
