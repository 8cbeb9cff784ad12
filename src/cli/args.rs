//! The command line.

mod import;
mod inspect;
mod make;
mod rules;

pub use import::{Import, ImportCommand, Output, PostfixTables, Server, Sockmapd, Trualias};
pub use inspect::{Cache, CacheAction, Daemon, Sources, Status, Trace};
pub use make::Make;
pub use rules::{Fmt, Rules, RulesCommand};

use crate::map::settings::Kind;
use alias_rules::Day;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

/// Resolves computed mail aliases for Postfix and Sendmail.
///
/// Users hand out addresses that they can compute without a computer: foo-macys-m5@example.com is account
/// foo, shop macys, and a code. rcptd is a milter and a lookup server: at each RCPT it resolves the alias,
/// verifies that the account exists, and rejects unknown recipients; the milter replaces the recipient at
/// the end of the message.
#[derive(Debug, Parser)]
#[command(version, long_version = version(), args_conflicts_with_subcommands = true, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

/// The version, and the kinds of databases that this program was built with.
fn version() -> String {
    let mut kinds: Vec<&str> =
        Kind::ALL.iter().filter(|(_, kind)| kind.is_built_in()).map(|(name, _)| *name).collect();
    kinds.extend(cfg!(feature = "lmdb").then_some("lmdb"));
    let kinds =
        if kinds.is_empty() { "none; build with --features all-databases".into() } else { kinds.join(", ") };
    format!("{}\ndatabases: {kinds}", env!("CARGO_PKG_VERSION"))
}

const AFTER: &str = "\
First steps:
  rcptd demo                                     what it does
  rcptd check -c /etc/rcptd/rcptd.conf           check the configuration
  rcptd explain -c /etc/rcptd/rcptd.conf ADDR    decision and reasons
  rcptd make -c /etc/rcptd/rcptd.conf foo macys  foo's address for macys
  rcptd serve -c /etc/rcptd/rcptd.conf           run the daemon

Exit codes (sysexits): 0 done, 1 not found, 64 usage, 66 input missing, 69 cannot listen, 75 temporary \
failure, 78 configuration. See rcptd(8), rcptd.conf(5) and rcptd.rules(5).";

const AFTER_SERVE: &str = "\
SIGHUP reloads the configuration and the rules; after an error the old ones stay in use.
SIGTERM lets current messages end; a second SIGTERM stops at once.

Exit codes: 0 stopped by a signal, 69 cannot listen, 71 the system refuses an operation, 75 a source or map \
cannot be opened now, 78 invalid configuration.";

const AFTER_CHECK: &str = "\
Examples:
  rcptd check -c rcptd.conf
  rcptd check --rules aliases.rules --fold --json
  rcptd check --rules aliases.rules --guess
  rcptd check --postfix
  rcptd check --maps
  rcptd check -c rcptd.conf --postfix /etc/postfix
  rcptd check -c rcptd.conf --accounts

Exit codes: 0 valid, possibly with warnings, 75 a source failed temporarily (--accounts) or \
the server of a map is down (--maps), 78 invalid or missing, a map fails (--maps), or an account of a rule does not exist (--accounts).";

const AFTER_LOOKUP: &str = "\
Prints the account of each name, one per line; the line is empty if the name is not an alias.
Names are local parts; --domain sets their domain. They are used unchanged: a carriage return at the end of a \
line is part of the name. A line that is longer than any name is a temporary failure.

Examples:
  rcptd lookup --rules aliases.rules --fold foo-macys-m5
  rcptd lookup --rules aliases.rules --json - < names
  rcptd lookup --rules aliases.rules --domain example.com --today 2026-11-30 foo-macys-m5

Exit codes: 0 all names found, 1 a name not found, 66 no such file of rules, 75 temporary failure, \
78 invalid rules.";

const AFTER_EXPLAIN: &str = "\
Shows each rule that matches, or those that nearly match: how the name is split, the value of each function, \
and the computed code below the given code. Asks the account sources as the daemon does; with --rules it asks \
no source, and an address may be a local part.

