//! rcptd and real mail servers: Postfix 3.7 and 3.10, Sendmail 8.17 and 8.18, each in a container.
//!
//! ```text
//! tests/run mta                                      builds the images and runs all scenarios
//! cargo test --test mta -- --run [NAME...]           those whose name or server contains a NAME
//! ```
//!
//! Each folder here is a scenario: a `scenario` file in the language of [`script`], or a `mod.rs` where a
//! script does not do. A server is wired with rcptd in several ways, a container for each: by the milter, by
//! tables, by both. All scenarios run against each container they are meant for, one after the other, some
//! containers side by side. Logs are left in `target/mta/`.

mod books;
mod clients;
mod log;
mod mta;
mod random;
mod rcptd;
mod redis;
mod relay;
mod script;
mod shell;
mod smtp;
mod stage;
mod wiring;

#[path = "t12-thousand-recipients/mod.rs"]
mod t12_thousand_recipients;
#[path = "t19-latency/mod.rs"]
mod t19_latency;
#[path = "t20-random-load/mod.rs"]
mod t20_random_load;
#[path = "t23-killed-under-load/mod.rs"]
mod t23_killed_under_load;
#[path = "t29-source-faults/mod.rs"]
mod t29_source_faults;
#[path = "t63-check-postfix/mod.rs"]
mod t63_check_postfix;
#[path = "t70-spellings/mod.rs"]
mod t70_spellings;
#[path = "t72-forged-header/mod.rs"]
mod t72_forged_header;

use crate::books::Books;
use crate::mta::{Engine, Mta};
use crate::relay::Relay;
use crate::script::Script;
use crate::stage::Stage;
use crate::wiring::{Kind, Selection};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What went wrong is told to a person, so a text will do.
pub type Outcome<T = ()> = Result<T, String>;

/// How many lines of a log are printed when a scenario fails.
const TAIL: usize = 40;

/// How many containers there are at a time.
const SIDE_BY_SIDE: usize = 4;

