//! Events of watched files.

use super::line::{octets, text};
use std::fmt::Display;
use std::path::Path;
use tracing::{info, warn};

/// The folder cannot be watched. Logged once, until it can be watched again.
pub fn folder_unwatched(path: &Path, why: &dyn Display) {
    warn!(
        "path={} detail={} the folder cannot be watched: its files are checked every second until it can",
        octets(path.as_os_str().as_encoded_bytes()),
        text(why)
    );
}

/// A folder can be watched again.
pub fn folder_watched(path: &Path) {
    info!("path={} the folder is watched again", octets(path.as_os_str().as_encoded_bytes()));
}

/// A file of the configuration has been open for writing for a long time. Logged once for each write.
pub fn still_being_written(path: &Path) {
    warn!(
        "path={} the file is still being written: the previous configuration is in force \
         until its writer closes it",
        octets(path.as_os_str().as_encoded_bytes())
    );
}
