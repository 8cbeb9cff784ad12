//! The daemon: builds, runs, reloads and stops.
//!
//! [`run`] is the whole life of the daemon. Its caller passes the configuration and the [`Control`] that
//! requests reload and stop, so that tests can control it; `signals` connects that to the signals of a real
//! process.

mod answer;
mod build;
mod cache;
mod clock;
mod control;
mod greylist;
mod listen;
mod reload;
mod shrink;
mod status;
mod watch;

pub use answer::{outcome_text, outcome_word};
pub use build::{Live, accounts, build, policy, rebuild, resolver};
pub use clock::today;
pub use control::{Command, Control, channel, signals};
pub use reload::RELOAD;

use crate::account::Sources;
use crate::account::known::file::{KnownFile, SAVE_INTERVAL};
use crate::config::Config;
use crate::observe::{self, Metrics};
use crate::server::maps::Maps;
use crate::server::milter::adapter::Milter;
use crate::server::policy::Policies;
use crate::server::trace::TraceBus;
use arc_swap::ArcSwap;
use diagnostics::Problem;
use greylist::Kept;
use listen::{Shared, listen, longest_answer, names_served};
use reload::{Running, finished};
use sd_notify::NotifyState;
use status::Status;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as flag;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long current messages may take to end after a request to stop. systemd's own limit is 90 s, but a
/// restart should not defer mail longer than necessary.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long sessions may take to end after [`DRAIN`]; each has at most one pending command.
pub const END: Duration = Duration::from_secs(2);

/// Why the daemon could not start. Each line is a sentence with the remedy.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is invalid.
    Configuration(Vec<Problem>),
    /// Sources or maps cannot be built.
    Sources(Vec<String>),
    /// Sockets cannot be opened.
    Unavailable(Vec<String>),
}

/// Runs the daemon until `control` requests a stop. `config` was just read from its path.
pub async fn run(config: Config, mut control: Control) -> Result<(), Failure> {
    // Watch first, so that changes during the rest of the start are noticed.
    let watcher = watch::Watch::new(&config.files, &control, config.watch).await;
    // A stop must not wait for a file system or a name service that hangs.
    let (config, metrics, live) = tokio::select! {
        ready = ready(config, &watcher) => ready?,
        signal = control.stop() => {
            observe::stopping(signal, 0);
            return Ok(());
        }
    };
    let longest = longest_answer(&config);
    let trace = Arc::new(TraceBus::default());
    let kept = Arc::new(Kept::default());
    let deciding = kept.deciding(&config, &live, &metrics).await.map_err(Failure::Sources)?;
    let policies = Policies::new(deciding, metrics.clone(), trace.clone());
    let maps = Maps::new(live.maps, metrics.clone(), trace.clone());
    let milter = Milter::new(live.service, metrics.clone(), trace.clone());
    let status = Status::new(&config, metrics.clone(), maps.clone());
    let served = names_served(&config);
    let known = KnownFile::open(config.known_file.as_deref(), &live.accounts, &metrics).await;
    let accounts = Arc::new(ArcSwap::from_pointee(live.accounts));
    let shared = Shared {
        milter: milter.clone(),
        maps,
        metrics: metrics.clone(),
        trace,
        status,
        accounts,
        known: known.clone(),
        served,
        policies,
        kept,
    };
    let (stop, end) = (flag::Sender::new(false), flag::Sender::new(false));
    let mut tasks = listen(&config, &shared, &stop, &end).await?;

    for problem in &config.problems {
        observe::configuration_remark(problem);
    }
    notify(&[NotifyState::Ready]);
    let (rules, domains) = (config.rules.len(), config.domains.len());
    observe::started(env!("CARGO_PKG_VERSION"), rules, domains, config.dry_run);
    let saving = known.clone().map(|known| AbortOnDrop(tokio::spawn(save(known, shared.accounts.clone()))));
    let mut running = Running { at_start: config.without_content(), current: config };
    let signal = running.until_stopped(&mut control, &mut tasks, &watcher, &shared).await?;
    drop(watcher);
    observe::stopping(signal, milter.busy());
    notify(&[NotifyState::Stopping]);
    drain(&milter, &stop, &end, tasks, END.max(longest), &mut control).await;
    drop(saving);
    if let Some(known) = known
        && timeout(END, known.save(&shared.accounts.load())).await.is_err()
    {
        observe::forced("the known accounts are not saved");
    }
    observe::stopped(&metrics);
    Ok(())
}

/// Completes the configuration that was read, and builds its services.
async fn ready(config: Config, watcher: &watch::Watch) -> Result<(Config, Arc<Metrics>, Live), Failure> {
    let config = finished(config, watcher).await?;
    watcher.ask(config.watch);
    let metrics = Arc::new(Metrics::new(config.statistics.enabled));
    let live = build(&config, &metrics).await.map_err(Failure::Sources)?;
    Ok((config, metrics, live))
}

/// Lets current messages end, then all connections, each after its pending command. A second stop request
/// ends both at once.
async fn drain(
    milter: &Milter,
    stop: &flag::Sender<bool>,
    end: &flag::Sender<bool>,
    mut tasks: JoinSet<io::Result<()>>,
    last_answer: Duration,
    control: &mut Control,
) {
    let mut limit = last_answer;
    stop.send_replace(true);
    let begun = Instant::now();
    while milter.busy() > 0 && begun.elapsed() < DRAIN {
        tokio::select! {
            () = sleep(Duration::from_millis(20)) => (),
            Command::Stop(_) = control.next() => {
                observe::forced("second signal");
                limit = END;
                break;
            }
        }
    }
    end.send_replace(true);
    // A pending lookup may take its usual time.
    let last = async { while tasks.join_next().await.is_some() {} };
    let forced = async {
        control.stop().await;
        sleep(END).await;
    };
    tokio::select! {
        ended = timeout(limit, last) => if ended.is_err() {
            observe::forced("sessions do not end");
        },
        () = forced => observe::forced("second signal"),
    }
}

/// Saves the known accounts at intervals.
async fn save(file: Arc<KnownFile>, accounts: Arc<ArcSwap<Sources>>) {
    loop {
        sleep(SAVE_INTERVAL).await;
        file.save(&accounts.load_full()).await;
    }
}

/// Ends a task when it is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Notifies systemd, if present. Errors are ignored.
fn notify(states: &[NotifyState]) {
    let _ = sd_notify::notify(states);
}

impl Failure {
    /// Returns one line for each problem.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Failure::Configuration(problems) => problems.iter().map(ToString::to_string).collect(),
            Failure::Sources(lines) | Failure::Unavailable(lines) => lines.clone(),
        }
    }
}