/// A scenario in code; what it returns is printed.
type Code = fn(&mut Stage<'_>) -> Outcome<String>;

/// The scenarios that a script does not do for, and the servers and wirings they are for; without any, the milter.
const CODE: [(&str, &str, Code); 8] = [
    ("t12-thousand-recipients", "", t12_thousand_recipients::run),
    ("t19-latency", "", t19_latency::run),
    ("t20-random-load", "", t20_random_load::run),
    ("t23-killed-under-load", "", t23_killed_under_load::run),
    ("t29-source-faults", "", t29_source_faults::run),
    ("t63-check-postfix", t63_check_postfix::ON, t63_check_postfix::run),
    ("t70-spellings", "", t70_spellings::run),
    ("t72-forged-header", "", t72_forged_header::run),
];

/// What a scenario does.
enum Body {
    Script(Script),
    Code(Selection, Code),
}

/// A folder here.
struct Scenario {
    name: String,
    folder: PathBuf,
    body: Body,
}

impl Scenario {
    fn is_for(&self, kind: &Kind) -> bool {
        match &self.body {
            Body::Script(script) => script.is_for(kind),
            Body::Code(only, _) => only.is_for(kind),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Also where they are not run, the scenarios must be ones that could be.
    let scenarios = match scenarios(&root.join("tests/mta")) {
        Ok(scenarios) => scenarios,
        Err(error) => return failed(&error),
    };
    let Some(at) = arguments.iter().position(|argument| argument == "--run") else {
        println!(
            "\nmta: {} scenarios with real mail servers were NOT RUN; they need containers: tests/run mta\n",
            scenarios.len()
        );
        return ExitCode::SUCCESS;
    };
    let names = arguments.get(at + 1..).unwrap_or_default();
    match run(root, &scenarios, names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &str) -> ExitCode {
    eprintln!("mta: {error}");
    ExitCode::FAILURE
}

/// Reads all scenarios, in the order of their names.
fn scenarios(folder: &Path) -> Outcome<Vec<Scenario>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let folder = entry.map_err(|e| e.to_string())?.path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let code = CODE.iter().find(|(code, ..)| *code == name);
        let body = match (fs::read_to_string(folder.join("scenario")), code) {
            (Ok(text), None) => {
                Body::Script(Script::parse(&text).map_err(|e| format!("tests/mta/{name}/scenario: {e}"))?)
            }
            (Err(_), Some((_, "", code))) => Body::Code(Selection::default(), *code),
            (Err(_), Some((_, on, code))) => Body::Code(Selection::parse(on)?, *code),
            (Ok(_), Some(_)) => return Err(format!("tests/mta/{name} is both a script and code")),
            (Err(e), None) => return Err(format!("tests/mta/{name}/scenario: {e}")),
        };
        all.push(Scenario { name, folder, body });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Runs what `names` select, [`SIDE_BY_SIDE`] containers at a time.
fn run(root: &Path, scenarios: &[Scenario], names: &[String]) -> Outcome {
    let engine = Engine::find(root)?;
    let target = root.join("target/mta");
    if target.exists() {
        fs::remove_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    }
    let start = Instant::now();
    let kinds = Kind::all();
    let plan: Vec<(&Kind, Vec<&Scenario>)> = kinds
        .iter()
        .map(|kind| {
            let chosen = |scenario: &&Scenario| {
                let title = format!("{} {}", scenario.name, kind.name);
                scenario.is_for(kind) && (names.is_empty() || names.iter().any(|name| title.contains(name)))
            };
            (kind, scenarios.iter().filter(chosen).collect::<Vec<_>>())
        })
        .filter(|(_, scenarios)| !scenarios.is_empty())
        .collect();
    let (results, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let work = || {
        while let Some((kind, scenarios)) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(|| run_server(kind, &engine, root, &target, scenarios));
            let result =
                result.unwrap_or_else(|_| Err(format!("{}: a thread of the tests panicked", kind.name)));
            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut total = Tally::default();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(tally) => {
                total.passed += tally.passed;
                total.failed.extend(tally.failed);
            }
            Err(error) => errors.push(error),
        }
    }
    println!(
        "\nmta: {} passed, {} failed, {} s",
        total.passed,
        total.failed.len(),
        start.elapsed().as_secs()
    );
    errors.extend(total.failed.iter().map(|name| format!("FAILED {name}")));
    if total.passed + errors.len() == 0 {
        errors.push(format!("no scenario is called {names:?}"));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\nmta: ")) }
}

/// How many scenarios passed, which failed.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
}

/// Starts one mail server and plays the scenarios with it.
fn run_server(
    kind: &Kind,
    engine: &Engine,
    root: &Path,
    target: &Path,
    scenarios: &[&Scenario],
) -> Outcome<Tally> {
    let mta = Mta::start(kind, engine, root, &target.join(&kind.name))?;
    let mut relay = Relay::new(mta.relay);
    let mut books = Books::new(&mta.mail);
    let mut tally = Tally::default();
    for scenario in scenarios {
        let folder = target.join(&scenario.name).join(&kind.name);
        let start = Instant::now();
        let mark = mta.log.mark();
        let played = catch_unwind(AssertUnwindSafe(|| play(scenario, &mta, &mut relay, &mut books, &folder)));
        let seconds = start.elapsed().as_secs_f32();
        let _ = fs::write(folder.join("mta.log"), mta.log.since(mark));
        let name = format!("{} {}", scenario.name, kind.name);
        match played.unwrap_or_else(|_| Err("the scenario's code panicked".to_owned())) {
            Ok(note) => {
                println!("{name} ... ok ({seconds:.1} s){note}");
                tally.passed += 1;
            }
            Err(error) => {
                let rcptd = log::Log::new(&folder.join("rcptd.log")).tail(0, TAIL);
                let server = mta.log.tail(mark, TAIL);
                println!(
                    "{name} ... FAILED ({seconds:.1} s): {error}\n\
                     --- rcptd\n{rcptd}\n--- {}\n{server}\n--- all of it: {}\n",
                    kind.name,
                    folder.display()
                );
                // Once more at the end, where a log that was cut short still has it.
                tally.failed.push(format!("{name}: {}", error.lines().next().unwrap_or_default()));
            }
        }
    }
    Ok(tally)
}

fn play(
    scenario: &Scenario,
    mta: &Mta,
    relay: &mut Relay,
    books: &mut Books,
    folder: &Path,
) -> Outcome<String> {
    let mut stage = Stage::new(mta, relay, books, &scenario.folder, folder)?;
    let played = match &scenario.body {
        Body::Script(script) => stage.play(script).map(|()| String::new()),
        Body::Code(_, code) => code(&mut stage).map(|note| format!(": {note}")),
    };
    let transcript = stage.transcript();
    let _ = fs::write(folder.join("smtp.log"), &transcript);
    let played = played.map_err(|e| format!("{e}\n--- SMTP\n{}", transcript.trim_end()))?;
    stage.finish()?;
    Ok(played)
}
