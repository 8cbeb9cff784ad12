//! The stream of a milter session, with three tasks that the milter library leaves to the transport:
//!
//! - It buffers the edits of a message until the reply that ends it, so that they reach the mail server
//!   together: one system call instead of one for each edit, and no half-edited message if rcptd dies in
//!   between.
//! - It acknowledges data received over TCP at once. Postfix writes its requests in small pieces without
//!   TCP_NODELAY, so it would wait 40 ms for a delayed acknowledgement in the middle of each message.
//! - It records and counts the end of the session, which the library does not report.

use crate::observe::{self, Metrics, RateLimit};
use crate::server::listen::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// Most bytes of buffered edits: those of about five hundred recipients. Further edits are sent at once.
pub const MAX_HELD: usize = 64 * 1024;

/// Replies that change a message: add recipient, delete recipient, add recipient with parameters, change
/// header. Another reply follows, so they can wait.
const EDITS: [u8; 4] = *b"+-2m";

/// Shared state of the streams of one listener.
#[derive(Debug)]
pub struct Shared {
    /// The listener that accepted the streams.
    pub listener: Arc<str>,
    /// The counters of the daemon.
    pub metrics: Arc<Metrics>,
    /// Limits the log lines of connections above the limit.
    pub full: RateLimit,
    /// Number of open streams.
    pub open: AtomicUsize,
    /// Raised when no further message may begin: each session ends after its current message.
    pub last: watch::Sender<bool>,
    /// Whether rcptd is stopping, so that it caused an early end.
    pub stopping: AtomicBool,
}

impl Shared {
    /// Creates the state for the listener of this name.
    pub fn new(listener: Arc<str>, metrics: Arc<Metrics>) -> Self {
        let last = watch::Sender::new(false);
        let full = RateLimit::default();
        Shared { listener, metrics, full, open: 0.into(), last, stopping: false.into() }
    }
}

/// A connection to a mail server.
pub struct MtaStream<S = Stream> {
    stream: S,
    held: Vec<u8>,
    /// Whether only edits have been written since the last reply.
    holding: bool,
    frames: Frames,
    end: Option<End>,
    /// Completes when [`Shared::last`] is raised; created when the session first waits.
    last: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    shared: Arc<Shared>,
}

enum End {
    Eof,
    /// By rcptd, between two messages.
    Ours,
    Error(io::Error),
}

/// A stream that can acknowledge received data at once.
pub trait Acknowledge {
    /// Acknowledges received data at once, if the stream supports it.
    fn acknowledge(&self);
}

impl Acknowledge for Stream {
    fn acknowledge(&self) {
        if let Stream::Tcp(s) = self {
            // An error only costs speed.
            let _ = s.set_quickack(true);
        }
    }
}

impl Acknowledge for tokio::io::DuplexStream {
    fn acknowledge(&self) {}
}

impl<S> MtaStream<S> {
    /// Wraps a connection that was just accepted.
    pub fn new(stream: S, shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Relaxed);
        MtaStream {
            stream,
            held: Vec::new(),
            holding: false,
            frames: Frames::default(),
            end: None,
            last: None,
            shared,
        }
    }

    /// Ready when no further message may begin.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.shared;
        let wait = || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let mut last = shared.last.subscribe();
            Box::pin(async move {
                // The sender lives as long as any stream.
                let _ = last.wait_for(|raised| *raised).await;
            })
        };
        self.last.get_or_insert_with(wait).as_mut().poll(cx)
    }

    fn note<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        result.map_err(|e| {
            self.end = Some(End::Error(io::Error::new(e.kind(), e.to_string())));
            e
        })
    }
}

impl<S: AsyncWrite + Unpin> MtaStream<S> {
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.held);
            match ready!(self.note(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => drop(self.held.drain(..n)),
            }
        }
        // Free the buffer: an idle session should cost little.
        self.held = Vec::new();
        Poll::Ready(Ok(()))
    }
}

/// Whether `bytes` are exactly one frame that edits a message.
fn is_edit(bytes: &[u8]) -> bool {
    match bytes {
        [a, b, c, d, kind, ..] => {
            u32::from_be_bytes([*a, *b, *c, *d]) as usize == bytes.len() - 4 && EDITS.contains(kind)
        }
        _ => false,
    }
}

