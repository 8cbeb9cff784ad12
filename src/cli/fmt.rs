//! `rcptd rules fmt`

use super::{args, exit, input, output, terminal};
use crate::config::MAX_RULES;
use diagnostics::Text;
use std::io;
use std::path::Path;

pub fn run(args: &args::Fmt) -> u8 {
    let mut worst = exit::OK;
    for path in &args.files {
        let code = one(args.check, path).unwrap_or_else(|code| code);
        worst = worst.max(code);
    }
    worst
}

/// Formats one file. Both results are exit codes.
fn one(check: bool, path: &Path) -> Result<u8, u8> {
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let content = if is_stdin {
        input::read(io::stdin().lock(), &name, MAX_RULES)
    } else {
        input::file(path, MAX_RULES)
    };
    let content = content.map_err(|(message, code)| {
        terminal::say(format_args!("rcptd: {message}"));
        code
    })?;
    let new = alias_rules::format(&Text::new(&name, &content)).map_err(|problems| {
        terminal::show(&problems);
        exit::CONFIG
    })?;
    if check {
        if new == content {
            return Ok(exit::OK);
        }
        terminal::print(&format!("{name}\n"))?;
        return Ok(exit::NOT_FOUND);
    }
    if is_stdin {
        terminal::print(&new)?;
    } else if new != content {
        output::replace(path, &new).map_err(|e| {
            terminal::say(format_args!("rcptd: {name}: cannot be written: {e}"));
            exit::IO_ERROR
        })?;
    }
    Ok(exit::OK)
}
