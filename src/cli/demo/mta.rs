//! The mail server's side of a milter session, as far as the demonstration needs it.
//!
//! Frames are a length of four octets, a command or reply letter, and data. The client sends the same
//! commands as Postfix with its default settings.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest accepted frame; the replies of a milter are short.
const MAX_FRAME: u32 = 64 * 1024;

/// A connection to a milter.
pub struct Mta {
    stream: TcpStream,
    skip_mail_reply: bool,
}

/// The reply to a recipient.
pub enum Reply {
    /// Accepted.
    Continue,
    /// Rejected or deferred, with this text.
    Error(Vec<u8>),
}

/// A change of recipients.
pub enum Edit {
    /// Delete this recipient.
    Delete(Vec<u8>),
    /// Add this recipient, with these parameters.
    Add(Vec<u8>, Vec<u8>),
}

const VERSION: u32 = 6;
/// All actions and all steps that Postfix 3.7 offers.
const ACTIONS: u32 = 0x1ff;
const STEPS: u32 = 0x1f_ffff;
const NOREPLY_MAIL: u32 = 0x4000;

impl Mta {
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut mta = Mta { stream, skip_mail_reply: false };
        mta.send(b'O', &[VERSION, ACTIONS, STEPS].map(u32::to_be_bytes).concat()).await?;
        let (kind, words) = mta.receive().await?;
        match (kind, words.get(8..12)) {
            (b'O', Some([a, b, c, d])) => {
                mta.skip_mail_reply = u32::from_be_bytes([*a, *b, *c, *d]) & NOREPLY_MAIL != 0;
                Ok(mta)
            }
            _ => Err(unexpected(kind)),
        }
    }

    pub async fn mail(&mut self, sender: &str) -> io::Result<()> {
        self.macros(b'M', &[("{mail_addr}", sender)]).await?;
        self.send(b'M', format!("<{sender}>\0").as_bytes()).await?;
        if self.skip_mail_reply {
            return Ok(());
        }
        match self.receive().await?.0 {
            b'c' => Ok(()),
            kind => Err(unexpected(kind)),
        }
    }

    pub async fn rcpt(&mut self, recipient: &str) -> io::Result<Reply> {
        self.macros(b'R', &[("{rcpt_addr}", recipient), ("{rcpt_mailer}", "local")]).await?;
        self.send(b'R', format!("<{recipient}>\0").as_bytes()).await?;
        match self.receive().await? {
            (b'c', _) => Ok(Reply::Continue),
            (b'y', text) => Ok(Reply::Error(text.strip_suffix(b"\0").unwrap_or(&text).to_vec())),
            (kind, _) => Err(unexpected(kind)),
        }
    }

    pub async fn end_of_message(&mut self) -> io::Result<Vec<Edit>> {
        self.send(b'E', b"").await?;
        let mut edits = Vec::new();
        loop {
            let (kind, data) = self.receive().await?;
            let mut strings = data.split(|b| *b == 0).map(<[u8]>::to_vec);
            let (first, second) = (strings.next().unwrap_or_default(), strings.next().unwrap_or_default());
            match kind {
                b'-' => edits.push(Edit::Delete(first)),
                b'+' | b'2' => edits.push(Edit::Add(first, second)),
                b'c' => return Ok(edits),
                kind => return Err(unexpected(kind)),
            }
        }
    }

    pub async fn quit(mut self) {
        // The demonstration is over; the result does not matter.
        let _ = self.send(b'Q', b"").await;
    }

    async fn macros(&mut self, stage: u8, macros: &[(&str, &str)]) -> io::Result<()> {
        let mut data = vec![stage];
        for (name, value) in macros {
            data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.send(b'D', &data).await
    }

    async fn send(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        let length = u32::try_from(data.len() + 1).map_err(io::Error::other)?;
        let frame = [&length.to_be_bytes()[..], &[kind], data].concat();
        self.stream.write_all(&frame).await
    }

    async fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let length = self.stream.read_u32().await?;
        if length == 0 || length > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let kind = self.stream.read_u8().await?;
        let mut data = vec![0; length as usize - 1];
        self.stream.read_exact(&mut data).await?;
        Ok((kind, data))
    }
}

fn unexpected(kind: u8) -> io::Error {
    io::Error::other(format!("unexpected reply {:?}", char::from(kind)))
}
