//! A stream on which commands and replies alternate. It breaks permanently if they do not.
//!
//! The SMTP library formats the commands, but this file reads the replies. The library reads lines of any
//! length, keeps data after a reply as the reply to the next command, continues after an error, rejects text
//! that is not UTF-8 and replies without text, and panics on an EHLO line of spaces. If one reply were taken
//! for another, mail for an account that exists would be rejected. So [`Wire`] returns one reply for each
//! command, limits its size while reading, and breaks on anything more: a second reply, plaintext injected
//! after the reply to STARTTLS, an unexpected 221. The text of a reply may have any bytes, since its code
//! decides.

use super::reply::Reply;
use std::fmt;
use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Maximum length of a line of a reply in octets, including CRLF. RFC 5321, section 4.5.3.1.5 allows 512;
/// Sendmail and Postfix quote long addresses.
pub(super) const MAX_LINE: usize = 1000;
/// Maximum number of lines of a reply. The longest reply, that to EHLO, has about twenty.
pub(super) const MAX_LINES: usize = 100;
/// Maximum length of a reply in octets, which bounds its memory.
pub(super) const MAX_REPLY: usize = 16 * 1024;

/// Size of one read. A reply is usually one packet.
const CHUNK: usize = 2048;

/// A byte stream for SMTP.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

/// See the module.
pub(super) struct Wire {
    stream: Box<dyn Transport>,
    broken: bool,
}

impl Wire {
    /// A new connection.
    pub fn new(stream: Box<dyn Transport>) -> Self {
        Wire { stream, broken: false }
    }

    /// Sends a command, if given, and reads a reply. If this fails or is dropped, the wire is broken.
    pub async fn exchange(&mut self, command: Option<&str>) -> Result<Reply> {
        // Not reported as a disconnect: the error that broke the stream has been reported.
        if self.broken {
            return Err(Error::other("the connection is broken"));
        }
        self.broken = true;
        if let Some(command) = command {
            self.is_silent().await?;
            self.stream.write_all(command.as_bytes()).await?;
            self.stream.flush().await?;
        }
        let (mut received, mut progress, mut chunk) = (Vec::new(), Progress::default(), [0; CHUNK]);
        loop {
            let length = self.stream.read(&mut chunk).await?;
            let bytes = chunk.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            let end = progress.see(bytes)?;
            received.extend_from_slice(bytes.get(..end.unwrap_or(length)).unwrap_or_default());
            match end {
                None => (),
                // After data beyond the reply, it is not certain which reply belongs to this command.
                Some(end) if end < length => return Err(out_of_turn()),
                Some(_) => break,
            }
        }
        self.broken = false;
        Ok(progress.reply(&received))
    }

    /// [`Wire::exchange`] for a command without its CRLF.
    pub async fn exchange_line(&mut self, command: &str) -> Result<Reply> {
        self.exchange(Some(&format!("{command}\r\n"))).await
    }

    /// Fails if the server has sent data before a command.
    async fn is_silent(&mut self) -> Result<()> {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let early = poll_fn(|cx| match Pin::new(&mut self.stream).poll_read(cx, &mut byte) {
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(result) => Poll::Ready(Some(result)),
        });
        match early.await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(())) if byte.filled().is_empty() => {
                Err(Error::new(ErrorKind::UnexpectedEof, "the server closed an idle connection"))
            }
            Some(Ok(())) => Err(out_of_turn()),
        }
    }

    /// The stream itself, if nothing was received after the last reply.
    pub fn into_stream(self) -> Result<Box<dyn Transport>> {
        if self.broken { Err(Error::other("the connection is broken")) } else { Ok(self.stream) }
    }
}

fn out_of_turn() -> Error {
    Error::new(ErrorKind::ConnectionAborted, "unexpected data from the server")
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("broken", &self.broken).finish_non_exhaustive()
    }
}

/// Finds the end of a reply (RFC 5321, section 4.2).
#[derive(Debug, Default)]
struct Progress {
    bytes: usize,
    lines: usize,
    /// Length of the current line, and its first octets: three digits and a separator.
    line: usize,
    head: [u8; 4],
    /// The code of the first line.
    code: [u8; 3],
    last: u8,
}

