//! The file of the known accounts, which keeps them across a restart.
//!
//! It has one JSON object a line: first the version and what the maps of the configuration were, then each
//! account with its source, and when it was found. It is replaced as a whole: written to another file,
//! synchronised with the disk, and renamed. Accounts that depend on files of this host are not in it, since the
//! files may change while rcptd is not running, and are there at the next start.

use super::super::Sources;
use super::KnownAccount;
use crate::lookup::Key;
use crate::observe::Metrics;
use crate::observe::outage::Outage;
use mail_address::{Address, is_domain};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Interval at which changes are saved. What a crash loses is asked again.
pub const SAVE_INTERVAL: Duration = Duration::from_mins(1);
/// Largest file that is read; larger than [`super::MAX_BYTES`] of accounts with names of usual length.
pub const MAX_FILE: u64 = 128 << 20;
/// The version of the format.
const VERSION: u64 = 1;

/// The file of the known accounts.
#[derive(Debug)]
pub struct KnownFile {
    path: PathBuf,
    outage: Arc<Outage>,
    /// [`KnownAccounts::changes`](super::KnownAccounts::changes) of the last saved state.
    saved: AtomicU64,
    /// Held by the thread that writes. That thread goes on when the task that waits for it is ended, so two could
    /// write at once.
    writing: Arc<Mutex<()>>,
}

impl KnownFile {
    /// The file at `path`, which need not exist.
    pub fn new(path: &Path, metrics: &Metrics) -> Self {
        let outage = metrics.outage(&path.display().to_string(), None);
        KnownFile { path: path.to_owned(), outage, saved: AtomicU64::new(0), writing: Arc::default() }
    }

    /// Reads the file, if there is one, and returns it to save what changes.
    pub async fn open(path: Option<&Path>, sources: &Sources, metrics: &Metrics) -> Option<Arc<Self>> {
        let file = KnownFile::new(path?, metrics);
        file.load(sources).await;
        Some(Arc::new(file))
    }

    /// Reads the accounts of the current sources. A file that cannot be read is logged, and nothing is known.
    pub async fn load(&self, sources: &Sources) {
        let path = self.path.clone();
        let read =
            tokio::task::spawn_blocking(move || read(&path)).await.unwrap_or_else(|e| Err(e.to_string()));
        let text = match read {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(why) => return self.outage.fails(&why),
        };
        match parse(&text, sources.maps(), SystemTime::now()) {
            Ok(all) => {
                for (key, known) in all {
                    if known.source.as_ref().is_none_or(|source| sources.has_source(source)) {
                        sources.known.insert(key, known).await;
                    }
                }
                self.saved.store(sources.known.changes(), Relaxed);
                self.outage.works();
            }
            Err(why) => self.outage.fails(&why),
        }
    }

    /// Writes the accounts, if they have changed since they were read or written.
    pub async fn save(&self, sources: &Sources) {
        let changes = sources.known.changes();
        if self.saved.load(Relaxed) == changes {
            return;
        }
        let (known, maps) = (sources.known.clone(), sources.maps().to_owned());
        let (path, writing) = (self.path.clone(), self.writing.clone());
        // Sorting and formatting hundreds of thousands of accounts takes as long as writing them.
        let written = tokio::task::spawn_blocking(move || {
            let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let all = known.list().into_iter();
            let lasting: Vec<_> = all.filter(|(_, known)| known.basis.is_empty()).collect();
            write(&path, &format(&lasting, &maps))
        });
        let written = written.await;
        match written.map_err(|e| e.to_string()).and_then(|result| result.map_err(|e| e.to_string())) {
            Ok(()) => {
                self.saved.store(changes, Relaxed);
                self.outage.works();
            }
            Err(why) => self.outage.fails(&format_args!("cannot be written: {why}")),
        }
    }
}

