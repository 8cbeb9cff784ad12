//! Tables kept elsewhere that are not SQL, with real servers where there are any: Redis, OpenLDAP, files of
//! LMDB, and servers of tcp_table and socketmap.
//!
//! The packages of Debian that this needs: redis-server, slapd, lmdb-utils.

#![cfg(all(feature = "redis", feature = "ldap", feature = "lmdb"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "common/stores.rs"]
mod stores;

#[path = "databases_other/ldap.rs"]
mod ldap;
#[path = "databases_other/lmdb.rs"]
mod lmdb;
#[path = "databases_other/redis.rs"]
mod redis;
#[path = "databases_other/remote.rs"]
mod remote;

use rcptd::map::settings::{DatabaseSettings, Kind, Password};
use rcptd::map::{Lookup, Table};
use rcptd::net::host::Host;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than any answer takes on a busy machine, and short enough for tests that wait for it.
const DEADLINE: Duration = Duration::from_secs(3);

fn folder() -> TempDir {
    TempDir::with_prefix("rcptd-stores-").unwrap()
}

fn inet(port: u16) -> Host {
    Host::Inet("127.0.0.1".into(), port)
}

fn settings(kind: Kind, hosts: &[Host]) -> DatabaseSettings {
    DatabaseSettings {
        hosts: hosts.to_vec(),
        connections: 4,
        connect_timeout: Duration::from_secs(1),
        deadline: DEADLINE,
        ..DatabaseSettings::new("users", kind)
    }
}

fn with_password(mut settings: DatabaseSettings, user: Option<&str>, password: &str) -> DatabaseSettings {
    settings.user = user.map(str::to_owned);
    settings.password = Some(Password::new(password));
    settings
}

fn with_tls(mut settings: DatabaseSettings, ca: &Path) -> DatabaseSettings {
    settings.tls = true;
    settings.tls_ca = Some(ca.into());
    settings
}

/// What a case expects: a value, nothing, or a reason in which these words stand.
#[derive(Clone, Copy, Debug)]
enum Want<'w> {
    Found(&'w str),
    NotFound,
    Unknown(&'w str),
}

/// Asks, and compares.
async fn expect(table: &Table, key: &str, want: Want<'_>) {
    let begun = Instant::now();
    let answer = table.look_up(key).await;
    let is_right = match (&answer, want) {
        (Lookup::Found(value), Want::Found(want)) => value == want,
        (Lookup::NotFound, Want::NotFound) => true,
        (Lookup::TempFail(why), Want::Unknown(want)) => why.to_string().contains(want),
        _ => false,
    };
    assert!(is_right, "{key:?}: {answer:?}, and not {want:?}");
    // All deadlines here are shorter.
    assert!(begun.elapsed() < Duration::from_secs(8), "{key:?} took {:?}", begun.elapsed());
}
