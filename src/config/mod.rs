//! The configuration: reads and checks it.
//!
//! The configuration has three forms. `keys` is the file: each key with its type, its position and its
//! description. The checks convert it to a [`Config`], with defaults, bounds and dependencies between keys.
//! The live form, with sockets and connections, is created elsewhere.
//!
//! A run reports all errors in the configuration and in the rules, so that the operator can fix them
//! together. So no step stops at an error; [`load`] fails at the end.

mod account;
mod account_keys;
mod account_map;
mod account_source;
mod aliased;
mod check;
mod database;
mod delimiters;
mod files;
mod greylist;
mod guessing;
mod inspect;
mod keys;
mod listeners;
mod load;
mod map_keys;
mod milter;
mod normalise;
mod place;
mod policy_keys;
mod proof;
mod query;
mod read;
mod results;
mod script;
mod secrets;
mod section;
mod tables;
pub(crate) mod time;
mod top;
pub(crate) mod trualias;
mod value;

pub use files::{MAX_CONFIG, MAX_RULES, MAX_RULES_FILES, remedy};
pub use greylist::{GreylistSettings, StoreSettings};
pub use inspect::{Control, Statistics};
pub use keys::{entries, sections};
pub use listeners::{PolicySettings, Served, SocketmapSettings, TcpTableSettings};
pub use milter::Milter;
pub use place::Places;
pub use proof::{Alone, Checked, check, check_rules, rules_alone};
pub use secrets::{MAX_SECRETS_FILE, read_secrets};
pub use section::{Change, DefaultValue, Description, Key};
pub use tables::{MAX_MAP_NAME, MapSettings, Tables, is_map_name};
pub use top::{GUESSABLE, Level, Log, Target};

use crate::account::settings::Settings;
use crate::plugin;
use crate::resolve::Form;
use crate::script::Hook;
use crate::server::endpoint::Endpoint;
use crate::server::policy::Replies;
use alias_rules::{Rules, Secrets};
use check::Check;
use diagnostics::{Problem, Text};
use mail_address::{CaseSensitivity, LocalPartPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A valid configuration.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "most are keys of the configuration")]
pub struct Config {
    /// The configuration file.
    pub path: PathBuf,
    /// The domains whose recipients are resolved, in canonical spelling.
    pub domains: Vec<String>,
    /// Whether the domains are those of the operator. The file of a table of local parts of trualias has none.
    pub names_domain: bool,
    /// The domain of a recipient without one.
    pub origin: String,
    /// The alias rules, with the debug account set.
    pub rules: Arc<Rules>,
    /// The operator's script.
    pub script: Option<Hook>,
    /// The plug-in that `script` names instead. It is started by the daemon.
    pub plugin: Option<plugin::Settings>,
    /// The same rules and script for domains whose case sensitivity differs from the default, if there are
    /// any.
    pub other_case: Option<Form>,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: bool,
    /// Case sensitivity by domain.
    pub cases: CaseSensitivity,
    /// Normalisation of local parts by domain.
    pub normal: BTreeMap<String, LocalPartPolicy>,
    /// Normalisation in all other domains, for maps that serve more domains.
    pub normal_elsewhere: Option<LocalPartPolicy>,
    /// Percentage of random addresses above which a rule causes a warning; `None`: never.
    pub guessable: Option<f64>,
    /// Secrets that the rules use to compute codes.
    pub secrets: Secrets,
    /// Whether to decide and log, but change nothing.
    pub dry_run: bool,
    /// Whether a changed file causes a reload.
    pub watch: bool,
    /// Number of threads; 0: as many as there are cores.
    pub workers: usize,
    /// The milter.
    pub milter: Milter,
    /// The defence against clients that guess recipients.
    pub guessing: crate::server::milter::guessing::Settings,
    /// The account sources.
    pub account: Settings,
    /// The file of the known accounts.
    pub known_file: Option<PathBuf>,
    /// The maps, databases and listeners.
    pub tables: Tables,
    /// The listeners for the policy protocol.
    pub policies: Vec<PolicySettings>,
    /// Greylisting, if it is enabled.
    pub greylist: Option<GreylistSettings>,
    /// The texts of its replies, and of those of the policy protocol.
    pub policy_replies: Replies,
    /// The statistics.
    pub statistics: Statistics,
    /// Addresses of the metrics server.
    pub metrics: Vec<Endpoint>,
    /// The control socket.
    pub control: Control,
    /// Level and target of the log.
    pub log: Log,
    /// All files that were read: a change in one causes a reload.
    pub files: Vec<PathBuf>,
    /// Warnings and notes.
    pub problems: Vec<Problem>,
    /// Where its sources, databases and maps are in the file.
    pub places: Places,
}

