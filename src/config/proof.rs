//! What `rcptd check` looks at: a configuration or rules alone, and what can be proved about the rules. The
//! daemon does without the proofs: what clashes is refused name by name, and the rest goes on.

use super::{Config, MAX_RULES, files, options, read, read_secrets, sort};
use crate::diag::{Problem, Text};
use crate::rules::{self, Dialect, Guess, Limits, Options, Rules};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// All there is to say.
    pub problems: Vec<Problem>,
    /// The configuration, if it can be used.
    pub config: Option<Config>,
    /// The rules, if they can.
    pub rules: Arc<Rules>,
    /// How easy their aliases are to guess, if that was asked.
    pub guesses: Vec<Guess>,
}

impl Checked {
    fn prove(&mut self, texts: &[Text], options: &Options, limits: &Limits, guess: bool) {
        let proof = rules::prove(&self.rules, texts, options, limits);
        self.problems.extend(proof.problems);
        if guess {
            self.guesses = rules::guessability(texts, options);
        }
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

/// Checks files of rules without a configuration. Unlike the rules of a configuration they may hold no
/// statements that are settings of rcptd.
pub fn check_rules(paths: &[PathBuf], secrets: Option<&Path>, case_sensitive: bool, guess: bool) -> Checked {
    let mut checked = Checked::default();
    let secrets = secrets.map(read_secrets).transpose().unwrap_or_else(|wrong| {
        checked.problems.extend(wrong);
        None
    });
    let mut texts = Vec::new();
    for path in paths {
        match files::read(path, MAX_RULES) {
            Ok(bytes) => texts.push(files::text(path, &bytes, &mut checked.problems)),
            Err((why, help)) => {
                let text = Text::new(&path.display().to_string(), "");
                let problem = Problem::error(&text, 0..0, format!("the rules cannot be read: {why}"));
                checked.problems.push(problem.help(help));
            }
        }
    }
    let secrets = secrets.unwrap_or_default();
    let options = Options { fold: !case_sensitive, dialect: Dialect::TcpTable, secrets };
    match rules::load(&texts, &options) {
        Ok(loaded) => {
            checked.problems.extend(loaded.problems);
            checked.rules = Arc::new(loaded.rules);
            checked.prove(&texts, &options, &Limits::default(), guess);
        }
        Err(wrong) => checked.problems.extend(wrong),
    }
    sort(&mut checked.problems, &Text::new("", ""), &texts);
    checked
}
