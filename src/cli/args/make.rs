//! `rcptd make`: addresses for people.

use clap::Args;
use std::path::PathBuf;

pub const AFTER: &str = "\
ACCOUNT is who gets the mail; each WORD is the text of one identifier of the rule (%alnum%, %fqdn%, …), in \
order. Every rule that names the account makes one address. What is printed has been looked up: it is an alias \
of this account and of no other, and with -c that the daemon takes it there, whether or not the account exists. \
What a rule cannot make is said on standard error, with the reason.

Examples:
  rcptd make --rules aliases.rules foo macys             foo-macys-m5
  rcptd make --rules aliases.rules foo                   which rules are there, what do they want?
  rcptd make --rules aliases.rules --explain foo macys   how is it computed in the head?
  rcptd make -c rcptd.conf foo macys                     the whole address, in the first domain
  rcptd make --rules a.rules --rule 2 --alias joe --until 2026-12-31 foo macys

Exit codes: 0 made at least one, 1 made none, 64 usage, 66 no such file of rules, 78 configuration or rules.";

#[derive(Debug, Args)]
pub struct Make {
    /// Configuration file: its rules, in the first of its domains
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    pub config: PathBuf,
    /// Rules alone; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub rules: Vec<PathBuf>,
    /// The name behind ALIASED to use, where a rule has several
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Only this rule; they are numbered from 1
    #[arg(long, value_name = "N")]
    pub rule: Option<usize>,
    /// Print whole addresses in this domain; with -c it is one of the configuration
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The last day of the address, for rules with %date%; one that has passed is refused
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    pub until: Option<alias_rules::Day>,
    /// File with the secrets of HMAC, one a line; the first one counts
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub secrets: Option<PathBuf>,
    /// Without regard to upper and lower case, as the daemon does unless `case_sensitive = true`
    #[arg(long, requires = "rules")]
    pub fold: bool,
    /// Reply how each address is made in the head
    #[arg(long)]
    pub explain: bool,
    /// One JSON object a rule: rule, place, expression, name, address, remarks, steps, reason
    #[arg(long)]
    pub json: bool,
    /// The account that is to get the mail
    #[arg(value_name = "ACCOUNT")]
    pub account: String,
    /// The texts of the identifiers, in order
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
}
