//! The command line of the commands that ask a running daemon.

use super::CONFIG;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub const AFTER_STATUS: &str = "\
Example:
  rcptd status

Exit codes: 0 done, 69 no daemon replies, 78 the configuration names no control socket.";

pub const AFTER_SOURCES: &str = "\
Shows for each account source: whether it works or since when it fails, with the last error; how often it was asked, \
with which results, and the times of the last minute in milliseconds; whether it is asked now (its circuit breaker is \
closed) or not, since it did not answer in time five times in a row (open). Then the databases and servers that maps \
ask.

Example:
  rcptd sources

Exit codes: 0 all work, 1 a source fails, 69 no daemon replies, 78 the configuration names no control socket.";

pub const AFTER_CACHE: &str = "\
WHAT is an address, a domain, or a source as in the configuration. Without it, list shows the first 1000 \
accounts, and flush forgets all.

An account that a source found counts as existing while its source fails, for account.cache.stale_ttl; it is listed as \
found some time ago. A pinned account exists, and no source is asked for it, until it is unpinned.

Examples:
  rcptd cache list example.com
  rcptd cache flush foo@example.com
  rcptd cache flush vrfy:mail.example.com:25
  rcptd cache pin foo@example.com

Exit codes: 0 done, 1 unpin: the account is not pinned, 64 invalid address, unknown source, or pin outside of the domains, 69 no daemon replies, \
78 the configuration names no control socket.";

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
pub struct Sources {
    #[command(flatten)]
    pub daemon: Daemon,
    /// Print one JSON object per source
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Cache {
    #[command(flatten)]
    pub daemon: Daemon,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// What to do
    #[arg(value_name = "ACTION")]
    pub action: CacheAction,
    /// An address, a domain or a source; pin and unpin need an address
    #[arg(
        value_name = "WHAT",
        required_if_eq_any([("action", "pin"), ("action", "unpin")]),
        // An empty variable of a shell must not mean "all".
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub what: Option<String>,
}

/// An action on what is known of accounts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CacheAction {
    /// Show accounts that are cached, found earlier or pinned
    List,
    /// Forget accounts, except those that are pinned, so that the sources are asked again
    Flush,
    /// Treat an account as existing, without asking a source
    Pin,
    /// Ask the sources for an account again
    Unpin,
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
