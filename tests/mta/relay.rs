//! The way from rcptd to the VRFY server, which a scenario may interrupt.
//!
//! rcptd asks at one fixed port; this relay passes the connection on to the server, so that "the server is
//! down" needs no change of the container that other scenarios use.

use crate::Outcome;
use crate::log::wait;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest wait until a port that was closed can be bound again.
const BIND_LIMIT: Duration = Duration::from_secs(10);

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is passed on to this server.
    To(SocketAddr),
    /// It is taken and never answered.
    Hang,
    /// There is no listener.
    Down,
}

/// The relay at one address.
pub struct Relay {
    address: SocketAddr,
    way: Way,
    running: Option<Running>,
}

/// A listener and its connections.
struct Running {
    thread: JoinHandle<()>,
    over: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// A relay that is down.
    pub fn new(address: SocketAddr) -> Self {
        Relay { address, way: Way::Down, running: None }
    }

    /// Where rcptd finds the VRFY server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and begins to treat new ones as `way` says.
    pub fn set(&mut self, way: Way) -> Outcome {
        if self.way == way {
            return Ok(());
        }
        self.stop();
        // The mode is set only after the relay listens, so that the next scenario does not rely on a relay that failed.
        self.way = Way::Down;
        let server = match way {
            Way::Down => return Ok(()),
            Way::Hang => None,
            Way::To(server) => Some(server),
        };
        let listener = listen(self.address)?;
        let over = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let thread = {
            let (over, open) = (over.clone(), open.clone());
            thread::spawn(move || accept(&listener, server, &over, &open))
        };
        self.running = Some(Running { thread, over, open });
        self.way = way;
        Ok(())
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = running.thread.join();
        for stream in running.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds, and retries while the port is in use: between fork and exec, a child process that another thread starts holds
/// a copy of the listener that was just closed.
pub fn listen(address: SocketAddr) -> Outcome<TcpListener> {
    let bind = || match TcpListener::bind(address) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(None),
        bound => bound.map(Some).map_err(|e| format!("a listener at {address}: {e}")),
    };
    wait(BIND_LIMIT, &format!("{address} is free"), bind)
}

fn accept(
    listener: &TcpListener,
    server: Option<SocketAddr>,
    over: &AtomicBool,
    open: &Mutex<Vec<TcpStream>>,
) {
    for client in listener.incoming().flatten() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        // A stream that is shut down has no peer any more.
        open.retain(|stream| stream.peer_addr().is_ok());
        open.extend(client.try_clone());
        if let Some(server) = server {
            thread::spawn(move || pass(&client, server));
        }
    }
}

/// Copies both ways until either side ends.
fn pass(client: &TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    // Each line is an answer somebody waits for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
}
