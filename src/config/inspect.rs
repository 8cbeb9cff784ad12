//! Checks `[statistics]`, `[metrics]` and `[control]`: the settings for monitoring the running daemon.

use super::check::{Check, text};
use super::files::in_existing_folder;
use super::keys;
use crate::server::endpoint::Endpoint;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Default of `statistics.enabled`: they cost little.
pub(super) const ENABLED: bool = true;
/// Default of `statistics.log_interval`: never, since `rcptd status` and the metrics show the figures.
pub(super) const LOG_INTERVAL: Duration = Duration::ZERO;
/// Bounds of `statistics.log_interval`, if it is not 0: the statistics cover whole seconds, up to sixty of
/// them.
pub(super) const INTERVALS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
/// Default of `control.listen`, if its folder exists.
pub(super) const CONTROL: &str = "unix:/run/rcptd/control.sock";
/// Default of `control.socket_mode`: the owner only, since replies contain addresses.
pub const CONTROL_MODE: u32 = 0o600;

/// Settings of the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Whether the figures of `stats`, `jstats` and `rcptd status` are reported.
    pub enabled: bool,
    /// Interval at which they are logged.
    pub log_interval: Option<Duration>,
}

/// The control socket, for the other commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Path of the UNIX socket, if enabled.
    pub path: Option<PathBuf>,
    /// Its permissions.
    pub socket_mode: u32,
    /// Its group.
    pub socket_group: Option<String>,
}

impl Check<'_> {
    /// Checks `[statistics]`.
    pub fn statistics(&mut self, raw: &keys::Statistics) -> Statistics {
        let interval = self.time(&raw.log_interval, LOG_INTERVAL, &INTERVALS);
        let enabled = raw.enabled.given().map_or(ENABLED, |given| given.value);
        if let Some(given) = raw.log_interval.given().filter(|_| !enabled && !interval.is_zero()) {
            self.warning(given, format!("{} has no effect", given.key), "write enabled = true");
        }
        // Statistics do not change within a second.
        let log_interval = (enabled && !interval.is_zero()).then(|| interval.max(Duration::from_secs(1)));
        Statistics { enabled, log_interval }
    }

    /// Checks `[control]`.
    pub fn control(&mut self, raw: &keys::Control) -> Control {
        let is_default = raw.listen.given().is_none_or(|given| given.value == CONTROL);
        let path = text(&raw.listen).filter(|_| !is_default).and_then(|given| {
            if let Ok(Endpoint::Unix(path)) = given.value.parse() {
                self.socket_path(given, given.span.clone(), &path);
                return Some(path);
            }
            let message = format!("{} must be a UNIX socket", given.key);
            self.error(given, message, "write unix:/PATH, such as \"unix:/run/rcptd/control.sock\"");
            None
        });
        let default = || in_existing_folder(CONTROL.strip_prefix("unix:").unwrap_or(CONTROL));
        let path = if is_default { default() } else { path };
        Control {
            path,
            socket_mode: self.socket_mode(&raw.socket_mode, CONTROL_MODE),
            socket_group: self.socket_group(&raw.socket_group),
        }
    }
}
