//! What the operator may choose about account sources. Defaults are here and nowhere else.

use super::spec::Spec;
use crate::lookup::control;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// All sources and what stands round them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Asked in this order; the first definite answer counts.
    pub sources: Vec<SourceSettings>,
    /// The cache in front of all of them.
    pub cache: CacheSettings,
}

/// A choice that may be another one for some domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scoped<T> {
    /// For all domains that are not named.
    pub default: T,
    /// By domain, in lower case.
    pub domains: BTreeMap<String, T>,
}

impl<T> Scoped<T> {
    /// What is chosen for a domain.
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
    /// What the kind of source takes: `postmaster` at the domain of the account for `vrfy:`, `root` for `passwd:`.
    #[default]
    Default,
    /// This local part at the domain of the account.
    Account(String),
    /// None: every "not found" counts. A server that has lost its table of users then refuses all mail.
    Off,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Which one.
    pub spec: Spec,
    /// Longest wait for its answer; after that it "cannot say".
    pub deadline: Duration,
    /// Most questions under way at once; others wait, within their deadline.
    pub concurrency: usize,
    /// Whether mail is accepted while this source cannot say. Off, because that is how backscatter begins.
    pub accept_unknown: bool,
    /// How long a witness or a canary vouches for the server that answered (see [`crate::lookup::control`]), the
    /// longest time for which an answer is remembered that rests on one, and the greatest age of a connection.
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
            accept_unknown: false,
            control_interval: control::INTERVAL,
            witness: Scoped::default(),
            vrfy: VrfySettings::default(),
        }
    }
}

/// The cache. An unknown is never remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long an account is remembered as existing; zero turns this half off. One that is believed because of a
    /// canary is remembered for [`SourceSettings::control_interval`] at most.
    pub exists: Duration,
    /// How long it is remembered as missing; zero turns this half off. One that is believed because of a witness is
    /// remembered for [`SourceSettings::control_interval`] at most.
    pub missing: Duration,
    /// Most accounts remembered.
    pub entries: u64,
}

impl Default for CacheSettings {
    /// An hour for good news; two minutes for bad, since a new mailbox refused is mail lost.
    fn default() -> Self {
        CacheSettings { exists: Duration::from_hours(1), missing: Duration::from_mins(2), entries: 100_000 }
    }
}

/// What a positive reply to VRFY means: 250, which a Sendmail whose local mailer has lost flag `w` gives to every
/// name, and 252 ("cannot VRFY user, but will accept message", RFC 5321, section 3.5.3), which many servers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The account exists, as long as the server refuses a random one in the same domain.
    #[default]
    Canary,
    /// The account exists.
    Exists,
    /// Nothing.
    Unknown,
}

/// Whether a connection is to be encrypted by STARTTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Not at all; right for a server on this host.
    #[default]
    Never,
    /// Where the server offers it; its certificate is then checked all the same.
    Offered,
    /// Always; a server that does not offer it cannot say.
    Required,
}

/// `vrfy:` sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfySettings {
    /// The name said in EHLO; the host's own where empty.
    pub helo: String,
    /// VRFYs sent over one connection before it is closed. Sendmail slows down from the 6th on, Postfix
    /// from the 11th unknown one, Exim closes at the 11th; a server of one's own may be told not to.
    pub per_connection: u32,
    /// Idle connections kept open.
    pub idle_connections: usize,
    /// How long an idle connection is kept; Postfix hangs up after 300 s, 10 s under stress.
    pub idle_timeout: Duration,
    /// What 250 and 251 mean, by domain.
    pub code_250: Scoped<Trust>,
    /// What 252 means, by domain.
    pub code_252: Scoped<Trust>,
    /// Encryption.
    pub starttls: StartTls,
    /// The name the server's certificate must have, where it is not the host name in the source.
    pub tls_name: Option<String>,
    /// Certificates (PEM) that may have signed the server's, instead of the system's.
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
