//! `[account]`, checked: it fills [`crate::account::settings`].

use super::check::{Check, text};
use super::files;
use super::milter::Milter;
use super::raw::{self, Field, Given, Source};
use super::time;
use crate::account::settings::{
    CONCURRENCY, CacheSettings, DEADLINE, Settings, SourceSettings, StartTls, Trust, VrfySettings,
};
use crate::account::spec::Spec;
use crate::addr::{MAX_DOMAIN, escape, is_domain};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most sources in a chain: each may cost its whole deadline, so a longer one is never asked to its end.
pub const MAX_SOURCES: usize = 16;
/// Bounds of the deadline of a source; the milter's own is the real one, but `rcptd check` waits for it too.
const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
/// Bounds of the questions to a source at once: each is a connection, of which a server has few.
const CONCURRENCIES: RangeInclusive<usize> = 1..=10_000;
/// Bounds of what is remembered: an account that is long gone or long there must be noticed some day.
const REMEMBERED: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(7 * 24);
/// Bounds of the cache; an entry takes some 200 bytes.
const ENTRIES: RangeInclusive<u64> = 0..=10_000_000;
/// Bounds of VRFYs over one connection.
const PER_CONNECTION: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of idle connections: each takes one of the server's places.
const IDLE_CONNECTIONS: RangeInclusive<usize> = 0..=1000;
/// Bounds of the time a connection is idle.
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// Bounds of the time between two canaries: oftener would be a burden, and later no canary.
const CANARY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Largest file of certificates: all authorities there are take less than one megabyte.
const MAX_CERTIFICATES: u64 = 16 << 20;
/// Words of `account.unknown`.
const UNKNOWN: [(&str, bool); 2] = [("defer", false), ("accept", true)];

/// What stands round a source.
#[derive(Clone, Copy)]
struct Around {
    deadline: Duration,
    concurrency: usize,
    accept_unknown: bool,
}

