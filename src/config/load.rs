//! Reads the configuration and the files that it names, in the order in which they depend on each other.

use super::account::AccountTime;
use super::account_source::Around;
use super::check::Check;
use super::greylist::Rest;
use super::listeners::PolicySettings;
use super::milter::Milter;
use super::place::Places;
use super::script::Named;
use super::tables::Tables;
use super::value::Field;
use super::{Config, files, keys, listeners, read as document, script, top, trualias, unreadable};
use crate::account::settings::Settings;
use crate::plugin;
use crate::resolve::Form;
use crate::script::{DEADLINE, Hook};
use crate::server::endpoint::Endpoint;
use crate::server::policy::Purpose;
use alias_rules::{Dialect, Options, Rules, Secrets};
use diagnostics::{Problem, Text, any_error};
use mail_address::{CaseSensitivity, LocalPartPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Reads the configuration like [`super::load`], and also returns the texts of the rules.
pub(super) fn read(path: &Path) -> Result<(Config, Vec<Text>), Vec<Problem>> {
    let mut problems = Vec::new();
    let files::Document { text, trualias } =
        files::configuration(path, &mut problems).map_err(|wrong| vec![unreadable(path, wrong)])?;
    let document = document::read(&text);
    problems.extend(document.problems);
    let (mut raw, doubtful) = (document.raw, document.doubtful);
    let mut check = Check {
        text: &text,
        trualias: trualias.as_ref(),
        problems: Vec::new(),
        complete: doubtful.is_empty(),
        broken_databases: Vec::new(),
    };
    let (config, texts) = checked(path, &mut check, &mut raw, &mut problems);
    let found = check.problems.into_iter();
    problems.extend(
        found.filter(|problem| problem.text.file != text.file || !document::is_doubtful(&doubtful, problem)),
    );
    sort(&mut problems, &text, &texts);
    if any_error(&problems) {
        return Err(problems);
    }
    Ok((Config { problems, ..config }, texts))
}

/// Checks the keys, and reads the files that they name. The configuration is valid if no problem is an error;
/// those of `check` are in the configuration file, the `problems` in other files.
fn checked(
    path: &Path,
    check: &mut Check<'_>,
    raw: &mut keys::Top,
    problems: &mut Vec<Problem>,
) -> (Config, Vec<Text>) {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = vec![path.to_owned()];
    let content = Content::read(check, raw, folder, &mut files, problems);
    let case_sensitive = content.case_sensitive;
    let tables = check.tables(raw, folder, !case_sensitive, &mut files);
    let policies = check.policies(&raw.policy);
    let milter = check.milter(&raw.milter, tables.are_there() || !policies.is_empty());
    // Without domains, a policy listener only greylists.
    let verifies = !policies.is_empty() && !matches!(raw.domains, Field::Absent);
    let resolves = !milter.listen.is_empty() || tables.resolve() || verifies;
    let domains = check.domains(&raw.domains, resolves);
    let (normal, normal_elsewhere) = check.normalise(&raw.normalise, &domains, case_sensitive);
    rules_in_domains(check, raw, &domains, &content);
    let cases = case_sensitivity(&domains, &normal, case_sensitive);
    let (form, other_case) = content.forms(cases.includes(!case_sensitive), &domains, problems);
    let around = Around { folder, domains: &domains };
    let waiting =
        Waiting { milter: &milter, tables: &tables, policies: if verifies { &policies } else { &[] } };
    let account = accounts(check, raw, around, waiting, resolves);
    let known_file = check.known_file(&raw.account, folder);
    files.extend(raw.account.certificates(folder));
    let rest = Rest {
        folder,
        domains: &domains,
        tables: &tables,
        is_served: policies.iter().any(|policy| policy.purpose == Purpose::Mx),
        complete: !matches!((&raw.map, &raw.database), (Field::Broken, _) | (_, Field::Broken)),
    };
    let greylist = check.greylist(&raw.greylist, rest, &mut files);
    let delay = greylist.as_ref().map_or(0, |greylist| greylist.settings.times.delay);
    let policy_replies = check.policy_replies(&raw.greylist, &milter.reject_reply, delay);
    listeners::places_taken_twice(check, raw, &milter.listen);
    let metrics = raw.metrics.listen.given().map(|given| check.endpoints(given)).unwrap_or_default();
    let others: Vec<&Endpoint> =
        tables.tcp_tables.iter().flat_map(|table| &table.listen).chain(&metrics).collect();
    check.without_sockets(&raw.milter, &milter, &others);
    let config = Config {
        path: path.to_owned(),
        origin: check.origin(&raw.origin, &domains),
        domains,
        names_domain: content.names_domain,
        rules: form.rules,
        script: form.hook,
        plugin: content.plugin(account.total_deadline),
        other_case,
        case_sensitive,
        cases,
        normal,
        normal_elsewhere,
        guessable: check.guessable(&raw.guessable),
        secrets: content.secrets,
        dry_run: dry_run(check, raw, &tables),
        watch: raw.watch.given().map_or(top::WATCH, |given| given.value),
        workers: check.workers(&raw.workers),
        guessing: check.guessing(&raw.guessing, !milter.listen.is_empty()),
        milter,
        policies,
        greylist,
        policy_replies,
        account,
        known_file,
        tables,
        statistics: check.statistics(&raw.statistics),
        metrics,
        control: check.control(&raw.control),
        log: check.log(&raw.log),
        files,
        problems: Vec::new(),
        places: Places::new(check.text, raw),
    };
    (config, content.texts)
}

/// Warns of rules that do not work in the domains as they are configured.
fn rules_in_domains(check: &mut Check<'_>, raw: &keys::Top, domains: &[String], content: &Content) {
    check.foreign_rules(&raw.domains, domains, &content.rules);
    check.removed_from_rules(&raw.normalise, &content.rules);
    check.unprotected_rules(&raw.normalise, domains, content.case_sensitive, &content.rules);
}

/// The listeners that wait for the account sources.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    milter: &'a Milter,
    tables: &'a Tables,
    policies: &'a [PolicySettings],
}

