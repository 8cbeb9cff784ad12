//! A stream on which commands and replies take turns, and which breaks where they do not.
//!
//! The SMTP library reads lines of any length, keeps what follows a reply as the answer to the next command,
//! and carries on after an error. One answer read as another's would refuse mail for an account that exists.
//! So this stream knows where a reply ends: it hands out one reply for each command, bounded while it is
//! being read, and anything beyond it (a second reply, plaintext injected behind the reply to STARTTLS, a
//! farewell while nobody asked) breaks it for good.

use lettre::transport::smtp::client::AsyncTokioStream;
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Longest line of a reply in octets, its end included. RFC 5321, section 4.5.3.1.5 allows 512; Sendmail and
/// Postfix quote long addresses.
pub(super) const MAX_LINE: usize = 1000;
/// Most lines of a reply. The longest, that to EHLO, has some twenty.
pub(super) const MAX_LINES: usize = 100;
/// Most octets of a reply: it is parsed again with every line, so this bounds work as well as memory.
pub(super) const MAX_REPLY: usize = 16 * 1024;

/// What is read at once. A reply is one packet.
const CHUNK: usize = 2048;

/// What can carry SMTP.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

/// See the module.
pub(super) struct Wire {
    stream: Box<dyn Transport>,
    turn: Turn,
    /// What of the reply has been received and not yet handed out.
    received: Vec<u8>,
    /// Whether more was received than was asked for; shared with the connection, which asks after a reply.
    surplus: Arc<AtomicBool>,
    broken: bool,
}

/// Whose turn it is.
enum Turn {
    /// The server's: a command (or the connection) has been made, and so much of the reply was seen.
    Server(Progress),
    /// Ours: the reply was received.
    Client,
}

impl Wire {
    /// A new connection, on which the server speaks first.
    pub fn new(stream: Box<dyn Transport>) -> Self {
        let surplus = Arc::default();
        Wire { stream, turn: Turn::Server(Progress::default()), received: Vec::new(), surplus, broken: false }
    }

    /// A connection on which `greeting` was already read, to be read once more from here.
    pub fn greeted(stream: Box<dyn Transport>, greeting: Vec<u8>) -> Self {
        Wire { turn: Turn::Client, received: greeting, ..Wire::new(stream) }
    }

    /// Tells from outside whether more was received than was asked for.
    pub fn surplus(&self) -> Arc<AtomicBool> {
        self.surplus.clone()
    }

    /// Reads a reply, after sending a command if there is one.
    pub async fn exchange(&mut self, command: Option<&str>) -> Result<Vec<u8>> {
        if let Some(command) = command {
            self.write_all(command.as_bytes()).await?;
            self.flush().await?;
        }
        let mut reply = Vec::new();
        while matches!(self.turn, Turn::Server(_)) || !self.received.is_empty() {
            self.read_buf(&mut reply).await?;
        }
        Ok(reply)
    }

    /// The stream itself, provided that nothing was received on it beyond the last reply.
    pub fn into_stream(self) -> Result<Box<dyn Transport>> {
        if self.broken || self.surplus.load(Ordering::Relaxed) { Err(out_of_turn()) } else { Ok(self.stream) }
    }

