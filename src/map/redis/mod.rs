//! Redis and Valkey: `GET key`, or `HGET key field`.
//!
//! | module | contents |
//! | --- | --- |
//! | `server` | a server and its connection, which queries share |
//! | `reply` | what replies mean |
//! | `cluster`, `slots` | Redis Cluster: its nodes, and which one is asked |
//! | `sentinel` | the master that Redis Sentinel names |
//! | `store` | texts that rcptd writes itself |
//!
//! There is one connection to each server. Queries are pipelined on it, and replies come in the same order.
//! The reply to an abandoned query is read and discarded, so that replies still match their queries.

mod cluster;
mod reply;
mod sentinel;
mod server;
mod slots;
mod store;

use self::cluster::{Cluster, MAX_REDIRECTIONS};
use self::reply::{CUT_OFF, is_broken, is_cut_off, is_down, read, refused, stored};
use self::sentinel::Sentinel;
use self::server::{Dialer, Server, Session};
use self::slots::{Redirection, ranges, slot};
use self::store::has_other_keys;
use super::database::Database;
use super::hosts::Hosts;
use super::results::ResultSettings;
use super::settings::{DatabaseSettings, Query};
use super::template::{Part, Template};
use super::witness::Witness;
use super::{Lookup, LookupFuture, Source, Table};
use crate::lookup::control::Reply as ControlReply;
use crate::net::back_off::in_order;
use crate::net::host::Host;
use crate::net::tls;
use crate::observe::Metrics;
use crate::store::{OWN_KEYS, Store};
use redis::{Cmd, RedisConnectionInfo, Value};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// The servers of a database: servers with the same content, nodes of a cluster, or Sentinels.
struct Redis {
    hosts: Hosts,
    servers: Vec<Arc<Server>>,
    dialer: Dialer,
    cluster: Cluster,
    sentinel: Option<Sentinel>,
    deadline: Duration,
    witness: Witness<Question>,
    /// Whether rcptd writes keys of its own.
    is_store: AtomicBool,
}

/// The query of a map.
struct RedisTable {
    redis: Arc<Redis>,
    question: Arc<Question>,
}

/// The key whose value is looked up, or the field of a hash.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    key: Template,
    field: Option<Template>,
    results: Arc<ResultSettings>,
}

/// A command for one key.
struct Request {
    command: Cmd,
    slot: u16,
    purpose: Purpose,
}

/// The purpose of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The query of a map. "Not found" counts only if the server passes its control.
    Query,
    /// Reads or writes a text of rcptd itself, which may be lost.
    Store,
}

/// The reply of a server that could be reached.
enum Reply {
    Result(Lookup<String>),
    Redirection(Redirection),
}

impl Question {
    /// The command for a key; `None` if the key is not looked up, or lacks a user or a domain that is needed.
    fn request(&self, key: &str) -> Option<Request> {
        if !self.results.admits(key) {
            return None;
        }
        // The protocol sends the length of each word, so no character is special.
        let mut command = redis::cmd(if self.field.is_some() { "HGET" } else { "GET" });
        let word = self.key.expand(key, Cow::Borrowed)?;
        let slot = slot(word.as_bytes());
        command.arg(word);
        if let Some(field) = &self.field {
            command.arg(field.expand(key, Cow::Borrowed)?);
        }
        Some(Request { command, slot, purpose: Purpose::Query })
    }

    /// Whether rcptd itself may have written the key in Redis.
    fn is_own(&self, key: &str) -> bool {
        self.key.expand(key, Cow::Borrowed).is_some_and(|word| word.starts_with(OWN_KEYS))
    }
}

