//! The maps in service: lookups by name, with counters and trace.

use super::accept::Client;
use super::trace::{TraceBus, TraceEvent};
use crate::lookup::timeout::within;
use crate::map::Lookup;
use crate::map::served::Map;
use crate::observe::meter::{Counted, Meter};
use crate::observe::{self, Metrics};
use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The key of health checks. It is looked up like any other key, but neither logged nor traced, since it
/// arrives every few seconds.
pub const KEEPALIVE: &[u8] = b"KEEPALIVE";

/// The maps in service. A reload replaces them for open connections, too, since a mail server keeps its
/// connections for hours.
#[derive(Debug)]
pub struct Maps {
    current: ArcSwap<HashMap<Arc<str>, One, RandomState>>,
    metrics: Arc<Metrics>,
    trace: Arc<TraceBus>,
}

#[derive(Debug)]
struct One {
    map: Arc<Map>,
    meter: Arc<Meter>,
    rate_limit: observe::RateLimit,
}

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapReply {
    /// The result of the map.
    Answer(Lookup<String>),
    /// The deadline passed.
    Late,
    /// No map has this name.
    NoMap,
}

impl Maps {
    /// Takes the maps, the counters of the daemon, and the bus that receives their trace events.
    pub fn new(maps: Vec<Arc<Map>>, metrics: Arc<Metrics>, trace: Arc<TraceBus>) -> Arc<Self> {
        Arc::new(Maps { current: ArcSwap::from_pointee(served(maps, &metrics)), metrics, trace })
    }

    /// Replaces all maps at once.
    pub fn replace(&self, maps: Vec<Arc<Map>>) {
        self.current.store(Arc::new(served(maps, &self.metrics)));
    }

    /// The names of the maps with their descriptions, sorted by name.
    pub fn list(&self) -> Vec<(Arc<str>, String)> {
        let current = self.current.load();
        let mut all: Vec<_> = current
            .values()
            .map(|one| (one.map.name().clone(), one.map.search_strategy().to_string()))
            .collect();
        all.sort();
        all
    }

    /// Logs a request for a map that does not exist.
    pub(super) fn unknown(&self, client: &Client, name: &str) {
        observe::unknown_map(&self.metrics, &client.listener, name);
    }

    /// Looks up a key in the map `name`, for a request that was read at `began`, within `deadline`.
    pub async fn look_up(
        &self,
        client: &Client,
        name: &str,
        key: &[u8],
        began: Instant,
        deadline: Duration,
    ) -> MapReply {
        // A clone, since a guard must not be held during the wait.
        let current = self.current.load_full();
        let Some(one) = current.get(name) else {
            self.unknown(client, name);
            return MapReply::NoMap;
        };
        let found = match within(deadline, one.map.find(key)).await {
            Some(answer) => MapReply::Answer(answer),
            None => MapReply::Late,
        };
        let counted = match &found {
            MapReply::Answer(Lookup::Found(_)) => Counted::Found,
            MapReply::Answer(Lookup::NotFound) => Counted::NotFound,
            MapReply::Answer(Lookup::TempFail(_)) | MapReply::Late | MapReply::NoMap => Counted::TempFail,
        };
        one.meter.answered(counted, began);
        if key == KEEPALIVE {
            return found;
        }
        if matches!(found, MapReply::Answer(Lookup::Found(_) | Lookup::NotFound)) {
            one.rate_limit.works();
        }
        match &found {
            MapReply::Answer(Lookup::TempFail(why)) => {
                observe::tempfail(&one.rate_limit, &client.listener, name, key, why);
            }
            MapReply::Late => {
                let why = format_args!("no answer within {deadline:?}");
                observe::tempfail(&one.rate_limit, &client.listener, name, key, &why);
            }
            MapReply::Answer(Lookup::Found(value)) => {
                observe::looked_up(&client.listener, client.connection, name, key, Some(value));
            }
            _ => observe::looked_up(&client.listener, client.connection, name, key, None),
        }
        if self.trace.is_wanted() {
            self.trace.put(TraceEvent::of(client, name, key, &found, began.elapsed()));
        }
        found
    }
}

fn served(maps: Vec<Arc<Map>>, metrics: &Metrics) -> HashMap<Arc<str>, One, RandomState> {
    let one = |map: Arc<Map>| {
        let meter = metrics.map(map.name());
        (map.name().clone(), One { map, meter, rate_limit: observe::RateLimit::default() })
    };
    maps.into_iter().map(one).collect()
}
