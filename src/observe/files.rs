//! Events of files under watch.

use crate::addr::escape;
use std::fmt::Display;
use std::path::Path;
use tracing::{info, warn};

/// The folder cannot be watched. Logged once until it can.
pub fn folder_unwatched(path: &Path, why: &dyn Display) {
    warn!(
        path = %escape(path.as_os_str().as_encoded_bytes()),
        reason = %escape(&why.to_string()),
        "the folder cannot be watched, its files are looked at every second until it can"
    );
}

/// The folder that could not be watched is watched.
pub fn folder_watched(path: &Path) {
    info!(path = %escape(path.as_os_str().as_encoded_bytes()), "the folder is watched again");
}

/// A file of the configuration has been open for writing for long. Logged once for each time it is written.
pub fn still_being_written(path: &Path) {
    warn!(
        path = %escape(path.as_os_str().as_encoded_bytes()),
        "the file is still being written, the configuration before it is in force until its writer closes it"
    );
}
