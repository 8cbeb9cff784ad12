//! Files that the commands read.

use super::exit;
use crate::config::MAX_RULES;
use crate::diag::Text;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Reads what is to be UTF-8, of at most `limit` bytes. The error is a message and an exit code.
pub fn read(from: impl Read, name: &str, limit: u64) -> Result<String, (String, u8)> {
    let mut text = String::new();
    match from.take(limit + 1).read_to_string(&mut text) {
        Ok(n) if n as u64 > limit => Err((format!("{name}: it is larger than {limit} bytes"), exit::CONFIG)),
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err((format!("{name}: {e}"), exit::CONFIG)),
        Err(e) => Err((format!("{name}: {e}"), exit::NO_INPUT)),
    }
}

/// The file at `path`, with what [`read`] says about it.
pub fn file(path: &Path, limit: u64) -> Result<String, (String, u8)> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| (format!("{name}: {e}"), exit::NO_INPUT))?;
    read(file, &name, limit)
}

/// The texts of files of rules; what cannot be read is said, and the exit code handed back.
pub fn rules(paths: &[PathBuf]) -> Result<Vec<Text>, u8> {
    let text = |path: &PathBuf| {
        let content = file(path, MAX_RULES).map_err(|(message, code)| {
            eprintln!("rcptd: {message}");
            code
        })?;
        Ok(Text::new(&path.display().to_string(), &content))
    };
    paths.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_limited_and_text() {
        assert_eq!(read(&b"abc"[..], "x", 3), Ok("abc".into()));
        let (message, code) = read(&b"abcd"[..], "x", 3).unwrap_err();
        assert_eq!((&*message, code), ("x: it is larger than 3 bytes", exit::CONFIG));
        assert_eq!(read(&b"\xff"[..], "x", 3).unwrap_err().1, exit::CONFIG);
        assert_eq!(file(Path::new("/nowhere/x"), 3).unwrap_err().1, exit::NO_INPUT);
        assert_eq!(rules(&["/nowhere/x".into()]).unwrap_err(), exit::NO_INPUT);
    }
}
