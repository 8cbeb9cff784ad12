//! Build, run, reload, stop.
//!
//! [`run`] is the whole life of the daemon and takes from outside what makes it hard to test: the
//! configuration file and the [`Control`] that says when to reload and when to stop; `signals` ties that to
//! the signals of a real process.

mod build;
mod clock;
mod control;
mod listen;
mod status;
mod watch;

pub use build::{Live, build, maps, policy, resolver};
pub use clock::today;
pub use control::{Command, Control, channel, signals};

use crate::config::{self, Config};
use crate::diag::Problem;
use crate::front::maps::Maps;
use crate::front::milter::adapter::Milter;
use crate::front::tap::Tap;
use crate::observe;
use crate::observe::meter;
use crate::table::list::List;
use listen::{Fronts, listen, longest_answer, names_served};
use sd_notify::NotifyState;
use status::Status;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as flag;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long messages under way may take to end after a request to stop. systemd's own limit is 90 s, and
/// whoever restarts a mail filter does not want mail deferred for longer than need be.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long a reload may take; then the old configuration stays. Rules by the million take a few seconds.
pub const RELOAD: Duration = Duration::from_mins(1);
/// On whose behalf a changed file is read.
const WATCH: &str = "file changed";
/// How long sessions may take to end after that; each has at most one command in hand.
pub const END: Duration = Duration::from_secs(2);

/// Why the daemon could not start. Each line is a sentence with the remedy.
#[derive(Debug)]
pub enum Failure {
    /// The configuration cannot be used.
    Configuration(Vec<Problem>),
    /// Sources that cannot be built from it.
    Sources(Vec<String>),
    /// Sockets that cannot be opened.
    Unavailable(Vec<String>),
}

/// Runs the daemon until `control` says to stop. `config` was read from its path just now.
pub async fn run(config: Config, mut control: Control) -> Result<(), Failure> {
    let longest = longest_answer(&config);
    // First of all, so that no change goes unseen while the rest is made ready.
    let mut watcher = watch::Watch::new(&config, &control);
    let live = build(&config).await.map_err(Failure::Sources)?;
    meter::record(config.statistics.enabled);
    let tap = Arc::new(Tap::default());
    let maps = Maps::new(live.maps, tap.clone());
    let milter = Milter::new(live.service, tap.clone());
    let status = Status::new(&config, maps.clone());
    let served = names_served(&config);
    let fronts = Fronts { milter: milter.clone(), maps: maps.clone(), tap, status: status.clone(), served };
    let (stop, end) = (flag::Sender::new(false), flag::Sender::new(false));
    let mut tasks = listen(&config, &fronts, &stop, &end).await?;

    for problem in &config.problems {
        observe::configuration_warning(problem);
    }
    notify(&[NotifyState::Ready]);
    let (rules, domains) = (config.rules.len(), config.domains.len());
    observe::started(env!("CARGO_PKG_VERSION"), rules, domains, config.observe);
    let mut current = config;
    let signal = loop {
        let command = tokio::select! {
            command = control.next() => command,
            Some(ended) = tasks.join_next() => {
                let why = match ended {
                    Ok(Ok(())) => "it was not told to".to_owned(),
                    Ok(Err(e)) => e.to_string(),
                    Err(e) => e.to_string(),
                };
                observe::listener_ended(&why);
                return Err(Failure::Unavailable(vec![format!("a listener has ended: {why}")]));
            }
        };
        match command {
            Command::Reload(why) => {
                reloading();
                let path = current.path.clone();
                // Whoever wants us to stop need not wait for a file system that hangs.
                let reloaded = tokio::select! {
                    reloaded = reload(&path, &fronts, why, &current) => reloaded,
                    signal = control.stop() => break signal,
                };
                let unseen;
                match reloaded {
                    Ok(new) => {
                        let restart = config::needs_restart(&current, &new);
                        observe::reloaded(why, new.rules.len(), &restart, new.observe);
                        status.reloaded(&new);
                        for problem in &new.problems {
                            observe::configuration_warning(problem);
                        }
                        if new.watch == current.watch {
                            unseen = watcher.only(&new.files);
                        } else {
                            watcher = watch::Watch::new(&new, &control);
                            unseen = new.watch;
                        }
                        current = new;
                    }
                    Err(failure) => {
                        observe::reload_failed(why, &failure.lines());
                        status.reload_failed(&failure.lines());
                        let named = tokio::task::spawn_blocking(move || config::files_named(&path));
                        let named = tokio::select! {
                            named = timeout(RELOAD, named) => named.ok().and_then(Result::ok),
                            signal = control.stop() => break signal,
                        };
                        unseen = watcher.also(&named.unwrap_or_default());
                    }
                }
                notify(&[NotifyState::Ready]);
                // A folder that is watched only now may hold something newer than what was read.
                if let Some(sender) = control.sender().filter(|_| unseen) {
                    // A full channel holds a reload already.
                    let _ = sender.try_send(Command::Reload(WATCH));
                }
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

/// Lets messages under way end, then all connections, each after what it has in hand; a second command to stop does
/// not wait for either.
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
    // A look-up in hand may take as long as it may at any time.
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

/// Reads, checks and builds everything anew, then puts it in place of the old; on any error nothing changes.
async fn reload(path: &Path, fronts: &Fronts, why: &str, current: &Config) -> Result<Config, Failure> {
    let failed = |why: String| Failure::Sources(vec![why]);
    let path = path.to_owned();
    // Reading files and compiling rules may take a while; look-ups go on meanwhile.
    let loaded = tokio::task::spawn_blocking(move || config::load(&path));
    let config = match timeout(RELOAD, loaded).await {
        Ok(Ok(config)) => config.map_err(Failure::Configuration)?,
        Ok(Err(e)) => return Err(failed(format!("a defect in rcptd: {e}"))),
        Err(_) => return Err(failed(format!("the files could not be read within {} s", RELOAD.as_secs()))),
    };
    // Nobody asked for it by name, and a file cut short by accident looks just like that.
    if why == WATCH && config.rules.is_empty() && !current.rules.is_empty() {
        return Err(failed("all rules have gone; if that is meant, send SIGHUP".into()));
    }
    // A list is the same as rules in that.
    let emptied = |(path, list): (&PathBuf, &Arc<List>)| {
        let was = current.tables.lists.get(path).is_some_and(|old| !old.is_empty());
        (was && list.is_empty())
            .then(|| format!("all of {} has gone; if that is meant, send SIGHUP", path.display()))
    };
    if why == WATCH
        && let Some(gone) = config.tables.lists.iter().find_map(emptied)
    {
        return Err(failed(gone));
    }
    let is_there = |name: &Arc<str>| config.tables.maps.iter().any(|map| map.name == *name);
    if let Some(missing) = fronts.served.iter().find(|name| !is_there(name)) {
        return Err(failed(format!(
            "there is no map {missing} any more, which an open listener serves: restart rcptd for that"
        )));
    }
    match timeout(RELOAD, build(&config)).await {
        Ok(live) => {
            let live = live.map_err(Failure::Sources)?;
            fronts.milter.replace(live.service);
            fronts.maps.replace(live.maps);
        }
        Err(_) => {
            return Err(failed(format!("the account sources were not ready within {} s", RELOAD.as_secs())));
        }
    }
    Ok(config)
}

/// Tells systemd, if it is there. What cannot be told changes nothing.
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
    /// One line a problem.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Failure::Configuration(problems) => problems.iter().map(ToString::to_string).collect(),
            Failure::Sources(lines) | Failure::Unavailable(lines) => lines.clone(),
        }
    }
}