/// Writes the text of a file.
#[doc(hidden)]
pub fn format(accounts: &[(String, KnownAccount)], maps: &str) -> String {
    let mut text = json!({ "known_accounts": VERSION, "maps": maps }).to_string();
    text.push('\n');
    let named = accounts.iter().filter_map(|(key, known)| Some((Address::from_key(key)?, known)));
    for (account, known) in named {
        let seconds = known.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let line =
            json!({ "account": account.to_string(), "source": known.source.as_deref(), "since": seconds });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

/// Reads the text of a file. Accounts of maps count only if the maps are the same (`maps`). A time in the
/// future counts as now: a wrong clock must not make an account known for years.
#[doc(hidden)]
pub fn parse(text: &str, maps: &str, now: SystemTime) -> Result<Vec<(String, KnownAccount)>, String> {
    let mut lines = text.lines().enumerate().map(|(n, line)| {
        serde_json::from_str::<Value>(line).map_err(|e| format!("line {} is not valid: {e}", n + 1))
    });
    let Some(head) = lines.next().transpose()? else { return Ok(Vec::new()) };
    match head.get("known_accounts").and_then(Value::as_u64) {
        Some(VERSION) => (),
        Some(other) => return Err(format!("its format has the version {other}; this rcptd knows {VERSION}")),
        None => return Err("it is not a file of known accounts".into()),
    }
    let same_maps = head.get("maps").and_then(Value::as_str) == Some(maps);
    let mut all = Vec::new();
    for line in lines {
        let line = line?;
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let seconds = line.get("since").and_then(Value::as_u64);
        let (Some(account), Some(seconds)) = (text("account"), seconds) else {
            return Err("an account has no name or no time".into());
        };
        let account = Address::from_rcpt(format!("<{account}>").as_bytes());
        // No source was asked for such an address, and written out it may be read as another one.
        if account.malformed().is_some() || account.domain().is_some_and(|domain| !is_domain(domain)) {
            continue;
        }
        let since = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map_or(now, |since| since.min(now));
        let source = text("source");
        if same_maps || source.is_none_or(|source| !source.starts_with("map:")) {
            all.push((account.cache_key().into_owned(), KnownAccount::new(source.map(Arc::from), since)));
        }
    }
    Ok(all)
}

/// Returns the text of the file, or `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let mut text = String::new();
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if length as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} octets"));
    }
    Ok(Some(text))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // Another file of this name is a leftover, or a trap: it is not opened.
    if let Err(e) = fs::remove_file(&new)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::{CacheSettings, Settings, SourceSettings};
    use super::super::super::testing::account;
    use super::*;
    use crate::map::served::Maps;
    use std::os::unix::fs::PermissionsExt;

    fn known(source: Option<&str>, since: SystemTime) -> KnownAccount {
        KnownAccount::new(source.map(Arc::from), since)
    }

    fn key(address: &str) -> String {
        account(address).cache_key().into_owned()
    }

    #[test]
    fn reads_what_it_writes() {
        let since = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let addresses =
            ["foo@example.test", "\"a b\"@example.test", "\"x@y\"@example.test", "grüße@example.test"];
        let all: Vec<_> =
            addresses.iter().map(|text| (key(text), known(Some("vrfy:mx\n:25"), since))).collect();
        let all = [all, vec![(key("pin@example.test"), known(None, since))]].concat();
        let got = parse(&format(&all, "maps"), "maps", SystemTime::now()).unwrap();
        assert_eq!(got.len(), all.len());
        for ((key, known), (want, before)) in got.iter().zip(&all) {
            assert_eq!((key, &known.source, known.since), (want, &before.source, before.since));
        }
    }

    #[test]
    fn errors_and_exceptions_of_a_file() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let head = "{\"known_accounts\":1,\"maps\":\"a\"}\n";
        let line = |source: &str, since: u64| {
            format!("{{\"account\":\"foo@example.test\",\"source\":{source},\"since\":{since}}}\n")
        };
        for (text, want) in [
            (String::new(), "ok 0"),
            (head.to_owned(), "ok 0"),
            (head.to_owned() + &*line("\"vrfy:mx\"", 5), "ok 1"),
            (head.to_owned() + &*line("null", 5), "ok 1"),
            (head.to_owned() + &*line("\"map:users\"", 5), "ok 1"),
            (head.replace("\"a\"", "\"b\"") + &*line("\"map:users\"", 5), "ok 0"),
            (head.replace("\"a\"", "\"b\"") + &*line("\"vrfy:mx\"", 5), "ok 1"),
            (head.to_owned() + &*line("\"vrfy:mx\"", u64::MAX), "ok 1"),
            (head.to_owned() + "{\"account\":\"foo@exa", "line 2 is not valid"),
            (head.to_owned() + "{\"account\":\"foo@example.test\"}\n", "an account has no name or no time"),
            ("foo@example.test\n".to_owned(), "line 1 is not valid"),
            ("{}\n".to_owned(), "it is not a file of known accounts"),
            ("{\"known_accounts\":2}\n".to_owned(), "its format has the version 2; this rcptd knows 1"),
        ] {
            let got = match parse(&text, "a", now) {
                Ok(all) => {
                    assert!(all.iter().all(|(_, known)| known.since <= now), "{text}");
                    format!("ok {}", all.len())
                }
                Err(why) => why,
            };
            assert!(got.starts_with(want), "{text}: {got}");
        }
    }

    async fn sources(specs: &[&str], before: Option<&Sources>) -> Sources {
        let all = specs.iter().map(|spec| SourceSettings::new(spec.parse().unwrap())).collect();
        let settings = Settings::new(all, CacheSettings::default());
        Sources::rebuild(&settings, false, &Maps::new(), None, &Arc::default(), before).await.unwrap()
    }

    fn names(sources: &Sources) -> Vec<String> {
        let all = sources.known.list().into_iter();
        all.map(|(key, _)| Address::from_key(&key).unwrap().local().to_owned()).collect()
    }

    #[tokio::test]
    async fn accounts_of_current_sources_outlast_restart_and_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let metrics = Metrics::default();
        let now = SystemTime::now();
        let first = sources(&["fail:", "static:notfound"], None).await;
        let file = KnownFile::open(Some(&path), &first, &metrics).await.unwrap();
        file.save(&first).await;
        assert!(!path.exists(), "nothing has changed");
        for (name, source, since) in [
            ("a", Some("fail:"), now),
            ("b", Some("static:notfound"), now),
            ("c", None, now),
            ("old", Some("fail:"), now - Duration::from_hours(5 * 24)),
        ] {
            first.known.insert(key(&format!("{name}@example.test")), known(source, since)).await;
        }
        let basis = crate::watch::Revision::default().basis();
        first
            .known
            .insert(key("file@example.test"), KnownAccount { basis, ..known(Some("fail:"), now) })
            .await;
        assert_eq!(names(&first), ["a", "b", "c", "file"]);
        file.save(&first).await;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        for (specs, want) in [
            (&["fail:", "static:notfound"][..], &["a", "b", "c"][..]),
            (&["fail:"], &["a", "c"]),
            (&["static:notfound"], &["b", "c"]),
        ] {
            let restarted = sources(specs, None).await;
            KnownFile::open(Some(&path), &restarted, &metrics).await;
            assert_eq!(names(&restarted), want, "{specs:?}");
        }
        let reloaded = sources(&["fail:"], Some(&first)).await;
        assert_eq!(names(&reloaded), ["a", "c", "file"]);
    }

    /// A file that cannot be read or written does not stop rcptd, and is told.
    #[tokio::test]
    async fn trouble_with_the_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::default();
        let sources = sources(&["fail:"], None).await;
        let failing = |metrics: &Metrics| {
            metrics
                .source_states()
                .into_iter()
                .find_map(|one| one.failing)
                .map(|(_, why)| why)
                .unwrap_or_default()
        };
        let broken = folder.path().join("broken");
        fs::write(&broken, "x").unwrap();
        let file = KnownFile::open(Some(&broken), &sources, &metrics).await.unwrap();
        assert!(failing(&metrics).starts_with("line 1 is not valid"), "{}", failing(&metrics));
        sources.known.pin(&account("foo@example.test")).await;
        file.save(&sources).await;
        assert_eq!(failing(&metrics), "");
        drop(file);
        let file =
            KnownFile::open(Some(&folder.path().join("gone/known")), &sources, &metrics).await.unwrap();
        sources.known.pin(&account("bar@example.test")).await;
        file.save(&sources).await;
        assert!(failing(&metrics).starts_with("cannot be written: No such file"), "{}", failing(&metrics));
    }
}