pub(super) fn open(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Database>, String> {
    let number = match settings.database.as_str() {
        "" => 0,
        text => text.parse::<u32>().map_err(|_| {
            format!("\"{text}\" is not the number of a Redis database: write one such as \"0\"")
        })?,
    };
    let mut hello = RedisConnectionInfo::default().set_db(number.into());
    if let Some(password) = &settings.password {
        hello = hello.set_password(password.reveal());
    }
    if let Some(user) = &settings.user {
        if settings.password.is_none() {
            return Err(format!("user {user} needs a password: set password_file"));
        }
        hello = hello.set_username(user);
    }
    let client = settings.tls.then(|| tls::client(settings.tls_ca.as_deref())).transpose()?;
    let limit = settings.connect_limit();
    let master_only = settings.sentinel.is_some();
    let dialer = Dialer { hello, tls: client.map(TlsConnector::from), limit, master_only };
    Ok(Arc::new(Shared(Arc::new(Redis {
        hosts: Hosts::new(settings, metrics)?,
        servers: settings.hosts.iter().map(|host| Arc::new(Server::new(host.clone(), limit))).collect(),
        cluster: Cluster::default(),
        sentinel: settings.sentinel.as_ref().map(|sentinel| Sentinel::new(sentinel, &dialer)),
        dialer,
        deadline: settings.deadline,
        witness: Witness::new(settings, metrics),
        is_store: AtomicBool::new(false),
    }))))
}

#[derive(Clone, Debug)]
struct Shared(Arc<Redis>);

impl Database for Shared {
    fn table_with(&self, query: &Query, results: &Arc<ResultSettings>) -> Result<Arc<Table>, String> {
        let Query::Redis { key, field } = query else {
            return Err(
                "a database of type redis is asked by key: write key = \"%s\", or key and field".into()
            );
        };
        let key = Template::parse(key).map_err(|remedy| format!("key: {remedy}"))?;
        let field = field.as_deref().map(Template::parse).transpose();
        let field = field.map_err(|remedy| format!("field: {remedy}"))?;
        if matches!(key.parts().first(), Some(Part::Text(text)) if text.starts_with(OWN_KEYS)) {
            return Err(format!(
                "key: rcptd writes keys that begin with {OWN_KEYS} itself: use another prefix"
            ));
        }
        if !key.has_key() && !field.as_ref().is_some_and(Template::has_key) {
            return Err("every key would have the same value: write %s into key or field".into());
        }
        let question = Arc::new(Question { key, field, results: results.clone() });
        self.0.witness.add(&question);
        Ok(Arc::new(RedisTable { redis: self.0.clone(), question }))
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        self.0.is_store.store(true, Relaxed);
        Some(Arc::new(self.clone()))
    }
}

impl Source<str, Lookup<String>> for RedisTable {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let Some(request) = self.question.request(key) else { return Lookup::NotFound };
            if self.question.is_own(key) {
                // What rcptd wrote is no value, and whether the database has another one is not known.
                return self.redis.failed(&format!("rcptd writes keys that begin with {OWN_KEYS} itself"));
            }
            match self.redis.look_up(&request).await {
                Lookup::Found(value) => self.question.results.only(key, &value),
                other => other,
            }
        })
    }
}

impl Redis {
    async fn look_up(self: &Arc<Self>, request: &Request) -> Lookup<String> {
        let came = Instant::now();
        let owner = self.cluster.owner(request.slot);
        let hosts = || self.hosts.ask(|at, _| self.ask_host(at, came, request));
        if owner.is_none() && self.sentinel.is_none() {
            return hosts().await;
        }
        let asking = async {
            if let Some(sentinel) = &self.sentinel {
                return self.ask_master(sentinel, came, request).await;
            }
            match owner {
                Some(node) => match self.ask_owner(node, came, request).await {
                    Some(answer) => answer,
                    None => hosts().await,
                },
                None => hosts().await,
            }
        };
        // Other servers are asked before those of `hosts`, which have a timeout of their own.
        timeout(self.deadline, asking)
            .await
            .unwrap_or_else(|_| self.failed(&format!("no answer within {:?}", self.deadline)))
    }

    fn failed(&self, why: &str) -> Lookup<String> {
        Lookup::temp_fail(format!("database {}: {why}", self.hosts.database()))
    }

