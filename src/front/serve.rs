//! One accept loop for all protocols of requests and answers: permits, deadlines, bounded input, a graceful end.
//!
//! A protocol is a [`Service`]: it takes requests off the bytes that have come, and answers them. What is common
//! to all of them is here. Requests may come in a row without waiting for the answers (pipelining); they are
//! answered in their order, and the answers to those that came together leave together.

use super::listen::{Listener, Stream};
use crate::observe;
use crate::observe::meter::{Connection, Counted, Meter};
use crate::wire::Broken;
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

/// How many requests of one connection are answered before their answers are written and others have their turn: a
/// client that sends without end must neither fill the memory nor keep the processor.
pub const MAX_BATCH: usize = 64;
/// First size of the input of a connection, in octets: a request of usual length. It grows up to what the
/// protocol allows to one request.
const INPUT: usize = 1024;
/// Largest output that is kept for the next answers, in octets. Ten thousand idle connections are to cost little.
const KEPT: usize = 16 * 1024;
/// Longest wait for a client to take an answer. Postfix waits 100 s for one and reads at once when it comes.
pub const WRITE: Duration = Duration::from_secs(30);
/// After bytes that follow no protocol: how much more is read and thrown away, and for how long, so that the last
/// answer reaches a client that is still sending.
const LINGER: (usize, Duration) = (256 * 1024, Duration::from_secs(1));

/// How long a connection has been without a request of its own before a new one may take its place, where there are
/// as many as there may be. Clients that connect and ask nothing would otherwise keep a mail server out for as long as
/// a connection may be silent; a mail server that loses an idle connection connects again.
pub const YIELD: Duration = Duration::from_secs(1);

/// What a protocol makes of the bytes that have come.
#[derive(Debug)]
pub enum Parsed<R> {
    /// A request needs more of them.
    Incomplete,
    /// A request, and how many of them it takes.
    Request(R, usize),
    /// They follow no protocol: the connection ends.
    Broken(Broken),
}

/// A protocol at a listener.
pub trait Service: Send + Sync + 'static {
    /// What can be asked.
    type Request: Send;

    /// Takes the first request off `input`. `at_end`: nothing will follow.
    fn parse(&self, input: &[u8], at_end: bool) -> Parsed<Self::Request>;

    /// Appends the answer to a request that was read at `began`, within the time the operator allows. `None`: nothing
    /// is said to it, and nothing counted.
    fn answer(
        &self,
        client: &Client,
        request: (Self::Request, Instant),
        out: &mut Vec<u8>,
    ) -> impl Future<Output = Option<Counted>> + Send;

    /// Appends what is said to bytes that follow no protocol, if anything is.
    fn broken(&self, why: Broken, out: &mut Vec<u8>);
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it was accepted.
    pub listener: Arc<str>,
    /// Our number of the connection, the same in all of its lines.
    pub connection: u64,
    /// What is known of the other end.
    pub peer: Box<str>,
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once; a further one takes the place of the one that was idle for longest (see
    /// [`YIELD`]).
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
}

/// Numbers of connections, over all listeners of the process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Serves a listener until `stop` is raised: then nothing more is accepted. Connections end when `end` is raised,
/// each after the request in hand, and this completes with the last of them.
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
        // Whoever could raise it has gone: the same.
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
    // The socket closes before the last conversation has ended: who comes now is to find another server.
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

/// An open connection, as the listener sees it.
#[derive(Debug)]
struct Slot {
    /// Since when it has had no request, in milliseconds since the listener began; [`BUSY`] while one is answered.
    idle: AtomicU64,
    /// Whether a request was answered. A client that never asked is the first to go.
    served: AtomicBool,
    /// Tells it to end.
    leave: Notify,
}

/// See [`Slot::idle`].
const BUSY: u64 = u64::MAX;

/// The place of a connection among the open ones, until it ends.
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

    /// A permit for one more connection. Where there is none, the connection that was idle for longest is told to
    /// end, again and again until there is one.
    async fn room(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            match permits.clone().try_acquire_owned() {
                Ok(permit) => return Some(permit),
                // Nothing closes it; a connection without a permit is still served.
                Err(TryAcquireError::Closed) => return None,
                Err(TryAcquireError::NoPermits) => (),
            }
            let wait = self.dismiss();
            if let Ok(permit) = timeout(wait, permits.clone().acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    /// Tells a connection to end: the one that was idle for longest, of those that never asked if there are any.
    /// Returns when to look for another.
    fn dismiss(&self) -> Duration {
        let slots = self.slots();
        let idle =
            slots.values().map(|slot| (slot.idle.load(Relaxed), slot)).filter(|(idle, _)| *idle != BUSY);
        let first = idle.min_by_key(|(idle, slot)| (slot.served.load(Relaxed), *idle));
        let Some((idle, slot)) = first else { return YIELD };
        let time = Duration::from_millis(self.now().saturating_sub(idle));
        if let Some(rest) = YIELD.checked_sub(time).filter(|rest| !rest.is_zero()) {
            return rest;
        }
        slot.leave.notify_one();
        // It needs no more than its turn.
        Duration::from_millis(20)
    }
}

impl Place {
    fn is_busy(&self) {
        self.slot.idle.store(BUSY, Relaxed);
    }

    /// So many bytes of requests have been answered, if any.
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

/// What a future comes to within a time. Most are ready at once, and for those no clock is set.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => timeout(limit, future).await.ok(),
    }
}

/// Why a connection has ended; for the log.
type Ended = &'static str;

/// One connection, from its first byte to its last.
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
    // Looked at for each request, without a lock; raised once, and never lowered.
    let is_ending = end.clone();
    let ended = async move {
        let _ = end.wait_for(|raised| *raised).await;
    };
    let mut ended = pin!(ended);
    // One timer for the whole connection, which is looked at when it has run down: setting it back for each
    // request would cost more than the request.
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
            // What is answered is written before more is gathered than is kept.
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
                None => return "the client takes no answers",
            }
            out.clear();
            out.shrink_to(KEPT);
            last = Instant::now();
        }
        if broken.is_some() {
            books.write_ends();
            linger(&mut stream).await;
            return "it followed no protocol";
        }
        if is_ending.has_changed().unwrap_or(true) {
            return "we are stopping";
        }
        if more {
            // A batch was full: others have their turn.
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
                () = place.slot.leave.notified() => return "another connection needed its place",
                () = &mut silence => {
                    if last.elapsed() >= idle {
                        return "it was silent for too long";
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

/// Lets a client that is still sending see the last answer: if the connection were closed with bytes unread, the
/// answer would be lost with it (RFC 1122, section 4.2.2.13).
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
    // Whatever comes of it, the connection ends here.
    let _ = timeout(time, rest).await;
}
