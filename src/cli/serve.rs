//! `rcptd serve`

use super::{args, exit, terminal};
use crate::config::{self, Config, Level, Target};
use crate::daemon::{self, Failure};
use crate::observe;
use crate::observe::setup::Destination;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub fn run(args: &args::Serve) -> u8 {
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(problems) => {
            terminal::show(&problems);
            terminal::say(format_args!(
                "rcptd: not started; \"rcptd check -c {}\" checks without starting",
                args.config.display()
            ));
            return exit::CONFIG;
        }
    };
    if let Err(e) = observe::setup::init(destination(&config.log.target), level(config.log.level)) {
        terminal::say(format_args!(
            "rcptd: cannot log to {}: {e} (set log.target = \"stderr\")",
            config.log.target
        ));
        return exit::UNAVAILABLE;
    }
    report_panics();
    raise_open_files();
    let runtime = match runtime(&config) {
        Ok(runtime) => runtime,
        Err(e) => {
            terminal::say(format_args!("rcptd: cannot start: {e}"));
            return exit::OS_ERROR;
        }
    };
    let places = config.places.clone();
    let result = runtime.block_on(async {
        let control = daemon::signals()
            .map_err(|e| Failure::Unavailable(vec![format!("cannot catch signals: {e}")]))?;
        Box::pin(daemon::run(config, control)).await
    });
    // Do not wait for pending lookups, such as those of a name service that hangs.
    runtime.shutdown_background();
    match result {
        Ok(()) => exit::OK,
        Err(failure) => {
            match &failure {
                Failure::Sources(lines) => {
                    terminal::show(&lines.iter().map(|line| places.error(line)).collect::<Vec<_>>());
                }
                Failure::Configuration(_) | Failure::Unavailable(_) => {
                    for line in failure.lines() {
                        terminal::say(format_args!("rcptd: {line}"));
                    }
                }
            }
            match failure {
                Failure::Configuration(_) => exit::CONFIG,
                // A list on a file system that is not mounted yet: starting again may succeed.
                Failure::Sources(_) => exit::TEMPORARY,
                Failure::Unavailable(_) => exit::UNAVAILABLE,
            }
        }
    }
}

fn destination(target: &Target) -> Destination<'_> {
    match target {
        Target::Stderr => Destination::Stderr,
        Target::Journald => Destination::Journald,
        Target::File(path) => Destination::File(path),
    }
}

fn level(level: Level) -> observe::setup::Level {
    use observe::setup::Level as To;
    match level {
        Level::Error => To::ERROR,
        Level::Warn => To::WARN,
        Level::Info => To::INFO,
        Level::Debug => To::DEBUG,
    }
}

fn runtime(config: &Config) -> std::io::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    match config.workers {
        0 => Builder::new_multi_thread().enable_all().build(),
        // A single worker does not need the scheduler for several.
        1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// Logs panics. A panic ends only one session, so it would go unnoticed otherwise.
fn report_panics() {
    std::panic::set_hook(Box::new(|what| observe::panicked(&what)));
}

/// Raises the limit of open files to the hard limit, for as many connections as the operator allows.
/// systemd's soft limit of 1024 is for programs that use select(2).
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it fails, fewer connections are possible; the listener waits for free descriptors then.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
