//! The sources that read a file, with faults of the file.

use super::faults::{ABSENT, FOUND};
use super::faults::{EMPTY, Observed, PATIENT, SHORT, WAIT, ask, described, no_task_is_left, recovers};
use super::rows::ACCOUNTS;
use super::site::Admin;
use super::{Column, Opened, map_source, settings, stores, witnessed_map};
use rcptd::account::Sources;
use rcptd::map::settings::{DatabaseSettings, Kind, Query};
use rcptd::map::{database, lmdb};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The names of the sources.
const SOURCES: [&str; 4] = ["file:", "aliases:", "map: SQLite", "map: LMDB"];

/// The faults of the file.
pub const FAULTS: [&str; 7] = [
    "none",
    "deleted",
    "replaced by garbage",
    "replaced by its first third",
    "being written, or locked",
    "replaced again and again",
    EMPTY,
];

/// Replacements under load.
const REPLACEMENTS: usize = 20;
/// How often a source is asked in a fault.
const QUESTIONS: usize = 10;

/// A source with a file of its own.
struct Site {
    source: &'static str,
    folder: TempDir,
}

/// The accounts of every source after many others, so that a part of the file lacks them.
fn accounts() -> Vec<String> {
    let others = (0..400).map(|n| format!("user{n}@example.test"));
    others.chain(ACCOUNTS.map(str::to_owned)).collect()
}

impl Site {
    fn new(source: &'static str) -> Self {
        Site { source, folder: TempDir::with_prefix("rcptd-file-").unwrap() }
    }

    /// The type of LMDB adds the end itself.
    fn path(&self) -> PathBuf {
        self.folder.path().join("accounts.lmdb")
    }

    fn database(file: &Path, deadline: Duration) -> DatabaseSettings {
        DatabaseSettings {
            file: Some(file.to_owned()),
            deadline,
            witness: Some(ACCOUNTS[2].into()),
            ..DatabaseSettings::new("users", Kind::Sqlite)
        }
    }

    fn open(&self, deadline: Duration) -> Opened {
        let path = self.path();
        match self.source {
            "map: SQLite" => {
                let query = Query::Columns {
                    table: "accounts".into(),
                    key: "address".into(),
                    value: None,
                    reason: None,
                };
                let database = database::open(&Site::database(&path, deadline), &Arc::default()).unwrap();
                map_source(database.table(&query).unwrap(), deadline)
            }
            "map: LMDB" => {
                let path = path.with_extension("");
                witnessed_map(&format!("lmdb:{}", path.display()), lmdb::open(&path).unwrap(), deadline)
            }
            kind => Opened::from(settings(&format!("{kind}{}", path.display()), deadline)),
        }
    }

    /// Replaces the file by one with these accounts.
    async fn make(&self, accounts: &[String]) {
        let new = self.folder.path().join("new");
        match self.source {
            "map: SQLite" => {
                let mut admin = Admin::open(&Site::database(&new, PATIENT)).await;
                admin.run("CREATE TABLE accounts (address varchar(99) PRIMARY KEY)").await;
                admin.run("BEGIN").await;
                for account in accounts {
                    admin.add("accounts", &[Some(account)]).await;
                }
                admin.run("COMMIT").await;
            }
            "map: LMDB" => {
                let pairs: Vec<_> = accounts.iter().map(|account| (account.clone(), "yes".into())).collect();
                stores::mdb_load(&new, &pairs);
                let _ = fs::remove_file(self.folder.path().join("new-lock"));
            }
            source => {
                let end = if source == "aliases:" { ": somebody\n" } else { "\n" };
                let name = |account: &String| account.split('@').next().unwrap().to_owned() + end;
                fs::write(&new, accounts.iter().map(name).collect::<String>()).unwrap();
            }
        }
        fs::rename(new, self.path()).unwrap();
    }

    fn replace(&self, octets: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, octets).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    async fn run(&self, fault: &str) -> BTreeSet<Observed> {
        let name = format!("{}, {fault}", self.source);
        self.make(&accounts()).await;
        let is_locked = fault == FAULTS[4] && self.source == "map: SQLite";
        let sources = self.open(if is_locked { SHORT } else { PATIENT }).build().await;
        recovers(&sources, &name).await;
        let whole = fs::read(self.path()).unwrap();
        let mut observed = BTreeSet::new();
        let mut held: Option<File> = None;
        let mut locked = None;
        match fault {
            "none" => observed = both(&sources).await,
            "deleted" => fs::remove_file(self.path()).unwrap(),
            "replaced by garbage" => self.replace(&[0xff; 9000]),
            "replaced by its first third" => self.replace(&whole[..whole.len() / 3]),
            "replaced again and again" => observed = self.replaced(&sources).await,
            EMPTY => self.make(&[]).await,
            // During a write, readers of LMDB and SQLite see the previous state.
            _ if is_locked => {
                let mut admin = Admin::open(&Site::database(&self.path(), PATIENT)).await;
                admin.run("BEGIN EXCLUSIVE").await;
                locked = Some(admin);
            }
            _ if self.source == "map: LMDB" => return observed,
            _ => {
                let mut file = File::create(self.path()).unwrap();
                file.write_all(&whole[..whole.len() / 3]).unwrap();
                held = Some(file);
            }
        }
        if observed.is_empty() {
            observed = self.affected(&sources, &name).await;
        }
        drop((held, locked));
        self.make(&accounts()).await;
        recovers(&sources, &name).await;
        observed
    }

    /// The results after the source has noticed the fault.
    async fn affected(&self, sources: &Sources, name: &str) -> BTreeSet<Observed> {
        let begun = Instant::now();
        while both(sources).await == BTreeSet::from([Observed::Right]) {
            assert!(begun.elapsed() < WAIT, "{name}: the fault is not noticed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut observed = BTreeSet::new();
        for _ in 0..QUESTIONS {
            observed.append(&mut both(sources).await);
        }
        observed
    }

    async fn replaced(&self, sources: &Sources) -> BTreeSet<Observed> {
        let mut observed = BTreeSet::new();
        for _ in 0..REPLACEMENTS {
            self.make(&accounts()).await;
            for _ in 0..QUESTIONS {
                observed.append(&mut both(sources).await);
            }
        }
        assert!(
            observed.is_subset(&BTreeSet::from([Observed::Right, Observed::TempFail])),
            "{}: {observed:?}",
            self.source
        );
        BTreeSet::from([Observed::Right, Observed::TempFail])
    }

    fn cell(&self, fault: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = format!("{}, {fault}", self.source);
        let observed = runtime.block_on(async {
            let observed = self.run(fault).await;
            no_task_is_left(&name).await;
            observed
        });
        described(&observed, &name)
    }
}

async fn both(sources: &Sources) -> BTreeSet<Observed> {
    BTreeSet::from([ask(sources, FOUND).await, ask(sources, ABSENT).await])
}

fn column(source: &'static str) -> Column {
    let cells: BTreeMap<_, _> = thread::scope(|scope| {
        let running = FAULTS.map(|fault| (fault, scope.spawn(move || Site::new(source).cell(fault))));
        running.into_iter().map(|(fault, cell)| (fault, cell.join().unwrap())).collect()
    });
    (source, cells)
}

/// All cells of all sources.
pub fn columns() -> Vec<Column> {
    let running = SOURCES.map(|source| thread::spawn(move || column(source)));
    running.into_iter().map(|column| column.join().unwrap()).collect()
}
