//! The checks of `rcptd check`, for a configuration or for rules alone, with proofs about the rules.
//!
//! The daemon does not run the proofs: at run time it rejects each ambiguous name, and other names work.

use super::aliased::aliased_accounts;
use super::load::{options, read, sort};
use super::{Config, MAX_RULES, files, read_secrets};
use alias_rules::{Dialect, GuessRate, Limits, Options, Rules};
use diagnostics::{Problem, Text};
use mail_address::{LocalPartPolicy, canonical_domain, escape};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// All problems.
    pub problems: Vec<Problem>,
    /// The configuration, if valid.
    pub config: Option<Config>,
    /// The rules, if valid.
    pub rules: Arc<Rules>,
    /// How easy their aliases are to guess, if requested.
    pub guesses: Vec<GuessRate>,
}

impl Checked {
    fn prove(&mut self, texts: &[Text], options: &Options, limits: &Limits, guess: bool) {
        let proof = alias_rules::analyse(&self.rules, texts, options, limits);
        self.problems.extend(proof.problems);
        // Without a configuration any domain may be ours.
        let plain = LocalPartPolicy::plain(!options.fold);
        let reads = |domain: &str| match &self.config {
            None => Some(plain.clone()),
            Some(config) => {
                let is_ours = config.domains.iter().any(|own| canonical_domain(own) == domain);
                is_ours.then(|| config.normal.get(domain).unwrap_or(&plain).clone())
            }
        };
        self.problems.extend(alias_rules::delivery_loops(&self.rules, texts, options, &reads));
        let domains: Vec<(Option<&str>, &LocalPartPolicy)> = match &self.config {
            None => vec![(None, &plain)],
            Some(config) => config
                .domains
                .iter()
                .map(|domain| (Some(&**domain), config.normal.get(domain).unwrap_or(&plain)))
                .collect(),
        };
        self.problems.extend(aliased_accounts(&self.rules, texts, &domains));
        self.plus(texts, &plain);
        if guess {
            self.guesses = alias_rules::guess_rates(texts, options);
        }
    }
}

impl Checked {
    /// Reports rules whose check codes give no protection if the mail server, not the configuration, treats
    /// "+" as the beginning of an extension: Sendmail always does, and Postfix in Debian's default
    /// configuration.
    fn plus(&mut self, texts: &[Text], plain: &LocalPartPolicy) {
        let is_silent = |config: &Config, domain: &String| {
            config.normal.get(domain).is_none_or(|normal| !normal.delimiters.contains('+'))
        };
        let domains = self.config.as_ref().map(|config| {
            let silent = config.domains.iter().filter(|domain| is_silent(config, domain));
            silent.cloned().collect::<Vec<_>>()
        });
        let plus = LocalPartPolicy { delimiters: "+".into(), ..plain.clone() };
        let found = alias_rules::unprotected(&self.rules, &plus, domains.as_deref());
        let Some(first) = found.first() else { return };
        let statement = self.rules.statement(first.statement);
        let Some(text) = texts.iter().find(|text| *text.file == *statement.file) else { return };
        let start: usize =
            text.content.split_inclusive('\n').take(statement.line.saturating_sub(1)).map(str::len).sum();
        let others = match found.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more rules)"),
        };
        let message = format!(
            "the check code protects nothing{others} if the mail server treats \"+\" as the start of an \
             extension: anything after \"{}\" is then delivered to {}",
            escape(&first.prefix),
            escape(&first.account),
        );
        self.problems.push(Problem::note(text, start..start, message).help(
            "separate the parts with another character; Postfix: see recipient_delimiter; Sendmail always \
             does so",
        ));
    }
}

/// Checks the configuration at `path` and the rules it names.
pub fn check(path: &Path, guess: bool) -> Checked {
    let (config, texts) = match read(path) {
        Ok(read) => read,
        Err(problems) => return Checked { problems, ..Checked::default() },
    };
    let options = options(config.case_sensitive, &config.secrets);
    let limits = Limits { guessable: config.guessable.map(|percent| percent / 100.0), ..Limits::default() };
    let (problems, rules) = (config.problems.clone(), config.rules.clone());
    let mut checked = Checked { problems, config: Some(config), rules, guesses: Vec::new() };
    checked.prove(&texts, &options, &limits, guess);
    sort(&mut checked.problems, &Text::new(&path.display().to_string(), ""), &texts);
    checked
}

/// Rules without a configuration.
#[derive(Clone, Debug, Default)]
pub struct Alone {
    /// The contents of the files.
    pub texts: Vec<Text>,
    /// The options with which they were loaded.
    pub options: Options,
    /// The rules of all readable files, if valid.
    pub rules: Option<Arc<Rules>>,
    /// All problems. If one is an error, the rules must not be used.
    pub problems: Vec<Problem>,
    /// Whether a rules file could not be read.
    pub unread: bool,
}

/// Loads rules files without a configuration. Unlike the rules of a configuration they must not contain
/// statements that are settings of rcptd.
pub fn rules_alone(paths: &[PathBuf], secrets: Option<&Path>, fold: bool) -> Alone {
    let mut alone = Alone::default();
    let secrets = secrets.map(read_secrets).transpose().unwrap_or_else(|wrong| {
        alone.problems.extend(wrong);
        None
    });
    for path in paths {
        match files::read(path, MAX_RULES) {
            Ok(bytes) => alone.texts.push(files::text(path, &bytes, &mut alone.problems)),
            Err((why, help)) => {
                let text = Text::new(&path.display().to_string(), "");
                let problem = Problem::error(&text, 0..0, format!("the rules cannot be read: {why}"));
                alone.problems.push(problem.help(help));
                alone.unread = true;
            }
        }
    }
    alone.options = Options { fold, dialect: Dialect::TcpTable, secrets: secrets.unwrap_or_default() };
    match alias_rules::load(&alone.texts, &alone.options) {
        Ok(loaded) => {
            alone.problems.extend(loaded.problems);
            alone.rules = Some(Arc::new(loaded.rules));
        }
        Err(wrong) => alone.problems.extend(wrong),
    }
    sort(&mut alone.problems, &Text::new("", ""), &alone.texts);
    alone
}

/// Checks rules files without a configuration.
pub fn check_rules(paths: &[PathBuf], secrets: Option<&Path>, fold: bool, guess: bool) -> Checked {
    let Alone { texts, options, rules, problems, .. } = rules_alone(paths, secrets, fold);
    let mut checked = Checked { problems, ..Checked::default() };
    if let Some(rules) = rules {
        checked.rules = rules;
        checked.prove(&texts, &options, &Limits::default(), guess);
        sort(&mut checked.problems, &Text::new("", ""), &texts);
    }
    checked
}
