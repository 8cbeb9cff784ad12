//! One connection of a request-response protocol, from its first byte to its last.

use super::accept::{Answered, Client, Parsed, Service};
use super::listen::Stream;
use super::open::Place;
use crate::lookup::timeout::within;
use crate::observe;
use crate::observe::meter::{Connection, Counted};
use lookup_protocols::ProtocolError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, sleep_until, timeout};

/// Most requests of one connection that are answered before their replies are written and other connections
/// get their turn. A client that sends without end must neither fill the memory nor block the processor.
pub const MAX_BATCH: usize = 64;
/// Initial input buffer of a connection, in octets: a request of usual length. It grows up to the limit of
/// the protocol for one request.
const INPUT: usize = 1024;
/// Largest buffer that is kept between requests, in octets. It keeps ten thousand idle connections
/// cheap.
const KEPT: usize = 16 * 1024;
/// Longest wait for a client to read a reply. Postfix waits 100 s for a reply and reads it at once.
pub const WRITE: Duration = Duration::from_secs(30);
/// Octets that are read and discarded after a protocol error, and for how long. Reading on lets the last
/// reply reach a client that is still sending.
const LINGER: (usize, Duration) = (256 * 1024, Duration::from_secs(1));

/// Why a connection has ended, for the log.
pub(super) type Ended = &'static str;

/// A connection in service. Its stream is apart, since reading waits for other events at the same time.
pub(super) struct Conversation<'c, S> {
    pub service: &'c S,
    pub client: &'c Client,
    pub counters: Connection,
    pub place: &'c Place,
    /// How long the client may be silent.
    pub idle: Duration,
    /// Raised once, when the connection has to end after its pending request.
    pub end: watch::Receiver<bool>,
}

/// The buffers of a connection.
struct Buffers {
    input: Vec<u8>,
    out: Vec<u8>,
    /// The client has closed its side.
    at_end: bool,
    /// Number of octets of the requests whose replies are not written yet.
    answered: usize,
    /// When rcptd began to wait for a request.
    waiting_since: Instant,
}

/// The state after a batch of requests.
enum Batch {
    /// The rest of the input is no complete request.
    Done,
    /// There may be more requests in the input.
    Full,
    /// Protocol error: the connection ends.
    Broken,
    /// The service has no reply: the connection ends.
    HungUp,
}

impl<S: Service> Conversation<'_, S> {
    /// Serves the connection.
    pub async fn run(mut self, mut stream: Stream) -> Ended {
        // Completes with the reason why an idle connection has to end. It is created once for each connection,
        // since registering for both events again costs more than answering a request.
        let (place, mut end) = (self.place, self.end.clone());
        let closing = async move {
            tokio::select! {
                biased;
                _ = end.wait_for(|raised| *raised) => "rcptd is stopping",
                () = place.replaced() => "closed for a new connection, because max_connections is reached",
            }
        };
        let mut closing = pin!(closing);
        // One timer for each connection, for the same reason; it is checked when it expires.
        let mut silence = pin!(sleep(self.idle));
        let mut buffers = Buffers {
            input: Vec::with_capacity(INPUT),
            out: Vec::new(),
            at_end: false,
            answered: 0,
            waiting_since: self.counters.read_begins(),
        };
        loop {
            let batch = self.answer(&mut buffers).await;
            if let Err(why) = self.write(&mut stream, &mut buffers).await {
                return why;
            }
            // Only now: a connection whose client does not read cannot be asked to end.
            self.place.has_answered(buffers.answered);
            if matches!(batch, Batch::Broken) {
                self.counters.write_ends();
                linger(&mut stream).await;
                return "protocol error";
            }
            if matches!(batch, Batch::HungUp) {
                return "a request without reply";
            }
            // Checked for each batch without a lock.
            if self.end.has_changed().unwrap_or(true) {
                return "rcptd is stopping";
            }
            if matches!(batch, Batch::Full) {
                self.counters.write_ends();
                // Yield to other connections.
                tokio::task::yield_now().await;
                continue;
            }
            if buffers.at_end {
                return "the client closed the connection";
            }
            buffers.waiting_since = self.counters.read_begins();
            if let Err(why) = self.read(&mut stream, &mut buffers, closing.as_mut(), silence.as_mut()).await {
                return why;
            }
            if buffers.input.is_empty() && buffers.at_end {
                return "the client closed the connection";
            }
        }
    }

    /// Answers the requests in the input, up to [`MAX_BATCH`].
    async fn answer(&mut self, buffers: &mut Buffers) -> Batch {
        let Buffers { input, out, at_end, .. } = buffers;
        let mut taken = 0;
        let mut batch = Batch::Full;
        for _ in 0..MAX_BATCH {
            match self.service.parse(&input[taken..], *at_end) {
                Parsed::Incomplete => batch = Batch::Done,
                Parsed::Broken(why) => {
                    self.answer_broken(why, out);
                    batch = Batch::Broken;
                }
                Parsed::Request(request, length) => {
                    taken += length;
                    let began = self.counters.read_ends();
                    self.place.is_busy();
                    match self.service.answer(self.client, request, began, out).await {
                        Answered::Reply(counted) => self.counters.answered(counted, began),
                        Answered::Silent => (),
                        Answered::HangUp(counted) => {
                            self.counters.answered(counted, began);
                            batch = Batch::HungUp;
                        }
                    }
                }
            }
            // Write the replies before they exceed the buffer that is kept.
            if !matches!(batch, Batch::Full) || out.len() > KEPT {
                break;
            }
        }
        buffers.answered = taken;
        input.drain(..taken);
        if input.is_empty() {
            input.shrink_to(KEPT);
        }
        batch
    }

    fn answer_broken(&mut self, why: ProtocolError, out: &mut Vec<u8>) {
        observe::broken_request(self.counters.meter(), self.client.connection, &self.client.peer, &why);
        let began = self.counters.read_ends();
        self.service.broken(why, out);
        self.counters.answered(Counted::Bad, began);
    }

    /// Writes the replies, if any.
    async fn write(&mut self, stream: &mut Stream, buffers: &mut Buffers) -> Result<(), Ended> {
        if buffers.out.is_empty() {
            return Ok(());
        }
        self.counters.write_begins();
        match within(WRITE, stream.write_all(&buffers.out)).await {
            Some(Ok(())) => (),
            Some(Err(_)) => return Err("the client disconnected"),
            None => return Err("write timeout"),
        }
        buffers.out.clear();
        buffers.out.shrink_to(KEPT);
        Ok(())
    }

    /// Reads more input. The error is the reason to end the connection instead.
    async fn read(
        &self,
        stream: &mut Stream,
        buffers: &mut Buffers,
        mut closing: Pin<&mut impl Future<Output = Ended>>,
        mut silence: Pin<&mut Sleep>,
    ) -> Result<(), Ended> {
        if buffers.input.capacity() - buffers.input.len() < INPUT / 4 {
            buffers.input.reserve(INPUT);
        }
        loop {
            tokio::select! {
                biased;
                read = stream.read_buf(&mut buffers.input) => {
                    buffers.at_end = read.map_err(|_| "the client disconnected")? == 0;
                    return Ok(());
                }
                why = &mut closing => return Err(why),
                () = &mut silence => {
                    if buffers.waiting_since.elapsed() >= self.idle {
                        return Err("idle timeout");
                    }
                    silence.set(sleep_until((buffers.waiting_since + self.idle).into()));
                }
            }
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
