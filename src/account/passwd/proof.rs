//! Checks whether "no such user" is certain.
//!
//! getpwnam_r(3) does not distinguish a user that does not exist from a name service that is down: with
//! `passwd: files sss systemd` and sssd stopped, glibc goes on from `sss` (UNAVAIL or TRYAGAIN) to `systemd`,
//! and returns the "not found" of `systemd`. Only glibc knows the result of each service. So rcptd runs
//! getent(1) for the same user with the same services, each configured to end the search unless it replies
//! "not found", and then a service that does not exist. If all services reply "not found", the dynamic linker
//! looks for the library of that last service and reports this (`LD_DEBUG=libs`, ld.so(8)). This takes one
//! process (about 2 ms) for each unknown user; the result is cached like any other.

use super::services::{END, NSSWITCH, Services};
use crate::lookup::control::canary_name;
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// Maximum number of concurrent processes. Others wait, within the timeout of the source.
const PROCESSES: usize = 4;

static PERMITS: Semaphore = Semaphore::const_new(PROCESSES);

/// Maximum length of the output of getent(1). The linker writes about a hundred lines for each library.
const MAX_OUTPUT: u64 = 1 << 20;

/// Exit statuses of getent(1): found and not found.
const FOUND: i32 = 0;
const NOT_FOUND: i32 = 2;

/// Checks whether all `services` reply that there is no user `name`. The error is the reason why that is not
/// certain.
pub(super) async fn prove(services: &Services, name: &str) -> Result<(), String> {
    // getent(1) takes a number for a user id. Look up a random name instead.
    let number = |name: &str| {
        let digits = name.trim_start().trim_start_matches(['+', '-']);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let canary;
    let name = if number(name) {
        canary = canary_name()?;
        &canary
    } else {
        name
    };
    let _permit = PERMITS.acquire().await.map_err(|_| "no free process".to_string())?;
    let mut child = Command::new("getent")
        .args(["-s", &services.to_the_end(), "--", DATABASE, name])
        .env("LD_DEBUG", "libs")
        .env_remove("LD_DEBUG_OUTPUT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("getent cannot be run: {error}"))?;
    let mut output = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(MAX_OUTPUT).read_to_end(&mut output).await.map_err(|error| format!("getent: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| format!("getent: {error}"))?;
    let library = format!("libnss_{END}.so");
    let at_the_end = output.windows(library.len()).any(|bytes| bytes == library.as_bytes());
    match status.code() {
        Some(NOT_FOUND) if at_the_end => Ok(()),
        Some(NOT_FOUND) => Err(format!(
            "one of the name services \"{services}\" ({NSSWITCH}) gave no answer, so it is not certain that there is \
             no such user"
        )),
        Some(FOUND) => Err("getent finds the user, getpwnam_r does not".into()),
        _ => Err(format!("getent: {status}")),
    }
}

/// The name of the user database in getent(1).
const DATABASE: &str = "passwd";
