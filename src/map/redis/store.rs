//! Redis as a store that rcptd writes: `SET key text PX milliseconds`, `DEL`, `SCAN`.

use super::reply::{refused, text};
use super::server::{Server, Session};
use super::slots::slot;
use super::{Purpose, Redis, Request, Shared};
use crate::map::{Lookup, LookupFuture};
use crate::net::back_off::in_order;
use crate::store::{OWN_KEYS, Page, Store};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Number of keys that a server looks at for one reply to `SCAN`. Other clients wait until it has done so.
const SCAN_COUNT: usize = 1000;
/// Most replies to `SCAN` in the search for a key that rcptd has not written: some 100,000 keys, in less than a second.
const MAX_PAGES: usize = 100;

/// Number of keys whose slots show whether a server is a node of a cluster, if it may not be asked.
const PROBES: usize = 16;

impl Store for Shared {
    fn get<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move { self.0.look_up(&request("GET", key, |_| ())).await })
    }

    fn set<'a>(&'a self, key: &'a str, text: &'a str, ttl: Duration) -> LookupFuture<'a, Result<(), String>> {
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let request = request("SET", key, |command| {
            command.arg(text).arg("PX").arg(milliseconds);
        });
        Box::pin(async move { done(self.0.look_up(&request).await) })
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        ttl: Duration,
    ) -> LookupFuture<'a, Result<bool, String>> {
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let request = request("SET", key, |command| {
            command.arg(text).arg("NX").arg("PX").arg(milliseconds);
        });
        Box::pin(async move {
            match self.0.look_up(&request).await {
                Lookup::Found(_) => Ok(true),
                Lookup::NotFound => Ok(false),
                Lookup::TempFail(why) => Err(why.to_string()),
            }
        })
    }

    /// The requests are sent together, and each to the node that has its slot.
    fn get_all<'a>(&'a self, keys: &'a [&'a str]) -> LookupFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(async move {
            let mut reading = JoinSet::new();
            for (at, key) in keys.iter().enumerate() {
                let (redis, request) = (self.0.clone(), request("GET", key, |_| ()));
                reading.spawn(async move { (at, redis.look_up(&request).await) });
            }
            let mut texts = vec![None; keys.len()];
            while let Some(read) = reading.join_next().await {
                let (at, text) = read.map_err(|error| error.to_string())?;
                match (text, texts.get_mut(at)) {
                    (Lookup::Found(text), Some(place)) => *place = Some(text),
                    (Lookup::TempFail(why), _) => return Err(why.to_string()),
                    (Lookup::NotFound | Lookup::Found(_), _) => (),
                }
            }
            Ok(texts)
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(async move { done(self.0.look_up(&request("DEL", key, |_| ())).await) })
    }

    /// The cursor is the number of a node, and the cursor of `SCAN` there.
    fn page<'a>(&'a self, prefix: &'a str, cursor: &'a str) -> LookupFuture<'a, Result<Page, String>> {
        Box::pin(async move {
            timeout(self.0.deadline, self.0.page(prefix, cursor))
                .await
                .unwrap_or_else(|_| Err(format!("SCAN: no answer within {:?}", self.0.deadline)))
        })
    }
}

fn request(word: &str, key: &str, more: impl FnOnce(&mut Cmd)) -> Request {
    let mut command = redis::cmd(word);
    command.arg(key);
    more(&mut command);
    Request { command, slot: slot(key.as_bytes()), purpose: Purpose::Store }
}

fn done(result: Lookup<String>) -> Result<(), String> {
    match result {
        Lookup::Found(_) | Lookup::NotFound => Ok(()),
        Lookup::TempFail(why) => Err(why.to_string()),
    }
}

