//! Output of the commands to a terminal or a script.

use super::exit;
use diagnostics::{Problem, Severity};
use mail_address::plain_json;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// Writes `text` to standard output; the exit code if that fails. A reader that stops early (`head`) is no
/// failure.
pub fn print(text: &str) -> Result<(), u8> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("rcptd: cannot write: {e}");
            Err(exit::IO_ERROR)
        }
        _ => Ok(()),
    }
}

/// A line of JSON that is safe on a terminal, whatever its texts contain.
pub fn json(value: &Value) -> String {
    format!("{}\n", plain_json(&value.to_string()))
}

/// Shows problems on standard error, in full on a terminal, else one line each.
pub fn show(problems: &[Problem]) {
    let colour = io::stderr().is_terminal();
    for problem in problems {
        if colour { eprintln!("{}\n", problem.render(true)) } else { eprintln!("{problem}") }
    }
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if errors > 0 {
        eprintln!("rcptd: {errors} {}", if errors == 1 { "error" } else { "errors" });
    }
}

/// A single-threaded runtime, for commands that ask a few questions.
pub fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
        eprintln!("rcptd: cannot start: {e}");
        exit::OS_ERROR
    })
}
