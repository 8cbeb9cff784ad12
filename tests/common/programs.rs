//! Programs of Debian's packages that a test starts itself.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a server to start.
pub const WAIT: Duration = Duration::from_secs(30);

/// First of the ports for tests, and how many there are: below those that Linux gives to clients, so that no other
/// program gets one before its server listens.
const PORTS: (u32, u32) = (20_000, 12_000);

/// A port that is free, and that no other call returns.
pub fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Tests that run at the same time begin in different places.
    let begin = std::process::id().wrapping_mul(97);
    let mut ports = (0..PORTS.1).map(|_| {
        let call = begin.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.0 + call % PORTS.1).unwrap()
    });
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

/// A program of this package.
pub fn program(name: &str, package: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/lib/postfix/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {name}: install {package}, as tests/run does"))
}

/// Waits until a server is ready; on a timeout, panics with its log.
pub fn wait_for(what: &str, log: &Path, ready: impl Fn() -> bool) {
    let begin = Instant::now();
    while !ready() {
        let log = || fs::read_to_string(log).unwrap_or_default();
        assert!(begin.elapsed() < WAIT, "{what} does not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}
