//! Settings of one account source: those of `[account]` and `[account.smtp]`, overridden by the source's
//! own table.

use super::check::{Check, text};
use super::files;
use super::keys;
use super::value::{ByDomain, Field, Given, WitnessName};
use crate::account::settings::{
    CONCURRENCY, DEADLINE, DovecotSettings, MAX_SERVICE, OnTempFail, Scoped, SmtpSettings, SourceSettings,
    StartTls, Trust, Witness,
};
use crate::account::spec::{Spec, asks_mail_server, may_have_witness};
use crate::lookup::control::INTERVAL;
use mail_address::{MAX_DOMAIN, MAX_LOCAL_PART, escape, is_domain};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bounds of the deadline of a source. The milter's deadline limits it, but `rcptd check` waits for it,
/// too.
pub(super) const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
/// Bounds of concurrent lookups in a source: each needs a connection, and servers limit those.
pub(super) const CONCURRENCIES: RangeInclusive<usize> = 1..=10_000;
/// Bounds of the time for which a control is valid: a shorter one would burden the server, a longer one
/// would not notice a loss.
pub(super) const CONTROL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Bounds of questions in one connection.
pub(super) const PER_CONNECTION: RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of idle connections: each counts in the connection limit of the server.
pub(super) const IDLE_CONNECTIONS: RangeInclusive<usize> = 0..=1000;
/// Bounds of the time for which a connection is idle.
pub(super) const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// Default witness of mail servers, in the canonical spelling: RFC 5321, section 4.5.1 requires it in every
/// domain.
pub(super) const POSTMASTER: &str = "postmaster";
/// Largest certificate file: the certificates of all public authorities take less than one megabyte.
const MAX_CERTIFICATES: u64 = 16 << 20;
/// Values of `account.on_tempfail`.
pub(super) const ON_TEMPFAIL: [(&str, OnTempFail); 3] =
    [("next", OnTempFail::Next), ("defer", OnTempFail::Defer), ("accept", OnTempFail::Accept)];
/// Values of `code_250`.
pub(super) const CODE_250: [(&str, Trust); 2] = [("canary", Trust::Canary), ("exists", Trust::Exists)];
/// Values of `code_252`.
pub(super) const CODE_252: [(&str, Trust); 3] =
    [("canary", Trust::Canary), ("exists", Trust::Exists), ("tempfail", Trust::TempFail)];
/// Values of `starttls`.
pub(super) const STARTTLS: [(&str, StartTls); 3] =
    [("never", StartTls::Never), ("offered", StartTls::Offered), ("required", StartTls::Required)];

/// Keys of a source, from the sections or from its own table.
pub(super) struct Keys<'a> {
    deadline: &'a Field<Duration>,
    concurrency: &'a Field<u64>,
    on_tempfail: &'a Field<String>,
    control_interval: &'a Field<Duration>,
    witness: &'a Field<ByDomain<WitnessName>>,
    helo: &'a Field<String>,
    per_connection: &'a Field<u64>,
    idle_connections: &'a Field<u64>,
    idle_timeout: &'a Field<Duration>,
    code_250: &'a Field<ByDomain<String>>,
    code_252: &'a Field<ByDomain<String>>,
    starttls: &'a Field<String>,
    tls_name: &'a Field<String>,
    tls_ca: &'a Field<String>,
    service: &'a Field<String>,
}

macro_rules! keys {
    ($of:expr, $smtp:expr, $dovecot:expr) => {
        Keys {
            deadline: &$of.deadline,
            concurrency: &$of.concurrency,
            on_tempfail: &$of.on_tempfail,
            control_interval: &$of.control_interval,
            witness: &$smtp.witness,
            helo: &$smtp.helo,
            per_connection: &$smtp.per_connection,
            idle_connections: &$smtp.idle_connections,
            idle_timeout: &$smtp.idle_timeout,
            code_250: &$smtp.code_250,
            code_252: &$smtp.code_252,
            starttls: &$smtp.starttls,
            tls_name: &$smtp.tls_name,
            tls_ca: &$smtp.tls_ca,
            service: &$dovecot.service,
        }
    };
}

impl<'a> Keys<'a> {
    /// Takes the keys of the sections.
    pub fn of_sections(raw: &'a keys::Account) -> Self {
        keys!(raw, raw.smtp, raw.dovecot)
    }

    /// Takes the keys of a source's own table.
    pub fn of_table(table: &'a keys::SourceTable) -> Self {
        keys!(table, table, table)
    }
}

