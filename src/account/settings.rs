//! Settings of account sources, with all their defaults.

use super::spec::Spec;
use crate::lookup::control;
use foldhash::quality::FixedState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::time::Duration;

/// The sources and their cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The sources in the order in which they are asked.
    pub sources: Vec<SourceSettings>,
    /// How their results are combined.
    pub combine: Combine,
    /// Timeout of a lookup in all of them; after that an account counts as existing if it is known.
    pub total_deadline: Duration,
    /// Identifies the configuration of the maps, if one is a source.
    pub maps: String,
    /// The cache of the combined result.
    pub cache: CacheSettings,
}

impl Settings {
    /// These sources, each for all accounts, with this cache.
    pub fn new(sources: Vec<SourceSettings>, cache: CacheSettings) -> Self {
        Settings {
            sources,
            combine: Combine::default(),
            total_deadline: TOTAL_DEADLINE,
            maps: String::new(),
            cache,
        }
    }

    /// Sets [`Settings::maps`]: another configuration of the maps has another text. It may also change with the
    /// version of rcptd; what is known of the accounts of maps is then forgotten.
    pub fn identify_maps(&mut self, configuration: &impl std::fmt::Debug) {
        let hash = FixedState::default().hash_one(format!("{configuration:?}"));
        self.maps = format!("{hash:016x}");
    }

    /// Whether a source is a map.
    pub fn names_map(&self) -> bool {
        self.sources.iter().any(|source| source.spec.kind() == "map")
    }
}

/// How the results of several sources are combined, see [`super::Chain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// Every source has all accounts: the next one is asked only if those before it fail.
    #[default]
    Fallback,
    /// Each source has some accounts: an account exists if one of them finds it.
    Union,
}

/// What happens after a temporary failure of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTempFail {
    /// The next source is asked; mail is deferred if none finds the account.
    #[default]
    Next,
    /// Mail is deferred at once, and no other source is asked.
    Defer,
    /// The next source is asked; mail is accepted if no source is certain.
    Accept,
}

/// A setting that may differ for some domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scoped<T> {
    /// The value for all other domains.
    pub default: T,
    /// The value by domain, in lower case.
    pub domains: BTreeMap<String, T>,
}

impl<T> Scoped<T> {
    /// The value for a domain.
    pub fn of(&self, domain: &str) -> &T {
        self.domains.get(domain).unwrap_or(&self.default)
    }
}

impl<T> From<T> for Scoped<T> {
    fn from(default: T) -> Self {
        Scoped { default, domains: BTreeMap::new() }
    }
}

/// An account that certainly exists. The source must find it before its "not found" for other accounts
/// counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Witness {
    /// The default of the source: `postmaster` at the domain of the account for a mail server, `root` for
    /// `passwd:`, the last account found in the domain for `dovecot:`, none for `map:`, `exec:` and `unix:`.
    #[default]
    Default,
    /// This local part at the domain of the account.
    Account(String),
    /// No witness: every "not found" counts. If the server has lost its table of users, all mail is rejected.
    Off,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Type and arguments of the source.
    pub spec: Spec,
    /// Timeout of a lookup; after that it is a temporary failure.
    pub deadline: Duration,
    /// Maximum number of concurrent lookups. Others wait, within their timeout.
    pub concurrency: usize,
    /// The domains whose accounts it has, in lower case; `None` for all.
    pub domains: Option<BTreeSet<String>>,
    /// What happens after a temporary failure.
    pub on_tempfail: OnTempFail,
    /// How long a witness or a canary is valid for its server (see [`crate::lookup::control`]). It is also the
    /// maximum TTL of results that depend on it, and the maximum age of a connection.
    pub control_interval: Duration,
    /// The witness, by domain.
    pub witness: Scoped<Witness>,
    /// Settings of a mail server.
    pub smtp: SmtpSettings,
    /// Settings of a `dovecot:` source.
    pub dovecot: DovecotSettings,
}

/// Default of [`SourceSettings::deadline`]: shorter than the 8 s of the milter, so that the reason is logged.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Default of [`Settings::total_deadline`]: shorter than the 8 s of the milter.
pub const TOTAL_DEADLINE: Duration = Duration::from_secs(7);
/// Default of [`SourceSettings::concurrency`]: below Postfix's limit of 50 connections per client.
pub const CONCURRENCY: usize = 20;

impl SourceSettings {
    /// `spec` with the defaults.
    pub fn new(spec: Spec) -> Self {
        SourceSettings {
            spec,
            deadline: DEADLINE,
            concurrency: CONCURRENCY,
            domains: None,
            on_tempfail: OnTempFail::default(),
            control_interval: control::INTERVAL,
            witness: Scoped::default(),
            smtp: SmtpSettings::default(),
            dovecot: DovecotSettings::default(),
        }
    }
}