impl Progress {
    /// Reads more octets. Returns the position of the end of the reply among them.
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
            0 => matches!(byte, b'2'..=b'5'),
            1..3 => byte.is_ascii_digit(),
            3 => matches!(byte, b' ' | b'-' | b'\r'),
            _ => true,
        };
        self.bytes += 1;
        self.line += 1;
        if !good {
            return bad("not an SMTP reply");
        }
        if let (3, [code @ .., _]) = (self.line, self.head) {
            if self.lines == 0 {
                self.code = code;
            }
            if self.code != code {
                return bad("the lines of the reply have different codes");
            }
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

    /// Parses `received`, a complete reply.
    fn reply(&self, received: &[u8]) -> Reply {
        let code = self.code.iter().fold(0, |code, digit| code * 10 + u16::from(digit.saturating_sub(b'0')));
        let text = |line: &[u8]| {
            // Skip the code and the separator.
            let text = line.get(4..).unwrap_or_default().trim_ascii().to_vec();
            // Text that is not UTF-8 is decoded as ISO 8859-1, so that different texts stay different.
            String::from_utf8(text)
                .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect())
        };
        let lines = received.split_inclusive(|b| *b == b'\n').map(text).collect();
        Reply { code, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use tokio::io::duplex;

    fn ends(reply: &[u8]) -> String {
        match Progress::default().see(reply) {
            Ok(Some(end)) => format!("ends at {end}"),
            Ok(None) => "goes on".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn finds_the_end_of_a_reply() {
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
            (b"250-a\r\n550 b\r\n", "the lines of the reply have different codes"),
            (b"550-a\r\n251-b\r\n", "the lines of the reply have different codes"),
            (b"150 a\r\n", "not an SMTP reply"),
            (b"650 a\r\n", "not an SMTP reply"),
            (b"25\r\n", "not an SMTP reply"),
            (b"\r\n", "not an SMTP reply"),
            (b"HTTP/1.1 400 Bad Request\r\n", "not an SMTP reply"),
            (b"2500 ok\r\n", "not an SMTP reply"),
            (b"250-a\r\nb\r\n", "not an SMTP reply"),
            (b"\x15\x03\x01\x00\x02", "not an SMTP reply"),
        ];
        for (reply, want) in cases {
            assert_eq!(ends(reply), *want, "{}", mail_address::escape(reply));
        }
    }

    #[test]
    fn limits_lines_and_length() {
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
        /// The end does not depend on how the octets are split.
        #[test]
        fn ignores_packet_splits(reply in "([2-5]5[01][ -][a-z\r\n]{0,5}\r\n){1,4}", cut in 0usize..40) {
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

    /// Reads a reply from these bytes, sent at once.
    async fn read(bytes: &[u8]) -> Result<Reply> {
        let (ours, mut theirs) = duplex(bytes.len().max(1));
        theirs.write_all(bytes).await.unwrap();
        drop(theirs);
        Wire::new(Box::new(ours)).exchange(None).await
    }

    #[tokio::test]
    async fn accepts_any_text() {
        for (bytes, code, lines) in [
            (&b"220 hello\r\n"[..], 220, &["hello"][..]),
            (b"250\r\n", 250, &[""]),
            (b"250 \r\n", 250, &[""]),
            (b"250   \t \r\n", 250, &[""]),
            (b"250-\r\n250-  \r\n250\r\n", 250, &["", "", ""]),
            (b"250-a\r\n250 b\r\n", 250, &["a", "b"]),
            (b"250 J\xf6rg <u@a.test>\r\n", 250, &["J\u{f6}rg <u@a.test>"]),
            (b"550 gr\xc3\xbc\xc3\x9fe\r\n", 550, &["gr\u{fc}\u{df}e"]),
            (b"550 \0\x7f\xff\x1b[0m\r\n", 550, &["\0\x7f\u{ff}\x1b[0m"]),
            (b"250\rx\r\n", 250, &["x"]),
        ] {
            let got = read(bytes).await.unwrap();
            assert_eq!((got.code, got.lines), (code, lines.iter().map(ToString::to_string).collect()));
        }
    }

    #[tokio::test]
    async fn unexpected_data_breaks_the_stream() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 hello\r\n").await.unwrap();
        assert_eq!(wire.exchange(None).await.unwrap().code, 220);
        theirs.write_all(b"421 bye\r\n").await.unwrap();
        // The server sent data before a command.
        for want in ["unexpected data from the server", "the connection is broken"] {
            assert_eq!(wire.exchange(Some("NOOP\r\n")).await.unwrap_err().to_string(), want);
        }
        assert!(wire.into_stream().is_err());
    }

    #[tokio::test]
    async fn data_after_a_reply_breaks_the_stream() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 hello\r\n250 injected\r\n").await.unwrap();
        assert_eq!(wire.exchange(None).await.unwrap_err().to_string(), "unexpected data from the server");
        assert!(wire.into_stream().is_err());
    }

    #[tokio::test]
    async fn dropped_exchange_breaks_the_stream() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 he").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(10), wire.exchange(None)).await.is_err());
        theirs.write_all(b"llo\r\n").await.unwrap();
        assert_eq!(wire.exchange(None).await.unwrap_err().to_string(), "the connection is broken");
    }

    #[tokio::test]
    async fn reports_a_disconnect_separately() {
        let (ours, mut theirs) = duplex(4096);
        let mut wire = Wire::new(Box::new(ours));
        theirs.write_all(b"220 hello\r\n").await.unwrap();
        wire.exchange(None).await.unwrap();
        drop(theirs);
        let error = wire.exchange(Some("NOOP\r\n")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::UnexpectedEof, "the server closed an idle connection")
        );
    }
}
