//! Opens the sockets of a configuration, and serves them.

use super::greylist::Kept;
use super::status::Status;
use super::{Failure, answer, cache};
use crate::account::Sources;
use crate::account::known::file::KnownFile;
use crate::config::{Config, PolicySettings, Served, SocketmapSettings, TcpTableSettings};
use crate::observe::meter::Meter;
use crate::observe::{self, Metrics};
use crate::server::control::{self, Control};
use crate::server::endpoint::Endpoint;
use crate::server::listen::{Inherited, Listener, SocketFile, bind};
use crate::server::maps::Maps;
use crate::server::milter::adapter::{Limits, Milter};
use crate::server::policy::{Policies, Policy};
use crate::server::socketmap::Socketmap;
use crate::server::tcp_table::TcpTable;
use crate::server::trace::TraceBus;
use crate::server::{accept, metrics};
use arc_swap::ArcSwap;
use mail_address::Address;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as flag;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The longest time that a reply to a lookup may take at any listener.
pub(super) fn longest_answer(config: &Config) -> Duration {
    let tables = &config.tables;
    let of_tcp = tables.tcp_tables.iter().map(|table| table.served.deadline);
    let of_socketmaps = tables.socketmaps.iter().map(|table| table.served.deadline);
    let all = of_tcp.chain(of_socketmaps).chain(config.policies.iter().map(|policy| policy.served.deadline));
    // Add the time of the transfer.
    all.max().map_or(Duration::ZERO, |deadline| deadline + Duration::from_secs(1))
}

/// State that the listeners share.
pub(super) struct Shared {
    pub milter: Arc<Milter>,
    pub maps: Arc<Maps>,
    pub metrics: Arc<Metrics>,
    pub trace: Arc<TraceBus>,
    pub status: Arc<Status>,
    pub accounts: Arc<ArcSwap<Sources>>,
    /// The file of the known accounts.
    pub known: Option<Arc<KnownFile>>,
    /// The maps that the open listeners name, which may differ from the current configuration.
    pub served: BTreeSet<Arc<str>>,
    /// What the policy protocol decides with.
    pub policies: Arc<Policies>,
    /// What it keeps across a reload.
    pub kept: Arc<Kept>,
}

/// Returns the maps that listeners name.
pub(super) fn names_served(config: &Config) -> BTreeSet<Arc<str>> {
    let tables = &config.tables;
    let of_tcp = tables.tcp_tables.iter().map(|table| table.map.clone());
    let of_socketmaps = tables.socketmaps.iter().flat_map(|table| table.maps.iter().flatten().cloned());
    of_tcp.chain(of_socketmaps).collect()
}

/// Opens sockets, and collects the failures.
struct Binder {
    inherited: Inherited,
    failures: Vec<String>,
}

impl Binder {
    async fn bind(&mut self, endpoints: &[Endpoint], mode: u32, group: Option<&String>) -> Vec<Listener> {
        let file = SocketFile { mode, group: group.cloned() };
        let mut listeners = Vec::new();
        for endpoint in endpoints {
            match bind(endpoint, &file, &mut self.inherited).await {
                Ok(some) => listeners.extend(some),
                Err(failure) => self.failures.push(failure),
            }
        }
        listeners
    }
}

/// Opens all sockets, then serves them. If one cannot be opened, none is served.
pub(super) async fn listen(
    config: &Config,
    shared: &Shared,
    stop: &flag::Sender<bool>,
    end: &flag::Sender<bool>,
) -> Result<JoinSet<io::Result<()>>, Failure> {
    let sockets = open(config).await?;
    let mut tasks = JoinSet::new();
    let milter = &config.milter;
    let limits = Limits { connections: milter.max_connections, idle: milter.idle_timeout };
    for listener in sockets.milter {
        observe::listening(listener.name());
        tasks.spawn(shared.milter.clone().serve(listener, limits, raised(stop), raised(end)));
    }
    for (table, listener) in sockets.tcp_tables {
        let meter = shared.metrics.listener("tcp_table", listener.name());
        let service = TcpTable {
            maps: shared.maps.clone(),
            map: table.map.clone(),
            deadline: table.served.deadline,
            meter: meter.clone(),
        };
        serve_maps(&mut tasks, listener, service, table.served, shared.metrics.clone(), meter, end);
    }
    for (table, listener) in sockets.socketmaps {
        let meter = shared.metrics.listener("socketmap", listener.name());
        let service = Socketmap {
            maps: shared.maps.clone(),
            names: table.maps.clone(),
            sendmail: table.sendmail,
            deadline: table.served.deadline,
        };
        serve_maps(&mut tasks, listener, service, table.served, shared.metrics.clone(), meter, end);
    }
    for (settings, listener) in sockets.policies {
        let meter = shared.metrics.listener("policy", listener.name());
        let service = Policy {
            policies: shared.policies.clone(),
            purpose: settings.purpose,
            on_trouble: settings.on_trouble.clone(),
            deadline: settings.served.deadline,
        };
        serve_maps(&mut tasks, listener, service, settings.served, shared.metrics.clone(), meter, end);
    }
    for listener in sockets.metrics {
        observe::listening(listener.name());
        tasks.spawn(metrics::serve(listener, shared.metrics.clone(), raised(end)));
    }
    for listener in sockets.control {
        observe::listening(listener.name());
        let serving = control::serve(listener, commands(shared), end.subscribe());
        tasks.spawn(async move {
            serving.await;
            Ok(())
        });
    }
    if let Some(interval) = config.statistics.log_interval {
        let (end, metrics) = (raised(end), shared.metrics.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = end => (),
                () = log_figures(&metrics, interval) => (),
            }
            Ok(())
        });
    }
    Ok(tasks)
}