/// The cache. Temporary failures are never cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long "exists" is cached; zero disables it. At most [`SourceSettings::control_interval`] if it
    /// depends on a canary.
    pub positive_ttl: Duration,
    /// How long "not found" is cached; zero disables it. At most [`SourceSettings::control_interval`] if it
    /// depends on a witness.
    pub negative_ttl: Duration,
    /// Maximum size of the cached accounts in MiB.
    pub size: u64,
    /// How long an account that was found counts as existing while its source fails; zero: not at all.
    pub stale_ttl: Duration,
    /// The database in which several hosts share the accounts that they have found.
    pub shared: Option<String>,
}

/// Default of [`CacheSettings::positive_ttl`].
pub const POSITIVE_TTL: Duration = Duration::from_hours(1);
/// Default of [`CacheSettings::negative_ttl`]: mail to a new mailbox is rejected until then.
pub const NEGATIVE_TTL: Duration = Duration::from_mins(2);
/// Default of [`CacheSettings::size`]: some 200,000 accounts.
pub const SIZE: u64 = 64;
/// Default of [`CacheSettings::stale_ttl`]: a long weekend passes before an operator repairs the source.
pub const STALE_TTL: Duration = Duration::from_hours(4 * 24);

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            positive_ttl: POSITIVE_TTL,
            negative_ttl: NEGATIVE_TTL,
            size: SIZE,
            stale_ttl: STALE_TTL,
            shared: None,
        }
    }
}

/// The meaning of a positive reply: 250, which a Sendmail whose local mailer lacks the flag `w`, and a server
/// that does not check its recipients, send for every name; or 252 to VRFY ("cannot VRFY user, but will accept
/// message", RFC 5321, section 3.5.3), which many servers send for every name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The account exists, as long as the server rejects a canary in the same domain.
    #[default]
    Canary,
    /// The account exists.
    Exists,
    /// Temporary failure.
    TempFail,
}

/// Whether a connection is encrypted with STARTTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Never, for a server on this host.
    #[default]
    Never,
    /// If the server offers it. Its certificate is checked.
    Offered,
    /// Always. A server without STARTTLS is a temporary failure.
    Required,
}

/// Settings of `vrfy:`, `rcpt:` and `lmtp:` sources, which ask a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpSettings {
    /// The name in EHLO and LHLO; if empty, that of this host.
    pub helo: String,
    /// Number of questions asked over one connection before it is closed.
    pub per_connection: u32,
    /// Maximum number of idle connections.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// The meaning of 250 and 251, and of 252 to RCPT, by domain.
    pub code_250: Scoped<Trust>,
    /// The meaning of 252 to VRFY, by domain.
    pub code_252: Scoped<Trust>,
    /// Whether connections use STARTTLS.
    pub starttls: StartTls,
    /// The name in the server's certificate, if it differs from the host name in the source.
    pub tls_name: Option<String>,
    /// Certificate authorities (PEM) for the server's certificate, instead of those of the system.
    pub tls_ca: Option<PathBuf>,
}

/// Default of [`SmtpSettings::per_connection`]: Sendmail slows down from the 6th unknown name, Postfix from the
/// 11th; Exim disconnects at the 11th. On your own server these limits can be lifted.
pub const PER_CONNECTION: u32 = 5;
/// Default of [`SmtpSettings::idle_connections`].
pub const IDLE_CONNECTIONS: usize = 8;
/// Default of [`SmtpSettings::idle_timeout`]: Postfix disconnects after 300 s, under stress after 10 s.
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

impl Default for SmtpSettings {
    fn default() -> Self {
        SmtpSettings {
            helo: String::new(),
            per_connection: PER_CONNECTION,
            idle_connections: IDLE_CONNECTIONS,
            idle_timeout: IDLE_TIMEOUT,
            code_250: Scoped::default(),
            code_252: Scoped::default(),
            starttls: StartTls::default(),
            tls_name: None,
            tls_ca: None,
        }
    }
}

/// Settings of `dovecot:` sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DovecotSettings {
    /// The service for which users are looked up: Dovecot may have a different userdb for each service.
    pub service: String,
}

/// Default of [`DovecotSettings::service`]: the service that delivers mail.
pub const SERVICE: &str = "lmtp";
/// Maximum length of [`DovecotSettings::service`]: names of services of Dovecot are shorter, and a request has a maximum length.
pub const MAX_SERVICE: usize = 32;

impl Default for DovecotSettings {
    fn default() -> Self {
        DovecotSettings { service: SERVICE.into() }
    }
}
