//! Sets up the destination of the log.
//!
//! A line that cannot be written at once is lost and counted: a stalled reader (a full journal, a suspended
//! terminal, an unread pipe) or a full disk must not delay the reply to a recipient.
//!
//! Every event, of rcptd or of a library, becomes one line of at most [`MAX_LINE`] octets. Its text cannot
//! begin another line or, in the journal, another field.

use super::line::cut;
use super::log_file::LogFile;
use diagnostics::count;
use mail_address::one_line;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
pub use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{filter::LevelFilter, filter::Targets, util::SubscriberInitExt};

/// Longest line, in octets, including its end: a pipe that is ready for writing takes that much without
/// blocking (PIPE_BUF, pipe(7)).
pub const MAX_LINE: usize = 4096;

/// Socket of the journal (systemd's journal native protocol).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The destination of the log.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// Standard error.
    Stderr,
    /// The socket of the journal.
    Journald,
    /// A file, which is created if it does not exist.
    File(&'a Path),
}

/// Sends log events from `level` up to `destination`. Must be called once.
///
/// Libraries log from `warn` up only, with any level: at `debug` one of them logs each line of SMTP.
pub fn init(destination: Destination<'_>, level: Level) -> io::Result<()> {
    let filter = Targets::new()
        .with_default(level.min(Level::WARN))
        .with_target("rcptd", LevelFilter::from_level(level));
    let (sink, style) = match destination {
        Destination::Journald => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(JOURNAL)?;
            socket.set_nonblocking(true)?;
            (Sink::Journal(socket), Style::Priority)
        }
        Destination::File(path) => {
            (Sink::File(Mutex::new(LogFile::open(path)?)), Style::Time { colour: false })
        }
        Destination::Stderr if stderr_is_journal() => (Sink::Stderr, Style::Priority),
        Destination::Stderr => (Sink::Stderr, Style::Time { colour: io::stderr().is_terminal() }),
    };
    let layer = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_ansi(false)
        .event_format(style)
        .with_writer(Lines::to(sink, style));
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(io::Error::other)
}

/// Whether standard error goes to the journal, which adds the time and reads the priority from a prefix
/// (sd-daemon(3)). The variable alone does not show that: children inherit it.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

enum Sink {
    Stderr,
    Journal(UnixDatagram),
    File(Mutex<LogFile>),
}

/// Writer of complete lines that never blocks.
struct Lines {
    sink: Sink,
    style: Style,
    /// Lines lost since the last one that was written. The lock also prevents another thread from filling a
    /// sink between the check that it is ready and the write.
    lost: Mutex<u64>,
}

impl Lines {
    fn to(sink: Sink, style: Style) -> Self {
        Lines { sink, style, lost: Mutex::new(0) }
    }

    fn put(&self, line: &[u8]) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            let notice = format!("lost, since the log target did not accept them: {}", count(*lost, "line"));
            if !self.sink.put(self.style.line(Level::WARN, &notice).as_bytes()) {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        *lost += u64::from(!self.sink.put(line));
    }
}

impl Sink {
    /// Writes a line if the sink is ready, and returns whether it was written.
    fn put(&self, line: &[u8]) -> bool {
        match self {
            Sink::Stderr => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0);
                is_ready && stderr.lock().write_all(line).is_ok()
            }
            Sink::Journal(socket) => socket.send(&entry(line)).is_ok(),
            Sink::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).put(line).is_ok(),
        }
    }
}

