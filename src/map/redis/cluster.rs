//! The nodes of a Redis Cluster that are known, and the slots that they have.
//!
//! A cluster needs no setting: the first `MOVED` shows that a server is a node of a cluster. It names the node that
//! has the slot, and rcptd reads all slots from a node in the background. The slots of a node that cannot be reached
//! are removed, so that the next query asks another node for their place.

use super::server::Server;
use super::slots::SLOTS;
use crate::net::host::Host;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Most redirections of one query. Two are usual while a slot moves: a node with an old view, and `ASK`.
pub(super) const MAX_REDIRECTIONS: usize = 5;
/// Most nodes that are kept in addition to the configured ones: the largest cluster that Redis recommends.
const MAX_NODES: usize = 1000;
/// Shortest time between two readings of all slots. A cluster that moves slots sends many redirections.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// The known nodes and slots of a cluster; empty for other servers.
#[derive(Default)]
pub(super) struct Cluster {
    state: Mutex<State>,
    /// When the slots were read last. Locked while they are read.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    /// The node of each slot; empty until the first redirection.
    slots: Vec<Option<Arc<Server>>>,
    nodes: HashMap<Host, Arc<Server>>,
}

impl State {
    fn set(&mut self, range: RangeInclusive<u16>, node: &Arc<Server>) {
        self.slots.resize(SLOTS.into(), None);
        for slot in range {
            if let Some(owner) = self.slots.get_mut(usize::from(slot)) {
                *owner = Some(node.clone());
            }
        }
    }
}

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that has a slot, if it is known.
    pub fn owner(&self, slot: u16) -> Option<Arc<Server>> {
        self.state().slots.get(usize::from(slot))?.clone()
    }

    /// The node of this address, with the connection that it has.
    pub fn node(&self, host: &Host, limit: Duration) -> Arc<Server> {
        let mut state = self.state();
        if !state.nodes.contains_key(host) && state.nodes.len() >= MAX_NODES {
            // If too many nodes are removed, rcptd only needs new connections.
            state.nodes.clear();
        }
        state.nodes.entry(host.clone()).or_insert_with(|| Arc::new(Server::new(host.clone(), limit))).clone()
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<Arc<Server>> {
        self.state().nodes.values().cloned().collect()
    }

    /// The nodes that have slots, each once.
    pub fn owners(&self) -> Vec<Arc<Server>> {
        let mut owners: Vec<Arc<Server>> = Vec::new();
        for owner in self.state().slots.iter().flatten() {
            // Neighbouring slots usually have the same node.
            if !owners.iter().rev().any(|known| Arc::ptr_eq(known, owner)) {
                owners.push(owner.clone());
            }
        }
        owners
    }

    /// Whether this is a cluster, and the node of a slot is not known.
    pub fn is_incomplete(&self) -> bool {
        self.state().slots.iter().any(Option::is_none)
    }

    /// Records that a node has a slot.
    pub fn learn(&self, slot: u16, node: &Arc<Server>) {
        self.state().set(slot..=slot, node);
    }

    /// Records which nodes have which slots, and forgets the nodes that have none.
    pub fn learn_all(&self, ranges: &[(RangeInclusive<u16>, Arc<Server>)]) {
        let mut state = self.state();
        state.slots.clear();
        for (range, node) in ranges {
            state.set(range.clone(), node);
        }
        state.nodes.retain(|_, node| ranges.iter().any(|(_, owner)| Arc::ptr_eq(owner, node)));
    }

    /// Records that a node does not serve its slots.
    pub fn forget(&self, node: &Arc<Server>) {
        let has =
            |owner: &&mut Option<Arc<Server>>| owner.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, node));
        self.state().slots.iter_mut().filter(has).for_each(|owner| *owner = None);
    }

    /// Calls `read` to read all slots, unless they were read within [`REFRESH_PAUSE`]. Concurrent callers wait for the caller
    /// that reads.
    pub async fn refresh(&self, read: impl Future<Output = ()>) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_none_or(|at| at.elapsed() >= REFRESH_PAUSE) {
            // Set before reading: if the read is dropped, another one would take as long.
            *refreshed = Some(Instant::now());
            read.await;
        }
    }

    /// Whether [`Cluster::refresh`] would read the slots now.
    pub fn is_due(&self) -> bool {
        self.refreshed.try_lock().is_ok_and(|at| at.is_none_or(|at| at.elapsed() >= REFRESH_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn node(cluster: &Cluster, port: u16) -> Arc<Server> {
        cluster.node(&Host::Inet("192.0.2.1".into(), port), LIMIT)
    }

    fn owners(cluster: &Cluster, slots: &[u16]) -> Vec<String> {
        let owner = |slot: &u16| cluster.owner(*slot).map_or("-".into(), |node| node.host.to_string());
        slots.iter().map(owner).map(|host| host.replace("192.0.2.1:", "")).collect()
    }

    #[test]
    fn knows_the_nodes_of_slots() {
        let cluster = Cluster::default();
        assert_eq!(owners(&cluster, &[0, 16383]), ["-", "-"]);
        let (one, two) = (node(&cluster, 1), node(&cluster, 2));
        assert!(!cluster.is_incomplete(), "it is no cluster");
        cluster.learn(5, &one);
        assert!(cluster.is_incomplete());
        assert_eq!(owners(&cluster, &[4, 5, 6]), ["-", "1", "-"]);
        cluster.learn_all(&[(0..=5, two.clone()), (6..=16383, node(&cluster, 3))]);
        assert_eq!(owners(&cluster, &[0, 5, 6, 16383]), ["2", "2", "3", "3"]);
        assert_eq!(cluster.nodes().len(), 2);
        assert_eq!((cluster.owners().len(), cluster.is_incomplete()), (2, false));
        assert!(Arc::ptr_eq(&two, &node(&cluster, 2)), "it keeps its connection");
        cluster.forget(&two);
        assert_eq!(owners(&cluster, &[0, 5, 6, 16383]), ["-", "-", "3", "3"]);
    }

    #[test]
    fn a_limited_number_of_nodes_is_kept() {
        let cluster = Cluster::default();
        for port in 1..=1000 {
            node(&cluster, port);
        }
        node(&cluster, 7);
        assert_eq!(cluster.nodes().len(), 1000);
        node(&cluster, 1001);
        assert_eq!(cluster.nodes().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn slots_are_not_read_all_the_time() {
        let cluster = Cluster::default();
        let read = Mutex::new(0);
        let refresh = || cluster.refresh(async { *read.lock().unwrap() += 1 });
        for (wait, want) in [(0, 1), (0, 1), (999, 1), (1, 2), (0, 2)] {
            tokio::time::advance(Duration::from_millis(wait)).await;
            assert_eq!(cluster.is_due(), *read.lock().unwrap() != want);
            refresh().await;
            assert_eq!(*read.lock().unwrap(), want, "{wait}");
        }
    }
}
