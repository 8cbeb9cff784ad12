//! A live view of requests and replies (`rcptd trace`).
//!
//! Without subscribers it costs one atomic load. A subscriber that reads too slowly loses the oldest events
//! and receives their number: no request ever waits for a subscriber.

use super::accept::Client;
use super::maps::MapReply;
use crate::map::Lookup;
use mail_address::escape;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::broadcast;

/// Most events that are queued for a subscriber.
pub const WAITING: usize = 1024;

/// A request and its reply, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The listener of the request.
    pub listener: Arc<str>,
    /// The number of the connection in the process.
    pub connection: u64,
    /// The peer.
    pub peer: Box<str>,
    /// The map; `milter` for the milter.
    pub map: Box<str>,
    /// The key.
    pub key: Box<str>,
    /// The result in a word: `found`, `not_found`, `tempfail`; for the milter its verdict.
    pub verdict: &'static str,
    /// The value, or the reason why there is none.
    pub text: Box<str>,
    /// Time from request to reply.
    pub took: Duration,
}

impl TraceEvent {
    /// The event of a lookup.
    pub fn of(client: &Client, map: &str, key: &[u8], found: &MapReply, took: Duration) -> Self {
        let (verdict, text) = match found {
            MapReply::Answer(Lookup::Found(value)) => ("found", shown(value.as_bytes())),
            MapReply::Answer(Lookup::NotFound) => ("not_found", "".into()),
            MapReply::Answer(Lookup::TempFail(why)) => ("tempfail", shown(why.to_string().as_bytes())),
            MapReply::Late => ("tempfail", "no answer within the deadline".into()),
            MapReply::NoMap => ("tempfail", "there is no such map".into()),
        };
        TraceEvent {
            listener: client.listener.clone(),
            connection: client.connection,
            peer: client.peer.clone(),
            map: shown(map.as_bytes()),
            key: shown(key),
            verdict,
            text,
            took,
        }
    }
}

/// Escapes and truncates a text from outside.
pub fn shown(text: &[u8]) -> Box<str> {
    escape(text).to_string().into()
}

/// The channel of trace events.
#[derive(Debug)]
pub struct TraceBus {
    sender: broadcast::Sender<Arc<TraceEvent>>,
    subscribers: AtomicUsize,
}

/// A subscription; it ends when dropped.
#[derive(Debug)]
pub struct Subscriber {
    trace: Arc<TraceBus>,
    receiver: broadcast::Receiver<Arc<TraceEvent>>,
}

impl Default for TraceBus {
    fn default() -> Self {
        TraceBus { sender: broadcast::Sender::new(WAITING), subscribers: AtomicUsize::new(0) }
    }
}

impl TraceBus {
    /// Whether there is a subscriber.
    pub fn is_wanted(&self) -> bool {
        self.subscribers.load(Relaxed) > 0
    }

    /// Sends an event to all subscribers.
    pub fn put(&self, event: TraceEvent) {
        // Fails if the last subscriber has disconnected.
        let _ = self.sender.send(Arc::new(event));
    }

    /// Subscribes.
    pub fn subscribe(self: &Arc<Self>) -> Subscriber {
        self.subscribers.fetch_add(1, Relaxed);
        Subscriber { trace: self.clone(), receiver: self.sender.subscribe() }
    }
}

impl Subscriber {
    /// Returns the next event, or the number of lost events; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Arc<TraceEvent>, u64>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.trace.subscribers.fetch_sub(1, Relaxed);
    }
}
