//! Checks `[account]` and converts it to [`crate::account::settings`].

use super::account_source::{Around, Chosen, Keys};
use super::check::Check;
use super::milter::Milter;
use super::raw::{self, Field, Given, Source};
use super::tables::MapSettings;
use super::time;
use crate::account::settings::{CacheSettings, Scoped, Settings, SourceSettings, StartTls};
use crate::account::spec::Spec;
use crate::map::source::SourceSpec;
use mail_address::escape;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most sources in a chain. Each may take its whole deadline, so the last sources of a longer chain would
/// never be used.
pub const MAX_SOURCES: usize = 16;
/// Bounds of the TTLs: a created or deleted account must be noticed eventually.
const CACHE_TTL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(7 * 24);
/// Bounds of the cache size; an entry takes some 200 bytes.
const ENTRIES: RangeInclusive<u64> = 0..=10_000_000;
impl Check<'_> {
    /// Checks the whole section. Files are relative to `folder`. `milter` and the key of its deadline are
    /// used to check the deadlines of the sources. A source is required if recipients at `domains` are
    /// resolved (`needed`).
    pub fn account(
        &mut self,
        raw: &raw::Account,
        folder: &Path,
        milter: (&Milter, &Field<Duration>),
        (domains, needed): (&[String], bool),
    ) -> Settings {
        let sources = self.sources(raw, Around { folder, domains }, needed);
        self.deadlines(raw, &sources, milter);
        Settings { sources, cache: self.cache(&raw.cache) }
    }

    fn sources(&mut self, raw: &raw::Account, around: Around<'_>, needed: bool) -> Vec<SourceSettings> {
        const HELP: &str = "write source = \"vrfy:HOST:PORT\" below [account] to ask a mail server, or \
                            \"static:exists\" to treat every account as existing";
        let sections = Keys::of_sections(raw);
        // The settings of the sections, which apply to every source.
        let common = self.source_settings(&Chosen::default(), &sections, around);
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
            let mut chosen = common.clone();
            if kind == "passwd" {
                // The witness of the section is an account of a mail server.
                chosen.witness = Scoped::default();
            }
            if let Some(table) = table {
                let keys = Keys::of_table(table);
                chosen = self.source_settings(&chosen, &keys, around);
                self.without_effect(kind, &keys);
                if chosen.vrfy.starttls == StartTls::Never && kind == "vrfy" {
                    self.without_tls(&keys);
                }
            }
            let Some(spec) = spec else { continue };
            let source = chosen.of(spec);
            if sources.iter().any(|known| known.spec == source.spec) {
                self.error_in(given, item.span(), "account.source lists this twice", "remove one of them");
            }
            sources.push(source);
        }
        if common.vrfy.starttls == StartTls::Never
            && sources.iter().all(|source| source.vrfy.starttls == StartTls::Never)
        {
            self.without_tls(&sections);
        }
        sources
    }

    /// A source `map:NAME` needs a map of this name that does not ask the accounts in turn.
    pub fn account_maps(&mut self, raw: &raw::Account, maps: &[MapSettings], complete: bool) {
        let Some(given) = raw.source.given() else { return };
        let names: Vec<Arc<str>> = maps.iter().map(|map| map.name.clone()).collect();
        for item in &given.value.items {
            let Some(name) = item.get_ref().text().and_then(|text| text.trim().strip_prefix("map:")) else {
                continue;
            };
            if name.is_empty() {
                continue;
            }
            self.map_name(given, item.span(), name, &names, complete);
            if asks_resolver(maps, name) {
                let message = format!("account.source: the map {} looks up accounts itself", escape(name));
                let help = "a map with resolver: in its sources does not know which accounts exist: name a \
                            map with values of its own";
                self.error_in(given, item.span(), message, help);
            }
        }
    }

    /// The source a table is about.
    fn named<T>(&mut self, table: &raw::SourceTable, list: &Given<T>, span: Range<usize>) -> Option<Spec> {
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

    /// Warns of sources whose result would arrive after the milter has replied.
    fn deadlines(
        &mut self,
        raw: &raw::Account,
        sources: &[SourceSettings],
        (milter, field): (&Milter, &Field<Duration>),
    ) {
        // The last source of a chain is used when all others have taken their whole time.
        let before: Duration = sources.iter().rev().skip(1).map(|source| source.deadline).sum();
        let longest = sources.iter().map(|source| source.deadline).max().unwrap_or_default();
        let all: Duration = sources.iter().map(|source| source.deadline).sum();
        let accepts = sources.iter().any(|source| source.accept_tempfail);
        let (message, help) = if longest >= milter.deadline {
            (
                format!(
                    "the deadline of a source is {}, that of the milter only {}",
                    time::show(longest),
                    time::show(milter.deadline)
                ),
                "make account.deadline shorter than milter.deadline, so that the log names the source that \
                 was late",
            )
        } else if accepts && all >= milter.deadline {
            // The chain accepts only after the last source has taken its whole time.
            (
                format!(
                    "the sources may take up to {} in total, but the milter replies \"try later\" after {}, \
                     regardless of account.tempfail_action",
                    time::show(all),
                    time::show(milter.deadline)
                ),
                "keep the sum of the deadlines of all sources below milter.deadline",
            )
        } else if before >= milter.deadline {
            (
                format!(
                    "the last source may not be asked until {} have passed, but the milter replies after {}",
                    time::show(before),
                    time::show(milter.deadline)
                ),
                "keep the sum of the deadlines of all sources but the last below milter.deadline",
            )
        } else {
            return;
        };
        match (raw.deadline.given(), field.given(), raw.source.given()) {
            (Some(at), ..) | (None, Some(at), _) => self.warning(at, message, help),
            (None, None, Some(at)) => self.warning(at, message, help),
            (None, None, None) => {}
        }
    }

    fn cache(&mut self, raw: &raw::Cache) -> CacheSettings {
        let default = CacheSettings::default();
        CacheSettings {
            positive_ttl: self.time(&raw.positive_ttl, default.positive_ttl, &CACHE_TTL),
            negative_ttl: self.time(&raw.negative_ttl, default.negative_ttl, &CACHE_TTL),
            entries: self.number(&raw.entries, default.entries, &ENTRIES),
        }
    }
}

/// Whether a map asks the resolver, by itself or by one of the maps that it names.
fn asks_resolver(maps: &[MapSettings], name: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = next.pop() {
        let Some(map) = maps.iter().find(|map| *map.name == *name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        let mut asks = false;
        for source in &map.sources {
            source.walk(&mut |part| match part {
                SourceSpec::Resolver(_) => asks = true,
                SourceSpec::Map(other) => next.push(other.clone()),
                _ => (),
            });
        }
        if asks {
            return true;
        }
    }
    false
}
