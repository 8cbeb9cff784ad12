//! `secrets`: a file that nobody but the daemon is to read.

use super::check::{Check, text};
use super::files;
use super::raw::Field;
use alias_rules::{BadSecret, Secrets};
use diagnostics::{Problem, Text};
use std::path::{Path, PathBuf};

/// Largest file of secrets: hundreds of times what the few there may be take.
pub const MAX_SECRETS_FILE: u64 = 64 << 10;

/// Why there are no secrets.
enum Fault {
    /// The file is not to be read: why, and the remedy.
    File(String, String),
    /// What is wrong in it.
    Content(Vec<Problem>),
}

fn read(path: &Path) -> Result<Secrets, Fault> {
    let bytes = files::read_private(path, MAX_SECRETS_FILE).map_err(|(why, help)| Fault::File(why, help))?;
    // A secret is a sequence of octets; what is not UTF-8 is hardly meant, though.
    let content = String::from_utf8(bytes)
        .map_err(|_| Fault::File("it is not UTF-8".into(), "write secrets of printable characters".into()))?;
    Secrets::parse(&content).map_err(|wrong| {
        // As many lines, and none of what is in them: a problem may quote its line.
        let lines = Text::new(&path.display().to_string(), &"\n".repeat(content.lines().count()));
        let problem = |bad: BadSecret| {
            let at = bad.line.saturating_sub(1);
            Problem::error(&lines, at..at, bad.to_string()).help(bad.help())
        };
        Fault::Content(wrong.into_iter().map(problem).collect())
    })
}

/// Reads a file of secrets without a configuration.
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
    /// The secrets in the file of `secrets`, relative to `folder`; none where nothing is written. The file is
    /// added to `watched` either way.
    pub fn secrets(&mut self, field: &Field<String>, folder: &Path, watched: &mut Vec<PathBuf>) -> Secrets {
        let Some(given) = text(field) else { return Secrets::default() };
        let path = folder.join(&given.value);
        let secrets = read(&path).unwrap_or_else(|fault| {
            match fault {
                Fault::Content(problems) => self.problems.extend(problems),
                Fault::File(why, help) => {
                    // Not what is written: it may be a secret in the place of its file.
                    self.error(given, format!("the file of secrets cannot be read: {why}"), help);
                }
            }
            Secrets::default()
        });
        watched.push(path);
        secrets
    }
}
