//! Where the log goes.
//!
//! A line that cannot be written at once is lost and counted: a reader that has stalled (a full journal, a
//! terminal on hold, a pipe nobody reads) must not keep a recipient from its answer.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};
pub use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{filter::LevelFilter, filter::Targets, util::SubscriberInitExt};

/// Longest line, in octets: what a pipe that is ready for writing takes without waiting (PIPE_BUF, pipe(7)).
pub const MAX_LINE: usize = 4096;

/// Where the journal listens (systemd's journal native protocol).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Sends the log of the process to standard error or to journald, from `level` up. To be called once.
///
/// The libraries below are heard from `warn` up, whatever the level: at `debug` one of them logs each line of
/// SMTP.
pub fn init(journald: bool, level: Level) -> io::Result<()> {
    let filter = Targets::new()
        .with_default(level.min(Level::WARN))
        .with_target("rcptd", LevelFilter::from_level(level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let result = if journald {
        let socket = UnixDatagram::unbound()?;
        socket.connect(JOURNAL)?;
        socket.set_nonblocking(true)?;
        registry.with(layer.event_format(Prefixed).with_writer(Lines::to(Sink::Journal(socket)))).try_init()
    } else if stderr_is_journal() {
        registry.with(layer.event_format(Prefixed).with_writer(Lines::to(Sink::Stderr))).try_init()
    } else {
        let colour = io::stderr().is_terminal();
        registry
            .with(layer.with_target(false).with_ansi(colour).with_writer(Lines::to(Sink::Stderr)))
            .try_init()
    };
    result.map_err(io::Error::other)
}

/// Whether standard error leads to the journal, which has a clock of its own and reads the priority from a
/// prefix (sd-daemon(3)). The variable alone does not say: children inherit it.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

enum Sink {
    Stderr,
    Journal(UnixDatagram),
}

/// Writes whole lines, and never waits.
struct Lines {
    sink: Sink,
    /// Lines lost since the last one that was written. The lock also sees to it that a sink found ready is
    /// not filled by another thread before it is written to.
    lost: Mutex<u64>,
}

impl Lines {
    fn to(sink: Sink) -> Self {
        Lines { sink, lost: Mutex::new(0) }
    }

    fn put(&self, line: &[u8]) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            let notice = format!("<4>{lost} lines of the log were lost, because nobody took them\n");
            if !self.sink.put(notice.as_bytes()) {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        *lost += u64::from(!self.sink.put(line));
    }
}

impl Sink {
    /// Whether the line was taken.
    fn put(&self, line: &[u8]) -> bool {
        let line = line.get(..MAX_LINE).unwrap_or(line);
        match self {
            Sink::Stderr => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n > 0);
                is_ready && stderr.lock().write_all(line).is_ok()
            }
            Sink::Journal(socket) => socket.send(&entry(line)).is_ok(),
        }
    }
}

/// A line with its prefix as the journal's native protocol has it. No line of ours holds a line feed but the
/// last character.
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
    /// One line at a time, as the formatter hands them over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `<6>message`, with the priority of syslog(3).
struct Prefixed;

impl<S, N> FormatEvent<S, N> for Prefixed
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
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_entries() {
        for (line, want) in [
            ("<3>broken\n", "SYSLOG_IDENTIFIER=rcptd\nPRIORITY=3\nMESSAGE=broken\n"),
            ("plain\n", "SYSLOG_IDENTIFIER=rcptd\nPRIORITY=6\nMESSAGE=plain\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&entry(line.as_bytes())), want);
        }
    }

    #[test]
    fn a_reader_that_has_stalled_costs_lines_and_nothing_else() {
        let (ours, theirs) = UnixDatagram::pair().expect("sockets");
        ours.set_nonblocking(true).expect("nonblocking");
        let lines = Lines::to(Sink::Journal(ours));
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
        assert!(notice.contains(&format!("MESSAGE={lost} lines of the log were lost")), "{notice}");
        assert_eq!(*lines.lost.lock().expect("lock"), 0);
    }
}