impl Redis {
    /// Some keys of the server, the master, or a node.
    async fn page(self: &Arc<Self>, prefix: &str, cursor: &str) -> Result<Page, String> {
        let (at, cursor) = cursor.split_once(' ').unwrap_or(("0", "0"));
        let at: usize = at.parse().map_err(|_| NO_PAGE)?;
        let nodes = self.nodes(prefix, at == 0 && cursor == "0").await?;
        let scanned = if nodes.is_empty() {
            let mut failed = Err("no server".to_owned());
            for server in in_order(&self.servers, |server| server.back_off.is_backed_off()) {
                failed = self.scan_node(server, prefix, cursor).await;
                if failed.is_ok() {
                    break;
                }
            }
            failed?
        } else {
            let node = nodes.get(at).ok_or("the nodes of the cluster have changed: try again")?;
            self.scan_node(node, prefix, cursor).await?
        };
        let (keys, next) = scanned;
        let next = match next.as_str() {
            "0" if at + 1 < nodes.len() => Some(format!("{} 0", at + 1)),
            "0" => None,
            next => Some(format!("{at} {next}")),
        };
        Ok(Page { keys, next })
    }

    /// The master, or all nodes of a cluster, in a fixed order; empty if there are neither.
    async fn nodes(self: &Arc<Self>, prefix: &str, is_first: bool) -> Result<Vec<Arc<Server>>, String> {
        if is_first {
            // Finds the master, or whether this is a cluster: one node seldom has the slots of all these keys.
            for n in 0..PROBES {
                done(self.look_up(&request("GET", &format!("{prefix}{n}"), |_| ())).await)?;
            }
        }
        if let Some(sentinel) = &self.sentinel {
            return Ok(sentinel.current().into_iter().map(|(master, _)| master).collect());
        }
        if is_first {
            self.cluster.refresh(self.read_slots()).await;
        }
        if self.cluster.is_incomplete() {
            return Err("not all nodes of the cluster are known: may the user read CLUSTER SLOTS?".into());
        }
        let mut nodes = self.cluster.owners();
        nodes.sort_by_cached_key(|node| node.host.to_string());
        Ok(nodes)
    }

    async fn scan_node(
        &self,
        node: &Server,
        prefix: &str,
        cursor: &str,
    ) -> Result<(Vec<String>, String), String> {
        let mut command = scan(cursor);
        command.arg("MATCH").arg(format!("{prefix}*"));
        let command = &command;
        let send = |session: Arc<Session>| async move { session.send(command).await };
        let (_, reply) = node.ask(&self.dialer, Instant::now(), send).await?;
        let reply = reply.map_err(|error| format!("SCAN: {}", refused(&error)))?;
        let Some((next, page)) = page(&reply) else { return Err(NO_PAGE.into()) };
        Ok((page.collect(), next.to_owned()))
    }
}

/// Whether the server has a key that rcptd has not written.
pub(super) async fn has_other_keys(session: &Session) -> Lookup<String> {
    let mut cursor = "0".to_owned();
    for _ in 0..MAX_PAGES {
        let reply = match session.send(&scan(&cursor)).await {
            Ok(reply) => reply,
            Err(error) => return Lookup::temp_fail(format!("SCAN: {}", refused(&error))),
        };
        let Some((next, mut page)) = page(&reply) else { return Lookup::temp_fail(NO_PAGE) };
        if page.any(|key| !key.starts_with(OWN_KEYS)) {
            return Lookup::Found("it has keys".into());
        }
        if next == "0" {
            return Lookup::temp_fail(
                "the node has only keys that rcptd wrote, and may have lost the others",
            );
        }
        next.clone_into(&mut cursor);
    }
    Lookup::temp_fail(
        "almost all keys of the node are those of known accounts: share these in another database",
    )
}

/// What is wrong with a reply to `SCAN`.
const NO_PAGE: &str = "SCAN: the reply is not a cursor with a list of keys";

fn scan(cursor: &str) -> Cmd {
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("COUNT").arg(SCAN_COUNT);
    command
}

/// The next cursor in a reply to `SCAN`, and the keys. Keys that are not UTF-8 are not those of rcptd.
fn page(reply: &Value) -> Option<(&str, impl Iterator<Item = String>)> {
    let Value::Array(parts) = reply else { return None };
    let [cursor, Value::Array(keys)] = parts.as_slice() else { return None };
    Some((text(cursor)?, keys.iter().filter_map(text).map(str::to_owned)))
}
