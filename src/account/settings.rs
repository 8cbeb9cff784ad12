//! What the operator may choose about account sources. Defaults are here and nowhere else.

use super::spec::Spec;
use std::path::PathBuf;
use std::time::Duration;

/// All sources and what stands round them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Asked in this order; the first definite answer counts.
    pub sources: Vec<SourceSettings>,
    /// The cache in front of all of them.
    pub cache: CacheSettings,
    /// For `vrfy:` sources.
    pub vrfy: VrfySettings,
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
}

/// Default of [`SourceSettings::deadline`]: shorter than the milter's own 8 s, so that the reason is known.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Default of [`SourceSettings::concurrency`]: below Postfix's client connection limit of 50.
pub const CONCURRENCY: usize = 20;

impl SourceSettings {
    /// `spec` with the defaults.
    pub fn new(spec: Spec) -> Self {
        SourceSettings { spec, deadline: DEADLINE, concurrency: CONCURRENCY, accept_unknown: false }
    }
}

/// The cache. An unknown is never remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long an account is remembered as existing; zero turns this half off. One whose 252 is believed
    /// because of a canary is remembered for [`VrfySettings::canary_interval`] at most.
    pub exists: Duration,
    /// How long it is remembered as missing; zero turns this half off.
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

/// What a positive reply to VRFY means, above all 252 ("cannot VRFY user, but will accept message", RFC 5321,
/// section 3.5.3).
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
    /// What 250 and 251 mean. Most servers say so of those alone who exist; a Sendmail whose local mailer has
    /// lost flag `w` says so of everybody.
    pub code_250: Trust,
    /// What 252 means.
    pub code_252: Trust,
    /// How often the canary is asked again, and the longest time for which an account is remembered that
    /// exists on its word.
    pub canary_interval: Duration,
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
            code_250: Trust::Exists,
            code_252: Trust::default(),
            canary_interval: Duration::from_mins(5),
            starttls: StartTls::default(),
            tls_name: None,
            tls_ca: None,
        }
    }
}
