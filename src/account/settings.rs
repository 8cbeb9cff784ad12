//! Settings of account sources. Defaults are only here.

use super::spec::Spec;
use crate::lookup::control;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// All sources and the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Asked in this order; the first definite answer counts.
    pub sources: Vec<SourceSettings>,
    /// The cache in front of all of them.
    pub cache: CacheSettings,
}

impl Settings {
    /// Whether a source is a map.
    pub fn names_map(&self) -> bool {
        self.sources.iter().any(|source| source.spec.kind() == "map")
    }
}

/// A setting with exceptions for some domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scoped<T> {
    /// For all domains that are not named.
    pub default: T,
    /// By domain, in lower case.
    pub domains: BTreeMap<String, T>,
}

impl<T> Scoped<T> {
    /// The setting for a domain.
    pub fn of(&self, domain: &str) -> &T {
        self.domains.get(domain).unwrap_or(&self.default)
    }
}

impl<T> From<T> for Scoped<T> {
    fn from(default: T) -> Self {
        Scoped { default, domains: BTreeMap::new() }
    }
}

/// An account that certainly exists: the source must find it before its "not found" of others counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Witness {
    /// The default of the source: `postmaster` at the domain of the account for `vrfy:`, `root` for
    /// `passwd:`.
    #[default]
    Default,
    /// This local part at the domain of the account.
    Account(String),
    /// No witness: every "not found" counts. If a server has lost its table of users, all mail is then
    /// refused.
    Off,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Which one.
    pub spec: Spec,
    /// Longest wait for its answer; after that it is unknown.
    pub deadline: Duration,
    /// Most questions under way at once; others wait, within their deadline.
    pub concurrency: usize,
    /// Whether mail is accepted while this source fails temporarily. Off by default, because it causes
    /// backscatter.
    pub accept_tempfail: bool,
    /// How long a witness or a canary is valid for its server (see [`crate::lookup::control`]), the longest
    /// time for which answers that depend on it are cached, and the greatest age of a connection.
    pub control_interval: Duration,
    /// The witness, by domain.
    pub witness: Scoped<Witness>,
    /// For a `vrfy:` source.
    pub vrfy: VrfySettings,
}

/// Default of [`SourceSettings::deadline`]: shorter than the milter's own 8 s, so that the reason is known.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Default of [`SourceSettings::concurrency`]: below Postfix's client connection limit of 50.
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

/// The cache. Unknowns are never cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long "exists" is cached; zero for not at all. If it depends on a canary,
    /// [`SourceSettings::control_interval`] at most.
    pub positive_ttl: Duration,
    /// How long "missing" is cached; zero for not at all. If it depends on a witness,
    /// [`SourceSettings::control_interval`] at most.
    pub negative_ttl: Duration,
    /// Most accounts cached.
    pub entries: u64,
}

impl Default for CacheSettings {
    /// An hour for "exists"; two minutes for "missing", since mail to a new mailbox is refused until then.
    fn default() -> Self {
        CacheSettings {
            positive_ttl: Duration::from_hours(1),
            negative_ttl: Duration::from_mins(2),
            entries: 100_000,
        }
    }
}

/// The meaning of a positive reply to VRFY: 250, which a Sendmail whose local mailer has no flag `w` gives
/// for every name, and 252 ("cannot VRFY user, but will accept message", RFC 5321, section 3.5.3), which many
/// servers give for every name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The account exists, as long as the server refuses a random one in the same domain.
    #[default]
    Canary,
    /// The account exists.
    Exists,
    /// Nothing.
    TempFail,
}

/// Whether a connection is to be encrypted by STARTTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Never; for a server on this host.
    #[default]
    Never,
    /// If the server offers it; its certificate is checked.
    Offered,
    /// Always; without it, answers are unknown.
    Required,
}

/// `vrfy:` sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfySettings {
    /// The name in EHLO; the host's own if empty.
    pub helo: String,
    /// VRFYs sent over one connection before it is closed. Sendmail slows down from the 6th, Postfix from the
    /// 11th unknown name; Exim closes at the 11th. On your own server these limits can be lifted.
    pub per_connection: u32,
    /// Idle connections kept open.
    pub idle_connections: usize,
    /// How long an idle connection is kept; Postfix disconnects after 300 s, 10 s under stress.
    pub idle_timeout: Duration,
    /// What 250 and 251 mean, by domain.
    pub code_250: Scoped<Trust>,
    /// What 252 means, by domain.
    pub code_252: Scoped<Trust>,
    /// Encryption.
    pub starttls: StartTls,
    /// The name the server's certificate must have, if it is not the host name in the source.
    pub tls_name: Option<String>,
    /// Certificate authorities (PEM) for the server's certificate, instead of the system's.
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