    /// Asks one of the configured servers.
    async fn ask_host(
        self: &Arc<Self>,
        at: usize,
        came: Instant,
        request: &Request,
    ) -> Result<Lookup<String>, String> {
        let server = self.servers.get(at).ok_or("no such server")?;
        match self.exchange(server, came, request, false).await? {
            Reply::Result(answer) => Ok(answer),
            // Another server may know a node that can serve.
            Reply::Redirection(to) => self.follow(to, came, request).await,
        }
    }

    /// Asks the node that has the slot. `None`: it cannot serve, and the configured servers may know another.
    async fn ask_owner(
        self: &Arc<Self>,
        mut node: Arc<Server>,
        came: Instant,
        request: &Request,
    ) -> Option<Lookup<String>> {
        for _ in 0..2 {
            let answer = match self.exchange(&node, came, request, false).await {
                Ok(Reply::Result(Lookup::TempFail(why))) => {
                    Ok(Lookup::temp_fail(format!("{}: {why}", node.host)))
                }
                Ok(Reply::Result(answer)) => Ok(answer),
                Ok(Reply::Redirection(to)) => self.follow(to, came, request).await,
                Err(why) => Err(why),
            };
            match answer {
                Ok(Lookup::TempFail(why)) => return Some(self.failed(&why.to_string())),
                Ok(answer) => return Some(answer),
                Err(_) => {
                    self.cluster.refresh(self.read_slots()).await;
                    // Another node may have been promoted.
                    node = self.cluster.owner(request.slot)?;
                }
            }
        }
        None
    }

    /// Follows redirections to other nodes. `Err` is the reason why one of them cannot serve.
    async fn follow(
        self: &Arc<Self>,
        mut to: Redirection,
        came: Instant,
        request: &Request,
    ) -> Result<Lookup<String>, String> {
        for _ in 0..MAX_REDIRECTIONS {
            let node = self.node(&to.to);
            if !to.once {
                self.cluster.learn(to.slot, &node);
                self.refresh_later();
            }
            match self.exchange(&node, came, request, to.once).await {
                Ok(Reply::Result(Lookup::TempFail(why))) => {
                    return Ok(Lookup::temp_fail(format!("{}: {why}", node.host)));
                }
                Ok(Reply::Result(answer)) => return Ok(answer),
                Ok(Reply::Redirection(next)) => to = next,
                Err(why) => return Err(format!("{}: {why}", node.host)),
            }
        }
        Ok(Lookup::temp_fail(format!("more than {MAX_REDIRECTIONS} redirections, the last one to {}", to.to)))
    }

    /// Asks a server. `Err` is the reason why it cannot serve; it is then not asked for its slots again.
    async fn exchange(
        &self,
        server: &Arc<Server>,
        came: Instant,
        request: &Request,
        asking: bool,
    ) -> Result<Reply, String> {
        let send = |session: Arc<Session>| async move {
            if asking {
                session.send_asking(&request.command).await
            } else {
                session.send(&request.command).await
            }
        };
        let why = match server.ask(&self.dialer, came, send).await {
            Ok((session, Ok(value))) => {
                return Ok(Reply::Result(match request.purpose {
                    Purpose::Query => self.controlled(&session, read(value)).await,
                    Purpose::Store => stored(value),
                }));
            }
            Ok((_, Err(error))) if is_down(&error) => refused(&error),
            Ok((_, Err(error))) => {
                return Ok(match Redirection::of(&error, &server.host).filter(|_| self.sentinel.is_none()) {
                    Some(to) => Reply::Redirection(to),
                    None => Reply::Result(Lookup::temp_fail(refused(&error))),
                });
            }
            Err(why) => why,
        };
        server.back_off.back_off();
        self.cluster.forget(server);
        Err(why)
    }

    /// The server of this address: a configured one, or another node.
    fn node(&self, host: &Host) -> Arc<Server> {
        match self.servers.iter().find(|server| server.host == *host) {
            Some(server) => server.clone(),
            None => self.cluster.node(host, self.dialer.limit),
        }
    }

