//! Redis Sentinel: `hosts` are Sentinels, which know the current master.
//!
//! rcptd asks the first Sentinel that replies, connects to the master that it names, and checks its role. It asks
//! again when the master fails, and before it trusts "not found" of a master that was not confirmed within
//! [`CONFIRMED`]: a master that was replaced lacks the keys that were written since, and may not know it.

use super::reply::{master_address, master_role, refused};
use super::server::{Dialer, Server, Session};
use super::{Redis, Reply, Request};
use crate::map::Lookup;
use crate::map::settings::SentinelSettings;
use crate::net::host::Host;
use redis::RedisConnectionInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a confirmed master is trusted. A fail-over takes longer, since the Sentinels first wait for the old master.
/// One query to a Sentinel per second is a negligible load.
const CONFIRMED: Duration = Duration::from_secs(1);

/// The master that the Sentinels have named.
pub(super) struct Sentinel {
    name: String,
    dialer: Dialer,
    master: Mutex<Option<Master>>,
}

struct Master {
    server: Arc<Server>,
    /// When a Sentinel named it last, and it had the role.
    confirmed: Option<Instant>,
}

impl Sentinel {
    /// `dialer` is that of the master: the Sentinels use TLS if the master does, and have their own password.
    pub fn new(settings: &SentinelSettings, dialer: &Dialer) -> Self {
        let mut hello = RedisConnectionInfo::default();
        if let Some(password) = &settings.password {
            hello = hello.set_password(password.reveal());
        }
        let dialer = Dialer { hello, tls: dialer.tls.clone(), limit: dialer.limit, master_only: false };
        Sentinel { name: settings.master.clone(), dialer, master: Mutex::default() }
    }

    fn master(&self) -> MutexGuard<'_, Option<Master>> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current master, and whether it was confirmed within [`CONFIRMED`].
    pub fn current(&self) -> Option<(Arc<Server>, bool)> {
        let master = self.master();
        let Master { server, confirmed } = master.as_ref()?;
        Some((server.clone(), confirmed.is_some_and(|at| at.elapsed() < CONFIRMED)))
    }

    /// The server of the named master, with the connection that it has.
    fn named(&self, host: Host) -> Arc<Server> {
        let mut master = self.master();
        match &*master {
            Some(known) if known.server.host == host => known.server.clone(),
            _ => {
                let server = Arc::new(Server::new(host, self.dialer.limit));
                *master = Some(Master { server: server.clone(), confirmed: None });
                server
            }
        }
    }

    /// Records that a Sentinel named `server` at `then`, and that it is a master.
    fn confirm(&self, server: &Arc<Server>, then: Instant) {
        if let Some(master) = &mut *self.master()
            && Arc::ptr_eq(&master.server, server)
        {
            master.confirmed = Some(then);
        }
    }

    /// Asks one Sentinel for the master.
    async fn ask(&self, sentinel: &Server, came: Instant) -> Result<Host, String> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let command = &command;
        let send = |session: Arc<Session>| async move { session.send(command).await };
        let (_, reply) = sentinel.ask(&self.dialer, came, send).await?;
        let reply = reply.map_err(|error| refused(&error))?;
        master_address(&reply).ok_or_else(|| format!("the Sentinel does not know a master {}", self.name))
    }
}

impl Redis {
    /// Asks the master.
    pub(super) async fn ask_master(
        self: &Arc<Self>,
        sentinel: &Sentinel,
        came: Instant,
        request: &Request,
    ) -> Lookup<String> {
        if let Some((master, confirmed)) = sentinel.current()
            && let Ok(Reply::Result(answer)) = self.exchange(&master, came, request, false).await
        {
            match answer {
                Lookup::Found(_) => return answer,
                Lookup::NotFound if confirmed => return answer,
                Lookup::NotFound | Lookup::TempFail(_) => (),
            }
        }
        self.hosts.ask(|at, _| self.ask_named(sentinel, at, came, request)).await
    }

    /// Asks the master that one Sentinel names.
    async fn ask_named(
        self: &Arc<Self>,
        sentinel: &Sentinel,
        at: usize,
        came: Instant,
        request: &Request,
    ) -> Result<Lookup<String>, String> {
        let server = self.servers.get(at).ok_or("no such server")?;
        let asked = Instant::now();
        let master = sentinel.named(sentinel.ask(server, came).await?);
        let of_it = |why: &str| format!("master {}: {why}", master.host);
        let role = |session: Arc<Session>| async move { session.send(&redis::cmd("ROLE")).await };
        let (_, reply) = master.ask(&self.dialer, came, role).await.map_err(|why| of_it(&why))?;
        let reply = reply.map_err(|error| of_it(&format!("ROLE: {}", refused(&error))))?;
        master_role(&reply).map_err(|why| of_it(&why))?;
        match self.exchange(&master, came, request, false).await.map_err(|why| of_it(&why))? {
            Reply::Result(Lookup::TempFail(why)) => Ok(Lookup::temp_fail(of_it(&why.to_string()))),
            Reply::Result(answer) => {
                sentinel.confirm(&master, asked);
                Ok(answer)
            }
            Reply::Redirection(to) => Ok(Lookup::temp_fail(of_it(&format!("it redirects to {}", to.to)))),
        }
    }
}
