//! Checks `[account]` and converts it to [`crate::account::settings`].

use super::account_source::{Around, Chosen, Keys};
use super::check::{Check, text};
use super::files::{self, in_existing_folder};
use super::keys::{self, SourceTable};
use super::time;
use super::value::{Field, Given, List, Source};
use crate::account::settings::{
    CacheSettings, Combine, OnTempFail, Scoped, Settings, SourceSettings, StartTls,
};
use crate::account::spec::{Spec, asks_mail_server};
use crate::map::settings::{DatabaseSettings, Kind};
use mail_address::escape;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Most sources in a chain. Each may take its whole deadline, so the last sources of a longer chain would
/// never be used.
pub const MAX_SOURCES: usize = 16;
/// Values of `account.combine`.
pub(super) const COMBINE: [(&str, Combine); 2] = [("fallback", Combine::Fallback), ("union", Combine::Union)];
/// Bounds of the TTLs: a created or deleted account must be noticed eventually.
pub(super) const CACHE_TTLS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(7 * 24);
/// Bounds of `account.cache.stale_ttl`: mail to an account that was deleted a month ago is not wanted.
pub(super) const STALE_TTLS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(30 * 24);
/// Default of `account.cache.file`, if its folder exists.
pub(super) const KNOWN_FILE: &str = "/var/lib/rcptd/known-accounts";
/// Bounds of `account.cache.size` in MiB: less than one makes no sense, more than 4 GiB is a mistake.
pub(super) const CACHE_SIZES: RangeInclusive<u64> = 1..=4096;

impl keys::Account {
    /// Whether a source is a map.
    pub fn names_map(&self) -> bool {
        self.entries().filter_map(Source::text).any(|text| text.trim().starts_with("map:"))
    }

    /// The certificate files of all sources, relative to `folder`.
    pub fn certificates(&self, folder: &Path) -> Vec<PathBuf> {
        let own = self.entries().filter_map(|source| match source {
            Source::Table(table) => text(&table.tls_ca),
            Source::Name(_) => None,
        });
        own.chain(text(&self.smtp.tls_ca)).map(|given| folder.join(&given.value)).collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Source> {
        let items = self.source.given().map(|given| &given.value.items[..]).unwrap_or_default();
        items.iter().map(Spanned::get_ref)
    }
}

impl Check<'_> {
    /// Checks the whole section. `milter` and the key of its deadline are used to check the deadlines of the
    /// sources. A source is required if recipients are resolved (`needed`).
    pub fn account(
        &mut self,
        raw: &keys::Account,
        around: Around<'_>,
        time: &AccountTime<'_>,
        needed: bool,
    ) -> Settings {
        let sources = self.sources(raw, around, needed);
        self.deadlines(raw, &sources, time);
        let combine = self.choice(&raw.combine, Combine::default(), &COMBINE);
        let cache = self.cache(&raw.cache);
        Settings { combine, ..Settings::new(sources, cache) }
    }

    /// The file of the known accounts, if there is one.
    pub fn known_file(&mut self, raw: &keys::Account, folder: &Path) -> Option<PathBuf> {
        let given = raw.cache.file.given().filter(|given| given.value != KNOWN_FILE);
        let Some(given) = given else { return in_existing_folder(KNOWN_FILE) };
        if given.value.is_empty() {
            return None;
        }
        let path = folder.join(&given.value);
        if !files::has_folder(&path) {
            let shown = path.display().to_string();
            let message = format!("{}: the folder of {} does not exist", given.key, escape(&shown));
            self.error(given, message, "create it; the user of rcptd must be able to write in it");
        }
        Some(path)
    }