/// Settings of a source, without the source itself.
#[derive(Clone)]
pub(super) struct Chosen {
    deadline: Duration,
    concurrency: usize,
    on_tempfail: OnTempFail,
    control_interval: Duration,
    pub witness: Scoped<Witness>,
    pub smtp: SmtpSettings,
    dovecot: DovecotSettings,
}

impl Default for Chosen {
    fn default() -> Self {
        Chosen {
            deadline: DEADLINE,
            concurrency: CONCURRENCY,
            on_tempfail: OnTempFail::default(),
            control_interval: INTERVAL,
            witness: Witness::Account(POSTMASTER.into()).into(),
            smtp: SmtpSettings::default(),
            dovecot: DovecotSettings::default(),
        }
    }
}

impl Chosen {
    /// Converts the settings to those of the source `spec` for these domains.
    pub fn of(self, spec: Spec, domains: Option<BTreeSet<String>>) -> SourceSettings {
        let Chosen { deadline, concurrency, on_tempfail, control_interval, witness, smtp, dovecot } = self;
        SourceSettings {
            spec,
            deadline,
            concurrency,
            domains,
            on_tempfail,
            control_interval,
            witness,
            smtp,
            dovecot,
        }
    }
}

/// Context for checking the values of keys.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Files are relative to this folder.
    pub folder: &'a Path,
    /// The domains whose recipients are resolved.
    pub domains: &'a [String],
}

