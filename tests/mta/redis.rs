//! A database that a scenario may start and stop: Redis, at the port of the relay, which is down meanwhile.

use crate::Outcome;
use crate::log::wait;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// From start to answer.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The server and what is in it, which it forgets when it stops.
#[derive(Default)]
pub struct Redis {
    child: Option<Child>,
    entries: Vec<(String, String)>,
}

impl Redis {
    /// Keeps an entry for the next start.
    pub fn put(&mut self, key: &str, value: &str) {
        self.entries.push((key.to_owned(), value.to_owned()));
    }

    /// Starts it with what was put.
    pub fn start(&mut self, address: SocketAddr) -> Outcome {
        let fail = |e| format!("redis-server: {e} (install redis-server, as tests/run does)");
        // setpriv(1) sees to it that it does not outlive a test that is killed.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "redis-server", "--save", "", "--appendonly", "no"])
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let stream = wait(START_LIMIT, "redis-server answers", || {
            // It exits if the port is still in use, see `relay::listen`.
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                self.child = Some(command.spawn().map_err(fail)?);
            }
            Ok(TcpStream::connect(address).ok())
        })?;
        let fail = |e| format!("redis-server: {e}");
        let mut reader = BufReader::new(stream.try_clone().map_err(fail)?);
        for (key, value) in &self.entries {
            (&stream).write_all(format!("SET {key} {value}\r\n").as_bytes()).map_err(fail)?;
            let mut line = String::new();
            reader.read_line(&mut line).map_err(fail)?;
            if line.trim_end() != "+OK" {
                return Err(format!("redis-server: SET {key} {value}: {line}"));
            }
        }
        Ok(())
    }

    /// Stops it, with all that is in it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
