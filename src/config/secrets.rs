//! Checks `secrets`: a file that only the daemon may read.

use super::check::{Check, text};
use super::files;
use super::value::Field;
use alias_rules::{BadSecret, Secrets};
use diagnostics::{Problem, Text};
use std::path::{Path, PathBuf};

/// Largest secrets file: hundreds of times the size of the most secrets that are allowed.
pub const MAX_SECRETS_FILE: u64 = 64 << 10;

/// Why the secrets cannot be used.
enum Fault {
    /// The file cannot be used: reason and remedy.
    File(String, String),
    /// The contents are invalid.
    Content(Vec<Problem>),
}

fn read(path: &Path) -> Result<Secrets, Fault> {
    let bytes = files::read_private(path, MAX_SECRETS_FILE).map_err(|(why, help)| Fault::File(why, help))?;
    // A secret is a sequence of octets, but invalid UTF-8 is probably a mistake.
    let content = String::from_utf8(bytes)
        .map_err(|_| Fault::File("it is not UTF-8".into(), "write secrets of printable characters".into()))?;
    Secrets::parse(&content).map_err(|wrong| {
        // The same number of lines, without their contents: a problem may quote its line.
        let lines = Text::new(&path.display().to_string(), &"\n".repeat(content.lines().count()));
        let problem = |bad: BadSecret| {
            let at = bad.line.saturating_sub(1);
            Problem::error(&lines, at..at, bad.to_string()).help(bad.help())
        };
        Fault::Content(wrong.into_iter().map(problem).collect())
    })
}

/// Reads a secrets file without a configuration.
pub fn read_secrets(path: &Path) -> Result<Secrets, Vec<Problem>> {
    read(path).map_err(|fault| match fault {
        Fault::Content(problems) => problems,
        Fault::File(why, help) => {
            let text = Text::new(&path.display().to_string(), "");
            vec![Problem::error(&text, 0..0, format!("the secrets cannot be read: {why}")).help(help)]
        }
    })
}

impl Check<'_> {
    /// Reads the file that `secrets` names, relative to `folder`; without the key there are no secrets. The
    /// file is added to `watched` even if it cannot be read.
    pub fn secrets(&mut self, field: &Field<String>, folder: &Path, watched: &mut Vec<PathBuf>) -> Secrets {
        let Some(given) = text(field) else { return Secrets::default() };
        let path = folder.join(&given.value);
        let secrets = read(&path).unwrap_or_else(|fault| {
            match fault {
                Fault::Content(problems) => self.problems.extend(problems),
                Fault::File(why, help) => {
                    // Do not quote the value: it may be a secret instead of its file.
                    self.error(&given.hidden(), format!("the secrets file cannot be read: {why}"), help);
                }
            }
            Secrets::default()
        });
        watched.push(path);
        secrets
    }
}
