//! An SMTP client that sends what it is told to, however odd.

use crate::Outcome;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any wait of a mail server that is in order, also on a busy host.
const READ_LIMIT: Duration = Duration::from_mins(1);

/// A connection to a mail server.
pub struct Smtp {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// What was said so far, for the report of a failure.
    pub transcript: String,
}

/// A complete reply: its lines without line ends, joined by `\n`.
#[derive(Clone, Debug)]
pub struct Reply(pub String);

impl Reply {
    /// Whether the reply begins with `pattern`, in which `*` stands for any text.
    pub fn matches(&self, pattern: &str) -> bool {
        glob(&format!("{pattern}*"), &self.0)
    }

    /// The queue id, if the reply says that a message was taken.
    pub fn queue_id(&self) -> Option<String> {
        let text = self.0.strip_prefix("250 2.0.0 ")?;
        let id = match text
            .strip_prefix("Ok: queued as ")
            .or_else(|| text.split_once("queued as ").map(|p| p.1))
        {
            Some(id) => id,
            None => text.strip_suffix(" Message accepted for delivery")?,
        };
        Some(id.trim().to_owned())
    }
}

/// Whether the whole `text` fits `pattern`, in which `*` stands for any text.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

impl Smtp {
    /// Connects and reads nothing.
    pub fn open(address: SocketAddr) -> Outcome<Self> {
        let fail = |e| format!("SMTP connection to {address}: {e}");
        let stream = TcpStream::connect_timeout(&address, READ_LIMIT).map_err(fail)?;
        stream.set_read_timeout(Some(READ_LIMIT)).map_err(fail)?;
        stream.set_write_timeout(Some(READ_LIMIT)).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        let reader = BufReader::new(stream.try_clone().map_err(fail)?);
        Ok(Smtp { stream, reader, transcript: String::new() })
    }

    /// Connects, reads the greeting, says EHLO.
    pub fn connect(address: SocketAddr) -> Outcome<Self> {
        let mut smtp = Self::open(address)?;
        smtp.expect("220")?;
        smtp.ask("EHLO client.remote.test", "250")?;
        Ok(smtp)
    }

    /// Sends `text` as it is.
    pub fn send(&mut self, text: &str) -> Outcome {
        self.send_octets(text.as_bytes())
    }

    /// Sends octets as they are.
    pub fn send_octets(&mut self, octets: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(octets);
        for line in text.lines() {
            let _ = writeln!(self.transcript, "C: {line}");
        }
        self.stream.write_all(octets).map_err(|e| format!("sending {text:?}: {e}"))
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Outcome<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            // A line of a reply has 512 octets (RFC 5321, 4.5.3.1.5); some servers need more.
            let got = (&mut self.reader).take(8192).read_until(b'\n', &mut line);
            let got = got.map_err(|e| format!("reading a reply: {e}"))?;
            if got == 0 {
                return Err("the server closed the connection instead of replying".to_owned());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let _ = writeln!(self.transcript, "S: {line}");
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return Ok(Reply(lines.join("\n")));
            }
        }
    }

    /// Reads a reply that must begin with `pattern`.
    pub fn expect(&mut self, pattern: &str) -> Outcome<Reply> {
        let got = self.reply()?;
        if got.matches(pattern) { Ok(got) } else { Err(format!("reply: got {:?}, want {pattern:?}", got.0)) }
    }

    /// Sends one command, reads its reply, which must begin with `pattern`.
    pub fn ask(&mut self, command: &str, pattern: &str) -> Outcome<Reply> {
        self.send(&format!("{command}\r\n"))?;
        self.expect(pattern).map_err(|e| format!("{command}: {e}"))
    }

    /// DATA and, if the server agrees, `text`; the reply is the one that ends the matter.
    pub fn message(&mut self, text: &str) -> Outcome<Reply> {
        self.send("DATA\r\n")?;
        let reply = self.reply()?;
        if !reply.matches("354") {
            return Ok(reply);
        }
        self.send(&format!("{text}.\r\n"))?;
        self.reply()
    }
}