impl Check<'_> {
    /// The whole section. Files are relative to `folder`; `milter` and the deadline it was given are what
    /// those of the sources have to fit into. There has to be a source if recipients are resolved (`needed`).
    pub fn account(
        &mut self,
        raw: &raw::Account,
        folder: &Path,
        milter: (&Milter, &Field<Duration>),
        needed: bool,
    ) -> Settings {
        let sources = self.sources(raw, needed);
        self.deadlines(raw, &sources, milter);
        Settings { sources, cache: self.cache(&raw.cache), vrfy: self.vrfy(&raw.vrfy, folder) }
    }

    fn sources(&mut self, raw: &raw::Account, needed: bool) -> Vec<SourceSettings> {
        const HELP: &str = "write source = \"vrfy:HOST:PORT\" below [account] to ask a mail server, or \
                            \"static:exists\" to take every account as existing";
        let around = Around { deadline: DEADLINE, concurrency: CONCURRENCY, accept_unknown: false };
        let around = self.around(around, &raw.deadline, &raw.concurrency, &raw.unknown);
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
            let help = format!("at most {MAX_SOURCES} are possible");
            self.error(given, "account.source has too many entries", help);
        }
        let mut sources: Vec<SourceSettings> = Vec::new();
        for item in given.value.items.iter().take(MAX_SOURCES) {
            let (spec, around) = match item.get_ref() {
                Source::Name(name) => (self.parsed(given, item.span(), name), around),
                Source::Table(table) => {
                    let spec = self.named(table, given, item.span());
                    (spec, self.around(around, &table.deadline, &table.concurrency, &table.unknown))
                }
            };
            let Some(spec) = spec else { continue };
            if sources.iter().any(|source| source.spec == spec) {
                self.error_in(given, item.span(), "account.source has this one twice", "remove one of them");
            }
            let Around { deadline, concurrency, accept_unknown } = around;
            sources.push(SourceSettings { spec, deadline, concurrency, accept_unknown });
        }
        sources
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

    fn around(
        &mut self,
        default: Around,
        deadline: &Field<Duration>,
        concurrency: &Field<u64>,
        unknown: &Field<String>,
    ) -> Around {
        Around {
            deadline: self.time(deadline, default.deadline, &DEADLINES),
            concurrency: self.number(concurrency, default.concurrency, &CONCURRENCIES),
            accept_unknown: self.choice(unknown, default.accept_unknown, &UNKNOWN),
        }
    }

    /// Warns of sources whose answer would come after the milter has given its own.
    fn deadlines(
        &mut self,
        raw: &raw::Account,
        sources: &[SourceSettings],
        (milter, field): (&Milter, &Field<Duration>),
    ) {
        // The last of a chain is asked when all others have used up their time.
        let before: Duration = sources.iter().rev().skip(1).map(|source| source.deadline).sum();
        let longest = sources.iter().map(|source| source.deadline).max().unwrap_or_default();
        let all: Duration = sources.iter().map(|source| source.deadline).sum();
        let accepts = sources.iter().any(|source| source.accept_unknown);
        let (message, help) = if longest >= milter.deadline {
            (
                format!(
                    "a source has {} to answer, the milter only {}",
                    time::show(longest),
                    time::show(milter.deadline)
                ),
                "make account.deadline shorter than milter.deadline, so that the log tells which source was late",
            )
        } else if accepts && all >= milter.deadline {
            // The chain accepts only once its last member has been silent for its whole time.
            (
                format!(
                    "the sources have up to {} in all, when the milter has answered \"try later\" after {}, \
                     whatever account.unknown accepts",
                    time::show(all),
                    time::show(milter.deadline)
                ),
                "make the deadlines of all sources shorter than milter.deadline in sum",
            )
        } else if before >= milter.deadline {
            (
                format!(
                    "the last source is asked after up to {}, when the milter has answered after {}",
                    time::show(before),
                    time::show(milter.deadline)
                ),
                "make the deadlines of the sources before the last shorter than milter.deadline in sum",
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
            exists: self.time(&raw.exists, default.exists, &REMEMBERED),
            missing: self.time(&raw.missing, default.missing, &REMEMBERED),
            entries: self.number(&raw.entries, default.entries, &ENTRIES),
        }
    }

    fn vrfy(&mut self, raw: &raw::Vrfy, folder: &Path) -> VrfySettings {
        let default = VrfySettings::default();
        let settings = VrfySettings {
            helo: self.host_name(&raw.helo).unwrap_or(default.helo),
            per_connection: self.number(&raw.per_connection, default.per_connection, &PER_CONNECTION),
            idle_connections: self.number(&raw.idle_connections, default.idle_connections, &IDLE_CONNECTIONS),
            idle_timeout: self.time(&raw.idle_timeout, default.idle_timeout, &IDLE),
            code_250: self.choice(
                &raw.code_250,
                default.code_250,
                &[("exists", Trust::Exists), ("canary", Trust::Canary)],
            ),
            code_252: self.choice(
                &raw.code_252,
                default.code_252,
                &[("canary", Trust::Canary), ("exists", Trust::Exists), ("unknown", Trust::Unknown)],
            ),
            canary_interval: self.time(&raw.canary_interval, default.canary_interval, &CANARY),
            starttls: self.choice(
                &raw.starttls,
                default.starttls,
                &[
                    ("never", StartTls::Never),
                    ("offered", StartTls::Offered),
                    ("required", StartTls::Required),
                ],
            ),
            tls_name: self.host_name(&raw.tls_name),
            tls_ca: self.certificates(&raw.tls_ca, folder),
        };
        if settings.starttls == StartTls::Never {
            for given in [&raw.tls_name, &raw.tls_ca].into_iter().filter_map(text) {
                let help = "write starttls = \"offered\" or \"required\" for an encrypted connection";
                self.warning(given, format!("{} has no effect", given.key), help);
            }
        }
        settings
    }

    /// A file that must be there; what it holds is seen when the connections are set up.
    pub(super) fn certificates(&mut self, field: &Field<String>, folder: &Path) -> Option<PathBuf> {
        let given = text(field)?;
        let path = folder.join(&given.value);
        if let Err((why, help)) = files::read(&path, MAX_CERTIFICATES) {
            let shown = path.display().to_string();
            self.error(given, format!("{}: {} cannot be read: {why}", given.key, escape(&shown)), help);
        }
        Some(path)
    }

    /// A name of a host, or its address in brackets, as EHLO and certificates have it.
    fn host_name(&mut self, field: &Field<String>) -> Option<String> {
        let given = text(field)?;
        if given.value.len() <= MAX_DOMAIN && is_domain(&given.value) {
            return Some(given.value.clone());
        }
        let message = format!("{} = \"{}\" is not a host name", given.key, escape(&given.value));
        self.error(given, message, "write letters, digits, hyphens and dots only, as in mail.example.com");
        None
    }
}
