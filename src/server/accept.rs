//! The accept loop of all request-response protocols: permits and graceful shutdown.
//!
//! A protocol is a [`Service`]: it parses requests from received bytes and answers them; the rest is here.
//! Requests may be pipelined. They are answered in order, and replies to requests that arrived together are
//! sent together.

use super::conversation::Conversation;
use super::listen::Listener;
use super::open::Open;
use crate::observe::meter::{Counted, Meter};
use crate::observe::{self, Metrics};
use lookup_protocols::ProtocolError;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The result of parsing received bytes.
#[derive(Debug)]
pub enum Parsed<R> {
    /// The request is not complete.
    Incomplete,
    /// A request, and its length in bytes.
    Request(R, usize),
    /// Protocol error: the connection ends.
    Broken(ProtocolError),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The reply is written, and counted so.
    Reply(Counted),
    /// There is no reply, and nothing is counted.
    Silent,
    /// The connection ends without a reply, after those to earlier requests: the client must not wait.
    HangUp(Counted),
}

/// A protocol of a listener.
pub trait Service: Send + Sync + 'static {
    /// The requests of the protocol.
    type Request: Send;

    /// Parses the first request in `input`. `at_end`: the client has closed its side.
    fn parse(&self, input: &[u8], at_end: bool) -> Parsed<Self::Request>;

    /// Appends the reply to a request that was read at `began`, within the deadline.
    fn answer(
        &self,
        client: &Client,
        request: Self::Request,
        began: Instant,
        out: &mut Vec<u8>,
    ) -> impl Future<Output = Answered> + Send;

    /// Appends the reply to a protocol error, if any.
    fn broken(&self, why: ProtocolError, out: &mut Vec<u8>);
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// The listener that accepted it.
    pub listener: Arc<str>,
    /// The connection number in the process, the same in all of its log lines.
    pub connection: u64,
    /// The peer.
    pub peer: Box<str>,
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; a further one replaces the one that was idle for longest, if that was at
    /// least a second.
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
}

/// Serves a listener. When `stop` is raised, it accepts no more connections. When `end` is raised, each
/// connection ends after its pending request. `metrics` numbers the connections, and `meter` counts their
/// events. Completes when the last connection has ended.
pub async fn serve<S: Service>(
    mut listener: Listener,
    service: Arc<S>,
    limits: Limits,
    metrics: Arc<Metrics>,
    meter: Arc<Meter>,
    mut stop: watch::Receiver<bool>,
    end: watch::Receiver<bool>,
) {
    let name = listener.name().clone();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let open = Open::new();
    let stop = async move {
        // A dropped sender has the same effect.
        let _ = stop.wait_for(|raised| *raised).await;
    };
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let stream = poll_fn(|cx| listener.poll_accept(cx)).await;
            if permits.available_permits() == 0 {
                let then = "a further one replaces the one that was idle for longest";
                observe::connection_limit(meter.connection_limit(), &name, limits.connections, then);
            }
            (open.room(&permits).await, stream)
        };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut stop => break,
            next = next => next,
        };
        let client = Client {
            listener: name.clone(),
            connection: metrics.next_connection(),
            peer: stream.peer().into(),
        };
        let (service, end, counters) = (service.clone(), end.clone(), meter.connection());
        let place = open.enter(client.connection);
        tokio::spawn(async move {
            let _permit = permit;
            observe::connection_begun(&client.listener, client.connection, &client.peer);
            let (service, client, place) = (&*service, &client, &place);
            let conversation = Conversation { service, client, counters, place, idle: limits.idle, end };
            let why = conversation.run(stream).await;
            observe::connection_ended(&client.listener, client.connection, why);
        });
    }
    // Close the socket before the last connection ends, so that new clients find another server.
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = permits.acquire_many(all).await;
}