    /// Receives until there is something to hand out.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.received.is_empty() {
            let Turn::Server(progress) = &mut self.turn else {
                return Poll::Ready(Err(Error::other("no reply to be read")));
            };
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
            let bytes = chunk.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up")));
            }
            match progress.see(bytes)? {
                None => self.received.extend_from_slice(bytes),
                Some(end) => {
                    let (reply, beyond) = bytes.split_at(end);
                    self.received.extend_from_slice(reply);
                    self.surplus.store(!beyond.is_empty(), Ordering::Relaxed);
                    self.turn = Turn::Client;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Makes it the server's turn, if it was ours and the server has kept quiet.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if let Turn::Server(progress) = &self.turn {
            // More of a command is fine, another command on top of a reply is not.
            return if progress.is_begun() { Err(out_of_turn()) } else { Ok(()) };
        }
        if self.surplus.load(Ordering::Relaxed) || !self.received.is_empty() {
            return Err(out_of_turn());
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.stream).poll_read(cx, &mut byte) {
            Poll::Pending => {
                self.turn = Turn::Server(Progress::default());
                Ok(())
            }
            Poll::Ready(Ok(())) if byte.filled().is_empty() => {
                Err(Error::new(ErrorKind::UnexpectedEof, "the server hung up while idle"))
            }
            Poll::Ready(Ok(())) => Err(out_of_turn()),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn broken_by<T>(&mut self, result: Poll<Result<T>>) -> Poll<Result<T>> {
        self.broken |= matches!(result, Poll::Ready(Err(_)));
        result
    }

    fn is_usable(&self) -> Result<()> {
        // Not a hang-up: whatever broke the stream was reported then.
        if self.broken { Err(Error::other("the connection is broken")) } else { Ok(()) }
    }
}

fn out_of_turn() -> Error {
    Error::new(ErrorKind::ConnectionAborted, "the server spoke out of turn")
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        this.is_usable()?;
        let received = this.poll_receive(cx);
        ready!(this.broken_by(received))?;
        let rest = this.received.split_off(this.received.len().min(out.remaining()));
        out.put_slice(&this.received);
        this.received = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        this.is_usable()?;
        let written = match this.poll_turn(cx) {
            Ok(()) => Pin::new(&mut this.stream).poll_write(cx, bytes),
            Err(error) => Poll::Ready(Err(error)),
        };
        this.broken_by(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Wire {
    /// Asked by nobody; a UNIX socket has none to tell.
    fn peer_addr(&self) -> Result<SocketAddr> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("broken", &self.broken).finish_non_exhaustive()
    }
}

/// How much of a reply was seen (RFC 5321, section 4.2).
#[derive(Debug, Default)]
struct Progress {
    bytes: usize,
    lines: usize,
    /// Octets of the line under way, and the first of them: three digits and what follows.
    line: usize,
    head: [u8; 4],
    last: u8,
}

impl Progress {
    fn is_begun(&self) -> bool {
        self.bytes > 0
    }

    /// Looks at more octets, and returns where among them the reply ends.
    fn see(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        for (i, byte) in bytes.iter().enumerate() {
            if self.see_one(*byte)? {
                return Ok(Some(i + 1));
            }
        }
        Ok(None)
    }

    /// Whether the reply ends with this octet.
    fn see_one(&mut self, byte: u8) -> Result<bool> {
        let bad = |what: &str| Err(Error::new(ErrorKind::InvalidData, what));
        let last = std::mem::replace(&mut self.last, byte);
        if let Some(head) = self.head.get_mut(self.line) {
            *head = byte;
        }
        let good = match self.line {
            0..3 => byte.is_ascii_digit(),
            3 => matches!(byte, b' ' | b'-' | b'\r'),
            _ => true,
        };
        self.bytes += 1;
        self.line += 1;
        if !good {
            return bad("that is not an SMTP reply");
        }
        if self.line > MAX_LINE {
            return bad("a line of the reply is too long");
        }
        if self.bytes > MAX_REPLY {
            return bad("the reply is too long");
        }
        if byte != b'\n' {
            return Ok(false);
        }
        if last != b'\r' {
            return bad("a line of the reply ends in a bare line feed");
        }
        self.lines += 1;
        self.line = 0;
        if self.head[3] != b'-' {
            return Ok(true);
        }
        if self.lines == MAX_LINES {
            return bad("the reply has too many lines");
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::duplex;

    fn ends(reply: &[u8]) -> String {
        match Progress::default().see(reply) {
            Ok(Some(end)) => format!("ends at {end}"),
            Ok(None) => "goes on".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn where_a_reply_ends() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "goes on"),
            (b"250", "goes on"),
            (b"250 ok", "goes on"),
            (b"250 ok\r\n", "ends at 8"),
            (b"250\r\n", "ends at 5"),
            (b"250-a\r\n", "goes on"),
            (b"250-a\r\n250 b\r\n", "ends at 14"),
            (b"250-a\r\n250\r\n", "ends at 12"),
            (b"250 a\r\n550 b\r\n", "ends at 7"),
            (b"250 a\rb\r\n", "ends at 9"),
            (b"250 a\n", "a line of the reply ends in a bare line feed"),
            (b"25\r\n", "that is not an SMTP reply"),
            (b"\r\n", "that is not an SMTP reply"),
            (b"HTTP/1.1 400 Bad Request\r\n", "that is not an SMTP reply"),
            (b"2500 ok\r\n", "that is not an SMTP reply"),
            (b"250-a\r\nb\r\n", "that is not an SMTP reply"),
            (b"\x15\x03\x01\x00\x02", "that is not an SMTP reply"),
        ];
        for (reply, want) in cases {
            assert_eq!(ends(reply), *want, "{}", crate::addr::escape(reply));
        }
    }

    #[test]
    fn limits() {
        let line = |length: usize| format!("250 {}\r\n", "x".repeat(length - 6));
        assert_eq!(ends(line(MAX_LINE).as_bytes()), format!("ends at {MAX_LINE}"));
        assert_eq!(ends(line(MAX_LINE + 1).as_bytes()), "a line of the reply is too long");
        let lines = |n: usize| "250-x\r\n".repeat(n - 1) + "250 x\r\n";
        assert_eq!(ends(lines(MAX_LINES).as_bytes()), format!("ends at {}", 7 * MAX_LINES));
        assert_eq!(ends(lines(MAX_LINES + 1).as_bytes()), "the reply has too many lines");
        let long = format!("250-{}\r\n", "x".repeat(900)).repeat(MAX_REPLY / 900 + 1);
        assert_eq!(ends(long.as_bytes()), "the reply is too long");
    }

    proptest! {
        /// The end does not depend on how the octets arrive.
        #[test]
        fn pieces_do_not_matter(reply in "([0-9]{3}[ -][a-z\r\n]{0,5}\r\n){1,4}", cut in 0usize..40) {
            let bytes = reply.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let whole = Progress::default().see(bytes).ok();
            let mut progress = Progress::default();
            let pieces = match progress.see(head).ok() {
                Some(None) => progress.see(tail).ok().map(|end| end.map(|end| end + head.len())),
                ended => ended,
            };
            prop_assert_eq!(whole, pieces);
        }
    }

    #[tokio::test]
    async fn turns_are_kept() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 hello\r\n").await.unwrap();
        assert_eq!(wire.exchange(None).await.unwrap(), b"220 hello\r\n");
        theirs.write_all(b"421 bye\r\n").await.unwrap();
        // It had its say before it was asked.
        assert_eq!(
            wire.exchange(Some("NOOP\r\n")).await.unwrap_err().to_string(),
            "the server spoke out of turn"
        );
        assert_eq!(
            wire.exchange(Some("NOOP\r\n")).await.unwrap_err().to_string(),
            "the connection is broken"
        );
        assert!(wire.into_stream().is_err());
    }

    #[tokio::test]
    async fn what_is_beyond_a_reply_breaks_it() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        let surplus = wire.surplus();
        theirs.write_all(b"220 hello\r\n250 injected\r\n").await.unwrap();
        assert_eq!(wire.exchange(None).await.unwrap(), b"220 hello\r\n");
        assert!(surplus.load(Ordering::Relaxed));
        assert!(wire.into_stream().is_err());
    }

    #[tokio::test]
    async fn hanging_up_is_told_apart() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 hello\r\n").await.unwrap();
        wire.exchange(None).await.unwrap();
        drop(theirs);
        let error = wire.exchange(Some("NOOP\r\n")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::UnexpectedEof, "the server hung up while idle")
        );
    }

    #[tokio::test]
    async fn a_greeting_is_read_twice() {
        let (ours, _theirs) = duplex(4096);
        let mut wire = Wire::greeted(Box::new(ours), b"220 hello\r\n".to_vec());
        assert_eq!(wire.exchange(None).await.unwrap(), b"220 hello\r\n");
    }
}
