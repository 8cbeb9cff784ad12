//! The control socket for `rcptd status`, `rcptd trace` and `rcptd explain`.
//!
//! A client sends one line:
//!
//! - `status`: the reply is one line of JSON.
//! - `resolve` and an address as a JSON string: the reply is the current decision of the milter.
//! - `cache` and a JSON object: the reply is what is cached or known of accounts, or what has been done to it.
//! - `trace`: one line for each request answered from then on, until the client closes the connection.
//!
//! Every other line gets `{"error": …}`. A client that can open the socket sees addresses: by default only
//! its owner can.

use super::listen::{Listener, Stream};
use super::trace::{TraceBus, TraceEvent};
use mail_address::plain_json;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Most clients at once; each is a user at a terminal or a monitoring check.
pub const MAX_CLIENTS: usize = 16;
/// Most clients that may trace at once. A trace has no time limit, so this keeps room for `status`.
pub const MAX_TRACES: usize = 12;
/// Longest command line, in octets: a command and its filter.
pub const MAX_COMMAND: usize = 4096;
/// Longest wait for the command line, and for a client to read a reply.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Sources of the replies at the control socket.
pub struct Control {
    /// Source of the events for `trace`.
    pub trace: Arc<TraceBus>,
    /// Returns the reply to `status`, a line of JSON.
    pub status: Box<dyn Fn() -> String + Send + Sync>,
    /// Returns the reply to `resolve`, a line of JSON.
    pub resolve: Box<dyn Fn(String) -> Resolved + Send + Sync>,
    /// Returns the reply to `cache`, a line of JSON.
    pub cache: Box<dyn Fn(Value) -> Resolved + Send + Sync>,
}

/// A future that returns the reply to `resolve` or `cache`.
pub type Resolved = Pin<Box<dyn Future<Output = String> + Send>>;

/// Selects trace events. All conditions must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the listener's name.
    pub listener: Option<String>,
    /// Name of the map.
    pub map: Option<String>,
    /// Part of the key, without regard to case.
    pub key: Option<String>,
}

impl Filter {
    /// Parses the text after `trace`.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Filter::default());
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let get = |name: &str| value.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        Ok(Filter {
            listener: get("listener"),
            map: get("map"),
            key: get("key").map(|key| key.to_lowercase()),
        })
    }

    /// Serialises the filter as `trace` expects it.
    pub fn to_json(&self) -> String {
        json!({ "listener": self.listener, "map": self.map, "key": self.key }).to_string()
    }

    /// Whether the filter selects this event.
    pub fn takes(&self, event: &TraceEvent) -> bool {
        let has = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.contains(&**wanted))
        };
        has(&self.listener, &event.listener)
            && self.map.as_ref().is_none_or(|map| **map == *event.map)
            && has(&self.key, &event.key.to_lowercase())
    }
}

/// Serves a listener until `end` is raised.
pub async fn serve(mut listener: Listener, control: Arc<Control>, end: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MAX_CLIENTS));
    let traces = Arc::new(Semaphore::new(MAX_TRACES));
    let mut ended = end.clone();
    loop {
        let next = async {
            // Fails only if the semaphore is closed, which never happens.
            let permit = permits.clone().acquire_owned().await.ok();
            (permit, poll_fn(|cx| listener.poll_accept(cx)).await)
        };
        let (permit, stream) = tokio::select! {
            _ = ended.wait_for(|raised| *raised) => return,
            next = next => next,
        };
        let (control, traces, mut end) = (control.clone(), traces.clone(), end.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                _ = end.wait_for(|raised| *raised) => (),
                () = converse(stream, &control, &traces) => (),
            }
        });
    }
}

async fn converse(mut stream: Stream, control: &Control, traces: &Semaphore) {
    let Ok(Some(line)) = timeout(PATIENCE, line(&mut stream)).await else { return };
    let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match word {
        "status" => {
            let _ = write(&mut stream, &(control.status)()).await;
        }
        "resolve" => {
            let answer = match serde_json::from_str(rest) {
                Ok(address) => (control.resolve)(address).await,
                Err(why) => json!({ "error": why.to_string() }).to_string(),
            };
            let _ = write(&mut stream, &answer).await;
        }
        "cache" => {
            let answer = match serde_json::from_str(rest) {
                Ok(request) => (control.cache)(request).await,
                Err(why) => json!({ "error": why.to_string() }).to_string(),
            };
            let _ = write(&mut stream, &answer).await;
        }
        "trace" => match Filter::read(rest) {
            Ok(filter) => {
                let Ok(_permit) = traces.try_acquire() else {
                    let error =
                        json!({ "error": format!("{MAX_TRACES} traces are running, which is the limit") });
                    let _ = write(&mut stream, &error.to_string()).await;
                    return;
                };
                trace(&mut stream, control, &filter).await;
            }
            Err(why) => drop(write(&mut stream, &json!({ "error": why }).to_string()).await),
        },
        _ => {
            let error = json!({ "error": "unknown command: use status, resolve, cache or trace" });
            let _ = write(&mut stream, &error.to_string()).await;
        }
    }
}

/// Reads a line and returns it without its end; `None` if it is too long or the client disconnects.
async fn line(stream: &mut Stream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 512];
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..n]);
        if let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            bytes.truncate(end);
            return String::from_utf8(bytes).ok();
        }
        if bytes.len() > MAX_COMMAND {
            return None;
        }
    }
}

/// Writes a line; `None` if the client does not read it.
async fn write(stream: &mut Stream, line: &str) -> Option<()> {
    let line = [&plain_json(line), "\n"].concat();
    timeout(PATIENCE, stream.write_all(line.as_bytes())).await.ok()?.ok()
}

async fn trace(stream: &mut Stream, control: &Control, filter: &Filter) {
    let mut subscriber = control.trace.subscribe();
    // Tells the client that every request is traced from now on.
    if write(stream, &json!({ "tracing": true }).to_string()).await.is_none() {
        return;
    }
    let mut scratch = [0; 64];
    loop {
        let line = tokio::select! {
            // A client sends nothing after `trace`, so any input ends the trace.
            _ = stream.read(&mut scratch) => return,
            next = subscriber.next() => match next {
                None => return,
                Some(Err(lost)) => json!({ "lost": lost }),
                Some(Ok(event)) if !filter.takes(&event) => continue,
                Some(Ok(event)) => json!({
                    "listener": &*event.listener,
                    "connection": event.connection,
                    "peer": &*event.peer,
                    "map": &*event.map,
                    "key": &*event.key,
                    "verdict": event.verdict,
                    "text": &*event.text,
                    "us": u64::try_from(event.took.as_micros()).unwrap_or(u64::MAX),
                }),
            },
        };
        if write(stream, &line.to_string()).await.is_none() {
            return;
        }
    }
}