/// The settings of the account sources. `needed`: a recipient is resolved with them.
fn accounts(
    check: &mut Check<'_>,
    raw: &keys::Top,
    around: Around<'_>,
    waiting: Waiting<'_>,
    needed: bool,
) -> Settings {
    let tables = waiting.tables;
    let time = account_time(waiting, &raw.milter.deadline);
    let mut account = check.account(&raw.account, around, &time, needed);
    account.total_deadline = time.total;
    check.without_delimiters(&raw.normalise, &raw.account.source, &account.sources);
    check.account_maps(&raw.account, &tables.maps, !matches!(raw.map, Field::Broken));
    check.map_witnesses(&raw.account, &account.sources, &tables.maps, around.domains);
    let complete = !matches!(raw.database, Field::Broken);
    let stale_ttl = account.cache.stale_ttl;
    account.cache.shared = check.shared(&raw.account.cache, stale_ttl, &tables.databases, complete);
    account
}

/// The time for all account sources: shorter than that of each listener that waits for them, so that the answer for
/// a known account arrives in time.
fn account_time<'a>(waiting: Waiting<'_>, milter_deadline: &'a Field<Duration>) -> AccountTime<'a> {
    let Waiting { milter, tables, policies } = waiting;
    let of_milter = (!milter.listen.is_empty()).then_some(("milter.deadline", milter.deadline));
    let of_tables = tables.tcp_tables.iter().filter(|table| tables.resolves(&table.map));
    let of_tables = of_tables.map(|table| ("tcp_table.deadline", table.served.deadline));
    let of_socketmaps = tables.socketmaps.iter().filter(|socketmap| match &socketmap.maps {
        Some(maps) => maps.iter().any(|map| tables.resolves(map)),
        None => tables.resolve(),
    });
    let of_socketmaps = of_socketmaps.map(|socketmap| ("socketmap.deadline", socketmap.served.deadline));
    let of_policies = policies.iter().map(|policy| ("policy.deadline", policy.served.deadline));
    let all = of_milter.into_iter().chain(of_tables).chain(of_socketmaps).chain(of_policies);
    let (key, shortest) =
        all.min_by_key(|(_, deadline)| *deadline).unwrap_or(("milter.deadline", milter.deadline));
    let given = milter_deadline.given().filter(|given| given.key == key);
    AccountTime { key, given, total: shortest * 7 / 8 }
}

/// The files with the alias rules, the secrets and the script, or the plug-in.
struct Content {
    texts: Vec<Text>,
    script: Option<Named>,
    secrets: Secrets,
    case_sensitive: bool,
    debug_account: Option<String>,
    rules: Arc<Rules>,
    names_domain: bool,
}

