//! Reads the configuration again, and puts it into service in place of the old one.

use super::control::{Command, Control};
use super::listen::Shared;
use super::shrink::shrunk;
use super::{Failure, notify, rebuild, watch};
use crate::config::{self, Config};
use crate::observe;
use sd_notify::NotifyState;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a reload may take; after it the old configuration stays in use. Millions of rules take a few
/// seconds.
pub const RELOAD: Duration = Duration::from_mins(1);
/// Cause of a reload after a change of a file.
pub(super) const WATCH: &str = "file changed";
/// How often files are read again if they change while they are read.
const ROUNDS: usize = 3;

/// The configuration in service.
pub(super) struct Running {
    /// The settings at the start. What differs from them needs a restart, whatever earlier reloads have read.
    pub at_start: Config,
    pub current: Config,
}

impl Running {
    /// Reloads on request until a request to stop, and returns its cause. The error is that a listener has
    /// ended.
    pub async fn until_stopped(
        &mut self,
        control: &mut Control,
        listeners: &mut JoinSet<io::Result<()>>,
        watcher: &watch::Watch,
        shared: &Shared,
    ) -> Result<&'static str, Failure> {
        loop {
            let command = tokio::select! {
                command = control.next() => command,
                Some(ended) = listeners.join_next() => {
                    let why = match ended {
                        Ok(Ok(())) => "it ended unexpectedly".to_owned(),
                        Ok(Err(e)) => e.to_string(),
                        Err(e) => e.to_string(),
                    };
                    observe::listener_ended(&why);
                    return Err(Failure::Unavailable(vec![format!("a listener has ended: {why}")]));
                }
            };
            let why = match command {
                Command::Stop(signal) => return Ok(signal),
                Command::Reload(why) => why,
            };
            let reloaded = async {
                // Another reload may have read the change already.
                if why == WATCH && !watcher.is_due().await {
                    return None;
                }
                reloading();
                Some(reload(&self.current, watcher, shared, why).await)
            };
            // A stop must not wait for a file system that hangs.
            let reloaded = tokio::select! {
                reloaded = reloaded => reloaded,
                signal = control.stop() => return Ok(signal),
            };
            let Some(reloaded) = reloaded else { continue };
            self.replace(reloaded, watcher, shared, why);
            notify(&[NotifyState::Ready]);
        }
    }

    /// Records the result of a reload.
    fn replace(
        &mut self,
        reloaded: Result<Config, Failure>,
        watcher: &watch::Watch,
        shared: &Shared,
        why: &str,
    ) {
        match reloaded {
            Ok(new) => {
                let restart = config::needs_restart(&self.at_start, &new);
                watcher.ask(new.watch);
                shared.status.reloaded(&new, restart.clone());
                observe::reloaded(&shared.metrics, why, new.rules.len(), &restart, new.dry_run);
                for problem in &new.problems {
                    observe::configuration_remark(problem);
                }
                self.current = new;
            }
            Err(failure) => {
                shared.status.reload_failed(&failure.lines());
                observe::reload_failed(&shared.metrics, why, &failure.lines());
            }
        }
    }
}

/// Returns the configuration read at the start; reads it again if one of its files may have been
/// incomplete.
pub(super) async fn finished(config: Config, watcher: &watch::Watch) -> Result<Config, Failure> {
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
    Err(failed("the files change while rcptd reads them: reload when they are complete".into()))
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
    current: &Config,
    watcher: &watch::Watch,
    shared: &Shared,
    why: &str,
) -> Result<Config, Failure> {
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
    if let Some(missing) = shared.served.iter().find(|name| !is_there(name)) {
        return Err(failed(format!(
            "an open listener serves the map {missing}, which no longer exists: restart rcptd"
        )));
    }
    let accounts = shared.accounts.load_full();
    let service = shared.milter.service();
    // The operator may have replaced the program, and asks for it by a reload.
    let running = service.resolver.plugin().filter(|_| why == WATCH);
    match timeout(RELOAD, rebuild(&config, &shared.metrics, Some(&accounts), running)).await {
        Ok(live) => {
            let live = live.map_err(Failure::Sources)?;
            let deciding = shared.kept.deciding(&config, &live, &shared.metrics);
            let deciding = deciding.await.map_err(Failure::Sources)?;
            // Nothing fails from here.
            live.accounts.take_over(&accounts).await;
            shared.milter.replace(live.service);
            shared.policies.replace(deciding);
            shared.maps.replace(live.maps);
            shared.accounts.store(Arc::new(live.accounts));
            Ok(config)
        }
        Err(_) => Err(failed(format!("the account sources were not ready within {} s", RELOAD.as_secs()))),
    }
}

fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}