Examples:
  rcptd explain -c rcptd.conf foo-macys-m5@example.com
  rcptd explain --rules aliases.rules foo-macys-m6
  rcptd explain --rules aliases.rules --domain example.com --today 2026-11-30 foo-macys-m6

Exit codes: 0 accepted (--rules: an alias), 1 rejected (no alias), 66 no such file of rules (--rules), \
75 deferred, 78 invalid configuration or rules.";

const AFTER_DEMO: &str = "\
Example:
  rcptd demo --color always | less -R";

/// The default path of the configuration.
pub const CONFIG: &str = "/etc/rcptd/rcptd.conf";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve mail servers, in the foreground (the default command)
    #[command(after_help = AFTER_SERVE)]
    Serve(Serve),
    /// Report all errors of a configuration or of rules
    #[command(after_help = AFTER_CHECK)]
    Check(Check),
    /// Look up local parts in the rules only
    #[command(after_help = AFTER_LOOKUP)]
    Lookup(Lookup),
    /// Show what would happen to mail to an address, and why
    #[command(after_help = AFTER_EXPLAIN)]
    Explain(Explain),
    /// Make an address for an account, as the rules compute it
    #[command(after_help = make::AFTER)]
    Make(Make),
    /// Format files of rules
    Rules(Rules),
    /// Convert the configuration of another program
    Import(Import),
    /// Show the state and the counters of a running daemon
    #[command(after_help = inspect::AFTER_STATUS)]
    Status(Status),
    /// Show the account sources of a running daemon: whether they answer, how often and how fast
    #[command(after_help = inspect::AFTER_SOURCES)]
    Sources(Sources),
    /// Show, forget or pin what a running daemon knows of accounts
    #[command(after_help = inspect::AFTER_CACHE)]
    Cache(Cache),
    /// Show the requests and replies of a running daemon, live
    #[command(after_help = inspect::AFTER_TRACE)]
    Trace(Trace),
    /// Show the milter at work, without a mail server, files or privileges
    #[command(after_help = AFTER_DEMO)]
    Demo(Demo),
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file, or a configuration file of trualias
    #[arg(short, long, visible_alias = "trualias", value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Check {
    /// Configuration file, checked together with the rules it names
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Rules without a configuration; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub rules: Vec<PathBuf>,
    /// File with the secrets of these rules; the configuration names its own
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub secrets: Option<PathBuf>,
    /// Ignore case, as the daemon does unless `case_sensitive = true`
    #[arg(long, requires = "rules")]
    pub fold: bool,
    /// Print JSON, one object per line: kind (problem), file, line, column, severity, message, help, related; with
    /// --guess also kind (guess), file, line, expression, share, exact; with --maps also kind (map), map, source, ok, fault
    #[arg(long)]
    pub json: bool,
    /// Also report how easily the aliases of each rule are guessed
    #[arg(long)]
    pub guess: bool,
    /// Also ask the account sources, and report whether they work and whether the accounts in the rules exist. With
    /// --json also kind (source), source, domain, result, detail; kind (domain), domain, unknown_names, detail; kind
    /// (account), account, rule, address, result, detail
    #[arg(long, conflicts_with = "rules")]
    pub accounts: bool,
    /// Also check whether Postfix, with this configuration, loses mail, rejects valid recipients or accepts
    /// unknown ones. Uses postconf(1), by default for /etc/postfix. -c may name the folder as well
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, conflicts_with = "rules")]
    #[allow(clippy::option_option, reason = "with a folder, without one, or not at all")]
    pub postfix: Option<Option<PathBuf>>,
    /// Also send the query of each map to its database or server, once, for a key that does not exist, and print one
    /// line with each result
    #[arg(long, conflicts_with = "rules")]
    pub maps: bool,
}

