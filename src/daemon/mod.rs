//! The daemon: builds, runs, reloads and stops.
//!
//! [`run`] is the whole life of the daemon. Its caller passes the configuration and the [`Control`] that
//! requests reload and stop, so that tests can control it; `signals` connects that to the signals of a real
//! process.

mod answer;
mod build;
mod clock;
mod control;
mod listen;
mod shrink;
mod status;
mod watch;

pub use answer::{outcome_text, outcome_word};
pub use build::{Live, accounts, build, policy, rebuild, resolver};
pub use clock::today;
pub use control::{Command, Control, channel, signals};

use crate::account::Sources;
use crate::config::{self, Config};
use crate::observe;
use crate::observe::meter;
use crate::server::maps::Maps;
use crate::server::milter::adapter::Milter;
use crate::server::trace::TraceBus;
use diagnostics::Problem;
use listen::{Fronts, listen, longest_answer, names_served};
use sd_notify::NotifyState;
use shrink::shrunk;
use status::Status;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as flag;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long current messages may take to end after a request to stop. systemd's own limit is 90 s, but a
/// restart should not defer mail longer than necessary.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long a reload may take; after it the old configuration stays in use. Millions of rules take a few
/// seconds.
pub const RELOAD: Duration = Duration::from_mins(1);
/// Cause of a reload after a change of a file.
const WATCH: &str = "file changed";
/// How often files are read again if they change while they are read.
const ROUNDS: usize = 3;
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
    let config = finished(config, &watcher).await?;
    watcher.ask(config.watch);
    let longest = longest_answer(&config);
    let live = build(&config).await.map_err(Failure::Sources)?;
    let mut accounts = live.accounts;
    meter::record(config.statistics.enabled);
    let trace = Arc::new(TraceBus::default());
    let maps = Maps::new(live.maps, trace.clone());
    let milter = Milter::new(live.service, trace.clone());
    let status = Status::new(&config, maps.clone());
    let served = names_served(&config);
    let fronts = Fronts { milter: milter.clone(), maps: maps.clone(), trace, status: status.clone(), served };
    let (stop, end) = (flag::Sender::new(false), flag::Sender::new(false));
    let mut tasks = listen(&config, &fronts, &stop, &end).await?;

    for problem in &config.problems {
        observe::configuration_warning(problem);
    }
    notify(&[NotifyState::Ready]);
    let (rules, domains) = (config.rules.len(), config.domains.len());
    observe::started(env!("CARGO_PKG_VERSION"), rules, domains, config.dry_run);
    let running = config.without_content();
    let mut current = config;
    let signal = loop {
        let command = tokio::select! {
            command = control.next() => command,
            Some(ended) = tasks.join_next() => {
                let why = match ended {
                    Ok(Ok(())) => "it ended without being told to".to_owned(),
                    Ok(Err(e)) => e.to_string(),
                    Err(e) => e.to_string(),
                };
                observe::listener_ended(&why);
                return Err(Failure::Unavailable(vec![format!("a listener has ended: {why}")]));
            }
        };
        match command {
            Command::Reload(why) => {
                // Another reload may have read the change already.
                if why == WATCH && !watcher.is_due().await {
                    continue;
                }
                reloading();
                // A stop must not wait for a file system that hangs.
                let reloaded = tokio::select! {
                    reloaded = reload((&current, &accounts), &watcher, &fronts, why) => reloaded,
                    signal = control.stop() => break signal,
                };
                match reloaded {
                    Ok((new, made)) => {
                        // Compare with the settings at the start, not with those of earlier reloads.
                        let restart = config::needs_restart(&running, &new);
                        observe::reloaded(why, new.rules.len(), &restart, new.dry_run);
                        status.reloaded(&new, restart);
                        for problem in &new.problems {
                            observe::configuration_warning(problem);
                        }
                        watcher.ask(new.watch);
                        (current, accounts) = (new, made);
                    }
                    Err(failure) => {
                        observe::reload_failed(why, &failure.lines());
                        status.reload_failed(&failure.lines());
                    }
                }
                notify(&[NotifyState::Ready]);
            }
            Command::Stop(signal) => break signal,
        }
    };
    drop(watcher);
    observe::stopping(signal, milter.busy());
    notify(&[NotifyState::Stopping]);
    let flags = (&stop, &end);
    drain(&milter, flags, tasks, END.max(longest), &mut control).await;
    observe::stopped();
    Ok(())
}

