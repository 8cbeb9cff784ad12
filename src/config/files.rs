//! Reads files: the only module of the configuration that reads from disk.

use super::trualias;
use diagnostics::{Problem, Text};
use mail_address::escape;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest configuration file: hundreds of times the sample. The limit keeps a mailbox or disk given by
/// mistake from filling the memory.
pub const MAX_CONFIG: u64 = 1 << 20;
/// Largest rules file: some hundred thousand rules.
pub const MAX_RULES: u64 = 16 << 20;
/// Most rules files; each is watched.
pub const MAX_RULES_FILES: usize = 1000;

/// The text of a configuration.
pub(super) struct Document {
    /// The configuration in TOML.
    pub text: Text,
    /// The file of trualias from which it was made.
    pub trualias: Option<Text>,
}

/// Why a file cannot be used, as a sentence fragment, and a remedy.
type Wrong = (String, String);

/// Reads a text file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Wrong> {
    open(path).and_then(|file| all(file, limit))
}

/// Reads a text file of at most `limit` bytes with secrets. Fails if all users of this host have access to
/// it.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, Wrong> {
    let file = open(path)?;
    // Check the opened file: its name may change.
    let mode = file.metadata().map_err(|error| failed(&error))?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        let help = format!(
            "chmod 640 {} and set its group to the one rcptd runs with",
            escape(&path.display().to_string())
        );
        return Err((format!("its mode is {mode:04o}, so every user on this host can access it"), help));
    }
    all(file, limit)
}

/// Access bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

fn failed(error: &io::Error) -> Wrong {
    (error.to_string(), remedy(error).to_owned())
}

/// Returns the remedy for a file that cannot be read.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the name",
        io::ErrorKind::PermissionDenied => "let the user that runs rcptd read it and enter its folders",
        _ => "check that it is a file that can be read",
    }
}

fn open(path: &Path) -> Result<File, Wrong> {
    // A pipe or a device could block the reader forever; below /dev it is a file that a shell passes.
    if !path.starts_with("/dev") && std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(("it is not a file".into(), "check the name".into()));
    }
    File::open(path).map_err(|error| failed(&error))
}

fn all(file: File, limit: u64) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    within(bytes.len() as u64, limit)?;
    Ok(bytes)
}

fn within(size: u64, limit: u64) -> Result<(), Wrong> {
    if size > limit {
        return Err((format!("it is larger than {limit} bytes"), "check the name, or split the file".into()));
    }
    Ok(())
}

/// Reads a configuration, of rcptd or of trualias.
pub(super) fn configuration(path: &Path, problems: &mut Vec<Problem>) -> Result<Document, Wrong> {
    let bytes = read(path, MAX_RULES)?;
    let text = text(path, &bytes, problems);
    if trualias::is_configuration(&text.content) {
        return Ok(Document { text: trualias::stand_in(&text), trualias: Some(text) });
    }
    within(bytes.len() as u64, MAX_CONFIG)?;
    Ok(Document { text, trualias: None })
}

/// Decodes the contents of a file. Reports invalid UTF-8 as a problem and replaces it.
pub(super) fn text(path: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Text {
    let text = Text::new(&path.display().to_string(), &String::from_utf8_lossy(bytes));
    if let Err(error) = std::str::from_utf8(bytes) {
        // Up to there the replaced text equals the original, so the position is right.
        let at = error.valid_up_to();
        problems.push(Problem::error(&text, at..at + 1, "this is not UTF-8").help("save the file as UTF-8"));
    }
    text
}

/// Returns the path of a file that is used by default, if its folder exists: a package or systemd creates that, and
/// a trial by hand does without.
pub(super) fn in_existing_folder(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    has_folder(&path).then_some(path)
}

/// Whether the folder of a file exists. That of a name alone is the current one.
pub(super) fn has_folder(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir())
}
