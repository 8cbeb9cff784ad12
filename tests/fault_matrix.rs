//! Account sources in every fault: during a fault, lookups fail temporarily and are never "not found"; after it, the
//! source returns right results again, and leaves no connection, task or descriptor open.
//!
//! The result is `docs/faults.md`. With `RCPTD_BLESS=1` in the environment the test writes it; review the difference.
//!
//! A relay between rcptd and each server produces the faults, so that they are the same for all servers. The packages
//! of Debian that this needs: postgresql, mariadb-server, redis-server, slapd, dovecot-core,
//! dovecot-lmtpd.

#![cfg(feature = "all-databases")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "fault_matrix/databases.rs"]
mod databases;
#[path = "common/dovecot.rs"]
mod dovecot;
#[path = "account_smtp/fake.rs"]
mod fake;
#[path = "fault_matrix/faults.rs"]
mod faults;
#[path = "fault_matrix/files.rs"]
mod files;
#[path = "common/programs.rs"]
mod programs;
#[path = "common/relay.rs"]
mod relay;
#[path = "fault_matrix/servers.rs"]
mod rows;
#[path = "common/servers.rs"]
mod servers;
#[path = "databases_sql/site.rs"]
#[allow(dead_code)]
mod site;
#[path = "common/stores.rs"]
mod stores;

use faults::{Cell, EITHER, FAULTS, RIGHT, TEMPORARY};
use rcptd::account::Sources;
use rcptd::account::settings::{CacheSettings, Settings, SourceSettings, Witness};
use rcptd::map::Table;
use rcptd::map::search::SearchStrategy;
use rcptd::map::served::{Map, Maps};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The runtime of relays and fake servers. Each source has its own runtime.
static FIXTURES: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

fn fixtures() -> &'static Runtime {
    &FIXTURES
}

/// A source that can be built.
pub struct Opened {
    settings: Settings,
    maps: Maps,
}

impl From<Settings> for Opened {
    fn from(settings: Settings) -> Self {
        Opened { settings, maps: Maps::new() }
    }
}

impl Opened {
    async fn build(&self) -> Sources {
        Sources::rebuild(&self.settings, false, &self.maps, None, &Arc::default(), None).await.unwrap()
    }
}

/// One source with this deadline, nothing cached.
fn settings(spec: &str, deadline: Duration) -> Settings {
    let mut source = SourceSettings::new(spec.parse().unwrap());
    source.deadline = deadline;
    let ttl = Duration::ZERO;
    let cache = CacheSettings { positive_ttl: ttl, negative_ttl: ttl, stale_ttl: ttl, size: 1, shared: None };
    Settings { total_deadline: deadline * 2, ..Settings::new(vec![source], cache) }
}

/// `map:users` with this table, of a database, which has a witness of its own.
fn map_source(table: Arc<Table>, deadline: Duration) -> Opened {
    map_of("database:users", table, deadline)
}

/// `map:users` with this table, and with a witness.
fn witnessed_map(source: &str, table: Arc<Table>, deadline: Duration) -> Opened {
    let mut opened = map_of(source, table, deadline);
    opened.settings.sources[0].witness = Witness::Account("postmaster".into()).into();
    opened
}

fn map_of(source: &str, table: Arc<Table>, deadline: Duration) -> Opened {
    let map = Map::new("users".into(), table, SearchStrategy::Plain, Arc::default());
    let map = Arc::new(map.made_of(&[source.parse().unwrap()], &Maps::new()));
    Opened { settings: settings("map:users", deadline), maps: Maps::from([("users".into(), map)]) }
}

/// The cells of one source, by fault.
type Column = (&'static str, BTreeMap<&'static str, String>);

/// Runs the faults of one source: those of single connections at the same time, then those of the whole server.
fn column(start: fn() -> Box<dyn rows::Site>) -> Column {
    let mut site = start();
    let mut cells = BTreeMap::new();
    thread::scope(|scope| {
        let shared = &*site;
        let running: Vec<_> = FAULTS
            .iter()
            .map(|(fault, run)| (*fault, scope.spawn(move || Cell::new(shared, fault).run(*run))))
            .collect();
        for (fault, cell) in running {
            cells.insert(fault, cell.join().unwrap());
        }
    });
    cells.insert(faults::RESTART, faults::restart(&mut *site));
    cells.insert(faults::EMPTY, faults::empty(&mut *site));
    (site.name(), cells)
}

/// The cells of a written table, by fault and source.
fn cells(text: &str) -> BTreeMap<(String, String), String> {
    let fields =
        |line: &str| line.trim_matches('|').split('|').map(|field| field.trim().to_owned()).collect();
    let (mut cells, mut sources) = (BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let line: Vec<String> = fields(line);
        if line[0] == CORNER {
            sources = line;
            continue;
        }
        for (source, cell) in sources.iter().zip(&line).skip(1) {
            cells.insert((line[0].clone(), source.clone()), cell.clone());
        }
    }
    cells
}

/// The field before the names of the sources.
const CORNER: &str = "fault";

/// Writes the table. A cell with "right or temporary" stays if the new result is one of these.
fn table(faults: &[&'static str], columns: &[Column], before: &str) -> String {
    let before = cells(before);
    let mut text = format!("| {CORNER} |");
    for (name, _) in columns {
        write!(text, " {name} |").unwrap();
    }
    writeln!(text, "\n|{}", " --- |".repeat(columns.len() + 1)).unwrap();
    for fault in faults {
        write!(text, "| {fault} |").unwrap();
        for (name, cells) in columns {
            let now = &*cells[fault];
            let was = before.get(&((*fault).into(), (*name).into()));
            let stays = [RIGHT, TEMPORARY].contains(&now) && was.is_some_and(|was| was == EITHER);
            write!(text, " {} |", if stays { EITHER } else { now }).unwrap();
        }
        text.push('\n');
    }
    text
}

/// The descriptors of this process, with what they are.
fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let mut all: Vec<_> = entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    all.sort();
    all
}

/// Opens what the process opens only once: the runtime of the fixtures, the signal for the end of a child process.
fn prepare() {
    let run = async { tokio::process::Command::new("true").status().await.unwrap() };
    assert!(fixtures().block_on(run).success());
}

#[test]
fn every_source_in_every_fault() {
    prepare();
    let before = descriptors();
    let of_files = thread::spawn(files::columns);
    let running: Vec<_> = rows::all().into_iter().map(|start| thread::spawn(move || column(start))).collect();
    let columns: Vec<Column> = running.into_iter().map(|column| column.join().unwrap()).collect();
    let of_files = of_files.join().unwrap();
    let begun = Instant::now();
    while descriptors().len() > before.len() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "left open: {:#?}, before: {before:#?}",
            descriptors()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let want = fs::read_to_string(&path).unwrap_or_default();
    let of_servers: Vec<_> =
        FAULTS.iter().map(|(fault, _)| *fault).chain([faults::RESTART, faults::EMPTY]).collect();
    let servers = table(&of_servers, &columns, &want);
    let files = table(&files::FAULTS, &of_files, &want);
    let got = include_str!("fault_matrix/head.md").replace("SERVERS\n", &servers).replace("FILES\n", &files);
    println!("{got}");
    if std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &got).unwrap();
        return;
    }
    assert!(got == want, "docs/faults.md is not this; write it with RCPTD_BLESS=1:\n{got}");
}
