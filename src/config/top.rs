//! Checks the top of the file and `[log]`.

use super::check::{Check, text};
use super::files;
use super::keys;
use super::value::{Field, List, Percent};
use diagnostics::{Problem, Text, nearest};
use mail_address::{MAX_LOCAL_PART, escape};
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Default of `workers`: as many as there are cores.
pub(super) const WORKERS: usize = 0;
/// Bounds of `workers`. Threads mostly wait, so a few are enough.
pub(super) const WORKER_COUNTS: RangeInclusive<usize> = 0..=256;

/// Default of `guessable`, in percent.
pub const GUESSABLE: f64 = 100.0 * alias_rules::GUESSABLE;
/// Bounds of `guessable`.
pub(super) const PERCENT: RangeInclusive<f64> = 0.0..=100.0;

/// Default of `watch`: a change takes effect without a further step.
pub(super) const WATCH: bool = true;

/// Target of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Standard error, which systemd and containers collect.
    #[default]
    Stderr,
    /// The socket of the journal of systemd.
    Journald,
    /// A file, by its absolute path.
    File(PathBuf),
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Stderr => f.write_str("stderr"),
            Target::Journald => f.write_str("journald"),
            Target::File(path) => write!(f, "file:{}", escape(&path.display().to_string())),
        }
    }
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Faults that stop mail.
    Error,
    /// Events that the operator should look at.
    Warn,
    /// One line per decision, and start, stop and reload.
    #[default]
    Info,
    /// Also lookups in maps, and begin and end of connections.
    Debug,
}

impl Level {
    /// Returns the level as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Target of the log.
    pub target: Target,
    /// Lowest level that is logged.
    pub level: Level,
}

