//! The standard error of a plug-in, which goes to the log line by line.
//!
//! The program may write without end: lines are truncated, and only some of them are logged. All of it is
//! read, so that the program does not block.

use crate::observe;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Maximum length of a logged line in octets; the log shows even less of it.
const MAX_MESSAGE: usize = 512;

/// Number of lines logged within [`PERIOD`]: a traceback fits, and a program that writes a line for each
/// question does not fill the disk.
const LINES: u64 = 30;

/// See [`LINES`].
const PERIOD: Duration = Duration::from_secs(10);

/// Octets read at once.
const PIECE: usize = 4096;

/// Logs all lines of `stream` until it ends.
pub(super) async fn log(mut stream: impl AsyncRead + Unpin, source: Arc<str>) {
    let (mut lines, mut quota) = (Lines::default(), Quota::new(Instant::now()));
    let mut piece = [0; PIECE];
    let mut write = |line: &[u8]| {
        if let Some(suppressed) = quota.passes(Instant::now()) {
            observe::plugin::message(&source, line, suppressed);
        }
    };
    while let Ok(octets @ 1..) = stream.read(&mut piece).await {
        lines.push(&piece[..octets], &mut write);
    }
    // A last line without an end.
    lines.push(b"\n", &mut write);
}

/// Splits a stream into lines.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Calls `write` for each line that is complete and not empty.
    fn push(&mut self, octets: &[u8], write: &mut impl FnMut(&[u8])) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let (piece, complete) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            let space = MAX_MESSAGE - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(space)]);
            if complete {
                if !self.line.is_empty() {
                    write(&self.line);
                }
                self.line.clear();
            }
        }
    }
}

/// Limits the number of lines.
#[derive(Debug)]
struct Quota {
    since: Instant,
    passed: u64,
    suppressed: u64,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Quota { since: now, passed: 0, suppressed: 0 }
    }

    /// Returns whether a line may be written now, as the number of suppressed ones before it.
    fn passes(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= PERIOD {
            (self.since, self.passed) = (now, 0);
        }
        if self.passed >= LINES {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_truncates_lines() {
        let long = "x".repeat(MAX_MESSAGE + 1);
        for (text, want) in [
            ("a\nb\n", vec!["a", "b"]),
            ("a\n\n\nb\nc", vec!["a", "b"]),
            ("", vec![]),
            (&format!("{long}\n{long}{long}\nb\n"), vec![&long[1..], &long[1..], "b"]),
        ] {
            for size in [1, 7, 10_000] {
                let (mut lines, mut got) = (Lines::default(), Vec::new());
                for piece in text.as_bytes().chunks(size) {
                    lines.push(piece, &mut |line| got.push(String::from_utf8_lossy(line).into_owned()));
                }
                assert_eq!(got, want, "{size}");
            }
        }
    }

    #[test]
    fn limits_the_number_of_lines() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let mut passed = |after| (0..100).filter_map(|_| quota.passes(start + after)).collect::<Vec<_>>();
        let first = passed(Duration::ZERO);
        assert_eq!((first.len(), first[0]), (30, 0));
        assert!(passed(Duration::from_secs(9)).is_empty());
        let second = passed(PERIOD);
        assert_eq!((second.len(), second[0], second[1]), (30, 170, 0));
    }
}
