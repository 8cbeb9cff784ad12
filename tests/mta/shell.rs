//! A shell in a container, which runs one command after the other.

use crate::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A shell that runs.
pub struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    /// Starts it by `command`, which runs sh(1).
    pub fn start(mut command: Command) -> Outcome<Self> {
        let fail = |e| format!("a shell in the container: {e}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(fail)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Shell { child, input, output: BufReader::new(output) }),
            _ => Err("a shell in the container has no pipes".to_owned()),
        }
    }

    /// Runs `words`, without input; returns the exit code and what was printed.
    pub fn ask(&mut self, words: &[&str]) -> Outcome<(i32, String)> {
        const END: &str = "=== exit code ";
        let fail = |e| format!("{words:?} in the container: {e}");
        let quoted: Vec<String> =
            words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        // What is printed may lack the end of its last line.
        let line = format!("{} </dev/null 2>&1; printf '\\n{END}%s\\n' $?\n", quoted.join(" "));
        self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush()).map_err(fail)?;
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            if self.output.read_until(b'\n', &mut line).map_err(fail)? == 0 {
                return Err(format!("{words:?} in the container: the shell has ended"));
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(code) = line.strip_prefix(END) {
                let code = code.trim().parse().map_err(|e| format!("{words:?} in the container: {e}"))?;
                return Ok((code, said.trim_end_matches('\n').to_owned()));
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