impl Config {
    /// Returns a copy without rules, script and lists: the part that [`needs_restart`] compares, cheap to
    /// keep.
    #[must_use]
    pub fn without_content(&self) -> Config {
        let tables = Tables { lists: std::collections::HashMap::new(), ..self.tables.clone() };
        let greylist = self.greylist.as_ref().map(GreylistSettings::without_content);
        Config { rules: Arc::default(), script: None, other_case: None, tables, greylist, ..self.clone() }
    }
}

/// Remedy if there is no configuration file.
const BEGIN: &str = "name another file with -c; start from milter.conf.sample, or try rcptd demo";

/// Reads the configuration file at `path` and the files it names.
///
/// The error lists all problems, at least one of which is an error.
pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
    load::read(path).map(|(config, _)| config)
}

/// Returns the configuration at `path` and all files that it names, even if it is invalid: a change of any
/// of them, also of one that does not exist yet, may fix it.
pub fn files_named(path: &Path) -> Vec<PathBuf> {
    let mut named = vec![path.to_owned()];
    match (load(path), files::configuration(path, &mut Vec::new())) {
        (Ok(config), _) => return config.files,
        (Err(_), Err(_)) => (),
        (Err(_), Ok(document)) => {
            let raw = read::read(&document.text).raw;
            let mut check = Check::names(&document);
            let folder = path.parent().unwrap_or(Path::new(""));
            check.rules(&raw.rules, folder, &mut named);
            check.secrets(&raw.secrets, folder, &mut named);
            check.script(&raw.script, folder, &mut named);
            check.tables(&raw, folder, true, &mut named);
            named.extend(raw.account.certificates(folder));
        }
    }
    named
}

/// Returns the readable rules files that the configuration at `path` names. Their contents are checked by
/// [`load`].
pub fn rules_of(path: &Path) -> Vec<Text> {
    let Ok(document) = files::configuration(path, &mut Vec::new()) else { return Vec::new() };
    let raw = read::read(&document.text).raw;
    let mut check = Check::names(&document);
    check.rules(&raw.rules, path.parent().unwrap_or(Path::new("")), &mut vec![path.to_owned()])
}

/// Returns the control socket that the configuration at `path` names, even if the rest of it is invalid:
/// the daemon must be reachable to report why it rejected a file. Fails if the file cannot be read.
pub fn control_of(path: &Path) -> Result<Option<PathBuf>, Vec<Problem>> {
    let document =
        files::configuration(path, &mut Vec::new()).map_err(|wrong| vec![unreadable(path, wrong)])?;
    let raw = read::read(&document.text).raw;
    let mut check = Check::names(&document);
    Ok(check.control(&raw.control).path)
}

/// Returns the problem of a configuration file that cannot be read.
fn unreadable(path: &Path, (why, help): (String, String)) -> Problem {
    let text = Text::new(&path.display().to_string(), "");
    let missing = matches!(path.try_exists(), Ok(false));
    let help = if missing { format!("{help}; {BEGIN}") } else { help };
    Problem::error(&text, 0..0, format!("the configuration cannot be read: {why}")).help(help)
}

/// Returns the keys whose values differ from `running`, the configuration at the start, and that a reload
/// cannot apply: sockets are open, threads run, the log is set up.
pub fn needs_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&running.milter, &new.milter);
    // A reload applies the other settings to open connections, too: the maps and their contents.
    let (old, s, t) = (running, &running.tables, &new.tables);
    // A store that was not open at the start can be opened.
    let greylists = old.greylist.as_ref().zip(new.greylist.as_ref());
    [
        ("workers", old.workers != new.workers),
        ("account.cache.file", old.known_file != new.known_file),
        ("milter.listen", a.listen != b.listen),
        ("milter.socket_mode", a.socket_mode != b.socket_mode),
        ("milter.socket_group", a.socket_group != b.socket_group),
        ("milter.max_connections", a.max_connections != b.max_connections),
        ("milter.idle_timeout", a.idle_timeout != b.idle_timeout),
        ("tcp_table", s.tcp_tables != t.tcp_tables),
        ("socketmap", s.socketmaps != t.socketmaps),
        ("policy", old.policies != new.policies),
        ("greylist.store", greylists.is_some_and(|(a, b)| a.store != b.store)),
        ("greylist.max_entries", greylists.is_some_and(|(a, b)| a.max_entries != b.max_entries)),
        ("statistics.enabled", old.statistics.enabled != new.statistics.enabled),
        ("statistics.log_interval", old.statistics.log_interval != new.statistics.log_interval),
        ("metrics.listen", old.metrics != new.metrics),
        ("control.listen", old.control.path != new.control.path),
        ("control.socket_mode", old.control.socket_mode != new.control.socket_mode),
        ("control.socket_group", old.control.socket_group != new.control.socket_group),
        ("log.target", old.log.target != new.log.target),
        ("log.level", old.log.level != new.log.level),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
