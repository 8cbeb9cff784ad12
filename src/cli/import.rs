//! `rcptd import`

use super::{args, exit, input, output, terminal};
use crate::config::{self, MAX_CONFIG, MAX_RULES};
use crate::import::{self, CONFIG, File, Imported};
use diagnostics::{Text, count};
use std::path::Path;
use std::{fs, io};

/// Runs `rcptd import trualias`.
pub fn trualias(args: &args::Trualias) -> u8 {
    let server = args.server.map(|server| match server {
        args::Server::Milter => import::trualias::Server::Milter,
        args::Server::Table => import::trualias::Server::Table,
        args::Server::Virtual => import::trualias::Server::Virtual,
    });
    run(&args.file, MAX_RULES, &args.output, |text| {
        import::trualias::import(text, server).map_err(|problems| terminal::show(&problems))
    })
}

/// Runs `rcptd import sockmapd`.
pub fn sockmapd(args: &args::Sockmapd) -> u8 {
    run(&args.file, MAX_CONFIG, &args.output, |text| {
        import::sockmapd::import(text).map_err(|faults| {
            for fault in &faults {
                terminal::say(format_args!("{}", fault.of(&text.file)));
            }
            terminal::say(format_args!("rcptd: {}", count(faults.len(), "error")));
        })
    })
}

/// Runs `rcptd import postfix`.
pub fn postfix(args: &args::PostfixTables) -> u8 {
    let mut tables = Vec::new();
    for named in &args.files {
        match input::file(Path::new(&named.path), MAX_CONFIG) {
            Ok(content) => tables.push((named.clone(), Text::new(&named.path, &content))),
            Err((message, code)) => {
                terminal::say(format_args!("rcptd: {message}"));
                return code;
            }
        }
    }
    let imported = import::postfix::import(&tables).map_err(|errors| {
        for error in &errors {
            terminal::say(format_args!("{error}"));
        }
        terminal::say(format_args!("rcptd: {}", count(errors.len(), "error")));
    });
    finish(imported, &args.output)
}

/// Imports a file of at most `limit` bytes. `import` reports errors in it.
fn run(
    file: &Path,
    limit: u64,
    output: &args::Output,
    import: impl FnOnce(&Text) -> Result<Imported, ()>,
) -> u8 {
    let content = match input::file(file, limit) {
        Ok(content) => content,
        Err((message, code)) => {
            terminal::say(format_args!("rcptd: {message}"));
            return code;
        }
    };
    finish(import(&Text::new(&file.display().to_string(), &content)), output)
}

/// Reports and writes what was imported, unless there were errors, which have been reported.
fn finish(imported: Result<Imported, ()>, output: &args::Output) -> u8 {
    let Ok(imported) = imported else {
        terminal::say(format_args!("rcptd: nothing was imported; fix the file and try again"));
        return exit::CONFIG;
    };
    match hand_over(&imported, output) {
        Ok(()) => exit::OK,
        Err(code) => code,
    }
}

/// Reports the differences, and writes or prints the files.
fn hand_over(Imported { count, files, differences }: &Imported, output: &args::Output) -> Result<(), u8> {
    if let (Some(folder), false) = (&output.folder, output.force) {
        none_exists(folder, files)?;
    }
    // Report the differences first, in case that writing the files fails.
    terminal::say(format_args!("rcptd: {count} imported; differences:"));
    for difference in differences {
        terminal::say(format_args!("- {difference}"));
    }
    let Some(folder) = &output.folder else {
        for File { name, content, private } in files {
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
        Ok(_) => {
            terminal::say(format_args!("rcptd: {name} is valid; first do what the report above asks for"));
        }
        Err(_) => {
            terminal::say(format_args!("rcptd: {name} cannot be used yet; rcptd check -c {name} shows why"));
        }
    }
    Ok(())
}

/// Reports a file that exists and must not be overwritten.
fn none_exists(folder: &Path, files: &[File]) -> Result<(), u8> {
    for File { name, .. } in files {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            let path = path.display();
            terminal::say(format_args!(
                "rcptd: {path}: already exists, so nothing was written; --force overwrites it"
            ));
            return Err(exit::IO_ERROR);
        }
    }
    Ok(())
}

/// Writes all files.
fn write(folder: &Path, files: &[File], force: bool) -> Result<(), u8> {
    let failed = |path: &Path, e: &io::Error| {
        terminal::say(format_args!("rcptd: {}: cannot be written: {e}", path.display()));
        exit::IO_ERROR
    };
    // The parent folder must exist, so that a mistyped name does not create folders.
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            terminal::say(format_args!("rcptd: {}: cannot create the folder: {e}", folder.display()));
            return Err(exit::IO_ERROR);
        }
        _ => (),
    }
    for File { name, content, private } in files {
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
