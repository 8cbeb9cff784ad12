//! Output of the commands to a terminal or a script.

use super::exit;
use diagnostics::{Problem, Severity, count};
use mail_address::plain_json;
use serde_json::Value;
use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Writes a line to standard error. If that fails, there is nowhere to report it.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes `text` to standard output; the error is the exit code. A reader that stops early (`head`) is not
/// an error.
pub fn print(text: &str) -> Result<(), u8> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            say(format_args!("rcptd: cannot write: {e}"));
            Err(exit::IO_ERROR)
        }
        _ => Ok(()),
    }
}

/// Formats a line of JSON that is safe on a terminal with any texts.
pub fn json(value: &Value) -> String {
    format!("{}\n", plain_json(&value.to_string()))
}

/// Prints problems on standard error, in full on a terminal, else one line each.
pub fn show(problems: &[Problem]) {
    let colour = io::stderr().is_terminal();
    for problem in problems {
        if colour {
            say(format_args!("{}\n", problem.render(true)));
        } else {
            say(format_args!("{problem}"));
        }
    }
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if errors > 0 {
        say(format_args!("rcptd: {}", count(errors, "error")));
    }
}

/// The name of a source and a colon, but not a second one after `passwd:`.
pub fn label(source: &str) -> String {
    format!("{}:", source.strip_suffix(':').unwrap_or(source))
}

/// Creates a single-threaded runtime, for commands that make a few requests.
pub fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
        say(format_args!("rcptd: cannot start: {e}"));
        exit::OS_ERROR
    })
}
