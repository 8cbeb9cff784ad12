//! Chooses one of several servers with the same content: the first that can be reached.

use super::Lookup;
use super::settings::DatabaseSettings;
use crate::net::back_off::{BackOff, in_order};
use crate::observe::Metrics;
use crate::observe::outage::Servers;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The servers of a database, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Hosts {
    database: Arc<str>,
    deadline: Duration,
    states: Vec<State>,
    servers: Servers,
}

#[derive(Debug)]
struct State {
    name: String,
    back_off: BackOff<String>,
}

impl Hosts {
    /// Reads the servers from the settings. The error is a sentence with the remedy.
    pub fn new(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Result<Self, String> {
        if settings.hosts.is_empty() {
            return Err(format!("a database of type {} needs a server: set hosts", settings.kind.name()));
        }
        let probe = settings.connect_limit();
        let state = |host| State { name: format!("{host}"), back_off: BackOff::new(probe) };
        Ok(Hosts {
            database: settings.name.clone(),
            deadline: settings.deadline,
            states: settings.hosts.iter().map(state).collect(),
            servers: Servers::of(format!("database:{}", settings.name), metrics),
        })
    }

    /// Returns the result of the first server that can be reached. `ask` gets the index of a server and the
    /// present time; it returns `Err` with the reason if the server cannot be reached. Servers with a recent
    /// failure come last.
    pub async fn ask<F>(&self, ask: impl Fn(usize, Instant) -> F) -> Lookup<String>
    where
        F: Future<Output = Result<Lookup<String>, String>>,
    {
        let order: Vec<_> = self.states.iter().enumerate().collect();
        let order = in_order(&order, |(_, host)| host.back_off.is_backed_off());
        let mut failures = String::new();
        let mut failed = Vec::new();
        let asking = async {
            for (at, host) in order.into_iter().copied() {
                let came = Instant::now();
                match ask(at, came).await {
                    Ok(answer) => {
                        host.back_off.reached();
                        self.servers.answered(&host.name, &failed);
                        return Some((host, answer));
                    }
                    Err(why) => {
                        let _ = write!(failures, ": {}: {why}", host.name);
                        failed.push((host.name.clone(), why.clone()));
                        host.back_off.back_off();
                        host.back_off.failed(came, why);
                    }
                }
            }
            None
        };
        match timeout(self.deadline, asking).await {
            Ok(Some((host, Lookup::TempFail(why)))) => {
                Lookup::temp_fail(format!("database {}: {}: {why}", self.database, host.name))
            }
            Ok(Some((_, answer))) => answer,
            Ok(None) => Lookup::temp_fail(format!("database {}{failures}", self.database)),
            Err(_) => Lookup::temp_fail(format!(
                "database {}{failures}: no answer within {:?}",
                self.database, self.deadline
            )),
        }
    }

    /// The name of the database.
    #[cfg(feature = "redis")]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// See [`BackOff::failed_since`].
    #[cfg(any(feature = "ldap", test))]
    pub fn failed_since(&self, at: usize, then: Instant) -> Option<String> {
        self.states.get(at)?.back_off.failed_since(then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::settings::{CONNECT_TIMEOUT, DEADLINE, Kind};
    use crate::net::host::Host;

    fn settings(hosts: u16) -> DatabaseSettings {
        let hosts = (1..=hosts).map(|port| Host::Inet("h".into(), port)).collect();
        DatabaseSettings { hosts, ..DatabaseSettings::new("users", Kind::Ldap) }
    }

    /// Looks up a key on servers that are up (`+`), down (`-`), or hang (`.`).
    async fn asked(hosts: &Hosts, states: &str) -> (String, String) {
        let asked = std::sync::Mutex::new(String::new());
        let answer = hosts
            .ask(|at, _| {
                let _ = write!(asked.lock().unwrap(), "{at}");
                let state = states.as_bytes()[at];
                async move {
                    match state {
                        b'+' => Ok(Lookup::NotFound),
                        b'-' => Err("down".into()),
                        b'?' => Ok(Lookup::temp_fail("loading")),
                        _ => std::future::pending().await,
                    }
                }
            })
            .await;
        let answer = match answer {
            Lookup::TempFail(why) => why.to_string(),
            answer => format!("{answer:?}"),
        };
        (asked.into_inner().unwrap(), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn asks_servers_that_failed_recently_last() {
        let hosts = Hosts::new(&settings(3), &Arc::default()).unwrap();
        // seconds to wait before, states, servers asked, result
        for (seconds, states, want, answer) in [
            (0, "+++", "0", "NotFound"),
            (0, "-++", "01", "NotFound"),
            (0, "+++", "1", "NotFound"),
            (9, "+-+", "12", "NotFound"),
            (0, "++-", "20", "NotFound"),
            (0, "+++", "0", "NotFound"),
            (0, "---", "012", "database users: h:1: down: h:2: down: h:3: down"),
            // All have failed recently, so all are asked.
            (0, "--+", "012", "NotFound"),
            (0, "++?", "2", "database users: h:3: loading"),
            (11, "-..", "01", "database users: h:1: down: no answer within 5s"),
        ] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(asked(&hosts, states).await, (want.into(), answer.into()), "{states}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_queries_share_a_failure() {
        let hosts = Hosts::new(&settings(1), &Arc::default()).unwrap();
        let before = Instant::now();
        assert_eq!(hosts.failed_since(0, before), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        asked(&hosts, "-").await;
        assert_eq!(hosts.failed_since(0, before).as_deref(), Some("down"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(hosts.failed_since(0, Instant::now()), None);
        asked(&hosts, "+").await;
        assert_eq!(hosts.failed_since(0, before), None);
    }

    #[test]
    fn connect_timeout_leaves_time_for_another_server() {
        let mut settings = settings(0);
        assert_eq!(settings.connect_limit(), CONNECT_TIMEOUT);
        settings.connect_timeout = Duration::from_mins(1);
        assert_eq!(settings.connect_limit(), DEADLINE / 2);
        assert!(Hosts::new(&settings, &Arc::default()).unwrap_err().contains("set hosts"));
    }
}