/// Encodes a line with its prefix in the journal's native protocol. The only line feed of a line is its
/// last character ([`Style::line`]), so its text cannot become a field.
fn entry(line: &[u8]) -> Vec<u8> {
    let (priority, message) = match line {
        [b'<', priority, b'>', message @ ..] => (*priority, message),
        _ => (b'6', line),
    };
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    [b"SYSLOG_IDENTIFIER=rcptd\nPRIORITY=", &[priority][..], b"\nMESSAGE=", message, b"\n"].concat()
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

impl Write for &Lines {
    /// Receives one line at a time from the formatter.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// `<6>message`, with the priority of syslog(3), for the journal, which adds the time.
    Priority,
    /// `2026-11-28T12:34:56.123456Z  INFO message`
    Time { colour: bool },
}

impl Style {
    /// Formats one line of at most [`MAX_LINE`] octets, including its end.
    fn line(self, level: Level, message: &str) -> String {
        let mut line = String::new();
        self.begin(&mut line, level);
        line.push_str(&one_line(message));
        cut(&mut line, MAX_LINE - "\n".len());
        line.push('\n');
        line
    }

    fn begin(self, line: &mut String, level: Level) {
        let (priority, colour) = match level {
            Level::ERROR => (3, 31),
            Level::WARN => (4, 33),
            Level::INFO => (6, 32),
            Level::DEBUG | Level::TRACE => (7, 34),
        };
        // Writing to a String cannot fail, and if the system clock is out of range only the time is
        // missing.
        let _ = match self {
            Style::Priority => write!(line, "<{priority}>"),
            Style::Time { colour: false } => {
                let _ = SystemTime.format_time(&mut Writer::new(line));
                write!(line, " {level:>5} ")
            }
            Style::Time { colour: true } => {
                line.push_str("\x1b[2m");
                let _ = SystemTime.format_time(&mut Writer::new(line));
                write!(line, "\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m ")
            }
        };
    }
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let mut message = String::new();
        context.format_fields(Writer::new(&mut message), event)?;
        writer.write_str(&self.line(*event.metadata().level(), &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_journal_entries() {
        for (line, want) in [
            ("<3>broken\n", "SYSLOG_IDENTIFIER=rcptd\nPRIORITY=3\nMESSAGE=broken\n"),
            ("plain\n", "SYSLOG_IDENTIFIER=rcptd\nPRIORITY=6\nMESSAGE=plain\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&entry(line.as_bytes())), want);
        }
    }

    /// Texts in an event, and the resulting line.
    #[test]
    fn formats_each_event_as_one_line() {
        let style = Style::Priority;
        for (message, want) in [
            ("broken", "<4>broken\n"),
            ("a\nPRIORITY=0\r\nb", "<4>a\\x0aPRIORITY=0\\x0d\\x0ab\n"),
            ("a\u{2028}b\u{85}c\u{202e}d", "<4>a\\u{2028}b\\u{85}c\\u{202e}d\n"),
            ("key=\"\\x22\"", "<4>key=\"\\x22\"\n"),
        ] {
            assert_eq!(style.line(Level::WARN, message), want);
            let entry = String::from_utf8(entry(want.as_bytes())).expect("UTF-8");
            assert_eq!(entry.lines().count(), 3, "{entry}");
        }
    }

    #[test]
    fn truncates_long_lines() {
        for style in [Style::Priority, Style::Time { colour: false }, Style::Time { colour: true }] {
            for unit in ["x", "ä", "中", "\u{e007f}", "\n", "\\x22"] {
                let line = style.line(Level::INFO, &format!("detail=\"{}\" ms=3", unit.repeat(MAX_LINE)));
                let shown = one_line(unit);
                assert!(line.len() <= MAX_LINE && line.len() > MAX_LINE - 16, "{}", line.len());
                let (_, value) = line.split_once("detail=\"").expect("the field");
                let value = value.strip_suffix("…\"\n").expect("an end");
                assert_eq!(value, shown.repeat(value.len() / shown.len()));
            }
        }
    }

    #[test]
    fn stalled_reader_does_not_block() {
        let (ours, theirs) = UnixDatagram::pair().expect("sockets");
        ours.set_nonblocking(true).expect("nonblocking");
        let lines = Lines::to(Sink::Journal(ours), Style::Priority);
        for i in 0..10_000 {
            lines.put(format!("<6>line {i}\n").as_bytes());
        }
        let lost = *lines.lost.lock().expect("lock");
        assert!(lost > 0, "a socket that takes ten thousand datagrams");
        theirs.set_nonblocking(true).expect("nonblocking");
        let mut buffer = [0; 200];
        let mut taken = 0;
        while theirs.recv(&mut buffer).is_ok() {
            taken += 1;
        }
        assert_eq!(taken + lost, 10_000);
        lines.put(b"<6>again\n");
        let n = theirs.recv(&mut buffer).expect("the notice");
        let notice = String::from_utf8_lossy(&buffer[..n]).into_owned();
        assert!(
            notice.contains(&format!("MESSAGE=lost, since the log target did not accept them: {lost} lines")),
            "{notice}"
        );
        assert_eq!(*lines.lost.lock().expect("lock"), 0);
    }
}