/// The Postfix to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostfixFolder<'a> {
    /// That of postconf(1).
    Default,
    /// The one whose main.cf is here.
    At(&'a Path),
}

impl Check {
    /// The configuration file and the Postfix to check, if any. With `--postfix` a folder after `-c` is that
    /// of Postfix, as in the commands of Postfix.
    pub fn files(&self) -> (&Path, Option<PostfixFolder<'_>>) {
        match &self.postfix {
            None => (&self.config, None),
            Some(Some(folder)) => (&self.config, Some(PostfixFolder::At(folder))),
            Some(None) if self.config.is_dir() => (Path::new(CONFIG), Some(PostfixFolder::At(&self.config))),
            Some(None) => (&self.config, Some(PostfixFolder::Default)),
        }
    }
}

#[derive(Debug, Args)]
pub struct Lookup {
    /// Rules; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    pub rules: Vec<PathBuf>,
    /// Print JSON, one object per name: q, account (or null), ambiguous
    #[arg(long)]
    pub json: bool,
    /// Ignore case, as the daemon does unless `case_sensitive = true`
    #[arg(long)]
    pub fold: bool,
    /// File with the secrets of the rules, one per line
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// Domain of the names; without it, rules for certain domains (DOMAINS) do not apply
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The current day; by default the one that has not yet ended anywhere on Earth
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub today: Option<Day>,
    /// Local parts; - reads them from standard input, one per line
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

/// Reads a day, `2026-11-30`.
fn day(text: &str) -> Result<Day, String> {
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => year
            .parse()
            .ok()
            .zip(month.parse().ok().zip(day.parse().ok()))
            .and_then(|(year, (month, day))| Day::new(year, month, day))
            .ok_or_else(|| "there is no such day".into()),
        _ => Err("write a day such as 2026-11-30".into()),
    }
}

#[derive(Debug, Args)]
pub struct Explain {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Rules without a configuration; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub rules: Vec<PathBuf>,
    /// Ignore case, as the daemon does unless `case_sensitive = true`
    #[arg(long, requires = "rules")]
    pub fold: bool,
    /// File with the secrets of these rules, one per line; the configuration names its own
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub secrets: Option<PathBuf>,
    /// Domain of local parts; without it, rules for certain domains (DOMAINS) do not apply
    #[arg(long, value_name = "DOMAIN", requires = "rules")]
    pub domain: Option<String>,
    /// The current day; by default the one that has not yet ended anywhere on Earth
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, requires = "rules")]
    pub today: Option<Day>,
    /// Print JSON, one object per address
    #[arg(long)]
    pub json: bool,
    /// Addresses, as in RCPT TO, with angle brackets or without
    #[arg(value_name = "ADDRESS", required = true)]
    pub addresses: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    Auto,
    Always,
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn parses_days() {
        for (text, want) in [
            ("2026-11-30", Ok("2026-11-30")),
            ("2028-02-29", Ok("2028-02-29")),
            ("2027-02-29", Err("there is no such day")),
            ("2026-13-01", Err("there is no such day")),
            ("2026-1-30", Err("write a day such as 2026-11-30")),
            ("+026-11-30", Err("write a day such as 2026-11-30")),
            ("2026-12-31-1", Err("write a day such as 2026-11-30")),
            ("tomorrow", Err("write a day such as 2026-11-30")),
            ("20261130", Err("write a day such as 2026-11-30")),
            ("", Err("write a day such as 2026-11-30")),
        ] {
            let got = day(text).map(|day| day.to_string());
            assert_eq!(got, want.map(String::from).map_err(String::from), "{text}");
        }
    }

    #[test]
    fn serve_is_the_default() {
        let cli = Cli::try_parse_from(["rcptd", "-c", "/x"]).expect("parses");
        assert!(cli.command.is_none() && cli.serve.config.as_os_str() == "/x");
        assert!(Cli::try_parse_from(["rcptd", "-c", "/x", "check"]).is_err());
    }
}
