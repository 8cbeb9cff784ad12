//! Events of the plug-ins. `source` is the text in the configuration that names the plug-in: an account source, or
//! the value of `script`.

use super::line::{name, octets, text};
use diagnostics::count;
use std::time::Duration;
use tracing::{info, warn};

/// A plug-in has sent its hello.
pub fn ready(source: &str, program: &str) {
    info!("source={} detail={} the plug-in is ready", name(&source), text(&program));
}

/// A plug-in has ended, or was ended since it failed. It is started again after `pause`. `first`: it has worked
/// before.
pub fn failed(source: &str, reason: &str, pause: Duration, first: bool) {
    let (source, pause, reason) = (name(&source), pause.as_millis(), text(&reason));
    if first {
        warn!("source={source} detail={reason} the plug-in failed, restart in {pause} ms");
    } else {
        info!("source={source} detail={reason} the plug-in failed again, restart in {pause} ms");
    }
}

/// A plug-in has written a line to standard error. `suppressed` is the number of lines before it that were not
/// logged.
pub fn message(source: &str, line: &[u8], suppressed: u64) {
    let source = name(&source);
    if suppressed > 0 {
        info!("source={source} not logged: {} of the plug-in", count(suppressed, "line"));
    }
    info!("source={source} stderr={}", octets(line));
}
