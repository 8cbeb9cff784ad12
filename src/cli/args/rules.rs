//! `rcptd rules`: what looks after files of rules.

use super::import;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const AFTER_RULES: &str = "\
Examples:
  rcptd rules fmt aliases.rules             lay it out
  rcptd rules fmt --check *.rules           is everything laid out? (exit code 1 if not)
  rcptd rules import trualias.conf          what would become of it, and what differs?
  rcptd rules import trualias.conf -o /etc/rcptd";

const AFTER_FMT: &str = "\
A statement that stands on one line and fits stays on one line; else each part has a line of its own, and \
long lists are wrapped. Comments stay where they are. The meaning never changes, which is checked before a \
file is written. A file with errors is left as it is. - reads standard input and writes standard output.

Examples:
  rcptd rules fmt aliases.rules
  rcptd rules fmt --check aliases.rules more.rules
  rcptd rules fmt - < aliases.rules | less

Exit codes: 0 done, 1 --check found something to do, 66 no such file, 74 cannot write, 78 errors in the rules.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_RULES)]
pub struct Rules {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Lay files of rules out
    #[command(after_help = AFTER_FMT)]
    Fmt(Fmt),
    /// The same as rcptd import trualias
    #[command(after_help = import::AFTER_TRUALIAS)]
    Import(import::Trualias),
}

#[derive(Debug, Args)]
pub struct Fmt {
    /// Change nothing; name the files that would be changed
    #[arg(long)]
    pub check: bool,
    /// Files of rules; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}
