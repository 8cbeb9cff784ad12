//! Accept loop of all request-response protocols: permits, deadlines, bounded input, graceful shutdown.
//!
//! A protocol is a [`Service`]: it parses requests from received bytes and answers them; the rest is here.
//! Requests may be pipelined. They are answered in order, and replies to requests that arrived together are
//! sent together.

use super::listen::{Listener, Stream};
use crate::observe;
use crate::observe::meter::{Connection, Counted, Meter};
use lookup_protocols::ProtocolError;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};
use tokio::time::{sleep, sleep_until, timeout};

/// Most requests of one connection that are answered before their replies are written and other connections
/// get their turn. A client that sends without end must neither fill the memory nor block the processor.
pub const MAX_BATCH: usize = 64;
/// Initial input buffer of a connection, in octets: a request of usual length. It grows up to the limit of
/// the protocol for one request.
const INPUT: usize = 1024;
/// Largest output buffer that is kept between requests, in octets. It keeps ten thousand idle connections
/// cheap.
const KEPT: usize = 16 * 1024;
/// Longest wait for a client to read a reply. Postfix waits 100 s for a reply and reads it at once.
pub const WRITE: Duration = Duration::from_secs(30);
/// Octets that are read and discarded after a protocol error, and for how long. Reading on lets the last
/// reply reach a client that is still sending.
const LINGER: (usize, Duration) = (256 * 1024, Duration::from_secs(1));

/// How long a connection must be idle before a new one may replace it at the connection limit. Without
/// replacement, clients that connect and send nothing would keep a mail server out until the idle timeout;
/// a mail server that loses an idle connection reconnects.
pub const YIELD: Duration = Duration::from_secs(1);

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

/// A protocol of a listener.
pub trait Service: Send + Sync + 'static {
    /// The requests of the protocol.
    type Request: Send;

    /// Parses the first request in `input`. `at_end`: the client has closed its side.
    fn parse(&self, input: &[u8], at_end: bool) -> Parsed<Self::Request>;

    /// Appends the reply to a request that was read at `began`, within the deadline. `None`: there is no
    /// reply, and nothing is counted.
    fn answer(
        &self,
        client: &Client,
        request: (Self::Request, Instant),
        out: &mut Vec<u8>,
    ) -> impl Future<Output = Option<Counted>> + Send;

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
    /// Most connections at once; a further one replaces the one that was idle for longest (see [`YIELD`]).
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
}

/// Counts the connections of all listeners of the process, to number them.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Serves a listener. When `stop` is raised, it accepts no more connections. When `end` is raised, each
/// connection ends after its pending request. Completes when the last connection has ended.
pub async fn serve<S: Service>(
    mut listener: Listener,
    service: Arc<S>,
    limits: Limits,
    meter: Arc<Meter>,
    mut stop: watch::Receiver<bool>,
    end: watch::Receiver<bool>,
) {
    let name = listener.name().clone();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let open = Arc::new(Open { began: Instant::now(), slots: Mutex::default() });
    let stop = async move {
        // A dropped sender has the same effect.
        let _ = stop.wait_for(|raised| *raised).await;
    };
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let stream = poll_fn(|cx| listener.poll_accept(cx)).await;
            if permits.available_permits() == 0 {
                observe::connection_limit(&name, limits.connections);
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
            connection: CONNECTIONS.fetch_add(1, Relaxed) + 1,
            peer: stream.peer().into(),
        };
        let (service, end, books) = (service.clone(), end.clone(), meter.connection());
        let place = open.enter(client.connection);
        tokio::spawn(async move {
            let _permit = permit;
            observe::connection_begun(&client.listener, client.connection, &client.peer);
            let why = converse(stream, &*service, &client, limits.idle, (books, &place), end).await;
            observe::connection_ended(&client.listener, client.connection, why);
        });
    }
    // Close the socket before the last connection ends, so that new clients find another server.
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = permits.acquire_many(all).await;
}

/// The open connections of a listener.
#[derive(Debug)]
struct Open {
    began: Instant,
    slots: Mutex<HashMap<u64, Arc<Slot>>>,
}

/// An open connection in the list of its listener.
#[derive(Debug)]
struct Slot {
    /// When it became idle, in milliseconds since the listener began; [`BUSY`] while a request is answered.
    idle: AtomicU64,
    /// Whether a request was answered. Clients that sent no request are closed first.
    served: AtomicBool,
    /// Requests the connection to end.
    leave: Notify,
}

/// See [`Slot::idle`].
const BUSY: u64 = u64::MAX;

/// The entry of a connection among the open ones; dropping it removes the entry.
struct Place {
    open: Arc<Open>,
    connection: u64,
    slot: Arc<Slot>,
}

impl Open {
    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    fn enter(self: &Arc<Self>, connection: u64) -> Place {
        let slot =
            Arc::new(Slot { idle: self.now().into(), served: AtomicBool::new(false), leave: Notify::new() });
        self.slots().insert(connection, slot.clone());
        Place { open: self.clone(), connection, slot }
    }

