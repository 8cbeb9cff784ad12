//! The command line of the commands that ask a running daemon.

use super::CONFIG;
use clap::Args;
use std::path::PathBuf;

pub const AFTER_STATUS: &str = "\
Example:
  rcptd status

Exit codes: 0 done, 69 no daemon replies, 78 the configuration names no control socket.";

pub const AFTER_TRACE: &str = "\
Shows each request with the map, the key as the mail server sent it, and the reply; for the milter each recipient. \
Stops after Ctrl-C or --count requests. The daemon does not wait for it: if the output is read too slowly, requests \
are lost, and their number is shown.

Examples:
  rcptd trace
  rcptd trace --map aliases --key macys
  rcptd trace --listener 3048 --json --count 100

Exit codes: 0 done, 69 no daemon replies, 78 the configuration names no control socket.";

/// The daemon that is asked.
#[derive(Debug, Args)]
pub struct Daemon {
    /// Configuration of the daemon, which names its control socket ([control] listen)
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// The control socket itself
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub daemon: Daemon,
    /// Print one JSON object, with the statistics of the last minute
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Trace {
    #[command(flatten)]
    pub daemon: Daemon,
    /// Only requests at listeners with this in their name, such as a port
    #[arg(long, value_name = "TEXT")]
    pub listener: Option<String>,
    /// Only requests of this map; "milter" for the milter
    #[arg(long, value_name = "NAME")]
    pub map: Option<String>,
    /// Only requests with this in their key
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// Stop after this number of requests
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Print JSON, one object per request: listener, connection, peer, map, key, verdict, text, us
    #[arg(long)]
    pub json: bool,
}