/// Lets current messages end, then all connections, each after its pending command. A second stop request
/// ends both at once.
async fn drain(
    milter: &Milter,
    (stop, end): (&flag::Sender<bool>, &flag::Sender<bool>),
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

/// Returns the configuration read at the start; reads it again if one of its files may have been
/// incomplete.
async fn finished(config: Config, watcher: &watch::Watch) -> Result<Config, Failure> {
    let marks = watcher.marks().await;
    if watcher.is_finished().await && watcher.is_unchanged(&marks).await {
        watcher.read(&marks);
        return Ok(config);
    }
    let path = config.path.clone();
    drop(config);
    timeout(RELOAD, load(&path, watcher)).await.unwrap_or_else(|_| Err(too_slow()))
}

/// Reads the configuration once all of its files are completely written, and records their state.
async fn load(path: &Path, watcher: &watch::Watch) -> Result<Config, Failure> {
    for _ in 0..ROUNDS {
        let unfinished = watcher.settle().await;
        if !unfinished.is_empty() {
            let line = |path: &PathBuf| {
                format!("{} is being written: reload when its writer has closed it", path.display())
            };
            return Err(Failure::Sources(unfinished.iter().map(line).collect()));
        }
        let marks = watcher.marks().await;
        let from = path.to_owned();
        // Reading files and compiling rules may take a while; lookups continue in the meantime.
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = config::load(&from);
            let files = loaded.as_ref().map_or_else(|_| config::files_named(&from), |new| new.files.clone());
            (loaded, files)
        });
        let (loaded, files) = loaded.await.map_err(|e| failed(format!("a defect in rcptd: {e}")))?;
        // Changes of a file before its watch began were not noticed, so read it again.
        let is_new = watcher.only(&files).await;
        if !is_new && watcher.is_unchanged(&marks).await {
            watcher.read(&marks);
            return loaded.map_err(Failure::Configuration);
        }
    }
    Err(failed("the files change while they are read: reload when they are finished".into()))
}

fn failed(why: String) -> Failure {
    Failure::Sources(vec![why])
}

fn too_slow() -> Failure {
    failed(format!("the files could not be read within {} s", RELOAD.as_secs()))
}

/// Reads, checks and builds everything again, then replaces the old state. After an error the old state
/// remains.
async fn reload(
    (current, accounts): (&Config, &Sources),
    watcher: &watch::Watch,
    fronts: &Fronts,
    why: &str,
) -> Result<(Config, Sources), Failure> {
    let config = timeout(RELOAD, load(&current.path, watcher)).await.unwrap_or_else(|_| Err(too_slow()))?;
    if why == WATCH {
        // The operator did not request this reload, and a file truncated by accident looks the same.
        let lost = shrunk(current, &config);
        if !lost.is_empty() {
            return Err(Failure::Sources(lost));
        }
    } else {
        crate::watch::accept();
    }
    let is_there = |name: &Arc<str>| config.tables.maps.iter().any(|map| map.name == *name);
    if let Some(missing) = fronts.served.iter().find(|name| !is_there(name)) {
        return Err(failed(format!(
            "there is no map {missing} any more, which an open listener serves: restart rcptd for that"
        )));
    }
    match timeout(RELOAD, rebuild(&config, Some(accounts))).await {
        Ok(live) => {
            let live = live.map_err(Failure::Sources)?;
            fronts.milter.replace(live.service);
            fronts.maps.replace(live.maps);
            Ok((config, live.accounts))
        }
        Err(_) => Err(failed(format!("the account sources were not ready within {} s", RELOAD.as_secs()))),
    }
}

/// Notifies systemd, if present. Errors are ignored.
fn notify(states: &[NotifyState]) {
    let _ = sd_notify::notify(states);
}

fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
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
