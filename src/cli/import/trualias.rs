//! `rcptd import trualias`

use super::{CONFIG, New, RULES, count, hand_over, read, refused};
use crate::cli::{args, exit, terminal};
use crate::config::{self, MAX_RULES, Server};
use diagnostics::Text;

pub fn run(args: &args::Trualias) -> u8 {
    match import(args) {
        Ok(()) => exit::OK,
        Err(code) => code,
    }
}

fn import(args: &args::Trualias) -> Result<(), u8> {
    let content = read(&args.file, MAX_RULES)?;
    let file = args.file.display().to_string();
    let imported = alias_rules::import(&Text::new(&file, &content)).map_err(|problems| {
        terminal::show(&problems);
        refused()
    })?;
    let server = args.server.map(|server| match server {
        args::Server::Milter => Server::Milter,
        args::Server::Table => Server::Table,
        args::Server::Virtual => Server::Virtual,
    });
    let (configuration, mut differences) = config::import_trualias(&file, &imported.settings, server);
    differences.extend(imported.differences);
    let files = [
        New { name: CONFIG, content: &configuration, private: false },
        New { name: RULES, content: &imported.rules, private: false },
    ];
    hand_over(&count(imported.statements, "rule"), &differences, &files, &args.output)
}
