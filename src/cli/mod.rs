//! The commands of the program.

mod args;
mod check;
mod demo;
mod explain;
mod fmt;
mod import;
mod input;
mod inspect;
mod lookup;
mod make;
mod output;
mod postfix;
mod running;
mod serve;
mod sources;
mod terminal;

use args::{Cli, Command, ImportCommand, RulesCommand};
use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// Exit codes of sysexits(3), and their meaning here.
pub mod exit {
    /// Done; found.
    pub const OK: u8 = 0;
    /// Not found.
    pub const NOT_FOUND: u8 = 1;
    /// The command line is invalid.
    pub const USAGE: u8 = 64;
    /// An input cannot be read.
    pub const NO_INPUT: u8 = 66;
    /// A socket cannot be opened.
    pub const UNAVAILABLE: u8 = 69;
    /// A defect in rcptd.
    pub const SOFTWARE: u8 = 70;
    /// The operating system rejects a necessary operation.
    pub const OS_ERROR: u8 = 71;
    /// An output cannot be written.
    pub const IO_ERROR: u8 = 74;
    /// Temporary failure; try again.
    pub const TEMPORARY: u8 = 75;
    /// The configuration is invalid.
    pub const CONFIG: u8 = 78;
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let asked = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // If this cannot be written, it cannot be reported either.
            let _ = e.print();
            return if asked { exit::OK } else { exit::USAGE }.into();
        }
    };
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Lookup(args) => lookup::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Make(args) => make::run(&args),
        Command::Rules(args) => match args.command {
            RulesCommand::Fmt(args) => fmt::run(&args),
        },
        Command::Import(args) => match args.command {
            ImportCommand::Trualias(args) => import::trualias(&args),
            ImportCommand::Sockmapd(args) => import::sockmapd(&args),
            ImportCommand::Postfix(args) => import::postfix(&args),
        },
        Command::Status(args) => inspect::status(&args),
        Command::Sources(args) => sources::sources(&args),
        Command::Cache(args) => sources::cache(&args),
        Command::Trace(args) => inspect::trace(&args),
        Command::Demo(args) => demo::run(&args),
    }
    .into()
}
