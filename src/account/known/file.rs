//! The file of the known accounts, which keeps them across a restart.
//!
//! It has one JSON object a line: first the version and what the maps of the configuration were, then each
//! account with its source, and when it was found. It is replaced as a whole: written to another file,
//! synchronised with the disk, and renamed. Accounts of `file:`, `aliases:` and `passwd:` are not in it, since these
//! files may change while rcptd is not running, and are there at the next start. Those of a map are in it, whether
//! it reads files or not: it may combine files and servers.
//!
//! Lines that cannot be read are skipped. The damaged file is then kept under another name, since it may have pins, and
//! the next save replaces it. A file that is not one of known accounts is never replaced.

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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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
    /// Whether the file is not one of known accounts, and so not to be replaced.
    foreign: AtomicBool,
    /// Held by the thread that writes. That thread goes on when the task that waits for it is ended, so two could
    /// write at once.
    writing: Arc<Mutex<()>>,
}

impl KnownFile {
    /// The file at `path`, which need not exist.
    pub fn new(path: &Path, metrics: &Metrics) -> Self {
        let outage = metrics.outage(&format!("known:{}", path.display()), None);
        let (saved, foreign, writing) = Default::default();
        KnownFile { path: path.to_owned(), outage, saved, foreign, writing }
    }

    /// Reads the file, if there is one, and returns it to save what changes.
    pub async fn open(path: Option<&Path>, sources: &Sources, metrics: &Metrics) -> Option<Arc<Self>> {
        let file = KnownFile::new(path?, metrics);
        file.load(sources).await;
        Some(Arc::new(file))
    }

