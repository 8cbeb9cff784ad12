//! Requests to the daemon that runs with a configuration, if one does.

use crate::config::Config;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How much longer than its own deadline a daemon may take to reply.
const MARGIN: Duration = Duration::from_secs(2);

/// Returns the first line of the reply to a command of the control socket; `None` without a daemon that
/// replies.
pub async fn ask(config: &Config, command: &str) -> Option<Value> {
    let path = config.control.path.as_ref()?;
    let reply = async {
        let mut stream = UnixStream::connect(path).await.ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        serde_json::from_str(&line).ok()
    };
    timeout(config.milter.deadline + MARGIN, reply).await.ok().flatten()
}
