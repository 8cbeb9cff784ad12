//! Reads a file of another greylister, of any size. A database is written as text by its own program, if that is
//! installed.

use super::greylist::{Database, Error, Importer, Kind, MAGIC, MAX_LINE, Report, Settings};
use crate::greylist::record::Record;
use mail_address::escape;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Octets that are read at once.
const BUFFER: usize = 64 * 1024;

/// Imports the file `path`, of this kind or of the kind that its content shows. It blocks.
///
/// # Errors
/// A sentence with the path and the remedy: the file cannot be read, or nothing of it can be imported. Records before the
/// error may have been passed to `each`.
pub fn import(
    kind: Option<Kind>,
    path: &Path,
    settings: Settings,
    each: &mut dyn FnMut(Record),
) -> Result<Report, String> {
    let failed = |error: &dyn ToString| {
        format!("{}: {}", escape(path.as_os_str().as_encoded_bytes()), error.to_string())
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let mut begin = Vec::with_capacity(MAGIC);
    file.by_ref().take(MAGIC as u64).read_to_end(&mut begin).map_err(|error| failed(&error))?;
    let importer = Importer::new(kind, settings);
    match Database::of(&begin) {
        Some(database) => dump(database, path, importer, each),
        None => lines(begin.as_slice().chain(file), importer, each),
    }
    .map_err(|error| failed(&error))
}

/// Imports what the program of the database writes. Its own messages go to standard error.
fn dump(
    database: Database,
    path: &Path,
    importer: Importer,
    each: &mut dyn FnMut(Record),
) -> Result<Report, String> {
    let text = |part: Option<&Path>| part.and_then(Path::to_str).map(str::to_owned);
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let (file, folder) = (text(path.file_name().map(Path::new)), text(path.parent()));
    let (Some(file), Some(folder)) = (file, folder) else {
        return Err("the path is not UTF-8 (rename the file)".to_owned());
    };
    // A name that begins with a dash is no option.
    let file = format!("./{file}");
    for words in database.commands(&file, &folder) {
        let Some((program, arguments)) = words.split_first() else { continue };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{program}: {error}")),
        };
        let read = match child.stdout.take() {
            Some(output) => lines(BufReader::with_capacity(BUFFER, output), importer, each),
            None => Err(format!("{program} has no output")),
        };
        if read.is_err() {
            // It may wait for someone to read the rest; it may have ended, too.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| format!("{program}: {error}"))?;
        return match read {
            Ok(report) if status.success() => Ok(report),
            // Its message on standard error says more than that its output has no known format.
            _ if !status.success() && status.code().is_some() => {
                Err(format!("{program} failed with {status} (run \"{}\")", words.join(" ")))
            }
            read => read,
        };
    }
    Err(Error::Database(database).to_string())
}

/// Imports lines, of which it holds one.
fn lines(
    mut input: impl BufRead,
    mut importer: Importer,
    each: &mut dyn FnMut(Record),
) -> Result<Report, String> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // One octet more than the limit shows that a line is too long.
        let most = MAX_LINE as u64 + 1;
        let read =
            input.by_ref().take(most).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return importer.finish().map_err(|error| error.to_string());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > MAX_LINE {
            input.skip_until(b'\n').map_err(|error| error.to_string())?;
        }
        importer.line(&line, each).map_err(|error| error.to_string())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greylist::entry::Times;
    use std::fs;

    const SETTINGS: Settings = Settings {
        times: Times { delay: 3, window: 172_800, max_age: 3_024_000 },
        ipv4_prefix: 24,
        ipv6_prefix: 64,
        enough: 5,
    };

    fn data(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import-greylist").join(name)
    }

    fn records(path: &Path) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        import(None, path, SETTINGS, &mut |record| records.push(record))?;
        Ok(records)
    }

    /// Needs the packages that the errors name, as `tests/run setup` installs them.
    #[test]
    fn databases_are_read_by_their_programs() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("-postgrey.db");
        fs::copy(data("postgrey-binary.db"), &copy).unwrap();
        let got = records(&copy).unwrap();
        assert_eq!(got.len(), 6);
        assert_eq!(got, records(&data("postgrey-print.dump")).unwrap());
        let got = records(&data("tprt.gdbm")).unwrap();
        assert_eq!(got, records(&data("tprt.gdbm-dump")).unwrap());
        // Its begin is right, and nothing else.
        let broken = folder.path().join("broken");
        fs::write(&broken, &fs::read(&copy).unwrap()[..100]).unwrap();
        let error = records(&broken).unwrap_err();
        assert!(error.contains("db5.3_dump failed with exit status: 1 (run \"db5.3_dump -p -h /"), "{error}");
    }

    #[test]
    fn lines_of_any_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let entry = "192.0.2.1\t<a@b>\t<c@d>\t1764550000 #";
        for (length, want) in [(MAX_LINE, 3), (MAX_LINE + 1, 2), (3 * MAX_LINE, 2)] {
            let long = format!("{entry}{}", "x".repeat(length - entry.len()));
            fs::write(&path, format!("{entry}\n{long}\n{entry}")).unwrap();
            assert_eq!(records(&path).unwrap().len(), want, "{length}");
        }
    }

    #[test]
    fn errors_have_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a\nb");
        assert!(records(&path).unwrap_err().contains("a\\x0ab: No such file"), "{path:?}");
        fs::write(&path, "hello").unwrap();
        assert!(records(&path).unwrap_err().contains("a\\x0ab: the format is unknown"), "{path:?}");
    }
}