    /// Reads the accounts of the current sources. What cannot be read is logged, and not known.
    pub async fn load(&self, sources: &Sources) {
        let path = self.path.clone();
        let read =
            tokio::task::spawn_blocking(move || read(&path)).await.unwrap_or_else(|e| Err(e.to_string()));
        let text = match read {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(why) => return self.is_foreign(&why, "rcptd does not replace it"),
        };
        let mut parsed = match parse(&text, sources.maps(), SystemTime::now()) {
            Ok(parsed) => parsed,
            Err(why) => return self.is_foreign(&why, "remove it, or set account.cache.file to another path"),
        };
        for (key, known) in std::mem::take(&mut parsed.accounts) {
            if let Some(key) = sources.key_of(&key, &known)
                && let Err(why) = sources.known.insert(key, known).await
            {
                parsed.damaged += 1;
                parsed.why.get_or_insert_with(|| why.to_string());
            }
        }
        self.saved.store(sources.known.changes(), Relaxed);
        let Some(first) = parsed.why else { return self.outage.works() };
        let (from, to) = (self.path.clone(), with_suffix(&self.path, ".damaged"));
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to).map(|()| to)).await;
        let kept =
            match copied.map_err(|e| e.to_string()).and_then(|result| result.map_err(|e| e.to_string())) {
                Ok(to) => format!("it is kept as {}", to.display()),
                Err(why) => format!("it cannot be copied: {why}"),
            };
        let count = parsed.damaged;
        self.outage
            .fails(&format_args!("{first}; accounts and pins in {count} such lines are not known; {kept}"));
    }

    /// Logs why the file is not read, and what follows.
    fn is_foreign(&self, why: &str, then: &str) {
        self.foreign.store(true, Relaxed);
        self.outage.fails(&format_args!("{why}; {then}"));
    }

    /// Writes the accounts, if they have changed since they were read or written.
    pub async fn save(&self, sources: &Sources) {
        let changes = sources.known.changes();
        if self.saved.load(Relaxed) == changes {
            return;
        }
        if self.foreign.load(Relaxed) {
            if fs::symlink_metadata(&self.path).is_ok() {
                return;
            }
            self.foreign.store(false, Relaxed);
        }
        let (known, maps) = (sources.known.clone(), sources.maps().to_owned());
        let (path, writing) = (self.path.clone(), self.writing.clone());
        // Sorting and formatting hundreds of thousands of accounts takes as long as writing them.
        let written = tokio::task::spawn_blocking(move || {
            let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let all = known.list().into_iter();
            let lasting: Vec<_> = all.filter(|(_, known)| known.basis.is_empty()).collect();
            write(&path, format(&lasting, &maps).as_bytes())
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

    /// Whether the current accounts are in the file.
    pub fn is_saved(&self, sources: &Sources) -> bool {
        self.saved.load(Relaxed) == sources.known.changes()
    }
}

/// What a file contains.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Parsed {
    /// The accounts, by their key in the cache.
    pub accounts: Vec<(String, KnownAccount)>,
    /// Number of lines that were skipped. Only the first is described: a damaged file may have millions.
    pub damaged: usize,
    /// Why the first of them was skipped.
    pub why: Option<String>,
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
/// future counts as now: a wrong clock must not make an account known for years. The error is the reason why it is not a
/// file of known accounts.
#[doc(hidden)]
pub fn parse(text: &str, maps: &str, now: SystemTime) -> Result<Parsed, String> {
    let mut lines = text.lines().enumerate().map(|(n, line)| {
        if line.contains(char::REPLACEMENT_CHARACTER) {
            return Err(format!("line {} is not UTF-8", n + 1));
        }
        serde_json::from_str::<Value>(line).map_err(|e| format!("line {} is not valid: {e}", n + 1))
    });
    let Some(head) = lines.next().transpose()? else { return Ok(Parsed::default()) };
    match head.get("known_accounts").and_then(Value::as_u64) {
        Some(VERSION) => (),
        Some(other) => return Err(format!("its format has the version {other}; this rcptd knows {VERSION}")),
        None => return Err("it is not a file of known accounts".into()),
    }
    let same_maps = head.get("maps").and_then(Value::as_str) == Some(maps);
    let mut parsed = Parsed::default();
    for (number, line) in (2..).zip(lines) {
        let account =
            match line.and_then(|line| entry(&line, now).map_err(|why| format!("line {number}: {why}"))) {
                Ok(account) => account,
                Err(why) => {
                    parsed.damaged += 1;
                    parsed.why.get_or_insert(why);
                    continue;
                }
            };
        let (account, known) = account;
        let is_of_map = known.source.as_ref().is_some_and(|source| source.starts_with("map:"));
        if same_maps || !is_of_map {
            parsed.accounts.push((account.cache_key().into_owned(), known));
        }
    }
    Ok(parsed)
}

/// Reads the account of a line.
fn entry(line: &Value, now: SystemTime) -> Result<(Address, KnownAccount), &'static str> {
    let text = line.get("account").and_then(Value::as_str).ok_or("no account")?;
    let account = Address::from_rcpt(format!("<{text}>").as_bytes());
    // No source was asked for such an address, and written out it may be read as another one.
    if account.malformed().is_some()
        || account.domain().is_none_or(|domain| !is_domain(domain))
        || account.to_string() != text
    {
        return Err("the account is not an address");
    }
    let source = match line.get("source") {
        Some(Value::Null) => None,
        Some(Value::String(source)) => Some(Arc::from(&**source)),
        _ => return Err("no source"),
    };
    let seconds = line.get("since").and_then(Value::as_u64).ok_or("no time")?;
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map_or(now, |since| since.min(now));
    Ok((account, KnownAccount::new(source, since)))
}

/// Returns the text of the file, or `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<String>, String> {
    // Opening a FIFO would wait for a writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => (),
        Ok(_) => return Err("it is not a file".into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let length = file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if length as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} octets"));
    }
    // A line that is not UTF-8 is damaged, the others are not.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Copies a file, with the protection of the original.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    write(to, &fs::read(from)?)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    // Another file of this name is a leftover, or a trap: it is not opened.
    if let Err(e) = fs::remove_file(&new)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::{CacheSettings, Settings, SourceSettings};
    use super::super::super::testing::account;
    use super::super::MAX_PINS;
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
        assert_eq!((got.damaged, got.why), (0, None));
        let got = got.accounts;
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
            (head.to_owned() + &*line("null", 5) + "{\"account\":\"foo@exa", "ok 1; line 3 is not valid"),
            (head.to_owned() + "\0\0\n" + &*line("null", 5), "ok 1; line 2 is not valid"),
            (
                head.to_owned() + "{\"account\":\"foo@example.test\",\"source\":null}\n",
                "ok 0; line 2: no time",
            ),
            (head.to_owned() + &*line("5", 5) + &*line("\"vrfy:mx\"", 5), "ok 1; line 2: no source"),
            (head.to_owned() + "{\"account\":\"foo@example.test\",\"since\":5}\n", "ok 0; line 2: no source"),
            (
                head.to_owned()
                    + &*line("null", 5).replace("foo@example.test", "foo@example.test>, <bar@b.test"),
                "ok 0; line 2: the account is not an address",
            ),
            (
                head.to_owned() + &*line("null", 5).replace("foo@example.test", "foo"),
                "ok 0; line 2: the account is not an address",
            ),
            ("foo@example.test\n".to_owned(), "line 1 is not valid"),
            ("{}\n".to_owned(), "it is not a file of known accounts"),
            ("{\"known_accounts\":2}\n".to_owned(), "its format has the version 2; this rcptd knows 1"),
        ] {
            let got = match parse(&text, "a", now) {
                Ok(parsed) => {
                    assert!(parsed.accounts.iter().all(|(_, known)| known.since <= now), "{text}");
                    let damaged = parsed.why.map(|why| format!("; {why}")).unwrap_or_default();
                    format!("ok {}{damaged}", parsed.accounts.len())
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
            first.known.insert(key(&format!("{name}@example.test")), known(source, since)).await.unwrap();
        }
        let basis = crate::watch::Revision::default().basis();
        let of_file = KnownAccount { basis, ..known(Some("fail:"), now) };
        first.known.insert(key("file@example.test"), of_file).await.unwrap();
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
        reloaded.take_over(&first).await;
        assert_eq!(names(&reloaded), ["a", "c", "file"]);
    }

    /// `case_sensitive` may have changed between stop and start.
    #[tokio::test]
    async fn pins_are_respelled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        fs::write(&path, format(&[(key("Foo@a.test"), known(None, SystemTime::now()))], "")).unwrap();
        for (cases, want) in [(false, "foo"), (true, "Foo")] {
            let settings =
                Settings::new(vec![SourceSettings::new("fail:".parse().unwrap())], CacheSettings::default());
            let sources = Sources::build(&settings, cases).await.unwrap();
            KnownFile::open(Some(&path), &sources, &Metrics::default()).await;
            assert_eq!(names(&sources), [want]);
        }
    }

    /// A source has the accounts of its domains only, after a restart as after a reload.
    #[tokio::test]
    async fn accounts_of_other_domains_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let (metrics, now) = (Metrics::default(), SystemTime::now());
        let all = ["foo@a.test", "foo@b.test"].map(|text| (key(text), known(Some("fail:"), now)));
        fs::write(&path, format(&all, "")).unwrap();
        for (domains, want) in [(None, 2), (Some("a.test"), 1), (Some("c.test"), 0)] {
            let mut source = SourceSettings::new("fail:".parse().unwrap());
            source.domains = domains.map(|domain| [domain.to_owned()].into());
            let settings = Settings::new(vec![source], CacheSettings::default());
            let sources = Sources::build(&settings, false).await.unwrap();
            KnownFile::open(Some(&path), &sources, &metrics).await;
            assert_eq!(sources.known.list().len(), want, "{domains:?}");
        }
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
        // It may be anything, and is not replaced until it is gone.
        let foreign = folder.path().join("foreign");
        fs::write(&foreign, "x").unwrap();
        let file = KnownFile::open(Some(&foreign), &sources, &metrics).await.unwrap();
        assert!(failing(&metrics).starts_with("line 1 is not valid"), "{}", failing(&metrics));
        sources.known.pin(&account("foo@example.test")).await.unwrap();
        file.save(&sources).await;
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "x");
        assert!(!file.is_saved(&sources));
        fs::remove_file(&foreign).unwrap();
        file.save(&sources).await;
        assert!(file.is_saved(&sources));
        assert_eq!(failing(&metrics), "");
        // Damaged lines are told and kept, the others count.
        let damaged = fs::read_to_string(&foreign).unwrap() + "{\"account\":";
        fs::write(&foreign, &damaged).unwrap();
        sources.known.unpin(&key("foo@example.test")).await;
        let file = KnownFile::open(Some(&foreign), &sources, &metrics).await.unwrap();
        assert_eq!(names(&sources), ["foo"]);
        let why = failing(&metrics);
        assert!(why.starts_with("line 3 is not valid") && why.ends_with("foreign.damaged"), "{why}");
        sources.known.pin(&account("baz@example.test")).await.unwrap();
        file.save(&sources).await;
        assert_eq!(failing(&metrics), "");
        assert_eq!(fs::read_to_string(folder.path().join("foreign.damaged")).unwrap(), damaged);
        // A FIFO would make the start wait.
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let _file = KnownFile::open(Some(&fifo), &sources, &metrics).await.unwrap();
        assert!(failing(&metrics).starts_with("it is not a file"), "{}", failing(&metrics));
        let metrics = Metrics::default();
        let file =
            KnownFile::open(Some(&folder.path().join("gone/known")), &sources, &metrics).await.unwrap();
        sources.known.pin(&account("bar@example.test")).await.unwrap();
        file.save(&sources).await;
        assert!(failing(&metrics).starts_with("cannot be written: No such file"), "{}", failing(&metrics));
    }

    /// Someone has edited the file. The pins beyond the limit are told, and the file is kept.
    #[tokio::test]
    async fn more_pins_than_there_may_be_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, metrics) = (folder.path().join("known"), Metrics::default());
        let mut text = "{\"known_accounts\":1}\n".to_owned();
        for i in 0..=MAX_PINS {
            text += &*format!("{{\"account\":\"pin{i}@example.test\",\"source\":null,\"since\":5}}\n");
        }
        fs::write(&path, &text).unwrap();
        let sources = sources(&["fail:"], None).await;
        let _file = KnownFile::open(Some(&path), &sources, &metrics).await.unwrap();
        assert_eq!(names(&sources).len(), MAX_PINS);
        let (_, why) = metrics.source_states().remove(0).failing.unwrap();
        assert!(why.starts_with("10000 accounts are pinned") && why.contains(" 1 such lines"), "{why}");
        assert_eq!(fs::read_to_string(folder.path().join("known.damaged")).unwrap(), text);
    }
}
