//! `rcptd import`: configurations of other programs.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER_IMPORT: &str = "\
Examples:
  rcptd import trualias trualias.conf                 what would become of it, and what differs?
  rcptd import trualias trualias.conf -o /etc/rcptd
  rcptd import sockmapd config.json -o /etc/rcptd";

pub const AFTER_TRUALIAS: &str = "\
FILE is a tcp_table_server.conf, tcp_virtual_server.conf, milter_server.conf or trualias.conf. Which server it \
is of follows from its statements: SMTP HOST, SMTP PORT or LOCAL DOMAINS are of the milter, ALIAS DOMAINS of \
tcp_virtual_server; with none of them, from its name, and at last it is of tcp_table_server. Standard error \
gets a report of all that will be different, with an address where one shows it; what it says of an address \
has been looked up.

Examples:
  rcptd import trualias trualias.conf                    both files and report, nothing is written
  rcptd import trualias trualias.conf -o /etc/rcptd      writes rcptd.conf and aliases.rules
  rcptd import trualias trualias.conf --server milter    the milter in the place of a table
  rcptd check -c /etc/rcptd/rcptd.conf                   then look at what is still to be said

Exit codes: 0 done, 66 no such file, 74 cannot write or a file is there already, 78 errors in the file.";

const AFTER_SOCKMAPD: &str = "\
FILE is the config.json of sockmapd. Its password goes to a file of its own, which its owner alone can read; it \
is not printed. Standard error gets a report of all that will be different. With an error in the file nothing is \
written, and all errors are said.

Examples:
  rcptd import sockmapd config.json                     configuration and report, nothing is written
  rcptd import sockmapd config.json -o /etc/rcptd       writes rcptd.conf and database.password
  rcptd check -c /etc/rcptd/rcptd.conf                  then look at what is still to be said

Exit codes: 0 done, 66 no such file, 74 cannot write or a file is there already, 78 errors in the file.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_IMPORT)]
pub struct Import {
    #[command(subcommand)]
    pub command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Make a configuration and rules of a configuration file of trualias, and say what differs
    #[command(after_help = AFTER_TRUALIAS)]
    Trualias(Trualias),
    /// Make a configuration of a configuration file of sockmapd, and say what differs
    #[command(after_help = AFTER_SOCKMAPD)]
    Sockmapd(Sockmapd),
}

#[derive(Debug, Args)]
pub struct Trualias {
    #[command(flatten)]
    pub output: Output,
    /// The server FILE is of, whatever it says
    #[arg(long, value_enum, value_name = "SERVER")]
    pub server: Option<Server>,
    /// Configuration file of trualias
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Sockmapd {
    #[command(flatten)]
    pub output: Output,
    /// Configuration file of sockmapd
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Where to, for all of them.
#[derive(Debug, Args)]
pub struct Output {
    /// Folder to write the files to, made if it is not there; else they are printed
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Overwrite files that are there
    #[arg(long)]
    pub force: bool,
}

/// The servers of trualias, by the names of their programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Aliases resolved and recipients verified at RCPT
    Milter,
    /// A table of local parts
    #[value(name = "tcp_table")]
    Table,
    /// A table of addresses
    #[value(name = "tcp_virtual")]
    Virtual,
}
