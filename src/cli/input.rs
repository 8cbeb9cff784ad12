//! Files that the commands read.

use super::{exit, terminal};
use crate::config::{self, Alone};
use alias_rules::{Options, Rules};
use diagnostics::{Text, any_error};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a UTF-8 text of at most `limit` bytes. The error is a message and an exit code.
pub fn read(from: impl Read, name: &str, limit: u64) -> Result<String, (String, u8)> {
    let mut text = String::new();
    match from.take(limit + 1).read_to_string(&mut text) {
        Ok(n) if n as u64 > limit => Err((format!("{name}: it is larger than {limit} bytes"), exit::CONFIG)),
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err((format!("{name}: {e}"), exit::CONFIG)),
        Err(e) => Err((unread(name, &e), exit::NO_INPUT)),
    }
}

fn unread(name: &str, error: &io::Error) -> String {
    format!("{name}: {error} ({})", config::remedy(error))
}

/// Reads the file at `path`; errors as in [`read`].
pub fn file(path: &Path, limit: u64) -> Result<String, (String, u8)> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| (unread(&name, &e), exit::NO_INPUT))?;
    read(file, &name, limit)
}

/// Rules without a configuration.
#[derive(Debug)]
pub struct Source {
    pub texts: Vec<Text>,
    pub options: Options,
    pub rules: Arc<Rules>,
}

/// Loads rules without a configuration. Problems are reported; the error is the exit code.
pub fn rules(paths: &[PathBuf], secrets: Option<&Path>, fold: bool) -> Result<Source, u8> {
    let Alone { texts, options, rules, problems, unread } = config::rules_alone(paths, secrets, fold);
    match rules {
        Some(rules) if !any_error(&problems) => Ok(Source { texts, options, rules }),
        _ => {
            terminal::show(&problems);
            Err(if unread { exit::NO_INPUT } else { exit::CONFIG })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_input_and_requires_utf8() {
        assert_eq!(read(&b"abc"[..], "x", 3), Ok("abc".into()));
        let (message, code) = read(&b"abcd"[..], "x", 3).unwrap_err();
        assert_eq!((&*message, code), ("x: it is larger than 3 bytes", exit::CONFIG));
        assert_eq!(read(&b"\xff"[..], "x", 3).unwrap_err().1, exit::CONFIG);
        assert_eq!(file(Path::new("/nowhere/x"), 3).unwrap_err().1, exit::NO_INPUT);
        assert_eq!(rules(&["/nowhere/x".into()], None, false).unwrap_err(), exit::NO_INPUT);
    }
}
