//! `rcptd import`: configurations of other programs.

use crate::import::postfix::Named;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER_IMPORT: &str = "\
Examples:
  rcptd import trualias trualias.conf                 show the new configuration and what differs
  rcptd import trualias trualias.conf -o /etc/rcptd
  rcptd import sockmapd config.json -o /etc/rcptd
  rcptd import postfix mysql:/etc/postfix/virtual.cf";

const AFTER_TRUALIAS: &str = "\
FILE is a tcp_table_server.conf, tcp_virtual_server.conf, milter_server.conf or trualias.conf. Its statements \
show which server it configures: SMTP HOST, SMTP PORT, LOCAL HOST, LOCAL DOMAINS or CASE SENSITIVE the milter, ALIAS \
DOMAINS tcp_virtual_server. Without any of them the name of the file decides. If it is another name, such as \
trualias.conf, the server is assumed to be tcp_table_server, and the report says so: name the server with --server. \
Standard error gets a report of all differences, if possible with an example address that was looked up.

Examples:
  rcptd import trualias trualias.conf                    print both files and the report, write nothing
  rcptd import trualias trualias.conf -o /etc/rcptd      write rcptd.conf and aliases.rules
  rcptd import trualias trualias.conf --server milter    replace a table server by the milter
  rcptd check -c /etc/rcptd/rcptd.conf                   then see which settings are missing

Exit codes: 0 done, 66 no such file, 74 cannot write or a file exists already, 78 errors in the file.";

const AFTER_SOCKMAPD: &str = "\
FILE is the config.json of sockmapd. Its password is written to a file of its own, which only the owner can read; \
it is not printed. Standard error gets a report of all differences. If the file has errors, all are reported and \
nothing is written.

Examples:
  rcptd import sockmapd config.json                     print the configuration and the report, write nothing
  rcptd import sockmapd config.json -o /etc/rcptd       write rcptd.conf and database.password
  rcptd check -c /etc/rcptd/rcptd.conf                  then see which settings are missing

Exit codes: 0 done, 66 no such file, 74 cannot write or a file exists already, 78 errors in the file.";

const AFTER_POSTFIX: &str = "\
FILE is a file of mysql_table(5), pgsql_table(5), sqlite_table(5) or ldap_table(5), as named in main.cf: \
mysql:/etc/postfix/x.cf, proxy:mysql:/etc/postfix/x.cf or /etc/postfix/x.cf. Without a type, its parameters show it, or \
else the name of the file. Passwords are written to files of their own, which only the owner can read; they are not \
printed. Standard error gets a report of all differences. A map that would give wrong answers, since rcptd lacks \
something, fails temporarily until you change its source. If a file has errors, all are reported and nothing is \
written.

Examples:
  rcptd import postfix mysql:/etc/postfix/virtual.cf     print the configuration and the report, write nothing
  rcptd import postfix /etc/postfix/mysql-*.cf -o /etc/rcptd
  rcptd check -c /etc/rcptd/rcptd.conf                   then see which settings are missing

Exit codes: 0 done, 66 no such file, 74 cannot write or a file exists already, 78 errors in the file.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_IMPORT)]
pub struct Import {
    #[command(subcommand)]
    pub command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Convert a configuration file of trualias to a configuration and rules, and report what differs
    #[command(after_help = AFTER_TRUALIAS)]
    Trualias(Trualias),
    /// Convert a configuration file of sockmapd, and report what differs
    #[command(after_help = AFTER_SOCKMAPD)]
    Sockmapd(Sockmapd),
    /// Convert tables of Postfix in MariaDB, MySQL, PostgreSQL, SQLite and LDAP, and report what differs
    #[command(after_help = AFTER_POSTFIX)]
    Postfix(PostfixTables),
}

#[derive(Debug, Args)]
pub struct Trualias {
    #[command(flatten)]
    pub output: Output,
    /// The server that FILE configures, whatever its statements
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

#[derive(Debug, Args)]
pub struct PostfixTables {
    #[command(flatten)]
    pub output: Output,
    /// Files of Postfix' clients, with the type of the table or without
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<Named>,
}

/// The destination of the files.
#[derive(Debug, Args)]
pub struct Output {
    /// Folder to write the files to, created if missing; without it they are printed
    #[arg(short = 'o', long = "output", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
}

/// The servers of trualias, by the names of their programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// The milter
    Milter,
    /// A table of local parts
    #[value(name = "tcp_table")]
    Table,
    /// A table of addresses
    #[value(name = "tcp_virtual")]
    Virtual,
}
