//! Settings of account sources, with all their defaults.

use super::spec::Spec;
use crate::lookup::control;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The sources and their cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The sources in the order in which they are asked; the first definite result counts.
    pub sources: Vec<SourceSettings>,
    /// The cache of the combined result.
    pub cache: CacheSettings,
}

impl Settings {
    /// Whether a source is a map.
    pub fn names_map(&self) -> bool {
        self.sources.iter().any(|source| source.spec.kind() == "map")
    }
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
    /// The default of the source: `postmaster` at the domain of the account for `vrfy:`, `root` for
    /// `passwd:`.
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
    /// Whether mail is accepted while this source fails temporarily. False by default, since it causes
    /// backscatter.
    pub accept_tempfail: bool,
    /// How long a witness or a canary is valid for its server (see [`crate::lookup::control`]). It is also the
    /// maximum TTL of results that depend on it, and the maximum age of a connection.
    pub control_interval: Duration,
    /// The witness, by domain.
    pub witness: Scoped<Witness>,
    /// Settings of a `vrfy:` source.
    pub vrfy: VrfySettings,
}

/// Default of [`SourceSettings::deadline`]: shorter than the 8 s of the milter, so that the reason is logged.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Default of [`SourceSettings::concurrency`]: below Postfix's limit of 50 connections per client.
pub const CONCURRENCY: usize = 20;

impl SourceSettings {
    /// `spec` with the defaults.
    pub fn new(spec: Spec) -> Self {
        SourceSettings {
            spec,
            deadline: DEADLINE,
            concurrency: CONCURRENCY,
            accept_tempfail: false,
            control_interval: control::INTERVAL,
            witness: Scoped::default(),
            vrfy: VrfySettings::default(),
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
    /// Maximum number of cached accounts.
    pub entries: u64,
}

impl Default for CacheSettings {
    /// An hour for "exists"; two minutes for "not found", since mail to a new mailbox is rejected until then.
    fn default() -> Self {
        CacheSettings {
            positive_ttl: Duration::from_hours(1),
            negative_ttl: Duration::from_mins(2),
            entries: 100_000,
        }
    }
}

/// The meaning of a positive reply to VRFY: 250, which a Sendmail whose local mailer lacks the flag `w` sends
/// for every name, or 252 ("cannot VRFY user, but will accept message", RFC 5321, section 3.5.3), which many
/// servers send for every name.
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

/// Settings of `vrfy:` sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfySettings {
    /// The name in EHLO; if empty, that of this host.
    pub helo: String,
    /// Number of VRFY commands sent over one connection before it is closed. Sendmail slows down from the 6th
    /// unknown name, Postfix from the 11th; Exim disconnects at the 11th. On your own server these limits can
    /// be lifted.
    pub per_connection: u32,
    /// Maximum number of idle connections.
    pub idle_connections: usize,
    /// How long an idle connection is kept. Postfix disconnects after 300 s, under stress after 10 s.
    pub idle_timeout: Duration,
    /// The meaning of 250 and 251, by domain.
    pub code_250: Scoped<Trust>,
    /// The meaning of 252, by domain.
    pub code_252: Scoped<Trust>,
    /// Whether connections use STARTTLS.
    pub starttls: StartTls,
    /// The name in the server's certificate, if it differs from the host name in the source.
    pub tls_name: Option<String>,
    /// Certificate authorities (PEM) for the server's certificate, instead of those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl Default for VrfySettings {
    fn default() -> Self {
        VrfySettings {
            helo: String::new(),
            per_connection: 5,
            idle_connections: 8,
            idle_timeout: Duration::from_mins(1),
            code_250: Scoped::default(),
            code_252: Scoped::default(),
            starttls: StartTls::default(),
            tls_name: None,
            tls_ca: None,
        }
    }
}