impl Check<'_> {
    /// Checks `domains`, and returns them in canonical spelling. They are required if recipients are
    /// resolved.
    pub fn domains(&mut self, field: &Field<List<String>>, needed: bool) -> Vec<String> {
        const HELP: &str = "write the domains of your aliases, such as domains = [\"example.com\"]";
        let given = match field {
            Field::Given(given) => given,
            Field::Absent => {
                if needed {
                    self.missing("domains", HELP);
                }
                return Vec::new();
            }
            Field::Broken => return Vec::new(),
        };
        // Their number is limited only by the size of the file, so use a hash set.
        let mut domains: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for item in &given.value.items {
            let Some(domain) = self.domain(given, item.span(), item.get_ref()) else { continue };
            if seen.insert(domain.clone()) {
                domains.push(domain);
            } else {
                let message = format!("domains: {} is listed twice", escape(item.get_ref()));
                self.problems
                    .push(Problem::warning(&given.text, item.span(), message).help("remove one of them"));
            }
        }
        if given.value.items.is_empty() && given.value.complete {
            self.error(given, "domains is empty", HELP);
        }
        domains
    }

    /// Checks `origin`; the default is the first of `domains`.
    pub fn origin(&mut self, field: &Field<String>, domains: &[String]) -> String {
        let given = text(field)
            .and_then(|given| Some((given, self.domain(given, given.span.clone(), &given.value)?)));
        let Some((given, origin)) = given else { return domains.first().cloned().unwrap_or_default() };
        if !domains.is_empty() && !domains.contains(&origin) {
            let message = format!(
                "{}: {} is not one of domains, so recipients without a domain are not checked",
                given.key,
                escape(&given.value)
            );
            let help = nearest(&origin, domains.iter().map(String::as_str)).map_or_else(
                || "this is right only if another server has its accounts".into(),
                |near| format!("did you mean {near}?"),
            );
            self.warning(given, message, help);
        }
        origin
    }

    /// Checks `debug_account`: the local part of a mailbox.
    pub fn debug_account(&mut self, field: &Field<String>) -> Option<String> {
        let given = text(field)?;
        let account = &given.value;
        let help = if account.contains('@') {
            "write only the part before the @".to_owned()
        } else if account.contains(|c: char| c.is_whitespace() || c.is_control()) {
            "write it without blanks".to_owned()
        } else if account.len() > MAX_LOCAL_PART {
            format!("write at most {MAX_LOCAL_PART} octets")
        } else {
            return Some(account.clone());
        };
        self.error(given, format!("{} = \"{}\" is not an account", given.key, escape(account)), help);
        None
    }

    /// Checks `guessable`, in percent; `None` disables the warnings.
    pub fn guessable(&mut self, field: &Field<Percent>) -> Option<f64> {
        let percent = match field.given() {
            None => GUESSABLE,
            // NaN is also rejected.
            Some(given) if !PERCENT.contains(&given.value.0) => {
                let help = format!("write a number from {} to {}", PERCENT.start(), PERCENT.end());
                self.error(given, format!("{} = {} is out of range", given.key, given.value.0), help);
                GUESSABLE
            }
            Some(given) => given.value.0,
        };
        (percent > 0.0).then_some(percent)
    }

    /// Checks `workers`.
    pub fn workers(&mut self, field: &Field<u64>) -> usize {
        self.number(field, WORKERS, &WORKER_COUNTS)
    }

    /// Checks `[log]`.
    pub fn log(&mut self, raw: &keys::Log) -> Log {
        let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug];
        Log {
            target: self.target(&raw.target),
            level: self.choice(&raw.level, Level::default(), &levels.map(|level| (level.name(), level))),
        }
    }

    fn target(&mut self, field: &Field<String>) -> Target {
        let Some(given) = field.given() else { return Target::default() };
        let path = given.value.strip_prefix("file:").map(PathBuf::from);
        match (&*given.value, path) {
            ("stderr", _) => return Target::Stderr,
            ("journald", _) => return Target::Journald,
            (_, Some(path)) if path.is_absolute() => {
                let folder = path.parent().unwrap_or(&path);
                if path.is_dir() {
                    let message = format!("log.target: {} is a folder", escape(&path.display().to_string()));
                    self.error(given, message, "write the path of a file");
                } else if !folder.is_dir() {
                    let shown = folder.display().to_string();
                    let message = format!("log.target: the folder {} does not exist", escape(&shown));
                    self.error(given, message, "create it; the user of rcptd must be able to write in it");
                }
                return Target::File(path);
            }
            (text, _) => {
                let message = format!("log.target = \"{}\" is not known", escape(text));
                self.error(given, message, "write one of stderr, journald, file:/PATH");
            }
        }
        Target::default()
    }

    /// Reads the files of `rules`, relative to `folder`, as far as possible. A file of trualias that is the
    /// configuration is the rules itself. Every file is added to
    /// `watched`, even if it cannot be read, since a missing file may be created.
    pub fn rules(
        &mut self,
        field: &Field<List<String>>,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Vec<Text> {
        if let Some(text) = self.trualias {
            return vec![text.clone()];
        }
        let Some(given) = field.given() else { return Vec::new() };
        if given.value.items.len() > files::MAX_RULES_FILES {
            let help = format!("at most {} are allowed", files::MAX_RULES_FILES);
            self.error(given, "rules has too many entries", help);
            return Vec::new();
        }
        let mut texts = Vec::new();
        for item in &given.value.items {
            let path = folder.join(item.get_ref());
            if watched.contains(&path) {
                let message = format!("rules: \"{}\" is listed twice", escape(item.get_ref()));
                self.error_in(given, item.span(), message, "remove one of them");
                continue;
            }
            match files::read(&path, files::MAX_RULES) {
                Ok(bytes) => texts.push(files::text(&path, &bytes, &mut self.problems)),
                Err((why, help)) => {
                    let message =
                        format!("rules file {} cannot be read: {why}", escape(&path.display().to_string()));
                    self.error_in(given, item.span(), message, help);
                }
            }
            watched.push(path);
        }
        texts
    }
}