    /// Reads all slots without delaying a query.
    fn refresh_later(self: &Arc<Self>) {
        if self.cluster.is_due() {
            let redis = self.clone();
            tokio::spawn(
                async move { timeout(redis.deadline, redis.cluster.refresh(redis.read_slots())).await },
            );
        }
    }

    /// Reads all slots from the first node that returns them.
    async fn read_slots(&self) {
        let mut nodes = self.cluster.nodes();
        nodes.extend(self.servers.iter().cloned());
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        for node in in_order(&nodes, |node| node.back_off.is_backed_off()) {
            let send = |session: Arc<Session>| {
                let command = command.clone();
                async move { session.send(&command).await }
            };
            // If the user may not read them, each slot takes a redirection.
            let Ok((_, Ok(reply))) = node.ask(&self.dialer, Instant::now(), send).await else { continue };
            let found = ranges(&reply, &node.host);
            if !found.is_empty() {
                let owners = found.into_iter().map(|(range, host)| (range, self.node(&host)));
                self.cluster.learn_all(&owners.collect::<Vec<_>>());
                return;
            }
        }
    }

    /// Checks the result of a server: "not found" counts only if the server has its master, and its control passes.
    async fn controlled(&self, session: &Session, answer: Lookup<String>) -> Lookup<String> {
        match answer {
            Lookup::NotFound => match self.with_master(session).await {
                Lookup::NotFound => self.with_witness(session).await,
                doubt => doubt,
            },
            Lookup::Found(_) => {
                self.witness.found(&session.peer);
                answer
            }
            Lookup::TempFail(_) => answer,
        }
    }

    /// "Not found", unless the server is a replica that has lost its master.
    async fn with_master(&self, session: &Session) -> Lookup<String> {
        let ask = || async {
            let mut command = redis::cmd("INFO");
            command.arg("replication");
            match session.send(&command).await {
                Ok(Value::BulkString(info)) if is_cut_off(&info) => ControlReply::NotFound(CUT_OFF.into()),
                Err(error) if is_broken(&error) => ControlReply::TempFail(refused(&error)),
                // INFO is not permitted: assume that the server has its data. Configure a witness to be certain.
                Ok(_) | Err(_) => ControlReply::Exists(String::new()),
            }
        };
        let why = format!("the server is a replica without its master, and may lack this key ({CUT_OFF})");
        self.witness.vouch_by(&session.peer, CUT_OFF, &why, ask).await
    }

    /// "Not found", unless the server does not find the witness.
    async fn with_witness(&self, session: &Session) -> Lookup<String> {
        let ask = |question: Arc<Question>, key: Arc<str>| async move {
            let Some(request) = question.request(&key) else { return Lookup::NotFound };
            match session.send(&request.command).await {
                Ok(value) => read(value),
                Err(error) if error.redirect_node().is_some() => self.has_keys(session).await,
                Err(error) => Lookup::temp_fail(refused(&error)),
            }
        };
        self.witness.vouch(&session.peer, ask).await
    }

    /// The control of a node that does not have the slot of the witness: it passes if the node has any key. Those that
    /// rcptd writes do not count, since a node that has lost its data soon has some of them.
    async fn has_keys(&self, session: &Session) -> Lookup<String> {
        match session.send(&redis::cmd("DBSIZE")).await {
            Ok(Value::Int(0)) => Lookup::temp_fail("the node has no keys at all, and may have lost them"),
            Ok(Value::Int(_)) if self.is_store.load(Relaxed) => has_other_keys(session).await,
            Ok(Value::Int(keys)) => Lookup::Found(format!("{keys} keys")),
            Ok(_) => Lookup::temp_fail("DBSIZE: the reply is not a number"),
            Err(error) => Lookup::temp_fail(format!("DBSIZE: {}", refused(&error))),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisTable { redis, question } = self;
        f.debug_struct("Lookup").field("redis", redis).field("question", question).finish()
    }
}