    fn sources(&mut self, raw: &keys::Account, around: Around<'_>, needed: bool) -> Vec<SourceSettings> {
        const HELP: &str = "write source = \"vrfy:HOST:PORT\" below [account] to ask a mail server, or \
                            \"none:\" if the mail server checks recipients itself";
        let sections = Keys::of_sections(raw);
        // The settings of the sections, which apply to every source.
        let common = self.source_settings(&Chosen::default(), &sections, around);
        let dovecot_witness = self.dovecot_witness(&raw.dovecot.witness, around);
        let given = match &raw.source {
            Field::Given(given) => given,
            Field::Absent => {
                if needed {
                    self.missing("account.source", HELP);
                }
                return Vec::new();
            }
            Field::Broken => return Vec::new(),
        };
        if given.value.items.is_empty() && given.value.complete {
            self.error(given, "account.source is empty", HELP);
        }
        if given.value.items.len() > MAX_SOURCES {
            let help = format!("at most {MAX_SOURCES} are allowed");
            self.error(given, "account.source has too many entries", help);
        }
        let mut sources: Vec<SourceSettings> = Vec::new();
        for item in given.value.items.iter().take(MAX_SOURCES) {
            let (spec, table) = match item.get_ref() {
                Source::Name(name) => (self.parsed(given, item.span(), name), None),
                Source::Table(table) => (self.named(table, given, item.span()), Some(table)),
            };
            let kind = spec.as_ref().map_or("vrfy", Spec::kind);
            let mut inherited = common.clone();
            if kind == "dovecot" {
                inherited.witness = dovecot_witness.clone();
            } else if !asks_mail_server(kind) {
                // The witness of the section is an account of a mail server.
                inherited.witness = Scoped::default();
            }
            let chosen = match table {
                Some(table) => self.table_settings(kind, table, &inherited, around),
                None => inherited,
            };
            let Some(spec) = spec else { continue };
            let domains = table.and_then(|table| self.scope(&table.domains, around));
            let source = chosen.of(spec, domains);
            if sources.iter().any(|known| known.spec == source.spec) {
                self.error_in(given, item.span(), "account.source lists this twice", "remove one of them");
            }
            sources.push(source);
        }
        if common.smtp.starttls == StartTls::Never
            && sources.iter().all(|source| source.smtp.starttls == StartTls::Never)
        {
            self.without_tls(&sections);
        }
        self.without_vrfy(raw, &sources);
        self.without_source(given, &sources, around);
        sources
    }

    /// The settings of a source of this kind, with its own table over those of the sections.
    fn table_settings(
        &mut self,
        kind: &str,
        table: &SourceTable,
        inherited: &Chosen,
        around: Around<'_>,
    ) -> Chosen {
        let keys = Keys::of_table(table);
        let chosen = self.source_settings(inherited, &keys, around);
        self.without_effect(kind, &keys);
        if chosen.smtp.starttls == StartTls::Never && asks_mail_server(kind) {
            self.without_tls(&keys);
        }
        chosen
    }

    /// Warns of `code_252` of the section if no mail server is asked with VRFY.
    fn without_vrfy(&mut self, raw: &keys::Account, sources: &[SourceSettings]) {
        let asks = |kind: &str| sources.iter().any(|source| source.spec.kind() == kind);
        if let Some(given) = raw.smtp.code_252.given()
            && !asks("vrfy")
            && (asks("rcpt") || asks("lmtp"))
        {
            let message = format!("{} has no effect: no source asks with VRFY", given.key);
            self.warning(given, message, "leave it out; to RCPT, 252 means the same as 250, see code_250");
        }
    }

    /// The domains of a source; `None` for all.
    fn scope(&mut self, field: &Field<List<String>>, around: Around<'_>) -> Option<BTreeSet<String>> {
        let given = field.given()?;
        if given.value.items.is_empty() && given.value.complete {
            self.error(given, format!("{} is empty", given.key), "leave it out for all domains");
        }
        let ours = around.domains.iter().map(String::as_str).collect();
        let items = given.value.items.iter();
        Some(items.filter_map(|item| self.our_domain(given, item.span(), item.get_ref(), &ours)).collect())
    }

    /// Reports domains whose accounts no source has: all mail to them would be deferred.
    fn without_source<T>(&mut self, list: &Given<T>, sources: &[SourceSettings], around: Around<'_>) {
        let mut scopes = Vec::new();
        for source in sources {
            match &source.domains {
                Some(domains) => scopes.push(domains),
                None => return,
            }
        }
        if scopes.is_empty() {
            return;
        }
        for domain in
            around.domains.iter().filter(|domain| !scopes.iter().any(|scope| scope.contains(*domain)))
        {
            let message = format!("account.source: no source is for {}", escape(domain));
            self.error(list, message, "add it to the domains of a source, or add a source without domains");
        }
    }

    /// The source a table is about.
    fn named<T>(&mut self, table: &keys::SourceTable, list: &Given<T>, span: Range<usize>) -> Option<Spec> {
        match &table.source {
            Field::Given(name) => self.parsed(name, name.span.clone(), &name.value),
            Field::Absent => {
                let help = "write { source = \"vrfy:HOST:PORT\", ... }";
                self.error_in(list, span, "account.source: a table without source", help);
                None
            }
            Field::Broken => None,
        }
    }