impl Check<'_> {
    /// Returns the settings in `keys`, with those of `default` for absent keys.
    pub(super) fn source_settings(
        &mut self,
        default: &Chosen,
        keys: &Keys<'_>,
        around: Around<'_>,
    ) -> Chosen {
        Chosen {
            deadline: self.time(keys.deadline, default.deadline, &DEADLINES),
            concurrency: self.number(keys.concurrency, default.concurrency, &CONCURRENCIES),
            on_tempfail: self.choice(keys.on_tempfail, default.on_tempfail, &ON_TEMPFAIL),
            control_interval: self.time(keys.control_interval, default.control_interval, &CONTROL),
            witness: self.by_domain(keys.witness, &default.witness, around.domains, Self::witness),
            smtp: self.smtp(&default.smtp, keys, around),
            dovecot: self.dovecot(&default.dovecot, keys),
        }
    }

    /// Warns of keys in the table of a source that have no effect on it.
    pub(super) fn without_effect(&mut self, kind: &str, keys: &Keys<'_>) {
        let mut others: Vec<Given<()>> = Vec::new();
        if kind != "vrfy" {
            // To RCPT, 252 means the same as 250.
            others.extend(keys.code_252.place());
        }
        if !asks_mail_server(kind) {
            others.extend(
                [keys.helo, keys.starttls, keys.tls_name, keys.tls_ca].into_iter().filter_map(Field::place),
            );
            others.extend([keys.per_connection, keys.idle_connections].into_iter().filter_map(Field::place));
            others.extend(keys.code_250.place());
            others.extend(keys.idle_timeout.place());
        }
        if kind != "dovecot" {
            others.extend(keys.service.place());
        }
        if !may_have_witness(kind) {
            others.extend(keys.witness.place());
            others.extend(keys.control_interval.place());
        }
        for given in others {
            let message = format!("{} has no effect on {kind}:", given.key);
            self.warning(&given, message, "leave it out");
        }
    }

    /// Checks a value for each domain with `read`. A value in the file replaces all of `default`.
    fn by_domain<T, R: Clone>(
        &mut self,
        field: &Field<ByDomain<T>>,
        default: &Scoped<R>,
        domains: &[String],
        read: impl Fn(&mut Self, &Given<ByDomain<T>>, Range<usize>, &T) -> Option<R>,
    ) -> Scoped<R>
    where
        Scoped<R>: Default,
    {
        let Some(given) = field.given() else { return default.clone() };
        let ours: HashSet<&str> = domains.iter().map(String::as_str).collect();
        let mut scoped = Scoped { default: Scoped::<R>::default().default, domains: BTreeMap::new() };
        if let Some(choice) = &given.value.default {
            scoped.default =
                read(self, given, choice.span(), choice.get_ref()).unwrap_or_else(|| default.default.clone());
        }
        for (name, choice) in &given.value.domains {
            let choice = read(self, given, choice.span(), choice.get_ref());
            let Some(domain) = self.our_domain(given, name.span(), name.get_ref(), &ours) else { continue };
            if scoped.domains.contains_key(&domain) {
                let message = format!("{}: {} is listed twice", given.key, escape(name.get_ref()));
                self.error_in(given, name.span(), message, "name each domain once");
            }
            if let Some(choice) = choice {
                scoped.domains.insert(domain, choice);
            }
        }
        scoped
    }

    /// The witness of the section for `dovecot:` sources, which may be empty.
    pub(super) fn dovecot_witness(
        &mut self,
        field: &Field<ByDomain<WitnessName>>,
        around: Around<'_>,
    ) -> Scoped<Witness> {
        self.by_domain(field, &Scoped::default(), around.domains, |check, at, span, name| match name {
            WitnessName::Account(name) if name.is_empty() => Some(Witness::Default),
            name => check.witness(at, span, name),
        })
    }

    fn witness<T>(&mut self, at: &Given<T>, span: Range<usize>, name: &WitnessName) -> Option<Witness> {
        let WitnessName::Account(name) = name else { return Some(Witness::Off) };
        // A name that needs no quotes, since every server can find such an account.
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        let good = name.split('.').all(|part| !part.is_empty() && part.chars().all(plain));
        if good && name.len() <= MAX_LOCAL_PART {
            return Some(Witness::Account(name.clone()));
        }
        let message = format!("{} = \"{}\" is not the name of an account", at.key, escape(name));
        // A server that finds an account of one domain may have lost those of another.
        let help = "write the name alone, such as \"postmaster\", which is looked up at each domain; other \
                    names for single domains as { default = \"postmaster\", \"example.com\" = \"info\" }; or \
                    false for none";
        self.error_in(at, span, message, help);
        None
    }

    fn smtp(&mut self, default: &SmtpSettings, keys: &Keys<'_>, around: Around<'_>) -> SmtpSettings {
        let starttls = self.choice(keys.starttls, default.starttls, &STARTTLS);
        let trust = |words: &'static [(&'static str, Trust)]| {
            move |check: &mut Self, at: &Given<ByDomain<String>>, span: Range<usize>, word: &String| {
                check.word(at, span, word, words)
            }
        };
        SmtpSettings {
            helo: self.host_name(keys.helo).unwrap_or_else(|| default.helo.clone()),
            per_connection: self.number(keys.per_connection, default.per_connection, &PER_CONNECTION),
            idle_connections: self.number(keys.idle_connections, default.idle_connections, &IDLE_CONNECTIONS),
            idle_timeout: self.time(keys.idle_timeout, default.idle_timeout, &IDLE),
            code_250: self.by_domain(keys.code_250, &default.code_250, around.domains, trust(&CODE_250)),
            code_252: self.by_domain(keys.code_252, &default.code_252, around.domains, trust(&CODE_252)),
            starttls,
            tls_name: self.host_name(keys.tls_name).or_else(|| default.tls_name.clone()),
            tls_ca: self.certificates(keys.tls_ca, around.folder).or_else(|| default.tls_ca.clone()),
        }
    }

    fn dovecot(&mut self, default: &DovecotSettings, keys: &Keys<'_>) -> DovecotSettings {
        let Some(given) = keys.service.given() else { return default.clone() };
        let service = &given.value;
        // Tabs separate the fields of a request.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if (1..=MAX_SERVICE).contains(&service.len()) && service.bytes().all(plain) {
            return DovecotSettings { service: service.clone() };
        }
        let message =
            format!("{} = \"{}\" is not the name of a service of Dovecot", given.key, escape(service));
        self.error(given, message, "write \"lmtp\", or \"lda\" if dovecot-lda delivers mail");
        default.clone()
    }

    /// Warns of `tls_name` and `tls_ca` if connections are not encrypted.
    pub(super) fn without_tls(&mut self, keys: &Keys<'_>) {
        for given in [keys.tls_name, keys.tls_ca].into_iter().filter_map(text) {
            let help = "write starttls = \"offered\" or \"required\" for an encrypted connection";
            self.warning(given, format!("{} has no effect", given.key), help);
        }
    }

    /// Checks that a certificate file exists; its contents are checked when the connections are set up.
    pub(super) fn certificates(&mut self, field: &Field<String>, folder: &Path) -> Option<PathBuf> {
        let given = text(field)?;
        let path = folder.join(&given.value);
        if let Err((why, help)) = files::read(&path, MAX_CERTIFICATES) {
            let shown = path.display().to_string();
            self.error(given, format!("{}: {} cannot be read: {why}", given.key, escape(&shown)), help);
        }
        Some(path)
    }

    /// Checks a host name, or an address in brackets, as used in EHLO and in certificates.
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