impl Content {
    /// Reads them. A statement in the rules may set keys of `raw` that are not set.
    fn read(
        check: &mut Check<'_>,
        raw: &mut keys::Top,
        folder: &Path,
        files: &mut Vec<PathBuf>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let texts = check.rules(&raw.rules, folder, files);
        let case_sensitive = raw.case_sensitive.given().is_some_and(|given| given.value);
        let secrets = check.secrets(&raw.secrets, folder, files);
        let script = check.script(&raw.script, folder, files);
        let mut content = Content {
            texts,
            script,
            secrets,
            case_sensitive,
            debug_account: None,
            rules: Arc::default(),
            names_domain: true,
        };
        let mut rules = Rules::default();
        match alias_rules::load(&content.texts, &options(case_sensitive, &content.secrets)) {
            Ok(loaded) => {
                problems.extend(loaded.problems);
                content.names_domain = !trualias::fill(raw, &loaded.settings, check.trualias, problems);
                rules = loaded.rules;
            }
            Err(wrong) => {
                problems.extend(wrong);
                // A key that a statement in the unread rest may set is not missing.
                check.complete &= !content.texts.iter().any(trualias::may_set_required_key);
            }
        }
        content.debug_account = check.debug_account(&raw.debug_account);
        content.rules = content.with_debug_account(rules);
        content
    }

    fn with_debug_account(&self, rules: Rules) -> Arc<Rules> {
        Arc::new(if self.debug_account.is_some() {
            rules.with_debug_account(self.debug_account.clone())
        } else {
            rules
        })
    }

    /// The rules with their script, and both for the other case sensitivity, if a domain has it.
    fn forms(
        &self,
        other_case: bool,
        domains: &[String],
        problems: &mut Vec<Problem>,
    ) -> (Form, Option<Form>) {
        let other_case = other_case.then(|| self.other_rules(problems));
        let text = match &self.script {
            Some(Named::Script(text)) => Some(text),
            Some(Named::Plugin(..)) | None => None,
        };
        let mut form = |rules: Arc<Rules>| Form {
            hook: script::load(text, &rules, domains, problems).map(Hook::Script),
            rules,
        };
        (form(self.rules.clone()), other_case.map(form))
    }

    /// The plug-in. Its deadline is shorter than that of each listener, so that the log names what was late.
    fn plugin(&self, longest: Duration) -> Option<plugin::Settings> {
        let Some(Named::Plugin(name, target)) = &self.script else { return None };
        Some(plugin::Settings { name: name.clone(), target: target.clone(), deadline: DEADLINE.min(longest) })
    }

    /// Loads the rules with the other case sensitivity. Problems that were already reported are not repeated.
    fn other_rules(&self, problems: &mut Vec<Problem>) -> Arc<Rules> {
        let (rules, found) =
            match alias_rules::load(&self.texts, &options(!self.case_sensitive, &self.secrets)) {
                Ok(loaded) => (loaded.rules, loaded.problems),
                Err(wrong) => (Rules::default(), wrong),
            };
        for problem in found {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        self.with_debug_account(rules)
    }
}

/// Returns the options for reading the rules.
pub(super) fn options(case_sensitive: bool, secrets: &Secrets) -> Options {
    Options { fold: !case_sensitive, dialect: Dialect::Any, secrets: secrets.clone() }
}

fn case_sensitivity(
    domains: &[String],
    policies: &BTreeMap<String, LocalPartPolicy>,
    default: bool,
) -> CaseSensitivity {
    let of = |domain| policies.get(domain).map_or(default, |policy: &LocalPartPolicy| policy.case_sensitive);
    CaseSensitivity::new(domains.iter().map(|domain| (&**domain, of(domain))), default)
}

fn dry_run(check: &mut Check<'_>, raw: &keys::Top, tables: &Tables) -> bool {
    let Some(given) = raw.dry_run.given().filter(|given| given.value) else { return false };
    if tables.resolve() {
        let help = "let the mail server use the maps only where their answers may take effect";
        check.warning(given, "dry_run applies to the milter only: maps are still served", help);
    }
    true
}

/// Sorts problems in reading order: this file, then the rules, then other files, each from beginning to
/// end.
pub(super) fn sort(problems: &mut [Problem], text: &Text, rules: &[Text]) {
    problems.sort_by_cached_key(|problem| {
        let file = std::iter::once(text).chain(rules).position(|text| text.file == problem.text.file);
        (file.unwrap_or(usize::MAX), problem.span.start)
    });
}
