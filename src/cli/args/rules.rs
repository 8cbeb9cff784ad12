//! `rcptd rules`: commands for files of rules.

use clap::{Args, Subcommand};
use std::path::PathBuf;

const AFTER_RULES: &str = "\
Examples:
  rcptd rules fmt aliases.rules             format it
  rcptd rules fmt --check *.rules           are all formatted? (exit code 1 if not)";

const AFTER_FMT: &str = "\
A statement on one line stays on one line if it fits; otherwise each part gets a line of its own, and long \
lists are wrapped. Comments keep their places. The meaning never changes, which is checked before a file is \
written. A file with errors is not changed. - reads standard input and writes standard output.

Examples:
  rcptd rules fmt aliases.rules
  rcptd rules fmt --check aliases.rules more.rules
  rcptd rules fmt - < aliases.rules | less

Exit codes: 0 done, 1 --check found an unformatted file, 66 no such file, 74 cannot write, 78 errors in the rules.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_RULES)]
pub struct Rules {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Format files of rules
    #[command(after_help = AFTER_FMT)]
    Fmt(Fmt),
}

#[derive(Debug, Args)]
pub struct Fmt {
    /// Change nothing; name the files that are not formatted
    #[arg(long)]
    pub check: bool,
    /// Files of rules; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}