    /// Warns of sources that do not have the time to answer.
    fn deadlines(&mut self, raw: &keys::Account, sources: &[SourceSettings], limit: &AccountTime<'_>) {
        let sources = slowest_chain(sources);
        // The last source of a chain is used when all others have taken their whole time.
        let before: Duration = sources.iter().rev().skip(1).map(|source| source.deadline).sum();
        let longest = sources.iter().map(|source| source.deadline).max().unwrap_or_default();
        let all: Duration = sources.iter().map(|source| source.deadline).sum();
        let accepts = sources.iter().any(|source| source.on_tempfail == OnTempFail::Accept);
        let total = limit.total;
        let has =
            format!("rcptd gives all of them together only {} (7/8 of {})", time::show(total), limit.key);
        let (message, help) = if longest >= total {
            (
                format!("the deadline of a source is {}, but {has}", time::show(longest)),
                "make account.deadline shorter than that, so that the log names the source that was late",
            )
        } else if accepts && all >= total {
            // The chain accepts only after the last source has taken its whole time.
            (
                format!(
                    "the sources may take up to {} in total, but {has}: then mail is deferred, regardless of \
                     account.on_tempfail",
                    time::show(all)
                ),
                "keep the sum of the deadlines of all sources below that",
            )
        } else if before >= total {
            (
                format!(
                    "the last source may not be asked until {} have passed, but {has}",
                    time::show(before)
                ),
                "keep the sum of the deadlines of all sources but the last below that",
            )
        } else {
            return;
        };
        match (raw.deadline.given(), limit.given, raw.source.given()) {
            (Some(at), ..) | (None, Some(at), _) => self.warning(at, message, help),
            (None, None, Some(at)) => self.warning(at, message, help),
            (None, None, None) => {}
        }
    }

    fn cache(&mut self, raw: &keys::Cache) -> CacheSettings {
        let default = CacheSettings::default();
        CacheSettings {
            positive_ttl: self.time(&raw.positive_ttl, default.positive_ttl, &CACHE_TTLS),
            negative_ttl: self.time(&raw.negative_ttl, default.negative_ttl, &CACHE_TTLS),
            size: self.number(&raw.size, default.size, &CACHE_SIZES),
            stale_ttl: self.time(&raw.stale_ttl, default.stale_ttl, &STALE_TTLS),
            shared: None,
        }
    }

    /// The name of the database in which accounts are shared. `complete`: all databases could be read.
    pub fn shared(
        &mut self,
        raw: &keys::Cache,
        stale_ttl: Duration,
        databases: &[DatabaseSettings],
        complete: bool,
    ) -> Option<String> {
        let given = raw.shared.given().filter(|given| !given.value.trim().is_empty())?;
        let Some(name) = given.value.trim().strip_prefix("database:") else {
            let message = format!("{} = \"{}\" is not a database", given.key, escape(&given.value));
            self.error(given, message, "write database:NAME, and a section [[database]] with this name");
            return None;
        };
        if stale_ttl.is_zero() {
            let help = "set account.cache.stale_ttl to the time for which accounts are known";
            self.error(given, format!("{} has no effect, since no account stays known", given.key), help);
        }
        self.redis_database(given, name, databases, complete, "accounts").then(|| name.to_owned())
    }

    /// Whether rcptd can keep a state of its own in the database `name`: `what`, for the message. `complete`: all
    /// databases could be read.
    pub(super) fn redis_database(
        &mut self,
        given: &Given<String>,
        name: &str,
        databases: &[DatabaseSettings],
        complete: bool,
        what: &str,
    ) -> bool {
        match databases.iter().find(|database| *database.name == *name) {
            Some(database) if database.kind == Kind::Redis => return true,
            Some(database) => {
                let message = format!("{}: {what} cannot be shared in {}", given.key, database.kind.name());
                self.error(given, message, "name a database of kind \"redis\"");
            }
            None if complete && !self.broken_databases.iter().any(|broken| broken == name) => {
                let help = format!("add a section [[database]] with name = \"{}\"", escape(name));
                self.error(given, format!("{}: there is no database {}", given.key, escape(name)), help);
            }
            None => (),
        }
        false
    }
}

/// The time that all account sources together have.
pub(super) struct AccountTime<'a> {
    /// The key that sets it: the shortest deadline of a listener that waits for them.
    pub key: &'static str,
    /// That key, if it is the milter's and in the file.
    pub given: Option<&'a Given<Duration>>,
    pub total: Duration,
}

/// The sources that are asked for an account of one domain, of the domain for which they take longest.
fn slowest_chain(sources: &[SourceSettings]) -> Vec<&SourceSettings> {
    let scopes = sources.iter().filter_map(|source| source.domains.as_ref()).flatten().map(Some);
    let of = |domain: Option<&String>| -> Vec<&SourceSettings> {
        let is_for = |source: &&SourceSettings| match (&source.domains, domain) {
            (Some(domains), Some(domain)) => domains.contains(domain),
            (Some(_), None) => false,
            (None, _) => true,
        };
        sources.iter().filter(is_for).collect()
    };
    let time = |chain: &Vec<&SourceSettings>| chain.iter().map(|source| source.deadline).sum::<Duration>();
    scopes.chain([None]).map(of).max_by_key(time).unwrap_or_default()
}
