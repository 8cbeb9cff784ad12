//! `rcptd make`.

use clap::Args;
use std::path::PathBuf;

pub const AFTER: &str = "\
ACCOUNT receives the mail; each WORD is the text of one identifier of the rule (%alnum%, %fqdn%, …), in order. \
Each rule that names the account makes one address. Each address was looked up: it is an alias of this account \
and of no other, and with -c the daemon resolves it to the account, whether or not the account exists. Rules for \
which no address can be made are reported on standard error, with the reason.

Examples:
  rcptd make --rules aliases.rules foo macys             foo-macys-m5
  rcptd make --rules aliases.rules foo                   list the rules of foo and the words they need
  rcptd make --rules aliases.rules --explain foo macys   show how it is computed by hand
  rcptd make -c rcptd.conf foo macys                     the whole address, in the first domain
  rcptd make --rules a.rules --rule 2 --alias joe --until 2026-12-31 foo macys

Exit codes: 0 at least one address, 1 no address, 64 usage, 66 no such file of rules,
78 invalid configuration or rules.";

#[derive(Debug, Args)]
pub struct Make {
    /// Configuration file: its rules, in the first of its domains
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    pub config: PathBuf,
    /// Rules without a configuration; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub rules: Vec<PathBuf>,
    /// The name after ALIASED to use, if a rule has several
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Use only this rule; rules are numbered from 1
    #[arg(long, value_name = "N")]
    pub rule: Option<usize>,
    /// Print whole addresses in this domain; with -c it is one of the configuration
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The last day of the address, for rules with %date%; it must not have passed
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    pub until: Option<alias_rules::Day>,
    /// File with the secrets of HMAC, one per line; the first one is used
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub secrets: Option<PathBuf>,
    /// Ignore case, as the daemon does unless `case_sensitive = true`
    #[arg(long, requires = "rules")]
    pub fold: bool,
    /// Show how each address is computed without a computer
    #[arg(long)]
    pub explain: bool,
    /// Print JSON, one object per rule: rule, place, expression, name, address, remarks, steps, reason
    #[arg(long)]
    pub json: bool,
    /// The account that receives the mail
    #[arg(value_name = "ACCOUNT")]
    pub account: String,
    /// The texts of the identifiers, in order
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
}
