//! `rcptd rules import`

use super::{args, exit, input, output, terminal};
use crate::config::{self, MAX_RULES};
use crate::diag::Text;
use crate::rules;
use std::path::Path;
use std::{fs, io};

/// The names of the files written.
const CONFIG: &str = "rcptd.conf";
const RULES: &str = "aliases.rules";

pub fn run(args: &args::Import) -> u8 {
    match import(args) {
        Ok(()) => exit::OK,
        Err(code) => code,
    }
}

fn import(args: &args::Import) -> Result<(), u8> {
    let content = input::file(&args.file, MAX_RULES).map_err(|(message, code)| {
        eprintln!("rcptd: {message}");
        code
    })?;
    let file = args.file.display().to_string();
    let imported = rules::import(&Text::new(&file, &content)).map_err(|problems| {
        terminal::show(&problems);
        eprintln!("rcptd: nothing is taken over; mend the file and try again");
        exit::CONFIG
    })?;
    let (configuration, settings) = config::import(&file, &imported.legacy);
    let files = [(CONFIG, &configuration), (RULES, &imported.rules)];
    // First of all what is to be known, whatever becomes of the files.
    let count = imported.statements;
    let rules = if count == 1 { "1 rule" } else { &*format!("{count} rules") };
    eprintln!("rcptd: {rules} taken over; what differs:");
    for difference in settings.iter().chain(&imported.differences) {
        eprintln!("- {difference}");
    }
    match &args.output {
        Some(folder) => write(folder, &files, args.force)?,
        None => {
            for (name, content) in files {
                terminal::print(&format!("==> {name} <==\n{content}\n"))?;
            }
        }
    }
    if let Some(folder) = &args.output {
        // Whether the configuration can be used as it is; what is to be written yet was said.
        let path = folder.join(CONFIG);
        let name = path.display();
        match config::load(&path) {
            Ok(_) => eprintln!("rcptd: {name} can be used as it is"),
            Err(_) => eprintln!("rcptd: {name} cannot be used yet; rcptd check -c {name} says why"),
        }
    }
    Ok(())
}

/// Writes all files, or, where one is there already and is not to be overwritten, none.
fn write(folder: &Path, files: &[(&str, &String)], force: bool) -> Result<(), u8> {
    let failed = |path: &Path, e: &io::Error| {
        eprintln!("rcptd: {}: cannot be written: {e}", path.display());
        exit::IO_ERROR
    };
    for (name, _) in files {
        let path = folder.join(name);
        if !force && path.symlink_metadata().is_ok() {
            eprintln!("rcptd: {}: is there already; --force overwrites it", path.display());
            return Err(exit::IO_ERROR);
        }
    }
    // Its parents have to be there: a name with a mistake in it makes no tree of folders.
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            eprintln!("rcptd: {}: the folder cannot be made: {e}", folder.display());
            return Err(exit::IO_ERROR);
        }
        _ => (),
    }
    for (name, content) in files {
        let path = folder.join(name);
        let there = force && path.exists();
        let written =
            if there { output::replace(&path, content) } else { output::create(&path, content, None) };
        written.map_err(|e| failed(&path, &e))?;
    }
    Ok(())
}