    /// Returns a permit for one more connection. At the limit, it requests idle connections to end, the
    /// longest idle first, until a permit is free.
    async fn room(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            match permits.clone().try_acquire_owned() {
                Ok(permit) => return Some(permit),
                // The semaphore is never closed; a connection without a permit is still served.
                Err(TryAcquireError::Closed) => return None,
                Err(TryAcquireError::NoPermits) => (),
            }
            let wait = self.dismiss();
            if let Ok(permit) = timeout(wait, permits.clone().acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    /// Requests one connection to end: the one idle for longest, preferring clients that sent no request.
    /// Returns when to try again.
    fn dismiss(&self) -> Duration {
        let slots = self.slots();
        let idle = slots.iter().map(|(connection, slot)| (slot.idle.load(Relaxed), connection, slot));
        let idle = idle.filter(|(idle, ..)| *idle != BUSY);
        let first =
            idle.min_by_key(|(idle, connection, slot)| (slot.served.load(Relaxed), *idle, *connection));
        let Some((idle, _, slot)) = first else { return YIELD };
        let time = Duration::from_millis(self.now().saturating_sub(idle));
        if let Some(rest) = YIELD.checked_sub(time).filter(|rest| !rest.is_zero()) {
            return rest;
        }
        slot.leave.notify_one();
        // A connection was requested to end and needs its turn.
        Duration::from_millis(20)
    }
}

impl Place {
    fn is_busy(&self) {
        self.slot.idle.store(BUSY, Relaxed);
    }

    /// Records that `taken` bytes of requests have been answered, if any.
    fn has_answered(&self, taken: usize) {
        if taken > 0 {
            self.slot.served.store(true, Relaxed);
            self.slot.idle.store(self.open.now(), Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.slots().remove(&self.connection);
    }
}

/// The result of a future within a time limit. Most futures are ready at once and need no timer.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => timeout(limit, future).await.ok(),
    }
}

/// Why a connection has ended, for the log.
type Ended = &'static str;

/// Serves one connection from its first byte to its last.
async fn converse<S: Service>(
    mut stream: Stream,
    service: &S,
    client: &Client,
    idle: Duration,
    (mut books, place): (Connection, &Place),
    mut end: watch::Receiver<bool>,
) -> Ended {
    let mut input: Vec<u8> = Vec::with_capacity(INPUT);
    let mut out: Vec<u8> = Vec::new();
    let mut at_end = false;
    // Checked for each request without a lock; the flag is raised once and never lowered.
    let is_ending = end.clone();
    let ended = async move {
        let _ = end.wait_for(|raised| *raised).await;
    };
    let mut ended = pin!(ended);
    // One timer for the whole connection, checked when it expires: resetting it for each request would cost
    // more than the request.
    let mut last = Instant::now();
    let mut silence = pin!(sleep(idle));
    books.read_begins();
    loop {
        let mut taken = 0;
        let mut broken = None;
        let mut more = true;
        for _ in 0..MAX_BATCH {
            match service.parse(&input[taken..], at_end) {
                Parsed::Incomplete => more = false,
                Parsed::Broken(why) => {
                    broken = Some(why);
                    more = false;
                }
                Parsed::Request(request, length) => {
                    taken += length;
                    let began = books.read_ends();
                    place.is_busy();
                    if let Some(counted) = service.answer(client, (request, began), &mut out).await {
                        books.answered(counted, began);
                    }
                }
            }
            // Write the replies before they exceed the buffer that is kept.
            if !more || out.len() > KEPT {
                break;
            }
        }
        place.has_answered(taken);
        input.drain(..taken);
        if let Some(why) = broken {
            observe::broken_request(&client.listener, client.connection, &client.peer, &why);
            let began = books.read_ends();
            service.broken(why, &mut out);
            books.answered(Counted::Bad, began);
        }
        if !out.is_empty() {
            books.write_begins();
            match within(WRITE, stream.write_all(&out)).await {
                Some(Ok(())) => (),
                Some(Err(_)) => return "the client has gone",
                None => return "write timeout",
            }
            out.clear();
            out.shrink_to(KEPT);
            last = Instant::now();
        }
        if broken.is_some() {
            books.write_ends();
            linger(&mut stream).await;
            return "protocol error";
        }
        if is_ending.has_changed().unwrap_or(true) {
            return "we are stopping";
        }
        if more {
            // The batch is full: yield to other connections.
            tokio::task::yield_now().await;
            continue;
        }
        if at_end {
            return "the client has closed it";
        }
        books.read_begins();
        if input.capacity() - input.len() < INPUT / 4 {
            input.reserve(INPUT);
        }
        loop {
            tokio::select! {
                biased;
                read = stream.read_buf(&mut input) => match read {
                    Ok(0) => at_end = true,
                    Ok(_) => (),
                    Err(_) => return "the client has gone",
                },
                () = &mut ended => return "we are stopping",
                () = place.slot.leave.notified() => return "closed for a new connection, since max_connections is reached",
                () = &mut silence => {
                    if last.elapsed() >= idle {
                        return "idle timeout";
                    }
                    silence.set(sleep_until((last + idle).into()));
                    continue;
                }
            }
            break;
        }
        if input.is_empty() && at_end {
            return "the client has closed it";
        }
    }
}

/// Lets a client that is still sending read the last reply: closing the connection with unread bytes would
/// lose it (RFC 1122, section 4.2.2.13).
async fn linger(stream: &mut Stream) {
    let (most, time) = LINGER;
    let rest = async {
        stream.shutdown().await?;
        let mut scratch = [0; 4096];
        let mut read = 0;
        while read < most {
            match stream.read(&mut scratch).await? {
                0 => break,
                n => read += n,
            }
        }
        std::io::Result::Ok(())
    };
    // The connection ends in any case.
    let _ = timeout(time, rest).await;
}
