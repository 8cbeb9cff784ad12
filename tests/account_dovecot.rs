//! `dovecot:` with a fake server that has faults, and with a real Dovecot.
//!
//! The packages of Debian that this needs: dovecot-core and dovecot-lmtpd; and Dovecot of Debian 13, unpacked in
//! `target/trixie`, as `tests/run setup` does. The servers are started by the tests.

#![allow(clippy::unwrap_used, missing_docs)] // a test panics when it fails

#[path = "account_dovecot/fake.rs"]
mod fake;
#[path = "common/namespace.rs"]
mod namespace;
#[path = "account_dovecot/newer.rs"]
mod newer;
#[path = "common/programs.rs"]
mod programs;
#[path = "account_dovecot/real.rs"]
mod real;
#[path = "common/dovecot.rs"]
mod server;

use mail_address::Address;
use rcptd::account::settings::{CacheSettings, Settings, SourceSettings, Witness};
use rcptd::account::{AccountSource, build};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A source with time enough for a busy machine, nothing cached, and the witness postmaster.
fn settings(socket: &Path) -> Settings {
    let mut source = SourceSettings::new(format!("dovecot:{}", socket.display()).parse().unwrap());
    source.deadline = Duration::from_secs(20);
    source.witness = Witness::Account("postmaster".into()).into();
    let ttl = Duration::ZERO;
    let cache = CacheSettings { positive_ttl: ttl, negative_ttl: ttl, stale_ttl: ttl, size: 1, shared: None };
    let mut settings = Settings::new(vec![source], cache);
    settings.total_deadline = Duration::from_mins(1);
    settings
}

async fn source(settings: &Settings) -> Arc<AccountSource> {
    build(settings, false).await.unwrap()
}

async fn verdict(source: &Arc<AccountSource>, account: &str) -> String {
    source.look_up(&Address::from_rcpt(account.as_bytes())).await.result.to_string()
}

/// A real Dovecot with the users alice and postmaster of example.test.
trait Server {
    /// The socket of its auth service.
    fn auth(&self) -> PathBuf;
    /// Its list of users.
    fn list(&self) -> PathBuf;
    /// Writes the list.
    fn users(&self, names: &[&str]);
    fn log(&self) -> String;
}