/// The open sockets of a configuration, those of maps with their settings.
struct Sockets<'c> {
    milter: Vec<Listener>,
    tcp_tables: Vec<(&'c TcpTableSettings, Listener)>,
    socketmaps: Vec<(&'c SocketmapSettings, Listener)>,
    policies: Vec<(&'c PolicySettings, Listener)>,
    metrics: Vec<Listener>,
    control: Vec<Listener>,
}

async fn open(config: &Config) -> Result<Sockets<'_>, Failure> {
    let mut binder = Binder { inherited: Inherited::from_env(), failures: Vec::new() };
    let (milter, control) = (&config.milter, &config.control);
    let mut sockets = Sockets {
        milter: binder.bind(&milter.listen, milter.socket_mode, milter.socket_group.as_ref()).await,
        tcp_tables: Vec::new(),
        socketmaps: Vec::new(),
        policies: Vec::new(),
        metrics: binder.bind(&config.metrics, milter.socket_mode, None).await,
        control: Vec::new(),
    };
    for table in &config.tables.tcp_tables {
        let listeners = binder.bind(&table.listen, milter.socket_mode, None).await;
        sockets.tcp_tables.extend(listeners.into_iter().map(|listener| (table, listener)));
    }
    for table in &config.tables.socketmaps {
        let listeners = binder.bind(&table.listen, table.socket_mode, table.socket_group.as_ref()).await;
        sockets.socketmaps.extend(listeners.into_iter().map(|listener| (table, listener)));
    }
    for policy in &config.policies {
        let listeners = binder.bind(&policy.listen, policy.socket_mode, policy.socket_group.as_ref()).await;
        sockets.policies.extend(listeners.into_iter().map(|listener| (policy, listener)));
    }
    if let Some(path) = &control.path {
        let place = [Endpoint::Unix(path.clone())];
        sockets.control = binder.bind(&place, control.socket_mode, control.socket_group.as_ref()).await;
    }
    binder.failures.extend(binder.inherited.left_over());
    if binder.failures.is_empty() { Ok(sockets) } else { Err(Failure::Unavailable(binder.failures)) }
}

/// What the commands of the operator do.
fn commands(shared: &Shared) -> Arc<Control> {
    let (status, milter, cached) = (shared.status.clone(), shared.milter.clone(), shared.milter.clone());
    let (accounts, known) = (shared.accounts.clone(), shared.known.clone());
    Arc::new(Control {
        trace: shared.trace.clone(),
        status: Box::new(move || status.json()),
        resolve: Box::new(move |address| {
            let milter = milter.clone();
            Box::pin(async move { answer::decide(&milter, &address).await })
        }),
        cache: Box::new(move |request| {
            let (accounts, resolver) = (accounts.load_full(), cached.service().resolver.clone());
            let known = known.clone();
            Box::pin(async move {
                let is_ours = |address: &Address| resolver.is_ours(address);
                cache::answer(&accounts, is_ours, known.as_deref(), &request).await
            })
        }),
    })
}

/// Serves a request-response protocol.
fn serve_maps<S: accept::Service>(
    tasks: &mut JoinSet<io::Result<()>>,
    listener: Listener,
    service: S,
    served: Served,
    metrics: Arc<Metrics>,
    meter: Arc<Meter>,
    end: &flag::Sender<bool>,
) {
    observe::listening(listener.name());
    // Lookups continue until the current messages of the milter have ended: a mail server needs both.
    let limits = accept::Limits { connections: served.max_connections, idle: served.idle_timeout };
    let (stop, end) = (end.subscribe(), end.subscribe());
    let serving = accept::serve(listener, Arc::new(service), limits, metrics, meter, stop, end);
    tasks.spawn(async move {
        serving.await;
        Ok(())
    });
}

/// Logs the statistics of all listeners and maps, at intervals.
async fn log_figures(metrics: &Metrics, interval: Duration) {
    loop {
        sleep(interval).await;
        observe::statistics(metrics);
    }
}

/// Completes when the flag is raised, or its sender is dropped.
fn raised(flag: &flag::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut flag = flag.subscribe();
    async move {
        let _ = flag.wait_for(|raised| *raised).await;
    }
}
