//! `rcptd import`

mod json;
mod settings;
mod sockmapd;
mod trualias;

pub use sockmapd::run as sockmapd;
pub use trualias::run as trualias;

use super::{args, exit, input, output, terminal};
use crate::config;
use alias_rules::Difference;
use std::path::Path;
use std::{fs, io};

/// Names of the written files.
const CONFIG: &str = "rcptd.conf";
const RULES: &str = "aliases.rules";
const PASSWORD: &str = "database.password";

/// A file to be written.
#[derive(Clone, Copy)]
struct New<'n> {
    name: &'static str,
    content: &'n str,
    /// Whether only its owner may read it.
    private: bool,
}

/// Reads a file to be converted. Errors are reported; the error is the exit code.
fn read(path: &Path, limit: u64) -> Result<String, u8> {
    input::file(path, limit).map_err(|(message, code)| {
        eprintln!("rcptd: {message}");
        code
    })
}

/// Reports that nothing was converted, and returns the exit code.
fn refused() -> u8 {
    eprintln!("rcptd: nothing was imported; fix the file and try again");
    exit::CONFIG
}

/// Formats a number with its noun, in singular or plural.
fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Reports the differences, and writes or prints the files.
fn hand_over(
    what: &str,
    differences: &[Difference],
    files: &[New<'_>],
    output: &args::Output,
) -> Result<(), u8> {
    // Report the differences first, in case that writing the files fails.
    eprintln!("rcptd: {what} imported; differences:");
    for difference in differences {
        eprintln!("- {difference}");
    }
    let Some(folder) = &output.folder else {
        for New { name, content, private } in files {
            let content =
                if *private { "(a password, not shown: -o DIR writes it to this file)\n" } else { content };
            terminal::print(&format!("==> {name} <==\n{content}\n"))?;
        }
        return Ok(());
    };
    write(folder, files, output.force)?;
    // Check whether the configuration is usable as written; missing settings were reported.
    let path = folder.join(CONFIG);
    let name = path.display();
    match config::load(&path) {
        Ok(_) => eprintln!("rcptd: {name} can be used as it is"),
        Err(_) => eprintln!("rcptd: {name} cannot be used yet; rcptd check -c {name} shows why"),
    }
    Ok(())
}

/// Writes all files, or none if one exists and must not be overwritten.
fn write(folder: &Path, files: &[New<'_>], force: bool) -> Result<(), u8> {
    let failed = |path: &Path, e: &io::Error| {
        eprintln!("rcptd: {}: cannot be written: {e}", path.display());
        exit::IO_ERROR
    };
    for New { name, .. } in files {
        let path = folder.join(name);
        if !force && path.symlink_metadata().is_ok() {
            eprintln!("rcptd: {}: already exists; --force overwrites it", path.display());
            return Err(exit::IO_ERROR);
        }
    }
    // The parent folder must exist, so that a mistyped name does not create folders.
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            eprintln!("rcptd: {}: cannot create the folder: {e}", folder.display());
            return Err(exit::IO_ERROR);
        }
        _ => (),
    }
    for New { name, content, private } in files {
        let path = folder.join(name);
        let there = force && path.exists();
        let written = match (there, private) {
            (true, true) => output::replace_private(&path, content),
            (true, false) => output::replace(&path, content),
            (false, _) => output::create(&path, content, private.then(output::private)),
        };
        written.map_err(|e| failed(&path, &e))?;
    }
    Ok(())
}
