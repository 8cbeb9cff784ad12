//! The mail server's side of the milter protocol, byte by byte: frames of a length (four octets), a letter and
//! data.

use super::WAIT;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What Postfix 3.7 offers: actions with ADDRCPT_PAR and macro lists, and all steps.
pub const OFFER: (u32, u32, u32) = (6, 0x1ff, 0x1f_ffff);

pub const ADD_HEADERS: u32 = 0x01;
pub const ADD_RCPT: u32 = 0x04;
pub const DEL_RCPT: u32 = 0x08;
pub const CHANGE_HEADERS: u32 = 0x10;
pub const ADD_RCPT_PAR: u32 = 0x80;
pub const MACROS: u32 = 0x100;
pub const NOREPLY_MAIL: u32 = 0x4000;

trait Stream: Read + Write + Send {
    fn close_write(&self);
}

impl Stream for TcpStream {
    fn close_write(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn close_write(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A frame: its letter and its data.
pub type Frame = (u8, Vec<u8>);

/// A reply of the milter to the negotiation.
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed {
    pub version: u32,
    pub actions: u32,
    pub steps: u32,
    /// Macro lists: the stage and the names.
    pub macros: Vec<(u32, String)>,
}

/// A mail server.
pub struct Mta {
    stream: Box<dyn Stream>,
    silent_mail: bool,
    /// Whether everything is sent octet by octet.
    pub in_pieces: bool,
}

pub fn frame(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).expect("short");
    [&length.to_be_bytes()[..], &[letter], data].concat()
}

/// Strings as the protocol has them, each with a NUL behind it.
pub fn strings(all: &[&str]) -> Vec<u8> {
    all.iter().flat_map(|s| s.bytes().chain([0])).collect()
}

impl Mta {
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(WAIT)).expect("a time");
        stream.set_write_timeout(Some(WAIT)).expect("a time");
        Mta { stream: Box::new(stream), silent_mail: false, in_pieces: false }
    }

    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_read_timeout(Some(WAIT)).expect("a time");
        Mta { stream: Box::new(stream), silent_mail: false, in_pieces: false }
    }

    /// Sends octets as they are. That the milter has hung up is seen by who reads.
    pub fn raw(&mut self, bytes: &[u8]) {
        if self.in_pieces {
            let _ = bytes.iter().try_for_each(|b| self.stream.write_all(&[*b]));
        } else {
            let _ = self.stream.write_all(bytes);
        }
    }

    pub fn send(&mut self, letter: u8, data: &[u8]) {
        self.raw(&frame(letter, data));
    }

    /// Nothing more will be sent.
    pub fn close(&mut self) {
        self.stream.close_write();
    }

    /// The next frame; `None`: the milter has closed the connection.
    pub fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [a, b, c, d, letter] = head;
        let mut data = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - 1];
        self.fill(&mut data)?;
        Some((letter, data))
    }

    fn fill(&mut self, into: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(into) {
            Ok(()) => Some(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("no answer within {WAIT:?}")
            }
            // What was still under way to the milter when it closed makes an error of the end.
            Err(_) => None,
        }
    }

    /// The next frame, which has to come.
    pub fn reply(&mut self) -> Frame {
        self.receive().expect("the milter hung up")
    }

    /// Negotiates and remembers what was agreed on.
    pub fn negotiate(&mut self, (version, actions, steps): (u32, u32, u32)) -> Agreed {
        self.send(b'O', &[version, actions, steps].map(u32::to_be_bytes).concat());
        let (letter, data) = self.reply();
        assert_eq!(letter, b'O');
        let mut words = data.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap_or_default()));
        let mut word = || words.next().expect("a word");
        let mut agreed = Agreed { version: word(), actions: word(), steps: word(), macros: Vec::new() };
        let mut rest = &data[12..];
        while let Some((stage, tail)) = rest.split_first_chunk() {
            let end = tail.iter().position(|b| *b == 0).expect("a NUL");
            agreed.macros.push((u32::from_be_bytes(*stage), String::from_utf8_lossy(&tail[..end]).into()));
            rest = &tail[end + 1..];
        }
        agreed.macros.sort();
        self.silent_mail = agreed.steps & NOREPLY_MAIL != 0;
        agreed
    }

    pub fn mail(&mut self) {
        self.macros(b'M', &["i", "4XyZ12", "{mail_addr}", "a@b.test"]);
        self.send(b'M', b"<a@b.test>\0");
        if !self.silent_mail {
            assert_eq!(self.reply(), (b'c', Vec::new()));
        }
    }

    /// Macros for the command of this letter, names and values in turn.
    pub fn macros(&mut self, letter: u8, macros: &[&str]) {
        self.send(b'D', &[&[letter][..], &strings(macros)].concat());
    }

    /// RCPT with its arguments, as SMTP brings it.
    pub fn rcpt(&mut self, arguments: &[&str]) -> String {
        let bare = arguments.first().map_or("", |path| path.trim_matches(['<', '>']));
        self.rcpt_with(&["{rcpt_addr}", bare, "{rcpt_mailer}", "local"], arguments)
    }

    pub fn rcpt_with(&mut self, macros: &[&str], arguments: &[&str]) -> String {
        self.macros(b'R', macros);
        self.send(b'R', &strings(arguments));
        shown(&self.reply())
    }

    /// The end of the message: the edits and the reply that ends them.
    pub fn end(&mut self) -> Vec<String> {
        self.send(b'E', b"");
        let mut replies = Vec::new();
        loop {
            let reply = self.reply();
            replies.push(shown(&reply));
            if !b"+-2m".contains(&reply.0) {
                return replies;
            }
        }
    }

    /// A well-behaved session: an alias is replaced, an account kept, an unknown recipient refused.
    pub fn check(mut self, after: &str) {
        self.negotiate(OFFER);
        self.mail();
        assert_eq!(self.rcpt(&["<foo-macys-m5@example.test>"]), "c", "{after}");
        assert_eq!(self.rcpt(&["<alice@example.test>"]), "c", "{after}");
        let refused = self.rcpt(&["<nobody@example.test>"]);
        assert!(refused.starts_with("y 550 5.1.1 "), "{after}: {refused}");
        let edits = self.end();
        assert_eq!(
            edits,
            [
                "- <foo-macys-m5@example.test>",
                "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test",
                "c"
            ],
            "{after}"
        );
        self.send(b'Q', b"");
        assert_eq!(self.receive(), None, "{after}");
    }
}

/// A frame in a line: its letter, then its strings.
pub fn shown((letter, data): &Frame) -> String {
    let data = String::from_utf8_lossy(data.strip_suffix(b"\0").unwrap_or(data)).replace('\0', " ");
    if data.is_empty() { char::from(*letter).into() } else { format!("{} {data}", char::from(*letter)) }
}