impl<S: AsyncRead + Acknowledge + Unpin> AsyncRead for MtaStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        // All received frames were answered before the next read.
        if self.frames.between() && !self.frames.in_message && self.poll_last(cx).is_ready() {
            self.end = Some(End::Ours);
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        ready!(self.note(read))?;
        match &buf.filled()[before..] {
            [] => self.end = Some(End::Eof),
            new => {
                self.frames.take(new);
                self.stream.acknowledge();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MtaStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if is_edit(buf) && self.held.len() + buf.len() <= MAX_HELD {
            self.holding = true;
            self.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.holding = false;
        if self.held.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, buf);
            return self.note(written);
        }
        // The reply is sent together with the buffered edits, in one piece if it fits.
        self.held.extend_from_slice(buf);
        match self.poll_release(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            // The rest is sent at the next flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holding {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_release(cx))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Edits without the reply that ends the message are useless; the server will defer the message.
        if self.holding {
            self.held = Vec::new();
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> Drop for MtaStream<S> {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Relaxed);
        let broken = |why: &dyn std::fmt::Display| {
            observe::session_broken(&self.shared.metrics, &self.shared.listener, self.frames.last, why);
        };
        match &self.end {
            _ if self.frames.last == Some(b'Q') || self.shared.stopping.load(Relaxed) => (),
            Some(End::Eof) if self.frames.between() => (),
            Some(End::Ours) => (),
            Some(End::Eof) => broken(&"the mail server disconnected in the middle of a command"),
            Some(End::Error(e)) => broken(e),
            None => broken(&"a malformed command, an idle timeout, or rcptd ended the session"),
        }
    }
}

/// Parses incoming frames (length, command, data) without storing them.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; 5],
    have: usize,
    skip: usize,
    last: Option<u8>,
    /// Whether a message has begun, by MAIL, and not ended, by its end or by ABORT.
    in_message: bool,
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return };
            // `have` is below 5: it is reset when it reaches 5.
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if self.have == self.head.len() {
                let [a, b, c, d, command] = self.head;
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                (self.have, self.skip, self.last) = (0, length.saturating_sub(1), Some(command));
                match command {
                    b'M' => self.in_message = true,
                    b'E' | b'A' | b'K' => self.in_message = false,
                    _ => (),
                }
            }
        }
    }

    /// Whether the received data end with a complete frame.
    fn between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn frame(command: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len() + 1).expect("short");
        [&length.to_be_bytes()[..], &[command], data].concat()
    }

    fn shared() -> Arc<Shared> {
        Arc::new(Shared::new("test".into(), Arc::default()))
    }

    #[test]
    fn parses_frames_in_pieces_of_any_size() {
        let all = [frame(b'O', b"abc"), frame(b'R', b"<foo@bar>\0"), frame(b'Q', b"")].concat();
        for size in 1..=all.len() {
            let mut frames = Frames::default();
            for piece in all.chunks(size) {
                frames.take(piece);
            }
            assert_eq!((frames.last, frames.between()), (Some(b'Q'), true), "{size}");
        }
        let mut frames = Frames::default();
        frames.take(&all[..9]);
        assert!(!frames.between());
    }

    #[tokio::test]
    async fn session_ends_between_messages_on_request() {
        // Data received before the request to end, whether the session ends at once, data that end it.
        for (before, at_once, after) in [
            ("", true, ""),
            ("O", true, ""),
            ("OCH", true, ""),
            ("OM", false, "A"),
            ("OMR", false, "RE"),
            ("OMRE", true, ""),
            ("OMRA", true, ""),
            ("OMREDM", false, "RRE"),
            ("OMREK", true, ""),
        ] {
            let (ours, mut theirs) = duplex(1 << 16);
            let shared = shared();
            let mut stream = MtaStream::new(ours, shared.clone());
            let mut got = vec![0; 1 << 12];
            for command in before.bytes() {
                theirs.write_all(&frame(command, b"x")).await.unwrap();
                assert_eq!(stream.read(&mut got).await.unwrap(), 6, "{before}");
            }
            // Also if the session is already waiting.
            let reading = tokio::spawn(async move {
                let mut read = 0;
                loop {
                    match stream.read(&mut got).await.unwrap() {
                        0 => return read,
                        n => read += n,
                    }
                }
            });
            tokio::task::yield_now().await;
            shared.last.send_replace(true);
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert_eq!(reading.is_finished(), at_once, "{before}");
            for command in after.bytes() {
                theirs.write_all(&frame(command, b"x")).await.unwrap();
            }
            assert_eq!(reading.await.unwrap(), after.len() * 6, "{before}");
        }
    }

    #[tokio::test]
    async fn buffers_edits_until_the_final_reply() {
        let (ours, mut theirs) = duplex(1 << 20);
        let mut stream = MtaStream::new(ours, shared());
        for edit in [frame(b'-', b"<a>\0"), frame(b'2', b"<b>\0ORCPT=rfc822;a\0")] {
            stream.write_all(&edit).await.expect("write");
            stream.flush().await.expect("flush");
        }
        let mut got = vec![0; 100];
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), theirs.read(&mut got)).await;
        assert!(early.is_err(), "edits went out alone");
        stream.write_all(&frame(b'c', b"")).await.expect("write");
        stream.flush().await.expect("flush");
        let n = theirs.read(&mut got).await.expect("read");
        let want = [frame(b'-', b"<a>\0"), frame(b'2', b"<b>\0ORCPT=rfc822;a\0"), frame(b'c', b"")].concat();
        assert_eq!(&got[..n], &*want);
    }

    #[tokio::test]
    async fn limits_buffered_edits() {
        let (ours, mut theirs) = duplex(100);
        let edit = frame(b'-', &[b'x'; 1000]);
        let total = (3 * MAX_HELD / edit.len() + 1) * edit.len() + 5;
        let writer = tokio::spawn(async move {
            let mut stream = MtaStream::new(ours, shared());
            for _ in 0..=3 * MAX_HELD / edit.len() {
                stream.write_all(&edit).await.expect("write");
                stream.flush().await.expect("flush");
                assert!(stream.held.len() <= MAX_HELD + edit.len());
            }
            stream.write_all(&frame(b'c', b"")).await.expect("write");
            stream.flush().await.expect("flush");
        });
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("read");
        writer.await.expect("writer");
        assert_eq!(got.len(), total);
        assert!(got.ends_with(&frame(b'c', b"")));
    }

    #[tokio::test]
    async fn drops_edits_without_final_reply() {
        let (ours, mut theirs) = duplex(100);
        let mut stream = MtaStream::new(ours, shared());
        stream.write_all(&frame(b'-', b"<a>\0")).await.expect("write");
        stream.flush().await.expect("flush");
        stream.shutdown().await.expect("shutdown");
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, b"");
    }
}
